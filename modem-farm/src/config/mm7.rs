//! What a farm node is told of a relay that speaks MM7: where it is, who we are to it, how it wants things, who may report.
//! Knows keys and limits; must not open anything.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use hyper::Uri;
use model::{LinkName, RouteId};
use serde::{Deserialize, Serialize};
use wire::mm7;

use super::ConfigRefused;

/// Where relays bring reports, for all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Where the node listens; each relay posts to `/mm7/NAME`.
    pub listen: SocketAddr,
    /// The certificate the node shows; empty: plain HTTP.
    pub certificate_file: PathBuf,
    /// The certificate's key.
    pub key_file: PathBuf,
}

/// A relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mm7 {
    /// The account, and the name of its link: what reports are found by.
    pub name: LinkName,
    /// The route it serves.
    pub route: RouteId,
    /// Where messages are posted.
    pub url: String,
    /// The authorities its certificate may be of.
    pub ca_file: PathBuf,
    /// Our certificate, where it wants one.
    pub certificate_file: PathBuf,
    /// The certificate's key.
    pub key_file: PathBuf,
    /// Who we are to its HTTP server; empty: nobody.
    pub user: String,
    /// A file with the password, readable by this user only.
    pub password_file: PathBuf,
    /// The environment variable with the password, where there is no file.
    pub password_env: String,
    /// `VASPID`.
    pub vasp_id: String,
    /// `VASID`.
    pub vas_id: String,
    /// The sender; empty: the relay's choice.
    pub sender: String,
    /// What kind of address that is.
    pub sender_kind: SenderKind,
    /// `ServiceCode`.
    pub service_code: String,
    /// `MM7Version`.
    pub version: String,
    /// The namespace that goes with it; without a colon, the end of the usual one.
    pub namespace: String,
    /// How recipients are written.
    pub numbers: Numbers,
    /// Which messages get a presentation.
    pub presentation: Presentation,
    /// Whether media travel as they are; else as base64.
    pub binary: bool,
    /// Octets of all media of one message.
    pub media_bytes_max: usize,
    /// Messages under way at once.
    pub window: u32,
    /// Messages in one second; 0: no limit.
    pub messages_per_second: u32,
    /// Messages a day through this node; 0: no limit.
    pub messages_per_day: u32,
    /// When the relay's day begins, as its distance from UTC.
    pub utc_offset_minutes: i32,
    /// Whether the relay knows a repeated `TransactionID` and does nothing then.
    pub knows_repeats: bool,
    /// Who brings reports, as HTTP knows it; empty: whoever comes from `report_sources`.
    pub report_user: String,
    /// A file with that one's password.
    pub report_password_file: PathBuf,
    /// The environment variable with it, where there is no file.
    pub report_password_env: String,
    /// The addresses reports may come from; empty: any, with the password.
    pub report_sources: Vec<IpAddr>,
    /// What the relay means by statuses of its own.
    pub statuses: BTreeMap<String, Meaning>,
    /// How long a connection may take.
    pub connect_seconds_max: u64,
    /// How long an answer may take; after it the message counts as uncertain.
    pub answer_seconds_max: u64,
    /// The first pause after the relay could not be reached or had too much; each that follows is twice as long.
    pub rest_ms_first: u64,
    /// The longest.
    pub rest_ms_max: u64,
}

/// What kind of address a sender is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SenderKind {
    /// `ShortCode`.
    #[default]
    ShortCode,
    /// `Number`.
    Number,
    /// `RFC2822Address`.
    Mail,
}

/// How recipients are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// `+447700900123`.
    #[default]
    Plus,
    /// `447700900123`.
    Digits,
    /// `+447700900123/TYPE=PLMN`.
    Typed,
}

/// Which messages get a presentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presentation {
    /// Those with slides.
    #[default]
    OfSlides,
    /// All.
    Always,
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
    /// All messages would be refused.
    Stop,
}

/// Messages under way with one relay.
const WINDOW_MAX: u32 = 256;
/// Octets of media: what the lanes carry with room to spare.
const MEDIA_BYTES_MAX: usize = 600_000;

impl Default for Reports {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8007)),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
        }
    }
}

impl Default for Mm7 {
    fn default() -> Self {
        Self {
            name: LinkName::new("relay-1").expect("a literal name"),
            route: RouteId::new("route-1").expect("a literal name"),
            url: "http://127.0.0.1:8006/mm7".to_owned(),
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            password_env: String::new(),
            vasp_id: "carillon".to_owned(),
            vas_id: String::new(),
            sender: String::new(),
            sender_kind: SenderKind::default(),
            service_code: String::new(),
            version: mm7::VERSION.to_owned(),
            namespace: "REL-6-MM7-1-4".to_owned(),
            numbers: Numbers::default(),
            presentation: Presentation::default(),
            binary: false,
            media_bytes_max: 300_000,
            window: 4,
            messages_per_second: 0,
            messages_per_day: 0,
            utc_offset_minutes: 0,
            knows_repeats: false,
            report_user: String::new(),
            report_password_file: PathBuf::new(),
            report_password_env: String::new(),
            report_sources: Vec::new(),
            statuses: BTreeMap::new(),
            connect_seconds_max: 10,
            answer_seconds_max: 60,
            rest_ms_first: 1_000,
            rest_ms_max: 60_000,
        }
    }
}

impl Mm7 {
    /// Whether anybody may bring reports: else none are asked for.
    pub fn takes_reports(&self) -> bool {
        !self.report_user.is_empty() || !self.report_sources.is_empty()
    }

    /// Where messages are posted.
    pub(crate) fn uri(&self) -> Option<Uri> {
        crate::http::uri(&self.url)
    }

    /// Checks what types cannot.
    pub(super) fn validate(&self) -> Result<(), ConfigRefused> {
        let refused = |key, mend| Err(ConfigRefused::Key { kind: "relay", name: self.name.clone(), key, mend });
        if self.name.as_str().bytes().all(|octet| octet.is_ascii_digit()) {
            // Else it could be taken for a SIM's, whose receipts are found in the same place.
            return refused("name", "give it a name with a letter in it");
        }
        let Some(uri) = self.uri() else {
            return refused("url", "write `http://HOST:PORT/PATH` or `https://…`, without a user in it");
        };
        if uri.scheme_str() == Some("https") && self.ca_file.as_os_str().is_empty() {
            return refused("ca_file", "name the authority of its certificate (PEM), since the url is https");
        }
        if self.certificate_file.as_os_str().is_empty() != self.key_file.as_os_str().is_empty() {
            return refused("key_file", "give certificate_file and key_file both, or neither");
        }
        let has_password = !self.report_password_file.as_os_str().is_empty() || !self.report_password_env.is_empty();
        let plain = |text: &str| !text.contains(['\r', '\n']);
        let in_range = [
            ("user", plain(&self.user) && !self.user.contains(':'), "no colon and no line break"),
            (
                "report_password_file",
                self.report_user.is_empty() || has_password,
                "report_user needs report_password_file or report_password_env",
            ),
            ("version", !self.version.is_empty(), "it must not be empty, for example `6.8.0`"),
            ("namespace", !self.namespace.is_empty(), "it must not be empty, for example `REL-6-MM7-1-4`"),
            ("media_bytes_max", (1..=MEDIA_BYTES_MAX).contains(&self.media_bytes_max), "write 1 to 600000"),
            ("window", (1..=WINDOW_MAX).contains(&self.window), "write 1 to 256"),
            ("connect_seconds_max", self.connect_seconds_max > 0, "write 1 or more"),
            ("answer_seconds_max", self.answer_seconds_max > 0, "write 1 or more"),
            ("rest_ms_first", self.rest_ms_first > 0, "write 1 or more"),
            (
                "statuses",
                self.statuses.keys().all(|code| code.parse::<u32>().is_ok()),
                "each key is a status code in decimal digits",
            ),
        ];
        in_range.into_iter().find(|(_, fits, _)| !fits).map_or(Ok(()), |(key, _, mend)| refused(key, mend))
    }

    /// The namespace, whole.
    pub(crate) fn namespace(&self) -> String {
        if self.namespace.contains(':') {
            self.namespace.clone()
        } else {
            format!("{}{}", mm7::NAMESPACE_BASE, self.namespace)
        }
    }

    /// How it wants messages.
    pub(crate) fn style(&self) -> mm7::Style {
        let sender = self.sender.clone();
        mm7::Style {
            version: self.version.clone(),
            namespace: self.namespace(),
            vasp_id: self.vasp_id.clone(),
            vas_id: self.vas_id.clone(),
            sender: (!sender.is_empty()).then_some(match self.sender_kind {
                SenderKind::ShortCode => mm7::Sender::ShortCode(sender),
                SenderKind::Number => mm7::Sender::Number(sender),
                SenderKind::Mail => mm7::Sender::Mail(sender),
            }),
            service_code: self.service_code.clone(),
            numbers: match self.numbers {
                Numbers::Plus => mm7::NumberForm::Plus,
                Numbers::Digits => mm7::NumberForm::Digits,
                Numbers::Typed => mm7::NumberForm::Typed,
            },
            presentation: match self.presentation {
                Presentation::OfSlides => mm7::Presentation::OfSlides,
                Presentation::Always => mm7::Presentation::Always,
            },
            encoding: if self.binary { mm7::Encoding::Binary } else { mm7::Encoding::Base64 },
            media_octets_max: self.media_bytes_max,
        }
    }

    /// What its own statuses mean.
    pub(crate) fn classes(&self) -> BTreeMap<u32, mm7::Class> {
        let class = |meaning: &Meaning| match meaning {
            Meaning::Taken => mm7::Class::Taken,
            Meaning::Temporary => mm7::Class::Temporary,
            Meaning::Throttled => mm7::Class::Throttled,
            Meaning::Permanent => mm7::Class::Permanent,
            Meaning::Uncertain => mm7::Class::Uncertain,
            Meaning::Stop => mm7::Class::Stop,
        };
        self.statuses.iter().filter_map(|(code, meaning)| Some((code.parse().ok()?, class(meaning)))).collect()
    }
}
