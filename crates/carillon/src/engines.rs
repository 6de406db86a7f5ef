//! The engines of lanes and state: embedded in this process, or on servers. Knows which the settings name, and no role.

pub(crate) mod address;
mod findings;
mod patience;
mod servers;
pub(crate) mod settings;
mod watch;

use std::path::Path;

use anyhow::Context;
use bus::{AnyBus, EmbeddedBus};
use embedded::Database;
use store::{AnyStore, EmbeddedStore};

use crate::config::Config;
use crate::process::Process;
use address::{LanesUrl, StateUrl};

pub(crate) use patience::Patience;
pub(crate) use servers::Member;

/// The file of embedded engines, in the data directory.
pub(crate) const DATABASE: &str = "carillon.db";

/// What to do with what is not there yet: keys, tables, lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Make it.
    Make,
    /// Refuse, with words: this process must not begin an installation, or only looks at one.
    Refuse,
}

/// The opened engines.
#[derive(Clone)]
pub(crate) struct Engines {
    pub(crate) bus: AnyBus,
    pub(crate) store: AnyStore,
    /// The file of embedded engines.
    database: Option<Database>,
}

impl Engines {
    /// Opens, or makes, what the settings name. Servers that do not answer are asked again as long as the patience lasts.
    /// Embedded engines serve one process at a time: a second one is refused.
    pub(crate) async fn open(
        config: &Config,
        data: &Path,
        member: &Member,
        patience: &Patience,
    ) -> anyhow::Result<Self> {
        if config.lanes.url == LanesUrl::Embedded {
            make_private(data)?;
            return Self::open_embedded(data).await;
        }
        let store = servers::open_store(config, patience, Absent::Make).await?;
        let bus = servers::open_bus(config, member, patience).await?;
        servers::prepare(config, &bus, patience).await?;
        Ok(Engines { bus, store, database: None })
    }

    /// Opens what is there, for a command that looks: makes no directory, no file, no table and no lane.
    pub(crate) async fn find(
        config: &Config,
        data: &Path,
        member: &Member,
        patience: &Patience,
    ) -> anyhow::Result<Self> {
        if config.lanes.url == LanesUrl::Embedded {
            let path = data.join(DATABASE);
            anyhow::ensure!(
                path.exists(),
                "there is no installation in `{}`: start one by `carillon`, or give its directory by --data",
                data.display()
            );
            return Self::open_embedded(data).await;
        }
        let store = servers::open_store(config, patience, Absent::Refuse).await?;
        let bus = servers::open_bus(config, member, patience).await?;
        Ok(Engines { bus, store, database: None })
    }

    /// Lets the process's readiness follow the servers'.
    pub(crate) fn watch(&self, process: &Process) {
        if self.database.is_none() {
            watch::start(self, process);
        }
    }

    async fn open_embedded(data: &Path) -> anyhow::Result<Self> {
        let database = Database::open(&data.join(DATABASE), &embedded::Options::default())
            .context("cannot open the embedded engines; a data directory serves one process at a time")?;
        let bus =
            EmbeddedBus::open(database.clone(), bus::Options::default()).await.context("cannot open the lanes")?;
        let store = EmbeddedStore::open(database.clone()).await.context("cannot open the state")?;
        Ok(Engines { bus: AnyBus::Embedded(bus), store: AnyStore::Embedded(store), database: Some(database) })
    }

    /// The file of embedded engines.
    ///
    /// # Errors
    /// The engines are on servers.
    pub(crate) fn database(&self) -> anyhow::Result<&Database> {
        self.database.as_ref().context("the engines are on servers")
    }

    /// Commits what waits and lets go of files or servers.
    pub(crate) async fn close(&self) {
        bus::Bus::close(&self.bus).await;
        if let Some(database) = &self.database {
            database.close().await;
        }
    }
}

/// Opens the state alone, for a command that runs beside the roles. Only for state on servers: what is embedded belongs to
/// the process that has it.
pub(crate) async fn open_store(config: &Config, patience: &Patience) -> anyhow::Result<AnyStore> {
    servers::open_store(config, patience, Absent::Make).await
}

/// Whether the settings name servers, so that many processes may work on the same lanes and state.
pub(crate) fn on_servers(config: &Config) -> bool {
    config.state.url != StateUrl::Embedded
}

/// Makes the data directory, for its owner only: what is in it is worth stealing.
pub(crate) fn make_private(data: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.with_context(|| format!("cannot make data directory `{}`", data.display()))
}
