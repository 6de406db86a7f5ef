//! `GET /v1/notifications/{id}`: how a notification came to be, and what became of it. Knows HTTP; the router writes the first, the
//! message's timeline has the second.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use model::push::Trace;
use model::{MessageId, Refusal};
use serde_json::{Map, Value, json};
use store::{NOTIFICATION_MS, NotificationRow, Store};

use super::desk::Desk;
use crate::problem::Problem;
use crate::rest::messages;

pub(super) async fn show(desk: Desk, Path(id): Path<String>) -> Response {
    desk.answer(desk.notification(&id).await.map(|(id, row)| {
        let mut shown = Map::from_iter([("id".to_owned(), json!(id.to_string()))]);
        shown.extend(row);
        Json(Value::Object(shown)).into_response()
    }))
}

/// The same with every hop of the message that carries it.
pub(super) async fn trace(desk: Desk, Path(id): Path<String>) -> Response {
    desk.answer(desk.trace(&id).await)
}

impl Desk {
    async fn trace(&self, id: &str) -> Result<Response, Problem> {
        let (id, row) = self.notification(id).await?;
        // Its intent stands before its message does.
        let message = match messages::find(&self.gateway, self.tenant(), id).await {
            Ok(message) => Some(message),
            Err(problem) if problem.refusal == Refusal::NotFound => None,
            Err(problem) => return Err(problem),
        };
        let trace = json!({ "id": id.to_string(), "notification": row, "message": message });
        Ok(Json(trace).into_response())
    }

    async fn notification(&self, id: &str) -> Result<(MessageId, Map<String, Value>), Problem> {
        let id: MessageId = id.parse().map_err(|error| Problem::new(Refusal::NotFound, format!("{error}")))?;
        let found = self.gateway.store.notification(self.tenant(), id).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a notification can't be read");
            Problem::from(Refusal::Unavailable)
        })?;
        let missing = || Problem::new(Refusal::NotFound, "you have no notification of this id, or it is too long ago");
        let row = found.ok_or_else(missing)?;
        match serde_json::from_str(&row.body) {
            Ok(Value::Object(said)) => Ok((id, said)),
            _ => {
                tracing::error!(notification.id = %id, "what is kept of a notification can't be read");
                Err(Refusal::Unavailable.into())
            }
        }
    }

    /// Notes what is about to be queued, so that it can be followed.
    pub(super) async fn note(&self, id: MessageId, trace: &Trace) -> Result<(), Problem> {
        let body = serde_json::to_string(trace).expect("a trace has keys that are text");
        let row =
            NotificationRow { tenant: self.tenant().clone(), id, until: trace.made.plus_ms(NOTIFICATION_MS), body };
        self.gateway.store.notifications_put(vec![row]).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a notification can't be noted");
            Refusal::Unavailable.into()
        })
    }
}
