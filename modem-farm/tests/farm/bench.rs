//! A farm on simulated modems behind real pseudo-terminals, and a router written for the tests: it says exactly what it is told to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use control::{FarmEnd, RouterEnd, pair};
use lease::message::{Hello, JournalState, Lease, Peer, SessionKey, Token};
use lease::record::OutcomeKind;
use lease::{Attempt, FarmMessage, LaneId, Outcome, PartitionId, RouterMessage};
use model::record::{Account, Body, Content, Header, Record};
use model::seal::DataKey;
use model::{DeliveryId, LinkName, MessageId, RouteId, RouterName};
use modem_farm::{Config, Deps, FarmError, Link};
use prost::Message as _;
use runtime::{Health, Registry, Stop};
use sim::{Fault, FaultPlan, FaultRule, ModemConfig, Network, NetworkConfig};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const TO: &str = "+447700900123";
pub(crate) const LANE: LaneId = LaneId(77);
const PATIENCE: Duration = Duration::from_secs(30);
const KEY: [u8; 32] = [9; 32];

/// The modems and the folder of everything.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) network: Network,
    sim_stop: CancellationToken,
    links: Vec<Link>,
    sim_log: PathBuf,
}

/// A farm that runs on a runtime of its own, so that it can die with it.
pub(crate) struct Farm {
    runtime: Option<tokio::runtime::Runtime>,
    ends: mpsc::Sender<FarmEnd>,
    stop: Stop,
    done: Option<tokio::task::JoinHandle<Result<(), FarmError>>>,
    journal: PathBuf,
}

/// The router's end of one stream.
pub(crate) struct Router {
    end: RouterEnd,
    /// What the farm said first.
    pub(crate) hello: Hello,
    pub(crate) partition: PartitionId,
    pub(crate) session: u64,
    pub(crate) epoch: i64,
    heard: Vec<FarmMessage>,
    pub(crate) tokens: BTreeMap<LinkName, Vec<Token>>,
    pub(crate) journal: Vec<(Attempt, JournalState)>,
}

pub(crate) fn modem(number: u32) -> ModemConfig {
    let link = format!("modem-{number}");
    ModemConfig { link, imsi: format!("26201000000000{number}"), ..ModemConfig::default() }
}

pub(crate) fn faulty(number: u32, fault: Fault, at: &[u64]) -> ModemConfig {
    let rule = FaultRule { fault, at: at.to_vec(), every: 0, probability: 0.0, after: 0, times_max: 0 };
    ModemConfig { faults: FaultPlan { rules: vec![rule] }, ..modem(number) }
}

pub(crate) fn route() -> RouteId {
    RouteId::new("alpha").unwrap()
}

pub(crate) fn partition() -> PartitionId {
    PartitionId { route: route(), index: 0 }
}

pub(crate) fn peers_of(peers: &[(&str, String)]) -> Vec<Peer> {
    let peer =
        |(name, address): &(&str, String)| Peer { router: RouterName::new(name).unwrap(), address: address.clone() };
    peers.iter().map(peer).collect()
}

pub(crate) fn attempt(delivery: u32, number: u32) -> Attempt {
    Attempt { delivery: DeliveryId { message: MessageId(5), index: delivery }, number }
}

pub(crate) fn link_name(number: u32) -> LinkName {
    LinkName::new(&format!("modem-{number}")).unwrap()
}

impl Bench {
    pub(crate) async fn with(modems: Vec<ModemConfig>) -> Self {
        Self::with_network(modems, |_| {}).await
    }

    pub(crate) async fn with_network(modems: Vec<ModemConfig>, change: impl FnOnce(&mut NetworkConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sim_log = dir.path().join("sim.log");
        let sim_dir = dir.path().join("sim");
        let mut config = NetworkConfig {
            sim_log: sim_log.clone(),
            dir: sim_dir,
            receipt_delay_ms: (0, 20),
            ..NetworkConfig::default()
        };
        change(&mut config);
        let sim_stop = CancellationToken::new();
        let network = Network::start(config, modems, sim_stop.clone()).await.unwrap();
        let links = network
            .ports()
            .into_iter()
            .map(|(name, device)| Link {
                name: LinkName::new(&name).unwrap(),
                route: route(),
                device,
                segments_per_minute: 0,
                sim_segments_per_minute: 0,
                sim_segments_per_day: 0,
                command_gap_ms: 0,
                result_seconds_max: 2,
                ..Link::default()
            })
            .collect();
        Self { dir, network, sim_stop, links, sim_log }
    }

    pub(crate) fn farm(&self) -> Farm {
        self.farm_with(|_| {})
    }

    pub(crate) fn farm_with(&self, change: impl FnOnce(&mut Config)) -> Farm {
        let mut config = Config {
            journal_dir: self.dir.path().join("farm"),
            port_opens_per_second_max: 100,
            quarantine_seconds: vec![1],
            links: self.links.clone(),
            ..Config::default()
        };
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (ends, local) = mpsc::channel(4);
        let stop = Stop::new(20);
        let journal = config.journal_dir.join("journal.db");
        let deps = Deps { registry: Registry::new(), health: Health::new(), local };
        let done = runtime.spawn(modem_farm::run(config, deps, stop.clone()));
        Farm { runtime: Some(runtime), ends, stop, done: Some(done), journal }
    }

    /// What the network took, in order: the whole texts by recipient.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.log().iter().filter_map(|line| Some(line["text"].as_str()?.to_owned())).collect()
    }

    /// Every PDU the network took. Its record is read while it is written, so the last line may not be whole yet.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read(&self.sim_log).unwrap_or_default();
        let lines = text.split_inclusive(|octet| *octet == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.sim_stop.cancel();
    }
}

impl Farm {
    /// Attaches as the test's router and has its partition answered.
    pub(crate) async fn attach(&self, session: u64, epoch: i64) -> Router {
        let mut router = self.welcome(session).await;
        router.epoch = epoch;
        router.ask().await;
        router
    }

    pub(crate) async fn welcome(&self, session: u64) -> Router {
        Router::welcoming(self.stream().await, session).await
    }

    /// As [`Farm::attach`], for a router of this name that owns that partition of the route.
    pub(crate) async fn attach_as(&self, name: &str, session: u64, partition: PartitionId, epoch: i64) -> Router {
        let mut router = Router::welcoming_as(self.stream().await, name, session, &[]).await;
        (router.partition, router.epoch) = (partition, epoch);
        router.ask().await;
        router
    }

    async fn stream(&self) -> RouterEnd {
        let (end, farm_end) = pair();
        self.ends.send(farm_end).await.unwrap();
        end
    }

    /// Dies without a word, as by `kill -9`: nothing that was not awaited happens any more.
    pub(crate) async fn die(mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5))).await.unwrap();
        // The journal's thread of the dead farm lets go of the file a moment later.
        let released = async {
            loop {
                match embedded::Database::open(&self.journal, &embedded::Options::default()) {
                    Ok(journal) => return journal.close().await,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, released).await.expect("the journal is released");
    }

    /// Stops in order.
    pub(crate) async fn stop(mut self) {
        self.stop.begin();
        let done = tokio::time::timeout(PATIENCE, self.done.take().unwrap()).await;
        done.expect("the farm stops in time").unwrap().unwrap();
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Router {
    /// Hears the farm's hello on a new stream, and says who it is.
    pub(crate) async fn welcoming(end: RouterEnd, session: u64) -> Self {
        Router::welcoming_as(end, "router-1", session, &[]).await
    }

    /// As [`Router::welcoming`], under a name of its own; it names these replicas and where they are.
    pub(crate) async fn welcoming_as(end: RouterEnd, name: &str, session: u64, peers: &[(&str, String)]) -> Self {
        let router = Router::greeted(end, session).await;
        let (name, peers) = (RouterName::new(name).unwrap(), peers_of(peers));
        router.say(RouterMessage::Welcome { router: name, session, peers }).await;
        router.say(RouterMessage::Key(SessionKey { id: "acme.1".into(), secret: KEY })).await;
        router
    }

    /// Hears the farm's hello on a new stream, and says nothing.
    pub(crate) async fn greeted(mut end: RouterEnd, session: u64) -> Self {
        let first = tokio::time::timeout(PATIENCE, end.receiver.next()).await.expect("the farm says hello");
        let mut heard = first.expect("the farm speaks");
        let FarmMessage::Hello(hello) = heard.remove(0) else { panic!("a hello comes first") };
        let (tokens, journal) = (BTreeMap::new(), Vec::new());
        Router { end, hello, partition: partition(), session, epoch: 1, heard, tokens, journal }
    }

    /// Whether the farm says it has this session of `router-1` open.
    pub(crate) fn is_told_of(&self, session: u64) -> bool {
        self.hello.sessions.iter().any(|known| known.session == session && known.open)
    }

    /// Waits until the farm has ended the stream.
    pub(crate) async fn ended(mut self) {
        let ended = async { while self.end.receiver.next().await.is_ok() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the farm ends the stream");
    }

    pub(crate) async fn say(&self, message: RouterMessage) {
        self.end.sender.send(vec![message]).await.unwrap();
    }

    pub(crate) async fn ask(&mut self) {
        let (epoch, session) = (self.epoch, self.session);
        let partition = self.partition.clone();
        self.say(RouterMessage::Ask { partition, lane: LANE, epoch, session }).await;
        self.journal = self
            .until(|message| match message {
                FarmMessage::Answer { journal, .. } => Some(journal.clone()),
                _ => None,
            })
            .await;
    }

    /// Waits for a message; those before it stay to be waited for.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(&FarmMessage) -> Option<T>) -> T {
        let waiting = async {
            loop {
                if let Some(at) = self.heard.iter().position(|message| wanted(message).is_some()) {
                    let message = self.heard.remove(at);
                    return wanted(&message).unwrap();
                }
                self.hear().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the farm says it in time")
    }

    async fn hear(&mut self) {
        self.try_hear().await.expect("the farm speaks");
    }

    async fn try_hear(&mut self) -> Result<(), control::Closed> {
        for message in self.end.receiver.next().await? {
            if let FarmMessage::Credit { link, tokens, .. } = &message {
                self.tokens.entry(link.clone()).or_default().extend(tokens);
            }
            self.heard.push(message);
        }
        Ok(())
    }

    /// Waits for a token of a link and takes it.
    pub(crate) async fn token(&mut self, link: &LinkName) -> Token {
        let waiting = async {
            loop {
                if let Some(token) = self.tokens.get_mut(link).and_then(Vec::pop) {
                    return token;
                }
                self.hear().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the farm grants credit in time")
    }

    /// Gives back what it has and is asked for.
    pub(crate) async fn give_all_back(&mut self, link: &LinkName) {
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(100), self.try_hear()).await {}
        let tokens = self.tokens.remove(link).unwrap_or_default();
        self.say(RouterMessage::TokensReturned { link: link.clone(), tokens }).await;
    }

    /// A lease for modem 1, as soon as it may be had.
    pub(crate) async fn lease(&mut self, attempt: Attempt, to: &str, text: &str) {
        let token = self.token(&link_name(1)).await;
        let lease = self.lease_of(attempt, to, text, token);
        self.say(RouterMessage::Lease(lease)).await;
    }

    pub(crate) fn lease_of(&self, attempt: Attempt, to: &str, text: &str, token: Token) -> Lease {
        Lease {
            partition: self.partition.clone(),
            epoch: self.epoch,
            session: self.session,
            attempt,
            link: link_name(1),
            token,
            begin_within_ms: 60_000,
            envelope: envelope(attempt.delivery, to, text),
        }
    }

    pub(crate) async fn report_of(&mut self, wanted: Attempt) -> Outcome {
        self.until(|message| match message {
            FarmMessage::Report { attempt, outcome, .. } if *attempt == wanted => Some(outcome.clone()),
            _ => None,
        })
        .await
    }

    /// Leases one after the other, the first attempt of each, and compares what became of it: recipient, outcome, reason.
    pub(crate) async fn each_ends(&mut self, expected: &[(&str, OutcomeKind, &str)]) {
        for (number, (to, kind, reason)) in (0..).zip(expected) {
            self.lease(attempt(number, 1), to, "x").await;
            let outcome = self.report_of(attempt(number, 1)).await;
            assert_eq!((outcome.kind(), outcome.reason.as_str()), (*kind, *reason), "{to}");
        }
    }

    pub(crate) async fn kind_of(&mut self, wanted: Attempt) -> OutcomeKind {
        self.report_of(wanted).await.kind()
    }

    pub(crate) async fn return_of(&mut self, wanted: Attempt) -> String {
        self.until(|message| match message {
            FarmMessage::Return { attempt, reason, .. } if *attempt == wanted => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn receipt(&mut self) -> lease::message::Receipt {
        self.until(|message| match message {
            FarmMessage::Receipt(receipt) => Some(receipt.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn inbound(&mut self) -> lease::message::Inbound {
        self.until(|message| match message {
            FarmMessage::Inbound(inbound) => Some(inbound.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn forget(&mut self, attempt: Attempt) {
        let session = self.session;
        let partition = self.partition.clone();
        self.say(RouterMessage::Forget { partition, session, attempts: vec![attempt] }).await;
        self.until(|message| match message {
            FarmMessage::Forgotten { attempts, .. } => attempts.contains(&attempt).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Leaves out what was heard of links so far: only news counts from here on.
    pub(crate) fn expect_news_of_links(&mut self) {
        self.heard.retain(|message| !matches!(message, FarmMessage::Links(_)));
    }

    pub(crate) async fn link_is(&mut self, wanted_up: bool) -> String {
        self.until(|message| match message {
            FarmMessage::Links(links) => {
                links.iter().find(|link| link.link == link_name(1) && link.up == wanted_up).map(|l| l.reason.clone())
            }
            _ => None,
        })
        .await
    }
}

fn envelope(delivery: DeliveryId, to: &str, text: &str) -> Bytes {
    let account = Account { tenant: "acme".into(), ..Account::default() };
    let header = Header {
        account,
        message: delivery.message.to_bytes().to_vec(),
        delivery: delivery.index,
        data_key: "acme.1".into(),
        expires_ms: i64::MAX / 2,
        receipt: true,
        ..Header::default()
    };
    let content = Content { recipient: to.into(), text: text.into(), ..Content::default() };
    let sealed = DataKey::new("acme.1", KEY).seal(&header, &content);
    Record { header, body: Body { sealed, ..Body::default() }.encode_to_vec().into() }.to_bytes()
}
