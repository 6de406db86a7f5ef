//! Where engines are, as programs and tests are told.
//!
//! Knows the environment variables; must not know who runs the engines.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::{EnginesError, Result};
use crate::probe;

/// The variable with the brokers to begin with, `host:port` separated by commas.
pub const KAFKA_VARIABLE: &str = "CARILLON_KAFKA";
/// The variable with the CQL nodes to begin with, as [`KAFKA_VARIABLE`].
pub const CQL_VARIABLE: &str = "CARILLON_CQL";

/// The variable with the brokers' doors for clients with a certificate.
pub const KAFKA_TLS_VARIABLE: &str = "CARILLON_KAFKA_TLS";
/// The variable with the brokers' doors for clients with a password (SCRAM-SHA-512 inside TLS).
pub const KAFKA_SASL_VARIABLE: &str = "CARILLON_KAFKA_SASL";
/// The variable with the folder of `ca.crt`, `client.crt`, `client.key`, `user` and `password`.
pub const TLS_VARIABLE: &str = "CARILLON_TLS";

/// Addresses of both engines, any of which may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Brokers to begin with.
    pub kafka: Option<String>,
    /// The same by TLS, for clients with a certificate.
    pub kafka_tls: Option<String>,
    /// The same by TLS, for clients with a password.
    pub kafka_sasl: Option<String>,
    /// CQL nodes to begin with.
    pub cql: Option<String>,
    /// The folder with certificates and password.
    pub tls: Option<String>,
}

impl Addresses {
    /// What the environment names. An empty variable names nothing.
    pub fn from_environment() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        Self {
            kafka: read(KAFKA_VARIABLE),
            kafka_tls: read(KAFKA_TLS_VARIABLE),
            kafka_sasl: read(KAFKA_SASL_VARIABLE),
            cql: read(CQL_VARIABLE),
            tls: read(TLS_VARIABLE),
        }
    }

    /// These, and where one is absent the other's.
    pub fn or(self, other: Self) -> Self {
        Self {
            kafka: self.kafka.or(other.kafka),
            kafka_tls: self.kafka_tls.or(other.kafka_tls),
            kafka_sasl: self.kafka_sasl.or(other.kafka_sasl),
            cql: self.cql.or(other.cql),
            tls: self.tls.or(other.tls),
        }
    }

    /// These without those that are the other's.
    pub fn without(self, other: &Self) -> Self {
        let differs = |mine: Option<String>, its: &Option<String>| mine.filter(|mine| Some(mine) != its.as_ref());
        Self {
            kafka: differs(self.kafka, &other.kafka),
            kafka_tls: differs(self.kafka_tls, &other.kafka_tls),
            kafka_sasl: differs(self.kafka_sasl, &other.kafka_sasl),
            cql: differs(self.cql, &other.cql),
            tls: differs(self.tls, &other.tls),
        }
    }

    /// The variables with their values, for a process that is started.
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        let all = [
            (KAFKA_VARIABLE, &self.kafka),
            (KAFKA_TLS_VARIABLE, &self.kafka_tls),
            (KAFKA_SASL_VARIABLE, &self.kafka_sasl),
            (CQL_VARIABLE, &self.cql),
            (TLS_VARIABLE, &self.tls),
        ];
        all.into_iter().filter_map(|(name, value)| value.as_deref().map(|value| (name, value))).collect()
    }

    /// The line to type into a shell; empty if both are absent.
    pub fn export_line(&self) -> String {
        let set: Vec<String> = self.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if set.is_empty() { String::new() } else { format!("export {}", set.join(" ")) }
    }

    /// Asks every address of the open doors once, each in its protocol.
    ///
    /// # Errors
    /// One of them does not answer; the error names it and the variable.
    pub fn check(&self) -> Result<()> {
        for (variable, list) in self.variables() {
            if !matches!(variable, KAFKA_VARIABLE | CQL_VARIABLE) {
                continue;
            }
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

    fn named(kafka: Option<&str>, cql: Option<&str>) -> Addresses {
        Addresses { kafka: kafka.map(str::to_owned), cql: cql.map(str::to_owned), ..Addresses::default() }
    }

    #[test]
    fn a_shell_can_take_them_over() {
        let both = named(Some("127.0.0.1:1,127.0.0.1:2"), Some("127.0.0.1:3"));
        assert_eq!(both.export_line(), "export CARILLON_KAFKA=127.0.0.1:1,127.0.0.1:2 CARILLON_CQL=127.0.0.1:3");
        let one = both.clone().without(&named(both.kafka.as_deref(), None));
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
        check_said(&named(Some(&address), None), KAFKA_VARIABLE, &address);
        check_said(&named(None, Some("no-port")), CQL_VARIABLE, "`no-port`");
        Addresses::default().check().unwrap();
    }
}
