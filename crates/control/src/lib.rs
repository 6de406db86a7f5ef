//! The contract between router and farm: what travels, how a stream is set up, who is let in. Knows gRPC and TLS; must not
//! know what either side does with the messages.
//!
//! Both sides talk through an [`End`]: a [`Sender`] and a [`Receiver`] of batches. [`pair`] makes two joined ends in one
//! process, [`Server`] and [`Dialer`] make them over mTLS; the code behind an end can't tell the difference.

mod backoff;
mod convert;
mod dialer;
mod identity;
mod link;
mod next;
mod server;

/// The generated contract.
pub(crate) mod proto {
    #![expect(unreachable_pub, clippy::allow_attributes, reason = "generated")]
    tonic::include_proto!("carillon.control.v1");
}

pub use backoff::Backoff;
pub use convert::FieldError;
pub use dialer::{DialError, Dialer};
pub use identity::{FarmIdentity, IdentityError};
pub use link::{Closed, End, FarmEnd, Receiver, RouterEnd, SendError, Sender, pair};
pub use server::{Attached, Server, ServerError};

/// How long a silent connection is believed in.
///
/// HTTP/2 pings find connections whose other end is gone without a word (a cable pulled, a NAT that forgot).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Silence after which a ping is sent.
    pub interval: std::time::Duration,
    /// How long its answer may take.
    pub timeout_max: std::time::Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        let seconds = std::time::Duration::from_secs;
        KeepAlive { interval: seconds(10), timeout_max: seconds(5) }
    }
}

/// Batches that wait between an end's sender and the wire.
pub const QUEUE_BATCHES_MAX: usize = 64;
/// Bytes of messages after which a frame is full (a single message may be larger).
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Bytes a peer's frame may have: one more than this ends the stream.
pub const PEER_FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
