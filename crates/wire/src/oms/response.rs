//! The result documents: `userInfo`, `xmsResponse`, `xmsResponses`, `serviceInfo`. Knows codes, their spelling and the
//! order of elements; must not know why something was refused.

mod code;
mod service_info;

pub use code::{ErrorCode, Severity};
pub use service_info::{ServiceInfo, ServiceInfoNamespace};

use super::NAMESPACE;
use super::escape::{Place, push_escaped};
use super::request::ItemId;

/// Whether a result starts with an XML declaration. The vendor's own writers emit none; services for Outlook users have
/// been seen to declare `utf-16`, which is true of the string and of nothing on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Declaration {
    #[default]
    None,
    Utf16,
}

impl Declaration {
    fn document(self) -> String {
        let mut out = String::with_capacity(256);
        if matches!(self, Self::Utf16) {
            out.push_str("<?xml version=\"1.0\" encoding=\"utf-16\"?>");
        }
        out
    }
}

/// One `error` element. `ok` is one too.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorItem {
    pub code: ErrorCode,
    /// Text or parameters, as the code has it.
    pub content: Option<String>,
    /// Numbers as the client wrote them. `None` means: all recipients.
    pub recipients: Option<Vec<String>>,
}

/// Shows how many numbers there are, not which.
impl std::fmt::Debug for ErrorItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let recipients = self.recipients.as_ref().map(Vec::len);
        f.debug_struct("ErrorItem").field("code", &self.code).field("recipients", &recipients).finish_non_exhaustive()
    }
}

impl ErrorItem {
    /// A bare code, for all recipients.
    #[must_use]
    pub const fn of(code: ErrorCode) -> Self {
        Self { code, content: None, recipients: None }
    }

    /// A code with its text.
    #[must_use]
    pub fn with_content(code: ErrorCode, content: impl Into<String>) -> Self {
        Self { code, content: Some(content.into()), recipients: None }
    }

    /// A code for some recipients.
    #[must_use]
    pub const fn for_recipients(code: ErrorCode, recipients: Vec<String>) -> Self {
        Self { code, content: None, recipients: Some(recipients) }
    }

    fn push(&self, out: &mut String) {
        push_error_start(out, self.code);
        if self.content.is_none() && self.recipients.is_none() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        if let Some(content) = &self.content {
            push_element(out, "content", content);
        }
        if let Some(recipients) = &self.recipients {
            push_element(out, "recipientList", &joined(recipients));
        }
        out.push_str("</error>");
    }
}

/// Joins by `;`, which is taken out of the pieces, or the reader would count one too many.
pub(super) fn joined(pieces: &[String]) -> String {
    let pieces: Vec<String> = pieces.iter().map(|piece| piece.replace(';', "")).collect();
    pieces.join(";")
}

/// What became of one `xmsData`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the order of the checks. Empty means everything was accepted.
    pub failures: Vec<ErrorItem>,
    /// `noScheduled`, `serviceUpdate`: they come last.
    pub notices: Vec<ErrorItem>,
}

impl Outcome {
    /// Everything was accepted.
    #[must_use]
    pub const fn ok() -> Self {
        Self { failures: Vec::new(), notices: Vec::new() }
    }

    /// Nothing was accepted, for one reason.
    #[must_use]
    pub fn refused(error: ErrorItem) -> Self {
        Self { failures: vec![error], notices: Vec::new() }
    }

    /// The `error` elements: `ok` only if nothing failed, since it would claim all recipients.
    fn push(&self, out: &mut String) {
        if self.failures.is_empty() {
            ErrorItem::of(ErrorCode::Ok).push(out);
        }
        for error in self.failures.iter().chain(&self.notices) {
            error.push(out);
        }
    }
}

/// The result of `DeliverXms` and `SendXms`.
#[must_use]
pub fn xms_response(outcome: &Outcome, declaration: Declaration) -> String {
    let mut out = declaration.document();
    push_root(&mut out, "xmsResponse", NAMESPACE);
    outcome.push(&mut out);
    out.push_str("</xmsResponse>");
    out
}

/// The result of `DeliverXmsBatch`: one outcome per item, in request order, each with the id it came with.
#[must_use]
pub fn xms_responses<'a>(
    outcomes: impl IntoIterator<Item = (Option<&'a ItemId<'a>>, &'a Outcome)>,
    declaration: Declaration,
) -> String {
    let mut out = declaration.document();
    push_root(&mut out, "xmsResponses", NAMESPACE);
    for (id, outcome) in outcomes {
        out.push_str("<xmsResponse");
        if let Some(id) = id {
            let (name, value) = match id {
                ItemId::Lower(value) => ("id", value),
                ItemId::Upper(value) => ("Id", value),
            };
            push_attribute(&mut out, name, value);
        }
        out.push('>');
        outcome.push(&mut out);
        out.push_str("</xmsResponse>");
    }
    out.push_str("</xmsResponses>");
    out
}

/// The result of `GetUserInfo`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum UserInfo<'a> {
    /// The credentials are good; what is known of the user, which may be nothing (a probe).
    Known { reply_phone: Option<&'a str>, smtp_address: Option<&'a str> },
    /// They are not, or the user's state is told instead.
    Refused(ErrorCode),
}

impl UserInfo<'_> {
    /// What a probe gets: alive, and nothing else.
    pub const PROBE: Self = Self::Known { reply_phone: None, smtp_address: None };

    /// Writes the document.
    #[must_use]
    pub fn document(&self, declaration: Declaration) -> String {
        let mut out = declaration.document();
        push_root(&mut out, "userInfo", NAMESPACE);
        let code = match *self {
            Self::Known { reply_phone, smtp_address } => {
                for (name, value) in [("replyPhone", reply_phone), ("smtpAddress", smtp_address)] {
                    if let Some(value) = value {
                        push_element(&mut out, name, value);
                    }
                }
                ErrorCode::Ok
            }
            Self::Refused(code) => code,
        };
        push_error_start(&mut out, code);
        out.push_str("/></userInfo>");
        out
    }
}

fn push_error_start(out: &mut String, code: ErrorCode) {
    out.push_str("<error");
    push_attribute(out, "code", code.name());
    push_attribute(out, "severity", code.severity().name());
}

fn push_root(out: &mut String, name: &str, namespace: &str) {
    for piece in ["<", name, " xmlns=\"", namespace, "\">"] {
        out.push_str(piece);
    }
}

fn push_element(out: &mut String, name: &str, text: &str) {
    for piece in ["<", name, ">"] {
        out.push_str(piece);
    }
    push_escaped(out, text, Place::Text);
    for piece in ["</", name, ">"] {
        out.push_str(piece);
    }
}

fn push_attribute(out: &mut String, name: &str, value: &str) {
    for piece in [" ", name, "=\""] {
        out.push_str(piece);
    }
    push_escaped(out, value, Place::Attribute);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bare_ok_beside_a_failure_and_notices_last() {
        let outcome = Outcome {
            failures: vec![ErrorItem::for_recipients(ErrorCode::InvalidRecipient, vec!["12".into(), "a;b<".into()])],
            notices: vec![ErrorItem::of(ErrorCode::NoScheduled)],
        };
        assert_eq!(
            xms_response(&outcome, Declaration::None),
            "<xmsResponse xmlns=\"http://schemas.microsoft.com/office/Outlook/2006/OMS\"><error code=\"invalidRecipient\" \
             severity=\"failure\"><recipientList>12;ab&lt;</recipientList></error><error code=\"noScheduled\" \
             severity=\"neutral\"/></xmsResponse>"
        );
    }

    #[test]
    fn ids_are_echoed_in_their_spelling() {
        let (lower, upper) = (ItemId::Lower("a\"b".into()), ItemId::Upper("7".into()));
        let ok = Outcome::ok();
        let out = xms_responses([(Some(&lower), &ok), (Some(&upper), &ok), (None, &ok)], Declaration::Utf16);
        let ok = "<error code=\"ok\" severity=\"neutral\"/></xmsResponse>";
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"utf-16\"?><xmsResponses xmlns=\"{NAMESPACE}\"><xmsResponse id=\"a&quot;b\">{ok}\
             <xmsResponse Id=\"7\">{ok}<xmsResponse>{ok}</xmsResponses>"
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn user_info_in_schema_order() {
        let known = UserInfo::Known { reply_phone: Some("+447700900001"), smtp_address: Some("r@x.invalid") };
        assert_eq!(
            known.document(Declaration::None),
            format!(
                "<userInfo xmlns=\"{NAMESPACE}\"><replyPhone>+447700900001</replyPhone><smtpAddress>r@x.invalid</smtpAddress>\
                 <error code=\"ok\" severity=\"neutral\"/></userInfo>"
            )
        );
    }
}
