//! SMS-DELIVER (3GPP TS 23.040, 9.2.2.1): what the service centre hands to a handset.

use super::{
    Address, Coding, Timestamp, TpduError, UserData,
    reader::Reader,
    submit::{HEADER_INDICATOR, REPLY_PATH, text_parts},
};
use crate::udh::Reference;

const MESSAGE_TYPE: u8 = 0b00;
pub(super) const NO_MORE_MESSAGES: u8 = 1 << 2;
const STATUS_REPORT_INDICATION: u8 = 1 << 5;

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// More messages wait in the service centre (TP-MMS is 0 then).
    pub more_messages: bool,
    /// TP-SRI: the sender will get a status report.
    pub status_report_indication: bool,
    /// TP-RP.
    pub reply_path: bool,
    /// TP-OA.
    pub originator: Address,
    /// TP-PID.
    pub pid: u8,
    /// TP-DCS.
    pub dcs: u8,
    /// TP-SCTS.
    pub service_centre_time: Timestamp,
    /// TP-UD.
    pub user_data: UserData,
}

/// A whole text on its way in.
#[derive(Clone)]
pub struct Incoming<'text> {
    /// What it says.
    pub text: &'text str,
    /// From whom.
    pub from: Address,
    /// The concatenation reference its parts share, if it needs more than one.
    pub reference: Reference,
    /// When the service centre took it.
    pub service_centre_time: Timestamp,
}

impl Deliver {
    /// Writes the TPDU.
    ///
    /// # Errors
    /// [`TpduError::CodingMismatch`] if `dcs` announces another coding than the user data has.
    pub fn encode(&self) -> Result<Vec<u8>, TpduError> {
        if Coding::of(self.dcs) != self.user_data.coding() {
            return Err(TpduError::CodingMismatch { dcs: self.dcs });
        }
        let mut octets = Vec::with_capacity(176);
        octets.push(self.first_octet());
        self.originator.encode_into(&mut octets);
        octets.extend_from_slice(&[self.pid, self.dcs]);
        octets.extend_from_slice(&self.service_centre_time.0);
        self.user_data.encode_into(&mut octets);
        Ok(octets)
    }

    /// Reads a TPDU.
    ///
    /// # Errors
    /// [`TpduError`] if it is another kind of message, a field is cut, or an address or header is broken.
    pub fn decode(octets: &[u8]) -> Result<Self, TpduError> {
        let mut reader = Reader::new(octets);
        let first = reader.first(MESSAGE_TYPE)?;
        let originator = Address::decode(&mut reader, "TP-OA")?;
        let pid = reader.octet("TP-PID")?;
        let dcs = reader.octet("TP-DCS")?;
        let service_centre_time = Timestamp(reader.seven("TP-SCTS")?);
        Ok(Self {
            more_messages: first & NO_MORE_MESSAGES == 0,
            status_report_indication: first & STATUS_REPORT_INDICATION != 0,
            reply_path: first & REPLY_PATH != 0,
            originator,
            pid,
            dcs,
            service_centre_time,
            user_data: UserData::decode(&mut reader, dcs, first & HEADER_INDICATOR != 0)?,
        })
    }

    fn first_octet(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        MESSAGE_TYPE
            | flag(!self.more_messages, NO_MORE_MESSAGES)
            | flag(self.status_report_indication, STATUS_REPORT_INDICATION)
            | flag(self.user_data.header().is_some(), HEADER_INDICATOR)
            | flag(self.reply_path, REPLY_PATH)
    }
}

/// Makes the parts of a text, in order.
///
/// # Errors
/// [`TpduError::TooManyParts`] if it needs more than 255.
pub fn delivers(incoming: &Incoming<'_>) -> Result<Vec<Deliver>, TpduError> {
    let parts = text_parts(incoming.text, incoming.reference, &[])?;
    let total = parts.len();
    let deliver = |(index, user_data): (usize, UserData)| Deliver {
        more_messages: index + 1 < total,
        status_report_indication: false,
        reply_path: false,
        originator: incoming.from.clone(),
        pid: 0,
        dcs: user_data.coding().dcs(),
        service_centre_time: incoming.service_centre_time,
        user_data,
    };
    Ok(parts.into_iter().enumerate().map(deliver).collect())
}
