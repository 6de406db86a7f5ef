//! What a service centre says of its work.

use serde::Serialize;

/// What a service centre did since its start, and what it has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SmscCounts {
    /// Messages it took.
    pub taken: u64,
    /// Messages it refused.
    pub refused: u64,
    /// Receipts that were delivered and answered.
    pub receipts: u64,
    /// Receipts and messages that wait to be delivered.
    pub owed: usize,
    /// Connections that are bound.
    pub bound: usize,
}
