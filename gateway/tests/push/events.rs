//! Datagrams: sealed ones count and are answered, all others are dropped in silence and counted.

use std::time::Duration;

use serde_json::json;
use tokio::net::UdpSocket;
use wire::ne1::{DATAGRAM_OCTETS_MAX, Envelope, Line, WINDOW_MS};

use crate::house::House;

/// How long nothing must come before there is no answer. What waits for an answer waits longer.
const SILENCE: Duration = Duration::from_millis(300);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A mail server.
struct Sender {
    socket: UdpSocket,
    secret: String,
}

fn now_ms() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64
}

fn line(resource: &str) -> Line {
    Line { account: "ann@acme.example".into(), resource: resource.into(), ..Line::default() }
}

impl Sender {
    async fn of(house: &House) -> Self {
        house.settle("ann@acme.example", &[("phone", json!({ "INBOX": { "name": "Mail" } }))]).await;
        let made = house.ask("PUT", "/v1/event-keys/mail-1", None).await;
        assert_eq!(made.status, 201, "{made:?}");
        let secret = made.json()["secret"].as_str().unwrap().to_owned();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(house.events).await.unwrap();
        Sender { socket, secret }
    }

    fn envelope(nonce: &str) -> Envelope<'_> {
        Envelope { tenant: "acme", key_id: "mail-1", sent_ms: now_ms(), nonce, wants_answer: true }
    }

    fn sealed(&self, nonce: &str, lines: &[Line]) -> Vec<u8> {
        Self::envelope(nonce).write(lines, self.secret.as_bytes()).unwrap()
    }

    async fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).await.unwrap();
    }

    async fn answer(&self) -> String {
        let mut octets = [0; 200];
        let length = tokio::time::timeout(ANSWER_MAX, self.socket.recv(&mut octets)).await.expect("an answer").unwrap();
        String::from_utf8(octets[..length].to_vec()).unwrap()
    }

    /// Sends what must be dropped, waits until it is counted as that, and hears nothing.
    async fn dropped(&self, house: &House, datagram: &[u8], outcome: &str) {
        let line = format!("carillon_gateway_event_datagrams_total{{outcome=\"{outcome}\"}}");
        let before = house.metric(&line);
        self.send(datagram).await;
        let counted = async {
            while house.metric(&line) < before + 1.0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(ANSWER_MAX, counted).await.unwrap_or_else(|_| panic!("nothing is counted as {outcome}"));
        let mut octets = [0; 200];
        let heard = tokio::time::timeout(SILENCE, self.socket.recv(&mut octets)).await;
        assert!(heard.is_err(), "{outcome}: nobody is answered");
    }
}

#[tokio::test]
async fn a_sealed_datagram_counts_and_is_answered() {
    let house = House::open().await;
    let sender = Sender::of(&house).await;
    sender.send(&sender.sealed("n-1", &[line("INBOX"), line("nothing"), line("INBOX")])).await;
    assert_eq!(sender.answer().await, "NE1-ACK n-1 2 1\n");
    assert_eq!(house.dirty().await.len(), 2);
    assert_eq!(house.metric("carillon_gateway_changes_taken_total{source=\"datagram\"}"), 2.0);
    // Who does not ask is not answered, and counts all the same.
    let quiet = Envelope { wants_answer: false, ..Sender::envelope("n-2") };
    let quiet = quiet.write(&[line("INBOX")], sender.secret.as_bytes()).unwrap();
    sender.dropped(&house, &quiet, "taken").await;
    assert_eq!(house.dirty().await.len(), 3);
}

#[tokio::test]
async fn what_is_not_sealed_well_is_dropped_in_silence() {
    let house = House::open().await;
    let sender = Sender::of(&house).await;
    let good = sender.sealed("n-1", &[line("INBOX")]);
    let text = String::from_utf8(good.clone()).unwrap();
    let old = Envelope { sent_ms: now_ms() - WINDOW_MS - 60_000, ..Sender::envelope("n-2") };
    let early = Envelope { sent_ms: now_ms() + WINDOW_MS + 60_000, ..Sender::envelope("n-3") };
    let sealed = |envelope: Envelope<'_>| envelope.write(&[line("INBOX")], sender.secret.as_bytes()).unwrap();
    let unsealed = format!("NE1 acme mail-1 {} n-4 A -\nC ann@acme.example INBOX\n", now_ms());
    let stranger = Envelope { tenant: "nobody", ..Sender::envelope("n-5") };
    let keyless = Envelope { key_id: "mail-2", ..Sender::envelope("n-6") };
    let other = Envelope { tenant: "blue", ..Sender::envelope("n-7") };
    for (datagram, outcome) in [
        (text.replace("INBOX", "other").into_bytes(), "forged"),
        (Sender::envelope("n-8").write(&[line("INBOX")], b"another").unwrap(), "forged"),
        (unsealed.into_bytes(), "forged"),
        (sealed(old), "late"),
        (sealed(early), "late"),
        (sealed(stranger), "unknown"),
        (sealed(keyless), "unknown"),
        (sealed(other), "unknown"),
        (good[..good.len() - 1].to_vec(), "malformed"),
        (good[..20].to_vec(), "malformed"),
        (Vec::new(), "malformed"),
        (vec![b'x'; DATAGRAM_OCTETS_MAX + 1], "malformed"),
        (vec![0xff; 60_000], "malformed"),
    ] {
        sender.dropped(&house, &datagram, outcome).await;
    }
    assert!(house.dirty().await.is_empty());
    // One that is sound still counts, and once only.
    sender.send(&good).await;
    assert_eq!(sender.answer().await, "NE1-ACK n-1 1 0\n");
    sender.dropped(&house, &good, "replayed").await;
    assert_eq!(house.dirty().await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_remembered_is_dropped() {
    let house = House::with(&[], |config| config.events.nonces_max = 1).await;
    let sender = Sender::of(&house).await;
    sender.send(&sender.sealed("n-1", &[line("INBOX")])).await;
    assert_eq!(sender.answer().await, "NE1-ACK n-1 1 0\n");
    sender.dropped(&house, &sender.sealed("n-2", &[line("INBOX")]), "full").await;
}

#[tokio::test]
async fn loopback_may_do_without_a_seal_and_is_never_answered() {
    let house = House::with(&[], |config| config.events.allow_unsigned = true).await;
    let sender = Sender::of(&house).await;
    let unsealed = format!("NE1 acme - {} n-1 A -\nC ann@acme.example INBOX\n", now_ms());
    sender.dropped(&house, unsealed.as_bytes(), "taken").await;
    assert_eq!(house.dirty().await.len(), 1);
}

#[tokio::test]
async fn a_key_is_shown_once_and_replaced_whole() {
    let house = House::open().await;
    let sender = Sender::of(&house).await;
    let list = house.ask("GET", "/v1/event-keys", None).await;
    assert_eq!(list.good()["keys"][0]["id"], "mail-1");
    assert!(!list.text.contains(&sender.secret));
    let made = house.ask("PUT", "/v1/event-keys/mail-1", None).await;
    assert_eq!(made.status, 200);
    assert_ne!(made.json()["secret"].as_str().unwrap(), sender.secret);
    // Its keys are remembered for a second.
    let forged = async {
        let line = "carillon_gateway_event_datagrams_total{outcome=\"forged\"}";
        for nth in 0.. {
            sender.send(&sender.sealed(&format!("n-{nth}"), &[])).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            if house.metric(line) > 0.0 {
                return;
            }
        }
    };
    tokio::time::timeout(ANSWER_MAX, forged).await.expect("the old secret is none any more");
    assert_eq!(house.ask("DELETE", "/v1/event-keys/mail-1", None).await.status, 204);
    house.ask("DELETE", "/v1/event-keys/mail-1", None).await.refused(404, "not-found");
    house.ask("PUT", "/v1/event-keys/a%20b", None).await.refused(422, "invalid-field");
}
