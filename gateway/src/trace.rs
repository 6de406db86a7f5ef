//! Trace context of callers. Knows its shape (W3C Trace Context), nothing of spans.

use axum::http::HeaderMap;

/// The caller's trace context, if it has the standard's shape; anything else is ignored, as the standard asks.
#[must_use]
pub fn parent(headers: &HeaderMap) -> String {
    let value = headers.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or("");
    let shape = value.len() == 55 && value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if shape { value.to_owned() } else { String::new() }
}
