//! The engine on a CQL cluster: the common suite, and what only it can be asked. Needs a real node: `cargo xtask engines up`
//! starts one and says what to export.

#[path = "cql/cost.rs"]
mod cost;
#[path = "cql/crash.rs"]
mod crash;
#[path = "cql/fence.rs"]
mod fence;
#[path = "cql/keyspace.rs"]
mod keyspace;
#[path = "cql/node.rs"]
mod node;
#[path = "cql/schema.rs"]
mod schema;
#[path = "cql/words.rs"]
mod words;

use keyspace::Keyspace;
use store::conformance::conformance;
use store::cql::{CqlStore, Severity};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let keyspace = Keyspace::new("suite");
    conformance(async || CqlStore::open(keyspace.options()).await.unwrap()).await;
    let store = keyspace.open().await;
    keyspace.drop(&store).await;
}

#[tokio::test]
async fn the_check_tells_what_one_node_cannot_promise() {
    let keyspace = Keyspace::new("check");
    let store = keyspace.open().await;
    let findings = store.check().await.unwrap();
    let said = |severity, words: &str| {
        assert!(
            findings.iter().any(|finding| finding.severity == severity && finding.text.contains(words)),
            "{words}: {findings:?}"
        );
    };
    said(Severity::Note, "the state is on");
    said(Severity::Warning, "keeps 1 copy of each row");
    keyspace.drop(&store).await;
}
