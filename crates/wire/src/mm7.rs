//! MM7, by which a value added service provider hands multimedia messages to a carrier's relay (3GPP TS 23.140): SOAP with
//! attachments over HTTP, as bytes and values. Must not know sockets, credentials, routes or lanes.
//!
//! Written strictly, in the order of the schema; read by local names only, in any order, since relays write all kinds of
//! namespaces. [`compose`] makes a message's request, [`submit_end`] reads what the relay answered, [`receive`] reads what a
//! relay asks of us, and [`answer_to_deliver`], [`answer_to_report`] and [`fault`] are our answers.

mod address;
pub(crate) mod compose;
mod envelope;
mod mime;
mod moment;
mod received;
mod relay;
pub(crate) mod smil;
mod status;

pub use address::NumberForm;
pub use compose::{ComposeError, Encoding, Outgoing, Presentation, Sender, Style, Submission, compose};
pub use envelope::Unreadable;
pub use received::{
    Attachment, Call, Delivered, Received, Report, Submitted, answer_to_deliver, answer_to_report, fault, receive,
};
pub use relay::{Confirmation, Reporting, confirm, refuse, report};
pub use status::{Class, HttpAnswer, MmStatus, SubmitEnd, reference_of, submit_end};

/// What every namespace of the protocol begins with.
pub const NAMESPACE_BASE: &str = "http://www.3gpp.org/ftp/Specs/archive/23_series/23.140/schema/";

/// The namespace most relays of today know.
pub const NAMESPACE: &str = "http://www.3gpp.org/ftp/Specs/archive/23_series/23.140/schema/REL-6-MM7-1-4";

/// The version that goes with [`NAMESPACE`].
pub const VERSION: &str = "6.8.0";

/// What we say where a relay asks for something that is not offered.
pub const UNSUPPORTED: u32 = 4003;
/// What we say of what cannot be read.
pub const FORMAT_CORRUPT: u32 = 2007;
/// What we say of a message that has too much in it.
pub const CONTENT_REFUSED: u32 = 2004;
/// What we say where something cannot be kept.
pub const SERVER_ERROR: u32 = 3000;
/// Done.
pub const SUCCESS: u32 = 1000;

#[cfg(test)]
mod tests;
