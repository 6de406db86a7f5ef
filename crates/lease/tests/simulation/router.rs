//! A router: an owner, the appends it has in flight, the queue its dispatcher keeps. Drives the owner as production does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lease::message::{Incarnation, Session};
use lease::owner::{Derived, Owner, Returned};
use lease::record::{Grant, Kind, Place};
use model::DeliveryId;

/// Something to be offered.
#[derive(Clone, Debug)]
pub(crate) enum Ready {
    Fresh { place: Place, delivery: DeliveryId, attempt: u32 },
    Again { place: Place, grant: Arc<Grant> },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) incarnation: Incarnation,
    pub(crate) session: Session,
}

pub(crate) struct Router {
    pub(crate) alive: bool,
    /// It does not get to read, though it does all else: a slow owner.
    pub(crate) blind: bool,
    pub(crate) owner: Option<Owner>,
    pub(crate) generation: u64,
    /// The next offset of lane `leases` to read.
    pub(crate) position: i64,
    /// Appended, and not in the lane yet.
    pub(crate) in_flight: VecDeque<Kind>,
    pub(crate) derived: Vec<Derived>,
    /// The next offset of the route's lane to read.
    pub(crate) cursor: i64,
    pub(crate) ready: VecDeque<Ready>,
    pub(crate) seats: BTreeMap<usize, Seat>,
}

impl Router {
    pub(crate) fn new() -> Self {
        Router {
            alive: true,
            blind: false,
            owner: None,
            generation: 0,
            position: 0,
            in_flight: VecDeque::new(),
            derived: Vec::new(),
            cursor: 0,
            ready: VecDeque::new(),
            seats: BTreeMap::new(),
        }
    }

    /// Forgets its owner; what it has appended may still land.
    pub(crate) fn leave(&mut self) {
        self.owner = None;
        self.derived.clear();
        self.ready.clear();
    }
}

impl Ready {
    pub(crate) fn returned(returned: Returned) -> Self {
        Ready::Again { place: returned.place, grant: returned.grant }
    }

    pub(crate) fn place(&self) -> Place {
        match self {
            Ready::Fresh { place, .. } | Ready::Again { place, .. } => *place,
        }
    }

    pub(crate) fn delivery(&self) -> DeliveryId {
        match self {
            Ready::Fresh { delivery, .. } => *delivery,
            Ready::Again { grant, .. } => DeliveryId::from_bytes(&grant.delivery).unwrap(),
        }
    }

    pub(crate) fn used(&self) -> u32 {
        match self {
            Ready::Fresh { attempt, .. } => *attempt,
            Ready::Again { grant, .. } => grant.attempt,
        }
    }
}
