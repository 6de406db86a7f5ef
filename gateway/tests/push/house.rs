//! A running gateway with tenants, and what it made durable.

use std::net::SocketAddr;

use bus::{AnyBus, Bus, EmbeddedBus, Read};
use gateway::{Config, Deps, Listeners};
use model::keyring::{Keyring, MasterKey};
use model::party::{ApiKey, Carries, OmsProfile, Rate, RatePrice, Route, Supplier, Tenant};
use model::push::{Change, ChangeKind};
use model::record::{Content, Header, Record};
use model::reply::MailRecord;
use model::{Lane, RouteId, SupplierId, TenantId, Timestamp};
use runtime::{Health, Registry, Stop};
use serde_json::{Value, json};
use store::{AnyStore, EmbeddedStore, Store};
use tokio::net::{TcpListener, UdpSocket};

/// An open house.
pub(crate) struct House {
    pub(crate) base: String,
    pub(crate) events: SocketAddr,
    pub(crate) registry: Registry,
    pub(crate) store: AnyStore,
    pub(crate) bus: AnyBus,
    ring: Keyring,
    master: MasterKey,
    config: Config,
    client: reqwest::Client,
    stop: Stop,
    _folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) etag: String,
    pub(crate) link: String,
    pub(crate) text: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The body of an answer that must be good.
    #[track_caller]
    pub(crate) fn good(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.json()["type"], format!("urn:carillon:problem:{code}"), "{self:?}");
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(&[Carries::Sms], |_| {}).await
    }

    pub(crate) async fn with(routes: &[Carries], change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::default();
        let database = embedded::Database::open(&folder.path().join("carillon.db"), &options).unwrap();
        let bus = AnyBus::Embedded(EmbeddedBus::open(database.clone(), bus::Options::default()).await.unwrap());
        let store = AnyStore::Embedded(EmbeddedStore::open(database).await.unwrap());
        let master = MasterKey::new([7; 32]);
        fill(&store, &master, routes).await;
        let keys = store.parties().await.unwrap().data_keys;
        let ring = Keyring::open(&master, &keys, Timestamp(i64::MAX / 2)).unwrap();
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (base, events) = (format!("http://{}", public.local_addr().unwrap()), socket.local_addr().unwrap());
        let (registry, stop) = (Registry::new(), Stop::new(5));
        let (health, mut config) = (Health::new(), Config { parties_refresh_ms: 20, ..Config::default() });
        change(&mut config);
        let deps =
            Deps { bus: bus.clone(), store: store.clone(), master: master.clone(), registry: registry.clone(), health };
        let running = gateway::run(config.clone(), deps, Listeners { public, events: Some(socket) }, stop.clone());
        tokio::spawn(async move { running.await.expect("the gateway starts") });
        let client = reqwest::Client::new();
        House { base, events, registry, store, bus, ring, master, config, client, stop, _folder: folder }
    }

    /// Opens another gateway on the same lanes and state; its base.
    pub(crate) async fn another_gateway(&self) -> String {
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", public.local_addr().unwrap());
        let (registry, health) = (Registry::new(), Health::new());
        let deps =
            Deps { bus: self.bus.clone(), store: self.store.clone(), master: self.master.clone(), registry, health };
        let running = gateway::run(self.config.clone(), deps, Listeners { public, events: None }, self.stop.clone());
        tokio::spawn(async move { running.await.expect("the gateway starts") });
        base
    }

    /// Puts a document as tenant `acme` through one of several gateways.
    pub(crate) async fn put_at(&self, base: &str, path: &str, body: &Value) -> Reply {
        let headers = [("content-type", "application/json")];
        self.request(base, "ck_acme", "PUT", path, &headers, body.to_string()).await
    }

    /// Asks as tenant `acme`.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: impl Into<Option<Value>>) -> Reply {
        self.ask_with(method, path, &[], body).await
    }

    pub(crate) async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Option<Value>>,
    ) -> Reply {
        let body = body.into().map(|body| body.to_string());
        let json = body.as_ref().map(|_| ("content-type", "application/json"));
        let headers: Vec<(&str, &str)> = json.into_iter().chain(headers.iter().copied()).collect();
        self.raw("acme", method, path, &headers, body.unwrap_or_default()).await
    }

    pub(crate) async fn raw(
        &self,
        tenant: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Reply {
        self.request(&self.base, &format!("ck_{tenant}"), method, path, headers, body).await
    }

    /// Asks with a key or a token.
    pub(crate) async fn request(
        &self,
        base: &str,
        bearer: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Reply {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{base}{path}")).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.bearer_auth(bearer).send().await.unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (status, etag, link) = (response.status().as_u16(), header("etag"), header("link"));
        Reply { status, etag, link, text: response.text().await.unwrap() }
    }

    /// Puts an account, and a device of it for each id with these resources.
    pub(crate) async fn settle(&self, account: &str, devices: &[(&str, Value)]) {
        let body = json!({ "server_id": "icewarp", "sync_url": "https://sync.example.com" });
        self.ask("PUT", &format!("/v1/accounts/{account}"), body).await.good();
        for (id, resources) in devices {
            let body = json!({ "account": account, "model": "ds-1.2", "resources": resources });
            self.ask("PUT", &format!("/v1/devices/{id}"), body).await.good();
        }
    }

    /// Everything in lane `changes`.
    pub(crate) async fn changes(&self) -> Vec<Change> {
        let reads = self.lane(&Lane::Changes).await.into_iter();
        reads.map(|read| Change::read(read.payload).unwrap()).collect()
    }

    /// What is dirty: account and resource of each entry.
    pub(crate) async fn dirty(&self) -> Vec<(String, String)> {
        let dirty = |change: Change| match change.kind {
            Some(ChangeKind::Dirty(dirty)) => Some((change.account, dirty.resource)),
            _ => None,
        };
        self.changes().await.into_iter().filter_map(dirty).collect()
    }

    /// Devices the router is to look at again, in order.
    pub(crate) async fn touched(&self) -> Vec<String> {
        let touched = |change: Change| match change.kind {
            Some(ChangeKind::Touched(touched)) => Some(touched.device),
            _ => None,
        };
        self.changes().await.into_iter().filter_map(touched).collect()
    }

    /// What tenants are to hear: the id and the record's account of it, as JSON.
    pub(crate) async fn happenings(&self) -> Vec<(model::MessageId, String, Value)> {
        let read = |read: Read| {
            let record = MailRecord::read(read.payload).unwrap();
            let happening = record.happening.clone().unwrap();
            (record.id().unwrap(), happening.kind, serde_json::from_str(&happening.data).unwrap())
        };
        self.lane(&Lane::Hooks).await.into_iter().map(read).collect()
    }

    /// Everything that was accepted, opened.
    pub(crate) async fn sent(&self) -> Vec<(Header, Content)> {
        let mut sent = Vec::new();
        for read in self.lane(&Lane::Accepted).await {
            let record = Record::read(read.payload).unwrap();
            let body: model::record::Body = prost::Message::decode(record.body.clone()).unwrap();
            let key = self.ring.key(&record.header.data_key).unwrap();
            let content = key.open(&record.header, &body.sealed).unwrap();
            sent.push((record.header, content));
        }
        sent
    }

    /// Everything in a lane, partition by partition. A read of nothing would wait for more.
    async fn lane(&self, lane: &Lane) -> Vec<Read> {
        let mut all = Vec::new();
        for partition in 0..lane.partitions() {
            let (end, mut from) = (self.bus.bounds(lane, partition).await.unwrap().next, 0);
            while from < end {
                let reads = self.bus.read(lane, partition, from, 10_000).await.unwrap();
                from = reads.last().unwrap().offset + 1;
                all.extend(reads);
            }
        }
        all
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = self.registry.text();
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no `{line}` in\n{text}"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.begin();
    }
}

async fn fill(store: &AnyStore, master: &MasterKey, routes: &[Carries]) {
    let supplier = SupplierId::new("blue").unwrap();
    store.put_supplier(Supplier { id: supplier.clone(), name: "Blue".into() }).await.unwrap();
    for (nth, carries) in routes.iter().enumerate() {
        let (id, supplier) = (RouteId::new(&format!("blue-{nth}")).unwrap(), supplier.clone());
        let (prefixes, carries) = (vec![], *carries);
        store
            .put_route(Route { id, supplier, prefixes, receipts: true, enabled: true, carries, weight: 1 })
            .await
            .unwrap();
    }
    let unit = RatePrice { micros: 35_000, currency: "EUR".parse().unwrap() };
    let rate = Rate { supplier, prefix: "44".into(), country: String::new(), unit, from: Timestamp(0), to: None };
    store.replace_deck(vec![rate]).await.unwrap();
    for name in ["acme", "blue"] {
        let tenant = TenantId::new(name).unwrap();
        store.put_data_key(master.mint(&tenant, Timestamp(0), [9; 32])).await.unwrap();
        store.put_tenant(party(&tenant)).await.unwrap();
        let hash = master.api_key_hash(&format!("ck_{name}"));
        store.put_api_key(ApiKey { name: "console".into(), tenant, hash }).await.unwrap();
    }
}

fn party(id: &TenantId) -> Tenant {
    Tenant {
        id: id.clone(),
        provider: "provider".into(),
        reseller: String::new(),
        default_country: "GB".into(),
        weight: 1,
        recipients_max: 100,
        segments_max: 10,
        validity_seconds: 3600,
        resend_uncertain: false,
        webhook: String::new(),
        events_url: String::new(),
        hears_answers: false,
        oms: OmsProfile::default(),
    }
}
