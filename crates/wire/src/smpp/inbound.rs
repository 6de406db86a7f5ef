//! A message from a handset as the TPDUs a modem would have got (3GPP TS 23.040, 9.2.2.1): the farm keeps one form. Knows both.

use crate::tpdu::{Address as Originator, Deliver, Incoming, Timestamp, TpduError, TypeOfNumber, UserData, delivers};
use crate::udh::{Concatenation, Element, Header, Reference, UdhError};

use super::address::Address;
use super::coding::{Coding, DefaultCoding};
use super::pdu::Message;
use super::tlv::Tag;

/// Why a message that came cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboundError {
    /// Its user data header is broken.
    #[error("the user data header cannot be read")]
    Header(#[from] UdhError),
    /// It does not fit the form.
    #[error("the message cannot be written as a tpdu")]
    Tpdu(#[from] TpduError),
}

/// The TPDUs of a message, in order: one, or more where a payload is longer than a message. `now_seconds` stands for the
/// service centre's time, which the protocol does not tell.
///
/// # Errors
/// [`InboundError`].
pub fn tpdu_of(
    message: &Message,
    default: DefaultCoding,
    country: &str,
    now_seconds: i64,
) -> Result<Vec<Vec<u8>>, InboundError> {
    let (header, body) = header_of(message)?;
    let coding = default.of_data_coding(message.data_coding);
    let from = originator(&message.source, country)?;
    let service_centre_time = Timestamp::from_unix_seconds(now_seconds, 0);
    let Some(text) = coding.decode(body) else {
        let user_data = UserData::octets(header, body)?;
        return Ok(vec![deliver(from, message.protocol_id, service_centre_time, user_data).encode()?]);
    };
    let whole = match (coding, &header) {
        (Coding::Ucs2, _) => UserData::ucs2(header.clone(), &text),
        _ => UserData::gsm7(header.clone(), &text).or_else(|_| UserData::ucs2(header.clone(), &text)),
    };
    match whole {
        Ok(user_data) => Ok(vec![deliver(from, message.protocol_id, service_centre_time, user_data).encode()?]),
        // Too long for one: a payload.
        Err(_) if header.is_none() => {
            let reference = Reference::Narrow(text.bytes().fold(0, u8::wrapping_add));
            let incoming = Incoming { text: &text, from, reference, service_centre_time };
            delivers(&incoming)?.iter().map(|deliver| Ok(deliver.encode()?)).collect()
        }
        Err(error) => Err(error.into()),
    }
}

/// The header before the text, or the one `sar_*` stand for.
fn header_of(message: &Message) -> Result<(Option<Header>, &[u8]), InboundError> {
    let octets = message.text_octets();
    if message.esm_class & Message::UDH != 0 {
        let (header, taken) = Header::decode(octets)?;
        return Ok((Some(header), &octets[taken..]));
    }
    let sar = |tag: Tag| message.tlvs.number(tag);
    let part = match (sar(Tag::SAR_REFERENCE), sar(Tag::SAR_TOTAL), sar(Tag::SAR_NUMBER)) {
        (Some(reference), Some(total @ 2..=255), Some(number)) if (1..=total).contains(&number) => {
            let reference = Reference::Wide(reference as u16);
            Some(Concatenation { reference, total: total as u8, number: number as u8 })
        }
        _ => None,
    };
    Ok((part.map(|part| Header { elements: vec![Element::Concatenation(part)] }), octets))
}

fn originator(address: &Address, country: &str) -> Result<Originator, TpduError> {
    let number = address.to_number(country);
    if number.starts_with('+') {
        return Originator::number(&number);
    }
    let is_number = !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit());
    if is_number { Originator::typed(TypeOfNumber::Unknown, &number) } else { Originator::alphanumeric(&number) }
}

fn deliver(originator: Originator, pid: u8, service_centre_time: Timestamp, user_data: UserData) -> Deliver {
    Deliver {
        more_messages: false,
        status_report_indication: false,
        reply_path: false,
        originator,
        pid,
        dcs: user_data.coding().dcs(),
        service_centre_time,
        user_data,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tlv::Tlvs;
    use super::*;

    fn message(data_coding: u8, octets: &[u8]) -> Message {
        let source = Address::new(1, 1, "447700900123").unwrap();
        Message { source, data_coding, short_message: octets.to_vec(), ..Message::default() }
    }

    #[track_caller]
    fn check(message: &Message, texts: &[&str]) -> Vec<Deliver> {
        let tpdus = tpdu_of(message, DefaultCoding::Gsm7, "", 1_800_000_000).unwrap();
        let delivers: Vec<Deliver> = tpdus.iter().map(|tpdu| Deliver::decode(tpdu).unwrap()).collect();
        let read: Vec<String> = delivers.iter().filter_map(|deliver| deliver.user_data.text()).collect();
        assert_eq!(read, texts);
        assert!(delivers.iter().all(|deliver| deliver.originator.to_text() == "+447700900123"));
        delivers
    }

    #[test]
    fn texts_of_all_codings() {
        check(&message(0, b"Hi \0"), &["Hi @"]);
        check(&message(3, &[b'G', 0xfc]), &["Gü"]);
        check(&message(3, &[0xe7, 0xbf]), &["ç¿"]);
        check(&message(8, &[0x04, 0x34]), &["д"]);
        let octets = check(&message(4, &[1, 2, 3]), &[]);
        assert_eq!(octets[0].user_data.body_octets(), [1, 2, 3]);
    }

    #[test]
    fn parts_stay_parts() {
        let part = Concatenation { reference: Reference::Narrow(7), total: 2, number: 1 };
        let mut with_header = message(0, &[5, 0, 3, 7, 2, 1, b'a']);
        with_header.esm_class = Message::UDH;
        assert_eq!(check(&with_header, &["a"])[0].user_data.header().unwrap().part(), Some(part));
        let mut sar = message(0, b"b");
        sar.tlvs = Tlvs::default()
            .with(Tag::SAR_REFERENCE, vec![1, 2])
            .with(Tag::SAR_TOTAL, vec![2])
            .with(Tag::SAR_NUMBER, vec![2]);
        let part = Concatenation { reference: Reference::Wide(0x102), total: 2, number: 2 };
        assert_eq!(check(&sar, &["b"])[0].user_data.header().unwrap().part(), Some(part));
    }

    #[test]
    fn a_long_payload_becomes_parts() {
        let mut long = message(0, b"");
        long.tlvs = Tlvs::default().with(Tag::MESSAGE_PAYLOAD, vec![b'x'; 200]);
        check(&long, &["x".repeat(153).as_str(), "x".repeat(47).as_str()]);
    }

    #[test]
    fn a_broken_header_is_refused() {
        let mut broken = message(0, &[200, 0]);
        broken.esm_class = Message::UDH;
        assert!(matches!(tpdu_of(&broken, DefaultCoding::Gsm7, "", 0), Err(InboundError::Header(_))));
    }
}
