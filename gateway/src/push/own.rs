//! `/v1/me/push`: a device says whether it is to be told (push-channels.md, 4). Knows HTTP; who may say it is the token's.

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use model::push::{Account, Device, DeviceState};
use serde::{Deserialize, Serialize};

use super::desk::{Desk, invalid};
use super::save::no_device;
use super::tokens::Own;
use crate::problem::Problem;

/// Why a device is paused that said so itself.
const USER: &str = "user";

#[derive(Serialize)]
struct View {
    device: String,
    state: DeviceState,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    state: State,
    /// Left out: until it says otherwise.
    until: Option<Timestamp>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum State {
    Enabled,
    Paused,
}

pub(super) async fn show(own: Own) -> Response {
    let Own { desk, device, .. } = own;
    desk.answer(desk.own_view(&device))
}

pub(super) async fn put(own: Own, headers: HeaderMap, body: Body) -> Response {
    let Own { desk, account, device } = own;
    desk.answer(desk.say(&account, &device.id, &headers, body).await)
}

impl Desk {
    async fn say(&self, account: &Account, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let Wanted { state, until } = self.json(headers, body).await?;
        let account = match state {
            State::Paused => self.pause_device(account, id, USER, until).await?,
            State::Enabled if until.is_some() => return Err(invalid("`until` is of a device that is `paused`")),
            // What changed meanwhile is told now.
            State::Enabled => self.resume_device(account, id).await?,
        };
        self.own_view(account.devices.get(id).ok_or_else(no_device)?)
    }

    fn own_view(&self, device: &Device) -> Result<Response, Problem> {
        let shown = self.device_view(device)?;
        let (device, state, reason) = (shown.id, shown.state, shown.reason);
        Ok(Json(View { device, state, reason, since: shown.since, until: shown.until }).into_response())
    }
}
