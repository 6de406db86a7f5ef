//! Whether a lane has room: how often the brokers are asked what it holds. Knows no entries.
//!
//! What this process appends and acknowledges it counts itself; what others do it hears of by asking, at most this often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::Lane;

use super::KafkaBus;
use super::lane::LaneState;
use super::sync::lock;
use crate::BusError;

/// How old what is known of a lane may be.
const SAMPLE_MAX: Duration = Duration::from_secs(1);

/// When lanes were looked at.
#[derive(Default)]
pub(super) struct Rooms {
    looked: Mutex<HashMap<Lane, Instant>>,
}

impl Rooms {
    /// Has the lane looked at if that was long ago. Waits for it only the first time.
    pub(super) async fn look(&self, bus: &KafkaBus, lane: &Arc<LaneState>) -> Result<(), BusError> {
        let now = Instant::now();
        let before = {
            let mut looked = lock(&self.looked);
            let before = looked.get(&lane.lane).copied();
            if before.is_some_and(|before| now - before < SAMPLE_MAX) {
                return Ok(());
            }
            looked.insert(lane.lane.clone(), now);
            before
        };
        if before.is_none() {
            return sample(bus, lane).await;
        }
        let (bus, lane) = (bus.clone(), Arc::clone(lane));
        tokio::spawn(async move {
            if let Err(error) = sample(&bus, &lane).await {
                tracing::debug!(lane = %lane.lane, %error, "how full a lane is can't be asked");
            }
        });
        Ok(())
    }
}

async fn sample(bus: &KafkaBus, lane: &LaneState) -> Result<(), BusError> {
    let mut groups: Vec<_> = lane.partitions.iter().flat_map(|partition| partition.groups()).collect();
    groups.sort_unstable();
    groups.dedup();
    for partition in &lane.partitions {
        bus.inner.reader.ends(partition).await?;
    }
    for group in groups {
        let found = bus.inner.groups.committed(group, lane.partitions.clone()).await?;
        for (partition, watermark) in lane.partitions.iter().zip(found) {
            watermark.map(|watermark| partition.saw_watermark(group, watermark));
        }
    }
    lane.partitions.iter().for_each(|partition| partition.recount());
    Ok(())
}
