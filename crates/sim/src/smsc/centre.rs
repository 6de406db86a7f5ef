//! What all conversations of a service centre share: who may bind, what was taken, what is owed. Knows no connection.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Notify;
use wire::smpp::{Address, Bind, DefaultCoding, Message, Status};
use wire::tpdu::to_hex;

use super::config::{SmscConfig, SmscFault, SmscTreatment};
use super::counts::SmscCounts;
use super::memory::{self, Memory, Past};
use super::owed::{Owed, Party, What};
use super::texts::Texts;
use crate::SimError;
use crate::driver::now;
use crate::fault::FaultRule;
use crate::record::{Line, RecordLog, put_line};

/// A service centre's state.
#[derive(Debug)]
pub(super) struct Centre {
    pub(super) config: SmscConfig,
    record: Option<RecordLog>,
    state: Mutex<State>,
    accounts: Mutex<HashMap<String, Arc<Notify>>>,
    counts: Counts,
    bound: AtomicUsize,
}

/// What it did since its start.
#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    refused: AtomicU64,
    receipts: AtomicU64,
}

#[derive(Debug)]
struct State {
    memory: Option<Memory>,
    /// The last id given to a message, and number given to something owed.
    used: u64,
    /// By account, in the order of time.
    owed: HashMap<String, BTreeMap<(Timestamp, u64), Owed>>,
    texts: Texts,
    rules: Vec<(FaultRule<SmscFault>, u64)>,
    occasions: u64,
    chance: StdRng,
    /// The second that passes, and what each account submitted in it.
    second: (i64, HashMap<String, u32>),
    lines: Lines,
}

/// What is to be written together, before anything is answered.
#[derive(Debug, Default)]
struct Lines {
    record: Vec<u8>,
    memory: Vec<u8>,
}

/// What becomes of a submitted message.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) answer: Answer,
    /// Milliseconds until the answer.
    pub(super) answer_ms: u64,
    pub(super) then: Then,
}

#[derive(Debug)]
pub(super) enum Answer {
    Id(String),
    Refused(Status),
    None,
}

/// What else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Disconnect,
    Unbind,
    Nonsense,
}

/// How much later an answer comes than the receipt that is to be first.
const RECEIPT_FIRST_MS: u64 = 200;
/// `message_state`: delivered.
const DELIVERED: u8 = 2;

impl Centre {
    pub(super) fn open(config: SmscConfig) -> Result<Self, SimError> {
        let record = (!config.sim_log.as_os_str().is_empty()).then(|| RecordLog::open(&config.sim_log)).transpose()?;
        let (memory, past) = match config.dir.as_os_str().is_empty() {
            // Ids of an earlier life must not come again.
            true => (None, Past { used: now().0.unsigned_abs() << 12, ..Past::default() }),
            false => Memory::open(&config.dir).map(|(memory, past)| (Some(memory), past))?,
        };
        let mut owed: HashMap<String, BTreeMap<(Timestamp, u64), Owed>> = HashMap::new();
        for one in past.owed.into_values() {
            owed.entry(one.account.clone()).or_default().insert((one.due, one.number), one);
        }
        let state = State {
            memory,
            used: past.used,
            owed,
            texts: Texts::default(),
            rules: config.faults.iter().map(|rule| (rule.clone(), 0)).collect(),
            occasions: 0,
            chance: StdRng::seed_from_u64(config.seed),
            second: (0, HashMap::new()),
            lines: Lines::default(),
        };
        let accounts = Mutex::default();
        let (counts, bound) = (Counts::default(), AtomicUsize::new(0));
        Ok(Self { config, record, state: Mutex::new(state), accounts, counts, bound })
    }

    pub(super) fn set_faults(&self, rules: Vec<FaultRule<SmscFault>>) {
        let mut state = self.state();
        state.rules = rules.into_iter().map(|rule| (rule, 0)).collect();
        state.occasions = 0;
    }

    pub(super) fn counts(&self) -> SmscCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { taken, refused, receipts } = &self.counts;
        let owed = self.state().owed.values().map(BTreeMap::len).sum();
        let bound = self.bound.load(Ordering::Relaxed);
        SmscCounts { taken: read(taken), refused: read(refused), receipts: read(receipts), owed, bound }
    }

    pub(super) fn joined(&self) {
        self.bound.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left(&self) {
        self.bound.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether somebody may bind.
    pub(super) fn admits(&self, bind: &Bind) -> Status {
        let known = self.config.accounts.iter().find(|account| account.system_id == bind.system_id);
        match known {
            Some(account) if account.password != bind.password => Status::INVALID_PASSWORD,
            None if !self.config.accounts.is_empty() => Status::INVALID_SYSTEM_ID,
            _ => Status::OK,
        }
    }

    /// Is told when something more is owed to an account.
    pub(super) fn bell(&self, account: &str) -> Arc<Notify> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(account.to_owned()).or_default().clone()
    }

    /// Takes a message, or does with it what it was told to. Nothing of it may be answered before [`Self::sync`].
    pub(super) fn take(&self, account: &str, message: &Message, unanswered: usize) -> Taking {
        let mut state = self.state();
        let now = now();
        let faults = state.strike();
        let refused = self.refusal(&mut state, account, message, unanswered, &faults, now);
        let has = |fault: &SmscFault| faults.contains(fault);
        let late = faults.iter().find_map(|fault| match fault {
            SmscFault::AnswerLate { ms } => Some(*ms),
            _ => None,
        });
        let first = if has(&SmscFault::ReceiptFirst) { RECEIPT_FIRST_MS } else { 0 };
        let answer_ms = state.span(self.config.answer_ms) + late.unwrap_or(0) + first;
        let then = if faults.iter().any(|fault| matches!(fault, SmscFault::Disconnect { .. })) {
            Then::Disconnect
        } else if has(&SmscFault::Unbind) {
            Then::Unbind
        } else if has(&SmscFault::Nonsense) {
            Then::Nonsense
        } else {
            Then::Nothing
        };
        if let Some(status) = refused {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return Taking { answer: Answer::Refused(status), answer_ms, then };
        }
        let lost = has(&SmscFault::AnswerMissing { taken: false }) || has(&SmscFault::Disconnect { taken: false });
        let id = if lost { 0 } else { self.keep(&mut state, account, message, &faults, now) };
        let silent = lost || has(&SmscFault::AnswerMissing { taken: true }) || then == Then::Disconnect;
        let answer = if silent { Answer::None } else { Answer::Id(self.config.response_id.write(id)) };
        Taking { answer, answer_ms, then }
    }

    fn refusal(
        &self,
        state: &mut State,
        account: &str,
        message: &Message,
        unanswered: usize,
        faults: &[SmscFault],
        now: Timestamp,
    ) -> Option<Status> {
        if self.config.window_max > 0 && unanswered >= self.config.window_max as usize {
            return Some(Status::QUEUE_FULL);
        }
        if self.config.per_second_max > 0 && state.count_second(account, now) > self.config.per_second_max {
            return Some(Status::THROTTLED);
        }
        let by_fault = faults.iter().find_map(|fault| match fault {
            SmscFault::Refused { status } => Some(Status(*status)),
            _ => None,
        });
        by_fault.or_else(|| match self.treatment(message) {
            Some(SmscTreatment::Refused { status }) => Some(Status(*status)),
            _ => None,
        })
    }

    fn treatment(&self, message: &Message) -> Option<&SmscTreatment> {
        let fits = self.config.numbers.iter().find(|rule| message.destination.text.ends_with(&rule.suffix));
        fits.map(|rule| &rule.treatment)
    }

    /// The network has it: on record, and its receipts are owed.
    fn keep(&self, state: &mut State, account: &str, message: &Message, faults: &[SmscFault], now: Timestamp) -> u64 {
        self.counts.taken.fetch_add(1, Ordering::Relaxed);
        state.used += 1;
        let id = state.used;
        if state.memory.is_some() {
            memory::put_used(&mut state.lines.memory, id);
        }
        if self.record.is_some() {
            let text = state.texts.add(account, message);
            put_line(
                &mut state.lines.record,
                &Line {
                    at: now,
                    link: account,
                    imsi: account,
                    to: message.destination.to_number(""),
                    reference: id,
                    tpdu: to_hex(message.text_octets()),
                    text: text.as_deref(),
                },
            );
        }
        let states: &[u8] = match self.treatment(message) {
            Some(SmscTreatment::Reported { states }) => states,
            Some(SmscTreatment::Unreported) => &[],
            _ => &[DELIVERED],
        };
        let wanted = message.registered_delivery & 0x03 != 0 && !faults.contains(&SmscFault::ReceiptMissing);
        let times = if faults.contains(&SmscFault::ReceiptTwice) { 2 } else { 1 };
        let mut due = now;
        for reported in states.iter().filter(|_| wanted) {
            if !faults.contains(&SmscFault::ReceiptFirst) {
                due = due.plus_ms(state.span(self.config.receipt_delay_ms).cast_signed());
            }
            for _ in 0..times {
                let (from, to) = (Party::from(&message.source), Party::from(&message.destination));
                state.owe(account, due, What::Receipt { id, state: *reported, from, to, taken: now });
            }
        }
        id
    }

    pub(super) fn inject(&self, account: &str, from: &str, to: &str, text: &str) -> Result<(), SimError> {
        let (coding, data_coding) = DefaultCoding::Gsm7.of_text(text);
        let party =
            |text: &str| Party::from(&Address { ton: 1, npi: 1, text: text.trim_start_matches('+').to_owned() });
        let what = What::Message { from: party(from), to: party(to), data_coding, text: coding.encode(text) };
        self.state().owe(account, now(), what);
        self.sync()?;
        self.bell(account).notify_waiters();
        Ok(())
    }

    /// Writes what has gathered; only then it may be answered.
    pub(super) fn sync(&self) -> Result<(), SimError> {
        let mut state = self.state();
        let Lines { record, memory } = std::mem::take(&mut state.lines);
        if let Some(log) = self.record.as_ref().filter(|_| !record.is_empty()) {
            log.write_lines(&record)?;
        }
        match &mut state.memory {
            Some(file) if !memory.is_empty() => file.append(&memory),
            _ => Ok(()),
        }
    }

    /// What is due for an account, so many at most; whoever gets it either has it taken or gives it back.
    pub(super) fn due(&self, account: &str, count_max: usize) -> Vec<Owed> {
        let mut state = self.state();
        let now = now();
        let Some(owed) = state.owed.get_mut(account) else { return Vec::new() };
        let mut due = Vec::new();
        while due.len() < count_max && owed.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            due.extend(owed.pop_first().map(|(_, one)| one));
        }
        due
    }

    /// When something is due for an account.
    pub(super) fn next_due(&self, account: &str) -> Option<Timestamp> {
        self.state().owed.get(account)?.first_key_value().map(|((at, _), _)| *at)
    }

    /// It was taken.
    pub(super) fn done(&self, owed: &Owed) {
        if matches!(owed.what, What::Receipt { .. }) {
            self.counts.receipts.fetch_add(1, Ordering::Relaxed);
        }
        let mut state = self.state();
        if state.memory.is_some() {
            memory::put_done(&mut state.lines.memory, owed.number);
        }
    }

    /// It was not taken, and is due again after a while.
    pub(super) fn give_back(&self, owed: Owed, after_ms: i64) {
        let mut state = self.state();
        let due = now().plus_ms(after_ms);
        let key = (due, owed.number);
        state.owed.entry(owed.account.clone()).or_default().insert(key, owed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn owe(&mut self, account: &str, due: Timestamp, what: What) {
        self.used += 1;
        let owed = Owed { number: self.used, account: account.to_owned(), due, what };
        if self.memory.is_some() {
            memory::put_owed(&mut self.lines.memory, &owed);
        }
        let key = (due, owed.number);
        match self.owed.get_mut(account) {
            Some(of_account) => drop(of_account.insert(key, owed)),
            None => drop(self.owed.insert(account.to_owned(), [(key, owed)].into())),
        }
    }

    fn strike(&mut self) -> Vec<SmscFault> {
        self.occasions += 1;
        let (count, chance) = (self.occasions, &mut self.chance);
        let mut struck = Vec::new();
        for (rule, times) in &mut self.rules {
            if rule.strikes(count, *times, chance) {
                *times += 1;
                struck.push(rule.fault.clone());
            }
        }
        struck
    }

    fn span(&mut self, (shortest, longest): (u64, u64)) -> u64 {
        if longest == 0 { 0 } else { self.chance.random_range(shortest..=longest.max(shortest)) }
    }

    /// What the account has submitted in this second, this message included.
    fn count_second(&mut self, account: &str, now: Timestamp) -> u32 {
        let second = now.0.div_euclid(1000);
        if self.second.0 != second {
            self.second = (second, HashMap::new());
        }
        let count = self.second.1.entry(account.to_owned()).or_default();
        *count += 1;
        *count
    }
}
