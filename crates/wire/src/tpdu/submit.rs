//! SMS-SUBMIT (3GPP TS 23.040, 9.2.2.2): what a handset, or a modem in its place, hands to the service centre.

use super::{Address, Coding, TpduError, UserData, Validity, reader::Reader};
use crate::{
    gsm7,
    segment::{self, Alphabet, PARTS_MAX, Part},
    udh::{Concatenation, Element, Header, Reference},
};

pub(super) const MESSAGE_TYPE: u8 = 0b01;
const REJECT_DUPLICATES: u8 = 1 << 2;
const STATUS_REPORT_REQUEST: u8 = 1 << 5;
pub(super) const HEADER_INDICATOR: u8 = 1 << 6;
pub(super) const REPLY_PATH: u8 = 1 << 7;

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// TP-RD: the service centre refuses a second one with this reference.
    pub reject_duplicates: bool,
    /// TP-SRR: a status report is wanted.
    pub status_report_request: bool,
    /// TP-RP.
    pub reply_path: bool,
    /// TP-MR. Modems replace it with their own count.
    pub reference: u8,
    /// TP-DA.
    pub destination: Address,
    /// TP-PID.
    pub pid: u8,
    /// TP-DCS.
    pub dcs: u8,
    /// TP-VP.
    pub validity: Option<Validity>,
    /// TP-UD.
    pub user_data: UserData,
}

/// Whether a status report is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Yes, for each part.
    Wanted,
    /// No.
    NotWanted,
}

/// A whole text on its way out.
#[derive(Clone)]
pub struct Outgoing<'text> {
    /// What it says.
    pub text: &'text str,
    /// To whom.
    pub to: Address,
    /// The concatenation reference its parts share, if it needs more than one.
    pub reference: Reference,
    /// Whether a status report is wanted.
    pub report: Report,
    /// How long it is worth delivering.
    pub validity: Option<Validity>,
}

impl Submit {
    /// Writes the TPDU.
    ///
    /// # Errors
    /// [`TpduError::CodingMismatch`] if `dcs` announces another coding than the user data has.
    pub fn encode(&self) -> Result<Vec<u8>, TpduError> {
        if Coding::of(self.dcs) != self.user_data.coding() {
            return Err(TpduError::CodingMismatch { dcs: self.dcs });
        }
        let mut octets = Vec::with_capacity(170);
        octets.extend_from_slice(&[self.first_octet(), self.reference]);
        self.destination.encode_into(&mut octets);
        octets.extend_from_slice(&[self.pid, self.dcs]);
        if let Some(validity) = self.validity {
            validity.encode_into(&mut octets);
        }
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
        let reference = reader.octet("TP-MR")?;
        let destination = Address::decode(&mut reader, "TP-DA")?;
        let pid = reader.octet("TP-PID")?;
        let dcs = reader.octet("TP-DCS")?;
        let validity = Validity::decode(first, &mut reader)?;
        Ok(Self {
            reject_duplicates: first & REJECT_DUPLICATES != 0,
            status_report_request: first & STATUS_REPORT_REQUEST != 0,
            reply_path: first & REPLY_PATH != 0,
            reference,
            destination,
            pid,
            dcs,
            validity,
            user_data: UserData::decode(&mut reader, dcs, first & HEADER_INDICATOR != 0)?,
        })
    }

    fn first_octet(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        MESSAGE_TYPE
            | flag(self.reject_duplicates, REJECT_DUPLICATES)
            | self.validity.map_or(0, Validity::format_bits)
            | flag(self.status_report_request, STATUS_REPORT_REQUEST)
            | flag(self.user_data.header().is_some(), HEADER_INDICATOR)
            | flag(self.reply_path, REPLY_PATH)
    }
}

/// Makes the parts of a text, in order. TP-MR is zero: the modem counts.
///
/// # Errors
/// [`TpduError::TooManyParts`] if it needs more than 255.
pub fn submits(outgoing: &Outgoing<'_>) -> Result<Vec<Submit>, TpduError> {
    submits_permitting(outgoing, &[])
}

/// Makes the parts of a text as [`submits`] does, with national tables where these are permitted and take fewer parts.
///
/// # Errors
/// As [`submits`].
pub fn submits_permitting(outgoing: &Outgoing<'_>, permitted: &[gsm7::Alphabet]) -> Result<Vec<Submit>, TpduError> {
    let user_data = text_parts(outgoing.text, outgoing.reference, permitted)?;
    Ok(user_data.into_iter().map(|user_data| submit(outgoing, user_data)).collect())
}

fn submit(outgoing: &Outgoing<'_>, user_data: UserData) -> Submit {
    Submit {
        reject_duplicates: false,
        status_report_request: outgoing.report == Report::Wanted,
        reply_path: false,
        reference: 0,
        destination: outgoing.to.clone(),
        pid: 0,
        dcs: user_data.coding().dcs(),
        validity: outgoing.validity,
        user_data,
    }
}

/// The user data of each part of a text.
pub(super) fn text_parts(
    text: &str,
    reference: Reference,
    permitted: &[gsm7::Alphabet],
) -> Result<Vec<UserData>, TpduError> {
    let segments = segment::plan_permitting(text, reference.width(), permitted);
    let total = segments.parts.len();
    if total > PARTS_MAX {
        return Err(TpduError::TooManyParts { parts: total });
    }
    let tables = match segments.alphabet {
        Alphabet::National(tables) => tables,
        Alphabet::Gsm7 | Alphabet::Ucs2 => gsm7::Alphabet::DEFAULT,
    };
    let header = |index: usize| {
        let place = Concatenation { reference, total: total as u8, number: index as u8 + 1 };
        let place = (total > 1).then_some(Element::Concatenation(place));
        let elements: Vec<Element> = place.into_iter().chain(Header::national(tables)).collect();
        (!elements.is_empty()).then_some(Header { elements })
    };
    segments.parts.iter().enumerate().map(|(index, part)| part_data(segments.alphabet, header(index), *part)).collect()
}

fn part_data(alphabet: Alphabet, header: Option<Header>, part: Part<'_>) -> Result<UserData, TpduError> {
    match alphabet {
        Alphabet::Gsm7 | Alphabet::National(_) => UserData::gsm7(header, part.text),
        Alphabet::Ucs2 => UserData::ucs2(header, part.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gsm7::{Locking, Single};

    #[test]
    fn national_tables_stand_in_every_header() {
        let permitted = [gsm7::Alphabet { locking: Locking::Default, single: Single::Turkish }];
        let text = "ağaç ".repeat(40);
        let outgoing = Outgoing {
            text: &text,
            to: Address::number("+905321234567").expect("it is a number"),
            reference: Reference::Narrow(1),
            report: Report::NotWanted,
            validity: None,
        };
        let parts = submits_permitting(&outgoing, &permitted).expect("it fits");
        assert_eq!((parts.len(), submits(&outgoing).expect("it fits").len()), (2, 3));
        assert!(parts.iter().all(|part| Submit::decode(&part.encode().expect("it fits")).as_ref() == Ok(part)));
        let joined: Option<String> = parts.iter().map(|part| part.user_data.text()).collect();
        assert_eq!(joined.as_deref(), Some(text.as_str()));
        let header = parts[1].user_data.header().expect("it has one").encode().expect("it fits");
        assert_eq!(header, [8, 0, 3, 1, 2, 2, 0x24, 1, 1]);
    }
}
