//! The farm: links, modems, binds, relays, HTTP services and the journal. Takes leases from routers, hands PDUs to modems and suppliers, tells
//! what became of them.
//! Must not know prices, tenants' rights or lanes, and never decides on another attempt.

mod account;
mod arrivals;
mod bind;
mod config;
mod courier;
mod credit;
mod error;
mod http;
mod hub;
mod journal;
mod keys;
mod letter;
mod link;
mod metrics;
mod modem;
mod node;
mod outbox;
mod pace;
mod peer;
mod port;
mod posting;
mod relay;
mod restored;
mod service;
mod shared;

pub use config::{Config, ConfigRefused, Http, HttpMethod, Link, Mm7, Reports, Smpp, mm7, smpp};
pub use error::FarmError;
pub use node::{Deps, run};
pub use restored::begin_anew;
