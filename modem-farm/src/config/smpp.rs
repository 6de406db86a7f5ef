//! What a farm node is told of a supplier who speaks SMPP: where he is, who we are to him, how he wants things. Knows keys and
//! limits; must not open anything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::{LinkName, RouteId};
use serde::{Deserialize, Serialize};
use wire::smpp;

use super::ConfigRefused;

/// A supplier and the binds to him.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smpp {
    /// The account: what receipts are found by, and what its links are named after (`NAME-1`, `NAME-2`, …).
    pub name: LinkName,
    /// The route its binds serve.
    pub route: RouteId,
    /// The service centre, `host:port`.
    pub address: String,
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// The authorities its certificate may be of.
    pub ca_file: PathBuf,
    /// The name its certificate has; empty: the host of `address`.
    pub server_name: String,
    /// Our certificate, where it wants one.
    pub certificate_file: PathBuf,
    /// The certificate's key.
    pub key_file: PathBuf,
    /// Who we are.
    pub system_id: String,
    /// A file with the password, readable by this user only.
    pub password_file: PathBuf,
    /// The environment variable with the password, where there is no file.
    pub password_env: String,
    /// What kind of system we are.
    pub system_type: String,
    /// How we bind.
    pub bind: BindAs,
    /// How many links there are.
    pub binds: u32,
    /// Messages under way at once on each.
    pub window: u32,
    /// Segments in one second through each link; 0: no limit.
    pub segments_per_second: u32,
    /// Segments in one second through all links of this node; 0: no limit.
    pub account_segments_per_second: u32,
    /// Segments a day through all links of this node; 0: no limit.
    pub account_segments_per_day: u32,
    /// How far the supplier's clock is ahead of UTC: when his day begins, and what the times of receipts mean.
    pub utc_offset_minutes: i32,
    /// The sender; empty: the supplier's choice.
    pub source: String,
    /// Type of number of the sender.
    pub source_ton: u8,
    /// Numbering plan of the sender.
    pub source_npi: u8,
    /// Type of number of recipients.
    pub destination_ton: u8,
    /// Numbering plan of recipients.
    pub destination_npi: u8,
    /// How recipients are written.
    pub numbers: Numbers,
    /// The calling code national numbers in receipts belong to; empty: there are none.
    pub country_code: String,
    /// `service_type`.
    pub service_type: String,
    /// The command messages travel in.
    pub submit: SubmitAs,
    /// How the parts of long texts are told.
    pub long_texts: LongTexts,
    /// The alphabet of texts that are in it.
    pub alphabet: Alphabet,
    /// How the validity is told.
    pub validity: Validity,
    /// How ids are written in answers.
    pub response_id: MessageId,
    /// How ids are written in receipts.
    pub receipt_id: MessageId,
    /// Where the recipient stands in receipts.
    pub receipt_recipient: ReceiptRecipient,
    /// What the supplier means by statuses, where he means something else: `"0x0400" = "permanent"`.
    pub statuses: BTreeMap<String, Meaning>,
    /// How long making a connection may take.
    pub connect_seconds_max: u64,
    /// How long the answer to a bind may take.
    pub bind_seconds_max: u64,
    /// How long the answer to a message may take before it counts as uncertain.
    pub answer_seconds_max: u64,
    /// After so much silence the service centre is asked whether it is there.
    pub enquire_seconds: u64,
    /// How long it may take to say anything then.
    pub enquire_answer_seconds_max: u64,
    /// How long an orderly end may take.
    pub unbind_seconds_max: u64,
    /// The first pause before binding again; each that follows is twice as long.
    pub rebind_ms_first: u64,
    /// The longest.
    pub rebind_ms_max: u64,
    /// The first pause after "too much", and so on.
    pub throttle_ms_first: u64,
    /// The longest.
    pub throttle_ms_max: u64,
}

/// How we bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindAs {
    /// One connection for both ways.
    #[default]
    Transceiver,
    /// Two connections, one a way.
    TransmitterReceiver,
    /// One connection, and no receipts or messages over it.
    Transmitter,
}

/// How recipients are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// `447700900123`.
    #[default]
    Digits,
    /// `+447700900123`.
    Plus,
    /// `00447700900123`.
    Zeros,
}

/// The command messages travel in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubmitAs {
    /// `submit_sm`.
    #[default]
    SubmitSm,
    /// `data_sm`, with the text as payload.
    DataSm,
}

/// How the parts of long texts are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LongTexts {
    /// A user data header with an 8-bit reference.
    #[default]
    Udh8,
    /// A user data header with a 16-bit reference.
    Udh16,
    /// Optional parameters.
    Sar,
    /// Whole, as `message_payload`.
    Payload,
}

/// The alphabet of texts that are in it; all others travel as UCS-2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// GSM 7-bit, an octet a septet, as `data_coding` 0.
    #[default]
    Gsm7,
    /// Latin-1 as `data_coding` 3.
    Latin1,
    /// Latin-1 as `data_coding` 0.
    Latin1AsDefault,
    /// None.
    Ucs2,
}

/// How the validity is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validity {
    /// So long from when the supplier takes it.
    #[default]
    Relative,
    /// Until a moment, in UTC.
    Absolute,
    /// Not at all.
    None,
}

/// How ids are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageId {
    /// As a text that is always the same.
    #[default]
    Text,
    /// As a text whose capitals and leading zeros vary.
    Loose,
    /// As a hexadecimal number.
    Hex,
    /// As a decimal number.
    Decimal,
}

/// Where the recipient stands in receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiptRecipient {
    /// They come from him.
    #[default]
    Source,
    /// They are addressed as the message was.
    Destination,
}

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// The message was taken all the same.
    Taken,
    /// Another attempt may succeed.
    Temporary,
    /// Too much at once.
    Throttled,
    /// The message itself is refused.
    Permanent,
    /// It may have been taken.
    Uncertain,
    /// The bind is no good any more.
    Bind,
}

/// Links of one supplier on one node.
const BINDS_MAX: u32 = 64;
/// Messages under way on one link.
const WINDOW_MAX: u32 = 4096;
/// Messages that came over one link and are not durable yet; what exceeds it is asked to come again.
const ARRIVALS_MAX: usize = 8192;

impl Default for Smpp {
    fn default() -> Self {
        Self {
            name: LinkName::new("supplier-1").expect("a literal name"),
            route: RouteId::new("route-1").expect("a literal name"),
            address: "127.0.0.1:2775".to_owned(),
            tls: false,
            ca_file: PathBuf::new(),
            server_name: String::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            system_id: "carillon".to_owned(),
            password_file: PathBuf::new(),
            password_env: String::new(),
            system_type: String::new(),
            bind: BindAs::default(),
            binds: 1,
            window: 10,
            segments_per_second: 0,
            account_segments_per_second: 0,
            account_segments_per_day: 0,
            utc_offset_minutes: 0,
            source: String::new(),
            source_ton: 5,
            source_npi: 0,
            destination_ton: 1,
            destination_npi: 1,
            numbers: Numbers::default(),
            country_code: String::new(),
            service_type: String::new(),
            submit: SubmitAs::default(),
            long_texts: LongTexts::default(),
            alphabet: Alphabet::default(),
            validity: Validity::default(),
            response_id: MessageId::default(),
            receipt_id: MessageId::default(),
            receipt_recipient: ReceiptRecipient::default(),
            statuses: BTreeMap::new(),
            connect_seconds_max: 10,
            bind_seconds_max: 10,
            answer_seconds_max: 60,
            enquire_seconds: 30,
            enquire_answer_seconds_max: 15,
            unbind_seconds_max: 5,
            rebind_ms_first: 1_000,
            rebind_ms_max: 60_000,
            throttle_ms_first: 500,
            throttle_ms_max: 30_000,
        }
    }
}

impl Smpp {
    /// The names of its links.
    pub fn link_names(&self) -> impl Iterator<Item = LinkName> + use<> {
        let name = self.name.clone();
        (1..=self.binds).map(move |number| LinkName::new(&format!("{name}-{number}")).expect("it was checked"))
    }

    /// Checks what types cannot.
    pub(super) fn validate(&self) -> Result<(), ConfigRefused> {
        let refused = |key, mend| Err(ConfigRefused::Key { kind: "supplier", name: self.name.clone(), key, mend });
        let numbered = |number: u32| LinkName::new(&format!("{}-{number}", self.name)).is_ok();
        if self.name.as_str().bytes().all(|octet| octet.is_ascii_digit()) || !numbered(BINDS_MAX) {
            // Else it could be taken for a SIM's, whose receipts are found in the same place.
            return refused("name", "give it a shorter name, with a letter in it");
        }
        if !self.address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return refused("address", "write `HOST:PORT`");
        }
        if self.tls && self.ca_file.as_os_str().is_empty() {
            return refused("ca_file", "name the authority of its certificate (PEM), since tls is on");
        }
        if self.certificate_file.as_os_str().is_empty() != self.key_file.as_os_str().is_empty() {
            return refused("key_file", "give certificate_file and key_file both, or neither");
        }
        if smpp::Address::new(self.source_ton, self.source_npi, &self.source).is_err() {
            return refused("source", "write at most 20 characters");
        }
        let in_range = [
            ("binds", (1..=BINDS_MAX).contains(&self.binds), "write 1 to 64"),
            ("window", (1..=WINDOW_MAX).contains(&self.window), "write 1 to 4096"),
            ("connect_seconds_max", self.connect_seconds_max > 0, "write 1 or more"),
            ("bind_seconds_max", self.bind_seconds_max > 0, "write 1 or more"),
            ("answer_seconds_max", self.answer_seconds_max > 0, "write 1 or more"),
            ("enquire_seconds", self.enquire_seconds > 0, "write 1 or more"),
            ("enquire_answer_seconds_max", self.enquire_answer_seconds_max > 0, "write 1 or more"),
            ("rebind_ms_first", self.rebind_ms_first > 0, "write 1 or more"),
            ("throttle_ms_first", self.throttle_ms_first > 0, "write 1 or more"),
            (
                "statuses",
                self.statuses.keys().all(|code| code_of(code).is_some()),
                "each key is a status, `0x0400` or `1024`",
            ),
            ("country_code", self.country_code.bytes().all(|octet| octet.is_ascii_digit()), "write its digits only"),
        ];
        in_range.into_iter().find(|(_, fits, _)| !fits).map_or(Ok(()), |(key, _, mend)| refused(key, mend))
    }

    /// How it wants messages.
    pub(crate) fn style(&self) -> smpp::Style {
        let source = smpp::Address::new(self.source_ton, self.source_npi, &self.source).unwrap_or_default();
        smpp::Style {
            submit_with: match self.submit {
                SubmitAs::SubmitSm => smpp::SubmitWith::SubmitSm,
                SubmitAs::DataSm => smpp::SubmitWith::DataSm,
            },
            concatenation: match self.long_texts {
                LongTexts::Udh8 => smpp::Concatenation::Udh8,
                LongTexts::Udh16 => smpp::Concatenation::Udh16,
                LongTexts::Sar => smpp::Concatenation::Sar,
                LongTexts::Payload => smpp::Concatenation::Payload,
            },
            coding: self.coding(),
            // Without a sender there is no type of one either (SMPP 3.4, 4.4.1).
            source: if self.source.is_empty() { smpp::Address::default() } else { source },
            destination: (self.destination_ton, self.destination_npi),
            number_form: match self.numbers {
                Numbers::Digits => smpp::NumberForm::Digits,
                Numbers::Plus => smpp::NumberForm::Plus,
                Numbers::Zeros => smpp::NumberForm::Zeros,
            },
            validity: match self.validity {
                Validity::Relative => smpp::ValidityForm::Relative,
                Validity::Absolute => smpp::ValidityForm::Absolute,
                Validity::None => smpp::ValidityForm::None,
            },
            service_type: self.service_type.clone(),
        }
    }

    /// What its default alphabet is.
    pub(crate) fn coding(&self) -> smpp::DefaultCoding {
        match self.alphabet {
            Alphabet::Gsm7 => smpp::DefaultCoding::Gsm7,
            Alphabet::Latin1 => smpp::DefaultCoding::Latin1,
            Alphabet::Latin1AsDefault => smpp::DefaultCoding::Latin1AsDefault,
            Alphabet::Ucs2 => smpp::DefaultCoding::Ucs2,
        }
    }

    /// How it writes receipts.
    pub(crate) fn receipts(&self) -> smpp::Receipts {
        let form = |id: MessageId| match id {
            MessageId::Text => smpp::IdForm::Text,
            MessageId::Loose => smpp::IdForm::Loose,
            MessageId::Hex => smpp::IdForm::Hex,
            MessageId::Decimal => smpp::IdForm::Decimal,
        };
        smpp::Receipts {
            response_id: form(self.response_id),
            receipt_id: form(self.receipt_id),
            recipient: match self.receipt_recipient {
                ReceiptRecipient::Source => smpp::Side::Source,
                ReceiptRecipient::Destination => smpp::Side::Destination,
            },
            country: self.country_code.clone(),
            utc_offset_minutes: self.utc_offset_minutes,
        }
    }

    /// How to speak to it, in this mode and with this password.
    pub(crate) fn profile(&self, mode: smpp::Mode, password: &str) -> smpp::Profile {
        let bind = smpp::Bind {
            system_id: self.system_id.clone(),
            password: password.to_owned(),
            system_type: self.system_type.clone(),
            interface_version: INTERFACE_VERSION,
            addresses: smpp::Address::default(),
        };
        let statuses = self.statuses.iter().filter_map(|(code, meaning)| Some((code_of(code)?, meaning.class())));
        smpp::Profile {
            mode,
            bind,
            window: self.window as usize,
            bind_wait: Duration::from_secs(self.bind_seconds_max),
            answer_wait: Duration::from_secs(self.answer_seconds_max),
            enquire_after: Duration::from_secs(self.enquire_seconds),
            enquire_wait: Duration::from_secs(self.enquire_answer_seconds_max),
            unbind_wait: Duration::from_secs(self.unbind_seconds_max),
            arrivals_max: ARRIVALS_MAX,
            pause_first: Duration::from_millis(self.throttle_ms_first),
            pause_longest: Duration::from_millis(self.throttle_ms_max),
            statuses: statuses.collect(),
        }
    }
}

/// SMPP 3.4.
const INTERFACE_VERSION: u8 = 0x34;

impl Meaning {
    const fn class(self) -> smpp::Class {
        match self {
            Self::Taken => smpp::Class::Taken,
            Self::Temporary => smpp::Class::Temporary,
            Self::Throttled => smpp::Class::Throttled,
            Self::Permanent => smpp::Class::Permanent,
            Self::Uncertain => smpp::Class::Uncertain,
            Self::Bind => smpp::Class::Bind,
        }
    }
}

/// A status as a key: `0x0400` or `1024`.
fn code_of(key: &str) -> Option<u32> {
    key.strip_prefix("0x").map_or_else(|| key.parse().ok(), |digits| u32::from_str_radix(digits, 16).ok())
}
