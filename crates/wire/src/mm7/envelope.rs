//! The SOAP envelope around every message: written in one way, read in many. Must not know what a message means.

use super::mime::{Part, Value, parts};
use crate::oms::escape::{Place, push_escaped};
use crate::oms::soap::{self, MediaType};
use crate::oms::xml::{Item, Pull};
use crate::oms::{Limits, NAMESPACE_SOAP11};

/// What a body that says nothing of its type is read as.
const PLAIN_XML: &str = "text/xml";

/// A body that is no message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message of mm7")]
pub struct Unreadable;

/// An element by its local name, whatever its namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) local: String,
    text: String,
    pub(super) href: Option<String>,
    pub(super) children: Vec<Node>,
}

/// An envelope that was read.
pub(super) struct Envelope {
    pub(super) transaction: Option<String>,
    /// The first child of the body.
    pub(super) call: Node,
}

impl Node {
    pub(super) fn child(&self, local: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.local == local)
    }

    pub(super) fn text(&self) -> &str {
        self.text.trim_matches([' ', '\t', '\r', '\n'])
    }

    /// The text of a child, if it has any.
    pub(super) fn text_of(&self, local: &str) -> Option<&str> {
        self.child(local).map(Self::text).filter(|text| !text.is_empty())
    }

    /// The first of this name below, at any depth.
    pub(super) fn below(&self, local: &str) -> Option<&Node> {
        self.children.iter().find_map(|child| if child.local == local { Some(child) } else { child.below(local) })
    }

    /// Whether a boolean child says yes.
    pub(super) fn says_yes(&self, local: &str) -> bool {
        self.text_of(local).is_some_and(|text| text == "1" || text.eq_ignore_ascii_case("true"))
    }
}

/// The envelope in a body of this type, and the parts beside it.
pub(super) fn read<'a>(content_type: &str, body: &'a [u8]) -> Result<(Envelope, Vec<Part<'a>>), Unreadable> {
    let value = Value::of(content_type);
    let found = value.parameter("boundary").filter(|_| value.is_multipart()).and_then(|boundary| parts(body, boundary));
    match found {
        Some(mut parts) if !parts.is_empty() => {
            let start = value.parameter("start").map(|start| start.trim_start_matches('<').trim_end_matches('>'));
            let at = start.and_then(|start| parts.iter().position(|part| part.id() == start)).unwrap_or(0);
            let first = parts.remove(at);
            let content_type = first.header("content-type").unwrap_or(PLAIN_XML).to_owned();
            Ok((envelope(&content_type, &first.decoded().ok_or(Unreadable)?)?, parts))
        }
        // Some say multipart of what is an envelope alone.
        _ => Ok((envelope(content_type, body)?, Vec::new())),
    }
}

fn envelope(content_type: &str, body: &[u8]) -> Result<Envelope, Unreadable> {
    let media = MediaType::of(content_type).or_else(|| MediaType::of(PLAIN_XML)).ok_or(Unreadable)?;
    let text = soap::decode(body, &media).map_err(|_| Unreadable)?;
    let root = tree(&text).ok_or(Unreadable)?;
    if root.local != "Envelope" {
        return Err(Unreadable);
    }
    let transaction = root.child("Header").and_then(|header| header.text_of("TransactionID")).map(str::to_owned);
    let body = root.children.into_iter().find(|child| child.local == "Body").ok_or(Unreadable)?;
    let call = body.children.into_iter().next().ok_or(Unreadable)?;
    Ok(Envelope { transaction, call })
}

/// The document's root, within the limits for strangers.
fn tree(text: &str) -> Option<Node> {
    let mut pull = Pull::new(text.trim_start(), &Limits::default()).ok()?;
    let mut open = vec![Node::default()];
    loop {
        match pull.next().ok()? {
            Item::Start(element) => open.push(Node {
                local: element.local.to_owned(),
                href: element.attribute_by_local("href").map(std::borrow::Cow::into_owned),
                ..Node::default()
            }),
            Item::Text(text) => open.last_mut()?.text.push_str(&text),
            Item::End => {
                let done = open.pop()?;
                open.last_mut()?.children.push(done);
            }
            Item::Eof => return open.pop()?.children.pop(),
        }
    }
}

/// Who writes an envelope, and which one it belongs to.
pub(super) struct Head<'a> {
    pub(super) namespace: &'a str,
    pub(super) transaction: Option<&'a str>,
}

/// An envelope around a body that is written already; `{}` of it is the protocol's namespace by default.
pub(super) fn write(head: &Head<'_>, body: &str) -> String {
    let mut out = String::with_capacity(body.len() + 512);
    out.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<env:Envelope xmlns:env=\"");
    out.push_str(NAMESPACE_SOAP11);
    out.push_str("\">");
    if let Some(transaction) = head.transaction {
        out.push_str("<env:Header><mm7:TransactionID xmlns:mm7=\"");
        push_escaped(&mut out, head.namespace, Place::Attribute);
        out.push_str("\" env:mustUnderstand=\"1\">");
        push_escaped(&mut out, transaction, Place::Text);
        out.push_str("</mm7:TransactionID></env:Header>");
    }
    out.push_str("<env:Body>");
    out.push_str(body);
    out.push_str("</env:Body></env:Envelope>");
    out
}

/// Opens an element of the protocol that declares its namespace.
pub(super) fn open(out: &mut String, name: &str, namespace: &str) {
    out.push('<');
    out.push_str(name);
    out.push_str(" xmlns=\"");
    push_escaped(out, namespace, Place::Attribute);
    out.push_str("\">");
}

/// `<name>text</name>`; nothing at all of an empty text.
pub(super) fn leaf(out: &mut String, name: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    for piece in ["<", name, ">"] {
        out.push_str(piece);
    }
    push_escaped(out, text, Place::Text);
    for piece in ["</", name, ">"] {
        out.push_str(piece);
    }
}

/// `Status`, as every answer has it.
pub(super) fn status(out: &mut String, code: u32) {
    out.push_str("<Status>");
    leaf(out, "StatusCode", &code.to_string());
    leaf(out, "StatusText", super::status::name_of(code));
    out.push_str("</Status>");
}
