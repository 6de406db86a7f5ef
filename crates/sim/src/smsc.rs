//! A service centre that speaks SMPP 3.4: takes messages, reports on them, remembers what it owes, and misbehaves as it is
//! told. Knows the protocol's codec; must not know the farm's session.

mod centre;
mod config;
mod conversation;
mod counts;
mod memory;
mod owed;
mod texts;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::SimError;
use crate::fault::FaultRule;
use centre::Centre;
pub use config::{IdWriting, ReceiptForm, SmscAccount, SmscConfig, SmscFault, SmscNumberRule, SmscTreatment};
use conversation::Conversation;
pub use counts::SmscCounts;

/// A running service centre. It stops with its token; dropping it stops nothing.
#[derive(Debug)]
pub struct Smsc {
    address: SocketAddr,
    centre: Arc<Centre>,
    tasks: TaskTracker,
}

impl Smsc {
    /// Restores what it owes, listens, and takes binds until `stop`. With `tls` it speaks nothing else.
    ///
    /// # Errors
    /// A file cannot be used, or it cannot listen.
    pub async fn start(
        config: SmscConfig,
        tls: Option<Arc<ServerConfig>>,
        stop: CancellationToken,
    ) -> Result<Self, SimError> {
        let wanted = config.listen;
        let failed = |source| SimError::Listen { address: wanted, source };
        let centre = Arc::new(Centre::open(config)?);
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, tls.map(TlsAcceptor::from), centre.clone(), tasks.clone(), stop));
        tasks.close();
        Ok(Self { address, centre, tasks })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets a message for an account in. When it returns it is owed until somebody of that account has taken it.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub fn inject(&self, system_id: &str, from: &str, to: &str, text: &str) -> Result<(), SimError> {
        self.centre.inject(system_id, from, to, text)
    }

    /// Replaces what goes wrong from here on. Occasions are counted anew.
    pub fn set_faults(&self, rules: Vec<FaultRule<SmscFault>>) {
        self.centre.set_faults(rules);
    }

    /// What it did, and has in hand.
    pub fn counts(&self) -> SmscCounts {
        self.centre.counts()
    }

    /// Waits until all conversations are over, which the token makes them be.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    centre: Arc<Centre>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        tasks.spawn(serve(stream, tls.clone(), centre.clone(), stop.clone()));
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, centre: Arc<Centre>, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let conversation = Conversation::new(centre);
    let led = match tls {
        None => conversation.lead(stream, stop).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => conversation.lead(stream, stop).await,
            Err(error) => return tracing::warn!(%error, "a client does not speak tls"),
        },
    };
    if let Err(error) = led {
        tracing::error!(error = &error as &dyn std::error::Error, "a conversation ended: nothing can be remembered");
    }
}
