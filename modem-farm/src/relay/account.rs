//! A relay as its link and its door need it: secrets read, certificates loaded. Knows files and the environment; speaks to nobody.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::Secret;
use runtime::tls::TlsFiles;
use subtle::ConstantTimeEq as _;
use wire::mm7;

use crate::config::Mm7;
use crate::error::FarmError;
use crate::http::{Server, Tls, basic, secret};

/// One relay.
pub(crate) struct Relay {
    pub(crate) config: Mm7,
    pub(super) server: Arc<Server>,
    pub(super) statuses: BTreeMap<u32, mm7::Class>,
    /// What we say of ourselves with each request.
    pub(super) authorization: Option<Secret>,
    /// What a report must say of who brings it.
    reporter: Option<Secret>,
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
            user => secret(&config.name, file, variable).map(|password| Some(basic(user, &password))),
        };
        let files = TlsFiles { certificate: config.certificate_file.clone(), key: config.key_file.clone() };
        let tls = Tls::of(&uri, &config.ca_file, &files, (&config.name, "modem_farm.mm7"))?;
        let server = Server {
            uri,
            tls,
            connect_max: Duration::from_secs(config.connect_seconds_max),
            answer_max: Duration::from_secs(config.answer_seconds_max),
            kept_max: config.window as usize,
            networks: None,
        };
        Ok(Arc::new(Self {
            authorization: credentials(&config.user, &config.password_file, &config.password_env)?,
            reporter: credentials(&config.report_user, &config.report_password_file, &config.report_password_env)?,
            server: Arc::new(server),
            statuses: config.classes(),
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
