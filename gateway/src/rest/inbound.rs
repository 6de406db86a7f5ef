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
use model::{MessageId, Refusal, Timestamp, record};
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
/// What rows call orders of a phone's.
const ORDERS: [&str; 4] = ["opt-out", "opt-in", "push-off", "push-on"];

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
    multimedia: Option<Multimedia>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail: Option<Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<Way>,
    /// What it ordered, where it was an order: `opt-out`, `opt-in`, `push-off`, `push-on`.
    #[serde(skip_serializing_if = "str::is_empty")]
    order: &'static str,
    /// The message by which it went to the user's own phone.
    #[serde(skip_serializing_if = "String::is_empty")]
    sent_on_as: String,
}

#[derive(Serialize)]
struct Multimedia {
    subject: String,
    media: Vec<Medium>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Medium {
    content_type: String,
    name: String,
    /// In base64.
    data: String,
}

/// A message on its way into the user's mailbox or to the tenant's webhook.
#[derive(Serialize)]
struct Way {
    /// `queued`; `mailed`, `bounced` or `unmailed`; `posted`, `refused` or `unposted`.
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
    let owner = InboundOwner::Tenant(caller.holder.tenant.id.clone());
    answered(&gateway, read(&gateway, &caller, owner, page).await)
}

/// `GET /v1/operator/inbound`: what is nobody's, for the tenant that is the operator's own.
pub(super) async fn list_of_operator(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, RestProblem> {
    let is_operator = gateway.config.operator_tenant == caller.holder.tenant.id.as_str();
    let listed = match is_operator {
        true => read(&gateway, &caller, InboundOwner::Operator, page).await,
        // Whether anything is here is nobody else's business.
        false => Err(Refusal::NotFound.into()),
    };
    answered(&gateway, listed)
}

/// `GET /v1/webhook`: the tenant's own address, if it has one, and the key it knows posts by.
pub(super) async fn webhook(caller: Caller) -> Response {
    let tenant = &caller.holder.tenant;
    let mut shown = serde_json::json!({ "secret": caller.snapshot.webhook_key(&tenant.id).expose() });
    if !tenant.webhook.is_empty() {
        shown["url"] = tenant.webhook.as_str().into();
    }
    ([(CACHE_CONTROL, "no-store")], Json(shown)).into_response()
}

fn answered(gateway: &Arc<Gateway>, listed: Result<Inbound, Problem>) -> Result<Response, RestProblem> {
    // Nobody on the way keeps numbers and texts.
    let answer = listed.map(|inbound| ([(CACHE_CONTROL, "no-store")], Json(inbound)).into_response());
    answer.map_err(|problem| RestProblem::of(gateway, problem))
}

async fn read(
    gateway: &Gateway,
    caller: &Caller,
    owner: InboundOwner,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Inbound, Problem> {
    let Query(page) = page.map_err(|error| Problem::new(Refusal::InvalidField, error.body_text()))?;
    let limit = page.limit.unwrap_or(LISTED);
    if !(1..=LISTED_MAX).contains(&limit) {
        return Err(Problem::new(Refusal::InvalidField, format!("`limit` is from 1 to {LISTED_MAX}")));
    }
    let now = clock::now();
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
    let goes_to: Vec<&str> = row.goes_to.split(' ').collect();
    let way = |name: &str| {
        goes_to.contains(&name).then(|| match &row.fate {
            Some(fate) => Way { state: fate.word.clone(), reason: fate.reason.clone(), at: Some(fate.at) },
            None => Way { state: "queued".into(), reason: String::new(), at: None },
        })
    };
    let sent_on_as = goes_to.iter().find_map(|word| word.strip_prefix("phone:")).unwrap_or_default().to_owned();
    let order = ORDERS.into_iter().find(|order| goes_to.contains(order)).unwrap_or_default();
    let multimedia = words.multimedia.map(|multimedia| Multimedia {
        subject: multimedia.subject,
        media: multimedia.media.into_iter().map(medium).collect(),
    });
    Ok(View {
        id: MessageIdView(row.place.id),
        received_at: Timestamp(words.heard_ms),
        account: row.account,
        from: words.from,
        text: words.text,
        data: BASE64_STANDARD.encode(words.data),
        mail: way("mailbox"),
        webhook: way("webhook"),
        user_id: row.user,
        multimedia,
        order,
        sent_on_as,
    })
}

fn medium(medium: record::Medium) -> Medium {
    let record::Medium { content_type, location: name, data, .. } = medium;
    Medium { content_type, name, data: BASE64_STANDARD.encode(data) }
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
