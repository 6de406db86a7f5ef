//! TLS: the one crypto provider, certificates and keys from PEM files, server and client settings.
//!
//! Knows rustls and files; must not know who talks to whom.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, SignatureScheme};

use crate::Stop;

/// How often servers look whether their certificates have changed.
pub const CERTIFICATES_LOOK: Duration = Duration::from_secs(10);

/// A certificate chain and its key, as files.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain in PEM, the leaf first.
    pub certificate: PathBuf,
    /// The key in PEM (PKCS#8, PKCS#1 or SEC 1).
    pub key: PathBuf,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not PEM of the expected kind.
    #[error("setting `{setting}`: no {expected} in pem file `{path}`")]
    Pem {
        /// The key of the configuration that names the file.
        setting: &'static str,
        /// What should stand there.
        expected: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// The key is of no supported kind or does not belong to the certificate.
    #[error("setting `{setting}`: key `{}` does not fit certificate `{}`", files.key.display(), files.certificate.display())]
    Pair {
        /// The key of the configuration that names the files.
        setting: &'static str,
        /// The files that do not belong together.
        files: Box<TlsFiles>,
        /// The cause.
        source: rustls::Error,
    },
    /// A certificate cannot be used as an authority.
    #[error("setting `{setting}`: certificate in `{path}` is no authority")]
    Authority {
        /// The key of the configuration that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// There is nothing to prove who we are, or nothing to check the peer with.
    #[error("setting `{setting}`: no certificate is given")]
    Empty {
        /// The key of the configuration.
        setting: &'static str,
    },
    /// The settings do not go together.
    #[error("tls cannot be configured")]
    Configure {
        /// The cause.
        source: rustls::Error,
    },
    /// The check of client certificates cannot be built.
    #[error("setting `{setting}`: client certificates cannot be checked")]
    ClientCheck {
        /// The key of the configuration.
        setting: &'static str,
        /// The cause.
        source: rustls::server::VerifierBuilderError,
    },
    /// A peer's certificate does not say which one of ours it is.
    #[error("the peer's certificate is not one of ours: {reason}")]
    Identity {
        /// What is missing.
        reason: &'static str,
    },
}

/// Makes aws-lc-rs the crypto provider of this process. First thing in `main`; calling it again changes nothing.
pub fn install_provider() {
    // An error only means that a provider is installed already, and there is only one in the build.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The certificates a server shows, chosen by the name the client asks for (RFC 6066, 3) and by what it can use: clients of a
/// certain age can use an ECDSA certificate only, others RSA only. Can be read again while the server runs. Clones share them.
#[derive(Clone, Debug)]
pub struct Certificates {
    setting: &'static str,
    files: Arc<[TlsFiles]>,
    loaded: Arc<RwLock<Arc<[Loaded]>>>,
}

#[derive(Debug)]
struct Loaded {
    leaf: CertificateDer<'static>,
    key: Arc<CertifiedKey>,
}

impl Certificates {
    /// Reads the certificates. Among those a client can use, the first with the name it asks for is shown, and the first of all
    /// if it asks for no name or for none we have.
    ///
    /// # Errors
    /// No files, or one that is unreadable, no PEM, or a key that does not fit; with the file and `setting`.
    pub fn load(files: &[TlsFiles], setting: &'static str) -> Result<Self, TlsError> {
        let loaded = load_all(files, setting)?;
        Ok(Self { setting, files: files.into(), loaded: Arc::new(RwLock::new(loaded)) })
    }

    /// Reads the files again. Connections made from here on see the new certificates.
    ///
    /// # Errors
    /// As [`Certificates::load`]; the old ones stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = load_all(&self.files, self.setting)?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Reads the files again whenever they have changed, looking every so often until `stop` begins. What cannot be used is said
    /// once, and the old certificates stay.
    pub fn follow(&self, every: Duration, stop: &Stop) {
        let (certificates, until, mut seen) = (self.clone(), stop.clone(), self.stamps());
        stop.spawn("certificates", async move {
            while until.token().run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                let newest = certificates.stamps();
                if newest == seen {
                    continue;
                }
                seen = newest;
                match certificates.reload() {
                    Ok(()) => tracing::info!(setting = certificates.setting, "the certificates were read again"),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the certificates changed and cannot be used: the old ones stay"
                    ),
                }
            }
        });
    }

    /// By what a change of the files is seen.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let files = self.files.iter().flat_map(|files| [&files.certificate, &files.key]);
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        files.map(stamp).collect()
    }

    fn choose(&self, name: Option<&str>, usable: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = name.and_then(|name| ServerName::try_from(name).ok());
        let fits = |candidate: &&Loaded| {
            wanted.as_ref().is_some_and(|name| {
                ParsedCertificate::try_from(&candidate.leaf).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
            })
        };
        let usable = || loaded.iter().filter(|candidate| usable(&candidate.key));
        // If the client can use none, the handshake ends with what it lacks.
        let chosen = usable().find(fits).or_else(|| usable().next()).or(loaded.first());
        chosen.map(|chosen| chosen.key.clone())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), |key| is_usable(key, hello.signature_schemes(), hello.cipher_suites()))
    }
}

/// Whether a client that offers these signatures and suites can use a certificate. Up to TLS 1.2 a suite names the kind of key
/// (RFC 5246, 7.4.2); from 1.3 on only the signatures do (RFC 8446, 4.2.3).
fn is_usable(key: &CertifiedKey, schemes: &[SignatureScheme], suites: &[CipherSuite]) -> bool {
    let provider = provider();
    let mut shared = provider.cipher_suites.iter().filter(|suite| suites.contains(&suite.suite()));
    key.key.choose_scheme(schemes).is_some()
        && shared.any(|suite| suite.usable_for_signature_algorithm(key.key.algorithm()))
}

/// Settings of a server that anyone may talk to, over HTTP/2 or HTTP/1.1.
///
/// # Errors
/// TLS cannot be configured with the provider.
pub fn server_config(certificates: Certificates) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| TlsError::Configure { source })?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Settings of a server that talks only to clients with a certificate from the authority in `client_ca`.
///
/// # Errors
/// The authority's file is unreadable or holds none.
pub fn mutual_server_config(
    certificates: Certificates,
    client_ca: &Path,
    setting: &'static str,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| TlsError::Configure { source })?;
    let verifier = client_verifier(client_ca, setting)?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Settings of a client that trusts only the authority in `server_ca` and, if `identity` is given, shows who it is.
///
/// # Errors
/// A file is unreadable, no PEM, or the key does not fit.
pub fn client_config(
    server_ca: &Path,
    identity: Option<&TlsFiles>,
    setting: &'static str,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| TlsError::Configure { source })?;
    let builder = builder.with_root_certificates(read_authorities(server_ca, setting)?);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(files) => builder
            .with_client_auth_cert(read_chain(&files.certificate, setting)?, read_key(&files.key, setting)?)
            .map_err(|source| pair_error(files, setting, source))?,
    };
    Ok(Arc::new(config))
}

/// Reads a certificate chain.
///
/// # Errors
/// The file is unreadable or holds no certificate.
pub fn read_chain(path: &Path, setting: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { setting, expected: "certificate", path: path.to_owned(), source };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if chain.is_empty() {
        return Err(failed(rustls::pki_types::pem::Error::NoItemsFound));
    }
    Ok(chain)
}

/// Reads a private key.
///
/// # Errors
/// The file is unreadable or holds no key.
pub fn read_key(path: &Path, setting: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let failed = |source| TlsError::Pem { setting, expected: "private key", path: path.to_owned(), source };
    PrivateKeyDer::from_pem_file(path).map_err(failed)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn load_all(files: &[TlsFiles], setting: &'static str) -> Result<Arc<[Loaded]>, TlsError> {
    if files.is_empty() {
        return Err(TlsError::Empty { setting });
    }
    files.iter().map(|files| load_one(files, setting)).collect()
}

fn load_one(files: &TlsFiles, setting: &'static str) -> Result<Loaded, TlsError> {
    let chain = read_chain(&files.certificate, setting)?;
    let leaf = chain[0].clone();
    let key = CertifiedKey::from_der(chain, read_key(&files.key, setting)?, &provider())
        .map_err(|source| pair_error(files, setting, source))?;
    Ok(Loaded { leaf, key: Arc::new(key) })
}

fn pair_error(files: &TlsFiles, setting: &'static str, source: rustls::Error) -> TlsError {
    TlsError::Pair { setting, files: Box::new(files.clone()), source }
}

fn read_authorities(path: &Path, setting: &'static str) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in read_chain(path, setting)? {
        store.add(certificate).map_err(|source| TlsError::Authority { setting, path: path.to_owned(), source })?;
    }
    Ok(store)
}

fn client_verifier(path: &Path, setting: &'static str) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let authorities = Arc::new(read_authorities(path, setting)?);
    WebPkiClientVerifier::builder_with_provider(authorities, provider())
        .build()
        .map_err(|source| TlsError::ClientCheck { setting, source })
}

#[cfg(test)]
mod tests {
    use rustls::DigitallySignedStruct;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::UnixTime;

    use super::*;
    use crate::pki::{Authority, Identity};

    fn files(directory: &Path, authority: &Authority, name: &str) -> TlsFiles {
        let issued = authority.issue_server(&[name]).unwrap();
        issued.write(directory, name).unwrap()
    }

    #[test]
    fn the_certificate_is_chosen_by_name_and_the_first_is_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        let both = [files(directory.path(), &authority, "a.test"), files(directory.path(), &authority, "b.test")];
        let certificates = Certificates::load(&both, "tls").unwrap();
        let shown = |name| certificates.choose(name, |_| true).unwrap().cert[0].clone();
        assert_eq!(shown(Some("a.test")), read_chain(&both[0].certificate, "tls").unwrap()[0]);
        assert_eq!(shown(Some("b.test")), read_chain(&both[1].certificate, "tls").unwrap()[0]);
        assert_eq!(shown(Some("c.test")), shown(None));
        assert_eq!(shown(None), shown(Some("a.test")));
    }

    /// A pair with an RSA key that signed itself.
    fn rsa(directory: &Path, name: &str) -> TlsFiles {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let (at, key_at) = (directory.join("rsa.pem"), directory.join("rsa.key"));
        std::fs::write(&at, certificate.pem()).unwrap();
        std::fs::write(&key_at, key.serialize_pem()).unwrap();
        TlsFiles { certificate: at, key: key_at }
    }

    /// What a server shows a client that speaks TLS 1.2 with this suite only.
    fn shown_to(server: Arc<ServerConfig>, suite: CipherSuite) -> CertificateDer<'static> {
        #[derive(Debug)]
        struct Anyone;
        impl ServerCertVerifier for Anyone {
            fn verify_server_cert(
                &self,
                _: &CertificateDer<'_>,
                _: &[CertificateDer<'_>],
                _: &ServerName<'_>,
                _: &[u8],
                _: UnixTime,
            ) -> Result<ServerCertVerified, rustls::Error> {
                Ok(ServerCertVerified::assertion())
            }
            fn verify_tls12_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, rustls::Error> {
                Ok(HandshakeSignatureValid::assertion())
            }
            fn verify_tls13_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, rustls::Error> {
                unreachable!("it speaks 1.2")
            }
            fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
                provider().signature_verification_algorithms.supported_schemes()
            }
        }
        let mut limited = provider().as_ref().clone();
        limited.cipher_suites.retain(|ours| ours.suite() == suite);
        let builder = ClientConfig::builder_with_provider(Arc::new(limited));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth();
        let name = ServerName::try_from("a.test").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = rustls::ServerConnection::new(server).unwrap();
        while client.is_handshaking() {
            let mut octets = Vec::new();
            client.write_tls(&mut octets).unwrap();
            server.read_tls(&mut octets.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            octets.clear();
            server.write_tls(&mut octets).unwrap();
            client.read_tls(&mut octets.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        client.peer_certificates().unwrap()[0].clone().into_owned()
    }

    #[test]
    fn a_client_is_shown_a_certificate_that_it_can_use() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        let both = [rsa(directory.path(), "a.test"), files(directory.path(), &authority, "other.test")];
        let leaf = |pair: &TlsFiles| read_chain(&pair.certificate, "tls").unwrap()[0].clone();
        let config = server_config(Certificates::load(&both, "tls").unwrap()).unwrap();
        let of_rsa = shown_to(config.clone(), CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
        assert_eq!(of_rsa, leaf(&both[0]));
        // Also by another name than the one it asks for: without it there is no connection at all.
        let of_ecdsa = shown_to(config, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
        assert_eq!(of_ecdsa, leaf(&both[1]));
    }

    #[test]
    fn a_reload_shows_the_new_certificate_or_keeps_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        let pair = files(directory.path(), &authority, "a.test");
        let certificates = Certificates::load(std::slice::from_ref(&pair), "tls").unwrap();
        let before = certificates.choose(None, |_| true).unwrap().cert[0].clone();
        std::fs::write(&pair.certificate, "broken").unwrap();
        certificates.reload().expect_err("no certificate there");
        assert_eq!(certificates.choose(None, |_| true).unwrap().cert[0], before);
        files(directory.path(), &authority, "a.test");
        certificates.reload().unwrap();
        assert_ne!(certificates.choose(None, |_| true).unwrap().cert[0], before);
    }

    #[tokio::test]
    async fn changed_files_are_read_again_and_broken_ones_are_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        let pair = files(directory.path(), &authority, "a.test");
        let certificates = Certificates::load(std::slice::from_ref(&pair), "tls").unwrap();
        let stop = Stop::new(5);
        certificates.follow(Duration::from_millis(5), &stop);
        let before = certificates.choose(None, |_| true).unwrap().cert[0].clone();
        std::fs::write(&pair.certificate, "broken").unwrap();
        assert_eq!(certificates.choose(None, |_| true).unwrap().cert[0], before);
        files(directory.path(), &authority, "a.test");
        let newest = read_chain(&pair.certificate, "tls").unwrap()[0].clone();
        let shown = async {
            while certificates.choose(None, |_| true).unwrap().cert[0] != newest {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), shown).await.expect("the newest is shown");
        assert!(stop.drain().await.is_complete());
    }

    #[track_caller]
    fn check_refusal(files: &[TlsFiles], expected: &[&str]) {
        let error = Certificates::load(files, "gateway.tls").expect_err("this is refused").to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    }

    #[test]
    fn a_broken_setting_is_named_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        let (a, b) = (files(directory.path(), &authority, "a"), files(directory.path(), &authority, "b"));
        let missing = TlsFiles { certificate: "/nonexistent/c.pem".into(), key: a.key.clone() };
        check_refusal(&[missing], &["`gateway.tls`", "no certificate", "`/nonexistent/c.pem`"]);
        let swapped = TlsFiles { certificate: a.key.clone(), key: a.certificate.clone() };
        check_refusal(&[swapped], &["`gateway.tls`", "no certificate", "a.key"]);
        let no_key = TlsFiles { certificate: a.certificate.clone(), key: a.certificate.clone() };
        check_refusal(&[no_key], &["`gateway.tls`", "no private key", "a.pem"]);
        let mixed = TlsFiles { certificate: a.certificate.clone(), key: b.key.clone() };
        check_refusal(&[mixed], &["`gateway.tls`", "b.key", "does not fit", "a.pem"]);
        check_refusal(&[], &["`gateway.tls`", "no certificate is given"]);
    }

    #[test]
    fn mutual_settings_name_a_broken_authority() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        let pair = files(directory.path(), &authority, "a");
        let certificates = Certificates::load(std::slice::from_ref(&pair), "tls").unwrap();
        let error =
            mutual_server_config(certificates, &pair.key, "control.client_ca").expect_err("a key is no authority");
        assert!(error.to_string().contains("`control.client_ca`"), "{error}");
    }

    #[test]
    fn a_client_may_show_an_identity() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create().unwrap();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, authority.certificate_pem()).unwrap();
        let identity = Identity::new("farm", "cellar").unwrap();
        let pair = authority.issue_client(&identity).unwrap().write(directory.path(), "farm").unwrap();
        assert!(client_config(&ca, Some(&pair), "tls").unwrap().client_auth_cert_resolver.has_certs());
        assert!(!client_config(&ca, None, "tls").unwrap().client_auth_cert_resolver.has_certs());
    }
}
