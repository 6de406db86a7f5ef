//! A server process of our own: started for a check, asked until it is ready, and stopped as an operator would.
//!
//! Knows signals, `demo.json` and `/readyz`; must not know the rest of the server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

const READY_SECONDS_MAX: u64 = 60;
const STOP_SECONDS_MAX: u64 = 60;
const POLL: Duration = Duration::from_millis(50);

/// A running all-in-one process with a data directory of its own. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) demo: PathBuf,
}

impl Server {
    /// Starts `program` on an empty data directory and waits until it is ready. Its logs go to `data/../<name>.log`.
    pub(crate) fn start(program: &Path, data: &Path) -> anyhow::Result<Self> {
        if data.exists() {
            std::fs::remove_dir_all(data).with_context(|| format!("cannot empty `{}`", data.display()))?;
        }
        std::fs::create_dir_all(data).with_context(|| format!("cannot make `{}`", data.display()))?;
        let log_path = data.with_extension("log");
        println!(
            "$ {} --data {} --listen 127.0.0.1:0   (logs: {})",
            program.display(),
            data.display(),
            log_path.display()
        );
        let log = std::fs::File::create(&log_path).with_context(|| format!("cannot make `{}`", log_path.display()))?;
        let child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let mut server = Self { child, demo: data.join("demo.json") };
        server.wait_until_ready().with_context(|| format!("see `{}`", log_path.display()))?;
        Ok(server)
    }

    /// Stops it with SIGTERM and expects it to end well.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the server has no process id")?;
        kill_process(pid, Signal::TERM).context("cannot signal the server")?;
        let began = Instant::now();
        while began.elapsed().as_secs() < STOP_SECONDS_MAX {
            if let Some(status) = self.child.try_wait().context("cannot wait for the server")? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("the server did not stop within {STOP_SECONDS_MAX} seconds")
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed().as_secs() < READY_SECONDS_MAX {
            if let Some(status) = self.child.try_wait().context("cannot wait for the server")? {
                bail!("the server ended with {status} before it was ready");
            }
            if is_ready(&self.demo) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("the server was not ready within {READY_SECONDS_MAX} seconds")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After an orderly stop there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_ready(demo: &Path) -> bool {
    #[derive(serde::Deserialize)]
    struct Demo {
        ops: String,
    }
    let Ok(text) = std::fs::read_to_string(demo) else { return false };
    let Ok(demo) = serde_json::from_str::<Demo>(&text) else { return false };
    demo.ops.strip_prefix("http://").is_some_and(|authority| answers_ok(authority, "/readyz"))
}

/// Whether a GET is answered by 200.
pub(crate) fn answers_ok(authority: &str, path: &str) -> bool {
    get(authority, path, "").is_ok()
}

/// The answer to a GET, if it is 200; `api_key` may be empty.
pub(crate) fn get(authority: &str, path: &str, api_key: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let credentials = if api_key.is_empty() { String::new() } else { format!("authorization: Bearer {api_key}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {authority}\r\n{credentials}connection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200"), "`{path}` answers `{status}`");
    Ok(body.to_owned())
}
