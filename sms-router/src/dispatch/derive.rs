//! What follows from a record of lane `leases`, as records of other lanes. Pure; decides nothing.

use bus::Entry;
use bytes::Bytes;
use lease::record::{Attempt, Grant, Outcome};
use model::event::{Ended, Event, Leased, Retried, Routed, Step};
use model::record::{Record, RecordError};
use model::{Lane, MessageId, State, Timestamp};
use prost::Message as _;

use super::slip::Heading;
use crate::outcome::{Fact, Kind, partition_key};

/// What a delivery is settled with when it leaves its route without a grant: what follows once that counts.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Note {
    /// What to append.
    #[prost(message, repeated, tag = "1")]
    pub(super) appended: Vec<Appended>,
    /// The delivery, in case its grant turns out to be lost.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) envelope: Bytes,
}

/// An entry of a lane.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Appended {
    #[prost(string, tag = "1")]
    pub(super) lane: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) payload: Bytes,
}

/// An entry and its lane.
pub(super) type Derivation = (Lane, Entry);

impl Note {
    pub(super) fn new(envelope: Bytes, appended: Vec<Derivation>) -> Self {
        let appended = appended.into_iter().map(|(lane, entry)| Appended {
            lane: lane.to_string(),
            key: entry.key,
            payload: entry.payload,
        });
        Note { appended: appended.collect(), envelope }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        model::octets(self).into()
    }

    pub(super) fn read(bytes: Bytes) -> Result<Self, RecordError> {
        Ok(Note::decode(bytes)?)
    }

    pub(super) fn derivations(self) -> Result<Vec<Derivation>, RecordError> {
        let of = |appended: Appended| {
            let lane = Lane::from_name(&appended.lane).ok_or(RecordError::Field("note.lane"))?;
            Ok((lane, Entry::new(appended.key, appended.payload)))
        };
        self.appended.into_iter().map(of).collect()
    }
}

/// The step of a delivery that was granted.
pub(super) fn leased(attempt: Attempt, grant: &Grant) -> Result<Derivation, RecordError> {
    let step = Step::Leased(Leased { farm: grant.farm.clone(), link: grant.link.clone() });
    event(&grant.envelope, attempt.number, Timestamp(grant.at_ms), step)
}

/// The step of a delivery whose attempt was given up.
pub(super) fn retried(
    attempt: Attempt,
    grant: &Grant,
    reason: &str,
    now: Timestamp,
) -> Result<Derivation, RecordError> {
    event(&grant.envelope, attempt.number, now, Step::Retried(Retried { reason: reason.to_owned() }))
}

/// The step of a delivery whose validity ended in the queue.
pub(super) fn expired(envelope: &Bytes, attempt: u32, now: Timestamp) -> Result<Derivation, RecordError> {
    ended(envelope, attempt, now, State::Expired, "its validity ended before a link was free")
}

/// The step of a delivery that was waiting in a copy the lanes were put back from.
pub(super) fn doubted(envelope: &Bytes, attempt: u32, now: Timestamp) -> Result<Derivation, RecordError> {
    ended(envelope, attempt, now, State::Uncertain, "the lanes were restored: it may have been sent since the backup")
}

/// The step of a notice that a later one made needless while it waited. Whoever composed both has taken it back.
pub(super) fn superseded(
    envelope: &Bytes,
    attempt: u32,
    by: MessageId,
    now: Timestamp,
) -> Result<Derivation, RecordError> {
    let ended = Ended {
        state: State::Cancelled.rank().into(),
        reason: format!("superseded by {by}"),
        superseded_by: by.to_bytes().to_vec(),
        ..Ended::default()
    };
    event(envelope, attempt, now, Step::Ended(ended))
}

fn ended(
    envelope: &Bytes,
    attempt: u32,
    now: Timestamp,
    state: State,
    reason: &str,
) -> Result<Derivation, RecordError> {
    let ended = Ended { state: state.rank().into(), reason: reason.to_owned(), ..Ended::default() };
    event(envelope, attempt, now, Step::Ended(ended))
}

/// Which kind of fact an outcome is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The attempt's first.
    First,
    /// A proof after the attempt had ended as uncertain.
    Correction,
}

/// The fact of an attempt that ended.
pub(super) fn fact(
    attempt: Attempt,
    grant: &Grant,
    outcome: Outcome,
    standing: Standing,
) -> Result<Derivation, RecordError> {
    let heading = Heading::of(&grant.envelope)?;
    // To where it is told what became of it: by who sent it, or by who has what it is a notice of.
    let account = if heading.fetch.is_some() { model::fetch::ACCOUNT } else { outcome.imsi.as_str() };
    let key = partition_key(account, &heading.recipient_hash);
    let fact = Fact {
        attempt: attempt.number,
        envelope: grant.envelope.clone(),
        outcome,
        leased_ms: grant.at_ms,
        farm: grant.farm.clone(),
        link: grant.link.clone(),
        correction: standing == Standing::Correction,
    };
    Ok((Lane::Outcomes, Entry::new(key, Kind::Fact(fact).to_bytes())))
}

/// The fact of an attempt whose grant the lane lost.
pub(super) fn gap_fact(attempt: Attempt, envelope: Bytes, outcome: Outcome) -> Result<Derivation, RecordError> {
    let grant = Grant { farm: outcome.farm.clone(), link: outcome.link.clone(), envelope, ..Grant::default() };
    fact(attempt, &grant, outcome, Standing::First)
}

/// A delivery that goes to its next candidate because its route is down: the record, and the step to tell. `None` if it has
/// no other candidate.
pub(super) struct Moved {
    pub(super) record: Record,
    pub(super) event: Derivation,
}

pub(super) fn moved(envelope: &Bytes, attempt: u32, now: Timestamp) -> Result<Option<Moved>, RecordError> {
    let mut record = Record::read(envelope.clone())?;
    let mut body = record.body()?;
    if body.candidates.len() < 2 {
        return Ok(None);
    }
    let left = body.candidates.remove(0);
    let next = body.candidates[0].clone();
    record.header.hop += 1;
    record.header.attempt = attempt;
    record.body = body.encode_to_vec().into();
    let lost = model::event::Lost {
        route: left.route,
        supplier: left.supplier,
        unit: Some(left.unit),
        reason: "link down".to_owned(),
    };
    let routed = Routed {
        route: next.route,
        supplier: next.supplier,
        unit: next.unit,
        price_table: body.price_table,
        hop: record.header.hop,
        lost: vec![lost],
        country: String::new(),
        prefix: next.prefix,
    };
    let event = event(envelope, attempt, now, Step::Routed(routed))?;
    Ok(Some(Moved { record, event }))
}

fn event(envelope: &Bytes, attempt: u32, at: Timestamp, step: Step) -> Result<Derivation, RecordError> {
    let heading = Heading::of(envelope)?;
    let event = Event {
        tenant: heading.tenant()?.to_owned(),
        message: heading.message.to_vec(),
        delivery: heading.delivery,
        deliveries: heading.deliveries,
        attempt,
        at_ms: at.0,
        segments: heading.segments,
        accepted_ms: heading.accepted_ms,
        notice: heading.notice.clone(),
        report: heading.report.clone().filter(|_| matches!(step, Step::Ended(_))),
        step: Some(step),
    };
    Ok((Lane::Events, Entry::new(heading.message, event.to_bytes())))
}
