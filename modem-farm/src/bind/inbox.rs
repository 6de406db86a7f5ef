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
    writes: Arrivals<Option<Arrival>>,
}

impl Inbox {
    pub(super) fn new(link: LinkName, supplier: Arc<Supplier>, shared: Arc<Shared>) -> Self {
        Self { link, supplier, writes: Arrivals::new(shared.clone()), shared }
    }

    /// Takes what came. An answer is given at once only where nothing is to be written.
    pub(super) fn take(&mut self, arrival: Arrival, message: &Message) -> Option<Verdict> {
        let news = if smpp::is_receipt(message) { self.receipt(message) } else { self.inbound(message) };
        let Some(mut news) = news else {
            self.shared.metrics.unreadable.increment();
            return Some(Verdict::Unreadable);
        };
        let last = news.pop()?;
        for (news, handle) in news.into_iter().map(|news| (news, None)).chain([(last, Some(arrival))]) {
            if let Err(error) = self.writes.keep(news, None, handle) {
                return Some(self.not_now(&error));
            }
        }
        None
    }

    fn receipt(&self, message: &Message) -> Option<Vec<News>> {
        self.shared.metrics.receipts.increment();
        let receipt = match self.supplier.receipts.read(message) {
            Ok(receipt) => receipt,
            Err(error) => {
                tracing::warn!(link.name = %self.link, %error, "a receipt cannot be read");
                return None;
            }
        };
        Some(vec![News::Receipt {
            imsi: self.supplier.config.name.to_string(),
            reference: receipt.reference,
            recipient: receipt.recipient,
            status: receipt.status.0,
            network_ms: receipt.moment.map_or(0, |seconds| seconds.saturating_mul(1000)),
        }])
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
            Ok(tpdus) => Some(tpdus.into_iter().map(news).collect()),
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

    /// The next message that can be answered. Waits for ever when nothing is under way. Can be cancelled without losing
    /// anything.
    pub(super) async fn next_concluded(&mut self) -> (Arrival, Verdict) {
        while let Some((handle, written)) = self.writes.next().await {
            let verdict = match written {
                Ok(()) => Verdict::Kept,
                Err(error) => self.not_now(&error),
            };
            if let Some(arrival) = handle {
                return (arrival, verdict);
            }
        }
        std::future::pending().await
    }

    /// Waits for the writes that are under way.
    pub(super) async fn finish(&mut self) {
        while self.writes.next().await.is_some() {}
    }
}
