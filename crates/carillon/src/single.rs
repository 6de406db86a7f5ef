//! One role in a process of its own. Knows what each role needs, not what it does.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use runtime::health::ops_router;
use runtime::{Health, HttpLimits, Registry, Stop};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::cli::Common;
use crate::config::Config;
use crate::engines::Engines;
use crate::secrets;

/// Runs the gateway alone on the engines under `--data`: it accepts and makes durable; a router must run to carry on.
pub(crate) async fn gateway(common: &Common) -> anyhow::Result<ExitCode> {
    let mut config: Config = load(common)?;
    if common.check_config {
        return show(&config);
    }
    config.listen_at(common.listen);
    let process = Process::start(config.ops_listen, config.drain_seconds_max).await?;
    let engines = Engines::open(&common.data).await?;
    let deps = gateway::Deps {
        bus: engines.bus.clone(),
        store: engines.store.clone(),
        master: secrets::master_key(&common.data)?,
        registry: process.registry.clone(),
        health: process.health.clone(),
    };
    let public = TcpListener::bind(config.gateway.listen).await.context("cannot listen for the public doors")?;
    println!("gateway listens on {}, health and metrics on {}", public.local_addr()?, process.ops);
    let stop = process.stop.phase();
    let serving = gateway::run(config.gateway, deps, gateway::Listeners { public }, stop.clone());
    let code = process.until_stopped(stop, serving).await?;
    engines.close().await;
    Ok(code)
}

/// Runs the router alone on the engines under `--data`: it routes what a gateway accepted, and hands out to farms that attach.
pub(crate) async fn sms_router(common: &Common) -> anyhow::Result<ExitCode> {
    let mut config: Config = load(common)?;
    if common.check_config {
        return show(&config);
    }
    config.listen_at(common.listen);
    let process = Process::start(config.ops_listen, config.drain_seconds_max).await?;
    let engines = Engines::open(&common.data).await?;
    let deps = sms_router::Deps {
        bus: engines.bus.clone(),
        store: engines.store.clone(),
        master: secrets::master_key(&common.data)?,
        registry: process.registry.clone(),
        health: process.health.clone(),
        clock: sms_router::Clock::system(),
    };
    let (stop, connections) = (process.stop.phase(), process.stop.phase());
    let control = sms_router::listen(&config.sms_router.control, &connections).await?;
    match &control {
        Some(control) => println!("farms attach to {}, health and metrics on {}", control.address(), process.ops),
        None => println!("no farm can attach (see `control.enabled`), health and metrics on {}", process.ops),
    }
    // No farm is in this process.
    let (_, local) = tokio::sync::mpsc::channel(1);
    let doors = sms_router::Doors { local, control };
    let serving = sms_router::run(config.sms_router, deps, doors, stop.clone());
    let code = process.until_stopped(stop, serving).await?;
    drop(connections.drain().await);
    engines.close().await;
    Ok(code)
}

/// Runs a farm node.
pub(crate) async fn modem_farm(common: &Common) -> anyhow::Result<ExitCode> {
    let config: modem_farm::Config = load(common)?;
    config.validate()?;
    if common.check_config {
        return show(&config);
    }
    let process = Process::start(config.ops_listen, config.drain_seconds_max).await?;
    println!("farm `{}` drives {} links, health and metrics on {}", config.name, config.links.len(), process.ops);
    // No router is in this process.
    let (_, local) = tokio::sync::mpsc::channel(1);
    let deps = modem_farm::Deps { registry: process.registry.clone(), health: process.health.clone(), local };
    let stop = process.stop.phase();
    let serving = modem_farm::run(config, deps, stop.clone());
    process.until_stopped(stop, serving).await
}

/// Loads a role's settings: defaults, the file, the environment.
pub(crate) fn load<T: DeserializeOwned + Default + Serialize>(common: &Common) -> anyhow::Result<T> {
    load_file(common.config.as_deref())
}

fn load_file<T: DeserializeOwned + Default + Serialize>(file: Option<&Path>) -> anyhow::Result<T> {
    runtime::config::load(file, "CARILLON").context("the settings are not usable")
}

/// `--check-config`: they loaded, so they hold; shows what they came to.
pub(crate) fn show<T: Serialize>(config: &T) -> anyhow::Result<ExitCode> {
    print!("{}", runtime::config::show(config)?);
    Ok(ExitCode::SUCCESS)
}

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
