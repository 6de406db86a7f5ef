//! What a request says a resource must be, and what tells its revisions apart (RFC 9110, 13.1 and 8.8.3). Knows no resource.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use model::Refusal;

use crate::problem::Problem;

/// Checks `If-Match` and `If-None-Match` against the resource's tag; `None`: there is none. `what` names it in the answer.
///
/// # Errors
/// [`Refusal::Changed`].
pub(crate) fn meets(headers: &HeaderMap, tag: Option<&str>, what: &str) -> Result<(), Problem> {
    let names = |header: HeaderName| -> Option<bool> {
        let values = headers.get_all(header);
        let mut named = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        let is_named = |one: &str| tag.is_some_and(|tag| one.trim() == "*" || one.trim() == tag);
        values.iter().next().map(|_| named.any(is_named))
    };
    if names(IF_MATCH) == Some(false) {
        let detail = format!("the {what} is not the one that `If-Match` names; read it again");
        return Err(Problem::new(Refusal::Changed, detail));
    }
    if names(IF_NONE_MATCH) == Some(true) {
        return Err(Problem::new(
            Refusal::Changed,
            format!("there is such a {what}, and `If-None-Match` says there is none"),
        ));
    }
    Ok(())
}

/// What tells this revision from others, and nothing of what is in it.
pub(crate) fn tag(revision: &str) -> String {
    let digest = blake3::hash(revision.as_bytes()).to_hex();
    format!("\"{}\"", &digest[..32])
}
