//! The gateway's settings. Knows their meaning and defaults, not where they come from.

use std::net::SocketAddr;
use std::path::PathBuf;

use runtime::HttpLimits;
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
    /// The tenant that `/oms/service.asmx` serves; empty: the only tenant there is, else none.
    pub default_tenant: String,
    /// The address clients reach this gateway by, without a path; empty: what the request names as its host.
    pub public_url: String,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` headers are believed, by address.
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// The installation's home region, written into every record.
    pub cell: String,
    /// How long an acceptance may take before the caller hears 503.
    pub accept_ms_max: u64,
    /// Requests in work at a time; one more hears 503.
    pub requests_max: usize,
    /// Bytes of a REST body.
    pub rest_body_bytes_max: usize,
    /// Bytes of an OMS body.
    pub oms_body_bytes_max: usize,
    /// How often the snapshot of tenants, credentials and prices is compared with the store.
    pub parties_refresh_ms: u64,
    /// Verified passwords remembered, so that a message does not cost an argon2 run.
    pub passwords_cached_max: u64,
    /// Argon2 runs at a time.
    pub password_checks_max: usize,
    /// Failed logins per user and address and minute before further ones hear 429.
    pub failed_logins_max: u32,
    /// What a connection may do.
    pub http: HttpLimits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_certificate_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
            default_tenant: String::new(),
            public_url: String::new(),
            trusted_proxies: Vec::new(),
            cell: "home".into(),
            accept_ms_max: 5_000,
            requests_max: 8_192,
            rest_body_bytes_max: 1 << 20,
            oms_body_bytes_max: 4 << 20,
            parties_refresh_ms: 1_000,
            passwords_cached_max: 100_000,
            password_checks_max: 2,
            failed_logins_max: 30,
            http: HttpLimits::default(),
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
