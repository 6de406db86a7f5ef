//! A gateway on embedded engines and a client for its OMS door. Knows how to load it and what it made durable.

use bus::{AnyBus, Bus, EmbeddedBus};
use gateway::{Config, Deps, Listeners};
use model::fetch::Fetched;
use model::keyring::{Keyring, MasterKey};
use model::party::{ApiKey, Carries, OmsProfile, OmsUser, Rate, RatePrice, Route, Supplier, Tenant, UserState};
use model::record::{Content, Header, Record};
use model::reply::{MailRecord, Words};
use model::{Lane, RouteId, SupplierId, TenantId, Timestamp};
use prost::Message as _;
use runtime::{Health, Registry, Stop};
use store::{AnyStore, EmbeddedStore, Store};
use tokio::net::TcpListener;

/// What a test changes before the service starts.
pub(crate) struct Setup {
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) users: Vec<OmsUser>,
    pub(crate) prefixes: Vec<String>,
    /// What the routes carry, one each.
    pub(crate) routes: Vec<Carries>,
    pub(crate) config: Config,
    pub(crate) lanes: bus::Options,
    pub(crate) listen: &'static str,
}

impl Setup {
    /// One tenant, `acme`, with one user, and routes to Britain and Germany.
    pub(crate) fn new() -> Self {
        Setup {
            tenants: vec![tenant("acme")],
            users: vec![user("acme", "demo", "s3cret demo ", UserState::Active)],
            prefixes: vec!["44".into(), "49".into()],
            routes: vec![Carries::Sms],
            config: Config { parties_refresh_ms: 20, ..Config::default() },
            lanes: bus::Options::default(),
            listen: "127.0.0.1:0",
        }
    }

    pub(crate) fn oms(mut self, change: impl FnOnce(&mut OmsProfile)) -> Self {
        change(&mut self.tenants[0].oms);
        self
    }

    pub(crate) fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }
}

pub(crate) fn tenant(name: &str) -> Tenant {
    Tenant {
        id: TenantId::new(name).unwrap(),
        provider: "provider".into(),
        reseller: String::new(),
        default_country: String::new(),
        weight: 1,
        recipients_max: 100,
        segments_max: 10,
        validity_seconds: 3600,
        resend_uncertain: false,
        hears_answers: false,
        webhook: String::new(),
        events_url: String::new(),
        oms: OmsProfile {
            service_provider: "Example Telecom".into(),
            service_uri: String::new(),
            sign_up_page: "https://oms.example.invalid/signup".into(),
            target_locale: 0,
            local_name: "Example SMS".into(),
            english_name: "Example SMS".into(),
            recipients_max: 50,
            messages_max: 20,
            sbcs_max: 160,
            dbcs_max: 70,
            batch_max: 10,
            scheduling: true,
            schedule_days_max: 0,
            join_parts: false,
            ..OmsProfile::default()
        },
    }
}

pub(crate) fn user(tenant: &str, user_id: &str, password: &str, state: UserState) -> OmsUser {
    let tenant = TenantId::new(tenant).unwrap();
    OmsUser {
        state,
        reply_phone: "+447700900001".into(),
        smtp_address: "r-7f3c9d2ab14e6058@replies.example.invalid".into(),
        ..OmsUser::new(tenant, user_id.into(), gateway::auth::hash_password(password))
    }
}

/// The tenant's key for the REST door.
pub(crate) fn api_key(tenant: &str) -> String {
    format!("ck_{tenant}")
}

/// A running service.
pub(crate) struct Service {
    pub(crate) base: String,
    pub(crate) registry: Registry,
    pub(crate) store: AnyStore,
    client: reqwest::Client,
    bus: AnyBus,
    ring: Keyring,
    stop: Stop,
    _folder: tempfile::TempDir,
}

/// A record of lane `outcomes`, as far as a gateway writes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(message, optional, tag = "4")]
    fetched: Option<Fetched>,
}

/// One durable delivery, opened.
pub(crate) struct Sent {
    pub(crate) header: Header,
    pub(crate) content: Content,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) location: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) body: String,
}

impl Service {
    pub(crate) async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::default();
        let database = embedded::Database::open(&folder.path().join("carillon.db"), &options).unwrap();
        let bus = AnyBus::Embedded(EmbeddedBus::open(database.clone(), setup.lanes.clone()).await.unwrap());
        let store = AnyStore::Embedded(EmbeddedStore::open(database).await.unwrap());
        let master = MasterKey::new([7; 32]);
        fill(&store, &master, &setup).await;
        let keys = store.parties().await.unwrap().data_keys;
        let ring = Keyring::open(&master, &keys, Timestamp(i64::MAX / 2)).unwrap();
        let public = TcpListener::bind(setup.listen).await.unwrap();
        let port = public.local_addr().unwrap().port();
        let (registry, stop) = (Registry::new(), Stop::new(5));
        let deps =
            Deps { bus: bus.clone(), store: store.clone(), master, registry: registry.clone(), health: Health::new() };
        let running = gateway::run(setup.config, deps, Listeners { public, events: None }, stop.clone());
        tokio::spawn(async move { running.await.expect("the gateway starts") });
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Service { base: format!("http://127.0.0.1:{port}"), registry, store, client, bus, ring, stop, _folder: folder }
    }

    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Reply {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            location: header("location"),
            etag: header("etag"),
            body: response.text().await.unwrap(),
        }
    }

    /// Posts a SOAP 1.1 body to the canonical path.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> Reply {
        self.request("POST", "/oms/service.asmx", &[("content-type", "text/xml; charset=utf-8")], body).await
    }

    /// Everything in lane `accepted`, in the order of (acceptance, delivery).
    pub(crate) async fn sent(&self) -> Vec<Sent> {
        let partitions = self.bus.create(&Lane::Accepted).await.unwrap().partitions;
        let mut sent = Vec::new();
        for partition in 0..partitions {
            for read in self.held(&Lane::Accepted, partition).await {
                let record = Record::read(read.payload).unwrap();
                let key = self.ring.key(&record.header.data_key).unwrap();
                let content = key.open(&record.header, &record.body().unwrap().sealed).unwrap();
                sent.push(Sent { header: record.header, content });
            }
        }
        sent.sort_by_key(|sent| (sent.header.accepted_ms, sent.header.message.clone(), sent.header.delivery));
        sent
    }

    async fn held(&self, lane: &Lane, partition: u32) -> Vec<bus::Read> {
        let held = self.bus.bounds(lane, partition).await.unwrap();
        let mut reads = Vec::new();
        while held.first + (reads.len() as i64) < held.next {
            let from = held.first + reads.len() as i64;
            reads.extend(self.bus.read(lane, partition, from, 1_000).await.unwrap());
        }
        reads
    }

    /// Recipient and text of everything in lane `accepted`.
    pub(crate) async fn messages(&self) -> Vec<(String, String)> {
        self.sent().await.into_iter().map(|sent| (sent.content.recipient, sent.content.text)).collect()
    }

    /// Mailbox, subject and text of everything in lane `mail`.
    pub(crate) async fn letters(&self) -> Vec<(String, String, String)> {
        let mut letters = Vec::new();
        for read in self.held(&Lane::Mail, 0).await {
            let record = MailRecord::read(read.payload).unwrap();
            assert!(record.is_letter && !record.user.is_empty());
            let words = Words::open(self.ring.key(&record.data_key).unwrap(), record.id().unwrap(), &record.sealed);
            let words = words.unwrap();
            letters.push((words.mailbox, words.subject, words.text));
        }
        letters
    }

    /// What was told of messages that wait for phones, once there are so many.
    pub(crate) async fn fetched(&self, count: usize) -> Vec<Fetched> {
        let mut told = Vec::new();
        let all = async {
            while told.len() < count {
                told.clear();
                for partition in 0..Lane::Outcomes.partitions() {
                    for read in self.held(&Lane::Outcomes, partition).await {
                        told.push(Told::decode(read.payload).unwrap().fetched.expect("nobody else tells anything"));
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), all).await.expect("it is told");
        told.sort_by_key(|one| one.at_ms);
        told
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> String {
        let text = self.registry.text();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("absent").to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.begin();
    }
}

async fn fill(store: &AnyStore, master: &MasterKey, setup: &Setup) {
    let supplier = SupplierId::new("blue").unwrap();
    store.put_supplier(Supplier { id: supplier.clone(), name: "Blue".into() }).await.unwrap();
    for carries in &setup.routes {
        let (id, supplier) = (RouteId::new(&format!("blue-{carries:?}").to_lowercase()).unwrap(), supplier.clone());
        let route =
            Route { id, supplier, prefixes: vec![], receipts: true, enabled: true, carries: *carries, weight: 1 };
        store.put_route(route).await.unwrap();
    }
    let rate = |prefix: &String| Rate {
        supplier: supplier.clone(),
        prefix: prefix.clone(),
        country: String::new(),
        unit: RatePrice { micros: 35_000, currency: "EUR".parse().unwrap() },
        from: Timestamp(0),
        to: None,
    };
    store.replace_deck(setup.prefixes.iter().map(rate).collect()).await.unwrap();
    for tenant in &setup.tenants {
        store.put_data_key(master.mint(&tenant.id, Timestamp(0), [9; 32])).await.unwrap();
        store.put_tenant(tenant.clone()).await.unwrap();
    }
    for tenant in &setup.tenants {
        let (name, hash) = ("test".to_owned(), master.api_key_hash(&api_key(tenant.id.as_str())));
        store.put_api_key(ApiKey { name, tenant: tenant.id.clone(), hash }).await.unwrap();
    }
    for user in &setup.users {
        store.put_oms_user(user.clone()).await.unwrap();
    }
}

/// What an answer says, read with string functions alone: what wrote it must not judge it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The inner document.
    pub(crate) document: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn of(reply: &Reply) -> Self {
        let (_, inside) = reply.body.split_once("Result").unwrap_or_else(|| panic!("no result: {reply:?}"));
        let text = inside.split_once('>').unwrap().1.split("</").next().unwrap();
        let document = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        Answer { document }
    }

    /// The parts of a batch answer; of others, the whole.
    pub(crate) fn items(&self) -> Vec<Item> {
        let pieces: Vec<&str> =
            self.document.split("<xmsResponse").skip(1).filter(|piece| !piece.starts_with('s')).collect();
        let pieces = if pieces.is_empty() { vec![self.document.as_str()] } else { pieces };
        pieces.into_iter().map(Item::of).collect()
    }

    #[track_caller]
    pub(crate) fn item(&self) -> Item {
        let mut items = self.items();
        assert_eq!(items.len(), 1, "{self:?}");
        items.remove(0)
    }
}

/// One `xmsResponse` or `userInfo`.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) id: Option<String>,
    pub(crate) upper_id: Option<String>,
    /// Code and severity.
    pub(crate) codes: Vec<(String, String)>,
    /// Of the first error.
    pub(crate) content: Option<String>,
    /// Of the first error.
    pub(crate) recipients: Option<String>,
    pub(crate) text: String,
}

impl Item {
    fn of(text: &str) -> Self {
        let head = text.split('>').next().unwrap();
        let errors: Vec<&str> = text.split("<error").skip(1).collect();
        let code = |error: &&str| (attribute(error, "code").unwrap(), attribute(error, "severity").unwrap());
        let first = errors.first().map_or("", |error| error.split("</error>").next().unwrap());
        Item {
            id: attribute(head, "id"),
            upper_id: attribute(head, "Id"),
            codes: errors.iter().map(code).collect(),
            content: element(first, "content"),
            recipients: element(first, "recipientList"),
            text: text.to_owned(),
        }
    }
}

pub(crate) fn element(text: &str, name: &str) -> Option<String> {
    let (_, inside) = text.split_once(&format!("<{name}>"))?;
    inside.split_once(&format!("</{name}>")).map(|(inside, _)| inside.to_owned())
}

pub(crate) fn attribute(text: &str, name: &str) -> Option<String> {
    let (_, value) = text.split_once(&format!(" {name}=\""))?;
    value.split_once('"').map(|(value, _)| value.to_owned())
}
