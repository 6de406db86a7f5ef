//! What became of every message, counted: by its sender, by the ledger, by the simulated network. Knows the promises: what
//! was answered arrives once, or is called uncertain; what was not arrives at most once; the ledger agrees.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Carillon, PATIENCE, received, texts};
use crate::traffic::{Fate, Sent};

/// Messages asked about at a time.
const QUESTIONS: usize = 8;
/// A ledger that has not changed for so long will not.
const QUIET: Duration = Duration::from_secs(2);
/// Examples of each kind that are shown.
const SHOWN_MAX: usize = 5;

/// The ledger at one instant.
#[derive(Clone, Default, Debug)]
pub(crate) struct Ledger {
    accepted: u64,
    finals: BTreeMap<String, u64>,
}

/// A round, counted.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    /// Answered 202.
    pub(crate) accepted: usize,
    /// Answered 503 or not at all.
    pub(crate) unanswered: usize,
    /// Different texts the network received.
    pub(crate) received: usize,
    /// Texts it received more than once.
    pub(crate) doubled: usize,
    /// Answered 202, and neither received nor called uncertain.
    pub(crate) lost: usize,
    /// Answered 202 and called uncertain.
    pub(crate) uncertain: usize,
    /// Not answered, and received all the same (`late`).
    pub(crate) unanswered_received: usize,
    /// Taken by the lanes too late, and ended as `rejected`.
    pub(crate) rejected: u64,
    /// The slowest answer.
    pub(crate) slowest: Duration,
    /// What must not be, with examples.
    pub(crate) wrong: Vec<String>,
}

impl Ledger {
    fn of(answer: &Value) -> Self {
        let finals = answer["by_state"].as_object().into_iter().flatten();
        Ledger {
            accepted: answer["accepted"].as_u64().unwrap_or_default(),
            finals: finals.map(|(state, count)| (state.clone(), count.as_u64().unwrap_or_default())).collect(),
        }
    }

    fn final_since(&self, before: &Ledger, state: &str) -> u64 {
        let count = |ledger: &Ledger| ledger.finals.get(state).copied().unwrap_or_default();
        count(self) - count(before)
    }

    /// The ledger now, whatever is pending.
    pub(crate) async fn now(carillon: &Carillon) -> Self {
        let begun = Instant::now();
        loop {
            if let Some(answer) = get(carillon, "/v1/ledger").await {
                return Ledger::of(&answer);
            }
            assert!(begun.elapsed() < PATIENCE, "the ledger can't be read:\n{}", carillon.log_tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Counts what was sent since `before`. Only the kill of a farm may leave anything uncertain, and at most one a modem.
pub(crate) async fn count(carillon: &Carillon, sent: &[Sent], before: &Ledger, farm_kills: usize) -> Tally {
    let answered = sent.iter().filter(|sent| matches!(sent.fate, Fate::Answered(_))).count();
    let mut tally = Tally {
        accepted: answered,
        unanswered: sent.len() - answered,
        slowest: sent.iter().map(|sent| sent.took).max().unwrap_or_default(),
        ..Tally::default()
    };
    let odd: Vec<&str> = sent.iter().filter_map(|sent| sent.wrong.as_deref()).collect();
    tally.must("answers", &odd);
    let ledger = tally.settle(carillon, before.accepted + answered as u64).await;
    let counts = texts(&received(&carillon.demo.sim_log));
    let times = |sent: &Sent| counts.get(&sent.text).copied().unwrap_or(0);
    tally.received = sent.iter().filter(|sent| times(sent) > 0).count();
    let is_late = |sent: &&Sent| times(sent) > 0 && !matches!(sent.fate, Fate::Answered(_));
    tally.unanswered_received = sent.iter().filter(is_late).count();
    let doubled: Vec<&str> = sent.iter().filter(|sent| times(sent) > 1).map(|sent| sent.text.as_str()).collect();
    tally.doubled = doubled.len();
    tally.must("received more than once", &doubled);
    let states = ask(carillon, sent).await;
    tally.judge(&states, times, farm_kills);
    tally.compare(&ledger, before);
    if tally.accepted == 0 {
        tally.wrong.push("no message was accepted: the round means nothing".to_owned());
    }
    tally
}

impl Tally {
    fn must<T: AsRef<str>>(&mut self, what: &str, examples: &[T]) {
        if !examples.is_empty() {
            let shown: Vec<&str> = examples.iter().take(SHOWN_MAX).map(AsRef::as_ref).collect();
            self.wrong.push(format!("{what}: {} times, as {}", examples.len(), shown.join("; ")));
        }
    }

    /// Waits until nothing is pending and at least so many are accepted, checking at each look that accepted = final +
    /// pending.
    async fn settle(&mut self, carillon: &Carillon, accepted: u64) -> Ledger {
        let (mut last, mut seen, mut since) = (Value::Null, (0, 0), Instant::now());
        while since.elapsed() < PATIENCE {
            if let Some(answer) = get(carillon, "/v1/ledger").await {
                let count = |name: &str| answer[name].as_u64().unwrap_or_default();
                if count("accepted") != count("final") + count("pending") || answer["difference"] != 0 {
                    self.wrong.push(format!("the ledger does not balance: {answer}"));
                    return Ledger::of(&answer);
                }
                if (count("accepted"), count("final")) != seen {
                    (seen, since) = ((count("accepted"), count("final")), Instant::now());
                }
                // What was not answered may still be on its way from the lanes.
                let is_quiet = self.unanswered == 0 || since.elapsed() > QUIET;
                if count("pending") == 0 && count("accepted") >= accepted && is_quiet {
                    return Ledger::of(&answer);
                }
                last = answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.wrong.push(format!("nothing settled for {} s; of {accepted}: {last}", PATIENCE.as_secs()));
        Ledger::of(&last)
    }

    /// Each message that was answered, by its state.
    fn judge(&mut self, states: &[(&Sent, Option<Value>)], times: impl Fn(&Sent) -> usize, farm_kills: usize) {
        let (mut lost, mut odd) = (Vec::new(), Vec::new());
        let mut uncertain: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (sent, message) in states {
            let state = message.as_ref().map_or("unknown", |message| message["state"].as_str().unwrap_or("none"));
            let id = message.as_ref().map_or("", |message| message["id"].as_str().unwrap_or(""));
            match (state, times(sent)) {
                ("delivered" | "sent", 1..) => {}
                ("uncertain", _) => uncertain.entry(modem(message)).or_default().push(format!("{} {id}", sent.text)),
                (state, 0) => lost.push(format!("{} {id} ({state})", sent.text)),
                (state, _) => odd.push(format!("{} {id} ({state}, yet received)", sent.text)),
            }
        }
        self.lost = lost.len();
        self.must("answered and not received", &lost);
        self.must("received and not said so", &odd);
        self.uncertain = uncertain.values().map(Vec::len).sum();
        let crowded = uncertain.into_iter().filter(|(_, messages)| messages.len() > farm_kills);
        let crowded: Vec<String> = crowded.map(|(modem, messages)| format!("{modem}: {messages:?}")).collect();
        self.must("more uncertain on a modem than kills of its farm", &crowded);
    }

    /// What the ledger counts is what senders and network saw.
    fn compare(&mut self, now: &Ledger, before: &Ledger) {
        self.rejected = now.final_since(before, "rejected");
        let arrived = now.final_since(before, "delivered") + now.final_since(before, "sent");
        let uncertain = now.final_since(before, "uncertain");
        let received = self.received as u64;
        if received < arrived || received > arrived + uncertain {
            self.wrong.push(format!(
                "the network received {received}, the ledger says {arrived} arrived and {uncertain} are uncertain"
            ));
        }
        let taken = (now.accepted - before.accepted).saturating_sub(self.accepted as u64);
        if taken > self.unanswered as u64 {
            self.wrong.push(format!("the ledger has {taken} more than were answered, of {} not", self.unanswered));
        }
    }
}

/// The modem that had a message last.
fn modem(message: &Option<Value>) -> String {
    let steps = message.as_ref().and_then(|message| message["timeline"].as_array());
    let leased = steps.and_then(|steps| steps.iter().rev().find(|step| step["step"] == "leased"));
    leased.and_then(|step| step["link"].as_str()).unwrap_or("no modem").to_owned()
}

/// Every answered message as the gateways show it.
async fn ask<'a>(carillon: &Carillon, sent: &'a [Sent]) -> Vec<(&'a Sent, Option<Value>)> {
    let mut found = Vec::new();
    let answered: Vec<(&Sent, &str)> = sent
        .iter()
        .filter_map(|sent| match &sent.fate {
            Fate::Answered(id) => Some((sent, id.as_str())),
            _ => None,
        })
        .collect();
    for some in answered.chunks(QUESTIONS) {
        let mut questions = JoinSet::new();
        for (nth, (_, id)) in some.iter().enumerate() {
            let url = format!("{}/v1/messages/{id}", carillon.door());
            let request = carillon.client.get(url).bearer_auth(&carillon.demo.api_key);
            questions.spawn(async move { (nth, answer(request).await) });
        }
        while let Some(asked) = questions.join_next().await {
            let (nth, message) = asked.unwrap();
            found.push((some[nth].0, message));
        }
    }
    found
}

async fn get(carillon: &Carillon, path: &str) -> Option<Value> {
    let url = format!("{}{path}", carillon.door());
    answer(carillon.client.get(url).bearer_auth(&carillon.demo.api_key)).await
}

/// The answer, if it was one.
async fn answer(request: reqwest::RequestBuilder) -> Option<Value> {
    let answer = request.send().await.ok()?;
    if answer.status() == 200 { answer.json().await.ok() } else { None }
}

impl Tally {
    /// The names of the columns of a tally.
    pub(crate) const HEAD: &'static str = "accepted unanswered received doubled lost uncertain rejected late";

    /// What could not be counted.
    pub(crate) fn broken(why: &str) -> Self {
        Tally { wrong: vec![why.to_owned()], ..Tally::default() }
    }

    /// Adds another's numbers.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.accepted += other.accepted;
        self.unanswered += other.unanswered;
        self.received += other.received;
        self.doubled += other.doubled;
        self.lost += other.lost;
        self.uncertain += other.uncertain;
        self.rejected += other.rejected;
        self.unanswered_received += other.unanswered_received;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8} {:>10} {:>8} {:>7} {:>4} {:>9} {:>8} {:>4}",
            self.accepted,
            self.unanswered,
            self.received,
            self.doubled,
            self.lost,
            self.uncertain,
            self.rejected,
            self.unanswered_received
        )
    }
}
