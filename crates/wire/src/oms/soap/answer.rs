//! Writes answers and faults. Knows envelopes, media types and status codes; must not know what the result says.

use super::{Call, Fault, Method, Style, Version};
use crate::oms::escape::{Place, push_escaped};
use crate::oms::{ENCODING_SOAP11, NAMESPACE, NAMESPACE_SOAP11, NAMESPACE_SOAP12};

/// A whole HTTP answer, apart from the headers every answer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

/// What is wrong with a call. The spelling differs between the SOAP versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCode {
    /// Not XML, a document type, no or too many calls, an unknown method. SOAP 1.2 says `Sender`.
    Client,
    /// The envelope is in no namespace we know.
    VersionMismatch,
    /// A header must be understood, and none is.
    MustUnderstand,
}

impl FaultCode {
    /// The local part of the code.
    #[must_use]
    pub const fn name(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Client, Version::Soap11) => "Client",
            (Self::Client, Version::Soap12) => "Sender",
            (Self::VersionMismatch, _) => "VersionMismatch",
            (Self::MustUnderstand, _) => "MustUnderstand",
        }
    }

    /// Fixed, so that nothing of the request and of the parser can leak into it.
    const fn text(self) -> &'static str {
        match self {
            Self::Client => "The request is not a valid SOAP call of this service.",
            Self::VersionMismatch => "The envelope is neither SOAP 1.1 nor SOAP 1.2.",
            Self::MustUnderstand => "A header that must be understood is not understood.",
        }
    }
}

impl Version {
    /// The namespace of the envelope.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Soap11 => NAMESPACE_SOAP11,
            Self::Soap12 => NAMESPACE_SOAP12,
        }
    }

    /// The `Content-Type` of an answer.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Soap11 => "text/xml; charset=utf-8",
            Self::Soap12 => "application/soap+xml; charset=utf-8",
        }
    }
}

impl Fault {
    /// The status of the answer (SOAP 1.1, 6.2; SOAP 1.2 part 2, table 20).
    #[must_use]
    pub const fn status(&self) -> u16 {
        match (self.code, self.version) {
            (FaultCode::Client, Version::Soap12) => 400,
            _ => 500,
        }
    }

    /// Writes the fault.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let (code, text) = (self.code.name(self.version), self.code.text());
        let inside = match self.version {
            Version::Soap11 => format!("<faultcode>s:{code}</faultcode><faultstring>{text}</faultstring>"),
            Version::Soap12 => format!(
                "<s:Code><s:Value>s:{code}</s:Value></s:Code><s:Reason><s:Text xml:lang=\"en\">{text}</s:Text></s:Reason>"
            ),
        };
        let mut body = opening(self.version);
        body.push_str("<s:Fault>");
        body.push_str(&inside);
        body.push_str("</s:Fault>");
        body.push_str(CLOSING);
        Answer { status: self.status(), content_type: self.version.content_type(), body }
    }
}

impl Call<'_> {
    /// Writes the answer to this call: `result` is the inner document, escaped here once more.
    #[must_use]
    pub fn answer(&self, result: &str) -> Answer {
        let body = match self.style {
            Style::Document => document_answer(self.version, self.method, result),
            Style::Rpc => rpc_answer(self.version, self.method, result),
        };
        Answer { status: 200, content_type: self.version.content_type(), body }
    }
}

const CLOSING: &str = "</s:Body></s:Envelope>";

fn opening(version: Version) -> String {
    let mut body = String::with_capacity(768);
    body.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope xmlns:s=\"");
    body.push_str(version.namespace());
    body.push_str("\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><s:Body>");
    body
}

fn document_answer(version: Version, method: Method, result: &str) -> String {
    let (name, mut body) = (method.name(), opening(version));
    for piece in ["<", name, "Response xmlns=\"", NAMESPACE, "\"><", name, "Result>"] {
        body.push_str(piece);
    }
    push_escaped(&mut body, result, Place::Text);
    for piece in ["</", name, "Result></", name, "Response>", CLOSING] {
        body.push_str(piece);
    }
    body
}

fn rpc_answer(version: Version, method: Method, result: &str) -> String {
    let (name, mut body) = (method.name(), opening(version));
    for piece in ["<q1:", name, "Response xmlns:q1=\"", NAMESPACE, "\" s:encodingStyle=\"", ENCODING_SOAP11] {
        body.push_str(piece);
    }
    for piece in ["\"><", name, "Result xsi:type=\"xsd:string\">"] {
        body.push_str(piece);
    }
    push_escaped(&mut body, result, Place::Text);
    for piece in ["</", name, "Result></q1:", name, "Response>", CLOSING] {
        body.push_str(piece);
    }
    body
}
