//! Load that goes on while things are killed, and the count that follows. Knows the public doors and the network's record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Carillon, texts};

/// Senders at a time.
const SENDERS: usize = 4;
/// A sender's pause between two messages: load enough to be in the middle of something, few enough to count each.
const PACE: Duration = Duration::from_millis(15);

/// A message that was answered 202.
pub(crate) type Sent = (String, String);

/// Sends one text after the other until told to stop or the door is gone; returns what was answered.
async fn sender(carillon: Arc<Shared>, word: String, done: Arc<AtomicBool>) -> Vec<Sent> {
    let mut sent = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let n = carillon.count.fetch_add(1, Ordering::Relaxed);
        let text = format!("{word}-{n}");
        let door = &carillon.doors[n % carillon.doors.len()];
        let request = carillon.client.post(format!("{door}/v1/messages")).bearer_auth(&carillon.key);
        let body = json!({ "to": carillon.number(n), "text": text });
        match request.json(&body).send().await {
            Ok(answer) if answer.status() == 202 => {
                let Ok(answer) = answer.json::<Value>().await else { continue };
                sent.push((answer["id"].as_str().unwrap().to_owned(), text));
            }
            Ok(answer) => assert_eq!(answer.status(), 503, "only a full system may refuse these"),
            Err(_) => break, // killed; what was not answered may or may not be sent, once
        }
        tokio::time::sleep(PACE).await;
    }
    sent
}

/// What the senders need of a Carillon that will be killed beneath them.
struct Shared {
    client: reqwest::Client,
    doors: Vec<String>,
    key: String,
    numbers: Vec<String>,
    count: Arc<AtomicUsize>,
}

impl Shared {
    fn of(carillon: &Carillon, count: &Arc<AtomicUsize>) -> Arc<Self> {
        let demo = carillon.demo.clone();
        let (client, doors) = (carillon.client.clone(), carillon.doors().to_vec());
        Arc::new(Shared { client, doors, key: demo.api_key, numbers: demo.numbers, count: Arc::clone(count) })
    }

    fn number(&self, n: usize) -> String {
        let base = &self.numbers[n % self.numbers.len()];
        format!("{}{:04}", &base[..base.len() - 4], n % 10_000)
    }
}

pub(crate) fn start_senders(
    carillon: &Carillon,
    count: &Arc<AtomicUsize>,
    word: &str,
) -> (JoinSet<Vec<Sent>>, Arc<AtomicBool>) {
    let (shared, done) = (Shared::of(carillon, count), Arc::new(AtomicBool::new(false)));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(sender(Arc::clone(&shared), word.to_owned(), Arc::clone(&done)));
    }
    (senders, done)
}

pub(crate) fn now_ms() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i128
}

/// Counts every answered message against the network's record, and the uncertain ones against the kills.
pub(crate) async fn count(carillon: &Carillon, sent: &[Sent], kills: &[i128]) {
    count_binds(carillon, sent, kills, 1).await;
}

/// The same for links that have so many messages under way at once.
pub(crate) async fn count_binds(carillon: &Carillon, sent: &[Sent], kills: &[i128], window: usize) {
    let ledger = carillon.settle_all(sent.len() as u64).await;
    let received = texts(&carillon.received());
    let doubled: Vec<_> = received.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "sent twice: {doubled:?}");
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    let mut uncertain: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
    for (id, text) in sent {
        let message = carillon.message(id).await;
        let state = message["state"].as_str().unwrap().to_owned();
        let count = received.get(text).copied().unwrap_or(0);
        match state.as_str() {
            "delivered" | "sent" => assert_eq!(count, 1, "{state}, yet received {count} times: {message:#}"),
            "uncertain" => uncertain.entry(lease_of(&message, kills)).or_default().push(id.clone()),
            other => panic!("`{other}` must not happen here: {message:#}"),
        }
        *states.entry(state).or_default() += 1;
    }
    let crowded: Vec<_> = uncertain.iter().filter(|(_, ids)| ids.len() > window).collect();
    assert!(crowded.is_empty(), "one kill left more than {window} uncertain on a link: {crowded:?}");
    println!(
        "{} answered, {} received, {} kills: {states:?}; ledger {ledger}",
        sent.len(),
        received.len(),
        kills.len()
    );
    assert!(sent.len() > kills.len(), "too little load to mean anything: {} messages", sent.len());
}

/// The kill that followed a message's last lease, and the modem that had it.
fn lease_of(message: &Value, kills: &[i128]) -> (usize, String) {
    let timeline = message["timeline"].as_array().unwrap();
    let leased = timeline.iter().rev().find(|entry| entry["step"] == "leased").unwrap_or_else(|| panic!("{message:#}"));
    let at =
        time::OffsetDateTime::parse(leased["at"].as_str().unwrap(), &time::format_description::well_known::Rfc3339);
    let at_ms = at.unwrap().unix_timestamp_nanos() / 1_000_000;
    let kill = kills.iter().position(|kill| *kill >= at_ms).unwrap_or(kills.len());
    (kill, leased["link"].as_str().unwrap().to_owned())
}

pub(crate) fn chance() -> StdRng {
    let seed = std::env::var("CARILLON_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("CARILLON_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
