//! How many requests may be under way: as many as the processors keep up with. No I/O, no clock.
//!
//! The measure is how late a task runs that was due: every request is so late each time that it has to go on. What is allowed
//! falls by a quarter while that is too late, and rises by an eighth while it is not and somebody waits.

use std::time::Duration;

/// Later than this, on average, and requests wait for each other rather than for the disk.
const LATE_MAX: Duration = Duration::from_millis(1);
/// Looks that are taken together.
pub(super) const LOOKS: u32 = 10;
/// At least so many may be under way: what makes a commit worth while, and what half a processor does in a few milliseconds.
const ALLOWED_MIN: u64 = 32;
const ALLOWED_FIRST: u64 = 128;
/// At most so many; lanes and their clients have bounds of their own.
const ALLOWED_MAX: u64 = 1 << 16;

/// What is allowed, and what was seen since it was last changed.
#[derive(Debug)]
pub(super) struct Pace {
    allowed: u64,
    looks: u32,
    late: Duration,
    pressed: bool,
}

impl Pace {
    pub(super) const fn new() -> Self {
        Pace { allowed: ALLOWED_FIRST, looks: 0, late: Duration::ZERO, pressed: false }
    }

    /// How many requests may be under way.
    pub(super) const fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Somebody has to wait.
    pub(super) const fn pressed(&mut self) {
        self.pressed = true;
    }

    /// A task ran so much after it was due.
    pub(super) fn note(&mut self, late: Duration) {
        self.late += late;
        self.looks += 1;
        if self.looks < LOOKS {
            return;
        }
        let late = self.late / LOOKS;
        if late > LATE_MAX {
            self.allowed = (self.allowed - self.allowed / 4).max(ALLOWED_MIN);
        } else if self.pressed {
            self.allowed = (self.allowed + self.allowed / 8).min(ALLOWED_MAX);
        }
        *self = Pace { allowed: self.allowed, looks: 0, late: Duration::ZERO, pressed: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn after(pace: &mut Pace, rounds: u32, late_ms: u64, pressed: bool) -> u64 {
        for _ in 0..rounds * LOOKS {
            if pressed {
                pace.pressed();
            }
            pace.note(Duration::from_millis(late_ms));
        }
        pace.allowed()
    }

    #[test]
    fn it_falls_while_tasks_are_late_and_rises_while_somebody_waits_for_no_reason() {
        let mut pace = Pace::new();
        assert_eq!(after(&mut pace, 1, 20, true), ALLOWED_FIRST - ALLOWED_FIRST / 4);
        assert_eq!(after(&mut pace, 50, 20, true), ALLOWED_MIN, "and not below what is worth a commit");
        assert_eq!(after(&mut pace, 50, 0, false), ALLOWED_MIN, "nobody asks for more");
        assert_eq!(after(&mut pace, 1, 1, true), ALLOWED_MIN + ALLOWED_MIN / 8);
        assert_eq!(after(&mut pace, 500, 1, true), ALLOWED_MAX);
    }

    #[test]
    fn one_late_look_among_good_ones_changes_nothing() {
        let mut pace = Pace::new();
        pace.note(LATE_MAX * LOOKS);
        (1..LOOKS).for_each(|_| pace.note(Duration::from_millis(0)));
        assert_eq!(pace.allowed(), ALLOWED_FIRST);
    }
}
