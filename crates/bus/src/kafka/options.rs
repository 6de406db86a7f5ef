//! What the engine is told: where the brokers are, who we are there, and every bound. Knows no configuration file.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How members of a group share its partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GroupProtocol {
    /// The brokers assign (KIP-848; Kafka 4 and later). Session times are the brokers' settings.
    #[default]
    Consumer,
    /// The members assign, cooperatively. For brokers that don't know the newer one.
    Classic,
}

/// How a user proves itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// RFC 7677 with SHA-512.
    ScramSha512,
    /// RFC 7677.
    ScramSha256,
    /// RFC 4616: the password itself travels, so by TLS only.
    Plain,
}

/// A user of the brokers.
#[derive(Clone)]
pub struct Sasl {
    /// How it proves itself.
    pub mechanism: Mechanism,
    /// Its name.
    pub user: String,
    /// Its password; never shown.
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sasl({:?}, {})", self.mechanism, self.user)
    }
}

/// TLS to the brokers.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authority that signed the brokers' certificates, in PEM; `None`: those the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, if the brokers ask for one, in PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its key, in PEM.
    pub key_file: Option<PathBuf>,
}

/// Settings of the Kafka engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Brokers to begin with, `host:port`.
    pub bootstrap: Vec<String>,
    /// What the names of all topics, groups and transactions begin with: installations share brokers, not lanes.
    pub prefix: String,
    /// This process's name, stable over restarts and its own among the processes of the prefix: what its predecessor left
    /// open is ended under it, and its seat in groups is kept while it restarts.
    pub name: String,
    /// Replicas of each topic that is created, and at least as many of one that exists.
    pub replication: i32,
    /// Replicas that must have an entry before it counts as written.
    pub min_isr: i32,
    /// TLS, if the brokers want it.
    pub tls: Option<Tls>,
    /// The user, if the brokers want one.
    pub sasl: Option<Sasl>,
    /// How groups share partitions.
    pub group_protocol: GroupProtocol,
    /// How long a classic member's seat is kept; under KIP-848 the brokers say.
    pub session: Duration,
    /// How long opening may take before it fails with a reason.
    pub open_max: Duration,
    /// How long an append may take before it fails. It must be less than any deadline by which records are void.
    pub append_max: Duration,
    /// How long the brokers may take with one request.
    pub request_max: Duration,
    /// How long a transaction may stay open before the brokers abort it: readers of what it touched wait so long when its
    /// process dies.
    pub transaction_max: Duration,
    /// Transactions that may be open at once. The brokers need a while between two of one producer.
    pub commit_slots: usize,
    /// Entries of one lane that some group still needs; `append` refuses more. Counted from a sample at most a second old.
    pub lane_entries_max: usize,
    /// Bytes of one entry.
    pub entry_bytes_max: usize,
    /// Entries of one block; at most 4,095.
    pub block_entries_max: usize,
    /// Bytes after which a block is full (entries of one key share one all the same, up to [`Options::message_bytes_max`]).
    pub block_bytes_max: usize,
    /// Bytes of one Kafka record, as topics are set.
    pub message_bytes_max: usize,
    /// Entries that wait to be sent, of all lanes; `append` refuses more.
    pub waiting_max: usize,
    /// Bytes of decoded blocks kept per partition: the newest, and as much again of those that were fetched.
    pub cache_bytes_max: usize,
    /// Bytes one read returns (one larger entry is returned alone).
    pub read_bytes_max: usize,
    /// Acknowledged stretches above a watermark.
    pub gaps_max: usize,
}

impl Options {
    /// Options with sensible bounds for these brokers.
    #[must_use]
    pub fn new(bootstrap: Vec<String>, prefix: impl Into<String>, name: impl Into<String>) -> Self {
        Options {
            bootstrap,
            prefix: prefix.into(),
            name: name.into(),
            replication: 3,
            min_isr: 2,
            tls: None,
            sasl: None,
            group_protocol: GroupProtocol::default(),
            session: Duration::from_secs(10),
            open_max: Duration::from_secs(30),
            append_max: Duration::from_secs(5),
            request_max: Duration::from_secs(10),
            transaction_max: Duration::from_secs(10),
            commit_slots: 4,
            lane_entries_max: 4_000_000,
            entry_bytes_max: 1 << 20,
            block_entries_max: 1_024,
            block_bytes_max: 256 << 10,
            message_bytes_max: 4 << 20,
            waiting_max: 65_536,
            cache_bytes_max: 4 << 20,
            read_bytes_max: 4 << 20,
            gaps_max: 1_000_000,
        }
    }

    /// A name of ours among the brokers'.
    pub(super) fn named(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }

    pub(super) fn address(&self) -> String {
        self.bootstrap.join(",")
    }

    /// What all entries of one key in one block may hold: a record less its frame.
    pub(super) fn block_bytes_hard(&self) -> usize {
        self.message_bytes_max - self.message_bytes_max / 8
    }
}
