//! What comes in over a link, on its way into the journal and up. Deletes and acknowledges nothing: it says what is durable.

use std::pin::Pin;
use std::sync::Arc;

use embedded::EmbeddedError;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::journal::{Arrival, Arrived, News};
use crate::shared::Shared;

/// Writes under way for one link.
pub(crate) const WRITES_MAX: usize = 1024;

type Write<Handle> = Pin<Box<dyn Future<Output = (Handle, Result<Vec<Arrival>, EmbeddedError>)> + Send>>;

/// The writes of one link. A `Handle` is what the link knows an arrival by.
pub(crate) struct Arrivals<Handle> {
    shared: Arc<Shared>,
    writes: FuturesUnordered<Write<Handle>>,
}

impl<Handle: Send + 'static> Arrivals<Handle> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, writes: FuturesUnordered::new() }
    }

    /// Begins to write down what came. With a `tell_by`, a repeat within a day is known.
    ///
    /// # Errors
    /// Too much is under way, or the journal takes no more: it is not kept.
    pub(crate) fn keep(&mut self, news: News, tell_by: Option<&[u8]>, handle: Handle) -> Result<(), EmbeddedError> {
        self.has_room()?;
        let write = self.shared.journal.arrive(news, tell_by, self.shared.now())?;
        self.writes.push(Box::pin(async move {
            let arrived = write.await.map(|arrived| match arrived {
                Arrived::New(arrival) => vec![arrival],
                Arrived::Known => Vec::new(),
            });
            (handle, arrived)
        }));
        Ok(())
    }

    /// Begins to write down receipts that came together, each of them new.
    ///
    /// # Errors
    /// As [`Self::keep`]; none of them is kept.
    pub(crate) fn keep_receipts(&mut self, receipts: Vec<News>, handle: Handle) -> Result<(), EmbeddedError> {
        self.has_room()?;
        let write = self.shared.journal.receive(receipts, self.shared.now())?;
        self.writes.push(Box::pin(async move { (handle, write.await) }));
        Ok(())
    }

    fn has_room(&self) -> Result<(), EmbeddedError> {
        if self.writes.len() < WRITES_MAX { Ok(()) } else { Err(EmbeddedError::Full) }
    }

    /// The next write that ended, and how; what is durable is on its way up then. `None` if none is under way. Can be
    /// cancelled without losing anything.
    pub(crate) async fn next(&mut self) -> Option<(Handle, Result<(), EmbeddedError>)> {
        let (handle, written) = self.writes.next().await?;
        Some((handle, written.map(|arrivals| self.shared.arrived(arrivals))))
    }
}
