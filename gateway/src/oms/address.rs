//! Where a call came in and what the service calls itself there. Knows paths and host names; must not know SOAP.

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use model::party::Tenant;

use super::peer::Peer;
use crate::run::Gateway;

const CANONICAL: &str = "/oms/service.asmx";

/// Whether a path is the service's own or one that leads to it. The path alone decides, never the host or the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathKind {
    Canonical,
    Alias,
}

/// A path that reaches the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// As the path names it; `None`: the installation's default.
    pub(super) tenant: Option<&'a str>,
    pub(super) kind: PathKind,
}

impl<'a> Place<'a> {
    /// Reads a path. `None`: it does not lead here.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let (tenant, rest) = match path.strip_prefix("/t/") {
            Some(rest) => {
                let (tenant, rest) = rest.split_at(rest.find('/')?);
                (Some(tenant), rest)
            }
            None => (None, path),
        };
        match rest {
            CANONICAL => Some(Place { tenant, kind: PathKind::Canonical }),
            "/oms" | "/oms/" => Some(Place { tenant, kind: PathKind::Alias }),
            _ => None,
        }
    }

    /// The canonical path of the same tenant.
    fn canonical_path(&self) -> String {
        self.tenant.map_or_else(|| CANONICAL.to_owned(), |tenant| format!("/t/{tenant}{CANONICAL}"))
    }

    /// The service's identity: what the tenant made it, else what the operator did, else the address at hand.
    pub(super) fn service_uri(&self, gateway: &Gateway, tenant: &Tenant, parts: &Parts, peer: &Peer) -> String {
        if !tenant.oms.service_uri.is_empty() {
            return tenant.oms.service_uri.clone();
        }
        let base = match gateway.config.public_url.as_str() {
            "" => base_at_hand(gateway, parts, peer),
            public => public.trim_end_matches('/').to_owned(),
        };
        base + &self.canonical_path()
    }

    /// Where a probe of an alias is sent: https to https, and on a loopback listener http to http.
    pub(super) fn redirect(&self, gateway: &Gateway, parts: &Parts, peer: &Peer) -> String {
        let public = gateway.config.public_url.trim_end_matches('/');
        let is_same_scheme = public.split_once("://").is_some_and(|(scheme, _)| scheme == peer.transport.scheme());
        let base = if is_same_scheme { public.to_owned() } else { base_at_hand(gateway, parts, peer) };
        base + &self.canonical_path()
    }
}

/// The address as a trusted proxy or the request names it, if one does, else as the listener knows it.
fn base_at_hand(gateway: &Gateway, parts: &Parts, peer: &Peer) -> String {
    let asked = || parts.uri.authority().map(Authority::as_str).or_else(|| host(&parts.headers));
    let authority = peer.host.as_deref().or_else(asked).filter(|authority| is_plain_authority(authority));
    let scheme = peer.transport.scheme();
    authority.map_or_else(|| format!("{scheme}://{}", gateway.address), |authority| format!("{scheme}://{authority}"))
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok()
}

/// A host and perhaps a port, and nothing that could make another address of it.
fn is_plain_authority(authority: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !authority.is_empty() && authority.bytes().all(is_plain) && authority.parse::<Authority>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<(Option<&str>, PathKind, &str)>) {
        let place = Place::of(path);
        let found = place.map(|place| (place.tenant, place.kind, place.canonical_path()));
        assert_eq!(found, expected.map(|(tenant, kind, path)| (tenant, kind, path.to_owned())), "{path}");
    }

    #[test]
    fn paths() {
        check("/oms/service.asmx", Some((None, PathKind::Canonical, "/oms/service.asmx")));
        check("/oms", Some((None, PathKind::Alias, "/oms/service.asmx")));
        check("/oms/", Some((None, PathKind::Alias, "/oms/service.asmx")));
        let acme = Some("acme");
        check("/t/acme/oms/service.asmx", Some((acme, PathKind::Canonical, "/t/acme/oms/service.asmx")));
        check("/t/acme/oms", Some((acme, PathKind::Alias, "/t/acme/oms/service.asmx")));
        for path in ["/", "/oms/service.asmx/", "/OMS", "/t/oms", "/t/a/b/oms", "/t/acme"] {
            check(path, None);
        }
    }

    #[test]
    fn hosts() {
        for good in ["localhost", "127.0.0.1:8080", "[::1]:8080", "sms.example.com"] {
            assert!(is_plain_authority(good), "{good}");
        }
        for bad in ["", "a/b", "u@h", "a b", "a\"b", "a:b:c"] {
            assert!(!is_plain_authority(bad), "{bad}");
        }
    }
}
