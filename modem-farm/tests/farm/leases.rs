//! What a farm promises its routers, seen from outside: through a stream above and real pseudo-terminals below.

use crate::bench::*;
use lease::FarmMessage;
use lease::RouterMessage;
use lease::message::{JournalState, Token};
use lease::record::OutcomeKind;
use sim::{Fault, NumberRule, NumberTreatment};

#[tokio::test]
async fn a_message_is_sent_and_its_receipt_comes_back() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "hello").await;
    let outcome = router.report_of(attempt(0, 1)).await;
    assert_eq!((outcome.kind(), outcome.link.as_str()), (OutcomeKind::Sent, "modem-1"));
    let receipt = router.receipt().await;
    assert_eq!((receipt.recipient.as_str(), receipt.status), (TO, 0));
    assert_eq!((&receipt.imsi, vec![receipt.reference]), (&outcome.imsi, outcome.references));
    assert_eq!(bench.texts(), ["hello"]);
    router.forget(attempt(0, 1)).await;
    router.say(RouterMessage::Taken { numbers: vec![receipt.number] }).await;
    farm.stop().await;
}

#[tokio::test]
async fn a_long_message_goes_in_parts_through_one_modem() {
    let bench = Bench::with(vec![modem(1), modem(2)]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    let text = "Grüße, €[]{} and so on. ".repeat(20);
    router.lease(attempt(0, 1), TO, &text).await;
    let outcome = router.report_of(attempt(0, 1)).await;
    assert_eq!(outcome.kind(), OutcomeKind::Sent);
    assert!(outcome.references.len() > 2);
    assert_eq!(bench.texts(), [text]);
    assert!(bench.log().iter().all(|line| line["link"] == "modem-1"));
    for _ in 0..outcome.references.len() {
        assert!(outcome.references.contains(&router.receipt().await.reference));
    }
}

#[tokio::test]
async fn many_messages_keep_a_modem_busy_and_each_is_sent_once() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    for number in 0..200 {
        router.lease(attempt(number, 1), TO, &format!("number {number}")).await;
    }
    for number in 0..200 {
        assert_eq!(router.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
    }
    let mut texts = bench.texts();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), bench.log().len()), (200, 200));
    // The lines of all those receipts.
    for _ in 0..200 {
        router.receipt().await;
    }
}

#[tokio::test]
async fn a_lease_that_comes_twice_is_sent_once() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    let token = router.token(&link_name(1)).await;
    let lease = router.lease_of(attempt(0, 1), TO, "once", token);
    for _ in 0..3 {
        router.say(RouterMessage::Lease(lease.clone())).await;
    }
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    router.say(RouterMessage::Lease(lease.clone())).await;
    router.lease(attempt(1, 1), TO, "last").await;
    assert_eq!(router.kind_of(attempt(1, 1)).await, OutcomeKind::Sent);
    assert_eq!(bench.texts(), ["once", "last"]);
}

#[tokio::test]
async fn what_the_network_refuses_is_told_apart() {
    let refused = |suffix: &str, cms| NumberRule { suffix: suffix.into(), treatment: NumberTreatment::Refused { cms } };
    let rules = vec![refused("1", 1), refused("2", 42), refused("3", 332), refused("4", 304)];
    let bench = Bench::with_network(vec![modem(1)], |network| network.numbers = rules).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    let expected = [
        ("+447700900001", OutcomeKind::FailedForGood, "CMS 1"),
        ("+447700900002", OutcomeKind::FailedForNow, "CMS 42"),
        ("+447700900003", OutcomeKind::Uncertain, "the link did not say what became of it"),
        ("+447700900004", OutcomeKind::FailedForGood, "CMS 304"),
        ("+447700900005", OutcomeKind::Sent, ""),
    ];
    router.each_ends(&expected).await;
}

#[tokio::test]
async fn a_long_message_with_a_refused_part_has_failed_and_names_the_parts_that_went() {
    let fault = Fault::PduRefused { cms: 42, sent: false };
    let bench = Bench::with(vec![faulty(1, fault, &[2])]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, &"x".repeat(400)).await;
    let outcome = router.report_of(attempt(0, 1)).await;
    assert_eq!((outcome.kind(), outcome.references.len()), (OutcomeKind::FailedForNow, 1));
    assert_eq!(outcome.reason, "part 2 of 3: CMS 42");
    assert!(bench.texts().is_empty());
}

#[tokio::test]
async fn a_modem_that_vanishes_after_the_pdu_leaves_it_uncertain_and_comes_back() {
    for sent in [true, false] {
        let bench = Bench::with(vec![faulty(1, Fault::HangUp { sent, back_ms: 300 }, &[1])]).await;
        let farm = bench.farm();
        let mut router = farm.attach(1, 1).await;
        router.link_is(true).await;
        router.expect_news_of_links();
        router.lease(attempt(0, 1), TO, "lost").await;
        assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Uncertain);
        router.link_is(false).await;
        router.link_is(true).await;
        router.lease(attempt(1, 1), TO, "found").await;
        assert_eq!(router.kind_of(attempt(1, 1)).await, OutcomeKind::Sent);
        assert_eq!(bench.texts().len(), 1 + usize::from(sent));
    }
}

#[tokio::test]
async fn a_modem_that_restarts_after_the_pdu_leaves_it_uncertain() {
    let bench = Bench::with(vec![faulty(1, Fault::Reset { sent: true }, &[1])]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.link_is(true).await;
    router.expect_news_of_links();
    router.lease(attempt(0, 1), TO, "lost").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Uncertain);
    router.link_is(false).await;
    router.link_is(true).await;
    router.lease(attempt(1, 1), TO, "found").await;
    assert_eq!(router.kind_of(attempt(1, 1)).await, OutcomeKind::Sent);
}

#[tokio::test]
async fn a_modem_without_an_answer_leaves_it_uncertain_after_the_full_time() {
    let bench = Bench::with(vec![faulty(1, Fault::AnswerMissing { sent: true }, &[1])]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "silence").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Uncertain);
    assert_eq!(bench.texts(), ["silence"]);
    // The proof comes all the same.
    assert_eq!(router.receipt().await.recipient, TO);
}

#[tokio::test]
async fn what_was_begun_when_the_farm_died_is_uncertain_and_never_sent_again() {
    let bench = Bench::with(vec![faulty(1, Fault::AnswerLate { ms: 3000 }, &[2])]).await;
    let farm = bench.farm_with(|config| config.links[0].result_seconds_max = 60);
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "first").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    router.lease(attempt(1, 1), TO, "second").await;
    while bench.log().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    farm.die().await;

    let farm = bench.farm();
    let mut router = farm.attach(2, 1).await;
    let states: Vec<_> = router.journal.iter().map(|(attempt, state)| (*attempt, state.clone())).collect();
    let [(first, JournalState::Ended(sent)), (second, JournalState::Ended(lost))] = states.as_slice() else {
        panic!("{states:?}")
    };
    assert_eq!((*first, sent.kind()), (attempt(0, 1), OutcomeKind::Sent));
    assert_eq!((*second, lost.kind(), lost.imsi.is_empty()), (attempt(1, 1), OutcomeKind::Uncertain, false));
    // An old owner's lease of the same attempt is not believed.
    router.lease(attempt(1, 1), TO, "second").await;
    router.forget(attempt(0, 1)).await;
    router.forget(attempt(1, 1)).await;
    router.lease(attempt(2, 1), TO, "third").await;
    assert_eq!(router.kind_of(attempt(2, 1)).await, OutcomeKind::Sent);
    assert_eq!(bench.texts(), ["first", "second", "third"]);
    // All receipts come, also the one that the network had while no farm was there.
    let mut references = std::collections::BTreeSet::new();
    while references.len() < 3 {
        references.insert(router.receipt().await.reference);
    }
}

#[tokio::test]
async fn outcomes_and_receipts_are_told_again_in_a_new_session_until_they_are_acknowledged() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "hello").await;
    router.report_of(attempt(0, 1)).await;
    let receipt = router.receipt().await;
    drop(router);

    let mut router = farm.attach(2, 1).await;
    assert!(matches!(router.journal.as_slice(), [(_, JournalState::Ended(_))]));
    assert_eq!(router.receipt().await, receipt);
    router.forget(attempt(0, 1)).await;
    router.say(RouterMessage::Taken { numbers: vec![receipt.number] }).await;
    farm.stop().await;

    let farm = bench.farm();
    let mut router = farm.attach(3, 1).await;
    assert!(router.journal.is_empty());
    router.lease(attempt(1, 1), "+447700900124", "again").await;
    // The network may repeat the first report to a farm that began anew; it must not stand for the second.
    while router.receipt().await.recipient != "+447700900124" {}
}

#[tokio::test]
async fn an_inbound_message_comes_up_and_survives_until_it_is_taken() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.link_is(true).await;
    bench.network.inject("modem-1", "+447700900999", "STOP").await.unwrap();
    let inbound = router.inbound().await;
    assert_eq!(inbound.link, link_name(1));
    farm.die().await;

    let farm = bench.farm();
    let mut router = farm.attach(2, 1).await;
    assert_eq!(router.inbound().await, inbound);
    router.say(RouterMessage::Taken { numbers: vec![inbound.number] }).await;
    router.link_is(true).await;
    bench.network.inject("modem-1", "+447700900999", "START").await.unwrap();
    let next = router.inbound().await;
    assert_ne!(next.tpdu, inbound.tpdu);
}

#[tokio::test]
async fn a_stop_finishes_the_message_in_hand_and_gives_the_rest_back() {
    let bench = Bench::with(vec![faulty(1, Fault::AnswerLate { ms: 1000 }, &[1])]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "in hand").await;
    router.lease(attempt(1, 1), TO, "waiting").await;
    while bench.log().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let stopping = tokio::spawn(farm.stop());
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    assert_eq!(router.return_of(attempt(1, 1)).await, "the farm stops");
    stopping.await.unwrap();
    assert_eq!(bench.texts(), ["in hand"]);
}

#[tokio::test]
async fn a_spent_budget_gives_leases_back_and_survives_a_restart() {
    let bench = Bench::with(vec![modem(1)]).await;
    let tight = |config: &mut modem_farm::Config| config.links[0].sim_segments_per_day = 3;
    let farm = bench.farm_with(tight);
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, &"x".repeat(300)).await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    router.lease(attempt(1, 1), TO, &"x".repeat(300)).await;
    assert_eq!(router.return_of(attempt(1, 1)).await, "the budget of the sim or account is spent");
    farm.die().await;

    let farm = bench.farm_with(tight);
    let mut router = farm.attach(2, 1).await;
    router.link_is(true).await;
    router.expect_news_of_links();
    router.lease(attempt(2, 1), TO, "one is left").await;
    assert_eq!(router.kind_of(attempt(2, 1)).await, OutcomeKind::Sent);
    assert_eq!(router.link_is(false).await, "budget spent");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm_with(|config| config.links[0].segments_per_minute = 120);
    let mut router = farm.attach(1, 1).await;
    router.link_is(true).await;
    let started = std::time::Instant::now();
    for number in 0..4 {
        router.lease(attempt(number, 1), TO, "slowly").await;
        assert_eq!(router.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
    }
    assert!(started.elapsed() >= std::time::Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_lease_past_its_deadline_goes_back() {
    let bench = Bench::with(vec![faulty(1, Fault::AnswerLate { ms: 800 }, &[1])]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "slow").await;
    let token = router.token(&link_name(1)).await;
    let lease = lease::message::Lease { begin_within_ms: 100, ..router.lease_of(attempt(1, 1), TO, "late", token) };
    router.say(RouterMessage::Lease(lease)).await;
    assert_eq!(router.return_of(attempt(1, 1)).await, "its deadline is past");
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    assert_eq!(bench.texts(), ["slow"]);
}

#[tokio::test]
async fn asked_again_the_farm_drops_what_it_has_not_begun() {
    let bench = Bench::with(vec![faulty(1, Fault::AnswerLate { ms: 800 }, &[1])]).await;
    let farm = bench.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "begun").await;
    router.lease(attempt(1, 1), TO, "held").await;
    while bench.log().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    router.epoch = 2;
    router.ask().await;
    assert_eq!(router.journal, [(attempt(0, 1), JournalState::Begun)]);
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    router.lease(attempt(2, 1), TO, "next").await;
    assert_eq!(router.kind_of(attempt(2, 1)).await, OutcomeKind::Sent);
    assert_eq!(bench.texts(), ["begun", "next"]);
    // An older epoch is not believed.
    router.epoch = 1;
    let session = router.session;
    router.say(RouterMessage::Ask { partition: partition(), lane: LANE, epoch: 1, session }).await;
    let newest = router.until(|message| match message {
        FarmMessage::Outdated { epoch, .. } => Some(*epoch),
        _ => None,
    });
    assert_eq!(newest.await, 2);
}

#[tokio::test]
async fn a_lease_goes_to_another_link_of_the_route_if_its_own_is_away() {
    let bench = Bench::with(vec![modem(1), modem(2)]).await;
    let farm = bench.farm_with(|config| config.links[0].device = "/nonexistent".into());
    let mut router = farm.attach(1, 1).await;
    router.token(&link_name(2)).await;
    let lease = router.lease_of(attempt(0, 1), TO, "elsewhere", Token(99));
    router.say(RouterMessage::Lease(lease)).await;
    assert_eq!(router.report_of(attempt(0, 1)).await.link, "modem-2");
}

fn with_pin(bench: &Bench, pin: &str) -> impl FnOnce(&mut modem_farm::Config) + use<> {
    let file = bench.dir.path().join("pin");
    runtime::secret::write_private(&file, pin.as_bytes()).unwrap();
    move |config| config.links[0].pin_file = file
}

#[tokio::test]
async fn the_right_pin_is_entered() {
    let bench = Bench::with(vec![sim::ModemConfig { pin: "1234".into(), ..modem(1) }]).await;
    let farm = bench.farm_with(with_pin(&bench, "1234"));
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "unlocked").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
}

#[tokio::test]
async fn a_wrong_pin_is_entered_once_and_never_again() {
    let bench = Bench::with(vec![sim::ModemConfig { pin: "1234".into(), ..modem(1) }]).await;
    let expected: [&[&str]; 2] = [&["pin-refused", "pin-needed"], &["pin-needed"]];
    for (life, reasons) in (1..).zip(expected) {
        let farm = bench.farm_with(with_pin(&bench, "9999"));
        let mut router = farm.attach(life, 1).await;
        // It rests and is brought up again, with the wrong PIN at hand each time.
        for reason in reasons {
            while router.link_is(false).await != *reason {}
        }
        farm.die().await;
    }
    // The right one, by hand: two tries are left, so it was entered once.
    let port = bench.network.ports()["modem-1"].clone();
    let tries = tokio::task::spawn_blocking(move || ask(&port, "AT+CPINR=\"SIM PIN\"")).await.unwrap();
    assert!(tries.contains("SIM PIN,2,3"), "{tries:?}");
}

/// Asks a modem by hand.
fn ask(port: &std::path::Path, command: &str) -> String {
    use std::io::{Read as _, Write as _};
    let wait = std::time::Duration::from_millis(50);
    let mut port = serialport::new(port.to_str().unwrap(), 115_200).timeout(wait).open().unwrap();
    port.write_all(format!("ATE0\r{command}\r").as_bytes()).unwrap();
    let (mut heard, started) = (String::new(), std::time::Instant::now());
    while heard.matches("OK").count() < 2 && started.elapsed().as_secs() < 10 {
        let mut buffer = [0; 256];
        if let Ok(length) = port.read(&mut buffer) {
            heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
    heard
}
