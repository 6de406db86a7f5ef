//! Several processes in one group: who has what, and that nobody commits for what another has.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bus::kafka::{GroupProtocol, Options};
use bus::{Acks, Bus, BusError, Change, Consumed, Entry, Group, KafkaBus, Membership, Share};
use model::Lane;

use super::support::Cluster;

const PATIENCE: Duration = Duration::from_secs(60);
const CHILD: &str = "BUS_MEMBER_TEST_CHILD";
const LANE: Lane = Lane::Accepted;

/// What a member has, kept up to date.
struct Seat {
    membership: Membership,
    has: BTreeSet<Share>,
}

impl Seat {
    async fn take(bus: &KafkaBus) -> Self {
        Seat { membership: bus.join(Group::PLANNER, vec![LANE]).await.unwrap(), has: BTreeSet::new() }
    }

    async fn change(&mut self) {
        match self.membership.next().await.expect("the bus is open") {
            Change::Given(shares) => self.has.extend(shares),
            Change::Taken(shares, _released) => self.has.retain(|share| !shares.contains(share)),
        }
    }
}

async fn until(one: &mut Seat, other: &mut Seat, wanted: [usize; 2]) {
    let turn = async {
        while [one.has.len(), other.has.len()] != wanted {
            tokio::select! {
                () = one.change() => {}
                () = other.change() => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, turn).await.expect("they share");
    assert!(one.has.is_disjoint(&other.has));
}

fn done(partition: u32, up_to: i64) -> Vec<Consumed> {
    vec![Consumed { group: Group::PLANNER, lane: LANE, partition, acks: Acks::UpTo(up_to) }]
}

async fn shares_go_over(protocol: GroupProtocol) {
    let cluster = Cluster::new();
    let options = |name| Options { group_protocol: protocol, ..cluster.options(name) };
    let (one, other) = (cluster.open(options("one")).await, cluster.open(options("other")).await);
    one.create(&LANE).await.unwrap();
    let ends: Vec<i64> = {
        let batch = (0..4).map(|partition| Entry::to_partition(partition, "x")).collect();
        one.append(&LANE, batch).await.unwrap().iter().map(|position| position.offset + 1).collect()
    };
    let mut first = Seat::take(&one).await;
    let all = async {
        while first.has.len() < 4 {
            first.change().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("alone it has all");
    one.commit(done(3, ends[3]), vec![]).await.unwrap();
    let mut second = Seat::take(&other).await;
    until(&mut first, &mut second, [2, 2]).await;

    // Each commits for what it has, and for nothing else.
    let to = |n: u32| vec![(Lane::Events, Entry::new(format!("{n}"), format!("{n}")))];
    // Each prepares its lanes, as processes do: brokers tell each other of a new topic by and by.
    for bus in [&one, &other] {
        bus.create(&Lane::Events).await.unwrap();
    }
    for partition in 0..4 {
        let has = first.has.iter().any(|share| share.partition == partition);
        let (owner, stranger) = if has { (&one, &other) } else { (&other, &one) };
        let refused = stranger.commit(done(partition, ends[partition as usize]), to(partition)).await;
        assert!(matches!(refused, Err(BusError::NotOwner { .. })), "{refused:?}");
        owner.commit(done(partition, ends[partition as usize]), to(partition)).await.unwrap();
        assert_eq!(stranger.watermark(Group::PLANNER, &LANE, partition).await.unwrap(), ends[partition as usize]);
    }
    let mut events = 0;
    for partition in 0..4 {
        events += one.lag(Group::PROJECTION, &Lane::Events, partition).await.unwrap();
    }
    assert_eq!(events, 4, "what was refused appended nothing");

    // Who leaves is followed at once: a session would take longer.
    let Seat { membership, .. } = second;
    let began = std::time::Instant::now();
    membership.leave().await;
    let all = async {
        while first.has.len() < 4 {
            first.change().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("it takes over");
    println!("{protocol:?}: taken over {:?} after the other began to leave", began.elapsed());
    one.close().await;
    other.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_go_over_from_member_to_member() {
    shares_go_over(GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_go_over_by_the_classic_protocol() {
    shares_go_over(GroupProtocol::Classic).await;
}

/// The child: joins, says what it has, and when it hears a line, commits for it.
#[test]
fn child() {
    let Some(prefix) = std::env::var(CHILD).ok() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut cluster = Cluster::new();
        cluster.prefix = prefix;
        let bus = cluster.open(cluster.options("child")).await;
        let mut seat = Seat::take(&bus).await;
        while seat.has.len() < 4 {
            seat.change().await;
        }
        println!("\nhas all");
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
        // It takes no change up first: it believes what it believed.
        let next = bus.bounds(&LANE, 0).await.unwrap().next;
        let told = bus.commit(done(0, next), vec![(Lane::Events, Entry::new("stale", "stale"))]).await;
        println!("\ntold {}", if matches!(told, Err(BusError::NotOwner { .. })) { "not owner" } else { "otherwise" });
        std::process::exit(0); // as it is: nothing is closed
    });
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(cluster: &Cluster) -> (Stopped, impl Iterator<Item = String>) {
    let spawned = Command::new(std::env::current_exe().unwrap())
        .args(["members::child", "--exact", "--nocapture"])
        .env(CHILD, &cluster.prefix)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Stopped(spawned.unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

fn signal(child: &Child, signal: &str) {
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_slept_past_its_session_commits_nothing() {
    let cluster = Cluster::new();
    let bus = cluster.open(cluster.options("waker")).await;
    for lane in [&LANE, &Lane::Events] {
        bus.create(lane).await.unwrap();
    }
    let ends = bus.append(&LANE, (0..2).map(|n| Entry::to_partition(0, format!("{n}"))).collect()).await.unwrap();
    let (mut child, mut lines) = start(&cluster);
    assert!(lines.any(|line| line == "has all"));
    signal(&child.0, "-STOP");
    // Its session ends, and all it had is somebody else's.
    let mut seat = Seat::take(&bus).await;
    let all = async {
        while seat.has.len() < 4 {
            seat.change().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("a session ends");
    bus.commit(done(0, ends[0].offset + 1), vec![]).await.unwrap();
    signal(&child.0, "-CONT");
    writeln!(child.0.stdin.as_mut().unwrap(), "go").unwrap();
    let told = lines.find(|line| line.starts_with("told ")).unwrap();
    assert_eq!(told, "told not owner");
    assert_eq!(bus.watermark(Group::PLANNER, &LANE, 0).await.unwrap(), ends[0].offset + 1, "it moved nothing");
    for partition in 0..4 {
        let bounds = bus.bounds(&Lane::Events, partition).await.unwrap();
        assert_eq!(
            bus.lag(Group::OWNER, &Lane::Events, partition).await.unwrap(),
            0,
            "it appended nothing: {bounds:?}"
        );
    }
    bus.close().await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_killed_comes_back_under_its_name() {
    let cluster = Cluster::new();
    let bus = cluster.open(cluster.options("helper")).await;
    bus.create(&LANE).await.unwrap();
    let (child, mut lines) = start(&cluster);
    assert!(lines.any(|line| line == "has all"));
    signal(&child.0, "-KILL");
    let began = std::time::Instant::now();
    let again = cluster.open(cluster.options("child")).await;
    let mut seat = Seat::take(&again).await;
    let all = async {
        while seat.has.len() < 4 {
            seat.change().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("it has its seat again");
    println!("seated {:?} after the kill", began.elapsed());
    again.close().await;
    bus.close().await;
    cluster.remove().await;
}
