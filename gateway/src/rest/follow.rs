//! Whether the state has what lane `accepted` held at a moment. Knows ends and positions, no message.

use std::time::Duration;

use bus::{Bus as _, Group};
use futures_util::future::try_join_all;
use model::Lane;
use store::Store as _;

use crate::run::Gateway;

/// How often positions are looked at.
const STEP: Duration = Duration::from_millis(50);

/// An engine does not say how far it is; the log has the reason.
#[derive(Debug)]
pub(super) struct Untold;

/// Waits, for a bounded time, until the state has what lane `accepted` held when this was called: everything that any
/// gateway had answered for by then. Whether it has.
///
/// # Errors
/// [`Untold`].
pub(super) async fn has_followed(gateway: &Gateway, max: Duration) -> Result<bool, Untold> {
    let late = tokio::time::Instant::now() + max;
    let partitions = 0..Lane::Accepted.partitions();
    let ends = tokio::time::timeout(max, try_join_all(partitions.map(|partition| end(gateway, partition))));
    let Ok(ends) = ends.await else { return Ok(false) };
    let followed = try_join_all((0..).zip(ends?).map(|(partition, end)| follow(gateway, partition, end, late)));
    Ok(followed.await?.into_iter().all(|followed| followed))
}

async fn end(gateway: &Gateway, partition: u32) -> Result<i64, Untold> {
    let bounds = gateway.bus.bounds(&Lane::Accepted, partition).await;
    bounds.map(|bounds| bounds.next).map_err(|error| untold(&error))
}

async fn follow(gateway: &Gateway, partition: u32, end: i64, late: tokio::time::Instant) -> Result<bool, Untold> {
    while gateway.store.projected(&Lane::Accepted, partition).await.map_err(|error| untold(&error))? < end {
        if tokio::time::Instant::now() >= late {
            // Offsets have gaps: there may be no entry between the position and the end.
            let lag = gateway.bus.lag(Group::PROJECTION, &Lane::Accepted, partition).await;
            return lag.map(|lag| lag == 0).map_err(|error| untold(&error));
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(true)
}

fn untold(error: &(dyn std::error::Error + 'static)) -> Untold {
    tracing::warn!(error, "how far the state has followed lane accepted can't be told");
    Untold
}
