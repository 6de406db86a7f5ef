//! A phone's reply as a mail: headers, charset, body and media as OMS clients expect them. Knows MIME; reads no clock, makes
//! up no ids, and must not know how mail is sent.
//!
//! RFC 5322, RFC 2045 to 2047, and what makes Outlook show a mail as a mobile message: `Content-Class` and
//! `X-MS-Reply-To-Mobile`.

mod address;
mod header;
mod multipart;
mod quoted_printable;
mod subject;

use encoding_rs::{Encoding, UTF_8};
use model::{Msisdn, Timestamp};

pub use address::{MailAddress, NotAnAddress};
pub use multipart::Part;

/// What tells one reply from any other, and where it goes.
#[derive(Clone, Debug)]
pub struct Reply<'a> {
    /// The name shown with the sender's address; may be empty.
    pub from_name: &'a str,
    /// The subscriber's unique address.
    pub from: &'a MailAddress,
    /// The user's own mailbox.
    pub to: &'a MailAddress,
    /// When it was received.
    pub date: Timestamp,
    /// The part of its Message-ID before the `@`: the same whenever this reply is written. Also makes the boundary.
    pub id: &'a str,
    /// The phone it came from.
    pub mobile: &'a Msisdn,
}

/// A letter of the service's own: no phone's reply.
#[derive(Clone, Debug)]
pub struct ServiceLetter<'a> {
    /// The name shown with the sender's address; may be empty.
    pub from_name: &'a str,
    /// Who sends it.
    pub from: &'a MailAddress,
    /// Whose mailbox.
    pub to: &'a MailAddress,
    /// When it was written.
    pub date: Timestamp,
    /// The part of its Message-ID before the `@`.
    pub id: &'a str,
    /// What it is about.
    pub subject: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl ServiceLetter<'_> {
    /// The mail. It says that nobody wrote it (RFC 3834), so that no machine answers.
    pub fn write(&self, charset: Charset) -> Vec<u8> {
        let from = header::mailbox(self.from_name, self.from, charset);
        let (to, date, id, domain) = (self.to, header::date(self.date), self.id, self.from.domain());
        let subject = header::text("Subject", &subject::of_text(self.subject), charset);
        let (body, name) = body(self.text, charset);
        format!(
            "From: {from}\r\nTo: {to}\r\nDate: {date}\r\nMessage-ID: <{id}@{domain}>\r\n{subject}\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=\"{name}\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}",
            quoted_printable::encode(&body)
        )
        .into_bytes()
    }
}

/// A text as bytes, and the charset that has it.
fn body(text: &str, charset: Charset) -> (Vec<u8>, &'static str) {
    if text.is_ascii() { (text.as_bytes().to_vec(), "us-ascii") } else { charset.encode(text) }
}

/// The charset of texts that are not plain ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Charset {
    /// UTF-8.
    pub const UTF_8: Charset = Charset(UTF_8);

    /// The charset of this name (`gb2312`, `iso-8859-1`, …); `None` if there is none that a mail can be written in.
    pub fn named(name: &str) -> Option<Self> {
        let encoding = Encoding::for_label(name.as_bytes())?;
        (encoding == encoding.output_encoding()).then_some(Charset(encoding))
    }

    /// The text as bytes, and the charset that they turned out to be in: this one, or UTF-8 for what it lacks.
    fn encode(self, text: &str) -> (Vec<u8>, &'static str) {
        match self.0.encode(text) {
            (bytes, encoding, false) => (bytes.into_owned(), label(encoding)),
            (_, _, true) => (text.as_bytes().to_vec(), "utf-8"),
        }
    }
}

/// The name as mail has it: the one registered, in lower case.
fn label(encoding: &'static Encoding) -> &'static str {
    match encoding.name() {
        "UTF-8" => "utf-8",
        // What the web calls GBK is what mails of its time called GB2312.
        "GBK" => "gb2312",
        name => name,
    }
}

impl Reply<'_> {
    /// The mail of a short message.
    pub fn short_message(&self, text: &str, charset: Charset) -> Vec<u8> {
        let (body, name) = body(text, charset);
        let mut mail = self.head(&subject::of_text(text), charset, "MS-OMS-SMS");
        mail.push_str(&format!("Content-Type: text/plain; charset=\"{name}\"\r\n"));
        mail.push_str("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
        mail.push_str(&quoted_printable::encode(&body));
        mail.into_bytes()
    }

    /// The mail of a multimedia message: with a presentation (SMIL), which goes first, its media are related to it; without
    /// one they follow each other.
    pub fn multimedia(&self, subject: &str, smil: Option<&[u8]>, media: &[Part<'_>], charset: Charset) -> Vec<u8> {
        let mut mail = self.head(&subject::of_multimedia(subject), charset, "MS-OMS-MMS");
        mail.push_str(&multipart::write(self.id, smil, media));
        mail.into_bytes()
    }

    /// Everything down to the header of the body.
    fn head(&self, subject: &str, charset: Charset, class: &str) -> String {
        let from = header::mailbox(self.from_name, self.from, charset);
        let (to, date) = (self.to, header::date(self.date));
        let (id, domain) = (self.id, self.from.domain());
        let subject = header::text("Subject", subject, charset);
        let mobile = self.mobile.digits();
        format!(
            "From: {from}\r\nTo: {to}\r\nDate: {date}\r\nMessage-ID: <{id}@{domain}>\r\n{subject}\r\n\
             Content-Class: {class}\r\nX-MS-Reply-To-Mobile: +{mobile}\r\nMIME-Version: 1.0\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(1_795_256_100_000);

    #[track_caller]
    fn check(write: impl FnOnce(&Reply<'_>) -> Vec<u8>, expected: &str) {
        let from = MailAddress::parse("r-7f3c9d2ab14e6058@replies.example.invalid").unwrap();
        let to = MailAddress::parse("someone@example.com").unwrap();
        let mobile = Msisdn::parse("+447700900123").unwrap();
        let reply =
            Reply { from_name: "Example SMS", from: &from, to: &to, date: AT, id: "0001.reply", mobile: &mobile };
        assert_eq!(String::from_utf8(write(&reply)).unwrap(), expected);
    }

    fn sms(text: &str, charset: Charset) -> String {
        let address = MailAddress::parse("a@b.example").unwrap();
        let mobile = Msisdn::parse("+447700900123").unwrap();
        let reply = Reply { from_name: "", from: &address, to: &address, date: AT, id: "1", mobile: &mobile };
        String::from_utf8(reply.short_message(text, charset)).unwrap()
    }

    #[test]
    fn mails_are_the_golden_ones() {
        check(
            |reply| reply.short_message("On my way, ten minutes.", Charset::UTF_8),
            include_str!("../tests/mail/sms-ascii.eml"),
        );
        let gif: &[u8] = &[
            71, 73, 70, 56, 57, 97, 1, 0, 1, 0, 128, 0, 0, 0, 0, 0, 255, 255, 255, 33, 249, 4, 1, 0, 0, 0, 0, 44, 0, 0,
            0, 0, 1, 0, 1, 0, 0, 2, 1, 68, 0, 59,
        ];
        let picture = Part { content_type: "image/gif", charset: "", id: "", name: "imagepart.gif", data: gif };
        check(
            |reply| reply.multimedia("", None, &[picture], Charset::UTF_8),
            include_str!("../tests/mail/mms-mixed.eml"),
        );
        let smil = "<smil><head><layout><root-layout width=\"240\" height=\"320\"/><region id=\"Text\" left=\"0\" \
                    top=\"0\" width=\"240\" height=\"320\"/></layout></head><body><par dur=\"5000ms\"><text \
                    src=\"textpart.txt\" region=\"Text\"/></par></body></smil>";
        let text = Part {
            content_type: "text/plain",
            charset: "utf-8",
            id: "",
            name: "textpart.txt",
            data: "Sunny here! \u{2600}".as_bytes(),
        };
        check(
            |reply| reply.multimedia("Holiday", Some(smil.as_bytes()), &[text, picture], Charset::UTF_8),
            include_str!("../tests/mail/mms-related.eml"),
        );
    }

    #[test]
    fn texts_are_in_the_smallest_charset_that_has_them() {
        assert!(sms("plain", Charset::UTF_8).contains("charset=\"us-ascii\""));
        assert!(sms("na\u{ef}ve", Charset::UTF_8).contains("charset=\"utf-8\""));
        let old = Charset::named("gb2312").unwrap();
        assert!(
            sms("\u{4f60}\u{597d}", old)
                .contains("charset=\"gb2312\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C4=E3=BA=C3\r\n")
        );
        assert!(sms("\u{1f600}", Charset::named("iso-8859-1").unwrap()).contains("charset=\"utf-8\""));
        assert_eq!(Charset::named("utf-16"), None);
        assert_eq!(Charset::named("klingon"), None);
    }

    #[test]
    fn a_letter_of_the_service_says_that_nobody_wrote_it() {
        let from = MailAddress::parse("r-7f@replies.example.invalid").unwrap();
        let to = MailAddress::parse("someone@example.com").unwrap();
        let text = "https://sms.example.com/signup?token=0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
        let letter =
            ServiceLetter { from_name: "", from: &from, to: &to, date: AT, id: "7.letter", subject: "Hello", text };
        let mail = String::from_utf8(letter.write(Charset::UTF_8)).unwrap();
        assert!(mail.contains("\r\nSubject: Hello\r\nAuto-Submitted: auto-generated\r\n"), "{mail}");
        assert!(mail.contains("token=3D0123456789"), "an equals sign is written as one: {mail}");
        assert!(!mail.contains("X-MS-Reply-To-Mobile"));
    }

    #[test]
    fn nothing_in_a_text_becomes_a_header() {
        let mail = sms("hello\r\nBcc: everybody@example.com\r\n\r\n.", Charset::UTF_8);
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Bcc"));
        assert_eq!(body, "hello\r\nBcc: everybody@example.com\r\n\r\n.\r\n");
        assert!(mail.contains("Subject: hello\r\n"));
    }
}
