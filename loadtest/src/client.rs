//! One keep-alive HTTP/1.1 connection, as cheap as it gets: the loader shares its machine with the server.
//!
//! Knows HTTP framing (RFC 9112); must not know what is asked.

use std::io::ErrorKind;

use anyhow::{Context, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{StatusCode, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer of a door is longer.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Headers an answer may have.
const HEADERS_MAX: usize = 64;
/// Room for what is read at once. Most answers leave some of it, and then the next look for more costs no system call.
const READ_BYTES: usize = 4 * 1024;

/// Where a connection goes.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    authority: String,
    path: String,
}

/// The beginning of a request.
#[derive(Debug)]
pub(crate) struct Head(Vec<u8>);

/// A request, every octet of it.
#[derive(Debug)]
pub(crate) struct Call(Vec<u8>);

/// One connection, opened when it is first used and again when it broke.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    open: Option<TcpStream>,
    /// What came and was not taken yet.
    read: BytesMut,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after_seconds: Option<u64>,
    pub(crate) body: Bytes,
}

/// How the body of an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    Octets(usize),
    Chunks,
    /// With the connection.
    Rest,
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug)]
struct Said {
    status: StatusCode,
    retry_after_seconds: Option<u64>,
    length: Length,
    keeps: bool,
    /// Octets of the head itself.
    head: usize,
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

    /// Begins a request for a path below the base URL.
    pub(crate) fn call(&self, method: &str, path: &str) -> Head {
        let root = if self.path.is_empty() && path.is_empty() { "/" } else { "" };
        Head(Vec::with_capacity(512)).put(&[
            method,
            " ",
            &self.path,
            path,
            root,
            " HTTP/1.1\r\nhost: ",
            &self.authority,
        ])
    }
}

impl Head {
    /// Adds a header.
    ///
    /// # Panics
    /// On a line's end in the value: it would be the next header.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        assert!(!value.contains(['\r', '\n']), "a value is one line");
        self.put(&["\r\n", name, ": ", value])
    }

    /// Ends it with a body.
    pub(crate) fn body(self, body: &[u8]) -> Call {
        let Head(mut octets) = self.header("content-length", &body.len().to_string()).put(&["\r\n\r\n"]);
        octets.extend_from_slice(body);
        Call(octets)
    }

    /// Ends it without one.
    pub(crate) fn end(self) -> Call {
        Call(self.put(&["\r\n\r\n"]).0)
    }

    fn put(mut self, words: &[&str]) -> Self {
        words.iter().for_each(|word| self.0.extend_from_slice(word.as_bytes()));
        self
    }
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, open: None, read: BytesMut::new() }
    }

    /// Sends a request and reads its whole answer. After an error nobody knows whether the server took it.
    pub(crate) async fn ask(&mut self, call: &Call) -> anyhow::Result<Answer> {
        let mut stream = self.ready().await?;
        stream.write_all(&call.0).await.context("no answer")?;
        let said = loop {
            if let Some(said) = Said::read(&self.read)? {
                break said;
            }
            ensure!(self.more(&mut stream).await?, "no answer: the connection was closed");
        };
        self.read.advance(said.head);
        let body = match said.length {
            Length::Octets(length) => self.octets(&mut stream, length).await?,
            Length::Chunks => self.chunks(&mut stream).await?,
            Length::Rest => {
                while self.more(&mut stream).await? {}
                self.read.split().freeze()
            }
        };
        self.open = said.keeps.then_some(stream);
        Ok(Answer { status: said.status, retry_after_seconds: said.retry_after_seconds, body })
    }

    /// Asks for a document; once more over a new connection if there is no answer, since asking changes nothing.
    pub(crate) async fn get(&mut self, path: &str, api_key: &str) -> anyhow::Result<Answer> {
        let call = self.endpoint.call("GET", path).header("authorization", &format!("Bearer {api_key}")).end();
        match self.ask(&call).await {
            Err(_) => self.ask(&call).await,
            answer => answer,
        }
    }

    /// The open connection, or a new one if the server has closed it since.
    async fn ready(&mut self) -> anyhow::Result<TcpStream> {
        let is_quiet = |stream: &TcpStream| stream.try_read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        if let Some(stream) = self.open.take().filter(is_quiet) {
            return Ok(stream);
        }
        self.read.clear();
        let authority = &self.endpoint.authority;
        let stream = TcpStream::connect(authority).await.with_context(|| format!("cannot connect to `{authority}`"))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Reads what there is, or waits for it; `false`: there is no more.
    async fn more(&mut self, stream: &mut TcpStream) -> anyhow::Result<bool> {
        ensure!(self.read.len() <= ANSWER_BYTES_MAX, "an answer of more than {ANSWER_BYTES_MAX} bytes");
        self.read.reserve(READ_BYTES);
        Ok(stream.read_buf(&mut self.read).await.context("no answer")? > 0)
    }

    /// The next so many octets.
    async fn octets(&mut self, stream: &mut TcpStream, count: usize) -> anyhow::Result<Bytes> {
        ensure!(count <= ANSWER_BYTES_MAX, "an answer of more than {ANSWER_BYTES_MAX} bytes");
        while self.read.len() < count {
            ensure!(self.more(stream).await?, "half an answer");
        }
        Ok(self.read.split_to(count).freeze())
    }

    async fn chunks(&mut self, stream: &mut TcpStream) -> anyhow::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let (head, length) = loop {
                match httparse::parse_chunk_size(&self.read) {
                    Ok(httparse::Status::Complete(size)) => break size,
                    Ok(httparse::Status::Partial) => ensure!(self.more(stream).await?, "half an answer"),
                    Err(_) => bail!("a chunk without a length"),
                }
            };
            self.read.advance(head);
            let length = usize::try_from(length).context("a chunk")?;
            ensure!(length <= ANSWER_BYTES_MAX - body.len(), "an answer of more than {ANSWER_BYTES_MAX} bytes");
            // No door sends trailers: after the last chunk comes an empty line.
            body.extend_from_slice(&self.octets(stream, length).await?);
            ensure!(*self.octets(stream, 2).await? == *b"\r\n", "a chunk that does not end");
            if length == 0 {
                return Ok(body.freeze());
            }
        }
    }
}

impl Said {
    /// Reads the head of an answer; `None` while it is not there whole.
    fn read(octets: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(octets).context("not an HTTP answer")? else {
            return Ok(None);
        };
        let status = StatusCode::from_u16(response.code.unwrap_or_default()).context("not an HTTP answer")?;
        let is_bare = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let length = if is_bare { Length::Octets(0) } else { Length::Rest };
        let keeps = response.version == Some(1);
        let mut said = Said { status, retry_after_seconds: None, length, keeps, head };
        for header in response.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            said.note(header.name, value).with_context(|| format!("header `{}`", header.name))?;
        }
        said.keeps &= said.length != Length::Rest;
        Ok(Some(said))
    }

    fn note(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        if name.eq_ignore_ascii_case("content-length") {
            // Chunks overrule it (RFC 9112, 6.3).
            let length = Length::Octets(value.parse()?);
            self.length = if self.length == Length::Chunks { Length::Chunks } else { length };
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            ensure!(value.eq_ignore_ascii_case("chunked"), "`{value}` is not spoken here");
            self.length = Length::Chunks;
        } else if name.eq_ignore_ascii_case("connection") {
            self.keeps =
                value.eq_ignore_ascii_case("keep-alive") || (self.keeps && !value.eq_ignore_ascii_case("close"));
        } else if name.eq_ignore_ascii_case("retry-after") {
            self.retry_after_seconds = value.parse().ok();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path() {
        let head = |url: &str, path: &str| {
            let call = Endpoint::parse(url).unwrap().call("POST", path).header("x", "y").body(b"hi");
            String::from_utf8(call.0).unwrap()
        };
        assert_eq!(
            head("http://127.0.0.1:8080/oms/service.asmx", ""),
            "POST /oms/service.asmx HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nx: y\r\ncontent-length: 2\r\n\r\nhi"
        );
        assert!(
            head("http://localhost/", "/v1/ledger").starts_with("POST /v1/ledger HTTP/1.1\r\nhost: localhost:80\r\n")
        );
        assert!(head("http://localhost", "").starts_with("POST / HTTP/1.1\r\n"));
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["https://x", "127.0.0.1:80", "", "http://"] {
            Endpoint::parse(url).expect_err("no http url");
        }
    }

    #[test]
    fn a_head_says_how_the_body_ends_and_whether_the_connection_stays() {
        let said = |text: &str| {
            let said = Said::read(text.as_bytes()).unwrap().unwrap();
            (said.length, said.keeps, said.retry_after_seconds)
        };
        let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 3\r\nRetry-After: 7\r\n\r\nabc";
        assert_eq!(said(busy), (Length::Octets(3), true, Some(7)));
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        assert_eq!(said(chunks), (Length::Chunks, false, None));
        assert_eq!(said("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\n"), (Length::Octets(3), false, None));
        let old = "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(said(old), (Length::Octets(3), true, None));
        assert_eq!(said("HTTP/1.1 200 OK\r\n\r\n"), (Length::Rest, false, None));
        assert_eq!(said("HTTP/1.1 204 No Content\r\n\r\n"), (Length::Octets(0), true, None));
        assert!(Said::read(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
        for wrong in ["SMPP", "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"] {
            Said::read(wrong.as_bytes()).unwrap_err();
        }
    }

    /// A server that answers each connection with what was prepared for it.
    async fn prepared(answers: Vec<&'static [&'static str]>) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for parts in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                for part in parts {
                    // An answer in pieces comes in pieces.
                    if part.starts_with("HTTP") {
                        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
                    }
                    stream.write_all(part.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        Client::new(Endpoint::parse(&url).unwrap())
    }

    #[tokio::test]
    async fn answers_are_read_whole_however_they_come() {
        let first: &[&str] = &[
            "HTTP/1.1 200 OK\r\nContent-Le",
            "ngth: 5\r\n\r\nab",
            "cde",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            "c\r\n2\r\nde\r\n0\r\n",
            "\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde",
        ];
        let mut client = prepared(vec![first, &["HTTP/1.1 200 OK\r\n\r\nabc", "de"]]).await;
        for _ in 0..4 {
            assert_eq!(client.get("/", "key").await.unwrap().body, "abcde");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_is_opened_again() {
        const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1";
        // The first answer is cut, and asked for again; then the server closes, whether the client has seen it or not.
        let mut client = prepared(vec![&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1"], &[ANSWER], &[ANSWER]]).await;
        for _ in 0..2 {
            assert_eq!(client.get("/", "key").await.unwrap().body, "1");
        }
    }
}
