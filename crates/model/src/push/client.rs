//! Client models: what a make of phone understands. A table that a tenant edits; no I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Resource;

/// What devices of a model understand. Kept as a document by (tenant, name).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientModel {
    /// Its name, unique within the tenant.
    pub name: String,
    /// Whether devices of it can be notified.
    pub push: bool,
    /// The settings they take.
    pub ota: Ota,
    /// The notification they understand.
    pub san: San,
    /// Whether notifications are to be signed with the account's password.
    #[serde(default)]
    pub digest: bool,
    /// Whether a notification may name no data store and mean all of them.
    #[serde(default)]
    pub all_stores: bool,
    /// TP-DCS of what goes to them (octets, 3GPP 23.038).
    #[serde(default = "class_1_octets")]
    pub dcs: u8,
    /// What they call resources unless the device says something else, by the canonical name.
    #[serde(default)]
    pub resources: BTreeMap<String, Resource>,
}

const fn class_1_octets() -> u8 {
    0xf5
}

/// The kinds of notification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum San {
    /// OMA DS 1.2: the binary package.
    #[default]
    #[serde(rename = "ds-1.2")]
    Ds12,
    /// SyncML DS 1.1: package #0 in WBXML.
    #[serde(rename = "ds-1.1")]
    Ds11,
    /// SyncML DS 1.0: the same, as it was.
    #[serde(rename = "ds-1.0")]
    Ds10,
    /// OMA DM 1.2: names no data stores.
    #[serde(rename = "dm-1.2")]
    Dm12,
}

/// The kinds of settings sent over the air.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ota {
    /// None.
    #[default]
    None,
    /// OMA Client Provisioning.
    ClientProvisioning,
}
