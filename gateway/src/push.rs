//! Change notifications from outside: accounts, devices, what they understand, who may use it, and what changed. Knows HTTP and
//! documents; when a device is told, and how, is the router's.

mod access;
mod account_document;
mod accounts;
mod actions;
mod alerts;
mod bulk;
mod changes;
mod claims;
mod conflicts;
mod desk;
mod device_document;
mod devices;
mod event_keys;
pub(crate) mod events;
mod files;
mod intake;
mod models;
mod notifications;
mod own;
mod save;
mod sync_url;
mod tenant_config;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use intake::{Fault, Intake};

use crate::rest::method_not_allowed;
use crate::run::Gateway;

/// The routes of this door.
pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/v1/accounts", get(accounts::list).fallback(method_not_allowed))
        .route(
            "/v1/accounts/{account}",
            get(accounts::show).put(accounts::put).delete(accounts::remove).fallback(method_not_allowed),
        )
        .route(
            "/v1/accounts/{account}/config",
            get(accounts::export).put(accounts::import).fallback(method_not_allowed),
        )
        .route("/v1/devices", get(devices::list).fallback(method_not_allowed))
        .route("/v1/devices:enable", post(bulk::enable).fallback(method_not_allowed))
        .route(
            "/v1/devices/{device}",
            get(devices::show)
                .put(devices::put)
                .delete(devices::remove)
                .post(actions::act)
                .fallback(method_not_allowed),
        )
        .route(
            "/v1/devices/{device}/{aspect}",
            post(actions::act_on_number).delete(actions::revoke).fallback(method_not_allowed),
        )
        .route("/v1/me/push", get(own::show).put(own::put).fallback(method_not_allowed))
        .route("/v1/models", get(models::list).fallback(method_not_allowed))
        .route(
            "/v1/models/{model}",
            get(models::show).put(models::put).delete(models::remove).fallback(method_not_allowed),
        )
        .route("/v1/access", get(access::list).fallback(method_not_allowed))
        .route(
            "/v1/access/{domain}",
            get(access::show).put(access::put).delete(access::remove).fallback(method_not_allowed),
        )
        .route("/v1/push/config", get(tenant_config::export).put(tenant_config::import).fallback(method_not_allowed))
        .route("/v1/changes", post(changes::take).fallback(method_not_allowed))
        .route("/v1/event-keys", get(event_keys::list).fallback(method_not_allowed))
        .route(
            "/v1/event-keys/{key}",
            axum::routing::put(event_keys::put).delete(event_keys::remove).fallback(method_not_allowed),
        )
        .route("/v1/notifications/{id}", get(notifications::show).fallback(method_not_allowed))
        .route("/v1/notifications/{id}/trace", get(notifications::trace).fallback(method_not_allowed))
}
