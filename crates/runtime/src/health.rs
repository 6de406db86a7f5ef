//! Tells whoever asks whether this process lives and whether it can take work.
//!
//! Knows named conditions; must not know what they mean.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::metrics::{Registry, TEXT_CONTENT_TYPE};

/// The readiness of one process: ready when every condition holds and no stop has begun. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Conditions>>);

#[derive(Debug, Default)]
struct Conditions {
    stopping: bool,
    missing: BTreeMap<&'static str, String>,
}

/// What `/readyz` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether work is welcome.
    pub ready: bool,
    /// What is missing, by condition, with the reason.
    pub not_ready: BTreeMap<&'static str, String>,
}

impl Health {
    /// Makes a health without conditions: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that a condition holds.
    pub fn ready(&self, condition: &'static str) {
        self.conditions().missing.remove(condition);
    }

    /// Says that a condition does not hold (yet, or any more), and why.
    pub fn not_ready(&self, condition: &'static str, reason: impl Into<String>) {
        self.conditions().missing.insert(condition, reason.into());
    }

    /// Says that this process stops. Never ready again.
    pub fn stopping(&self) {
        self.conditions().stopping = true;
    }

    /// Whether work is welcome, and if not, why.
    pub fn readiness(&self) -> Readiness {
        let conditions = self.conditions();
        let mut not_ready = conditions.missing.clone();
        if conditions.stopping {
            not_ready.insert("process", "stopping".to_owned());
        }
        Readiness { ready: not_ready.is_empty(), not_ready }
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes an orchestrator and a scraper ask: `/livez`, `/readyz` (503 while not ready, with the reasons), `/metrics`.
///
/// Bind it to an address of its own: it has no authentication.
pub fn ops_router(registry: Registry, health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(metrics).with_state(registry))
}

async fn readyz(State(health): State<Health>) -> Response {
    let readiness = health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics(State(registry): State<Registry>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_CONTENT_TYPE)], registry.text()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn answer(health: &Health, path: &str) -> (StatusCode, String) {
        let registry = Registry::new();
        registry.counter("doors_total", "Counts doors.").increment();
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = ops_router(registry, health.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_when_every_condition_holds() {
        let health = Health::new();
        health.not_ready("lanes", "opening");
        health.not_ready("prices", "no deck");
        let (status, body) = answer(&health, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, r#"{"ready":false,"not_ready":{"lanes":"opening","prices":"no deck"}}"#);
        health.ready("lanes");
        assert_eq!(answer(&health, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        health.ready("prices");
        assert_eq!(answer(&health, "/readyz").await, (StatusCode::OK, r#"{"ready":true,"not_ready":{}}"#.to_owned()));
    }

    #[tokio::test]
    async fn a_stopping_process_lives_but_is_not_ready() {
        let health = Health::new();
        health.stopping();
        let (status, body) = answer(&health, "/readyz").await;
        assert_eq!((status, body.contains("stopping")), (StatusCode::SERVICE_UNAVAILABLE, true));
        assert_eq!(answer(&health, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_text() {
        let (status, body) = answer(&Health::new(), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("doors_total 1\n"), "{body}");
    }
}
