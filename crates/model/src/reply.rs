//! What handsets send: a whole message as it is sealed, and a reply on its way into a mailbox. No I/O, no clock.

use bytes::Bytes;
use prost::Message as _;

use crate::record::RecordError;
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

/// A record of lane `mail`: a reply for a user's mailbox.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MailRecord {
    /// Which message from a handset, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Whose.
    #[prost(string, tag = "2")]
    pub tenant: String,
    /// The user whose mailbox it is.
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
    fn a_mail_without_an_id_is_refused() {
        let record = MailRecord { tenant: "acme".into(), ..MailRecord::default() };
        assert_eq!(MailRecord::read(record.to_bytes()), Err(RecordError::Field("id")));
    }
}
