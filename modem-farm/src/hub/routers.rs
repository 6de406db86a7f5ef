//! The hub's side of the routers: sessions, keys, acknowledgements, what is to be said to whom. Must not know links' insides.

use lease::message::{FarmMessage, Peer, RouterMessage, Session};

use super::*;

/// Messages that may wait for a stream that is full; a router that far behind is hung up on, and told again when it is back.
const WAITING_MAX: usize = 200_000;
/// Arrivals sent at once.
const ARRIVALS_MAX: usize = 512;
/// Messages waiting for a router above which it is sent no arrivals.
const BUSY: usize = 4096;
/// After which a full stream is tried again.
pub(super) const FULL_PAUSE: Duration = Duration::from_millis(2);

/// A stream, whoever is at its other end.
pub(super) struct Stream {
    sender: control::Sender<FarmMessage>,
    over: CancellationToken,
}

/// A router with a session.
pub(super) struct Router {
    stream: StreamId,
    sender: control::Sender<FarmMessage>,
    waiting: Vec<FarmMessage>,
    full: bool,
}

impl Router {
    pub(super) fn is_full(&self) -> bool {
        self.full
    }
}

impl Hub {
    pub(super) fn hear_router(&mut self, heard: FromRouter) {
        match heard {
            FromRouter::Opened { stream, address, sender, over } => {
                self.peers.opened(stream, address.as_deref());
                self.streams.insert(stream, Stream { sender, over });
            }
            FromRouter::Batch { stream, messages } => {
                messages.into_iter().for_each(|message| self.hear_message(stream, message));
            }
            FromRouter::Closed { stream } => self.stream_closed(stream),
        }
    }

    fn hear_message(&mut self, stream: StreamId, message: RouterMessage) {
        if let RouterMessage::Welcome { router, session, peers } = &message
            && !self.welcomed(stream, router, *session, peers)
        {
            return;
        }
        let Some(router) = self.router_of(stream) else { return self.hear_stranger(stream, message) };
        match message {
            RouterMessage::Key(key) => self.shared.keys.learn(&key),
            RouterMessage::Taken { numbers } => self.taken(numbers),
            RouterMessage::TokensReturned { link, tokens } => self.credit.returned(&router, &link, &tokens),
            RouterMessage::Backlog { route, segments, weight } => {
                self.credit.backlog(&router, route, segments, weight);
            }
            RouterMessage::Lease(lease) => {
                // Also one that is refused: its token is gone.
                self.credit.used(&router, &lease.link, lease.token);
                self.machine.handle_message(&router, RouterMessage::Lease(lease), self.now());
            }
            RouterMessage::Peers { peers } => self.peers.listed(&router, &peers),
            RouterMessage::Refused { reason } => self.refused(&reason),
            other => self.machine.handle_message(&router, other, self.now()),
        }
    }

    /// A stream in which no session began.
    fn hear_stranger(&mut self, stream: StreamId, message: RouterMessage) {
        match message {
            RouterMessage::Refused { reason } => self.refused(&reason),
            RouterMessage::AlreadyAttached { router, session } => {
                tracing::info!(router.name = %router, session, "another way to a router that is attached");
                self.peers.met(stream, &router);
                self.hang_up(stream);
            }
            // An old session's last words (lease rule 6).
            _ => {}
        }
    }

    /// The first word of a stream. The newest session of a router counts (lease rule 6); the stream of an older one ends.
    fn welcomed(&mut self, stream: StreamId, router: &RouterName, session: Session, peers: &[Peer]) -> bool {
        let Some(sender) = self.streams.get(&stream).map(|stream| stream.sender.clone()) else { return false };
        if !self.peers.is_newest(router, session) {
            tracing::warn!(router.name = %router, session, "a router began a session that is older than one before");
            self.peers.met(stream, router);
            self.hang_up(stream);
            return false;
        }
        tracing::info!(router.name = %router, session, "attached to a router");
        if let Some(old) = self.routers.get(router).map(|old| old.stream) {
            self.hang_up(old);
        }
        self.shared.outbox.session_ended(router);
        let links = vec![FarmMessage::Links(self.link_states())];
        self.routers.insert(router.clone(), Router { stream, sender, waiting: links, full: false });
        self.credit.attached(router);
        self.peers.attached(router, stream, session, peers);
        self.count_sessions();
        true
    }

    fn router_of(&self, stream: StreamId) -> Option<RouterName> {
        self.routers.iter().find(|(_, router)| router.stream == stream).map(|(name, _)| name.clone())
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        if let Some(router) = self.router_of(stream) {
            self.detach(&router);
        }
        self.peers.closed(stream);
    }

    /// Ends a stream. Nothing it still brings is heard.
    fn hang_up(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.remove(&stream) {
            stream.over.cancel();
        }
    }

    fn detach(&mut self, router: &RouterName) {
        if let Some(gone) = self.routers.remove(router) {
            self.hang_up(gone.stream);
        }
        self.machine.session_closed(router);
        self.credit.detached(router);
        self.shared.outbox.session_ended(router);
        self.peers.detached(router);
        self.count_sessions();
    }

    /// A router that keeps links idle for others loses its session, and its tokens with it.
    pub(super) fn look_after_links(&mut self) {
        let now = Instant::now();
        self.credit.look(now);
        for router in self.credit.silent(now) {
            tracing::warn!(router.name = %router, "a router keeps links idle and is hung up on");
            self.detach(&router);
        }
    }

    fn count_sessions(&self) {
        self.shared.metrics.sessions.set(self.routers.len() as i64);
        if self.routers.is_empty() {
            self.shared.health.not_ready("routers", "attached to none");
        } else {
            self.shared.health.ready("routers");
        }
    }

    fn taken(&mut self, numbers: Vec<u64>) {
        self.rereads |= self.shared.outbox.taken(&numbers);
        self.unwritten.since.get_or_insert_with(Instant::now);
        self.unwritten.entries.push(Entry::Taken { numbers });
    }

    fn refused(&self, reason: &str) {
        self.shared.metrics.refused.increment();
        tracing::warn!(reason, "a router refuses");
    }

    /// Says the same to all routers.
    pub(super) fn tell_all(&mut self, message: impl Fn() -> FarmMessage) {
        for router in self.routers.values_mut() {
            router.waiting.push(message());
        }
    }

    /// Sends all there is to say, in order. What does not fit waits.
    pub(super) fn send(&mut self) {
        while let Some((router, message)) = self.machine.poll_send() {
            self.tell(&router, message);
        }
        for (router, message) in self.credit.share_out(Instant::now()) {
            self.tell(&router, message);
        }
        self.send_arrivals();
        let mut behind = Vec::new();
        for (name, router) in &mut self.routers {
            if !router.flush() {
                behind.push(name.clone());
            }
        }
        for name in behind {
            tracing::warn!(router.name = %name, "a router does not keep up and is hung up on");
            self.detach(&name);
        }
    }

    fn tell(&mut self, router: &RouterName, message: FarmMessage) {
        if let Some(router) = self.routers.get_mut(router) {
            router.waiting.push(message);
        }
    }

    /// Receipts and inbound messages go to one router; which one does not matter.
    fn send_arrivals(&mut self) {
        self.shared.metrics.arrivals_waiting.set(self.shared.outbox.len() as i64);
        let Some((name, router)) = self.routers.iter_mut().find(|(_, router)| router.waiting.len() < BUSY) else {
            return;
        };
        while router.waiting.len() < BUSY {
            let next = self.shared.outbox.next_for(name, ARRIVALS_MAX);
            if next.is_empty() {
                return;
            }
            router.waiting.extend(next.iter().map(crate::journal::Arrival::message));
        }
    }
}

impl Router {
    /// Hands over what waits; false: too much waits.
    fn flush(&mut self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        self.full = !self.sender.has_room();
        if !self.full {
            // A closed stream takes nothing; its end is told by its reader, and its session's words with it.
            let _ = self.sender.try_send(std::mem::take(&mut self.waiting));
        }
        self.waiting.len() <= WAITING_MAX
    }
}
