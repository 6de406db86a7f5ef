//! What can go wrong with a farm node as a whole. One modem's trouble is none of it.

use std::path::PathBuf;

use embedded::EmbeddedError;
use model::LinkName;

use crate::config::ConfigRefused;

/// An operation of the farm that failed.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The configuration cannot be run.
    #[error("the farm's configuration is refused")]
    Config(#[from] ConfigRefused),
    /// The journal could not be opened or read.
    #[error("cannot open the journal in `{directory}`", directory = directory.display())]
    OpenJournal {
        /// Where it is.
        directory: PathBuf,
        /// Why.
        source: EmbeddedError,
    },
    /// The key the journal is sealed with could not be read or made.
    #[error("cannot use the journal's key `{path}`", path = path.display())]
    JournalKey {
        /// The key's file.
        path: PathBuf,
        /// Why.
        source: runtime::secret::SecretError,
    },
    /// The key the journal is sealed with is none.
    #[error("the journal's key `{path}` is not 64 hexadecimal digits", path = path.display())]
    JournalKeyText {
        /// The key's file.
        path: PathBuf,
    },
    /// The certificates for the routers could not be used.
    #[error("cannot use the farm's certificates")]
    Certificates(#[from] runtime::tls::TlsError),
    /// A supplier's password could not be read.
    #[error("cannot read the password for supplier `{supplier}`")]
    Password {
        /// The supplier.
        supplier: LinkName,
        /// Why.
        source: runtime::secret::SecretError,
    },
    /// The environment does not hold a supplier's password.
    #[error("there is no variable `{variable}` with the password for supplier `{supplier}`")]
    PasswordVariable {
        /// The supplier.
        supplier: LinkName,
        /// The variable.
        variable: String,
    },
    /// A supplier's name cannot stand in a certificate.
    #[error("the server name of supplier `{supplier}` is none")]
    ServerName {
        /// The supplier.
        supplier: LinkName,
    },
    /// A service's template is none, with what its file adds.
    #[error("the template of service `{service}` cannot be used with what `query_file` adds")]
    Template {
        /// The service.
        service: LinkName,
        /// Why.
        source: wire::http_template::TemplateError,
    },
    /// Relays cannot bring reports.
    #[error("cannot listen on `{address}` for delivery reports of relays")]
    ListenForReports {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The journal took no more: nothing may be begun.
    #[error("cannot write the journal")]
    Journal(#[from] EmbeddedError),
}
