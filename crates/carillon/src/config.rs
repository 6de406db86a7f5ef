//! The settings of all roles in one process. Knows their sections, not what is in them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Settings of `carillon` without a command. `example.toml` says why one would change each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where health and metrics listen.
    pub(crate) ops_listen: SocketAddr,
    /// How long a stop may take before what is left is said and the process ends.
    pub(crate) drain_seconds_max: u64,
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

impl Config {
    /// Moves the public listener to what the command line asked for. Port 0 there means: no port of this process is
    /// fixed, so that many may run side by side.
    pub(crate) fn listen_at(&mut self, listen: Option<SocketAddr>) {
        let Some(listen) = listen else { return };
        self.gateway.listen = listen;
        if listen.port() == 0 {
            self.ops_listen.set_port(0);
            self.sms_router.control.listen.set_port(0);
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            drain_seconds_max: 20,
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
