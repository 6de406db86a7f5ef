//! Lanes that fail, or die in the middle: a route starts again, nothing is sent twice, nothing is lost, others go on.

mod dispatching;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bus::{Bounds, Bus, BusError, Consumed, EmbeddedBus, Entry, Group, LaneInfo, Membership, Position, Read};
use dispatching::{Disk, FakeFarm, Router, record, route};
use embedded::EmbeddedError;
use model::Lane;
use sms_router::outcome::Kind;

const DELIVERIES: u128 = 300;

/// How a commit of the chosen lane goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// Nothing happens, and that is said.
    Refused,
    /// It happens, and the answer is lost.
    AnswerLost,
    /// The task dies before it.
    Panic,
}

/// Lanes that go wrong as told: every so often, for a while.
#[derive(Clone)]
struct Flaky {
    inner: EmbeddedBus,
    lane: Lane,
    fault: Fault,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug)]
struct Plan {
    commits: usize,
    /// Every so many commits one goes wrong.
    every: usize,
    /// So many times.
    left: usize,
}

impl Flaky {
    fn new(disk: &Disk, fault: Fault) -> Self {
        let plan = Plan { commits: 0, every: 4, left: 5 };
        Flaky { inner: disk.bus.clone(), lane: Lane::Leases(route("slow")), fault, plan: Arc::new(Mutex::new(plan)) }
    }

    fn is_due(&self, consumed: &[Consumed]) -> bool {
        if consumed.iter().all(|consumed| consumed.lane != self.lane) {
            return false;
        }
        let mut plan = self.plan.lock().unwrap();
        plan.commits += 1;
        let due = plan.left > 0 && plan.commits.is_multiple_of(plan.every);
        plan.left -= usize::from(due);
        due
    }
}

impl Bus for Flaky {
    async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        self.inner.create(lane).await
    }
    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        self.inner.declare(lane, groups).await
    }
    async fn append(&self, lane: &Lane, batch: Vec<Entry>) -> Result<Vec<Position>, BusError> {
        self.inner.append(lane, batch).await
    }
    async fn commit(&self, consumed: Vec<Consumed>, appended: Vec<(Lane, Entry)>) -> Result<Vec<Position>, BusError> {
        if !self.is_due(&consumed) {
            return self.inner.commit(consumed, appended).await;
        }
        match self.fault {
            Fault::Refused => Err(BusError::Closed),
            Fault::Panic => panic!("as planned"),
            Fault::AnswerLost => {
                self.inner.commit(consumed, appended).await?;
                Err(BusError::Write(EmbeddedError::Closed.into()))
            }
        }
    }
    async fn read(&self, lane: &Lane, partition: u32, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        self.inner.read(lane, partition, from, max).await
    }
    async fn fetch(&self, lane: &Lane, partition: u32, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        self.inner.fetch(lane, partition, offsets).await
    }
    async fn watermark(&self, group: Group, lane: &Lane, partition: u32) -> Result<i64, BusError> {
        self.inner.watermark(group, lane, partition).await
    }
    async fn bounds(&self, lane: &Lane, partition: u32) -> Result<Bounds, BusError> {
        self.inner.bounds(lane, partition).await
    }
    async fn join(&self, group: Group, lanes: Vec<Lane>) -> Result<Membership, BusError> {
        self.inner.join(group, lanes).await
    }
    async fn lag(&self, group: Group, lane: &Lane, partition: u32) -> Result<u64, BusError> {
        self.inner.lag(group, lane, partition).await
    }
    async fn trim(&self) -> Result<(), BusError> {
        self.inner.trim().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

/// Serves [`DELIVERIES`] of two routes while one of them goes wrong.
async fn check(fault: Fault) {
    let disk = Disk::new().await;
    for name in ["slow", "fast"] {
        let first = if name == "slow" { 0 } else { DELIVERIES };
        let records = (first..first + DELIVERIES).map(|number| record("quiet", number, &[name]));
        disk.append(Lane::Front(route(name)), records).await;
    }
    let bus = Flaky::new(&disk, fault);
    let router = Router::start_on(bus.clone(), |_| {});
    let mut slow = FakeFarm::attach(&router, "attic", &["slow"]).await;
    let mut fast = FakeFarm::attach(&router, "cellar", &["fast"]).await;
    slow.grant("slow", "modem-1", 4).await;
    fast.grant("fast", "modem-2", 4).await;
    let (slow, fast) = (tokio::spawn(slow.work("slow")), tokio::spawn(fast.work("fast")));
    disk.until_outcomes(2 * DELIVERIES as usize).await;
    assert!(router.metric("carillon_dispatch_restarts_total 5"), "{}", router.registry.text());
    router.until_metric("carillon_dispatch_open_grants 0").await;
    router.until_metric("carillon_dispatch_waiting_segments 0").await;
    router.stop().await;
    let (slow, fast) = (slow.await.unwrap(), fast.await.unwrap());
    assert_eq!(bus.plan.lock().unwrap().left, 0);
    assert!(slow.asked > 5 && fast.asked == 1, "the other route did not notice: {} {}", slow.asked, fast.asked);
    for worked in [slow.leases, fast.leases] {
        let deliveries: BTreeSet<_> = worked.iter().map(|attempt| attempt.delivery).collect();
        assert_eq!((worked.len(), deliveries.len()), (DELIVERIES as usize, DELIVERIES as usize), "each sent once");
    }
    let facts: BTreeSet<_> = disk.outcomes().await.into_iter().filter_map(fact).collect();
    assert_eq!(facts.len(), 2 * DELIVERIES as usize, "each told");
}

fn fact(kind: Kind) -> Option<(Vec<u8>, u32)> {
    let Kind::Fact(fact) = kind else { return None };
    Some((fact.record().unwrap().header.message, fact.attempt))
}

#[tokio::test]
async fn commits_that_are_refused_cost_a_pause() {
    check(Fault::Refused).await;
}

#[tokio::test]
async fn commits_whose_answer_is_lost_are_not_done_twice() {
    check(Fault::AnswerLost).await;
}

#[tokio::test]
async fn a_panic_costs_its_route_a_pause() {
    check(Fault::Panic).await;
}
