//! What a modem says unasked, on its way into the journal and up. Deletes nothing: it says when something is durable.

use std::sync::Arc;

use embedded::EmbeddedError;
use model::LinkName;
use wire::at::Slot;
use wire::tpdu::StatusReport;

use crate::account::Account;
use crate::arrivals;
use crate::journal::News;
use crate::letter::RecipientKey;
use crate::shared::Shared;

/// The arrivals of one modem.
pub(super) struct Arrivals {
    link: LinkName,
    shared: Arc<Shared>,
    /// What exceeds it stays in the modem, or is lost where the modem does not store: counted.
    writes: arrivals::Arrivals<Option<Slot>>,
}

impl Arrivals {
    pub(super) fn new(link: LinkName, shared: Arc<Shared>) -> Self {
        Self { link, writes: arrivals::Arrivals::new(shared.clone()), shared }
    }

    /// Takes a status report. Only a stored one can come twice.
    pub(super) fn report(&mut self, imsi: &str, card: Option<&Account>, tpdu: &[u8], slot: Option<Slot>) {
        let report = match StatusReport::decode(tpdu) {
            Ok(report) => report,
            Err(error) => {
                self.shared.metrics.unreadable.increment();
                return tracing::warn!(modem.id = %self.link, %error, "a status report cannot be read");
            }
        };
        let recipient = report.recipient.to_text();
        if let (true, Some(card)) = (report.status.is_final(), card) {
            card.closed(report.reference, &RecipientKey::of(&recipient));
        }
        let news = News::Receipt {
            imsi: imsi.to_owned(),
            reference: report.reference.into(),
            recipient,
            status: report.status.0,
            network_ms: report.discharge_time.unix_seconds().map_or(0, |seconds| seconds.saturating_mul(1000)),
        };
        self.shared.metrics.receipts.increment();
        self.write(news, slot.map(|_| tpdu), slot);
    }

    /// Takes a message from a handset. The network repeats one whose acknowledgement it did not hear.
    pub(super) fn inbound(&mut self, imsi: &str, tpdu: Vec<u8>, slot: Option<Slot>) {
        let tpdu = bytes::Bytes::from(tpdu);
        let news = News::Inbound { imsi: imsi.to_owned(), link: self.link.clone(), tpdu: tpdu.clone() };
        self.shared.metrics.inbound.increment();
        self.write(news, Some(&tpdu), slot);
    }

    fn write(&mut self, news: News, tell_by: Option<&[u8]>, slot: Option<Slot>) {
        if let Err(error) = self.writes.keep(news, tell_by, slot) {
            self.lost(slot, &error);
        }
    }

    fn lost(&self, slot: Option<Slot>, error: &EmbeddedError) {
        if slot.is_none() {
            self.shared.metrics.arrivals_lost.increment();
        }
        tracing::error!(modem.id = %self.link, stored = slot.is_some(), %error, "what came in could not be written down");
    }

    /// The next slot whose content is durable, and up on its way. Waits for ever when nothing is under way. Can be cancelled
    /// without losing anything.
    pub(super) async fn next_durable(&mut self) -> Option<Slot> {
        while let Some((slot, written)) = self.writes.next().await {
            match written {
                Ok(()) if slot.is_some() => return slot,
                Ok(()) => {}
                Err(error) => self.lost(slot, &error),
            }
        }
        std::future::pending().await
    }

    /// Waits for the writes that are under way.
    pub(super) async fn finish(&mut self) {
        while let Some((slot, written)) = self.writes.next().await {
            if let Err(error) = written {
                self.lost(slot, &error);
            }
        }
    }
}
