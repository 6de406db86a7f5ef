//! Which message goes where, and how each is known again.
//!
//! Knows the arithmetic of a run; must not talk to anyone. A message is known by its index: its text ends with a token
//! made of the run and the index, and its recipients follow from the index.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::options::{Door, Options, Target};
use crate::scenario::{Alphabet, MESSAGES_MAX, Stream};

/// The messages of one run, or of one stream of it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) door: Door,
    pub(crate) connections: usize,
    pub(crate) batch_messages: usize,
    pub(crate) idempotency: bool,
    /// Messages begun a second; `None`: as fast as they are answered.
    pub(crate) rate: Option<f64>,
    /// How long messages are begun; `None`: until all are.
    pub(crate) span: Option<Duration>,
    /// Whether a refusal for now is the end of it.
    pub(crate) retry: bool,
    pub(crate) share: Share,
    burst: u64,
    messages: u64,
    recipients: usize,
    text: String,
    characters: Vec<usize>,
    alphabet: Alphabet,
    run: String,
    prefixes: Vec<String>,
}

/// Which of the calls are this process's: every `of`th from `part` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Share {
    pub(crate) part: u32,
    pub(crate) of: u32,
}

impl Share {
    pub(crate) const WHOLE: Self = Self { part: 0, of: 1 };

    /// This process's part of so many connections.
    pub(crate) fn connections(self, all: usize) -> usize {
        let (part, of) = (self.part as usize, self.of as usize);
        all / of + usize::from(part < all % of)
    }
}

/// How many last digits of a number may be any.
const FREE_DIGITS: usize = 4;
/// Letters GSM-7 does not have.
const WIDE: &str = "Колокол ";
const FREE_NUMBERS: u64 = 10_000;

impl Plan {
    pub(crate) fn new(options: &Options, target: &Target) -> Self {
        let prefix = |number: &String| number[..number.len() - FREE_DIGITS].to_owned();
        Self {
            door: options.door,
            connections: options.connections,
            batch_messages: if options.door == Door::OmsBatch { options.batch_messages } else { 1 },
            idempotency: options.idempotency,
            rate: options.rate,
            span: None,
            retry: true,
            share: Share::WHOLE,
            burst: 1,
            messages: options.messages,
            recipients: options.recipients_per_message,
            text: options.text.clone(),
            characters: Vec::new(),
            alphabet: Alphabet::Gsm7,
            run: run_name(),
            prefixes: target.numbers.iter().map(prefix).collect(),
        }
    }

    /// The messages of a stream, at its own rate or at the one that was found for it.
    pub(crate) fn of(stream: &Stream, rate: Option<f64>, numbers: &[String], run: &str, share: Share) -> Self {
        let prefix = |number: &String| number[..number.len() - FREE_DIGITS].to_owned();
        let rate = rate.or(stream.rate);
        // In an open loop the clock says how many there are.
        let by_clock = rate.zip(stream.seconds).map(|(rate, seconds)| (rate * seconds).ceil().max(1.0) as u64);
        let messages = stream.messages.into_iter().chain(by_clock).min().unwrap_or(MESSAGES_MAX);
        Self {
            door: stream.door,
            connections: share.connections(stream.connections),
            batch_messages: if stream.door == Door::OmsBatch { stream.batch } else { 1 },
            idempotency: stream.idempotency,
            rate,
            span: stream.seconds.map(Duration::from_secs_f64),
            retry: stream.retry,
            share,
            burst: stream.burst,
            messages: messages.min(MESSAGES_MAX),
            recipients: stream.recipients,
            text: stream.text.clone(),
            characters: stream.characters.clone(),
            alphabet: stream.alphabet,
            run: run.to_owned(),
            prefixes: numbers.iter().map(prefix).collect(),
        }
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// What tells this run from others.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    pub(crate) fn recipients(&self) -> usize {
        self.recipients
    }

    /// Message and recipient: what the ledger counts.
    pub(crate) fn deliveries(&self) -> u64 {
        self.messages * self.recipients as u64
    }

    /// When a message is due after the start; `None`: as soon as there is somebody to send it.
    pub(crate) fn due(&self, index: u64) -> Option<Duration> {
        let first_of_burst = index / self.burst * self.burst;
        self.rate.map(|rate| Duration::from_secs_f64(first_of_burst as f64 / rate))
    }

    /// The text of a message, with its token at the end. The token is plain GSM-7.
    pub(crate) fn text(&self, index: u64) -> String {
        let token = format!(" #{}.{index}", self.run);
        let wide = match self.alphabet {
            Alphabet::Gsm7 => false,
            Alphabet::Ucs2 => true,
            Alphabet::Mixed => index % 2 == 1,
        };
        let begin = if wide { format!("{WIDE}{}", self.text) } else { self.text.clone() };
        if self.characters.is_empty() {
            return begin + &token;
        }
        let wanted = self.characters[index as usize % self.characters.len()].saturating_sub(token.len());
        let cycle = begin.chars().chain([' ']).cycle();
        cycle.take(wanted).chain(token.chars()).collect()
    }

    /// The idempotency key of a message.
    pub(crate) fn key(&self, index: u64) -> String {
        format!("loadtest-{}-{index}", self.run)
    }

    /// The recipients of a message: countries in turn, all different within a message.
    pub(crate) fn numbers(&self, index: u64) -> impl Iterator<Item = String> {
        let first = index * self.recipients as u64;
        (first..first + self.recipients as u64).map(|delivery| self.number(delivery))
    }

    /// The index of the message a text belongs to, if it is one of this run.
    pub(crate) fn index_of(&self, text: &str) -> Option<u64> {
        let (before, index) = text.rsplit_once('.')?;
        let run = before.rsplit_once('#')?.1;
        let index = index.parse().ok()?;
        (run == self.run && index < self.messages).then_some(index)
    }

    /// Which delivery of the run a number in a message is.
    pub(crate) fn delivery_of(&self, index: u64, number: &str) -> Option<u64> {
        let position = self.numbers(index).position(|planned| planned == number)?;
        Some(index * self.recipients as u64 + position as u64)
    }

    fn number(&self, delivery: u64) -> String {
        let countries = self.prefixes.len() as u64;
        let prefix = &self.prefixes[(delivery % countries) as usize];
        format!("{prefix}{:0FREE_DIGITS$}", delivery / countries % FREE_NUMBERS)
    }
}

/// Runs within one log are told apart by the time they began, in milliseconds, base 36.
pub(crate) fn run_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut rest = since.as_millis() as u64;
    let mut name = Vec::new();
    while rest > 0 {
        name.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize]);
        rest /= 36;
    }
    name.reverse();
    String::from_utf8(name).expect("the digits are ascii")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;

    fn plan(recipients: usize) -> Plan {
        let options = Options::try_parse_from(["loadtest", "--rest", "http://x", "-n", "20000"]).unwrap();
        let options = Options { recipients_per_message: recipients, ..options };
        let target = Target {
            rest: String::new(),
            oms: String::new(),
            kannel: String::new(),
            api_key: String::new(),
            other_keys: Vec::new(),
            user_id: String::new(),
            password: String::new(),
            numbers: vec!["+4915112345678".into(), "+447700900123".into()],
            sim_log: None,
        };
        Plan::new(&options, &target)
    }

    #[test]
    fn a_text_is_known_again() {
        let plan = plan(1);
        for index in [0, 7, 19_999] {
            assert_eq!(plan.index_of(&plan.text(index)), Some(index));
        }
        assert_eq!(plan.index_of(&plan.text(20_000)), None, "beyond the run");
        assert_eq!(plan.index_of("Carillon rings #other.7"), None);
        assert_eq!(plan.index_of("no token"), None);
    }

    #[test]
    fn numbers_keep_their_length_and_differ_within_a_message() {
        let plan = plan(50);
        let numbers: BTreeSet<String> = plan.numbers(399).collect();
        assert_eq!(numbers.len(), 50);
        assert!(numbers.iter().all(|number| number.len() == 14 && number.starts_with("+491511234")
            || number.len() == 13 && number.starts_with("+44770090")));
    }

    fn stream(text: &str) -> Stream {
        Stream { messages: Some(100), ..toml::from_str(text).unwrap() }
    }

    #[test]
    fn texts_are_as_long_and_as_wide_as_asked_for() {
        let stream = stream("characters = [20, 160]\nalphabet = \"mixed\"\n");
        let plan = Plan::of(&stream, None, &["+4915112345678".to_owned()], "r", Share::WHOLE);
        let texts = [0, 1, 2].map(|index| plan.text(index));
        assert_eq!(texts.each_ref().map(|text| text.chars().count()), [20, 160, 20]);
        assert_eq!(texts.each_ref().map(|text| text.is_ascii()), [true, false, true]);
        assert_eq!(texts.map(|text| plan.index_of(&text)), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn a_burst_is_due_at_once() {
        let plan = Plan::of(&stream("rate = 10.0\nburst = 5\n"), None, &[], "r", Share::WHOLE);
        let due = [0, 4, 5, 9, 10].map(|index| plan.due(index).unwrap().as_millis());
        assert_eq!(due, [0, 0, 500, 500, 1000]);
        let plan = Plan::of(&stream("rate = 10.0\nseconds = 2.5\n"), Some(8.0), &[], "r", Share::WHOLE);
        assert_eq!((plan.messages(), plan.due(8).unwrap().as_millis()), (20, 1000));
    }

    #[test]
    fn shares_add_up() {
        let of = |all| (0..3).map(|part| Share { part, of: 3 }.connections(all)).collect::<Vec<_>>();
        assert_eq!((of(8), of(1)), (vec![3, 3, 2], vec![1, 0, 0]));
    }

    #[test]
    fn a_number_leads_back_to_its_delivery() {
        let plan = plan(3);
        for (position, number) in plan.numbers(5).enumerate() {
            assert_eq!(plan.delivery_of(5, &number), Some(15 + position as u64));
        }
        assert_eq!(plan.delivery_of(5, "+1"), None);
    }
}
