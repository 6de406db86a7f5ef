//! The OMS door: the SOAP service that Outlook and SharePoint speak.

use std::sync::Arc;

use axum::Router;

use crate::run::Gateway;

/// The routes of the OMS door.
pub fn router(_gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::new()
}
