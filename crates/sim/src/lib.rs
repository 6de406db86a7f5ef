//! A simulated mobile network: modems behind pseudo-terminals, a service centre behind the modems, another that speaks SMPP, a
//! relay that speaks MM7; faults by script and by seed. Knows AT, SMS, SMPP and MM7 as their makers do; must know nothing of the farm, its dialogue cores or
//! the house's lanes.

pub mod card;
pub mod config;
pub mod fault;
pub mod mmsc;
pub mod modem;
pub mod network;
pub mod smsc;

mod driver;
mod journal;
mod port;
mod record;
mod watch;

pub use config::{ModemConfig, NetworkConfig, NumberRule, NumberTreatment, Registration, ReportMemory};
pub use fault::{Fault, FaultPlan, FaultRule};
pub use mmsc::{Mmsc, MmscConfig, MmscFault, MmscMessage, MmscNumberRule};
pub use modem::{Event, SimModem};
pub use network::Network;
pub use smsc::{Smsc, SmscConfig, SmscCounts, SmscFault};

use std::{io, path::PathBuf};

/// Why the simulated network could not start, or could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A link name that cannot be a file name, or is used twice; or a SIM used twice.
    #[error("`{name}` is used twice or is no plain name")]
    BadName {
        /// The link or SIM.
        name: String,
    },
    /// A file of the network could not be used.
    #[error("cannot {attempt} `{}`", path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs a network on the same folder.
    #[error("another simulated network uses `{}`", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A pseudo-terminal could not be made.
    #[error("cannot make a pseudo-terminal for link `{link}`")]
    Port {
        /// The link.
        link: String,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a SIM's journal is not one.
    #[error("journal `{}` is broken in line `{line}`", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The service centre cannot listen.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The modems got no thread to run on.
    #[error("cannot start a thread for the simulated network")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// No modem of this name, or it has stopped.
    #[error("no running modem behind link `{link}`")]
    NoModem {
        /// The link.
        link: String,
    },
    /// A text or sender that cannot be a short message.
    #[error("cannot make a short message for link `{link}`")]
    Message {
        /// The link.
        link: String,
        /// What is wrong with it.
        source: wire::tpdu::TpduError,
    },
}
