//! The ladder a session climbs when a modem does not answer. Knows the rungs; must not know what was being done.

use std::time::{Duration, Instant};

use super::bringup::Place;
use super::event::{Down, Event};
use super::session::{Phase, Session, What};

/// The bytes that may still be on their way are let past before the next command.
const DRAIN: Duration = Duration::from_millis(100);

/// A rung of the ladder, mildest first. What is beyond the last belongs to the driver: power, USB, humans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Let everything pass, then `AT`.
    Drain,
    /// Leave a hanging prompt, then `AT`.
    Escape,
    /// Have the port reopened, then the whole bring-up.
    Reopen,
    /// `ATZ`, then the whole bring-up.
    Reset,
    /// Radio off and on, then the whole bring-up.
    Radio,
}

impl Rung {
    const fn next(rung: Option<Self>) -> Option<Self> {
        match rung {
            None => Some(Self::Drain),
            Some(Self::Drain) => Some(Self::Escape),
            Some(Self::Escape) => Some(Self::Reopen),
            Some(Self::Reopen) => Some(Self::Reset),
            Some(Self::Reset) => Some(Self::Radio),
            Some(Self::Radio) => None,
        }
    }
}

/// What goes on once the modem answers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    Ready,
    Step(Place),
    BringUp,
    Reset,
    Radio,
}

impl Session {
    /// Starts recovery at `rung`, for a driver that sees more than the dialogue does, such as a row of failures.
    /// What is being sent ends by what is known of it.
    pub fn recover(&mut self, rung: Rung, now: Instant) {
        if matches!(self.phase, Phase::Closed | Phase::Down) {
            return;
        }
        self.abandon_submit();
        self.running = None;
        self.take_rung(rung, now);
        self.pump(now);
    }

    /// Takes the next rung, or stops.
    pub(super) fn climb(&mut self, now: Instant) {
        match Rung::next(self.rung) {
            Some(rung) => self.take_rung(rung, now),
            None => self.stop(Down::NoAnswer),
        }
    }

    /// Takes the next rung, but none milder than `least`.
    pub(super) fn climb_from(&mut self, least: Rung, now: Instant) {
        match Rung::next(self.rung) {
            Some(rung) => self.take_rung(rung.max(least), now),
            None => self.stop(Down::NoAnswer),
        }
    }

    fn take_rung(&mut self, rung: Rung, now: Instant) {
        self.rung = Some(rung);
        let resume = match self.phase {
            Phase::Ready => Resume::Ready,
            Phase::Steps(place) => Resume::Step(place),
            Phase::Wake { resume, .. } => resume,
            _ => Resume::BringUp,
        };
        match rung {
            Rung::Drain | Rung::Escape => self.wake(rung, resume, now),
            Rung::Reopen => {
                self.closed();
                self.emit(Event::Reopen);
            }
            Rung::Reset => self.wake(Rung::Escape, Resume::Reset, now),
            Rung::Radio => self.wake(Rung::Escape, Resume::Radio, now),
        }
    }

    /// Lets the line fall silent and then tries `AT`.
    pub(super) fn wake(&mut self, rung: Rung, resume: Resume, now: Instant) {
        if resume != Resume::Ready {
            self.leave_ready();
        }
        let tries_left = if rung == Rung::Drain { 1 } else { 3 };
        if rung != Rung::Drain {
            // ESC leaves a prompt without sending anything; a missing Ctrl-Z would swallow every command (3GPP TS 27.005, 3.5.1).
            self.write(b"\x1b\r".to_vec(), b"\x1b");
        }
        self.phase = Phase::Wake { tries_left, resume };
        self.pause(DRAIN, now);
    }

    pub(super) fn try_waking(&mut self, tries_left: u8, resume: Resume, now: Instant) {
        if tries_left > 0 {
            return self.command(What::Alive, b"AT", Duration::from_secs(1), now);
        }
        if resume == Resume::Ready {
            self.phase = Phase::Ready;
            self.leave_ready();
            self.phase = Phase::Wake { tries_left, resume: Resume::BringUp };
        }
        self.climb(now);
        self.pump(now);
    }

    pub(super) fn not_awake(&mut self) {
        if let Phase::Wake { tries_left, .. } = &mut self.phase {
            *tries_left -= 1;
        }
    }

    /// Anything that ends the answer shows that somebody listens; some modems answer `ERROR` to a bare `AT`.
    pub(super) fn awake(&mut self, now: Instant) {
        let Phase::Wake { resume, .. } = self.phase else { return };
        self.phase = match resume {
            Resume::Ready => Phase::Ready,
            Resume::Step(place) => Phase::Steps(place),
            Resume::BringUp => Phase::Steps(Place::first(now)),
            Resume::Reset => Phase::Reset,
            Resume::Radio => Phase::RadioOff,
        };
        // A late answer to an earlier command must not be taken for the next one's.
        self.pause(DRAIN, now);
    }

    /// Goes on after `ATZ` or a switch of the radio, accepted or not: the bring-up will tell.
    pub(super) fn recovered(&mut self, what: What, now: Instant) {
        self.phase = match what {
            What::RadioOff => Phase::RadioOn,
            _ => Phase::Steps(Place::first(now)),
        };
        self.pause(if what == What::Reset { DRAIN } else { Duration::from_secs(3) }, now);
    }

    /// Gives up; a later [`Session::opened`] starts at the bottom of the ladder.
    pub(super) fn stop(&mut self, reason: Down) {
        self.closed();
        self.phase = Phase::Down;
        self.rung = None;
        self.emit(Event::Down(reason));
    }
}
