//! All roles in one process on embedded engines: opened in order, stopped in order. Knows who needs whom.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use model::{FarmName, Timestamp};
use runtime::Stop;
use sim::ModemConfig;
use store::{AnyStore, Store};

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::demo::{self, Demo, Fresh, report};
use crate::process::Process;
use crate::roles::{Roles, Sockets};
use crate::{backup, doctor, issue, operator, single};

/// How often farms issued meanwhile are looked for.
const ISSUED_POLL: Duration = Duration::from_secs(1);

/// Runs everything until a signal comes.
pub(crate) async fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(common, Door::Public)?;
    if common.check_config {
        return single::show(&config);
    }
    let data = &common.data;
    take_restored(&mut config, data)?;
    let process = Process::start(config.ops_listen, config.drain_seconds_max).await?;
    runtime::expiry::register(&process.registry, doctor::machine::files(&config, data));
    let (engines, master) = single::open(&config, common, &config.member("carillon"), &process).await?;
    let demo = match config.demo.enabled {
        true => demo::prepare(&engines.store, &master, data, &config.demo).await?,
        false => None,
    };
    let mut roles = Roles::new(&process.stop);
    let modems = start_network(&config, data, demo.as_ref(), &mut roles).await?;
    prepare_farm(&mut config, data, &modems)?;
    prepare_control(&mut config, data)?;

    let doors = single::doors(&config).await?;
    let control = sms_router::listen(&config.sms_router.control, &roles.control).await?;
    let addresses = demo::Addresses {
        public: doors.public.local_addr()?,
        ops: process.ops,
        control: control.as_ref().map_or(config.sms_router.control.listen, control::Server::address),
        tls: !config.gateway.tls_certificate_file.as_os_str().is_empty(),
    };

    drop(process.stop.spawn("issued farms", watch_issued(engines.store.clone(), data.clone(), process.stop.clone())));
    let desk = operator::serve(engines.clone(), config.clone(), data.clone(), process.stop.clone());
    drop(process.stop.spawn("operator", desk));
    process.health.not_ready(single::ROUTER, "starting");
    process.health.not_ready(single::GATEWAY, "starting");
    roles.start(config, &engines, &process, &master, Sockets { doors, control });
    process.started();
    match demo {
        Some((demo, fresh)) => tell(demo.at(&addresses, &modems), fresh, data)?,
        None => println!("carillon is up: doors on {}, health on {}", addresses.public, addresses.ops),
    }
    let failure = roles.until_stopped_or_failed(&process.stop).await;
    process.health.stopping();
    tracing::info!("stopping: nothing new is taken, what is in hand is finished");
    let drained = roles.stop().await;
    engines.close().await;
    match failure {
        Some(failure) => Err(failure),
        None => process.end(&drained).await,
    }
}

/// Has the router treat what was waiting in a copy as what it may be, unless the settings say since when themselves.
fn take_restored(config: &mut Config, data: &Path) -> anyhow::Result<()> {
    let doubts = backup::restore::Restored::read(data)?.and_then(|restored| restored.doubts());
    if let Some(restored_at) = doubts.filter(|_| config.sms_router.restored_at == Timestamp(0)) {
        tracing::warn!(%restored_at, "the lanes are a copy: what was waiting in it ends as uncertain");
        config.sms_router.restored_at = restored_at;
    }
    Ok(())
}

/// Starts the simulated network, if this installation has a demo.
async fn start_network(
    config: &Config,
    data: &Path,
    demo: Option<&(Demo, Fresh)>,
    roles: &mut Roles,
) -> anyhow::Result<Vec<ModemConfig>> {
    let Some((demo, _)) = demo else { return Ok(Vec::new()) };
    let modems = demo::modems(&config.demo);
    let network = demo::start_network(&config.demo, data, demo, modems.clone(), roles.network_stop.clone()).await?;
    let network = Arc::new(network);
    let phones = demo::phones::follow(Arc::clone(&network), data.join("sim"), roles.network_stop.clone());
    drop(tokio::spawn(phones));
    roles.network = Some(network);
    Ok(modems)
}

/// Gives the farm inside its journal and the simulated modems.
fn prepare_farm(config: &mut Config, data: &Path, modems: &[ModemConfig]) -> anyhow::Result<()> {
    let farm = &mut config.modem_farm;
    if *farm == modem_farm::Config::default() {
        farm.name = FarmName::new(demo::FARM)?;
    }
    if farm.journal_dir == modem_farm::Config::default().journal_dir {
        farm.journal_dir = data.join("farm");
    }
    if config.demo.drive_modems && !modems.is_empty() {
        let names: Vec<String> = modems.iter().map(|modem| modem.link.clone()).collect();
        let links = demo::links(data, &names)?;
        farm.links.extend(links.into_iter().filter(|link| !demo::is_outside(&link.name)));
        farm.port_opens_per_second_max = demo::PORT_OPENS_PER_SECOND_MAX;
    }
    Ok(())
}

/// Lets farms attach over the network with certificates of the installation's own authority, unless others are set.
fn prepare_control(config: &mut Config, data: &Path) -> anyhow::Result<()> {
    let control = &mut config.sms_router.control;
    control.enabled = true;
    if control.certificate_file.as_os_str().is_empty() {
        let (files, ca) = issue::router_certificate(data)?;
        (control.certificate_file, control.key_file, control.farm_ca_file) = (files.certificate, files.key, ca);
    }
    Ok(())
}

fn tell(demo: Demo, fresh: Fresh, data: &Path) -> anyhow::Result<()> {
    demo.write(data)?;
    report::started(&demo, fresh, data);
    Ok(())
}

/// Brings farms that were issued under the data directory into the farm table, so that issuing needs no restart.
async fn watch_issued(store: AnyStore, data: std::path::PathBuf, stop: Stop) {
    let mut ticks = tokio::time::interval(ISSUED_POLL);
    loop {
        tokio::select! {
            () = stop.begun() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = adopt_issued(&store, &data).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "issued farms can't be written to the store");
        }
    }
}

async fn adopt_issued(store: &AnyStore, data: &Path) -> Result<(), store::StoreError> {
    let issued = issue::issued(data);
    if issued.is_empty() {
        return Ok(());
    }
    let known = store.parties().await?.farms;
    for farm in issued.into_iter().filter(|farm| !known.contains(farm)) {
        tracing::info!(farm = %farm.name, "a farm was issued and may attach");
        store.put_farm(farm).await?;
    }
    Ok(())
}
