//! `POST /v1/devices:enable`: many devices at once, by id or by why they are disabled. Knows HTTP; what enabling is is the action's.

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use model::push::{Account, Device, DeviceState};
use serde::{Deserialize, Serialize};
use store::DocumentKind;

use super::desk::{Desk, cursor, invalid, read_cursor};
use super::devices::{SCANNED_MAX, STEP};
use crate::problem::Problem;

/// Devices one request enables.
const BULK_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enable {
    ids: Option<Vec<String>>,
    /// All that are disabled for this reason.
    reason: Option<String>,
    /// Where an earlier answer says that there may be more.
    cursor: Option<String>,
}

#[derive(Serialize, Default)]
struct Enabled {
    enabled: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<NotEnabled>,
    /// Whether there may be more of this reason.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    /// And where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct NotEnabled {
    id: String,
    reason: &'static str,
}

pub(super) async fn enable(desk: Desk, headers: HeaderMap, body: Body) -> Response {
    desk.answer(desk.enable_many(&headers, body).await)
}

impl Desk {
    async fn enable_many(&self, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
        let wanted: Enable = self.json(headers, body).await?;
        let (ids, next) = match (wanted.ids, wanted.reason) {
            (Some(_), None) if wanted.cursor.is_some() => return Err(invalid("`cursor` goes with `reason`")),
            (Some(ids), None) if ids.len() <= BULK_MAX => (ids, None),
            (Some(_), None) => return Err(invalid(format!("`ids` names at most {BULK_MAX}"))),
            (None, Some(reason)) => self.disabled_for(&reason, &read_cursor(wanted.cursor.as_ref())?).await?,
            _ => return Err(invalid("write either `ids` or `reason`")),
        };
        let mut answer = Enabled { more: next.is_some(), next, ..Enabled::default() };
        for id in ids {
            match self.enable_one(&id).await {
                Ok(account) if account.devices.get(&id).is_some_and(|device| !device.holds_number()) => {
                    // Another device got its number meanwhile, or it has none.
                    let device = &account.devices[&id];
                    match device.standing.state {
                        DeviceState::NumberConflict => {
                            answer.refused.push(NotEnabled { id, reason: "number_conflict" })
                        }
                        _ => answer.enabled.push(id),
                    }
                }
                Ok(_) => answer.enabled.push(id),
                Err(problem) if problem.refusal.http_status() < 500 => {
                    answer.refused.push(NotEnabled { id, reason: problem.refusal.code() });
                }
                Err(problem) => return Err(problem),
            }
        }
        Ok(Json(answer).into_response())
    }

    /// Devices of accounts after one that are disabled for a reason, and where there may be more.
    async fn disabled_for(&self, reason: &str, after: &str) -> Result<(Vec<String>, Option<String>), Problem> {
        let (mut ids, mut after) = (Vec::new(), after.to_owned());
        let is_meant =
            |device: &&Device| device.standing.state == DeviceState::Disabled && device.standing.reason == reason;
        for _ in 0..SCANNED_MAX / STEP {
            let read = self.files().list::<Account>(DocumentKind::Account, &after, STEP).await?;
            let is_end = read.len() < STEP;
            for (id, _, account) in read {
                let found = account.devices.values().filter(is_meant).map(|device| device.id.clone());
                let found: Vec<String> = found.collect();
                if ids.len() + found.len() > BULK_MAX {
                    return Ok((ids, Some(cursor(&after))));
                }
                ids.extend(found);
                after = id;
            }
            if is_end {
                return Ok((ids, None));
            }
        }
        Ok((ids, Some(cursor(&after))))
    }
}
