//! One modem as a state machine: bytes and `now` in, bytes and events out. Opens no port, writes no file.

mod answer;
mod command;
mod delivery;
mod lock;
mod send;
mod settings;
mod storage;

use std::collections::VecDeque;

use model::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use wire::tpdu::Address;

use self::{
    command::Command,
    send::Sending,
    settings::Settings,
    storage::{Memory, Storage},
};
use crate::{
    card::{Card, Entry},
    config::{ModemConfig, NetworkConfig, NumberRule, Registration, ReportMemory},
    fault::{Fault, Faults, Occasion},
};

/// The longest command line; what is longer is dropped.
const LINE_OCTETS_MAX: usize = 2_048;
/// The longest PDU with its service centre, in digits; what is longer is refused.
const DATA_OCTETS_MAX: usize = 1_024;
/// Bytes kept while a command is in progress; what is more is lost, as in a real one.
const TYPED_AHEAD_OCTETS_MAX: usize = 4_096;
/// Answers waiting to be written at which deliveries wait.
const OUT_OCTETS_MAX: usize = 4_096;

const CR: u8 = b'\r';
const LF: u8 = b'\n';
const BACKSPACE: u8 = 0x08;
const CANCEL: u8 = 0x1b;
const SUBMIT: u8 = 0x1a;

/// What the driver has to do **before** it writes the output that was there at the same time.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// The network took a message: write the record and the entry.
    Taken(Box<Record>),
    /// Write this entry.
    Remember(Entry),
    /// The owner chose what is announced, so it listens. It may be another one than before: see
    /// [`SimModem::port_changed`] and [`SimModem::port_routed`].
    Routed,
    /// Close the port and come back with another one at `back`.
    HangUp {
        /// When to come back.
        back: Timestamp,
    },
}

/// What the network took, for its own record.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// To whom, as in the TPDU.
    pub to: Address,
    /// TP-MR the network gave it.
    pub reference: u8,
    /// The TPDU as it came.
    pub tpdu: Vec<u8>,
    /// The whole text, if this message made it whole.
    pub text: Option<String>,
    /// What the network has to remember.
    pub entry: Entry,
}

/// One simulated modem with its SIM.
pub struct SimModem {
    profile: Profile,
    settings: Settings,
    card: Card,
    storage: Storage,
    faults: Faults,
    chance: StdRng,
    radio: Radio,
    /// The SIM's PIN was entered, or it has none.
    unlocked: bool,
    mode: Mode,
    line: Vec<u8>,
    typed_ahead: VecDeque<u8>,
    out: Vec<u8>,
    events: VecDeque<Event>,
    listening: bool,
    /// Handed over directly, and perhaps still unread in the port.
    unread: Vec<u64>,
    /// How many of `unread`, the oldest, were there when the port was last found read.
    unread_before: usize,
    split_writes: bool,
}

/// What does not change while a modem runs.
struct Profile {
    imsi: String,
    imei: String,
    plmn: String,
    answer_ms: (u64, u64),
    receipt_delay_ms: (u64, u64),
    numbers: Vec<NumberRule>,
    stored_reports: Memory,
    registration: Registration,
    pin: String,
}

/// What the radio and the network let the modem do.
struct Radio {
    on: bool,
    lost_until: Option<Timestamp>,
    banned: Option<u16>,
}

enum Mode {
    Command,
    /// Between the prompt and the end of the PDU.
    Data {
        length: usize,
        data: Vec<u8>,
        faults: Vec<Fault>,
    },
    /// Between the PDU and its answer.
    Sending(Box<Sending>),
    /// An answer that takes its time; without one the modem is deaf until then.
    Slow {
        until: Timestamp,
        answer: Option<Vec<u8>>,
    },
}

/// Why a command is refused.
enum Failure {
    Error,
    Cme(u16),
    Cms(u16),
}

/// What follows a command that was not refused.
enum Flow {
    /// The next command of the line, and `OK` after the last.
    Next,
    /// Nothing: the prompt stands, or the answer comes later or never.
    Stop,
}

impl SimModem {
    /// A modem as after power-up, with the SIM as the network remembers it.
    pub fn new(network: &NetworkConfig, config: &ModemConfig, seed: u64, entries: Vec<Entry>) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut card = Card::new(chance.random());
        card.restore(entries);
        Self {
            profile: Profile {
                imsi: config.imsi.clone(),
                imei: config.imei.clone(),
                plmn: config.plmn.clone(),
                answer_ms: config.answer_ms,
                receipt_delay_ms: network.receipt_delay_ms,
                numbers: network.numbers.clone(),
                stored_reports: match config.stored_reports {
                    ReportMemory::Reports => Memory::Reports,
                    ReportMemory::Sim => Memory::Sim,
                },
                registration: config.registration,
                pin: config.pin.clone(),
            },
            settings: Settings::new(network.service_centre.clone()),
            card,
            storage: Storage::new(config.storage_slots),
            faults: Faults::new(config.faults.clone()),
            chance,
            radio: Radio { on: true, lost_until: None, banned: None },
            unlocked: config.pin.is_empty(),
            mode: Mode::Command,
            line: Vec::new(),
            typed_ahead: VecDeque::new(),
            out: Vec::new(),
            events: VecDeque::new(),
            listening: false,
            unread: Vec::new(),
            unread_before: 0,
            split_writes: false,
        }
    }

    /// Takes what the owner wrote.
    pub fn handle_input(&mut self, bytes: &[u8], now: Timestamp) {
        self.settle(now);
        for &byte in bytes {
            self.byte(byte, now);
        }
        self.deliver(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.settle(now);
        self.deliver(now);
    }

    /// What happened; to be dealt with before the output is written.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be written, if anything.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    /// When to call [`SimModem::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let mode = match &self.mode {
            Mode::Command => self.next_delivery(),
            Mode::Data { .. } => None,
            Mode::Sending(sending) => Some(sending.next_step()),
            Mode::Slow { until, .. } => Some(*until),
        };
        mode.into_iter().chain(self.radio.lost_until).min()
    }

    /// Whether output is to be written one byte at a time.
    pub fn splits_writes(&self) -> bool {
        self.split_writes
    }

    /// The fewest entries that restore the SIM.
    pub fn snapshot(&self) -> Vec<Entry> {
        self.card.snapshot()
    }

    /// Replaces what goes wrong from here on; occasions are counted anew, and a ban is lifted.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.radio.banned = None;
        self.split_writes = false;
    }

    /// The port has another owner, or none. What was written but not read is handed over again, and nothing is handed
    /// over directly until the owner says anew what it wants announced.
    pub fn port_changed(&mut self) {
        self.listening = false;
        let unread = std::mem::take(&mut self.unread);
        self.unread_before = 0;
        self.card.take_back(&unread);
    }

    /// The owner of the port has said what it wants announced.
    pub fn port_routed(&mut self) {
        self.listening = true;
    }

    /// The port is another one: the modem has restarted.
    pub fn restarted(&mut self) {
        self.restart();
        self.port_changed();
    }

    /// A byte the owner wrote.
    fn byte(&mut self, byte: u8, now: Timestamp) {
        match &mut self.mode {
            Mode::Command => self.command_byte(byte, now),
            Mode::Data { .. } => self.data_byte(byte, now),
            Mode::Sending(_) | Mode::Slow { answer: Some(_), .. } => {
                if self.typed_ahead.len() < TYPED_AHEAD_OCTETS_MAX {
                    self.typed_ahead.push_back(byte);
                }
            }
            Mode::Slow { answer: None, .. } => {}
        }
    }

    fn command_byte(&mut self, byte: u8, now: Timestamp) {
        if self.settings.echo && byte != CANCEL && byte != SUBMIT {
            self.out.push(byte);
        }
        match byte {
            CR => {
                let line = std::mem::take(&mut self.line);
                self.run_line(&line, now);
            }
            LF | CANCEL => {}
            // A PDU in command mode is nobody's command, and must not spoil the next one.
            SUBMIT => self.line.clear(),
            BACKSPACE => drop(self.line.pop()),
            _ if self.line.len() < LINE_OCTETS_MAX => self.line.push(byte),
            _ => {}
        }
    }

    fn run_line(&mut self, line: &[u8], now: Timestamp) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        // What does not begin with AT is not for the modem (V.250, 5.2.1), an empty line included.
        let Some(prefix) = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("AT")) else { return };
        match command::parse(&text[prefix.len()..]) {
            Some(commands) => self.run(&commands, now),
            None => self.refuse(&Failure::Error),
        }
    }

    fn run(&mut self, commands: &[Command], now: Timestamp) {
        for command in commands {
            match self.execute(command, now) {
                Ok(Flow::Next) => {}
                Ok(Flow::Stop) => return,
                Err(failure) => return self.refuse(&failure),
            }
        }
        self.accept();
    }

    /// Ends what takes time and whose time has come, then what was typed ahead.
    fn settle(&mut self, now: Timestamp) {
        if self.radio.lost_until.is_some_and(|until| until <= now) {
            self.radio.lost_until = None;
            self.announce_registration();
        }
        match &mut self.mode {
            Mode::Command | Mode::Data { .. } => {}
            Mode::Sending(_) => self.go_on_sending(now),
            Mode::Slow { until, .. } if *until > now => {}
            Mode::Slow { answer, .. } => {
                let answer = answer.take();
                self.mode = Mode::Command;
                self.out.extend(answer.unwrap_or_default());
            }
        }
        while matches!(self.mode, Mode::Command | Mode::Data { .. }) {
            let Some(byte) = self.typed_ahead.pop_front() else { break };
            self.byte(byte, now);
        }
    }

    fn strike(&mut self, occasion: Occasion) -> Vec<Fault> {
        self.faults.strike(occasion, &mut self.chance)
    }

    /// A span of chance, in milliseconds.
    fn span(&mut self, (min, max): (u64, u64)) -> i64 {
        let span = if max > min { self.chance.random_range(min..=max) } else { min };
        i64::try_from(span).unwrap_or(i64::MAX / 2)
    }

    /// Everything a restart forgets.
    fn restart(&mut self) {
        self.settings.reset();
        self.mode = Mode::Command;
        self.line.clear();
        self.typed_ahead.clear();
        self.radio.on = true;
        self.unlocked = self.profile.pin.is_empty();
        self.listening = false;
    }

    /// A line of an answer, or an unasked one.
    fn say(&mut self, text: &str) {
        if self.settings.verbose {
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn accept(&mut self) {
        self.finish("OK", "0");
    }

    fn refuse(&mut self, failure: &Failure) {
        match (failure, self.settings.errors) {
            (Failure::Error, _) | (_, 0) => self.finish("ERROR", "4"),
            (Failure::Cme(number), 2) => self.say(&format!("+CME ERROR: {}", answer::cme_text(*number))),
            (Failure::Cms(number), 2) => self.say(&format!("+CMS ERROR: {}", answer::cms_text(*number))),
            (Failure::Cme(number), _) => self.say(&format!("+CME ERROR: {number}")),
            (Failure::Cms(number), _) => self.say(&format!("+CMS ERROR: {number}")),
        }
    }

    fn finish(&mut self, verbose: &str, terse: &str) {
        match (self.settings.quiet, self.settings.verbose) {
            (true, _) => {}
            (false, true) => self.say(verbose),
            (false, false) => {
                self.out.extend_from_slice(terse.as_bytes());
                self.out.push(CR);
            }
        }
    }

    /// `+CREG` and its kin (3GPP TS 27.007, 7.2).
    fn registration(&self) -> u8 {
        match (&self.radio, self.profile.registration) {
            (Radio { on: false, .. }, _) => 0,
            _ if !self.unlocked => 0,
            (Radio { lost_until: Some(_), .. }, _) | (_, Registration::Searching) => 2,
            (_, Registration::Home) => 1,
            (_, Registration::Denied) => 3,
            (_, Registration::Roaming) => 5,
        }
    }

    fn is_registered(&self) -> bool {
        matches!(self.registration(), 1 | 5)
    }

    fn announce_registration(&mut self) {
        let stat = self.registration();
        for (index, name) in ["+CREG", "+CGREG", "+CEREG"].into_iter().enumerate() {
            if self.settings.registration[index] > 0 {
                self.say(&format!("{name}: {stat}"));
            }
        }
    }
}
