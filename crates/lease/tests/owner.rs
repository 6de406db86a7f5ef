//! The owner of a partition, case by case, over a lane that is a list.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lease::message::{Incarnation, JournalState, Session, Token};
use lease::owner::{Alarm, Derived, NotTaken, Offer, OwnerLimits, OwnerStart};
use lease::record::{Kind, Marker, OutcomeKind, OutcomeRecord, Place, Queue};
use lease::{Attempt, FarmMessage, LaneId, Now, Outcome, Owner, PartitionId, RouterMessage};
use model::record::OnUncertain;
use model::{DeliveryId, FarmName, MessageId, Timestamp};

const JOURNAL: Incarnation = Incarnation(1);

fn farm() -> FarmName {
    "cellar".parse().unwrap()
}

fn partition() -> PartitionId {
    PartitionId { route: "blue".parse().unwrap(), index: 0 }
}

fn delivery(number: u128) -> DeliveryId {
    DeliveryId { message: MessageId(number), index: 0 }
}

fn attempt(of: u128, number: u32) -> Attempt {
    Attempt { delivery: delivery(of), number }
}

fn place(offset: i64) -> Place {
    Place { queue: Queue::Front, offset }
}

fn outcome(kind: OutcomeKind) -> Outcome {
    Outcome { kind: kind.into(), farm: "cellar".into(), ..Outcome::default() }
}

/// An owner, and the lane before it.
struct Desk {
    owner: Owner,
    lane: Vec<Kind>,
    position: usize,
    now: Now,
    derived: Vec<Derived>,
    alarms: Vec<Alarm>,
}

impl Desk {
    /// An owner that has asked for its marker.
    fn new(lane: Vec<Kind>, read_from: i64, derived_to: i64, limits: OwnerLimits) -> Self {
        let router = "north".parse().unwrap();
        let start = OwnerStart { partition: partition(), lane: LaneId(7), router, read_from, derived_to };
        let mut owner = Owner::new(start, limits);
        owner.take_over(&lane.len().to_be_bytes());
        let now = Now { instant: Instant::now(), utc: Timestamp(1_000_000) };
        let position = usize::try_from(read_from).unwrap();
        Desk { owner, lane, position, now, derived: Vec::new(), alarms: Vec::new() }
    }

    /// An owner that owns an empty lane, with a farm that has answered in session 1.
    fn owning() -> Self {
        let mut desk = Desk::new(Vec::new(), 0, 0, OwnerLimits::default());
        desk.turn();
        desk.attach(1, Vec::new());
        desk
    }

    /// The next owner of the same lane, and the farm's answer in its session.
    fn replaced(self, journal: Vec<(Attempt, JournalState)>) -> Self {
        let (start, end) = (self.owner.reading_start(), self.lane.len() as i64);
        let mut desk = Desk::new(self.lane, start, end, OwnerLimits::default());
        desk.turn();
        desk.attach(9, journal);
        desk
    }

    /// Appends and reads until nothing moves.
    fn turn(&mut self) {
        loop {
            while let Some(kind) = self.owner.poll_append() {
                self.lane.push(kind);
            }
            let Some(kind) = self.lane.get(self.position).cloned() else { break };
            self.owner.handle_record(self.position as i64, kind, self.now);
            self.position += 1;
        }
        while let Some(fact) = self.owner.poll_derived() {
            self.derived.push(fact);
        }
        while let Some(alarm) = self.owner.poll_alarm() {
            self.alarms.push(alarm);
        }
    }

    fn attach(&mut self, session: Session, journal: Vec<(Attempt, JournalState)>) {
        self.owner.session_opened(&farm(), JOURNAL, session, self.now);
        self.sends();
        let epoch = self.owner.epoch().expect("owns");
        self.hear(FarmMessage::Answer { partition: partition(), epoch, session, journal });
    }

    fn hear(&mut self, message: FarmMessage) {
        self.owner.handle_message(&farm(), message, self.now);
        self.turn();
    }

    fn report(&mut self, session: Session, attempt: Attempt, kind: OutcomeKind) {
        self.hear(FarmMessage::Report { partition: partition(), session, attempt, outcome: outcome(kind) });
    }

    fn offer(&mut self, number: u128, offset: i64, on_uncertain: OnUncertain) -> Result<Attempt, NotTaken> {
        let offer = Offer {
            place: place(offset),
            delivery: delivery(number),
            attempt: 0,
            expires: Timestamp(9_000_000),
            on_uncertain,
            envelope: Bytes::from_static(b"envelope"),
            farm: farm(),
            link: "modem-1".parse().unwrap(),
            token: Token(5),
        };
        self.owner.offer(offer, self.now)
    }

    fn grant(&mut self, number: u128, offset: i64) -> Attempt {
        let attempt = self.offer(number, offset, OnUncertain::Keep).unwrap();
        self.turn();
        attempt
    }

    fn sends(&mut self) -> Vec<RouterMessage> {
        std::iter::from_fn(|| self.owner.poll_send()).map(|(_, message)| message).collect()
    }

    fn leases(&mut self) -> Vec<Attempt> {
        let leases = self.sends().into_iter();
        leases.filter_map(|m| if let RouterMessage::Lease(lease) = m { Some(lease.attempt) } else { None }).collect()
    }

    fn forgets(&mut self) -> Vec<Attempt> {
        let sends = self.sends().into_iter();
        let of = |m| if let RouterMessage::Forget { attempts, .. } = m { attempts } else { Vec::new() };
        sends.flat_map(of).collect()
    }

    fn returned(&mut self) -> Vec<(DeliveryId, u32)> {
        let returned = std::iter::from_fn(|| self.owner.poll_returned());
        returned.map(|r| (DeliveryId::from_bytes(&r.grant.delivery).unwrap(), r.grant.attempt)).collect()
    }

    fn pass(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.owner.handle_timeout(self.now);
        self.turn();
    }

    /// What was derived since the last call, in short.
    fn facts(&mut self) -> Vec<String> {
        let short = |fact: Derived| match fact {
            Derived::GrantCounted { attempt, .. } => format!("granted {}", attempt.number),
            Derived::OutcomeCounted { outcome, .. } => format!("ended {:?}", outcome.kind()),
            Derived::ReleaseCounted { attempt, .. } => format!("released {}", attempt.number),
            Derived::CorrectionCounted { outcome, .. } => format!("corrected {:?}", outcome.kind()),
            Derived::SettleCounted { note, .. } => format!("settled {}", String::from_utf8_lossy(&note)),
            Derived::GapEnded { outcome, .. } => format!("gap ended {:?}", outcome.kind()),
            Derived::Stopped { epoch } => format!("stopped by {epoch}"),
        };
        self.derived.drain(..).map(short).collect()
    }
}

#[test]
fn it_owns_once_its_own_marker_is_read() {
    let mut desk = Desk::new(vec![Kind::Marker(Marker { router: "south".into(), life: vec![1] })], 0, 0, {
        OwnerLimits::default()
    });
    assert_eq!(desk.offer(1, 0, OnUncertain::Keep), Err(NotTaken::NotOwner));
    desk.turn();
    assert_eq!(desk.owner.epoch(), Some(1));
    desk.lane.push(Kind::Marker(Marker { router: "south".into(), life: vec![2] }));
    desk.turn();
    assert!(desk.owner.is_over() && desk.owner.epoch().is_none());
    assert_eq!(desk.facts(), ["stopped by 2"]);
}

#[test]
fn a_lease_leaves_when_the_answer_is_in_and_its_grant_read_back() {
    let mut desk = Desk::new(Vec::new(), 0, 0, OwnerLimits::default());
    desk.turn();
    desk.owner.session_opened(&farm(), JOURNAL, 1, desk.now);
    assert!(matches!(desk.sends()[..], [RouterMessage::Ask { epoch: 0, session: 1, lane: LaneId(7), .. }]));
    assert_eq!(desk.offer(1, 0, OnUncertain::Keep), Err(NotTaken::NoSession));
    desk.hear(FarmMessage::Answer { partition: partition(), epoch: 0, session: 1, journal: Vec::new() });
    assert_eq!(desk.offer(1, 0, OnUncertain::Keep), Ok(attempt(1, 1)));
    assert_eq!(desk.offer(1, 0, OnUncertain::Keep), Err(NotTaken::InHand));
    assert_eq!(desk.leases(), []);
    desk.turn();
    assert_eq!(desk.leases(), [attempt(1, 1)]);
    assert_eq!(desk.facts(), ["granted 1"]);
    assert!(desk.owner.is_settled(place(0)));
    assert_eq!(desk.offer(1, 0, OnUncertain::Keep), Err(NotTaken::Settled));
    assert_eq!(desk.offer(1, 8, OnUncertain::Keep), Err(NotTaken::Repeated));
}

#[test]
fn a_slow_owners_grant_is_void_under_a_newer_marker() {
    let mut desk = Desk::owning();
    desk.offer(1, 0, OnUncertain::Keep).unwrap();
    desk.lane.push(Kind::Marker(Marker { router: "south".into(), life: vec![2] }));
    desk.turn();
    assert_eq!((desk.leases(), desk.facts()), (vec![], vec!["stopped by 1".to_owned()]));
    let mut next = Desk::new(desk.lane, 0, 0, OwnerLimits::default());
    next.turn();
    assert!(!next.owner.is_settled(place(0)), "nothing but the void grant speaks of it");
}

#[test]
fn what_an_answer_does_not_name_goes_out_again_as_the_next_attempt() {
    let mut desk = Desk::owning();
    desk.grant(1, 0);
    desk.attach(2, Vec::new());
    assert_eq!(desk.returned(), [(delivery(1), 1)]);
    assert_eq!(desk.offer(1, 5, OnUncertain::Keep), Err(NotTaken::Repeated), "it waits at place 0");
    assert_eq!(desk.grant(1, 0), attempt(1, 2));
    assert_eq!(desk.facts(), ["granted 1", "released 1", "granted 2"]);
}

#[test]
fn begun_means_wait_and_an_outcome_in_an_answer_counts() {
    let mut desk = Desk::owning();
    desk.grant(1, 0);
    desk.grant(2, 1);
    let ended = JournalState::Ended(outcome(OutcomeKind::Sent));
    desk.attach(2, vec![(attempt(1, 1), JournalState::Begun), (attempt(2, 1), ended)]);
    assert_eq!(desk.facts(), ["granted 1", "granted 1", "ended Sent"]);
    assert_eq!(desk.forgets(), [attempt(2, 1)]);
    assert_eq!(desk.owner.open_count(), 1);
}

#[test]
fn a_lease_given_back_is_released() {
    let mut desk = Desk::owning();
    desk.grant(1, 0);
    let give_back = |session| {
        let reason = "the modem is gone".to_owned();
        FarmMessage::Return { partition: partition(), session, attempt: attempt(1, 1), reason }
    };
    desk.hear(give_back(7));
    assert_eq!((desk.returned(), desk.owner.refused()), (vec![], 1), "another session's word");
    desk.hear(give_back(1));
    assert_eq!(desk.returned(), [(delivery(1), 1)]);
}

#[test]
fn a_closed_attempt_is_remembered_until_the_farm_has_forgotten_it() {
    let mut desk = Desk::owning();
    desk.grant(1, 0);
    desk.report(1, attempt(1, 1), OutcomeKind::Sent);
    assert_eq!(desk.forgets(), [attempt(1, 1)]);
    desk.report(1, attempt(1, 1), OutcomeKind::Sent);
    assert_eq!((desk.forgets(), desk.lane.len()), (vec![attempt(1, 1)], 3), "told again, not appended again");
    assert_eq!(desk.owner.remembered_count(), 1);
    desk.hear(FarmMessage::Forgotten { partition: partition(), session: 1, attempts: vec![attempt(1, 1)] });
    assert_eq!(desk.owner.remembered_count(), 0);
}

#[test]
fn a_lost_farms_grants_end_as_uncertain_and_a_later_proof_corrects() {
    let mut desk = Desk::owning();
    desk.grant(1, 0);
    desk.owner.session_closed(&farm(), desk.now);
    desk.pass(599);
    assert_eq!(desk.facts(), ["granted 1"]);
    desk.pass(1);
    assert_eq!(desk.facts(), ["ended Uncertain"]);
    desk.attach(2, vec![(attempt(1, 1), JournalState::Begun)]);
    desk.report(2, attempt(1, 1), OutcomeKind::Sent);
    assert_eq!((desk.facts(), desk.forgets()), (vec!["corrected Sent".to_owned()], vec![attempt(1, 1)]));
    assert_eq!(desk.returned(), []);
}

/// Found by the simulation: a farm was never told to forget what became of an attempt that is sent again.
#[test]
fn what_a_tenant_wants_sent_again_goes_out_again() {
    let mut desk = Desk::owning();
    desk.offer(1, 0, OnUncertain::Resend).unwrap();
    desk.turn();
    desk.owner.session_closed(&farm(), desk.now);
    desk.pass(600);
    assert_eq!(desk.facts(), ["granted 1", "released 1"]);
    assert_eq!(desk.returned(), [(delivery(1), 1)]);
    desk.attach(2, vec![(attempt(1, 1), JournalState::Ended(outcome(OutcomeKind::Sent)))]);
    assert_eq!(desk.forgets(), [attempt(1, 1)]);
}

/// Found by the simulation: one owner releases, since the farm has not begun; the verdict of another, that the farm is lost,
/// lands after it.
#[test]
fn that_a_farm_is_lost_is_no_proof_that_it_had_begun() {
    let mut desk = Desk::owning();
    desk.grant(1, 0);
    desk.owner.session_closed(&farm(), desk.now);
    desk.now.instant += Duration::from_secs(600);
    desk.owner.handle_timeout(desk.now);
    let verdict = desk.owner.poll_append().unwrap();
    let mut next = Desk::new(desk.lane, 0, 0, OwnerLimits::default());
    next.turn();
    next.attach(3, Vec::new());
    next.lane.push(verdict);
    next.turn();
    assert_eq!(next.alarms, []);
    assert_eq!(next.facts(), ["granted 1", "released 1"]);
}

/// Found by the simulation: the farm's own word on an attempt lands after the verdict that it is lost, and after the farm
/// has forgotten it.
#[test]
fn a_late_word_on_what_is_sent_again_is_no_alarm() {
    let mut desk = Desk::owning();
    desk.offer(1, 0, OnUncertain::Resend).unwrap();
    desk.turn();
    desk.owner.session_closed(&farm(), desk.now);
    desk.pass(600);
    desk.attach(2, vec![(attempt(1, 1), JournalState::Ended(outcome(OutcomeKind::Sent)))]);
    desk.hear(FarmMessage::Forgotten { partition: partition(), session: 2, attempts: vec![attempt(1, 1)] });
    let delivery = delivery(1).to_bytes().into();
    let word = OutcomeRecord { delivery, attempt: 1, outcome: outcome(OutcomeKind::Sent), gap: false, lost: false };
    desk.lane.push(Kind::Outcome(word));
    desk.turn();
    assert_eq!(desk.alarms, []);
    assert_eq!(desk.grant(1, 0), attempt(1, 2));
}

#[test]
fn a_lane_that_went_back_stops_the_partition_and_the_gap_ends_as_uncertain() {
    let mut desk = Desk::owning();
    desk.attach(2, vec![(attempt(4, 3), JournalState::Begun)]);
    let went_back = Alarm::LaneWentBack { farm: farm(), attempts: vec![attempt(4, 3)] };
    assert_eq!((desk.alarms.as_slice(), desk.owner.is_over()), ([went_back].as_slice(), true));
    assert_eq!(desk.offer(4, 0, OnUncertain::Keep), Err(NotTaken::NotOwner));

    let mut next = desk.replaced(vec![(attempt(4, 3), JournalState::Begun)]);
    assert_eq!(next.alarms, [], "known by now");
    assert_eq!(next.offer(4, 0, OnUncertain::Keep), Err(NotTaken::Gap));
    next.owner.settle(place(0), delivery(4), Bytes::from_static(b"envelope")).unwrap();
    next.turn();
    assert_eq!(next.facts(), ["gap ended Uncertain"]);
    assert!(next.owner.is_settled(place(0)));
}

#[test]
fn a_newer_epoch_that_is_never_read_is_a_lane_that_went_back() {
    let mut desk = Desk::owning();
    desk.hear(FarmMessage::Outdated { partition: partition(), session: 1, epoch: 40 });
    assert!(desk.owner.is_owner(), "its marker may be about to be read");
    desk.pass(15);
    assert_eq!(
        (desk.alarms.as_slice(), desk.owner.is_over()),
        ([Alarm::EpochAhead { farm: farm(), epoch: 40 }].as_slice(), true)
    );
}

#[test]
fn what_is_settled_without_a_grant_counts_once_read_back() {
    let mut desk = Desk::owning();
    desk.owner.settle(place(3), delivery(1), Bytes::from_static(b"moved")).unwrap();
    assert_eq!(desk.offer(1, 3, OnUncertain::Keep), Err(NotTaken::InHand));
    assert!(!desk.owner.is_settled(place(3)));
    desk.turn();
    assert!(desk.owner.is_settled(place(3)));
    assert_eq!(desk.facts(), ["settled moved"]);
    assert_eq!(desk.owner.settle(place(3), delivery(1), Bytes::new()), Err(NotTaken::Settled));
}

#[test]
fn a_new_owner_starts_at_the_checkpoint_and_knows_what_is_open_waiting_and_settled() {
    let limits = OwnerLimits { checkpoint_records: 12, piece_bytes_max: 60, ..OwnerLimits::default() };
    let mut desk = Desk::new(Vec::new(), 0, 0, limits);
    desk.turn();
    desk.attach(1, Vec::new());
    for number in 1..=4 {
        desk.grant(number, number as i64);
    }
    desk.report(1, attempt(1, 1), OutcomeKind::Sent);
    let reason = "the modem is gone".to_owned();
    desk.hear(FarmMessage::Return { partition: partition(), session: 1, attempt: attempt(2, 1), reason });
    for number in 5..=9 {
        desk.grant(number, number as i64);
    }
    assert_eq!(desk.owner.reading_start(), 0, "what follows from it is not committed");
    desk.owner.committed(desk.owner.position());
    let start = desk.owner.reading_start();
    assert_eq!(start, 12);
    assert!(desk.lane.iter().filter(|kind| matches!(kind, Kind::Checkpoint(_))).count() > 3, "in pieces");

    // Trimmed: nothing below the start can be read any more.
    let end = desk.lane.len() as i64;
    let mut next = Desk::new(desk.lane, start, end, limits);
    next.turn();
    assert_eq!(next.owner.epoch(), Some(end));
    assert_eq!(next.returned(), [(delivery(2), 1)]);
    assert!((1..=9).all(|offset| next.owner.is_settled(place(offset))) && !next.owner.is_settled(place(0)));
    assert_eq!(next.owner.open_count(), 7);
    next.attach(2, vec![(attempt(1, 1), JournalState::Ended(outcome(OutcomeKind::Sent)))]);
    assert_eq!(next.alarms, [], "the closed attempt is known");
    assert_eq!(next.forgets(), [attempt(1, 1)]);
    assert_eq!(next.offer(2, 2, OnUncertain::Keep), Ok(attempt(2, 2)));
    assert_eq!(next.facts().len(), 7, "only the releases are new: what is below the start of deriving is committed");
}

#[test]
fn a_record_that_cannot_be_read_stops_the_partition() {
    let mut desk = Desk::owning();
    desk.owner.handle_unreadable(1, "unknown kind");
    desk.turn();
    assert!(desk.owner.is_over());
    assert_eq!(desk.alarms, [Alarm::Unreadable { offset: 1, reason: "unknown kind".into() }]);
    assert_eq!(desk.offer(1, 0, OnUncertain::Keep), Err(NotTaken::NotOwner));
}

#[test]
fn a_farm_that_speaks_of_what_it_was_not_granted_is_refused() {
    let mut desk = Desk::owning();
    desk.grant(1, 0);
    let other: FarmName = "attic".parse().unwrap();
    desk.owner.session_opened(&other, Incarnation(2), 5, desk.now);
    desk.owner.handle_message(
        &other,
        FarmMessage::Answer { partition: partition(), epoch: 0, session: 5, journal: vec![] },
        desk.now,
    );
    let (attempt, outcome) = (attempt(1, 1), outcome(OutcomeKind::Sent));
    desk.owner.handle_message(
        &other,
        FarmMessage::Report { partition: partition(), session: 5, attempt, outcome },
        desk.now,
    );
    desk.turn();
    assert_eq!((desk.owner.refused(), desk.owner.open_count()), (1, 1));
}

#[test]
fn above_its_bound_nothing_is_granted() {
    let mut desk = Desk::new(Vec::new(), 0, 0, OwnerLimits { attempts_max: 2, ..OwnerLimits::default() });
    desk.turn();
    desk.attach(1, Vec::new());
    desk.grant(1, 0);
    desk.grant(2, 1);
    assert_eq!(desk.offer(3, 2, OnUncertain::Keep), Err(NotTaken::Full));
}
