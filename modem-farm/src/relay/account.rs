//! A relay as its link and its door need it: secrets read, certificates loaded. Knows files and the environment; speaks to nobody.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use model::LinkName;
use runtime::Secret;
use runtime::tls::{TlsFiles, client_config};
use rustls::pki_types::ServerName;
use subtle::ConstantTimeEq as _;
use tokio_rustls::TlsConnector;
use wire::mm7;

use crate::config::Mm7;
use crate::error::FarmError;

/// One relay.
pub(crate) struct Relay {
    pub(crate) config: Mm7,
    pub(super) uri: Uri,
    pub(super) statuses: BTreeMap<u32, mm7::Class>,
    pub(super) tls: Option<Tls>,
    /// What we say of ourselves with each request.
    pub(super) authorization: Option<Secret>,
    /// What a report must say of who brings it.
    reporter: Option<Secret>,
}

/// How to tell that it is who it says.
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl Relay {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// A file or variable is missing, or is not what it should be.
    pub(crate) fn of(config: &Mm7) -> Result<Arc<Self>, FarmError> {
        let uri = config.uri().expect("the configuration was checked");
        let credentials = |user: &str, file: &Path, variable: &str| match user {
            "" => Ok(None),
            user => password(&config.name, file, variable).map(|password| Some(basic(user, &password))),
        };
        Ok(Arc::new(Self {
            authorization: credentials(&config.user, &config.password_file, &config.password_env)?,
            reporter: credentials(&config.report_user, &config.report_password_file, &config.report_password_env)?,
            tls: tls(config, &uri)?,
            statuses: config.classes(),
            uri,
            config: config.clone(),
        }))
    }

    /// Whether this one may bring reports: address and password, each where it is asked for.
    pub(super) fn admits(&self, address: IpAddr, authorization: Option<&[u8]>) -> bool {
        let sources = &self.config.report_sources;
        let from_there = sources.is_empty() || sources.contains(&address.to_canonical());
        let proved = self.reporter.as_ref().is_none_or(|wanted| {
            authorization.is_some_and(|given| bool::from(given.ct_eq(wanted.expose().as_bytes())))
        });
        self.config.takes_reports() && from_there && proved
    }
}

/// RFC 7617.
fn basic(user: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
}

fn password(relay: &LinkName, file: &Path, variable: &str) -> Result<Secret, FarmError> {
    let supplier = relay.clone();
    if !file.as_os_str().is_empty() {
        return Secret::read(file).map_err(|source| FarmError::Password { supplier, source });
    }
    if variable.is_empty() {
        return Ok(Secret::new(String::new()));
    }
    let found = std::env::var(variable).map(Secret::new);
    found.map_err(|_| FarmError::PasswordVariable { supplier, variable: variable.to_owned() })
}

fn tls(config: &Mm7, uri: &Uri) -> Result<Option<Tls>, FarmError> {
    if uri.scheme_str() != Some("https") {
        return Ok(None);
    }
    let files = TlsFiles { certificate: config.certificate_file.clone(), key: config.key_file.clone() };
    let identity = (!files.certificate.as_os_str().is_empty()).then_some(&files);
    let settings = client_config(&config.ca_file, identity, "modem_farm.mm7")?;
    let host = uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| FarmError::ServerName { supplier: config.name.clone() })?;
    Ok(Some(Tls { connector: TlsConnector::from(settings), name }))
}
