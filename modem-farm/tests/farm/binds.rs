//! What a farm promises of its binds, seen from outside: through a stream above and a service centre below.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::bench::*;
use lease::RouterMessage;
use lease::message::JournalState;
use lease::record::OutcomeKind;
use model::LinkName;
use modem_farm::Smpp;
use modem_farm::smpp::{BindAs, LongTexts, Meaning, MessageId, SubmitAs};
use runtime::pki::Authority;
use runtime::tls::{Certificates, install_provider, server_config};
use rustls::ServerConfig;
use sim::fault::FaultRule;
use sim::smsc::{IdWriting, ReceiptForm, SmscAccount, SmscNumberRule, SmscTreatment};
use sim::{Smsc, SmscConfig, SmscFault};
use tokio_util::sync::CancellationToken;

/// A service centre, and a supplier whose only link is `modem-1`, so that the bench's router leases to it.
struct Place {
    bench: Bench,
    config: SmscConfig,
    smsc: Smsc,
    stop: CancellationToken,
    supplier: Smpp,
}

impl Place {
    async fn set(change: impl FnOnce(&mut SmscConfig, &mut Smpp)) -> Self {
        Self::set_with(None, change).await
    }

    async fn set_with(tls: Option<Arc<ServerConfig>>, change: impl FnOnce(&mut SmscConfig, &mut Smpp)) -> Self {
        let bench = Bench::with(Vec::new()).await;
        let account = SmscAccount { system_id: "carillon".into(), password: "secret".into() };
        let mut config = SmscConfig {
            dir: bench.dir.path().join("smsc"),
            sim_log: bench.dir.path().join("sim.log"),
            receipt_delay_ms: (0, 20),
            accounts: vec![account],
            ..SmscConfig::default()
        };
        let password_file = bench.dir.path().join("password");
        runtime::secret::write_private(&password_file, b"secret\n").unwrap();
        let mut supplier = Smpp {
            name: LinkName::new("modem").unwrap(),
            route: route(),
            password_file,
            rebind_ms_first: 10,
            rebind_ms_max: 100,
            throttle_ms_first: 20,
            throttle_ms_max: 100,
            answer_seconds_max: 2,
            response_id: MessageId::Decimal,
            receipt_id: MessageId::Decimal,
            ..Smpp::default()
        };
        change(&mut config, &mut supplier);
        let stop = CancellationToken::new();
        let smsc = Smsc::start(config.clone(), tls, stop.clone()).await.unwrap();
        supplier.address = smsc.address().to_string();
        config.listen = smsc.address();
        Self { bench, config, smsc, stop, supplier }
    }

    async fn with_faults(faults: Vec<FaultRule<SmscFault>>) -> Self {
        Self::set(|config, _| config.faults = faults).await
    }

    fn farm(&self) -> Farm {
        self.bench.farm_with(|config| config.smpp = vec![self.supplier.clone()])
    }

    /// The service centre goes away, with all its connections.
    async fn smsc_goes(&mut self) {
        self.stop.cancel();
        self.smsc.stopped().await;
    }

    /// It comes back where it was, with what it remembers.
    async fn smsc_comes(&mut self) {
        self.stop = CancellationToken::new();
        self.smsc = Smsc::start(self.config.clone(), None, self.stop.clone()).await.unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn a_message_is_submitted_and_its_receipt_comes_back() {
    let writings = [
        (IdWriting::Decimal, IdWriting::HexUpperPadded, MessageId::Decimal, MessageId::Hex),
        (IdWriting::Hex, IdWriting::DecimalPadded, MessageId::Hex, MessageId::Decimal),
        (IdWriting::HexUpper, IdWriting::Hex, MessageId::Loose, MessageId::Loose),
        (IdWriting::Text, IdWriting::Text, MessageId::Text, MessageId::Text),
    ];
    let forms = [ReceiptForm::Both, ReceiptForm::Text, ReceiptForm::Parameters, ReceiptForm::Both];
    for ((response, receipt, response_id, receipt_id), form) in writings.into_iter().zip(forms) {
        let place = Place::set(|smsc, supplier| {
            (smsc.response_id, smsc.receipt_id, smsc.receipts) = (response, receipt, form);
            (supplier.response_id, supplier.receipt_id) = (response_id, receipt_id);
        });
        let place = place.await;
        let farm = place.farm();
        let mut router = farm.attach(1, 1).await;
        router.lease(attempt(0, 1), TO, "hello @ 1€").await;
        let outcome = router.report_of(attempt(0, 1)).await;
        assert_eq!((outcome.kind(), outcome.link.as_str()), (OutcomeKind::Sent, "modem-1"));
        assert_eq!((outcome.imsi.as_str(), outcome.references.len()), ("modem", 1));
        let receipt = router.receipt().await;
        assert_eq!((receipt.recipient.as_str(), receipt.status), (TO, 0));
        assert_eq!((&receipt.imsi, vec![receipt.reference]), (&outcome.imsi, outcome.references));
        assert_eq!(place.bench.texts(), ["hello @ 1€"]);
        router.forget(attempt(0, 1)).await;
        router.say(RouterMessage::Taken { numbers: vec![receipt.number] }).await;
        farm.stop().await;
        assert_eq!((place.smsc.counts().bound, place.smsc.counts().owed), (0, 0));
    }
}

#[tokio::test]
async fn long_texts_arrive_whole_in_every_way() {
    let text = "Grüße, €[]{} and so on. ".repeat(20);
    let foreign = "дом ".repeat(60);
    for (long_texts, submit, pdus) in [
        (LongTexts::Udh8, SubmitAs::SubmitSm, 4 + 4),
        (LongTexts::Udh16, SubmitAs::SubmitSm, 4 + 4),
        (LongTexts::Sar, SubmitAs::SubmitSm, 4 + 4),
        (LongTexts::Payload, SubmitAs::SubmitSm, 1 + 1),
        (LongTexts::Udh8, SubmitAs::DataSm, 4 + 4),
        (LongTexts::Payload, SubmitAs::DataSm, 1 + 1),
    ] {
        let place = Place::set(|_, supplier| (supplier.long_texts, supplier.submit) = (long_texts, submit)).await;
        let farm = place.farm();
        let mut router = farm.attach(1, 1).await;
        router.lease(attempt(0, 1), TO, &text).await;
        assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
        router.lease(attempt(1, 1), TO, &foreign).await;
        let outcome = router.report_of(attempt(1, 1)).await;
        assert_eq!(outcome.kind(), OutcomeKind::Sent);
        assert_eq!(place.bench.texts(), [text.clone(), foreign.clone()], "{long_texts:?} {submit:?}");
        assert_eq!(place.bench.log().len(), pdus, "{long_texts:?} {submit:?}");
        let mut heard = Vec::new();
        for _ in 0..pdus {
            heard.push(router.receipt().await.reference);
        }
        assert!(outcome.references.iter().all(|reference| heard.contains(reference)));
    }
}

#[tokio::test]
async fn two_connections_do_as_one() {
    let place = Place::set(|_, supplier| supplier.bind = BindAs::TransmitterReceiver).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "there and back").await;
    let outcome = router.report_of(attempt(0, 1)).await;
    assert_eq!(outcome.references, [router.receipt().await.reference]);
    assert_eq!(place.smsc.counts().bound, 2);
    place.smsc.inject("carillon", TO, "+447700900999", "Antwort ü").unwrap();
    let inbound = router.inbound().await;
    let deliver = wire::tpdu::Deliver::decode(&inbound.tpdu).unwrap();
    assert_eq!((deliver.originator.to_text().as_str(), deliver.user_data.text()), (TO, Some("Antwort ü".to_owned())));
    assert_eq!((inbound.imsi.as_str(), inbound.link.as_str()), ("modem", "modem-1"));
    farm.stop().await;
}

#[tokio::test]
async fn a_window_is_used_and_each_message_goes_once() {
    let place = Place::set(|smsc, supplier| {
        supplier.window = 50;
        smsc.answer_ms = (5, 50);
    });
    let place = place.await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    for number in 0..500 {
        router.lease(attempt(number, 1), TO, &format!("number {number}")).await;
    }
    for number in 0..500 {
        assert_eq!(router.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
    }
    let mut texts = place.bench.texts();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), place.bench.log().len()), (500, 500));
    for _ in 0..500 {
        router.receipt().await;
    }
}

#[tokio::test]
async fn what_a_supplier_refuses_is_told_apart() {
    let refused =
        |suffix: &str, status| SmscNumberRule { suffix: suffix.into(), treatment: SmscTreatment::Refused { status } };
    let place = Place::set(|smsc, supplier| {
        smsc.numbers = vec![refused("1", 0x0b), refused("2", 0x08), refused("3", 0x0400), refused("4", 0x0401)];
        supplier.statuses = [("0x0400", Meaning::Permanent), ("1025", Meaning::Uncertain)]
            .map(|(code, meaning)| (code.to_owned(), meaning))
            .into();
    });
    let place = place.await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    let expected = [
        ("+447700900001", OutcomeKind::FailedForGood, "ESME_RINVDSTADR"),
        ("+447700900002", OutcomeKind::FailedForNow, "ESME_RSYSERR"),
        ("+447700900003", OutcomeKind::FailedForGood, "status 0x0400"),
        ("+447700900004", OutcomeKind::Uncertain, "the link did not say what became of it"),
        ("+447700900005", OutcomeKind::Sent, ""),
    ];
    router.each_ends(&expected).await;
}

#[tokio::test]
async fn too_much_slows_the_link_down_and_it_recovers() {
    let throttled = SmscFault::Refused { status: 0x58 };
    let place = Place::with_faults(vec![FaultRule::at(throttled, &[3, 4])]).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    let mut kinds = Vec::new();
    for number in 0..20 {
        router.lease(attempt(number, 1), TO, &format!("number {number}")).await;
        let outcome = router.report_of(attempt(number, 1)).await;
        kinds.push((outcome.kind(), outcome.reason));
    }
    let refused = (OutcomeKind::FailedForNow, "ESME_RTHROTTLED".to_owned());
    let sent = (OutcomeKind::Sent, String::new());
    let expected: Vec<_> = (0..20).map(|n| if n == 2 || n == 3 { refused.clone() } else { sent.clone() }).collect();
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn a_long_pause_takes_the_link_down_until_it_is_over() {
    let place = Place::set(|smsc, supplier| {
        smsc.faults = vec![FaultRule::at(SmscFault::Refused { status: 0x14 }, &[1])];
        (supplier.throttle_ms_first, supplier.throttle_ms_max) = (4000, 4000);
    });
    let place = place.await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    router.link_is(true).await;
    router.expect_news_of_links();
    router.lease(attempt(0, 1), TO, "too much").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::FailedForNow);
    assert_eq!(router.link_is(false).await, "throttled");
    router.link_is(true).await;
    router.lease(attempt(1, 1), TO, "later").await;
    assert_eq!(router.kind_of(attempt(1, 1)).await, OutcomeKind::Sent);
}

#[tokio::test]
async fn an_unanswered_message_after_a_broken_connection_is_uncertain() {
    let faults = vec![
        FaultRule::at(SmscFault::Disconnect { taken: true }, &[2]),
        FaultRule::at(SmscFault::Disconnect { taken: false }, &[3]),
        FaultRule::at(SmscFault::AnswerMissing { taken: true }, &[4]),
    ];
    let place = Place::with_faults(faults).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    let kinds = [OutcomeKind::Sent, OutcomeKind::Uncertain, OutcomeKind::Uncertain, OutcomeKind::Uncertain];
    for (number, kind) in (0..).zip(kinds.into_iter().chain([OutcomeKind::Sent])) {
        let breaks = [1, 2].contains(&number);
        let token = router.token(&link_name(1)).await;
        router.expect_news_of_links();
        let lease = router.lease_of(attempt(number, 1), TO, &format!("number {number}"), token);
        router.say(RouterMessage::Lease(lease)).await;
        assert_eq!(router.kind_of(attempt(number, 1)).await, kind, "{number}");
        if breaks {
            router.link_is(false).await;
            router.link_is(true).await;
        }
    }
    assert_eq!(place.bench.texts(), ["number 0", "number 1", "number 3", "number 4"]);
}

#[tokio::test]
async fn a_farm_that_dies_knows_what_may_have_been_sent_and_sends_it_never_again() {
    let place = Place::with_faults(vec![FaultRule::always(SmscFault::AnswerMissing { taken: true })]).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    for number in 0..5 {
        router.lease(attempt(number, 1), TO, &format!("number {number}")).await;
    }
    wait_until(|| place.smsc.counts().taken == 5).await;
    farm.die().await;
    place.smsc.set_faults(Vec::new());
    let farm = place.farm();
    let mut router = farm.attach(2, 2).await;
    let states: Vec<_> = std::mem::take(&mut router.journal);
    assert_eq!(states.len(), 5);
    for (_, state) in states {
        let JournalState::Ended(outcome) = state else { panic!("it has ended") };
        assert_eq!((outcome.kind(), outcome.imsi.as_str()), (OutcomeKind::Uncertain, "modem"));
    }
    router.lease(attempt(9, 1), TO, "after").await;
    assert_eq!(router.kind_of(attempt(9, 1)).await, OutcomeKind::Sent);
    let mut texts = place.bench.texts();
    texts.sort();
    assert_eq!(texts, ["after", "number 0", "number 1", "number 2", "number 3", "number 4"]);
}

#[tokio::test]
async fn receipts_that_come_first_and_twice_find_their_message() {
    let faults = vec![FaultRule::at(SmscFault::ReceiptFirst, &[1]), FaultRule::at(SmscFault::ReceiptTwice, &[2])];
    let place = Place::with_faults(faults).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "early").await;
    let early = router.receipt().await;
    assert_eq!(router.report_of(attempt(0, 1)).await.references, [early.reference]);
    router.lease(attempt(1, 1), TO, "twice").await;
    let outcome = router.report_of(attempt(1, 1)).await;
    let (one, two) = (router.receipt().await, router.receipt().await);
    assert_eq!((one.reference, two.reference), (outcome.references[0], outcome.references[0]));
    assert_ne!(one.number, two.number);
}

#[tokio::test]
async fn receipts_outlive_a_restart_of_the_service_centre() {
    let mut place = Place::set(|smsc, _| smsc.receipt_delay_ms = (1000, 1000)).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "before").await;
    let before = router.report_of(attempt(0, 1)).await;
    place.smsc_goes().await;
    router.expect_news_of_links();
    place.smsc_comes().await;
    assert_eq!(router.receipt().await.reference, before.references[0]);
    router.link_is(true).await;
    router.lease(attempt(1, 1), TO, "after").await;
    let after = router.report_of(attempt(1, 1)).await;
    assert_eq!(after.kind(), OutcomeKind::Sent);
    assert_ne!(before.references, after.references, "ids are not given twice");
    farm.stop().await;
}

#[tokio::test]
async fn a_wrong_password_keeps_the_link_down() {
    let place = Place::set(|smsc, _| smsc.accounts[0].password = "other".into()).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    let refused = router.until(|message| match message {
        lease::FarmMessage::Links(links) => links.iter().find(|link| link.reason == "the bind is refused").map(drop),
        _ => None,
    });
    refused.await;
    assert_eq!(place.smsc.counts().bound, 0);
}

#[tokio::test]
async fn tls_is_spoken_and_the_other_side_is_checked() {
    install_provider();
    let dir = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::create().unwrap(), Authority::create().unwrap());
    let files = authority.issue_server(&["smsc.test"]).unwrap().write(dir.path(), "smsc").unwrap();
    let tls = server_config(Certificates::load(&[files], "tls").unwrap()).unwrap();
    for (authority, name, fits) in
        [(&authority, "smsc.test", true), (&authority, "", false), (&other, "smsc.test", false)]
    {
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, authority.certificate_pem()).unwrap();
        let place = Place::set_with(Some(tls.clone()), |_, supplier| {
            (supplier.tls, supplier.ca_file, supplier.server_name) = (true, ca_file, name.to_owned());
        });
        let place = place.await;
        let farm = place.farm();
        let mut router = farm.attach(1, 1).await;
        if fits {
            router.lease(attempt(0, 1), TO, "sealed").await;
            assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
            router.receipt().await;
        } else {
            let refused = router.until(|message| match message {
                lease::FarmMessage::Links(links) => links.iter().find(|link| link.reason == "no connection").map(drop),
                _ => None,
            });
            refused.await;
        }
        farm.stop().await;
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_answer_and_unbinds() {
    let place = Place::with_faults(vec![FaultRule::always(SmscFault::AnswerLate { ms: 700 })]).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    router.lease(attempt(0, 1), TO, "in hand").await;
    wait_until(|| place.smsc.counts().taken == 1).await;
    let ((), outcome) = tokio::join!(farm.stop(), router.report_of(attempt(0, 1)));
    assert_eq!(outcome.kind(), OutcomeKind::Sent);
    assert_eq!(place.smsc.counts().bound, 0);
}

#[tokio::test]
async fn nonsense_and_an_unbind_do_no_harm() {
    let faults = vec![FaultRule::at(SmscFault::Nonsense, &[1]), FaultRule::at(SmscFault::Unbind, &[2])];
    let place = Place::with_faults(faults).await;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    router.link_is(true).await;
    for number in 0..4 {
        router.lease(attempt(number, 1), TO, &format!("number {number}")).await;
        assert_eq!(router.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
        if number == 1 {
            router.link_is(false).await;
            router.link_is(true).await;
        }
    }
    assert_eq!(place.bench.texts().len(), 4);
}

/// Waits for a condition.
async fn wait_until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it happens in time");
}

/// A service centre nobody listens for.
#[tokio::test]
async fn a_service_centre_that_comes_late_is_found() {
    let mut place = Place::set(|_, _| {}).await;
    place.smsc_goes().await;
    let address: SocketAddr = place.config.listen;
    let farm = place.farm();
    let mut router = farm.attach(1, 1).await;
    let gone = router.until(|message| match message {
        lease::FarmMessage::Links(links) => links.iter().find(|link| link.reason == "no connection").map(drop),
        _ => None,
    });
    gone.await;
    place.smsc_comes().await;
    assert_eq!(place.smsc.address(), address);
    router.lease(attempt(0, 1), TO, "found").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
}
