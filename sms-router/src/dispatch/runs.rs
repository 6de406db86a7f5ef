//! Offsets of one tenant in one lane, run by run: an index that is small while neighbours belong to one tenant. Pure.

use std::collections::VecDeque;

/// Rising offsets as runs.
#[derive(Default, Debug)]
pub(super) struct Runs {
    /// First offset, and the one after the last; rising, apart.
    runs: VecDeque<(i64, i64)>,
}

impl Runs {
    /// Adds an offset above all that are there. Returns by how many the runs became more.
    pub(super) fn push(&mut self, offset: i64) -> usize {
        match self.runs.back_mut() {
            Some((_, end)) if *end == offset => {
                *end += 1;
                0
            }
            _ => {
                self.runs.push_back((offset, offset + 1));
                1
            }
        }
    }

    /// Takes the first `max` offsets.
    pub(super) fn take(&mut self, max: usize) -> Vec<i64> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some((first, end)) = self.runs.front_mut()
        {
            let stop = (*end).min(*first + i64::try_from(max - taken.len()).unwrap_or(i64::MAX));
            taken.extend(*first..stop);
            *first = stop;
            if *first == *end {
                self.runs.pop_front();
            }
        }
        taken
    }

    /// Takes out one offset; whether it was there.
    pub(super) fn remove(&mut self, offset: i64) -> bool {
        let at = self.runs.partition_point(|(_, end)| *end <= offset);
        let Some((first, end)) = self.runs.get_mut(at).filter(|(first, _)| *first <= offset) else { return false };
        let after = (offset + 1, *end);
        *end = offset;
        if *first == *end {
            self.runs.remove(at);
            if after.0 < after.1 {
                self.runs.insert(at, after);
            }
        } else if after.0 < after.1 {
            self.runs.insert(at + 1, after);
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many runs there are: what the index costs.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(offsets: &[i64]) -> Runs {
        let mut runs = Runs::default();
        for offset in offsets {
            runs.push(*offset);
        }
        runs
    }

    #[test]
    fn neighbours_share_a_run() {
        let mut runs = runs(&[1, 2, 3, 7, 9, 10]);
        assert_eq!(runs.len(), 3);
        assert_eq!(runs.take(4), [1, 2, 3, 7]);
        assert_eq!(runs.take(9), [9, 10]);
        assert!(runs.is_empty());
    }

    #[test]
    fn any_offset_can_be_taken_out_once() {
        for gone in [1, 2, 3, 7, 9, 10] {
            let mut runs = runs(&[1, 2, 3, 7, 9, 10]);
            assert!(runs.remove(gone));
            assert!(!runs.remove(gone));
            let left: Vec<_> = [1, 2, 3, 7, 9, 10].into_iter().filter(|offset| *offset != gone).collect();
            assert_eq!(runs.take(10), left, "without {gone}");
        }
        assert!(!runs(&[1, 3]).remove(2));
    }
}
