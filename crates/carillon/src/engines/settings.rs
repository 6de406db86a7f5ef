//! The settings of lanes and state. Knows what may be set and what goes together, opens nothing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::{LanesUrl, StateUrl};

/// Where and how lanes are kept. `example.toml` says why one would change each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LanesConfig {
    /// The engine.
    pub(crate) url: LanesUrl,
    /// Replicas of a topic this installation creates.
    pub(crate) replication: u16,
    /// Replicas that must have a record before it counts as kept.
    pub(crate) min_insync_replicas: u16,
    /// Whether the servers are spoken to by TLS.
    pub(crate) tls: bool,
    /// The authority that signed the servers' certificates, in PEM; empty: those the machine trusts.
    pub(crate) ca_file: PathBuf,
    /// This process's certificate, if the servers ask for one.
    pub(crate) certificate_file: PathBuf,
    /// Its key.
    pub(crate) key_file: PathBuf,
    /// How the user proves itself.
    pub(crate) sasl_mechanism: SaslMechanism,
    /// The user; empty: none.
    pub(crate) user: String,
    /// A file with the user's password.
    pub(crate) password_file: PathBuf,
    /// How members of a group share its partitions.
    pub(crate) group_protocol: GroupProtocol,
    /// How long a member that is silent keeps its partitions; with the group protocol `consumer` the servers say.
    pub(crate) session_ms_max: u32,
    /// How long the servers may take with one request.
    pub(crate) request_ms_max: u32,
    /// How long a transaction may stay open before the servers abort it.
    pub(crate) transaction_ms_max: u32,
}

/// Who decides which member of a group works on which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GroupProtocol {
    /// The servers (KIP-848; Kafka 4 and later).
    Consumer,
    /// The members.
    Classic,
}

/// How a user proves itself to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SaslMechanism {
    /// RFC 7677 with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// RFC 4616: the password itself travels, so by TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
}

/// Where and how state is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StateConfig {
    /// The engine.
    pub(crate) url: StateUrl,
    /// Replicas of a keyspace this installation creates.
    pub(crate) replication: u16,
    /// The datacenter this process is in, and the keyspace's copies; empty: there is but one.
    pub(crate) local_datacenter: String,
    /// Whether the servers are spoken to by TLS.
    pub(crate) tls: bool,
    /// The authority that signed the servers' certificates, in PEM.
    pub(crate) ca_file: PathBuf,
    /// This process's certificate, if the servers ask for one.
    pub(crate) certificate_file: PathBuf,
    /// Its key.
    pub(crate) key_file: PathBuf,
    /// The user; empty: none.
    pub(crate) user: String,
    /// A file with the user's password.
    pub(crate) password_file: PathBuf,
    /// How long the servers may take with one request.
    pub(crate) request_ms_max: u32,
}

/// Settings of engines that can't be used. Each names its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnginesRefused {
    /// One engine inside, one on servers.
    #[error(
        "`[lanes] url` is `{lanes}` and `[state] url` is `{state}`: both must be embedded or both on servers, since what \
         is embedded serves one process"
    )]
    Mixed {
        /// The lanes' address.
        lanes: String,
        /// The state's address.
        state: String,
    },
    /// A number that can't be.
    #[error("`{key}` is `{value}`; it may be {allowed}")]
    Number {
        /// The key.
        key: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// More in-sync replicas are asked for than there are.
    #[error("`lanes.min_insync_replicas` is `{min}`, more than `lanes.replication`, which is `{replication}`")]
    MoreThanReplicas {
        /// What is asked for.
        min: u16,
        /// What there is.
        replication: u16,
    },
    /// Two keys of which one means nothing without the other.
    #[error("`{section}.{given}` is set, so `{section}.{missing}` must be, too")]
    Half {
        /// The section.
        section: &'static str,
        /// The key that is set.
        given: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// This build has no clients of servers.
    #[error(
        "`lanes.url` and `state.url` name servers, and this build has no engines of a cluster; build it with \
         `cargo build --release --features cluster`"
    )]
    NotBuilt,
    /// The password would travel in the clear.
    #[error(
        "`lanes.sasl_mechanism` is `PLAIN`, which shows the password to everyone on the way: set `lanes.tls = true`"
    )]
    PlainWithoutTls,
}

impl Default for LanesConfig {
    fn default() -> Self {
        LanesConfig {
            url: LanesUrl::Embedded,
            replication: 3,
            min_insync_replicas: 2,
            tls: false,
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            sasl_mechanism: SaslMechanism::ScramSha512,
            user: String::new(),
            password_file: PathBuf::new(),
            group_protocol: GroupProtocol::Consumer,
            session_ms_max: 10_000,
            request_ms_max: 10_000,
            transaction_ms_max: 10_000,
        }
    }
}

impl Default for StateConfig {
    fn default() -> Self {
        StateConfig {
            url: StateUrl::Embedded,
            replication: 3,
            local_datacenter: String::new(),
            tls: false,
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            request_ms_max: 10_000,
        }
    }
}

/// Checks what types can't: what goes together.
///
/// # Errors
/// The first thing that can't be used.
pub(crate) fn validate(lanes: &LanesConfig, state: &StateConfig) -> Result<(), EnginesRefused> {
    if (lanes.url == LanesUrl::Embedded) != (state.url == StateUrl::Embedded) {
        return Err(EnginesRefused::Mixed { lanes: lanes.url.to_string(), state: state.url.to_string() });
    }
    positive("lanes.replication", lanes.replication.into())?;
    positive("lanes.min_insync_replicas", lanes.min_insync_replicas.into())?;
    positive("lanes.session_ms_max", lanes.session_ms_max.into())?;
    positive("lanes.request_ms_max", lanes.request_ms_max.into())?;
    positive("lanes.transaction_ms_max", lanes.transaction_ms_max.into())?;
    positive("state.replication", state.replication.into())?;
    positive("state.request_ms_max", state.request_ms_max.into())?;
    if lanes.min_insync_replicas > lanes.replication {
        let (min, replication) = (lanes.min_insync_replicas, lanes.replication);
        return Err(EnginesRefused::MoreThanReplicas { min, replication });
    }
    secured(Secured {
        section: "lanes",
        tls: lanes.tls,
        ca_file: &lanes.ca_file,
        certificate_file: &lanes.certificate_file,
        key_file: &lanes.key_file,
        user: &lanes.user,
        password_file: &lanes.password_file,
    })?;
    if !lanes.user.is_empty() && lanes.sasl_mechanism == SaslMechanism::Plain && !lanes.tls {
        return Err(EnginesRefused::PlainWithoutTls);
    }
    if state.tls && state.ca_file.as_os_str().is_empty() {
        return Err(EnginesRefused::Half { section: "state", given: "tls", missing: "ca_file" });
    }
    secured(Secured {
        section: "state",
        tls: state.tls,
        ca_file: &state.ca_file,
        certificate_file: &state.certificate_file,
        key_file: &state.key_file,
        user: &state.user,
        password_file: &state.password_file,
    })
}

/// Checks that this build has the engines that are named.
///
/// # Errors
/// [`EnginesRefused::NotBuilt`].
pub(crate) fn check_built(lanes: &LanesConfig) -> Result<(), EnginesRefused> {
    match lanes.url == LanesUrl::Embedded || cfg!(feature = "cluster") {
        true => Ok(()),
        false => Err(EnginesRefused::NotBuilt),
    }
}

fn positive(key: &'static str, value: u64) -> Result<(), EnginesRefused> {
    if value == 0 { Err(EnginesRefused::Number { key, value, allowed: "1 or more" }) } else { Ok(()) }
}

/// What both sections have.
struct Secured<'a> {
    section: &'static str,
    tls: bool,
    ca_file: &'a Path,
    certificate_file: &'a Path,
    key_file: &'a Path,
    user: &'a str,
    password_file: &'a Path,
}

fn secured(settings: Secured<'_>) -> Result<(), EnginesRefused> {
    let set = |path: &Path| !path.as_os_str().is_empty();
    let section = settings.section;
    let pairs = [
        ("ca_file", set(settings.ca_file), "tls", settings.tls),
        ("certificate_file", set(settings.certificate_file), "tls", settings.tls),
        ("certificate_file", set(settings.certificate_file), "key_file", set(settings.key_file)),
        ("key_file", set(settings.key_file), "certificate_file", set(settings.certificate_file)),
        ("user", !settings.user.is_empty(), "password_file", set(settings.password_file)),
        ("password_file", set(settings.password_file), "user", !settings.user.is_empty()),
    ];
    match pairs.into_iter().find(|(_, given, _, needed)| *given && !*needed) {
        Some((given, _, missing, _)) => Err(EnginesRefused::Half { section, given, missing }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut LanesConfig, &mut StateConfig), expected: &str) {
        let (mut lanes, mut state) = (LanesConfig::default(), StateConfig::default());
        lanes.url = LanesUrl::try_from("kafka://a/x".to_owned()).unwrap();
        state.url = StateUrl::try_from("cql://a/x".to_owned()).unwrap();
        assert_eq!(validate(&lanes, &state), Ok(()));
        change(&mut lanes, &mut state);
        let error = validate(&lanes, &state).expect_err("this is refused").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        check(|lanes, _| lanes.url = LanesUrl::Embedded, "both must be embedded or both on servers");
        check(|_, state| state.url = StateUrl::Embedded, "`[state] url` is `embedded:`");
        check(|lanes, _| lanes.replication = 1, "`2`, more than `lanes.replication`, which is `1`");
        check(|lanes, _| lanes.min_insync_replicas = 0, "`lanes.min_insync_replicas` is `0`");
        check(|lanes, _| lanes.ca_file = "ca.pem".into(), "`lanes.ca_file` is set, so `lanes.tls` must be");
        check(|_, state| state.user = "x".into(), "`state.user` is set, so `state.password_file` must be");
        check(|_, state| state.password_file = "x".into(), "`state.user` must be");
        check(|_, state| state.tls = true, "`state.ca_file` must be");
        let key = |_: &mut LanesConfig, state: &mut StateConfig| {
            (state.tls, state.ca_file, state.key_file) = (true, "c".into(), "k".into());
        };
        check(key, "`state.certificate_file` must be");
        let plain = |lanes: &mut LanesConfig, _: &mut StateConfig| {
            (lanes.user, lanes.password_file, lanes.sasl_mechanism) = ("u".into(), "p".into(), SaslMechanism::Plain);
        };
        check(plain, "shows the password");
    }

    #[test]
    fn the_embedded_engines_are_the_default() {
        assert_eq!(validate(&LanesConfig::default(), &StateConfig::default()), Ok(()));
    }
}
