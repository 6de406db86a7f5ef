//! A real set through what fault tests do to it: three brokers and no CQL node, from nothing to nothing.
//!
//! Knows only the public API.

use std::time::{Duration, Instant};

use engines::probe::kafka::{NewTopic, create_topic};
use engines::{Engines, EnginesError, Health, Node, Options, Parts, Quiet, Temporary};

const SOON: Duration = Duration::from_secs(120);

#[test]
fn a_set_is_mended_after_whatever_happens_to_a_broker() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = Options { parts: Parts::Kafka, ..Options::default() };
    assert!(Engines::open(folder.path()).unwrap().is_none());
    let set = Temporary::up(folder.path(), &options).unwrap_or_else(|error| panic!("{error}"));
    let topic = NewTopic { name: "busy", partitions: 3, replication: 3 };
    create_topic(set.kafka[0].address(), &topic).unwrap();

    // Killed, it is down for every handle, and another leads.
    let victim = set.wait_leader("busy", 0, SOON).unwrap().clone();
    set.wait_in_sync(SOON).unwrap();
    victim.kill().unwrap();
    let other = Engines::open(folder.path()).unwrap().unwrap();
    assert_eq!(other.report().nodes.iter().filter(|node| node.state == "down").count(), 1);
    until("another leads", || leader(&set).is_some_and(|node| node.name() != victim.name()));
    assert!(matches!(set.wait_ready(SOON), Err(EnginesError::Died { .. })));

    // Started, it has its data and is believed only when it is a member again.
    victim.start().unwrap();
    victim.wait_ready(SOON).unwrap();
    set.wait_in_sync(SOON).unwrap();

    // Paused, it is known to be, and `up` lets it go on without touching the others.
    let pids: Vec<Option<i32>> = set.kafka.iter().map(Node::pid).collect();
    set.kafka[1].pause().unwrap();
    until("it stands", || set.kafka[1].health() == Health::Paused);
    Engines::up(folder.path(), &options, &Quiet).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(set.kafka.iter().map(Node::pid).collect::<Vec<_>>(), pids);

    // Down is down, for all at once.
    let began = Instant::now();
    set.down(&Quiet).unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "brokers waited for each other: {:?}", began.elapsed());
    assert!(set.nodes().all(|node| !node.is_running()));
    assert!(matches!(set.kafka[0].pause(), Err(EnginesError::NotRunning { .. })));
}

fn leader(set: &Engines) -> Option<&Node> {
    set.leader("busy", 0).ok().flatten()
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "not so after {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
