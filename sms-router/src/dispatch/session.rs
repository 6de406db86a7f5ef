//! A farm's stream: who it is, what it may say, and where its words go. Knows streams and routes' names, not leases' rules.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, Entry};
use bytes::Bytes;
use control::{Closed, FarmIdentity, Receiver, RouterEnd, Sender};
use lease::message::{Hello, Inbound, Incarnation, Peer, Receipt, RouterMessage, Session, SessionKey};
use lease::{FarmMessage, PartitionId};
use model::{FarmName, Lane, LinkName, Msisdn, RouteId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use super::slip;
use crate::outcome::{self, Kind, partition_key};

/// How long a farm may take for its first word.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// Batches that wait to be sent to one farm; one more ends the session: the farm does not keep up.
const OUTBOX_BATCHES_MAX: usize = 4_096;
/// How long a route may take to hear a farm's words.
const HEARING_MAX: Duration = Duration::from_secs(10);
/// Receipts and inbound messages that wait to be made durable; one more ends the session, and the farm repeats them.
const TAKINGS_MAX: usize = 20_000;
/// Of these, how many go into one append.
const TAKINGS_BATCH_MAX: usize = 1_024;
/// Rest while the lane of outcomes is full.
const FULL_REST: Duration = Duration::from_millis(200);
/// Links one farm may name.
const LINKS_MAX: usize = 10_000;

/// A farm as a route sees it.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) session: Session,
    pub(super) incarnation: Incarnation,
    outbox: mpsc::Sender<Vec<RouterMessage>>,
    over: CancellationToken,
}

/// What a route is told.
#[derive(Debug)]
pub(super) enum Command {
    /// A farm attached; an older attachment of it is over.
    Opened { farm: FarmName, attachment: Attachment },
    /// The farm's session is over.
    Closed { farm: FarmName, session: Session },
    /// A farm's words on this route.
    Heard { farm: FarmName, session: Session, messages: Vec<FarmMessage> },
}

impl Attachment {
    /// Queues messages. If the farm does not keep up its session ends: it comes back and the handshake sorts things out.
    pub(super) fn send(&self, batch: Vec<RouterMessage>) {
        if !batch.is_empty() && self.outbox.try_send(batch).is_err() {
            self.over.cancel();
        }
    }
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Stream(#[from] Closed),
    #[error("a newer session has taken its place, or the farm does not keep up")]
    Superseded,
    #[error("the router stops")]
    Stopped,
    #[error("route `{0}` does not hear the farm")]
    Deaf(RouteId),
    #[error("more receipts wait than may")]
    TooManyTakings,
    #[error("what the farm brought can't be made durable")]
    Append(#[source] BusError),
}

/// A receipt or an inbound message, to be made durable.
enum Taking {
    Receipt(Receipt),
    Inbound(Inbound),
}

/// Leads a stream from its first word to its end.
pub(super) async fn lead<B: Bus>(hub: Arc<Hub<B>>, mut end: RouterEnd, identity: FarmIdentity) {
    let (hello, rest) = match greet(&hub, &mut end, &identity).await {
        Ok(greeted) => greeted,
        Err(reason) => {
            tracing::warn!(farm.id = %identity, reason, "a farm is refused");
            hub.metrics.sessions_refused.increment();
            // It may be gone already.
            let _ = end.sender.try_send(vec![RouterMessage::Refused { reason }]);
            return;
        }
    };
    if let Some(session) = hub.open_elsewhere(&hello) {
        tracing::info!(farm.id = %identity, session, "a farm has come by a second way, and is attached");
        let router = hub.options.router.clone();
        let _ = end.sender.try_send(vec![RouterMessage::AlreadyAttached { router, session }]);
        return;
    }
    let over = CancellationToken::new();
    let session = hub.open_session(&hello, over.clone());
    let desk = Desk { hub: hub.clone(), farm: hello.farm.clone(), incarnation: hello.incarnation, session };
    tracing::info!(farm.id = %identity, session, version = hello.version, routes = hello.routes.len(), "a farm attached");
    hub.metrics.sessions.add(1);
    let ended = desk.run(end, hello, rest, over).await;
    hub.metrics.sessions.add(-1);
    hub.close_session(&desk.farm, session);
    tracing::info!(farm.id = %identity, session, reason = %ended, "a farm's session ended");
}

async fn greet<B: Bus>(
    hub: &Hub<B>,
    end: &mut RouterEnd,
    identity: &FarmIdentity,
) -> Result<(Hello, Vec<FarmMessage>), String> {
    let first = tokio::time::timeout(HELLO_MAX, end.receiver.next()).await;
    let mut batch = first.map_err(|_| "it says nothing".to_owned())?.map_err(|closed| closed.to_string())?;
    let rest = batch.split_off(1);
    let Some(FarmMessage::Hello(hello)) = batch.pop() else {
        return Err("its first word is not a hello".to_owned());
    };
    hub.directory().admit(identity, &hello).map_err(|unwelcome| unwelcome.to_string())?;
    Ok((hello, rest))
}

/// Where a session's work is done.
struct Desk<B> {
    hub: Arc<Hub<B>>,
    farm: FarmName,
    incarnation: Incarnation,
    session: Session,
}

impl<B: Bus> Desk<B> {
    async fn run(&self, end: RouterEnd, hello: Hello, rest: Vec<FarmMessage>, over: CancellationToken) -> Ended {
        let (outbox, queued) = mpsc::channel(OUTBOX_BATCHES_MAX);
        let (takings, to_take) = mpsc::channel(TAKINGS_MAX);
        let attachment =
            Attachment { session: self.session, incarnation: self.incarnation, outbox, over: over.clone() };
        let (welcome, lists) = self.hub.welcome(self.session);
        attachment.send(vec![welcome]);
        let routes: BTreeSet<RouteId> = hello.routes.into_iter().collect();
        for route in &routes {
            let opened = Command::Opened { farm: self.farm.clone(), attachment: attachment.clone() };
            if let Err(ended) = self.tell(route, opened).await {
                return ended;
            }
        }
        let ended = tokio::select! {
            ended = self.listen(end.receiver, &routes, rest, takings) => ended,
            () = self.speak(queued, &end.sender) => Ended::Stream(Closed::Ended),
            ended = self.take(to_take, &attachment) => ended,
            () = tell_peers(lists, &attachment) => Ended::Stopped,
            () = over.cancelled() => Ended::Superseded,
            () = self.hub.routes_done() => Ended::Stopped,
        };
        for route in &routes {
            // A route that does not hear this is starting again, and asks who is attached.
            let _ = self.tell(route, Command::Closed { farm: self.farm.clone(), session: self.session }).await;
        }
        ended
    }

    async fn tell(&self, route: &RouteId, command: Command) -> Result<(), Ended> {
        let deaf = || Ended::Deaf(route.clone());
        let tell = async { self.hub.route(route).await.send(command).await };
        tokio::time::timeout(HEARING_MAX, tell).await.map_err(|_| deaf())?.map_err(|_| deaf())
    }

    async fn listen(
        &self,
        mut receiver: Receiver<FarmMessage>,
        routes: &BTreeSet<RouteId>,
        rest: Vec<FarmMessage>,
        takings: mpsc::Sender<Taking>,
    ) -> Ended {
        let mut sorter = Sorter { routes, links: HashMap::new(), skipped: 0, refused: 0 };
        let mut batch = rest;
        loop {
            if let Err(ended) = self.sort(&mut sorter, batch, &takings).await {
                return ended;
            }
            self.hub.metrics.skipped.add(receiver.skipped() - sorter.skipped);
            sorter.skipped = receiver.skipped();
            batch = match receiver.next().await {
                Ok(batch) => batch,
                Err(closed) => return closed.into(),
            };
        }
    }

    async fn sort(
        &self,
        sorter: &mut Sorter<'_>,
        batch: Vec<FarmMessage>,
        takings: &mpsc::Sender<Taking>,
    ) -> Result<(), Ended> {
        let mut words: HashMap<RouteId, Vec<FarmMessage>> = HashMap::new();
        for message in batch {
            let full = |_| Ended::TooManyTakings;
            match message {
                FarmMessage::Receipt(receipt) => takings.try_send(Taking::Receipt(receipt)).map_err(full)?,
                FarmMessage::Inbound(inbound) => takings.try_send(Taking::Inbound(inbound)).map_err(full)?,
                other => sorter.sort(other, &mut words),
            }
        }
        self.hub.metrics.refused.add(std::mem::take(&mut sorter.refused));
        for (route, messages) in words {
            let heard = Command::Heard { farm: self.farm.clone(), session: self.session, messages };
            self.tell(&route, heard).await?;
        }
        Ok(())
    }

    /// Sends what routes have queued, and each data key before the first lease that needs it. Ends when the farm is gone.
    async fn speak(&self, mut queued: mpsc::Receiver<Vec<RouterMessage>>, sender: &Sender<RouterMessage>) {
        let mut sent = HashSet::new();
        let mut batches = Vec::new();
        while queued.recv_many(&mut batches, OUTBOX_BATCHES_MAX).await > 0 {
            let mut out = Vec::new();
            for message in batches.drain(..).flatten() {
                if let RouterMessage::Lease(lease) = &message {
                    out.extend(self.key_for(&lease.envelope, &mut sent));
                }
                out.push(message);
            }
            if sender.send(out).await.is_err() {
                return;
            }
        }
    }

    fn key_for(&self, envelope: &Bytes, sent: &mut HashSet<Bytes>) -> Option<RouterMessage> {
        let id = slip::data_key(envelope);
        if sent.contains(&id) {
            return None;
        }
        let text = std::str::from_utf8(&id).ok()?;
        // A key that is not there was destroyed, or is not here yet: the farm says that it can't open the content.
        let secret = self.hub.directory().secret(text)?;
        let key = SessionKey { id: text.to_owned(), secret };
        // A copy: a slice would keep the whole envelope in memory.
        sent.insert(Bytes::copy_from_slice(&id));
        Some(RouterMessage::Key(key))
    }

    /// Makes receipts and inbound messages durable, then tells the farm.
    async fn take(&self, mut to_take: mpsc::Receiver<Taking>, attachment: &Attachment) -> Ended {
        if let Err(error) = self.hub.bus.create(&Lane::Outcomes).await {
            return Ended::Append(error);
        }
        let mut batch = Vec::new();
        while to_take.recv_many(&mut batch, TAKINGS_BATCH_MAX).await > 0 {
            let numbers = batch.iter().map(Taking::number).collect();
            let entries: Vec<Entry> = batch.drain(..).map(|taking| self.to_entry(taking)).collect();
            loop {
                match self.hub.bus.append(&Lane::Outcomes, entries.clone()).await {
                    Ok(_) => break,
                    Err(BusError::Full { .. }) => tokio::time::sleep(FULL_REST).await,
                    Err(error) => return Ended::Append(error),
                }
            }
            attachment.send(vec![RouterMessage::Taken { numbers }]);
        }
        Ended::Stream(Closed::Ended)
    }

    fn to_entry(&self, taking: Taking) -> Entry {
        let (farm, incarnation) = (self.farm.to_string(), self.incarnation.0.to_be_bytes().to_vec());
        match taking {
            Taking::Receipt(receipt) => {
                self.hub.metrics.receipts.increment();
                let recipient_hash = self.hash(&receipt.recipient);
                let key = partition_key(&receipt.imsi, &recipient_hash);
                let receipt = outcome::Receipt {
                    imsi: receipt.imsi,
                    reference: receipt.reference,
                    recipient_hash,
                    status: receipt.status.into(),
                    network_ms: receipt.network_ms,
                    at_ms: receipt.at_ms,
                    farm,
                    incarnation,
                    number: receipt.number,
                    said: None,
                };
                Entry::new(key, Kind::Receipt(receipt).to_bytes())
            }
            Taking::Inbound(inbound) => {
                self.hub.metrics.inbound.increment();
                let key = partition_key(&inbound.imsi, &[]);
                let mut sealed = outcome::Inbound {
                    imsi: inbound.imsi,
                    link: inbound.link.to_string(),
                    sealed: Bytes::new(),
                    data_key: self.hub.inbound_key.id().to_owned(),
                    at_ms: inbound.at_ms,
                    farm,
                    incarnation,
                    number: inbound.number,
                };
                sealed.sealed = self.hub.inbound_key.seal_bytes(&sealed.binding(), &inbound.tpdu).into();
                Entry::new(key, Kind::Inbound(sealed).to_bytes())
            }
        }
    }

    /// The hash a recipient is found by. What is no E.164 number is hashed as it came: it finds nothing, and shows nothing.
    fn hash(&self, recipient: &str) -> Vec<u8> {
        match Msisdn::parse(recipient) {
            Ok(number) => self.hub.number_key.hash(&number).into(),
            Err(_) => self.hub.number_key.hash_text(recipient).into(),
        }
    }
}

impl Taking {
    fn number(&self) -> u64 {
        match self {
            Taking::Receipt(receipt) => receipt.number,
            Taking::Inbound(inbound) => inbound.number,
        }
    }
}

/// Which word is for which route.
struct Sorter<'a> {
    routes: &'a BTreeSet<RouteId>,
    links: HashMap<LinkName, RouteId>,
    skipped: u64,
    refused: u64,
}

impl Sorter<'_> {
    fn sort(&mut self, message: FarmMessage, words: &mut HashMap<RouteId, Vec<FarmMessage>>) {
        let route = match &message {
            FarmMessage::Answer { partition, .. }
            | FarmMessage::Outdated { partition, .. }
            | FarmMessage::Forgotten { partition, .. }
            | FarmMessage::Report { partition, .. }
            | FarmMessage::Return { partition, .. } => Some(partition.route.clone()),
            FarmMessage::Credit { route, link, .. } => self.link(link.clone(), route.clone()),
            FarmMessage::Recall { link, .. } => self.links.get(link).cloned(),
            FarmMessage::Links(_) => return self.sort_links(message, words),
            FarmMessage::Hello(_) | FarmMessage::Receipt(_) | FarmMessage::Inbound(_) => None,
        };
        match route.filter(|route| self.routes.contains(route)) {
            Some(route) => words.entry(route).or_default().push(message),
            // It has no right to speak of that route, or says hello twice.
            None => self.refused += 1,
        }
    }

    fn sort_links(&mut self, message: FarmMessage, words: &mut HashMap<RouteId, Vec<FarmMessage>>) {
        let FarmMessage::Links(states) = message else { return };
        for state in states {
            match self.link(state.link.clone(), state.route.clone()).filter(|route| self.routes.contains(route)) {
                Some(route) => words.entry(route).or_default().push(FarmMessage::Links(vec![state])),
                None => self.refused += 1,
            }
        }
    }

    fn link(&mut self, link: LinkName, route: RouteId) -> Option<RouteId> {
        if self.links.len() >= LINKS_MAX && !self.links.contains_key(&link) {
            return None;
        }
        self.links.insert(link, route.clone());
        Some(route)
    }
}

/// Tells a farm of replicas that come and go, as long as there is somebody who knows.
async fn tell_peers(mut lists: watch::Receiver<Arc<[Peer]>>, attachment: &Attachment) {
    while lists.changed().await.is_ok() {
        let peers = lists.borrow_and_update().to_vec();
        attachment.send(vec![RouterMessage::Peers { peers }]);
    }
}

/// The partition a farm's word is about, if it is about one.
pub(super) fn partition_of(message: &FarmMessage) -> Option<&PartitionId> {
    match message {
        FarmMessage::Answer { partition, .. }
        | FarmMessage::Outdated { partition, .. }
        | FarmMessage::Forgotten { partition, .. }
        | FarmMessage::Report { partition, .. }
        | FarmMessage::Return { partition, .. } => Some(partition),
        _ => None,
    }
}
