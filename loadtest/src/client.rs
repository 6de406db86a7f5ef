//! One keep-alive HTTP/1.1 connection, as cheap as it gets: the loader shares its machine with the server.
//!
//! Knows HTTP framing; must not know what is asked.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// No answer of a door is longer.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a connection goes.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    authority: String,
    path: String,
}

/// One connection, opened when it is first used and again when it broke.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    open: Option<Open>,
}

/// A connection and the hand that puts requests into it. Octets move only while somebody asks: a task of its own would be
/// woken twice a call.
#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    connection: Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after_seconds: Option<u64>,
    pub(crate) body: Bytes,
}

impl Endpoint {
    /// Reads a base URL. Only `http`: in front of a TLS door the loader would measure its own cryptography.
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("http")) else {
            bail!("`{url}` does not begin with `http://`");
        };
        let with_port = if authority.port().is_some() { authority.to_string() } else { format!("{authority}:80") };
        Ok(Self { authority: with_port, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// The request for a path below the base URL.
    pub(crate) fn request(&self, method: &'static str, path: &str) -> hyper::http::request::Builder {
        let below = format!("{}{path}", self.path);
        let path = if below.is_empty() { "/" } else { &below };
        Request::builder().method(method).uri(path).header("host", &self.authority)
    }
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: None }
    }

    /// Sends a request and reads its whole answer. After an error nobody knows whether the server took it.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let Open { mut sender, mut connection } = self.ready().await?;
        let exchange = async {
            let response = sender.send_request(request).await.context("no answer")?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            let retry_after_seconds = head.headers.get(RETRY_AFTER).and_then(seconds);
            anyhow::Ok(Answer { status: head.status, retry_after_seconds, body: body.to_bytes() })
        };
        let answer = beside(&mut connection, exchange).await.context("no answer")??;
        self.open = Some(Open { sender, connection });
        Ok(answer)
    }

    /// Asks for a JSON document; once more over a new connection if there is no answer, since asking changes nothing.
    pub(crate) async fn get(&mut self, path: &str, api_key: &str) -> anyhow::Result<Answer> {
        let request = || {
            let request = self.endpoint.request("GET", path).header("authorization", format!("Bearer {api_key}"));
            request.body(Full::default())
        };
        let (first, second) = (request()?, request()?);
        match self.ask(first).await {
            Err(_) => self.ask(second).await,
            answer => answer,
        }
    }

    /// The open connection, or a new one if the server has closed it since.
    async fn ready(&mut self) -> anyhow::Result<Open> {
        if let Some(Open { mut sender, mut connection }) = self.open.take()
            && matches!(beside(&mut connection, sender.ready()).await, Some(Ok(())))
        {
            return Ok(Open { sender, connection });
        }
        let authority = &self.endpoint.authority;
        let stream = TcpStream::connect(authority).await.with_context(|| format!("cannot connect to `{authority}`"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        Ok(Open { sender, connection: Box::new(connection) })
    }
}

/// Does something while a connection moves octets; `None` if the connection ended before.
async fn beside<C: Future + Unpin, W: Future>(connection: &mut C, work: W) -> Option<W::Output> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // Before, for what it has to give to the connection; after, for what that has brought.
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        let ended = Pin::new(&mut *connection).poll(context).is_ready();
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if ended => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

fn seconds(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8080/oms/service.asmx").unwrap();
        let request = endpoint.request("POST", "").body(()).unwrap();
        assert_eq!(
            (request.uri().path(), &request.headers()["host"]),
            ("/oms/service.asmx", &HeaderValue::from_static("127.0.0.1:8080"))
        );
        let request = Endpoint::parse("http://localhost/").unwrap().request("GET", "/v1/ledger").body(()).unwrap();
        assert_eq!(
            (request.uri().path(), &request.headers()["host"]),
            ("/v1/ledger", &HeaderValue::from_static("localhost:80"))
        );
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["https://x", "127.0.0.1:80", "", "http://"] {
            Endpoint::parse(url).expect_err("no http url");
        }
    }
}
