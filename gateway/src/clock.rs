//! What time it is, for the gateway's handlers. The only place of this role that asks.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Now, in UTC.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
