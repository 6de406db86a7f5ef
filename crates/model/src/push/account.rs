//! An account: what changes, and the devices that are told of it. One document, so that it changes whole or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Device, SealedText};
use crate::TenantId;

/// Devices one account may have.
pub const ACCOUNT_DEVICES_MAX: usize = 16;

/// An account of a tenant's, with its devices. Kept as one document by (tenant, id).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Whose.
    pub tenant: TenantId,
    /// Its address, in lower case (ASCII).
    pub id: String,
    /// The synchronisation server's identifier, as it stands in the profile on the phones; ASCII, at most 255 octets.
    pub server_id: String,
    /// Where phones synchronise; corrected where that is safe.
    pub sync_url: String,
    /// The user's name to that server; empty: the address.
    #[serde(default)]
    pub user_name: String,
    /// Whether it may use push; `None`: as its domain says.
    #[serde(default)]
    pub access: Option<Access>,
    /// The password notifications are signed with, sealed; absent: they carry no digest.
    #[serde(default)]
    pub password: Option<SealedText>,
    /// Its devices, by id.
    #[serde(default)]
    pub devices: BTreeMap<String, Device>,
}

/// Whether push may be used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// By nobody.
    Off,
    /// By all.
    #[default]
    On,
    /// By accounts that are themselves set to [`Access::On`].
    Listed,
}

/// What a tenant says of a domain, or of all of them. Kept as a document; its id is the domain, or `*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// Whether push may be used.
    pub access: Access,
}

impl Access {
    /// Whether an account may use push: its own word counts more than its domain's, and that more than the tenant's.
    #[must_use]
    pub fn allows(own: Option<Access>, domain: Option<Access>, tenant: Option<Access>) -> bool {
        match own.or(domain).or(tenant).unwrap_or_default() {
            Access::On => true,
            Access::Off | Access::Listed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts() {
        use Access::{Listed, Off, On};
        assert!(Access::allows(None, None, None));
        assert!(!Access::allows(None, None, Some(Off)));
        assert!(Access::allows(None, Some(On), Some(Off)));
        assert!(!Access::allows(Some(Off), Some(On), Some(On)));
        assert!(!Access::allows(None, Some(Listed), None), "nobody listed it");
        assert!(Access::allows(Some(On), Some(Listed), Some(Off)));
    }
}
