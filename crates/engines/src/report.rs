//! How a set is, for people and for programs.
//!
//! Knows nodes from outside; must not change any.

use std::fmt;

use serde::Serialize;

use crate::node::{Health, Node};

/// Every node of a set and how it is.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether everything that was asked for serves.
    pub ready: bool,
    /// The nodes, brokers first.
    pub nodes: Vec<NodeReport>,
}

/// One node and how it is.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// `kafka-1` to `kafka-9`, or `cassandra`.
    pub name: String,
    /// Where clients reach it.
    pub address: String,
    /// `ready`, `starting`, `paused` or `down`.
    pub state: &'static str,
    /// Why it is not ready, if it said.
    pub why: String,
    /// Its process.
    pub pid: Option<i32>,
    /// When that was started, in seconds since 1970.
    pub started_at: Option<u64>,
    /// Its memory that is in RAM.
    pub resident_bytes: Option<u64>,
    /// What it writes.
    pub log: String,
}

impl NodeReport {
    pub(crate) fn of(node: &Node) -> Self {
        let (state, why) = match node.health() {
            Health::Down => ("down", String::new()),
            Health::Paused => ("paused", String::new()),
            Health::Starting(why) => ("starting", why),
            Health::Ready => ("ready", String::new()),
        };
        Self {
            name: node.name().to_owned(),
            address: node.address().to_string(),
            state,
            why,
            pid: node.pid(),
            started_at: node.started_at(),
            resident_bytes: node.resident_bytes(),
            log: node.log().display().to_string(),
        }
    }
}

impl fmt::Display for NodeReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<10} {:<16} {:<9}", self.name, self.address, self.state)?;
        if let (Some(pid), Some(started_at)) = (self.pid, self.started_at) {
            let mib = self.resident_bytes.unwrap_or_default() / (1024 * 1024);
            write!(formatter, "pid {pid}, up {}, {mib} MiB", age(started_at))?;
        }
        if self.why.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.why) }
    }
}

fn age(since: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    duration(now.saturating_sub(since))
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(61), "1 min 1 s");
        assert_eq!(duration(3 * 3600 + 65), "3 h 1 min");
    }
}
