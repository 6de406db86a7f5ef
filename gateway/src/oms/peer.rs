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
pub(crate) enum Transport {
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

    const fn default_port(self) -> u16 {
        match self {
            Transport::Https => 443,
            Transport::Loopback => 80,
        }
    }
}

/// A caller who may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The client's address, as far as trusted proxies tell it.
    pub(crate) address: IpAddr,
    pub(super) transport: Transport,
    /// The host, and perhaps the port, that the client asked a trusted proxy for.
    pub(super) host: Option<String>,
}

impl Peer {
    /// Tells who calls. `None`: the call came in clear from outside, and its password is spilt already.
    pub(crate) fn of(gateway: &Gateway, parts: &Parts) -> Option<Self> {
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
        let host = if is_proxy { forwarded_host(&parts.headers, transport) } else { None };
        Some(Peer { address: address.unwrap_or(connected), transport, host })
    }
}

fn is_trusted(config: &Config, address: IpAddr) -> bool {
    config.trusted_proxies.iter().any(|proxies| proxies.has(address))
}

/// What the nearest proxy says, which is the last word in either header. A proxy that writes one of them may hand through
/// what the client put into the other, so the second is asked only if the first is absent.
fn came_by_https(headers: &HeaderMap) -> bool {
    let proto = match last_value(headers, "x-forwarded-proto") {
        Some(proto) => Some(proto),
        None => last_value(headers, "forwarded").and_then(|element| parameter(element, "proto")),
    };
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

/// The host the nearest proxy was asked for, in the same order of trust as the scheme.
fn forwarded_host(headers: &HeaderMap, transport: Transport) -> Option<String> {
    let Some(host) = last_value(headers, "x-forwarded-host") else {
        return last_value(headers, "forwarded").and_then(|element| parameter(element, "host")).map(str::to_owned);
    };
    let port = last_value(headers, "x-forwarded-port").and_then(|port| port.parse::<u16>().ok());
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match port.filter(|port| !has_port && *port != transport.default_port()) {
        Some(port) => Some(format!("{host}:{port}")),
        None => Some(host.to_owned()),
    }
}

/// One parameter of an element of `Forwarded` (RFC 7239, 4).
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"'))
}

/// The last address that is not one of our proxies, in `X-Forwarded-For`, or else in `Forwarded`.
fn forwarded_for(config: &Config, headers: &HeaderMap) -> Option<IpAddr> {
    let lines = |name| headers.get_all(name).iter().rev().filter_map(|line| line.to_str().ok());
    let stranger = |address: &IpAddr| !is_trusted(config, *address);
    if headers.contains_key("x-forwarded-for") {
        let addresses = lines("x-forwarded-for").flat_map(|line| line.rsplit(','));
        return addresses.map_while(node).find(stranger);
    }
    let elements = lines("forwarded").flat_map(|line| line.rsplit(','));
    elements.map_while(|element| parameter(element, "for").and_then(node)).find(stranger)
}

/// An address with or without a port; one with six groups in brackets (RFC 7239, 6).
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    let address = address.or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
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
        assert_eq!(client(&[("x-forwarded-for", "1.2.3.4:5678")]).as_deref(), Some("1.2.3.4"));
        assert_eq!(
            client(&[("forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:99\";proto=https, for=10.0.0.1")]).as_deref(),
            Some("2001:db8::1")
        );
        assert_eq!(client(&[("forwarded", "for=1.2.3.4, for=_hidden")]), None);
        assert_eq!(client(&[]), None);
    }

    #[test]
    fn the_host_is_the_one_the_proxy_was_asked_for() {
        let host = |pairs| forwarded_host(&headers(pairs), Transport::Https);
        assert_eq!(host(&[("x-forwarded-host", "a.example, b.example")]).as_deref(), Some("b.example"));
        assert_eq!(
            host(&[("x-forwarded-host", "b.example"), ("x-forwarded-port", "443")]).as_deref(),
            Some("b.example")
        );
        let ported = [("x-forwarded-host", "b.example"), ("x-forwarded-port", "8443")];
        assert_eq!(forwarded_host(&headers(&ported), Transport::Https).as_deref(), Some("b.example:8443"));
        assert_eq!(host(&[("forwarded", "for=1.2.3.4;host=\"c.example:88\"")]).as_deref(), Some("c.example:88"));
        assert_eq!(host(&[]), None);
    }
}
