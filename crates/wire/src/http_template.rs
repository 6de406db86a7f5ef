//! Requests of HTTP SMS services: a template with variables on the way out, the same names on the way in. Knows encodings;
//! must not know addresses, connections or answers.

mod call;
mod charset;
mod kannel;
mod report;
mod template;
mod value;

pub use call::{Call, CallError, QUERY_OCTETS_MAX};
pub use charset::Charset;
pub use kannel::Kannel;
pub use report::{REPORT_OCTETS_MAX, ReportError, said_in, said_of};
pub use template::{TEMPLATE_OCTETS_MAX, Template, TemplateError};

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Payload<'message> {
    /// A text.
    Text(&'message str),
    /// Octets, without the user data header.
    Octets(&'message [u8]),
}

/// Shows the size: texts are private.
impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} octets)", text.len()),
            Self::Octets(octets) => write!(f, "Octets({})", octets.len()),
        }
    }
}

/// A message to fill a template with.
#[derive(Clone, Copy)]
pub struct Message<'message> {
    /// To whom, usually with a leading `+`.
    pub number: &'message str,
    /// What it says.
    pub payload: Payload<'message>,
    /// The elements of the user data header, without their length.
    pub header: &'message [u8],
    /// TP-PID.
    pub pid: u8,
    /// TP-DCS.
    pub dcs: u8,
    /// From whom.
    pub sender: &'message str,
    /// The sender's number, where the sender is a name.
    pub sender_phone_alias: &'message str,
    /// How many messages it takes.
    pub parts: u8,
    /// Where the service is to say what became of it; empty: nowhere.
    pub report: &'message str,
}

/// Shows no number and no text.
impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("payload", &self.payload).field("dcs", &self.dcs).finish_non_exhaustive()
    }
}
