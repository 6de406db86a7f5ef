//! Stopping: SIGTERM drains and exits 0, a second one exits at once, and neither loses what was accepted.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::farm::wait_until;
use support::{Carillon, PATIENCE, texts};

#[tokio::test]
async fn sigterm_drains_and_exits_zero() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (dir.path().join("patient.toml"), dir.path().join("data"));
    // However slow the machine is: what is asked is that it ends by itself.
    std::fs::write(&config, "drain_seconds_max = 110\n").unwrap();
    let mut carillon = Carillon::start_with(&data, Some(&config)).await;
    let sent = send_some(&carillon, "drained", 100).await;
    carillon.terminate();
    assert_eq!(carillon.ended().await, Some(0), "{}", carillon.log_tail());
    let carillon = Carillon::start(&data).await;
    all_arrive(&carillon, &sent).await;
}

#[tokio::test]
async fn a_second_sigterm_exits_at_once_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (dir.path().join("slow.toml"), dir.path().join("data"));
    // A drain takes as long as an answer: far longer than an end at once takes on any machine.
    let slow = "drain_seconds_max = 110\n[demo]\nanswer_ms_min = 100000\nanswer_ms_max = 100000\n";
    std::fs::write(&config, slow).unwrap();
    let mut carillon = Carillon::start_with(&data, Some(&config)).await;
    let sent = send_some(&carillon, "twice told", 60).await;
    wait_for_stage(&carillon, "leased").await;
    carillon.terminate();
    // Two signals of a kind that are pending together are one.
    let log = data.join("carillon.log");
    wait_until("the first signal is seen", &log, || is_said(&log, "stopping")).await;
    let begun = Instant::now();
    carillon.terminate();
    let code = carillon.ended().await;
    assert_ne!(code, Some(0), "it did not finish what was in hand, and must say so");
    assert!(begun.elapsed() < Duration::from_secs(30), "at once, not after the drain: {:?}", begun.elapsed());
    let carillon = Carillon::start(&data).await;
    all_arrive(&carillon, &sent).await;
}

/// Waits until something is at this stage, and so in hand.
async fn wait_for_stage(carillon: &Carillon, stage: &str) {
    let begun = Instant::now();
    while carillon.get("/v1/ledger").await["by_stage"][stage].as_u64().unwrap_or_default() == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing is `{stage}`:\n{}", carillon.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_said(log: &Path, message: &str) -> bool {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).contains(&format!("\"message\":\"{message}\""))
}

async fn send_some(carillon: &Carillon, word: &str, count: usize) -> Vec<(String, String)> {
    let mut sent = Vec::new();
    for n in 0..count {
        let text = format!("{word} {n}");
        sent.push((carillon.send(&carillon.number(n, n), &text).await, text));
    }
    sent
}

async fn all_arrive(carillon: &Carillon, sent: &[(String, String)]) {
    let ledger = carillon.settle_all(sent.len() as u64).await;
    assert_eq!(ledger["accepted"], sent.len(), "{ledger:#}");
    let counts = texts(&carillon.received());
    for (id, text) in sent {
        let state = carillon.message(id).await["state"].as_str().unwrap().to_owned();
        let count = counts.get(text).copied().unwrap_or(0);
        assert!(
            matches!((state.as_str(), count), ("delivered", 1) | ("uncertain", 0 | 1)),
            "{id}: {state}, {count} times"
        );
    }
}
