//! Delivery reports on their way to whoever posted the messages. Knows HTTP; must not know why a report says what it says.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How an attempt to report ends in time.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Octets of an answer.
const ANSWER_OCTETS_MAX: usize = 64 * 1024;
/// The type of a report without media.
pub(super) const CONTENT: &str = "text/xml; charset=utf-8";

/// Posts a report once. The answer's status and body, if there is one.
pub(super) async fn post(url: &str, authorization: &str, body: String) -> Option<(u16, Bytes)> {
    tokio::time::timeout(ANSWER_MAX, exchange(url, authorization, body)).await.ok()?
}

async fn exchange(url: &str, authorization: &str, body: String) -> Option<(u16, Bytes)> {
    let uri: hyper::Uri = url.parse().ok()?;
    let authority = uri.authority()?.as_str().to_owned();
    let stream = TcpStream::connect(&authority).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let mut request = Request::post(uri.path()).header(HOST, authority).header(CONTENT_TYPE, CONTENT);
    if !authorization.is_empty() {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Full::new(Bytes::from(body))).ok()?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await.ok()?;
        Some((head.status.as_u16(), body.to_bytes()))
    };
    tokio::select! {
        answered = exchange => answered,
        _ = connection => None,
    }
}
