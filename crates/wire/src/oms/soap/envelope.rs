//! Reads an envelope down to the one call in its body. Knows SOAP's structure; must not know HTTP.

use super::{Argument, Call, Fault, FaultCode, MediaType, Method, Style, Version};
use crate::oms::ENCODING_SOAP11;
use crate::oms::xml::{Broken, Element, Item, Limits, Namespace, Pull};
use std::borrow::Cow;

/// Reads the call out of a decoded body.
///
/// The call is the single child of `Body`; nothing else routes it, the `SOAPAction` header included.
///
/// # Errors
/// The fault to answer. Its version is that of the envelope if the root's start tag could be read whole, else that of
/// the media type.
pub fn parse<'a>(body: &'a str, media: &MediaType, limits: &Limits) -> Result<Call<'a>, Fault> {
    let mut version = media.version();
    let start = body.trim_start_matches('\u{FEFF}');
    let read = Pull::new(start, limits).map_err(FaultCode::from).and_then(|pull| {
        let mut reader =
            Envelope { pull, namespace: Namespace::Soap11, must_understand: false, is_encoded: false, found: None };
        reader.read(&mut version)
    });
    read.map(|call| Call { version, ..call }).map_err(|code| match code {
        FaultCode::VersionMismatch => Fault { version: Version::Soap11, code },
        _ => Fault { version, code },
    })
}

impl From<Broken> for FaultCode {
    fn from(_: Broken) -> Self {
        Self::Client
    }
}

struct Envelope<'a> {
    pull: Pull<'a>,
    namespace: Namespace,
    must_understand: bool,
    is_encoded: bool,
    found: Option<Call<'a>>,
}

impl<'a> Envelope<'a> {
    fn read(&mut self, version: &mut Version) -> Result<Call<'a>, FaultCode> {
        let (root, has_document_type) = self.root()?;
        self.namespace = root.namespace;
        match root.namespace {
            Namespace::Soap11 => *version = Version::Soap11,
            Namespace::Soap12 => *version = Version::Soap12,
            _ if root.local == "Envelope" && !has_document_type => return Err(FaultCode::VersionMismatch),
            _ => return Err(FaultCode::Client),
        }
        if root.local != "Envelope" || has_document_type {
            return Err(FaultCode::Client);
        }
        self.note_encoding(&root);
        self.children()?;
        let Item::Eof = self.pull.next()? else {
            return Err(FaultCode::Client);
        };
        if self.must_understand {
            return Err(FaultCode::MustUnderstand); // before the body is processed: SOAP 1.2 part 1, 2.6
        }
        self.found.take().ok_or(FaultCode::Client)
    }

    /// The root's start tag. A document type is not looked into; behind it the root still tells the version to refuse in.
    fn root(&mut self) -> Result<(Element<'a>, bool), FaultCode> {
        let mut has_document_type = false;
        loop {
            match self.pull.next() {
                Ok(Item::Start(root)) => return Ok((root, has_document_type)),
                Err(Broken::DocumentType) if !has_document_type => has_document_type = true,
                _ => return Err(FaultCode::Client),
            }
        }
    }

    fn children(&mut self) -> Result<(), FaultCode> {
        let mut has_body = false;
        while let Some(child) = self.next_child()? {
            match child.local {
                "Header" if child.namespace == self.namespace => self.header()?,
                "Body" if child.namespace == self.namespace && !has_body => {
                    has_body = true;
                    self.body(&child)?;
                }
                "Body" if child.namespace == self.namespace => return Err(FaultCode::Client),
                _ => self.skip()?,
            }
        }
        Ok(())
    }

    /// No header is understood here, so one that must be and is meant for us is a fault.
    fn header(&mut self) -> Result<(), FaultCode> {
        while let Some(entry) = self.next_child()? {
            let value = |name| self.pull.attribute_in(&entry, self.namespace, name);
            let must = value("mustUnderstand").is_some_and(|value| matches!(value.trim(), "1" | "true"));
            let role = value("actor").or_else(|| value("role"));
            if must && role.is_none_or(|role| is_ours(&role)) {
                self.must_understand = true;
            }
            self.skip()?;
        }
        Ok(())
    }

    fn body(&mut self, body: &Element<'a>) -> Result<(), FaultCode> {
        self.note_encoding(body);
        let mut calls = 0;
        while let Some(child) = self.next_child()? {
            calls += 1;
            match Method::of(child.local).filter(|_| child.namespace.is_oms() && calls == 1) {
                Some(method) => self.found = Some(self.call(method, &child)?),
                None => {
                    self.found = None;
                    self.skip()?;
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, method: Method, element: &Element<'a>) -> Result<Call<'a>, FaultCode> {
        self.note_encoding(element);
        let (argument, is_unqualified) = self.argument(method)?;
        let style = if is_unqualified || self.is_encoded { Style::Rpc } else { Style::Document };
        let is_namespace_misspelt = element.namespace == Namespace::OmsHttps;
        Ok(Call { version: Version::Soap11, style, method, argument, is_namespace_misspelt })
    }

    /// The argument by its qualified name, else by its bare one; the first of a kind counts.
    fn argument(&mut self, method: Method) -> Result<(Argument<'a>, bool), FaultCode> {
        let (mut qualified, mut bare) = (None, None);
        while let Some(child) = self.next_child()? {
            let slot = match child.namespace {
                _ if Some(child.local) != method.parameter() => None,
                Namespace::None => Some(&mut bare),
                namespace if namespace.is_oms() => Some(&mut qualified),
                _ => None,
            };
            match slot {
                Some(slot) if slot.is_none() => *slot = Some(string(self.pull.escaped_document(&child)?)),
                _ => self.skip()?,
            }
        }
        match (qualified, bare) {
            (Some(argument), _) => Ok((argument, false)),
            (None, Some(argument)) => Ok((argument, true)),
            (None, None) => Ok((Argument::Empty, false)),
        }
    }

    fn note_encoding(&mut self, element: &Element<'a>) {
        let style = self.pull.attribute_in(element, self.namespace, "encodingStyle");
        self.is_encoded |= style.is_some_and(|style| style.split_ascii_whitespace().any(|uri| uri == ENCODING_SOAP11));
    }

    /// The next child of the innermost open element; `None` when that has ended. Text between children is passed over.
    fn next_child(&mut self) -> Result<Option<Element<'a>>, FaultCode> {
        loop {
            match self.pull.next()? {
                Item::Start(child) => return Ok(Some(child)),
                Item::End => return Ok(None),
                Item::Text(_) => {}
                Item::Eof => return Err(FaultCode::Client),
            }
        }
    }

    /// Passes over the element just started.
    fn skip(&mut self) -> Result<(), FaultCode> {
        let depth = self.pull.depth() - 1;
        Ok(self.pull.skip_to(depth)?)
    }
}

/// Whether a header aimed at `role` is aimed at the last receiver, which we are (SOAP 1.1, 4.2.2; 1.2 part 1, 2.2).
fn is_ours(role: &str) -> bool {
    matches!(
        role.trim(),
        "" | "http://schemas.xmlsoap.org/soap/actor/next"
            | "http://www.w3.org/2003/05/soap-envelope/role/next"
            | "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver"
    )
}

/// What is before the document in the string means nothing: a byte order mark, white space.
fn string(text: Option<Cow<'_, str>>) -> Argument<'_> {
    let Some(text) = text else {
        return Argument::NotText;
    };
    let length = text.trim_start_matches(['\u{FEFF}', ' ', '\t', '\r', '\n']).len();
    match text {
        _ if length == 0 => Argument::Empty,
        Cow::Borrowed(text) => Argument::Text(Cow::Borrowed(&text[text.len() - length..])),
        Cow::Owned(mut text) => {
            text.drain(..text.len() - length);
            Argument::Text(Cow::Owned(text))
        }
    }
}
