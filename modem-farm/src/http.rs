//! Requests to HTTP servers that take messages: connections, TLS, HTTP/1.1, deadlines, and where we may connect to. Knows whether
//! a request may have arrived; must not know what is in it.

mod handover;
mod proof;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use model::LinkName;
use runtime::networks::{self, Networks};
use runtime::tls::{TlsFiles, client_config};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use crate::error::FarmError;
pub(crate) use handover::Handover;
use handover::Hold;
pub(crate) use proof::{basic, secret};

/// Octets of an answer.
const ANSWER_OCTETS_MAX: usize = 256 * 1024;

/// Where a server is, and how it is spoken to.
pub(crate) struct Server {
    pub(crate) uri: Uri,
    pub(crate) tls: Option<Tls>,
    pub(crate) connect_max: Duration,
    pub(crate) answer_max: Duration,
    /// Idle connections kept.
    pub(crate) kept_max: usize,
    /// Networks that may be connected to though they are not public; `None`: the operator named the server, wherever it is.
    pub(crate) networks: Option<Networks>,
}

/// How to tell that it is who it says.
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// A server, as one link uses it.
pub(crate) struct Client {
    server: Arc<Server>,
    idle: Mutex<Vec<SendRequest<Handover>>>,
}

/// What became of a request.
pub(crate) enum Posted {
    /// There is no connection; surely not sent.
    NoConnection(ConnectError),
    /// The connection broke before all was sent; the server cannot have it whole.
    NotSent,
    /// It may have arrived.
    Unknown,
    /// An answer, whole.
    Answered(Answer),
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("cannot connect in time")]
    Late,
    #[error("cannot agree on tls")]
    Tls(#[source] io::Error),
    #[error("cannot speak http")]
    Http(#[source] hyper::Error),
}

/// The address of a server by `http` or `https`, without a password in a place where nobody looks after it.
pub(crate) fn uri(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    known.then_some(uri).filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')))
}

impl Tls {
    /// What a server's address asks for: nothing for `http`.
    ///
    /// # Errors
    /// A file cannot be used, or the host is no name for a certificate.
    pub(crate) fn of(
        uri: &Uri,
        ca_file: &Path,
        files: &TlsFiles,
        (link, key): (&LinkName, &'static str),
    ) -> Result<Option<Self>, FarmError> {
        if uri.scheme_str() != Some("https") {
            return Ok(None);
        }
        let identity = (!files.certificate.as_os_str().is_empty()).then_some(files);
        let settings = client_config(ca_file, identity, key)?;
        let name = ServerName::try_from(host(uri).to_owned());
        let name = name.map_err(|_| FarmError::ServerName { supplier: link.clone() })?;
        Ok(Some(Self { connector: TlsConnector::from(settings), name }))
    }
}

impl Client {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// Makes sure that the server can be reached; the connection is kept for the next request.
    pub(crate) async fn reach(&self) -> Result<(), ConnectError> {
        let sender = self.connect().await?;
        self.keep(sender);
        Ok(())
    }

    /// Sends a request once. A connection that turns out to be closed before anything of the request was written to it is
    /// replaced by a new one. `head` makes the request around its body; the host is added.
    pub(crate) async fn send(&self, head: impl Fn(Handover) -> Request<Handover>, body: &Bytes) -> Posted {
        loop {
            let kept = self.kept();
            let was_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => match self.connect().await {
                    Ok(sender) => sender,
                    Err(error) => return Posted::NoConnection(error),
                },
            };
            let (body, hold) = Handover::of(body.clone());
            let mut request = head(body);
            request.headers_mut().insert(HOST, self.host());
            match tokio::time::timeout(self.server.answer_max, exchange(&mut sender, request)).await {
                Ok(Ok(answer)) => {
                    self.keep(sender);
                    return Posted::Answered(answer);
                }
                Ok(Err(Broken::Untouched)) if was_kept => {}
                Ok(Err(Broken::Untouched)) => return Posted::NotSent,
                Ok(Err(Broken::UnderWay)) | Err(_) => return taken_back(&hold),
            }
        }
    }

    fn host(&self) -> HeaderValue {
        let authority = self.server.uri.authority().map_or("", |authority| authority.as_str());
        HeaderValue::from_str(authority).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    async fn connect(&self) -> Result<SendRequest<Handover>, ConnectError> {
        let connecting = connect(&self.server);
        tokio::time::timeout(self.server.connect_max, connecting).await.map_err(|_| ConnectError::Late)?
    }

    fn kept(&self) -> Option<SendRequest<Handover>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        idle.pop()
    }

    fn keep(&self, sender: SendRequest<Handover>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && idle.len() < self.server.kept_max {
            idle.push(sender);
        }
    }
}

/// How an exchange broke off.
enum Broken {
    /// Nothing of the request was written.
    Untouched,
    UnderWay,
}

async fn exchange(sender: &mut SendRequest<Handover>, request: Request<Handover>) -> Result<Answer, Broken> {
    if sender.ready().await.is_err() {
        return Err(Broken::Untouched);
    }
    match sender.try_send_request(request).await {
        Ok(response) => read(response).await,
        Err(mut error) => Err(if error.take_message().is_some() { Broken::Untouched } else { Broken::UnderWay }),
    }
}

/// An answer that breaks off is none: whether it said yes stands in its body.
async fn read(response: Response<Incoming>) -> Result<Answer, Broken> {
    let (head, body) = response.into_parts();
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await.map_err(|_| Broken::UnderWay)?;
    Ok(Answer { status: head.status.as_u16(), content_type, body: body.to_bytes() })
}

fn taken_back(hold: &Hold) -> Posted {
    if hold.withdraw() { Posted::NotSent } else { Posted::Unknown }
}

async fn connect(server: &Server) -> Result<SendRequest<Handover>, ConnectError> {
    let port = server.uri.port_u16().unwrap_or(if server.tls.is_some() { 443 } else { 80 });
    let stream = match &server.networks {
        None => TcpStream::connect((host(&server.uri), port)).await,
        Some(networks) => match networks::resolve(networks, host(&server.uri), port).await {
            Ok(addresses) => TcpStream::connect::<&[SocketAddr]>(&addresses).await,
            Err(error) => Err(error),
        },
    };
    let stream = stream.map_err(ConnectError::Connect)?;
    // Somebody waits for each answer.
    stream.set_nodelay(true).map_err(ConnectError::Connect)?;
    let stream = match &server.tls {
        None => Either::Left(stream),
        Some(tls) => {
            let stream = tls.connector.connect(tls.name.clone(), stream).await;
            Either::Right(stream.map_err(ConnectError::Tls)?)
        }
    };
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ConnectError::Http)?;
    // It ends with its sender; what broke, the sender hears.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']')
}
