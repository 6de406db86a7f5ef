//! Many messages through bad modems and a farm that dies: nothing is sent twice, and every outcome is true.

use std::collections::BTreeMap;

use crate::bench::*;
use lease::message::JournalState;
use lease::record::OutcomeKind;
use lease::{FarmMessage, RouterMessage};
use sim::{Fault, FaultPlan, FaultRule, ModemConfig};

fn likely(fault: Fault, probability: f64) -> FaultRule {
    FaultRule { fault, at: Vec::new(), every: 0, probability, after: 0, times_max: 0 }
}

fn bad_modem(number: u32) -> ModemConfig {
    let rules = vec![
        likely(Fault::PromptRefused { cms: 42 }, 0.05),
        likely(Fault::PduRefused { cms: 38, sent: false }, 0.05),
        likely(Fault::PduRefused { cms: 332, sent: true }, 0.03),
        likely(Fault::ReferenceMissing { sent: true }, 0.03),
        likely(Fault::ReportFirst, 0.2),
        likely(Fault::ReportTwice, 0.1),
        likely(Fault::UrcInside, 0.2),
        likely(Fault::UrcStorm { lines: 50 }, 0.1),
        likely(Fault::ExtraCr, 0.2),
        likely(Fault::SplitWrites, 0.02),
        likely(Fault::AnswerMissing { sent: true }, 0.01),
        likely(Fault::Reset { sent: true }, 0.01),
        likely(Fault::Reset { sent: false }, 0.01),
        likely(Fault::HangUp { sent: true, back_ms: 50 }, 0.01),
        likely(Fault::HangUp { sent: false, back_ms: 50 }, 0.01),
    ];
    ModemConfig { faults: FaultPlan { rules }, ..modem(number) }
}

/// How often the network took each text.
fn taken(bench: &Bench) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in bench.texts() {
        *counts.entry(text).or_default() += 1;
    }
    counts
}

#[track_caller]
fn check_truth(bench: &Bench, ended: &BTreeMap<u32, OutcomeKind>) {
    let taken = taken(bench);
    for (number, kind) in ended {
        let count = taken.get(&format!("number {number}")).copied().unwrap_or(0);
        let told = match kind {
            OutcomeKind::Sent => count == 1,
            OutcomeKind::FailedForNow | OutcomeKind::FailedForGood => count == 0,
            OutcomeKind::Uncertain => count <= 1,
        };
        assert!(told, "number {number} ended as {kind:?}, and the network took it {count} times");
    }
    assert!(taken.values().all(|count| *count == 1), "{taken:?}");
}

#[tokio::test]
async fn bad_modems_are_told_about_truly() {
    let bench = Bench::with((1..=4).map(bad_modem).collect()).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    let (mut ended, mut next, mut out) = (BTreeMap::new(), 0, 0);
    while ended.len() < 400 {
        while out < 8 && next < 400 {
            let token = lease::message::Token(1_000_000 + u64::from(next));
            let mut lease = router.lease_of(attempt(next, 1), TO, &format!("number {next}"), token);
            lease.link = link_name(1 + next % 4);
            router.say(RouterMessage::Lease(lease)).await;
            (next, out) = (next + 1, out + 1);
        }
        let (attempt, kind) = router
            .until(|message| match message {
                FarmMessage::Report { attempt, outcome, .. } => Some((*attempt, Some(outcome.kind()))),
                FarmMessage::Return { attempt, .. } => Some((*attempt, None)),
                _ => None,
            })
            .await;
        match kind {
            Some(kind) => {
                ended.insert(attempt.delivery.index, kind);
                out -= 1;
            }
            // All links are away: it is offered again, as an attempt of its own.
            None => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                let number = attempt.delivery.index;
                let token = lease::message::Token(2_000_000);
                let again = crate::bench::attempt(number, attempt.number + 1);
                let text = format!("number {number}");
                router.say(RouterMessage::Lease(router.lease_of(again, TO, &text, token))).await;
            }
        }
    }
    check_truth(&bench, &ended);
    let sent = ended.values().filter(|kind| **kind == OutcomeKind::Sent).count();
    assert!(sent > 250, "{sent} of 400 were sent");
}

#[tokio::test]
async fn a_farm_that_dies_again_and_again_sends_nothing_twice() {
    const DEATHS: u64 = 10;
    let bench = Bench::with((1..=4).map(modem).collect()).await;
    let (mut ended, mut next) = (BTreeMap::new(), 0);
    for life in 1..=DEATHS + 1 {
        let farm = bench.farm();
        let mut router = farm.attach(life, 1).await;
        let mut uncertain = BTreeMap::new();
        for (attempt, state) in router.journal.clone() {
            let JournalState::Ended(outcome) = state else { panic!("after a restart everything has ended") };
            if outcome.kind() == OutcomeKind::Uncertain {
                *uncertain.entry(outcome.link.clone()).or_insert(0) += 1;
            }
            ended.insert(attempt.delivery.index, outcome.kind());
            router.forget(attempt).await;
        }
        assert!(uncertain.values().all(|count| *count <= 1), "one death, {uncertain:?}");
        let until = next + 20 + u32::try_from(life).unwrap() * 3;
        while next < until {
            let modem = 1 + next % 4;
            let token = router.token(&link_name(modem)).await;
            let mut lease = router.lease_of(attempt(next, 1), TO, &format!("number {next}"), token);
            lease.link = link_name(modem);
            router.say(RouterMessage::Lease(lease)).await;
            next += 1;
        }
        if life > DEATHS {
            // Let the last life finish.
            while router.until(reported).await != next - 1 {}
        }
        farm.die().await;
    }
    check_truth(&bench, &ended);
    assert!(ended.len() > 100, "{} have ended", ended.len());
}

fn reported(message: &FarmMessage) -> Option<u32> {
    match message {
        FarmMessage::Report { attempt, .. } => Some(attempt.delivery.index),
        _ => None,
    }
}
