//! One request about a tenant's accounts and devices: who asks, when, and what all of them need. Knows HTTP.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use model::push::SealedText;
use model::record::Door;
use model::seal::SealError;
use model::{Refusal, TenantId, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::files::Files;
use crate::problem::Problem;
use crate::rest::{Caller, RestProblem, messages};
use crate::run::Gateway;
use crate::{body, clock};

/// Times another writer may be first.
pub(super) const TRIES_MAX: u32 = 16;
/// Things one answer lists, at most.
pub(super) const LISTED_MAX: usize = 200;
/// Things one answer lists if the caller does not say.
const LISTED: usize = 100;

/// One request.
pub(super) struct Desk {
    pub(super) gateway: Arc<Gateway>,
    pub(super) caller: Caller,
    pub(super) now: Timestamp,
}

/// Which part of a list is asked for.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) limit: Option<usize>,
    pub(super) cursor: Option<String>,
    /// Devices in this state alone.
    pub(super) state: Option<model::push::DeviceState>,
}

impl Page {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(LISTED);
        if (1..=LISTED_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(invalid(format!("`limit` is from 1 to {LISTED_MAX}")))
    }

    /// What the last list ended with; empty: the list begins.
    pub(super) fn after(&self) -> Result<String, Problem> {
        read_cursor(self.cursor.as_ref())
    }
}

/// What a list ended with that gave this as where it goes on; empty: it begins.
pub(super) fn read_cursor(cursor: Option<&String>) -> Result<String, Problem> {
    let Some(cursor) = cursor else { return Ok(String::new()) };
    let read = BASE64.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    read.ok_or_else(|| invalid("`cursor` is not one that a list gave as `next`"))
}

/// Where a list goes on that ended with this.
pub(super) fn cursor(last: &str) -> String {
    BASE64.encode(last)
}

/// Every door of accounts and devices begins with who asks.
impl FromRequestParts<Arc<Gateway>> for Desk {
    type Rejection = RestProblem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, RestProblem> {
        let caller = Caller::from_request_parts(parts, gateway).await?;
        Ok(Desk::new(Arc::clone(gateway), caller))
    }
}

impl Desk {
    pub(super) fn new(gateway: Arc<Gateway>, caller: Caller) -> Self {
        Desk { gateway, caller, now: clock::now() }
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.caller.holder.tenant.id
    }

    pub(super) fn files(&self) -> Files<'_> {
        Files { store: &self.gateway.store, tenant: self.tenant() }
    }

    /// The answer, or the refusal as it is told and counted. Nobody on the way keeps either: they hold personal data.
    pub(super) fn answer(&self, done: Result<Response, Problem>) -> Response {
        let refused = |problem| RestProblem::at(&self.gateway, Door::Push, problem).into_response();
        let mut response = done.unwrap_or_else(refused);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    pub(super) async fn whole(&self, body: Body) -> Result<Bytes, Problem> {
        let bytes_max = self.gateway.config.rest_body_bytes_max;
        body::whole(body, bytes_max).await.map_err(|refusal| messages::not_read(refusal, bytes_max))
    }

    /// A document that must be there.
    pub(super) async fn json<T: DeserializeOwned>(&self, headers: &HeaderMap, body: Body) -> Result<T, Problem> {
        messages::check_media_type(headers)?;
        read(&self.whole(body).await?)
    }

    /// A document that may be left out.
    pub(super) async fn json_or_default<T: DeserializeOwned + Default>(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<T, Problem> {
        let bytes = self.whole(body).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(T::default());
        }
        messages::check_media_type(headers)?;
        read(&bytes)
    }

    /// Seals a text of the tenant's.
    pub(super) fn seal(&self, text: &str) -> Result<SealedText, Problem> {
        let Some((_, key)) = self.caller.snapshot.ring().newest(self.tenant()) else {
            tracing::error!(tenant = %self.tenant(), "the tenant has no data key; nothing can be sealed for it");
            return Err(Refusal::Unavailable.into());
        };
        Ok(SealedText::seal(key, self.tenant(), text))
    }

    /// Opens a text of the tenant's.
    pub(super) fn open(&self, sealed: &SealedText) -> Result<String, Problem> {
        sealed.open(self.caller.snapshot.ring(), self.tenant()).map_err(|error: SealError| {
            tracing::error!(tenant = %self.tenant(), %error, "what is kept of an account does not open");
            Refusal::Unavailable.into()
        })
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => invalid(error.to_string()),
        _ => Problem::new(Refusal::Malformed, format!("the body is not JSON: {error}")),
    })
}

pub(super) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Refusal::InvalidField, detail)
}
