//! What a variable stands for, and what modifiers make of it. Knows no template.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Charset, Message, Payload, TemplateError};
use crate::tpdu::to_hex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Number,
    Data,
    Header,
    Binary,
    Pid,
    Dcs,
    Sender,
    SenderPhoneAlias,
    Parts,
    Report,
    /// Stands for nothing by itself: modifiers give it something to say.
    Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    /// The length in front.
    Length,
    Hex,
    Base64,
    Utf16,
    /// Octets as they are, not in Base64.
    Raw,
    Charset(Charset),
    /// In place of a leading `+`.
    InternationalPrefix(String),
    /// Text behind the value.
    Append(String),
    /// What follows, up to the next condition, is for such messages only.
    If(Kind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ascii,
    Unicode,
    Binary,
}

/// A value on its way into a request.
pub(super) struct Value {
    octets: Vec<u8>,
    is_text: bool,
    /// Octets that go in Base64 unless a modifier says otherwise.
    is_encoded: bool,
}

impl Variable {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "number" => Self::Number,
            "data" => Self::Data,
            "udh" => Self::Header,
            "binary" => Self::Binary,
            "pid" => Self::Pid,
            "dcs" => Self::Dcs,
            "sender" => Self::Sender,
            "sender_phonealias" => Self::SenderPhoneAlias,
            "parts" => Self::Parts,
            "report" => Self::Report,
            "condition" => Self::Condition,
            _ => return None,
        })
    }
}

impl Modifier {
    /// A modifier that stands for itself.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "len" => Self::Length,
            "hex" => Self::Hex,
            "b64" => Self::Base64,
            "unicode" => Self::Utf16,
            "raw" => Self::Raw,
            "isascii" => Self::If(Kind::Ascii),
            "isunicode" => Self::If(Kind::Unicode),
            "isbinary" => Self::If(Kind::Binary),
            _ => return None,
        })
    }
}

impl Kind {
    fn of(payload: Payload<'_>) -> Self {
        match payload {
            Payload::Octets(_) => Self::Binary,
            Payload::Text(text) if text.is_ascii() => Self::Ascii,
            Payload::Text(_) => Self::Unicode,
        }
    }
}

impl Value {
    pub(super) fn of(variable: Variable, message: &Message<'_>) -> Self {
        let is_binary = matches!(message.payload, Payload::Octets(_));
        match (variable, message.payload) {
            (Variable::Number, _) => Self::text(message.number),
            (Variable::Data, Payload::Text(text)) => Self::text(text),
            (Variable::Data, Payload::Octets(octets)) => Self::octets(octets, true),
            (Variable::Header, _) => Self::octets(message.header, is_binary),
            (Variable::Binary, _) => Self::text(if is_binary { "1" } else { "0" }),
            (Variable::Pid, _) => Self::text(&message.pid.to_string()),
            (Variable::Dcs, _) => Self::text(&message.dcs.to_string()),
            (Variable::Sender, _) => Self::text(message.sender),
            (Variable::SenderPhoneAlias, _) => Self::text(message.sender_phone_alias),
            (Variable::Parts, _) => Self::text(&message.parts.to_string()),
            (Variable::Report, _) => Self::text(message.report),
            (Variable::Condition, _) => Self::text(""),
        }
    }

    /// The octets that are left when all modifiers have been at it, in order.
    pub(super) fn modified(mut self, modifiers: &[Modifier], payload: Payload<'_>) -> Result<Vec<u8>, TemplateError> {
        let mut applies = true;
        for modifier in modifiers {
            match modifier {
                Modifier::If(kind) => applies = *kind == Kind::of(payload),
                modifier if applies => self.modify(modifier)?,
                _ => {}
            }
        }
        Ok(if self.is_encoded { STANDARD.encode(&self.octets).into_bytes() } else { self.octets })
    }

    fn modify(&mut self, modifier: &Modifier) -> Result<(), TemplateError> {
        match modifier {
            Modifier::Length => {
                let octets = self.octets.len();
                let length = u8::try_from(octets).map_err(|_| TemplateError::ValueTooLong { octets })?;
                self.octets.insert(0, length);
            }
            Modifier::Hex => *self = Self::text(&to_hex(&self.octets)),
            Modifier::Base64 => *self = Self::text(&STANDARD.encode(&self.octets)),
            Modifier::Utf16 => self.transcode(Charset::Utf16Be),
            Modifier::Charset(charset) => self.transcode(*charset),
            Modifier::Raw => self.is_encoded = false,
            Modifier::InternationalPrefix(prefix) => {
                if self.octets.first() == Some(&b'+') {
                    self.octets.splice(..1, prefix.bytes());
                }
            }
            Modifier::Append(text) => self.octets.extend_from_slice(text.as_bytes()),
            Modifier::If(_) => {}
        }
        Ok(())
    }

    /// Text in another character set; octets are no text and stay.
    fn transcode(&mut self, charset: Charset) {
        if let (true, Ok(text)) = (self.is_text, std::str::from_utf8(&self.octets)) {
            *self = Self::octets(&charset.encode(text), false);
        }
    }

    fn text(text: &str) -> Self {
        Self { octets: text.as_bytes().to_vec(), is_text: true, is_encoded: false }
    }

    fn octets(octets: &[u8], is_encoded: bool) -> Self {
        Self { octets: octets.to_vec(), is_text: false, is_encoded }
    }
}
