//! What proves that a notification comes from the server it names (OMA-TS-DM_Security 1.2, 5.5). Knows MD5; must not know
//! where credentials are kept.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

/// Octets of a digest.
pub const DIGEST_OCTETS: usize = 16;

/// The first field of a notification. All zeros where the sender knows no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; DIGEST_OCTETS]);

/// What server and phone share.
#[derive(Clone, Copy)]
pub struct Credentials<'secret> {
    /// The server's identifier, as in the notification.
    pub server_id: &'secret [u8],
    /// The server's password; may be empty.
    pub password: &'secret [u8],
    /// The nonce as octets: one exchanged as Base64 is decoded before. Phones that keep none use an empty one.
    pub nonce: &'secret [u8],
}

/// Shows nothing: it is all secret.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// What a digest says about a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was made with these credentials.
    Good,
    /// It was not.
    Wrong,
    /// The sender made none.
    Absent,
}

impl Digest {
    /// What is sent when no credentials are known.
    pub const ABSENT: Self = Self([0; DIGEST_OCTETS]);

    /// The digest of what follows it in the notification.
    pub fn of(trigger: &[u8], credentials: &Credentials<'_>) -> Self {
        let Credentials { server_id, password, nonce } = credentials;
        // The colon stays even if the password is empty: a captured message of a desktop suite needs it.
        let secret = encoded_hash(&[server_id, b":", password]);
        let trigger = encoded_hash(&[trigger]);
        Self(hash(&[secret.as_bytes(), b":", nonce, b":", trigger.as_bytes()]))
    }

    /// Compares a digest with what it should be, in constant time.
    pub fn verify(&self, trigger: &[u8], credentials: &Credentials<'_>) -> Verdict {
        let expected = Self::of(trigger, credentials);
        if verify_slices_are_equal(&self.0, &expected.0).is_ok() {
            Verdict::Good
        } else if *self == Self::ABSENT {
            Verdict::Absent
        } else {
            Verdict::Wrong
        }
    }
}

fn hash(pieces: &[&[u8]]) -> [u8; DIGEST_OCTETS] {
    let mut hash = Md5::new();
    pieces.iter().for_each(|piece| hash.update(piece));
    hash.finalize().into()
}

fn encoded_hash(pieces: &[&[u8]]) -> String {
    STANDARD.encode(hash(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_who_sent() {
        let credentials = Credentials { server_id: b"srv", password: b"p", nonce: b"abc" };
        let digest = Digest::of(b"trigger", &credentials);
        assert_eq!(digest.verify(b"trigger", &credentials), Verdict::Good);
        assert_eq!(digest.verify(b"Trigger", &credentials), Verdict::Wrong);
        let other = Credentials { nonce: b"abd", ..credentials };
        assert_eq!(digest.verify(b"trigger", &other), Verdict::Wrong);
        assert_eq!(Digest::ABSENT.verify(b"trigger", &credentials), Verdict::Absent);
        assert_eq!(format!("{credentials:?}"), "Credentials(..)");
    }
}
