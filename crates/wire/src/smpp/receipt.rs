//! Delivery receipts (SMPP 3.4, 5.2.12, Appendix B) as statuses. Knows how suppliers write them; must not know who waits.

use std::borrow::Cow;

use crate::tpdu::Status;

use super::message_id::{IdForm, reference};
use super::pdu::Message;
use super::time::receipt_moment;
use super::tlv::Tag;

/// How a supplier writes receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// Ids in answers to submitted messages.
    pub response_id: IdForm,
    /// Ids in receipts.
    pub receipt_id: IdForm,
    /// Where the recipient of the message stands.
    pub recipient: Side,
    /// The calling code national numbers belong to; empty: there are none.
    pub country: String,
    /// How far the supplier's clock is ahead of UTC.
    pub utc_offset_minutes: i32,
}

/// An address of a receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The receipt comes from the recipient of the message, as the standard has it.
    #[default]
    Source,
    /// The supplier copies the addresses of the message.
    Destination,
}

/// What a receipt says. `Debug` does not show the recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What the message is found by.
    pub reference: u32,
    /// Who was to get it: E.164 with `+`, where that can be told.
    pub recipient: String,
    /// What became of it, as a TP-ST.
    pub status: Status,
    /// When, in seconds after 1970.
    pub moment: Option<i64>,
}

/// A receipt that does not say enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It names no message.
    #[error("the receipt names no message")]
    NoId,
    /// It says nothing of it.
    #[error("the receipt tells no state")]
    NoState,
}

/// `esm_class`: the bits that tell the kind of message (5.2.12).
const KIND_BITS: u8 = 0x3c;
const RECEIPT: u8 = 0x04;
const INTERMEDIATE: u8 = 0x20;
/// What a word of the text begins with that is no value.
const KEYS: [&[u8]; 6] = [b"sub:", b"dlvrd:", b"submit", b"done", b"stat:", b"err:"];
/// The key behind which the text of the message begins: nothing in it is about the receipt.
const TEXT_KEY: &[u8] = b"text:";

/// TP-ST of what is still on its way.
const ON_ITS_WAY: Status = Status(0x30);

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipt(reference {}, status {:#04x})", self.reference, self.status.0)
    }
}

/// Whether a message that came is a receipt: it says so, or names the message it is about.
pub fn is_receipt(message: &Message) -> bool {
    let kind = message.esm_class & KIND_BITS;
    kind == RECEIPT || kind == INTERMEDIATE || message.tlvs.get(Tag::RECEIPTED_MESSAGE_ID).is_some()
}

impl Receipts {
    /// The reference of a message the supplier has taken under this id.
    pub fn reference_of(&self, id: &str) -> u32 {
        reference(id, self.response_id)
    }

    /// Reads a receipt: the optional parameters where there are, else the text.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn read(&self, message: &Message) -> Result<Receipt, ReceiptError> {
        let text = Text::of(message);
        let id = message.tlvs.string(Tag::RECEIPTED_MESSAGE_ID).filter(|id| !id.is_empty());
        let id = id.or_else(|| text.value(b"id:").map(in_letters)).ok_or(ReceiptError::NoId)?;
        let state = message.tlvs.number(Tag::MESSAGE_STATE).and_then(of_number);
        let state = state.or_else(|| text.value(b"stat:").and_then(of_word));
        let is_final = message.esm_class & KIND_BITS != INTERMEDIATE;
        let status = match state {
            Some(status) if is_final => status,
            None if is_final => return Err(ReceiptError::NoState),
            _ => ON_ITS_WAY,
        };
        let recipient = match self.recipient {
            Side::Source => &message.source,
            Side::Destination => &message.destination,
        };
        Ok(Receipt {
            reference: reference(&id, self.receipt_id),
            recipient: recipient.to_number(&self.country),
            status,
            moment: text
                .value(b"done date:")
                .and_then(|date| receipt_moment(&in_letters(date), self.utc_offset_minutes)),
        })
    }
}

/// `message_state` (5.2.28). Numbers beyond SMPP 3.4 are those of 5.0.
fn of_number(state: u32) -> Option<Status> {
    let word = match state {
        0 => "SCHEDULED",
        1 => "ENROUTE",
        2 => "DELIVRD",
        3 => "EXPIRED",
        4 => "DELETED",
        5 => "UNDELIV",
        6 => "ACCEPTD",
        7 => "UNKNOWN",
        8 => "REJECTD",
        9 => "SKIPPED",
        _ => return None,
    };
    of_word(word.as_bytes())
}

/// `stat:` (Appendix B), with the longer words some suppliers write.
fn of_word(word: &[u8]) -> Option<Status> {
    let states: [(&str, Status); 12] = [
        ("DELIV", Status(0x00)),
        ("EXPIRED", Status(0x46)),
        ("DELETED", Status(0x48)),
        ("UNDELIV", Status(0x41)),
        ("REJECT", Status(0x42)),
        ("SKIPPED", Status(0x42)),
        ("FAILED", Status(0x41)),
        // Not final: a handset may still get it; if nothing more comes it ends as handed over when its time is up.
        ("ACCEPT", ON_ITS_WAY),
        ("ENROUTE", ON_ITS_WAY),
        ("SCHEDULED", ON_ITS_WAY),
        ("BUFFERED", ON_ITS_WAY),
        ("UNKNOWN", ON_ITS_WAY),
    ];
    states.into_iter().find(|(begin, _)| begins_with(word, begin.as_bytes())).map(|(_, status)| status)
}

fn begins_with(word: &[u8], begin: &[u8]) -> bool {
    word.get(..begin.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(begin))
}

/// Octets as the letters of Latin-1.
fn in_letters(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

/// The text of a receipt, without the text of the message.
struct Text<'a>(Cow<'a, [u8]>);

impl<'a> Text<'a> {
    fn of(message: &'a Message) -> Self {
        let octets = message.text_octets();
        // Receipts are ASCII in whatever coding they claim; a UCS-2 one has a zero before each letter.
        if octets.contains(&0) {
            let mut letters: Vec<u8> = octets.iter().copied().filter(|octet| *octet != 0).collect();
            letters.truncate(find_key(&letters, TEXT_KEY).unwrap_or(letters.len()));
            return Self(letters.into());
        }
        Self(octets[..find_key(octets, TEXT_KEY).unwrap_or(octets.len())].into())
    }

    /// The word behind a key.
    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        let rest = &self.0[find_key(&self.0, key)? + key.len()..];
        let is_space = |octet: &u8| char::from(*octet).is_whitespace();
        let word = rest.split(is_space).find(|word| !word.is_empty())?;
        // `id:` without a value: the next word is another key.
        (!KEYS.iter().any(|key| begins_with(word, key))).then_some(word)
    }
}

/// Where a key, which ends in a colon, stands as a word of its own, in capital or small letters.
fn find_key(text: &[u8], key: &[u8]) -> Option<usize> {
    let starts_word = |at: usize| at == 0 || !char::from(text[at - 1]).is_alphanumeric();
    let colons = text.iter().enumerate().filter(|(_, octet)| **octet == b':');
    colons
        .filter_map(|(colon, _)| (colon + 1).checked_sub(key.len()))
        .find(|at| begins_with(&text[*at..], key) && starts_word(*at))
}

#[cfg(test)]
mod tests {
    use super::super::address::Address;
    use super::super::tlv::Tlvs;
    use super::*;

    const USUAL: &str = "id:0000001A2B sub:001 dlvrd:001 submit date:2701150759 done date:2701150800 stat:DELIVRD err:000 text:id:7 stat:EXPIRED";

    fn message(text: &str) -> Message {
        let source = Address::new(1, 1, "447700900123").unwrap();
        Message { esm_class: RECEIPT, source, short_message: text.as_bytes().to_vec(), ..Message::default() }
    }

    fn hex() -> Receipts {
        Receipts { response_id: IdForm::Decimal, receipt_id: IdForm::Hex, ..Receipts::default() }
    }

    #[test]
    fn the_usual_text() {
        let receipt = hex().read(&message(USUAL)).unwrap();
        assert_eq!((receipt.reference, receipt.status, receipt.moment), (6699, Status(0), Some(1_800_000_000)));
        assert_eq!(receipt.recipient, "+447700900123");
        assert_eq!(hex().reference_of("6699"), receipt.reference);
        assert_eq!(format!("{receipt:?}"), "Receipt(reference 6699, status 0x00)");
    }

    #[test]
    fn optional_parameters_come_before_the_text() {
        let mut message = message(USUAL);
        message.tlvs =
            Tlvs::default().with(Tag::RECEIPTED_MESSAGE_ID, b"ff\0".to_vec()).with(Tag::MESSAGE_STATE, vec![5]);
        let receipt = hex().read(&message).unwrap();
        assert_eq!((receipt.reference, receipt.status), (255, Status(0x41)));
        // Without its zero, and a state of a later version in two octets.
        message.tlvs =
            Tlvs::default().with(Tag::RECEIPTED_MESSAGE_ID, b"fe".to_vec()).with(Tag::MESSAGE_STATE, vec![0, 8]);
        message.short_message.clear();
        message.esm_class = 0;
        assert!(is_receipt(&message));
        let receipt = hex().read(&message).unwrap();
        assert_eq!((receipt.reference, receipt.status, receipt.moment), (254, Status(0x42), None));
    }

    #[track_caller]
    fn check(text: &str, expected: Result<u8, ReceiptError>) {
        assert_eq!(Receipts::default().read(&message(text)).map(|receipt| receipt.status.0), expected);
    }

    #[test]
    fn suppliers_write_as_they_like() {
        check("id:1 stat:UNDELIV", Ok(0x41));
        check("ID:1 Stat:delivered", Ok(0x00));
        check("stat:EXPIRED err:001 id:1", Ok(0x46));
        check("id: 1 sub:001 stat: REJECTD", Ok(0x42));
        check("id:1 stat:ACCEPTD", Ok(0x30));
        check("id:1 stat:UNKNOWN", Ok(0x30));
        check("id:1 stat:NONSENSE", Err(ReceiptError::NoState));
        check("id:1", Err(ReceiptError::NoState));
        check("id: stat:DELIVRD", Err(ReceiptError::NoId));
        check("grid:1 stat:DELIVRD", Err(ReceiptError::NoId));
        check("", Err(ReceiptError::NoId));
        check("text:id:1 stat:DELIVRD", Err(ReceiptError::NoId));
        let wide: String = "id:1 stat:DELIVRD".chars().flat_map(|c| ['\0', c]).collect();
        check(&wide, Ok(0x00));
    }

    #[test]
    fn an_intermediate_notification_is_not_the_end() {
        let mut message = message("id:1 stat:UNDELIV");
        message.esm_class = INTERMEDIATE;
        assert_eq!(Receipts::default().read(&message).unwrap().status, ON_ITS_WAY);
    }

    #[test]
    fn some_copy_the_addresses_of_the_message() {
        let mut message = message("id:1 stat:DELIVRD");
        message.destination = Address::new(2, 1, "07700900124").unwrap();
        let receipts = Receipts { recipient: Side::Destination, country: "44".into(), ..Receipts::default() };
        assert_eq!(receipts.read(&message).unwrap().recipient, "+447700900124");
    }
}
