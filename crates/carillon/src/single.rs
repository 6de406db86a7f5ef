//! One role in a process of its own. Knows what each role needs, not what it does.

use std::process::ExitCode;

use anyhow::Context;
use model::keyring::MasterKey;
use serde::Serialize;

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::engines::{self, Absent, Engines, Member};
use crate::process::Process;
use crate::secrets::{self, KeyRefused};
use crate::{doctor, issue};

/// What the router says of itself, said before it can.
pub(crate) const ROUTER: &str = "router";
/// What the gateway says of itself.
pub(crate) const GATEWAY: &str = "gateway";
/// What the farm says of itself.
const ROUTERS: &str = "routers";

/// Runs the gateway alone: it accepts and makes durable; a router must run to carry on.
pub(crate) async fn gateway(common: &Common) -> anyhow::Result<ExitCode> {
    let config = Config::load(common, Door::Public)?;
    if common.check_config {
        return show(&config);
    }
    let process = Process::start(config.ops_listen, config.drain_seconds_max).await?;
    println!("gateway starts, health and metrics on {}", process.ops);
    runtime::expiry::register(&process.registry, doctor::machine::files(&config, &common.data));
    let (engines, master) = open(&config, common, &config.member("gateway"), &process).await?;
    let listeners = doors(&config).await?;
    let deps = gateway::Deps {
        bus: engines.bus.clone(),
        store: engines.store.clone(),
        master,
        registry: process.registry.clone(),
        health: process.health.clone(),
    };
    process.health.not_ready(GATEWAY, "starting");
    process.started();
    println!("gateway listens on {}, health and metrics on {}", listeners.public.local_addr()?, process.ops);
    let stop = process.stop.phase();
    let serving = gateway::run(config.gateway, deps, listeners, stop.clone());
    let code = process.until_stopped(stop, serving).await;
    engines.close().await;
    code
}

/// The gateway's sockets.
pub(crate) async fn doors(config: &Config) -> anyhow::Result<gateway::Listeners> {
    let bound = gateway::Listeners::bind(&config.gateway).await;
    bound.map_err(|(address, error)| {
        anyhow::Error::new(error).context(format!("cannot listen on `{address}` for the public doors"))
    })
}

/// Runs the router alone: it routes what a gateway accepted, and hands out to farms that attach.
pub(crate) async fn sms_router(common: &Common) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(common, Door::Control)?;
    if common.check_config {
        return show(&config);
    }
    issue::find_router_certificate(&mut config, &common.data)?;
    let process = Process::start(config.ops_listen, config.drain_seconds_max).await?;
    println!("router `{}` starts, health and metrics on {}", config.sms_router.name, process.ops);
    runtime::expiry::register(&process.registry, doctor::machine::files(&config, &common.data));
    let (engines, master) = open(&config, common, &config.member("sms-router"), &process).await?;
    let (stop, connections) = (process.stop.phase(), process.stop.phase());
    let control = sms_router::listen(&config.sms_router.control, &connections).await?;
    match &control {
        Some(control) => println!("farms attach to {}, health and metrics on {}", control.address(), process.ops),
        None => println!("no farm can attach (see `control.enabled`), health and metrics on {}", process.ops),
    }
    let deps = sms_router::Deps {
        bus: engines.bus.clone(),
        store: engines.store.clone(),
        master,
        registry: process.registry.clone(),
        health: process.health.clone(),
        clock: sms_router::Clock::system(),
    };
    // No farm is in this process.
    let (_, local) = tokio::sync::mpsc::channel(1);
    let doors = sms_router::Doors { local, control };
    process.health.not_ready(ROUTER, "starting");
    process.started();
    let serving = sms_router::run(config.sms_router, deps, doors, stop.clone());
    let code = process.until_stopped(stop, serving).await;
    drop(connections.drain().await);
    engines.close().await;
    code
}

/// Runs a farm node.
pub(crate) async fn modem_farm(common: &Common) -> anyhow::Result<ExitCode> {
    let loaded = runtime::config::load(common.config.as_deref(), "CARILLON_MODEM_FARM");
    let mut config: modem_farm::Config = loaded.context("the settings are not usable")?;
    if let Some(listen) = common.ops_listen {
        config.ops_listen = listen;
    }
    config.validate()?;
    if common.check_config {
        return show(&config);
    }
    let process = Process::start(config.ops_listen, config.drain_seconds_max).await?;
    println!("farm `{}` drives {} links, health and metrics on {}", config.name, config.links_count(), process.ops);
    let papers = [&config.certificate_file, &config.ca_file].map(Clone::clone);
    runtime::expiry::register(&process.registry, papers.into_iter().filter(|file| file.exists()).collect());
    // No router is in this process.
    let (_, local) = tokio::sync::mpsc::channel(1);
    process.health.not_ready(ROUTERS, "attached to none");
    process.started();
    let deps = modem_farm::Deps { registry: process.registry.clone(), health: process.health.clone(), local };
    let stop = process.stop.phase();
    let serving = modem_farm::run(config, deps, stop.clone());
    process.until_stopped(stop, serving).await
}

/// Opens the engines and the master key, which must be the installation's, and logs what the doctor finds.
pub(crate) async fn open(
    config: &Config,
    common: &Common,
    member: &Member,
    process: &Process,
) -> anyhow::Result<(Engines, MasterKey)> {
    if !engines::on_servers(config) {
        engines::make_private(&common.data)?;
    }
    let absent = if engines::on_servers(config) { Absent::Refuse } else { Absent::Make };
    let master = secrets::master_key(config, &common.data, absent)?;
    let engines = Engines::open(config, &common.data, member, &process.patience(config)).await?;
    engines.watch(process);
    let path = secrets::path(config, &common.data);
    let check = async || secrets::check(&master, &engines.store, &path).await;
    runtime::again::until_it_works(&process.stop, "check the master key", KeyRefused::helps, check).await?;
    doctor::log_at_start(&engines).await;
    Ok((engines, master))
}

/// `--check-config`: they loaded, so they hold; shows what they came to.
pub(crate) fn show<T: Serialize>(config: &T) -> anyhow::Result<ExitCode> {
    print!("{}", runtime::config::show(config)?);
    Ok(ExitCode::SUCCESS)
}
