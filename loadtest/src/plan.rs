//! Which message goes where, and how each is known again.
//!
//! Knows the arithmetic of a run; must not talk to anyone. A message is known by its index: its text ends with a token
//! made of the run and the index, and its recipients follow from the index.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::options::{Door, Options, Target};

/// The messages of one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) door: Door,
    pub(crate) connections: usize,
    pub(crate) batch_messages: usize,
    pub(crate) idempotency: bool,
    /// Messages begun a second; `None`: as fast as they are answered.
    pub(crate) rate: Option<f64>,
    messages: u64,
    recipients: usize,
    text: String,
    run: String,
    prefixes: Vec<String>,
}

/// How many last digits of a number may be any.
const FREE_DIGITS: usize = 4;
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
            messages: options.messages,
            recipients: options.recipients_per_message,
            text: options.text.clone(),
            run: run_name(),
            prefixes: target.numbers.iter().map(prefix).collect(),
        }
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
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
        self.rate.map(|rate| Duration::from_secs_f64(index as f64 / rate))
    }

    /// The text of a message, with its token. The token is plain GSM-7.
    pub(crate) fn text(&self, index: u64) -> String {
        format!("{} #{}.{index}", self.text, self.run)
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
fn run_name() -> String {
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
            api_key: String::new(),
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

    #[test]
    fn a_number_leads_back_to_its_delivery() {
        let plan = plan(3);
        for (position, number) in plan.numbers(5).enumerate() {
            assert_eq!(plan.delivery_of(5, &number), Some(15 + position as u64));
        }
        assert_eq!(plan.delivery_of(5, "+1"), None);
    }
}
