//! How long a retry waits. Knows a delivery's attempts, no clock.

use model::record::Header;

use crate::Config;

const DOUBLINGS_MAX: u32 = 20;

/// Milliseconds until a delivery whose every candidate failed is tried again: the first pause, doubled with each
/// attempt, up to the longest; then up to a quarter more, fixed per delivery, so that what failed together does not come
/// back together.
#[must_use]
pub fn pause_ms(config: &Config, header: &Header) -> i64 {
    let doublings = header.attempt.saturating_sub(1).min(DOUBLINGS_MAX);
    let pause = config.retry_ms_first.saturating_mul(1 << doublings).min(config.retry_ms_max.max(1));
    let spread = header.message.last().map_or(0, |byte| u64::from(*byte));
    i64::try_from(pause.saturating_add(pause / 1024 * spread)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempt: u32, last: u8, expected: i64) {
        let config = Config { retry_ms_first: 10_240, retry_ms_max: 81_920, ..Config::default() };
        let header = Header { attempt, message: vec![last; 16], ..Header::default() };
        assert_eq!(pause_ms(&config, &header), expected);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_spread() {
        check(1, 0, 10_240);
        check(2, 0, 20_480);
        check(4, 0, 81_920);
        check(9, 0, 81_920);
        check(u32::MAX, 0, 81_920);
        check(1, 255, 10_240 + 2_550);
    }
}
