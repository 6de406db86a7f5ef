//! Which places of a route's lanes need nothing more. Knows stretches of offsets, not why they are settled.

use std::collections::BTreeMap;

use crate::record::{Place, Queue, Stretch};

/// Settled places at or above the watermarks of both lanes, as stretches: few, however many places they hold.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Places {
    front: BTreeMap<i64, i64>,
    bulk: BTreeMap<i64, i64>,
    watermark_front: i64,
    watermark_bulk: i64,
}

impl Places {
    pub(crate) fn contains(&self, place: Place) -> bool {
        let (stretches, watermark) = match place.queue {
            Queue::Front => (&self.front, self.watermark_front),
            Queue::Bulk => (&self.bulk, self.watermark_bulk),
        };
        let last = stretches.range(..=place.offset).next_back();
        place.offset < watermark || last.is_some_and(|(_, end)| place.offset < *end)
    }

    pub(crate) fn insert(&mut self, place: Place) {
        self.insert_stretch(place.queue, place.offset, place.offset + 1);
    }

    /// Joins the stretch with those it touches.
    pub(crate) fn insert_stretch(&mut self, queue: Queue, mut first: i64, mut end: i64) {
        let watermark = self.watermark(queue);
        first = first.max(watermark);
        if first >= end {
            return;
        }
        let stretches = self.stretches_mut(queue);
        while let Some((start, stop)) = stretches.range(..=end).next_back().map(|(a, b)| (*a, *b)) {
            if stop < first {
                break;
            }
            stretches.remove(&start);
            (first, end) = (first.min(start), end.max(stop));
        }
        stretches.insert(first, end);
    }

    /// Everything below is settled and committed: it need not be remembered one by one.
    pub(crate) fn move_watermark(&mut self, queue: Queue, watermark: i64) {
        match queue {
            Queue::Front => self.watermark_front = self.watermark_front.max(watermark),
            Queue::Bulk => self.watermark_bulk = self.watermark_bulk.max(watermark),
        }
        let stretches = self.stretches_mut(queue);
        while let Some((first, end)) = stretches.first_key_value().map(|(a, b)| (*a, *b)) {
            if first >= watermark {
                break;
            }
            stretches.remove(&first);
            if end > watermark {
                stretches.insert(watermark, end);
                break;
            }
        }
    }

    pub(crate) fn to_stretches(&self) -> impl Iterator<Item = Stretch> + '_ {
        let of = |queue: Queue, stretches: &BTreeMap<i64, i64>| {
            let rows = stretches.iter().map(|(first, end)| Stretch { queue: queue.into(), first: *first, end: *end });
            rows.collect::<Vec<_>>()
        };
        of(Queue::Front, &self.front).into_iter().chain(of(Queue::Bulk, &self.bulk))
    }

    fn watermark(&self, queue: Queue) -> i64 {
        match queue {
            Queue::Front => self.watermark_front,
            Queue::Bulk => self.watermark_bulk,
        }
    }

    fn stretches_mut(&mut self, queue: Queue) -> &mut BTreeMap<i64, i64> {
        match queue {
            Queue::Front => &mut self.front,
            Queue::Bulk => &mut self.bulk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(offset: i64) -> Place {
        Place { queue: Queue::Front, offset }
    }

    #[test]
    fn neighbours_become_one_stretch() {
        let mut places = Places::default();
        for offset in [5, 7, 6, 1, 9] {
            places.insert(front(offset));
        }
        let stretches: Vec<_> = places.to_stretches().map(|s| (s.first, s.end)).collect();
        assert_eq!(stretches, [(1, 2), (5, 8), (9, 10)]);
        for (offset, settled) in [(0, false), (1, true), (2, false), (5, true), (7, true), (8, false), (9, true)] {
            assert_eq!(places.contains(front(offset)), settled, "{offset}");
        }
        assert!(!places.contains(Place { queue: Queue::Bulk, offset: 5 }));
    }

    #[test]
    fn what_is_below_the_watermark_is_settled_and_forgotten() {
        let mut places = Places::default();
        places.insert_stretch(Queue::Front, 2, 10);
        places.move_watermark(Queue::Front, 6);
        assert_eq!(places.to_stretches().map(|s| (s.first, s.end)).collect::<Vec<_>>(), [(6, 10)]);
        places.move_watermark(Queue::Front, 20);
        places.insert(front(15));
        assert_eq!(places.to_stretches().count(), 0);
        assert!(places.contains(front(15)) && !places.contains(front(20)));
    }
}
