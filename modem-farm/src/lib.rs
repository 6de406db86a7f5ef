//! The farm: links, modems and the journal. Takes leases from routers, hands PDUs to modems, tells what became of them.
//! Must not know prices, tenants' rights or lanes, and never decides on another attempt.

mod config;
mod courier;
mod credit;
mod error;
mod hub;
mod journal;
mod keys;
mod letter;
mod metrics;
mod modem;
mod node;
mod outbox;
mod pace;
mod peer;
mod port;
mod shared;
mod sim_card;

pub use config::{Config, ConfigRefused, Link};
pub use error::FarmError;
pub use node::{Deps, run};
