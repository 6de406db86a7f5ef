//! One farm and several router replicas: how it finds them, that none disturbs another, and what becomes of what one leaves behind.

use std::time::Duration;

use control::{Attached, FarmIdentity, KeepAlive, Server};
use lease::message::JournalState;
use lease::record::OutcomeKind;
use lease::{FarmMessage, PartitionId, RouterMessage};
use model::{FarmName, RouterName};
use runtime::pki::Authority;
use runtime::tls::TlsFiles;
use runtime::{Stop, tls};
use sim::Fault;

use crate::bench::*;

/// An authority, and a door for each replica.
struct Site {
    directory: tempfile::TempDir,
    served: TlsFiles,
    client: TlsFiles,
}

struct Door {
    server: Server,
    stop: Stop,
}

impl Site {
    fn new() -> Self {
        tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path()).unwrap();
        let identity = FarmIdentity::certificate_name("blue", &FarmName::new("farm-1").unwrap()).unwrap();
        let client = authority.issue_client(&identity).unwrap().write(directory.path(), "farm").unwrap();
        let served = authority.issue_server(&["127.0.0.1", "localhost"]).unwrap();
        let served = served.write(directory.path(), "server").unwrap();
        Site { directory, served, client }
    }

    async fn door(&self) -> Door {
        self.door_at("127.0.0.1:0").await
    }

    async fn door_at(&self, address: &str) -> Door {
        let certificates = tls::Certificates::load(std::slice::from_ref(&self.served), "tls").unwrap();
        let config = tls::mutual_server_config(certificates, &self.directory.path().join("ca.pem"), "ca").unwrap();
        let stop = Stop::new(5);
        let server = Server::bind(address.parse().unwrap(), config, KeepAlive::default(), &stop).await.unwrap();
        Door { server, stop }
    }

    fn farm(&self, bench: &Bench, seeds: Vec<String>) -> Farm {
        bench.farm_with(|config| {
            config.routers = seeds;
            config.ca_file = self.directory.path().join("ca.pem");
            (config.certificate_file, config.key_file) = (self.client.certificate.clone(), self.client.key.clone());
        })
    }
}

impl Door {
    fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// The same door by another name.
    fn alias(&self) -> String {
        format!("localhost:{}", self.server.address().port())
    }

    async fn next(&mut self) -> Attached {
        tokio::time::timeout(Duration::from_secs(30), self.server.next()).await.expect("the farm comes").unwrap()
    }

    async fn router(&mut self, name: &str, session: u64, peers: &[(&str, String)]) -> Router {
        Router::welcoming_as(self.next().await.end, name, session, peers).await
    }

    async fn close(self) {
        drop(self.server);
        let _ = self.stop.drain().await;
    }
}

fn backlog(segments: u64) -> RouterMessage {
    RouterMessage::Backlog { route: route(), segments, weight: segments.min(1) }
}

fn partition_of(index: u32) -> PartitionId {
    PartitionId { route: route(), index }
}

#[tokio::test]
async fn a_farm_with_one_seed_finds_every_replica_and_those_that_come_later() {
    let (site, bench) = (Site::new(), Bench::with(vec![modem(1)]).await);
    let (mut first, mut second, mut third) = (site.door().await, site.door().await, site.door().await);
    let farm = site.farm(&bench, vec![first.address()]);
    let peers = [("router-1", first.alias()), ("router-2", second.address())];
    let mut one = first.router("router-1", 1, &peers).await;
    one.ask().await;
    let mut two = second.router("router-2", 1, &peers).await;
    two.partition = partition_of(1);
    two.ask().await;
    let all = [peers[0].clone(), peers[1].clone(), ("router-3", third.address())];
    two.say(RouterMessage::Peers { peers: peers_of(&all) }).await;
    let three = third.router("router-3", 1, &all).await;
    let sessions: Vec<_> = three.hello.sessions.iter().map(|known| (known.router.as_str(), known.open)).collect();
    assert_eq!(sessions, [("router-1", true), ("router-2", true)]);
    one.lease(attempt(0, 1), TO, "by the first").await;
    assert_eq!(one.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    two.lease(attempt(1, 1), TO, "by the second").await;
    assert_eq!(two.kind_of(attempt(1, 1)).await, OutcomeKind::Sent);
    drop(farm);
}

#[tokio::test]
async fn a_second_way_to_a_router_disturbs_nobody_and_is_taken_when_the_first_is_lost() {
    let (site, bench) = (Site::new(), Bench::with(vec![modem(1)]).await);
    let mut door = site.door().await;
    let farm = site.farm(&bench, vec![door.address()]);
    // Under a wrong name, so that the farm can't know before it has dialed.
    let peers = [("router-9", door.alias())];
    let mut router = door.router("router-1", 1, &peers).await;
    router.ask().await;
    let second = Router::greeted(door.next().await.end, 0).await;
    assert!(second.is_told_of(1));
    let name = RouterName::new("router-1").unwrap();
    second.say(RouterMessage::AlreadyAttached { router: name, session: 1 }).await;
    second.ended().await;
    router.lease(attempt(0, 1), TO, "undisturbed").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    // The router dies, and comes back: the farm is there within seconds, by one way.
    drop(router);
    let mut router = door.router("router-1", 2, &peers).await;
    assert!(!router.is_told_of(1));
    router.ask().await;
    assert_eq!(router.journal.len(), 1);
    drop(farm);
}

#[tokio::test]
async fn of_two_streams_to_one_router_the_newest_session_counts_and_they_do_not_take_turns() {
    let (site, bench) = (Site::new(), Bench::with(vec![modem(1)]).await);
    let mut door = site.door().await;
    let farm = site.farm(&bench, vec![door.address(), door.alias()]);
    let (one, two) = (door.next().await, door.next().await);
    // Both came before either was answered; a router that knows no better welcomes both.
    let old = Router::welcoming_as(one.end, "router-1", 7, &[]).await;
    let mut new = Router::welcoming_as(two.end, "router-1", 8, &[]).await;
    old.ended().await;
    new.ask().await;
    new.lease(attempt(0, 1), TO, "by the newest").await;
    assert_eq!(new.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    // Longer than it takes to dial again.
    let again = tokio::time::timeout(Duration::from_secs(3), door.server.next()).await;
    assert!(again.is_err(), "the other way rests");
    drop(farm);
}

#[tokio::test]
async fn another_router_in_the_place_of_one_that_died_is_another_router() {
    let (site, bench) = (Site::new(), Bench::with(vec![modem(1)]).await);
    let mut door = site.door().await;
    let address = door.address();
    let farm = site.farm(&bench, vec![address.clone()]);
    let mut one = door.router("router-1", 900, &[]).await;
    one.ask().await;
    one.lease(attempt(0, 1), TO, "hello").await;
    assert_eq!(one.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    drop(one);
    door.close().await;
    let mut door = site.door_at(&address).await;
    // Its sessions have numbers of their own.
    let mut two = door.router("router-2", 3, &[]).await;
    assert!(!two.is_told_of(900));
    two.epoch = 2;
    two.ask().await;
    assert!(matches!(two.journal.as_slice(), [(_, JournalState::Ended(_))]));
    two.forget(attempt(0, 1)).await;
    drop(farm);
}

#[tokio::test]
async fn routers_ask_for_their_own_partitions_and_leave_each_others_leases_alone() {
    let bench = Bench::with(vec![faulty(1, Fault::AnswerLate { ms: 800 }, &[1])]).await;
    let farm = bench.farm();
    let mut one = farm.attach_as("router-1", 1, partition_of(0), 5).await;
    one.lease(attempt(0, 1), TO, "begun").await;
    one.lease(attempt(1, 1), TO, "held").await;
    while bench.log().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // An epoch of another partition is neither higher nor lower, and its question drops nothing here.
    let mut two = farm.attach_as("router-2", 1, partition_of(1), 3).await;
    assert!(two.journal.is_empty());
    assert_eq!(one.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    assert_eq!(one.kind_of(attempt(1, 1)).await, OutcomeKind::Sent);
    // A router that has nothing to send keeps no tokens from others.
    one.give_all_back(&link_name(1)).await;
    two.lease(attempt(2, 1), TO, "the other's").await;
    assert_eq!(two.kind_of(attempt(2, 1)).await, OutcomeKind::Sent);
    assert_eq!(bench.texts(), ["begun", "held", "the other's"]);
    farm.stop().await;
}

#[tokio::test]
async fn an_outcome_goes_to_the_router_that_owns_the_partition_by_now() {
    let bench = Bench::with(vec![faulty(1, Fault::AnswerLate { ms: 800 }, &[1])]).await;
    let farm = bench.farm();
    let mut one = farm.attach_as("router-1", 1, partition(), 1).await;
    one.lease(attempt(0, 1), TO, "begun under the first").await;
    one.lease(attempt(1, 1), TO, "never begun").await;
    while bench.log().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It takes over while the modem still works, and the first owner lives on.
    let mut two = farm.attach_as("router-2", 1, partition(), 2).await;
    assert_eq!(two.journal, [(attempt(0, 1), JournalState::Begun)]);
    assert_eq!(two.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    // Nobody acknowledges it; the next owner finds it in the journal. What the first one says late is refused.
    let session = one.session;
    let mut three = farm.attach_as("router-3", 1, partition(), 3).await;
    assert!(matches!(three.journal.as_slice(), [(_, JournalState::Ended(_))]));
    one.say(RouterMessage::Ask { partition: partition(), lane: LANE, epoch: 1, session }).await;
    let newest = one.until(|message| match message {
        FarmMessage::Outdated { epoch, .. } => Some(*epoch),
        _ => None,
    });
    assert_eq!(newest.await, 3);
    three.forget(attempt(0, 1)).await;
    one.give_all_back(&link_name(1)).await;
    two.give_all_back(&link_name(1)).await;
    three.lease(attempt(1, 2), TO, "under the third").await;
    assert_eq!(three.kind_of(attempt(1, 2)).await, OutcomeKind::Sent);
    assert_eq!(bench.texts(), ["begun under the first", "under the third"]);
    farm.stop().await;
}

#[tokio::test]
async fn a_receipt_that_a_router_died_with_goes_to_another() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut one = farm.attach_as("router-1", 1, partition(), 1).await;
    let mut two = farm.attach_as("router-2", 1, partition_of(1), 1).await;
    one.lease(attempt(0, 1), TO, "hello").await;
    one.kind_of(attempt(0, 1)).await;
    let receipt = one.receipt().await;
    drop(one);
    assert_eq!(two.receipt().await, receipt);
    two.say(RouterMessage::Taken { numbers: vec![receipt.number] }).await;
    farm.stop().await;
}

#[tokio::test]
async fn a_lease_that_is_refused_costs_no_credit() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut one = farm.attach(1, 5).await;
    let tokens = [one.token(&link_name(1)).await, one.token(&link_name(1)).await];
    for (token, number) in tokens.into_iter().zip(0..) {
        let mut late = one.lease_of(attempt(number, 1), TO, "of an old epoch", token);
        late.epoch = 4;
        one.say(RouterMessage::Lease(late)).await;
    }
    for number in 2..6 {
        one.lease(attempt(number, 1), TO, "of the newest").await;
        assert_eq!(one.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
    }
    assert_eq!(bench.texts().len(), 4);
    farm.stop().await;
}

#[tokio::test]
async fn a_modem_works_for_whoever_has_something_to_send() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut one = farm.attach_as("router-1", 1, partition_of(0), 1).await;
    let mut two = farm.attach_as("router-2", 1, partition_of(1), 1).await;
    // One has everything to send, the other nothing; then the other way round.
    two.say(backlog(0)).await;
    two.give_all_back(&link_name(1)).await;
    one.say(backlog(20)).await;
    for number in 0..20 {
        one.lease(attempt(number, 1), TO, "by the one").await;
    }
    for number in 0..20 {
        assert_eq!(one.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
    }
    one.say(backlog(0)).await;
    one.give_all_back(&link_name(1)).await;
    two.say(backlog(20)).await;
    for number in 20..40 {
        two.lease(attempt(number, 1), TO, "by the other").await;
    }
    for number in 20..40 {
        assert_eq!(two.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
    }
    // It dies with all the tokens; the first is served at once.
    drop(two);
    one.say(backlog(5)).await;
    for number in 40..45 {
        one.lease(attempt(number, 1), TO, "by the one that is left").await;
        assert_eq!(one.kind_of(attempt(number, 1)).await, OutcomeKind::Sent);
    }
    farm.stop().await;
}

#[tokio::test]
async fn a_router_that_stalls_with_all_the_tokens_is_hung_up_on() {
    let bench = Bench::with(vec![modem(1)]).await;
    let farm = bench.farm();
    let mut stalled = farm.attach_as("router-1", 1, partition_of(0), 1).await;
    stalled.say(backlog(9)).await;
    let _tokens = [stalled.token(&link_name(1)).await, stalled.token(&link_name(1)).await];
    let mut two = farm.attach_as("router-2", 1, partition_of(1), 1).await;
    two.say(backlog(9)).await;
    two.lease(attempt(0, 1), TO, "hello").await;
    assert_eq!(two.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);
    stalled.ended().await;
    farm.stop().await;
}
