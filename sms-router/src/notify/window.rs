//! What is known of one device: what changed and is not told, what was told and is not confirmed. Pure: no I/O, no clock, no
//! account. The rules are those of the specification's section on coalescing; their numbers stand beside what keeps them.

use std::sync::Arc;

use model::Timestamp;
use model::push::SUPERSEDED_MAX;

/// A device that began to synchronise and never said that it is done is taken to be done after this.
const SYNC_MS_MAX: i64 = 15 * 60 * 1_000;
/// Packages without confirmation that are remembered; the oldest is forgotten before more are.
const TOLD_MAX: usize = 64;

/// A resource that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Its canonical name, shared by all who name it.
    pub(super) resource: Arc<str>,
    /// When it changed last.
    pub(super) changed: Timestamp,
}

/// What is known of a device.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    /// When the device was first heard of: with it, numbers of a device that was removed and came again are others.
    pub(super) born: Timestamp,
    /// The number of the last notification.
    pub(super) seq: u64,
    /// Packages made so far: sessions and references are counted by it.
    pub(super) packages: u32,
    /// The offset in lane `changes` behind what was applied.
    pub(super) applied: i64,
    /// Notifications in a row that failed for good.
    pub(super) failures: u32,
    /// The one counted last.
    pub(super) failed_seq: u64,
    /// What changed and is not told.
    pub(super) dirty: Vec<Mark>,
    /// The window, if one is open.
    pub(super) open: Option<Open>,
    /// Whether it is not to be told now.
    pub(super) held: Option<Held>,
    /// Since when the device synchronises by itself.
    pub(super) syncing: Option<Timestamp>,
    /// A notification that is made and perhaps not handed over.
    pub(super) intent: Option<Box<Intent>>,
    /// What was handed over and is not confirmed: a package each. No resource is in two of them.
    pub(super) told: Vec<Package>,
    /// When it was seen that the device is no more.
    pub(super) gone: Option<Timestamp>,
}

/// An open window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Open {
    /// When its first change came.
    pub(super) opened: Timestamp,
    /// When it closes. Moves to an earlier time only (rule 1), but for a window that could not be told.
    pub(super) deadline: Timestamp,
    /// Changes in it.
    pub(super) events: u32,
    /// A report came while it was open: its whole set counts as new (rule 4).
    pub(super) fresh: bool,
    /// It was held up by something other than us: a pause, a sync, a missing route. Its lateness is not ours.
    pub(super) held_up: bool,
}

/// A device that is not to be told now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Held {
    /// Until when; `None`: until somebody says so.
    pub(super) until: Option<Timestamp>,
}

/// A notification that is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Intent {
    /// Its number.
    pub(super) seq: u64,
    /// When it was made.
    pub(super) made: Timestamp,
    /// Its window.
    pub(super) window: Open,
    /// What it tells of, in the order of the names.
    pub(super) marks: Vec<Mark>,
    /// Packages of the device made before it.
    pub(super) packages_before: u32,
    /// Resources of the window that earlier notifications tell of.
    pub(super) told_before: u32,
    /// Those notifications.
    pub(super) told_by: Vec<u64>,
    /// Packages that were not sent when it was made: it tells of what they tell of, too (rule 4).
    pub(super) supersedes: Vec<PackageId>,
}

/// Which package of a device's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct PackageId {
    /// The notification's number.
    pub(super) seq: u64,
    /// The delivery of its message.
    pub(super) delivery: u32,
}

/// A package that was handed over and is not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Package {
    /// Which it is.
    pub(super) id: PackageId,
    /// When its validity is over: then it is forgotten.
    pub(super) until: Timestamp,
    /// What it tells of.
    pub(super) marks: Vec<Mark>,
}

/// What a deadline came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// Nothing is left to be told.
    Nothing {
        /// Resources nobody wants to hear of any more.
        unwanted: usize,
    },
    /// The device will find everything when it looks for what it was told of (rule 4).
    Covered {
        /// The window.
        window: Open,
        /// The numbers of the notifications that tell of it.
        by: Vec<u64>,
    },
    /// [`Window::intent`] is to be told.
    Notice,
}

/// What became of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The device has it.
    Delivered,
    /// It was handed over; nothing will be heard.
    Unheard,
    /// It was not delivered.
    Failed {
        /// Another one would fail, too.
        permanent: bool,
    },
    /// Its time was over.
    Expired,
    /// It was not sent: a later one tells of what it would have told of.
    Superseded,
}

impl Window {
    /// A resource changed. Opens a window if none is open; never moves a deadline to a later time (rule 1). True if the
    /// resource was not marked before.
    pub(super) fn mark(&mut self, resource: &Arc<str>, at: Timestamp, within_ms: i64) -> bool {
        if self.born == Timestamp::default() {
            self.born = at;
        }
        self.gone = None;
        let is_new = put(&mut self.dirty, Mark { resource: Arc::clone(resource), changed: at });
        let deadline = at.plus_ms(within_ms);
        match &mut self.open {
            Some(open) => {
                open.deadline = if open.held_up { open.deadline } else { open.deadline.min(deadline) };
                open.events = open.events.saturating_add(1);
            }
            None => {
                self.open = Some(Open { opened: at, deadline, events: 1, fresh: false, held_up: false });
            }
        }
        is_new
    }

    /// When something is to be done, if ever.
    pub(super) fn due(&self) -> Option<Timestamp> {
        if self.intent.is_some() {
            return Some(Timestamp(i64::MIN));
        }
        if let Some(since) = self.syncing {
            return Some(since.plus_ms(SYNC_MS_MAX));
        }
        let open = self.open?;
        match self.held {
            Some(held) => held.until,
            None => Some(open.deadline),
        }
    }

    /// Packages of which it matters, should the window close at `now`, whether they were sent: those without confirmation, if
    /// there is something that they do not tell of. The latest, at most [`SUPERSEDED_MAX`].
    pub(super) fn asks(&self, now: Timestamp) -> Vec<PackageId> {
        let Some(open) = self.open.filter(|_| self.intent.is_none()) else { return Vec::new() };
        let live = || self.told.iter().filter(|package| package.until > now);
        let is_told = |mark: &Mark| live().any(|package| package.tells_of(&mark.resource));
        if self.dirty.is_empty() || (!open.fresh && self.dirty.iter().all(is_told)) {
            return Vec::new();
        }
        live().rev().take(SUPERSEDED_MAX).map(|package| package.id).collect()
    }

    /// The deadline came: what is wanted of it becomes a notification with the next number, unless packages without
    /// confirmation tell of all of it. What those of them tell of that are `unsent` goes along, and they need not be sent.
    pub(super) fn close(&mut self, now: Timestamp, unsent: &[PackageId], wants: impl Fn(&str) -> bool) -> Closed {
        self.forget(now);
        let Some(window) = self.open.take() else { return Closed::Nothing { unwanted: 0 } };
        let before = self.dirty.len();
        self.dirty.retain(|mark| wants(&mark.resource));
        let unwanted = before - self.dirty.len();
        let mut marks = std::mem::take(&mut self.dirty);
        if marks.is_empty() {
            return Closed::Nothing { unwanted };
        }
        let mut told = Vec::new();
        if !window.fresh {
            let is_told = |mark: &Mark| self.told.iter().any(|package| package.tells_of(&mark.resource));
            (told, marks) = marks.into_iter().partition(is_told);
        }
        if marks.is_empty() {
            return Closed::Covered { window, by: self.tellers(&told) };
        }
        let supersedes = self.merge(&mut marks, &mut told, unsent, wants);
        let (told_before, told_by) = (u32::try_from(told.len()).unwrap_or(u32::MAX), self.tellers(&told));
        marks.sort_unstable_by(|a, b| a.resource.cmp(&b.resource));
        self.seq += 1;
        let (seq, packages_before) = (self.seq, self.packages);
        let intent = Intent { seq, made: now, window, marks, packages_before, told_before, told_by, supersedes };
        self.intent = Some(Box::new(intent));
        Closed::Notice
    }

    /// Puts what packages tell of that were not sent to what is to be told; of what changed again since, as it is in `told`.
    /// Returns those packages.
    fn merge(
        &self,
        marks: &mut Vec<Mark>,
        told: &mut Vec<Mark>,
        unsent: &[PackageId],
        wants: impl Fn(&str) -> bool,
    ) -> Vec<PackageId> {
        let merged: Vec<&Package> = self.told.iter().filter(|package| unsent.contains(&package.id)).collect();
        for mark in merged.iter().flat_map(|package| &package.marks).filter(|mark| wants(&mark.resource)) {
            put(marks, mark.clone());
        }
        told.retain(|mark| {
            let is_merged = merged.iter().any(|package| package.tells_of(&mark.resource));
            if is_merged {
                put(marks, mark.clone());
            }
            !is_merged
        });
        merged.into_iter().map(|package| package.id).collect()
    }

    /// The notification can't be told now and was not handed over: its set goes on collecting, and is looked at again at
    /// `again` (rule 4: what is not sent is merged with what comes).
    pub(super) fn take_back(&mut self, again: Timestamp) {
        let Some(intent) = self.intent.take() else { return };
        self.seq = intent.seq - 1;
        self.packages = intent.packages_before;
        for mark in intent.marks {
            // What only came along is told by the package it came from.
            if !self.told.iter().any(|package| intent.supersedes.contains(&package.id) && package.marks.contains(&mark))
            {
                put(&mut self.dirty, mark);
            }
        }
        let events = self.open.map_or(0, |open| open.events);
        let events = intent.window.events.saturating_add(events);
        self.open = Some(Open { deadline: again, events, held_up: true, ..intent.window });
    }

    /// The same for a notification that nobody knows whether it was handed over: it keeps its number, which is not used again.
    pub(super) fn take_back_if_made(&mut self) {
        if let Some(intent) = self.intent.take() {
            for mark in intent.marks {
                put(&mut self.dirty, mark);
            }
        }
    }

    /// Something is another: a window that was held up looks again at once.
    pub(super) fn look_again(&mut self, now: Timestamp) {
        if let Some(open) = self.open.as_mut().filter(|open| open.held_up) {
            open.deadline = open.deadline.min(now);
        }
    }

    /// The notification was handed over, in these packages, which are worth something until `until`.
    pub(super) fn handed_over(&mut self, packages: Vec<Vec<Mark>>, until: Timestamp) {
        let Some(intent) = self.intent.take() else { return };
        self.told.retain(|package| !intent.supersedes.contains(&package.id));
        for package in &mut self.told {
            package.marks.retain(|mark| !intent.marks.iter().any(|new| new.resource == mark.resource));
        }
        self.told.retain(|package| !package.marks.is_empty());
        self.packages = intent.packages_before.wrapping_add(u32::try_from(packages.len()).unwrap_or(u32::MAX));
        for (delivery, marks) in (0..).zip(packages) {
            self.told.push(Package { id: PackageId { seq: intent.seq, delivery }, until, marks });
        }
        let over = self.told.len().saturating_sub(TOLD_MAX);
        self.told.drain(..over);
    }

    /// What became of a package (rule 4); false if nothing was waiting for it. What was not delivered is dirty again, and goes
    /// with the next window.
    pub(super) fn ended(&mut self, id: PackageId, end: End) -> bool {
        match end {
            End::Delivered => (self.failures, self.failed_seq) = (0, 0),
            End::Failed { permanent: true } if self.failed_seq != id.seq => {
                (self.failures, self.failed_seq) = (self.failures.saturating_add(1), id.seq);
            }
            End::Failed { .. } | End::Unheard | End::Expired | End::Superseded => {}
        }
        let place = self.told.iter().position(|package| package.id == id);
        let Some(place) = place.filter(|_| end != End::Unheard) else { return false };
        let package = self.told.remove(place);
        if let Some(open) = self.open.as_mut().filter(|_| end != End::Superseded) {
            open.fresh = true;
        }
        for mark in package.marks {
            let is_lost = match end {
                End::Failed { .. } => true,
                // The later one was forgotten here, or is: nothing else may carry it.
                End::Superseded => !self.tells_later(&mark),
                End::Delivered | End::Unheard | End::Expired => false,
            };
            if is_lost {
                put(&mut self.dirty, mark);
            }
        }
        true
    }

    /// Whether another package, or one that is being made, tells of a resource as late or later.
    fn tells_later(&self, mark: &Mark) -> bool {
        let as_late = |other: &Mark| other.resource == mark.resource && other.changed >= mark.changed;
        let made = self.intent.iter().flat_map(|intent| &intent.marks);
        self.told.iter().flat_map(|package| &package.marks).chain(made).any(as_late)
    }

    /// The device synchronises by itself since `from`, and is done at `to` if that is said (rule 5). Returns the numbers of the
    /// notifications this confirms.
    pub(super) fn synced(&mut self, from: Timestamp, to: Option<Timestamp>, now: Timestamp) -> Vec<u64> {
        let is_found = |mark: &Mark| mark.changed <= from;
        self.dirty.retain(|mark| !is_found(mark));
        let mut confirmed: Vec<u64> = Vec::new();
        for package in &mut self.told {
            package.marks.retain(|mark| !is_found(mark));
            if package.marks.is_empty() {
                confirmed.push(package.id.seq);
            }
        }
        self.told.retain(|package| !package.marks.is_empty());
        confirmed.dedup();
        self.syncing = if to.is_some() { None } else { Some(from) };
        if self.dirty.is_empty() {
            self.open = None;
        } else if let Some(open) = &mut self.open {
            open.held_up = true;
            if open.deadline < now {
                open.deadline = now;
            }
        }
        (self.failures, self.failed_seq) = (0, 0);
        confirmed
    }

    /// The time for a device to say that it is done is over.
    pub(super) fn stop_waiting_for_sync(&mut self, now: Timestamp) {
        if self.syncing.is_some_and(|since| since.plus_ms(SYNC_MS_MAX) <= now) {
            self.syncing = None;
        }
    }

    /// It is not to be told now: what changes is kept.
    pub(super) fn hold(&mut self, until: Option<Timestamp>) {
        self.held = Some(Held { until });
        if let Some(open) = &mut self.open {
            open.held_up = true;
        }
    }

    /// It may be told again: all that is dirty goes at once.
    pub(super) fn release(&mut self, now: Timestamp) {
        if self.held.take().is_none() {
            return;
        }
        if !self.dirty.is_empty() {
            let opened = self.open.map_or(now, |open| open.opened);
            let events = self.open.map_or(0, |open| open.events);
            let fresh = self.open.is_some_and(|open| open.fresh);
            self.open = Some(Open { opened, deadline: now, events, fresh, held_up: true });
        }
    }

    /// It is not to be told at all: nothing is kept (rule 6). Returns how many resources were not told.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.dirty.len();
        (self.open, self.held, self.syncing) = (None, None, None);
        self.dirty = Vec::new();
        self.told = Vec::new();
        dropped
    }

    /// Whether nothing is known but numbers.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        self.dirty.is_empty() && self.told.is_empty() && self.intent.is_none() && self.open.is_none()
    }

    /// Forgets packages whose validity is over.
    fn forget(&mut self, now: Timestamp) {
        self.told.retain(|package| package.until > now);
    }

    fn tellers(&self, marks: &[Mark]) -> Vec<u64> {
        let tells = |package: &&Package| marks.iter().any(|mark| package.tells_of(&mark.resource));
        let mut by: Vec<u64> = self.told.iter().filter(tells).map(|package| package.id.seq).collect();
        by.dedup();
        by
    }
}

impl Package {
    fn tells_of(&self, resource: &str) -> bool {
        self.marks.iter().any(|mark| &*mark.resource == resource)
    }
}

/// Puts a mark, or the later time on the one that is there. True if there was none.
fn put(marks: &mut Vec<Mark>, mark: Mark) -> bool {
    match marks.iter_mut().find(|known| known.resource == mark.resource) {
        Some(known) => {
            known.changed = known.changed.max(mark.changed);
            false
        }
        None => {
            marks.push(mark);
            true
        }
    }
}

#[cfg(test)]
#[path = "window/tests.rs"]
mod tests;
