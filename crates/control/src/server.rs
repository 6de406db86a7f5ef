//! Where farms attach: TLS with a certificate demanded, one gRPC call. Knows who may connect, not which routes they serve.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use lease::{FarmMessage, RouterMessage};
use runtime::Stop;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Request, Response, Status, Streaming};

use crate::identity::{FarmIdentity, IdentityError};
use crate::link::{Outgoing, RouterEnd, describe, incoming, outgoing};
use crate::proto::control_server::{Control, ControlServer};
use crate::proto::{FarmToRouter, RouterToFarm};
use crate::{End, KeepAlive, PEER_FRAME_BYTES_MAX};

/// Handshakes in progress; more wait in the listener's backlog.
const HANDSHAKES_MAX: usize = 64;
/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Streams that wait to be taken up.
const ATTACHING_MAX: usize = 64;
/// Streams of one connection: a farm needs one, and one more while the old one is dying.
const STREAMS_MAX: u32 = 8;
/// Rest after the listener failed (most likely: no file descriptors left).
const ACCEPT_REST: Duration = Duration::from_millis(200);

/// The listener for farms.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    attached: mpsc::Receiver<Attached>,
}

/// A farm's stream, as it came in: nothing has been said yet.
#[derive(Debug)]
pub struct Attached {
    /// What the certificate says.
    pub identity: FarmIdentity,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The stream.
    pub end: RouterEnd,
}

/// Why farms can't attach.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("cannot listen for farms on `{address}`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
}

impl Server {
    /// Listens on `address` until `stop` begins. `tls` must demand client certificates
    /// ([`runtime::tls::mutual_server_config`]): a peer without one of the right authority is refused, and the log says
    /// why.
    ///
    /// # Errors
    /// [`ServerError::Bind`].
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        keep_alive: KeepAlive,
        stop: &Stop,
    ) -> Result<Self, ServerError> {
        let bind_error = |source| ServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let (secured, connections) = mpsc::channel(HANDSHAKES_MAX);
        let (attach, attached) = mpsc::channel(ATTACHING_MAX);
        stop.spawn("control-accept", accept(listener, tls, secured, stop.clone()));
        stop.spawn("control-serve", serve(connections, attach, keep_alive, stop.clone()));
        Ok(Server { address, attached })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next farm that attaches; `None` after the stop.
    pub async fn next(&mut self) -> Option<Attached> {
        self.attached.recv().await
    }
}

type Secured = TlsStream<TcpStream>;

async fn accept(listener: TcpListener, tls: Arc<rustls::ServerConfig>, secured: mpsc::Sender<Secured>, stop: Stop) {
    let (acceptor, permits) = (TlsAcceptor::from(tls), Arc::new(Semaphore::new(HANDSHAKES_MAX)));
    loop {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = stop.begun() => return,
        };
        match connection {
            Ok((stream, peer)) => {
                let handshake = handshake(acceptor.clone(), stream, peer, secured.clone(), permit);
                stop.spawn("control-handshake", handshake);
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a connection of a farm");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    secured: mpsc::Sender<Secured>,
    _permit: OwnedSemaphorePermit,
) {
    // Leases are small and urgent. A failure only costs the delay this saves.
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Err(_) => refuse(peer, "the tls handshake took too long"),
        Ok(Err(error)) => refuse(peer, &describe(&error)),
        Ok(Ok(stream)) => match identity_of(stream.get_ref().1.peer_certificates()) {
            Err(error) => refuse(peer, &describe(&error)),
            // Closed only when the server stops.
            Ok(_) => drop(secured.send(stream).await),
        },
    }
}

fn refuse(peer: SocketAddr, reason: &str) {
    tracing::warn!(peer.address = %peer, reason, "a farm's connection is refused");
}

fn identity_of(certificates: Option<&[rustls_pki_types::CertificateDer<'_>]>) -> Result<FarmIdentity, IdentityError> {
    FarmIdentity::of_certificate(certificates.and_then(<[_]>::first).ok_or(IdentityError::Missing)?)
}

async fn serve(
    connections: mpsc::Receiver<Secured>,
    attach: mpsc::Sender<Attached>,
    keep_alive: KeepAlive,
    stop: Stop,
) {
    let service = ControlServer::new(Door { attach }).max_decoding_message_size(PEER_FRAME_BYTES_MAX);
    let connections = ReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(keep_alive.interval))
        .http2_keepalive_timeout(Some(keep_alive.timeout_max))
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(service)
        .serve_with_incoming_shutdown(connections, stop.begun())
        .await;
    if let Err(error) = served {
        tracing::error!(error = %describe(&error), "farms cannot attach any more");
    }
}

/// The service behind the contract.
struct Door {
    attach: mpsc::Sender<Attached>,
}

type Frames = Pin<Box<dyn Stream<Item = Result<RouterToFarm, Status>> + Send>>;

#[tonic::async_trait]
impl Control for Door {
    type AttachStream = Frames;

    async fn attach(&self, request: Request<Streaming<FarmToRouter>>) -> Result<Response<Frames>, Status> {
        let connection = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
        let certificates = connection.and_then(TlsConnectInfo::peer_certs);
        let identity = identity_of(certificates.as_ref().map(|chain| chain.as_slice()));
        let identity = identity.map_err(|error| Status::unauthenticated(describe(&error)))?;
        let peer = request.remote_addr().ok_or_else(|| Status::internal("a connection without an address"))?;
        let (sender, frames): (_, Outgoing<RouterMessage>) = outgoing();
        let receiver = incoming::<FarmMessage>(request.into_inner());
        let attached = Attached { identity, peer, end: End { sender, receiver } };
        self.attach.try_send(attached).map_err(|_| Status::resource_exhausted("too many farms attach at once"))?;
        Ok(Response::new(Box::pin(frames.map(Ok))))
    }
}
