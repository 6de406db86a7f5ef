//! Routers and farms with certificates of their own, a cable that can be pulled, a log that can be read.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::{DialError, Dialer, FarmIdentity, KeepAlive, Server};
use model::FarmName;
use runtime::pki::{Authority, Identity};
use runtime::{Stop, tls};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What a farm shows.
#[derive(Clone, Copy)]
pub(crate) enum Certificate {
    None,
    Farm(&'static str, &'static str),
    Node(&'static str, &'static str),
    Stranger,
    Expired,
}

pub(crate) struct Nodes {
    directory: Arc<tempfile::TempDir>,
    stop: Stop,
}

const KEEP_ALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_millis(200), timeout_max: Duration::from_millis(800) };

impl Nodes {
    pub(crate) fn new() -> Self {
        tls::install_provider();
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Authority::open(directory.path()).unwrap();
        Nodes { directory, stop: Stop::new(5) }
    }

    /// The same authority in another life of the process.
    pub(crate) fn again(other: &Nodes) -> Self {
        Nodes { directory: other.directory.clone(), stop: Stop::new(5) }
    }

    pub(crate) async fn stop(&self) {
        self.stop.begin();
        assert!(self.stop.drain().await.left.is_empty());
    }

    pub(crate) async fn serve(&self) -> Server {
        self.serve_with("127.0.0.1", "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn serve_as(&self, name: &str) -> Server {
        self.serve_with(name, "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn serve_at(&self, address: SocketAddr) -> Server {
        self.serve_with("127.0.0.1", address).await
    }

    async fn serve_with(&self, name: &str, address: SocketAddr) -> Server {
        let issued = self.authority().issue_server(&[name]).unwrap().write(self.path(), "server").unwrap();
        let certificates = tls::Certificates::load(&[issued], "tls").unwrap();
        let config = tls::mutual_server_config(certificates, &self.path().join("ca.pem"), "client_ca").unwrap();
        Server::bind(address, config, KEEP_ALIVE, &self.stop).await.unwrap()
    }

    pub(crate) fn dialer(&self, address: SocketAddr, certificate: Certificate) -> Dialer {
        self.dialer_to(&address.to_string(), certificate).unwrap()
    }

    pub(crate) fn dialer_to(&self, address: &str, certificate: Certificate) -> Result<Dialer, DialError> {
        let files = self.issue(certificate);
        let config = tls::client_config(&self.path().join("ca.pem"), files.as_ref(), "tls").unwrap();
        Dialer::new(address, &config, KEEP_ALIVE)
    }

    fn issue(&self, certificate: Certificate) -> Option<tls::TlsFiles> {
        let node = |kind: &str, name: &str| Identity::new(kind, name).unwrap();
        let farm = |operator, name| FarmIdentity::certificate_name(operator, &FarmName::new(name).unwrap()).unwrap();
        let (authority, identity) = match certificate {
            Certificate::None => return None,
            Certificate::Expired => return Some(self.issue_expired()),
            Certificate::Farm(operator, name) => (self.authority(), farm(operator, name)),
            Certificate::Node(kind, name) => (self.authority(), node(kind, name)),
            Certificate::Stranger => (Authority::create().unwrap(), farm("blue", "cellar")),
        };
        Some(authority.issue_client(&identity).unwrap().write(self.path(), "client").unwrap())
    }

    /// By the same authority, but its time is over.
    fn issue_expired(&self) -> tls::TlsFiles {
        let read = |name: &str| std::fs::read_to_string(self.path().join(name)).unwrap();
        let authority = rcgen::KeyPair::from_pem(&read("ca.key")).unwrap();
        let mut issuer = rcgen::CertificateParams::default();
        issuer.distinguished_name = rcgen::DistinguishedName::new();
        issuer.distinguished_name.push(rcgen::DnType::CommonName, "Carillon node authority");
        let issuer = rcgen::Issuer::new(issuer, authority);
        let mut params = rcgen::CertificateParams::default();
        let uri = "carillon://farm/blue/cellar".try_into().unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files =
            tls::TlsFiles { certificate: self.path().join("expired.pem"), key: self.path().join("expired.key") };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn authority(&self) -> Authority {
        Authority::open(self.path()).unwrap()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Carries bytes both ways until it is pulled; the sockets stay open, as when a cable is pulled or a NAT forgets.
pub(crate) struct Cable {
    address: SocketAddr,
    pulled: CancellationToken,
}

impl Cable {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, pulled) = (listener.local_addr().unwrap(), CancellationToken::new());
        let token = pulled.clone();
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(target).await.unwrap();
            let carried = tokio::io::copy_bidirectional(&mut near, &mut far);
            token.run_until_cancelled(carried).await;
            std::future::pending::<()>().await;
        });
        Cable { address, pulled }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pull(&self) {
        self.pulled.cancel();
    }
}

/// What this thread logs while it lives.
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Log {
    pub(crate) fn catch() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer(text.clone());
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        Log { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Waits until a line has this in it.
    pub(crate) async fn wait_for(&self, expected: &str) -> String {
        let find = async {
            loop {
                let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
                if let Some(line) = text.lines().find(|line| line.contains(expected)) {
                    return line.to_owned();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), find).await.expect("it is logged")
    }
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
