//! A process of the binary: started, signalled, killed, waited for. Knows command lines and `/readyz`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, tail};

/// The program that is tested.
const THIS_BUILD: &str = env!("CARGO_BIN_EXE_carillon");

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// All roles.
    Whole,
    Gateway,
    Router,
    Farm,
    /// The simulated network.
    Network,
}

/// One process of an installation, running or not. It is started again with the same command.
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) index: usize,
    pub(crate) log: PathBuf,
    /// Base URL of its health and metrics, if that is known beforehand.
    pub(crate) ops: Option<String>,
    /// Variables it is started with, beside those of the test.
    pub(crate) environment: BTreeMap<&'static str, String>,
    /// Another build's program, in place of this one's.
    pub(crate) program: Option<PathBuf>,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Part {
    /// A process that does not run yet.
    pub(crate) fn new(role: Role, index: usize, arguments: Vec<String>, log: PathBuf) -> Self {
        Part { role, index, log, ops: None, environment: BTreeMap::new(), program: None, arguments, child: None }
    }

    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "{self:?} runs already");
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let program = self.program.as_deref().unwrap_or(Path::new(THIS_BUILD));
        self.child = Some(spawn_with(program, &arguments, &self.environment, &self.log));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill()); // it may have ended already
            child.wait().unwrap();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGSTOP: it stands still, and does not know it.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Waits for the end and returns the exit code; `None` if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it was started");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if begun.elapsed() > PATIENCE {
                drop(child.kill());
                panic!("{self:?} did not stop:\n{}", tail(&self.log));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it says that work is welcome.
    pub(crate) async fn is_ready(&self, client: &reqwest::Client) -> bool {
        self.unready(client).await.is_none()
    }

    /// Why no work is welcome, in its own words; `None` if it is.
    pub(crate) async fn unready(&self, client: &reqwest::Client) -> Option<String> {
        let ops = self.ops.as_ref().expect("its address is known");
        match client.get(format!("{ops}/readyz")).send().await {
            Ok(answer) if answer.status() == 200 => None,
            Ok(answer) => Some(answer.text().await.unwrap_or_else(|error| format!("{error:?}"))),
            Err(error) => Some(format!("{error:?}")),
        }
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self, client: &reqwest::Client) {
        let begun = Instant::now();
        while !self.is_ready(client).await {
            assert!(!self.has_ended(), "{self:?} ended at its start:\n{}", tail(&self.log));
            assert!(begun.elapsed() < PATIENCE, "{self:?} is not ready:\n{}", tail(&self.log));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether its log has this message.
    pub(crate) fn says(&self, message: &str) -> bool {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&format!("\"message\":\"{message}\""))
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.role, self.index)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the binary with these arguments, its logs in a file.
pub(crate) fn spawn(arguments: &[&str], log: &Path) -> Child {
    spawn_with(Path::new(THIS_BUILD), arguments, &BTreeMap::new(), log)
}

/// The same of a build, with variables of its own.
fn spawn_with(program: &Path, arguments: &[&str], environment: &BTreeMap<&'static str, String>, log: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Runs the binary to its end, which must be a good one.
pub(crate) fn run(arguments: &[&str], log: &Path) {
    let status = spawn(arguments, log).wait().unwrap();
    assert!(status.success(), "`carillon {}` ended with {status}:\n{}", arguments.join(" "), tail(log));
}
