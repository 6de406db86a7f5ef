//! What a service centre owes an account: receipts and messages, until they are taken. Knows how they are written.

use model::Timestamp;
use serde::{Deserialize, Serialize};
use wire::smpp::{Address, Message, Tag, Tlvs};
use wire::tpdu::Timestamp as ServiceCentreTime;

use super::config::{IdWriting, ReceiptForm};

/// One thing owed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Owed {
    /// Tells it from all others.
    pub(super) number: u64,
    pub(super) account: String,
    /// Not before.
    pub(super) due: Timestamp,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Receipt { id: u64, state: u8, from: Party, to: Party, taken: Timestamp },
    Message { from: Party, to: Party, data_coding: u8, text: Vec<u8> },
}

/// An address, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Party(u8, u8, String);

impl From<&Address> for Party {
    fn from(address: &Address) -> Self {
        Self(address.ton, address.npi, address.text.clone())
    }
}

impl From<&Party> for Address {
    fn from(party: &Party) -> Self {
        Self { ton: party.0, npi: party.1, text: party.2.clone() }
    }
}

/// `esm_class` of a receipt.
const RECEIPT: u8 = 0x04;
/// `message_state` (SMPP 3.4, 5.2.28) as the text of a receipt has it.
const STATES: [&str; 9] =
    ["SCHEDLD", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"];

impl Owed {
    /// The message it is delivered as.
    pub(super) fn message(&self, writing: IdWriting, form: ReceiptForm) -> Message {
        match &self.what {
            What::Message { from, to, data_coding, text } => Message {
                source: from.into(),
                destination: to.into(),
                data_coding: *data_coding,
                short_message: text.clone(),
                ..Message::default()
            },
            What::Receipt { id, state, from, to, taken } => {
                let id = writing.write(*id);
                let (mut text, mut tlvs) = (Vec::new(), Tlvs::default());
                if form != ReceiptForm::Parameters {
                    let word = STATES.get(usize::from(*state)).copied().unwrap_or("UNKNOWN");
                    let (taken, done) = (date(*taken), date(self.due));
                    let dlvrd = u8::from(word == "DELIVRD");
                    text = format!(
                        "id:{id} sub:001 dlvrd:00{dlvrd} submit date:{taken} done date:{done} stat:{word} err:000 text:"
                    )
                    .into_bytes();
                }
                if form != ReceiptForm::Text {
                    let id = [id.as_bytes(), &[0]].concat();
                    tlvs = tlvs.with(Tag::RECEIPTED_MESSAGE_ID, id).with(Tag::MESSAGE_STATE, vec![*state]);
                }
                // A receipt comes from the recipient of the message.
                let (source, destination) = (to.into(), from.into());
                Message { source, destination, esm_class: RECEIPT, short_message: text, tlvs, ..Message::default() }
            }
        }
    }
}

/// `YYMMDDhhmm` in UTC.
fn date(at: Timestamp) -> String {
    let time = ServiceCentreTime::from_unix_seconds(at.0.div_euclid(1000), 0).civil();
    time.map_or_else(String::new, |time| {
        let (year, month, day) = (time.year % 100, time.month, time.day);
        format!("{year:02}{month:02}{day:02}{:02}{:02}", time.hour, time.minute)
    })
}
