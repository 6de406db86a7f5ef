//! What the hub makes of a link's task that dies: a panic cannot be ordered from outside.

use bytes::Bytes;
use lease::message::{Hello, Incarnation, JournalState, Lease, Token};
use lease::record::OutcomeKind;
use lease::{FarmMessage, LaneId, PartitionId, RouterMessage};
use model::{DeliveryId, MessageId, RouteId};
use runtime::{Health, Registry, Stop};
use tokio::sync::oneshot;

use super::*;
use crate::config::{self, Config};
use crate::courier::Leased;
use crate::journal::{By, Journal};
use crate::metrics::Metrics;

/// A hub with one link and one router, both played by the test.
struct Scene {
    _directory: tempfile::TempDir,
    words: mpsc::Sender<Word>,
    leases: mpsc::Receiver<Leased>,
    router: control::RouterEnd,
    _streams: mpsc::Sender<FromRouter>,
}

fn link() -> LinkName {
    config::Link::default().name
}

fn partition() -> PartitionId {
    PartitionId { route: config::Link::default().route, index: 0 }
}

fn attempt(index: u32) -> Attempt {
    Attempt { delivery: DeliveryId { message: MessageId(1), index }, number: 1 }
}

impl Scene {
    async fn set() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { links: vec![config::Link::default()], ..Config::default() };
        let (journal, memory) = Journal::open(directory.path(), "farm-1", crate::shared::utc_now()).await.unwrap();
        let now = Now { instant: Instant::now(), utc: crate::shared::utc_now() };
        let machine = Farm::recover(config.name.clone(), lease::farm::FarmLimits::default(), memory.recovered, now);
        let (stop, hang_up) = (Stop::new(5), CancellationToken::new());
        let routes: Vec<RouteId> = config.routes();
        let hello = Hello {
            farm: config.name.clone(),
            incarnation: Incarnation(1),
            version: "0".into(),
            routes,
            sessions: Vec::new(),
        };
        let metrics = Metrics::new(&Registry::new());
        let shared = Arc::new(Shared::new(config, &[], journal, Health::new(), metrics));
        let (streams, routers) = mpsc::channel(8);
        let peers = Peers::new(hello, streams.clone(), None, stop, hang_up.clone());
        let (words, heard) = mpsc::channel(8);
        tokio::spawn(Hub::new(shared, machine, peers).run(Ears { words: heard, routers }, hang_up));
        let (leases_in, leases) = mpsc::channel(8);
        words.send(Word::Seated { link: link(), leases: leases_in }).await.unwrap();
        words.send(Word::Standing { link: link(), up: true, reason: "" }).await.unwrap();
        let router = attach(&streams).await;
        Scene { _directory: directory, words, leases, router, _streams: streams }
    }

    async fn lease(&mut self, index: u32) {
        let lease = Lease {
            partition: partition(),
            epoch: 1,
            session: 1,
            attempt: attempt(index),
            link: link(),
            token: Token(index.into()),
            begin_within_ms: 60_000,
            envelope: Bytes::new(),
        };
        self.router.sender.send(vec![RouterMessage::Lease(lease)]).await.unwrap();
        assert_eq!(self.leases.recv().await.unwrap().attempt, attempt(index));
    }

    async fn begin(&self, index: u32) -> oneshot::Receiver<bool> {
        let by = By { link: link(), imsi: "1".into() };
        let (go, gone) = oneshot::channel();
        let intent = Intent { attempt: attempt(index), part: 0, by, spent: None, references: Vec::new(), go };
        self.words.send(Word::Begin(intent)).await.unwrap();
        gone
    }

    async fn until<T>(&mut self, wanted: impl Fn(&FarmMessage) -> Option<T>) -> T {
        loop {
            for message in self.router.receiver.next().await.unwrap() {
                if let Some(found) = wanted(&message) {
                    return found;
                }
            }
        }
    }

    async fn kind_of(&mut self, index: u32) -> OutcomeKind {
        self.until(|message| match message {
            FarmMessage::Report { attempt: of, outcome, .. } if *of == attempt(index) => Some(outcome.kind()),
            _ => None,
        })
        .await
    }
}

/// A stream whose other end the test holds, with the partition asked for and answered.
async fn attach(streams: &mpsc::Sender<FromRouter>) -> control::RouterEnd {
    let (mut router, mut farm) = control::pair();
    let (sender, over) = (farm.sender.clone(), CancellationToken::new());
    streams.send(FromRouter::Opened { stream: 1, address: None, sender, over }).await.unwrap();
    let to_hub = streams.clone();
    tokio::spawn(async move {
        while let Ok(messages) = farm.receiver.next().await {
            to_hub.send(FromRouter::Batch { stream: 1, messages }).await.unwrap();
        }
    });
    let name = RouterName::new("one").unwrap();
    let welcome = RouterMessage::Welcome { router: name, session: 1, peers: Vec::new() };
    let ask = RouterMessage::Ask { partition: partition(), lane: LaneId(1), epoch: 1, session: 1 };
    router.sender.send(vec![welcome, ask]).await.unwrap();
    let is_answer = |message: &FarmMessage| matches!(message, FarmMessage::Answer { .. });
    while !router.receiver.next().await.unwrap().iter().any(is_answer) {}
    router
}

#[tokio::test]
async fn what_a_dead_link_had_begun_is_uncertain_and_the_rest_goes_back() {
    let mut scene = Scene::set().await;
    scene.lease(1).await;
    scene.lease(2).await;
    assert_eq!(scene.begin(1).await.await, Ok(true));
    scene.words.send(Word::Died { link: link() }).await.unwrap();
    let returned = scene.until(|message| match message {
        FarmMessage::Return { attempt, .. } => Some(*attempt),
        _ => None,
    });
    assert_eq!(returned.await, attempt(2));
    assert_eq!(scene.kind_of(1).await, OutcomeKind::Uncertain);
}

#[tokio::test]
async fn what_a_link_did_not_live_to_begin_has_surely_not_been_sent() {
    let mut scene = Scene::set().await;
    scene.lease(1).await;
    drop(scene.begin(1).await);
    scene.words.send(Word::Died { link: link() }).await.unwrap();
    assert_eq!(scene.kind_of(1).await, OutcomeKind::FailedForNow);
    // Asked again, the journal says the same.
    let ask = RouterMessage::Ask { partition: partition(), lane: LaneId(1), epoch: 2, session: 1 };
    scene.router.sender.send(vec![ask]).await.unwrap();
    let journal = scene.until(|message| match message {
        FarmMessage::Answer { journal, .. } => Some(journal.clone()),
        _ => None,
    });
    let journal = journal.await;
    let [(of, JournalState::Ended(outcome))] = journal.as_slice() else { panic!("{journal:?}") };
    assert_eq!((*of, outcome.kind()), (attempt(1), OutcomeKind::FailedForNow));
}
