//! `/v1/oms/users`: the users of a tenant's OMS door, as the provider manages them. Knows HTTP; what a user may be is the
//! document's.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use futures_util::future::try_join_all;
use model::party::OmsUser;
use model::{Refusal, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Cancelled, Revision, Store, StoreError};
use wire::mail::MailAddress;

use super::user_document::{PASSWORD_BYTES_MAX, View, Wanted, check_user_id};
use super::{Caller, RestProblem, conditions, messages};
use crate::meter::Used;
use crate::oms::Writer;
use crate::problem::Problem;
use crate::run::Gateway;
use crate::{body, clock};

/// Users one answer lists, at most.
const LISTED_MAX: usize = 200;
/// Users one answer lists if the caller does not say.
const LISTED: usize = 100;
/// RFC 7396, 4.
const MERGE_PATCH: &[u8] = b"application/merge-patch+json";
/// Times another writer may be first at changing a user.
const TRIES_MAX: u32 = 16;

/// The user a request is about: `{userId}`, or `{userId}:action`.
type Id = Path<String>;

/// A user as it was read.
struct Found {
    revision: Revision,
    user: OmsUser,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Users {
    users: Vec<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, RestProblem> {
    let desk = Desk { gateway: &gateway, caller: &caller, now: clock::now() };
    desk.list(page).await.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

pub(super) async fn show(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(id): Id,
) -> Result<Response, RestProblem> {
    let desk = Desk { gateway: &gateway, caller: &caller, now: clock::now() };
    desk.show(&id).await.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(id): Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RestProblem> {
    let desk = Desk { gateway: &gateway, caller: &caller, now: clock::now() };
    desk.put(&id, &headers, body).await.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

pub(super) async fn patch(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(id): Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RestProblem> {
    let desk = Desk { gateway: &gateway, caller: &caller, now: clock::now() };
    desk.patch(&id, &headers, body).await.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(id): Id,
    headers: HeaderMap,
) -> Result<Response, RestProblem> {
    let desk = Desk { gateway: &gateway, caller: &caller, now: clock::now() };
    desk.remove(&id, &headers).await.map_err(|problem| RestProblem::of(&gateway, problem))
}

/// `POST {userId}:rotate`, `:vouch-mail`, `:prove-mail` and `:reset-password`.
pub(super) async fn act(
    State(gateway): State<Arc<Gateway>>,
    caller: Caller,
    Path(id): Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, RestProblem> {
    let desk = Desk { gateway: &gateway, caller: &caller, now: clock::now() };
    let done = match id.rsplit_once(':') {
        Some((id, "rotate")) => desk.rotate(id, &headers).await,
        Some((id, "vouch-mail")) => desk.vouch_mail(id, &headers).await,
        Some((id, "prove-mail")) => desk.prove_mail(id).await,
        Some((id, "reset-password")) => desk.reset_password(id, &headers, body).await,
        _ => Err(Problem::new(
            Refusal::NotFound,
            "a user has the actions `:rotate`, `:vouch-mail`, `:prove-mail` and `:reset-password`",
        )),
    };
    done.map(private).map_err(|problem| RestProblem::of(&gateway, problem))
}

/// Nobody on the way keeps personal data or a password.
fn private(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

/// One request about a tenant's users.
struct Desk<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    now: Timestamp,
}

impl Desk<'_> {
    async fn list(&self, page: Result<Query<Page>, QueryRejection>) -> Result<Response, Problem> {
        let Query(page) = page.map_err(|error| Problem::new(Refusal::InvalidField, error.body_text()))?;
        let after = page.cursor.map_or(Ok(String::new()), |cursor| read_cursor(&cursor))?;
        let limit = page.limit.unwrap_or(LISTED);
        if !(1..=LISTED_MAX).contains(&limit) {
            return Err(Problem::new(Refusal::InvalidField, format!("`limit` is from 1 to {LISTED_MAX}")));
        }
        let tenant = &self.caller.holder.tenant.id;
        // One more, to know whether there are more.
        let mut users = self.gateway.store.oms_users(tenant, &after, limit + 1).await.map_err(unavailable)?;
        let has_more = users.len() > limit;
        users.truncate(limit);
        let next = users.last().filter(|_| has_more).map(|user| BASE64.encode(&user.user_id));
        let views = try_join_all(users.iter().map(|user| self.view(user))).await?;
        Ok(Json(Users { users: views, next }).into_response())
    }

    async fn show(&self, id: &str) -> Result<Response, Problem> {
        let Found { revision, user } = self.find(id).await?.ok_or_else(not_found)?;
        let view = self.view(&user).await?;
        Ok(([(ETAG, tag(&revision))], Json(view)).into_response())
    }

    async fn put(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        check_user_id(id)?;
        let wanted = Wanted::read(self.json(headers, body).await?)?;
        for _ in 0..TRIES_MAX {
            let found = self.find(id).await?;
            meets(headers, found.as_ref())?;
            let status = if found.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            if let Some(view) = self.replace(id, found, &wanted).await? {
                return Ok((status, [(ETAG, view.0)], Json(view.1)).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn patch(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let patch = self.json(headers, body).await?;
        for _ in 0..TRIES_MAX {
            let found = self.find(id).await?.ok_or_else(not_found)?;
            meets(headers, Some(&found))?;
            let wanted = Wanted::read(self.view(&found.user).await?.patched(&found.user, &patch))?;
            if let Some(view) = self.replace(id, Some(found), &wanted).await? {
                return Ok(([(ETAG, view.0)], Json(view.1)).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    /// What is scheduled of a user is taken back before the user goes: between the two a repeat of the request does the
    /// rest.
    async fn remove(&self, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        for _ in 0..TRIES_MAX {
            let found = self.find(id).await?.ok_or_else(not_found)?;
            meets(headers, Some(&found))?;
            let Found { revision, user } = found;
            let tenant = user.tenant.clone();
            // Other replicas may take messages by the old picture for so long.
            let covered = i64::try_from(self.gateway.config.parties_refresh_ms).unwrap_or(i64::MAX);
            let subject = Cancelled::User { tenant: tenant.clone(), user_id: id.to_owned() };
            self.gateway.store.cancel(subject, self.now.plus_ms(covered)).await.map_err(unavailable)?;
            if let Some(version) =
                self.gateway.store.remove_oms_user(&tenant, id, revision).await.map_err(unavailable)?
            {
                self.gateway.meter.forget(&user).await?;
                self.gateway.catch_up(version).await;
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn rotate(&self, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let (tag, user) = self.change(id, headers, |user| user.smtp_address = self.gateway.new_smtp_address()).await?;
        Ok(([(ETAG, tag)], Json(self.view(&user).await?)).into_response())
    }

    /// The provider says that the mailbox in the record is the user's: replies go there from now on.
    async fn vouch_mail(&self, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let (tag, user) = self.change(id, headers, |user| user.mail_verified = !user.mail_address.is_empty()).await?;
        Ok(([(ETAG, tag)], Json(self.view(&user).await?)).into_response())
    }

    /// Mails the user a link that proves the mailbox in the record.
    async fn prove_mail(&self, id: &str) -> Result<Response, Problem> {
        let Found { user, .. } = self.find(id).await?.ok_or_else(not_found)?;
        let mailbox = MailAddress::parse(&user.mail_address).map_err(|_| {
            Problem::new(Refusal::InvalidField, "the user has no `mailAddress` in plain ASCII that a mail could go to")
        })?;
        let snapshot = self.gateway.snapshot();
        let writer = Writer::new(self.gateway, &snapshot, &self.caller.holder.tenant).ok_or_else(|| {
            Problem::new(
                Refusal::InvalidField,
                "links lead nowhere: set the gateway's `public_url` or the tenant's `service_uri`",
            )
        })?;
        writer.prove(&user, mailbox.as_str(), self.now).await?;
        Ok(StatusCode::ACCEPTED.into_response())
    }

    async fn reset_password(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields)]
        struct Reset {
            password: Option<String>,
        }
        let bytes = self.whole(body).await?;
        let reset = if bytes.trim_ascii().is_empty() {
            Reset::default()
        } else {
            messages::check_media_type(headers)?;
            serde_json::from_slice(&bytes).map_err(|error| Problem::new(Refusal::Malformed, error.to_string()))?
        };
        let fits = |password: &String| (1..=PASSWORD_BYTES_MAX).contains(&password.len());
        if !reset.password.as_ref().is_none_or(fits) {
            let detail = format!("`password` has 1 to {PASSWORD_BYTES_MAX} bytes; without one, one is made");
            return Err(Problem::new(Refusal::InvalidField, detail));
        }
        let made = reset.password.is_none().then(new_password);
        let password = reset.password.or_else(|| made.clone()).expect("one was given or made");
        let hash = self.gateway.passwords.hash(password).await;
        self.change(id, headers, |user| user.password_hash.clone_from(&hash)).await?;
        Ok(match made {
            Some(password) => Json(serde_json::json!({ "password": password })).into_response(),
            None => StatusCode::NO_CONTENT.into_response(),
        })
    }

    /// Puts a user as wanted. `None`: somebody else was first.
    async fn replace(
        &self,
        id: &str,
        found: Option<Found>,
        wanted: &Wanted,
    ) -> Result<Option<(String, View)>, Problem> {
        let (is_new, tenant) = (found.is_none(), &self.caller.holder.tenant);
        let (revision, was) = match found {
            Some(found) => (Some(found.revision), found.user),
            None => {
                let new = OmsUser::new(tenant.id.clone(), id.to_owned(), String::new());
                (None, OmsUser { smtp_address: self.gateway.new_smtp_address(), ..new })
            }
        };
        let mut user = wanted.applied(was, is_new, tenant, self.now)?;
        if let Some(password) = wanted.password.clone().or_else(|| is_new.then(String::new)) {
            user.password_hash = self.gateway.passwords.hash(password).await;
        }
        let before = self.used(&user).await?;
        let put = self.gateway.store.replace_oms_user(revision, user.clone());
        let Some(version) = put.await.map_err(unavailable)? else { return Ok(None) };
        if wanted.balance != before.balance {
            self.gateway.meter.set_balance(&user, wanted.balance).await?;
        }
        self.gateway.catch_up(version).await;
        let kept = self.find(id).await?.ok_or_else(not_found)?;
        let view = self.view(&kept.user).await?;
        Ok(Some((tag(&kept.revision), view)))
    }

    /// Changes a user that must be there, and returns it as it is then.
    async fn change(
        &self,
        id: &str,
        headers: &HeaderMap,
        change: impl Fn(&mut OmsUser),
    ) -> Result<(String, OmsUser), Problem> {
        for _ in 0..TRIES_MAX {
            let found = self.find(id).await?.ok_or_else(not_found)?;
            meets(headers, Some(&found))?;
            let mut user = found.user;
            change(&mut user);
            let put = self.gateway.store.replace_oms_user(Some(found.revision), user);
            if let Some(version) = put.await.map_err(unavailable)? {
                self.gateway.catch_up(version).await;
                let kept = self.find(id).await?.ok_or_else(not_found)?;
                return Ok((tag(&kept.revision), kept.user));
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn find(&self, id: &str) -> Result<Option<Found>, Problem> {
        let found = self.gateway.store.oms_user(&self.caller.holder.tenant.id, id).await.map_err(unavailable)?;
        Ok(found.map(|(revision, user)| Found { revision, user }))
    }

    async fn view(&self, user: &OmsUser) -> Result<View, Problem> {
        Ok(View::of(user, &self.used(user).await?, self.now))
    }

    async fn used(&self, user: &OmsUser) -> Result<Used, Problem> {
        Ok(self.gateway.meter.standing(user, self.now).await?)
    }

    async fn json(&self, headers: &HeaderMap, body: Body) -> Result<Value, Problem> {
        if !headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(MERGE_PATCH)) {
            messages::check_media_type(headers)?;
        }
        let body = self.whole(body).await?;
        serde_json::from_slice(&body).map_err(|error| Problem::new(Refusal::Malformed, error.to_string()))
    }

    async fn whole(&self, body: Body) -> Result<bytes::Bytes, Problem> {
        let bytes_max = self.gateway.config.rest_body_bytes_max;
        body::whole(body, bytes_max).await.map_err(|refusal| messages::not_read(refusal, bytes_max))
    }
}

fn meets(headers: &HeaderMap, found: Option<&Found>) -> Result<(), Problem> {
    conditions::meets(headers, found.map(|found| tag(&found.revision)).as_deref(), "user")
}

fn tag(revision: &Revision) -> String {
    conditions::tag(revision.as_str())
}

fn read_cursor(cursor: &str) -> Result<String, Problem> {
    let read = BASE64.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    read.ok_or_else(|| Problem::new(Refusal::InvalidField, "`cursor` is not one that a list gave as `next`"))
}

/// 120 random bits as text.
fn new_password() -> String {
    BASE64.encode(rand::random::<[u8; 15]>())
}

fn not_found() -> Problem {
    Problem::new(Refusal::NotFound, "no user of this tenant has this id")
}

fn unavailable(error: StoreError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "a user can't be read or changed");
    Refusal::Unavailable.into()
}
