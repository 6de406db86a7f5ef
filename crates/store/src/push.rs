//! What change notifications need kept: documents, windows, and what became of notifications. Plain values; knows no engine, and
//! nothing of what is in them.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};

/// How long a notification's row is kept at least.
pub const NOTIFICATION_MS: i64 = 8 * 24 * 60 * 60 * 1_000;

/// The kinds of documents. A kind and an id name one document of a tenant's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DocumentKind {
    /// An account with its devices, by its address.
    Account,
    /// The account a device belongs to, by the device's id.
    DeviceOwner,
    /// The device a number belongs to, by the number's keyed hash in hexadecimal digits.
    NumberOwner,
    /// The account that may have a device, by the device's id.
    DeviceClaim,
    /// The account that may have a device with a number, by the number's keyed hash in hexadecimal digits.
    NumberClaim,
    /// What devices show that speak for themselves, by the device's id.
    DeviceToken,
    /// Which conflict of a device's number the tenant was told of, by the device's id.
    ConflictTold,
    /// A client model, by name.
    ClientModel,
    /// Who may use push, by domain.
    AccessRule,
    /// What was answered under an idempotency key.
    ChangeKey,
    /// A key of the event door, sealed, by its id.
    EventKey,
    /// A number that wants nothing, by its keyed hash in hexadecimal digits.
    OptOut,
    /// Up to where a tenant was asked what changed.
    PullCursor,
}

impl DocumentKind {
    /// What rows call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DocumentKind::Account => "account",
            DocumentKind::DeviceOwner => "device-owner",
            DocumentKind::NumberOwner => "number-owner",
            DocumentKind::DeviceClaim => "device-claim",
            DocumentKind::NumberClaim => "number-claim",
            DocumentKind::DeviceToken => "device-token",
            DocumentKind::ConflictTold => "conflict-told",
            DocumentKind::ClientModel => "client-model",
            DocumentKind::AccessRule => "access-rule",
            DocumentKind::ChangeKey => "change-key",
            DocumentKind::EventKey => "event-key",
            DocumentKind::OptOut => "opt-out",
            DocumentKind::PullCursor => "pull-cursor",
        }
    }

    /// Whether the tenants that have one can be found, by whoever does not know whose it is.
    #[must_use]
    pub const fn is_found_by_id(self) -> bool {
        matches!(self, DocumentKind::NumberOwner)
    }
}

/// A document of a tenant's: opaque here.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Whose.
    pub tenant: TenantId,
    /// What kind.
    pub kind: DocumentKind,
    /// Which of its kind.
    pub id: String,
    /// What is in it.
    pub body: String,
    /// Until when it is kept; it goes some time after. `None`: until it is removed.
    pub until: Option<Timestamp>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} of {}, {} octets)", self.kind.name(), self.tenant, self.body.len())
    }
}

/// What is known of a device that is told of changes: opaque here. By (partition, tenant, account, device).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WindowRow {
    /// The partition of lane `changes` its account is in.
    pub partition: u32,
    /// Whose device.
    pub tenant: TenantId,
    /// Its account.
    pub account: String,
    /// Its id.
    pub device: String,
    /// What is known; empty: nothing, and there is no row.
    pub state: Bytes,
}

/// The right to write a partition's windows: of several that were taken over, the newest wins.
///
/// It is a number that rises with each take-over, and leaves room for the puts of the one before. Numbers are microseconds of the
/// clock or later, since builds that know of no seat write by the clock.
#[derive(PartialEq, Eq, Debug)]
pub struct WindowSeat {
    partition: u32,
    taken: i64,
    puts: i64,
}

/// What a put of windows is done under. Of two that write the same row, the later stamp of the newer seat holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowStamp {
    pub(crate) partition: u32,
    /// The seat's number.
    pub(crate) taken: i64,
    /// The put's own: not below the seat's, and below the next seat's.
    pub(crate) at: i64,
}

impl WindowSeat {
    /// Puts that may be done under one seat; then it is to be taken over anew.
    pub const PUTS_MAX: i64 = 10_000_000;

    /// The seat that follows one of this number (0: there was none), at a time in microseconds.
    pub(crate) fn after(partition: u32, last: i64, now_us: i64) -> Self {
        let taken = now_us.max(last.saturating_add(Self::PUTS_MAX));
        WindowSeat { partition, taken, puts: 0 }
    }

    pub(crate) const fn taken(&self) -> i64 {
        self.taken
    }

    /// What the next put is done under; `None` after [`WindowSeat::PUTS_MAX`] of them.
    pub fn stamp(&mut self) -> Option<WindowStamp> {
        if self.puts >= Self::PUTS_MAX {
            return None;
        }
        let at = self.taken + self.puts;
        self.puts += 1;
        Some(WindowStamp { partition: self.partition, taken: self.taken, at })
    }
}

/// Whose a seat is, among documents: nobody's, since no tenant is called that.
pub(crate) const NOBODY: &str = "-";
/// What kind of document a seat is; its id is the partition, its body the number.
pub(crate) const WINDOW_SEAT: &str = "window-seat";

/// Now, in microseconds: what write timestamps are made of.
pub(crate) fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// How a notification came to be and what became of it: opaque here. By id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotificationRow {
    /// Whose.
    pub tenant: TenantId,
    /// Which: the id of the message that carries it.
    pub id: MessageId,
    /// Until when it is kept; it goes some time after.
    pub until: Timestamp,
    /// What is told of it.
    pub body: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_seat_puts_stands_below_the_next_one() {
        let mut first = WindowSeat::after(2, 0, 1_000);
        let stamps = [first.stamp().unwrap(), first.stamp().unwrap()];
        assert!(stamps[0].at < stamps[1].at);
        // The clock of the next one is behind.
        let mut next = WindowSeat::after(2, first.taken(), 10);
        first.puts = WindowSeat::PUTS_MAX - 1;
        let last = first.stamp().unwrap();
        assert_eq!(first.stamp(), None);
        assert!(last.at < next.stamp().unwrap().at);
        let later = 1_795_257_000_000_000;
        assert_eq!(WindowSeat::after(2, next.taken(), later).taken(), later, "not ahead of the clock for long");
    }
}
