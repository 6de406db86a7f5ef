//! Binary XML (WAP-192-WBXML): documents as trees and as octets, canonical on the way out, tolerant on the way in. Knows
//! the format and the token tables of the vocabularies; must not know what an element means.
//!
//! A vocabulary is data, [`Vocabulary`]; the encoder and the decoder are the same for all of them.

mod date;
mod decode;
mod element;
mod encode;
mod reader;
mod tables;
mod vocabulary;

pub use decode::decode;
pub use element::{Attribute, Content, Element};
pub use encode::{Version, encode};
pub use tables::{
    NOKIA_SYNC_SETTINGS, OTA_SETTINGS, PROVISIONING, SERVICE_INDICATION, SERVICE_LOADING, SYNCML_1_0, SYNCML_1_1,
    SYNCML_1_2,
};
pub use vocabulary::{PublicId, Start, Tag, Value, Values, Vocabulary};

/// Elements inside each other.
pub const DEPTH_MAX: usize = 32;
/// Octets of a document.
pub const DOCUMENT_OCTETS_MAX: usize = 64 * 1024;
/// Octets of all names and texts of a decoded document. References to one string may repeat it: without this limit, a
/// document within its own limit would grow without one.
pub const TEXT_OCTETS_MAX: usize = 128 * 1024;
/// Attributes of one element.
pub const ATTRIBUTES_MAX: usize = 64;

/// Why octets are not a document of a vocabulary, or a tree cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WbxmlError {
    /// The octets end inside a token or before the last element is closed.
    #[error("document ends inside `{within}`")]
    Cut {
        /// What was being read.
        within: &'static str,
    },
    /// Octets follow the document.
    #[error("`{octets}` octets follow the document")]
    Trailing {
        /// How many.
        octets: usize,
    },
    /// A multi-byte integer is longer than five octets or larger than 32 bits.
    #[error("integer is too large")]
    Integer,
    /// A version this codec does not know.
    #[error("version octet `{octet:#04x}` is not known")]
    Version {
        /// The first octet.
        octet: u8,
    },
    /// The document says it is of another type.
    #[error("public identifier `{number:#x}` is another document type")]
    OtherDocument {
        /// Its number; 0 where it was a name.
        number: u32,
    },
    /// A character set this codec does not know.
    #[error("character set `{mib}` is not known")]
    Charset {
        /// IANA's MIBenum.
        mib: u32,
    },
    /// A token the vocabulary does not hold, or one that may not stand where it stands.
    #[error("token `{code:#04x}` of page `{page}` does not belong here")]
    Token {
        /// The code page in force.
        page: u8,
        /// The token.
        code: u8,
    },
    /// A name the vocabulary does not hold.
    #[error("name `{name}` is not in the vocabulary")]
    Name {
        /// The name.
        name: String,
    },
    /// A reference past the end of the string table, or to no character.
    #[error("reference `{index}` leads nowhere")]
    Reference {
        /// Where it leads.
        index: u32,
    },
    /// A text that is not text in its character set, or holds a NUL.
    #[error("text is not text")]
    NotText,
    /// A date that is none.
    #[error("date is none")]
    Date,
    /// Over one of the limits of this module.
    #[error("more than `{max}` {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}
