//! Sealing of what is personal: AEAD under a data key of one tenant and period. Draws nonces, reads no clock.
//!
//! Destroying a key erases everything sealed with it, in lanes that can't be rewritten.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use prost::Message as _;

use crate::record::{Content, Header};
use crate::report::MARK_OCTETS;
use crate::{Msisdn, octets};

/// A data key: one tenant, one period. Its id is public, its secret is not.
#[derive(Clone)]
pub struct DataKey {
    id: std::sync::Arc<str>,
    secret: zeroize::Zeroizing<[u8; 32]>,
    cipher: std::sync::Arc<LessSafeKey>,
}

/// A key that turns numbers into look-up hashes; one for the installation.
#[derive(Clone)]
pub struct NumberKey(zeroize::Zeroizing<[u8; 32]>);

/// Content that does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed with a key this process does not have.
    #[error("there is no data key `{0}`")]
    NoKey(String),
    /// Changed, cut out of another record, or sealed with another key of the same id.
    #[error("the content does not open under data key `{0}`")]
    Broken(String),
}

impl DataKey {
    /// A key from its id and secret.
    #[must_use]
    pub fn new(id: &str, secret: [u8; 32]) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, &secret).expect("AES-256 takes 32 bytes");
        DataKey {
            id: id.into(),
            secret: zeroize::Zeroizing::new(secret),
            cipher: std::sync::Arc::new(LessSafeKey::new(unbound)),
        }
    }

    /// The key's public id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret, to wrap it for keeping or to hand it to a farm over mTLS.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.secret
    }

    /// What the key is known by where not even its id may be told: says nothing of secret or tenant.
    #[must_use]
    pub fn mark(&self) -> [u8; MARK_OCTETS] {
        let all = blake3::derive_key("carillon 2026 data key mark", self.secret.as_slice());
        *all.first_chunk().expect("32 octets have 8 in them")
    }

    /// Seals content for the record with this header.
    ///
    /// Nonces are random: a key must be replaced before 2^32 records (NIST SP 800-38D, 8.3), which a day never brings.
    #[must_use]
    pub fn seal(&self, header: &Header, content: &Content) -> Bytes {
        self.seal_bytes(&header.binding(), &octets(content)).into()
    }

    /// Opens what [`DataKey::seal`] closed for a record of the same cell, tenant and delivery.
    ///
    /// # Errors
    /// [`SealError::Broken`].
    pub fn open(&self, header: &Header, sealed: &[u8]) -> Result<Content, SealError> {
        let plain = self.open_bytes(&header.binding(), sealed)?;
        Content::decode(plain.as_slice()).map_err(|_| SealError::Broken(self.id.to_string()))
    }

    /// Seals bytes bound to `binding`: nonce, then ciphertext and tag.
    #[must_use]
    pub fn seal_bytes(&self, binding: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system's random source does not fail");
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(binding));
        let tag = self.cipher.seal_in_place_separate_tag(nonce, aad, &mut sealed[NONCE_LEN..]);
        sealed.extend_from_slice(tag.expect("a message is far below the cipher's limit").as_ref());
        sealed
    }

    /// Opens what [`DataKey::seal_bytes`] closed under the same binding.
    ///
    /// # Errors
    /// [`SealError::Broken`].
    pub fn open_bytes(&self, binding: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let broken = || SealError::Broken(self.id.to_string());
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut rest = rest.to_vec();
        let length = self.cipher.open_in_place(nonce, Aad::from(binding), &mut rest).map_err(|_| broken())?.len();
        rest.truncate(length);
        Ok(rest)
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

impl NumberKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        NumberKey(zeroize::Zeroizing::new(secret))
    }

    /// The look-up hash of a number: equal for equal numbers, and no way back without the key.
    #[must_use]
    pub fn hash(&self, number: &Msisdn) -> [u8; 16] {
        self.hash_text(number.digits())
    }

    /// [`NumberKey::hash`] in hexadecimal digits: what a number is kept as, and what documents about it are called.
    #[must_use]
    pub fn digits(&self, number: &Msisdn) -> String {
        crate::hex::digits(&self.hash(number))
    }

    /// The look-up hash of any text that must not be shown (an order key).
    #[must_use]
    pub fn hash_text(&self, text: &str) -> [u8; 16] {
        let mut head = [0; 16];
        head.copy_from_slice(&blake3::keyed_hash(&self.0, text.as_bytes()).as_bytes()[..16]);
        head
    }
}

impl std::fmt::Debug for NumberKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NumberKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Account;

    fn header(tenant: &str, delivery: u32) -> Header {
        let account = Account { tenant: tenant.into(), ..Account::default() };
        Header { account, message: vec![9; 16], delivery, ..Header::default() }
    }

    #[test]
    fn content_opens_only_in_its_own_record() {
        let key = DataKey::new("acme.1", [3; 32]);
        let content = Content { recipient: "+447700900123".into(), text: "héllo".into(), ..Content::default() };
        let sealed = key.seal(&header("acme", 0), &content);
        assert_eq!(key.open(&header("acme", 0), &sealed), Ok(content.clone()));
        assert!(key.open(&header("acme", 1), &sealed).is_err(), "another delivery");
        assert!(key.open(&header("other", 0), &sealed).is_err(), "another tenant");
        assert!(DataKey::new("acme.1", [4; 32]).open(&header("acme", 0), &sealed).is_err(), "another key");
        assert!(key.open(&header("acme", 0), &sealed[..7]).is_err(), "a stump");
        assert_ne!(sealed, key.seal(&header("acme", 0), &content), "nonces differ");
    }
}
