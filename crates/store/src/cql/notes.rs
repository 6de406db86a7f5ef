//! Notes say which partitions of a table there are, for whoever has to go through them. When one may be removed is here. No I/O.
//!
//! A note is written before, or together with, the rows it stands for, and removed when none was found. Rows may come at that
//! very moment; so the removal takes a write time before the look, and a note that was just written outlives it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much younger than a look a note has to be to outlive it: longer than a write may take and clocks may differ.
const LEAD: Duration = Duration::from_secs(60);

/// The write time (microseconds) at which notes are removed after a look that began then.
pub(super) fn written_before(look: SystemTime) -> i64 {
    let before = look.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(LEAD);
    i64::try_from(before.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_written_at_the_moment_of_the_look_stays() {
        let look = UNIX_EPOCH + Duration::from_secs(1_795_257_000);
        assert_eq!(written_before(look), (1_795_257_000 - 60) * 1_000_000);
        assert_eq!(written_before(UNIX_EPOCH), 0);
    }
}
