//! Two dispatchers that both believe they own a route, and a farm that is attached to both and holds what came of a lease.

mod dispatching;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bus::{
    Bounds, Bus, BusError, Consumed, EmbeddedBus, Entry, Group, LaneInfo, Membership, MembershipEnd, Position, Read,
    Share,
};
use dispatching::{Disk, FakeFarm, Router, record, route};
use lease::Attempt;
use lease::message::{JournalState, Lease, RouterMessage};
use lease::record::OutcomeKind;
use model::{Lane, RouterName};
use sms_router::outcome::Kind;

/// How long the old owner is watched for what it must not say.
const WATCH: Duration = Duration::from_millis(300);

/// A router's way to the lanes: it is given every share when it joins, and nobody tells it when others have them.
#[derive(Clone)]
struct Door {
    lanes: EmbeddedBus,
    /// The brokers' view: its commits are refused.
    is_deposed: Arc<AtomicBool>,
}

impl Door {
    fn to(disk: &Disk) -> Self {
        Door { lanes: disk.bus.clone(), is_deposed: Arc::default() }
    }

    fn depose(&self) {
        self.is_deposed.store(true, Ordering::Relaxed);
    }
}

impl Bus for Door {
    async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        self.lanes.create(lane).await
    }
    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        self.lanes.declare(lane, groups).await
    }
    async fn append(&self, lane: &Lane, batch: Vec<Entry>) -> Result<Vec<Position>, BusError> {
        // Lanes refuse nobody: only their order tells who was deposed.
        self.lanes.append(lane, batch).await
    }
    async fn commit(&self, consumed: Vec<Consumed>, appended: Vec<(Lane, Entry)>) -> Result<Vec<Position>, BusError> {
        match consumed.first().filter(|_| self.is_deposed.load(Ordering::Relaxed)) {
            Some(Consumed { group, lane, partition, .. }) => {
                Err(BusError::NotOwner { group: group.name(), lane: lane.clone(), partition: *partition })
            }
            None => self.lanes.commit(consumed, appended).await,
        }
    }
    async fn read(&self, lane: &Lane, partition: u32, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        self.lanes.read(lane, partition, from, max).await
    }
    async fn fetch(&self, lane: &Lane, partition: u32, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        self.lanes.fetch(lane, partition, offsets).await
    }
    async fn watermark(&self, group: Group, lane: &Lane, partition: u32) -> Result<i64, BusError> {
        self.lanes.watermark(group, lane, partition).await
    }
    async fn bounds(&self, lane: &Lane, partition: u32) -> Result<Bounds, BusError> {
        self.lanes.bounds(lane, partition).await
    }
    async fn join(&self, _group: Group, lanes: Vec<Lane>) -> Result<Membership, BusError> {
        let shares = lanes.iter().map(|lane| Share { lane: lane.clone(), partition: 0 }).collect();
        let (membership, end) = Membership::new(lanes);
        end.give(shares).await;
        tokio::spawn(until_left(end));
        Ok(membership)
    }
    async fn lag(&self, group: Group, lane: &Lane, partition: u32) -> Result<u64, BusError> {
        self.lanes.lag(group, lane, partition).await
    }
    async fn trim(&self) -> Result<(), BusError> {
        self.lanes.trim().await
    }
    async fn close(&self) {}
}

/// Keeps the engine's side of a membership until the member leaves.
async fn until_left(end: MembershipEnd) {
    let mut lanes = end.lanes.clone();
    while lanes.changed().await.is_ok() {}
}

fn start(door: &Door, name: &str) -> Router<Door> {
    Router::start_on(door.clone(), |options| options.router = RouterName::new(name).unwrap())
}

/// The attempts that are told, in order.
async fn facts(disk: &Disk) -> Vec<(Vec<u8>, u32)> {
    let told = disk.outcomes().await.into_iter().map(|kind| match kind {
        Kind::Fact(fact) => (fact.record().unwrap().header.message, fact.attempt),
        other => panic!("a fact, not {other:?}"),
    });
    told.collect()
}

fn told(attempt: Attempt) -> (Vec<u8>, u32) {
    (attempt.delivery.message.to_bytes().to_vec(), attempt.number)
}

/// Listens for a while; the leases that came.
async fn leases(farm: &mut FakeFarm) -> Vec<Lease> {
    let mut leases = Vec::new();
    let listening = async {
        loop {
            if let RouterMessage::Lease(lease) = farm.listen().await {
                leases.push(lease);
            }
        }
    };
    drop(tokio::time::timeout(WATCH, listening).await); // it has no end of its own
    leases
}

#[tokio::test]
async fn the_next_owner_learns_from_the_farm_and_the_last_one_says_nothing_more() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"]), record("quiet", 2, &["slow"])]).await;
    let (first, second) = (Door::to(&disk), Door::to(&disk));
    let old = start(&first, "router-1");
    let mut to_old = FakeFarm::attach(&old, "cellar", &["slow"]).await;
    to_old.grant("slow", "modem-1", 3).await;
    let (ended, begun) = (to_old.next_lease().await, to_old.next_lease().await);

    // The farm has sent the first, and its report is not through yet, when another router takes over. Nobody tells the old one.
    first.depose();
    let new = start(&second, "router-2");
    let sent = JournalState::Ended(dispatching::outcome(OutcomeKind::Sent));
    let journal = BTreeMap::from([(ended.attempt, sent), (begun.attempt, JournalState::Begun)]);
    let mut to_new = FakeFarm::attach_with(&new, "cellar", &["slow"], journal).await;
    to_new.grant("slow", "modem-1", 3).await;
    assert_eq!(to_new.forgotten().await, [ended.attempt]);

    // What the old one hears now is no longer its to tell, and what comes is no longer its to grant.
    to_old.report(&ended, OutcomeKind::Sent).await;
    to_old.report(&begun, OutcomeKind::FailedForGood).await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 3, &["slow"])]).await;
    let next = to_new.next_lease().await;
    assert_eq!((next.attempt.delivery.message.0, next.attempt.number), (3, 1));
    assert!(leases(&mut to_old).await.is_empty());
    assert_eq!(facts(&disk).await, [told(ended.attempt)]);

    to_new.report(&Lease { partition: begun.partition.clone(), ..begun.clone() }, OutcomeKind::Sent).await;
    to_new.report(&next, OutcomeKind::Sent).await;
    disk.until_outcomes(3).await;
    let mut all = facts(&disk).await;
    all.sort();
    assert_eq!(all, [told(ended.attempt), told(begun.attempt), told(next.attempt)]);
    old.kill();
    new.stop().await;
}
