//! The AT dialogue with one modem (3GPP TS 27.005, 27.007) as a protocol core: bytes and `now` in, bytes and events out.
//! It must not do I/O, read a clock, keep anything beyond the dialogue, or know of leases, journals and routers.
//!
//! What differs between makes of modem is data: [`Profile`] and the tables behind it.

mod bringup;
mod event;
mod fault;
mod lines;
mod profile;
mod recovery;
mod reply;
mod session;
mod storage;
mod submit;
#[cfg(test)]
mod tests;

pub use event::{Down, Event, Identity, Memory, Pin, Registration, Slot, Stage, Submit, SubmitRefused};
pub use fault::{Class, Fault};
pub use profile::{Need, Profile, Quirks, Reads, Step};
pub use recovery::Rung;
pub use session::Session;
