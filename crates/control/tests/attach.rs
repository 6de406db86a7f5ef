//! Farms attach over real TLS on loopback, or are refused with a reason both sides can read.

mod nodes;

use std::time::Duration;

use control::{Closed, DialError, FarmIdentity, KeepAlive};
use lease::message::{Hello, Incarnation, Receipt};
use lease::{FarmMessage, RouterMessage};
use model::{FarmName, RouteId};
use nodes::{Certificate, Log, Nodes};

fn hello(farm: &str) -> Hello {
    Hello {
        farm: FarmName::new(farm).unwrap(),
        incarnation: Incarnation(1),
        version: "0.1.0".into(),
        routes: vec![RouteId::new("blue-gb").unwrap()],
        sessions: Vec::new(),
    }
}

#[tokio::test]
async fn a_farm_attaches_and_both_sides_talk() {
    let nodes = Nodes::new();
    let mut server = nodes.serve().await;
    let mut farm = nodes.dialer(server.address(), Certificate::Farm("blue", "cellar")).dial().await.unwrap();
    farm.sender.send(vec![FarmMessage::Hello(hello("cellar"))]).await.unwrap();
    let mut attached = server.next().await.unwrap();
    assert_eq!(attached.identity, FarmIdentity { operator: "blue".into(), farm: FarmName::new("cellar").unwrap() });
    assert_eq!(attached.end.receiver.next().await.unwrap(), [FarmMessage::Hello(hello("cellar"))]);
    attached.identity.check(&hello("cellar")).unwrap();
    let answer = vec![RouterMessage::Taken { numbers: vec![1] }, RouterMessage::Refused { reason: "no".into() }];
    attached.end.sender.send(answer.clone()).await.unwrap();
    assert_eq!(farm.receiver.next().await.unwrap(), answer);
}

#[tokio::test]
async fn many_messages_arrive_in_order() {
    let nodes = Nodes::new();
    let mut server = nodes.serve().await;
    let farm = nodes.dialer(server.address(), Certificate::Farm("blue", "cellar")).dial().await.unwrap();
    let count = 20_000;
    let feed = tokio::spawn(async move {
        for first in (0..count).step_by(100) {
            let batch = (first..first + 100).map(receipt).collect();
            farm.sender.send(batch).await.unwrap();
        }
        farm
    });
    let mut attached = server.next().await.unwrap();
    let mut next = 0;
    while next < count {
        for message in attached.end.receiver.next().await.unwrap() {
            assert_eq!(message, receipt(next));
            next += 1;
        }
    }
    drop(feed.await.unwrap());
    assert!(matches!(attached.end.receiver.next().await, Err(Closed::Ended | Closed::Broken { .. })));
}

fn receipt(number: u64) -> FarmMessage {
    FarmMessage::Receipt(Receipt {
        number,
        imsi: "234150000000001".into(),
        reference: 1,
        recipient: "+447700900123".into(),
        status: 0,
        network_ms: 0,
        at_ms: 0,
    })
}

#[tokio::test]
async fn a_farm_with_another_name_than_its_certificate_is_found_out() {
    let identity = FarmIdentity { operator: "blue".into(), farm: FarmName::new("cellar").unwrap() };
    let error = identity.check(&hello("attic")).expect_err("names differ");
    assert_eq!(error.to_string(), "the farm calls itself `attic`, its certificate says `cellar`");
}

/// Dials with a certificate that must be refused, and returns what the farm is told and what the router logs.
async fn refused(certificate: Certificate) -> (String, String) {
    let log = Log::catch();
    let nodes = Nodes::new();
    let server = nodes.serve().await;
    let dialled = nodes.dialer(server.address(), certificate).dial().await;
    // TLS 1.3 tells a client of its refusal only with the first answer, so the stream may seem open.
    let told = match dialled {
        Err(error @ (DialError::Connect { .. } | DialError::Attach { .. })) => error.to_string(),
        Err(error) => panic!("refused, not {error}"),
        Ok(mut end) => end.receiver.next().await.expect_err("nothing comes").to_string(),
    };
    let logged = log.wait_for("a farm's connection is refused").await;
    (told, logged)
}

#[track_caller]
fn check(said: &str, expected: &str) {
    assert!(said.contains(expected), "`{expected}` is not in: {said}");
}

#[tokio::test]
async fn a_farm_without_a_certificate_is_refused() {
    let (told, logged) = refused(Certificate::None).await;
    check(&logged, "peer sent no certificates");
    check(&told, "CertificateRequired");
}

#[tokio::test]
async fn a_farm_of_another_authority_is_refused() {
    let (told, logged) = refused(Certificate::Stranger).await;
    check(&logged, "invalid peer certificate");
    check(&told, "alert");
}

#[tokio::test]
async fn a_farm_with_an_expired_certificate_is_refused() {
    let (told, logged) = refused(Certificate::Expired).await;
    check(&logged, "expired");
    check(&told, "CertificateExpired");
}

#[tokio::test]
async fn a_node_that_is_no_farm_is_refused() {
    let (_, logged) = refused(Certificate::Node("router", "cellar")).await;
    check(&logged, "the certificate's name `carillon://router/cellar` is no farm's");
    let (_, logged) = refused(Certificate::Node("farm", "cellar")).await;
    check(&logged, "is no farm's");
}

#[tokio::test]
async fn a_farm_refuses_a_router_of_another_authority_or_name() {
    let nodes = Nodes::new();
    let server = nodes.serve().await;
    let stranger = Nodes::new();
    let dialer = stranger.dialer(server.address(), Certificate::Farm("blue", "cellar"));
    check(&dialer.dial().await.expect_err("another authority").to_string(), "invalid peer certificate");
    let named = nodes.serve_as("elsewhere.test").await;
    let dialer = nodes.dialer(named.address(), Certificate::Farm("blue", "cellar"));
    check(&dialer.dial().await.expect_err("another name").to_string(), "not valid for name");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    let nodes = Nodes::new();
    for address in ["", "localhost", "localhost:x", "localhost:70000", "a b:1"] {
        let error = nodes.dialer_to(address, Certificate::None).expect_err("no address");
        check(&error.to_string(), "is no address of a router");
    }
}

#[tokio::test]
async fn a_connection_that_fell_silent_ends_on_both_sides() {
    let nodes = Nodes::new();
    let mut server = nodes.serve().await;
    let cable = nodes::Cable::to(server.address()).await;
    let mut farm = nodes.dialer(cable.address(), Certificate::Farm("blue", "cellar")).dial().await.unwrap();
    let mut attached = server.next().await.unwrap();
    farm.sender.send(vec![FarmMessage::Hello(hello("cellar"))]).await.unwrap();
    attached.end.receiver.next().await.unwrap();
    cable.pull();
    let limit = Duration::from_secs(20);
    let far = tokio::time::timeout(limit, farm.receiver.next()).await.expect("the farm notices");
    let near = tokio::time::timeout(limit, attached.end.receiver.next()).await.expect("the router notices");
    assert!(far.is_err() && near.is_err());
}

#[tokio::test]
async fn a_farm_comes_back_when_the_router_does() {
    let nodes = Nodes::new();
    let server = nodes.serve().await;
    let address = server.address();
    let dialer = nodes.dialer(address, Certificate::Farm("blue", "cellar"));
    nodes.stop().await;
    drop(server);
    let dial = tokio::spawn(async move {
        let ms = Duration::from_millis;
        let mut backoff = control::Backoff::new(ms(5), ms(20));
        dialer.dial_patiently(&mut backoff, &tokio_util::sync::CancellationToken::new()).await
    });
    let again = Nodes::again(&nodes);
    let mut server = again.serve_at(address).await;
    assert!(server.next().await.is_some());
    assert!(dial.await.unwrap().is_some());
}

#[test]
fn silence_is_believed_for_seconds_only() {
    let keep_alive = KeepAlive::default();
    assert!(keep_alive.interval + keep_alive.timeout_max <= Duration::from_secs(20));
}
