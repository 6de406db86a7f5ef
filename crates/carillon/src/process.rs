//! What every process has: health, metrics, signals and an end. Knows no role.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use runtime::health::ops_router;
use runtime::{Health, HttpLimits, Registry, Stop};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::engines::Patience;

/// The readiness condition until a role has begun to tell its own.
const START: &str = "start";

/// What every process has: health, metrics and an end.
pub(crate) struct Process {
    pub(crate) registry: Registry,
    pub(crate) health: Health,
    pub(crate) stop: Stop,
    pub(crate) ops: SocketAddr,
    ops_stop: Stop,
}

impl Process {
    /// Serves health and metrics at once, so that a slow start can be watched, and listens to signals.
    pub(crate) async fn start(ops_listen: SocketAddr, drain_seconds_max: u64) -> anyhow::Result<Self> {
        let (registry, health, stop) = (Registry::new(), Health::new(), Stop::new(drain_seconds_max));
        // Nothing of a role is known to be missing before it has said so itself.
        health.not_ready(START, "starting");
        runtime::process::register(&registry);
        stop.register(&registry);
        stop.listen_to_signals()?;
        let listener = TcpListener::bind(ops_listen).await;
        let listener = listener.with_context(|| format!("cannot listen on `{ops_listen}` for health and metrics"))?;
        let ops = listener.local_addr()?;
        let ops_stop = stop.phase();
        let router = ops_router(registry.clone(), health.clone());
        let serve = runtime::http::serve(listener, router, HttpLimits::default(), None, ops_stop.clone());
        drop(ops_stop.spawn("ops listener", serve));
        Ok(Process { registry, health, stop, ops, ops_stop })
    }

    /// Says that the role's own conditions tell its readiness from here on.
    pub(crate) fn started(&self) {
        self.health.ready(START);
    }

    /// The patience of this process with its engines.
    pub(crate) fn patience(&self, config: &Config) -> Patience {
        Patience::new(Duration::from_secs(config.start_seconds_max), &self.health, &self.stop)
    }

    /// Runs one role until a signal comes, then stops it in order.
    pub(crate) async fn until_stopped<E>(
        &self,
        role: Stop,
        serving: impl Future<Output = Result<(), E>>,
    ) -> anyhow::Result<ExitCode>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => {
                ended.context("the role could not run")?;
                anyhow::bail!("the role ended by itself");
            }
            () = self.stop.begun() => {}
        }
        self.health.stopping();
        tracing::info!("stopping: no new work is taken");
        role.begin();
        let drain = async {
            let ended = serving.await;
            (ended, role.drain().await)
        };
        let (ended, drained) = drain.await;
        ended.context("the role did not stop in order")?;
        self.end(&[drained]).await
    }

    /// Says what was left, if anything, and ends what every process has.
    pub(crate) async fn end(&self, drained: &[runtime::stop::Drained]) -> anyhow::Result<ExitCode> {
        let ops = self.ops_stop.drain().await;
        for left in drained.iter().chain(std::iter::once(&ops)).filter(|drained| !drained.is_complete()) {
            tracing::warn!(left = ?left.left, "not everything ended in time; what was accepted is safe");
        }
        let complete = drained.iter().all(runtime::stop::Drained::is_complete);
        Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
