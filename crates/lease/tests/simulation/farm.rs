//! A farm's node: the machine, the journal on its disk, the links at work. Drives the machine as production does.

use std::collections::{BTreeMap, VecDeque};

use lease::farm::{FarmEvent, JournalWrite, KeptEpoch, Recovered, RecoveredEntry, WriteId};
use lease::message::{Incarnation, JournalState, Session};
use lease::{Attempt, Farm};

/// What a disk holds.
#[derive(Default, Clone)]
pub(crate) struct Disk {
    pub(crate) epochs: Vec<KeptEpoch>,
    pub(crate) entries: BTreeMap<Attempt, RecoveredEntry>,
}

/// What a link does with an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// In the link's queue.
    Queued,
    /// The link has asked to begin.
    Asked,
    /// It may send.
    Clear,
    /// The network took the PDU.
    Sent,
    /// The network, or the modem, refused it.
    Refused,
}

pub(crate) struct Node {
    pub(crate) machine: Option<Farm>,
    pub(crate) incarnation: Incarnation,
    pub(crate) disk: Disk,
    pub(crate) unsynced: VecDeque<(WriteId, JournalWrite)>,
    /// Synced; the machine has not been told.
    pub(crate) untold: Option<WriteId>,
    pub(crate) work: BTreeMap<Attempt, Work>,
    /// The session to each router, as this end sees it.
    pub(crate) streams: BTreeMap<usize, Session>,
}

impl Node {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Node {
            machine: None,
            incarnation,
            disk: Disk::default(),
            unsynced: VecDeque::new(),
            untold: None,
            work: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    /// Syncs one write, and gives the attempt whose intent became durable by it.
    pub(crate) fn sync_one(&mut self) -> Option<Attempt> {
        let (id, write) = self.unsynced.pop_front()?;
        self.untold = Some(id);
        self.disk.write(write)
    }

    pub(crate) fn take_event(&mut self, event: FarmEvent) {
        match event {
            FarmEvent::Deliver(lease) => {
                self.work.insert(lease.attempt, Work::Queued);
            }
            // The link learns of it only when it tries to begin.
            FarmEvent::Drop { .. } => {}
            FarmEvent::MayBegin { attempt, .. } => {
                self.work.insert(attempt, Work::Clear);
            }
        }
    }

    /// Dies: memory is gone, and so are writes that were not synced.
    pub(crate) fn crash(&mut self) {
        self.machine = None;
        self.unsynced.clear();
        self.untold = None;
        self.work.clear();
        self.streams.clear();
    }
}

impl Disk {
    fn write(&mut self, write: JournalWrite) -> Option<Attempt> {
        match write {
            JournalWrite::Epoch(kept) => {
                self.epochs.retain(|other| other.partition != kept.partition);
                self.epochs.push(kept);
            }
            JournalWrite::Begun { partition, attempt, link, part: 0 } => {
                let state = JournalState::Begun;
                self.entries.insert(attempt, RecoveredEntry { partition, attempt, link, state });
                return Some(attempt);
            }
            JournalWrite::Begun { .. } => {}
            JournalWrite::Ended { attempt, outcome } => {
                if let Some(entry) = self.entries.get_mut(&attempt) {
                    entry.state = JournalState::Ended(outcome);
                }
            }
            JournalWrite::Forget { attempts } => {
                for attempt in attempts {
                    self.entries.remove(&attempt);
                }
            }
        }
        None
    }

    /// Attempts with an intent and no outcome.
    pub(crate) fn begun_count(&self) -> usize {
        self.entries.values().filter(|entry| entry.state == JournalState::Begun).count()
    }

    pub(crate) fn read(&self) -> Recovered {
        Recovered { epochs: self.epochs.clone(), entries: self.entries.values().cloned().collect() }
    }
}
