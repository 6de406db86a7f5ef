//! What receipts, notices and HTTP services' reports say, in one set of words. Knows receipts, no lane.

use model::State;
use model::report::{Reported, Said};
use wire::tpdu::{Status, StatusClass};

use super::fetched::VALIDITY_EXPIRED;
use crate::metrics::ReceiptAs;
use crate::outcome::Receipt;

/// What a receipt says of its part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// A service's word, or a status that means the same.
    Said(Said),
    /// A later message took its place: final, not delivered and no error (3GPP TS 23.040, 9.2.3.15), so it is not sent again.
    Replaced,
}

impl Word {
    pub(super) fn of(receipt: &Receipt) -> Self {
        if receipt.said.is_some() {
            return Word::Said(receipt.said());
        }
        // Only one octet travels; a larger value is none and is read as a reserved one.
        match Status(u8::try_from(receipt.status).unwrap_or(u8::MAX)).class() {
            StatusClass::Temporary => Word::Said(Said::Underway),
            StatusClass::Delivered => Word::Said(Said::Delivered),
            StatusClass::Replaced => Word::Replaced,
            _ if receipt.status == VALIDITY_EXPIRED => Word::Said(Said::Expired),
            StatusClass::Permanent => Word::Said(Said::Refused),
            StatusClass::TemporaryFinal => Word::Said(Said::Failed),
        }
    }

    /// Whether no other word may take its place.
    pub(super) const fn is_last(self) -> bool {
        !matches!(self, Word::Said(Said::Underway | Said::Sent | Said::Uncertain))
    }

    /// The state a delivery ends in whose last open part is told of so.
    pub(super) const fn state(self) -> Option<State> {
        Some(match self {
            Word::Said(Said::Underway) => return None,
            Word::Said(Said::Delivered) => State::Delivered,
            Word::Said(Said::Sent) => State::Sent,
            Word::Said(Said::Uncertain) => State::Uncertain,
            Word::Said(Said::Expired) => State::Expired,
            Word::Said(Said::Failed | Said::Refused) | Word::Replaced => State::Failed,
        })
    }

    /// How it is counted.
    pub(super) const fn label(self) -> ReceiptAs {
        match self {
            Word::Said(Said::Underway) => ReceiptAs::Temporary,
            Word::Said(Said::Delivered) => ReceiptAs::Delivered,
            Word::Said(Said::Sent | Said::Uncertain) => ReceiptAs::Silent,
            Word::Said(Said::Failed | Said::Refused | Said::Expired) => ReceiptAs::Failed,
            Word::Replaced => ReceiptAs::Replaced,
        }
    }
}

/// A report as the receipt it stands for.
pub(super) fn receipt_of(reported: Reported) -> Receipt {
    let Reported { account, recipient_hash, reference, said, network_ms, at_ms } = reported;
    Receipt { imsi: account, recipient_hash, reference, said: Some(said), network_ms, at_ms, ..Receipt::default() }
}
