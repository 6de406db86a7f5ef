//! OMS, the Office Mobile Service web service: bytes to values and back. Knows both XML layers (the SOAP envelope and the
//! document inside its string argument) and the checks that need neither clock nor store; must not know HTTP servers,
//! credentials' truth, routes or lanes.
//!
//! One call is read in three steps: [`soap::decode`] and [`soap::parse`] turn the body into a [`soap::Call`],
//! [`request`] turns its argument into a document, [`check`] turns that into a [`check::Verdict`]. The way back is
//! [`response`] for the result document and [`soap::Call::answer`] for the envelope around it.

mod date_time;
pub(crate) mod escape;
pub(crate) mod xml;

pub mod check;
pub mod request;
pub mod response;
pub mod soap;
pub mod wsdl;

pub use date_time::ScheduledAt;
pub use xml::Limits;

/// The namespace of the calls and of every document but `serviceInfo`.
pub const NAMESPACE: &str = "http://schemas.microsoft.com/office/Outlook/2006/OMS";

/// The namespace of `serviceInfo`.
pub const NAMESPACE_SERVICE_INFO: &str = "http://schemas.microsoft.com/office/Outlook/2006/OMS/serviceInfo";

/// The SOAP 1.1 envelope namespace.
pub const NAMESPACE_SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// The SOAP 1.2 envelope namespace.
pub const NAMESPACE_SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";

/// The encoding that SOAP 1.1 section 5 defines; its presence marks the RPC form.
const ENCODING_SOAP11: &str = "http://schemas.xmlsoap.org/soap/encoding/";
