//! The role that plans, keeps time, dispatches and settles. Knows lanes, the store and control calls; must not know
//! how a message came in or what a modem is.

pub mod clock;
pub mod config;
pub mod country;
pub mod deck;
pub mod dispatch;
pub mod error;
pub mod keys;
pub mod metrics;
pub mod outcome;
pub mod pipeline;
pub mod planner;
pub mod project;
pub mod run;
pub mod schedule;
pub mod settle;

pub use clock::Clock;
pub use config::Config;
pub use error::RouterError;
