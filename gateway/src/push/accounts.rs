//! `/v1/accounts`: whose devices are told. Knows HTTP; what an account may be is the document's, how it is kept is `save`'s.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::push::{ACCOUNT_DEVICES_MAX, Account, ClientModel, Number, SealedText};
use model::{Msisdn, Refusal};
use serde::Serialize;
use store::DocumentKind;

use super::account_document::{Corrected, View, Wanted, id_of};
use super::alerts::check_fit;
use super::desk::{Desk, Page, TRIES_MAX, cursor, invalid};
use super::device_document::{self as device, Said};
use super::save::{Touch, no_account};
use crate::number;
use crate::problem::Problem;
use crate::rest::conditions;

#[derive(Serialize)]
struct Accounts {
    accounts: Vec<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(desk: Desk, page: Result<Query<Page>, QueryRejection>) -> Response {
    desk.answer(desk.list_accounts(page).await)
}

pub(super) async fn show(desk: Desk, Path(id): Path<String>) -> Response {
    desk.answer(desk.show_account(&id, Form::Short).await)
}

/// `GET …/config`: the whole account, numbers included, to be put elsewhere or again.
pub(super) async fn export(desk: Desk, Path(id): Path<String>) -> Response {
    desk.answer(desk.show_account(&id, Form::Whole).await)
}

pub(super) async fn put(desk: Desk, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    desk.answer(desk.put_said_account(&id, Form::Short, &headers, body).await)
}

pub(super) async fn import(desk: Desk, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    desk.answer(desk.put_said_account(&id, Form::Whole, &headers, body).await)
}

pub(super) async fn remove(desk: Desk, Path(id): Path<String>, headers: HeaderMap) -> Response {
    desk.answer(desk.take_account_away(&id, &headers).await)
}

/// How an account is shown and said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Without its devices' numbers and particulars.
    Short,
    /// All of it but the password.
    Whole,
}

impl Desk {
    async fn list_accounts(&self, page: Result<Query<Page>, QueryRejection>) -> Result<Response, Problem> {
        let Query(page) = page.map_err(|error| invalid(error.body_text()))?;
        let limit = page.limit()?;
        // One more, to know whether there are more.
        let mut found = self.files().list::<Account>(DocumentKind::Account, &page.after()?, limit + 1).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(id, ..)| cursor(id));
        let views = found.iter().map(|(_, _, account)| self.account_view(account, Form::Short));
        Ok(Json(Accounts { accounts: views.collect::<Result<_, _>>()?, next }).into_response())
    }

    async fn show_account(&self, id: &str, form: Form) -> Result<Response, Problem> {
        let (_, account) = self.files().account(&id_of(id)?).await?.ok_or_else(no_account)?;
        let view = self.account_view(&account, form)?;
        Ok(([(ETAG, account_tag(&account))], Json(view)).into_response())
    }

    async fn put_said_account(
        &self,
        id: &str,
        form: Form,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Problem> {
        let wanted: Wanted = self.json(headers, body).await?;
        self.put_account(id, form, headers, wanted).await
    }

    pub(super) async fn put_account(
        &self,
        id: &str,
        form: Form,
        headers: &HeaderMap,
        wanted: Wanted,
    ) -> Result<Response, Problem> {
        let id = id_of(id)?;
        let domain = id.rsplit_once('@').map_or("", |(_, domain)| domain);
        let rules = self.files().rules(domain).await?;
        let password = match wanted.password.as_deref() {
            None | Some("") => None,
            Some(password) => Some(self.seal(password)?),
        };
        for _ in 0..TRIES_MAX {
            let found = self.files().account(&id).await?;
            let was = found.as_ref().map(|(_, account)| account);
            conditions::meets(headers, was.map(account_tag).as_deref(), "account")?;
            let status = if was.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            let (account, corrected) = self.wanted_account(&id, &wanted, was, &rules, password.clone(), form).await?;
            if let Some(saved) = self.save(found, account, Touch::All).await? {
                let view = View { corrected, ..self.account_view(&saved, form)? };
                return Ok((status, [(ETAG, account_tag(&saved))], Json(view)).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn wanted_account(
        &self,
        id: &str,
        wanted: &Wanted,
        was: Option<&Account>,
        rules: &super::files::Rules,
        password: Option<SealedText>,
        form: Form,
    ) -> Result<(Account, Corrected), Problem> {
        let (mut account, corrected) = wanted.applied(id, was, self.tenant(), rules, password)?;
        if form == Form::Whole {
            account.devices = self.whole_devices(wanted.devices.as_deref().unwrap_or_default(), was).await?;
        }
        let mut models = Models::new(self);
        for device in account.devices.values() {
            check_fit(&account, models.get(&device.model).await?, device)?;
        }
        Ok((account, corrected))
    }

    async fn whole_devices(
        &self,
        wanted: &[device::Wanted],
        was: Option<&Account>,
    ) -> Result<BTreeMap<String, model::push::Device>, Problem> {
        if wanted.len() > ACCOUNT_DEVICES_MAX {
            return Err(invalid(format!("an account has at most {ACCOUNT_DEVICES_MAX} devices")));
        }
        let (mut devices, mut models, mut ids) = (BTreeMap::new(), Models::new(self), BTreeSet::new());
        for one in wanted {
            let id = one.id.as_deref().ok_or_else(|| invalid("each of `devices` names its `id`"))?;
            if !ids.insert(id) {
                return Err(invalid(format!("device `{id}` is named twice")));
            }
            one.check(id)?;
            let before = was.and_then(|was| was.devices.get(id));
            let model = models.get(&one.model).await?;
            let said = Said {
                number: self.number(one.number.as_ref())?,
                reported: self.number(one.reported.as_ref())?,
                by: self.caller.holder.name.clone(),
                now: self.now,
                is_whole: true,
            };
            let (device, _) = one.applied(id, before, model, said)?;
            devices.insert(id.to_owned(), device);
        }
        Ok(devices)
    }

    async fn take_account_away(&self, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let id = id_of(id)?;
        for _ in 0..TRIES_MAX {
            let found = self.files().account(&id).await?.ok_or_else(no_account)?;
            conditions::meets(headers, Some(&account_tag(&found.1)), "account")?;
            if self.remove_account(found).await? {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    pub(super) fn account_view(&self, account: &Account, form: Form) -> Result<View, Problem> {
        let device = |device| match form {
            Form::Short => self.device_view(device),
            Form::Whole => self.whole_device_view(device),
        };
        Ok(View::of(account, account.devices.values().map(device).collect::<Result<_, _>>()?))
    }

    /// A device with its numbers in full, and as it was said rather than as it stands.
    fn whole_device_view(&self, device: &model::push::Device) -> Result<device::View, Problem> {
        let shown = |number: &Option<Number>| number.as_ref().map(|number| self.open(&number.sealed)).transpose();
        let said = device.standing.clone();
        Ok(device::View {
            number: shown(&device.number)?,
            reported: shown(&device.reported)?,
            state: said.state,
            reason: said.reason,
            since: said.since,
            until: said.until,
            ..device::View::of(device, self.now)
        })
    }

    /// A number as it is kept; `None` for none.
    pub(super) fn number(&self, written: Option<&Option<String>>) -> Result<Option<Number>, Problem> {
        let Some(Some(written)) = written else { return Ok(None) };
        let number = number::normalise(written, &self.caller.holder.tenant.default_country)
            .ok_or_else(|| invalid("`number` is not a phone number; write it as `+`, country code and number"))?;
        self.kept_number(&number).map(Some)
    }

    pub(super) fn kept_number(&self, number: &Msisdn) -> Result<Number, Problem> {
        let hash = self.caller.snapshot.numbers().digits(number);
        Ok(Number { hash, sealed: self.seal(&number.to_string())? })
    }
}

/// What tells this state of an account from others. What is noted of devices and not shown here is no part of it.
pub(super) fn account_tag(account: &Account) -> String {
    let mut account = account.clone();
    for device in account.devices.values_mut() {
        (device.failures, device.configured, device.answered) = (0, None, None);
    }
    conditions::tag(&serde_json::to_string(&account).expect("documents have keys that are text"))
}

/// Client models, each read once in a request.
pub(super) struct Models<'a> {
    desk: &'a Desk,
    known: BTreeMap<String, ClientModel>,
}

impl<'a> Models<'a> {
    pub(super) fn new(desk: &'a Desk) -> Self {
        Models { desk, known: BTreeMap::new() }
    }

    /// The model of this name.
    ///
    /// # Errors
    /// A problem that says how to see which models there are.
    pub(super) async fn get(&mut self, name: &str) -> Result<&ClientModel, Problem> {
        if !self.known.contains_key(name) {
            let model = self.desk.files().model(name).await?;
            let unknown = || invalid(format!("there is no model `{name}`; `GET /v1/models` lists them"));
            self.known.insert(name.to_owned(), model.ok_or_else(unknown)?);
        }
        Ok(&self.known[name])
    }
}
