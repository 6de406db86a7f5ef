//! A process of an installation under measurement: started, asked until it is ready, stopped as an operator would.
//!
//! Knows signals, `/readyz` and `/proc`; must not know what the process does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::process;

const READY_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// The kernel reports process times in these units on every architecture (USER_HZ, `times(2)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process. Killed when dropped.
pub(crate) struct Part {
    /// What the report calls it.
    pub(crate) name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts a program, its output in a log.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let about = || format!("cannot write `{}`", path.display());
        let log = File::options().create(true).append(true).open(&path).with_context(about)?;
        let errors = log.try_clone().with_context(about)?;
        // By way of ourselves, so that it ends with us however we end. Not by our path: cargo may have built another there.
        let mut command = Command::new("/proc/self/exe");
        command.args(["compare", "hold", "--"]).arg(program).args(arguments);
        // The simulated network ends with its standard input.
        command.stdin(Stdio::piped()).stdout(log).stderr(errors);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", program.display()))?;
        Ok(Self { name, child, log: path })
    }

    /// Runs a program to its end, which must be a good one.
    pub(crate) fn run(name: &'static str, program: &Path, arguments: &[String], folder: &Path) -> anyhow::Result<()> {
        let mut part = Self::start(name, program, arguments, folder)?;
        let status = part.child.wait().context("cannot wait")?;
        ensure!(status.success(), "`{name}` ended with {status}; see `{}`", part.log.display());
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is_ready` says so.
    pub(crate) fn wait(&mut self, is_ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("`{}` ended with {status} before it was ready; see `{}`", self.name, self.log.display());
            }
            let late = began.elapsed() > READY_MAX;
            ensure!(!late, "`{}` was not ready in time; see `{}`", self.name, self.log.display());
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until `/readyz` at this address says so.
    pub(crate) fn wait_ready(&mut self, ops: &str) -> anyhow::Result<()> {
        self.wait(|| process::answers_ok(ops, "/readyz"))
    }

    /// Stops it with SIGTERM and expects it to end well.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("it has no process id")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot signal `{}`", self.name))?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "`{}` ended with {status}; see `{}`", self.name, self.log.display());
                return Ok(());
            }
            ensure!(began.elapsed() < STOP_MAX, "`{}` did not stop; see `{}`", self.name, self.log.display());
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After an orderly stop there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Becomes another program, which is killed when the process that started this one ends.
pub(crate) fn hold(program: &[String]) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot be tied to the parent")?;
    let (name, arguments) = program.split_first().context("a program is needed")?;
    let error = Command::new(name).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start `{name}`"))
}

/// CPU seconds a process has used in all its threads (`proc_pid_stat(5)`, fields 14 and 15).
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let fields = text.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    ensure!(ticks.len() == 2, "`{path}` is not understood");
    Ok(ticks.iter().sum::<u64>() as f64 / TICKS_PER_SECOND)
}
