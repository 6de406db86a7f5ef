//! The engines of one machine: lanes and state in one file, with one writer and one sync. Knows no role.

use std::path::Path;

use anyhow::Context;
use bus::{AnyBus, EmbeddedBus};
use embedded::{Database, Options};
use store::{AnyStore, EmbeddedStore};

/// The opened engines.
#[derive(Clone)]
pub(crate) struct Engines {
    pub(crate) bus: AnyBus,
    pub(crate) store: AnyStore,
    database: Database,
}

impl Engines {
    /// Opens, or makes, the engines under `data`. One process at a time: a second one is refused.
    pub(crate) async fn open(data: &Path) -> anyhow::Result<Self> {
        make_private(data)?;
        let path = data.join("carillon.db");
        let database = Database::open(&path, &Options::default())
            .context("cannot open the embedded engines; a data directory serves one process at a time")?;
        let bus =
            EmbeddedBus::open(database.clone(), bus::Options::default()).await.context("cannot open the lanes")?;
        let store = EmbeddedStore::open(database.clone()).await.context("cannot open the state")?;
        Ok(Engines { bus: AnyBus::Embedded(bus), store: AnyStore::Embedded(store), database })
    }

    /// Commits what waits and closes the file.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }
}

/// Makes the data directory, for its owner only: what is in it is worth stealing.
fn make_private(data: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.with_context(|| format!("cannot make data directory `{}`", data.display()))
}
