//! The life of a delivery: its states, their rank, and which are final. Knows no storage.

use std::fmt;
use std::str::FromStr;

/// Where a delivery stands. The order of the variants is the rank: of several that are recorded, the highest is the state,
/// but for corrections, which move between final states.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Durable in lane `accepted`.
    Accepted,
    /// Not due yet: kept in the schedule.
    Scheduled,
    /// In a route's lane.
    Routed,
    /// Granted to a farm.
    Leased,
    /// Handed over; a receipt is to come.
    Submitted,
    /// Final: handed over, no receipt to come.
    Sent,
    /// Final: the handset, or whoever speaks for it, has it.
    Delivered,
    /// Final: the network or the supplier refused it for good, or every candidate did.
    Failed,
    /// Final: its validity ended before it could be handed over.
    Expired,
    /// Final: the tenant took it back in time.
    Cancelled,
    /// Final: no route, a key used for another body, or an acceptance that was never answered.
    Rejected,
    /// Final: may have been sent; never sent again blindly.
    Uncertain,
}

impl State {
    /// Every state, by rank.
    pub const ALL: [State; 12] = [
        State::Accepted,
        State::Scheduled,
        State::Routed,
        State::Leased,
        State::Submitted,
        State::Sent,
        State::Delivered,
        State::Failed,
        State::Expired,
        State::Cancelled,
        State::Rejected,
        State::Uncertain,
    ];

    /// The state's name, as tenants and operators read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Accepted => "accepted",
            State::Scheduled => "scheduled",
            State::Routed => "routed",
            State::Leased => "leased",
            State::Submitted => "submitted",
            State::Sent => "sent",
            State::Delivered => "delivered",
            State::Failed => "failed",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
            State::Rejected => "rejected",
            State::Uncertain => "uncertain",
        }
    }

    /// Whether the delivery's life is over.
    #[must_use]
    pub const fn is_final(self) -> bool {
        self as u8 >= State::Sent as u8
    }

    /// The rank as a number, for storage.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// The state of this rank.
    #[must_use]
    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).copied()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// A text that names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such state")]
pub struct UnknownState;

/// A message's state: a fold over its deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All deliveries are in this state.
    All(State),
    /// They differ; the counts tell more.
    Partial,
}

impl Verdict {
    /// The fold: all equal is that state, else partial. `None` without deliveries.
    #[must_use]
    pub fn of(states: impl IntoIterator<Item = State>) -> Option<Self> {
        let mut states = states.into_iter();
        let first = states.next()?;
        Some(if states.all(|state| state == first) { Verdict::All(first) } else { Verdict::Partial })
    }

    /// The verdict's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::All(state) => state.as_str(),
            Verdict::Partial => "partial",
        }
    }
}
