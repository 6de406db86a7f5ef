//! What every process needs and no domain word: configuration, logs, metrics, health, TLS, HTTP, an ordered stop.
//!
//! Knows the operating system and the network; must not know messages, tenants, lanes or modems.

pub mod again;
pub mod config;
pub mod errors;
pub mod expiry;
pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod networks;
pub mod pki;
pub mod process;
pub mod secret;
pub mod stop;
pub mod tls;

pub use again::Again;
pub use config::ConfigError;
pub use errors::in_full;
pub use health::Health;
pub use http::HttpLimits;
pub use metrics::Registry;
pub use secret::Secret;
pub use stop::Stop;
