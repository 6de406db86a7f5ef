//! A text becomes the messages to submit, in the way a supplier wants it. Knows parts and fields; must not know sessions.

use model::record::{Binary, BinaryPart};

use crate::binary;
use crate::tpdu::TpduError;
use crate::udh::{Concatenation as Part, Header, Reference};

use super::address::{Address, AddressTooLong, NumberForm};
use super::coding::{Coding, DefaultCoding};
use super::pdu::{Kind, Message};
use super::time::{ValidityForm, validity};
use super::tlv::{Tag, Tlvs};

/// How a supplier tells the parts of a long text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concatenation {
    /// A user data header with an 8-bit reference.
    #[default]
    Udh8,
    /// A user data header with a 16-bit reference.
    Udh16,
    /// The optional parameters `sar_*`.
    Sar,
    /// Not at all: the whole text is one `message_payload`, and his service centre cuts it.
    Payload,
}

/// Which command submits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubmitWith {
    /// `submit_sm`.
    #[default]
    SubmitSm,
    /// `data_sm`: the text is always a `message_payload`.
    DataSm,
}

/// How a supplier wants messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Which command submits.
    pub submit_with: SubmitWith,
    /// How parts are told.
    pub concatenation: Concatenation,
    /// The alphabet for what is in it.
    pub coding: DefaultCoding,
    /// The sender; empty: the supplier's choice.
    pub source: Address,
    /// Type of number and numbering plan of recipients.
    pub destination: (u8, u8),
    /// How recipients are written.
    pub number_form: NumberForm,
    /// How long a message is valid.
    pub validity: ValidityForm,
    /// `service_type`; mostly empty.
    pub service_type: String,
}

/// A text on its way out.
#[derive(Clone)]
pub struct Outgoing<'text> {
    /// What it says.
    pub text: &'text str,
    /// To whom, E.164 with `+`.
    pub to: &'text str,
    /// What its parts share, if it needs more than one. An 8-bit header takes the lower half.
    pub reference: u16,
    /// Whether a receipt is wanted.
    pub receipt: bool,
    /// Seconds it is still valid.
    pub valid_seconds: i64,
    /// The time, in seconds after 1970.
    pub now_seconds: i64,
}

/// Why a text cannot be submitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// More than 255 parts.
    #[error("a text of `{parts}` parts")]
    TooManyParts {
        /// So many.
        parts: usize,
    },
    /// The recipient does not fit.
    #[error("the recipient cannot be written")]
    Recipient(#[from] AddressTooLong),
    /// A binary message that is none.
    #[error("the binary message cannot go out")]
    Binary(#[from] TpduError),
}

/// The most parts a message can have: the part number is one octet.
const PARTS_MAX: usize = 255;
/// `registered_delivery`: a receipt for success and failure (5.2.17).
const RECEIPT_WANTED: u8 = 0x01;

impl Style {
    /// The command its messages travel in.
    pub const fn kind(&self) -> Kind {
        match self.submit_with {
            SubmitWith::SubmitSm => Kind::Submit,
            SubmitWith::DataSm => Kind::Data,
        }
    }
}

/// Makes the messages of a text, in order; at least one.
///
/// # Errors
/// [`ComposeError`].
pub fn compose(outgoing: &Outgoing<'_>, style: &Style) -> Result<Vec<Message>, ComposeError> {
    let (coding, data_coding) = style.coding.of_text(outgoing.text);
    let whole = Message { data_coding, ..envelope(outgoing, style)? };
    let parts = cut(outgoing.text, coding, style.concatenation);
    let total = u8::try_from(parts.len()).map_err(|_| ComposeError::TooManyParts { parts: parts.len() })?;
    let numbered = (1..=total).zip(parts);
    let messages = numbered.map(|(number, text)| {
        let part = (total > 1).then_some((outgoing.reference, total, number));
        whole.clone().with_text(coding.encode(text), part, style)
    });
    Ok(messages.collect())
}

/// Makes the messages of a binary message, in order; at least one. Its parts stay as they are, whatever the style says of texts.
///
/// # Errors
/// [`ComposeError`].
pub fn compose_binary(binary: &Binary, outgoing: &Outgoing<'_>, style: &Style) -> Result<Vec<Message>, ComposeError> {
    let (pid, dcs) = binary::protocol_and_coding(binary)?;
    if binary.parts.is_empty() {
        return Err(ComposeError::Binary(TpduError::TooManyParts { parts: 0 }));
    }
    let whole = Message { protocol_id: pid, data_coding: dcs, ..envelope(outgoing, style)? };
    let message = |part: &BinaryPart| {
        binary::user_data(part)?;
        let esm_class = if part.udh.is_empty() { 0 } else { Message::UDH };
        Ok(Message { esm_class, ..whole.clone() }.with_octets([&part.udh[..], &part.data[..]].concat(), style))
    };
    binary.parts.iter().map(message).collect()
}

/// What does not depend on what it says.
fn envelope(outgoing: &Outgoing<'_>, style: &Style) -> Result<Message, ComposeError> {
    let (ton, npi) = style.destination;
    Ok(Message {
        service_type: style.service_type.clone(),
        source: style.source.clone(),
        destination: Address::number(ton, npi, style.number_form, outgoing.to)?,
        validity: match style.submit_with {
            SubmitWith::SubmitSm => validity(style.validity, outgoing.valid_seconds, outgoing.now_seconds),
            SubmitWith::DataSm => String::new(),
        },
        registered_delivery: if outgoing.receipt { RECEIPT_WANTED } else { 0 },
        ..Message::default()
    })
}

impl Message {
    fn with_text(mut self, text: Vec<u8>, part: Option<(u16, u8, u8)>, style: &Style) -> Self {
        let mut octets = Vec::new();
        match (part, style.concatenation) {
            (Some((reference, total, number)), Concatenation::Udh8 | Concatenation::Udh16) => {
                let narrow = style.concatenation == Concatenation::Udh8;
                let reference = if narrow { Reference::Narrow(reference as u8) } else { Reference::Wide(reference) };
                let header = Header::concatenation(Part { reference, total, number });
                octets = header.encode().expect("one element fits a header");
                self.esm_class |= Self::UDH;
            }
            (Some((reference, total, number)), Concatenation::Sar) => {
                self.tlvs = Tlvs::default()
                    .with(Tag::SAR_REFERENCE, reference.to_be_bytes().to_vec())
                    .with(Tag::SAR_TOTAL, vec![total])
                    .with(Tag::SAR_NUMBER, vec![number]);
            }
            (_, Concatenation::Payload) | (None, _) => {}
        }
        octets.extend(text);
        self.with_octets(octets, style)
    }

    fn with_octets(mut self, octets: Vec<u8>, style: &Style) -> Self {
        let as_payload = style.submit_with == SubmitWith::DataSm || octets.len() > SHORT_OCTETS_MAX;
        if as_payload {
            self.tlvs = std::mem::take(&mut self.tlvs).with(Tag::MESSAGE_PAYLOAD, octets);
        } else {
            self.short_message = octets;
        }
        self
    }
}

/// `short_message` holds no more (5.2.22).
const SHORT_OCTETS_MAX: usize = 254;

/// Cuts a text into parts. Never splits an escape pair or a surrogate pair.
fn cut(text: &str, coding: Coding, concatenation: Concatenation) -> Vec<&str> {
    let header = match concatenation {
        Concatenation::Udh8 => 6,
        // The service centre may make a 16-bit header of `sar_*`.
        Concatenation::Udh16 | Concatenation::Sar => 7,
        Concatenation::Payload => return vec![text],
    };
    let units: usize = text.chars().map(|c| coding.units_of(c)).sum();
    if units <= coding.units_max(0) {
        return vec![text];
    }
    let (mut parts, mut start, mut filled) = (Vec::with_capacity(units / coding.units_max(header) + 1), 0, 0);
    for (at, c) in text.char_indices() {
        let more = coding.units_of(c);
        if filled + more > coding.units_max(header) {
            parts.push(&text[start..at]);
            (start, filled) = (at, 0);
            if parts.len() > PARTS_MAX {
                break;
            }
        }
        filled += more;
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(text: &str) -> Outgoing<'_> {
        Outgoing {
            text,
            to: "+447700900123",
            reference: 0x1234,
            receipt: true,
            valid_seconds: 3600,
            now_seconds: 1_800_000_000,
        }
    }

    fn style(concatenation: Concatenation) -> Style {
        Style { concatenation, destination: (1, 1), ..Style::default() }
    }

    #[test]
    fn a_short_text_is_one_plain_message() {
        let [message] = compose(&outgoing("Hi @ 1€"), &style(Concatenation::Udh8)).unwrap().try_into().unwrap();
        assert_eq!(message.short_message, [b'H', b'i', b' ', 0, b' ', b'1', 0x1b, 0x65]);
        assert_eq!((message.esm_class, message.data_coding, message.registered_delivery), (0, 0, 1));
        assert_eq!((message.destination.ton, message.destination.text.as_str()), (1, "447700900123"));
        assert_eq!(message.validity, "000000010000000R");
        assert!(message.tlvs.is_empty());
    }

    #[track_caller]
    fn check(text: &str, style: &Style, lengths: &[usize]) -> Vec<Message> {
        let messages = compose(&outgoing(text), style).unwrap();
        let octets: Vec<usize> = messages.iter().map(|message| message.text_octets().len()).collect();
        assert_eq!(octets, lengths);
        messages
    }

    #[test]
    fn long_texts_are_told_as_the_supplier_wants() {
        let text = "a".repeat(161);
        let parts = check(&text, &style(Concatenation::Udh8), &[6 + 153, 6 + 8]);
        assert_eq!(parts[1].short_message[..6], [5, 0, 3, 0x34, 2, 2]);
        assert!(parts.iter().all(|part| part.esm_class == 0x40));

        let parts = check(&text, &style(Concatenation::Udh16), &[7 + 152, 7 + 9]);
        assert_eq!(parts[0].short_message[..7], [6, 8, 4, 0x12, 0x34, 2, 1]);

        let parts = check(&text, &style(Concatenation::Sar), &[152, 9]);
        assert_eq!(parts[1].tlvs.number(Tag::SAR_REFERENCE), Some(0x1234));
        assert_eq!((parts[1].tlvs.number(Tag::SAR_TOTAL), parts[1].tlvs.number(Tag::SAR_NUMBER)), (Some(2), Some(2)));
        assert_eq!(parts[1].esm_class, 0);

        check(&text, &style(Concatenation::Payload), &[161]);
        let [whole] = check(&"b".repeat(700), &style(Concatenation::Payload), &[700]).try_into().unwrap();
        assert!(whole.short_message.is_empty());
    }

    #[test]
    fn a_data_sm_has_its_text_in_the_payload() {
        let style = Style { submit_with: SubmitWith::DataSm, ..style(Concatenation::Udh8) };
        let parts = check(&"a".repeat(161), &style, &[159, 14]);
        assert!(parts.iter().all(|part| part.short_message.is_empty() && part.validity.is_empty()));
        assert_eq!(style.kind(), Kind::Data);
    }

    #[test]
    fn pairs_are_not_split() {
        check(&"€".repeat(81), &style(Concatenation::Udh8), &[6 + 152, 6 + 10]);
        check(&"😀".repeat(36), &style(Concatenation::Udh8), &[6 + 132, 6 + 12]);
        let latin = Style { coding: DefaultCoding::Latin1, ..style(Concatenation::Udh8) };
        check(&"é".repeat(141), &latin, &[6 + 134, 6 + 7]);
    }

    #[test]
    fn octets_go_out_as_they_are() {
        let part = |udh: &[u8], data: &[u8]| BinaryPart { udh: udh.to_vec().into(), data: data.to_vec().into() };
        let parts = vec![part(&[6, 5, 4, 0x0b, 0x84, 0x23, 0xf0], &[1, 6, 3]), part(&[], &[9])];
        let binary = Binary { pid: 0x7f, dcs: 0xf5, parts };
        let payload = Style { concatenation: Concatenation::Payload, ..style(Concatenation::Udh8) };
        let [first, second] = compose_binary(&binary, &outgoing(""), &payload).unwrap().try_into().unwrap();
        assert_eq!((first.esm_class, first.protocol_id, first.data_coding), (0x40, 0x7f, 0xf5));
        assert_eq!(first.short_message, [6, 5, 4, 0x0b, 0x84, 0x23, 0xf0, 1, 6, 3]);
        assert_eq!((second.esm_class, &second.short_message[..]), (0, &[9][..]));
        assert_eq!(second.destination.text, "447700900123");
        let data = Style { submit_with: SubmitWith::DataSm, ..payload.clone() };
        let [first, _] = compose_binary(&binary, &outgoing(""), &data).unwrap().try_into().unwrap();
        assert_eq!((first.short_message.len(), first.text_octets().len()), (0, 10));
        for broken in [Binary { dcs: 0, ..binary.clone() }, Binary { parts: vec![], ..binary }] {
            assert!(matches!(compose_binary(&broken, &outgoing(""), &payload), Err(ComposeError::Binary(_))));
        }
    }

    #[test]
    fn too_long_is_refused() {
        let text = "a".repeat(153 * 255);
        assert_eq!(compose(&outgoing(&text), &style(Concatenation::Udh8)).unwrap().len(), 255);
        let refused = compose(&outgoing(&"a".repeat(153 * 300)), &style(Concatenation::Udh8));
        assert!(matches!(refused, Err(ComposeError::TooManyParts { .. })));
    }
}
