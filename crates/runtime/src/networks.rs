//! Which addresses we may connect to on somebody else's word: public ones, and networks that are named. Knows addresses; must not
//! know what is asked there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Networks that may be connected to though they are not public.
#[derive(Debug, Clone, Default)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// Reads `address/bits`.
    ///
    /// # Errors
    /// The text that is no network.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let network = |text: &String| {
            let (address, bits) = text.split_once('/')?;
            let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
            (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
        };
        let read = |text| network(text).ok_or_else(|| format!("`{text}` is no network, such as `10.0.0.0/8`"));
        texts.iter().map(read).collect::<Result<_, _>>().map(Networks)
    }

    /// Whether it is named.
    #[must_use]
    pub fn name(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(network, bits)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(*bits);
                network.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(*bits);
                network.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
            }
            _ => false,
        })
    }

    /// Whether it may be connected to.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> bool {
        self.name(address)
            || match address.to_canonical() {
                IpAddr::V4(address) => is_public_v4(address),
                IpAddr::V6(address) => is_public_v6(address),
            }
    }
}

/// The addresses of a host that may be connected to. Names are resolved here, so that what was looked at is what is connected to.
///
/// # Errors
/// The host cannot be resolved, or leads to nothing that is admitted.
pub async fn resolve(networks: &Networks, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let admitted: Vec<_> = found.filter(|found| networks.admit(found.ip())).collect();
    if admitted.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it leads to no public network, and to none of `networks`",
        ));
    }
    Ok(admitted)
}

/// By the registry of special addresses (RFC 6890), and what may come to it.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224 // multicast, reserved, broadcast
        || (a == 100 && (64..128).contains(&b)) // shared by carriers (RFC 6598)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !is_special
}

/// Global unicast is 2000::/3; what wraps an address of version 4, or is an example, is not for us.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_wrapped = a == 0x2002 || (a == 0x2001 && b < 0x0200);
    let is_example = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    (0x2000..0x4000).contains(&a) && !is_wrapped && !is_example
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        let none = Networks::default();
        for special in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:a00:1::",
        ] {
            assert!(!none.admit(special.parse().unwrap()), "{special}");
        }
        for public in ["93.184.216.34", "100.128.0.1", "2606:2800:220:1::1", "::ffff:93.184.216.34"] {
            assert!(none.admit(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn named_networks_are_admitted() {
        let networks = Networks::parse(&["127.0.0.0/8".into(), "fd00::/8".into(), "10.0.0.7/32".into()]).unwrap();
        for named in ["127.9.9.9", "fd12::1", "10.0.0.7", "::ffff:127.0.0.1"] {
            assert!(networks.admit(named.parse().unwrap()), "{named}");
        }
        assert!(!networks.admit("10.0.0.8".parse().unwrap()));
        assert!(Networks::parse(&["0.0.0.0/0".into()]).unwrap().admit("10.0.0.8".parse().unwrap()));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "x/8"] {
            assert!(Networks::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
