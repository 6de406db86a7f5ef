//! What handsets send: a whole message as it is sealed, and a reply on its way into a mailbox. No I/O, no clock.

use bytes::Bytes;
use prost::Message as _;

use crate::record::{Multimedia, RecordError};
use crate::report::Ending;
use crate::seal::{DataKey, SealError};
use crate::{MessageId, TenantId, Timestamp};

/// A message from a handset, whole: what is personal, and therefore sealed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Words {
    /// The sender: E.164 with `+` where it is such a number; else as the network told it.
    #[prost(string, tag = "1")]
    pub from: String,
    /// The text.
    #[prost(string, tag = "2")]
    pub text: String,
    /// What it says if that is no text.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
    /// When a farm heard it (UTC ms).
    #[prost(int64, tag = "4")]
    pub heard_ms: i64,
    /// In place of a text: a multimedia message, whole; its presentation (SMIL) is one of its media.
    #[prost(message, optional, tag = "5")]
    pub multimedia: Option<Multimedia>,
    /// The mailbox it goes to, if it is a letter of ours and no handset's.
    #[prost(string, tag = "6")]
    pub mailbox: String,
    /// The subject of such a letter.
    #[prost(string, tag = "7")]
    pub subject: String,
}

/// What a farm hears from a handset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// An SMS-DELIVER, as octets.
    Short(Bytes),
    /// A multimedia message.
    Multimedia(Letter),
}

/// A multimedia message from a handset.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Letter {
    /// The sender, as in [`Words::from`].
    #[prost(string, tag = "1")]
    pub from: String,
    /// What it is.
    #[prost(message, required, tag = "2")]
    pub multimedia: Multimedia,
}

/// What no SMS-DELIVER begins with: its lowest two bits would be zero (3GPP TS 23.040, 9.2.3.1).
const MULTIMEDIA: u8 = 0xff;

impl Heard {
    /// As it travels from the farm.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Heard::Short(tpdu) => tpdu.clone(),
            Heard::Multimedia(letter) => [&[MULTIMEDIA][..], &letter.encode_to_vec()].concat().into(),
        }
    }

    /// Reads what [`Heard::to_bytes`] wrote. Whether a short message makes sense is not looked at.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: Bytes) -> Result<Self, RecordError> {
        match bytes.first() {
            Some(&MULTIMEDIA) => Ok(Heard::Multimedia(Letter::decode(bytes.slice(1..))?)),
            _ => Ok(Heard::Short(bytes)),
        }
    }
}

/// Shows no number and no text.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letter({:?})", self.multimedia)
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words(..)")
    }
}

impl Words {
    /// Seals them for the message `id` of whoever has the key.
    #[must_use]
    pub fn seal(&self, key: &DataKey, id: MessageId) -> Bytes {
        key.seal_bytes(&id.to_bytes(), &self.encode_to_vec()).into()
    }

    /// Opens what [`Words::seal`] made of them.
    ///
    /// # Errors
    /// [`SealError`]: another key, another message, or damaged.
    pub fn open(key: &DataKey, id: MessageId, sealed: &[u8]) -> Result<Self, SealError> {
        let plain = key.open_bytes(&id.to_bytes(), sealed)?;
        Words::decode(plain.as_slice()).map_err(|_| SealError::Broken(key.id().to_owned()))
    }
}

/// A record of the lanes `mail`, `hooks` and `reports`: a reply for a user's mailbox, a message or something that happened for a
/// tenant's webhook, a letter of ours, or the end of a delivery for whoever handed it to us.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MailRecord {
    /// Which message, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Whose.
    #[prost(string, tag = "2")]
    pub tenant: String,
    /// The user whose mailbox it is; empty if it is nobody's reply.
    #[prost(string, tag = "3")]
    pub user: String,
    /// Where it stands in its owner's list: when lane `inbox` took it (UTC ms).
    #[prost(int64, tag = "4")]
    pub received_ms: i64,
    /// The key it is sealed with.
    #[prost(string, tag = "5")]
    pub data_key: String,
    /// Sealed [`Words`].
    #[prost(bytes = "bytes", tag = "6")]
    pub sealed: Bytes,
    /// Whether it is ours, and no handset's: it stands in no list.
    #[prost(bool, tag = "7")]
    pub is_letter: bool,
    /// The SIM or supplier account that received it; empty for a letter.
    #[prost(string, tag = "8")]
    pub account: String,
    /// What happened, where that is what is told: nothing is sealed then, and builds that do not know it post nothing.
    #[prost(message, optional, tag = "9")]
    pub happening: Option<Happening>,
    /// In lane `reports`: how a delivery of this message ended, in place of all that is sealed.
    #[prost(message, optional, tag = "10")]
    pub report: Option<Ending>,
}

/// Something that happened, as a tenant's webhook is told of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Happening {
    /// What: the `type` of the post.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// When (UTC ms).
    #[prost(int64, tag = "2")]
    pub at_ms: i64,
    /// The post's `data`: a JSON object without a secret or a number in full.
    #[prost(string, tag = "3")]
    pub data: String,
}

impl MailRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let record = MailRecord::decode(bytes)?;
        record.id()?;
        record.tenant()?;
        Ok(record)
    }

    /// The record as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Which message.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn id(&self) -> Result<MessageId, RecordError> {
        MessageId::from_bytes(&self.id).ok_or(RecordError::Field("id"))
    }

    /// Whose.
    ///
    /// # Errors
    /// [`RecordError::Field`].
    pub fn tenant(&self) -> Result<TenantId, RecordError> {
        TenantId::new(&self.tenant).map_err(|_| RecordError::Field("tenant"))
    }

    /// When lane `inbox` took it.
    #[must_use]
    pub const fn received(&self) -> Timestamp {
        Timestamp(self.received_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_open_for_their_own_message_only() {
        let key = DataKey::new("acme.0", [3; 32]);
        let words = Words { from: "+447700900123".into(), text: "secret".into(), ..Words::default() };
        let sealed = words.seal(&key, MessageId(7));
        assert_eq!(Words::open(&key, MessageId(7), &sealed).unwrap(), words);
        assert!(Words::open(&key, MessageId(8), &sealed).is_err());
        assert_eq!(format!("{words:?}"), "Words(..)");
    }

    #[test]
    fn what_a_farm_hears_keeps_its_kind() {
        let short = Heard::Short(Bytes::from_static(&[0x24, 1, 2]));
        let multimedia = Multimedia { subject: "holiday".into(), ..Multimedia::default() };
        let letter = Heard::Multimedia(Letter { from: "+447700900123".into(), multimedia });
        for heard in [short, letter] {
            assert_eq!(Heard::read(heard.to_bytes()), Ok(heard));
        }
        assert!(Heard::read(Bytes::from_static(&[MULTIMEDIA, 9])).is_err());
    }

    #[test]
    fn a_mail_without_an_id_is_refused() {
        let record = MailRecord { tenant: "acme".into(), ..MailRecord::default() };
        assert_eq!(MailRecord::read(record.to_bytes()), Err(RecordError::Field("id")));
    }
}
