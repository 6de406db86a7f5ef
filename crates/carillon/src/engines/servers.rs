//! From settings to clients of Kafka and CQL: the one place that knows how their keys are called there.

use bus::AnyBus;
use store::AnyStore;

use super::patience::{Again, Awaited, Failed, LANES, Patience, STATE};
use crate::config::Config;

/// Who a process is among those that share the servers: stable over restarts, or the servers wait for the one that went.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its role.
    pub(crate) role: &'static str,
    /// Its name among those of its role.
    pub(crate) name: String,
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.role, self.name)
    }
}

pub(super) async fn open_bus(config: &Config, member: &Member, patience: &Patience) -> anyhow::Result<AnyBus> {
    let awaited = Awaited { condition: LANES, setting: "lanes.url", address: config.lanes.url.to_string() };
    patience.wait(awaited, async || client::bus(config, member).await).await
}

pub(super) async fn open_store(config: &Config, patience: &Patience) -> anyhow::Result<AnyStore> {
    let awaited = Awaited { condition: STATE, setting: "state.url", address: config.state.url.to_string() };
    patience.wait(awaited, async || client::store(config).await).await
}

/// This build has no clients.
mod client {
    use super::*;

    const HOW: &str =
        "this build has no engines of a cluster; build it with `cargo build --release --features cluster`";

    pub(super) async fn bus(_: &Config, _: &Member) -> Result<AnyBus, Failed> {
        Err(Failed { reason: anyhow::anyhow!(HOW), again: Again::No })
    }

    pub(super) async fn store(_: &Config) -> Result<AnyStore, Failed> {
        Err(Failed { reason: anyhow::anyhow!(HOW), again: Again::No })
    }
}
