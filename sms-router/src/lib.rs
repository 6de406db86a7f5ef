//! The role that plans, keeps time, dispatches and settles. Knows lanes, the store and control calls; must not know
//! how a message came in or what a modem is.

pub mod clock;
pub mod config;
pub mod country;
pub mod deadletter;
pub mod deck;
pub mod desk;
pub mod dispatch;
pub mod error;
pub mod farms;
pub mod keys;
pub mod loads;
pub mod metrics;
pub mod notify;
mod oldest;
mod opt_outs;
pub mod outcome;
mod parts;
pub mod pipeline;
pub mod planner;
pub mod project;
pub mod replies;
pub mod routing;
pub mod run;
pub mod schedule;
pub mod seen;
pub mod settle;
mod shares;
pub mod step;
mod tidings;
pub mod upkeep;
pub mod world;

pub use clock::Clock;
pub use config::Config;
pub use error::RouterError;
pub use farms::{Doors, listen};
pub use run::{Deps, LANES, prepare, run};
