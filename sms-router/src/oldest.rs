//! How long the oldest delivery that nobody granted waits in the routes' lanes. Looks at lanes, moves nothing.

use std::time::Duration;

use bus::{Bus, BusError, Group};
use model::{Lane, RouteId, Timestamp};

/// How long a look at one lane may take: an entry that is behind a watermark is there, or has just been taken.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// The longest wait of all these routes, in milliseconds; 0 if nothing waits.
///
/// # Errors
/// A lane can't be looked at.
pub(crate) async fn waits_ms<B: Bus>(
    bus: &B,
    routes: impl Iterator<Item = &RouteId>,
    now: Timestamp,
) -> Result<i64, BusError> {
    let mut longest = 0;
    for route in routes {
        for lane in [Lane::Front(route.clone()), Lane::Bulk(route.clone())] {
            for partition in 0..lane.partitions() {
                if let Some(at) = oldest(bus, &lane, partition).await? {
                    longest = longest.max(now.0 - at.0);
                }
            }
        }
    }
    Ok(longest)
}

/// When the first entry above the owner's watermark was appended.
async fn oldest<B: Bus>(bus: &B, lane: &Lane, partition: u32) -> Result<Option<Timestamp>, BusError> {
    let lag = match bus.lag(Group::OWNER, lane, partition).await {
        Ok(lag) => lag,
        // The route was entered a moment ago.
        Err(BusError::NoLane { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if lag == 0 {
        return Ok(None);
    }
    let from = bus.watermark(Group::OWNER, lane, partition).await?;
    match tokio::time::timeout(LOOK_MAX, bus.read(lane, partition, from, 1)).await {
        Ok(Ok(reads)) => Ok(reads.first().map(|read| read.at)),
        Ok(Err(BusError::Trimmed { .. })) | Err(_) => Ok(None),
        Ok(Err(error)) => Err(error),
    }
}
