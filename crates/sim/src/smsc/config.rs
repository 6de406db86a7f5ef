//! What a simulated service centre is like: its accounts, its habits, its faults. Opens nothing.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::fault::FaultRule;

/// A service centre that speaks SMPP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmscConfig {
    /// Where it listens; port 0: any that is free.
    pub listen: SocketAddr,
    /// What it remembers between starts; empty: nothing.
    pub dir: PathBuf,
    /// Its own record of what it took, in the form the modems' network has; empty: none.
    pub sim_log: PathBuf,
    /// Where every choice of chance comes from.
    pub seed: u64,
    /// Who may bind; empty: everybody.
    pub accounts: Vec<SmscAccount>,
    /// Shortest and longest time from a message to its answer. Zero twice: at once.
    pub answer_ms: (u64, u64),
    /// Shortest and longest time from taking a message to reporting it.
    pub receipt_delay_ms: (u64, u64),
    /// How it writes ids in answers.
    pub response_id: IdWriting,
    /// How it writes ids in receipts.
    pub receipt_id: IdWriting,
    /// How it writes receipts.
    pub receipts: ReceiptForm,
    /// Messages an account may submit in a second; what exceeds it is throttled. 0: no limit.
    pub per_second_max: u32,
    /// Messages a connection may have unanswered; what exceeds it finds the queue full. 0: no limit.
    pub window_max: u32,
    /// Receipts and messages a connection may leave unanswered.
    pub deliver_window: usize,
    /// Recipients that are treated in a way of their own. The first that fits counts.
    pub numbers: Vec<SmscNumberRule>,
    /// What goes wrong. The occasion is a message that is submitted.
    pub faults: Vec<FaultRule<SmscFault>>,
}

/// Who may bind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmscAccount {
    /// The account.
    pub system_id: String,
    /// What proves it.
    pub password: String,
}

/// How ids are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdWriting {
    /// `6699`.
    #[default]
    Decimal,
    /// `00000000000000006699`.
    DecimalPadded,
    /// `1a2b`.
    Hex,
    /// `1A2B`.
    HexUpper,
    /// `0000000000001A2B`.
    HexUpperPadded,
    /// `msg-1a2b`.
    Text,
}

/// How receipts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptForm {
    /// As a text and as optional parameters.
    #[default]
    Both,
    /// As a text (Appendix B).
    Text,
    /// As optional parameters.
    Parameters,
}

/// How recipients whose number ends in `suffix` are treated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmscNumberRule {
    /// The last digits of the number.
    pub suffix: String,
    /// What happens to messages for it.
    pub treatment: SmscTreatment,
}

/// What happens to a message for a certain number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SmscTreatment {
    /// It is refused.
    Refused {
        /// `command_status`.
        status: u32,
    },
    /// It is taken, and these states are reported one after the other.
    Reported {
        /// `message_state`.
        states: Vec<u8>,
    },
    /// It is taken and never reported.
    Unreported,
}

/// What can go wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SmscFault {
    /// It is refused.
    Refused {
        /// `command_status`.
        status: u32,
    },
    /// It is never answered.
    AnswerMissing {
        /// It was taken all the same.
        taken: bool,
    },
    /// It is answered so much later.
    AnswerLate {
        /// Milliseconds.
        ms: u64,
    },
    /// The connection breaks instead of an answer.
    Disconnect {
        /// It was taken before.
        taken: bool,
    },
    /// The centre unbinds after the answer.
    Unbind,
    /// The receipt comes before the answer.
    ReceiptFirst,
    /// The receipt comes twice.
    ReceiptTwice,
    /// No receipt comes.
    ReceiptMissing,
    /// A PDU comes that is none of the standard.
    Nonsense,
}

impl Default for SmscConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dir: PathBuf::new(),
            sim_log: PathBuf::new(),
            seed: 1,
            accounts: Vec::new(),
            answer_ms: (0, 0),
            receipt_delay_ms: (50, 500),
            response_id: IdWriting::default(),
            receipt_id: IdWriting::default(),
            receipts: ReceiptForm::default(),
            per_second_max: 0,
            window_max: 0,
            deliver_window: 256,
            numbers: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl IdWriting {
    pub(super) fn write(self, id: u64) -> String {
        match self {
            Self::Decimal => id.to_string(),
            Self::DecimalPadded => format!("{id:020}"),
            Self::Hex => format!("{id:x}"),
            Self::HexUpper => format!("{id:X}"),
            Self::HexUpperPadded => format!("{id:016X}"),
            Self::Text => format!("msg-{id:x}"),
        }
    }
}
