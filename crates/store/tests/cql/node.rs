//! A node of the test's own: killed and started again under an open store, and locked by TLS and passwords.

use std::path::Path;
use std::time::{Duration, Instant};

use engines::{Credentials, EnginesError, Node, Parts, Temporary};
use model::State;
use store::Store;
use store::conformance::{Story, ended, leased, routed};
use store::cql::{CqlStore, Identity, Login, Options, Severity, Tls};

use super::keyspace::{Keyspace, until_taken};
use super::words::refused;

const READY_MAX: Duration = Duration::from_secs(240);
const FREE_MAX: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_may_die_under_an_open_store_and_its_doors_may_be_locked() {
    let options = engines::Options { parts: Parts::Cql, brokers: 1, ..engines::Options::default() };
    let set = Temporary::up(&engines::home().join("store-test"), &options).unwrap_or_else(|error| panic!("{error}"));
    let keyspace = Keyspace::at("node", vec![set.cql.address().to_string()]);
    let options = Options { request_timeout: Duration::from_secs(5), ..keyspace.options() };
    a_store_outlives_its_node(&set.cql, &options).await;
    lock(&set.cql);
    locked_doors_open_to_who_may(&options, &set.credentials()).await;
}

/// Acknowledged is kept, unanswered is repeated, and nothing has to be restarted.
async fn a_store_outlives_its_node(node: &Node, options: &Options) {
    let store = CqlStore::open(options.clone()).await.unwrap();
    let mut story = Story::new("restart", 0);
    let (a, b) = (story.delivery("a", 0), story.delivery("b", 0));
    let stretches = [
        story.accept(&[(a, "x"), (b, "x")]),
        story.tell(&[(a, 0, routed(1)), (a, 1, leased()), (b, 0, routed(1))]),
        story.tell(&[(a, 1, ended(State::Sent)), (b, 0, ended(State::Rejected))]),
    ];
    store.project(stretches[0].clone()).await.unwrap();
    node.kill().unwrap();
    let begun = Instant::now();
    assert!(store.project(stretches[1].clone()).await.is_err() && store.ledger(None).await.is_err());
    assert!(begun.elapsed() < 3 * options.request_timeout, "a caller is told in time: {:?}", begun.elapsed());
    start(node);
    for stretch in &stretches[1..] {
        until_taken(async || store.project(stretch.clone()).await).await;
    }
    let ledger = store.ledger(Some(story.tenant())).await.unwrap();
    assert_eq!((ledger.accepted, ledger.finals.values().sum::<u64>(), ledger.difference), (2, 2, 0));
    assert!(store.message(story.tenant(), a.message).await.unwrap().is_some());
}

/// Starts the node again with logins and with TLS that asks for certificates.
fn lock(node: &Node) {
    node.stop().unwrap();
    let path = node.directory().join("cassandra.yaml");
    let open = std::fs::read_to_string(&path).unwrap();
    let locked = open
        .replace("require_client_auth: false", "require_client_auth: true")
        .replace("commitlog_sync: group", "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms")
        .replace("commitlog_sync_group_window: 10ms", "");
    assert_ne!(open, locked);
    let logins =
        "authenticator: PasswordAuthenticator\nauthorizer: CassandraAuthorizer\nrole_manager: CassandraRoleManager\n";
    std::fs::write(&path, format!("{locked}\n{logins}")).unwrap();
    start(node);
}

/// Starts a node that just ended: its ports may be held a moment longer than its process is seen.
fn start(node: &Node) {
    let begun = Instant::now();
    while let Err(error) = node.start() {
        assert!(matches!(error, EnginesError::PortTaken { .. }) && begun.elapsed() < FREE_MAX, "{error}");
        std::thread::sleep(Duration::from_millis(100));
    }
    node.wait_ready(READY_MAX).unwrap_or_else(|error| panic!("{error}"));
}

async fn locked_doors_open_to_who_may(options: &Options, credentials: &Credentials) {
    let login = |user: &str, password: &str| Some(Login { user: user.into(), password: password.into() });
    let tls = |ca: &Path| Tls {
        ca: ca.to_owned(),
        identity: Some(Identity { certificate: credentials.client_certificate(), key: credentials.client_key() }),
    };
    let options = Options { tls: Some(tls(&credentials.authority())), ..options.clone() };
    let soon = |options: Options| Options { startup_deadline: Duration::from_secs(4), ..options };
    // The first role comes to be some seconds after the start: until then its login is refused, and tried again.
    let store = CqlStore::open(Options { login: login("cassandra", "cassandra"), ..options.clone() }).await.unwrap();
    assert_eq!(store.ledger(None).await.unwrap().accepted, 2, "what was acknowledged is there");
    let findings = store.check().await.unwrap();
    let warned =
        findings.iter().any(|f| f.severity == Severity::Warning && f.text.contains("`commitlog_sync` is `periodic`"));
    assert!(warned, "{findings:?}");

    let said = refused(soon(Options { login: login("cassandra", "wrong"), ..options.clone() })).await;
    assert!(said.contains("`password`") && !said.contains("wrong"), "{said}");
    let said = refused(soon(Options { login: None, ..options.clone() })).await;
    assert!(said.contains("`user`"), "{said}");
    let stranger = credentials.client_certificate();
    let said =
        refused(soon(Options { tls: Some(tls(&stranger)), login: login("cassandra", "cassandra"), ..options.clone() }))
            .await;
    assert!(said.contains("`tls.ca`"), "{said}");
    let nowhere = Path::new("nowhere.pem");
    let said = refused(soon(Options { tls: Some(tls(nowhere)), ..options.clone() })).await;
    assert!(said.contains("`tls.ca`") && said.contains("nowhere.pem"), "{said}");

    store.make_login("guest", "guest").await.unwrap();
    let elsewhere = Options { keyspace: format!("{}_2", options.keyspace), ..options };
    let said = refused(soon(Options { login: login("guest", "guest"), ..elsewhere })).await;
    assert!(said.contains("CREATE KEYSPACE") && said.contains("ermission"), "{said}");
}
