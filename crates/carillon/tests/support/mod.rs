//! A running Carillon as its users see it: a process, two doors, a log of what the simulated network received. Knows nothing
//! of what is inside.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own part of this")]

pub(crate) mod farm;
pub(crate) mod load;
pub(crate) mod tap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up on it: far above what it takes, so that a loaded machine passes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

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

/// A Carillon process and its data directory.
pub(crate) struct Carillon {
    pub(crate) data: PathBuf,
    pub(crate) demo: Demo,
    pub(crate) client: reqwest::Client,
    child: Child,
}

/// A line of the simulated network's record.
#[derive(serde::Deserialize, Clone, Debug)]
pub(crate) struct Received {
    pub(crate) link: String,
    pub(crate) imsi: String,
    pub(crate) to: String,
    pub(crate) reference: u8,
    pub(crate) tpdu: String,
    pub(crate) text: Option<String>,
}

/// Starts the binary with these arguments, its logs in a file beside the data.
pub(crate) fn spawn(arguments: &[&str], log: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    Command::new(env!("CARGO_BIN_EXE_carillon"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Carillon {
    /// Starts all roles under `data` and waits until they are ready.
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, None).await
    }

    /// The same with a settings file.
    pub(crate) async fn start_with(data: &Path, config: Option<&Path>) -> Self {
        let demo_path = data.join("demo.json");
        let before = std::fs::metadata(&demo_path).and_then(|meta| meta.modified()).ok();
        let directory = data.to_str().unwrap();
        let mut arguments = vec!["--data", directory, "--listen", "127.0.0.1:0"];
        if let Some(config) = config {
            arguments.extend(["--config", config.to_str().unwrap()]);
        }
        std::fs::create_dir_all(data).unwrap();
        let mut child = spawn(&arguments, &data.join("carillon.log"));
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let begun = Instant::now();
        let demo = loop {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("carillon ended at its start ({status}):\n{}", tail(&data.join("carillon.log")));
            }
            assert!(begun.elapsed() < PATIENCE, "carillon did not start:\n{}", tail(&data.join("carillon.log")));
            let now = std::fs::metadata(&demo_path).and_then(|meta| meta.modified()).ok();
            if now.is_some() && now != before {
                let demo = serde_json::from_slice::<Demo>(&std::fs::read(&demo_path).unwrap());
                if let Some(demo) = demo.ok().filter(|demo| !demo.ops.is_empty())
                    && is_ready(&client, &demo.ops).await
                {
                    break demo;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Carillon { data: data.to_owned(), demo, client, child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for the end and returns the exit code; `None` if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "carillon did not stop:\n{}", tail(&self.data.join("carillon.log")));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The n-th number of a country of the demo: the last four digits are n.
    pub(crate) fn number(&self, country: usize, n: usize) -> String {
        let base = &self.demo.numbers[country % self.demo.numbers.len()];
        format!("{}{:04}", &base[..base.len() - 4], n % 10_000)
    }

    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/v1/messages", self.demo.rest)).bearer_auth(&self.demo.api_key).json(body)
    }

    /// Sends one text by REST and returns its id.
    pub(crate) async fn send(&self, to: &str, text: &str) -> String {
        let answer = self.post(&serde_json::json!({ "to": to, "text": text })).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
        let answer: Value = answer.json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.demo.rest)).bearer_auth(&self.demo.api_key);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {} {}", answer.status(), answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/v1/messages/{id}")).await
    }

    /// Waits until a message has this state.
    pub(crate) async fn wait_state(&self, id: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let message = self.message(id).await;
            if message["state"] == state {
                return message;
            }
            assert!(begun.elapsed() < PATIENCE, "waited for `{state}`: {message:#}\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is pending, checking at each look that accepted = final + pending.
    pub(crate) async fn settle(&self) -> Value {
        let begun = Instant::now();
        loop {
            let ledger = self.get("/v1/ledger").await;
            check_ledger(&ledger);
            if ledger["pending"] == 0 {
                return ledger;
            }
            assert!(begun.elapsed() < PATIENCE, "still pending: {ledger:#}\n{}", self.log_tail());
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
            assert!(begun.elapsed() < PATIENCE, "fewer than {accepted} accepted: {ledger:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the simulated network received.
    pub(crate) fn received(&self) -> Vec<Received> {
        received(&self.demo.sim_log)
    }

    pub(crate) fn log_tail(&self) -> String {
        tail(&self.data.join("carillon.log"))
    }
}

impl Drop for Carillon {
    fn drop(&mut self) {
        drop(self.child.kill()); // it may have ended already
        drop(self.child.wait());
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

async fn is_ready(client: &reqwest::Client, ops: &str) -> bool {
    client.get(format!("{ops}/readyz")).send().await.is_ok_and(|answer| answer.status() == 200)
}

/// The end of a log file, for a failing test's message.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
