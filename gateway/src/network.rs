//! A network of addresses, as operators write it: `10.0.0.0/8`, or one address. No I/O.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: IpAddr,
    bits: u8, // Invariant: at most those of an address of this kind; `first` has no bit after them.
}

/// What is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It does not begin with an address, or the number of bits is none.
    #[error("`{0}` is neither an address nor a network like `10.0.0.0/8`")]
    Form(String),
    /// Bits are set that the network leaves open: one of both is a mistake.
    #[error("`{given}` has bits set after the first {bits}: the network is `{network}`")]
    Bits {
        /// What was given.
        given: String,
        /// Its bits.
        bits: u8,
        /// What may be meant.
        network: String,
    },
}

impl Network {
    /// Whether an address is in it. One of IPv4 in the clothes of IPv6 is what it is.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.bits) == self.first
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let form = || NetworkError::Form(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| form())?;
        let (address, width) = match bits {
            // An address alone is looked at as clients' are.
            None => (address.to_canonical(), if address.to_canonical().is_ipv4() { 32 } else { 128 }),
            Some(_) => (address, if address.is_ipv4() { 32 } else { 128 }),
        };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| form()))?;
        if bits > width {
            return Err(form());
        }
        let network = Network { first: masked(address, bits), bits };
        if network.first != address {
            return Err(NetworkError::Bits { given: text.to_owned(), bits, network: network.to_string() });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Network { first, bits } = self;
        let width = if first.is_ipv4() { 32 } else { 128 };
        if *bits == width { write!(f, "{first}") } else { write!(f, "{first}/{bits}") }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, expected: bool) {
        let network: Network = network.parse().unwrap();
        assert_eq!(network.has(address.parse().unwrap()), expected);
        assert_eq!(network.to_string().parse(), Ok(network));
    }

    #[test]
    fn addresses_are_in_their_networks_and_in_no_other() {
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("::ffff:10.0.0.1", "10.0.0.1", true);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("::/0", "2001:db9::1", true);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let said = |text: &str| text.parse::<Network>().unwrap_err();
        for text in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129", "all"] {
            assert_eq!(said(text), NetworkError::Form(text.to_owned()));
        }
        assert!(said("10.1.0.0/8").to_string().ends_with("the network is `10.0.0.0/8`"));
    }
}
