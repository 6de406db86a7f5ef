//! Start-up: what is not there is made, once, whoever is first; what can't be used is refused in words.

use std::time::Duration;

use store::Store;
use store::cql::{CqlStore, Options};

use super::keyspace::Keyspace;
use super::words::refused;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_at_once_make_one_schema() {
    let keyspace = Keyspace::new("start");
    let starts: Vec<_> = (0..3).map(|_| tokio::spawn(CqlStore::open(keyspace.options()))).collect();
    for start in starts {
        let store = start.await.unwrap().unwrap();
        assert_eq!(store.parties_version().await.unwrap(), 0);
    }
    let again = keyspace.open().await; // with nothing to do
    assert_eq!(again.ledger(None).await.unwrap(), store::Ledger::default());
    keyspace.drop(&again).await;
}

#[tokio::test]
async fn a_schema_of_a_later_build_is_refused_unless_it_says_it_may_be_used() {
    let keyspace = Keyspace::new("newer");
    let store = keyspace.open().await;
    store.note_migration(99, "wider", true).await.unwrap();
    keyspace.open().await;
    store.note_migration(100, "other", false).await.unwrap();
    let said = refused(keyspace.options()).await;
    for word in ["100", "other", "newer build"] {
        assert!(said.contains(word), "{said}");
    }
    keyspace.drop(&store).await;
}

#[tokio::test]
async fn a_keyspace_that_may_not_be_made_is_asked_for() {
    let keyspace = Keyspace::new("absent");
    let said = refused(Options { create_keyspace: false, ..keyspace.options() }).await;
    let statement = format!("CREATE KEYSPACE IF NOT EXISTS {}", keyspace.options().keyspace);
    assert!(said.contains("create_keyspace") && said.contains(&statement), "{said}");
}

#[tokio::test]
async fn who_only_looks_changes_nothing() {
    let keyspace = Keyspace::new("looked_at");
    let looking = || Options { change_schema: false, ..keyspace.options() };
    for _ in 0..2 {
        let said = refused(looking()).await;
        assert!(said.contains(&keyspace.options().keyspace) && said.contains("start a role"), "{said}");
    }
    let store = keyspace.open().await;
    CqlStore::open(looking()).await.unwrap();
    keyspace.drop(&store).await;
}

#[tokio::test]
async fn nobody_there_is_said_with_address_and_setting() {
    // A port that was free a moment ago: nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = Options {
        contact_points: vec![free.to_string()],
        startup_deadline: Duration::from_secs(2),
        ..Keyspace::new("nobody").options()
    };
    let begun = std::time::Instant::now();
    let said = refused(options).await;
    assert!(said.contains(&free.to_string()) && said.contains("contact_points"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20), "the deadline holds");
}
