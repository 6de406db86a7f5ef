//! The loop of one partition of lane `changes`: reads, takes in, tells when it is time. Knows the order of things, no rule.

use std::time::Duration;

use bus::{Bus, Group};
use model::Lane;
use model::keyring::MasterKey;
use model::seal::NumberKey;
use runtime::Stop;
use store::{Store, WindowSeat};

use super::book::Book;
use super::roster::Roster;
use crate::RouterError;
use crate::desk::{Desk, Source};
use crate::routing::Loads;

/// Takes changes out of lane `changes`.
pub const NOTIFIERS: Group = Group::new("notifier");

/// How long the loop sleeps at most: what a clock that was set makes due is seen after this.
const LOOK: Duration = Duration::from_secs(1);
/// Rows written in one call.
const ROWS_MAX: usize = 2_000;

/// What numbers are found by.
#[derive(Clone)]
pub struct Keys {
    pub(super) numbers: NumberKey,
}

impl Keys {
    /// The keys of an installation.
    #[must_use]
    pub fn of(master: &MasterKey) -> Self {
        Keys { numbers: master.number_key() }
    }
}

/// The notifier of one partition of lane `changes`.
pub struct Notifier<B, S, L> {
    pub(super) desk: Desk<B, S, L>,
    pub(super) keys: Keys,
    pub(super) source: Source,
    /// What rows are written under, from the start of its run.
    seat: Option<WindowSeat>,
    pub(super) book: Book,
    pub(super) roster: Roster<S>,
}

impl<B: Bus, S: Store, L: Loads> Notifier<B, S, L> {
    /// The notifier of a partition.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, keys: Keys, partition: u32) -> Self {
        let source = Source { group: NOTIFIERS, lane: Lane::Changes, partition };
        let book = Book::new(partition, desk.metrics.notify_windows_open.clone());
        let roster = Roster::new(desk.store.clone());
        Notifier { desk, keys, source, seat: None, book, roster }
    }

    /// Works until the stop begins. What was not written is taken from the lane again by the next run; what was made and
    /// perhaps not handed over is handed over again under the same id.
    ///
    /// # Errors
    /// A lane or the store is away; run again.
    pub async fn run(mut self, stop: &Stop) -> Result<(), RouterError> {
        let mut from = self.desk.watermark(&self.source).await?;
        self.load().await?;
        loop {
            while self.flush(from).await? {
                if stop.has_begun() {
                    return Ok(());
                }
            }
            let read = tokio::time::timeout(self.sleep(), self.desk.read(&self.source, from, stop)).await;
            let Some(reads) = read.unwrap_or_else(|_| Ok(Some(Vec::new())))? else { return Ok(()) };
            if let Some(last) = reads.last() {
                let up_to = last.offset + 1;
                self.take(reads, up_to).await?;
                from = up_to;
            }
        }
    }

    /// Reads the rows, after whoever wrote them before can change no row that is written here.
    async fn load(&mut self) -> Result<(), RouterError> {
        self.seat = Some(self.desk.store.windows_take(self.source.partition).await.map_err(RouterError::Notify)?);
        let rows = self.desk.store.windows(self.source.partition).await.map_err(RouterError::Notify)?;
        self.book.load(rows, self.desk.clock.now()).map_err(RouterError::NotifyRow)?;
        self.write().await
    }

    /// Writes the rows of all devices of which something else is known.
    pub(super) async fn write(&mut self) -> Result<(), RouterError> {
        let mut rows = self.book.take_changed();
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(ROWS_MAX));
            let stamp = self.seat.as_mut().and_then(WindowSeat::stamp).ok_or(RouterError::NotifySeat)?;
            self.desk.store.windows_put(stamp, rows).await.map_err(RouterError::Notify)?;
            rows = rest;
        }
        Ok(())
    }

    fn sleep(&self) -> Duration {
        let next = self.book.next().map(|next| next.since_ms(self.desk.clock.now()).max(0));
        next.map_or(LOOK, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LOOK))
    }
}
