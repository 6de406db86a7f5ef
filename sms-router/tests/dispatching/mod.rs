//! A router's dispatcher on embedded lanes, a farm made of words, and sentences to lead them.
#![expect(unreachable_pub, dead_code, reason = "shared by several tests, none of which uses all of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, EmbeddedBus, Entry, Read};
use control::{FarmEnd, FarmIdentity};
use lease::message::{Hello, Incarnation, JournalState, KnownSession, Lease, LinkState, Session, Token};
use lease::record::OutcomeKind;
use lease::{Attempt, FarmMessage, Outcome, RouterMessage};
use model::event::{Event, Step};
use model::keyring::{Keyring, MasterKey};
use model::party::{Carries, Farm, Route};
use model::record::{Account, Amount, Body, Candidate, Content, Header, Record};
use model::seal::DataKey;
use model::{FarmName, Lane, LinkName, MessageId, RouteId, RouterName, SupplierId, TenantId, Timestamp};
use prost::Message as _;
use runtime::{Registry, Stop};
use sms_router::Clock;
use sms_router::dispatch::{Directory, Dispatch, DispatchDeps, DispatchOptions, Metrics, RouteLoads};
use sms_router::outcome::{Kind, OutcomeEntry};
use store::Parties;
use tokio::sync::watch;

/// Longer than anything here takes on a busy machine; nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);
pub const START: Timestamp = Timestamp(1_800_000_000_000);
/// Farms that may attach, and the routes they may serve.
const FARMS: [(&str, &[&str]); 2] = [("cellar", &["slow", "fast"]), ("attic", &["slow"])];

pub fn route(name: &str) -> RouteId {
    RouteId::new(name).unwrap()
}

pub fn master() -> MasterKey {
    MasterKey::new([9; 32])
}

/// What outlives a router: the disk.
pub struct Disk {
    _directory: tempfile::TempDir,
    pub bus: EmbeddedBus,
}

impl Disk {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = embedded::Database::open(&directory.path().join("lanes.db"), &embedded::Options::default());
        let bus = EmbeddedBus::open(database.unwrap(), bus::Options::default()).await.unwrap();
        for lane in [Lane::Events, Lane::Outcomes, Lane::DeadLetter] {
            bus.create(&lane).await.unwrap();
        }
        for name in ["slow", "fast"] {
            for lane in [Lane::Front(route(name)), Lane::Bulk(route(name)), Lane::Leases(route(name))] {
                bus.create(&lane).await.unwrap();
            }
        }
        Disk { _directory: directory, bus }
    }

    pub async fn append(&self, lane: Lane, records: impl IntoIterator<Item = Record>) {
        let entries: Vec<_> =
            records.into_iter().map(|record| Entry::new(record.header.message.clone(), record.to_bytes())).collect();
        for chunk in entries.chunks(4_000) {
            self.bus.append(&lane, chunk.to_vec()).await.unwrap();
        }
    }

    /// Everything a lane holds at present.
    pub async fn all(&self, lane: &Lane) -> Vec<Read> {
        let mut all = Vec::new();
        for partition in 0..lane.partitions() {
            let bounds = self.bus.bounds(lane, partition).await.unwrap();
            let mut from = bounds.first;
            while from < bounds.next {
                let reads = self.bus.read(lane, partition, from, 10_000).await.unwrap();
                from = reads.last().unwrap().offset + 1;
                all.extend(reads);
            }
        }
        all
    }

    pub async fn events(&self) -> Vec<Event> {
        self.all(&Lane::Events).await.into_iter().map(|read| Event::read(read.payload).unwrap()).collect()
    }

    pub async fn outcomes(&self) -> Vec<Kind> {
        self.all(&Lane::Outcomes).await.into_iter().map(|read| OutcomeEntry::read(read.payload).unwrap()).collect()
    }

    /// Waits until the events satisfy a condition.
    pub async fn until_events(&self, met: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        until("events", async || Some(self.events().await).filter(|events| met(events))).await
    }

    pub async fn until_outcomes(&self, count: usize) -> Vec<Kind> {
        until("outcomes", async || Some(self.outcomes().await).filter(|kinds| kinds.len() >= count)).await
    }
}

pub async fn until<T>(what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
    let tries = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// A router's life.
pub struct Router<B: Bus = EmbeddedBus> {
    pub dispatch: Dispatch<B>,
    pub registry: Registry,
    pub clock: Clock,
    stop: Stop,
    _directory: watch::Sender<Arc<Directory>>,
    /// Its own, so that it can be gone from one moment to the next.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Router {
    pub fn start(disk: &Disk) -> Self {
        Router::start_with(disk, |_| {})
    }

    pub fn start_with(disk: &Disk, change: impl FnOnce(&mut DispatchOptions)) -> Self {
        Router::start_on(disk.bus.clone(), change)
    }
}

impl<B: Bus> Router<B> {
    pub fn start_on(bus: B, change: impl FnOnce(&mut DispatchOptions)) -> Self {
        Router::start_as(bus, directory(), Clock::standing(START), change)
    }

    pub fn start_as(bus: B, directory: Directory, clock: Clock, change: impl FnOnce(&mut DispatchOptions)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let entered = runtime.enter();
        let (stop, registry, loads) = (Stop::new(20), Registry::new(), RouteLoads::default());
        let (directory, directories) = watch::channel(Arc::new(directory));
        let deps = DispatchDeps {
            bus,
            loads,
            directory: directories,
            number_key: master().number_key(),
            inbound_key: DataKey::new("inbound", [3; 32]),
            metrics: Metrics::new(&registry),
            clock: clock.clone(),
            stop: stop.clone(),
        };
        let mut options = DispatchOptions::new(RouterName::new("router-1").unwrap());
        options.drain_ms_max = 2_000;
        change(&mut options);
        let dispatch = Dispatch::new(deps, options);
        let running = dispatch.clone();
        stop.spawn("dispatch", async move { running.run().await });
        drop(entered);
        Router { dispatch, registry, clock, stop, _directory: directory, runtime: Some(runtime) }
    }

    /// Runs something as long as the router does.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let _entered = self.runtime.as_ref().expect("it runs").enter();
        self.stop.spawn("test", work);
    }

    pub async fn stop(self) {
        let drained = self.stop.drain().await;
        assert!(drained.is_complete(), "{:?}", drained.left);
    }

    /// Gone from one moment to the next, as by `kill -9`: nothing is finished.
    pub fn kill(self) {}

    pub fn metric(&self, line: &str) -> bool {
        self.registry.text().lines().any(|found| found == line)
    }

    pub async fn until_metric(&self, line: &str) {
        until(line, async || self.metric(line).then_some(())).await;
    }
}

impl<B: Bus> Drop for Router<B> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn directory() -> Directory {
    let farm = |(name, routes): (&str, &[&str])| Farm {
        name: FarmName::new(name).unwrap(),
        operator: "blue".into(),
        routes: routes.iter().map(|name| route(name)).collect(),
    };
    let a_route = |name: &str| Route {
        id: route(name),
        supplier: SupplierId::new("blue").unwrap(),
        prefixes: Vec::new(),
        receipts: true,
        enabled: true,
        carries: Carries::Sms,
        weight: 1,
    };
    let keys = ["flood", "quiet"].map(|tenant| master().mint(&TenantId::new(tenant).unwrap(), Timestamp(0), [7; 32]));
    let parties = Parties {
        farms: FARMS.into_iter().map(farm).collect(),
        routes: ["slow", "fast"].map(a_route).into(),
        data_keys: keys.to_vec(),
        ..Parties::default()
    };
    let keyring = Keyring::open(&master(), &parties.data_keys, START).unwrap();
    Directory::of(&parties, Arc::new(keyring))
}

/// A delivery of one segment whose candidates are these routes.
pub fn record(tenant: &str, number: u128, candidates: &[&str]) -> Record {
    let mut header = Header {
        schema_version: 1,
        account: Account { tenant: tenant.into(), ..Account::default() },
        message: MessageId(number).to_bytes().to_vec(),
        deliveries: 1,
        hop: 1,
        expires_ms: START.0 + 3_600_000,
        data_key: format!("{tenant}.0"),
        segments: 1,
        ..Header::default()
    };
    header.recipient_hash = vec![4; 16];
    let price = Amount { micros: 10, currency: "EUR".into() };
    let candidate = |name: &&str| Candidate {
        route: (*name).into(),
        supplier: "blue".into(),
        unit: price.clone(),
        prefix: "44".into(),
    };
    let content = Content { recipient: "+447700900123".into(), text: "hello".into(), ..Content::default() };
    let sealed = DataKey::new(&header.data_key, [7; 32]).seal(&header, &content);
    let candidates = candidates.iter().map(candidate).collect();
    let body = Body { sealed, candidates, ..Body::default() };
    Record { header, body: body.encode_to_vec().into() }
}

pub fn steps(events: &[Event], number: u128) -> Vec<&'static str> {
    let of = |event: &&Event| event.id().unwrap().message == MessageId(number);
    events.iter().filter(of).map(|event| event.step.as_ref().map_or("none", Step::name)).collect()
}

/// What a farm that works has done.
#[derive(Default, Debug)]
pub struct Worked {
    pub leases: Vec<Attempt>,
    pub asked: usize,
}

/// A farm made of words: it has a journal in memory and sends nothing to anybody.
pub struct FakeFarm {
    pub end: FarmEnd,
    pub session: Session,
    pub journal: BTreeMap<Attempt, JournalState>,
    inbox: std::collections::VecDeque<RouterMessage>,
    next_token: u64,
    /// The route that each link was granted for.
    links: BTreeMap<LinkName, String>,
}

impl FakeFarm {
    /// Attaches and is welcomed.
    pub async fn attach(router: &Router<impl Bus>, name: &str, routes: &[&str]) -> Self {
        FakeFarm::attach_with(router, name, routes, BTreeMap::new()).await
    }

    pub async fn attach_with(
        router: &Router<impl Bus>,
        name: &str,
        routes: &[&str],
        journal: BTreeMap<Attempt, JournalState>,
    ) -> Self {
        let mut farm = FakeFarm::dial(router, name, "blue", name, routes).await;
        farm.journal = journal;
        farm.welcomed().await;
        farm
    }

    pub async fn welcomed(&mut self) {
        let RouterMessage::Welcome { session, .. } = self.hear().await else { panic!("a welcome comes first") };
        self.session = session;
    }

    /// Says hello; what comes then is not awaited.
    pub async fn dial(router: &Router<impl Bus>, certified: &str, operator: &str, said: &str, routes: &[&str]) -> Self {
        let (router_end, end) = control::pair();
        let identity = FarmIdentity { operator: operator.into(), farm: FarmName::new(certified).unwrap() };
        let runtime = router.runtime.as_ref().expect("it runs").enter();
        router.dispatch.attach(router_end, identity);
        drop(runtime);
        FakeFarm::hello(end, said, routes).await
    }

    /// Says hello on a stream; what comes then is not awaited.
    pub async fn hello(end: FarmEnd, said: &str, routes: &[&str]) -> Self {
        FakeFarm::hello_again(end, said, routes, Vec::new()).await
    }

    /// As [`FakeFarm::hello`], for a farm that has heard of sessions before.
    pub async fn hello_again(end: FarmEnd, said: &str, routes: &[&str], sessions: Vec<KnownSession>) -> Self {
        let hello = Hello {
            farm: FarmName::new(said).unwrap(),
            incarnation: Incarnation(77),
            version: "test".into(),
            routes: routes.iter().map(|name| route(name)).collect(),
            sessions,
        };
        let farm = FakeFarm {
            end,
            session: 0,
            journal: BTreeMap::new(),
            inbox: std::collections::VecDeque::new(),
            next_token: 1,
            links: BTreeMap::new(),
        };
        farm.say(vec![FarmMessage::Hello(hello)]).await;
        farm
    }

    pub async fn say(&self, messages: Vec<FarmMessage>) {
        self.end.sender.send(messages).await.unwrap();
    }

    /// The next word, questions and reports of what waits among them.
    pub async fn hear(&mut self) -> RouterMessage {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return message;
            }
            let batch = tokio::time::timeout(PATIENCE, self.end.receiver.next()).await.expect("a word comes");
            self.inbox.extend(batch.expect("the stream is open"));
        }
    }

    /// Answers questions on the way to the next word that is neither question nor backlog.
    pub async fn listen(&mut self) -> RouterMessage {
        loop {
            match self.hear().await {
                RouterMessage::Ask { partition, epoch, session, .. } => {
                    let journal = self.journal.iter().map(|(attempt, state)| (*attempt, state.clone())).collect();
                    self.say(vec![FarmMessage::Answer { partition, epoch, session, journal }]).await;
                }
                RouterMessage::Backlog { .. } => {}
                other => return other,
            }
        }
    }

    /// The next lease. A router that does not have its share yet gives tokens back; what waits needs them again.
    pub async fn next_lease(&mut self) -> Lease {
        loop {
            match self.listen().await {
                RouterMessage::Lease(lease) => return lease,
                RouterMessage::TokensReturned { link, tokens } => {
                    if let Some(route) = self.links.get(&link).cloned() {
                        self.grant(&route, link.as_str(), tokens.len() as u64).await;
                    }
                }
                _ => {}
            }
        }
    }

    pub async fn grant(&mut self, name: &str, link: &str, count: u64) {
        let tokens = (self.next_token..self.next_token + count).map(Token).collect();
        self.next_token += count;
        let (route, link) = (route(name), LinkName::new(link).unwrap());
        self.links.insert(link.clone(), name.to_owned());
        self.say(vec![FarmMessage::Credit { route, link, tokens }]).await;
    }

    pub async fn link(&self, name: &str, link: &str, up: bool) {
        let (route, link) = (route(name), LinkName::new(link).unwrap());
        self.say(vec![FarmMessage::Links(vec![LinkState { link, route, up, reason: String::new() }])]).await;
    }

    pub async fn report(&mut self, lease: &Lease, kind: OutcomeKind) {
        let outcome = outcome(kind);
        self.journal.insert(lease.attempt, JournalState::Ended(outcome.clone()));
        let (partition, session, attempt) = (lease.partition.clone(), self.session, lease.attempt);
        self.say(vec![FarmMessage::Report { partition, session, attempt, outcome }]).await;
    }

    /// Sends all it is given, as long as the stream lasts, and tells it. Gives as many tokens as were used.
    pub async fn work(mut self, name: &'static str) -> Worked {
        let mut worked = Worked::default();
        loop {
            let Ok(batch) = self.end.receiver.next().await else { return worked };
            for message in batch {
                self.answer(name, message, &mut worked).await;
            }
        }
    }

    async fn answer(&mut self, name: &str, message: RouterMessage, worked: &mut Worked) {
        let reply = match message {
            RouterMessage::Ask { partition, epoch, session, .. } => {
                let journal = self.journal.iter().map(|(attempt, state)| (*attempt, state.clone())).collect();
                worked.asked += 1;
                vec![FarmMessage::Answer { partition, epoch, session, journal }]
            }
            RouterMessage::Lease(lease) => {
                worked.leases.push(lease.attempt);
                let outcome = outcome(OutcomeKind::Sent);
                self.journal.insert(lease.attempt, JournalState::Ended(outcome.clone()));
                self.next_token += 1;
                let (route, tokens) = (route(name), vec![Token(self.next_token)]);
                let (partition, session, attempt) = (lease.partition, lease.session, lease.attempt);
                let report = FarmMessage::Report { partition, session, attempt, outcome };
                vec![report, FarmMessage::Credit { route, link: lease.link, tokens }]
            }
            RouterMessage::Forget { partition, session, attempts } => {
                attempts.iter().for_each(|attempt| drop(self.journal.remove(attempt)));
                vec![FarmMessage::Forgotten { partition, session, attempts }]
            }
            _ => return,
        };
        // The stream may have ended meanwhile.
        let _ = self.end.sender.send(reply).await;
    }

    pub async fn forgotten(&mut self) -> Vec<Attempt> {
        loop {
            if let RouterMessage::Forget { attempts, .. } = self.listen().await {
                return attempts;
            }
        }
    }
}

pub fn outcome(kind: OutcomeKind) -> Outcome {
    Outcome {
        kind: kind.into(),
        farm: "cellar".into(),
        link: "modem-1".into(),
        imsi: "234150000000001".into(),
        references: vec![5],
        ..Outcome::default()
    }
}
