//! The middle of the farm: leads the lease machine, with the journal on one side, links and routers on the others.
//! Decides nothing the machine decides; writes and sends what it says, in its order.

mod links;
mod routers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded::EmbeddedError;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use lease::farm::{FarmEvent, JournalWrite, WriteId};
use lease::{Attempt, Farm, Now};
use model::{LinkName, RouterName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::courier::{Intent, Word};
use crate::credit::Credit;
use crate::error::FarmError;
use crate::journal::Entry;
use crate::peer::{FromRouter, Peers, StreamId};
use crate::shared::Shared;
use links::Seat;
use routers::{Router, Stream};

/// Words taken at once: what comes of them shares one write.
const BATCH_MAX: usize = 1024;
/// Writes of the journal under way: one being synced, and one that gathers behind it.
const WRITES_MAX: usize = 2;
/// A write nobody waits for is done after so long at the latest.
const LAZY_WRITE: Duration = Duration::from_millis(50);
/// How often links that idle are looked after.
const LOOK: Duration = Duration::from_millis(250);
/// How long the last words to the routers may take at a stop.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The hub of one node.
pub(crate) struct Hub {
    shared: Arc<Shared>,
    machine: Farm,
    credit: Credit,
    seats: BTreeMap<LinkName, Seat>,
    routers: BTreeMap<RouterName, Router>,
    streams: BTreeMap<StreamId, Stream>,
    peers: Peers,
    /// Parts whose intent is being written.
    intents: BTreeMap<(Attempt, u32), Intent>,
    /// Which link holds which lease, begun or not.
    in_hand: BTreeMap<Attempt, LinkName>,
    unwritten: Unwritten,
    writing: FuturesOrdered<BoxFuture<'static, Written>>,
    rereads: bool,
}

/// How a write of the journal ended, and the last of the machine's writes in it.
type Written = (Option<WriteId>, Result<(), EmbeddedError>);

/// What the journal has not been given yet.
#[derive(Default)]
struct Unwritten {
    entries: Vec<Entry>,
    last: Option<WriteId>,
    urgent: bool,
    since: Option<Instant>,
}

/// Everything the hub listens to.
pub(crate) struct Ears {
    pub(crate) words: mpsc::Receiver<Word>,
    pub(crate) routers: mpsc::Receiver<FromRouter>,
}

impl Hub {
    pub(crate) fn new(shared: Arc<Shared>, machine: Farm, peers: Peers) -> Self {
        let mut credit = Credit::default();
        for link in &shared.links {
            credit.add_link(link.name.clone(), link.route.clone(), link.window);
        }
        Self {
            shared,
            machine,
            credit,
            seats: BTreeMap::new(),
            routers: BTreeMap::new(),
            streams: BTreeMap::new(),
            peers,
            intents: BTreeMap::new(),
            in_hand: BTreeMap::new(),
            unwritten: Unwritten::default(),
            writing: FuturesOrdered::new(),
            rereads: false,
        }
    }

    /// Works until all links are done after a stop, then says the last words.
    ///
    /// # Errors
    /// The journal failed: what it holds is unknown, and only a restart reads it.
    pub(crate) async fn run(mut self, mut ears: Ears, hang_up: CancellationToken) -> Result<(), FarmError> {
        let mut look = tokio::time::interval(LOOK);
        let (mut words, mut linked) = (Vec::new(), true);
        let shared = self.shared.clone();
        while linked {
            let wake = self.wake();
            tokio::select! {
                count = ears.words.recv_many(&mut words, BATCH_MAX) => {
                    linked = count > 0;
                    words.drain(..).for_each(|word| self.hear_link(word));
                }
                Some(heard) = ears.routers.recv() => self.hear_router(heard),
                Some(written) = self.writing.next() => self.written(written)?,
                () = shared.outbox.filled.notified() => {}
                () = tokio::time::sleep_until(wake.into()) => self.machine.handle_timeout(self.now()),
                _ = look.tick() => self.look_after_links(),
            }
            while let Ok(heard) = ears.routers.try_recv() {
                self.hear_router(heard);
            }
            self.settle().await?;
        }
        self.say_last_words(&mut ears).await?;
        hang_up.cancel();
        Ok(())
    }

    /// Does all that follows from what was heard.
    async fn settle(&mut self) -> Result<(), FarmError> {
        while let Some(event) = self.machine.poll_event() {
            self.act(event);
        }
        self.gather();
        self.write()?;
        if std::mem::take(&mut self.rereads) {
            let again = self.shared.journal.arrivals().await.map_err(FarmError::Journal)?;
            self.shared.outbox.add(again);
        }
        self.send();
        Ok(())
    }

    fn act(&mut self, event: FarmEvent) {
        match event {
            FarmEvent::Deliver(lease) => self.deliver(lease),
            FarmEvent::Drop { attempt, .. } => self.let_go(attempt),
            FarmEvent::MayBegin { attempt, part } => self.may_begin(attempt, part),
        }
    }

    /// Collects what the machine wants written, with what goes with it.
    fn gather(&mut self) {
        while let Some((id, write)) = self.machine.poll_write() {
            self.unwritten.last = Some(id);
            self.unwritten.urgent |= write.is_urgent();
            self.unwritten.since.get_or_insert_with(Instant::now);
            self.gather_write(write);
        }
    }

    fn gather_write(&mut self, write: JournalWrite) {
        let entries = &mut self.unwritten.entries;
        match write {
            JournalWrite::Epoch(kept) => entries.push(Entry::Epoch(kept)),
            JournalWrite::Begun { partition, attempt, part, .. } => {
                let Some(intent) = self.intents.get_mut(&(attempt, part)) else { return };
                if part > 0 {
                    let references = std::mem::take(&mut intent.references);
                    return entries.push(Entry::PartBegun { attempt, references });
                }
                entries.extend(intent.spent.take());
                entries.push(Entry::Begun { partition, attempt, by: intent.by.clone() });
                let references = intent.references.clone();
                if !references.is_empty() {
                    entries.push(Entry::PartBegun { attempt, references });
                }
            }
            JournalWrite::Ended { attempt, outcome } => entries.push(Entry::Ended { attempt, outcome }),
            JournalWrite::Forget { attempts } => entries.push(Entry::Forget { attempts }),
        }
    }

    /// Hands the journal what has gathered, unless enough is under way or nobody waits for it.
    fn write(&mut self) -> Result<(), FarmError> {
        let lazy = !self.unwritten.urgent && self.unwritten.since.is_none_or(|since| since.elapsed() < LAZY_WRITE);
        if self.unwritten.entries.is_empty() || lazy || self.writing.len() >= WRITES_MAX {
            return Ok(());
        }
        let Unwritten { entries, last, .. } = std::mem::take(&mut self.unwritten);
        let written = self.shared.journal.write(entries)?;
        self.writing.push_back(Box::pin(async move { (last, written.await) }));
        Ok(())
    }

    fn written(&mut self, (last, written): Written) -> Result<(), FarmError> {
        written?;
        if let Some(last) = last {
            self.machine.synced(last);
        }
        Ok(())
    }

    /// When something is due without anybody speaking.
    fn wake(&self) -> Instant {
        let lazy = self.unwritten.since.map(|since| since + LAZY_WRITE);
        let full = self.routers.values().any(Router::is_full).then(|| Instant::now() + routers::FULL_PAUSE);
        let far = Instant::now() + Duration::from_secs(60);
        [lazy, full, self.machine.poll_timeout()].into_iter().flatten().min().unwrap_or(far).min(far)
    }

    /// The links are done: what they said is written, told, and acknowledged if that is quick.
    async fn say_last_words(&mut self, ears: &mut Ears) -> Result<(), FarmError> {
        let until = tokio::time::Instant::now() + LAST_WORDS;
        loop {
            self.unwritten.urgent = true;
            self.settle().await?;
            let told = self.machine.journal_count() == 0 && self.shared.outbox.len() == 0;
            if self.writing.is_empty() && self.unwritten.entries.is_empty() && (told || self.routers.is_empty()) {
                return Ok(());
            }
            tokio::select! {
                Some(written) = self.writing.next() => self.written(written)?,
                Some(heard) = ears.routers.recv() => self.hear_router(heard),
                () = tokio::time::sleep_until(until) => break,
            }
        }
        while let Some(written) = self.writing.next().await {
            self.written(written)?;
        }
        let (attempts, arrivals) = (self.machine.journal_count(), self.shared.outbox.len());
        tracing::info!(attempts, arrivals, "the journal keeps what no router has acknowledged yet");
        Ok(())
    }

    fn now(&self) -> Now {
        Now { instant: Instant::now(), utc: self.shared.now() }
    }
}

#[cfg(test)]
mod tests;
