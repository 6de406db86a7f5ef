//! `carillon demo`: begins an installation on servers, and runs the simulated network for farms elsewhere. Knows the demo and
//! the engines, runs no role.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use bus::Bus;
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::demo::{self, Addresses, Demo, Fresh, report};
use crate::engines::{self, Absent, Engines};
use crate::process::Process;
use crate::secrets;
use crate::single;

/// Makes the demo's tenant, suppliers, routes, prices and farm in the configured engines, if they have no tenant, and runs
/// its simulated modems until a signal comes.
pub(crate) async fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let config = Config::load(common, Door::None)?;
    if common.check_config {
        return single::show(&config);
    }
    anyhow::ensure!(
        engines::on_servers(&config),
        "`carillon demo` is for engines on servers; with embedded engines `carillon` alone makes the demo and runs it"
    );
    let data = &common.data;
    engines::make_private(data)?;
    let ops = common.ops_listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let process = Process::start(ops, config.drain_seconds_max).await?;
    let (demo, fresh) = seed(&config, data, &process).await?;
    let modems = demo::modems(&config.demo);
    let stop = CancellationToken::new();
    let network = demo::start_network(&config.demo, data, &demo, modems.clone(), stop.clone()).await?;
    let network = Arc::new(network);
    drop(tokio::spawn(demo::phones::follow(Arc::clone(&network), data.join("sim"), stop.clone())));
    let demo = demo.at(&addresses(&config, process.ops), &modems);
    demo.write(data)?;
    process.started();
    report::seeded(&demo, fresh, data);
    process.stop.begun().await;
    process.health.stopping();
    stop.cancel();
    network.stopped().await;
    process.end(&[]).await
}

async fn seed(config: &Config, data: &Path, process: &Process) -> anyhow::Result<(Demo, Fresh)> {
    let master = secrets::master_key(config, data, Absent::Make)?;
    let engines = Engines::open(config, data, &config.member("demo"), &process.patience(config)).await?;
    secrets::check(&master, &engines.store, &secrets::path(config, data)).await?;
    let prepared = demo::prepare(&engines.store, &master, data, &config.demo).await?;
    engines.bus.close().await;
    prepared.with_context(|| {
        format!(
            "`{}` has tenants already, and `{}` is not its demo",
            config.state.url,
            data.join("demo.json").display()
        )
    })
}

/// Where the settings say that the roles are: this process runs none of them.
fn addresses(config: &Config, ops: SocketAddr) -> Addresses {
    Addresses {
        public: config.gateway.listen,
        ops,
        control: config.sms_router.control.listen,
        tls: !config.gateway.tls_certificate_file.as_os_str().is_empty(),
    }
}
