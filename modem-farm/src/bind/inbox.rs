//! What a supplier delivers, on its way into the journal and up. Acknowledges nothing: it says what is durable.

use std::sync::Arc;

use embedded::EmbeddedError;
use model::LinkName;
use wire::smpp::{self, Arrival, Message, Verdict};

use super::supplier::Supplier;
use crate::arrivals::Arrivals;
use crate::journal::News;
use crate::shared::Shared;

/// The arrivals of one bind.
pub(super) struct Inbox {
    link: LinkName,
    supplier: Arc<Supplier>,
    shared: Arc<Shared>,
    /// Of a message that becomes several TPDUs only the last one's end answers it: writes are done in order.
    writes: Arrivals<Vec<Arrival>>,
    /// Receipts that came together.
    receipts: Vec<News>,
    /// What answers them.
    receipted: Vec<Arrival>,
}

impl Inbox {
    pub(super) fn new(link: LinkName, supplier: Arc<Supplier>, shared: Arc<Shared>) -> Self {
        let writes = Arrivals::new(shared.clone());
        Self { link, supplier, writes, shared, receipts: Vec::new(), receipted: Vec::new() }
    }

    /// Takes what came. An answer is given at once only where nothing is to be written. Call [`Self::flush`] when there is no more.
    pub(super) fn take(&mut self, arrival: Arrival, message: &Message) -> Option<Verdict> {
        let taken = match smpp::is_receipt(message) {
            true => self.receipt(message).map(|receipt| self.take_receipt(arrival, receipt)),
            false => self.inbound(message).map(|news| self.take_inbound(arrival, news)),
        };
        match taken {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(self.not_now(&error)),
            None => {
                self.shared.metrics.unreadable.increment();
                Some(Verdict::Unreadable)
            }
        }
    }

    /// Begins to write what came together. What cannot be kept is returned, to come again.
    pub(super) fn flush(&mut self) -> (Vec<Arrival>, Verdict) {
        let (receipts, receipted) = (std::mem::take(&mut self.receipts), std::mem::take(&mut self.receipted));
        if receipts.is_empty() {
            return (receipted, Verdict::Kept);
        }
        match self.writes.keep_receipts(receipts, receipted.clone()) {
            Ok(()) => (Vec::new(), Verdict::Kept),
            Err(error) => (receipted, self.not_now(&error)),
        }
    }

    fn take_receipt(&mut self, arrival: Arrival, receipt: News) -> Result<(), EmbeddedError> {
        self.receipts.push(receipt);
        self.receipted.push(arrival);
        Ok(())
    }

    fn take_inbound(&mut self, arrival: Arrival, mut news: Vec<News>) -> Result<(), EmbeddedError> {
        let Some(last) = news.pop() else { return Ok(()) };
        let parts = news.into_iter().map(|news| (news, Vec::new()));
        parts.chain([(last, vec![arrival])]).try_for_each(|(news, handle)| self.writes.keep(news, None, handle))
    }

    fn receipt(&self, message: &Message) -> Option<News> {
        self.shared.metrics.receipts.increment();
        let receipt = match self.supplier.receipts.read(message) {
            Ok(receipt) => receipt,
            Err(error) => {
                tracing::warn!(link.name = %self.link, %error, "a receipt cannot be read");
                return None;
            }
        };
        Some(News::Receipt {
            imsi: self.supplier.config.name.to_string(),
            reference: receipt.reference,
            recipient: receipt.recipient,
            status: receipt.status.0,
            network_ms: receipt.moment.map_or(0, |seconds| seconds.saturating_mul(1000)),
        })
    }

    /// A repeat cannot be told from a second message of the same words: the protocol gives messages no time and no name.
    fn inbound(&self, message: &Message) -> Option<Vec<News>> {
        self.shared.metrics.inbound.increment();
        let config = &self.supplier.config;
        let now_seconds = self.shared.now().0.div_euclid(1000);
        let news = |tpdu: Vec<u8>| News::Inbound {
            imsi: config.name.to_string(),
            link: self.link.clone(),
            tpdu: bytes::Bytes::from(tpdu),
        };
        match smpp::tpdu_of(message, config.coding(), &config.country_code, now_seconds) {
            Ok(tpdus) => Some(tpdus.into_iter().map(news).collect::<Vec<_>>()).filter(|news| !news.is_empty()),
            Err(error) => {
                tracing::warn!(link.name = %self.link, %error, "a message cannot be read");
                None
            }
        }
    }

    fn not_now(&self, error: &EmbeddedError) -> Verdict {
        tracing::error!(link.name = %self.link, %error, "what came in could not be written down and is to come again");
        Verdict::NotNow
    }

    /// The next messages that can be answered. Waits for ever when nothing is under way. Can be cancelled without losing
    /// anything.
    pub(super) async fn next_concluded(&mut self) -> (Vec<Arrival>, Verdict) {
        while let Some((handle, written)) = self.writes.next().await {
            let verdict = match written {
                Ok(()) => Verdict::Kept,
                Err(error) => self.not_now(&error),
            };
            if !handle.is_empty() {
                return (handle, verdict);
            }
        }
        std::future::pending().await
    }

    /// Waits for the writes that are under way.
    pub(super) async fn finish(&mut self) {
        while self.writes.next().await.is_some() {}
    }
}
