//! Delivery reports of HTTP services: what comes in ends deliveries, what ends here is told to whoever handed it over. Knows lanes and
//! the store by their public faces; receivers are servers of a few lines.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::Bus as _;
use lease::record::OutcomeKind;
use model::event::Step;
use model::record::Record;
use model::report::{ReportTo, Reported, Said};
use model::{Lane, State};
use runtime::Stop;
use serde_json::Value;
use sms_router::config::{Config, Reports};
use sms_router::outcome::Kind;
use sms_router::replies::hooks::Hooks;
use sms_router::replies::mailer::{Mailer, REPORTERS, Way};
use support::{House, IMSI, NOW, Sent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than any of it takes on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const DELIVERED: u32 = 0x00;

async fn routed(house: &House, sent: &Sent) -> Record {
    house.accept(std::slice::from_ref(sent)).await;
    house.plan().await;
    let mut records = house.routed("blue-gb").await;
    records.retain(|record| record.header.message == sent.header.message);
    records.pop().expect("it was routed")
}

impl House {
    /// A gateway takes what a service says of a part.
    async fn reported(&self, sent: &Sent, reference: u32, said: Said) {
        let recipient_hash = sent.header.recipient_hash.clone();
        let at_ms = self.desk.clock.now().0;
        let (account, said) = (IMSI.to_owned(), said.into());
        let reported =
            Reported { account, recipient_hash: recipient_hash.clone(), reference, said, network_ms: 5, at_ms };
        self.put_outcome(&recipient_hash, Kind::Reported(reported)).await;
    }

    /// The final states a delivery was told to enter, corrections among them.
    async fn ends(&self, sent: &Sent) -> Vec<(State, bool)> {
        let ended = |step| if let Some(Step::Ended(ended)) = step { Some(ended) } else { None };
        let ends = self.events(sent).await.into_iter().filter_map(|event| ended(event.step));
        ends.map(|ended| (State::from_rank(ended.state as u8).unwrap(), ended.correction)).collect()
    }
}

/// A delivery of which these words are told, one after the other, with a restart between them.
#[track_caller]
fn check(references: &'static [u32], told: &'static [(u32, Said)], expected: &'static [(State, bool)]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let house = House::open().await;
        let sent = house.message(1);
        let record = routed(&house, &sent).await;
        house.outcome(&record, OutcomeKind::Sent, references).await;
        house.settle().await;
        for (reference, said) in told {
            house.reported(&sent, *reference, *said).await;
            house.settle().await;
        }
        assert_eq!(house.ends(&sent).await, expected, "{told:?}");
        // The ledger balances, with the last of them.
        let ledger = house.ledger().await;
        match expected.last() {
            Some((state, _)) => assert_eq!(ledger.finals[state], 1, "{told:?}"),
            None => assert_eq!(ledger.pending[&State::Submitted], 1, "{told:?}"),
        }
    });
}

#[test]
fn what_a_service_says_ends_a_delivery_once() {
    check(&[9], &[(9, Said::Underway)], &[]);
    check(&[9], &[(9, Said::Underway), (9, Said::Delivered)], &[(State::Delivered, false)]);
    check(&[9], &[(9, Said::Delivered), (9, Said::Delivered)], &[(State::Delivered, false)]);
    check(&[9], &[(9, Said::Delivered), (9, Said::Failed)], &[(State::Delivered, false)]);
    check(&[9], &[(9, Said::Failed)], &[(State::Failed, false)]);
    check(&[9], &[(9, Said::Refused)], &[(State::Failed, false)]);
    check(&[9], &[(9, Said::Expired)], &[(State::Expired, false)]);
    check(&[9], &[(8, Said::Delivered)], &[]);
}

#[test]
fn what_may_be_corrected_is() {
    let corrected = &[(State::Sent, false), (State::Delivered, true)];
    check(&[9], &[(9, Said::Sent), (9, Said::Sent)], &[(State::Sent, false)]);
    check(&[9], &[(9, Said::Sent), (9, Said::Delivered)], corrected);
    check(&[9], &[(9, Said::Uncertain), (9, Said::Uncertain)], &[(State::Uncertain, false)]);
    check(&[9], &[(9, Said::Uncertain), (9, Said::Delivered)], &[(State::Uncertain, false), (State::Delivered, true)]);
    check(&[9], &[(9, Said::Uncertain), (9, Said::Failed)], &[(State::Uncertain, false), (State::Failed, true)]);
    // Told in the wrong order, nothing is taken back.
    check(&[9], &[(9, Said::Delivered), (9, Said::Sent)], &[(State::Delivered, false)]);
    check(&[8, 9], &[(8, Said::Sent), (9, Said::Sent), (9, Said::Delivered), (8, Said::Delivered)], corrected);
    check(&[8, 9], &[(8, Said::Delivered), (9, Said::Sent), (9, Said::Delivered)], corrected);
    check(&[8, 9], &[(8, Said::Sent), (9, Said::Failed)], &[(State::Failed, false)]);
}

#[tokio::test]
async fn a_report_may_come_long_before_its_outcome_and_across_a_restart() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.reported(&sent, 9, Said::Sent).await;
    house.reported(&sent, 9, Said::Delivered).await;
    house.reported(&sent, 9, Said::Underway).await;
    house.settle().await;
    // The call was repeated for a while before it had an answer: longer than a receipt of a network may be early.
    house.desk.clock.set(NOW.plus_ms(120_000));
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "submitted", "delivered"]);
    house.ledger().await;
}

#[tokio::test]
async fn a_call_without_an_answer_is_proved_by_its_report() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::Uncertain, &[9]).await;
    house.settle().await;
    house.reported(&sent, 9, Said::Delivered).await;
    house.settle().await;
    assert_eq!(house.ends(&sent).await, [(State::Uncertain, false), (State::Delivered, true)]);
}

/// Somebody who wants to hear how messages ended, and answers by a script first and `204` then.
struct Receiver {
    url: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    async fn answering(script: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sms/reports/", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<_>>> = Arc::default();
        let (kept, mut script) = (Arc::clone(&heard), script.iter().copied());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                take(stream, script.next().unwrap_or("204 No Content"), &kept).await;
            }
        });
        Receiver { url, heard }
    }

    /// What was heard: the path, the id of the post, and the report.
    fn heard(&self) -> Vec<(String, Value)> {
        self.heard.lock().unwrap().clone()
    }
}

async fn take(mut stream: TcpStream, status: &str, heard: &Mutex<Vec<(String, Value)>>) {
    let (mut request, mut octets) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                break;
            }
        }
        match stream.read(&mut octets).await {
            Ok(count @ 1..) => request += &String::from_utf8_lossy(&octets[..count]),
            _ => return,
        }
    }
    let (head, body) = request.split_once("\r\n\r\n").expect("a whole request");
    let path = head.split(' ').nth(1).expect("a request line").to_owned();
    assert!(head.to_ascii_lowercase().contains("\r\nwebhook-signature: v1,"), "{head}");
    heard.lock().unwrap().push((path, serde_json::from_str(body).unwrap()));
    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    drop(stream.write_all(answer.as_bytes()).await);
}

/// A house that may post to this machine, and posts again at once.
async fn posting(networks: &[&str]) -> House {
    let networks = networks.iter().map(|network| (*network).to_owned()).collect();
    let reports = Reports { networks, retry_ms_first: 10, retry_ms_max: 20, ..Reports::default() };
    House::open_with(Config { reports, references_flush_ms: 20, ..Config::default() }).await
}

/// A message of somebody who wants to hear of it at this address.
fn asking(house: &House, id: u128, url: &str) -> Sent {
    let snapshot = house.desk.world.snapshot();
    let (_, key) = snapshot.keyring.newest(&house.tenant).expect("the keeper made a key");
    let sent = house.message(id);
    let to = ReportTo::seal(key, &house.tenant, sent.header.id().unwrap(), url);
    sent.with(|header| header.report = Some(to))
}

/// Posts until the lane is done with all that stands in it.
async fn post_all(house: &House) {
    let stop = Stop::new(30);
    let way = Way::Reports(Hooks::for_reports(&house.desk.config.reports, &house.master).unwrap());
    let mailer = Mailer::new(house.desk.clone(), way, 0);
    let end = house.entries(&Lane::Reports).await.len() as i64;
    let done = async {
        while house.bus.watermark(REPORTERS, &Lane::Reports, 0).await.unwrap() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = mailer.run(&stop) => panic!("it ended: {ended:?}"),
        done = tokio::time::timeout(PATIENCE, done) => done.expect("all is posted or given up"),
    }
}

#[tokio::test]
async fn who_handed_a_message_over_is_told_how_it_ended() {
    let receiver = Receiver::answering(&["503 Service Unavailable", "404 Not Found"]).await;
    let house = posting(&["127.0.0.0/8"]).await;
    let sent = asking(&house, 1, &format!("{}ticket-1", receiver.url));
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.settle().await;
    house.project().await;
    assert_eq!(house.entries(&Lane::Reports).await.len(), 0, "that it was handed over is no end");
    house.receipt(&sent, 9, DELIVERED).await;
    house.settle().await;
    house.project().await;
    let records = house.entries(&Lane::Reports).await;
    assert_eq!(records.len(), 1);
    let text = String::from_utf8_lossy(&records[0]).into_owned();
    assert!(!text.contains("ticket-1") && !text.contains("127.0.0.1"), "the address is sealed");
    post_all(&house).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 3, "until it is taken: {heard:?}");
    let (path, report) = &heard[2];
    assert_eq!((path.as_str(), report["type"].as_str()), ("/sms/reports/ticket-1", Some("message.ended")));
    assert_eq!(report["data"]["state"], "delivered");
    assert_eq!(report["timestamp"], "1970-01-01T00:00:00.005Z", "by the network's clock");
    // Events of others carry no address.
    assert!(house.events(&sent).await.iter().filter(|event| event.report.is_some()).count() == 1);
}

#[tokio::test]
async fn a_correction_is_told_and_a_crash_loses_none() {
    let receiver = Receiver::answering(&[]).await;
    let house = posting(&["127.0.0.0/8"]).await;
    let sent = asking(&house, 1, &receiver.url);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::Uncertain, &[9]).await;
    house.settle().await;
    // The projection dies before it told.
    house.bus.fail_after(0);
    assert!(house.project_events(sent.partition()).await.is_err());
    house.bus.heal();
    house.project().await;
    house.receipt(&sent, 9, DELIVERED).await;
    house.settle().await;
    house.project().await;
    post_all(&house).await;
    let mut states: Vec<String> =
        receiver.heard().iter().map(|(_, report)| report["data"]["state"].to_string()).collect();
    // Posted side by side, they may come in either order.
    states.sort();
    assert_eq!(states, ["\"delivered\"", "\"uncertain\""]);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_posted_to() {
    let receiver = Receiver::answering(&[]).await;
    let house = posting(&[]).await;
    for (id, url) in [(1, receiver.url.as_str()), (2, "https://169.254.169.254/latest"), (3, "http://a.example/")] {
        let sent = asking(&house, id, url);
        let record = routed(&house, &sent).await;
        house.outcome(&record, OutcomeKind::FailedForGood, &[]).await;
    }
    house.settle().await;
    house.project().await;
    assert_eq!(house.entries(&Lane::Reports).await.len(), 3);
    post_all(&house).await;
    assert_eq!(receiver.heard(), []);
}
