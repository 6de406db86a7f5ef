//! The relay's side of the protocol, for those who play one: its answers, refusals and reports.

use super::envelope::{self, Head, leaf};
use super::{moment, received};

/// What a relay answers to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation<'a> {
    /// The namespace it writes in.
    pub namespace: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The request's `TransactionID`.
    pub transaction: Option<&'a str>,
    /// `StatusCode`.
    pub code: u32,
    /// `MessageID`; empty: none.
    pub message_id: &'a str,
}

/// What a relay reports of a message.
#[derive(Clone, Copy)]
pub struct Reporting<'a> {
    /// The namespace it writes in.
    pub namespace: &'a str,
    /// Its version.
    pub version: &'a str,
    /// A `TransactionID` of its own.
    pub transaction: &'a str,
    /// `MessageID` of the message.
    pub message_id: &'a str,
    /// The recipient, as it writes numbers.
    pub recipient: &'a str,
    /// The sender, a number.
    pub sender: &'a str,
    /// `Date`, in milliseconds since the epoch.
    pub at_ms: i64,
    /// `MMStatus`.
    pub status: &'a str,
}

/// `SubmitRsp`.
pub fn confirm(confirmation: &Confirmation<'_>) -> String {
    let mut out = String::new();
    envelope::open(&mut out, "SubmitRsp", confirmation.namespace);
    leaf(&mut out, "MM7Version", confirmation.version);
    envelope::status(&mut out, confirmation.code);
    leaf(&mut out, "MessageID", confirmation.message_id);
    out.push_str("</SubmitRsp>");
    let head = Head { namespace: confirmation.namespace, transaction: confirmation.transaction };
    envelope::write(&head, &out)
}

/// `RSErrorRsp` in a fault.
pub fn refuse(namespace: &str, version: &str, transaction: Option<&str>, code: u32) -> String {
    received::write_fault("RSErrorRsp", namespace, version, transaction, code)
}

/// `DeliveryReportReq`.
pub fn report(reporting: &Reporting<'_>) -> String {
    let mut out = String::new();
    envelope::open(&mut out, "DeliveryReportReq", reporting.namespace);
    leaf(&mut out, "MM7Version", reporting.version);
    leaf(&mut out, "MessageID", reporting.message_id);
    for (name, number) in [("Recipient", reporting.recipient), ("Sender", reporting.sender)] {
        out.push_str(&format!("<{name}>"));
        leaf(&mut out, "Number", number);
        out.push_str(&format!("</{name}>"));
    }
    leaf(&mut out, "Date", &moment::write(reporting.at_ms));
    leaf(&mut out, "MMStatus", reporting.status);
    out.push_str("</DeliveryReportReq>");
    envelope::write(&Head { namespace: reporting.namespace, transaction: Some(reporting.transaction) }, &out)
}
