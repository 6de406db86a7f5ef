//! One partition of a route: the owner, the queue before it and the credit for it, brought together. Pure: is told what was
//! read, heard and written; says what to write, send and fetch.

mod follow;
mod leave;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Entry, Read};
use lease::message::{RouterMessage, Session};
use lease::owner::{NotTaken, Offer, OwnerLimits, OwnerStart, Returned};
use lease::record::{Kind, LeaseRecord, Place, Queue};
use lease::{FarmMessage, Now, Owner, PartitionId};
use model::{FarmName, IdSet, Lane, RouteId, Timestamp};

use super::backlog::{Backlog, BacklogLimits, Want};
use super::credit::{Credits, LinkKey};
use super::derive::Derivation;
use super::directory::Directory;
use super::load::{RouteLoad, RouteLoads};
use super::metrics::Metrics;
use super::progress::Progress;
use super::recent::Recent;
use super::slip::{Slip, SlipReader};
use super::superseded::Superseded;

/// Deliveries taken from the queue in one go.
const OFFERS_MAX: usize = 1_024;
/// Records written in one step.
const RECORDS_MAX: usize = 4_096;
/// Expired deliveries looked at in one go, and superseded ones.
const ENDING_MAX: usize = 256;

/// How many times in a row a delivery may be given back and be offered again at once.
const RETURNS_AT_ONCE_MAX: u32 = 2;
/// How long it rests the next time; each further time twice as long.
const REST_FIRST: Duration = Duration::from_millis(100);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(30);

/// What a desk works with, beyond what it is told.
pub(super) struct DeskTools {
    pub(super) loads: RouteLoads,
    pub(super) directory: Arc<Directory>,
    pub(super) metrics: Metrics,
    /// When lanes and state were put back from a copy; the epoch: never.
    pub(super) restored_at: Timestamp,
}

/// Where a life of the partition begins.
pub(super) struct DeskStart {
    pub(super) owner: OwnerStart,
    pub(super) front: i64,
    pub(super) bulk: i64,
}

/// What is to be written in one step.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) appended: Vec<Derivation>,
    pub(super) derived_to: i64,
    pub(super) reading_start: i64,
    pub(super) front: i64,
    pub(super) bulk: i64,
}

/// Whether deliveries are handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// As credit allows.
    Open,
    /// Nothing more: the process stops.
    Draining,
}

/// One partition of a route.
pub(super) struct Desk {
    partition: PartitionId,
    owner: Owner,
    pub(super) backlog: Backlog,
    progress: [Progress; 2],
    slips: SlipReader,
    recent: Recent,
    superseded: Superseded,
    /// Deliveries that were given back again and again, by when they are offered again.
    resting: BTreeMap<(Instant, Place), Slip>,
    /// Deliveries at farms, granted in this life.
    at_farms: IdSet<model::DeliveryId>,
    /// To be written with the next step.
    derivations: Vec<Derivation>,
    load: RouteLoad,
    tools: DeskTools,
    refused: u64,
    open_shown: i64,
    written: Step,
}

impl Desk {
    /// A desk that has read nothing and asks for its marker.
    pub(super) fn new(start: DeskStart, limits: OwnerLimits, life: &[u8], tools: DeskTools) -> Self {
        let partition = start.owner.partition.clone();
        let load = tools.loads.route(&partition.route);
        load.set_owned(true);
        let (derived_to, reading_start) = (start.owner.derived_to, start.owner.read_from);
        let mut owner = Owner::new(start.owner, limits);
        owner.queue_watermark(Queue::Front, start.front);
        owner.queue_watermark(Queue::Bulk, start.bulk);
        owner.take_over(life);
        Desk {
            partition,
            owner,
            backlog: Backlog::new(BacklogLimits::default()),
            progress: [Progress::starting_at(start.front), Progress::starting_at(start.bulk)],
            slips: SlipReader::default(),
            recent: Recent::default(),
            superseded: Superseded::default(),
            resting: BTreeMap::new(),
            at_farms: IdSet::default(),
            derivations: Vec::new(),
            load,
            tools,
            refused: 0,
            open_shown: 0,
            written: Step { appended: Vec::new(), derived_to, reading_start, front: start.front, bulk: start.bulk },
        }
    }

    /// Takes over a newer snapshot of who may do what.
    pub(super) fn set_directory(&mut self, directory: Arc<Directory>) {
        self.tools.directory = directory;
    }

    /// A farm attached.
    pub(super) fn opened(
        &mut self,
        farm: &FarmName,
        incarnation: lease::message::Incarnation,
        session: Session,
        now: Now,
    ) {
        self.owner.session_opened(farm, incarnation, session, now);
    }

    /// A farm left.
    pub(super) fn closed(&mut self, farm: &FarmName, now: Now) {
        self.owner.session_closed(farm, now);
    }

    /// A farm's word on this partition.
    pub(super) fn hear(&mut self, farm: &FarmName, message: FarmMessage, now: Now) {
        self.owner.handle_message(farm, message, now);
    }

    /// Records of lane `leases`, in order.
    pub(super) fn read_leases(&mut self, reads: Vec<Read>, now: Now) {
        for read in reads {
            match LeaseRecord::read(read.payload) {
                Ok(kind) => {
                    self.remember(&kind);
                    self.owner.handle_record(read.offset, kind, now);
                }
                Err(error) => self.owner.handle_unreadable(read.offset, &error.to_string()),
            }
        }
    }

    /// Entries of the front or the bulk lane, in order.
    pub(super) fn read_queue(&mut self, queue: Queue, reads: Vec<Read>, now: Now) {
        for read in reads {
            let place = Place { queue, offset: read.offset };
            self.progress[queue as usize].see(read.offset);
            if self.owner.is_settled(place) {
                self.progress[queue as usize].settle(read.offset);
                continue;
            }
            match self.slips.read(place, read.payload.clone()) {
                Ok(slip) => self.see(slip),
                Err(error) => self.bury(place, read, &error, now),
            }
        }
    }

    /// Deliveries that were wanted from a lane.
    pub(super) fn fetched(&mut self, want: &Want, reads: Vec<Read>) {
        let slip = |read: Read| self.slips.read(Place { queue: want.queue, offset: read.offset }, read.payload).ok();
        let slips = reads.into_iter().filter_map(slip).collect();
        self.backlog.fetched(want, slips);
    }

    /// Whether a place needs nothing more.
    pub(super) fn is_settled(&self, place: Place) -> bool {
        self.owner.is_settled(place)
    }

    /// Passes time and hands out what credit allows.
    pub(super) fn work(&mut self, credits: &mut Credits, pace: Pace, now: Now) {
        self.owner.handle_timeout(now);
        while let Some(returned) = self.owner.poll_returned() {
            self.take_back(returned, now);
        }
        while self.resting.first_key_value().is_some_and(|((at, _), _)| *at <= now.instant) {
            let (_, slip) = self.resting.pop_first().expect("it was just looked at");
            self.put_back_first(slip, now);
        }
        if pace == Pace::Open {
            self.offer(credits, now);
        }
        while let Some(derived) = self.owner.poll_derived() {
            self.derive(derived, now);
        }
        while let Some(alarm) = self.owner.poll_alarm() {
            self.alarm(&alarm);
        }
        self.show();
    }

    /// What is to be sent, farm by farm, in order.
    pub(super) fn sends(&mut self, credits: &mut Credits) -> BTreeMap<FarmName, Vec<RouterMessage>> {
        let mut sends: BTreeMap<FarmName, Vec<RouterMessage>> = BTreeMap::new();
        while let Some((farm, message)) = self.owner.poll_send() {
            if let RouterMessage::Lease(lease) = &message {
                credits.spend(&lease.attempt);
            }
            sends.entry(farm).or_default().push(message);
        }
        sends
    }

    /// What is to be written next; `None` if nothing.
    pub(super) fn step(&mut self) -> Option<Step> {
        let leases = Lane::Leases(self.partition.route.clone());
        let mut appended = std::mem::take(&mut self.derivations);
        while appended.len() < RECORDS_MAX
            && let Some(kind) = self.owner.poll_append()
        {
            appended.push((leases.clone(), Entry::to_partition(self.partition.index, kind.to_bytes())));
        }
        let step = Step {
            appended,
            derived_to: self.owner.position(),
            reading_start: self.owner.reading_start(),
            front: self.progress[Queue::Front as usize].watermark(),
            bulk: self.progress[Queue::Bulk as usize].watermark(),
        };
        // Progress alone is written in company, or when the partition is otherwise at rest: see `rest`.
        let says = !step.appended.is_empty();
        says.then_some(step)
    }

    /// Progress that was not written yet, if there is any; for when there is nothing else to write.
    pub(super) fn rest(&self) -> Option<Step> {
        let step = Step {
            appended: Vec::new(),
            derived_to: self.owner.position(),
            reading_start: self.owner.reading_start(),
            front: self.progress[Queue::Front as usize].watermark(),
            bulk: self.progress[Queue::Bulk as usize].watermark(),
        };
        let last = &self.written;
        let moved = step.derived_to > last.derived_to
            || step.reading_start > last.reading_start
            || step.front > last.front
            || step.bulk > last.bulk;
        moved.then_some(step)
    }

    /// A step is durable.
    pub(super) fn wrote(&mut self, step: Step) {
        self.owner.committed(step.derived_to);
        self.owner.queue_watermark(Queue::Front, step.front);
        self.owner.queue_watermark(Queue::Bulk, step.bulk);
        self.written = Step { appended: Vec::new(), ..step };
    }

    /// Whether the partition is owned.
    pub(super) fn is_owner(&self) -> bool {
        self.owner.is_owner()
    }

    /// Whether this life is over and everything it had to say was said.
    pub(super) fn is_over(&self) -> bool {
        self.owner.is_over()
    }

    /// Whether anything is at farms.
    pub(super) fn any_open(&self) -> bool {
        self.owner.open_count() > 0
    }

    /// Whether nothing waits to be written, nor to be read back and then written.
    pub(super) fn is_told(&self) -> bool {
        self.derivations.is_empty() && !self.owner.any_asked()
    }

    /// Asks farms to give back what they have not begun.
    pub(super) fn cancel_all(&mut self) {
        for delivery in &self.at_farms {
            self.owner.cancel(*delivery);
        }
    }

    /// When time must be passed next.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let rested = self.resting.first_key_value().map(|((at, _), _)| *at);
        [self.owner.poll_timeout(), rested].into_iter().flatten().min()
    }

    /// The next offset of a lane that has not been read.
    pub(super) fn seen_to(&self, queue: Queue) -> i64 {
        self.progress[queue as usize].next()
    }

    /// Everything below this offset of a lane is settled.
    pub(super) fn watermark(&self, queue: Queue) -> i64 {
        self.progress[queue as usize].watermark()
    }

    /// What earlier owners granted is known from the lane, so that a repeat of it is found.
    fn remember(&mut self, kind: &Kind) {
        if self.owner.is_owner() {
            return;
        }
        let Kind::Grant(grant) = kind else { return };
        let Ok(place) = grant.place() else { return };
        if let Ok(slip) = self.slips.read(place, grant.envelope.clone()) {
            self.recent.is_repeat((slip.delivery, slip.hop, slip.attempt), place);
            self.superseded.name_all(&slip);
        }
    }

    fn see(&mut self, slip: Slip) {
        let weight = self.tools.directory.weight(&slip.tenant);
        if self.recent.is_repeat((slip.delivery, slip.hop, slip.attempt), slip.place) {
            self.settle(&slip, Vec::new());
            self.tools.metrics.repeated.increment();
            return;
        }
        self.load.saw(&slip.tenant, weight, slip.place.queue, slip.segments);
        self.tools.metrics.waiting.add(i64::from(slip.segments));
        self.superseded.see(&slip);
        self.backlog.see(slip, weight);
    }

    /// A delivery that was given back is offered again: at once the first times, then after a rest that grows, so that a
    /// farm that gives everything back does not keep the lanes busy.
    fn take_back(&mut self, returned: Returned, now: Now) {
        let Returned { place, grant, .. } = returned;
        match self.slips.read(place, grant.envelope.clone()) {
            Ok(mut slip) => {
                let rest = rest_after(grant.attempt.saturating_sub(slip.attempt));
                slip.attempt = grant.attempt;
                if rest.is_zero() {
                    self.put_back_first(slip, now);
                } else {
                    self.resting.insert((now.instant + rest, slip.place), slip);
                }
            }
            // It was read when it was granted.
            Err(error) => tracing::error!(route = %self.partition.route, %error, "a grant's envelope is unreadable"),
        }
    }

    fn put_back_first(&mut self, slip: Slip, now: Now) {
        if let Some(by) = self.superseded.by(&slip) {
            return self.supersede(&slip, by, now);
        }
        let weight = self.tools.directory.weight(&slip.tenant);
        self.load.saw(&slip.tenant, weight, slip.place.queue, slip.segments);
        self.tools.metrics.waiting.add(i64::from(slip.segments));
        self.backlog.give_back(slip, weight);
    }

    fn offer(&mut self, credits: &mut Credits, now: Now) {
        for _ in 0..OFFERS_MAX {
            if !self.owner.is_owner() || !credits.any() {
                return;
            }
            let Some(slip) = self.backlog.take() else { return };
            if self.end_ungranted(&slip, now) {
                continue;
            }
            let Some((link, token)) = credits.take() else { return self.put_back(slip) };
            let offer = to_offer(&slip, &link, token);
            match self.owner.offer(offer, now) {
                Ok(attempt) => {
                    credits.lend(attempt, link, token);
                    self.load.did(slip.segments, now.instant);
                    self.left(&slip);
                }
                Err(not_taken) => {
                    credits.put_back(&link, token);
                    if not_taken == NotTaken::NoSession {
                        credits.block(&link.0);
                    }
                    self.not_taken(slip, not_taken);
                    if matches!(not_taken, NotTaken::Full | NotTaken::NotOwner) {
                        return;
                    }
                }
            }
        }
    }

    fn not_taken(&mut self, slip: Slip, reason: NotTaken) {
        match reason {
            NotTaken::NotOwner | NotTaken::NoSession | NotTaken::Full => self.put_back(slip),
            NotTaken::Settled => {
                self.left(&slip);
                self.progress[slip.place.queue as usize].settle(slip.place.offset);
            }
            NotTaken::InHand => self.left(&slip),
            NotTaken::Repeated | NotTaken::Gap => {
                self.left(&slip);
                self.tools.metrics.repeated.add(u64::from(reason == NotTaken::Repeated));
                self.settle(&slip, Vec::new());
            }
        }
    }

    fn put_back(&mut self, slip: Slip) {
        let weight = self.tools.directory.weight(&slip.tenant);
        self.backlog.put_back(slip, weight);
    }

    fn left(&mut self, slip: &Slip) {
        self.superseded.left(slip);
        self.load.left(&slip.tenant, slip.place.queue, slip.segments);
        self.tools.metrics.waiting.add(-i64::from(slip.segments));
    }

    fn show(&mut self) {
        let refused = self.owner.refused();
        self.tools.metrics.refused.add(refused - self.refused);
        self.refused = refused;
        let open = i64::try_from(self.owner.open_count()).unwrap_or(i64::MAX);
        self.tools.metrics.open.add(open - self.open_shown);
        self.open_shown = open;
    }
}

/// What it showed of itself ends with it.
impl Drop for Desk {
    fn drop(&mut self) {
        let (waiting, _) = self.load.seen();
        self.tools.metrics.open.add(-self.open_shown);
        self.tools.metrics.waiting.add(-i64::try_from(waiting).unwrap_or(i64::MAX));
        self.load.set_owned(false);
    }
}

impl Step {
    /// What is done with, as the lanes are told.
    pub(super) fn consumed(&self, route: &RouteId, partition: u32) -> Vec<bus::Consumed> {
        let up_to = |group, lane, offset| bus::Consumed { group, lane, partition, acks: bus::Acks::UpTo(offset) };
        vec![
            up_to(super::DERIVED, Lane::Leases(route.clone()), self.derived_to),
            up_to(bus::Group::OWNER, Lane::Leases(route.clone()), self.reading_start),
            up_to(bus::Group::OWNER, Lane::Front(route.clone()), self.front),
            up_to(bus::Group::OWNER, Lane::Bulk(route.clone()), self.bulk),
        ]
    }
}

/// How long a delivery rests that was given back so many times in a row.
fn rest_after(returns: u32) -> Duration {
    match returns.checked_sub(RETURNS_AT_ONCE_MAX + 1) {
        None => Duration::ZERO,
        Some(more) => REST_FIRST.saturating_mul(1 << more.min(16)).min(REST_MAX),
    }
}

fn to_offer(slip: &Slip, link: &LinkKey, token: lease::message::Token) -> Offer {
    Offer {
        place: slip.place,
        delivery: slip.delivery,
        attempt: slip.attempt,
        expires: slip.expires,
        on_uncertain: slip.on_uncertain,
        envelope: slip.envelope.clone(),
        farm: link.0.clone(),
        link: link.1.clone(),
        token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_again_and_again_rests_longer_and_longer() {
        let rests = [0, 1, 2, 3, 4, 8, 11, 12, 40, u32::MAX].map(|returns| rest_after(returns).as_millis());
        assert_eq!(rests, [0, 0, 0, 100, 200, 3_200, 25_600, 30_000, 30_000, 30_000]);
    }
}
