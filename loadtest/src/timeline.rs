//! What happened in each second of a run.
//!
//! Knows counts and times; must not know what was sent.

use hdrhistogram::Histogram;

use crate::send::LATENCY_MICROS_MAX;

/// What comes later is counted in the last second there is.
const SECONDS_MAX: u64 = 3_600;

/// Second by second from the beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) seconds: Vec<Second>,
}

/// One second.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    /// Messages whose acceptance came in it.
    pub(crate) accepted: u64,
    /// Messages whose refusal for now came in it.
    pub(crate) refused: u64,
    /// Microseconds that accepted calls took that were due in it.
    pub(crate) latency: Histogram<u32>,
}

impl Timeline {
    pub(crate) fn at(&mut self, second: u64) -> &mut Second {
        let second = second.min(SECONDS_MAX) as usize;
        if second >= self.seconds.len() {
            self.seconds.resize_with(second + 1, Second::new);
        }
        &mut self.seconds[second]
    }
}

impl Second {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 2).expect("the bounds are in order");
        Self { accepted: 0, refused: 0, latency }
    }

    pub(crate) fn took(&mut self, micros: u64) {
        self.latency.saturating_record(micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_come_into_being_as_they_are_needed() {
        let mut timeline = Timeline::default();
        timeline.at(2).refused = 3;
        timeline.at(0).accepted = 1;
        timeline.at(2).took(1_000);
        let counts: Vec<_> = timeline.seconds.iter().map(|second| (second.accepted, second.refused)).collect();
        assert_eq!(counts, [(1, 0), (0, 0), (0, 3)]);
        assert_eq!(timeline.seconds[2].latency.len(), 1);
        timeline.at(u64::MAX).accepted = 1;
        assert_eq!(timeline.seconds.len() as u64, SECONDS_MAX + 1);
    }
}
