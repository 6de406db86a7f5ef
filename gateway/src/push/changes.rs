//! `POST /v1/changes`: what changed, a line of JSON for each (push-channels.md, 2.2). Knows HTTP and JSON.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::Refusal;
use serde::{Deserialize, Serialize};
use store::DocumentKind;
use wire::ne1;

use super::desk::{Desk, invalid};
use super::intake::Taken;
use crate::metrics::{FaultLabel, SourceLabel};
use crate::problem::Problem;
use crate::rest::request::idempotency_key;

/// Lines of one body.
const LINES_MAX: usize = 5_000;
/// For how long a repeat gets the same answer.
const KEY_MS: i64 = 24 * 60 * 60 * 1_000;

/// One line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    account: String,
    resource: String,
    #[serde(default)]
    op: Option<String>,
    #[serde(default)]
    count: Option<u32>,
    #[serde(default)]
    origin: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    accepted: usize,
    rejected: Vec<Rejected>,
}

#[derive(Serialize)]
struct Rejected {
    /// Counted from 1.
    line: usize,
    reason: &'static str,
}

/// What was answered under a key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    digest: String,
    answer: String,
}

pub(super) async fn take(desk: Desk, headers: HeaderMap, body: Body) -> Response {
    desk.answer(desk.take_changes(&headers, body).await)
}

impl Desk {
    async fn take_changes(&self, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        check_media_type(headers)?;
        let body = self.whole(body).await?;
        let key = idempotency_key(headers)?.map(|key| blake3::hash(key.as_bytes()).to_hex().to_string());
        let digest = blake3::hash(&body).to_hex().to_string();
        if let Some(key) = &key
            && let Some(answer) = self.answered(key, &digest).await?
        {
            return Ok(accepted(answer));
        }
        let (places, lines) = read(&body)?;
        let taken = self.gateway.intake.take(&self.gateway.store, &self.gateway.acceptor, self.tenant(), lines).await?;
        self.count(&taken);
        let rejected = taken.rejected.iter();
        let rejected = rejected.map(|(at, fault)| Rejected { line: places[*at], reason: fault.word() }).collect();
        let answer = serde_json::to_string(&Answer { accepted: taken.accepted, rejected })
            .expect("an answer is numbers and words");
        if let Some(key) = key {
            self.remember(&key, Kept { digest, answer: answer.clone() }).await?;
        }
        Ok(accepted(answer))
    }

    /// What was answered under this key to this body.
    async fn answered(&self, key: &str, digest: &str) -> Result<Option<String>, Problem> {
        let Some(body) = self.files().text_at(DocumentKind::ChangeKey, key, self.now).await? else { return Ok(None) };
        let kept: Kept = serde_json::from_str(&body).map_err(|_| Refusal::Unavailable)?;
        if kept.digest == digest { Ok(Some(kept.answer)) } else { Err(Refusal::KeyReused.into()) }
    }

    /// A crash before this costs a repeat, which does no harm: what is dirty twice is told once.
    async fn remember(&self, key: &str, kept: Kept) -> Result<(), Problem> {
        let body = serde_json::to_string(&kept).expect("what is kept is text");
        let until = self.now.plus_ms(KEY_MS);
        let was = self.files().text(DocumentKind::ChangeKey, key).await?.map(|(revision, _)| revision);
        // Whoever was first answered the same, or its answer is over.
        self.files().put_text(was, DocumentKind::ChangeKey, key, body, Some(until)).await?;
        Ok(())
    }

    fn count(&self, taken: &Taken) {
        let metrics = &self.gateway.metrics;
        metrics.changes_taken.with(SourceLabel::Http).add(taken.accepted as u64);
        for (_, fault) in &taken.rejected {
            metrics.changes_rejected.with((SourceLabel::Http, FaultLabel(*fault))).increment();
        }
    }
}

pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if ["", "application/x-ndjson", "application/ndjson", "application/json"].contains(&essence.as_str()) {
        return Ok(());
    }
    Err(Problem::new(Refusal::UnsupportedMediaType, "send `Content-Type: application/x-ndjson`"))
}

/// The lines, and where each stands in the body. Empty ones are passed over.
fn read(body: &[u8]) -> Result<(Vec<usize>, Vec<Option<ne1::Line>>), Problem> {
    let (mut places, mut lines) = (Vec::new(), Vec::new());
    for (at, line) in body.split(|octet| *octet == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if lines.len() == LINES_MAX {
            let detail = format!("a body has at most {LINES_MAX} lines; send the rest in another");
            return Err(Problem::new(Refusal::BodyTooLarge, detail));
        }
        places.push(at + 1);
        lines.push(one(line));
    }
    if lines.is_empty() {
        return Err(invalid("the body has no line; write `{\"account\":…,\"resource\":…}`"));
    }
    Ok((places, lines))
}

fn one(line: &[u8]) -> Option<ne1::Line> {
    let Line { account, resource, op, count, origin } = serde_json::from_slice(line).ok()?;
    let op = op.as_deref().map_or(Some(ne1::Op::Unsaid), ne1::Op::of)?;
    Some(ne1::Line { account, resource, op, count: count.unwrap_or(0), origin: origin.unwrap_or_default() })
}

fn accepted(answer: String) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (StatusCode::ACCEPTED, [(CONTENT_TYPE, kind)], answer).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_places() {
        let body = b"\n{\"account\":\"a@b\",\"resource\":\"INBOX\"}\n\nnonsense\n{\"account\":\"a@b\",\"resource\":\"x\",\"op\":\"put\"}\n\
                     {\"account\":\"a@b\",\"resource\":\"x\",\"op\":\"delete\",\"count\":3,\"origin\":\"d\"}";
        let (places, lines) = read(body).unwrap();
        assert_eq!(places, [2, 4, 5, 6]);
        assert!(lines[0].is_some() && lines[1].is_none() && lines[2].is_none());
        let last = lines[3].clone().unwrap();
        assert_eq!((last.op, last.count, last.origin.as_str()), (ne1::Op::Delete, 3, "d"));
        assert_eq!(read(b" \n").unwrap_err().refusal, Refusal::InvalidField);
        let many = "{}\n".repeat(LINES_MAX + 1);
        assert_eq!(read(many.as_bytes()).unwrap_err().refusal, Refusal::BodyTooLarge);
    }
}
