//! Where engines are, as programs and tests are told.
//!
//! Knows the two environment variables; must not know who runs the engines.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::{EnginesError, Result};
use crate::probe;

/// The variable with the brokers to begin with, `host:port` separated by commas.
pub const KAFKA_VARIABLE: &str = "CARILLON_KAFKA";
/// The variable with the CQL nodes to begin with, as [`KAFKA_VARIABLE`].
pub const CQL_VARIABLE: &str = "CARILLON_CQL";

/// Addresses of both engines, either of which may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Brokers to begin with.
    pub kafka: Option<String>,
    /// CQL nodes to begin with.
    pub cql: Option<String>,
}

impl Addresses {
    /// What the environment names. An empty variable names nothing.
    pub fn from_environment() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Self { kafka: read(KAFKA_VARIABLE), cql: read(CQL_VARIABLE) }
    }

    /// These, and where one is absent the other's.
    pub fn or(self, other: Self) -> Self {
        Self { kafka: self.kafka.or(other.kafka), cql: self.cql.or(other.cql) }
    }

    /// The variables with their values, for a process that is started.
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        let both = [(KAFKA_VARIABLE, &self.kafka), (CQL_VARIABLE, &self.cql)];
        both.into_iter().filter_map(|(name, value)| value.as_deref().map(|value| (name, value))).collect()
    }

    /// The line to type into a shell; empty if both are absent.
    pub fn export_line(&self) -> String {
        let set: Vec<String> = self.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if set.is_empty() { String::new() } else { format!("export {}", set.join(" ")) }
    }

    /// Asks every address once, each in its protocol.
    ///
    /// # Errors
    /// One of them does not answer; the error names it.
    pub fn check(&self) -> Result<()> {
        for address in split(self.kafka.as_deref()) {
            probe::kafka::metadata(resolve(address, "Kafka")?)?;
        }
        for address in split(self.cql.as_deref()) {
            probe::cql::ask(resolve(address, "a CQL database")?)?;
        }
        Ok(())
    }
}

fn split(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|address| !address.is_empty())
}

fn resolve(address: &str, engine: &'static str) -> Result<SocketAddr> {
    let error = |why: String| EnginesError::NoAnswer { address: address.to_owned(), engine, why };
    let mut found = address.to_socket_addrs().map_err(|cause| error(cause.to_string()))?;
    found.next().ok_or_else(|| error("the name has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_can_take_them_over() {
        let both = Addresses { kafka: Some("127.0.0.1:1,127.0.0.1:2".to_owned()), cql: Some("127.0.0.1:3".to_owned()) };
        assert_eq!(both.export_line(), "export CARILLON_KAFKA=127.0.0.1:1,127.0.0.1:2 CARILLON_CQL=127.0.0.1:3");
        let one = Addresses { kafka: None, ..both.clone() };
        assert_eq!(one.export_line(), "export CARILLON_CQL=127.0.0.1:3");
        assert_eq!(one.or(both.clone()), both);
        assert_eq!(Addresses::default().export_line(), "");
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        drop(taken);
        let kafka = Addresses { kafka: Some(address.clone()), cql: None };
        assert!(kafka.check().unwrap_err().to_string().contains(&address));
        let cql = Addresses { kafka: None, cql: Some("127.0.0.1".to_owned()) };
        assert!(cql.check().unwrap_err().to_string().contains("`127.0.0.1`") || cql.check().is_err());
        Addresses::default().check().unwrap();
    }
}
