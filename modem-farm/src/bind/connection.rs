//! A connection to a service centre: TCP, and TLS over it. Knows sockets; must not know PDUs.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::supplier::Supplier;

/// Bytes taken from the other side at once.
const READ_OCTETS_MAX: usize = 64 * 1024;
/// Bytes that wait to be written above which nothing more is read: who does not listen is not listened to.
const UNWRITTEN_OCTETS_MAX: usize = 1024 * 1024;

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Why a connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("cannot connect in time")]
    ConnectLate,
    #[error("cannot agree on tls")]
    Tls(#[source] io::Error),
    #[error("cannot read")]
    Read(#[source] io::Error),
    #[error("cannot write")]
    Write(#[source] io::Error),
    #[error("the connection is closed from the other end")]
    Closed,
}

/// An open connection.
pub(super) struct Connection {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    input: BytesMut,
    output: BytesMut,
    unflushed: bool,
}

impl Connection {
    /// Connects, within the time the supplier is given.
    pub(super) async fn open(supplier: &Supplier) -> Result<Self, ConnectionError> {
        let stream = tokio::time::timeout(supplier.connect_max(), connect(supplier));
        let stream = stream.await.map_err(|_| ConnectionError::ConnectLate)??;
        let (reader, writer) = tokio::io::split(stream);
        let input = BytesMut::with_capacity(READ_OCTETS_MAX);
        Ok(Self { reader, writer, input, output: BytesMut::new(), unflushed: false })
    }

    /// What is to be written, some time.
    pub(super) fn write(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }

    /// Reads what comes, and meanwhile writes what is there. Can be cancelled without losing anything.
    pub(super) async fn turn(&mut self) -> Result<Bytes, ConnectionError> {
        loop {
            self.input.reserve(READ_OCTETS_MAX);
            let (listens, unwritten) =
                (self.output.len() < UNWRITTEN_OCTETS_MAX, self.unflushed || !self.output.is_empty());
            tokio::select! {
                read = self.reader.read_buf(&mut self.input), if listens => {
                    return match read.map_err(ConnectionError::Read)? {
                        0 => Err(ConnectionError::Closed),
                        _ => Ok(self.input.split().freeze()),
                    };
                }
                left = write_on(&mut self.writer, &mut self.output), if unwritten => {
                    self.unflushed = left.map_err(ConnectionError::Write)?;
                }
            }
        }
    }

    /// Writes what is left and closes.
    pub(super) async fn close(mut self) -> Result<(), ConnectionError> {
        self.writer.write_all(&self.output).await.map_err(ConnectionError::Write)?;
        self.writer.shutdown().await.map_err(ConnectionError::Write)
    }
}

/// Writes some, or flushes when all is written; says whether there is still something to flush.
async fn write_on(writer: &mut WriteHalf<Stream>, output: &mut BytesMut) -> io::Result<bool> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(false);
    }
    writer.write_buf(output).await?;
    Ok(true)
}

async fn connect(supplier: &Supplier) -> Result<Stream, ConnectionError> {
    let stream = TcpStream::connect(&supplier.config.address).await.map_err(ConnectionError::Connect)?;
    // Answers are small, and somebody waits for each.
    stream.set_nodelay(true).map_err(ConnectionError::Connect)?;
    match &supplier.tls {
        None => Ok(Either::Left(stream)),
        Some(tls) => {
            let stream = tls.connector.connect(tls.name.clone(), stream).await;
            stream.map(Either::Right).map_err(ConnectionError::Tls)
        }
    }
}
