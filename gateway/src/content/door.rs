//! `/m/{token}`: where phones fetch multimedia messages, and say what became of them. Knows HTTP; who may come is in the address.
//!
//! A message counts as fetched when its last octets were taken by the connection: more is not known on this side of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::Stream;
use model::fetch::{End, Fetched};
use model::seal::SealError;
use model::{Refusal, Timestamp};
use prost::Message as _;
use store::{ContentTicket, Store};
use wire::mms::{MEDIA_TYPE, Retrieved, TOLD_OCTETS_MAX, Told};

use super::{Kept, reference, ticket_of, transaction, unavailable};
use crate::run::Gateway;
use crate::{body, clock};

/// Octets the connection is given at a time.
const PIECE_OCTETS: usize = 8 << 10;
/// Times it is tried to keep that somebody came, and the pause between.
const TRIES_MAX: u32 = 20;
const REST: Duration = Duration::from_millis(500);

pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new().route("/m/{token}", get(hand_out).post(hear))
}

async fn hand_out(State(gateway): State<Arc<Gateway>>, Path(token): Path<String>) -> Response {
    match message(&gateway, &token).await {
        Ok((ticket, octets)) => {
            let length = octets.len();
            let pieces = octets.chunks(PIECE_OCTETS).map(|piece| octets.slice_ref(piece)).collect();
            let handing = Handing { pieces, done: Some((gateway, ticket)) };
            let headers = [
                (CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
                (CONTENT_LENGTH, HeaderValue::from(length)),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (headers, Body::from_stream(handing)).into_response()
        }
        Err(refusal) => refused(refusal),
    }
}

/// What a phone says of a message.
async fn hear(State(gateway): State<Arc<Gateway>>, Path(token): Path<String>, said: Body) -> Response {
    let heard = async {
        let said = body::whole(said, TOLD_OCTETS_MAX).await?;
        let told = Told::decode(&said).map_err(|_| Refusal::Malformed)?;
        let (ticket, _) = find(&gateway, &token).await?;
        match told {
            Told::Retrieved => note(&gateway, &ticket, End::Fetched).await,
            Told::Rejected | Told::Unrecognised => note(&gateway, &ticket, End::Rejected).await,
            Told::Deferred | Told::Expired => Ok(()),
        }
    };
    match heard.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refused(refusal),
    }
}

/// The ticket of an address that is still good, and what is kept for it.
async fn find(gateway: &Gateway, token: &str) -> Result<(ContentTicket, store::ContentRow), Refusal> {
    let snapshot = gateway.snapshot();
    let found = gateway.store.content(ticket_of(&snapshot, token)).await.map_err(unavailable)?;
    found.filter(|(ticket, _)| clock::now() < ticket.until).ok_or(Refusal::NotFound)
}

async fn message(gateway: &Gateway, token: &str) -> Result<(ContentTicket, Bytes), Refusal> {
    let (ticket, row) = find(gateway, token).await?;
    let snapshot = gateway.snapshot();
    let unreadable = |error: SealError| {
        tracing::error!(%error, "a multimedia message that waits can't be opened");
        Refusal::Unavailable
    };
    let key = snapshot.ring().key(&row.data_key).map_err(unreadable)?;
    let plain = key.open_bytes(&row.id.to_bytes(), &row.sealed).map_err(unreadable)?;
    let kept = Kept::decode(plain.as_slice()).map_err(|_| Refusal::Unavailable)?;
    let message = Retrieved {
        transaction: transaction(token),
        message_id: &row.id.to_string(),
        date: Timestamp(kept.sent_ms),
        from: Some(kept.from.as_str()).filter(|from| !from.is_empty()),
        multimedia: &kept.multimedia,
    };
    let octets = message.encode().map_err(|error| {
        tracing::error!(%error, "a multimedia message that waits can't be written");
        Refusal::Unavailable
    })?;
    Ok((ticket, octets.into()))
}

/// A message on its way into a connection. Told when the connection took the last of it, and not if it was cut before.
struct Handing {
    pieces: VecDeque<Bytes>,
    done: Option<(Arc<Gateway>, ContentTicket)>,
}

impl Stream for Handing {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.pieces.pop_front().map(Ok))
    }
}

impl Drop for Handing {
    fn drop(&mut self) {
        let Some((gateway, ticket)) = self.done.take().filter(|_| self.pieces.is_empty()) else { return };
        tokio::spawn(async move {
            for _ in 0..TRIES_MAX {
                if note(&gateway, &ticket, End::Fetched).await.is_ok() {
                    return;
                }
                tokio::time::sleep(REST).await;
            }
            tracing::error!("a phone fetched a message, and that could not be kept: it will end as expired");
        });
    }
}

/// Makes durable what became of a message, once.
async fn note(gateway: &Gateway, ticket: &ContentTicket, end: End) -> Result<(), Refusal> {
    if ticket.ended.is_some() {
        return Ok(());
    }
    let at = clock::now();
    let fetched = Fetched {
        recipient_hash: ticket.recipient_hash.to_vec(),
        reference: reference(ticket.ticket),
        end: end.into(),
        at_ms: at.0,
    };
    gateway.acceptor.note_outcome(fetched.key(), fetched.to_bytes()).await?;
    match end {
        End::Fetched => gateway.metrics.content_fetched.increment(),
        End::Rejected => gateway.metrics.content_rejected.increment(),
    }
    // Told twice, it is still told: the second finds nobody who waits.
    gateway.store.content_ended(ticket, at).await.map_err(unavailable)
}

fn refused(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.http_status()).expect("every refusal has a valid status");
    (status, format!("{}\n", refusal.title())).into_response()
}
