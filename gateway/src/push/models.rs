//! `/v1/models`: what makes of phones understand. Knows HTTP and what a model may be.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::Refusal;
use model::push::{Account, ClientModel, Device, DeviceState, Resource, San, Standing};
use serde::{Deserialize, Serialize};
use store::DocumentKind;
use wire::tpdu::Coding;

use super::desk::{Desk, TRIES_MAX, invalid};
use super::device_document::check_resources;
use super::save::Touch;
use crate::problem::Problem;
use crate::rest::conditions;

/// Models one tenant may have of its own.
const MODELS_MAX: usize = 500;
/// Characters of a model's name.
const NAME_CHARS_MAX: usize = 64;
/// Accounts read in one step when devices are looked for.
const STEP: usize = 100;
/// Why a device is disabled whose model takes no push.
const POLICY: &str = "policy";

#[derive(Serialize)]
struct Models {
    models: Vec<View>,
}

#[derive(Serialize)]
struct View {
    #[serde(flatten)]
    model: ClientModel,
    /// Whether every tenant has it.
    built_in: bool,
    /// Devices that a change disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<u64>,
}

/// What a caller wants a model to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) name: Option<String>,
    push: bool,
    ota: bool_or_kind::Said,
    #[serde(default)]
    san: San,
    #[serde(default)]
    digest: bool,
    #[serde(default)]
    all_stores: bool,
    dcs: Option<u8>,
    #[serde(default)]
    resources: BTreeMap<String, Resource>,
    #[serde(rename = "built_in")]
    _built_in: Option<bool>,
    #[serde(rename = "disabled")]
    _disabled: Option<u64>,
}

/// `ota` is said as the kind of settings, or as yes and no.
mod bool_or_kind {
    use model::push::Ota;
    use serde::Deserialize;

    #[derive(Deserialize, Clone, Copy)]
    #[serde(untagged)]
    pub(super) enum Said {
        Whether(bool),
        Which(Ota),
    }

    impl Said {
        pub(super) fn kind(self) -> Ota {
            match self {
                Said::Whether(true) => Ota::ClientProvisioning,
                Said::Whether(false) => Ota::None,
                Said::Which(kind) => kind,
            }
        }
    }
}

pub(super) async fn list(desk: Desk) -> Response {
    desk.answer(desk.list_models().await)
}

pub(super) async fn show(desk: Desk, Path(name): Path<String>) -> Response {
    desk.answer(desk.show_model(&name).await)
}

pub(super) async fn put(desk: Desk, Path(name): Path<String>, headers: HeaderMap, body: Body) -> Response {
    desk.answer(desk.put_said_model(&name, &headers, body).await)
}

pub(super) async fn remove(desk: Desk, Path(name): Path<String>, headers: HeaderMap) -> Response {
    desk.answer(desk.remove_model(&name, &headers).await)
}

impl Desk {
    async fn list_models(&self) -> Result<Response, Problem> {
        let view = |model: ClientModel, built_in| (model.name.clone(), View { model, built_in, disabled: None });
        let mut models: BTreeMap<String, View> =
            ClientModel::built_in().into_iter().map(|model| view(model, true)).collect();
        let own = self.files().list::<ClientModel>(DocumentKind::ClientModel, "", MODELS_MAX).await?;
        models.extend(own.into_iter().map(|(_, _, model)| view(model, false)));
        Ok(Json(Models { models: models.into_values().collect() }).into_response())
    }

    async fn show_model(&self, name: &str) -> Result<Response, Problem> {
        let own = self.files().read::<ClientModel>(DocumentKind::ClientModel, name).await?;
        let built_in = own.is_none();
        let model = own.map(|(_, model)| model).or_else(|| ClientModel::built_in_of(name)).ok_or_else(no_model)?;
        Ok(([(ETAG, tag(&model))], Json(View { model, built_in, disabled: None })).into_response())
    }

    async fn put_said_model(&self, name: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let wanted: Wanted = self.json(headers, body).await?;
        self.put_model(name, headers, wanted).await
    }

    pub(super) async fn put_model(&self, name: &str, headers: &HeaderMap, wanted: Wanted) -> Result<Response, Problem> {
        let model = wanted.checked(name)?;
        for _ in 0..TRIES_MAX {
            let own = self.files().read::<ClientModel>(DocumentKind::ClientModel, name).await?;
            conditions::meets(headers, own.as_ref().map(|(_, own)| tag(own)).as_deref(), "model")?;
            let status = if own.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            if own.is_none() {
                self.check_room().await?;
            }
            let was = own.map(|(revision, _)| revision);
            if self.files().put(was, DocumentKind::ClientModel, name, &model).await?.is_some() {
                // After a failure in between, a repeat of the request does the rest.
                let disabled = if model.push { None } else { Some(self.disable_all(name).await?) };
                let headers = [(ETAG, tag(&model))];
                return Ok((status, headers, Json(View { model, built_in: false, disabled })).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn check_room(&self) -> Result<(), Problem> {
        let own = self.files().list::<ClientModel>(DocumentKind::ClientModel, "", MODELS_MAX).await?;
        if own.len() < MODELS_MAX {
            return Ok(());
        }
        Err(invalid(format!("you have {MODELS_MAX} models; remove one first")))
    }

    async fn remove_model(&self, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        for _ in 0..TRIES_MAX {
            let own = self.files().read::<ClientModel>(DocumentKind::ClientModel, name).await?;
            let (revision, model) = own.ok_or_else(no_model)?;
            conditions::meets(headers, Some(&tag(&model)), "model")?;
            let has_heir = ClientModel::built_in_of(name).is_some();
            if !has_heir && let Some(device) = self.one_of(name).await? {
                let detail = format!("device `{device}` is of this model; give it another first");
                return Err(Problem::new(Refusal::Taken, detail));
            }
            if self.files().remove(DocumentKind::ClientModel, name, revision).await? {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    /// A device of a model, if there is any.
    async fn one_of(&self, model: &str) -> Result<Option<String>, Problem> {
        let mut after = String::new();
        loop {
            let read = self.files().list::<Account>(DocumentKind::Account, &after, STEP).await?;
            let Some((last, ..)) = read.last() else { return Ok(None) };
            after.clone_from(last);
            let mut devices = read.iter().flat_map(|(_, _, account)| account.devices.values());
            if let Some(device) = devices.find(|device| device.model == model) {
                return Ok(Some(device.id.clone()));
            }
        }
    }

    /// Disables every device of a model that takes no push, and says how many that were.
    async fn disable_all(&self, model: &str) -> Result<u64, Problem> {
        let (mut after, mut disabled) = (String::new(), 0);
        let is_meant = |device: &Device| device.model == model && device.standing.state != DeviceState::Disabled;
        loop {
            let read = self.files().list::<Account>(DocumentKind::Account, &after, STEP).await?;
            let Some((last, ..)) = read.last() else { return Ok(disabled) };
            after.clone_from(last);
            for (id, _, account) in read.iter().filter(|(_, _, account)| account.devices.values().any(is_meant)) {
                debug_assert_eq!(*id, account.id, "an account is kept under its address");
                let change = |account: &mut Account| {
                    let mut count = 0;
                    for device in account.devices.values_mut().filter(|device| is_meant(device)) {
                        let (state, reason) = (DeviceState::Disabled, POLICY.to_owned());
                        let by = self.caller.holder.name.clone();
                        device.standing = Standing { state, reason, since: self.now, by, until: None };
                        count += 1;
                    }
                    Ok(count)
                };
                match self.edit(id, Touch::Changed, change).await {
                    Ok((_, count)) => disabled += count,
                    // Gone meanwhile, with its devices.
                    Err(problem) if problem.refusal == Refusal::NotFound => {}
                    Err(problem) => return Err(problem),
                }
            }
        }
    }
}

impl Wanted {
    fn checked(self, name: &str) -> Result<ClientModel, Problem> {
        if self.name.as_deref().is_some_and(|own| own != name) {
            return Err(invalid("`name` is not the one in the path"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "._ -".contains(c);
        if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.chars().all(fits) {
            return Err(invalid(format!(
                "a model's name has 1 to {NAME_CHARS_MAX} of the characters A-Z a-z 0-9 . _ - and blanks"
            )));
        }
        let dcs = self.dcs.unwrap_or(wire::datagram::DCS_PUSH);
        if Coding::of(dcs) != Coding::Octets {
            return Err(invalid(format!("`dcs` {dcs} does not announce 8-bit data; write 245 or 4")));
        }
        if self.digest && matches!(self.san, San::Ds11 | San::Ds10) {
            return Err(invalid("`digest`: only ds-1.2 and dm-1.2 have one"));
        }
        if self.all_stores && self.san != San::Ds12 {
            return Err(invalid("`all_stores`: only ds-1.2 can mean every data store"));
        }
        check_resources(&self.resources)?;
        let (push, ota, san) = (self.push, self.ota.kind(), self.san);
        let (digest, all_stores, resources) = (self.digest, self.all_stores, self.resources);
        let model = ClientModel { name: name.to_owned(), push, ota, san, digest, all_stores, dcs, resources };
        check_names(&model)?;
        Ok(model)
    }
}

/// Whether the model's own names fit its notifications.
fn check_names(model: &ClientModel) -> Result<(), Problem> {
    let resources: Vec<(String, Resource)> = model.resources.clone().into_iter().collect();
    if resources.is_empty() {
        return Ok(());
    }
    let account = Account {
        tenant: model::TenantId::new("t").expect("a letter is a name"),
        id: String::new(),
        server_id: "s".to_owned(),
        sync_url: String::new(),
        user_name: String::new(),
        access: None,
        password: None,
        devices: BTreeMap::new(),
    };
    super::alerts::compose(&account, model, &resources, None, 0).map(drop)
}

pub(super) fn tag(model: &ClientModel) -> String {
    conditions::tag(&serde_json::to_string(model).expect("documents have keys that are text"))
}

fn no_model() -> Problem {
    Problem::new(Refusal::NotFound, "you have no model of this name; built-in ones can be put, not removed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::push::Ota;
    use serde_json::{Value, json};

    fn read(name: &str, document: Value) -> Result<ClientModel, Problem> {
        serde_json::from_value::<Wanted>(document).map_err(|error| invalid(error.to_string()))?.checked(name)
    }

    #[test]
    fn what_is_shown_can_be_put() {
        for model in ClientModel::built_in() {
            let view = View { model: model.clone(), built_in: true, disabled: Some(3) };
            assert_eq!(read(&model.name, serde_json::to_value(&view).unwrap()).unwrap(), model);
        }
        let plain = read("x", json!({ "push": true, "ota": true })).unwrap();
        assert_eq!((plain.ota, plain.san, plain.dcs), (Ota::ClientProvisioning, San::Ds12, 0xf5));
    }

    #[test]
    fn what_cannot_be_is_named() {
        #[track_caller]
        fn check(name: &str, document: Value, expected: &str) {
            let problem = read(name, document).unwrap_err();
            assert!(problem.detail.contains(expected), "{}", problem.detail);
        }
        check("a/b", json!({ "push": true, "ota": false }), "name");
        check("x", json!({ "name": "y", "push": true, "ota": false }), "`name`");
        check("x", json!({ "push": true, "ota": false, "dcs": 8 }), "`dcs` 8");
        check("x", json!({ "push": true, "ota": false, "san": "ds-1.1", "digest": true }), "`digest`");
        check("x", json!({ "push": true, "ota": false, "san": "dm-1.2", "all_stores": true }), "`all_stores`");
        check("x", json!({ "push": true, "ota": false, "san": "ds-9" }), "ds-9");
        let long = json!({ "card": { "name": "x".repeat(256) } });
        check("x", json!({ "push": true, "ota": false, "resources": long }), "`card`");
    }
}
