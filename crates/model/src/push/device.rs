//! A device: how it is reached, what it calls its data stores, and whether it is to be told. No I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SealedText;
use crate::Timestamp;

/// Characters of a device's id.
pub const DEVICE_ID_CHARS_MAX: usize = 32;
/// Resources one device may map.
pub const DEVICE_RESOURCES_MAX: usize = 64;

/// A device of an account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Unique within the tenant.
    pub id: String,
    /// What kind it is, for people.
    #[serde(default)]
    pub kind: String,
    /// The client model it is one of.
    pub model: String,
    /// Its number; absent: no short message reaches it.
    #[serde(default)]
    pub number: Option<Number>,
    /// A number that somebody else says it has: the conflict to settle.
    #[serde(default)]
    pub reported: Option<Number>,
    /// The ways to it, the one to try first at the beginning.
    pub channels: Vec<Channel>,
    /// Whether it is told.
    pub standing: Standing,
    /// What it calls things: by the canonical name of the resource.
    #[serde(default)]
    pub resources: BTreeMap<String, Resource>,
    /// How it hears of its inbox.
    #[serde(default)]
    pub inbox: InboxBy,
    /// Permanent failures in a row, as of the last report.
    #[serde(default)]
    pub failures: u32,
    /// When its settings were sent last, and the message that carried them.
    #[serde(default)]
    pub configured: Option<(Timestamp, String)>,
    /// When it was answered about `PUSH` last.
    #[serde(default)]
    pub answered: Option<Timestamp>,
}

/// A number: sealed to be sent to, hashed to be found by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The keyed hash, in hexadecimal digits: [`crate::seal::NumberKey::digits`].
    pub hash: String,
    /// The number, E.164 with `+`.
    pub sealed: SealedText,
}

/// A way to a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A binary short message.
    Sms,
}

/// Whether a device is told, why not, and who said so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The state.
    pub state: DeviceState,
    /// Why, where it is disabled: `user`, `admin`, `hard_bounce`, `policy`, …
    #[serde(default)]
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Who said so: an API key's name, `device`, `network`.
    #[serde(default)]
    pub by: String,
    /// Until when it is paused; absent: until somebody resumes it.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// Whether a device is told of changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It is.
    Enabled,
    /// Not now; what changes meanwhile is told when it resumes.
    Paused,
    /// It is not, and nothing is kept for it.
    Disabled,
    /// Not by short message, until its number is settled; kept as for a paused one.
    NumberConflict,
}

/// What a device calls a resource, and how it is to synchronise it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its name on the device, to the last octet: phones compare it with what their user typed.
    pub name: String,
    /// How.
    #[serde(default)]
    pub sync: SyncKind,
    /// The media type of what is in it; empty: not said.
    #[serde(default)]
    pub content_type: String,
    /// Whether the device is told of it.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

/// How to synchronise, as an alert code of SyncML DS (206 to 210).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncKind {
    /// 206: both ways.
    #[default]
    TwoWay,
    /// 207: the device's changes only.
    OneWayFromClient,
    /// 208: the device's data replace the server's.
    RefreshFromClient,
    /// 209: the server's changes only.
    OneWayFromServer,
    /// 210: the server's data replace the device's.
    RefreshFromServer,
}

impl SyncKind {
    /// The alert code.
    #[must_use]
    pub const fn alert(self) -> u16 {
        match self {
            SyncKind::TwoWay => 206,
            SyncKind::OneWayFromClient => 207,
            SyncKind::RefreshFromClient => 208,
            SyncKind::OneWayFromServer => 209,
            SyncKind::RefreshFromServer => 210,
        }
    }
}

/// How a device hears of its inbox: by push mail or by a SyncML e-mail store, never by both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxBy {
    /// As any other resource, if it is mapped.
    #[default]
    Sync,
    /// By a mail program's own push: changes of the inbox are not told here.
    Mail,
}

/// The canonical name of an account's inbox, in any case (ASCII).
pub const INBOX: &str = "INBOX";

impl Device {
    /// Whether `text` can be a device's id.
    #[must_use]
    pub fn is_id(text: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:@+-".contains(c);
        (1..=DEVICE_ID_CHARS_MAX).contains(&text.len()) && text.chars().all(fits)
    }

    /// Whether its number is one that no other device of the tenant may have.
    #[must_use]
    pub fn holds_number(&self) -> bool {
        self.number.is_some() && matches!(self.standing.state, DeviceState::Enabled | DeviceState::Paused)
    }

    /// The state at `now`: a pause may be over by itself.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> DeviceState {
        match self.standing.state {
            DeviceState::Paused if self.standing.until.is_some_and(|until| until <= now) => DeviceState::Enabled,
            state => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_devices() {
        for good in ["a", "IMEI:493005100592800", "nokia-n9.ann@x", &"a".repeat(32)] {
            assert!(Device::is_id(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "é", "a,b", &"a".repeat(33)] {
            assert!(!Device::is_id(bad), "{bad}");
        }
    }
}
