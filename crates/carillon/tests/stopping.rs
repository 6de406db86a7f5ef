//! Stopping: SIGTERM drains and exits 0, a second one exits at once, and neither loses what was accepted.

mod support;

use std::time::{Duration, Instant};

use support::{Carillon, texts};

#[tokio::test]
async fn sigterm_drains_and_exits_zero() {
    let dir = tempfile::tempdir().unwrap();
    let mut carillon = Carillon::start(dir.path()).await;
    let sent = send_some(&carillon, "drained", 100).await;
    carillon.terminate();
    assert_eq!(carillon.ended().await, Some(0), "{}", carillon.log_tail());
    let carillon = Carillon::start(dir.path()).await;
    all_arrive(&carillon, &sent).await;
}

#[tokio::test]
async fn a_second_sigterm_exits_at_once_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("slow.toml");
    std::fs::write(&config, "[demo]\nanswer_ms_min = 3000\nanswer_ms_max = 3000\n").unwrap();
    let data = dir.path().join("data");
    let mut carillon = Carillon::start_with(&data, Some(&config)).await;
    let sent = send_some(&carillon, "twice told", 60).await;
    carillon.terminate();
    tokio::time::sleep(Duration::from_millis(200)).await; // the second must be seen as a second
    let begun = Instant::now();
    carillon.terminate();
    let code = carillon.ended().await;
    assert_ne!(code, Some(0), "it did not finish what was in hand, and must say so");
    assert!(begun.elapsed() < Duration::from_secs(2), "at once, not after the drain: {:?}", begun.elapsed());
    let carillon = Carillon::start(&data).await;
    all_arrive(&carillon, &sent).await;
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
