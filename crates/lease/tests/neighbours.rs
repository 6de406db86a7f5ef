//! Lane `leases` between builds: it never skips, so what 0.1.0 wrote is read by this build, and what this one writes by 0.1.0.
//!
//! Knows every kind of record, octet by octet; `kept/0.1.0.txt` is never edited.

use bytes::Bytes;
use lease::record::{
    Checkpoint, Closed, Grant, Kind, LeaseRecord, Marker, Outcome, OutcomeKind, OutcomeRecord, Queue, Released,
    Settled, Stretch,
};
use model::record::OnUncertain;

const KEPT: &str = include_str!("kept/0.1.0.txt");

#[track_caller]
fn check(name: &str, kind: Kind) {
    let kept = KEPT.lines().filter_map(|line| line.split_once(" = ")).find(|(found, _)| *found == name);
    let digits: String = kind.to_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(Some((name, digits.as_str())), kept, "0.1.0 must go on reading `{name}`");
    // A field of the record that no build has had (2047, one octet) is passed over; a kind would not be.
    let later = [&kind.to_bytes()[..], &[0xFA, 0x7F, 0x01, 0x01]].concat();
    assert_eq!(LeaseRecord::read(later.into()), Ok(kind));
}

fn grant() -> Grant {
    Grant {
        delivery: vec![9; 20],
        attempt: 2,
        farm: "cellar".into(),
        incarnation: vec![8; 16],
        epoch: 3,
        link: "l".into(),
        queue: Queue::Bulk.into(),
        offset: 4,
        envelope: Bytes::from_static(&[1, 2]),
        at_ms: 5,
        expires_ms: 6,
        on_uncertain: OnUncertain::Resend.into(),
    }
}

fn outcome() -> OutcomeRecord {
    let outcome = Outcome {
        kind: OutcomeKind::FailedForGood.into(),
        farm: "cellar".into(),
        link: "l".into(),
        imsi: "26201".into(),
        references: vec![1, 300],
        reason: "CMS 42".into(),
        at_ms: 7,
    };
    OutcomeRecord { delivery: vec![9; 20], attempt: 2, outcome, gap: true, lost: true }
}

fn stretch() -> Stretch {
    Stretch { queue: Queue::Bulk.into(), first: 1, end: 2 }
}

#[test]
fn every_kind() {
    check("marker", Kind::Marker(Marker { router: "r".into(), life: vec![1; 16] }));
    check("grant", Kind::Grant(grant()));
    let released = Released { delivery: vec![9; 20], attempt: 2, epoch: 3, reason: "returned".into() };
    check("released", Kind::Released(released));
    check("outcome", Kind::Outcome(outcome()));
    let settled = Settled { epoch: 3, delivery: vec![9; 20], place: stretch(), note: Bytes::from_static(&[5]) };
    check("settled", Kind::Settled(settled));
    let closed = Closed {
        delivery: vec![9; 20],
        attempt: 2,
        farm: "cellar".into(),
        incarnation: vec![8; 16],
        grant: Some(grant()),
    };
    let checkpoint = Checkpoint {
        epoch: 3,
        piece: 1,
        pieces: 2,
        covers: 4,
        open: vec![grant()],
        waiting: vec![grant()],
        settled: vec![stretch()],
        closed: vec![closed],
        gaps: vec![outcome()],
        resend: vec![grant()],
    };
    check("checkpoint", Kind::Checkpoint(checkpoint));
}
