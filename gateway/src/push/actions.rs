//! `POST /v1/devices/{id}:…`: what is done with a device. Knows HTTP and what each does; how an account is kept is `save`'s.

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::push::{Account, ChangeKind, Device, DeviceState, Ota, Resource, Standing, Touched};
use model::{MessageId, Msisdn, Refusal, Timestamp};
use serde::{Deserialize, Serialize};
use wire::provisioning::{DataStore, Imsi, Pin, ProvisioningError, Route, Security, SyncAccount};

use super::accounts::Models;
use super::alerts::{Parcel, compose, seed_of};
use super::desk::{Desk, invalid};
use super::device_document::no_push;
use super::save::{NUMBER_TAKEN, Touch, no_device};
use crate::problem::Problem;
use crate::rest::request::idempotency_key;
use crate::{number, trace};

/// How long settings are not sent again, whoever asks.
const CONFIGURE_REST_MS: i64 = 10 * 60 * 1_000;
/// Why a device is in conflict that is said to have another number.
const REPORTED: &str = "number_reported";

#[derive(Serialize)]
struct Queued {
    /// The notification; its message has the same id.
    id: String,
    state: &'static str,
    /// Whether it is that of an earlier request, and nothing was sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
}

/// `POST /v1/devices/{id}:action`.
pub(super) async fn act(desk: Desk, Path(path): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let done = match path.rsplit_once(':') {
        Some((id, "enable")) => desk.enable(id).await,
        Some((id, "pause")) => desk.pause(id, &headers, body).await,
        Some((id, "resume")) => desk.resume(id).await,
        Some((id, "synced")) => desk.synced(id, &headers, body).await,
        Some((id, "test")) => desk.test(id, &headers, body).await,
        Some((id, "configure")) => desk.configure(id, &headers, body).await,
        Some((id, "token")) => desk.make_token(id).await,
        _ => Err(Problem::new(
            Refusal::NotFound,
            "a device has the actions `:enable`, `:pause`, `:resume`, `:synced`, `:test`, `:configure` and `:token`",
        )),
    };
    desk.answer(done)
}

/// `POST /v1/devices/{id}/number:action`.
pub(super) async fn act_on_number(
    desk: Desk,
    Path((id, aspect)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = match aspect.as_str() {
        "number:resolve" => desk.resolve(&id, &headers, body).await,
        "number:report" => desk.report(&id, &headers, body).await,
        _ => Err(Problem::new(
            Refusal::NotFound,
            "a device's number has the actions `number:resolve` and `number:report`",
        )),
    };
    desk.answer(done)
}

/// `DELETE /v1/devices/{id}/token`.
pub(super) async fn revoke(desk: Desk, Path((id, aspect)): Path<(String, String)>) -> Response {
    let done = match aspect.as_str() {
        "token" => desk.revoke_token(&id).await,
        _ => Err(Problem::new(Refusal::NotFound, "what a device has that can be taken back is its `token`")),
    };
    desk.answer(done)
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Pause {
    /// Left out: until somebody resumes it.
    until: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Synced {
    /// Whether a session has begun and goes on.
    syncing: Option<bool>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Test {
    /// Canonical names; left out: all the device is told of.
    resources: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configure {
    /// Digits the user types.
    user_pin: Option<String>,
    /// What the network knows of the subscriber.
    imsi: Option<String>,
    /// What the phone's menu calls the account.
    name: Option<String>,
    /// The network access point it uses.
    access_point: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolve {
    keep: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    number: String,
}

impl Desk {
    async fn enable(&self, id: &str) -> Result<Response, Problem> {
        let account = self.enable_one(id).await?;
        self.device_answer(StatusCode::OK, &account, id, Vec::new())
    }

    pub(super) async fn enable_one(&self, id: &str) -> Result<Account, Problem> {
        let (account, device) = self.device(id).await?;
        let mut models = Models::new(self);
        let model = models.get(&device.model).await?;
        if !model.push {
            return Err(no_push(&device.model));
        }
        let change = |device: &mut Device| {
            if device.standing.state == DeviceState::NumberConflict {
                let detail = "its number is in dispute; settle it with `number:resolve`";
                return Err(Problem::new(Refusal::NumberConflict, detail));
            }
            device.failures = 0;
            self.stand(device, DeviceState::Enabled, "", None);
            Ok(())
        };
        self.edit_device(&account.id, id, change).await
    }

    async fn pause(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let pause: Pause = self.json_or_default(headers, body).await?;
        let (account, _) = self.device(id).await?;
        let account = self.pause_device(&account, id, "", pause.until).await?;
        self.device_answer(StatusCode::OK, &account, id, Vec::new())
    }

    pub(super) async fn pause_device(
        &self,
        account: &Account,
        id: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Account, Problem> {
        if until.is_some_and(|until| until <= self.now) {
            return Err(invalid("`until` is over"));
        }
        let change = |device: &mut Device| {
            self.must_be(device, &[DeviceState::Enabled, DeviceState::Paused])?;
            self.stand(device, DeviceState::Paused, reason, until);
            Ok(())
        };
        self.edit_device(&account.id, id, change).await
    }

    /// What changed while it was paused is told now.
    async fn resume(&self, id: &str) -> Result<Response, Problem> {
        let (account, _) = self.device(id).await?;
        let account = self.resume_device(&account, id).await?;
        self.device_answer(StatusCode::OK, &account, id, Vec::new())
    }

    pub(super) async fn resume_device(&self, account: &Account, id: &str) -> Result<Account, Problem> {
        let change = |device: &mut Device| {
            self.must_be(device, &[DeviceState::Enabled, DeviceState::Paused])?;
            self.stand(device, DeviceState::Enabled, "", None);
            Ok(())
        };
        self.edit_device(&account.id, id, change).await
    }

    fn must_be(&self, device: &Device, states: &[DeviceState]) -> Result<(), Problem> {
        let state = device.state_at(self.now);
        if states.contains(&state) {
            return Ok(());
        }
        let (refusal, mend) = match state {
            DeviceState::NumberConflict => (Refusal::NumberConflict, "settle its number with `number:resolve`"),
            DeviceState::Enabled | DeviceState::Paused | DeviceState::Disabled => {
                (Refusal::TooLate, "it is disabled; enable it with `:enable`")
            }
        };
        Err(Problem::new(refusal, mend))
    }

    /// Gives a device a state that it does not have.
    fn stand(&self, device: &mut Device, state: DeviceState, reason: &str, until: Option<Timestamp>) {
        let is_new = device.standing.state != state || device.standing.reason != reason;
        let since = if is_new { self.now } else { device.standing.since };
        let by = if is_new { self.caller.holder.name.clone() } else { device.standing.by.clone() };
        device.standing = Standing { state, reason: reason.to_owned(), since, by, until };
    }

    /// The device synchronised by itself, or is about to: what changed before the end of that needs no notice. One that was given up
    /// because nothing reached it is back.
    async fn synced(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let synced: Synced = self.json_or_default(headers, body).await?;
        let to = synced.to.unwrap_or(self.now);
        let from = synced.from.unwrap_or(to);
        if from > to || to > self.now {
            return Err(invalid("`from` is not after `to`, and neither is to come"));
        }
        let to_ms = if synced.syncing == Some(true) { 0 } else { to.0 };
        let (account, device) = self.device(id).await?;
        let is_given_up = |device: &Device| {
            let reason = device.standing.reason.as_str();
            device.standing.state == DeviceState::Disabled && matches!(reason, "hard_bounce" | "token_gone")
        };
        let account = if is_given_up(&device) {
            let change = |device: &mut Device| {
                if is_given_up(device) {
                    device.failures = 0;
                    self.stand(device, DeviceState::Enabled, "", None);
                    "device".clone_into(&mut device.standing.by);
                }
                Ok(())
            };
            self.edit_device(&account.id, id, change).await?
        } else {
            account
        };
        let touched = Touched { device: id.to_owned(), synced_from_ms: Some(from.0), synced_to_ms: to_ms };
        let change = self.change(&account.id, ChangeKind::Touched(touched));
        self.gateway.acceptor.note_changes(&[change]).await?;
        self.device_answer(StatusCode::ACCEPTED, &account, id, Vec::new())
    }

    async fn test(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let test: Test = self.json_or_default(headers, body).await?;
        let (account, device) = self.device(id).await?;
        let mut models = Models::new(self);
        let model = models.get(&device.model).await?;
        if !model.push {
            return Err(no_push(&device.model));
        }
        self.check_access(&account).await?;
        self.way_to(&device)?;
        let mut resources: Vec<(String, Resource)> = model.resources_of(&device).into_iter().collect();
        resources.retain(|(_, resource)| resource.enabled);
        if let Some(named) = &test.resources {
            if let Some(unknown) = named.iter().find(|name| !resources.iter().any(|(known, _)| known == *name)) {
                return Err(invalid(format!("the device is told of no resource `{unknown}`")));
            }
            resources.retain(|(known, _)| named.contains(known));
        }
        let password = account.password.as_ref().map(|password| self.open(password)).transpose()?;
        // The same request is the same octets.
        let own = idempotency_key(headers)?.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let key = format!("test\0{id}\0{own}");
        let packages = compose(&account, model, &resources, password.as_deref(), seed_of(&key))?;
        let accepted = self.send(Parcel {
            account: &account,
            device: &device,
            packages,
            resources: resources.into_iter().map(|(canonical, _)| canonical).collect(),
            key,
            because: "a test was asked for",
            traceparent: trace::parent(headers),
        });
        let accepted = accepted.await?;
        Ok(queued(accepted.id, false))
    }

    async fn configure(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let wanted: Configure = self.json(headers, body).await?;
        let security = wanted.security()?;
        let (account, device) = self.device(id).await?;
        let mut models = Models::new(self);
        let model = models.get(&device.model).await?;
        if model.ota == Ota::None {
            let detail = format!("devices of model `{}` take no settings over the air", device.model);
            return Err(Problem::new(Refusal::OtaNotSupported, detail));
        }
        self.check_access(&account).await?;
        self.way_to(&device)?;
        if let Some((at, message)) = &device.configured
            && self.now.since_ms(*at) < CONFIGURE_REST_MS
        {
            return Ok(queued(message.parse().map_err(|_| Refusal::Unavailable)?, true));
        }
        // Two who press at once, and one who presses again after a crash, lead to one message.
        let last = device.configured.as_ref().map_or(0, |(at, _)| at.0);
        let own = idempotency_key(headers)?.unwrap_or_else(|| last.to_string());
        let key = format!("configure\0{id}\0{own}");
        let settings = wanted.settings(&account, model.resources_of(&device));
        let binary = wire::alert::settings(&settings, &security, model.dcs, seed_of(&key) as u8)
            .map_err(|error| invalid(format!("the settings can't be written: {error}")))?;
        let accepted = self.send(Parcel {
            account: &account,
            device: &device,
            packages: vec![binary],
            resources: Vec::new(),
            key,
            because: "settings were asked for",
            traceparent: trace::parent(headers),
        });
        let accepted = accepted.await?;
        let note = |device: &mut Device| {
            device.configured = Some((self.now, accepted.id.to_string()));
            Ok(())
        };
        self.edit_device(&account.id, id, note).await?;
        Ok(queued(accepted.id, false))
    }

    /// Somebody else says which number the device has: the carrier, or the device itself. It is believed if nobody says otherwise.
    async fn report(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let report: Report = self.json(headers, body).await?;
        let number = self.number(Some(&Some(report.number)))?.ok_or_else(|| invalid("`number` is empty"))?;
        let (account, _) = self.device(id).await?;
        let change = |device: &mut Device| {
            match &device.number {
                Some(configured) if configured.hash == number.hash => device.reported = None,
                Some(_) => {
                    device.reported = Some(number.clone());
                    if device.standing.state != DeviceState::Disabled {
                        self.stand(device, DeviceState::NumberConflict, REPORTED, None);
                    }
                }
                None => device.number = Some(number.clone()),
            }
            Ok(())
        };
        let account = self.edit_device(&account.id, id, change).await?;
        self.device_answer(StatusCode::OK, &account, id, Vec::new())
    }

    /// Settles which number a device has: the one it was given, the one that was reported, or another.
    async fn resolve(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let Resolve { keep } = self.json(headers, body).await?;
        let named: Option<Msisdn> = match keep.as_str() {
            "configured" | "reported" => None,
            written => {
                let country = &self.caller.holder.tenant.default_country;
                let detail = "`keep` is `configured`, `reported`, or a number with `+` and country code";
                Some(number::normalise(written, country).ok_or_else(|| invalid(detail))?)
            }
        };
        let named = named.map(|number| self.kept_number(&number)).transpose()?;
        let (account, device) = self.device(id).await?;
        let mut models = Models::new(self);
        let can_push = models.get(&device.model).await?.push;
        let change = |device: &mut Device| {
            let kept = match keep.as_str() {
                "configured" => device.number.clone(),
                "reported" => device.reported.clone(),
                _ => named.clone(),
            };
            device.number = Some(kept.ok_or_else(|| invalid(format!("no number is {keep}")))?);
            device.reported = None;
            if device.standing.state == DeviceState::NumberConflict {
                let (state, reason) =
                    if can_push { (DeviceState::Enabled, "") } else { (DeviceState::Disabled, "policy") };
                self.stand(device, state, reason, None);
            }
            Ok(())
        };
        let account = self.edit_device(&account.id, id, change).await?;
        let standing = &account.devices.get(id).ok_or_else(no_device)?.standing;
        if standing.state == DeviceState::NumberConflict && standing.reason == NUMBER_TAKEN {
            let detail = "another enabled device has the number; give that one another, or disable it, and ask again";
            return Err(Problem::new(Refusal::NumberConflict, detail));
        }
        self.device_answer(StatusCode::OK, &account, id, Vec::new())
    }

    /// A device that must be there, with its account.
    async fn device(&self, id: &str) -> Result<(Account, Device), Problem> {
        let account = self.account_of(id).await?.ok_or_else(no_device)?;
        let device = account.devices.get(id).cloned().ok_or_else(no_device)?;
        Ok((account, device))
    }

    pub(super) async fn edit_device(
        &self,
        account: &str,
        id: &str,
        mut change: impl FnMut(&mut Device) -> Result<(), Problem>,
    ) -> Result<Account, Problem> {
        let change = |account: &mut Account| change(account.devices.get_mut(id).ok_or_else(no_device)?);
        self.edit(account, Touch::One(id), change).await.map(|(account, ())| account)
    }

    async fn check_access(&self, account: &Account) -> Result<(), Problem> {
        if self.files().rules(account.domain()).await?.allow(account.access) {
            return Ok(());
        }
        let detail = "the account may not use push: set its `access`, or its domain's at `/v1/access`";
        Err(Problem::new(Refusal::Forbidden, detail))
    }
}

impl Configure {
    fn security(&self) -> Result<Security, Problem> {
        let wrong = |error: ProvisioningError| invalid(format!("`user_pin` or `imsi`: {error}"));
        let pin = self.user_pin.as_deref().map(Pin::new).transpose().map_err(wrong)?;
        let imsi = self.imsi.as_deref().map(Imsi::new).transpose().map_err(wrong)?;
        match (imsi, pin) {
            (Some(imsi), Some(pin)) => Ok(Security::UserNetworkPin(imsi, pin)),
            (Some(imsi), None) => Ok(Security::NetworkPin(imsi)),
            (None, Some(pin)) => Ok(Security::UserPin(pin)),
            (None, None) => {
                Err(invalid("give `user_pin`, which the user types, or `imsi`: phones drop what is not signed"))
            }
        }
    }

    /// What the phone is offered. There is no place in it for a password: the user types that.
    fn settings(&self, account: &Account, resources: std::collections::BTreeMap<String, Resource>) -> SyncAccount {
        let store = |(uri, resource): (String, Resource)| DataStore {
            uri,
            name: resource.name,
            accepts: resource.content_type,
        };
        SyncAccount {
            name: self.name.clone().unwrap_or_else(|| account.server_id.clone()),
            provider_id: Some(account.server_id.clone()),
            route: self.access_point.clone().map(Route::AccessPoint),
            address: account.sync_url.clone(),
            port: None,
            user: account.user().to_owned(),
            data_stores: resources.into_iter().filter(|(_, resource)| resource.enabled).map(store).collect(),
        }
    }
}

fn queued(id: MessageId, repeated: bool) -> Response {
    (StatusCode::ACCEPTED, Json(Queued { id: id.to_string(), state: "accepted", repeated })).into_response()
}
