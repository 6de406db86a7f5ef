//! The bring-up: walks the profile's steps, reads what they tell, decides what a refusal means. Must not know of messages.

use std::time::{Duration, Instant};

use super::event::Memory;
use super::event::{Down, Event, Pin, Registration};
use super::fault::Fault;
use super::profile::{Need, Quirks, Reads, Step};
use super::recovery::{Resume, Rung};
use super::reply::{self, Final};
use super::session::{Phase, Session, What, fault_of, registration_in};

/// How long a busy SIM, a radio switched on and an accepted PIN may take.
const SETTLE_MAX: Duration = Duration::from_secs(30);
/// A value without the `OK` that belongs to it is taken as answered after this time; some modems leave it out after `+CPIN`.
const LATE_OK: Duration = Duration::from_secs(5);

/// A place in the bring-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    step: usize,
    variant: usize,
    since: Instant,
    pin_entered: bool,
    extra_done: bool,
    denied: bool,
}

/// What a step's answer asks for.
enum Verdict {
    Next,
    Again(Duration),
    Extra(Vec<u8>),
    Silence,
    Refused,
    Pin,
    Stop(Down),
}

impl Place {
    pub(super) fn first(now: Instant) -> Self {
        Self { step: 0, variant: 0, since: now, pin_entered: false, extra_done: false, denied: false }
    }

    /// The step that waits for the network, and what follows it.
    pub(super) fn registration(steps: &[Step], now: Instant) -> Self {
        let step = steps.iter().position(|step| step.reads == Reads::Registration).unwrap_or(0);
        Self { step, ..Self::first(now) }
    }

    /// The first two steps may be answered in digits.
    pub(super) fn is_early(self) -> bool {
        self.step < 2
    }

    fn next(self, now: Instant) -> Self {
        Self { step: self.step + 1, ..Self::first(now) }
    }

    fn settled(self, now: Instant) -> bool {
        now >= self.since + SETTLE_MAX
    }
}

impl Session {
    /// Enters the PIN that [`Event::PinNeeded`] asked for. The caller has recorded the attempt durably: a crash in between counts as used.
    pub fn enter_pin(&mut self, pin: &Pin, now: Instant) {
        let Phase::AwaitPin(place) = self.phase else { return };
        self.phase = Phase::Steps(Place { pin_entered: true, since: now, ..place });
        let text = format!("AT+CPIN=\"{}\"", pin.digits());
        self.command(What::Pin, text.as_bytes(), Duration::from_secs(30), now);
    }

    /// Answers [`Event::PinNeeded`] with no: the session stops.
    pub fn decline_pin(&mut self) {
        if matches!(self.phase, Phase::AwaitPin(_)) {
            self.stop(Down::PinNeeded);
        }
    }

    /// Writes the command of a step, or is ready behind the last.
    pub(super) fn take_step(&mut self, place: Place, now: Instant) {
        let Some(step) = self.profile.steps.get(place.step) else { return self.become_ready(now) };
        let wait = Duration::from_secs(step.wait_seconds);
        match self.commands(step).get(place.variant) {
            Some(command) => self.command(What::Step, command.as_bytes(), wait, now),
            None => self.phase = Phase::Steps(place.next(now)),
        }
        self.pump(now);
    }

    fn commands(&self, step: &Step) -> &'static [&'static str] {
        if step.reads == Reads::Routing { self.quirks.routing } else { step.commands }
    }

    fn become_ready(&mut self, now: Instant) {
        self.phase = Phase::Ready;
        if self.rung <= Some(Rung::Escape) {
            self.rung = None;
        }
        self.current = self.home;
        self.sweep_at = now;
        self.check_at = now + self.profile.check_every + self.profile.poll_offset;
        self.emit(Event::Ready(Box::new(self.identity.clone())));
    }

    /// Takes a line of a step's answer.
    pub(super) fn take_step_line(&mut self, line: &[u8], now: Instant) -> bool {
        let Phase::Steps(place) = self.phase else { return false };
        let Some(step) = self.profile.steps.get(place.step) else { return false };
        if !step.answer.is_empty() {
            let Some(value) = reply::value_of(line, step.answer).or_else(|| packet_value(step, line)) else {
                return false;
            };
            if let Some(running) = &mut self.running {
                running.deadline = running.deadline.min(now + LATE_OK);
            }
            return self.keep(value);
        }
        let name = self.commands(step).get(place.variant).map_or("", |command| command_name(command));
        match reply::value_of(line, name) {
            Some(value) => self.keep(value),
            None if reply::is_marked(line) || reply::is_restart(line) || step.reads == Reads::Nothing => false,
            None => self.keep(line),
        }
    }

    /// Goes on after a step's final result.
    pub(super) fn step_finished(&mut self, what: What, result: Final, now: Instant) {
        let Phase::Steps(place) = self.phase else { return };
        match what {
            What::PinTries { by_card } => self.tries_read(place, by_card, now),
            What::Pin if result != Final::Ok => self.stop(Down::PinRefused),
            What::Pin | What::Extra => self.pause(Duration::from_secs(1), now),
            What::Silence => self.phase = Phase::Steps(place.next(now)),
            _ => match fault_of(result) {
                None => self.step_answered(place, now),
                Some(fault) => self.step_refused(place, Some(fault), now),
            },
        }
    }

    /// A silent step: what it told counts, else the next variant; the modem is woken in between.
    pub(super) fn step_timed_out(&mut self, what: What, now: Instant) {
        let Phase::Steps(place) = self.phase else { return };
        match what {
            What::Pin => return self.stop(Down::PinRefused),
            What::PinTries { by_card } => self.tries_read(place, by_card, now),
            What::Silence => self.phase = Phase::Steps(place.next(now)),
            What::Step if !self.answer.is_empty() => self.step_answered(place, now),
            What::Step => self.step_refused(place, None, now),
            _ => {}
        }
        if let (Phase::Steps(place), None) = (self.phase, &self.running) {
            self.wake(Rung::Escape, Resume::Step(place), now);
        }
    }

    fn step_answered(&mut self, place: Place, now: Instant) {
        let step = &self.profile.steps[place.step];
        match self.read_answer(step, place, now) {
            Verdict::Next => self.phase = Phase::Steps(place.next(now)),
            Verdict::Again(time) => self.pause(time, now),
            Verdict::Refused => self.step_refused(place, None, now),
            Verdict::Silence => {
                let silence = self.quirks.silence;
                self.command(What::Silence, silence.as_bytes(), Duration::from_secs(3), now);
            }
            Verdict::Extra(text) => {
                self.phase = Phase::Steps(Place { extra_done: true, ..place });
                self.command(What::Extra, &text, Duration::from_secs(15), now);
            }
            Verdict::Pin => {
                self.command(What::PinTries { by_card: false }, b"AT+CPINR=\"SIM PIN\"", Duration::from_secs(5), now);
            }
            Verdict::Stop(reason) => self.stop(reason),
        }
    }

    /// Reads what a step is for; the state of the session is the only thing it changes.
    fn read_answer(&mut self, step: &Step, place: Place, now: Instant) -> Verdict {
        let first = self.answer.first().map(|line| text_of(line)).unwrap_or_default();
        match step.reads {
            Reads::Nothing | Reads::Routing => Verdict::Next,
            Reads::Maker => stored(&mut self.identity.maker, first),
            Reads::Model => {
                self.identity.model = first;
                self.quirks = Quirks::of(&self.identity.maker, &self.identity.model);
                if self.quirks.silence.is_empty() { Verdict::Next } else { Verdict::Silence }
            }
            Reads::Firmware => stored(&mut self.identity.firmware, first),
            Reads::Imei => stored_digits(&mut self.identity.imei, &self.answer, 14..=17),
            Reads::Iccid => stored_digits(&mut self.identity.iccid, &self.answer, 18..=22),
            Reads::Imsi => stored_digits(&mut self.identity.imsi, &self.answer, 6..=15),
            Reads::Radio => match first.split(',').next() {
                Some("1") | None => Verdict::Next,
                Some(_) if place.extra_done && place.settled(now) => Verdict::Next,
                Some(_) if place.extra_done => Verdict::Again(Duration::from_secs(1)),
                Some(_) => Verdict::Extra(b"AT+CFUN=1".to_vec()),
            },
            Reads::Pin => pin_verdict(&first, place, now),
            Reads::Memory => self.memory_verdict(place),
            Reads::ServiceCentre => self.service_centre_verdict(place),
            Reads::Registration => self.registration_verdict(place, now),
            Reads::Network => {
                let name = self.answer.first().and_then(|value| reply::fields(value).nth(2)).map(text_of);
                stored(&mut self.identity.network, name.unwrap_or_default())
            }
            Reads::Signal => {
                let level = self.answer.first().and_then(|value| reply::fields(value).next()).and_then(reply::number);
                self.identity.signal = level.unwrap_or(99);
                Verdict::Next
            }
        }
    }

    /// `+CPMS: used,total,…`: the size is needed where slots are read one by one.
    fn memory_verdict(&mut self, place: Place) -> Verdict {
        let total = self.answer.first().and_then(|value| reply::fields(value).nth(1)).and_then(reply::number);
        self.slots_total = total.unwrap_or(0);
        self.home = if place.variant == 1 { Memory::Device } else { Memory::Sim };
        Verdict::Next
    }

    /// Without the address every message would fail with CMS 330.
    fn service_centre_verdict(&self, place: Place) -> Verdict {
        let known = self
            .answer
            .first()
            .and_then(|value| reply::fields(value).next())
            .is_some_and(|address| !address.is_empty());
        match &self.profile.service_centre {
            _ if known => Verdict::Next,
            Some(address) if !place.extra_done => Verdict::Extra(format!("AT+CSCA=\"{address}\"").into_bytes()),
            _ => Verdict::Stop(Down::NoServiceCentre),
        }
    }

    /// Usable in either domain is enough. Where the first says no, the second is asked, and both again until time is up.
    fn registration_verdict(&mut self, place: Place, now: Instant) -> Verdict {
        let state = self.answer.iter().rev().find_map(|value| registration_in(value, true)).unwrap_or_default();
        self.identity.registration = state;
        self.registered_by = if place.variant == 0 { "+CREG" } else { "+CEREG" };
        if state.is_usable() {
            return Verdict::Next;
        }
        let denied = place.denied || state == Registration::Denied;
        self.phase = Phase::Steps(Place { denied, ..place });
        self.unregistered(Place { denied, ..place }, now)
    }

    fn unregistered(&mut self, place: Place, now: Instant) -> Verdict {
        let last = place.variant + 1 >= self.profile.steps[place.step].commands.len();
        if !last {
            self.phase = Phase::Steps(Place { variant: place.variant + 1, ..place });
            return Verdict::Again(Duration::ZERO);
        }
        if place.denied {
            return Verdict::Stop(Down::RegistrationDenied);
        }
        if now >= place.since + self.profile.register_wait {
            return Verdict::Stop(Down::NotRegistered);
        }
        self.phase = Phase::Steps(Place { variant: 0, ..place });
        Verdict::Again(Duration::from_secs(2))
    }

    /// A step's command was refused, or was not answered (no fault).
    fn step_refused(&mut self, place: Place, fault: Option<Fault>, now: Instant) {
        let step = &self.profile.steps[place.step];
        if fault.is_some_and(Fault::is_busy) && !place.settled(now) && step.need == Need::Hard {
            return self.pause(Duration::from_secs(1), now);
        }
        if step.reads == Reads::Registration {
            return match self.unregistered(place, now) {
                Verdict::Again(time) => self.pause(time, now),
                Verdict::Stop(reason) => self.stop(reason),
                _ => {}
            };
        }
        if place.variant + 1 < self.commands(step).len() {
            self.phase = Phase::Steps(Place { variant: place.variant + 1, ..place });
        } else if step.need == Need::Soft {
            self.phase = Phase::Steps(place.next(now));
        } else {
            self.step_failed(step, fault, now);
        }
    }

    /// A step that must succeed did not.
    fn step_failed(&mut self, step: &Step, fault: Option<Fault>, now: Instant) {
        match (step.reads, fault) {
            (Reads::Pin | Reads::Imsi, Some(Fault::Cme(10))) => self.stop(Down::SimMissing),
            (Reads::Pin | Reads::Imsi, Some(Fault::Cme(13 | 15 | 262) | Fault::Cms(310 | 313 | 315))) => {
                self.stop(Down::SimFailed)
            }
            (_, None) if step.reads != Reads::Imsi => self.climb(now),
            (Reads::Imsi, _) => self.stop(Down::NoIdentity),
            _ if self.rung < Some(Rung::Reset) => self.climb_from(Rung::Reset, now),
            _ => self.stop(Down::StepRefused),
        }
    }

    /// The tries left come from the modem, else from the card itself, which counts none for an empty VERIFY (3GPP TS 31.101, 11.1.9).
    fn tries_read(&mut self, place: Place, by_card: bool, now: Instant) {
        let tries_left = self.answer.iter().find_map(|line| tries_in(line));
        if tries_left.is_none() && !by_card {
            return self.command(
                What::PinTries { by_card: true },
                b"AT+CSIM=10,\"0020000100\"",
                Duration::from_secs(5),
                now,
            );
        }
        self.phase = Phase::AwaitPin(place);
        self.emit(Event::PinNeeded { tries_left, identity: Box::new(self.identity.clone()) });
    }
}

fn pin_verdict(state: &str, place: Place, now: Instant) -> Verdict {
    match state.trim_matches('"') {
        "READY" | "SIM PIN2" | "SIM PUK2" => Verdict::Next,
        "SIM PUK" => Verdict::Stop(Down::PukNeeded),
        "SIM PIN" if !place.pin_entered => Verdict::Pin,
        "SIM PIN" if place.settled(now) => Verdict::Stop(Down::PinRefused),
        _ if place.settled(now) => Verdict::Stop(Down::SimFailed),
        _ => Verdict::Again(Duration::from_secs(1)),
    }
}

/// `+CPINR: SIM PIN,3,3`, or the status word `63Cx` in `+CSIM: 4,"63C3"`.
fn tries_in(line: &[u8]) -> Option<u8> {
    if let Some(value) = reply::value_of(line, "+CPINR") {
        return reply::fields(value).nth(1).and_then(reply::number);
    }
    let word = reply::fields(reply::value_of(line, "+CSIM")?).nth(1)?;
    let digit = word.strip_prefix(b"63C")?.first()?;
    char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn packet_value<'a>(step: &Step, line: &'a [u8]) -> Option<&'a [u8]> {
    if step.reads == Reads::Registration { reply::value_of(line, "+CEREG") } else { None }
}

/// `+CGMI` of `AT+CGMI`, `^ICCID` of `AT^ICCID?`.
fn command_name(command: &str) -> &str {
    command.trim_start_matches("AT").split(['?', '=']).next().unwrap_or_default()
}

fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_matches('"').chars().filter(|letter| !letter.is_control()).take(64).collect()
}

fn stored(field: &mut String, value: String) -> Verdict {
    *field = value;
    Verdict::Next
}

/// The first run of digits of a fitting length; an `F` that fills up the last octet is no digit.
fn stored_digits(field: &mut String, answer: &[Vec<u8>], length: std::ops::RangeInclusive<usize>) -> Verdict {
    let runs = answer.iter().flat_map(|line| line.split(|byte| !byte.is_ascii_digit()));
    match runs.filter(|run| length.contains(&run.len())).map(text_of).next() {
        Some(digits) => stored(field, digits),
        None => Verdict::Refused,
    }
}
