//! A small authority of our own, for links between our own nodes: ECDSA P-256, made on first start.
//!
//! Knows X.509; must not know what a node does. A node is known by a URI in its certificate, `carillon://<kind>/<name>`
//! (RFC 5280, 4.2.1.6); the name may be a path: `carillon://farm/<operator>/<farm>`.

use std::fmt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use crate::secret::{Secret, SecretError, write_private};
use crate::tls::{TlsError, TlsFiles};

const AUTHORITY_NAME: &str = "Carillon node authority";
const SCHEME: &str = "carillon://";
const NAME_BYTES_MAX: usize = 63;
const VALID_DAYS: i64 = 3650;

/// An authority that issues certificates to our own nodes.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// Who a node is: what kind of node, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    // Invariant: both 1 to 63 of `a-z 0-9 - _ .`, in the name also `/` between such parts, so that the URI needs no escapes.
    kind: Box<str>,
    name: Box<str>,
}

/// A certificate and its key, fresh from the authority.
pub struct Issued {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The key in PEM (PKCS#8).
    pub key_pem: Secret,
}

/// Why the authority cannot work.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate or key could not be made.
    #[error("cannot make a certificate for `{subject}`")]
    Issue {
        /// Who it was for.
        subject: String,
        /// The cause.
        source: rcgen::Error,
    },
    /// The stored key is none.
    #[error("cannot use the authority's key `{path}`")]
    Key {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: rcgen::Error,
    },
    /// A name has characters a node's name must not have.
    #[error("`{name}` is no name for a node: 1 to 63 of a-z, 0-9, `-`, `_` and `.`")]
    Name {
        /// The name as given.
        name: String,
    },
    /// A file of the authority could not be read or written.
    #[error("cannot keep the node authority")]
    Keep(
        /// The cause.
        #[from]
        SecretError,
    ),
    /// The authority's certificate could not be read.
    #[error("cannot read the authority's certificate")]
    Read(
        /// The cause.
        #[from]
        TlsError,
    ),
}

impl Authority {
    /// Makes an authority that exists only in memory.
    ///
    /// # Errors
    /// No randomness, or an algorithm is missing.
    pub fn create() -> Result<Self, PkiError> {
        Self::generate().map(|(authority, _)| authority)
    }

    /// Opens the authority in `ca.pem` and `ca.key` of a directory; makes it if there is none.
    ///
    /// The directory is made if it is missing. Both files are readable by their owner only.
    ///
    /// # Errors
    /// The files are unreadable, too open, or broken. A broken authority is never replaced: its nodes would be locked out.
    pub fn open(directory: &Path) -> Result<Self, PkiError> {
        let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
        if certificate.exists() {
            return Self::read(&certificate, &key);
        }
        std::fs::create_dir_all(directory)
            .map_err(|source| SecretError::Write { path: directory.to_owned(), source })?;
        let (authority, key_pem) = Self::generate()?;
        // The key first: a crash between the two leaves a key without a certificate, and the next start makes both.
        write_private(&key, key_pem.expose().as_bytes())?;
        write_private(&certificate, authority.certificate_pem.as_bytes())?;
        Ok(authority)
    }

    /// The authority's certificate in PEM: what a peer needs to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate for a server known by these DNS names or IP addresses.
    ///
    /// # Errors
    /// A name is no DNS name.
    pub fn issue_server(&self, names: &[&str]) -> Result<Issued, PkiError> {
        let subject = names.first().copied().unwrap_or("server");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).map_err(issue_error(subject))?;
        self.issue(params, subject, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate for a node that dials in.
    ///
    /// # Errors
    /// No randomness.
    pub fn issue_client(&self, identity: &Identity) -> Result<Issued, PkiError> {
        let subject = identity.to_string();
        let uri = subject.as_str().try_into().map_err(issue_error(&subject))?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri)];
        self.issue(params, &identity.name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        subject: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Issued, PkiError> {
        params.distinguished_name = common_name(subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        limit_validity(&mut params);
        let key = KeyPair::generate().map_err(issue_error(subject))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue_error(subject))?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: Secret::new(key.serialize_pem()) })
    }

    fn generate() -> Result<(Self, Secret), PkiError> {
        let key = KeyPair::generate().map_err(issue_error(AUTHORITY_NAME))?;
        let key_pem = Secret::new(key.serialize_pem());
        let params = authority_params();
        let certificate_pem = params.self_signed(&key).map_err(issue_error(AUTHORITY_NAME))?.pem();
        Ok((Self { issuer: Issuer::new(params, key), certificate_pem }, key_pem))
    }

    fn read(certificate: &Path, key: &Path) -> Result<Self, PkiError> {
        crate::tls::read_chain(certificate, "node authority")?;
        let certificate_pem = Secret::read(certificate)?.expose().to_owned() + "\n";
        let pair = KeyPair::from_pem(Secret::read(key)?.expose())
            .map_err(|source| PkiError::Key { path: key.to_owned(), source })?;
        // Name and key usages of the authority are the same at every start, so the issuer is made from them.
        Ok(Self { issuer: Issuer::new(authority_params(), pair), certificate_pem })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authority(..)")
    }
}

impl Identity {
    /// Names a node.
    ///
    /// # Errors
    /// The kind or a part of the name has other characters than `a-z 0-9 - _ .`, or is empty or longer than 63.
    pub fn new(kind: &str, name: &str) -> Result<Self, PkiError> {
        for part in std::iter::once(kind).chain(name.split('/')) {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
            if part.is_empty() || part.len() > NAME_BYTES_MAX || !part.bytes().all(plain) {
                return Err(PkiError::Name { name: name.to_owned() });
            }
        }
        Ok(Self { kind: kind.into(), name: name.into() })
    }

    /// Reads who a peer is from its certificate, which TLS has checked before.
    ///
    /// # Errors
    /// The certificate is malformed, or has not exactly one URI of ours.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let refuse = |reason| TlsError::Identity { reason };
        let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| refuse("malformed certificate"))?;
        let mut ours = parsed.valid_uri_names().filter_map(|uri| uri.strip_prefix(SCHEME));
        let (Some(one), None) = (ours.next(), ours.next()) else {
            return Err(refuse("it has not exactly one carillon:// name"));
        };
        let (kind, name) = one.split_once('/').ok_or(refuse("its carillon:// name has no kind"))?;
        Self::new(kind, name).map_err(|_| refuse("its carillon:// name is malformed"))
    }

    /// The kind of node.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The node's name, unique within its kind.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}", self.kind, self.name)
    }
}

impl Issued {
    /// Writes the pair as `<stem>.pem` and `<stem>.key`, readable by their owner only.
    ///
    /// # Errors
    /// The directory is missing or not writable.
    pub fn write(&self, directory: &Path, stem: &str) -> Result<TlsFiles, PkiError> {
        let files =
            TlsFiles { certificate: directory.join(format!("{stem}.pem")), key: directory.join(format!("{stem}.key")) };
        write_private(&files.key, self.key_pem.expose().as_bytes())?;
        write_private(&files.certificate, self.certificate_pem.as_bytes())?;
        Ok(files)
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit_validity(&mut params);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Ten years, and a day before now: the clock of a node in a cellar may be behind.
fn limit_validity(params: &mut CertificateParams) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::DAY;
    params.not_after = now + Duration::days(VALID_DAYS);
}

fn issue_error(subject: &str) -> impl FnOnce(rcgen::Error) -> PkiError {
    let subject = subject.to_owned();
    move |source| PkiError::Issue { subject, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tls;

    fn der(issued: &Issued) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()
    }

    #[test]
    fn a_client_certificate_says_who_it_is() {
        let identity = Identity::new("farm", "cellar-2").unwrap();
        let issued = Authority::create().unwrap().issue_client(&identity).unwrap();
        assert_eq!(Identity::of_certificate(&der(&issued)).unwrap(), identity);
        assert_eq!(identity.to_string(), "carillon://farm/cellar-2");
    }

    #[test]
    fn a_server_certificate_is_no_node() {
        let issued = Authority::create().unwrap().issue_server(&["localhost", "127.0.0.1"]).unwrap();
        let error = Identity::of_certificate(&der(&issued)).expect_err("no uri in it");
        assert!(error.to_string().contains("not exactly one carillon:// name"), "{error}");
        let error = Identity::of_certificate(&CertificateDer::from(vec![1, 2, 3])).expect_err("no certificate");
        assert!(error.to_string().contains("malformed certificate"), "{error}");
    }

    #[test]
    fn names_that_need_escapes_are_refused() {
        for name in ["", "Cellar", "a//b", "/a", "a/", "a b", "ä", &"x".repeat(64)] {
            let error = Identity::new("farm", name).expect_err("no name");
            assert!(error.to_string().starts_with(&format!("`{name}` is no name")), "{error}");
        }
    }

    #[test]
    fn the_authority_stays_the_same_and_its_files_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let pki = directory.path().join("pki");
        let first = Authority::open(&pki).unwrap();
        let second = Authority::open(&pki).unwrap();
        assert_eq!(first.certificate_pem(), second.certificate_pem());
        for name in ["ca.pem", "ca.key"] {
            assert_eq!(std::fs::metadata(pki.join(name)).unwrap().mode() & 0o777, 0o600);
        }
        std::fs::write(pki.join("ca.pem"), "broken").unwrap();
        Authority::open(&pki).expect_err("a broken authority is not replaced");
    }

    /// One hand-shake over memory, then one byte each way (TLS 1.3 tells a client of its refusal only then).
    async fn meet(
        server: Arc<rustls::ServerConfig>,
        client: Arc<rustls::ClientConfig>,
    ) -> Result<Option<Identity>, String> {
        let (near, far) = tokio::io::duplex(65536);
        let serve = async move {
            let mut stream =
                tokio_rustls::TlsAcceptor::from(server).accept(far).await.map_err(|error| error.to_string())?;
            stream.write_all(b"x").await.map_err(|error| error.to_string())?;
            let peer = stream.get_ref().1.peer_certificates().map(|chain| Identity::of_certificate(&chain[0]).unwrap());
            Ok(peer)
        };
        let name = "localhost".try_into().unwrap();
        let dial = async move {
            let mut stream = tokio_rustls::TlsConnector::from(client).connect(name, near).await?;
            stream.read_u8().await
        };
        let (served, _dialled) = tokio::join!(serve, dial);
        served
    }

    struct Sides {
        directory: tempfile::TempDir,
        authority: Authority,
    }

    impl Sides {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let authority = Authority::open(directory.path()).unwrap();
            Self { directory, authority }
        }

        fn server(&self) -> Arc<rustls::ServerConfig> {
            let path = self.directory.path();
            let files = self.authority.issue_server(&["localhost"]).unwrap().write(path, "server").unwrap();
            let certificates = tls::Certificates::load(&[files], "tls").unwrap();
            tls::mutual_server_config(certificates, &path.join("ca.pem"), "client_ca").unwrap()
        }

        fn client(&self, issued_by: Option<&Authority>) -> Arc<rustls::ClientConfig> {
            let path = self.directory.path();
            let identity = Identity::new("farm", "cellar").unwrap();
            let files = issued_by.map(|by| by.issue_client(&identity).unwrap().write(path, "client").unwrap());
            tls::client_config(&path.join("ca.pem"), files.as_ref(), "tls").unwrap()
        }
    }

    #[tokio::test]
    async fn only_a_node_of_this_authority_gets_in() {
        let sides = Sides::new();
        let served = meet(sides.server(), sides.client(Some(&sides.authority))).await;
        assert_eq!(served, Ok(Some(Identity::new("farm", "cellar").unwrap())));
        let refused = meet(sides.server(), sides.client(None)).await.expect_err("no certificate shown");
        assert!(refused.contains("no certificates"), "{refused}");
        let stranger = Authority::create().unwrap();
        let refused = meet(sides.server(), sides.client(Some(&stranger))).await.expect_err("another authority");
        assert!(refused.contains("invalid peer certificate"), "{refused}");
    }

    #[tokio::test]
    async fn a_reopened_authority_issues_what_the_old_one_would() {
        let sides = Sides::new();
        let reopened = Authority::open(sides.directory.path()).unwrap();
        meet(sides.server(), sides.client(Some(&reopened))).await.unwrap();
    }
}
