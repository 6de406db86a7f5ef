//! How a farm reaches a router: dial, prove who it is, attach; again after a break. Knows the connection, not the protocol
//! that runs in it.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use lease::{FarmMessage, RouterMessage};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::link::{FarmEnd, Outgoing, describe, incoming, outgoing};
use crate::proto::control_client::ControlClient;
use crate::{Backoff, End, KeepAlive, PEER_FRAME_BYTES_MAX};

/// How long one try may take, from the name look-up to the attached stream.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// The way to one router. Each dial is a connection of its own.
#[derive(Clone, Debug)]
pub struct Dialer {
    address: Arc<str>,
    name: ServerName<'static>,
    tls: Arc<rustls::ClientConfig>,
    endpoint: Endpoint,
}

/// Why a router was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not `host:port`.
    #[error("`{address}` is no address of a router (`host:port`)")]
    Address {
        /// The address as given.
        address: String,
    },
    /// No connection, or TLS refused it on either side.
    #[error("cannot connect to router `{address}`: {reason}")]
    Connect {
        /// The address.
        address: Arc<str>,
        /// What the transport says, with its causes.
        reason: String,
    },
    /// The router refused the stream.
    #[error("router `{address}` did not take the stream: {reason}")]
    Attach {
        /// The address.
        address: Arc<str>,
        /// What the router or the transport says.
        reason: String,
    },
    /// It took too long.
    #[error("router `{address}` did not answer in time")]
    Late {
        /// The address.
        address: Arc<str>,
    },
}

impl Dialer {
    /// The way to the router at `host:port`, whose certificate must name the host. `tls` shows who the farm is
    /// ([`runtime::tls::client_config`]).
    ///
    /// # Errors
    /// [`DialError::Address`].
    pub fn new(address: &str, tls: &rustls::ClientConfig, keep_alive: KeepAlive) -> Result<Self, DialError> {
        let no_address = || DialError::Address { address: address.to_owned() };
        let (host, port) = address.rsplit_once(':').ok_or_else(no_address)?;
        port.parse::<u16>().map_err(|_| no_address())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| no_address())?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| no_address())?
            .http2_keep_alive_interval(keep_alive.interval)
            .keep_alive_timeout(keep_alive.timeout_max)
            .keep_alive_while_idle(true);
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Dialer { address: address.into(), name, tls: Arc::new(tls), endpoint })
    }

    /// The router's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Tries once.
    ///
    /// # Errors
    /// [`DialError`], with what TLS said if it refused.
    pub async fn dial(&self) -> Result<FarmEnd, DialError> {
        let late = |_| DialError::Late { address: self.address.clone() };
        tokio::time::timeout(DIAL_MAX, self.attach()).await.map_err(late)?
    }

    /// Tries until it works, resting as `backoff` says; `None` once `stop` is cancelled. Each failure is logged with
    /// its reason. Call `backoff.reset()` when the stream has proved useful, not when it is merely open.
    pub async fn dial_patiently(&self, backoff: &mut Backoff, stop: &CancellationToken) -> Option<FarmEnd> {
        loop {
            match stop.run_until_cancelled(self.dial()).await? {
                Ok(end) => return Some(end),
                Err(error) => {
                    let wait = backoff.wait();
                    tracing::warn!(error = %error, retry_ms = wait.as_millis() as u64, "the router is not reached");
                    stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
                }
            }
        }
    }

    async fn attach(&self) -> Result<FarmEnd, DialError> {
        let channel = self.connect().await?;
        let (sender, frames): (_, Outgoing<FarmMessage>) = outgoing();
        let mut client = ControlClient::new(channel).max_decoding_message_size(PEER_FRAME_BYTES_MAX);
        let refused =
            |status: tonic::Status| DialError::Attach { address: self.address.clone(), reason: describe(&status) };
        let frames = client.attach(frames).await.map_err(refused)?.into_inner();
        Ok(End { sender, receiver: incoming::<RouterMessage>(frames) })
    }

    async fn connect(&self) -> Result<Channel, DialError> {
        let (address, name, tls) = (self.address.clone(), self.name.clone(), self.tls.clone());
        let connector = tower::service_fn(move |_| secure(address.clone(), name.clone(), tls.clone()));
        let channel = self.endpoint.connect_with_connector(connector).await;
        channel.map_err(|error| DialError::Connect { address: self.address.clone(), reason: describe(&error) })
    }
}

async fn secure(
    address: Arc<str>,
    name: ServerName<'static>,
    tls: Arc<rustls::ClientConfig>,
) -> std::io::Result<TokioIo<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(&*address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(tls).connect(name, stream).await.map(TokioIo::new)
}
