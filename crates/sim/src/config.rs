//! What a simulated network is made of: its folder, its modems, its habits. Opens nothing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::fault::FaultPlan;

/// The network behind all modems.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// What the network remembers between starts, and the links to its ports.
    pub dir: PathBuf,
    /// The network's own record of what it took: one JSON object a line.
    pub sim_log: PathBuf,
    /// Where every choice of chance comes from.
    pub seed: u64,
    /// Shortest and longest time from taking a message to reporting it.
    pub receipt_delay_ms: (u64, u64),
    /// Recipients that are treated in a way of their own. The first that fits counts.
    pub numbers: Vec<NumberRule>,
    /// The service centre's number, preset on every SIM.
    pub service_centre: String,
    /// Threads the modems share; one carries more than 10,000 messages a second.
    pub threads: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            dir: "sim".into(),
            sim_log: "sim/sim.log".into(),
            seed: 1,
            receipt_delay_ms: (50, 500),
            numbers: Vec::new(),
            service_centre: "+491710760000".to_owned(),
            threads: 1,
        }
    }
}

/// How recipients whose number ends in `suffix` are treated.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NumberRule {
    /// The last digits of the number.
    pub suffix: String,
    /// What happens to messages for it.
    pub treatment: NumberTreatment,
}

/// What happens to a message for a certain number.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NumberTreatment {
    /// The modem answers with this error, and nothing is sent.
    Refused {
        /// The error's number.
        cms: u16,
    },
    /// It is taken, and these statuses are reported one after the other, each after its own delay.
    Reported {
        /// TP-ST values.
        statuses: Vec<u8>,
    },
    /// It is taken and never reported.
    Unreported,
}

/// One modem with its SIM.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModemConfig {
    /// Name of the link, and of its port under `dev/`: letters, digits, `.`, `_`, `-`.
    pub link: String,
    /// The SIM.
    pub imsi: String,
    /// The device.
    pub imei: String,
    /// Home network, MCC and MNC.
    pub plmn: String,
    /// Shortest and longest time from the PDU to the answer. Zero twice: at once.
    pub answer_ms: (u64, u64),
    /// Messages the SIM and the device hold, each.
    pub storage_slots: u16,
    /// Where status reports go when the owner wants them stored.
    pub stored_reports: ReportMemory,
    /// How the network receives the SIM.
    pub registration: Registration,
    /// The SIM's PIN; empty if it asks for none. Its PUK is `12345678`.
    pub pin: String,
    /// What goes wrong.
    pub faults: FaultPlan,
}

/// A memory for status reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum ReportMemory {
    /// One of their own.
    #[default]
    #[serde(rename = "SR")]
    Reports,
    /// The SIM's, among the messages.
    #[serde(rename = "SM")]
    Sim,
}

/// How the network receives a SIM (3GPP TS 27.007, 7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// At home.
    #[default]
    Home,
    /// Abroad.
    Roaming,
    /// Not found yet.
    Searching,
    /// Refused.
    Denied,
}

impl Default for ModemConfig {
    fn default() -> Self {
        Self {
            link: "modem-0".to_owned(),
            imsi: "262010000000001".to_owned(),
            imei: "490154203237518".to_owned(),
            plmn: "26201".to_owned(),
            answer_ms: (0, 0),
            storage_slots: 20,
            stored_reports: ReportMemory::default(),
            registration: Registration::default(),
            pin: String::new(),
            faults: FaultPlan::default(),
        }
    }
}
