//! Who a farm is: what its certificate says. Knows the form of the name, not which routes the farm may serve.

use lease::message::Hello;
use model::FarmName;
use runtime::pki;
use rustls_pki_types::CertificateDer;

const KIND: &str = "farm";

/// A farm and its operator, from the URI `carillon://farm/<operator>/<farm>` in its certificate (RFC 5280, 4.2.1.6).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FarmIdentity {
    /// Who operates it.
    pub operator: String,
    /// Its name.
    pub farm: FarmName,
}

/// A peer that is not the farm it should be.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No client certificate came.
    #[error("the peer showed no certificate")]
    Missing,
    /// The certificate has no name of ours.
    #[error("the peer's certificate can't be used")]
    Certificate {
        /// What is wrong with it.
        source: runtime::tls::TlsError,
    },
    /// It is of another kind of node, or has no operator.
    #[error("the certificate's name `{name}` is no farm's (`carillon://farm/<operator>/<farm>`)")]
    NotAFarm {
        /// What it says.
        name: String,
    },
    /// The farm says another name than its certificate.
    #[error("the farm calls itself `{said}`, its certificate says `{certified}`")]
    Mismatch {
        /// What the farm says.
        said: FarmName,
        /// What the certificate says.
        certified: FarmName,
    },
}

impl FarmIdentity {
    /// The name for a certificate: what an authority issues it for.
    ///
    /// # Errors
    /// The operator or the farm has characters a node's name must not have.
    pub fn certificate_name(operator: &str, farm: &FarmName) -> Result<pki::Identity, pki::PkiError> {
        pki::Identity::new(KIND, &format!("{operator}/{farm}"))
    }

    /// Reads who a peer is from its certificate, which TLS has checked before.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`], [`IdentityError::NotAFarm`].
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let name =
            pki::Identity::of_certificate(certificate).map_err(|source| IdentityError::Certificate { source })?;
        let no_farm = || IdentityError::NotAFarm { name: name.to_string() };
        let (operator, farm) = name.name().split_once('/').filter(|_| name.kind() == KIND).ok_or_else(no_farm)?;
        let farm = FarmName::new(farm).map_err(|_| no_farm())?;
        Ok(FarmIdentity { operator: operator.to_owned(), farm })
    }

    /// Checks that a farm's first word names the farm of the certificate.
    ///
    /// # Errors
    /// [`IdentityError::Mismatch`].
    pub fn check(&self, hello: &Hello) -> Result<(), IdentityError> {
        if hello.farm == self.farm {
            return Ok(());
        }
        Err(IdentityError::Mismatch { said: hello.farm.clone(), certified: self.farm.clone() })
    }
}

impl std::fmt::Display for FarmIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.operator, self.farm)
    }
}
