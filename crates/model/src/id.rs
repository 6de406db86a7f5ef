//! Names and ids. Knows how they look and how they are derived, not who hands them out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Not a message id.
    #[error("`{0}` is not a message id (`msg_` and 32 hexadecimal digits)")]
    Message(String),
    /// Not a delivery id.
    #[error("`{0}` is not a delivery id (a message id, a dot, a number)")]
    Delivery(String),
    /// Not a name.
    #[error("`{0}` is not a name (1 to 64 characters of a-z, 0-9, `-` and `_`, the first a letter or digit)")]
    Name(String),
}

/// A map by ids, or by keys with an id or a hash in them: seeded by chance, so that nobody makes keys that collide, and
/// several times as fast as the default.
pub type IdMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
/// A set like [`IdMap`].
pub type IdSet<K> = std::collections::HashSet<K, foldhash::fast::RandomState>;

/// A message: one request of a tenant. Shown as `msg_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

impl MessageId {
    /// The id a tenant's idempotency key always leads to, so that a repeated request is the same message.
    #[must_use]
    pub fn derived(tenant: &TenantId, key: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("carillon 2026 message id");
        hasher.update(&(tenant.as_str().len() as u64).to_be_bytes());
        hasher.update(tenant.as_str().as_bytes());
        hasher.update(key.as_bytes());
        let mut head = [0; 16];
        head.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        MessageId(u128::from_be_bytes(head))
    }

    /// A fresh id (`UUIDv7`: later ids sort later) for the time and the 10 random bytes given.
    #[must_use]
    pub fn fresh(now: crate::Timestamp, random: [u8; 10]) -> Self {
        let ms = u64::try_from(now.0).unwrap_or(0);
        MessageId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid().as_u128())
    }

    /// The 16 bytes of the id, most significant first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id of these bytes; `None` unless there are 16.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| MessageId(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{:032x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MessageId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digits = text.strip_prefix("msg_").filter(|digits| digits.len() == 32);
        digits
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .map(MessageId)
            .ok_or_else(|| ParseIdError::Message(text.chars().take(80).collect()))
    }
}

/// One (message, recipient, content part): the unit of lanes, leases, ledger and price. The index counts the message's
/// deliveries from 0, recipient by recipient in the order of the request, parts within a recipient.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The message it belongs to.
    pub message: MessageId,
    /// Which of the message's deliveries.
    pub index: u32,
}

impl DeliveryId {
    /// 20 bytes: the message's 16, then the index, most significant first. They sort as the ids do.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.message.to_bytes());
        bytes[16..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// The id of these bytes; `None` unless there are 20.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let index = u32::from_be_bytes(bytes.get(16..)?.try_into().ok()?);
        Some(DeliveryId { message: MessageId::from_bytes(&bytes[..16])?, index })
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.message, self.index)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeliveryId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parts =
            text.split_once('.').and_then(|(message, index)| Some((message.parse().ok()?, index.parse().ok()?)));
        parts
            .map(|(message, index)| DeliveryId { message, index })
            .ok_or_else(|| ParseIdError::Delivery(text.chars().take(80).collect()))
    }
}

const NAME_BYTES_MAX: usize = 64;

fn is_name(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first && text.len() <= NAME_BYTES_MAX && text.bytes().all(rest)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters of `a-z`, `0-9`, `-` and `_`, the first a letter or digit: safe in lanes' names, files and labels.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`ParseIdError::Name`] if it is none.
            pub fn new(text: &str) -> Result<Self, ParseIdError> {
                if is_name(text) { Ok($name(text.into())) } else { Err(ParseIdError::Name(text.chars().take(80).collect())) }
            }

            /// Whether a text is such a name.
            #[must_use]
            pub fn is(text: &str) -> bool {
                is_name(text)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                $name::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $name::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A tenant: whose messages these are.
    TenantId
}
name! {
    /// A supplier: who is paid.
    SupplierId
}
name! {
    /// A route: one supplier connection. Never a country.
    RouteId
}
name! {
    /// A farm node.
    FarmName
}
name! {
    /// A link of a farm: a modem, an HTTP service, a bind.
    LinkName
}
name! {
    /// A router replica's stable name.
    RouterName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text_and_bytes() {
        let id = DeliveryId { message: MessageId::fresh(crate::Timestamp(1_795_257_296_045), [7; 10]), index: 41 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(DeliveryId::from_bytes(&id.to_bytes()), Some(id));
        assert_eq!(DeliveryId::from_bytes(&id.to_bytes()[..19]), None);
    }

    #[test]
    fn derived_ids_keep_tenants_apart() {
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("ab").unwrap());
        assert_eq!(MessageId::derived(&a, "bk"), MessageId::derived(&a, "bk"));
        assert_ne!(MessageId::derived(&a, "bk"), MessageId::derived(&b, "k"));
    }

    #[test]
    fn bad_texts_are_refused() {
        for text in
            ["", "msg_", "msg_0123", "msg_0123456789ABCDEF0123456789ABCDEF", "msg_+123456789abcdef0123456789abcdef"]
        {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
        for text in ["", "-a", "A", "a b", "a.b", &"a".repeat(65)] {
            assert!(TenantId::new(text).is_err(), "{text}");
        }
    }
}
