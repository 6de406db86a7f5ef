//! `carillon migrate`: makes or changes tables and lanes ahead of the roles, and ends. Knows the engines, runs no role.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::engines::{self, Engines, Patience};
use crate::single;

/// Makes the tables and lanes that are missing on the configured servers, or changes them for this version, and ends.
///
/// Every role does the same at its start; done before an upgrade, a change that cannot be made is heard of while the old
/// processes still run. Under a lock with a time to live, so it may run beside other processes, and again.
#[derive(Args, Debug)]
pub(crate) struct Migrate {}

impl Migrate {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let config = Config::load(common, Door::None)?;
        if common.check_config {
            return single::show(&config);
        }
        anyhow::ensure!(
            engines::on_servers(&config),
            "`carillon migrate` is for engines on servers; embedded engines are made by `carillon` itself"
        );
        let member = config.member("migrate");
        // Each table takes the nodes up to a second, and a loaded cluster longer.
        let patience = Patience::for_work(Duration::from_secs(config.start_seconds_max));
        let engines = Engines::open(&config, &common.data, &member, &patience).await?;
        engines.close().await;
        println!("tables and lanes are those of carillon {}", env!("CARGO_PKG_VERSION"));
        Ok(ExitCode::SUCCESS)
    }
}
