//! How much a supplier takes at once: the window, made narrower by "slower" and wider by success. Knows no PDU.

use std::time::{Duration, Instant};

use super::backoff::jittered;

/// The window of one bind, and its pauses.
#[derive(Debug)]
pub(super) struct Flow {
    widest: usize,
    window: usize,
    /// Messages taken since the window last grew.
    taken: usize,
    pause_first: Duration,
    pause_longest: Duration,
    /// Pauses in a row.
    pauses: u32,
    paused_until: Option<Instant>,
    /// What was sent before this knew nothing of the last pause.
    reacted: Option<Instant>,
    chance: Chance,
}

/// Numbers by chance from one seed (splitmix64).
#[derive(Debug)]
struct Chance(u64);

/// A narrowed window is as wide as before after so many windows full of success.
const GROWTH_STEPS: usize = 16;

impl Flow {
    pub(super) fn new(window: usize, pause_first: Duration, pause_longest: Duration, seed: u64) -> Self {
        let widest = window.max(1);
        Self {
            widest,
            window: widest,
            taken: 0,
            pause_first,
            pause_longest,
            pauses: 0,
            paused_until: None,
            reacted: None,
            chance: Chance(seed),
        }
    }

    /// How many more may be sent.
    pub(super) fn room(&self, under_way: usize, now: Instant) -> usize {
        let paused = self.paused_until.is_some_and(|until| now < until);
        if paused { 0 } else { self.window.saturating_sub(under_way) }
    }

    /// When a pause ends; `None` if there is none.
    pub(super) fn resumes(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }

    /// A message was taken.
    pub(super) fn taken(&mut self, sent: Instant) {
        if self.reacted.is_none_or(|reacted| sent >= reacted) {
            self.pauses = 0;
        }
        self.taken += 1;
        if self.taken >= self.window && self.window < self.widest {
            self.taken = 0;
            self.window = (self.window + self.widest.div_ceil(GROWTH_STEPS)).min(self.widest);
        }
    }

    /// A message was refused as too much. Messages that were under way then say nothing new.
    pub(super) fn throttled(&mut self, sent: Instant, now: Instant) {
        if self.reacted.is_some_and(|reacted| sent < reacted) {
            return;
        }
        let pause = self.pause_first.saturating_mul(1 << self.pauses.min(20)).min(self.pause_longest);
        let until = now + jittered(pause, self.chance.next());
        self.pauses += 1;
        self.window = (self.window / 2).max(1);
        self.taken = 0;
        self.paused_until = Some(until);
        self.reacted = Some(until);
    }
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_burst_of_refusals_is_one_pause() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut flow = Flow::new(100, second, 30 * second, 7);
        assert_eq!(flow.room(40, now), 60);
        (0..40).for_each(|_| flow.throttled(now, now));
        assert_eq!(flow.room(0, now), 0);
        let resumes = flow.resumes(now).unwrap();
        assert!((now + second / 2..=now + second).contains(&resumes));
        assert_eq!((flow.room(0, resumes), flow.resumes(resumes)), (50, None));
        // Again at once: narrower, and longer.
        flow.throttled(resumes, resumes);
        let again = flow.resumes(resumes).unwrap();
        assert!((resumes + second..=resumes + 2 * second).contains(&again));
        assert_eq!(flow.room(0, again), 25);
    }

    #[test]
    fn it_recovers() {
        let (second, mut now) = (Duration::from_secs(1), Instant::now());
        let mut flow = Flow::new(32, second, 30 * second, 7);
        for _ in 0..10 {
            flow.throttled(now, now);
            now = flow.resumes(now).unwrap();
        }
        assert_eq!(flow.room(0, now), 1);
        (0..32 * 20).for_each(|_| flow.taken(now));
        assert_eq!(flow.room(0, now), 32);
        flow.throttled(now, now);
        assert!(flow.resumes(now).unwrap() <= now + second, "pauses begin anew after success");
    }
}
