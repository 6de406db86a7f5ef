//! How a delivery reaches exactly one modem: the lease protocol as state machines. No I/O, no clock, no transport.
//!
//! [`record`] is what stands in lane `leases`, [`message`] what travels between router and farm. The [`owner`] of a partition
//! and the [`farm`] are state machines over them; production drives them with lanes, streams and a journal, the
//! simulation with a seed.

pub mod farm;
pub mod message;
pub mod now;
pub mod owner;
pub mod record;
pub mod rule;

pub use farm::Farm;
pub use message::{FarmMessage, RouterMessage};
pub use now::Now;
pub use owner::Owner;
pub use record::{Attempt, Epoch, LaneId, LeaseRecord, Outcome, PartitionId};
