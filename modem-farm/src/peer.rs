//! The streams to routers: finds them, says hello, passes on what comes, attaches again. Knows dialing; must not know what the
//! messages mean.

mod book;
mod keeper;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use control::FarmEnd;
use lease::message::{Hello, KnownSession, Peer, Session};
use lease::{FarmMessage, RouterMessage};
use model::RouterName;
use runtime::Stop;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::book::Book;
pub(crate) use self::keeper::Credentials;
use self::keeper::Keeper;

/// A stream, numbered by this farm: a router's name is known only after its first word.
pub(crate) type StreamId = u64;

/// What a stream brings.
pub(crate) enum FromRouter {
    Opened {
        stream: StreamId,
        address: Option<Arc<str>>,
        sender: control::Sender<FarmMessage>,
        over: CancellationToken,
    },
    Batch {
        stream: StreamId,
        messages: Vec<RouterMessage>,
    },
    Closed {
        stream: StreamId,
    },
}

/// Keeps a stream to every router there is.
pub(crate) struct Peers {
    book: Book,
    keepers: BTreeMap<String, Kept>,
    speaker: Speaker,
    credentials: Option<Arc<Credentials>>,
    stop: Stop,
}

/// The task that keeps to one address, as it is led.
struct Kept {
    wanted: watch::Sender<bool>,
    forgotten: CancellationToken,
}

impl Peers {
    /// Without credentials only routers in this process are served. `hang_up` ends the streams; later than `stop`, so that what is
    /// in hand can be told.
    pub(crate) fn new(
        hello: Hello,
        hub: mpsc::Sender<FromRouter>,
        credentials: Option<Credentials>,
        stop: Stop,
        hang_up: CancellationToken,
    ) -> Self {
        let speaker = Speaker { hello, hub, sessions: Arc::default(), hang_up, streams: Arc::default() };
        let credentials = credentials.map(Arc::new);
        Self { book: Book::default(), keepers: BTreeMap::new(), speaker, credentials, stop }
    }

    /// Takes streams from routers in this process, as they are made.
    pub(crate) fn take_local(&self, mut ends: mpsc::Receiver<FarmEnd>) {
        let (speaker, tasks) = (self.speaker.clone(), self.stop.clone());
        self.stop.spawn("local-routers", async move {
            while let Some(Some(end)) = speaker.hang_up.run_until_cancelled(ends.recv()).await {
                let speaker = speaker.clone();
                tasks.spawn("router-stream", async move { speaker.speak(end, None).await });
            }
        });
    }

    /// Dials the routers of the configuration, and keeps on.
    pub(crate) fn dial(&mut self, seeds: impl IntoIterator<Item = String>) {
        self.book = Book::of_seeds(seeds);
        self.follow();
    }

    /// A stream opened.
    pub(crate) fn opened(&mut self, stream: StreamId, address: Option<&str>) {
        address.into_iter().for_each(|address| self.book.opened(stream, address));
    }

    /// A stream ended.
    pub(crate) fn closed(&mut self, stream: StreamId) {
        self.book.closed(stream);
        self.follow();
    }

    /// A router said in this stream who it is, and is attached by another.
    pub(crate) fn met(&mut self, stream: StreamId, router: &RouterName) {
        self.book.met(stream, router);
        self.follow();
    }

    /// Whether a session with this number may begin: they rise.
    pub(crate) fn is_newest(&self, router: &RouterName, session: Session) -> bool {
        self.book.is_newest(router, session)
    }

    /// A router's session began in this stream.
    pub(crate) fn attached(&mut self, router: &RouterName, stream: StreamId, session: Session, peers: &[Peer]) {
        self.book.attached(router, stream, session, peers);
        self.follow();
    }

    /// A router's session is over.
    pub(crate) fn detached(&mut self, router: &RouterName) {
        self.book.detached(router);
        self.follow();
    }

    /// A router tells which replicas there are.
    pub(crate) fn listed(&mut self, router: &RouterName, peers: &[Peer]) {
        self.book.listed(router, peers);
        self.follow();
    }

    /// Starts, leads and ends keepers as the book says.
    fn follow(&mut self) {
        *self.speaker.sessions.lock().unwrap_or_else(PoisonError::into_inner) = self.book.sessions();
        let Some(credentials) = &self.credentials else { return };
        let wanted: BTreeMap<&str, bool> = self.book.addresses().collect();
        self.keepers.retain(|address, kept| {
            let keep = wanted.contains_key(address.as_str());
            if !keep {
                tracing::info!(router.address = address, "a router's address is given up");
                kept.forgotten.cancel();
            }
            keep
        });
        for (address, wanted) in wanted {
            match self.keepers.get(address) {
                Some(kept) => {
                    kept.wanted.send_if_modified(|known| std::mem::replace(known, wanted) != wanted);
                }
                None => {
                    let (sender, receiver) = watch::channel(wanted);
                    let forgotten = self.speaker.hang_up.child_token();
                    let keeper = Keeper::new(address, credentials.clone(), self.speaker.clone(), receiver);
                    self.stop.spawn("router-stream", keeper.run(forgotten.clone()));
                    self.keepers.insert(address.to_owned(), Kept { wanted: sender, forgotten });
                }
            }
        }
    }
}

/// Leads one stream after the other.
#[derive(Clone)]
struct Speaker {
    hello: Hello,
    hub: mpsc::Sender<FromRouter>,
    /// What is known of sessions when a stream begins.
    sessions: Arc<Mutex<Vec<KnownSession>>>,
    hang_up: CancellationToken,
    streams: Arc<std::sync::atomic::AtomicU64>,
}

/// A hello that is not taken at once is not taken.
const HELLO_MAX: Duration = Duration::from_secs(10);

impl Speaker {
    /// Leads a stream to its end.
    async fn speak(&self, mut end: FarmEnd, address: Option<Arc<str>>) {
        let stream = self.streams.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let hello = end.sender.send(vec![FarmMessage::Hello(self.hello())]);
        if !matches!(tokio::time::timeout(HELLO_MAX, hello).await, Ok(Ok(()))) {
            return;
        }
        let over = self.hang_up.child_token();
        let opened = FromRouter::Opened { stream, address, sender: end.sender, over: over.clone() };
        let _ = self.hub.send(opened).await;
        while let Some(next) = over.run_until_cancelled(end.receiver.next()).await {
            match next {
                Ok(messages) => {
                    let _ = self.hub.send(FromRouter::Batch { stream, messages }).await;
                }
                Err(closed) => {
                    tracing::warn!(%closed, "a router's stream ended");
                    break;
                }
            }
        }
        let _ = self.hub.send(FromRouter::Closed { stream }).await;
    }

    fn hello(&self) -> Hello {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Hello { sessions, ..self.hello.clone() }
    }
}
