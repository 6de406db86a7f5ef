//! The page where users sign up, change what is theirs, and get back in: plain forms, no scripts, no cookies. Knows what a
//! user must prove; how pages look is `page`'s.
//!
//! Codes are kept nowhere: each is a keyed hash of what it proves, of the user's password hash and of the time, so any replica
//! knows it, and one that was used to change a password is dead.

mod code;
mod letter;
mod link;
mod mailbox;
mod page;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Uri};
use axum::response::Response;
use model::party::{OmsUser, ReplyTo, Tenant, UserState};
use model::record::{Class, Door};
use model::{Msisdn, Refusal, Timestamp};
use serde::Deserialize;
use store::{Revision, Store, StoreError};

pub(crate) use self::code::CodeBudget;
use self::code::Purpose;
pub(crate) use self::letter::Writer;
use self::page::{Form, Notice};
use super::peer::Peer;
use crate::accept::{Part, Submission};
use crate::auth::Login;
use crate::metrics::{DoorLabel, RefusalLabel};
use crate::rest::user_document::{PASSWORD_BYTES_MAX, check_user_id};
use crate::run::Gateway;
use crate::snapshot::Snapshot;
use crate::{clock, number};

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 16 << 10;
/// How long an id stays taken by somebody who proves nothing.
const UNPROVED_MS_MAX: i64 = 60 * 60 * 1_000;
/// Times another writer may be first at changing a user.
const TRIES_MAX: u32 = 16;

/// What the forms send.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    action: String,
    user_id: String,
    password: String,
    new_password: String,
    phone: String,
    mail_address: String,
    code: String,
    token: String,
    by: String,
    reply_to: String,
}

pub(super) async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match answer(&gateway, &parts, body).await {
        Ok(response) => response,
        Err(refusal) => {
            gateway.metrics.refused.with((DoorLabel(Door::Oms), RefusalLabel(refusal))).increment();
            super::reply::refused(refusal)
        }
    }
}

async fn answer(gateway: &Arc<Gateway>, parts: &Parts, body: Body) -> Result<Response, Refusal> {
    let peer = Peer::of(gateway, parts).ok_or(Refusal::Forbidden)?;
    let snapshot = gateway.snapshot();
    let named = parts.uri.path().strip_prefix("/t/").and_then(|rest| rest.strip_suffix("/signup"));
    let tenant = super::tenant(gateway, &snapshot, named).ok_or(Refusal::NotFound)?;
    let desk = Desk { gateway, snapshot, tenant, client: peer.address, now: clock::now() };
    match parts.method {
        Method::GET | Method::HEAD => {
            desk.landed(&read(parts.uri.query().unwrap_or("").as_bytes()).unwrap_or_default())
        }
        Method::POST => desk.post(body).await,
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// One visit to a tenant's page.
struct Desk<'a> {
    gateway: &'a Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    tenant: Arc<Tenant>,
    client: IpAddr,
    now: Timestamp,
}

impl Desk<'_> {
    fn page(&self, notice: Notice, form: Form<'_>) -> Response {
        // Where nobody signs up, users come by links of mails only.
        let form = if self.tenant.oms.sign_up.is_none() && matches!(form, Form::Start) { Form::None } else { form };
        page::page(&self.tenant.oms, notice, form)
    }

    async fn post(&self, body: Body) -> Result<Response, Refusal> {
        let body = crate::body::whole(body, FORM_BYTES_MAX).await?;
        let fields = read(&body).ok_or(Refusal::Malformed)?;
        match fields.action.as_str() {
            "prove" => self.prove(&fields).await,
            "reset" if !fields.token.is_empty() => self.reset(&fields).await,
            _ if self.tenant.oms.sign_up.is_none() => Err(Refusal::NotFound),
            "register" => self.register(&fields).await,
            "confirm" => self.confirm(&fields).await,
            "change" => self.change(&fields).await,
            "forgot" => self.forgot(&fields).await,
            "reset" => self.reset(&fields).await,
            _ => Ok(self.page(Notice::None, Form::Start)),
        }
    }

    /// Makes the record, in state `unregistered`, and sends a code to the phone.
    async fn register(&self, fields: &Fields) -> Result<Response, Refusal> {
        let id = fields.user_id.trim();
        let Some(phone) = self.phone(&fields.phone) else {
            return Ok(self.page(Notice::NoPhone, Form::Start));
        };
        if check_user_id(id).is_err() || !is_password(&fields.new_password) {
            return Ok(self.page(Notice::Incomplete, Form::Start));
        }
        let Ok(mailbox) = self.mailbox(fields) else { return Ok(self.page(Notice::NoMailbox, Form::Start)) };
        let found = self.find(id).await?;
        if found.as_ref().is_some_and(|(_, user)| !self.is_abandoned(user)) {
            return Ok(self.page(Notice::Taken, Form::Start));
        }
        self.gateway.codes.take(&phone, self.client)?;
        if let Some(mailbox) = &mailbox {
            self.gateway.codes.take_mail(mailbox, self.client)?;
        }
        let hash = self.gateway.passwords.hash(fields.new_password.clone()).await;
        let terms = self.tenant.oms.sign_up.clone().unwrap_or_default();
        let user = OmsUser {
            state: UserState::Unregistered,
            signing_up: true,
            since: Some(self.now),
            reply_phone: phone.to_string(),
            mail_address: mailbox.clone().unwrap_or_default(),
            smtp_address: self.gateway.new_smtp_address(),
            per_day: terms.per_day,
            per_month: terms.per_month,
            price: terms.price,
            ..OmsUser::new(self.tenant.id.clone(), id.to_owned(), hash)
        };
        let put = self.gateway.store.replace_oms_user(found.map(|(revision, _)| revision), user.clone());
        if put.await.map_err(unavailable)?.is_none() {
            return Ok(self.page(Notice::Taken, Form::Start));
        }
        self.gateway.meter.set_balance(&user, terms.balance).await?;
        self.send_code(Purpose::Phone, &user, &phone).await?;
        let form = Form::Confirm { user_id: id, phone: &phone.to_string() };
        let Some(mailbox) = mailbox else { return Ok(self.page(Notice::CodeSent, form)) };
        self.send_proof(&user, &mailbox).await?;
        Ok(self.page(Notice::CodeAndLinkSent, form))
    }

    /// Whoever shows the code has the phone: a new user whose mailbox, if there is one, is proved too is active from here on; an
    /// old one has another phone.
    async fn confirm(&self, fields: &Fields) -> Result<Response, Refusal> {
        let id = fields.user_id.trim();
        self.gateway.passwords.may_try(&self.tenant.id, id, self.client)?;
        let found = self.find(id).await?;
        let phone = self.phone(&fields.phone);
        let is_proved = |user: &OmsUser, phone: &Msisdn| {
            code::is_right(&self.snapshot, Purpose::Phone, user, phone, &fields.code, self.now)
        };
        let (Some((_, user)), Some(phone)) = (found, phone) else { return Ok(self.wrong_code(fields)) };
        if !is_proved(&user, &phone) {
            return Ok(self.wrong_code(fields));
        }
        let proved = self.update(id, |user| {
            if !is_proved(user, &phone) {
                return false;
            }
            (user.reply_phone, user.phone_verified) = (phone.to_string(), true);
            self.activate(user);
            true
        });
        if !proved.await? {
            return Ok(self.wrong_code(fields));
        }
        Ok(self.page(Notice::Proved, Form::Start))
    }

    /// Signed in by the password in the form: another password, another phone, another way for replies.
    async fn change(&self, fields: &Fields) -> Result<Response, Refusal> {
        let (id, tenant) = (fields.user_id.trim(), &self.tenant.id);
        let login = self.gateway.passwords.check(&self.snapshot, tenant, id, &fields.password, self.client).await?;
        let Login::Known(known) = login else { return Ok(self.page(Notice::WrongLogin, Form::Start)) };
        if !fields.new_password.is_empty() && !is_password(&fields.new_password) {
            return Ok(self.page(Notice::Incomplete, Form::Start));
        }
        let phone = self.phone(&fields.phone);
        if phone.is_none() && !fields.phone.trim().is_empty() {
            return Ok(self.page(Notice::NoPhone, Form::Start));
        }
        let Ok(mailbox) = self.mailbox(fields) else { return Ok(self.page(Notice::NoMailbox, Form::Start)) };
        let hash = match fields.new_password.as_str() {
            "" => None,
            password => Some(self.gateway.passwords.hash(password.to_owned()).await),
        };
        let reply_to = reply_to(&fields.reply_to);
        let shown = known.password_hash.clone();
        let changed = self.update(id, |user| {
            // The password that was checked is still the one.
            if user.password_hash != shown {
                return false;
            }
            user.password_hash = hash.clone().unwrap_or_else(|| user.password_hash.clone());
            user.reply_to = reply_to.or(user.reply_to);
            true
        });
        if !changed.await? {
            return Ok(self.page(Notice::WrongLogin, Form::Start));
        }
        let Some((_, user)) = self.find(id).await? else { return Ok(self.page(Notice::WrongLogin, Form::Start)) };
        // The old mailbox stays until the new one is proved, as the old phone does.
        if let Some(mailbox) = &mailbox {
            self.gateway.codes.take_mail(mailbox, self.client)?;
            self.send_proof(&user, mailbox).await?;
        }
        let Some(phone) = phone else {
            let notice = if mailbox.is_some() { Notice::LinkSent } else { Notice::Changed };
            return Ok(self.page(notice, Form::Start));
        };
        self.gateway.codes.take(&phone, self.client)?;
        self.send_code(Purpose::Phone, &user, &phone).await?;
        let notice = if mailbox.is_some() { Notice::CodeAndLinkSent } else { Notice::CodeSent };
        Ok(self.page(notice, Form::Confirm { user_id: id, phone: &phone.to_string() }))
    }

    /// The same answer, at once, whether there is such a user or not.
    async fn forgot(&self, fields: &Fields) -> Result<Response, Refusal> {
        let id = fields.user_id.trim();
        self.gateway.codes.take_asked(&self.tenant.id, id, self.client)?;
        let found = self.find(id).await?;
        if fields.by == "mail" {
            if let Some((_, user)) = found.filter(|(_, user)| user.mail_verified) {
                self.send_reset(&user);
            }
        } else if let Some((_, user)) = found
            && let Some(phone) = Some(&user).filter(|user| user.phone_verified).and_then(number_of)
        {
            let (gateway, snapshot) = (Arc::clone(self.gateway), Arc::clone(&self.snapshot));
            let submission = self.submission(Purpose::Reset, &user, &phone);
            tokio::spawn(async move {
                if let Err(refusal) = gateway.acceptor.accept(&snapshot, &submission).await {
                    tracing::warn!(refusal = refusal.code(), "a code for a forgotten password was not sent");
                }
            });
        }
        let form = if fields.by == "mail" { Form::Start } else { Form::Reset { user_id: id } };
        Ok(self.page(Notice::ResetSent, form))
    }

    async fn reset(&self, fields: &Fields) -> Result<Response, Refusal> {
        let (id, tenant) = (fields.user_id.trim(), &self.tenant.id);
        self.gateway.passwords.may_try(tenant, id, self.client)?;
        if !is_password(&fields.new_password) {
            return Ok(self.page(Notice::Incomplete, Form::Reset { user_id: id }));
        }
        let is_right = |user: &OmsUser| {
            if !fields.token.is_empty() {
                return self.is_reset_link(user, &fields.token);
            }
            let phone = Some(user).filter(|user| user.phone_verified).and_then(number_of);
            phone.is_some_and(|phone| {
                code::is_right(&self.snapshot, Purpose::Reset, user, &phone, &fields.code, self.now)
            })
        };
        // One run for the right and for the wrong: the time tells nothing.
        let hash = self.gateway.passwords.hash(fields.new_password.clone()).await;
        let is_changed = self.update(id, |user| {
            let is_right = is_right(user);
            if is_right {
                user.password_hash.clone_from(&hash);
            }
            is_right
        });
        if !is_changed.await? {
            self.gateway.passwords.failed(tenant, id, self.client);
            return Ok(self.page(Notice::WrongCode, Form::Reset { user_id: id }));
        }
        Ok(self.page(Notice::Changed, Form::Start))
    }

    fn wrong_code(&self, fields: &Fields) -> Response {
        let id = fields.user_id.trim();
        self.gateway.passwords.failed(&self.tenant.id, id, self.client);
        self.page(Notice::WrongCode, Form::Confirm { user_id: id, phone: &fields.phone })
    }

    /// A number that a code can reach.
    fn phone(&self, written: &str) -> Option<Msisdn> {
        let phone = number::normalise(written, &self.tenant.default_country)?;
        self.snapshot.is_reachable(&phone, model::record::Service::Sms).then_some(phone)
    }

    /// Who signs up and has proved all there is to prove is active.
    fn activate(&self, user: &mut OmsUser) {
        let is_proved = user.phone_verified && (user.mail_address.is_empty() || user.mail_verified);
        if user.signing_up && is_proved {
            (user.state, user.since, user.signing_up) = (UserState::Active, Some(self.now), false);
        }
    }

    /// Nobody proved everything for so long that the id is free again.
    fn is_abandoned(&self, user: &OmsUser) -> bool {
        user.signing_up && user.since.is_some_and(|since| self.now.since_ms(since) > UNPROVED_MS_MAX)
    }

    async fn send_code(&self, purpose: Purpose, user: &OmsUser, phone: &Msisdn) -> Result<(), Refusal> {
        self.gateway.acceptor.accept(&self.snapshot, &self.submission(purpose, user, phone)).await.map(drop)
    }

    fn submission(&self, purpose: Purpose, user: &OmsUser, phone: &Msisdn) -> Submission {
        let code = code::made(&self.snapshot, purpose, user, phone, self.now);
        Submission {
            tells: None,
            tenant: Arc::clone(&self.tenant),
            user: user.user_id.clone(),
            door: Door::Oms,
            path: String::new(),
            report: None,
            key: None,
            recipients: vec![phone.clone()],
            parts: vec![Part::text(format!("{}: your code is {code}", self.tenant.oms.english_name))],
            not_before: None,
            expires: Some(self.now.plus_ms(code::VALID_MS_MIN)),
            class: Class::Urgent,
            traceparent: String::new(),
            order_key: None,
            received: self.now,
        }
    }

    async fn find(&self, id: &str) -> Result<Option<(Revision, OmsUser)>, Refusal> {
        self.gateway.store.oms_user(&self.tenant.id, id).await.map_err(unavailable)
    }

    /// Changes a user; `false`: there is none, or the change is not to be.
    async fn update(&self, id: &str, change: impl Fn(&mut OmsUser) -> bool) -> Result<bool, Refusal> {
        for _ in 0..TRIES_MAX {
            let Some((revision, mut user)) = self.find(id).await? else { return Ok(false) };
            if !change(&mut user) {
                return Ok(false);
            }
            let put = self.gateway.store.replace_oms_user(Some(revision), user);
            if let Some(version) = put.await.map_err(unavailable)? {
                self.gateway.catch_up(version).await;
                return Ok(true);
            }
        }
        Err(Refusal::Busy)
    }
}

/// A form is written as a query is (`application/x-www-form-urlencoded`).
fn read(body: &[u8]) -> Option<Fields> {
    let uri: Uri = format!("/?{}", std::str::from_utf8(body).ok()?).parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(fields)| fields)
}

fn is_password(text: &str) -> bool {
    (1..=PASSWORD_BYTES_MAX).contains(&text.len())
}

fn number_of(user: &OmsUser) -> Option<Msisdn> {
    Msisdn::parse(&user.reply_phone).ok()
}

fn reply_to(text: &str) -> Option<ReplyTo> {
    match text {
        "mailbox" => Some(ReplyTo::Mailbox),
        "phone" => Some(ReplyTo::Phone),
        "both" => Some(ReplyTo::Both),
        _ => None,
    }
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "a user can't be read or changed");
    Refusal::Unavailable
}
