//! Several routers on the same lanes and state: each delivery goes one way, whoever comes, goes, or does not hear that it
//! has lost its share.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Bounds, Bus, BusError, Consumed, Entry, Group, LaneInfo, Membership, MembershipEnd, Position, Read, Share};
use model::record::Record;
use model::{Lane, RouteId, RouterName, State};
use runtime::{Health, Registry, Stop};
use sms_router::{Config, Deps, Doors, RouterError};
use store::Store as _;
use support::{FrailBus, House};
use tokio::sync::{Notify, RwLock};

/// Who has which shares: what the brokers know.
type Owners = BTreeMap<Group, BTreeMap<Share, usize>>;

/// Lanes that several members share, each by its own [`Door`].
struct Town {
    lanes: FrailBus,
    /// Held by commits, so that none is under way while shares move.
    owners: RwLock<Owners>,
    seats: Mutex<BTreeMap<Group, BTreeMap<usize, Arc<MembershipEnd>>>>,
    /// Members that the town believes dead, and that do not know it.
    dead: Mutex<BTreeSet<usize>>,
    changed: Notify,
}

/// A process's way to the lanes.
#[derive(Clone)]
struct Door {
    town: Arc<Town>,
    member: usize,
}

impl Town {
    fn new(house: &House) -> Arc<Self> {
        let town = Arc::new(Town {
            lanes: house.bus.clone(),
            owners: RwLock::default(),
            seats: Mutex::default(),
            dead: Mutex::default(),
            changed: Notify::new(),
        });
        let coordinator = Arc::clone(&town);
        tokio::spawn(async move {
            loop {
                coordinator.share_out().await;
                tokio::select! {
                    () = coordinator.changed.notified() => {}
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        });
        town
    }

    /// What each member is to have: the shares in turn, over those who are alive.
    fn wanted(&self, group: Group) -> BTreeMap<Share, usize> {
        let seats = self.seats.lock().unwrap();
        let dead = self.dead.lock().unwrap();
        let alive: Vec<_> = seats[&group].iter().filter(|(member, _)| !dead.contains(*member)).collect();
        let lanes: BTreeSet<Lane> = alive.iter().flat_map(|(_, end)| end.lanes.borrow().clone()).collect();
        let shares = lanes
            .into_iter()
            .flat_map(|lane| (0..lane.partitions()).map(move |partition| Share { lane: lane.clone(), partition }));
        shares.enumerate().filter_map(|(nth, share)| Some((share, *alive.get(nth % alive.len().max(1))?.0))).collect()
    }

    fn end(&self, group: Group, member: usize) -> Option<Arc<MembershipEnd>> {
        self.seats.lock().unwrap().get(&group)?.get(&member).cloned()
    }

    async fn share_out(&self) {
        let groups: Vec<Group> = self.seats.lock().unwrap().keys().copied().collect();
        for group in groups {
            self.drop_who_left(group);
            let wanted = self.wanted(group);
            let known = self.owners.read().await.get(&group).cloned().unwrap_or_default();
            let mut taken: BTreeMap<usize, Vec<Share>> = BTreeMap::new();
            for (share, member) in known.iter().filter(|(share, member)| wanted.get(*share) != Some(*member)) {
                taken.entry(*member).or_default().push(share.clone());
            }
            for (member, shares) in taken {
                let is_dead = self.dead.lock().unwrap().contains(&member);
                if let Some(end) = self.end(group, member).filter(|_| !is_dead) {
                    end.take(shares.clone()).await;
                }
                let mut owners = self.owners.write().await;
                owners.entry(group).or_default().retain(|share, _| !shares.contains(share));
            }
            let mut given: BTreeMap<usize, Vec<Share>> = BTreeMap::new();
            for (share, member) in wanted.iter().filter(|(share, member)| known.get(*share) != Some(*member)) {
                given.entry(*member).or_default().push(share.clone());
            }
            for (member, shares) in given {
                let mut owners = self.owners.write().await;
                owners.entry(group).or_default().extend(shares.iter().map(|share| (share.clone(), member)));
                drop(owners);
                if let Some(end) = self.end(group, member) {
                    end.give(shares).await;
                }
            }
        }
    }

    fn drop_who_left(&self, group: Group) {
        let mut seats = self.seats.lock().unwrap();
        let seats = seats.entry(group).or_default();
        seats.retain(|_, end| end.lanes.has_changed().is_ok());
    }

    /// From here on the town gives this member's shares to others, and does not tell it: it was stopped past its session.
    fn bury(&self, member: usize) {
        self.dead.lock().unwrap().insert(member);
        self.changed.notify_one();
    }

    /// The member hears that it lost everything, and joins anew.
    async fn wake(&self, member: usize) {
        let groups: Vec<Group> = self.seats.lock().unwrap().keys().copied().collect();
        for group in groups {
            let Some(end) = self.end(group, member) else { continue };
            let lanes = end.lanes.borrow().clone();
            let all = lanes
                .into_iter()
                .flat_map(|lane| (0..lane.partitions()).map(move |partition| Share { lane: lane.clone(), partition }));
            end.take(all.collect()).await;
        }
        self.dead.lock().unwrap().remove(&member);
        self.changed.notify_one();
    }

    async fn shares_of(&self, member: usize) -> usize {
        self.owners.read().await.values().flat_map(BTreeMap::values).filter(|owner| **owner == member).count()
    }
}

impl Bus for Door {
    async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        self.town.lanes.create(lane).await
    }
    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        self.town.lanes.declare(lane, groups).await
    }
    async fn append(&self, lane: &Lane, batch: Vec<Entry>) -> Result<Vec<Position>, BusError> {
        self.town.lanes.append(lane, batch).await
    }
    async fn commit(&self, consumed: Vec<Consumed>, appended: Vec<(Lane, Entry)>) -> Result<Vec<Position>, BusError> {
        let owners = self.town.owners.read().await;
        for Consumed { group, lane, partition, .. } in &consumed {
            let Some(shares) = owners.get(group) else { continue };
            let joined = shares.keys().any(|share| share.lane == *lane);
            let has = shares.iter().any(|(share, member)| {
                *member == self.member && share.partition == *partition && (!joined || share.lane == *lane)
            });
            if !has {
                return Err(BusError::NotOwner { group: group.name(), lane: lane.clone(), partition: *partition });
            }
        }
        self.town.lanes.commit(consumed, appended).await
    }
    async fn read(&self, lane: &Lane, partition: u32, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        self.town.lanes.read(lane, partition, from, max).await
    }
    async fn fetch(&self, lane: &Lane, partition: u32, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        self.town.lanes.fetch(lane, partition, offsets).await
    }
    async fn watermark(&self, group: Group, lane: &Lane, partition: u32) -> Result<i64, BusError> {
        self.town.lanes.watermark(group, lane, partition).await
    }
    async fn bounds(&self, lane: &Lane, partition: u32) -> Result<Bounds, BusError> {
        self.town.lanes.bounds(lane, partition).await
    }
    async fn join(&self, group: Group, lanes: Vec<Lane>) -> Result<Membership, BusError> {
        let (membership, end) = Membership::new(lanes);
        self.town.seats.lock().unwrap().entry(group).or_default().insert(self.member, Arc::new(end));
        self.town.changed.notify_one();
        Ok(membership)
    }
    async fn lag(&self, group: Group, lane: &Lane, partition: u32) -> Result<u64, BusError> {
        self.town.lanes.lag(group, lane, partition).await
    }
    async fn trim(&self) -> Result<(), BusError> {
        self.town.lanes.trim().await
    }
    async fn close(&self) {
        self.town.lanes.close().await;
    }
}

/// A router's process.
struct Router {
    registry: Registry,
    health: Health,
    stop: Stop,
    role: tokio::task::JoinHandle<Result<(), RouterError>>,
}

impl Router {
    async fn start(house: &House, town: &Arc<Town>, member: usize) -> Self {
        let (health, registry, stop) = (Health::new(), Registry::new(), Stop::new(30));
        let deps = Deps {
            bus: Door { town: town.clone(), member },
            store: house.desk.store.clone(),
            master: house.master.clone(),
            registry: registry.clone(),
            health: health.clone(),
            clock: house.desk.clock.clone(),
        };
        let name = RouterName::new(&format!("router-{member}")).unwrap();
        let config = Config { name, schedule_poll_ms: 20, references_flush_ms: 20, ..Config::default() };
        let doors = Doors { local: tokio::sync::mpsc::channel(1).1, control: None };
        let role = tokio::spawn(sms_router::run(config, deps, doors, stop.clone()));
        let router = Router { registry, health, stop, role };
        until("readiness", async || router.health.readiness().ready).await;
        router
    }

    async fn stop(self) {
        self.stop.begin();
        self.role.await.unwrap().unwrap();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

/// Accepts messages and waits until every one of them stands before a route, each once.
async fn send(house: &House, ids: std::ops::Range<u128>) {
    house.accept(&ids.clone().map(|id| house.message(id).keyed(1)).collect::<Vec<_>>()).await;
    until("all to be routed", async || {
        let ledger = house.desk.store.ledger(None).await.unwrap();
        ledger.difference == 0 && ledger.pending.get(&State::Routed) == Some(&(ids.end as u64))
    })
    .await;
    let mut routed = Vec::new();
    for name in ["blue-gb", "green-gb"] {
        let route = RouteId::new(name).unwrap();
        for lane in [Lane::Front(route.clone()), Lane::Bulk(route)] {
            let records = house.entries(&lane).await.into_iter().map(|entry| Record::read(entry).unwrap());
            routed.extend(records.map(|record| record.header.message));
        }
    }
    let distinct: BTreeSet<_> = routed.iter().collect();
    assert_eq!((routed.len(), distinct.len()), (ids.end as usize, ids.end as usize), "each once");
}

/// Parts of the first of two routers: half of four partitions of four groups, one of two routes, and the lanes of one partition
/// that messages from handsets, and ends of deliveries, go through.
const FIRST: usize = 12;
/// Parts of the second.
const SECOND: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_come_and_go_and_each_message_goes_once() {
    let house = House::open().await;
    let town = Town::new(&house);
    let first = Router::start(&house, &town, 1).await;
    send(&house, 0..50).await;
    let second = Router::start(&house, &town, 2).await;
    until("the second to have a part", async || town.shares_of(2).await == SECOND).await;
    assert_eq!(town.shares_of(1).await, FIRST, "half, and what has one partition");
    send(&house, 50..150).await;
    first.stop().await;
    until("the second to have all", async || town.shares_of(2).await == FIRST + SECOND).await;
    send(&house, 150..200).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_hear_of_its_loss_does_no_harm_and_comes_back() {
    let house = House::open().await;
    let town = Town::new(&house);
    let [first, second] = [Router::start(&house, &town, 1).await, Router::start(&house, &town, 2).await];
    until("both to have a part", async || town.shares_of(1).await == FIRST && town.shares_of(2).await == SECOND).await;
    send(&house, 0..50).await;
    town.bury(1);
    until("the second to have all", async || town.shares_of(2).await == FIRST + SECOND).await;
    // Both read and plan what comes; only the second's steps count.
    send(&house, 50..150).await;
    let due = house.message(150).with(|header| header.not_before_ms = header.accepted_ms + 1);
    house.accept(std::slice::from_ref(&due)).await;
    until("it to be scheduled", async || !house.story(&due).await.is_empty()).await;
    house.desk.clock.set(support::NOW.plus_ms(1_000));
    until("its time", async || house.story(&due).await == ["scheduled", "routed"]).await;
    send(&house, 151..151).await;
    town.wake(1).await;
    until("both to have a part", async || town.shares_of(1).await == FIRST && town.shares_of(2).await == SECOND).await;
    send(&house, 151..200).await;
    for router in [first, second] {
        assert!(!router.registry.text().contains("restarts_total{part=\"planner\"} 1"), "a loss is no failure");
        router.stop().await;
    }
}
