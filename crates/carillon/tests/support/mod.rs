//! A running Carillon as its users see it: processes, doors, a log of what the simulated network received. Knows nothing of
//! what is inside.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::allow_attributes,
    reason = "each test file uses its own part of this"
)]

#[cfg(feature = "cluster")]
pub(crate) mod cluster;
pub(crate) mod column;
pub(crate) mod farm;
pub(crate) mod load;
pub(crate) mod part;
pub(crate) mod tap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

pub(crate) use column::{Column, on_both_columns};
pub(crate) use part::{Part, Role, spawn};

/// How long anything may take before a test gives up on it: far above what it takes, so that a loaded machine passes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// What `demo.json` says.
#[derive(serde::Deserialize, Clone, Debug)]
pub(crate) struct Demo {
    pub(crate) rest: String,
    pub(crate) oms: String,
    pub(crate) ops: String,
    pub(crate) control: String,
    pub(crate) api_key: String,
    pub(crate) user_id: String,
    pub(crate) password: String,
    pub(crate) numbers: Vec<String>,
    pub(crate) sim_log: PathBuf,
}

/// An installation that runs: its processes, its doors, its data directory.
pub(crate) struct Carillon {
    pub(crate) data: PathBuf,
    pub(crate) demo: Demo,
    pub(crate) client: reqwest::Client,
    /// Its processes, in the order in which an operator stops them.
    pub(crate) parts: Vec<Part>,
    /// Base URLs of its REST doors; each request goes to another.
    doors: Vec<String>,
    turn: AtomicUsize,
    page: Mutex<Page>,
}

/// What was there before: it does not count.
#[derive(Default)]
struct Page {
    received: usize,
    ledger: Value,
}

/// A line of the simulated network's record.
#[derive(serde::Deserialize, Clone, Debug)]
pub(crate) struct Received {
    pub(crate) link: String,
    pub(crate) imsi: String,
    pub(crate) to: String,
    pub(crate) reference: u64,
    pub(crate) tpdu: String,
    pub(crate) text: Option<String>,
}

impl Carillon {
    /// Starts all roles in one process under `data`, with these settings (TOML), and waits until they are ready.
    pub(crate) async fn start_whole(data: &Path, settings: &str) -> Self {
        Self::start_at(data, "127.0.0.1:0", settings).await
    }

    /// The same with its public door at this address, which it has again when it is started again.
    pub(crate) async fn start_at(data: &Path, listen: &str, settings: &str) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let config = data.join("settings.toml");
        std::fs::write(&config, settings).unwrap();
        let words = ["--data", data.to_str().unwrap(), "--listen", listen, "--config", config.to_str().unwrap()];
        let arguments = words.map(str::to_owned).to_vec();
        let mut part = Part::new(Role::Whole, 0, arguments, data.join("carillon.log"));
        let before = written_at(data);
        part.start();
        let begun = Instant::now();
        let demo = loop {
            assert!(!part.has_ended(), "carillon ended at its start:\n{}", tail(&part.log));
            assert!(begun.elapsed() < PATIENCE, "carillon did not start:\n{}", tail(&part.log));
            // It rewrites its addresses at each start: an older file speaks of another process. Asked for its time first: it
            // may be replaced at any moment, and what is read after that is the newer one.
            let is_new = written_at(data) != before;
            match read_demo(data).filter(|demo| is_new && !demo.ops.is_empty()) {
                Some(demo) => break demo,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        part.ops = Some(demo.ops.clone());
        part.ready(&client()).await;
        let doors = vec![demo.rest.clone()];
        Carillon::of(data, demo, doors, vec![part])
    }

    /// An installation whose processes are ready.
    pub(crate) fn of(data: &Path, demo: Demo, doors: Vec<String>, parts: Vec<Part>) -> Self {
        Carillon {
            data: data.to_owned(),
            demo,
            client: client(),
            parts,
            doors,
            turn: AtomicUsize::new(0),
            page: Mutex::default(),
        }
    }

    /// The process of this role and number.
    pub(crate) fn part(&mut self, role: Role, index: usize) -> &mut Part {
        let found = self.parts.iter_mut().find(|part| part.role == role && part.index == index);
        found.unwrap_or_else(|| panic!("there is no {role:?} {index}"))
    }

    /// `kill -9` of all processes, and waits until they are gone.
    pub(crate) fn kill(&mut self) {
        self.parts.iter_mut().for_each(Part::kill);
    }

    /// SIGTERM to every process but the network, which is not ours to stop while others use it.
    pub(crate) fn terminate(&self) {
        self.ours().for_each(|part| part.signal(Signal::TERM));
    }

    /// Waits for the end of every process but the network, and returns the first exit code that is not 0, if there is one;
    /// `None` if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut code = Some(0);
        for part in self.parts.iter_mut().filter(|part| part.role != Role::Network) {
            let ended = part.ended().await;
            code = if code == Some(0) { ended } else { code };
        }
        self.kill();
        code
    }

    /// Whether the log of every process but the network has this message.
    pub(crate) fn all_say(&self, message: &str) -> bool {
        self.ours().all(|part| part.says(message))
    }

    fn ours(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.role != Role::Network)
    }

    /// A REST door: another one each time, if there are several.
    pub(crate) fn door(&self) -> &str {
        &self.doors[self.turn.fetch_add(1, Ordering::Relaxed) % self.doors.len()]
    }

    /// All REST doors.
    pub(crate) fn doors(&self) -> &[String] {
        &self.doors
    }

    /// The n-th number of a country of the demo: the last four digits are n.
    pub(crate) fn number(&self, country: usize, n: usize) -> String {
        let base = &self.demo.numbers[country % self.demo.numbers.len()];
        format!("{}{:04}", &base[..base.len() - 4], n % 10_000)
    }

    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/v1/messages", self.door())).bearer_auth(&self.demo.api_key).json(body)
    }

    /// Sends one text by REST and returns its id.
    pub(crate) async fn send(&self, to: &str, text: &str) -> String {
        let answer = self.post(&serde_json::json!({ "to": to, "text": text })).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
        let answer: Value = answer.json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }

    /// What a door says at this path, asked again as it says.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let begun = Instant::now();
        loop {
            let request = self.client.get(format!("{}{path}", self.door())).bearer_auth(&self.demo.api_key);
            let answer = request.send().await.unwrap();
            let (status, wait) = (answer.status(), answer.headers().get("retry-after").cloned());
            let text = answer.text().await.unwrap();
            if status.is_success() {
                return serde_json::from_str(&text).unwrap();
            }
            let in_time = status == 503 && begun.elapsed() < PATIENCE;
            assert!(in_time, "{path}: {status} {text}\n{}", self.log_tail());
            let wait = wait.expect("503 says when to come back").to_str().unwrap().parse().unwrap();
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
    }

    /// A message as a door tells it: any door, whichever took it.
    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/v1/messages/{id}")).await
    }

    /// Asks a door to cancel a message: any door, whichever took it.
    pub(crate) async fn cancel(&self, id: &str) -> u16 {
        let door = self.doors().last().expect("an installation has a door");
        let begun = Instant::now();
        loop {
            let request = self.client.delete(format!("{door}/v1/messages/{id}")).bearer_auth(&self.demo.api_key);
            let status = request.send().await.unwrap().status().as_u16();
            if status != 503 || begun.elapsed() > PATIENCE {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a message has this state.
    pub(crate) async fn wait_state(&self, id: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let message = self.message(id).await;
            if message["state"] == state {
                return message;
            }
            if begun.elapsed() > PATIENCE {
                self.give_up(&format!("waited for `{state}`: {message:#}")).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// From here on counts only what comes.
    pub(crate) async fn turn_page(&self) {
        let ledger = self.settled().await;
        *self.page.lock().unwrap() = Page { received: received(&self.demo.sim_log).len(), ledger };
    }

    /// Waits until nothing is pending, and returns what counts since the page was turned.
    pub(crate) async fn settle(&self) -> Value {
        let ledger = self.settled().await;
        since(&ledger, &self.page.lock().unwrap().ledger)
    }

    /// Waits until nothing is pending, checking at each look that accepted = final + pending.
    async fn settled(&self) -> Value {
        let begun = Instant::now();
        loop {
            let ledger = self.get("/v1/ledger").await;
            check_ledger(&ledger);
            if ledger["pending"] == 0 {
                return ledger;
            }
            if begun.elapsed() > PATIENCE {
                self.give_up(&format!("still pending: {ledger:#}")).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The same once at least so many were accepted: the ledger follows the lanes.
    pub(crate) async fn settle_all(&self, accepted: u64) -> Value {
        let begun = Instant::now();
        loop {
            let ledger = self.settle().await;
            if ledger["accepted"].as_u64().unwrap() >= accepted {
                return ledger;
            }
            if begun.elapsed() > PATIENCE {
                self.give_up(&format!("fewer than {accepted} accepted: {ledger:#}")).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the simulated network received since the page was turned.
    pub(crate) fn received(&self) -> Vec<Received> {
        received(&self.demo.sim_log).split_off(self.page.lock().unwrap().received)
    }

    /// Fails the test, with all that may tell why.
    async fn give_up(&self, what: &str) -> ! {
        panic!("{what}\n{}\n{}", self.lags().await, self.log_tail());
    }

    /// What waits in the lanes for whom, as those that share in the work tell it.
    async fn lags(&self) -> String {
        let mut told = String::new();
        for part in &self.parts {
            let Some(ops) = &part.ops else { continue };
            let Ok(answer) = self.client.get(format!("{ops}/metrics")).send().await else { continue };
            let metrics = answer.text().await.unwrap_or_default();
            let lags =
                metrics.lines().filter(|line| line.contains("lag") && !line.starts_with('#') && !line.ends_with(" 0"));
            told.extend(lags.map(|line| format!("{part:?}: {line}\n")));
        }
        told
    }

    pub(crate) fn log_tail(&self) -> String {
        let logs = self.parts.iter().map(|part| format!("--- {part:?}\n{}", tail(&part.log)));
        logs.collect::<Vec<_>>().join("\n")
    }
}

/// An address that nobody listens at.
pub(crate) fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A client with patience.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// What `demo.json` says, if it is there, whole.
pub(crate) fn read_demo(data: &Path) -> Option<Demo> {
    serde_json::from_slice(&std::fs::read(data.join("demo.json")).ok()?).ok()
}

fn written_at(data: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(data.join("demo.json")).and_then(|meta| meta.modified()).ok()
}

/// The numbers of a ledger less those of an earlier one.
fn since(ledger: &Value, before: &Value) -> Value {
    match ledger {
        Value::Object(all) => all.iter().map(|(key, value)| (key.clone(), since(value, &before[key]))).collect(),
        number => Value::from(number.as_i64().unwrap() - before.as_i64().unwrap_or_default()),
    }
}

/// accepted = final + pending, each counted for itself.
pub(crate) fn check_ledger(ledger: &Value) {
    let count = |name: &str| ledger[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {ledger:#}"));
    assert_eq!(count("accepted"), count("final") + count("pending"), "{ledger:#}");
    assert_eq!(ledger["difference"], 0, "{ledger:#}");
}

/// Every line of a simulated network's record. It is read while it is written, so the last one may not be whole yet.
pub(crate) fn received(log: &Path) -> Vec<Received> {
    let text = std::fs::read(log).unwrap_or_default();
    let lines = text.split_inclusive(|octet| *octet == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// How often each whole text was received.
pub(crate) fn texts(received: &[Received]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    received.iter().filter_map(|line| line.text.clone()).for_each(|text| *counts.entry(text).or_insert(0) += 1);
    counts
}

/// The end of a log file, for a failing test's message.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
