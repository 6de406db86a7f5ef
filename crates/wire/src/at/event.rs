//! What goes into and comes out of an AT dialogue besides bytes. Plain values; must not know how the dialogue gets to them.

use std::fmt;

use super::fault::{Class, Fault};

/// What happened in the dialogue, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The modem is set up, registered and may be given a message.
    Ready(Box<Identity>),
    /// It may be given none until the next `Ready`. What was being sent has been answered by an event before this one.
    NotReady,
    /// The PDU is on its way to the port: from here on a loss of contact is [`Event::Unknown`].
    PduWritten,
    /// The network took the message. Without a reference: it said that it has had it before (CMS 197).
    Accepted { reference: Option<u8> },
    /// The message was surely not sent: the modem or the network refused it.
    Refused { fault: Fault, class: Class, stage: Stage },
    /// The message was surely not sent: its PDU was never written, and the modem did not say why.
    NotSent,
    /// The message may have been sent.
    Unknown,
    /// A status report, as TPDU. With a slot, [`super::Session::release`] is due once it is durable.
    Report { tpdu: Vec<u8>, slot: Option<Slot> },
    /// An inbound message, as TPDU. With a slot, [`super::Session::release`] is due once it is durable.
    Inbound { tpdu: Vec<u8>, slot: Option<Slot> },
    /// The SIM asks for its PIN. The answer is [`super::Session::enter_pin`] or [`super::Session::decline_pin`].
    PinNeeded { tries_left: Option<u8>, identity: Box<Identity> },
    /// Close the port, open it again, then call [`super::Session::opened`].
    Reopen,
    /// The session has tried what it may and stopped. Close the port; after a pause, `opened` starts anew.
    Down(Down),
}

/// How far a message had come when it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    BeforePdu,
    AfterPdu,
}

/// Why a session stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Down {
    /// The whole ladder was climbed without an answer.
    NoAnswer,
    /// There is no SIM.
    SimMissing,
    /// The SIM does not work or was refused by the network.
    SimFailed,
    /// The SIM wants a PIN and none may be entered.
    PinNeeded,
    /// The PIN was entered and refused: nobody may try again but a human.
    PinRefused,
    /// The SIM wants its PUK: never entered automatically.
    PukNeeded,
    /// The network refused the registration.
    RegistrationDenied,
    /// No network was found in time.
    NotRegistered,
    /// The SIM did not tell its IMSI.
    NoIdentity,
    /// The SIM has no service centre's address and the profile has none.
    NoServiceCentre,
    /// The modem refused a step it must take.
    StepRefused,
}

impl Down {
    /// The name for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::SimMissing => "sim-missing",
            Self::SimFailed => "sim-failed",
            Self::PinNeeded => "pin-needed",
            Self::PinRefused => "pin-refused",
            Self::PukNeeded => "puk-needed",
            Self::RegistrationDenied => "registration-denied",
            Self::NotRegistered => "not-registered",
            Self::NoIdentity => "no-identity",
            Self::NoServiceCentre => "no-service-centre",
            Self::StepRefused => "step-refused",
        }
    }
}

/// What the modem and its SIM say about themselves.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The maker, as the modem spells it.
    pub maker: String,
    /// The model, as the modem spells it.
    pub model: String,
    /// The firmware.
    pub firmware: String,
    /// The device's number; empty if it does not tell.
    pub imei: String,
    /// The subscriber's number in the network; never empty in `Ready`.
    pub imsi: String,
    /// The card's number; empty if it does not tell.
    pub iccid: String,
    /// The network registered with, as MCC and MNC where the modem gives digits.
    pub network: String,
    /// The state of registration.
    pub registration: Registration,
    /// `+CSQ`; 99 is unknown.
    pub signal: u8,
}

/// Leaves the SIM's numbers out: they are personal data.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("maker", &self.maker)
            .field("model", &self.model)
            .field("firmware", &self.firmware)
            .field("network", &self.network)
            .field("registration", &self.registration)
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}

/// The state of registration (3GPP TS 27.007, 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registration {
    #[default]
    Idle,
    Home,
    Searching,
    Denied,
    Unknown,
    Roaming,
}

impl Registration {
    /// 6 and 7 are "SMS only", home and roaming: enough for us. 8 is emergency only.
    pub(super) fn from_stat(stat: u8) -> Self {
        match stat {
            1 | 6 => Self::Home,
            2 => Self::Searching,
            3 => Self::Denied,
            5 | 7 => Self::Roaming,
            0 => Self::Idle,
            _ => Self::Unknown,
        }
    }

    /// Whether messages can be sent.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Home | Self::Roaming)
    }
}

/// A message store of the modem or its SIM (3GPP TS 27.005, 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    /// `SM`
    Sim,
    /// `ME`
    Device,
    /// `MT`
    Both,
    /// `SR`
    Reports,
}

impl Memory {
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"SM" => Some(Self::Sim),
            b"ME" => Some(Self::Device),
            b"MT" => Some(Self::Both),
            b"SR" => Some(Self::Reports),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sim => "SM",
            Self::Device => "ME",
            Self::Both => "MT",
            Self::Reports => "SR",
        }
    }
}

/// Where the modem keeps a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The store.
    pub memory: Memory,
    /// The place in it.
    pub index: u16,
}

/// One PDU to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Submit {
    tpdu: Box<[u8]>,
}

/// An SMS-SUBMIT has at most 12 + 1 + 1 + 7 + 1 + 140 octets (3GPP TS 23.040, 9.2.2.2) and cannot be shorter than 7.
const TPDU_OCTETS: std::ops::RangeInclusive<usize> = 7..=176;

impl Submit {
    /// Takes an encoded SMS-SUBMIT without the service centre's address; nothing if it cannot be one by its length.
    pub fn new(tpdu: impl Into<Box<[u8]>>) -> Option<Self> {
        let tpdu = tpdu.into();
        TPDU_OCTETS.contains(&tpdu.len()).then_some(Self { tpdu })
    }

    pub(super) fn tpdu(&self) -> &[u8] {
        &self.tpdu
    }
}

/// Shows the length only: number and text are in it.
impl fmt::Debug for Submit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Submit({} octets)", self.tpdu.len())
    }
}

/// Why a PDU was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefused {
    /// The dialogue is not at a point where anything may be sent.
    #[error("the modem is not ready")]
    NotReady,
    /// Another PDU is being sent.
    #[error("the modem is busy with another message")]
    Busy,
}

/// A SIM's PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Box<str>);

impl Pin {
    /// Takes 4 to 8 digits (3GPP TS 31.101, 9.3); nothing for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = (4..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| Self(text.into()))
    }

    pub(super) fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}
