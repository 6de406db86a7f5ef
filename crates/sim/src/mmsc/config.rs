//! What a simulated relay is like: its habits, its faults. Opens nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::fault::FaultRule;

/// A relay (MMSC) that speaks MM7.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MmscConfig {
    /// Where it listens; port 0: any that is free.
    pub listen: SocketAddr,
    /// Where every exchange is kept, octet by octet; empty: nowhere.
    pub dir: PathBuf,
    /// Where every choice of chance comes from.
    pub seed: u64,
    /// What a request must say of who posts it (`Authorization`); empty: nothing.
    pub authorization: String,
    /// Where it reports to; empty: nowhere.
    pub report_url: String,
    /// What it says there of who it is (`Authorization`); empty: nothing.
    pub report_authorization: String,
    /// Shortest and longest time from a message to its answer. Zero twice: at once.
    pub answer_ms: (u64, u64),
    /// Shortest and longest time from taking a message to reporting it.
    pub report_ms: (u64, u64),
    /// Recipients that are treated in a way of their own. The first that fits counts.
    pub numbers: Vec<MmscNumberRule>,
    /// What goes wrong. The occasion is a message that is posted.
    pub faults: Vec<FaultRule<MmscFault>>,
}

/// How messages to recipients whose number ends in `suffix` are reported.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MmscNumberRule {
    /// The last digits of the number.
    pub suffix: String,
    /// `MMStatus`, one after the other; none: it is never reported.
    pub states: Vec<String>,
}

/// What can go wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MmscFault {
    /// It is refused in a `SubmitRsp`.
    Refused {
        /// `StatusCode`.
        code: u32,
    },
    /// It is refused in a fault.
    Fault {
        /// `StatusCode`.
        code: u32,
    },
    /// It is answered by HTTP alone.
    Http {
        /// The status.
        status: u16,
    },
    /// It is taken, and answered by something that is no SOAP.
    Nonsense,
    /// It is taken, and answered without an id.
    WithoutId,
    /// It is never answered.
    AnswerMissing {
        /// It was taken all the same.
        taken: bool,
    },
    /// The connection breaks instead of an answer.
    Disconnect {
        /// It was taken before.
        taken: bool,
    },
    /// The report comes before the answer.
    ReportFirst,
    /// The report comes twice.
    ReportTwice,
    /// No report comes.
    ReportMissing,
}

impl Default for MmscConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dir: PathBuf::new(),
            seed: 1,
            authorization: String::new(),
            report_url: String::new(),
            report_authorization: String::new(),
            answer_ms: (0, 0),
            report_ms: (20, 100),
            numbers: Vec::new(),
            faults: Vec::new(),
        }
    }
}
