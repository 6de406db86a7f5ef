//! From settings to a session: TLS, login, profile, deadline, keyspace. Knows no table.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::unprepared::Statement as Unprepared;
use scylla::statement::{Consistency, SerialConsistency};
use tokio::time::{Instant, sleep};

use super::options::Tls;
use super::{CqlError, Options};

const REST_MIN: Duration = Duration::from_millis(200);
/// How often a keyspace that is there may be unknown.
const USES_MAX: u32 = 50;
const REST_MAX: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(2);

/// Connects, and makes the keyspace if it is absent and may be made.
pub(super) async fn open(options: &Options) -> Result<Session, CqlError> {
    options.check()?;
    let builder = builder(options)?;
    let deadline = Instant::now() + options.startup_deadline;
    let session = connect(&builder, options, deadline).await?;
    let mut patience = Patience::new(options);
    while let Err(error) = prepare_keyspace(&session, options).await {
        patience.after(error).await?;
    }
    use_keyspace(&session, options).await?;
    Ok(session)
}

/// How long the start goes on trying what may be done twice.
pub(super) struct Patience {
    deadline: Instant,
    rest: Duration,
}

impl Patience {
    pub(super) fn new(options: &Options) -> Self {
        Patience { deadline: Instant::now() + options.startup_deadline, rest: REST_MIN }
    }

    /// Rests before the next try; the error itself, if that can't help or there is no time left.
    pub(super) async fn after(&mut self, error: CqlError) -> Result<(), CqlError> {
        if !error.passes() || Instant::now() >= self.deadline {
            return Err(error);
        }
        tracing::warn!(%error, "the CQL nodes are busy, trying again");
        sleep(self.rest).await;
        self.rest = (self.rest * 2).min(REST_MAX);
        Ok(())
    }
}

/// Works in the keyspace from here on. A keyspace that another process is just making is in the tables of the schema before
/// every connection knows it.
async fn use_keyspace(session: &Session, options: &Options) -> Result<(), CqlError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match session.use_keyspace(&options.keyspace, true).await {
            Ok(()) => return Ok(()),
            Err(_) if tries < USES_MAX => sleep(REST_MIN).await,
            Err(error) => return Err(CqlError::statement("use the keyspace", error)),
        }
    }
}

fn builder(options: &Options) -> Result<SessionBuilder, CqlError> {
    let mut balance = DefaultPolicy::builder().token_aware(true);
    if !options.datacenter.is_empty() {
        balance = balance.prefer_datacenter(options.datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(options.request_timeout))
        .load_balancing_policy(balance.build())
        .build();
    let connections = std::num::NonZeroUsize::new(options.connections_per_node).expect("the settings were checked");
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .default_execution_profile_handle(profile.into_handle())
        .pool_size(PoolSize::PerHost(connections))
        .connection_timeout(options.connect_timeout)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(options.connect_timeout)
        .tcp_keepalive_interval(KEEPALIVE)
        .fetch_schema_metadata(true);
    if let Some(login) = &options.login {
        builder = builder.user(&login.user, &login.password);
    }
    if let Some(tls) = &options.tls {
        builder = builder.tls_context(Some(Arc::new(tls_config(tls)?)));
    }
    Ok(builder)
}

fn tls_config(tls: &Tls) -> Result<ClientConfig, CqlError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.ca", &tls.ca)? {
        roots.add(certificate).map_err(|error| wrong("tls.ca", &tls.ca, error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots);
    let Some(identity) = &tls.identity else { return Ok(config.with_no_client_auth()) };
    let chain = certificates("tls.certificate", &identity.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| wrong("tls.key", &identity.key, error))?;
    let config = config.with_client_auth_cert(chain, key);
    config.map_err(|error| wrong("tls.certificate", &identity.certificate, error))
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, CqlError> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| wrong(setting, path, error))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| wrong(setting, path, error))?;
    if all.is_empty() { Err(wrong(setting, path, "it holds no certificate")) } else { Ok(all) }
}

fn wrong(setting: &'static str, path: &Path, reason: impl std::fmt::Display) -> CqlError {
    CqlError::Tls { setting, path: path.to_owned(), reason: reason.to_string() }
}

/// Tries until somebody answers, or the deadline has passed. A refused login is tried again too: a node that just started
/// may not know its roles yet.
async fn connect(builder: &SessionBuilder, options: &Options, deadline: Instant) -> Result<Session, CqlError> {
    let (mut rest, addresses) = (REST_MIN, options.contact_points.join(", "));
    loop {
        let error = match builder.build().await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        let said = chain(&error);
        if Instant::now() + rest >= deadline {
            let refused = ["Authentication", "authentication", "credentials", "password"];
            return Err(if refused.iter().any(|word| said.contains(word)) {
                CqlError::Login { addresses, reason: said }
            } else {
                let seconds = options.startup_deadline.as_secs();
                CqlError::Unreachable { addresses, seconds, hint: hint(&said, options), source: Arc::new(error) }
            });
        }
        tracing::warn!(cql.addresses = %addresses, reason = %said, "no CQL node answers yet, trying again");
        sleep(rest).await;
        rest = (rest * 2).min(REST_MAX);
    }
}

/// Everything an error and its causes say.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            write!(said, ": {text}").expect("writing to a string does not fail");
        }
        next = cause.source();
    }
    said
}

fn hint(said: &str, options: &Options) -> String {
    let advice = if said.contains("certificate") || said.contains("UnknownIssuer") || said.contains("handshake") {
        "; see settings `tls.ca` and `tls.certificate`"
    } else if options.tls.is_some() {
        "; do the nodes speak TLS, as setting `tls` says?"
    } else {
        ""
    };
    format!("{said}{advice}")
}

async fn prepare_keyspace(session: &Session, options: &Options) -> Result<(), CqlError> {
    let find = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    if exists(session, find, &options.keyspace).await? {
        return Ok(());
    }
    let statement = options.create_statement(is_scylla(session).await?);
    let absent =
        |why: String| CqlError::Keyspace { keyspace: options.keyspace.clone(), why, statement: statement.clone() };
    if !options.change_schema {
        return Err(CqlError::Outdated { keyspace: options.keyspace.clone() });
    }
    if !options.create_keyspace {
        return Err(absent("setting `create_keyspace` is off".into()));
    }
    let mut create = Unprepared::new(statement.as_str());
    create.set_request_timeout(Some(super::migrate::CHANGE_MAX));
    session.query_unpaged(create, ()).await.map_err(|error| {
        let why = chain(&error);
        let failed = CqlError::statement("make the keyspace", error);
        if failed.passes() { failed } else { absent(why) }
    })?;
    session.await_schema_agreement().await.map_err(|error| CqlError::statement("wait for the keyspace", error))?;
    Ok(())
}

/// Whether the nodes are ScyllaDB's.
pub(super) async fn is_scylla(session: &Session) -> Result<bool, CqlError> {
    let find = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system' AND table_name = ?";
    exists(session, find, "scylla_local").await
}

async fn exists(session: &Session, find: &str, name: &str) -> Result<bool, CqlError> {
    let failed = |error| CqlError::statement("look at the schema", error);
    let found = session.query_unpaged(find, (name,)).await.map_err(failed)?;
    Ok(found.into_rows_result().is_ok_and(|rows| rows.rows_num() > 0))
}
