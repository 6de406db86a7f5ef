//! An account: what changes, and the devices that are told of it. One document, so that it changes whole or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Device, SealedText};
use crate::TenantId;

/// Devices one account may have.
pub const ACCOUNT_DEVICES_MAX: usize = 16;
/// Octets of an account's address (RFC 5321, 4.5.3.1.3).
pub const ACCOUNT_BYTES_MAX: usize = 254;
/// The path of a synchronisation address that has none.
pub const SYNC_PATH: &str = "/syncml/";

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

/// What a tenant says of a domain, or of all of them. Kept as a document; its id is the domain, or [`AccessRule::ALL`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// Whether push may be used.
    pub access: Access,
    /// The path of synchronisation addresses that are given without one; empty: as for all domains, and there [`SYNC_PATH`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sync_path: String,
}

impl AccessRule {
    /// The id of the rule for all domains that have none of their own.
    pub const ALL: &str = "*";
}

impl Account {
    /// How the address `text` is written, if it is one: addresses are compared without regard to case (ASCII).
    #[must_use]
    pub fn id_of(text: &str) -> Option<String> {
        let (local, domain) = text.rsplit_once('@')?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        let fits = !local.is_empty() && !domain.is_empty() && text.len() <= ACCOUNT_BYTES_MAX && !text.contains(odd);
        fits.then(|| text.to_ascii_lowercase())
    }

    /// The domain an account's access is ruled by.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.id.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Who the user is to the synchronisation server.
    #[must_use]
    pub fn user(&self) -> &str {
        if self.user_name.is_empty() { &self.id } else { &self.user_name }
    }
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
    fn an_address_is_one_in_any_case() {
        assert_eq!(Account::id_of("Ann@Acme.Example").as_deref(), Some("ann@acme.example"));
        assert_eq!(Account::id_of("ZoË@b").as_deref(), Some("zoË@b"), "only ASCII has no case");
        for bad in ["", "ann", "@b", "a@", "a b@c", "a/b@c", "a@b\n", &format!("{}@b", "a".repeat(253))] {
            assert_eq!(Account::id_of(bad), None, "{bad}");
        }
    }

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
