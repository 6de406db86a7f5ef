//! The installation's one secret and the keys that come from it. Reads no file and no clock.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::party::WrappedKey;
use crate::report::MARK_OCTETS;
use crate::seal::{DataKey, NumberKey, SealError};
use crate::webhook::WebhookKey;
use crate::{TenantId, Timestamp, hex};

/// The installation's master secret: 32 bytes from a file. Everything else that is secret is derived from it or wrapped
/// by it.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// The data keys of all tenants, unwrapped: by id for opening, the newest per tenant for sealing.
#[derive(Clone, Default, Debug)]
pub struct Keyring {
    by_id: HashMap<String, DataKey>,
    by_mark: HashMap<[u8; MARK_OCTETS], DataKey>,
    newest: HashMap<TenantId, (Timestamp, DataKey)>,
}

/// Text that is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 64 hexadecimal digits")]
pub struct NotAKey;

impl MasterKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        MasterKey(Zeroizing::new(secret))
    }

    /// Reads 64 hexadecimal digits, as the key's file holds them; white space around them does not matter.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn from_hex(text: &str) -> Result<Self, NotAKey> {
        let hash = blake3::Hash::from_hex(text.trim()).map_err(|_| NotAKey)?;
        Ok(MasterKey::new(*hash.as_bytes()))
    }

    /// The key that turns numbers into look-up hashes.
    #[must_use]
    pub fn number_key(&self) -> NumberKey {
        NumberKey::new(self.derive("carillon 2026 number hashes"))
    }

    /// The key that seals what handsets send, before anybody knows whose it is.
    #[must_use]
    pub fn inbound_key(&self) -> DataKey {
        DataKey::new("inbound", self.derive("carillon 2026 inbound messages"))
    }

    /// The key that posts to a tenant's webhook are signed with.
    #[must_use]
    pub fn webhook_key(&self, tenant: &TenantId) -> WebhookKey {
        let all = self.derive("carillon 2026 webhooks");
        WebhookKey::new(*blake3::keyed_hash(&all, tenant.as_str().as_bytes()).as_bytes())
    }

    /// What other installations know this one by, where messages are handed from one to the next: 16 hexadecimal digits that tell
    /// nothing of the key.
    #[must_use]
    pub fn installation(&self) -> String {
        let all = self.derive("carillon 2026 installation");
        hex::digits(&all[..8])
    }

    /// What is kept of an API key: a keyed hash, 64 hexadecimal digits. Equal keys, equal hashes; no way back.
    #[must_use]
    pub fn api_key_hash(&self, key: &str) -> String {
        blake3::keyed_hash(&self.derive("carillon 2026 api keys"), key.as_bytes()).to_hex().to_string()
    }

    /// What is kept of a device's token: a keyed hash, 64 hexadecimal digits.
    #[must_use]
    pub fn device_token_hash(&self, token: &str) -> String {
        blake3::keyed_hash(&self.derive("carillon 2026 device tokens"), token.as_bytes()).to_hex().to_string()
    }

    /// Makes a tenant's data key for a period that begins at `from`, from 32 random bytes.
    #[must_use]
    pub fn mint(&self, tenant: &TenantId, from: Timestamp, secret: [u8; 32]) -> WrappedKey {
        let id = format!("{tenant}.{}", from.0);
        let wrapped = self.wrapper().seal_bytes(id.as_bytes(), &secret);
        WrappedKey { id, tenant: tenant.clone(), from, wrapped }
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// [`SealError::Broken`]: wrapped by another master key, or damaged.
    pub fn unwrap(&self, key: &WrappedKey) -> Result<DataKey, SealError> {
        let secret = Zeroizing::new(self.wrapper().open_bytes(key.id.as_bytes(), &key.wrapped)?);
        let secret: [u8; 32] = secret.as_slice().try_into().map_err(|_| SealError::Broken(key.id.clone()))?;
        Ok(DataKey::new(&key.id, secret))
    }

    fn wrapper(&self) -> DataKey {
        DataKey::new("master", self.derive("carillon 2026 data key wrapping"))
    }

    fn derive(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, self.0.as_slice())
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl Keyring {
    /// Unwraps all keys. Keys whose period has not begun at `now` open, but do not seal yet.
    ///
    /// # Errors
    /// [`SealError::Broken`] names the first key that does not open: probably the wrong master key.
    pub fn open(master: &MasterKey, keys: &[WrappedKey], now: Timestamp) -> Result<Self, SealError> {
        let mut ring = Keyring::default();
        for wrapped in keys {
            let key = master.unwrap(wrapped)?;
            ring.by_id.insert(wrapped.id.clone(), key.clone());
            ring.by_mark.insert(key.mark(), key.clone());
            let newest = ring.newest.get(&wrapped.tenant);
            if wrapped.from <= now && newest.is_none_or(|(from, _)| *from < wrapped.from) {
                ring.newest.insert(wrapped.tenant.clone(), (wrapped.from, key));
            }
        }
        Ok(ring)
    }

    /// The key with this id.
    ///
    /// # Errors
    /// [`SealError::NoKey`].
    pub fn key(&self, id: &str) -> Result<&DataKey, SealError> {
        self.by_id.get(id).ok_or_else(|| SealError::NoKey(id.chars().take(80).collect()))
    }

    /// The key that is known by this mark.
    #[must_use]
    pub fn marked(&self, mark: &[u8; MARK_OCTETS]) -> Option<&DataKey> {
        self.by_mark.get(mark)
    }

    /// The key that seals what a tenant sends now, and since when it does.
    #[must_use]
    pub fn newest(&self, tenant: &TenantId) -> Option<(Timestamp, &DataKey)> {
        self.newest.get(tenant).map(|(from, key)| (*from, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_begun_key_seals_and_all_open() {
        let master = MasterKey::new([1; 32]);
        let tenant = TenantId::new("acme").unwrap();
        let keys = [10, 30, 20].map(|from| master.mint(&tenant, Timestamp(from), [from as u8; 32]));
        let ring = Keyring::open(&master, &keys, Timestamp(25)).unwrap();
        assert_eq!(ring.newest(&tenant).map(|(from, key)| (from.0, key.id())), Some((20, "acme.20")));
        assert!(ring.key("acme.30").is_ok());
        assert!(matches!(ring.key("acme.40"), Err(SealError::NoKey(_))));
        assert!(Keyring::open(&MasterKey::new([2; 32]), &keys, Timestamp(25)).is_err(), "another master");
    }

    #[test]
    fn a_master_key_is_hexadecimal() {
        assert!(MasterKey::from_hex(&format!("{}\n", "0f".repeat(32))).is_ok());
        assert_eq!(MasterKey::from_hex("0f").err(), Some(NotAKey));
    }
}
