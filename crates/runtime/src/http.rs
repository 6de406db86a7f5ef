//! Serves HTTP on a listener: bounded connections, a deadline for slow clients, TLS where asked for, an ordered end.
//!
//! Knows sockets and HTTP framing; must not know any route.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::stop::Stop;

/// What one listener allows its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Connections at a time. More wait in the kernel's queue.
    pub connections_max: u32,
    /// Seconds for a TLS handshake, and for the head of a request; an idle connection is closed after the same time.
    pub header_seconds_max: u64,
    /// Seconds a request's body may take to arrive.
    pub body_seconds_max: u64,
    /// Bytes of a request's head.
    pub header_bytes_max: usize,
    /// Requests in one HTTP/2 connection at a time.
    pub streams_max: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            header_seconds_max: 60,
            body_seconds_max: 60,
            header_bytes_max: 16 * 1024,
            streams_max: 128,
        }
    }
}

/// The certificate a client has shown, in the extensions of its requests. TLS has checked it.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub CertificateDer<'static>);

/// hyper refuses a smaller buffer.
const HEADER_BYTES_LEAST: usize = 8192;

/// After "too many open files" it is better to wait for a connection to close than to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` begins; then takes no more connections and lets those that are open
/// finish the request in hand. Returns when no connection is taken any more; `stop.drain()` waits for the rest.
///
/// Handlers find `ConnectInfo<SocketAddr>` in the extensions and, where the client has shown a certificate,
/// [`PeerCertificate`]. Without TLS it speaks HTTP/1.1, with it also HTTP/2 (by ALPN). A panic in a handler costs its
/// connection.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    tls: Option<Arc<ServerConfig>>,
    stop: Stop,
) {
    let server = Arc::new(Server { router, limits, tls: tls.map(TlsAcceptor::from), stop: stop.clone() });
    let connections = Arc::new(Semaphore::new(limits.connections_max as usize));
    loop {
        let permit = connections.clone().acquire_owned();
        let next = async { (permit.await.expect("this semaphore is never closed"), listener.accept().await) };
        let (permit, accepted) = tokio::select! {
            () = stop.begun() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => drop(stop.spawn("http connection", server.clone().connection(stream, peer, permit))),
            Err(error) => pause_after(&error).await,
        }
    }
}

struct Server {
    router: Router,
    limits: HttpLimits,
    tls: Option<TlsAcceptor>,
    stop: Stop,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, _permit: OwnedSemaphorePermit) {
        // Answers are small and written whole: waiting for more to send only adds latency.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak_http1(stream, self.handler(peer, None)).await;
        };
        let limit = Duration::from_secs(self.limits.header_seconds_max);
        let handshake = tokio::time::timeout(limit, tls.accept(stream));
        let accepted = tokio::select! {
            () = self.stop.begun() => return,
            accepted = handshake => accepted,
        };
        match accepted {
            Ok(Ok(stream)) => self.speak_tls(stream, peer).await,
            Ok(Err(error)) => tracing::info!(%peer, %error, "a client was refused by tls"),
            Err(_) => tracing::info!(%peer, "a client did not finish its tls handshake in time"),
        }
    }

    async fn speak_tls(&self, stream: tokio_rustls::server::TlsStream<TcpStream>, peer: SocketAddr) {
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(<[_]>::first).cloned().map(PeerCertificate);
        let http2 = session.alpn_protocol() == Some(b"h2");
        let handler = self.handler(peer, certificate);
        if http2 { self.speak_http2(stream, handler).await } else { self.speak_http1(stream, handler).await }
    }

    async fn speak_http1(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, handler: Handler) {
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(self.limits.header_seconds_max))
            .max_buf_size(self.limits.header_bytes_max.max(HEADER_BYTES_LEAST))
            .serve_connection(TokioIo::new(stream), handler);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        log_end(ended);
    }

    async fn speak_http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, handler: Handler) {
        let keep_alive = Duration::from_secs(self.limits.header_seconds_max);
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(keep_alive)
            .max_concurrent_streams(self.limits.streams_max)
            .max_header_list_size(u32::try_from(self.limits.header_bytes_max).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), handler);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        log_end(ended);
    }

    fn handler(&self, peer: SocketAddr, certificate: Option<PeerCertificate>) -> Handler {
        let body_limit = Duration::from_secs(self.limits.body_seconds_max);
        Handler { router: self.router.clone(), peer, certificate, body_limit }
    }
}

/// Hands the requests of one connection to the router.
#[derive(Clone)]
struct Handler {
    router: Router,
    peer: SocketAddr,
    certificate: Option<PeerCertificate>,
    body_limit: Duration,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = tower::util::Oneshot<Router, Request<Body>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(|inner| Body::new(PromptBody { inner, limit: self.body_limit, deadline: None }));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        self.router.clone().oneshot(request)
    }
}

/// A body that fails when it does not arrive in time. The clock is started at the first wait: most bodies come with
/// their head and never wait.
struct PromptBody {
    inner: Incoming,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// A request's body did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("the request's body did not arrive in time")]
pub struct SlowBody;

impl HttpBody for PromptBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(SlowBody.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return; // The client gave up before we took its connection: nothing is wrong with the listener.
    }
    tracing::warn!(%error, "cannot take a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn log_end(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;
    use crate::pki::Authority;
    use crate::tls;

    struct Running {
        address: SocketAddr,
        stop: Stop,
        entered: Arc<Notify>,
        leave: Arc<Notify>,
    }

    async fn start(limits: HttpLimits, tls: Option<Arc<ServerConfig>>) -> Running {
        let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (entered, leave) = (entered.clone(), leave.clone());
            async move || {
                entered.notify_one();
                leave.notified().await;
                "slow"
            }
        };
        let router = Router::new()
            .route("/peer", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()))
            .route("/slow", get(slow))
            .route("/echo", post(async |body: Bytes| body))
            .route("/panic", get(async || -> &'static str { panic!("on purpose") }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Stop::new(10);
        drop(stop.spawn("listener", serve(listener, router, limits, tls, stop.clone())));
        Running { address, stop, entered, leave }
    }

    async fn connect(running: &Running) -> TcpStream {
        TcpStream::connect(running.address).await.unwrap()
    }

    async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> String {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        answer(stream).await
    }

    /// Reads one answer with a `content-length`, or what comes until the end.
    async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut text = String::new();
        let mut buffer = [0; 1024];
        loop {
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            let length =
                text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse::<usize>().ok());
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
            if read == 0 || length.is_some() && body >= length {
                return text;
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_its_peer_is_known() {
        let running = start(HttpLimits::default(), None).await;
        let mut stream = connect(&running).await;
        let expected = stream.local_addr().unwrap().to_string();
        for _ in 0..2 {
            let answer = ask(&mut stream, "/peer").await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&expected), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_stop_finishes_the_request_in_hand_and_takes_no_other() {
        let running = start(HttpLimits::default(), None).await;
        let (mut busy, mut idle) = (connect(&running).await, connect(&running).await);
        ask(&mut idle, "/peer").await;
        busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        running.entered.notified().await;
        running.stop.begin();
        assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0, "an idle connection is closed");
        running.leave.notify_one();
        let answer = answer(&mut busy).await;
        assert!(answer.ends_with("slow"), "{answer}");
        assert!(running.stop.drain().await.is_complete());
        assert!(TcpStream::connect(running.address).await.is_err(), "the listener is closed");
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_for_its_turn() {
        let running = start(HttpLimits { connections_max: 1, ..HttpLimits::default() }, None).await;
        let mut first = connect(&running).await;
        ask(&mut first, "/peer").await;
        let mut second = connect(&running).await;
        second.write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), second.read_u8()).await;
        assert!(early.is_err(), "the second is not served while the first is open");
        drop(first);
        assert!(answer(&mut second).await.contains("TTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_closed() {
        let running = start(HttpLimits { header_seconds_max: 1, ..HttpLimits::default() }, None).await;
        let mut silent = connect(&running).await;
        silent.write_all(b"GET /pe").await.unwrap();
        let read = tokio::time::timeout(Duration::from_secs(10), silent.read(&mut [0; 64])).await;
        assert_eq!(read.expect("closed in time").unwrap(), 0);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_refused() {
        let running = start(HttpLimits { body_seconds_max: 1, ..HttpLimits::default() }, None).await;
        let mut slow = connect(&running).await;
        slow.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(10), answer(&mut slow)).await.expect("answered in time");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_over_the_limit_is_refused() {
        let running = start(HttpLimits::default(), None).await;
        let mut stream = connect(&running).await;
        let answer = ask(&mut stream, &format!("/{}", "x".repeat(20_000))).await;
        assert!(answer.starts_with("HTTP/1.1 414") || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_panic_costs_one_connection_and_is_counted() {
        let running = start(HttpLimits::default(), None).await;
        assert_eq!(ask(&mut connect(&running).await, "/panic").await, "");
        assert!(ask(&mut connect(&running).await, "/peer").await.starts_with("HTTP/1.1 200"));
        assert_eq!(running.stop.panics(), 1);
    }

    #[tokio::test]
    async fn tls_serves_who_trusts_it_and_survives_who_does_not_speak_it() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path()).unwrap();
        let files = authority.issue_server(&["localhost"]).unwrap().write(directory.path(), "server").unwrap();
        let config = tls::server_config(tls::Certificates::load(&[files], "tls").unwrap()).unwrap();
        let running = start(HttpLimits::default(), Some(config)).await;
        let mut plain = connect(&running).await;
        plain.write_all(b"GET /peer HTTP/1.1\r\n\r\n").await.unwrap();
        let _alert_or_reset = plain.read_to_end(&mut Vec::new()).await;
        let client = tls::client_config(&directory.path().join("ca.pem"), None, "tls").unwrap();
        let connector = tokio_rustls::TlsConnector::from(client);
        let mut stream = connector.connect("localhost".try_into().unwrap(), connect(&running).await).await.unwrap();
        assert!(ask(&mut stream, "/peer").await.starts_with("HTTP/1.1 200"));
    }
}
