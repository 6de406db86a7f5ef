//! NE1, the datagrams by which a mail server says what changed (push-channels.md, 2.1). Knows lines, fields and the seal; must not know
//! accounts, sockets or a clock: when it is, it is told.

mod replay;

pub use replay::{REMEMBERED_MS, Replays, Seen};

use std::fmt::Write as _;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};

use crate::tpdu::from_hex;

/// Octets of a datagram.
pub const DATAGRAM_OCTETS_MAX: usize = 1_200;
/// How far a datagram's time may be from ours.
pub const WINDOW_MS: i64 = 300_000;
/// Octets of the seal: half of an HMAC-SHA256.
pub const MAC_OCTETS: usize = 16;
/// Characters of a nonce.
const NONCE_CHARS_MAX: usize = 32;
/// Digits of a time.
const TIME_DIGITS_MAX: usize = 15;
const MAC_DIGITS: usize = 2 * MAC_OCTETS;
const MAGIC: &str = "NE1";

/// A datagram as it came, its envelope read.
#[derive(Clone, PartialEq, Eq)]
pub struct Received<'octets> {
    /// The tenant that it says it is of.
    pub tenant: String,
    /// The key it says it is sealed with.
    pub key_id: String,
    /// When it says it was sent (UTC ms).
    pub sent_ms: i64,
    /// What tells it from others of this key.
    pub nonce: &'octets str,
    /// Whether the sender waits to hear that it came.
    pub wants_answer: bool,
    /// Where the seal stands; `None`: there is none.
    mac: Option<(usize, [u8; MAC_OCTETS])>,
    text: &'octets str,
    lines: &'octets str,
}

/// Tells who sends and how much, not what.
impl std::fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tenant, key_id, lines, .. } = self;
        write!(f, "Received({tenant}, key {key_id}, {} octets of lines)", lines.len())
    }
}

/// A datagram to write.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// The key's name.
    pub key_id: &'a str,
    /// When it is sent (UTC ms).
    pub sent_ms: i64,
    /// 1 to 32 of `A-Z a-z 0-9 _ -`.
    pub nonce: &'a str,
    /// Whether to hear that it came.
    pub wants_answer: bool,
}

/// One thing that changed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// The account.
    pub account: String,
    /// The resource's canonical name.
    pub resource: String,
    /// What was done.
    pub op: Op,
    /// How many; a hint, 0 is unknown.
    pub count: u32,
    /// The device it came from; empty: none.
    pub origin: String,
}

/// Shows nothing: it names a person.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({:?}, {})", self.op, self.count)
    }
}

/// What was done to a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Op {
    /// Not said.
    #[default]
    Unsaid,
    /// Something came.
    Add,
    /// Something is another.
    Change,
    /// Something went.
    Delete,
}

/// Why octets are no datagram of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ne1Error {
    /// More than a datagram may have.
    #[error("more than {DATAGRAM_OCTETS_MAX} octets")]
    TooLong,
    /// Something that is not ASCII, or a last line without its end.
    #[error("no lines of ASCII")]
    NotText,
    /// It begins with something else.
    #[error("not `NE1`")]
    NotOurs,
    /// The envelope does not have its fields.
    #[error("field `{0}` is missing or wrong")]
    Field(&'static str),
    /// It does not fit one datagram.
    #[error("lines of `{0}` octets do not fit")]
    Full(usize),
}

impl<'octets> Received<'octets> {
    /// Reads the envelope. The lines are read one by one: a bad one does not spoil the others.
    ///
    /// # Errors
    /// [`Ne1Error`].
    pub fn parse(datagram: &'octets [u8]) -> Result<Self, Ne1Error> {
        if datagram.len() > DATAGRAM_OCTETS_MAX {
            return Err(Ne1Error::TooLong);
        }
        let text = std::str::from_utf8(datagram).ok().filter(|text| text.is_ascii()).ok_or(Ne1Error::NotText)?;
        let (envelope, lines) = text.split_once('\n').ok_or(Ne1Error::NotText)?;
        if !lines.is_empty() && !lines.ends_with('\n') {
            return Err(Ne1Error::NotText);
        }
        let mut fields = envelope.split(' ');
        if fields.next() != Some(MAGIC) {
            return Err(Ne1Error::NotOurs);
        }
        let mut field = |name| fields.next().filter(|text| !text.is_empty()).ok_or(Ne1Error::Field(name));
        let tenant = decoded(field("tenant")?).ok_or(Ne1Error::Field("tenant"))?;
        let key_id = decoded(field("key-id")?).ok_or(Ne1Error::Field("key-id"))?;
        let sent_ms = time(field("unix-ms")?).ok_or(Ne1Error::Field("unix-ms"))?;
        let nonce = Some(field("nonce")?).filter(|nonce| is_nonce(nonce)).ok_or(Ne1Error::Field("nonce"))?;
        let wants_answer = flags(field("flags")?).ok_or(Ne1Error::Field("flags"))?;
        let mac = mac(field("mac")?, envelope.len()).ok_or(Ne1Error::Field("mac"))?;
        if fields.next().is_some() {
            return Err(Ne1Error::Field("mac"));
        }
        Ok(Received { tenant, key_id, sent_ms, nonce, wants_answer, mac, text, lines })
    }

    /// Whether there is a seal at all.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.mac.is_some()
    }

    /// Whether it is sealed with this key, in constant time.
    #[must_use]
    pub fn is_sealed_with(&self, key: &[u8]) -> bool {
        let Some((at, mac)) = self.mac else { return false };
        let octets = self.text.as_bytes();
        let mut context = context(key);
        context.update(&octets[..at]);
        context.update(&[b'0'; MAC_DIGITS]);
        context.update(&octets[at + MAC_DIGITS..]);
        verify_slices_are_equal(&context.sign().as_ref()[..MAC_OCTETS], &mac).is_ok()
    }

    /// Whether it was sent about `now_ms`.
    #[must_use]
    pub fn is_of(&self, now_ms: i64) -> bool {
        now_ms.abs_diff(self.sent_ms) <= WINDOW_MS.unsigned_abs()
    }

    /// Its lines in order; `None`: one that can't be read.
    pub fn lines(&self) -> impl Iterator<Item = Option<Line>> + 'octets {
        self.lines.split_terminator('\n').map(Line::parse)
    }

    /// What is answered to whoever wants it and whose seal is good.
    #[must_use]
    pub fn answer(&self, accepted: usize, rejected: usize) -> String {
        format!("NE1-ACK {} {accepted} {rejected}\n", self.nonce)
    }
}

impl Envelope<'_> {
    /// Writes a datagram, sealed.
    ///
    /// # Errors
    /// [`Ne1Error::Full`], [`Ne1Error::Field`].
    pub fn write(&self, lines: &[Line], key: &[u8]) -> Result<Vec<u8>, Ne1Error> {
        if !is_nonce(self.nonce) {
            return Err(Ne1Error::Field("nonce"));
        }
        if self.tenant.is_empty() || self.key_id.is_empty() {
            return Err(Ne1Error::Field("tenant"));
        }
        if time(&self.sent_ms.to_string()).is_none() {
            return Err(Ne1Error::Field("unix-ms"));
        }
        let flags = if self.wants_answer { "A" } else { "-" };
        let (tenant, key_id) = (encoded(self.tenant), encoded(self.key_id));
        let head = format!("{MAGIC} {tenant} {key_id} {} {} {flags} ", self.sent_ms, self.nonce);
        let mut tail = String::from("\n");
        lines.iter().for_each(|line| line.write(&mut tail));
        let octets = head.len() + MAC_DIGITS + tail.len();
        if octets > DATAGRAM_OCTETS_MAX {
            return Err(Ne1Error::Full(octets));
        }
        let mut context = context(key);
        context.update(head.as_bytes());
        context.update(&[b'0'; MAC_DIGITS]);
        context.update(tail.as_bytes());
        let mac = context.sign();
        let digits = model::hex::digits(&mac.as_ref()[..MAC_OCTETS]);
        Ok([head, digits, tail].concat().into_bytes())
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        if fields.next() != Some("C") {
            return None;
        }
        let account = decoded(fields.next()?).filter(|name| !name.is_empty())?;
        let resource = decoded(fields.next()?).filter(|name| !name.is_empty())?;
        let op = fields.next().map_or(Some(Op::Unsaid), Op::of)?;
        let count = match fields.next() {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => 0,
        };
        let origin = match fields.next() {
            Some(origin) => decoded(origin).filter(|origin| !origin.is_empty())?,
            None => String::new(),
        };
        fields.next().is_none().then_some(Line { account, resource, op, count, origin })
    }

    fn write(&self, text: &mut String) {
        let (account, resource) = (encoded(&self.account), encoded(&self.resource));
        let written = write!(text, "C {account} {resource} {} {}", self.op.word(), self.count);
        written.expect("a string takes what is written");
        if !self.origin.is_empty() {
            text.push(' ');
            text.push_str(&encoded(&self.origin));
        }
        text.push('\n');
    }
}

impl Op {
    /// The operation of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Op::Unsaid, Op::Add, Op::Change, Op::Delete].into_iter().find(|op| op.word() == word)
    }

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Op::Unsaid => "-",
            Op::Add => "add",
            Op::Change => "change",
            Op::Delete => "delete",
        }
    }
}

fn context(key: &[u8]) -> hmac::Context {
    hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key))
}

fn time(digits: &str) -> Option<i64> {
    let fits = (1..=TIME_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

fn is_nonce(text: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
    (1..=NONCE_CHARS_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// Letters that are not known yet mean nothing.
fn flags(text: &str) -> Option<bool> {
    let is_flags = text == "-" || text.bytes().all(|octet| octet.is_ascii_alphabetic());
    is_flags.then(|| text.contains('A'))
}

/// The seal and where it stands: it is the last field.
#[expect(clippy::option_option, reason = "no seal, a seal and no field are three things")]
fn mac(digits: &str, envelope_octets: usize) -> Option<Option<(usize, [u8; MAC_OCTETS])>> {
    if digits == "-" {
        return Some(None);
    }
    let is_lower = digits.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != MAC_DIGITS || !is_lower {
        return None;
    }
    let octets = from_hex(digits.as_bytes()).ok()?.try_into().ok()?;
    Some(Some((envelope_octets - MAC_DIGITS, octets)))
}

/// A field without its escapes; `None` for what should have been escaped, or is no text.
fn decoded(field: &str) -> Option<String> {
    let (mut octets, mut rest) = (Vec::with_capacity(field.len()), field.as_bytes());
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'%' => {
                let digits = after.get(..2)?;
                octets.push(*from_hex(digits).ok()?.first()?);
                rest = &after[2..];
            }
            0x21..=0x7e => octets.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok()
}

/// A field with escapes for what would divide fields, and for what is not visible ASCII.
fn encoded(text: &str) -> String {
    let mut field = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'%' | 0..=0x20 | 0x7f.. => write!(field, "%{octet:02X}").expect("a string takes what is written"),
            visible => field.push(char::from(visible)),
        }
    }
    field
}

#[cfg(test)]
mod tests;
