//! Where rows are: which partition of a table a message, a minute or a reference belongs to. No I/O.

use model::{DeliveryId, MessageId, TenantId, Timestamp};

/// Shares of a tenant's messages of a minute: partitions that are written at the same time.
pub(super) const SHARDS: u128 = 8;
/// Slots a lane partition's open references are spread over.
pub(super) const SLOTS: i32 = 16;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A partition of table `timeline`: a share of a tenant's messages accepted in a minute. At 10,000 messages a second of one
/// tenant and five rows of 200 bytes each it holds 75 MB, the size partitions should stay under.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    /// The first moment of the minute.
    pub(super) minute: i64,
    /// Which share.
    pub(super) shard: i32,
    /// Whose messages.
    pub(super) tenant: TenantId,
}

impl Place {
    /// Where a tenant's message that was accepted then is.
    pub(super) fn of(tenant: &TenantId, message: MessageId, accepted_ms: i64) -> Self {
        // The low bits of an id are random, however it was made.
        let shard = i32::try_from(message.0 % SHARDS).expect("there are few shards");
        Place { minute: minute(accepted_ms), shard, tenant: tenant.clone() }
    }

    /// The first moment of the hour.
    pub(super) fn hour(&self) -> i64 {
        hour(self.minute)
    }
}

/// The first moment of the minute.
pub(super) fn minute(ms: i64) -> i64 {
    ms.div_euclid(MINUTE_MS).saturating_mul(MINUTE_MS)
}

/// The first moment of the hour.
pub(super) fn hour(ms: i64) -> i64 {
    ms.div_euclid(HOUR_MS).saturating_mul(HOUR_MS)
}

/// When a fresh id was made, if it looks like one (RFC 9562, 5.7). A derived id may look so by chance, one in 64.
pub(super) fn made_at(message: MessageId) -> Option<Timestamp> {
    let (version, variant) = ((message.0 >> 76) & 0xf, (message.0 >> 62) & 0b11);
    let ms = i64::try_from(message.0 >> 80).expect("48 bits fit");
    (version == 7 && variant == 0b10).then_some(Timestamp(ms))
}

/// Whether a message's id alone tells where it is.
pub(super) fn is_told_by_id(message: MessageId, accepted_ms: i64) -> bool {
    made_at(message).is_some_and(|made| minute(made.0) == minute(accepted_ms))
}

/// The month a moment is in, as `2026-11`.
pub(super) fn month(ms: i64) -> String {
    // Days to civil date (Howard Hinnant, chrono-compatible low-level date algorithms).
    let days = ms.div_euclid(24 * HOUR_MS) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}")
}

/// The slot of a reference.
pub(super) fn slot(imsi: &str, recipient_hash: &[u8; 16], reference: u32) -> i32 {
    // The hash is keyed and even; the rest only tells references of one recipient apart.
    let mixed = imsi.bytes().fold(reference, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(byte.into()));
    let head = u32::from_be_bytes([recipient_hash[0], recipient_hash[1], recipient_hash[2], recipient_hash[3]]);
    i32::try_from((mixed ^ head).wrapping_mul(0x9e37_79b9) >> 28).expect("four bits fit")
}

/// Reads a delivery's id as rows have it.
pub(super) fn delivery(text: &str) -> Option<DeliveryId> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_civil() {
        for (ms, wanted) in [
            (0, "1970-01"),
            (951_782_400_000, "2000-02"),
            (951_868_800_000, "2000-03"),
            (1_795_257_000_000, "2026-11"),
            (1_798_761_599_999, "2026-12"),
            (1_798_761_600_000, "2027-01"),
        ] {
            assert_eq!(month(ms), wanted);
        }
    }

    #[test]
    fn a_fresh_id_tells_its_minute() {
        let at = Timestamp(1_795_257_296_045);
        let fresh = MessageId::fresh(at, [7; 10]);
        assert_eq!(made_at(fresh), Some(at));
        assert!(is_told_by_id(fresh, at.0) && !is_told_by_id(fresh, at.0 + 60_000));
        assert_eq!(made_at(MessageId(u128::MAX)), None);
    }

    #[test]
    fn slots_are_few_and_used() {
        let used: std::collections::BTreeSet<i32> = (0..256)
            .map(|n| slot("001010000000001", &[7; 16], n))
            .inspect(|slot| assert!((0..SLOTS).contains(slot)))
            .collect();
        assert!(used.len() > 8, "{used:?}");
    }
}
