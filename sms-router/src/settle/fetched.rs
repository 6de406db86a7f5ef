//! What gateways tell of messages that phones fetch there, in the settler's terms. Knows receipts, no lane.

use model::fetch::{ACCOUNT, End, Fetched};

use super::book::Waiting;
use crate::outcome::Receipt;

/// How long a phone may take to fetch what it began to fetch in time.
pub(super) const FETCH_MS_MAX: i64 = 5 * 60 * 1_000;

/// TP-ST: the recipient has it; the recipient does not want it (3GPP TS 23.040, 9.2.3.15).
const RECEIVED: u32 = 0x00;
const REJECTED: u32 = 0x42;
/// TP-ST: the network gave up when the message's time was over (same clause).
pub(super) const VALIDITY_EXPIRED: u32 = 0x46;

/// Whether somebody has to come for what a delivery is a notice of.
pub(super) fn is_awaited(waiting: &Waiting) -> bool {
    waiting.parts.first().is_some_and(|(_, key)| &*key.imsi == ACCOUNT)
}

/// What is told of a message, as the receipt it stands for.
pub(super) fn receipt_of(fetched: &Fetched) -> Receipt {
    let status = match fetched.end() {
        End::Fetched => RECEIVED,
        End::Rejected => REJECTED,
    };
    let (imsi, recipient_hash) = (ACCOUNT.to_owned(), fetched.recipient_hash.clone());
    Receipt { imsi, recipient_hash, reference: fetched.reference, status, at_ms: fetched.at_ms, ..Receipt::default() }
}
