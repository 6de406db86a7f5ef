//! Load that goes on whatever happens to those it is sent to. Knows the REST door, and what became of each request as its
//! sender saw it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Carillon, Demo};

/// Senders at a time.
const SENDERS: usize = 4;
/// A sender's pause between two messages: load enough to be in the middle of something, few enough to count each.
const PACE: Duration = Duration::from_millis(25);
/// Messages on their way above which senders wait: what is counted is not how much a slow machine can carry.
const UNDER_WAY_MAX: usize = 150;
/// How often is counted how many arrived.
const LOOK: Duration = Duration::from_millis(200);
/// After a door that is closed.
const CLOSED_PAUSE: Duration = Duration::from_millis(100);

/// What a sender heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// 202, with the message's id: from here on it is the installation's to carry.
    Answered(String),
    /// 503: nothing was promised. What the lanes took nevertheless may be carried, once.
    Refused,
    /// The connection broke: as with 503.
    Broken,
    /// There was nobody to connect to.
    Unheard,
}

/// A message as its sender remembers it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) text: String,
    pub(crate) fate: Fate,
    /// How long it took.
    pub(crate) took: Duration,
    /// What was wrong with the answer itself, if anything.
    pub(crate) wrong: Option<String>,
}

/// Senders at work.
pub(crate) struct Traffic {
    senders: JoinSet<Vec<Sent>>,
    shared: Arc<Shared>,
}

struct Shared {
    client: reqwest::Client,
    doors: Vec<String>,
    demo: Demo,
    word: String,
    begun: AtomicUsize,
    answered: AtomicUsize,
    arrived: AtomicUsize,
    done: AtomicBool,
    /// Sent beside the load.
    aside: Mutex<Vec<Sent>>,
}

impl Traffic {
    /// Begins to send texts `word-0`, `word-1` and so on, by all doors in turn, to all countries in turn.
    pub(crate) fn start(carillon: &Carillon, word: &str) -> Self {
        let shared = Arc::new(Shared {
            client: carillon.client.clone(),
            doors: carillon.doors().to_vec(),
            demo: carillon.demo.clone(),
            word: word.to_owned(),
            begun: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            arrived: AtomicUsize::new(0),
            done: AtomicBool::new(false),
            aside: Mutex::default(),
        });
        tokio::spawn(watch(Arc::clone(&shared)));
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            senders.spawn(send_on(Arc::clone(&shared)));
        }
        Traffic { senders, shared }
    }

    /// What its texts begin with.
    pub(crate) fn word(&self) -> &str {
        &self.shared.word
    }

    /// Messages answered 202 so far.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Messages begun so far: the number of the next text.
    pub(crate) fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::Relaxed)
    }

    /// Countries that texts go to in turn: text n goes to country n modulo this.
    pub(crate) fn countries(&self) -> usize {
        self.shared.demo.numbers.len()
    }

    /// Counts a message that was sent beside the load.
    pub(crate) fn note(&self, sent: Sent) {
        self.shared.aside.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
    }

    /// Ends it; what was sent.
    pub(crate) async fn stop(self) -> Vec<Sent> {
        self.shared.done.store(true, Ordering::Relaxed);
        let mut sent: Vec<Sent> = self.senders.join_all().await.into_iter().flatten().collect();
        sent.append(&mut self.shared.aside.lock().unwrap_or_else(PoisonError::into_inner));
        sent
    }
}

/// Counts what the network received.
async fn watch(shared: Arc<Shared>) {
    let ours = format!("\"text\":\"{}-", shared.word);
    while !shared.done.load(Ordering::Relaxed) {
        let record = std::fs::read_to_string(&shared.demo.sim_log).unwrap_or_default();
        shared.arrived.store(record.matches(&ours).count(), Ordering::Relaxed);
        tokio::time::sleep(LOOK).await;
    }
}

async fn send_on(shared: Arc<Shared>) -> Vec<Sent> {
    let mut all = Vec::new();
    while !shared.done.load(Ordering::Relaxed) {
        if shared.under_way() > UNDER_WAY_MAX {
            tokio::time::sleep(PACE).await;
            continue;
        }
        let sent = shared.send().await;
        let pause = if sent.fate == Fate::Unheard { CLOSED_PAUSE } else { PACE };
        all.push(sent);
        tokio::time::sleep(pause).await;
    }
    all
}

impl Shared {
    fn under_way(&self) -> usize {
        self.answered.load(Ordering::Relaxed).saturating_sub(self.arrived.load(Ordering::Relaxed))
    }

    async fn send(&self) -> Sent {
        let n = self.begun.fetch_add(1, Ordering::Relaxed);
        let text = format!("{}-{n}", self.word);
        // Not by n alone: each country's texts go by every door.
        let door = &self.doors[(n / self.demo.numbers.len()) % self.doors.len()];
        let request = self.client.post(format!("{door}/v1/messages")).bearer_auth(&self.demo.api_key);
        let began = Instant::now();
        let answer = request.json(&json!({ "to": self.number(n), "text": text })).send().await;
        let (fate, wrong) = judge(answer).await;
        if matches!(fate, Fate::Answered(_)) {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        Sent { text, fate, took: began.elapsed(), wrong }
    }

    fn number(&self, n: usize) -> String {
        let base = &self.demo.numbers[n % self.demo.numbers.len()];
        format!("{}{:04}", &base[..base.len() - 4], n % 10_000)
    }
}

/// What an answer means to its sender, and what is wrong with it.
pub(crate) async fn judge(answer: reqwest::Result<reqwest::Response>) -> (Fate, Option<String>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return (Fate::Unheard, None),
        Err(error) if error.is_timeout() => return (Fate::Broken, Some("no answer at all".to_owned())),
        Err(_) => return (Fate::Broken, None),
    };
    match answer.status().as_u16() {
        202 => match answer.json::<Value>().await {
            Ok(body) => (Fate::Answered(body["id"].as_str().unwrap_or_default().to_owned()), None),
            Err(_) => (Fate::Broken, None),
        },
        503 if answer.headers().contains_key(RETRY_AFTER) => (Fate::Refused, None),
        503 => (Fate::Refused, Some("503 without `Retry-After`".to_owned())),
        other => (Fate::Refused, Some(format!("only 202 and 503 are answers to these, not {other}"))),
    }
}
