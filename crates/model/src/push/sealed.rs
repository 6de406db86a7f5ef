//! What of an account is personal or secret, as it is kept: sealed with a data key of its tenant's. Draws nonces, reads no clock.

use serde::{Deserialize, Serialize};

use crate::keyring::Keyring;
use crate::seal::{DataKey, SealError};
use crate::{TenantId, hex};

/// Something personal or secret, sealed with a data key of the tenant's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedText {
    /// The data key.
    pub data_key: String,
    /// What [`DataKey::seal_bytes`] made of it, in hexadecimal digits.
    pub sealed: String,
}

impl SealedText {
    /// Seals a text of a tenant's with the tenant's newest key.
    #[must_use]
    pub fn seal(key: &DataKey, tenant: &TenantId, text: &str) -> Self {
        let sealed = key.seal_bytes(&binding(tenant), text.as_bytes());
        SealedText { data_key: key.id().to_owned(), sealed: hex::digits(&sealed) }
    }

    /// The text.
    ///
    /// # Errors
    /// [`SealError`]: the key is gone, or the text is another tenant's, or damaged.
    pub fn open(&self, ring: &Keyring, tenant: &TenantId) -> Result<String, SealError> {
        let key = ring.key(&self.data_key)?;
        let broken = || SealError::Broken(self.data_key.clone());
        let sealed = hex::octets(&self.sealed).ok_or_else(broken)?;
        String::from_utf8(key.open_bytes(&binding(tenant), &sealed)?).map_err(|_| broken())
    }
}

impl std::fmt::Debug for SealedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedText(..)")
    }
}

/// One tenant's text is no other's, whoever writes into the store.
fn binding(tenant: &TenantId) -> Vec<u8> {
    [b"push\0", tenant.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::keyring::MasterKey;

    #[test]
    fn only_its_tenant_reads_it() {
        let [acme, blue] = ["acme", "blue"].map(|name| TenantId::new(name).unwrap());
        let master = MasterKey::new([1; 32]);
        let ring = Keyring::open(&master, &[master.mint(&acme, Timestamp(1), [7; 32])], Timestamp(2)).unwrap();
        let (_, key) = ring.newest(&acme).unwrap();
        let sealed = SealedText::seal(key, &acme, "sécret");
        assert_eq!(sealed.open(&ring, &acme).as_deref(), Ok("sécret"));
        assert!(matches!(sealed.open(&ring, &blue), Err(SealError::Broken(_))));
        for damaged in ["", "0", "zz", &sealed.sealed[2..]] {
            let damaged = SealedText { sealed: damaged.to_owned(), ..sealed.clone() };
            assert!(matches!(damaged.open(&ring, &acme), Err(SealError::Broken(_))));
        }
        let lost = SealedText { data_key: "acme.9".to_owned(), ..sealed };
        assert!(matches!(lost.open(&ring, &acme), Err(SealError::NoKey(_))));
        assert_eq!(format!("{lost:?}"), "SealedText(..)");
    }
}
