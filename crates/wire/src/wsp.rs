//! Connectionless push PDUs (WAP-230-WSP, 8.2.4.1 and 8.4; WAP-235-PushOTA). Knows the headers that phones look at and passes
//! over the others; must not know what a body means or how a PDU travels.

mod application;
mod header;
mod media;
mod push;
pub(crate) mod value;

pub use application::ApplicationId;
pub use media::{CHARSET_UTF_8, MediaType, Parameters};
pub use push::Push;

/// Octets of a PDU: more than 255 parts of one message can carry.
pub const PDU_OCTETS_MAX: usize = 64 * 1024;

/// Why octets are not a push PDU, or a value cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WspError {
    /// The octets end inside a field.
    #[error("pdu ends inside `{field}`")]
    Cut {
        /// The field.
        field: &'static str,
    },
    /// It is another kind of PDU.
    #[error("pdu type `{found:#04x}` is no push")]
    WrongType {
        /// The type found.
        found: u8,
    },
    /// A length of more than five octets or 32 bits.
    #[error("length is too large")]
    Length,
    /// A number where there is none, or one of more than 32 bits.
    #[error("field `{field}` holds no number")]
    Number {
        /// The field.
        field: &'static str,
    },
    /// A text that is not printable ASCII.
    #[error("field `{field}` holds no text")]
    Text {
        /// The field.
        field: &'static str,
    },
    /// Octets where no header can begin.
    #[error("octet `{octet:#04x}` begins no header")]
    Header {
        /// The octet.
        octet: u8,
    },
    /// A PDU over the limit.
    #[error("more than `{max}` octets")]
    TooLong {
        /// The limit.
        max: usize,
    },
}
