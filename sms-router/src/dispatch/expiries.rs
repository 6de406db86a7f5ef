//! When what waits expires: an index, so that nobody need read a lane to find out. Pure.

use std::collections::{BTreeMap, VecDeque};

use lease::record::{Place, Queue};
use model::Timestamp;

/// Places by the second in which they expire, run by run.
#[derive(Default, Debug)]
pub(super) struct Expiries {
    seconds: BTreeMap<i64, [VecDeque<(i64, i64)>; 2]>,
}

impl Expiries {
    pub(super) fn insert(&mut self, expires: Timestamp, place: Place) {
        // Rounded up: nothing expires early.
        let second = expires.0.div_euclid(1000) + i64::from(expires.0.rem_euclid(1000) != 0);
        let runs = &mut self.seconds.entry(second).or_default()[place.queue as usize];
        match runs.back_mut() {
            Some((_, end)) if *end == place.offset => *end += 1,
            _ => runs.push_back((place.offset, place.offset + 1)),
        }
    }

    pub(super) fn take(&mut self, now: Timestamp, max: usize) -> Vec<Place> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(mut entry) = self.seconds.first_entry()
            && entry.key() * 1000 <= now.0
        {
            for (queue, runs) in [Queue::Front, Queue::Bulk].into_iter().zip(entry.get_mut()) {
                take_runs(runs, queue, max, &mut taken);
            }
            if entry.get().iter().all(VecDeque::is_empty) {
                entry.remove();
            }
        }
        taken
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.seconds.keys().next().map(|second| Timestamp(second * 1000))
    }
}

fn take_runs(runs: &mut VecDeque<(i64, i64)>, queue: Queue, max: usize, taken: &mut Vec<Place>) {
    while taken.len() < max
        && let Some((first, end)) = runs.front_mut()
    {
        let stop = (*end).min(*first + i64::try_from(max - taken.len()).unwrap_or(i64::MAX));
        taken.extend((*first..stop).map(|offset| Place { queue, offset }));
        *first = stop;
        if *first == *end {
            runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_when_their_second_is_over_and_once() {
        let mut expiries = Expiries::default();
        for (offset, expires) in [(1, 5_000), (2, 4_001), (3, 9_000), (4, 5_000)] {
            expiries.insert(Timestamp(expires), Place { queue: Queue::Front, offset });
        }
        expiries.insert(Timestamp(5_000), Place { queue: Queue::Bulk, offset: 7 });
        assert_eq!(expiries.next(), Some(Timestamp(5_000)));
        assert_eq!(expiries.take(Timestamp(4_999), 10), []);
        let mut offsets =
            |max| expiries.take(Timestamp(5_000), max).into_iter().map(|it| it.offset).collect::<Vec<_>>();
        assert_eq!([offsets(3), offsets(3), offsets(3)], [vec![1, 2, 4], vec![7], vec![]]);
        assert_eq!(expiries.next(), Some(Timestamp(9_000)));
    }
}
