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
    /// One of them does not answer; the error names it and the variable.
    pub fn check(&self) -> Result<()> {
        for (variable, list) in self.variables() {
            for address in list.split(',').map(str::trim).filter(|address| !address.is_empty()) {
                let asked = ask(variable, address);
                asked.map_err(|source| EnginesError::Named { variable, source: Box::new(source) })?;
            }
        }
        Ok(())
    }
}

fn ask(variable: &str, address: &str) -> Result<()> {
    if variable == CQL_VARIABLE {
        return probe::cql::ask(resolve(address, "a CQL database")?);
    }
    probe::kafka::metadata(resolve(address, "Kafka")?).map(drop)
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

    #[track_caller]
    fn check_said(addresses: &Addresses, variable: &str, address: &str) {
        let error = addresses.check().unwrap_err();
        assert!(error.to_string().contains(variable), "{error}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(address), "{cause}");
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        drop(taken);
        let kafka = Addresses { kafka: Some(address.clone()), cql: None };
        check_said(&kafka, KAFKA_VARIABLE, &address);
        check_said(&Addresses { kafka: None, cql: Some("no-port".to_owned()) }, CQL_VARIABLE, "`no-port`");
        Addresses::default().check().unwrap();
    }
}
