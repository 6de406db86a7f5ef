//! What goes in and out of an owner. Words only.

use std::sync::Arc;

use bytes::Bytes;
use model::record::OnUncertain;
use model::{DeliveryId, FarmName, LinkName, RouterName, Timestamp};

use crate::message::Token;
use crate::record::{Attempt, Epoch, Grant, LaneId, Outcome, PartitionId, Place};

/// Bounds and waits of an owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnerLimits {
    /// How long a farm, or an incarnation of it, may stay away before its open grants end as uncertain.
    pub farm_lost_seconds: u64,
    /// The longest a lease may wait at the farm.
    pub lease_seconds_max: u64,
    /// A checkpoint is written after so many records.
    pub checkpoint_records: u64,
    /// A checkpoint is written after this time, if anything was read since the last.
    pub checkpoint_seconds: u64,
    /// About how large a piece of a checkpoint may become.
    pub piece_bytes_max: usize,
    /// Attempts remembered at once (open, waiting, over but not forgotten by a farm); above it nothing is granted.
    pub attempts_max: usize,
    /// How long a marker that a farm has heard of may take to be read here, before the lane is taken to have gone back.
    pub marker_wait_seconds: u64,
}

impl Default for OwnerLimits {
    fn default() -> Self {
        OwnerLimits {
            farm_lost_seconds: 600,
            lease_seconds_max: 60,
            checkpoint_records: 20_000,
            checkpoint_seconds: 30,
            piece_bytes_max: 256 * 1024,
            attempts_max: 200_000,
            marker_wait_seconds: 15,
        }
    }
}

/// Who an owner is, and where it begins to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnerStart {
    /// The partition.
    pub partition: PartitionId,
    /// Its lane `leases`.
    pub lane: LaneId,
    /// The router's stable name.
    pub router: RouterName,
    /// The first offset to be read: 0, or what [`super::Owner::reading_start`] said when it was last stored.
    pub read_from: i64,
    /// Below this offset everything that follows from records is committed: nothing is derived from them again.
    pub derived_to: i64,
}

/// A delivery that could be handed out, with the link and the token the dispatcher picked for it.
#[derive(Clone, PartialEq, Debug)]
pub struct Offer {
    /// Where it stands.
    pub place: Place,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The highest attempt number used so far, over all hops (the header's `attempt`).
    pub attempt: u32,
    /// When it expires.
    pub expires: Timestamp,
    /// What to do if it may have been sent.
    pub on_uncertain: OnUncertain,
    /// The encoded [`model::record::Record`].
    pub envelope: Bytes,
    /// The farm.
    pub farm: FarmName,
    /// The link.
    pub link: LinkName,
    /// The token it uses up.
    pub token: Token,
}

/// Why an offer, or a request to settle, was not taken. Nothing changed; the token is still the dispatcher's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotTaken {
    /// This router does not own the partition (any more, or yet).
    #[error("the partition is not owned")]
    NotOwner,
    /// The farm has no session here, or has not answered in it.
    #[error("the farm has not answered")]
    NoSession,
    /// The place needs nothing more: acknowledge it.
    #[error("the place is settled")]
    Settled,
    /// The same delivery is open or waiting from another place: [`super::Owner::settle`] this one.
    #[error("the delivery is open already")]
    Repeated,
    /// This very delivery is being granted or settled.
    #[error("the delivery is in hand")]
    InHand,
    /// The lane lost its grant of this delivery: [`super::Owner::settle`] it with its envelope as the note; it comes back
    /// as [`Derived::GapEnded`].
    #[error("the delivery's grant is lost")]
    Gap,
    /// As many attempts are open as may be.
    #[error("too many attempts are open")]
    Full,
}

/// A delivery whose attempt was given up: it waits to be offered again (or settled), at the same place.
#[derive(Clone, PartialEq, Debug)]
pub struct Returned {
    /// Where it stands; settled, and still what it is offered under.
    pub place: Place,
    /// The last grant: delivery, attempt (offer it as the number used so far), expiry, envelope.
    pub grant: Arc<Grant>,
    /// Why, for people.
    pub reason: String,
}

/// What follows from a record, to be committed with the step that consumes it. Emitted in the lane's order, once per
/// owner; after a crash again for all that was not committed.
#[derive(Clone, PartialEq, Debug)]
pub enum Derived {
    /// A grant counts: the place is settled, the delivery is leased.
    GrantCounted {
        /// Its place in the route's lanes: acknowledge it.
        place: Place,
        /// The attempt.
        attempt: Attempt,
        /// The grant.
        grant: Arc<Grant>,
    },
    /// An attempt has its outcome: the first one.
    OutcomeCounted {
        /// The attempt.
        attempt: Attempt,
        /// The grant.
        grant: Arc<Grant>,
        /// What became of it.
        outcome: Outcome,
    },
    /// An attempt was given up, another follows.
    ReleaseCounted {
        /// The attempt.
        attempt: Attempt,
        /// The grant.
        grant: Arc<Grant>,
        /// Why, for people.
        reason: String,
    },
    /// The journal of a lost farm came back: a proof after the attempt had ended as uncertain (lanes, 10).
    CorrectionCounted {
        /// The attempt.
        attempt: Attempt,
        /// The grant.
        grant: Arc<Grant>,
        /// What became of it in truth.
        outcome: Outcome,
    },
    /// What [`super::Owner::settle`] asked for counts.
    SettleCounted {
        /// The place: acknowledge it.
        place: Place,
        /// The delivery.
        delivery: DeliveryId,
        /// The note it was settled with.
        note: Bytes,
    },
    /// A delivery ends as the farm's journal said, though the lane has no grant of it.
    GapEnded {
        /// The place: acknowledge it.
        place: Place,
        /// The attempt.
        attempt: Attempt,
        /// What the journal said, or `uncertain`.
        outcome: Outcome,
        /// The note it was settled with: its envelope.
        note: Bytes,
    },
    /// A newer marker was read: another router owns. The last thing this owner says.
    Stopped {
        /// The newer marker.
        epoch: Epoch,
    },
}

/// Something a person must look at.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Alarm {
    /// A record can't be read: the partition stands still until a build that reads it takes over.
    #[error("the record at offset `{offset}` can't be read: {reason}")]
    Unreadable {
        /// Where.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// A farm's journal names attempts the lane does not have: it went back. Their outcomes are appended, then the owner
    /// halts.
    #[error("farm `{farm}` knows {} attempts the lane does not have", attempts.len())]
    LaneWentBack {
        /// The farm.
        farm: FarmName,
        /// The attempts.
        attempts: Vec<Attempt>,
    },
    /// A farm has answered an epoch the lane does not have. The owner halts.
    #[error("farm `{farm}` has answered epoch `{epoch}`, which the lane does not have")]
    EpochAhead {
        /// The farm.
        farm: FarmName,
        /// The epoch.
        epoch: Epoch,
    },
    /// An attempt that was released has an outcome: somebody broke the rules.
    #[error("attempt `{}` of `{}` was released, yet begun", attempt.number, attempt.delivery)]
    ReleasedYetBegun {
        /// The attempt.
        attempt: Attempt,
    },
    /// A farm speaks of an attempt granted to another, or to another of its journals.
    #[error("farm `{farm}` speaks of attempt `{}` of `{}`, which it was not granted", attempt.number, attempt.delivery)]
    NotGranted {
        /// The farm.
        farm: FarmName,
        /// The attempt.
        attempt: Attempt,
    },
}
