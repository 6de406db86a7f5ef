//! How posts to a tenant's webhook are signed. Knows Standard Webhooks 1.0; posts nothing, reads no clock.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// The key a tenant knows our posts by.
pub struct WebhookKey(Zeroizing<[u8; 32]>);

impl WebhookKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        WebhookKey(Zeroizing::new(secret))
    }

    /// The signature of a post: of its id, its time in seconds and its body.
    #[must_use]
    pub fn sign(&self, id: &str, at: &str, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut signing = hmac::Context::with_key(&key);
        for piece in [id, ".", at, ".", body] {
            signing.update(piece.as_bytes());
        }
        format!("v1,{}", BASE64_STANDARD.encode(signing.sign()))
    }

    /// The key as its owner gets it.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.0.as_slice()))
    }
}

impl std::fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_openssl_makes() {
        // printf 'msg_1.1700000000.{}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07 -binary | base64
        let key = WebhookKey::new([7; 32]);
        assert_eq!(key.sign("msg_1", "1700000000", "{}"), "v1,nuLLyheCKcS2N8JNOFt5stk98R+umYWr26/ZTfdtGM8=");
        assert_eq!(key.expose(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(format!("{key:?}"), "WebhookKey(..)");
    }
}
