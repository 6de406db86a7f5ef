//! One run of the loader, and what it found.
//!
//! Knows the loader's options and its JSON; must not know what it sends.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) accepted: u64,
    pub(crate) accepted_per_second: f64,
    pub(crate) delivered_per_second: Option<f64>,
    pub(crate) latency_ms: Latency,
    /// By process: ours, the engines', the network's.
    pub(crate) watched: BTreeMap<String, Used>,
    pub(crate) loader_cpu_seconds: f64,
    /// What the simulated network saw, if it was waited for.
    pub(crate) network: Option<Seen>,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) receipts: Option<Receipts>,
    /// Why the run is bad: something lost, doubled or uncounted. Empty when all is well.
    pub(crate) complaints: Vec<String>,
}

/// Texts of the run that the simulated network saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) seen: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) seen_per_second: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    #[serde(default)]
    final_growth_by_state: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Receipts {
    reported: u64,
}

/// Milliseconds until a message was accepted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// What a process used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_mib_max: f64,
}

/// Runs the loader to its end and reads its report. A bad report is no error: it says so itself.
pub(crate) fn run(target: &Path, arguments: &[String], watched: &[(String, u32)]) -> anyhow::Result<Load> {
    let mut command = Command::new(target.join("release/loadtest"));
    command.args(["--json", "--verify", "none"]).args(arguments);
    for (name, pid) in watched {
        command.arg("--watch").arg(format!("{name}={pid}"));
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot run the loader")?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("the loader ended with {}", output.status))
}

impl Load {
    /// Messages of which the network's word came back: `delivered` in the ledger, or a report.
    pub(crate) fn receipted(&self) -> u64 {
        let delivered = self.ledger.as_ref().and_then(|ledger| ledger.final_growth_by_state.get("delivered"));
        let delivered = delivered.map(|count| u64::try_from(*count).unwrap_or(0));
        delivered.or(self.receipts.as_ref().map(|receipts| receipts.reported)).unwrap_or(0)
    }

    /// CPU seconds per 1,000 messages of the processes of these names.
    pub(crate) fn cpu_per_1000(&self, names: &[&str]) -> f64 {
        let used = names.iter().filter_map(|name| self.watched.get(*name)).map(|used| used.cpu_seconds);
        used.fold(0.0, |all, used| all + used) * 1000.0 / self.accepted.max(1) as f64
    }

    /// The most memory of the processes of these names, each at its worst moment.
    pub(crate) fn rss_mib(&self, names: &[&str]) -> f64 {
        names.iter().filter_map(|name| self.watched.get(*name)).fold(0.0, |all, used| all + used.rss_mib_max)
    }
}
