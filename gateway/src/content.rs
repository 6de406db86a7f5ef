//! Multimedia messages that wait here for phones: kept before they are announced. Knows addresses, tickets and notices; how a notice
//! reaches a phone is the pipeline's.
//!
//! Nobody guesses an address: it has 128 random bits, and the state knows a keyed hash of them only.

pub(crate) mod door;

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use model::fetch::Fetch;
use model::party::Tenant;
use model::record::{Binary, Multimedia};
use model::{MessageId, Msisdn, Refusal, Timestamp};
use prost::Message as _;
use store::{AnyStore, ContentRow, ContentTicket, Store, StoreError};
use wire::datagram::{DCS_PUSH, Datagram, PORT_PUSH, PORT_SESSION};
use wire::mms::{APPLICATION, MEDIA_TYPE, MmsError, Notification};
use wire::tpdu::TpduError;
use wire::udh::Reference;
use wire::wsp::{Push, WspError};

use crate::config::Content as Settings;
use crate::snapshot::Snapshot;

/// Characters of an address that tell transactions apart; a phone repeats them.
const TRANSACTION_CHARACTERS: usize = 8;

/// What tells a phone of a message that waits.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The short messages.
    pub(crate) binary: Binary,
    /// How it is known that somebody came.
    pub(crate) fetch: Fetch,
}

/// A message as it waits: sealed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
struct Kept {
    /// The sender, E.164; empty: nobody in particular.
    #[prost(string, tag = "1")]
    from: String,
    /// When it was sent (UTC ms).
    #[prost(int64, tag = "2")]
    sent_ms: i64,
    #[prost(message, required, tag = "3")]
    multimedia: Multimedia,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({:?})", self.multimedia)
    }
}

/// A message that is to wait.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) tenant: &'a Tenant,
    /// The sender, E.164; empty: nobody in particular.
    pub(crate) from: &'a str,
    pub(crate) multimedia: &'a Multimedia,
    pub(crate) recipients: &'a [Msisdn],
    /// From when on phones may hear of it.
    pub(crate) begin: Timestamp,
    pub(crate) now: Timestamp,
}

/// Where messages wait.
pub(crate) struct Shelf {
    store: AnyStore,
    settings: Settings,
}

/// A notice that can't be written.
#[derive(Debug, thiserror::Error)]
enum Unwritable {
    #[error(transparent)]
    Notice(#[from] MmsError),
    #[error(transparent)]
    Push(#[from] WspError),
    #[error(transparent)]
    Parts(#[from] TpduError),
}

impl Shelf {
    pub(crate) fn new(store: AnyStore, settings: Settings) -> Self {
        Shelf { store, settings }
    }

    /// Whether phones can fetch anything here.
    pub(crate) fn is_open(&self) -> bool {
        !self.settings.url.is_empty()
    }

    /// Keeps a message until phones fetch it, and writes what tells each of them so. Durable when it returns.
    ///
    /// # Errors
    /// [`Refusal::BodyTooLarge`]: it is larger than what is kept. [`Refusal::Busy`]: the tenant's share of the room is used up.
    /// [`Refusal::Unavailable`].
    pub(crate) async fn leave(&self, snapshot: &Snapshot, left: Left<'_>) -> Result<HashMap<Msisdn, Notice>, Refusal> {
        let Left { tenant, from, multimedia, begin, now, .. } = left;
        let Some((_, key)) = snapshot.ring().newest(&tenant.id) else { return Err(Refusal::Unavailable) };
        let id = MessageId::fresh(now, rand::random());
        let kept = Kept { from: from.to_owned(), sent_ms: begin.0, multimedia: multimedia.clone() };
        let sealed = Bytes::from(key.seal_bytes(&id.to_bytes(), &kept.encode_to_vec()));
        if sealed.len() > self.settings.message_octets_max {
            return Err(Refusal::BodyTooLarge);
        }
        let used = self.store.content_octets(&tenant.id, now).await.map_err(unavailable)?;
        if used.saturating_add(sealed.len() as u64) > self.settings.tenant_octets_max {
            tracing::warn!(tenant = %tenant.id, used, "no room for another multimedia message that waits for phones");
            return Err(Refusal::Busy);
        }
        let until = begin.plus_ms(i64::from(self.settings.keep_hours) * 60 * 60 * 1_000);
        let (mut tickets, mut notices) = (Vec::new(), HashMap::new());
        for recipient in left.recipients {
            let token = BASE64.encode(rand::random::<[u8; 16]>());
            let ticket = ticket_of(snapshot, &token);
            let recipient_hash = snapshot.numbers().hash(recipient);
            tickets.push(ContentTicket { ticket, content: id, recipient_hash, until, ended: None });
            let binary = self.announce(&token, &left, until).map_err(|error| {
                tracing::error!(%error, "a notice of a multimedia message can't be written");
                Refusal::Unavailable
            })?;
            let fetch = Fetch { reference: reference(ticket), until_ms: until.0 };
            notices.insert(recipient.clone(), Notice { binary, fetch });
        }
        let row = ContentRow { id, tenant: tenant.id.clone(), until, data_key: key.id().to_owned(), sealed };
        self.store.content_put(row, tickets, now).await.map_err(unavailable)?;
        Ok(notices)
    }

    /// A notice as short messages: a push to the phone's multimedia program.
    fn announce(&self, token: &str, left: &Left<'_>, until: Timestamp) -> Result<Binary, Unwritable> {
        let octets: usize = left.multimedia.media.iter().map(|medium| medium.data.len()).sum();
        let notice = Notification {
            transaction: transaction(token).to_owned(),
            from: Some(left.from).filter(|from| !from.is_empty()).map(str::to_owned),
            octets: u32::try_from(octets).unwrap_or(u32::MAX),
            expires_seconds: u32::try_from(until.since_ms(left.begin) / 1_000).unwrap_or(u32::MAX),
            location: format!("{}/m/{token}", self.settings.url.trim_end_matches('/')),
        };
        let push = Push::new(rand::random(), MEDIA_TYPE, Some(APPLICATION), notice.encode()?).encode()?;
        let datagram = Datagram { destination_port: PORT_PUSH, source_port: PORT_SESSION, payload: &push };
        Ok(wire::binary::compose(&datagram.parts(Reference::Wide(rand::random()))?, 0, DCS_PUSH)?)
    }
}

/// What the state knows of an address.
fn ticket_of(snapshot: &Snapshot, token: &str) -> [u8; 16] {
    snapshot.numbers().hash_text(&format!("ticket\0{token}"))
}

/// What a delivery is found by when somebody came.
fn reference(ticket: [u8; 16]) -> u32 {
    u32::from_be_bytes([ticket[0], ticket[1], ticket[2], ticket[3]])
}

fn transaction(token: &str) -> &str {
    token.get(..TRANSACTION_CHARACTERS).unwrap_or(token)
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "what waits for phones can't be read or written");
    Refusal::Unavailable
}
