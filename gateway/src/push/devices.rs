//! `/v1/devices`: what is told, and what is not. Knows HTTP; what a device may be is the document's.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::http::header::{ACCEPT, CONTENT_TYPE, ETAG, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use model::Refusal;
use model::push::{Account, Channel, Device, DeviceState};
use serde::Serialize;
use store::DocumentKind;

use super::account_document::id_of;
use super::accounts::Models;
use super::alerts::check_fit;
use super::desk::{Desk, Page, TRIES_MAX, cursor, invalid};
use super::device_document::{Said, View, Wanted, place};
use super::save::{Touch, no_account, no_device};
use crate::problem::Problem;
use crate::rest::conditions;

/// Accounts looked through for one answer; a list that found too little by then goes on with its `next`.
pub(super) const SCANNED_MAX: usize = 2_000;
/// Accounts read in one step.
pub(super) const STEP: usize = 100;

#[derive(Serialize)]
struct Devices {
    devices: Vec<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(desk: Desk, headers: HeaderMap, page: Result<Query<Page>, QueryRejection>) -> Response {
    desk.answer(desk.list_devices(&headers, page).await)
}

pub(super) async fn show(desk: Desk, Path(id): Path<String>) -> Response {
    desk.answer(desk.show_device(&id).await)
}

pub(super) async fn put(desk: Desk, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    desk.answer(desk.put_device(&id, &headers, body).await)
}

pub(super) async fn remove(desk: Desk, Path(id): Path<String>, headers: HeaderMap) -> Response {
    desk.answer(desk.remove_device(&id, &headers).await)
}

impl Desk {
    async fn list_devices(
        &self,
        headers: &HeaderMap,
        page: Result<Query<Page>, QueryRejection>,
    ) -> Result<Response, Problem> {
        let Query(page) = page.map_err(|error| invalid(error.body_text()))?;
        let (devices, next) = self.scan(&page).await?;
        let is_csv = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
        if !is_csv {
            return Ok(Json(Devices { devices, next }).into_response());
        }
        let mut response = table(&devices).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
        if let Some(next) = next {
            let state = page.state.map_or(String::new(), |state| format!("&state={}", word(&state)));
            let limit = page.limit.map_or(String::new(), |limit| format!("&limit={limit}"));
            let link = format!("</v1/devices?cursor={next}{state}{limit}>; rel=\"next\"");
            response.headers_mut().insert(LINK, HeaderValue::try_from(link).expect("a cursor is visible ASCII"));
        }
        Ok(response)
    }

    /// Devices, account by account, and where the list goes on. A cursor is an account, and a device of it after which there is more.
    async fn scan(&self, page: &Page) -> Result<(Vec<View>, Option<String>), Problem> {
        let (limit, after) = (page.limit()?, page.after()?);
        let (mut account, device) = match after.split_once('\0') {
            Some((account, device)) => (account.to_owned(), Some(device.to_owned())),
            None => (after, None),
        };
        let mut found = Vec::new();
        if let Some(device) = device
            && let Some((_, half)) = self.files().account(&account).await?
            && let Some(next) = self.gather(&half, &device, page.state, limit, &mut found)?
        {
            return Ok((found, Some(next)));
        }
        for _ in 0..SCANNED_MAX / STEP {
            let read = self.files().list::<Account>(DocumentKind::Account, &account, STEP).await?;
            let Some((last, ..)) = read.last() else { return Ok((found, None)) };
            let (last, is_end) = (last.clone(), read.len() < STEP);
            for (_, _, one) in &read {
                if let Some(next) = self.gather(one, "", page.state, limit, &mut found)? {
                    return Ok((found, Some(next)));
                }
            }
            if is_end {
                return Ok((found, None));
            }
            account = last;
        }
        Ok((found, Some(cursor(&account))))
    }

    /// Adds an account's devices; where the list goes on if it is full.
    fn gather(
        &self,
        account: &Account,
        after: &str,
        state: Option<DeviceState>,
        limit: usize,
        found: &mut Vec<View>,
    ) -> Result<Option<String>, Problem> {
        for (id, device) in account.devices.range(after.to_owned()..).filter(|(id, _)| id.as_str() != after) {
            if state.is_none_or(|state| device.state_at(self.now) == state) {
                if found.len() == limit {
                    // It goes on behind the last one that was looked at before this.
                    let before = account.devices.range(..id.clone()).next_back().map_or("", |(id, _)| id.as_str());
                    return Ok(Some(cursor(&format!("{}\0{before}", account.id))));
                }
                found.push(View { account: Some(account.id.clone()), ..self.device_view(device)? });
            }
        }
        Ok(None)
    }

    async fn show_device(&self, id: &str) -> Result<Response, Problem> {
        let account = self.account_of(id).await?.ok_or_else(no_device)?;
        self.device_answer(StatusCode::OK, &account, id, Vec::new())
    }

    /// A device as an answer.
    pub(super) fn device_answer(
        &self,
        status: StatusCode,
        account: &Account,
        id: &str,
        switched_off: Vec<String>,
    ) -> Result<Response, Problem> {
        let device = account.devices.get(id).ok_or_else(no_device)?;
        let view = View { account: Some(account.id.clone()), switched_off, ..self.device_view(device)? };
        Ok((status, [(ETAG, device_tag(device))], Json(view)).into_response())
    }

    async fn put_device(&self, id: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let wanted: Wanted = self.json(headers, body).await?;
        wanted.check(id)?;
        if wanted.reported.is_some() {
            return Err(invalid("`reported` is said with `number:report`"));
        }
        let (number, mut models) = (self.number(wanted.number.as_ref())?, Models::new(self));
        let model = models.get(&wanted.model).await?.clone();
        for _ in 0..TRIES_MAX {
            let found = self.place_of(id, wanted.account.as_deref()).await?;
            let (revision, mut account) = self.files().account(&found).await?.ok_or_else(no_account)?;
            let was = (revision, account.clone());
            let before = account.devices.get(id).cloned();
            conditions::meets(headers, before.as_ref().map(device_tag).as_deref(), "device")?;
            let (number, by) = (number.clone(), self.caller.holder.name.clone());
            let said = Said { number, reported: None, by, now: self.now, is_whole: false };
            let (device, switched_off) = wanted.applied(id, before.as_ref(), &model, said)?;
            check_fit(&account, &model, &device)?;
            place(&mut account, device)?;
            if let Some(saved) = self.save(Some(was), account, Touch::One(id)).await? {
                let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
                return self.device_answer(status, &saved, id, switched_off);
            }
        }
        Err(Refusal::Busy.into())
    }

    /// The account a device is to be in: the one it is in, which is also the one that is named if any is.
    async fn place_of(&self, id: &str, named: Option<&str>) -> Result<String, Problem> {
        let named = named.map(id_of).transpose()?;
        match (self.account_of(id).await?, named) {
            (Some(own), None) => Ok(own.id),
            (Some(own), Some(named)) if own.id == named => Ok(named),
            (Some(_), Some(_)) => {
                let detail = format!("device `{id}` belongs to another account of yours; remove it there first");
                Err(Problem::new(Refusal::Taken, detail))
            }
            (None, Some(named)) => Ok(named),
            (None, None) => Err(invalid("`account` is missing: whose device is it?")),
        }
    }

    async fn remove_device(&self, id: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let account = self.account_of(id).await?.ok_or_else(no_device)?;
        let take = |account: &mut Account| {
            let device = account.devices.remove(id).ok_or_else(no_device)?;
            conditions::meets(headers, Some(&device_tag(&device)), "device")
        };
        self.edit(&account.id, Touch::One(id), take).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// A device with the last digits of its numbers, and with what keeps it from being told.
    pub(super) fn device_view(&self, device: &Device) -> Result<View, Problem> {
        let shown = |number: &Option<model::push::Number>| {
            number.as_ref().map(|number| self.open(&number.sealed).map(|number| masked(&number))).transpose()
        };
        let view = View::of(device, self.now);
        let has_way = self.caller.snapshot.has_short_route() || !device.channels.contains(&Channel::Sms);
        let is_stuck = view.state == DeviceState::Enabled && (!has_way || device.number.is_none());
        Ok(View {
            number: shown(&device.number)?,
            reported: shown(&device.reported)?,
            reason: if is_stuck { "no_route".to_owned() } else { view.reason.clone() },
            failures: Some(device.failures),
            configured_at: device.configured.as_ref().map(|(at, _)| *at),
            ..view
        })
    }
}

/// What tells this state of a device from others.
pub(super) fn device_tag(device: &Device) -> String {
    conditions::tag(&serde_json::to_string(device).expect("documents have keys that are text"))
}

/// Enough to tell one's numbers apart, too little to call.
fn masked(number: &str) -> String {
    format!("\u{2026}{}", &number[number.len().saturating_sub(2)..])
}

fn word(state: &DeviceState) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// The list as a table (RFC 4180).
fn table(devices: &[View]) -> String {
    let mut rows = String::from("id,account,kind,model,state,reason,since,by,until\r\n");
    for device in devices {
        let until = device.until.map(|until| until.to_string()).unwrap_or_default();
        let (state, since) = (word(&device.state), device.since.to_string());
        let account = device.account.as_deref().unwrap_or_default();
        let cells =
            [&device.id, account, &device.kind, &device.model, &state, &device.reason, &since, &device.by, &until];
        rows.push_str(&cells.map(cell).join(","));
        rows.push_str("\r\n");
    }
    rows
}

/// One cell. What a spreadsheet would take for a formula begins with a quote there.
fn cell(text: &str) -> String {
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t']) { format!("'{text}") } else { text.to_owned() };
    if guarded.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_what_they_hold() {
        assert_eq!(cell("nokia"), "nokia");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell("=1+1"), "'=1+1");
    }

    #[test]
    fn a_number_is_not_shown_in_full() {
        assert_eq!(masked("+447700900123"), "\u{2026}23");
    }
}
