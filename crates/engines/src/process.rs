//! Processes that outlive the one that started them, known again by a file.
//!
//! Knows pid files, `/proc` and signals; must not know what a process does. A process is touched only if number, start time,
//! boot and command line are all those of the file: a number alone may have been given to somebody else.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::error::{AboutFile, EnginesError, Result};

const POLL: Duration = Duration::from_millis(25);
/// How long a process may take to show its command line.
const KNOWN_MAX: Duration = Duration::from_secs(10);

/// What a pid file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks between the machine's boot and the process's start.
    start_ticks: u64,
    boot: String,
    /// Seconds since 1970, for people.
    pub(crate) started_at: u64,
}

/// What a living process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    /// By SIGSTOP.
    Stopped,
}

/// A program to run, and where it leaves its traces.
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) directory: &'a Path,
    pub(crate) log: &'a Path,
}

/// A process known by its pid file, alive or not.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// For messages.
    name: String,
    file: PathBuf,
    /// A text of its command line that no other process has.
    mark: String,
}

impl Process {
    pub(crate) fn new(name: &str, file: PathBuf, mark: String) -> Self {
        Self { name: name.to_owned(), file, mark }
    }

    /// Starts it in a process group of its own, so that Ctrl-C on our terminal does not reach it.
    pub(crate) fn start(&self, launch: &Launch) -> Result<()> {
        let log = File::create(launch.log).about("create", launch.log)?;
        let errors = log.try_clone().about("share", launch.log)?;
        let mut command = Command::new(launch.program);
        command.arg(&self.mark).args(launch.arguments).current_dir(launch.directory);
        command.stdin(Stdio::null()).stdout(log).stderr(errors).env_remove("CLASSPATH");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|source| EnginesError::Spawn {
            node: self.name.clone(),
            program: launch.program.to_owned(),
            source,
        })?;
        let written = self.write(child.id());
        if written.is_err() {
            // Nobody would find it again.
            let _ = child.kill();
        } else {
            self.wait_known(&mut child);
        }
        // As long as we live, somebody must take its exit status, or it stays in the process table.
        std::thread::spawn(move || child.wait());
        written
    }

    /// The process of the pid file, if it lives.
    pub(crate) fn alive(&self) -> Option<(Identity, Life)> {
        let identity = self.read()?;
        let life = self.life(&identity)?;
        Some((identity, life))
    }

    /// Sends a signal; says whether there was somebody to send it to.
    pub(crate) fn signal(&self, signal: Signal, word: &'static str) -> Result<bool> {
        let Some(identity) = self.read() else { return Ok(false) };
        let Some(pid) = Pid::from_raw(identity.pid) else { return Ok(false) };
        // The handle is taken before the look: what was looked at is what gets the signal.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(false) };
        if self.life(&identity).is_none() {
            return Ok(false);
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(errno) => Err(EnginesError::Signal {
                node: self.name.clone(),
                pid: identity.pid,
                signal: word,
                source: io::Error::from(errno),
            }),
        }
    }

    /// Waits for the end; says whether it came in time.
    pub(crate) fn wait_end(&self, within: Duration) -> bool {
        let began = Instant::now();
        while self.alive().is_some() {
            if began.elapsed() >= within {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&self, within: Duration) -> Result<()> {
        self.signal(Signal::KILL, "SIGKILL")?;
        if self.wait_end(within) {
            return Ok(());
        }
        let pid = self.alive().map_or(0, |(identity, _)| identity.pid);
        Err(EnginesError::Unkillable { node: self.name.clone(), pid, seconds: within.as_secs() })
    }

    /// Waits until its command line can be read, or it has ended: the system lets us go on a moment before it shows it, and
    /// on a busy machine that moment is long.
    fn wait_known(&self, child: &mut Child) {
        let began = Instant::now();
        while self.alive().is_none() && began.elapsed() < KNOWN_MAX {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
    }

    fn life(&self, identity: &Identity) -> Option<Life> {
        let (state, start_ticks) = stat(identity.pid)?;
        let same = start_ticks == identity.start_ticks && boot()? == identity.boot && self.has_mark(identity.pid);
        if !same || matches!(state, 'Z' | 'X') {
            return None;
        }
        Some(if state == 'T' { Life::Stopped } else { Life::Runs })
    }

    fn has_mark(&self, pid: i32) -> bool {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        line.split(|byte| *byte == 0).any(|argument| argument == self.mark.as_bytes())
    }

    fn read(&self) -> Option<Identity> {
        serde_json::from_slice(&fs::read(&self.file).ok()?).ok()
    }

    fn write(&self, pid: u32) -> Result<()> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the process was gone at once");
        let pid = i32::try_from(pid).map_err(|_| gone()).about("note", &self.file)?;
        let (_, start_ticks) = stat(pid).ok_or_else(gone).about("note", &self.file)?;
        let boot = boot().ok_or_else(gone).about("note", &self.file)?;
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let identity = Identity { pid, start_ticks, boot, started_at };
        let text = serde_json::to_vec(&identity).expect("numbers and a text are JSON");
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, text).about("write", &fresh)?;
        fs::rename(&fresh, &self.file).about("write", &self.file)
    }
}

/// Memory of a process that is in RAM, in bytes.
pub(crate) fn resident_bytes(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// State and start time, proc(5) `stat` fields 3 and 22. The name before them may hold anything, even brackets.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "3600";

    /// A process that sleeps; the time is its mark.
    fn sleeper(directory: &Path) -> Process {
        let process = Process::new("sleeper", directory.join("pid.json"), MARK.to_owned());
        let log = directory.join("log");
        process.start(&Launch { program: Path::new("sleep"), arguments: &[], directory, log: &log }).unwrap();
        process
    }

    #[test]
    fn it_is_known_again_stopped_continued_and_killed() {
        let directory = tempfile::tempdir().unwrap();
        let process = sleeper(directory.path());
        let again = Process::new("sleeper", directory.path().join("pid.json"), MARK.to_owned());
        assert_eq!(again.alive().map(|(_, life)| life), Some(Life::Runs));
        assert!(again.signal(Signal::STOP, "SIGSTOP").unwrap());
        let began = Instant::now();
        while again.alive().map(|(_, life)| life) != Some(Life::Stopped) {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not stop");
            std::thread::yield_now();
        }
        process.kill(Duration::from_secs(10)).unwrap();
        assert_eq!(again.alive(), None);
        assert!(!again.signal(Signal::TERM, "SIGTERM").unwrap(), "there is nobody to signal");
    }

    #[test]
    fn a_number_given_to_somebody_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let process = sleeper(directory.path());
        let (identity, _) = process.alive().unwrap();
        let file = directory.path().join("other.json");
        let lies = [
            Identity { start_ticks: identity.start_ticks - 1, ..identity.clone() },
            Identity { boot: "another".to_owned(), ..identity.clone() },
        ];
        for lie in lies {
            fs::write(&file, serde_json::to_vec(&lie).unwrap()).unwrap();
            let other = Process::new("other", file.clone(), MARK.to_owned());
            assert_eq!(other.alive(), None);
            assert!(!other.signal(Signal::KILL, "SIGKILL").unwrap());
        }
        fs::write(&file, serde_json::to_vec(&identity).unwrap()).unwrap();
        let unmarked = Process::new("other", file, "-Dcarillon.engine=elsewhere".to_owned());
        assert!(!unmarked.signal(Signal::KILL, "SIGKILL").unwrap());
        assert!(process.alive().is_some());
        process.kill(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn our_own_memory_can_be_read() {
        assert!(resident_bytes(i32::try_from(std::process::id()).unwrap()).unwrap() > 100_000);
        assert_eq!(resident_bytes(i32::MAX), None);
    }
}
