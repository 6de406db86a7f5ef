//! From settings to clients of Kafka and CQL: the one place that knows how their keys are called there.

use bus::{AnyBus, BusError};
use runtime::Again;
use sms_router::RouterError;
use store::AnyStore;

use super::Absent;
use super::patience::{Awaited, Failed, LANES, Patience, STATE};
use crate::config::Config;

/// Who a process is among those that share the servers: stable over restarts, or the servers wait for the one that went.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its role.
    pub(crate) role: &'static str,
    /// Its name among those of its role.
    pub(crate) name: String,
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.role, self.name)
    }
}

pub(super) async fn open_bus(config: &Config, member: &Member, patience: &Patience) -> anyhow::Result<AnyBus> {
    patience.wait(awaited(config), async || client::bus(config, member).await).await
}

/// Makes the lanes that are not there. Those that were made a moment ago are not at once known to all brokers.
pub(super) async fn prepare(config: &Config, bus: &AnyBus, patience: &Patience) -> anyhow::Result<()> {
    let prepare = async || {
        let prepared = sms_router::prepare(bus).await;
        prepared.map_err(|error| Failed { again: mended_by_time(&error), reason: error.into() })
    };
    patience.wait(awaited(config), prepare).await
}

fn awaited(config: &Config) -> Awaited {
    Awaited { condition: LANES, setting: "lanes.url", address: config.lanes.url.to_string() }
}

/// A lane that is not what it should be stays so until somebody changes it.
fn mended_by_time(error: &RouterError) -> Again {
    match error {
        RouterError::Prepare { source: BusError::Layout { .. }, .. } => Again::No,
        #[cfg(feature = "cluster")]
        RouterError::Prepare { source: BusError::Topic(_), .. } => Again::No,
        _ => Again::Yes,
    }
}

pub(super) async fn open_store(config: &Config, patience: &Patience, absent: Absent) -> anyhow::Result<AnyStore> {
    let awaited = Awaited { condition: STATE, setting: "state.url", address: config.state.url.to_string() };
    patience.wait(awaited, async || client::store(config, absent).await).await
}

/// The clients' options, key by key.
#[cfg(feature = "cluster")]
mod client {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use anyhow::Context;
    use bus::{BusError, KafkaBus, kafka};
    use runtime::Secret;
    use store::{CqlStore, cql};

    use super::*;
    use crate::engines::address::{LanesUrl, StateUrl};
    use crate::engines::settings::{GroupProtocol, SaslMechanism};

    /// One attempt to open; the patience makes more of them.
    const OPEN_MAX: Duration = Duration::from_secs(10);
    /// A record is void when its answer was due: the append must have failed before.
    const APPEND_PART: f64 = 0.9;

    pub(super) async fn bus(config: &Config, member: &Member) -> Result<AnyBus, Failed> {
        let options = bus_options(config, member).map_err(for_good)?;
        match KafkaBus::open(options).await {
            Ok(bus) => Ok(AnyBus::Kafka(bus)),
            Err(error @ (BusError::Connect { .. } | BusError::Open(_))) => {
                Err(Failed { reason: error.into(), again: Again::Yes })
            }
            Err(error) => Err(for_good(error.into())),
        }
    }

    pub(super) async fn store(config: &Config, absent: Absent) -> Result<AnyStore, Failed> {
        let options = store_options(config, absent).map_err(for_good)?;
        let opened = CqlStore::open(options).await;
        opened.map(AnyStore::Cql).map_err(|error| Failed { reason: error.into(), again: Again::Yes })
    }

    fn open_max(config: &Config) -> Duration {
        OPEN_MAX.min(Duration::from_secs(config.start_seconds_max))
    }

    fn for_good(reason: anyhow::Error) -> Failed {
        Failed { reason, again: Again::No }
    }

    fn bus_options(config: &Config, member: &Member) -> anyhow::Result<kafka::Options> {
        let lanes = &config.lanes;
        let LanesUrl::Kafka { hosts, prefix } = &lanes.url else { anyhow::bail!("the lanes are not on servers") };
        let accept = Duration::from_millis(config.gateway.accept_ms_max);
        let mut options = kafka::Options::new(hosts.clone(), prefix, member.to_string());
        options.replication = lanes.replication.into();
        options.min_isr = lanes.min_insync_replicas.into();
        options.tls = lanes.tls.then(|| kafka::Tls {
            ca_file: given(&lanes.ca_file),
            certificate_file: given(&lanes.certificate_file),
            key_file: given(&lanes.key_file),
        });
        options.sasl = match lanes.user.as_str() {
            "" => None,
            user => Some(kafka::Sasl {
                mechanism: mechanism(lanes.sasl_mechanism),
                user: user.to_owned(),
                password: password("lanes.password_file", &lanes.password_file)?,
            }),
        };
        options.group_protocol = match lanes.group_protocol {
            GroupProtocol::Consumer => kafka::GroupProtocol::Consumer,
            GroupProtocol::Classic => kafka::GroupProtocol::Classic,
        };
        options.session = Duration::from_millis(lanes.session_ms_max.into());
        options.open_max = open_max(config);
        options.append_max = accept.mul_f64(APPEND_PART);
        options.request_max = Duration::from_millis(lanes.request_ms_max.into());
        options.transaction_max = Duration::from_millis(lanes.transaction_ms_max.into());
        Ok(options)
    }

    fn mechanism(mechanism: SaslMechanism) -> kafka::Mechanism {
        match mechanism {
            SaslMechanism::ScramSha512 => kafka::Mechanism::ScramSha512,
            SaslMechanism::ScramSha256 => kafka::Mechanism::ScramSha256,
            SaslMechanism::Plain => kafka::Mechanism::Plain,
        }
    }

    fn store_options(config: &Config, absent: Absent) -> anyhow::Result<cql::Options> {
        let state = &config.state;
        let StateUrl::Cql { hosts, keyspace } = &state.url else { anyhow::bail!("the state is not on servers") };
        let copies = u32::from(state.replication);
        let replication = match state.local_datacenter.as_str() {
            "" => cql::Replication::Simple(copies),
            name => cql::Replication::PerDatacenter(BTreeMap::from([(name.to_owned(), copies)])),
        };
        let login = match state.user.as_str() {
            "" => None,
            user => Some(cql::Login {
                user: user.to_owned(),
                password: password("state.password_file", &state.password_file)?,
            }),
        };
        Ok(cql::Options {
            contact_points: hosts.clone(),
            keyspace: keyspace.clone(),
            replication,
            datacenter: state.local_datacenter.clone(),
            tls: state.tls.then(|| cql::Tls {
                ca: state.ca_file.clone(),
                identity: given(&state.certificate_file)
                    .map(|certificate| cql::Identity { certificate, key: state.key_file.clone() }),
            }),
            login,
            request_timeout: Duration::from_millis(state.request_ms_max.into()),
            startup_deadline: open_max(config),
            change_schema: absent == Absent::Make,
            ..cql::Options::default()
        })
    }

    fn given(path: &Path) -> Option<std::path::PathBuf> {
        (!path.as_os_str().is_empty()).then(|| path.to_owned())
    }

    fn password(key: &'static str, path: &Path) -> anyhow::Result<String> {
        let secret = Secret::read(path).with_context(|| format!("setting `{key}`"))?;
        Ok(secret.expose().to_owned())
    }
}

/// This build has no clients.
#[cfg(not(feature = "cluster"))]
mod client {
    use super::*;

    const HOW: &str =
        "this build has no engines of a cluster; build it with `cargo build --release --features cluster`";

    pub(super) async fn bus(_: &Config, _: &Member) -> Result<AnyBus, Failed> {
        Err(Failed { reason: anyhow::anyhow!(HOW), again: Again::No })
    }

    pub(super) async fn store(_: &Config, _: Absent) -> Result<AnyStore, Failed> {
        Err(Failed { reason: anyhow::anyhow!(HOW), again: Again::No })
    }
}
