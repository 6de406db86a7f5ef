//! The documents inside the string arguments: `xmsUser`, `xmsData`, `xmsBatch`. Knows their shape and what may be left
//! out; must not know whether a password is right or a number exists.
//!
//! The readers are tolerant where clients differ (order, unknown elements and attributes, prefixes) and strict where a
//! guess could send the wrong thing: a document that is not well-formed, lacks a required part or has one twice is refused.

mod batch;
mod data;
mod document;
mod slides;

pub use batch::{Batch, BatchItem, ItemBody, ItemId};
pub use slides::{Layout, Region, Slide, Slides};

use super::date_time::ScheduledAt;
use super::xml::{Limits, Pull};
use std::borrow::Cow;
use std::fmt;

/// The document fails its format: to be answered `invalidFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the argument is not a document of the expected format")]
pub struct InvalidFormat;

/// User id and password as they came. `Debug` shows neither.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Trimmed of ASCII white space.
    pub user_id: Cow<'a, str>,
    /// Exactly as sent; an absent one is the empty one.
    pub password: Cow<'a, str>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// The argument of `GetUserInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmsUser<'a> {
    /// The client's name, where it gave one.
    pub client: Option<Cow<'a, str>>,
    pub credentials: Credentials<'a>,
}

impl<'a> XmsUser<'a> {
    /// Reads the document.
    ///
    /// # Errors
    /// It is not an `xmsUser`.
    pub fn parse(argument: &'a str, limits: &Limits) -> Result<Self, InvalidFormat> {
        data::parse_user(argument, limits)
    }
}

/// What the body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Sms,
    Mms,
}

/// One part of a message: a text, or media in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Content<'a> {
    /// The media type, trimmed.
    pub content_type: Cow<'a, str>,
    pub content_id: Cow<'a, str>,
    /// A file name to save under. Never a path of ours.
    pub content_location: Cow<'a, str>,
    /// Exactly as sent, but for XML's own line-end rule.
    pub text: Cow<'a, str>,
}

/// The argument of `DeliverXms` and `SendXms`, and an item of a batch. `Debug` shows no text and no number.
#[derive(Clone, PartialEq, Eq)]
pub struct XmsData<'a> {
    pub client: Option<Cow<'a, str>>,
    pub credentials: Credentials<'a>,
    pub scheduled: Option<ScheduledAt>,
    /// Trimmed; `SMS_SENDER`, `MMS_SENDER` or what the client made up.
    pub required_service: Option<Cow<'a, str>>,
    /// Trimmed; what made the message.
    pub source_type: Option<Cow<'a, str>>,
    /// As the client wrote them; at least one.
    pub recipients: Vec<Cow<'a, str>>,
    pub subject: Option<Cow<'a, str>>,
    pub format: Format,
    /// The slides of a multimedia message; always `None` in an SMS.
    pub slides: Option<Slides<'a>>,
    /// At least one.
    pub contents: Vec<Content<'a>>,
}

impl<'a> XmsData<'a> {
    /// Reads the document.
    ///
    /// # Errors
    /// It is not an `xmsData`, or lacks a required part.
    pub fn parse(argument: &'a str, limits: &Limits) -> Result<Self, InvalidFormat> {
        data::parse(argument, limits)
    }
}

impl fmt::Debug for XmsData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XmsData")
            .field("format", &self.format)
            .field("recipients", &self.recipients.len())
            .field("contents", &self.contents.len())
            .field("scheduled", &self.scheduled)
            .finish_non_exhaustive()
    }
}

/// Starts on an argument. What is before the root is of no meaning, the XML declaration and its encoding included.
fn open<'a>(argument: &'a str, limits: &Limits) -> Result<Pull<'a>, InvalidFormat> {
    let start = argument.trim_start_matches(['\u{FEFF}', ' ', '\t', '\r', '\n']);
    if argument.len() > limits.argument_bytes_max {
        return Err(InvalidFormat);
    }
    Pull::new(start, limits).map_err(|_| InvalidFormat)
}
