//! A keyspace of a test's own. Knows the environment, not what is tested.

use std::time::{Duration, Instant};

use store::StoreError;
use store::cql::{CqlStore, Faults, Options};

/// How long a node may be too busy to answer.
const BUSY_MAX: Duration = Duration::from_secs(120);

/// Does it until a node that is busy, or away for a moment, takes it: as callers of the store do.
pub(crate) async fn until_taken<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let begun = Instant::now();
    loop {
        match work().await {
            Ok(taken) => return taken,
            Err(error) => assert!(begun.elapsed() < BUSY_MAX, "it is never taken: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A keyspace nobody else uses.
pub(crate) struct Keyspace {
    options: Options,
}

impl Keyspace {
    /// One whose name has `name` in it.
    pub(crate) fn new(name: &str) -> Self {
        let address = std::env::var("CARILLON_CQL")
            .expect("CARILLON_CQL names a CQL node (`host:port`); start one with `cargo xtask engines up`");
        Keyspace::at(name, address.split(',').map(str::to_owned).collect())
    }

    /// One on the nodes given.
    pub(crate) fn at(name: &str, contact_points: Vec<String>) -> Self {
        let keyspace = format!("t_{name}_{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let startup_deadline = Duration::from_secs(120);
        Keyspace { options: Options { contact_points, keyspace, startup_deadline, ..Options::default() } }
    }

    /// How to reach it.
    pub(crate) fn options(&self) -> Options {
        self.options.clone()
    }

    /// Opens it.
    pub(crate) async fn open(&self) -> CqlStore {
        CqlStore::open(self.options()).await.expect("the node takes a keyspace")
    }

    /// Opens it over a wire that can be cut.
    pub(crate) async fn open_over(&self, faults: &Faults) -> CqlStore {
        CqlStore::open_with(self.options(), faults.clone()).await.expect("the node takes a keyspace")
    }

    /// Takes it away.
    pub(crate) async fn drop(self, store: &CqlStore) {
        until_taken(async || store.drop_keyspace().await).await;
    }
}
