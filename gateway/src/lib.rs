//! The HTTP edge: authenticates, checks, makes messages durable, and tells what became of them. Keeps nothing itself.
//!
//! Any replica can serve any request. Nothing on the accept path reads the store: credentials, limits and prices come from
//! a snapshot in memory that is at most `parties_refresh_ms` behind.

pub mod accept;
pub mod auth;
pub mod body;
mod calls;
pub mod clock;
pub mod config;
pub mod content;
pub mod meter;
pub mod metrics;
pub mod network;
pub mod number;
pub mod oms;
pub mod problem;
mod push;
mod recent;
pub mod rest;
pub mod run;
pub mod snapshot;
pub mod standing;
pub mod trace;
mod turns;

pub use config::Config;
pub use run::{Deps, Gateway, GatewayError, Listeners, run};
