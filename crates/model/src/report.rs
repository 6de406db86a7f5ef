//! Delivery reports between installations: where one wants them, the ticket it gives a service for each call, and what came back. No
//! I/O, no clock.
//!
//! A ticket is sealed with the tenant's data key, which farm and gateway both have: nobody else makes one, and a tenant's opens
//! nothing of another's.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use prost::Message as _;

use crate::fetch::account_key;
use crate::keyring::Keyring;
use crate::seal::{DataKey, SealError};
use crate::{DeliveryId, State, TenantId};

/// Octets of an address that reports go to.
pub const URL_OCTETS_MAX: usize = 1_000;
/// Characters of a ticket.
pub const TICKET_CHARACTERS_MAX: usize = 512;
/// Octets a ticket begins with: what its data key is found by.
pub const MARK_OCTETS: usize = 8;

const TICKET_BINDING: &[u8] = b"carillon report ticket";
const ADDRESS_BINDING: &[u8] = b"carillon report address";

/// In headers and events: where whoever handed the message to us wants to hear how it ended. The address is sealed: it is as good
/// as a password.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ReportTo {
    /// The data key it is sealed with.
    #[prost(string, tag = "1")]
    pub data_key: String,
    /// The sealed address.
    #[prost(bytes = "vec", tag = "2")]
    pub sealed: Vec<u8>,
}

impl ReportTo {
    /// Seals an address for the reports of one delivery.
    #[must_use]
    pub fn seal(key: &DataKey, tenant: &TenantId, delivery: DeliveryId, url: &str) -> Self {
        let sealed = key.seal_bytes(&address_binding(tenant, delivery), url.as_bytes());
        ReportTo { data_key: key.id().to_owned(), sealed }
    }

    /// The address.
    ///
    /// # Errors
    /// [`SealError`]: the key is gone, or it was sealed for another delivery.
    pub fn open(&self, ring: &Keyring, tenant: &TenantId, delivery: DeliveryId) -> Result<String, SealError> {
        let plain = ring.key(&self.data_key)?.open_bytes(&address_binding(tenant, delivery), &self.sealed)?;
        String::from_utf8(plain).map_err(|_| SealError::Broken(self.data_key.clone()))
    }
}

fn address_binding(tenant: &TenantId, delivery: DeliveryId) -> Vec<u8> {
    [ADDRESS_BINDING, b"\0", tenant.as_str().as_bytes(), b"\0", &delivery.to_bytes()].concat()
}

/// What a service gives back with its report: which call it is about.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ticket {
    /// The supplier account the call went by.
    #[prost(string, tag = "1")]
    pub account: String,
    /// Keyed hash of the recipient, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub recipient_hash: Vec<u8>,
    /// What the outcome's reference is: [`reference_of`].
    #[prost(fixed32, tag = "3")]
    pub reference: u32,
    /// Until when a report is taken (UTC ms).
    #[prost(int64, tag = "4")]
    pub until_ms: i64,
}

/// A text that is no ticket of ours, or of a tenant whose data key is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no ticket of this installation")]
pub struct NoTicket;

impl Ticket {
    /// The ticket as a service gets it: it may stand in a path or a query as it is.
    #[must_use]
    pub fn seal(&self, key: &DataKey) -> String {
        BASE64.encode([&key.mark()[..], &key.seal_bytes(TICKET_BINDING, &self.encode_to_vec())].concat())
    }

    /// Reads a ticket. What is not ours fails at the cipher's tag, which is compared in constant time.
    ///
    /// # Errors
    /// [`NoTicket`], whatever is wrong with it.
    pub fn open(ring: &Keyring, text: &str) -> Result<Self, NoTicket> {
        if text.len() > TICKET_CHARACTERS_MAX {
            return Err(NoTicket);
        }
        let octets = BASE64.decode(text).map_err(|_| NoTicket)?;
        let (mark, sealed) = octets.split_first_chunk::<MARK_OCTETS>().ok_or(NoTicket)?;
        let key = ring.marked(mark).ok_or(NoTicket)?;
        let plain = key.open_bytes(TICKET_BINDING, sealed).map_err(|_| NoTicket)?;
        Ticket::decode(plain.as_slice()).map_err(|_| NoTicket)
    }
}

/// The reference of a part of a delivery, the same for every attempt at it: another installation takes the first that reaches it and
/// reports under that one's ticket.
#[must_use]
pub fn reference_of(delivery: DeliveryId, part: u32) -> u32 {
    let mut hasher = blake3::Hasher::new_derive_key("carillon 2026 report reference");
    hasher.update(&delivery.to_bytes());
    hasher.update(&part.to_be_bytes());
    let digest = hasher.finalize();
    u32::from_be_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 octets"))
}

/// What a service says became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Said {
    /// It is on its way; more will be told.
    Underway = 0,
    /// The handset has it.
    Delivered = 1,
    /// It was handed over; whether it arrived may never be told.
    Sent = 2,
    /// It did not arrive; another attempt might have.
    Failed = 3,
    /// It did not arrive, and no attempt would.
    Refused = 4,
    /// Its validity ended before it arrived.
    Expired = 5,
    /// It may have been sent; nothing proves either.
    Uncertain = 6,
}

impl Said {
    /// What an installation says of a delivery of its own.
    #[must_use]
    pub const fn of(state: State, permanent: bool) -> Self {
        match state {
            State::Accepted | State::Scheduled | State::Routed | State::Leased | State::Submitted => Said::Underway,
            State::Sent => Said::Sent,
            State::Delivered => Said::Delivered,
            State::Failed if permanent => Said::Refused,
            State::Failed => Said::Failed,
            State::Expired => Said::Expired,
            State::Cancelled | State::Rejected => Said::Refused,
            State::Uncertain => Said::Uncertain,
        }
    }

    /// Whether it says how the message ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Said::Underway)
    }
}

/// A report as a gateway took it: a record of lane `outcomes`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reported {
    /// As in [`Ticket`].
    #[prost(string, tag = "1")]
    pub account: String,
    /// As in [`Ticket`].
    #[prost(bytes = "vec", tag = "2")]
    pub recipient_hash: Vec<u8>,
    /// As in [`Ticket`].
    #[prost(fixed32, tag = "3")]
    pub reference: u32,
    /// What is said.
    #[prost(enumeration = "Said", tag = "4")]
    pub said: i32,
    /// When the service says it happened (UTC ms); 0 if it does not.
    #[prost(int64, tag = "5")]
    pub network_ms: i64,
    /// When it was taken (UTC ms).
    #[prost(int64, tag = "6")]
    pub at_ms: i64,
}

/// As lane `outcomes` has it: beside facts (1), receipts (2), messages from handsets (3) and what phones fetched (4).
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Entry {
    #[prost(message, optional, tag = "5")]
    reported: Option<Reported>,
}

impl Reported {
    /// What a ticket's holder says.
    #[must_use]
    pub fn by(ticket: Ticket, said: Said, network_ms: i64, at_ms: i64) -> Self {
        let Ticket { account, recipient_hash, reference, .. } = ticket;
        Reported { account, recipient_hash, reference, said: said.into(), network_ms, at_ms }
    }

    /// The record as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Entry { reported: Some(self.clone()) }.encode_to_vec().into()
    }

    /// What brings it to the partition where its delivery waits.
    #[must_use]
    pub fn key(&self) -> Bytes {
        account_key(&self.account, &self.recipient_hash)
    }
}

/// In a record of lane `reports`: how a delivery ended that somebody wants to hear of.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ending {
    /// Where the report goes.
    #[prost(message, required, tag = "1")]
    pub to: ReportTo,
    /// Which of the message's deliveries.
    #[prost(uint32, tag = "2")]
    pub delivery: u32,
    /// The rank of its final [`State`].
    #[prost(uint32, tag = "3")]
    pub state: u32,
    /// Of a failure, whether the same message would fail again.
    #[prost(bool, tag = "4")]
    pub permanent: bool,
    /// When it ended: by the network's word if it gave one (UTC ms).
    #[prost(int64, tag = "5")]
    pub at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::MasterKey;
    use crate::{MessageId, Timestamp};

    fn ring() -> (Keyring, [DataKey; 2]) {
        let master = MasterKey::new([1; 32]);
        let keys = ["acme", "other"].map(|name| {
            let tenant = TenantId::new(name).unwrap();
            master.mint(&tenant, Timestamp(1), [name.len() as u8; 32])
        });
        let ring = Keyring::open(&master, &keys, Timestamp(2)).unwrap();
        let keys = [0, 1].map(|n| master.unwrap(&keys[n]).unwrap());
        (ring, keys)
    }

    fn ticket() -> Ticket {
        Ticket { account: "upstream".into(), recipient_hash: vec![7; 16], reference: 9, until_ms: 100 }
    }

    #[test]
    fn a_ticket_opens_as_it_was_given_and_not_otherwise() {
        let (ring, [acme, other]) = ring();
        let text = ticket().seal(&acme);
        assert!(text.len() < TICKET_CHARACTERS_MAX && !text.contains("acme"), "{text}");
        assert_eq!(Ticket::open(&ring, &text), Ok(ticket()));
        assert_ne!(text, ticket().seal(&acme), "nonces differ");
        let mut octets = BASE64.decode(&text).unwrap();
        for at in 0..octets.len() {
            octets[at] ^= 1;
            assert_eq!(Ticket::open(&ring, &BASE64.encode(&octets)), Err(NoTicket), "octet {at}");
            octets[at] ^= 1;
        }
        // Another tenant's mark before it does not make it that tenant's.
        octets[..MARK_OCTETS].copy_from_slice(&other.mark());
        assert_eq!(Ticket::open(&ring, &BASE64.encode(&octets)), Err(NoTicket));
        let stranger = DataKey::new("acme.1", [99; 32]);
        for wrong in [ticket().seal(&stranger), String::new(), "%".into(), "AAAA".into(), "A".repeat(5_000)] {
            assert_eq!(Ticket::open(&ring, &wrong), Err(NoTicket), "{wrong}");
        }
    }

    #[test]
    fn an_address_opens_for_its_own_delivery_only() {
        let (ring, [acme, _]) = ring();
        let [tenant, other] = ["acme", "other"].map(|name| TenantId::new(name).unwrap());
        let delivery = DeliveryId { message: MessageId(5), index: 0 };
        let to = ReportTo::seal(&acme, &tenant, delivery, "https://a.example/r/1");
        assert_eq!(to.open(&ring, &tenant, delivery).unwrap(), "https://a.example/r/1");
        assert!(to.open(&ring, &other, delivery).is_err());
        assert!(to.open(&ring, &tenant, DeliveryId { index: 1, ..delivery }).is_err());
    }

    #[test]
    fn references_tell_deliveries_and_parts_apart() {
        let delivery = DeliveryId { message: MessageId(5), index: 0 };
        let next = DeliveryId { index: 1, ..delivery };
        let all = [reference_of(delivery, 0), reference_of(delivery, 1), reference_of(next, 0)];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert_eq!(all[0], reference_of(delivery, 0));
    }

    #[test]
    fn nothing_but_delivered_is_told_as_delivered() {
        for state in State::ALL {
            let said = Said::of(state, false);
            assert_eq!(said == Said::Delivered, state == State::Delivered, "{state}");
            assert_eq!(said.is_final(), state.is_final(), "{state}");
        }
    }
}
