//! A keyspace of a test's own. Knows the environment, not what is tested.

use std::time::Duration;

use store::cql::{CqlStore, Faults, Options};

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
        store.drop_keyspace().await.expect("it is ours to drop");
    }
}
