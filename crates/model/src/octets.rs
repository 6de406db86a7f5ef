//! Protobuf messages as octets, written the cheap way. Knows no message.

use prost::Message;

/// A message as octets.
///
/// It is written into a place of its exact length: `encode_to_vec` asks its vector for room at every octet of every number.
#[must_use]
pub fn octets(message: &impl Message) -> Vec<u8> {
    let mut octets = vec![0; message.encoded_len()];
    let mut rest = octets.as_mut_slice();
    message.encode_raw(&mut rest);
    debug_assert!(rest.is_empty(), "a message knows its length");
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Amount, Candidate};

    #[test]
    fn they_are_what_prost_writes() {
        let unit = Amount { micros: -7, currency: "EUR".into() };
        let candidate = Candidate { route: "a".repeat(300), supplier: String::new(), unit, prefix: "44".into() };
        assert_eq!(octets(&candidate), candidate.encode_to_vec());
        assert_eq!(octets(&Amount::default()), Vec::<u8>::new());
    }
}
