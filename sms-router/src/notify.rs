//! Change notifications: from what changed to the short messages that tell devices of it, each change once for all that changed
//! in a while.
//!
//! One part per partition of lane `changes`. What it knows of a device is a [`window`], a pure machine, kept in memory and as a row;
//! the row is written before the lane's watermark passes what changed it. At a deadline the notification is made in this order:
//!
//! 1. its number and exact set, in the device's row, and its trace: durable;
//! 2. its packages, in lane `accepted`, by a commit on the group's behalf: one that lost its share is refused;
//! 3. that it was handed over, in the row.
//!
//! A crash between the first and the third makes the same message again, under the id that comes from device and number: the
//! planner drops it if it was there. What a row has applied it remembers by the lane's offset, so a replay changes nothing. What earlier
//! packages tell of that have not left the queue yet goes along, and the owner of their route ends them ([`unsent`]).

mod book;
mod compose;
mod flush;
mod notifier;
mod pull;
mod roster;
mod row;
mod take;
mod traces;
mod unsent;
mod window;

pub use compose::notification_id;
pub use notifier::{Keys, NOTIFIERS, Notifier};
pub use pull::Puller;
