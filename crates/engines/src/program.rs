//! Runs a program of the engines to its end, within a time.
//!
//! Knows processes that end by themselves; must not know what they do.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::log;

const POLL: Duration = Duration::from_millis(50);

/// Runs it with its output in a log. Anything but a good end in time is an error, in words, with the end of the log.
pub(crate) fn run(command: &mut Command, log_path: &Path, within: Duration) -> Result<(), String> {
    let say = |error: std::io::Error| error.to_string();
    let log = File::create(log_path).map_err(say)?;
    let errors = log.try_clone().map_err(say)?;
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    match wait(command, within).map_err(say)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            Err(format!("it ended with {status}; the end of `{}`:\n{}", log_path.display(), log::tail(log_path)))
        }
        None => Err(format!("it was not done within {} seconds", within.as_secs())),
    }
}

fn wait(command: &mut Command, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let began = Instant::now();
    while began.elapsed() < within {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, within: Duration, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let found = run(Command::new("sh").args(["-c", script]), &directory.path().join("log"), within);
        assert!(found.clone().unwrap_err().contains(expected), "{found:?}");
    }

    #[test]
    fn a_bad_end_is_told_with_the_log() {
        check("echo why >&2; exit 3", Duration::from_secs(60), "exit status: 3");
        check("echo why >&2; exit 3", Duration::from_secs(60), "why");
        check("exec sleep 60", Duration::from_millis(100), "not done within 0 seconds");
    }

    #[test]
    fn a_good_end_is_good() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(run(&mut Command::new("true"), &directory.path().join("log"), Duration::from_secs(60)), Ok(()));
        assert!(run(&mut Command::new("no-such-program"), &directory.path().join("log"), Duration::ZERO).is_err());
    }
}
