//! Numbers that want nothing more from a tenant. Knows what is kept of them; no I/O, no clock.

use serde::{Deserialize, Serialize};

use crate::push::SealedText;
use crate::seal::DataKey;
use crate::{Msisdn, TenantId, Timestamp, hex};

/// A number to which a tenant's messages are not sent. Kept as a document by (tenant, [`OptOut::id`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptOut {
    /// The number, E.164 with `+`.
    pub number: SealedText,
    /// Since when.
    pub since: Timestamp,
    /// Who said so: [`OptOut::BY_PHONE`], or an API key's name.
    pub by: String,
}

impl OptOut {
    /// The phone itself said so.
    pub const BY_PHONE: &'static str = "phone";

    /// What the document is called: the number's keyed hash, in hexadecimal digits.
    #[must_use]
    pub fn id(number_hash: &[u8]) -> String {
        hex::digits(number_hash)
    }

    /// What is kept of a number.
    #[must_use]
    pub fn new(tenant: &TenantId, number: &Msisdn, since: Timestamp, by: &str, key: &DataKey) -> Self {
        OptOut { number: SealedText::seal(key, tenant, &number.to_string()), since, by: by.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_by_its_hash_and_not_read() {
        let tenant = TenantId::new("acme").unwrap();
        let number = Msisdn::parse("+447700900123").unwrap();
        let kept = OptOut::new(&tenant, &number, Timestamp(5), OptOut::BY_PHONE, &DataKey::new("acme.0", [3; 32]));
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<OptOut>(&text).unwrap(), kept);
        assert!(!text.contains("7700900123"));
        assert_eq!(OptOut::id(&[0, 0xab]), "00ab");
    }
}
