//! What relays answer and report, and what it means. Knows codes and words; must not know how answers travel.

use std::collections::BTreeMap;

use super::envelope::{self, Node};
use crate::smpp::IdForm;
use crate::tpdu::Status;

/// What a status means for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The message was taken.
    Taken,
    /// Another attempt may succeed.
    Temporary,
    /// Too much at once.
    Throttled,
    /// The message itself is refused.
    Permanent,
    /// It may have been taken.
    Uncertain,
    /// The message is refused, and so would all others be: who we are, or how we speak.
    Stop,
}

/// An HTTP answer, whole.
#[derive(Clone, Copy, Debug)]
pub struct HttpAnswer<'a> {
    /// The status code.
    pub status: u16,
    /// `Content-Type`, if there is one.
    pub content_type: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What became of a submission that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitEnd {
    /// The relay took it, under this id; without one nothing will be reported.
    Taken {
        /// `MessageID`.
        id: Option<String>,
    },
    /// It was refused.
    Refused {
        /// What that means; never [`Class::Taken`].
        class: Class,
        /// The status, in words without anything of the message.
        reason: String,
    },
    /// The answer does not say.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// Ids longer than this are no ids.
const ID_OCTETS_MAX: usize = 512;

/// Reads the answer to the request of this transaction. What `statuses` says of a code outranks what is usual.
pub fn submit_end(answer: &HttpAnswer<'_>, transaction: &str, statuses: &BTreeMap<u32, Class>) -> SubmitEnd {
    let Ok((envelope, _)) = envelope::read(answer.content_type, answer.body) else {
        return without_envelope(answer.status);
    };
    if envelope.transaction.as_deref().is_some_and(|echoed| echoed != transaction) {
        return SubmitEnd::Unknown { reason: "the answer is to another request".to_owned() };
    }
    let is_fault = envelope.call.local == "Fault";
    let code = envelope.call.below("StatusCode").and_then(|code| code.text().parse::<u32>().ok());
    let code = match code {
        Some(code) => code,
        None if is_fault => return fault_end(&envelope.call),
        None => return SubmitEnd::Unknown { reason: "the answer has no status".to_owned() },
    };
    let id = envelope.call.text_of("MessageID").filter(|id| id.len() <= ID_OCTETS_MAX).map(str::to_owned);
    let reason = format!("mm7 status {code}, {}", name_of(code));
    match statuses.get(&code).copied().unwrap_or_else(|| class_of(code)) {
        // A fault that says success contradicts itself.
        Class::Taken if is_fault => SubmitEnd::Unknown { reason },
        Class::Taken => SubmitEnd::Taken { id },
        Class::Uncertain => SubmitEnd::Unknown { reason },
        class => SubmitEnd::Refused { class, reason },
    }
}

/// A fault without a status of the protocol (SOAP 1.1, 4.4.1).
fn fault_end(fault: &Node) -> SubmitEnd {
    let code = fault.text_of("faultcode").unwrap_or("");
    let local = code.rsplit(':').next().unwrap_or(code);
    match local.split('.').next().unwrap_or(local) {
        "Client" | "MustUnderstand" | "VersionMismatch" => {
            SubmitEnd::Refused { class: Class::Permanent, reason: "a fault of the client".to_owned() }
        }
        "Server" => SubmitEnd::Refused { class: Class::Temporary, reason: "a fault of the server".to_owned() },
        _ => SubmitEnd::Unknown { reason: "a fault of no known kind".to_owned() },
    }
}

fn without_envelope(status: u16) -> SubmitEnd {
    let reason = format!("http status {status} without an answer in soap");
    let class = match status {
        401 | 403 => Class::Stop,
        429 | 503 => Class::Throttled,
        300..=399 | 408 => Class::Temporary,
        400..=499 => Class::Permanent,
        _ => return SubmitEnd::Unknown { reason },
    };
    SubmitEnd::Refused { class, reason }
}

/// TS 23.140, 8.7.8.3 and the annexes on MM7 status codes; unknown ones go by their first digit.
fn class_of(code: u32) -> Class {
    match code {
        1000..=1999 => Class::Taken,
        3000 | 4000 | 4005 | 4006 => Class::Temporary,
        4001 | 4002 => Class::Stop,
        2000..=2999 | 3001..=3004 | 4003 | 4004 | 4007 | 4008 => Class::Permanent,
        _ => Class::Temporary,
    }
}

/// What a code is called.
pub(super) const fn name_of(code: u32) -> &'static str {
    match code {
        1000 => "success",
        1100 => "partial success",
        2000 => "client error",
        2001 => "operation restricted",
        2002 => "address error",
        2003 => "address not found",
        2004 => "multimedia content refused",
        2005 => "message id not found",
        2006 => "linked id not found",
        2007 => "message format corrupt",
        2008 => "application id not found",
        2009 => "reply application id not found",
        3000 => "server error",
        3001 => "not possible",
        3002 => "message rejected",
        3003 => "multiple addresses not supported",
        3004 => "application addressing not supported",
        4000 => "general service error",
        4001 => "improper identification",
        4002 => "unsupported version",
        4003 => "unsupported operation",
        4004 => "validation error",
        4005 => "service error",
        4006 => "service unavailable",
        4007 => "service denied",
        4008 => "application denied",
        _ => "a status of the relay's own",
    }
}

/// What a report says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmStatus {
    /// The handset has it.
    Delivered,
    /// Its time was up.
    Expired,
    /// It will not arrive.
    Failed,
    /// Nothing final.
    Pending,
}

impl MmStatus {
    /// Reads `MMStatus`. What is not known is nothing final.
    pub fn of(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "retrieved" | "delivered" => Self::Delivered,
            "expired" => Self::Expired,
            "rejected"
            | "unrecognised"
            | "unrecognized"
            | "notsupported"
            | "unreachable"
            | "deliveryconditionnotmet"
            | "cancelled"
            | "replaced" => Self::Failed,
            _ => Self::Pending,
        }
    }

    /// The same as the house writes all receipts (TS 23.040, 9.2.3.15).
    pub const fn as_receipt(self) -> Status {
        match self {
            Self::Delivered => Status(0x00),
            Self::Expired => Status(0x46),
            Self::Failed => Status(0x42),
            Self::Pending => Status(0x30),
        }
    }
}

/// The reference of a message the relay has taken under this id: its reports are found by account, recipient and this.
pub fn reference_of(id: &str) -> u32 {
    crate::smpp::reference(id, IdForm::Text)
}
