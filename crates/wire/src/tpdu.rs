//! SMS transfer layer messages (3GPP TS 23.040, 9.2.2) as bytes and values. Knows nothing of modems.

mod address;
mod carriage;
mod deliver;
mod hex;
mod reader;
mod report;
mod submit;
mod timestamp;
mod user_data;
mod validity;

pub use address::{Address, TypeOfNumber};
pub use carriage::{Carried, LineError, at_command_pdu, carried, with_service_centre};
pub use deliver::{Deliver, Incoming, delivers};
pub use hex::{HexError, from_hex, to_hex};
pub use report::{Status, StatusClass, StatusReport};
pub use submit::{Outgoing, Report, Submit, submits, submits_permitting};
pub use timestamp::{CivilTime, Timestamp};
pub use user_data::{Coding, UserData};
pub use validity::Validity;

use crate::{gsm7::PackError, udh::UdhError};

/// Why octets are not a TPDU, or a value cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpduError {
    /// The octets end inside a field.
    #[error("octets end inside `{field}`")]
    Cut {
        /// The field, by its name in 3GPP TS 23.040, 9.2.3.
        field: &'static str,
    },
    /// The first octet says it is another kind of message.
    #[error("message type `{found}` where `{expected}` was expected")]
    WrongType {
        /// TP-MTI found.
        found: u8,
        /// TP-MTI expected.
        expected: u8,
    },
    /// An address holds a semi-octet that is no digit, or has more digits than the field may have.
    #[error("address is not one of 9.1.2.5")]
    BadAddress,
    /// The user data header is broken.
    #[error("user data header is broken")]
    Header {
        /// What is wrong with it.
        #[source]
        source: UdhError,
    },
    /// The septets said to be there are not.
    #[error("user data is shorter than its length")]
    Septets {
        /// What is wrong with them.
        #[source]
        source: PackError,
    },
    /// Header and body are longer than one message can carry.
    #[error("user data of `{octets}` octets does not fit one message")]
    TooLong {
        /// Octets of header and body.
        octets: usize,
    },
    /// The data coding scheme announces another coding than the user data has.
    #[error("data coding scheme `{dcs:#04x}` does not fit the user data")]
    CodingMismatch {
        /// TP-DCS.
        dcs: u8,
    },
    /// A number that is to stand in one octet.
    #[error("`{field}` is more than an octet")]
    Octet {
        /// The field, by its name in 3GPP TS 23.040, 9.2.3.
        field: &'static str,
    },
    /// A text of more parts than a part number can count.
    #[error("text needs `{parts}` parts")]
    TooManyParts {
        /// Parts needed.
        parts: usize,
    },
    /// A text holds a character the chosen alphabet does not have.
    #[error("text does not fit the alphabet")]
    NotInAlphabet,
}
