//! The session: takes bytes and time, keeps one command in flight, sorts lines, hands out bytes and events.
//! What each command is for stands in the files beside it. Must not read a clock.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use super::bringup::Place;
use super::event::{Event, Identity, Memory, Registration, Slot, Submit};
use super::fault::Fault;
use super::lines::{Expect, Splitter, Token};
use super::profile::{PLAIN, Profile, Quirks};
use super::recovery::{Resume, Rung};
use super::reply::{self, Final, Verbosity};
use super::storage::{Header, Job};

/// Value lines kept of one answer; what exceeds it is not needed by any step.
const ANSWER_LINES_MAX: usize = 16;
/// Events nobody fetched; a driver fetches them after every call. A storm beyond it drops unsolicited ones only: the stores are swept again.
const EVENTS_MAX: usize = 1024;

/// An AT dialogue with one modem.
///
/// Call [`Session::opened`] when the port is open, then feed it; after each call fetch output and events until there is none, and wake it at
/// [`Session::poll_timeout`]. It never has two commands in flight and writes a PDU only after the prompt.
pub struct Session {
    pub(super) profile: Profile,
    pub(super) quirks: Quirks,
    pub(super) phase: Phase,
    pub(super) running: Option<Running>,
    pub(super) pause_until: Option<Instant>,
    pub(super) identity: Identity,
    pub(super) rung: Option<Rung>,
    pub(super) waiting: Option<Submit>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) held: BTreeSet<Slot>,
    pub(super) home: Memory,
    pub(super) current: Memory,
    pub(super) slots_total: u16,
    pub(super) unsolicited: Option<Header>,
    pub(super) listed: Option<Header>,
    pub(super) sweep_at: Instant,
    pub(super) check_at: Instant,
    pub(super) registered_by: &'static str,
    pub(super) same_fault: Option<(Fault, u32)>,
    storage_next: bool,
    pub(super) answer: Vec<Vec<u8>>,
    written: Vec<u8>,
    boot_id: Option<Vec<u8>>,
    splitter: Splitter,
    output: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    junk: u64,
}

/// Where the dialogue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no port.
    Closed,
    /// Tries `AT` until anything answers.
    Wake {
        tries_left: u8,
        resume: Resume,
    },
    /// Brings stored settings back (`ATZ`).
    Reset,
    /// Takes the radio off the air, then on again.
    RadioOff,
    RadioOn,
    /// Walks through the bring-up.
    Steps(Place),
    /// Waits for the driver's word on the PIN.
    AwaitPin(Place),
    /// May send.
    Ready,
    /// Stopped.
    Down,
}

/// The command in flight.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) what: What,
    pub(super) deadline: Instant,
}

/// What the command in flight is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Alive,
    Reset,
    RadioOff,
    RadioOn,
    Step,
    /// An extra command within a step, after which the step is done again.
    Extra,
    /// The extra command that keeps a noisy modem quiet.
    Silence,
    PinTries {
        by_card: bool,
    },
    Pin,
    Prompt,
    Result {
        reference: Option<u8>,
    },
    UseMemory(Memory),
    Read(Slot),
    Delete(Slot),
    List,
    Route,
    Check,
}

impl Session {
    /// Starts without a port; `now` is the origin of its polls.
    pub fn new(profile: Profile, now: Instant) -> Self {
        Self {
            profile,
            quirks: PLAIN,
            phase: Phase::Closed,
            running: None,
            pause_until: None,
            identity: Identity::default(),
            rung: None,
            waiting: None,
            jobs: VecDeque::new(),
            held: BTreeSet::new(),
            home: Memory::Sim,
            current: Memory::Sim,
            slots_total: 0,
            unsolicited: None,
            listed: None,
            sweep_at: now,
            check_at: now,
            registered_by: "+CREG",
            same_fault: None,
            storage_next: false,
            answer: Vec::new(),
            written: Vec::new(),
            boot_id: None,
            splitter: Splitter::default(),
            output: VecDeque::new(),
            events: VecDeque::new(),
            junk: 0,
        }
    }

    /// The port is open: wakes the modem and brings it up.
    pub fn opened(&mut self, now: Instant) {
        self.closed();
        self.rung = self.rung.max(Some(Rung::Escape));
        self.identity = Identity::default();
        self.wake(Rung::Escape, Resume::BringUp, now);
        self.pump(now);
    }

    /// The port is gone: ends what was being sent by what is known of it, and waits for [`Session::opened`].
    pub fn closed(&mut self) {
        self.abandon_submit();
        self.leave_ready();
        self.running = None;
        self.jobs.clear();
        self.held.clear();
        self.output.clear();
        self.splitter.clear();
        self.unsolicited = None;
        self.listed = None;
        self.pause_until = None;
        self.phase = Phase::Closed;
    }

    /// Takes what the modem said.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.push(bytes);
        while let Some(token) = splitter.next(self.expects()) {
            match token {
                Token::Prompt => self.prompted(now),
                Token::Line(line) => self.handle_line(line, now),
            }
            self.pump(now);
        }
        // A port that was closed by one of the lines leaves nothing behind.
        if self.phase != Phase::Closed {
            self.splitter = splitter;
        }
    }

    /// Does what was due at or before `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.running.as_ref().is_some_and(|running| running.deadline <= now) {
            let running = self.running.take().expect("it was there a line above");
            self.timed_out(running.what, now);
        }
        self.pump(now);
    }

    /// The next bytes to write, in order.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        self.output.pop_front()
    }

    /// The next thing that happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Session::handle_timeout`]; nothing: only input or a call can move the dialogue.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (&self.running, self.pause_until, self.phase) {
            (_, _, Phase::Closed | Phase::Down | Phase::AwaitPin(_)) => {
                self.running.as_ref().map(|running| running.deadline)
            }
            (Some(running), _, _) => Some(running.deadline),
            (None, Some(until), _) => Some(until),
            (None, None, Phase::Ready) => Some(self.sweep_at.min(self.check_at)),
            (None, None, _) => None,
        }
    }

    /// The SIM's IMSI, empty until it has been read. Reports and messages may come before the modem is ready.
    pub fn imsi(&self) -> &str {
        &self.identity.imsi
    }

    /// Whether a PDU would be taken.
    pub fn is_idle(&self) -> bool {
        let ready = matches!(self.phase, Phase::Ready | Phase::Wake { resume: Resume::Ready, .. });
        ready && self.waiting.is_none() && !self.is_submitting()
    }

    /// The number of lines that meant nothing, and of lines too long to keep.
    pub fn junk_lines(&self) -> u64 {
        self.junk + self.splitter.dropped()
    }

    /// Whether the next `>` at the start of a line asks for a PDU.
    fn expects(&self) -> Expect {
        match self.running {
            Some(Running { what: What::Prompt, .. }) => Expect::Prompt,
            _ => Expect::Lines,
        }
    }

    /// Sorts one line. The order matters: a line is unsolicited only if the running command did not ask for it.
    fn handle_line(&mut self, line: &[u8], now: Instant) {
        if self.second_line(line) || line == self.written {
            return;
        }
        let Some(what) = self.running.as_ref().map(|running| running.what) else {
            return self.handle_unsolicited(line, now);
        };
        if let Some(result) = reply::final_result(line, self.verbosity(what)) {
            self.running = None;
            self.pause(self.profile.command_gap, now);
            return self.finished(what, result, now);
        }
        if !self.take_value(what, line, now) {
            self.handle_unsolicited(line, now);
        }
    }

    /// Digits are accepted as results only until `ATV1` has been written.
    fn verbosity(&self, what: What) -> Verbosity {
        match (what, self.phase) {
            (What::Alive | What::Reset, _) => Verbosity::MayBeDigits,
            (What::Step, Phase::Steps(place)) if place.is_early() => Verbosity::MayBeDigits,
            _ => Verbosity::Words,
        }
    }

    /// Takes a line that belongs to the running command's answer.
    fn take_value(&mut self, what: What, line: &[u8], now: Instant) -> bool {
        match what {
            What::Result { .. } => self.take_reference(line, now),
            What::Read(_) | What::List => self.take_header(what, line),
            What::Check => self.take_registration(line),
            What::Step => self.take_step_line(line, now),
            What::PinTries { .. } if line.starts_with(b"+CPINR:") || line.starts_with(b"+CSIM:") => self.keep(line),
            _ => false,
        }
    }

    pub(super) fn keep(&mut self, line: &[u8]) -> bool {
        if self.answer.len() < ANSWER_LINES_MAX {
            self.answer.push(line.to_vec());
        }
        true
    }

    /// Acts on a line nobody asked for.
    fn handle_unsolicited(&mut self, line: &[u8], now: Instant) {
        if self.take_notice(line) || self.take_registration(line) {
            return;
        }
        if reply::is_restart(line) || self.is_other_boot(line) {
            self.restarted(line, now);
        } else if line == b"^SMMEMFULL" || line.starts_with(b"^SMMEMFULL:") {
            self.sweep_at = now;
        } else if !reply::is_marked(line) {
            self.junk += 1;
        }
    }

    /// `+CREG: stat[,…]` unasked, or `+CREG: n,stat[,…]` as an answer: the same prefix, different fields (3GPP TS 27.007, 7.2).
    pub(super) fn take_registration(&mut self, line: &[u8]) -> bool {
        let Some(value) = reply::value_of(line, self.registered_by) else { return false };
        let asked = matches!(self.running, Some(Running { what: What::Check, .. }));
        if let Some(registration) = registration_in(value, asked) {
            self.identity.registration = registration;
        }
        true
    }

    /// Huawei sticks repeat `^BOOT:` with an id that changes when they start anew.
    fn is_other_boot(&mut self, line: &[u8]) -> bool {
        let Some(id) = reply::value_of(line, "^BOOT").and_then(|value| reply::fields(value).next()) else {
            return false;
        };
        let other = self.boot_id.as_deref().is_some_and(|known| known != id);
        self.boot_id = Some(id.to_vec());
        other
    }

    /// The modem lost its settings; what was being sent ends by what is known of it.
    fn restarted(&mut self, line: &[u8], now: Instant) {
        // These come some seconds after power-up, in the middle of the bring-up that power-up began.
        let late = matches!(line, b"Call Ready" | b"SMS Ready");
        let was_ready = matches!(self.phase, Phase::Ready | Phase::Wake { resume: Resume::Ready, .. });
        if matches!(self.phase, Phase::Closed | Phase::Down) || (late && !was_ready) {
            return;
        }
        self.abandon_submit();
        self.leave_ready();
        self.running = None;
        self.jobs.clear();
        // What was handed out and not deleted is found again by the sweep.
        self.held.clear();
        self.wake(Rung::Escape, Resume::BringUp, now);
    }

    /// Ends a command by its final result.
    fn finished(&mut self, what: What, result: Final, now: Instant) {
        match what {
            What::Alive => self.awake(now),
            What::Reset | What::RadioOff | What::RadioOn => self.recovered(what, now),
            What::Step | What::Extra | What::Silence | What::PinTries { .. } | What::Pin => {
                self.step_finished(what, result, now)
            }
            What::Prompt | What::Result { .. } => self.submit_finished(what, result, now),
            What::UseMemory(_) | What::Read(_) | What::Delete(_) | What::List | What::Route => {
                self.storage_finished(what, result, now)
            }
            What::Check => self.checked(now),
        }
    }

    /// Ends a command that was not answered in time.
    fn timed_out(&mut self, what: What, now: Instant) {
        match what {
            What::Alive => self.not_awake(),
            What::Step | What::Extra | What::Silence | What::PinTries { .. } | What::Pin => {
                self.step_timed_out(what, now)
            }
            What::Prompt | What::Result { .. } => self.submit_timed_out(what, now),
            What::UseMemory(_) | What::Read(_) | What::Delete(_) | What::List | What::Route => {
                self.storage_timed_out(what);
                self.climb(now);
            }
            What::Reset | What::RadioOff | What::RadioOn | What::Check => self.climb(now),
        }
    }

    /// An idle modem answered: what was wrong is over.
    fn checked(&mut self, now: Instant) {
        self.rung = None;
        if !self.identity.registration.is_usable() {
            self.leave_ready();
            self.phase = Phase::Steps(Place::registration(self.profile.steps, now));
        }
    }

    /// Starts whatever is next, if nothing is in flight.
    pub(super) fn pump(&mut self, now: Instant) {
        if self.running.is_some() {
            return;
        }
        if self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        self.pause_until = None;
        match self.phase {
            Phase::Closed | Phase::Down | Phase::AwaitPin(_) => {}
            Phase::Wake { tries_left, resume } => self.try_waking(tries_left, resume, now),
            Phase::Reset => self.command(What::Reset, b"ATZ", Duration::from_secs(3), now),
            Phase::RadioOff => self.command(What::RadioOff, b"AT+CFUN=4", Duration::from_secs(15), now),
            Phase::RadioOn => self.command(What::RadioOn, b"AT+CFUN=1", Duration::from_secs(30), now),
            Phase::Steps(place) => self.take_step(place, now),
            Phase::Ready => self.next_job(now),
        }
    }

    /// What an idle, ready modem does next. A message goes before polls, and takes turns with the stores.
    fn next_job(&mut self, now: Instant) {
        let storage_first = std::mem::take(&mut self.storage_next);
        if storage_first && self.start_job(now) {
            return;
        }
        if self.start_submit(now) {
            self.storage_next = true;
            return;
        }
        if self.start_job(now) {
            return;
        }
        if self.sweep_at <= now {
            self.sweep(now);
        } else if self.check_at <= now {
            self.check_at = now + self.profile.check_every;
            let text = format!("AT{}?", self.registered_by);
            self.command(What::Check, text.as_bytes(), Duration::from_secs(5), now);
        }
    }

    /// Writes a command and waits for its answer.
    pub(super) fn command(&mut self, what: What, text: &[u8], wait: Duration, now: Instant) {
        assert!(self.running.is_none(), "one command in flight");
        self.answer.clear();
        self.listed = None;
        self.written.clear();
        self.written.extend_from_slice(text);
        let mut line = Vec::with_capacity(text.len() + 1);
        line.extend_from_slice(text);
        line.push(b'\r');
        self.output.push_back(line);
        self.running = Some(Running { what, deadline: now + wait });
    }

    /// Writes bytes that are not a command; `echo` is how they come back if the modem echoes.
    pub(super) fn write(&mut self, bytes: Vec<u8>, echo: &[u8]) {
        self.written.clear();
        self.written.extend_from_slice(echo);
        self.output.push_back(bytes);
    }

    /// Lets nothing start for a while.
    pub(super) fn pause(&mut self, time: Duration, now: Instant) {
        if !time.is_zero() {
            self.pause_until = self.pause_until.max(Some(now + time));
        }
    }

    /// Gives an output back that a test looked at.
    #[cfg(test)]
    pub(super) fn output_back(&mut self, text: String) {
        self.output.push_front(text.into_bytes());
    }

    pub(super) fn emit(&mut self, event: Event) {
        let droppable = matches!(event, Event::Report { .. } | Event::Inbound { .. });
        if self.events.len() < EVENTS_MAX || !droppable {
            self.events.push_back(event);
        }
    }

    /// Counts how often the same fault has come in a row, this time included.
    pub(super) fn count_fault(&mut self, fault: Fault) -> u32 {
        let before = self.same_fault.filter(|(known, _)| *known == fault).map_or(0, |(_, count)| count);
        self.same_fault = Some((fault, before.saturating_add(1)));
        before.saturating_add(1)
    }

    pub(super) fn leave_ready(&mut self) {
        if matches!(self.phase, Phase::Ready | Phase::Wake { resume: Resume::Ready, .. }) {
            // Left at once, so that the event is not said twice.
            self.phase = Phase::Closed;
            self.emit(Event::NotReady);
        }
    }
}

/// Shows where the dialogue stands, and nothing of what was said: numbers, texts and PINs are in it.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Session");
        shown
            .field("phase", &self.phase)
            .field("running", &self.running)
            .field("rung", &self.rung)
            .finish_non_exhaustive()
    }
}

/// The registration in a value. As an answer the second field is the state, unless it is a location code.
pub(super) fn registration_in(value: &[u8], asked: bool) -> Option<Registration> {
    let mut fields = reply::fields(value);
    let first = fields.next()?;
    let state = match fields.next() {
        Some(second) if asked && second.len() <= 2 => second,
        _ => first,
    };
    Some(Registration::from_stat(reply::number(state)?))
}

/// The fault in a result; nothing if it is `OK`.
pub(super) fn fault_of(result: Final) -> Option<Fault> {
    match result {
        Final::Ok => None,
        Final::Failed(fault) => Some(fault),
    }
}
