//! Where an engine is: inside this process, or on servers. Knows how the addresses are written, opens nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Servers one address may name: a client needs a few to begin with, not all.
const HOSTS_MAX: usize = 64;
/// What Kafka listens on unless it is told otherwise.
const KAFKA_PORT: u16 = 9092;
/// What a CQL database listens on unless it is told otherwise.
const CQL_PORT: u16 = 9042;
/// A topic's name has at most 249 characters; the longest lane's needs the rest.
const PREFIX_CHARACTERS_MAX: usize = 100;
/// A keyspace's name has at most so many characters.
const KEYSPACE_CHARACTERS_MAX: usize = 48;

/// Where lanes are kept.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum LanesUrl {
    /// In the file under the data directory.
    #[default]
    Embedded,
    /// On Apache Kafka.
    Kafka {
        /// The first servers to ask, `host:port`.
        hosts: Vec<String>,
        /// What the names of the installation's topics begin with.
        prefix: String,
    },
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum StateUrl {
    /// In the file under the data directory.
    #[default]
    Embedded,
    /// On ScyllaDB or Apache Cassandra.
    Cql {
        /// The first servers to ask, `host:port`.
        hosts: Vec<String>,
        /// The installation's keyspace.
        keyspace: String,
    },
}

/// Text that is no engine's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAddress {
    /// Another scheme, or none.
    #[error("`{url}` is neither `embedded:` nor `{scheme}://host:port,…/{name}`")]
    Scheme {
        /// What was given, without what might be a password.
        url: String,
        /// The scheme this engine has.
        scheme: &'static str,
        /// What stands behind the hosts.
        name: &'static str,
    },
    /// A user or password inside the address.
    #[error("the address must not hold a user or password: they have keys of their own, the password by file")]
    Secret,
    /// A host that is none.
    #[error("`{host}` is no `host:port`")]
    Host {
        /// What was given.
        host: String,
    },
    /// No host, or too many.
    #[error("the address names {count} hosts; it needs 1 to {HOSTS_MAX}")]
    Hosts {
        /// How many it names.
        count: usize,
    },
    /// The part behind the hosts.
    #[error("`{name}` is no {what}: {rule}")]
    Name {
        /// What was given.
        name: String,
        /// What it should be.
        what: &'static str,
        /// What it may look like.
        rule: &'static str,
    },
}

impl TryFrom<String> for LanesUrl {
    type Error = NoAddress;

    fn try_from(url: String) -> Result<Self, NoAddress> {
        if url == "embedded:" {
            return Ok(LanesUrl::Embedded);
        }
        let (hosts, prefix) = servers(&url, Scheme { name: "kafka", port: KAFKA_PORT, behind: "prefix" })?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if prefix.is_empty() || prefix.len() > PREFIX_CHARACTERS_MAX || !prefix.chars().all(plain) {
            let rule = "1 to 100 of a-z, A-Z, 0-9, `.`, `_`, `-`";
            return Err(NoAddress::Name { name: prefix, what: "prefix for topics", rule });
        }
        Ok(LanesUrl::Kafka { hosts, prefix })
    }
}

impl TryFrom<String> for StateUrl {
    type Error = NoAddress;

    fn try_from(url: String) -> Result<Self, NoAddress> {
        if url == "embedded:" {
            return Ok(StateUrl::Embedded);
        }
        let (hosts, keyspace) = servers(&url, Scheme { name: "cql", port: CQL_PORT, behind: "keyspace" })?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = keyspace.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || keyspace.len() > KEYSPACE_CHARACTERS_MAX || !keyspace.chars().all(plain) {
            let rule = "1 to 48 of a-z, 0-9, `_`, the first a letter";
            return Err(NoAddress::Name { name: keyspace, what: "keyspace", rule });
        }
        Ok(StateUrl::Cql { hosts, keyspace })
    }
}

impl fmt::Display for LanesUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LanesUrl::Embedded => f.write_str("embedded:"),
            LanesUrl::Kafka { hosts, prefix } => write!(f, "kafka://{}/{prefix}", hosts.join(",")),
        }
    }
}

impl fmt::Display for StateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateUrl::Embedded => f.write_str("embedded:"),
            StateUrl::Cql { hosts, keyspace } => write!(f, "cql://{}/{keyspace}", hosts.join(",")),
        }
    }
}

impl From<LanesUrl> for String {
    fn from(url: LanesUrl) -> String {
        url.to_string()
    }
}

impl From<StateUrl> for String {
    fn from(url: StateUrl) -> String {
        url.to_string()
    }
}

struct Scheme {
    name: &'static str,
    port: u16,
    behind: &'static str,
}

fn servers(url: &str, scheme: Scheme) -> Result<(Vec<String>, String), NoAddress> {
    if url.contains('@') {
        return Err(NoAddress::Secret);
    }
    let rest = url.strip_prefix(scheme.name).and_then(|rest| rest.strip_prefix("://"));
    let split = rest.and_then(|rest| rest.split_once('/'));
    let (hosts, name) = split.ok_or_else(|| NoAddress::Scheme {
        url: url.chars().take(200).collect(),
        scheme: scheme.name,
        name: scheme.behind,
    })?;
    let hosts: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
    if hosts.is_empty() || hosts.len() > HOSTS_MAX {
        return Err(NoAddress::Hosts { count: hosts.len() });
    }
    let hosts: Result<_, _> = hosts.into_iter().map(|host| with_port(host.trim(), scheme.port)).collect();
    Ok((hosts?, name.to_owned()))
}

fn with_port(host: &str, port: u16) -> Result<String, NoAddress> {
    let refuse = || NoAddress::Host { host: host.to_owned() };
    // An IPv6 address stands in brackets, so that its last group is no port.
    let (name, given) = match host.rsplit_once(':') {
        Some((name, given)) if !given.ends_with(']') => (name, Some(given)),
        _ => (host, None),
    };
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.chars().all(plain),
    };
    let port = given.map_or(Ok(port), str::parse).map_err(|_| refuse())?;
    if good && port != 0 { Ok(format!("{name}:{port}")) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lanes(url: &str, expected: Result<&str, &str>) {
        match (LanesUrl::try_from(url.to_owned()), expected) {
            (Ok(found), Ok(shown)) => assert_eq!(found.to_string(), shown),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("`{url}`: found {found:?}, expected {expected:?}"),
        }
    }

    #[track_caller]
    fn check_state(url: &str, expected: Result<&str, &str>) {
        match (StateUrl::try_from(url.to_owned()), expected) {
            (Ok(found), Ok(shown)) => assert_eq!(found.to_string(), shown),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("`{url}`: found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn addresses_are_read_and_shown() {
        check_lanes("embedded:", Ok("embedded:"));
        check_lanes("kafka://a:1,b:2,[::1]:3/carillon", Ok("kafka://a:1,b:2,[::1]:3/carillon"));
        check_lanes("kafka://broker/x.y-Z", Ok("kafka://broker:9092/x.y-Z"));
        check_state("embedded:", Ok("embedded:"));
        check_state("cql://db,[::1]/carillon_1", Ok("cql://db:9042,[::1]:9042/carillon_1"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_words() {
        check_lanes("cql://a/b", Err("neither `embedded:` nor `kafka://host:port,…/prefix`"));
        check_lanes("kafka://a:1", Err("neither"));
        check_lanes("", Err("neither"));
        check_lanes("kafka:///x", Err("0 hosts"));
        check_lanes("kafka://a:x/y", Err("`a:x` is no `host:port`"));
        check_lanes("kafka://a:0/y", Err("no `host:port`"));
        check_lanes("kafka://a/", Err("is no prefix"));
        check_lanes("kafka://a/b/c", Err("`b/c` is no prefix"));
        check_state("cql://a/Upper", Err("`Upper` is no keyspace"));
        check_state("cql://a/1a", Err("is no keyspace"));
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        check_state("cql://user:hunter2@a/b", Err("must not hold a user or password"));
        let error = LanesUrl::try_from("kafka://user:hunter2@a/b".to_owned()).expect_err("a secret");
        assert!(!error.to_string().contains("hunter2"));
    }
}
