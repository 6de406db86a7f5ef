//! SMS-STATUS-REPORT (3GPP TS 23.040, 9.2.2.3): what became of a message. Decides nothing about it.

use super::{Address, Timestamp, TpduError, deliver::NO_MORE_MESSAGES, reader::Reader};

const MESSAGE_TYPE: u8 = 0b10;
const COMMAND_QUALIFIER: u8 = 1 << 5;
const HEADER_INDICATOR: u8 = 1 << 6;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// More messages wait in the service centre (TP-MMS is 0 then).
    pub more_messages: bool,
    /// TP-SRQ: this answers an SMS-COMMAND, not an SMS-SUBMIT.
    pub answers_command: bool,
    /// TP-UDHI: the optional part has user data with a header.
    pub has_header: bool,
    /// TP-MR of the message it is about.
    pub reference: u8,
    /// TP-RA: to whom that message went.
    pub recipient: Address,
    /// TP-SCTS: when the service centre took that message.
    pub service_centre_time: Timestamp,
    /// TP-DT: when what the status says happened.
    pub discharge_time: Timestamp,
    /// TP-ST.
    pub status: Status,
    /// TP-PI and what it announces, as it came.
    pub optional: Vec<u8>,
}

/// TP-ST, as it came (9.2.3.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

/// What a status means for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusClass {
    /// It arrived, or the service centre cannot say more than that it went on.
    Delivered,
    /// A later message took its place before it arrived. Final, and no error.
    Replaced,
    /// Not yet; the service centre goes on trying. Not final.
    Temporary,
    /// It will not arrive, and another attempt would not either.
    Permanent,
    /// The service centre gave up; another attempt may succeed.
    TemporaryFinal,
}

impl Status {
    /// What it means. Reserved values are read as a service rejection the service centre gave up on.
    pub fn class(self) -> StatusClass {
        match self.0 {
            0x00 | 0x01 | 0x10..=0x1f => StatusClass::Delivered,
            0x02 => StatusClass::Replaced,
            0x20..=0x25 | 0x30..=0x3f => StatusClass::Temporary,
            0x40..=0x49 | 0x50..=0x5f => StatusClass::Permanent,
            _ => StatusClass::TemporaryFinal,
        }
    }

    /// Whether the standard leaves this value free.
    pub fn is_reserved(self) -> bool {
        matches!(self.0, 0x03..=0x0f | 0x26..=0x2f | 0x4a..=0x4f | 0x66..=0x6f | 0x80..)
    }

    /// Whether no other report will follow.
    pub fn is_final(self) -> bool {
        self.class().is_final()
    }
}

impl StatusClass {
    /// Whether no other report will follow.
    pub fn is_final(self) -> bool {
        self != Self::Temporary
    }
}

impl StatusReport {
    /// Writes the TPDU.
    pub fn encode(&self) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let first = MESSAGE_TYPE
            | flag(!self.more_messages, NO_MORE_MESSAGES)
            | flag(self.answers_command, COMMAND_QUALIFIER)
            | flag(self.has_header, HEADER_INDICATOR);
        let mut octets = vec![first, self.reference];
        self.recipient.encode_into(&mut octets);
        octets.extend_from_slice(&self.service_centre_time.0);
        octets.extend_from_slice(&self.discharge_time.0);
        octets.push(self.status.0);
        octets.extend_from_slice(&self.optional);
        octets
    }

    /// Reads a TPDU. Times that are none are kept: the report still says what became of the message.
    ///
    /// # Errors
    /// [`TpduError`] if it is another kind of message, a field is cut, or the address is broken.
    pub fn decode(octets: &[u8]) -> Result<Self, TpduError> {
        let mut reader = Reader::new(octets);
        let first = reader.first(MESSAGE_TYPE)?;
        Ok(Self {
            more_messages: first & NO_MORE_MESSAGES == 0,
            answers_command: first & COMMAND_QUALIFIER != 0,
            has_header: first & HEADER_INDICATOR != 0,
            reference: reader.octet("TP-MR")?,
            recipient: Address::decode(&mut reader, "TP-RA")?,
            service_centre_time: Timestamp(reader.seven("TP-SCTS")?),
            discharge_time: Timestamp(reader.seven("TP-DT")?),
            status: Status(reader.octet("TP-ST")?),
            optional: reader.rest().to_vec(),
        })
    }
}
