//! A farm's machine, case by case, over a journal that is a list.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lease::farm::{
    DropReason, FarmEvent, FarmLimits, JournalWrite, KeptEpoch, NotHeld, Recovered, RecoveredEntry, WriteId,
};
use lease::message::{JournalState, Lease, Session, Token};
use lease::record::OutcomeKind;
use lease::{Attempt, Epoch, Farm, FarmMessage, LaneId, Now, Outcome, PartitionId, RouterMessage};
use model::{DeliveryId, LinkName, MessageId, RouterName, Timestamp};

fn partition(index: u32) -> PartitionId {
    PartitionId { route: "blue".parse().unwrap(), index }
}

fn attempt(of: u128) -> Attempt {
    Attempt { delivery: DeliveryId { message: MessageId(of), index: 0 }, number: 1 }
}

fn link() -> LinkName {
    "modem-1".parse().unwrap()
}

fn router(name: &str) -> RouterName {
    name.parse().unwrap()
}

fn outcome(kind: OutcomeKind) -> Outcome {
    Outcome { kind: kind.into(), ..Outcome::default() }
}

/// A farm, and the journal behind it.
struct Node {
    farm: Farm,
    now: Now,
    unsynced: Vec<(WriteId, JournalWrite)>,
}

impl Node {
    fn new(journal: Recovered) -> Self {
        let now = Now { instant: Instant::now(), utc: Timestamp(1_000_000) };
        let farm = Farm::recover("cellar".parse().unwrap(), FarmLimits::default(), journal, now);
        Node { farm, now, unsynced: Vec::new() }
    }

    /// A farm that has answered epoch 10 of partition 0 in session 1 of router north.
    fn asked() -> Self {
        let mut node = Node::new(Recovered::default());
        node.welcome("north", 1);
        node.ask("north", 0, 10, 1);
        node.sync();
        node.sends();
        node
    }

    fn hear(&mut self, from: &str, message: RouterMessage) {
        self.farm.handle_message(&router(from), message, self.now);
    }

    fn welcome(&mut self, from: &str, session: Session) {
        self.hear(from, RouterMessage::Welcome { router: router(from), session, peers: Vec::new() });
    }

    fn ask(&mut self, from: &str, index: u32, epoch: Epoch, session: Session) {
        self.hear(from, RouterMessage::Ask { partition: partition(index), lane: LaneId(7), epoch, session });
    }

    fn lease(&mut self, from: &str, index: u32, epoch: Epoch, session: Session, attempt: Attempt) {
        let lease = Lease {
            partition: partition(index),
            epoch,
            session,
            attempt,
            link: link(),
            token: Token(1),
            begin_within_ms: 5_000,
            envelope: Bytes::new(),
        };
        self.hear(from, RouterMessage::Lease(lease));
    }

    /// A lease that was begun, its intent synced.
    fn begin(&mut self, attempt: Attempt) {
        self.lease("north", 0, 10, 1, attempt);
        self.farm.begin(attempt, &link(), self.now).unwrap();
        self.sync();
    }

    fn write(&mut self) -> Vec<JournalWrite> {
        while let Some(write) = self.farm.poll_write() {
            self.unsynced.push(write);
        }
        self.unsynced.iter().map(|(_, write)| write.clone()).collect()
    }

    fn sync(&mut self) {
        self.write();
        if let Some((last, _)) = self.unsynced.last() {
            self.farm.synced(*last);
        }
        self.unsynced.clear();
    }

    fn sends(&mut self) -> Vec<FarmMessage> {
        std::iter::from_fn(|| self.farm.poll_send()).map(|(_, message)| message).collect()
    }

    fn events(&mut self) -> Vec<FarmEvent> {
        std::iter::from_fn(|| self.farm.poll_event()).collect()
    }

    #[track_caller]
    fn check_answer(&mut self, expected: &[(Attempt, JournalState)]) {
        let sends = self.sends();
        let journal =
            sends.iter().find_map(|m| if let FarmMessage::Answer { journal, .. } = m { Some(journal) } else { None });
        assert_eq!(journal.map(Vec::as_slice), Some(expected), "{sends:?}");
    }
}

#[test]
fn the_epoch_is_synced_before_the_answer() {
    let mut node = Node::new(Recovered::default());
    node.welcome("north", 1);
    node.ask("north", 0, 10, 1);
    let kept = KeptEpoch { partition: partition(0), lane: LaneId(7), epoch: 10 };
    assert_eq!((node.write(), node.sends()), (vec![JournalWrite::Epoch(kept)], vec![]));
    node.lease("north", 0, 10, 1, attempt(1));
    assert_eq!(node.events(), [], "no lease before the answer");
    node.sync();
    node.check_answer(&[]);
    node.welcome("north", 2);
    node.ask("north", 0, 10, 2);
    node.check_answer(&[]);
}

#[test]
fn an_older_epoch_is_told_the_newest_even_after_a_restart() {
    let kept = KeptEpoch { partition: partition(0), lane: LaneId(7), epoch: 10 };
    let mut node = Node::new(Recovered { epochs: vec![kept], entries: Vec::new() });
    node.welcome("south", 3);
    node.ask("south", 0, 9, 3);
    assert_eq!(node.sends(), [FarmMessage::Outdated { partition: partition(0), session: 3, epoch: 10 }]);
    let lane = LaneId(8);
    node.hear("south", RouterMessage::Ask { partition: partition(0), lane, epoch: 2, session: 3 });
    node.sync();
    node.check_answer(&[]);
}

#[test]
fn leases_of_another_session_epoch_or_router_are_refused() {
    let mut node = Node::asked();
    node.welcome("south", 2);
    node.lease("north", 0, 10, 9, attempt(1));
    node.lease("north", 0, 9, 1, attempt(2));
    node.lease("south", 0, 10, 2, attempt(3));
    node.lease("north", 1, 10, 1, attempt(4));
    assert_eq!((node.events(), node.farm.refused()), (vec![], 4));
    node.welcome("north", 4);
    node.lease("north", 0, 10, 1, attempt(5));
    assert_eq!(node.farm.held_count(), 0, "the session it asked in is over");
    node.welcome("north", 3);
    node.ask("north", 0, 10, 3);
    assert_eq!(node.sends(), [], "an older session's word");
}

#[test]
fn nothing_begins_before_its_intent_is_synced() {
    let mut node = Node::asked();
    node.lease("north", 0, 10, 1, attempt(1));
    node.events();
    node.farm.begin(attempt(1), &link(), node.now).unwrap();
    assert!(matches!(node.write()[..], [JournalWrite::Begun { part: 0, .. }]));
    assert_eq!(node.events(), []);
    assert_eq!(node.farm.end(attempt(1), outcome(OutcomeKind::Sent)), Err(NotHeld::NotUnderWay));
    node.sync();
    assert_eq!(node.events(), [FarmEvent::MayBegin { attempt: attempt(1), part: 0 }]);
    node.farm.begin_part(attempt(1), 1).unwrap();
    node.sync();
    assert_eq!(node.events(), [FarmEvent::MayBegin { attempt: attempt(1), part: 1 }]);
    assert_eq!(node.farm.begin(attempt(1), &link(), node.now), Err(NotHeld::Begun));
    assert_eq!(node.farm.give_back(attempt(1), "no"), Err(NotHeld::Begun));
}

#[test]
fn asked_it_drops_what_it_has_not_begun_and_only_of_that_partition() {
    let mut node = Node::asked();
    node.ask("north", 1, 20, 1);
    node.sync();
    for (index, epoch, of) in [(0, 10, 1), (0, 10, 2), (1, 20, 3)] {
        node.lease("north", index, epoch, 1, attempt(of));
    }
    node.events();
    node.sends();
    // The intent of the second is on its way to the disk: it counts as begun.
    node.farm.begin(attempt(2), &link(), node.now).unwrap();
    node.welcome("south", 2);
    node.ask("south", 0, 11, 2);
    assert_eq!(node.events(), [FarmEvent::Drop { attempt: attempt(1), reason: DropReason::Asked }]);
    assert_eq!(node.farm.begin(attempt(1), &link(), node.now), Err(NotHeld::Dropped));
    node.sync();
    node.check_answer(&[(attempt(2), JournalState::Begun)]);
    assert_eq!(node.events(), [FarmEvent::MayBegin { attempt: attempt(2), part: 0 }]);
    assert_eq!(node.farm.held_count(), 1, "partition 1 was not asked for");
}

#[test]
fn an_outcome_is_reported_once_synced_and_named_until_its_removal_is_synced() {
    let mut node = Node::asked();
    node.begin(attempt(1));
    node.farm.end(attempt(1), outcome(OutcomeKind::Sent)).unwrap();
    assert_eq!(node.sends(), []);
    node.sync();
    assert!(matches!(node.sends()[..], [FarmMessage::Report { session: 1, .. }]));
    node.hear("north", RouterMessage::Forget { partition: partition(0), session: 1, attempts: vec![attempt(1)] });
    node.ask("north", 0, 10, 1);
    node.check_answer(&[(attempt(1), JournalState::Ended(outcome(OutcomeKind::Sent)))]);
    node.sync();
    let attempts = vec![attempt(1)];
    assert_eq!(node.sends(), [FarmMessage::Forgotten { partition: partition(0), session: 1, attempts }]);
    assert_eq!(node.farm.journal_count(), 0);
}

#[test]
fn what_has_no_outcome_is_not_forgotten() {
    let mut node = Node::asked();
    node.begin(attempt(1));
    node.hear("north", RouterMessage::Forget { partition: partition(0), session: 1, attempts: vec![attempt(1)] });
    node.sync();
    assert_eq!((node.sends(), node.farm.journal_count()), (vec![], 1));
}

#[test]
fn after_a_restart_what_was_begun_is_uncertain() {
    let entry = |of, state| RecoveredEntry { partition: partition(0), attempt: attempt(of), link: link(), state };
    let ended = JournalState::Ended(outcome(OutcomeKind::Sent));
    let entries = vec![entry(1, JournalState::Begun), entry(2, ended.clone())];
    let mut node = Node::new(Recovered { epochs: Vec::new(), entries });
    node.welcome("north", 1);
    node.ask("north", 0, 10, 1);
    node.sync();
    let uncertain = Outcome {
        farm: "cellar".into(),
        link: "modem-1".into(),
        reason: "the farm stopped while it was sent".into(),
        at_ms: 1_000_000,
        ..outcome(OutcomeKind::Uncertain)
    };
    node.check_answer(&[(attempt(1), JournalState::Ended(uncertain)), (attempt(2), ended)]);
    node.lease("north", 0, 10, 1, attempt(1));
    assert_eq!(node.events(), [], "what is in the journal is not taken again");
}

#[test]
fn a_late_lease_goes_back() {
    let mut node = Node::asked();
    node.lease("north", 0, 10, 1, attempt(1));
    node.lease("north", 0, 10, 1, attempt(2));
    node.events();
    assert_eq!(node.farm.poll_timeout(), Some(node.now.instant + Duration::from_secs(5)));
    node.now.instant += Duration::from_secs(5);
    assert_eq!(node.farm.begin(attempt(1), &link(), node.now), Err(NotHeld::Late));
    node.farm.handle_timeout(node.now);
    assert_eq!(node.events(), [FarmEvent::Drop { attempt: attempt(2), reason: DropReason::Late }]);
    let back: Vec<bool> = node.sends().iter().map(|m| matches!(m, FarmMessage::Return { session: 1, .. })).collect();
    assert_eq!(back, [true, true]);
}

#[test]
fn a_cancel_is_a_request_to_return() {
    let mut node = Node::asked();
    node.begin(attempt(1));
    node.lease("north", 0, 10, 1, attempt(2));
    node.events();
    for of in [1, 2] {
        node.hear("north", RouterMessage::Cancel { partition: partition(0), session: 1, attempt: attempt(of) });
    }
    assert_eq!(node.events(), [FarmEvent::Drop { attempt: attempt(2), reason: DropReason::Cancelled }]);
    assert!(matches!(node.sends()[..], [FarmMessage::Return { .. }]), "what has begun only ends");
}

#[test]
fn a_full_farm_gives_back_at_once() {
    let mut node = Node::asked();
    let now = node.now;
    node.farm = Farm::recover("cellar".parse().unwrap(), FarmLimits { attempts_max: 1 }, Recovered::default(), now);
    node.welcome("north", 1);
    node.ask("north", 0, 10, 1);
    node.sync();
    node.sends();
    node.lease("north", 0, 10, 1, attempt(1));
    node.lease("north", 0, 10, 1, attempt(2));
    assert!(matches!(node.sends()[..], [FarmMessage::Return { .. }]));
    assert_eq!(node.farm.held_count(), 1);
}
