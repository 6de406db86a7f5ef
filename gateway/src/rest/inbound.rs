//! `GET /v1/inbound`: what handsets sent to a tenant, replies to OMS users among it, the oldest first. Knows HTTP; who got
//! what was decided by the router.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use model::reply::Words;
use model::seal::SealError;
use model::{MessageId, Refusal, Timestamp};
use serde::{Deserialize, Serialize};
use store::{INBOUND_MS, InboundOwner, InboundPlace, InboundRow, Store};

use super::{Caller, RestProblem};
use crate::clock;
use crate::problem::Problem;
use crate::run::Gateway;
use crate::snapshot::Snapshot;

/// Messages one answer lists, at most.
const LISTED_MAX: usize = 200;
/// Messages one answer lists if the caller does not say.
const LISTED: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Inbound {
    messages: Vec<View>,
    /// Where the next list begins: what comes later stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    id: MessageIdView,
    received_at: Timestamp,
    /// The SIM, or the supplier account, that received it.
    account: String,
    from: String,
    text: String,
    /// In base64, of what is no text.
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    /// The user it is a reply to.
    #[serde(skip_serializing_if = "String::is_empty")]
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail: Option<Mail>,
}

/// A reply on its way into the user's mailbox.
#[derive(Serialize)]
struct Mail {
    /// `queued`, `mailed`, `bounced` or `unmailed`.
    state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
}

struct MessageIdView(MessageId);

impl Serialize for MessageIdView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, RestProblem> {
    let listed = read(&gateway, &caller, page).await;
    // Nobody on the way keeps numbers and texts.
    let answer = listed.map(|inbound| ([(CACHE_CONTROL, "no-store")], Json(inbound)).into_response());
    answer.map_err(|problem| RestProblem::of(&gateway, problem))
}

async fn read(
    gateway: &Gateway,
    caller: &Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Inbound, Problem> {
    let Query(page) = page.map_err(|error| Problem::new(Refusal::InvalidField, error.body_text()))?;
    let limit = page.limit.unwrap_or(LISTED);
    if !(1..=LISTED_MAX).contains(&limit) {
        return Err(Problem::new(Refusal::InvalidField, format!("`limit` is from 1 to {LISTED_MAX}")));
    }
    let (owner, now) = (InboundOwner::Tenant(caller.holder.tenant.id.clone()), clock::now());
    let after = match &page.cursor {
        Some(cursor) => read_cursor(owner, cursor)?,
        None => InboundPlace { owner, received: now.plus_ms(-INBOUND_MS), id: MessageId(0) },
    };
    let rows = gateway.store.inbound(&after, now, limit).await.map_err(unavailable)?;
    let next = rows.last().map(|row| cursor(&row.place)).or(page.cursor);
    let messages: Result<Vec<View>, SealError> = rows.into_iter().map(|row| view(&caller.snapshot, row)).collect();
    Ok(Inbound { messages: messages.map_err(unavailable)?, next })
}

fn view(snapshot: &Snapshot, row: InboundRow) -> Result<View, SealError> {
    let words = match snapshot.inbound_key() {
        key if key.id() == row.data_key => Words::open(&key, row.place.id, &row.sealed)?,
        _ => Words::open(snapshot.ring().key(&row.data_key)?, row.place.id, &row.sealed)?,
    };
    let mail = (!row.goes_to.is_empty()).then(|| match row.fate {
        Some(fate) => Mail { state: fate.word, reason: fate.reason, at: Some(fate.at) },
        None => Mail { state: "queued".into(), reason: String::new(), at: None },
    });
    Ok(View {
        id: MessageIdView(row.place.id),
        received_at: Timestamp(words.heard_ms),
        account: row.account,
        from: words.from,
        text: words.text,
        data: BASE64_STANDARD.encode(words.data),
        user_id: row.user,
        mail,
    })
}

fn cursor(place: &InboundPlace) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{} {}", place.received.0, place.id))
}

fn read_cursor(owner: InboundOwner, cursor: &str) -> Result<InboundPlace, Problem> {
    let text = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.split_once(' ')).and_then(|(received, id)| {
        Some(InboundPlace { owner, received: Timestamp(received.parse().ok()?), id: id.parse().ok()? })
    });
    place.ok_or_else(|| Problem::new(Refusal::InvalidField, "`cursor` is not one that a list gave as `next`"))
}

fn unavailable(error: impl std::error::Error + 'static) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "messages from handsets can't be read");
    Refusal::Unavailable.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_lead_back_and_others_are_refused() {
        let place = InboundPlace { owner: InboundOwner::Operator, received: Timestamp(5), id: MessageId(7) };
        assert_eq!(read_cursor(InboundOwner::Operator, &cursor(&place)).ok(), Some(place));
        for text in ["", "x", "NQ"] {
            assert!(read_cursor(InboundOwner::Operator, text).is_err(), "{text}");
        }
    }
}
