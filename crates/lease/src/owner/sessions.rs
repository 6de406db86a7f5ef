//! The sessions of farms with one owner: who is attached, who has answered, who stays away since when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::FarmName;

use super::book::Holder;
use crate::message::{Incarnation, Session};
use crate::rule::{Rule, Rules};

/// How far the handshake of a session has come (rule 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Handshake {
    /// The owner does not own yet.
    Open,
    /// Asked.
    Asked,
    /// The answer was taken in: leases may flow.
    Heard,
}

/// A farm that is attached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    pub(super) incarnation: Incarnation,
    pub(super) session: Session,
    pub(super) handshake: Handshake,
}

#[derive(Debug)]
pub(super) struct Sessions {
    rules: Rules,
    attached: BTreeMap<FarmName, Attached>,
    away: BTreeMap<Holder, Instant>,
}

impl Sessions {
    pub(super) fn new(rules: Rules) -> Self {
        Sessions { rules, attached: BTreeMap::new(), away: BTreeMap::new() }
    }

    pub(super) fn get(&self, farm: &FarmName) -> Option<Attached> {
        self.attached.get(farm).copied()
    }

    pub(super) fn farms(&self) -> Vec<FarmName> {
        self.attached.keys().cloned().collect()
    }

    pub(super) fn open(&mut self, farm: &FarmName, attached: Attached) {
        self.attached.insert(farm.clone(), attached);
    }

    pub(super) fn close(&mut self, farm: &FarmName) -> Option<Attached> {
        self.attached.remove(farm)
    }

    pub(super) fn set(&mut self, farm: &FarmName, handshake: Handshake) {
        if let Some(attached) = self.attached.get_mut(farm) {
            attached.handshake = handshake;
        }
    }

    /// The session in which this very incarnation has answered.
    pub(super) fn heard(&self, holder: &Holder) -> Option<Session> {
        let attached = self.attached.get(&holder.farm)?;
        let heard = self.is_heard(*attached) && attached.incarnation == holder.incarnation;
        heard.then_some(attached.session)
    }

    /// Whether leases may flow and words are believed.
    pub(super) fn is_heard(&self, attached: Attached) -> bool {
        let early = attached.handshake == Handshake::Asked && !self.rules.keep(Rule::Handshake);
        attached.handshake == Handshake::Heard || early
    }

    /// The farm is not heard; it has been away since `now` unless it was before.
    pub(super) fn miss(&mut self, holder: &Holder, now: Instant) {
        if self.heard(holder).is_none() {
            self.away.entry(holder.clone()).or_insert(now);
        }
    }

    pub(super) fn found(&mut self, holder: &Holder) {
        self.away.remove(holder);
    }

    /// Takes out those who stayed away too long.
    pub(super) fn take_lost(&mut self, now: Instant, after: Duration) -> Vec<Holder> {
        let is_lost = |since: &Instant| now.saturating_duration_since(*since) >= after;
        let lost: Vec<Holder> = self.away.iter().filter(|(_, since)| is_lost(since)).map(|(h, _)| h.clone()).collect();
        for holder in &lost {
            self.away.remove(holder);
        }
        lost
    }

    pub(super) fn lost_at(&self, after: Duration) -> Option<Instant> {
        self.away.values().min().and_then(|since| since.checked_add(after))
    }
}
