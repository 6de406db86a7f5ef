//! Refusals in the words of the REST door: problem documents (RFC 9457). Knows no cause that a caller must not learn.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::Refusal;
use serde::Serialize;

/// Seconds a caller should wait before it tries again.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// A refusal with what the caller needs to mend the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Which refusal.
    pub refusal: Refusal,
    /// What exactly was wrong and how to mend it; empty if the title says it all.
    pub detail: String,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl Problem {
    /// A refusal with its detail.
    pub fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        Problem { refusal, detail: detail.into() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem::new(refusal, "")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.refusal.http_status();
        let document = Document {
            r#type: format!("urn:carillon:problem:{}", self.refusal.code()),
            title: self.refusal.title(),
            status,
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&document).expect("a problem document is plain text and numbers");
        let status = StatusCode::from_u16(status).expect("every refusal has a valid status");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status.as_u16(), 429 | 503) {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if self.refusal == Refusal::Unauthorized {
            headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
        }
        response
    }
}
