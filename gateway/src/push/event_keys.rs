//! `/v1/event-keys`: what datagrams are sealed with. Knows HTTP and how a secret is made, shown once, and kept.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::push::SealedText;
use model::{Refusal, Timestamp};
use serde::{Deserialize, Serialize};
use store::DocumentKind;

use super::desk::{Desk, TRIES_MAX, invalid};
use super::files::Files;
use crate::problem::Problem;
use crate::rest::conditions;

/// Keys one tenant may have.
pub(super) const KEYS_MAX: usize = 100;
/// Characters of a key's name.
const NAME_CHARS_MAX: usize = 64;

/// A key as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    secret: SealedText,
    since: Timestamp,
    by: String,
}

#[derive(Serialize)]
struct Keys {
    keys: Vec<View>,
}

#[derive(Serialize)]
struct View {
    id: String,
    since: Timestamp,
    by: String,
    /// Shown once: nobody can read it later. Its characters are the key, as they stand here.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

pub(super) async fn list(desk: Desk) -> Response {
    desk.answer(desk.list_keys().await)
}

pub(super) async fn put(desk: Desk, Path(id): Path<String>, headers: HeaderMap) -> Response {
    desk.answer(desk.put_key(&id, &headers).await)
}

pub(super) async fn remove(desk: Desk, Path(id): Path<String>) -> Response {
    desk.answer(desk.remove_key(&id).await)
}

impl Desk {
    async fn list_keys(&self) -> Result<Response, Problem> {
        let kept = self.files().list::<Kept>(DocumentKind::EventKey, "", KEYS_MAX).await?;
        let view = |(id, _, Kept { since, by, .. })| View { id, since, by, secret: None };
        Ok(Json(Keys { keys: kept.into_iter().map(view).collect() }).into_response())
    }

    /// Makes a secret, or another one in place of it: what is sealed with the old one is forged from then on.
    async fn put_key(&self, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !(1..=NAME_CHARS_MAX).contains(&id.len()) || !id.chars().all(fits) {
            return Err(invalid(format!("a key's id has 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 . _ -")));
        }
        let secret = model::hex::digits(&rand::random::<[u8; 32]>());
        let (since, by) = (self.now, self.caller.holder.name.clone());
        for _ in 0..TRIES_MAX {
            let was = self.files().text(DocumentKind::EventKey, id).await?;
            let tag = was.as_ref().map(|(revision, _)| conditions::tag(revision.as_str()));
            conditions::meets(headers, tag.as_deref(), "key")?;
            if was.is_none() {
                let kept = self.files().list::<Kept>(DocumentKind::EventKey, "", KEYS_MAX).await?;
                if kept.len() >= KEYS_MAX {
                    return Err(invalid(format!("you have {KEYS_MAX} keys; remove one first")));
                }
            }
            let status = if was.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            let kept = Kept { secret: self.seal(&secret)?, since, by: by.clone() };
            let was = was.map(|(revision, _)| revision);
            if self.files().put(was, DocumentKind::EventKey, id, &kept).await?.is_some() {
                let view = View { id: id.to_owned(), since, by, secret: Some(secret) };
                return Ok((status, Json(view)).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn remove_key(&self, id: &str) -> Result<Response, Problem> {
        for _ in 0..TRIES_MAX {
            let found = self.files().text(DocumentKind::EventKey, id).await?;
            let missing = || Problem::new(Refusal::NotFound, "you have no key of this id");
            let (revision, _) = found.ok_or_else(missing)?;
            if self.files().remove(DocumentKind::EventKey, id, revision).await? {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        Err(Refusal::Busy.into())
    }
}

/// All keys of a tenant, by name, sealed.
pub(super) async fn all(files: Files<'_>) -> Result<Vec<(String, SealedText)>, Problem> {
    let kept = files.list::<Kept>(DocumentKind::EventKey, "", KEYS_MAX).await?;
    Ok(kept.into_iter().map(|(id, _, kept)| (id, kept.secret)).collect())
}
