//! Who calls and how: the client's address, and whether its password travelled in clear. Believes headers of trusted
//! proxies only; must not know paths.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::config::Config;
use crate::run::Gateway;

/// How the call reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Https,
    /// In clear, without leaving the machine.
    Loopback,
}

impl Transport {
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Transport::Https => "https",
            Transport::Loopback => "http",
        }
    }
}

/// A caller who may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// The client's address, as far as trusted proxies tell it.
    pub(super) address: IpAddr,
    pub(super) transport: Transport,
}

impl Peer {
    /// Tells who calls. `None`: the call came in clear from outside, and its password is spilt already.
    pub(super) fn of(gateway: &Gateway, parts: &Parts) -> Option<Self> {
        let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(gateway.address, |info| info.0);
        let connected = connected.ip().to_canonical();
        let is_proxy = is_trusted(&gateway.config, connected);
        let transport = if gateway.tls || (is_proxy && came_by_https(&parts.headers)) {
            Transport::Https
        } else if gateway.address.ip().to_canonical().is_loopback() {
            Transport::Loopback
        } else {
            return None;
        };
        let address = if is_proxy { forwarded_for(&gateway.config, &parts.headers) } else { None };
        Some(Peer { address: address.unwrap_or(connected), transport })
    }
}

fn is_trusted(config: &Config, address: IpAddr) -> bool {
    config.trusted_proxies.iter().any(|proxy| proxy.to_canonical() == address)
}

/// What the nearest proxy says, which is the last word in either header. A proxy that writes one of them may hand through
/// what the client put into the other, so the second is asked only if the first is absent.
fn came_by_https(headers: &HeaderMap) -> bool {
    let proto = match last_value(headers, "x-forwarded-proto") {
        Some(proto) => Some(proto),
        None => last_value(headers, "forwarded").and_then(forwarded_proto),
    };
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

/// RFC 7239, 5.4.
fn forwarded_proto(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut protos = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
    protos.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// The last address in `X-Forwarded-For` that is not one of our proxies.
fn forwarded_for(config: &Config, headers: &HeaderMap) -> Option<IpAddr> {
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    let mut addresses = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let parsed = addresses.by_ref().map_while(|address| address.trim().parse::<IpAddr>().ok());
    parsed.map(|address| address.to_canonical()).find(|address| !is_trusted(config, *address))
}

fn last_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_nearest_proxy_has_the_word() {
        let https = |pairs| came_by_https(&headers(pairs));
        assert!(https(&[("x-forwarded-proto", "https")]));
        assert!(https(&[("x-forwarded-proto", "http, HTTPS")]));
        assert!(https(&[("forwarded", "for=1.2.3.4;proto=http, for=5.6.7.8; Proto=\"https\"")]));
        assert!(!https(&[]));
        assert!(!https(&[("x-forwarded-proto", "https, http")]));
        assert!(!https(&[("x-forwarded-proto", "http"), ("forwarded", "proto=https")]));
        assert!(!https(&[("forwarded", "for=1.2.3.4")]));
    }

    #[test]
    fn the_client_is_the_last_stranger() {
        let config = Config { trusted_proxies: vec!["10.0.0.1".parse().expect("an address")], ..Config::default() };
        let client = |pairs| forwarded_for(&config, &headers(pairs)).map(|address| address.to_string());
        assert_eq!(client(&[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.1")]).as_deref(), Some("1.2.3.4"));
        assert_eq!(
            client(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4")]).as_deref(),
            Some("1.2.3.4")
        );
        assert_eq!(client(&[("x-forwarded-for", "6.6.6.6, garbage")]), None);
        assert_eq!(client(&[]), None);
    }
}
