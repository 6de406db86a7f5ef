//! Real engines for development and tests: Apache Kafka and Apache Cassandra, from Maven packages, as processes of a folder.
//!
//! Knows how to get, start, ask and stop them; no product code may need it. A set lives in a folder (by default below
//! `target/engines`) and survives the program that started it, unless
//! it is a [`Temporary`] one:
//!
//! ```no_run
//! # fn main() -> engines::Result<()> {
//! use std::time::Duration;
//! use engines::{Options, Temporary};
//!
//! let set = Temporary::up(&engines::home().join("mine"), &Options::default())?;
//! set.kafka[0].kill()?;
//! set.kafka[0].start()?;
//! set.kafka[0].wait_ready(Duration::from_secs(60))?;
//! set.wait_in_sync(Duration::from_secs(60))
//! # }
//! ```

mod addresses;
mod archive;
mod cassandra;
mod credentials;
mod error;
mod java;
mod kafka;
mod layout;
mod lock;
mod log;
mod maven;
mod node;
mod ports;
pub mod probe;
mod process;
mod program;
mod progress;
pub mod records;
mod report;
mod set;
mod temporary;

pub use addresses::{Addresses, CQL_VARIABLE, KAFKA_SASL_VARIABLE, KAFKA_TLS_VARIABLE, KAFKA_VARIABLE, TLS_VARIABLE};
pub use credentials::{Credentials, USER};
pub use error::{EnginesError, Result};
pub use java::Java;
pub use node::{Health, Kind, Node};
pub use ports::{BROKERS_MAX, PORT_BASE_MAX};
pub use progress::{Progress, Quiet};
pub use report::{NodeReport, Report};
pub use set::{Engines, Options, Parts, home};
pub use temporary::Temporary;
