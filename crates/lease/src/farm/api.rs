//! What goes in and out of a farm's machine. Words only.

use model::LinkName;

use crate::message::{JournalState, Lease};
use crate::record::{Attempt, Epoch, LaneId, Outcome, PartitionId};

/// Bounds of a farm's machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FarmLimits {
    /// Leases held and journal entries, together; a lease above it is given back.
    pub attempts_max: usize,
}

impl Default for FarmLimits {
    fn default() -> Self {
        FarmLimits { attempts_max: 100_000 }
    }
}

/// What the journal held when the farm started.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Recovered {
    /// The epochs answered.
    pub epochs: Vec<KeptEpoch>,
    /// The attempts begun.
    pub entries: Vec<RecoveredEntry>,
}

/// The newest epoch the farm has answered for a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptEpoch {
    /// The partition.
    pub partition: PartitionId,
    /// Its lane.
    pub lane: LaneId,
    /// The epoch.
    pub epoch: Epoch,
}

/// An attempt in the journal.
#[derive(Clone, PartialEq, Debug)]
pub struct RecoveredEntry {
    /// The partition that granted it.
    pub partition: PartitionId,
    /// Which attempt.
    pub attempt: Attempt,
    /// The link that began it.
    pub link: LinkName,
    /// What is known.
    pub state: JournalState,
}

/// A write to the journal, numbered from 1 in the order the writes must take effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WriteId(pub u64);

/// What to write to the journal.
#[derive(Clone, PartialEq, Debug)]
pub enum JournalWrite {
    /// Replaces the partition's epoch (rule 8).
    Epoch(KeptEpoch),
    /// The intent to send a part: part 0 begins the attempt, the others are detail (rule 11).
    Begun {
        /// The partition that granted it.
        partition: PartitionId,
        /// Which attempt.
        attempt: Attempt,
        /// Which part.
        part: u32,
        /// The link.
        link: LinkName,
    },
    /// What became of an attempt.
    Ended {
        /// Which attempt.
        attempt: Attempt,
        /// The outcome.
        outcome: Outcome,
    },
    /// Takes attempts out of the journal, with all their parts.
    Forget {
        /// Which attempts.
        attempts: Vec<Attempt>,
    },
}

impl JournalWrite {
    /// Whether somebody waits for it; a write that is not urgent may wait for the next that is.
    #[must_use]
    pub const fn is_urgent(&self) -> bool {
        !matches!(self, JournalWrite::Forget { .. })
    }
}

/// What links have to know.
#[derive(Clone, PartialEq, Debug)]
pub enum FarmEvent {
    /// A lease to be begun when the link is free.
    Deliver(Lease),
    /// A lease that must not be begun any more. If it has been asked for with [`super::Farm::begin`] already, there is none.
    Drop {
        /// Which attempt.
        attempt: Attempt,
        /// Why.
        reason: DropReason,
    },
    /// The intent is synced: the bytes of this part may leave.
    MayBegin {
        /// Which attempt.
        attempt: Attempt,
        /// Which part.
        part: u32,
    },
}

/// Why a lease is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// A router asked (rule 5).
    Asked,
    /// Its deadline is past; it went back.
    Late,
    /// Its router wants it back.
    Cancelled,
}

/// Why an attempt can't begin, go on, end or go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotHeld {
    /// It is not held (any more).
    #[error("the attempt is not held")]
    Dropped,
    /// Its deadline is past; it went back.
    #[error("the attempt is late")]
    Late,
    /// Its intent is written: it can only end.
    #[error("the attempt has begun")]
    Begun,
    /// Its intent is not synced, or it has ended.
    #[error("the attempt is not under way")]
    NotUnderWay,
}
