//! PDUs as values (SMPP 3.4, 4). Knows layouts; must not know what a conversation is.

use super::address::Address;
use super::field::{PduError, Reader, put_string};
use super::frame::HEADER_OCTETS;
use super::status::Status;
use super::tlv::{Tag, Tlvs};

/// The bit that makes a command its own response.
const RESPONSE: u32 = 0x8000_0000;

const GENERIC_NACK: u32 = 0x8000_0000;
const BIND_RECEIVER: u32 = 0x01;
const BIND_TRANSMITTER: u32 = 0x02;
const SUBMIT_SM: u32 = 0x04;
const DELIVER_SM: u32 = 0x05;
const UNBIND: u32 = 0x06;
const BIND_TRANSCEIVER: u32 = 0x09;
const OUTBIND: u32 = 0x0b;
const ENQUIRE_LINK: u32 = 0x15;
const ALERT_NOTIFICATION: u32 = 0x0102;
const DATA_SM: u32 = 0x0103;

/// One PDU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// What the response says; 0 in a request.
    pub status: Status,
    /// What request and response share.
    pub sequence: u32,
    /// The command, and what it says.
    pub body: Body,
}

/// A PDU whose body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body of command `{command:#010x}` cannot be read")]
pub struct Unreadable {
    /// `command_id`.
    pub command: u32,
    /// What it says if it is a response.
    pub status: Status,
    /// What its answer has to name.
    pub sequence: u32,
    /// Why.
    #[source]
    pub error: PduError,
}

/// Which way a bind lets messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// To the service centre.
    Transmitter,
    /// From the service centre.
    Receiver,
    /// Both.
    Transceiver,
}

/// Commands that carry a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `submit_sm`.
    Submit,
    /// `deliver_sm`.
    Deliver,
    /// `data_sm`, either way.
    Data,
}

/// What a PDU says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A wish to bind.
    Bind(Mode, Bind),
    /// Its answer.
    BindResp(Mode, BindResp),
    /// A message.
    Message(Kind, Box<Message>),
    /// Its answer: the message's id, empty where it was refused.
    MessageResp(Kind, String),
    /// The end of the bind.
    Unbind,
    /// Its answer.
    UnbindResp,
    /// Are you there?
    EnquireLink,
    /// Yes.
    EnquireLinkResp,
    /// A PDU that could not be read, or is no command.
    GenericNack,
    /// A service centre that wants to be bound to.
    Outbind,
    /// A handset is reachable.
    AlertNotification,
    /// Another command, by its number.
    Other(u32),
}

/// A wish to bind (4.1.1). `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Bind {
    /// Who binds.
    pub system_id: String,
    /// What proves it.
    pub password: String,
    /// What kind of system it is; suppliers tell.
    pub system_type: String,
    /// Which version it speaks: `0x34`.
    pub interface_version: u8,
    /// For which addresses; its type of number, numbering plan and pattern.
    pub addresses: Address,
}

/// The answer to a bind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindResp {
    /// Who answers.
    pub system_id: String,
    /// Optional parameters.
    pub tlvs: Tlvs,
}

/// A message, whichever command carries it (4.4.1, 4.6.1, 4.7.1). A `data_sm` has fewer fields; the others are 0 there.
/// `Debug` shows neither numbers nor text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The kind of service; mostly empty.
    pub service_type: String,
    /// From whom.
    pub source: Address,
    /// To whom.
    pub destination: Address,
    /// Mode, kind and features of the message (5.2.12).
    pub esm_class: u8,
    /// TP-PID.
    pub protocol_id: u8,
    /// 0 to 3.
    pub priority: u8,
    /// When to deliver it; empty: at once.
    pub schedule: String,
    /// Until when; empty: as the service centre thinks.
    pub validity: String,
    /// Which receipts are wanted (5.2.17).
    pub registered_delivery: u8,
    /// Whether it replaces one that waits.
    pub replace_if_present: u8,
    /// How the text is coded (5.2.19).
    pub data_coding: u8,
    /// A text the service centre has.
    pub default_message: u8,
    /// The text, behind its user data header if `esm_class` says so.
    pub short_message: Vec<u8>,
    /// Optional parameters.
    pub tlvs: Tlvs,
}

impl std::fmt::Debug for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bind").field("system_id", &self.system_id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("esm_class", &self.esm_class)
            .field("data_coding", &self.data_coding)
            .field("octets", &self.text_octets().len())
            .field("tlvs", &self.tlvs)
            .finish_non_exhaustive()
    }
}

impl Mode {
    /// Whether it lets messages go to the service centre.
    pub const fn sends(self) -> bool {
        matches!(self, Self::Transmitter | Self::Transceiver)
    }

    /// Whether it lets messages come from the service centre.
    pub const fn receives(self) -> bool {
        matches!(self, Self::Receiver | Self::Transceiver)
    }

    const fn command(self) -> u32 {
        match self {
            Self::Transmitter => BIND_TRANSMITTER,
            Self::Receiver => BIND_RECEIVER,
            Self::Transceiver => BIND_TRANSCEIVER,
        }
    }
}

/// Whether a command has to be answered.
pub(super) const fn is_request(command: u32) -> bool {
    command & RESPONSE == 0
}

impl Kind {
    pub(super) const fn command(self) -> u32 {
        match self {
            Self::Submit => SUBMIT_SM,
            Self::Deliver => DELIVER_SM,
            Self::Data => DATA_SM,
        }
    }
}

impl Message {
    /// `esm_class`: a user data header stands before the text.
    pub const UDH: u8 = 0x40;

    /// The text's octets, wherever they stand, with a user data header before them if there is one.
    pub fn text_octets(&self) -> &[u8] {
        match self.tlvs.get(Tag::MESSAGE_PAYLOAD) {
            Some(payload) if self.short_message.is_empty() => payload,
            _ => &self.short_message,
        }
    }

    fn decode(kind: Kind, body: &[u8]) -> Result<Self, PduError> {
        let mut reader = Reader::new(body);
        let mut message = Self {
            service_type: reader.string("service_type")?,
            source: Address::decode(&mut reader, "source_addr")?,
            destination: Address::decode(&mut reader, "destination_addr")?,
            esm_class: reader.octet("esm_class")?,
            ..Self::default()
        };
        if kind == Kind::Data {
            message.registered_delivery = reader.octet("registered_delivery")?;
            message.data_coding = reader.octet("data_coding")?;
        } else {
            message.protocol_id = reader.octet("protocol_id")?;
            message.priority = reader.octet("priority_flag")?;
            message.schedule = reader.string("schedule_delivery_time")?;
            message.validity = reader.string("validity_period")?;
            message.registered_delivery = reader.octet("registered_delivery")?;
            message.replace_if_present = reader.octet("replace_if_present_flag")?;
            message.data_coding = reader.octet("data_coding")?;
            message.default_message = reader.octet("sm_default_msg_id")?;
            let length = usize::from(reader.octet("sm_length")?);
            message.short_message = reader.octets(length, "short_message")?.to_vec();
        }
        message.tlvs = Tlvs::decode(reader.rest());
        Ok(message)
    }

    fn encode_into(&self, kind: Kind, out: &mut Vec<u8>) {
        put_string(out, &self.service_type);
        self.source.encode_into(out);
        self.destination.encode_into(out);
        out.push(self.esm_class);
        if kind == Kind::Data {
            out.extend_from_slice(&[self.registered_delivery, self.data_coding]);
        } else {
            out.extend_from_slice(&[self.protocol_id, self.priority]);
            put_string(out, &self.schedule);
            put_string(out, &self.validity);
            let flags = [self.registered_delivery, self.replace_if_present, self.data_coding, self.default_message];
            out.extend_from_slice(&flags);
            // A longer text has no place here; whoever makes messages puts it into the payload.
            let text = &self.short_message[..self.short_message.len().min(usize::from(u8::MAX))];
            out.push(text.len() as u8);
            out.extend_from_slice(text);
        }
        self.tlvs.encode_into(out);
    }
}

impl Pdu {
    /// A request.
    pub const fn request(sequence: u32, body: Body) -> Self {
        Self { status: Status::OK, sequence, body }
    }

    /// Reads a whole PDU, as [`super::Frames`] cuts them.
    ///
    /// # Errors
    /// [`Unreadable`]: its header, so that it can be answered.
    pub fn decode(octets: &[u8]) -> Result<Self, Unreadable> {
        let word =
            |at: usize| octets.get(at..at + 4).map_or(0, |four| four.iter().fold(0, |n, o| n << 8 | u32::from(*o)));
        let (command, status, sequence) = (word(4), Status(word(8)), word(12));
        let body = octets.get(HEADER_OCTETS..).unwrap_or_default();
        match Body::decode(command, status, body) {
            Ok(body) => Ok(Self { status, sequence, body }),
            Err(error) => Err(Unreadable { command, status, sequence, error }),
        }
    }

    /// Writes it behind what is there.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        for word in [0, self.body.command(), self.status.0, self.sequence] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        self.body.encode_into(self.status, out);
        let length = (out.len() - begin) as u32;
        out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out);
        out
    }
}

impl Body {
    /// `command_id`.
    pub const fn command(&self) -> u32 {
        match self {
            Self::Bind(mode, _) => mode.command(),
            Self::BindResp(mode, _) => mode.command() | RESPONSE,
            Self::Message(kind, _) => kind.command(),
            Self::MessageResp(kind, _) => kind.command() | RESPONSE,
            Self::Unbind => UNBIND,
            Self::UnbindResp => UNBIND | RESPONSE,
            Self::EnquireLink => ENQUIRE_LINK,
            Self::EnquireLinkResp => ENQUIRE_LINK | RESPONSE,
            Self::GenericNack => GENERIC_NACK,
            Self::Outbind => OUTBIND,
            Self::AlertNotification => ALERT_NOTIFICATION,
            Self::Other(command) => *command,
        }
    }

    /// Whether somebody has to answer it.
    pub const fn is_request(&self) -> bool {
        is_request(self.command())
    }

    fn decode(command: u32, status: Status, body: &[u8]) -> Result<Self, PduError> {
        let mode = |command: u32| match command & !RESPONSE {
            BIND_TRANSMITTER => Some(Mode::Transmitter),
            BIND_RECEIVER => Some(Mode::Receiver),
            BIND_TRANSCEIVER => Some(Mode::Transceiver),
            _ => None,
        };
        let kind = |command: u32| match command & !RESPONSE {
            SUBMIT_SM => Some(Kind::Submit),
            DELIVER_SM => Some(Kind::Deliver),
            DATA_SM => Some(Kind::Data),
            _ => None,
        };
        let is_response = command & RESPONSE != 0;
        Ok(match (command, mode(command), kind(command)) {
            (GENERIC_NACK, ..) => Self::GenericNack,
            (_, Some(mode), _) if is_response => Self::BindResp(mode, BindResp::decode(body)?),
            (_, Some(mode), _) => Self::Bind(mode, Bind::decode(body)?),
            // A refusal needs no body (4.4.2), and what stands there all the same is nobody's id.
            (_, _, Some(kind)) if is_response && status != Status::OK => Self::MessageResp(kind, String::new()),
            (_, _, Some(kind)) if is_response => Self::MessageResp(kind, Reader::new(body).last_string("message_id")?),
            (_, _, Some(kind)) => Self::Message(kind, Box::new(Message::decode(kind, body)?)),
            (UNBIND, ..) => Self::Unbind,
            (ENQUIRE_LINK, ..) => Self::EnquireLink,
            (OUTBIND, ..) => Self::Outbind,
            (ALERT_NOTIFICATION, ..) => Self::AlertNotification,
            _ if command == UNBIND | RESPONSE => Self::UnbindResp,
            _ if command == ENQUIRE_LINK | RESPONSE => Self::EnquireLinkResp,
            _ => Self::Other(command),
        })
    }

    fn encode_into(&self, status: Status, out: &mut Vec<u8>) {
        match self {
            Self::Bind(_, bind) => bind.encode_into(out),
            Self::BindResp(_, resp) if status == Status::OK => {
                put_string(out, &resp.system_id);
                resp.tlvs.encode_into(out);
            }
            Self::Message(kind, message) => message.encode_into(*kind, out),
            Self::MessageResp(_, id) if status == Status::OK => put_string(out, id),
            // 4.6.2: the field is there, and unused.
            Self::MessageResp(Kind::Deliver, _) => out.push(0),
            _ => {}
        }
    }
}

impl Bind {
    fn decode(body: &[u8]) -> Result<Self, PduError> {
        let mut reader = Reader::new(body);
        Ok(Self {
            system_id: reader.string("system_id")?,
            password: reader.string("password")?,
            system_type: reader.string("system_type")?,
            interface_version: reader.octet("interface_version")?,
            addresses: Address::decode(&mut reader, "address_range")?,
        })
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        for text in [&self.system_id, &self.password, &self.system_type] {
            put_string(out, text);
        }
        out.push(self.interface_version);
        self.addresses.encode_into(out);
    }
}

impl BindResp {
    fn decode(body: &[u8]) -> Result<Self, PduError> {
        let mut reader = Reader::new(body);
        let system_id = reader.last_string("system_id")?;
        Ok(Self { system_id, tlvs: Tlvs::decode(reader.rest()) })
    }
}
