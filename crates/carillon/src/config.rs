//! The settings of all roles in one process. Knows their sections, not what is in them.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use model::RouterName;
use serde::{Deserialize, Serialize};

use crate::cli::Common;
use crate::engines::Member;
use crate::engines::settings::{self, LanesConfig, StateConfig};

/// Settings of `carillon` without a command, and of its roles but the farm. `example.toml` says why one would change each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where health and metrics listen.
    pub(crate) ops_listen: SocketAddr,
    /// How long a stop may take before what is left is said and the process ends.
    pub(crate) drain_seconds_max: u64,
    /// How long a start waits for engines that do not answer.
    pub(crate) start_seconds_max: u64,
    /// This process's name among those of its role; empty: a router's is `sms_router.name`, others make one up.
    pub(crate) name: String,
    /// The installation's secret; empty: `keys/master.key` in the data directory.
    pub(crate) master_key_file: PathBuf,
    /// Where lanes are kept.
    pub(crate) lanes: LanesConfig,
    /// Where state is kept.
    pub(crate) state: StateConfig,
    /// The demo.
    pub(crate) demo: DemoConfig,
    /// The gateway's settings.
    pub(crate) gateway: gateway::Config,
    /// The router's settings.
    pub(crate) sms_router: sms_router::Config,
    /// The farm's settings.
    pub(crate) modem_farm: modem_farm::Config,
}

/// What the first start makes, and what the simulated network is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DemoConfig {
    /// Off: no tenant is made, no modem simulated.
    pub(crate) enabled: bool,
    /// Whether the farm inside drives the simulated modems; off: a farm node outside may.
    pub(crate) drive_modems: bool,
    /// Tenants that are made: the first, and others that have an API key each and nothing else.
    pub(crate) tenants: u32,
    /// Whether there is a route for multimedia messages, and the demo's user may send them.
    pub(crate) multimedia: bool,
    /// Whether the demo's user may send multimedia messages that wait at the gateway for phones.
    pub(crate) multimedia_by_notice: bool,
    /// Simulated modems of each of the two routes.
    pub(crate) modems_per_route: u32,
    /// A modem answers a PDU after this.
    pub(crate) answer_ms_min: u64,
    /// At the latest after this.
    pub(crate) answer_ms_max: u64,
    /// A receipt comes after this.
    pub(crate) receipt_ms_min: u64,
    /// At the latest after this.
    pub(crate) receipt_ms_max: u64,
}

/// The door that `--listen` moves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The gateway's.
    Public,
    /// Where farms attach.
    Control,
    /// None: nothing of this process is for others.
    None,
}

impl Config {
    /// Loads the settings: defaults, the file, the environment, and over them what the command line says.
    ///
    /// # Errors
    /// What can't be read, is unknown, or does not go together, with its key.
    pub(crate) fn load(common: &Common, door: Door) -> anyhow::Result<Self> {
        let loaded = runtime::config::load(common.config.as_deref(), "CARILLON");
        let mut config: Config = loaded.context("the settings are not usable")?;
        config.listen_at(common, door);
        if let Some(name) = &common.name {
            config.name.clone_from(name);
        }
        if !config.name.is_empty() {
            // The rule is the same for every role, since the name stands in ids on the servers.
            let name = RouterName::new(&config.name);
            config.sms_router.name = name.context("the settings are not usable: `name`")?;
        }
        let usable = settings::validate(&config.lanes, &config.state);
        usable.and_then(|()| settings::check_built(&config.lanes)).context("the settings are not usable")?;
        Ok(config)
    }

    /// Who this process is among those that share the engines.
    pub(crate) fn member(&self, role: &'static str) -> Member {
        let name = match (self.name.as_str(), role) {
            ("", "sms-router" | "carillon") => self.sms_router.name.to_string(),
            ("", _) => model::hex::digits(&rand::random::<[u8; 6]>()),
            (name, _) => name.to_owned(),
        };
        Member { role, name }
    }

    /// Port 0 means: no port of this process is fixed, so that many may run side by side.
    fn listen_at(&mut self, common: &Common, door: Door) {
        if let Some(listen) = common.listen {
            match door {
                Door::Public => self.gateway.listen = listen,
                Door::Control => self.sms_router.control.listen = listen,
                Door::None => {}
            }
            if listen.port() == 0 {
                self.ops_listen.set_port(0);
                self.sms_router.control.listen.set_port(0);
            }
        }
        if let Some(listen) = common.ops_listen {
            self.ops_listen = listen;
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            drain_seconds_max: 20,
            start_seconds_max: 120,
            name: String::new(),
            master_key_file: PathBuf::new(),
            lanes: LanesConfig::default(),
            state: StateConfig::default(),
            demo: DemoConfig::default(),
            gateway: gateway::Config::default(),
            sms_router: sms_router::Config::default(),
            modem_farm: modem_farm::Config::default(),
        }
    }
}

impl Default for DemoConfig {
    fn default() -> Self {
        DemoConfig {
            enabled: true,
            drive_modems: true,
            tenants: 1,
            multimedia: false,
            multimedia_by_notice: false,
            modems_per_route: 4,
            answer_ms_min: 0,
            answer_ms_max: 0,
            receipt_ms_min: 20,
            receipt_ms_max: 200,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_is_true() {
        runtime::config::check_example(include_str!("../example.toml"), &super::Config::default());
    }
}
