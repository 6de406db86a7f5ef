//! The records of lane `outcomes`: what owners derived, what handsets and networks sent back. Knows their bytes, not what
//! follows from them.
//!
//! Nothing in them is a number or a text: recipients stand as keyed hashes, inbound messages are sealed.

use bytes::Bytes;
use lease::{Attempt, Outcome};
use model::Timestamp;
use model::fetch::Fetched;
use model::record::{Record, RecordError};
use model::report::{Reported, Said};
use prost::Message as _;

/// A record of lane `outcomes`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OutcomeEntry {
    /// Which kind; `None` is a kind this build does not know: it belongs in the dead-letter lane.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<Kind>,
}

/// The kinds of records.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// What became of an attempt: derived by the owner of its partition. (delivery, attempt, correction) makes it
    /// unique; a consumer drops a repeat.
    #[prost(message, tag = "1")]
    Fact(Fact),
    /// A delivery receipt. (farm, incarnation, number) makes it unique.
    #[prost(message, tag = "2")]
    Receipt(Receipt),
    /// A message from a handset. (farm, incarnation, number) makes it unique.
    #[prost(message, tag = "3")]
    Inbound(Inbound),
    /// What became of a message that waited for a phone, told by the gateway it waited at.
    #[prost(message, tag = "4")]
    Fetched(Fetched),
    /// What an HTTP service said of a call, told by the gateway it came to.
    #[prost(message, tag = "5")]
    Reported(Reported),
}

/// See [`Kind::Fact`]. Carries the whole envelope: retry and failover are done from it, never from the store.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Fact {
    /// The attempt's number.
    #[prost(uint32, tag = "1")]
    pub attempt: u32,
    /// The encoded [`Record`] as it was granted: its `header.attempt` is the number used before this attempt, the first
    /// of its candidates the route that had it.
    #[prost(bytes = "bytes", tag = "2")]
    pub envelope: Bytes,
    /// What became of it.
    #[prost(message, required, tag = "3")]
    pub outcome: Outcome,
    /// When it was granted (UTC ms).
    #[prost(int64, tag = "4")]
    pub leased_ms: i64,
    /// The farm it was granted to.
    #[prost(string, tag = "5")]
    pub farm: String,
    /// The link it was granted for; the outcome names the one that had it.
    #[prost(string, tag = "6")]
    pub link: String,
    /// Whether it corrects an earlier fact of this attempt, which was `uncertain` (lanes, 10): no repeat of it.
    #[prost(bool, tag = "7")]
    pub correction: bool,
}

/// See [`Kind::Receipt`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Receipt {
    /// The SIM, or the supplier account.
    #[prost(string, tag = "1")]
    pub imsi: String,
    /// The reference of the part it is about.
    #[prost(uint32, tag = "2")]
    pub reference: u32,
    /// Keyed hash of the recipient, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub recipient_hash: Vec<u8>,
    /// TP-ST (3GPP TS 23.040, 9.2.3.15).
    #[prost(uint32, tag = "4")]
    pub status: u32,
    /// When the network says it happened (UTC ms); 0 if it does not.
    #[prost(int64, tag = "5")]
    pub network_ms: i64,
    /// When the farm heard it (UTC ms).
    #[prost(int64, tag = "6")]
    pub at_ms: i64,
    /// The farm that heard it.
    #[prost(string, tag = "7")]
    pub farm: String,
    /// The farm's incarnation, 16 bytes.
    #[prost(bytes = "vec", tag = "8")]
    pub incarnation: Vec<u8>,
    /// The farm's number for it.
    #[prost(uint64, tag = "9")]
    pub number: u64,
    /// What a service says, in place of a status. References of its calls are never used again.
    #[prost(enumeration = "Said", optional, tag = "10")]
    pub said: Option<i32>,
}

/// See [`Kind::Inbound`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Inbound {
    /// The SIM that received it.
    #[prost(string, tag = "1")]
    pub imsi: String,
    /// The link that received it.
    #[prost(string, tag = "2")]
    pub link: String,
    /// The whole SMS-DELIVER TPDU, sealed with the key `data_key`, bound to [`Inbound::binding`].
    #[prost(bytes = "bytes", tag = "3")]
    pub sealed: Bytes,
    /// The key it is sealed with.
    #[prost(string, tag = "4")]
    pub data_key: String,
    /// When the farm heard it (UTC ms).
    #[prost(int64, tag = "5")]
    pub at_ms: i64,
    /// The farm that heard it.
    #[prost(string, tag = "6")]
    pub farm: String,
    /// The farm's incarnation, 16 bytes.
    #[prost(bytes = "vec", tag = "7")]
    pub incarnation: Vec<u8>,
    /// The farm's number for it.
    #[prost(uint64, tag = "8")]
    pub number: u64,
}

/// The key that brings a fact and its receipts to one partition of lane `outcomes`: (IMSI or account, recipient).
#[must_use]
pub fn partition_key(imsi: &str, recipient_hash: &[u8]) -> Bytes {
    model::fetch::account_key(imsi, recipient_hash)
}

impl OutcomeEntry {
    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`]; an unknown kind is `Field("kind")`.
    pub fn read(bytes: Bytes) -> Result<Kind, RecordError> {
        OutcomeEntry::decode(bytes)?.kind.ok_or(RecordError::Field("kind"))
    }
}

impl Kind {
    /// The record as bytes.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        model::octets(&OutcomeEntry { kind: Some(self) }).into()
    }
}

impl Fact {
    /// The delivery as it was granted.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn record(&self) -> Result<Record, RecordError> {
        Record::read(self.envelope.clone())
    }

    /// Which attempt, given the record read with [`Fact::record`].
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn attempt(&self, record: &Record) -> Result<Attempt, RecordError> {
        Ok(Attempt { delivery: record.header.id()?, number: self.attempt })
    }
}

impl Receipt {
    /// Whether it may be about a delivery whose receipts are heard from `from` on. A service's word on a call always may.
    #[must_use]
    pub const fn is_since(&self, from: Timestamp) -> bool {
        self.said.is_some() || self.at_ms >= from.0
    }
}

impl Inbound {
    /// What the sealed TPDU is bound to: the SIM, the farm and its number for the message.
    #[must_use]
    pub fn binding(&self) -> Vec<u8> {
        let mut binding = Vec::with_capacity(64);
        binding.extend_from_slice(self.imsi.as_bytes());
        binding.push(0);
        binding.extend_from_slice(self.farm.as_bytes());
        binding.push(0);
        binding.extend_from_slice(&self.incarnation);
        binding.extend_from_slice(&self.number.to_be_bytes());
        binding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_bytes_and_unknown_kinds_are_refused() {
        let receipt = Kind::Receipt(Receipt { imsi: "234150000000001".into(), reference: 7, ..Receipt::default() });
        assert_eq!(OutcomeEntry::read(receipt.clone().to_bytes()), Ok(receipt));
        let fetched = Fetched { recipient_hash: vec![7; 16], reference: 9, at_ms: 3, ..Fetched::default() };
        assert_eq!(
            OutcomeEntry::read(fetched.to_bytes()),
            Ok(Kind::Fetched(fetched.clone())),
            "as the gateway writes it"
        );
        assert_eq!(fetched.key(), partition_key(model::fetch::ACCOUNT, &[7; 16]));
        let reported = Reported { account: "up".into(), recipient_hash: vec![7; 16], said: 1, ..Reported::default() };
        assert_eq!(
            OutcomeEntry::read(reported.to_bytes()),
            Ok(Kind::Reported(reported.clone())),
            "as the gateway writes it"
        );
        assert_eq!(reported.key(), partition_key("up", &[7; 16]));
        assert_eq!(OutcomeEntry::read(Bytes::from_static(&[0x4a, 0x00])), Err(RecordError::Field("kind")));
    }

    #[test]
    fn a_fact_and_its_receipt_share_a_partition_key() {
        assert_eq!(partition_key("23415", &[1; 16]), partition_key("23415", &[1; 16]));
        assert_ne!(partition_key("23415", &[1; 16]), partition_key("23416", &[1; 16]));
        assert_ne!(partition_key("23415", &[1; 16]), partition_key("23415", &[2; 16]));
    }
}
