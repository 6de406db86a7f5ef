//! A router's house on embedded engines: parties, lanes, a scripted peer in place of gateway and dispatcher. No network.
#![expect(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use bus::{Bounds, Bus, BusError, Consumed, EmbeddedBus, Entry, Group, LaneInfo, Membership, Position, Read};
use bytes::Bytes;
use lease::Outcome;
use lease::record::{OutcomeKind, Queue};
use model::event::{Event, Step};
use model::fetch::{End, Fetched};
use model::keyring::MasterKey;
use model::party::{Carries, OmsProfile, Rate, RatePrice, Route, Supplier, Tenant};
use model::record::{Account, Body, Content, Header, OnUncertain, Record};
use model::seal::DataKey;
use model::{Lane, MessageId, Msisdn, RouteId, State, SupplierId, TenantId, Timestamp};
use prost::Message as _;
use runtime::{Registry, Stop};
use sms_router::clock::Clock;
use sms_router::config::Config;
use sms_router::country::Countries;
use sms_router::desk::Desk;
use sms_router::keys::Keeper;
use sms_router::metrics::Metrics;
use sms_router::notify::{self, NOTIFIERS, Notifier};
use sms_router::outcome::{Fact, Kind, Receipt, partition_key};
use sms_router::pipeline::Pipeline;
use sms_router::planner::{Conditions, Fitness};
use sms_router::project::Projector;
use sms_router::replies::hooks::Hooks;
use sms_router::replies::inbox::{Inbox, Keys, READERS};
use sms_router::routing::{Loads, Routing};
use sms_router::schedule::{Gate, Maker, Schedule};
use sms_router::settle::Settler;
use sms_router::world::World;
use store::{EmbeddedStore, Ledger, Store};

/// When these tests take place.
pub(crate) const NOW: Timestamp = Timestamp(1_795_257_000_000);
pub(crate) const IMSI: &str = "234150000000001";
pub(crate) const NUMBER: &str = "+447700900123";

static COUNTRIES: std::sync::LazyLock<Countries> = std::sync::LazyLock::new(|| Countries::load(10_000));

/// Lanes whose next commit can be made to fail, before or after it happened: what a kill does. They live by the test's
/// clock.
#[derive(Clone)]
pub(crate) struct FrailBus {
    inner: EmbeddedBus,
    commits_left: Arc<AtomicI64>,
    /// Commits until one that happens, and whose caller does not hear of it before it is let go on.
    commits_to_hold: Arc<AtomicI64>,
    let_go: Arc<tokio::sync::Notify>,
    clock: Clock,
    /// Offsets without an entry in partitions that hold none, as an engine may leave them.
    gap: Arc<AtomicI64>,
    /// When entries were appended: read again, they still say so.
    taken: Arc<Mutex<HashMap<Place, Timestamp>>>,
}

/// A lane, a partition, an offset.
type Place = (Lane, u32, i64);

/// Routes as the test says they are.
#[derive(Clone, Default)]
pub(crate) struct Script {
    asked: Arc<AtomicI64>,
    fitness: Arc<Mutex<HashMap<String, Fitness>>>,
}

pub(crate) type TestDesk = Desk<FrailBus, EmbeddedStore, Script>;

pub(crate) struct House {
    pub(crate) desk: TestDesk,
    pub(crate) script: Script,
    pub(crate) bus: FrailBus,
    pub(crate) master: MasterKey,
    pub(crate) tenant: TenantId,
    /// Between each planner or settler and the firing of its rows; they outlive its runs.
    gates: Mutex<HashMap<Maker, Gate>>,
    _directory: tempfile::TempDir,
}

/// A message as the gateway would put it in the lane.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) header: Header,
    pub(crate) content: Content,
}

impl FrailBus {
    /// Lets so many commits happen; the next one fails without happening.
    pub(crate) fn fail_after(&self, commits: i64) {
        self.commits_left.store(commits, Ordering::SeqCst);
    }

    /// Lets so many commits happen; who makes the next one does not hear that it happened until [`FrailBus::let_go`]: a process
    /// that stands still.
    pub(crate) fn hold_after(&self, commits: i64) {
        self.commits_to_hold.store(commits, Ordering::SeqCst);
    }

    /// Whether somebody is held.
    pub(crate) fn is_holding(&self) -> bool {
        self.commits_to_hold.load(Ordering::SeqCst) < 0
    }

    pub(crate) fn let_go(&self) {
        self.let_go.notify_one();
    }

    pub(crate) fn heal(&self) {
        self.fail_after(i64::MAX);
    }

    /// From here on partitions that hold no entry end this many offsets later.
    pub(crate) fn leave_gap(&self, offsets: i64) {
        self.gap.store(offsets, Ordering::SeqCst);
    }
}

impl Bus for FrailBus {
    async fn create(&self, lane: &Lane) -> Result<LaneInfo, BusError> {
        self.inner.create(lane).await
    }
    async fn declare(&self, lane: &Lane, groups: &[Group]) -> Result<(), BusError> {
        self.inner.declare(lane, groups).await
    }
    async fn append(&self, lane: &Lane, batch: Vec<Entry>) -> Result<Vec<Position>, BusError> {
        let positions = self.inner.append(lane, batch).await?;
        let (now, mut taken) = (self.clock.now(), self.taken.lock().unwrap());
        taken.extend(positions.iter().map(|at| ((lane.clone(), at.partition, at.offset), now)));
        Ok(positions)
    }
    async fn commit(&self, consumed: Vec<Consumed>, appended: Vec<(Lane, Entry)>) -> Result<Vec<Position>, BusError> {
        if self.commits_left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(BusError::Closed);
        }
        let positions = self.inner.commit(consumed, appended).await;
        if self.commits_to_hold.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.let_go.notified().await;
        }
        positions
    }
    async fn read(&self, lane: &Lane, partition: u32, from: i64, max: usize) -> Result<Vec<Read>, BusError> {
        let mut reads = self.inner.read(lane, partition, from, max).await?;
        let taken = self.taken.lock().unwrap();
        for read in &mut reads {
            read.at = taken.get(&(lane.clone(), partition, read.offset)).copied().unwrap_or(read.at);
        }
        Ok(reads)
    }
    async fn fetch(&self, lane: &Lane, partition: u32, offsets: &[i64]) -> Result<Vec<Read>, BusError> {
        self.inner.fetch(lane, partition, offsets).await
    }
    async fn watermark(&self, group: Group, lane: &Lane, partition: u32) -> Result<i64, BusError> {
        self.inner.watermark(group, lane, partition).await
    }
    async fn bounds(&self, lane: &Lane, partition: u32) -> Result<Bounds, BusError> {
        let bounds = self.inner.bounds(lane, partition).await?;
        let gap = if bounds.first == bounds.next { self.gap.load(Ordering::SeqCst) } else { 0 };
        Ok(Bounds { next: bounds.next + gap, ..bounds })
    }
    async fn join(&self, group: Group, lanes: Vec<Lane>) -> Result<Membership, BusError> {
        self.inner.join(group, lanes).await
    }
    async fn lag(&self, group: Group, lane: &Lane, partition: u32) -> Result<u64, BusError> {
        self.inner.lag(group, lane, partition).await
    }
    async fn trim(&self) -> Result<(), BusError> {
        self.inner.trim().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

impl Script {
    /// Waits until the planner has asked so often how a route is.
    pub(crate) async fn asked(&self, times: i64) {
        while self.asked.load(Ordering::SeqCst) < times {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn set(&self, route: &str, fitness: Fitness) {
        self.fitness.lock().unwrap().insert(route.into(), fitness);
    }
}

impl Conditions for Script {
    fn fitness(&self, route: &RouteId) -> Fitness {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.fitness.lock().unwrap().get(route.as_str()).copied().unwrap_or(Fitness::Fit)
    }
}

impl Loads for Script {
    fn choose(&self, _: &RouteId, _: &TenantId, _: u32, _: u32) -> Queue {
        Queue::Front
    }
}

impl House {
    /// A house with tenant `acme`, routes `blue-gb` (2 cents) and `green-gb` (5 cents) to +44.
    pub(crate) async fn open() -> Self {
        Self::open_with(Config { references_flush_ms: 20, retry_ms_first: 1_024, ..Config::default() }).await
    }

    pub(crate) async fn open_with(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database =
            embedded::Database::open(&directory.path().join("house.db"), &embedded::Options::default()).unwrap();
        let inner = EmbeddedBus::open(database.clone(), bus::Options::default()).await.unwrap();
        let clock = Clock::standing(NOW);
        let bus = FrailBus {
            inner,
            commits_left: Arc::new(AtomicI64::new(i64::MAX)),
            commits_to_hold: Arc::new(AtomicI64::new(i64::MAX)),
            let_go: Arc::default(),
            gap: Arc::default(),
            clock: clock.clone(),
            taken: Arc::default(),
        };
        let store = EmbeddedStore::open(database).await.unwrap();
        put_parties(&store).await;
        sms_router::prepare(&bus).await.unwrap();
        let master = MasterKey::new([7; 32]);
        let keeper = Keeper::new(bus.clone(), store.clone(), master.clone(), clock.clone(), 1);
        let world = World::new(keeper.take().await.unwrap());
        let script = Script::default();
        let desk = Desk {
            bus: bus.clone(),
            store,
            world,
            keeper,
            routing: Routing::new(COUNTRIES.clone(), script.clone()),
            clock,
            metrics: Metrics::new(&Registry::new()),
            config: Arc::new(config),
        };
        let (tenant, gates) = (TenantId::new("acme").unwrap(), Mutex::default());
        House { desk, script, bus, master, tenant, gates, _directory: directory }
    }

    /// A message of one segment that asks for a receipt.
    pub(crate) fn message(&self, id: u128) -> Sent {
        self.message_to(id, NUMBER)
    }

    pub(crate) fn message_to(&self, id: u128, number: &str) -> Sent {
        let number_hash = self.master.number_key().hash(&Msisdn::parse(number).unwrap());
        let header = Header {
            schema_version: 1,
            cell: "home".into(),
            account: Account { tenant: "acme".into(), ..Account::default() },
            message: MessageId(id).to_bytes().to_vec(),
            deliveries: 1,
            accepted_ms: self.desk.clock.now().0,
            answer_by_ms: i64::MAX,
            expires_ms: self.desk.clock.now().plus_ms(3_600_000).0,
            segments: 1,
            recipient_hash: number_hash.to_vec(),
            receipt: true,
            ..Header::default()
        };
        Sent { header, content: Content { recipient: number.into(), text: "hello".into(), ..Content::default() } }
    }

    /// Appends messages as the gateway does, all at once.
    pub(crate) async fn accept(&self, messages: &[Sent]) {
        let snapshot = self.desk.world.snapshot();
        let (_, key) = snapshot.keyring.newest(&self.tenant).expect("the keeper made a key");
        self.accept_with(key, messages).await;
    }

    /// Appends messages sealed with this key.
    pub(crate) async fn accept_with(&self, key: &DataKey, messages: &[Sent]) {
        let entries = messages.iter().map(|message| message.entry(key)).collect();
        self.bus.append(&Lane::Accepted, entries).await.unwrap();
    }

    /// Plans all that was accepted.
    pub(crate) async fn plan(&self) {
        for partition in 0..Lane::Accepted.partitions() {
            self.plan_partition(partition).await.unwrap();
        }
    }

    /// Plans a partition until it has taken everything, or fails.
    pub(crate) async fn plan_partition(&self, partition: u32) -> Result<(), sms_router::RouterError> {
        let gate = self.fresh_gate(Maker::Planner(partition));
        let pipeline = Pipeline::new(self.desk.clone(), partition, gate.clone());
        let (stop, taken) = (Stop::new(30), self.taken(Group::PLANNER, &Lane::Accepted, partition));
        let until = stop.clone();
        self.run_until(opened(taken, gate), stop, async move || pipeline.run(&until).await).await
    }

    /// Settles all outcomes.
    pub(crate) async fn settle(&self) {
        for partition in 0..Lane::Outcomes.partitions() {
            self.settle_partition(partition).await.unwrap();
        }
    }

    pub(crate) async fn settle_partition(&self, partition: u32) -> Result<(), sms_router::RouterError> {
        let gate = self.fresh_gate(Maker::Settler(partition));
        let settler = Settler::new(self.desk.clone(), partition, gate.clone());
        let (stop, taken) = (Stop::new(30), self.taken(Group::SETTLER, &Lane::Outcomes, partition));
        let until = stop.clone();
        self.run_until(opened(taken, gate), stop, async move || settler.run(&until).await).await
    }

    /// Gives messages from handsets of one partition to whom they are for.
    pub(crate) async fn sort_inbox(&self, partition: u32) -> Result<(), sms_router::RouterError> {
        let hooks = Hooks::of(&self.desk.config.webhooks, &self.master)?;
        let inbox = Inbox::new(self.desk.clone(), Keys::of(&self.master), hooks, partition);
        let run = async move |stop: Stop| inbox.run(&stop).await;
        self.run_until_taken(READERS, Lane::Inbox, partition, run).await
    }

    /// Tells devices of what changed, in one partition, until all of the lane was taken and what is waited for has come.
    pub(crate) async fn notify(
        &self,
        partition: u32,
        done: impl Future<Output = ()>,
    ) -> Result<(), sms_router::RouterError> {
        let notifier = Notifier::new(self.desk.clone(), notify::Keys::of(&self.master), partition);
        let (stop, taken) = (Stop::new(30), self.taken(NOTIFIERS, &Lane::Changes, partition));
        let (until, all) = (stop.clone(), async {
            taken.await;
            done.await;
        });
        self.run_until(all, stop, async move || notifier.run(&until).await).await
    }

    /// The gate between a planner or settler and the firing of its rows.
    pub(crate) fn gate(&self, maker: Maker) -> Gate {
        self.gates.lock().unwrap().entry(maker).or_default().clone()
    }

    /// Another router takes over a planner or settler.
    fn fresh_gate(&self, maker: Maker) -> Gate {
        self.gates.lock().unwrap().remove(&maker);
        self.gate(maker)
    }

    /// Whoever fires the rows of a planner or settler.
    pub(crate) fn schedule(&self, maker: Maker) -> Schedule<FrailBus, EmbeddedStore, Script> {
        Schedule::new(self.desk.clone(), maker, self.gate(maker))
    }

    /// Appends all that is due.
    pub(crate) async fn fire(&self) {
        let planners = (0..Lane::Accepted.partitions()).map(Maker::Planner);
        for maker in planners.chain((0..Lane::Outcomes.partitions()).map(Maker::Settler)) {
            for shard in maker.shards() {
                while self.schedule(maker).fire(shard).await.unwrap() {}
            }
        }
    }

    /// Carries everything into the store.
    pub(crate) async fn project(&self) {
        for partition in 0..Lane::Accepted.partitions() {
            let projector = Projector::of_accepted(self.desk.clone(), partition);
            let run = async move |stop: Stop| projector.run(&stop).await;
            self.run_until_taken(Group::PROJECTION, Lane::Accepted, partition, run).await.unwrap();
        }
        for partition in 0..Lane::Events.partitions() {
            self.project_events(partition).await.unwrap();
        }
    }

    /// Carries one partition of lane `events` into the store, or fails.
    pub(crate) async fn project_events(&self, partition: u32) -> Result<(), sms_router::RouterError> {
        let projector = Projector::of_events(self.desk.clone(), partition);
        let run = async move |stop: Stop| projector.run(&stop).await;
        self.run_until_taken(Group::PROJECTION, Lane::Events, partition, run).await
    }

    async fn run_until_taken(
        &self,
        group: Group,
        lane: Lane,
        partition: u32,
        run: impl AsyncFnOnce(Stop) -> Result<(), sms_router::RouterError>,
    ) -> Result<(), sms_router::RouterError> {
        let stop = Stop::new(30);
        let until = stop.clone();
        self.run_until(self.taken(group, &lane, partition), stop, async move || run(until).await).await
    }

    /// Waits until a group has taken what stands in a partition.
    async fn taken(&self, group: Group, lane: &Lane, partition: u32) {
        let end = self.bus.inner.bounds(lane, partition).await.unwrap().next;
        while self.bus.watermark(group, lane, partition).await.unwrap() < end {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Runs a loop until it fails, or stops it when what is waited for has come.
    async fn run_until(
        &self,
        done: impl Future<Output = ()>,
        stop: Stop,
        run: impl AsyncFnOnce() -> Result<(), sms_router::RouterError>,
    ) -> Result<(), sms_router::RouterError> {
        let stopping = async {
            done.await;
            stop.begin();
            std::future::pending::<()>().await;
        };
        tokio::select! { ended = run() => ended, () = stopping => unreachable!() }
    }

    /// The records in front of a route.
    pub(crate) async fn routed(&self, route: &str) -> Vec<Record> {
        let lane = Lane::Front(RouteId::new(route).unwrap());
        self.entries(&lane).await.into_iter().map(|read| Record::read(read).unwrap()).collect()
    }

    /// All events of a delivery, in order.
    pub(crate) async fn events(&self, sent: &Sent) -> Vec<Event> {
        let events = self.entries(&Lane::Events).await.into_iter().map(|read| Event::read(read).unwrap());
        events.filter(|e| e.message == sent.header.message && e.delivery == sent.header.delivery).collect()
    }

    /// The names of a delivery's steps, in order.
    pub(crate) async fn story(&self, sent: &Sent) -> Vec<&'static str> {
        self.events(sent).await.iter().map(|event| event.step.as_ref().unwrap().name()).collect()
    }

    /// How a delivery ended; it must have ended once.
    pub(crate) async fn ending(&self, sent: &Sent) -> (State, String) {
        let mut ends = self.events(sent).await.into_iter().filter_map(|event| match event.step {
            Some(Step::Ended(ended)) => Some((State::from_rank(ended.state as u8).unwrap(), ended.reason)),
            _ => None,
        });
        let end = ends.next().expect("it ended");
        assert_eq!(ends.next(), None, "it ended once");
        end
    }

    pub(crate) async fn entries(&self, lane: &Lane) -> Vec<Bytes> {
        let mut all = Vec::new();
        for partition in 0..lane.partitions() {
            let bounds = self.bus.inner.bounds(lane, partition).await.unwrap();
            let mut from = bounds.first;
            while from < bounds.next {
                let reads = self.bus.read(lane, partition, from, 1000).await.unwrap();
                from = reads.last().unwrap().offset + 1;
                all.extend(reads.into_iter().map(|read| read.payload));
            }
        }
        all
    }

    /// The owner derives a fact about an attempt at a record.
    pub(crate) async fn outcome(&self, record: &Record, kind: OutcomeKind, references: &[u32]) {
        self.outcome_because(record, kind, references, "CMS 42").await;
    }

    pub(crate) async fn outcome_because(&self, record: &Record, kind: OutcomeKind, references: &[u32], reason: &str) {
        let fact = Kind::Fact(self.fact(record, kind, references, reason));
        match record.header.fetch {
            Some(_) => self.put_fetched(&record.header.recipient_hash, fact).await,
            None => self.put_outcome(&record.header.recipient_hash, fact).await,
        }
    }

    /// The owner derives a proof about an attempt that had ended as uncertain.
    pub(crate) async fn correction(&self, record: &Record, kind: OutcomeKind, references: &[u32]) {
        let fact = Fact { correction: true, ..self.fact(record, kind, references, "") };
        self.put_outcome(&record.header.recipient_hash, Kind::Fact(fact)).await;
    }

    fn fact(&self, record: &Record, kind: OutcomeKind, references: &[u32], reason: &str) -> Fact {
        let outcome = Outcome {
            kind: kind as i32,
            farm: "farm-1".into(),
            link: "modem-1".into(),
            imsi: IMSI.into(),
            references: references.to_vec(),
            reason: reason.into(),
            at_ms: self.desk.clock.now().0,
        };
        Fact { attempt: record.header.attempt + 1, envelope: record.to_bytes(), outcome, ..Fact::default() }
    }

    /// The farm hears a receipt.
    pub(crate) async fn receipt(&self, sent: &Sent, reference: u32, status: u32) {
        let receipt = Receipt {
            imsi: IMSI.into(),
            reference,
            recipient_hash: sent.header.recipient_hash.clone(),
            status,
            network_ms: 5,
            at_ms: self.desk.clock.now().0,
            ..Receipt::default()
        };
        self.put_outcome(&sent.header.recipient_hash, Kind::Receipt(receipt)).await;
    }

    pub(crate) async fn put_outcome(&self, recipient_hash: &[u8], kind: Kind) {
        let entry = Entry::new(partition_key(IMSI, recipient_hash), kind.to_bytes());
        self.bus.append(&Lane::Outcomes, vec![entry]).await.unwrap();
    }

    /// A gateway tells what became of what waited for a phone.
    pub(crate) async fn fetched(&self, sent: &Sent, end: End) {
        let reference = sent.header.fetch.as_ref().expect("it is a notice").reference;
        let (recipient_hash, at_ms) = (sent.header.recipient_hash.clone(), self.desk.clock.now().0);
        let fetched = Fetched { recipient_hash: recipient_hash.clone(), reference, end: end.into(), at_ms };
        self.put_fetched(&recipient_hash, Kind::Fetched(fetched)).await;
    }

    async fn put_fetched(&self, recipient_hash: &[u8], kind: Kind) {
        let entry = Entry::new(model::fetch::key(recipient_hash), kind.to_bytes());
        self.bus.append(&Lane::Outcomes, vec![entry]).await.unwrap();
    }

    /// The ledger, which must balance.
    pub(crate) async fn ledger(&self) -> Ledger {
        self.project().await;
        let ledger = self.desk.store.ledger(None).await.unwrap();
        assert_eq!(ledger.difference, 0, "accepted = final + pending: {ledger:?}");
        ledger
    }
}

/// Waits until all is taken, and nothing is left of what a predecessor may have put.
async fn opened(taken: impl Future<Output = ()>, gate: Gate) {
    taken.await;
    while !gate.is_open().await {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

impl Sent {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.header);
        self
    }

    /// The message has a tenant's key, and a body with this digest.
    pub(crate) fn keyed(self, digest: u8) -> Self {
        self.with(|header| (header.keyed, header.digest) = (true, vec![digest; 16]))
    }

    pub(crate) fn resend(self) -> Self {
        self.with(|header| header.on_uncertain = OnUncertain::Resend as i32)
    }

    pub(crate) fn partition(&self) -> u32 {
        bus::partition_of(&self.header.message, Lane::Accepted.partitions())
    }

    /// The partition of lane `outcomes` where it is settled.
    pub(crate) fn settled_in(&self) -> u32 {
        bus::partition_of(&partition_key(IMSI, &self.header.recipient_hash), Lane::Outcomes.partitions())
    }

    fn entry(&self, key: &DataKey) -> Entry {
        let header = Header { data_key: key.id().into(), ..self.header.clone() };
        let body = Body { sealed: key.seal(&header, &self.content), ..Body::default() };
        let record = Record { header, body: body.encode_to_vec().into() };
        Entry::new(record.header.message.clone(), record.to_bytes())
    }
}

pub(crate) async fn put_parties(store: &EmbeddedStore) {
    let oms = OmsProfile {
        service_provider: String::new(),
        service_uri: String::new(),
        sign_up_page: String::new(),
        target_locale: 0,
        local_name: String::new(),
        english_name: String::new(),
        recipients_max: 50,
        messages_max: 5,
        sbcs_max: 160,
        dbcs_max: 70,
        batch_max: 100,
        scheduling: true,
        schedule_days_max: 0,
        join_parts: true,
        ..OmsProfile::default()
    };
    let tenant = Tenant {
        id: TenantId::new("acme").unwrap(),
        provider: "provider".into(),
        reseller: String::new(),
        default_country: "GB".into(),
        weight: 1,
        recipients_max: 1_000,
        segments_max: 10,
        validity_seconds: 3_600,
        resend_uncertain: false,
        hears_answers: false,
        webhook: String::new(),
        events_url: String::new(),
        oms,
    };
    store.put_tenant(tenant).await.unwrap();
    for name in ["blue", "green"] {
        let supplier = SupplierId::new(name).unwrap();
        store.put_supplier(Supplier { id: supplier.clone(), name: name.into() }).await.unwrap();
        let id = RouteId::new(&format!("{name}-gb")).unwrap();
        store
            .put_route(Route {
                id,
                supplier,
                prefixes: vec![],
                receipts: true,
                enabled: true,
                carries: Carries::Sms,
                weight: 1,
            })
            .await
            .unwrap();
    }
    store.replace_deck(vec![rate("blue", 20_000), rate("green", 50_000)]).await.unwrap();
}

pub(crate) fn rate(supplier: &str, micros: i64) -> Rate {
    Rate {
        supplier: SupplierId::new(supplier).unwrap(),
        prefix: "44".into(),
        country: String::new(),
        unit: RatePrice { micros, currency: "EUR".parse().unwrap() },
        from: Timestamp(0),
        to: None,
    }
}
