//! The SOAP envelope of an OMS call, in every form found in the field: 1.1 document, 1.1 RPC, 1.2. Knows envelopes,
//! headers and which element is the call; must not know what the argument's document says.

mod answer;
mod envelope;
mod media;

pub use answer::{Answer, FaultCode};
pub use envelope::parse;
pub use media::{MediaType, decode};

use std::borrow::Cow;

/// The version of the envelope. It is the envelope's namespace that says it, whatever the media type was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Soap11,
    Soap12,
}

/// How the call was written, and so how the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Document/literal wrapped: the argument element is in the OMS namespace.
    Document,
    /// RPC/encoded: the argument element has no namespace, or the SOAP 1.1 encoding was named.
    Rpc,
}

/// The five operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    GetServiceInfo,
    GetUserInfo,
    DeliverXms,
    DeliverXmsBatch,
    /// What `DeliverXms` was called before Outlook 2007 SP1; means the same.
    SendXms,
}

impl Method {
    /// All operations, in the order the WSDL lists them.
    pub const ALL: [Self; 5] =
        [Self::GetServiceInfo, Self::GetUserInfo, Self::DeliverXms, Self::DeliverXmsBatch, Self::SendXms];

    /// The element name of the call.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetServiceInfo => "GetServiceInfo",
            Self::GetUserInfo => "GetUserInfo",
            Self::DeliverXms => "DeliverXms",
            Self::DeliverXmsBatch => "DeliverXmsBatch",
            Self::SendXms => "SendXms",
        }
    }

    /// The element name of the argument; `GetServiceInfo` has none.
    #[must_use]
    pub const fn parameter(self) -> Option<&'static str> {
        match self {
            Self::GetServiceInfo => None,
            Self::GetUserInfo => Some("xmsUser"),
            Self::DeliverXms | Self::SendXms => Some("xmsData"),
            Self::DeliverXmsBatch => Some("packageXml"),
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// The one string argument of a call.
#[derive(Clone, PartialEq, Eq)]
pub enum Argument<'a> {
    /// Absent, empty or white space: the call is a probe (or `GetServiceInfo`, which takes none).
    Empty,
    /// The string, unescaped; it starts with the document's root or its prolog's comments.
    Text(Cow<'a, str>),
    /// Elements instead of a string: to be answered `invalidFormat`.
    NotText,
}

/// One call, ready to be answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Call<'a> {
    pub version: Version,
    pub style: Style,
    pub method: Method,
    pub argument: Argument<'a>,
    /// The call's namespace was written with `https`; understood all the same, worth a line in the log.
    pub is_namespace_misspelt: bool,
}

/// A call that is refused before anything in its argument was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The version the fault is written in.
    pub version: Version,
    pub code: FaultCode,
}
