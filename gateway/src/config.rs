//! The gateway's settings. Knows their meaning and defaults, not where they come from.

use std::net::SocketAddr;
use std::path::PathBuf;

use runtime::HttpLimits;
use runtime::tls::TlsFiles;
use serde::{Deserialize, Serialize};

/// Settings of the gateway. `example.toml` says why one would change each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the public doors listen.
    pub listen: SocketAddr,
    /// Certificate chain in PEM; empty: plain HTTP.
    pub tls_certificate_file: PathBuf,
    /// Key of the certificate in PEM.
    pub tls_key_file: PathBuf,
    /// Further certificates, for other names or other kinds of keys.
    pub tls_others: Vec<TlsFiles>,
    /// The tenant that `/oms/service.asmx` serves; empty: the only tenant there is, else none.
    pub default_tenant: String,
    /// The tenant whose keys list what handsets sent to nobody; empty: none.
    pub operator_tenant: String,
    /// The address clients reach this gateway by, without a path; empty: what the request names as its host.
    pub public_url: String,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` headers are believed, by address or network.
    pub trusted_proxies: Vec<crate::network::Network>,
    /// The installation's home region, written into every record.
    pub cell: String,
    /// How long an acceptance may take before the caller hears 503.
    pub accept_ms_max: u64,
    /// Requests in work at a time; one more hears 503.
    pub requests_max: usize,
    /// How long a message waits for its tenant's turn, when more come than the processors keep up with, before it hears 503.
    pub turn_ms_max: u64,
    /// Bytes of a REST body.
    pub rest_body_bytes_max: usize,
    /// Bytes of an OMS body.
    pub oms_body_bytes_max: usize,
    /// How probes of an OMS alias are sent to the service's own path.
    pub oms_redirect_status: RedirectStatus,
    /// How often the snapshot of tenants, credentials and prices is compared with the store.
    pub parties_refresh_ms: u64,
    /// Verified passwords remembered, so that a message does not cost an argon2 run.
    pub passwords_cached_max: u64,
    /// Argon2 runs at a time.
    pub password_checks_max: usize,
    /// Failed logins per user and address and minute before further ones hear 429.
    pub failed_logins_max: u32,
    /// Failed logins per user and minute, from all addresses, before those addresses hear 429.
    pub failed_logins_user_max: u32,
    /// Failed logins per address and minute, of all users, before further ones hear 429.
    pub failed_logins_address_max: u32,
    /// The mail domain of the addresses that replies to OMS users come from. Mail that arrives there is dropped.
    pub replies_domain: String,
    /// Where multimedia messages wait for phones.
    pub content: Content,
    /// Datagrams that say what changed.
    pub events: Events,
    /// What a connection may do.
    pub http: HttpLimits,
}

/// Where datagrams are taken that say what changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Whether any are taken.
    pub enabled: bool,
    /// Where they come to (UDP).
    pub listen: SocketAddr,
    /// Whether one without a seal is taken; only ever at a loopback address.
    pub allow_unsigned: bool,
    /// Nonces remembered, against replays; what comes while there is no room is dropped.
    pub nonces_max: usize,
    /// Datagrams in work at a time; more are dropped, and sent again.
    pub datagrams_max: usize,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            enabled: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 7411)),
            allow_unsigned: false,
            nonces_max: 500_000,
            datagrams_max: 256,
        }
    }
}

/// Where multimedia messages wait that no route carries, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Content {
    /// The address phones reach this gateway by, without a path; empty: none waits here.
    pub url: String,
    /// For how long a message waits.
    pub keep_hours: u32,
    /// Octets of one message, sealed.
    pub message_octets_max: usize,
    /// Octets of all messages of one tenant that wait.
    pub tenant_octets_max: u64,
}

impl Default for Content {
    fn default() -> Self {
        Content { url: String::new(), keep_hours: 72, message_octets_max: 600 << 10, tenant_octets_max: 1 << 30 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_certificate_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
            tls_others: Vec::new(),
            default_tenant: String::new(),
            operator_tenant: String::new(),
            public_url: String::new(),
            trusted_proxies: Vec::new(),
            cell: "home".into(),
            accept_ms_max: 5_000,
            requests_max: 8_192,
            turn_ms_max: 500,
            rest_body_bytes_max: 1 << 20,
            oms_body_bytes_max: 4 << 20,
            oms_redirect_status: RedirectStatus::TemporaryRedirect,
            parties_refresh_ms: 1_000,
            passwords_cached_max: 100_000,
            password_checks_max: 2,
            failed_logins_max: 60,
            failed_logins_user_max: 200,
            failed_logins_address_max: 600,
            replies_domain: "replies.example.invalid".into(),
            content: Content::default(),
            events: Events::default(),
            http: HttpLimits::default(),
        }
    }
}

/// A status that sends a client elsewhere. Which of them old OMS clients follow is not known for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum RedirectStatus {
    /// 301
    MovedPermanently,
    /// 302
    Found,
    /// 307: method and body are kept.
    TemporaryRedirect,
    /// 308: as 307, for good.
    PermanentRedirect,
}

/// A status that does not redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no redirect for a POST; take 301, 302, 307 or 308")]
pub struct NoRedirect(u16);

impl TryFrom<u16> for RedirectStatus {
    type Error = NoRedirect;

    fn try_from(status: u16) -> Result<Self, NoRedirect> {
        match status {
            301 => Ok(RedirectStatus::MovedPermanently),
            302 => Ok(RedirectStatus::Found),
            307 => Ok(RedirectStatus::TemporaryRedirect),
            308 => Ok(RedirectStatus::PermanentRedirect),
            other => Err(NoRedirect(other)),
        }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> u16 {
        match status {
            RedirectStatus::MovedPermanently => 301,
            RedirectStatus::Found => 302,
            RedirectStatus::TemporaryRedirect => 307,
            RedirectStatus::PermanentRedirect => 308,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_is_true() {
        runtime::config::check_example(include_str!("../example.toml"), &super::Config::default());
    }
}
