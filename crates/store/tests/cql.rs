//! The engine on a CQL cluster: the common suite, and what only it can be asked. Needs a real node: `cargo xtask engines up`
//! starts one and says what to export.

use std::time::Duration;

use store::conformance::conformance;
use store::cql::{CqlStore, Options};

/// Settings for a keyspace of this test's own.
fn options(name: &str) -> Options {
    let address = std::env::var("CARILLON_CQL")
        .expect("CARILLON_CQL names a CQL node (`host:port`); start one with `cargo xtask engines up`");
    let keyspace = format!("t_{name}_{:08x}", uuid::Uuid::new_v4().as_u128() as u32);
    Options {
        contact_points: address.split(',').map(str::to_owned).collect(),
        keyspace,
        startup_deadline: Duration::from_secs(60),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let options = options("suite");
    conformance(async || CqlStore::open(options.clone()).await.unwrap()).await;
    CqlStore::open(options).await.unwrap().drop_keyspace().await.unwrap();
}
