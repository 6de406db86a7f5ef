//! A moment on both clocks. Never asks what time it is.

use std::time::Instant;

use model::Timestamp;

/// A moment: on the monotonic clock, which deadlines are measured by, and as UTC, which people read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Now {
    /// For deadlines and waits.
    pub instant: Instant,
    /// For records.
    pub utc: Timestamp,
}
