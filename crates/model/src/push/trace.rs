//! How a notification came to be and what became of it, as it is kept and shown: no content, no number. No I/O, no clock.

use serde::{Deserialize, Serialize};

use super::Channel;
use crate::Timestamp;

/// Windows that are told of one by one as spared by a notification; later ones are only counted.
pub const SPARED_MAX: usize = 50;

/// The trace of a notification. The attempts, with their services, references and reports, stand in the timeline of the message
/// of the same id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The account.
    pub account: String,
    /// The device.
    pub device: String,
    /// Its number among the device's.
    pub seq: u64,
    /// Where it stands.
    pub state: NoticeState,
    /// When the window was opened: the first change.
    pub opened: Timestamp,
    /// When the window had to be closed.
    pub deadline: Timestamp,
    /// When it was closed and the notification made.
    pub made: Timestamp,
    /// When the notification was handed to the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_over: Option<Timestamp>,
    /// Changes that were merged into it.
    pub events: u32,
    /// The canonical names of what it tells of, in its order.
    pub resources: Vec<String>,
    /// Of those that changed, how many an earlier notification without confirmation tells of, which therefore are not repeated.
    #[serde(default)]
    pub told_before: u32,
    /// The earlier notifications that do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told_by: Vec<u64>,
    /// The numbers of earlier notifications that were not sent when this one was made, and whose sets it has, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<u64>,
    /// The id of the later notification that has its set, because of which it was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// The way it went.
    pub channel: Channel,
    /// Why that one.
    pub chosen_because: String,
    /// Packages it took: deliveries of the message.
    pub packages: u32,
    /// Later windows that needed no notification, since this one tells of all of theirs and was not confirmed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<Spared>,
    /// How many there were.
    #[serde(default)]
    pub spared_count: u64,
    /// What became of each package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<PackageEnd>,
    /// When and by what it was known that the device has heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmed>,
}

/// Where a notification stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It is made and about to be handed over.
    Sending,
    /// The channel has it; nothing is proved.
    Accepted,
    /// The device has it: a delivery report, or it synchronised.
    Delivered,
    /// Its time was over before it was proved.
    Expired,
    /// It was not delivered. What it tells of goes with the next one.
    Undeliverable,
    /// It was not sent: a later notification, made while this one waited, has its set, too.
    Superseded,
}

/// A window that needed no notification.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spared {
    /// When it was opened.
    pub opened: Timestamp,
    /// When it was closed.
    pub closed: Timestamp,
    /// Its changes.
    pub events: u32,
}

/// What became of a package.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PackageEnd {
    /// Which: the delivery of the message.
    pub delivery: u32,
    /// The delivery's final state; `superseded`, where a later notification has its set.
    pub state: String,
    /// Why, as the timeline says it.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How it was known that the device has heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Confirmed {
    /// By what.
    pub by: ConfirmedBy,
    /// When.
    pub at: Timestamp,
}

/// What proves that a device has heard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// A delivery report.
    Report,
    /// It synchronised.
    Sync,
}
