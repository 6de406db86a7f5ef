//! `/v1/access`: who may use push, by domain. Knows HTTP and what a rule may be; an account's own word is in the account.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::Refusal;
use model::push::{Access, AccessRule};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use store::DocumentKind;

use super::desk::{Desk, Page, TRIES_MAX, cursor, invalid};
use super::sync_url::check_path;
use crate::problem::Problem;
use crate::rest::conditions;

/// Octets of a domain (RFC 1035, 2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;
/// Octets of a path.
const PATH_BYTES_MAX: usize = 255;

#[derive(Serialize)]
struct Rules {
    rules: Vec<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
pub(super) struct View {
    pub(super) domain: String,
    #[serde(flatten)]
    pub(super) rule: AccessRule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) domain: Option<String>,
    #[serde(deserialize_with = "access")]
    access: Access,
    #[serde(default)]
    sync_path: String,
}

/// Names the field where its value is none.
fn access<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Access, D::Error> {
    Access::deserialize(deserializer).map_err(|error| D::Error::custom(format_args!("`access`: {error}")))
}

pub(super) async fn list(desk: Desk, page: Result<Query<Page>, QueryRejection>) -> Response {
    desk.answer(desk.list_rules(page).await)
}

pub(super) async fn show(desk: Desk, Path(domain): Path<String>) -> Response {
    desk.answer(desk.show_rule(&domain).await)
}

pub(super) async fn put(desk: Desk, Path(domain): Path<String>, headers: HeaderMap, body: Body) -> Response {
    desk.answer(desk.put_said_rule(&domain, &headers, body).await)
}

pub(super) async fn remove(desk: Desk, Path(domain): Path<String>, headers: HeaderMap) -> Response {
    desk.answer(desk.remove_rule(&domain, &headers).await)
}

impl Desk {
    async fn list_rules(&self, page: Result<Query<Page>, QueryRejection>) -> Result<Response, Problem> {
        let Query(page) = page.map_err(|error| invalid(error.body_text()))?;
        let limit = page.limit()?;
        // One more, to know whether there are more.
        let mut found = self.files().list::<AccessRule>(DocumentKind::AccessRule, &page.after()?, limit + 1).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(domain, ..)| cursor(domain));
        let rules = found.into_iter().map(|(domain, _, rule)| View { domain, rule }).collect();
        Ok(Json(Rules { rules, next }).into_response())
    }

    async fn show_rule(&self, domain: &str) -> Result<Response, Problem> {
        let domain = domain_of(domain)?;
        let found = self.files().read::<AccessRule>(DocumentKind::AccessRule, &domain).await?;
        let (_, rule) = found.ok_or_else(no_rule)?;
        Ok(([(ETAG, tag(&rule))], Json(View { domain, rule })).into_response())
    }

    async fn put_said_rule(&self, domain: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let wanted: Wanted = self.json(headers, body).await?;
        self.put_rule(domain, headers, wanted).await
    }

    pub(super) async fn put_rule(
        &self,
        domain: &str,
        headers: &HeaderMap,
        wanted: Wanted,
    ) -> Result<Response, Problem> {
        let domain = domain_of(domain)?;
        if wanted.domain.as_ref().is_some_and(|own| own.to_ascii_lowercase() != domain) {
            return Err(invalid("`domain` is not the one in the path"));
        }
        let is_path = wanted.sync_path.starts_with('/')
            && wanted.sync_path.len() <= PATH_BYTES_MAX
            && !wanted.sync_path.contains(['?', '#'])
            && check_path(&wanted.sync_path).is_ok();
        if !wanted.sync_path.is_empty() && !is_path {
            return Err(invalid("`sync_path` is a path such as `/syncml/`"));
        }
        let rule = AccessRule { access: wanted.access, sync_path: wanted.sync_path };
        for _ in 0..TRIES_MAX {
            let found = self.files().read::<AccessRule>(DocumentKind::AccessRule, &domain).await?;
            conditions::meets(headers, found.as_ref().map(|(_, rule)| tag(rule)).as_deref(), "rule")?;
            let status = if found.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            let was = found.map(|(revision, _)| revision);
            if self.files().put(was, DocumentKind::AccessRule, &domain, &rule).await?.is_some() {
                return Ok((status, [(ETAG, tag(&rule))], Json(View { domain, rule })).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn remove_rule(&self, domain: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let domain = domain_of(domain)?;
        for _ in 0..TRIES_MAX {
            let found = self.files().read::<AccessRule>(DocumentKind::AccessRule, &domain).await?;
            let (revision, rule) = found.ok_or_else(no_rule)?;
            conditions::meets(headers, Some(&tag(&rule)), "rule")?;
            if self.files().remove(DocumentKind::AccessRule, &domain, revision).await? {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        Err(Refusal::Busy.into())
    }
}

/// The domain in the path, as rules are kept.
fn domain_of(path: &str) -> Result<String, Problem> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "@/*".contains(c);
    let is_domain = (1..=DOMAIN_BYTES_MAX).contains(&path.len()) && !path.contains(odd);
    if path == AccessRule::ALL || is_domain {
        return Ok(path.to_ascii_lowercase());
    }
    Err(invalid("a rule is of a domain such as `acme.example`, or of all of them: `*`"))
}

pub(super) fn tag(rule: &AccessRule) -> String {
    conditions::tag(&serde_json::to_string(rule).expect("documents have keys that are text"))
}

fn no_rule() -> Problem {
    Problem::new(Refusal::NotFound, "there is no rule of this domain")
}
