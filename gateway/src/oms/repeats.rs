//! Whether a recipient was sent the same by the same user within ten minutes. Knows ids and the store; must not know documents.
//!
//! The protocol has no message id, so a client that got no answer can only send all of it again. Where the tenant wants it
//! (spec OMS, 9), what one recipient gets is a message of its own, whose id follows from the user, the content ids, the
//! recipient, the texts, and the ten minutes it came in. So the router drops what comes twice within those, whichever
//! replica took it; what comes again shortly after their end is found here.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use model::party::OmsUser;
use model::{MessageId, Msisdn, Refusal, Timestamp};
use store::{AnyStore, Store};
use wire::oms::request::XmsData;

use crate::accept::{Acceptor, Part};

/// How long the same is taken for a repeat.
const WINDOW_MS: i64 = 10 * 60 * 1_000;
/// Longer than the state lags behind the doors: what came at the end of a window may not be known to it in the next one yet, so
/// for so long messages still take their ids from the window before.
const LAG_MS: i64 = 30 * 1_000;
/// Windows in which an original may have taken its id: this one, that before it, and the one before that for [`LAG_MS`].
const WINDOWS: i64 = 3;

/// What makes two calls the same for one recipient, but for the recipient and the time.
pub(super) struct Fingerprint(blake3::Hasher);

/// What is known of one recipient's message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    /// The user sent it a moment ago.
    Repeat,
    /// It is sent, under this key.
    New(String),
}

impl Fingerprint {
    /// The fingerprint of what a user asks for.
    pub(super) fn of(user: &OmsUser, data: &XmsData<'_>, parts: &[Part]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("carillon 2026 oms repeats");
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(user.user_id.as_bytes());
        let ids: BTreeSet<&str> = data.contents.iter().map(|content| content.content_id.as_ref()).collect();
        field(&(ids.len() as u64).to_be_bytes());
        ids.into_iter().for_each(|id| field(id.as_bytes()));
        field(&data.scheduled.map_or(-1, |at| at.unix_milliseconds).to_be_bytes());
        for part in parts {
            field(part.text.as_bytes());
            if let Some(multimedia) = &part.multimedia {
                field(&prost::Message::encode_to_vec(multimedia));
            }
        }
        Fingerprint(hasher)
    }

    /// The key of what came in a window, counted from the epoch.
    fn key(&self, recipient: &Msisdn, window: i64) -> String {
        let mut hasher = self.0.clone();
        hasher.update(recipient.digits().as_bytes());
        hasher.update(&window.to_be_bytes());
        format!("oms:{}", hasher.finalize().to_hex())
    }
}

/// Who knows what was sent.
pub(super) struct Repeats<'a> {
    pub(super) acceptor: &'a Acceptor,
    pub(super) store: &'a AnyStore,
}

impl Repeats<'_> {
    /// For each recipient, whether this is a repeat.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: the store cannot be asked, so nothing may be sent.
    pub(super) async fn look(
        &self,
        user: &OmsUser,
        fingerprint: &Fingerprint,
        recipients: &[Msisdn],
        now: Timestamp,
    ) -> Result<Vec<Sight>, Refusal> {
        let window = now.0.div_euclid(WINDOW_MS);
        let keys = |recipient| (0..WINDOWS).map(move |back| fingerprint.key(recipient, window - back));
        let keys: Vec<String> = recipients.iter().flat_map(keys).collect();
        let ids: Vec<MessageId> = keys.iter().map(|key| MessageId::derived(&user.tenant, key)).collect();
        let claims = self.store.claims(&ids).await.map_err(unavailable)?;
        let taken = ids.iter().zip(claims).map(|(id, claim)| self.taken(user, *id, claim.is_some()));
        let taken = try_join_all(taken).await?;
        let windows = usize::try_from(WINDOWS).expect("a few");
        let sights = keys.chunks(windows).zip(taken.chunks(windows));
        Ok(sights.map(|(keys, taken)| sight(keys, taken, now)).collect())
    }

    /// When the message of this id was taken.
    async fn taken(&self, user: &OmsUser, id: MessageId, is_claimed: bool) -> Result<Option<Timestamp>, Refusal> {
        if let Some(accepted) = self.acceptor.recent(&user.tenant, id) {
            return Ok(Some(accepted.at));
        }
        if !is_claimed {
            return Ok(None);
        }
        let found = self.store.message(&user.tenant, id).await.map_err(unavailable)?;
        Ok(found.map(|message| message.accepted_at))
    }
}

/// What is known, by the keys of the windows, this one first, and when they were taken.
fn sight(keys: &[String], taken: &[Option<Timestamp>], now: Timestamp) -> Sight {
    if taken.iter().flatten().any(|at| now.since_ms(*at) < WINDOW_MS) {
        return Sight::Repeat;
    }
    let is_early = now.0.rem_euclid(WINDOW_MS) < LAG_MS && taken[1].is_none();
    Sight::New(keys[usize::from(is_early)].clone())
}

fn unavailable(error: store::StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "what was sent a moment ago can't be looked up");
    Refusal::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    /// Who takes what, as a client that repeats at these times sees it: true where it is sent.
    fn sent(times: &[i64]) -> Vec<bool> {
        let mut taken = std::collections::HashMap::new();
        let mut sent = Vec::new();
        for &at in times {
            let window = at.div_euclid(WINDOW_MS);
            let keys: Vec<String> = (0..WINDOWS).map(|back| (window - back).to_string()).collect();
            let known: Vec<Option<Timestamp>> = keys.iter().map(|key| taken.get(key).copied()).collect();
            sent.push(match sight(&keys, &known, Timestamp(at)) {
                Sight::Repeat => false,
                Sight::New(key) => taken.insert(key, Timestamp(at)).is_none(),
            });
        }
        sent
    }

    #[test]
    fn ten_minutes_are_ten_minutes_wherever_they_begin() {
        for begin in [0, 1, LAG_MS - 1, LAG_MS, 5 * MINUTE, WINDOW_MS - 1] {
            let begin = begin + 20 * WINDOW_MS;
            assert_eq!(sent(&[begin, begin + 1, begin + WINDOW_MS - 1]), [true, false, false], "{begin}");
            assert_eq!(sent(&[begin, begin + WINDOW_MS]), [true, true], "{begin}");
        }
    }

    #[test]
    fn what_the_state_does_not_know_yet_takes_the_same_id() {
        let at = |offset: i64| {
            let now = 20 * WINDOW_MS + offset;
            let window = now.div_euclid(WINDOW_MS);
            let keys: Vec<String> = (0..WINDOWS).map(|back| (window - back).to_string()).collect();
            sight(&keys, &[None, None, None], Timestamp(now))
        };
        assert_eq!(at(-1), at(LAG_MS - 1), "so the router drops the later one");
        assert_ne!(at(-1), at(LAG_MS));
    }
}
