//! The simulated service centre that everything under measurement is bound to: a process of its own, the same for all.
//!
//! Knows its command line and its record; must not know who binds.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use super::installation::{address, free_ports, shown};
use super::part::Part;

/// Who binds: an account a route.
pub(crate) const ACCOUNTS: [&str; 2] = ["blue", "green"];

/// Binds of each account, where nobody chooses.
pub(crate) const BINDS: u32 = 1;
/// Messages under way at once on each, where nobody chooses.
pub(crate) const WINDOW: u32 = 500;
/// It answers at once, and reports within so many milliseconds.
const RECEIPT_MS: [u64; 2] = [0, 20];
/// Receipts a bind may leave unanswered: more than anybody here does.
const RECEIPTS_MAX: u64 = 4_096;

/// A running service centre. Killed when dropped.
pub(crate) struct Centre {
    part: Part,
    folder: PathBuf,
    port: u16,
    /// Binds of each account.
    pub(crate) binds: u32,
    /// Messages under way at once on each.
    pub(crate) window: u32,
}

impl Centre {
    pub(crate) fn start(folder: &Path, target: &Path, binds: u32, window: u32) -> anyhow::Result<Self> {
        let folder = folder.join("centre");
        fs::create_dir_all(&folder).context("the service centre's folder")?;
        let [port] = free_ports()?;
        let settings = json!({
            "sim_log": folder.join("sim.log"), "receipt_delay_ms": RECEIPT_MS, "deliver_window": RECEIPTS_MAX,
        });
        let path = folder.join("smsc.json");
        fs::write(&path, settings.to_string()).context("the service centre's settings")?;
        let arguments = [address(port), shown(&path)];
        let mut part = Part::start("centre", &target.join("release/examples/smsc"), &arguments, &folder)?;
        part.wait(|| TcpStream::connect(address(port)).is_ok())?;
        Ok(Self { part, folder, port, binds, window })
    }

    pub(crate) fn process(&self) -> (&'static str, u32) {
        (self.part.name, self.part.pid())
    }

    pub(crate) fn address(&self) -> String {
        address(self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// What it took, and when.
    pub(crate) fn record(&self) -> PathBuf {
        self.folder.join("sim.log")
    }
}
