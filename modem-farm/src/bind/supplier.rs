//! A supplier as its links need him: secrets read, certificates loaded. Knows files and the environment; speaks to nobody.

use std::sync::Arc;
use std::time::Duration;

use runtime::Secret;
use runtime::tls::{TlsFiles, client_config};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use wire::smpp;

use crate::config::Smpp;
use crate::error::FarmError;

/// One supplier.
pub(crate) struct Supplier {
    pub(crate) config: Smpp,
    pub(super) receipts: smpp::Receipts,
    pub(super) tls: Option<Tls>,
    password: Secret,
}

/// How to tell that he is who he says.
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl Supplier {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// A file or variable is missing, or is not what it should be.
    pub(crate) fn of(config: &Smpp) -> Result<Arc<Self>, FarmError> {
        let (receipts, config) = (config.receipts(), config.clone());
        let (password, tls) = (password(&config)?, tls(&config)?);
        Ok(Arc::new(Self { receipts, tls, password, config }))
    }

    /// How to speak to him in this mode.
    pub(super) fn profile(&self, mode: smpp::Mode) -> smpp::Profile {
        self.config.profile(mode, self.password.expose())
    }

    pub(super) fn connect_max(&self) -> Duration {
        Duration::from_secs(self.config.connect_seconds_max)
    }
}

fn password(config: &Smpp) -> Result<Secret, FarmError> {
    let supplier = config.name.clone();
    if !config.password_file.as_os_str().is_empty() {
        return Secret::read(&config.password_file).map_err(|source| FarmError::Password { supplier, source });
    }
    if config.password_env.is_empty() {
        return Ok(Secret::new(String::new()));
    }
    let found = std::env::var(&config.password_env).map(Secret::new);
    found.map_err(|_| FarmError::PasswordVariable { supplier, variable: config.password_env.clone() })
}

fn tls(config: &Smpp) -> Result<Option<Tls>, FarmError> {
    if !config.tls {
        return Ok(None);
    }
    let files = TlsFiles { certificate: config.certificate_file.clone(), key: config.key_file.clone() };
    let identity = (!files.certificate.as_os_str().is_empty()).then_some(&files);
    let settings = client_config(&config.ca_file, identity, "modem_farm.smpp")?;
    let host = config.address.rsplit_once(':').map_or(config.address.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = if config.server_name.is_empty() { host } else { &config.server_name };
    let name = ServerName::try_from(name.to_owned());
    let name = name.map_err(|_| FarmError::ServerName { supplier: config.name.clone() })?;
    Ok(Some(Tls { connector: TlsConnector::from(settings), name }))
}
