//! Posts requests to a relay: connections, TLS, HTTP/1.1, deadlines. Knows whether a request may have arrived; must not know
//! what is in it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::either::Either;
use wire::mm7::Submission;

use super::account::Relay;
use super::handover::{Handover, Hold};

/// Octets of an answer.
const ANSWER_OCTETS_MAX: usize = 256 * 1024;

/// A relay's HTTP server, as one link uses it.
pub(super) struct Client {
    relay: Arc<Relay>,
    idle: Mutex<Vec<SendRequest<Handover>>>,
}

/// What became of a request.
pub(super) enum Posted {
    /// There is no connection; surely not sent.
    NoConnection(ConnectError),
    /// The connection broke before all was sent; the relay cannot have it whole.
    NotSent,
    /// It may have arrived.
    Unknown,
    /// An answer, whole.
    Answered(Answer),
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("cannot connect in time")]
    Late,
    #[error("cannot agree on tls")]
    Tls(#[source] io::Error),
    #[error("cannot speak http")]
    Http(#[source] hyper::Error),
}

impl Client {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        Self { relay, idle: Mutex::default() }
    }

    /// Makes sure that the relay can be reached; the connection is kept for the next request.
    pub(super) async fn reach(&self) -> Result<(), ConnectError> {
        let sender = self.connect().await?;
        self.keep(sender);
        Ok(())
    }

    /// Posts a request once. A connection that turns out to be closed before anything of the request was written to it is
    /// replaced by a new one.
    pub(super) async fn post(&self, submission: &Submission) -> Posted {
        let answer_max = Duration::from_secs(self.relay.config.answer_seconds_max);
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
            let (body, hold) = Handover::of(Bytes::copy_from_slice(&submission.body));
            let request = self.request(submission, body);
            match tokio::time::timeout(answer_max, exchange(&mut sender, request)).await {
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

    fn request(&self, submission: &Submission, body: Handover) -> Request<Handover> {
        let uri = &self.relay.uri;
        let mut request = Request::new(body);
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse().unwrap_or_default();
        let headers = request.headers_mut();
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        headers.insert(HOST, value(uri.authority().map_or("", |authority| authority.as_str())));
        headers.insert(CONTENT_TYPE, value(&submission.content_type));
        // SOAP 1.1, 6.1.1: the meaning is in the request itself.
        headers.insert("soapaction", HeaderValue::from_static("\"\""));
        if let Some(authorization) = &self.relay.authorization {
            let mut authorization = value(authorization.expose());
            authorization.set_sensitive(true);
            headers.insert(AUTHORIZATION, authorization);
        }
        request
    }

    async fn connect(&self) -> Result<SendRequest<Handover>, ConnectError> {
        let limit = Duration::from_secs(self.relay.config.connect_seconds_max);
        tokio::time::timeout(limit, connect(&self.relay)).await.map_err(|_| ConnectError::Late)?
    }

    fn kept(&self) -> Option<SendRequest<Handover>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        idle.pop()
    }

    fn keep(&self, sender: SendRequest<Handover>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && idle.len() < self.relay.config.window as usize {
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

async fn connect(relay: &Relay) -> Result<SendRequest<Handover>, ConnectError> {
    let uri = &relay.uri;
    let host = uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if relay.tls.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(ConnectError::Connect)?;
    // Somebody waits for each answer.
    stream.set_nodelay(true).map_err(ConnectError::Connect)?;
    let stream = match &relay.tls {
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
