//! `/sms/reports/{ticket}`: where HTTP SMS services say what became of what we handed them. Knows HTTP and the forms of a report; what
//! the words mean is `wire::http_template`'s, which message it is about the ticket says, and what follows is the settler's.
//!
//! A report is answered when lane `outcomes` has it. Whoever reports again tells nothing new: a delivery ends once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use model::record::Door;
use model::report::{Reported, Said, Ticket};
use model::{Refusal, Timestamp};
use serde_json::Value;
use wire::http_template::{REPORT_OCTETS_MAX, ReportError, said_in, said_of};

use crate::metrics::{DoorLabel, RefusalLabel};
use crate::problem::Problem;
use crate::run::Gateway;
use crate::{body, clock};

/// What a report says: its word, and when that happened by the service's clock; 0 if it does not tell.
type Report = (Said, i64);

pub(super) async fn take(
    State(gateway): State<Arc<Gateway>>,
    Path(ticket): Path<String>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = async {
        let ticket = valid(&gateway, &ticket)?;
        let (said, network_ms) = match method {
            Method::POST => posted(&headers, query.as_deref(), body).await?,
            _ => (said_in(query.as_deref().unwrap_or_default()).map_err(wrong)?, 0),
        };
        let reported = Reported::by(ticket, said, network_ms, clock::now().0);
        gateway.acceptor.note_outcome(reported.key(), reported.to_bytes()).await.map_err(Problem::from)
    };
    match taken.await {
        Ok(()) => {
            gateway.metrics.reports_taken.increment();
            StatusCode::NO_CONTENT.into_response()
        }
        Err(problem) => {
            gateway.metrics.refused.with((DoorLabel(Door::Sms), RefusalLabel(problem.refusal))).increment();
            problem.into_response()
        }
    }
}

/// Whoever has a ticket may report: nobody else knows one. A replica that has not heard of its data key yet does not know it either,
/// so that nothing but `404` can be said.
fn valid(gateway: &Gateway, text: &str) -> Result<Ticket, Problem> {
    let snapshot = gateway.snapshot();
    let ticket = Ticket::open(snapshot.ring(), text).ok();
    let is_good = |ticket: &Ticket| clock::now() < Timestamp(ticket.until_ms);
    let detail = "no message waits for a report under this address; report to the one that came with the message";
    ticket.filter(is_good).ok_or_else(|| Problem::new(Refusal::NotFound, detail))
}

/// A form, a JSON document, or nothing but what stands in the query.
async fn posted(headers: &HeaderMap, query: Option<&str>, body: Body) -> Result<Report, Problem> {
    let octets = body::whole(body, REPORT_OCTETS_MAX).await?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        let document = serde_json::from_slice(&octets);
        let unreadable = |error: serde_json::Error| Problem::new(Refusal::Malformed, format!("no JSON: {error}"));
        return in_document(&document.map_err(unreadable)?);
    }
    let form = std::str::from_utf8(&octets).map_err(|_| Problem::new(Refusal::Malformed, "the body is no form"))?;
    match said_in(form) {
        Err(ReportError::Missing) => said_in(query.unwrap_or_default()),
        said => said,
    }
    .map(|said| (said, 0))
    .map_err(wrong)
}

/// An object with a `state`, or one in its `data` as other installations send it.
fn in_document(document: &Value) -> Result<Report, Problem> {
    let data = document.get("data").filter(|data| data.is_object()).unwrap_or(document);
    let word = ["state", "status", "stat"].iter().find_map(|name| data.get(name)?.as_str());
    let said = word.ok_or(ReportError::Missing).and_then(said_of).map_err(wrong)?;
    let is_permanent = data.get("permanent").and_then(Value::as_bool) == Some(true);
    let said = if said == Said::Failed && is_permanent { Said::Refused } else { said };
    let at = document.get("timestamp").and_then(Value::as_str).and_then(Timestamp::parse_rfc3339);
    Ok((said, at.map_or(0, |at| at.0)))
}

fn wrong(error: ReportError) -> Problem {
    Problem::new(Refusal::InvalidField, error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_of_ours_and_of_others() {
        let read = |document: Value| in_document(&document).map_err(|problem| problem.refusal);
        let ours = |data: Value| {
            let timestamp = "2026-01-01T00:00:00.005Z";
            read(json!({ "type": "message.ended", "timestamp": timestamp, "data": data }))
        };
        let at = 1_767_225_600_005;
        assert_eq!(ours(json!({ "id": "msg_1", "state": "delivered" })), Ok((Said::Delivered, at)));
        assert_eq!(ours(json!({ "state": "failed", "permanent": true })), Ok((Said::Refused, at)));
        assert_eq!(ours(json!({ "state": "failed", "permanent": false })), Ok((Said::Failed, at)));
        assert_eq!(ours(json!({ "state": "accepted", "permanent": true })), Ok((Said::Underway, at)));
        assert_eq!(read(json!({ "status": "UNDELIV", "timestamp": "yesterday" })), Ok((Said::Failed, 0)));
        for wrong in [json!({}), json!([]), json!({ "state": 7 }), json!({ "state": "lost" })] {
            assert_eq!(read(wrong.clone()), Err(Refusal::InvalidField), "{wrong}");
        }
    }
}
