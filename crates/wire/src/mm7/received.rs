//! What is asked over the protocol, read: reports of a relay, and messages as a relay reads them; and our answers to a relay.
//! Must not decide anything.

use super::address::number_of;
use super::envelope::{self, Head, Node, Unreadable, leaf};
use super::mime::{Part, Value, parts};
use super::status::MmStatus;
use crate::oms::ScheduledAt;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// `TransactionID`, to be echoed.
    pub transaction: Option<String>,
    /// What is asked.
    pub call: Call,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A message is handed in.
    Submit(Box<Submitted>),
    /// What became of a message.
    Report(Report),
    /// A message from a handset.
    Deliver(Box<Delivered>),
    /// Something else, by its name.
    Other(String),
}

/// `DeliveryReportReq`.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// `MessageID`.
    pub message_id: String,
    /// The recipient, E.164 with `+` if it is a number.
    pub recipient: String,
    /// What became of it.
    pub status: MmStatus,
    /// `MMStatus` as it was written.
    pub word: String,
    /// `Date`, in milliseconds since the epoch.
    pub at_ms: Option<i64>,
}

/// `DeliverReq` with its attachment.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The handset, E.164 with `+` if it is a number.
    pub sender: String,
    /// `Subject`.
    pub subject: String,
    /// What is in it, in its order; texts in UTF-8.
    pub parts: Vec<Attachment>,
}

/// Shows no number and no text.
impl std::fmt::Debug for Delivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delivered({} parts)", self.parts.len())
    }
}

/// `SubmitReq` with its attachment.
#[derive(Clone, PartialEq, Eq)]
pub struct Submitted {
    /// `VASPID`.
    pub vasp_id: String,
    /// `VASID`.
    pub vas_id: String,
    /// The sender, as written.
    pub sender: String,
    /// The recipients, as written.
    pub recipients: Vec<String>,
    /// `Subject`.
    pub subject: String,
    /// `ExpiryDate`, as written.
    pub expires: String,
    /// Whether a delivery report is asked for.
    pub report: bool,
    /// The type of the attachment, without parameters.
    pub attachment_type: String,
    /// What is in it, in its order.
    pub parts: Vec<Attachment>,
}

/// A part of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The media type, without parameters.
    pub content_type: String,
    /// `Content-ID` without brackets.
    pub id: String,
    /// The file name.
    pub name: String,
    /// Its octets.
    pub data: Vec<u8>,
}

/// Shows no number.
impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Report({:?})", self.status)
    }
}

/// Shows no number and no text.
impl std::fmt::Debug for Submitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Submitted({} parts)", self.parts.len())
    }
}

/// Tells how much there is, not what.
impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attachment({}, {} octets)", self.content_type, self.data.len())
    }
}

/// Reads a request.
///
/// # Errors
/// [`Unreadable`]: no envelope, or a message that lacks what it must have.
pub fn receive(content_type: &str, body: &[u8]) -> Result<Received, Unreadable> {
    let (envelope, beside) = envelope::read(content_type, body)?;
    let call = match envelope.call.local.as_str() {
        "SubmitReq" => Call::Submit(Box::new(submitted(&envelope.call, &beside)?)),
        "DeliveryReportReq" => Call::Report(report(&envelope.call)?),
        "DeliverReq" => Call::Deliver(Box::new(delivered(&envelope.call, &beside)?)),
        other => Call::Other(other.to_owned()),
    };
    Ok(Received { transaction: envelope.transaction, call })
}

fn report(call: &Node) -> Result<Report, Unreadable> {
    let word = call.text_of("MMStatus").ok_or(Unreadable)?;
    let recipient = call.child("Recipient").and_then(address_of).ok_or(Unreadable)?;
    Ok(Report {
        message_id: call.text_of("MessageID").ok_or(Unreadable)?.to_owned(),
        recipient: number_of(recipient),
        status: MmStatus::of(word),
        word: word.to_owned(),
        at_ms: call.text_of("Date").and_then(ScheduledAt::parse).map(|at| at.unix_milliseconds),
    })
}

/// The text of `Number`, `RFC2822Address` or `ShortCode`, or bare text, as versions before 5.2.0 write it.
fn address_of(node: &Node) -> Option<&str> {
    let text = node.children.first().map_or(node.text(), Node::text);
    Some(text).filter(|text| !text.is_empty())
}

fn submitted(call: &Node, beside: &[Part<'_>]) -> Result<Submitted, Unreadable> {
    let sender = call.child("SenderIdentification").ok_or(Unreadable)?;
    let text = |node: &Node, name: &str| node.text_of(name).unwrap_or("").to_owned();
    let kinds = &call.child("Recipients").ok_or(Unreadable)?.children;
    let recipients = kinds.iter().flat_map(|kind| &kind.children).map(|address| address.text().to_owned());
    let (attachment_type, parts) = attachment(call, beside)?;
    Ok(Submitted {
        vasp_id: text(sender, "VASPID"),
        vas_id: text(sender, "VASID"),
        sender: sender.child("SenderAddress").and_then(address_of).unwrap_or("").to_owned(),
        recipients: recipients.collect(),
        subject: text(call, "Subject"),
        expires: text(call, "ExpiryDate"),
        report: call.says_yes("DeliveryReport"),
        attachment_type,
        parts,
    })
}

fn delivered(call: &Node, beside: &[Part<'_>]) -> Result<Delivered, Unreadable> {
    let sender = call.child("Sender").and_then(address_of).ok_or(Unreadable)?;
    let (_, parts) = attachment(call, beside)?;
    Ok(Delivered { sender: number_of(sender), subject: call.text_of("Subject").unwrap_or("").to_owned(), parts })
}

/// The part that `Content` names, or the first there is.
fn attachment(call: &Node, beside: &[Part<'_>]) -> Result<(String, Vec<Attachment>), Unreadable> {
    let href = call.child("Content").and_then(|content| content.href.as_deref()).unwrap_or("").trim();
    let id = href.strip_prefix("cid:").unwrap_or(href).trim();
    let Some(part) = beside.iter().find(|part| part.id() == id).or(beside.first()) else {
        return Ok((String::new(), Vec::new()));
    };
    let content_type = part.content_type();
    let inner = match content_type.parameter("boundary").filter(|_| content_type.is_multipart()) {
        Some(boundary) => parts(part.body, boundary).ok_or(Unreadable)?,
        None => return Ok((content_type.essence.clone(), vec![read_attachment(part)?])),
    };
    let inner = inner.iter().map(read_attachment).collect::<Result<_, _>>()?;
    Ok((content_type.essence, inner))
}

fn read_attachment(part: &Part<'_>) -> Result<Attachment, Unreadable> {
    let content_type = part.content_type();
    let location = part.header("content-location").unwrap_or("");
    Ok(Attachment {
        id: part.id().to_owned(),
        name: content_type.parameter("name").unwrap_or(location).to_owned(),
        data: in_utf8(&content_type, part.decoded().ok_or(Unreadable)?),
        content_type: content_type.essence,
    })
}

/// A text in UTF-8, whatever its charset was; anything else as it is.
fn in_utf8(content_type: &Value<'_>, data: Vec<u8>) -> Vec<u8> {
    let charset = content_type.parameter("charset").filter(|_| content_type.essence == "text/plain");
    let encoding = charset.and_then(|charset| encoding_rs::Encoding::for_label(charset.as_bytes()));
    match encoding.filter(|encoding| *encoding != encoding_rs::UTF_8) {
        Some(encoding) => encoding.decode(&data).0.into_owned().into_bytes(),
        None => data,
    }
}

/// Our answer to a message: it is kept.
pub fn answer_to_deliver(namespace: &str, version: &str, transaction: Option<&str>) -> String {
    answer("DeliverRsp", namespace, version, transaction)
}

/// Our answer to a report: it is kept.
pub fn answer_to_report(namespace: &str, version: &str, transaction: Option<&str>) -> String {
    answer("DeliveryReportRsp", namespace, version, transaction)
}

fn answer(name: &str, namespace: &str, version: &str, transaction: Option<&str>) -> String {
    let mut out = String::new();
    envelope::open(&mut out, name, namespace);
    leaf(&mut out, "MM7Version", version);
    envelope::status(&mut out, super::SUCCESS);
    for piece in ["</", name, ">"] {
        out.push_str(piece);
    }
    envelope::write(&Head { namespace, transaction }, &out)
}

/// Our refusal of whatever was asked.
pub fn fault(namespace: &str, version: &str, transaction: Option<&str>, code: u32) -> String {
    write_fault("VASPErrorRsp", namespace, version, transaction, code)
}

/// A fault; the status says whose it is.
pub(super) fn write_fault(name: &str, namespace: &str, version: &str, transaction: Option<&str>, code: u32) -> String {
    let side = if (2000..3000).contains(&code) { "Client" } else { "Server" };
    let mut out = format!("<env:Fault><faultcode>env:{side}</faultcode>");
    leaf(&mut out, "faultstring", super::status::name_of(code));
    out.push_str("<detail>");
    envelope::open(&mut out, name, namespace);
    leaf(&mut out, "MM7Version", version);
    envelope::status(&mut out, code);
    for piece in ["</", name, "></detail></env:Fault>"] {
        out.push_str(piece);
    }
    envelope::write(&Head { namespace, transaction }, &out)
}
