//! Datagrams over SMS (WAP-259-WDP, 6.5; 3GPP TS 23.040, 9.2.3.24): ports in the header, and as many messages as it takes.
//! Knows the room there is; must not know what a datagram holds.

use crate::{
    segment::PARTS_MAX,
    tpdu::{Address, Report, Submit, TpduError, UserData, Validity},
    udh::{Concatenation, Element, Header, Reference},
};

/// WAP push.
pub const PORT_PUSH: u16 = 2948;
/// WAP push with transport security.
pub const PORT_PUSH_SECURE: u16 = 2949;
/// Where pushes usually come from: the connectionless session service.
pub const PORT_SESSION: u16 = 9200;
/// Nokia's and Ericsson's settings.
pub const PORT_OTA_SETTINGS: u16 = 49_999;
/// Nokia's settings for synchronisation.
pub const PORT_NOKIA_SYNC: u16 = 49_996;
/// Where both kinds of settings come from.
pub const PORT_OTA_SOURCE: u16 = 49_154;

/// 8 bit data for the phone itself, what push gateways have always sent.
pub const DCS_PUSH: u8 = 0xf5;
/// 8 bit data without a message class, which some service centres prefer.
pub const DCS_PLAIN: u8 = 0x04;
/// How long a notification is worth delivering, unless it says so itself: a day-old one is worth no more than the next.
pub const NOTIFICATION_MINUTES: u32 = 1440;

/// Octets of user data one message carries.
const USER_DATA_OCTETS: usize = 140;

/// Octets from one port to another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'octets> {
    /// To which application.
    pub destination_port: u16,
    /// From which application.
    pub source_port: u16,
    /// The octets.
    pub payload: &'octets [u8],
}

/// Shows the size of the payload.
impl std::fmt::Debug for Datagram<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { destination_port, source_port, payload } = self;
        write!(f, "Datagram({source_port} to {destination_port}, {} octets)", payload.len())
    }
}

/// What the messages of a datagram have in common.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// To whom.
    pub to: Address,
    /// TP-PID.
    pub pid: u8,
    /// TP-DCS; must announce octets.
    pub dcs: u8,
    /// The concatenation reference, used if it takes more than one message.
    pub reference: Reference,
    /// Whether a status report is wanted.
    pub report: Report,
    /// How long it is worth delivering.
    pub validity: Option<Validity>,
}

impl Datagram<'_> {
    /// Cuts it into user data. One message has no concatenation; of several each has the ports and its place.
    ///
    /// # Errors
    /// [`TpduError::TooManyParts`] if it takes more than 255.
    pub fn parts(&self, reference: Reference) -> Result<Vec<UserData>, TpduError> {
        let alone = self.header(None);
        if self.payload.len() <= room(&alone) {
            return Ok(vec![UserData::octets(Some(alone), self.payload)?]);
        }
        let place = |total: usize, number: usize| Concatenation { reference, total: total as u8, number: number as u8 };
        let room = room(&self.header(Some(place(1, 1))));
        let total = self.payload.len().div_ceil(room);
        if total > PARTS_MAX {
            return Err(TpduError::TooManyParts { parts: total });
        }
        let pieces = self.payload.chunks(room).enumerate();
        pieces.map(|(index, piece)| UserData::octets(Some(self.header(Some(place(total, index + 1)))), piece)).collect()
    }

    /// The messages it takes, in order. TP-MR is zero: the modem counts.
    ///
    /// # Errors
    /// As [`Self::parts`].
    pub fn submits(&self, envelope: &Envelope) -> Result<Vec<Submit>, TpduError> {
        let submit = |user_data: UserData| Submit {
            reject_duplicates: false,
            status_report_request: envelope.report == Report::Wanted,
            reply_path: false,
            reference: 0,
            destination: envelope.to.clone(),
            pid: envelope.pid,
            dcs: envelope.dcs,
            validity: envelope.validity,
            user_data,
        };
        Ok(self.parts(envelope.reference)?.into_iter().map(submit).collect())
    }

    /// Ports first, then the place: both orders are legal, this one is what other gateways write.
    fn header(&self, place: Option<Concatenation>) -> Header {
        let ports = Element::Ports { destination: self.destination_port, source: self.source_port };
        let elements = std::iter::once(ports).chain(place.map(Element::Concatenation));
        Header { elements: elements.collect() }
    }
}

fn room(header: &Header) -> usize {
    USER_DATA_OCTETS - header.encode().expect("ports and a place are short").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: usize, reference: Reference, expected: &[usize]) {
        let payload = vec![7; octets];
        let datagram = Datagram { destination_port: PORT_PUSH, source_port: PORT_SESSION, payload: &payload };
        let parts = datagram.parts(reference).unwrap();
        let sizes: Vec<usize> = parts.iter().map(|part| part.body_octets().len()).collect();
        assert_eq!(sizes, expected);
    }

    #[test]
    fn room_is_used_up() {
        let (narrow, wide) = (Reference::Narrow(1), Reference::Wide(1));
        check(0, narrow, &[0]);
        check(133, narrow, &[133]);
        check(134, narrow, &[128, 6]);
        check(256, narrow, &[128, 128]);
        check(257, narrow, &[128, 128, 1]);
        check(134, wide, &[127, 7]);
    }

    #[test]
    fn there_are_at_most_255_parts() {
        let payload = vec![0; 255 * 128 + 1];
        let datagram = |payload| Datagram { destination_port: 1, source_port: 2, payload };
        assert_eq!(datagram(&payload[1..]).parts(Reference::Narrow(0)).map(|parts| parts.len()), Ok(255));
        assert_eq!(datagram(&payload).parts(Reference::Narrow(0)), Err(TpduError::TooManyParts { parts: 256 }));
    }
}
