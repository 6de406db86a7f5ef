//! What the engine has to be told. Plain values without a format: the configuration file is the process's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::CqlError;

/// How to reach the cluster, and how to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Nodes to begin with (`host:port`); the others are found through them.
    pub contact_points: Vec<String>,
    /// The keyspace all tables are in: a letter, then letters, digits and `_`, 48 at most.
    pub keyspace: String,
    /// Whether a keyspace that is not there is created.
    pub create_keyspace: bool,
    /// Whether a schema that this build needs changed is changed, and a keyspace created at all; a command that only looks
    /// leaves both alone.
    pub change_schema: bool,
    /// How many copies are kept; used when the keyspace is created.
    pub replication: Replication,
    /// The data centre of this process: its nodes are asked, and its replicas make the quorum. Empty if there is but one.
    pub datacenter: String,
    /// TLS, if the nodes want it.
    pub tls: Option<Tls>,
    /// The login, if the nodes want one.
    pub login: Option<Login>,
    /// Connections kept to each node.
    pub connections_per_node: usize,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long an answer may take, retries included.
    pub request_timeout: Duration,
    /// How long the start may wait for the cluster.
    pub startup_deadline: Duration,
    /// Statements one operation has under way at once.
    pub in_flight_max: usize,
}

/// How many copies of each row are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So many, wherever: for one data centre.
    Simple(u32),
    /// So many in each data centre, by its name.
    PerDatacenter(BTreeMap<String, u32>),
}

/// TLS towards the nodes. Their certificates must name the addresses they are reached by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that sign nodes' certificates (PEM).
    pub ca: PathBuf,
    /// Our certificate with its chain, and its key (PEM), if the nodes ask for them.
    pub identity: Option<Identity>,
}

/// What we show when asked who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A login.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The role's name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            contact_points: vec!["127.0.0.1:9042".into()],
            keyspace: "carillon".into(),
            create_keyspace: true,
            change_schema: true,
            replication: Replication::Simple(1),
            datacenter: String::new(),
            tls: None,
            login: None,
            connections_per_node: 2,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            startup_deadline: Duration::from_secs(60),
            in_flight_max: 64,
        }
    }
}

const KEYSPACE_BYTES_MAX: usize = 48;

impl Options {
    /// Refuses what can't work, whatever the cluster.
    ///
    /// # Errors
    /// [`CqlError::Setting`], naming it.
    pub fn check(&self) -> Result<(), CqlError> {
        let wrong = |setting, reason: &str| Err(CqlError::Setting { setting, reason: reason.into() });
        if self.contact_points.is_empty() {
            return wrong("contact_points", "names no node");
        }
        if !is_keyspace(&self.keyspace) {
            return wrong("keyspace", "is not a letter and then letters, digits or `_`, 48 at most, all lower case");
        }
        if self.in_flight_max == 0 || self.connections_per_node == 0 {
            return wrong("in_flight_max", "must be 1 or more, and so must `connections_per_node`");
        }
        match &self.replication {
            Replication::Simple(0) => wrong("replication", "keeps no copy"),
            Replication::PerDatacenter(counts) if counts.is_empty() => wrong("replication", "names no data centre"),
            Replication::PerDatacenter(counts) if !counts.keys().all(|name| is_datacenter(name)) => {
                wrong("replication", "has a data centre whose name is not letters, digits, `-`, `_` and `.`")
            }
            _ => Ok(()),
        }
    }

    /// The statement that creates the keyspace.
    pub(super) fn create_statement(&self, scylla: bool) -> String {
        let replication = match &self.replication {
            Replication::Simple(copies) => {
                format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}")
            }
            Replication::PerDatacenter(counts) => {
                let counts: Vec<String> = counts.iter().map(|(name, copies)| format!(", '{name}': {copies}")).collect();
                format!("{{'class': 'NetworkTopologyStrategy'{}}}", counts.concat())
            }
        };
        // Conditional writes on tablets came late to ScyllaDB; on vnodes every version has them.
        let tablets = if scylla && matches!(self.replication, Replication::PerDatacenter(_)) {
            " AND tablets = {'enabled': false}"
        } else {
            ""
        };
        format!("CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {replication}{tablets}", self.keyspace)
    }
}

fn is_keyspace(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    first && name.len() <= KEYSPACE_BYTES_MAX && name.bytes().all(rest)
}

fn is_datacenter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Options), word: &str) {
        let mut options = Options::default();
        change(&mut options);
        let said = options.check().unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        Options::default().check().unwrap();
        refused(|o| o.contact_points.clear(), "contact_points");
        refused(|o| o.keyspace = "a; DROP".into(), "keyspace");
        refused(|o| o.keyspace = "Upper".into(), "keyspace");
        refused(|o| o.in_flight_max = 0, "in_flight_max");
        refused(|o| o.replication = Replication::Simple(0), "replication");
        refused(|o| o.replication = Replication::PerDatacenter(BTreeMap::from([("a'b".into(), 3)])), "replication");
    }

    #[test]
    fn the_keyspace_is_created_as_the_settings_say() {
        let mut options = Options::default();
        let wanted = "CREATE KEYSPACE IF NOT EXISTS carillon WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
        assert_eq!(options.create_statement(true), wanted);
        options.replication = Replication::PerDatacenter(BTreeMap::from([("east".into(), 3), ("west".into(), 2)]));
        let wanted = "CREATE KEYSPACE IF NOT EXISTS carillon WITH replication = {'class': 'NetworkTopologyStrategy', 'east': 3, 'west': 2}";
        assert_eq!(options.create_statement(false), wanted);
        assert!(options.create_statement(true).ends_with("AND tablets = {'enabled': false}"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let options =
            Options { login: Some(Login { user: "carillon".into(), password: "secret".into() }), ..Options::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
