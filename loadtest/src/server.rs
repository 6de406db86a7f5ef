//! A server started for the test, and stopped after it.
//!
//! Knows a command line, `demo.json` and `/readyz`; must not know what the server does.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::client::{Client, Endpoint};
use crate::options::{Demo, Options};

const START_SECONDS_MAX: u64 = 120;
const STOP_SECONDS_MAX: u64 = 60;
const POLL: Duration = Duration::from_millis(50);

/// A running server of our own.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: u32,
}

impl Server {
    /// Starts the server the options ask for, if any, and waits until it is ready.
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Option<Self>> {
        match (&options.spawn, &options.demo) {
            (Some(command), Some(demo)) => Ok(Some(Self::run(command, demo).await?)),
            _ => Ok(None),
        }
    }

    /// Starts a server with this command, which writes this demo file, and waits until it is ready.
    pub(crate) async fn run(command: &str, demo: &Path) -> anyhow::Result<Self> {
        let before = written_at(demo);
        // `exec`: the process we start is the server itself, not a shell in front of it.
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec {command}")).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let child = shell.spawn().with_context(|| format!("cannot start `{command}`"))?;
        let pid = child.id().context("the server ended at once")?;
        let mut server = Self { child, pid };
        server.wait_until_ready(demo, before).await?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Stops the server as its operator would, and expects it to end well.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("the server has no process id")?;
        kill_process(pid, Signal::TERM).context("cannot stop the server")?;
        let limit = Duration::from_secs(STOP_SECONDS_MAX);
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                ensure!(status.success(), "the server ended with `{status}`");
                Ok(())
            }
            Err(_) => bail!("the server did not stop within {STOP_SECONDS_MAX} seconds"),
        }
    }

    async fn wait_until_ready(&mut self, demo: &Path, before: Option<SystemTime>) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed().as_secs() < START_SECONDS_MAX {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with `{status}` before it was ready");
            }
            // It rewrites its addresses at each start: an older file speaks of another server.
            if written_at(demo) != before && is_ready(demo).await {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("the server was not ready within {START_SECONDS_MAX} seconds")
    }
}

fn written_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

async fn is_ready(demo: &Path) -> bool {
    let Ok(endpoint) = Demo::read(demo).and_then(|demo| Endpoint::parse(&demo.ops)) else {
        return false;
    };
    Client::new(endpoint).get("/readyz", "").await.is_ok_and(|answer| answer.status.is_success())
}
