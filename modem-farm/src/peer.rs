//! The streams to routers: says hello, passes on what comes, attaches again. Knows dialing; must not know what the messages mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::{Backoff, Dialer, FarmEnd, KeepAlive};
use lease::message::Hello;
use lease::{FarmMessage, RouterMessage};
use runtime::Stop;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A stream, numbered by this farm: a router's name is known only after its first word.
pub(crate) type StreamId = u64;

/// What a stream brings.
pub(crate) enum FromRouter {
    Opened { stream: StreamId, sender: control::Sender<FarmMessage> },
    Batch { stream: StreamId, messages: Vec<RouterMessage> },
    Closed { stream: StreamId },
}

/// Keeps a stream to every router there is.
pub(crate) struct Peers {
    hello: Hello,
    hub: mpsc::Sender<FromRouter>,
    tls: Option<Arc<rustls::ClientConfig>>,
    dialed: BTreeMap<String, ()>,
    stop: Stop,
    /// Ends the streams; later than the stop, so that what is in hand can be told.
    hang_up: CancellationToken,
    streams: Arc<std::sync::atomic::AtomicU64>,
}

impl Peers {
    pub(crate) fn new(
        hello: Hello,
        hub: mpsc::Sender<FromRouter>,
        tls: Option<Arc<rustls::ClientConfig>>,
        stop: Stop,
        hang_up: CancellationToken,
    ) -> Self {
        Self { hello, hub, tls, dialed: BTreeMap::new(), stop, hang_up, streams: Arc::default() }
    }

    /// Takes streams from routers in this process, as they are made.
    pub(crate) fn take_local(&self, mut ends: mpsc::Receiver<FarmEnd>) {
        let speaker = self.speaker();
        let (stop, tasks) = (self.hang_up.clone(), self.stop.clone());
        self.stop.spawn("local-routers", async move {
            while let Some(Some(end)) = stop.run_until_cancelled(ends.recv()).await {
                let speaker = speaker.clone();
                tasks.spawn("router-stream", async move { speaker.speak(end).await });
            }
        });
    }

    /// Dials routers not dialed yet, and keeps on. Without certificates only those in this process are served.
    pub(crate) fn dial(&mut self, addresses: impl IntoIterator<Item = String>) {
        let Some(tls) = self.tls.clone() else { return };
        for address in addresses {
            if self.dialed.insert(address.clone(), ()).is_some() {
                continue;
            }
            match Dialer::new(&address, &tls, KeepAlive::default()) {
                Ok(dialer) => self.keep_attached(dialer),
                Err(error) => tracing::error!(%error, "a router cannot be dialed"),
            }
        }
    }

    fn keep_attached(&self, dialer: Dialer) {
        let (speaker, stop) = (self.speaker(), self.hang_up.clone());
        self.stop.spawn("router-stream", async move {
            let mut backoff = Backoff::default();
            while let Some(end) = dialer.dial_patiently(&mut backoff, &stop).await {
                tracing::info!(router.address = dialer.address(), "router reached");
                if speaker.speak(end).await {
                    backoff.reset();
                }
                if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
                    break;
                }
            }
        });
    }

    fn speaker(&self) -> Speaker {
        let (hello, hub, stop) = (self.hello.clone(), self.hub.clone(), self.hang_up.clone());
        Speaker { hello, hub, stop, streams: self.streams.clone() }
    }
}

/// Leads one stream after the other.
#[derive(Clone)]
struct Speaker {
    hello: Hello,
    hub: mpsc::Sender<FromRouter>,
    stop: CancellationToken,
    streams: Arc<std::sync::atomic::AtomicU64>,
}

/// A hello that is not taken at once is not taken.
const HELLO_MAX: Duration = Duration::from_secs(10);

impl Speaker {
    /// Leads a stream to its end; true if the router said anything in it.
    async fn speak(&self, mut end: FarmEnd) -> bool {
        let stream = self.streams.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let hello = end.sender.send(vec![FarmMessage::Hello(self.hello.clone())]);
        if !matches!(tokio::time::timeout(HELLO_MAX, hello).await, Ok(Ok(()))) {
            return false;
        }
        let mut heard = false;
        let _ = self.hub.send(FromRouter::Opened { stream, sender: end.sender }).await;
        while let Some(next) = self.stop.run_until_cancelled(end.receiver.next()).await {
            match next {
                Ok(messages) => {
                    heard = true;
                    let _ = self.hub.send(FromRouter::Batch { stream, messages }).await;
                }
                Err(closed) => {
                    tracing::warn!(%closed, "a router's stream ended");
                    break;
                }
            }
        }
        let _ = self.hub.send(FromRouter::Closed { stream }).await;
        heard
    }
}
