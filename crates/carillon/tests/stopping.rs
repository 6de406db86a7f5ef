//! Stopping: SIGTERM drains and exits 0, a second one exits at once, and neither loses what was accepted.

mod support;

use std::time::{Duration, Instant};

use support::{Carillon, Column, PATIENCE, on_both_columns, texts};

on_both_columns! {
    sigterm_drains_and_exits_zero,
    a_second_sigterm_exits_at_once_and_loses_nothing,
}

async fn sigterm_drains_and_exits_zero(column: Column) {
    let place = column.place();
    // However slow the machine is: what is asked is that it ends by itself.
    let mut carillon = place.start_with("drain_seconds_max = 110\n").await;
    let sent = send_some(&carillon, "drained", 100).await;
    carillon.terminate();
    assert_eq!(carillon.ended().await, Some(0), "{}", carillon.log_tail());
    let carillon = place.start().await;
    all_arrive(&carillon, &sent).await;
}

async fn a_second_sigterm_exits_at_once_and_loses_nothing(column: Column) {
    let place = column.place();
    // A drain takes as long as an answer: far longer than an end at once takes on any machine.
    let slow = "drain_seconds_max = 110\n[demo]\nanswer_ms_min = 100000\nanswer_ms_max = 100000\n";
    let mut carillon = place.start_with(slow).await;
    let sent = send_some(&carillon, "twice told", 60).await;
    wait_for_stage(&carillon, "leased").await;
    carillon.terminate();
    // Two signals of a kind that are pending together are one.
    all_say(&carillon, "stopping").await;
    let begun = Instant::now();
    carillon.terminate();
    let code = carillon.ended().await;
    assert_ne!(code, Some(0), "it did not finish what was in hand, and must say so");
    assert!(begun.elapsed() < Duration::from_secs(30), "at once, not after the drain: {:?}", begun.elapsed());
    let carillon = place.start().await;
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

async fn all_say(carillon: &Carillon, message: &str) {
    let begun = Instant::now();
    while !carillon.all_say(message) {
        assert!(begun.elapsed() < PATIENCE, "not everybody says `{message}`:\n{}", carillon.log_tail());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
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
