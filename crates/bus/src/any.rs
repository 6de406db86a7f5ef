//! The engine picked at run time. Knows which engines there are.

use model::Lane;

use crate::{Bounds, Bus, BusError, Consumed, EmbeddedBus, Entry, Group, LaneInfo, Membership, Position, Read};

/// Whichever engine the configuration names. The futures of Kafka are behind a pointer, so that those who ask the embedded engine
/// do not carry them.
#[derive(Clone)]
pub enum AnyBus {
    /// Files of this process.
    Embedded(EmbeddedBus),
    /// Apache Kafka.
    #[cfg(feature = "kafka")]
    Kafka(crate::KafkaBus),
}

impl AnyBus {
    /// Whether [`Bus::append`] is taken whole or not at all, whatever partitions its entries go to. Where it is not, who puts
    /// independent messages into one append could be told of all that they failed, though some are durable.
    #[must_use]
    pub const fn appends_whole(&self) -> bool {
        match self {
            AnyBus::Embedded(_) => true,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(_) => false,
        }
    }
}

impl Bus for AnyBus {
    async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.create(lane).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.create(lane)).await,
        }
    }

    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.declare(lane, groups).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.declare(lane, groups)).await,
        }
    }

    async fn append(&self, lane: &Lane, batch: Vec<Entry>) -> Result<Vec<Position>, BusError> {
        #[cfg(debug_assertions)]
        let batch = batch.into_iter().map(|entry| crate::next::written(lane, entry)).collect();
        match self {
            AnyBus::Embedded(bus) => bus.append(lane, batch).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.append(lane, batch)).await,
        }
    }

    async fn commit(&self, consumed: Vec<Consumed>, appended: Vec<(Lane, Entry)>) -> Result<Vec<Position>, BusError> {
        #[cfg(debug_assertions)]
        let appended =
            appended.into_iter().map(|(lane, entry)| (lane.clone(), crate::next::written(&lane, entry))).collect();
        match self {
            AnyBus::Embedded(bus) => bus.commit(consumed, appended).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.commit(consumed, appended)).await,
        }
    }

    async fn read(&self, lane: &Lane, partition: u32, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.read(lane, partition, from, max).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.read(lane, partition, from, max)).await,
        }
    }

    async fn fetch(&self, lane: &Lane, partition: u32, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.fetch(lane, partition, offsets).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.fetch(lane, partition, offsets)).await,
        }
    }

    async fn watermark(&self, group: Group, lane: &Lane, partition: u32) -> Result<i64, BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.watermark(group, lane, partition).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.watermark(group, lane, partition)).await,
        }
    }

    async fn bounds(&self, lane: &Lane, partition: u32) -> Result<Bounds, BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.bounds(lane, partition).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.bounds(lane, partition)).await,
        }
    }

    async fn join(&self, group: Group, lanes: Vec<Lane>) -> Result<Membership, BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.join(group, lanes).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.join(group, lanes)).await,
        }
    }

    async fn lag(&self, group: Group, lane: &Lane, partition: u32) -> Result<u64, BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.lag(group, lane, partition).await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.lag(group, lane, partition)).await,
        }
    }

    async fn trim(&self) -> Result<(), BusError> {
        match self {
            AnyBus::Embedded(bus) => bus.trim().await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.trim()).await,
        }
    }

    async fn close(&self) {
        match self {
            AnyBus::Embedded(bus) => bus.close().await,
            #[cfg(feature = "kafka")]
            AnyBus::Kafka(bus) => Box::pin(bus.close()).await,
        }
    }
}
