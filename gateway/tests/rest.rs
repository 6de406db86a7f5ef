//! What gateways tell of messages, each gateway over the same lanes and state. Knows REST; the projection is played by hand.

use bus::{AnyBus, Bus, EmbeddedBus};
use gateway::{Deps, Listeners};
use model::keyring::MasterKey;
use model::party::{ApiKey, Carries, OmsProfile, Rate, RatePrice, Route, Supplier, Tenant};
use model::record::Record;
use model::{Lane, RouteId, SupplierId, TenantId, Timestamp};
use runtime::{Health, Registry, Stop};
use serde_json::{Value, json};
use store::{AcceptedRow, AnyStore, EmbeddedStore, Projection, Store};
use tokio::net::TcpListener;

const KEY: &str = "ck_test";

/// Lanes and state with two gateways before them.
struct House {
    lanes: EmbeddedBus,
    bus: AnyBus,
    store: AnyStore,
    doors: Vec<String>,
    client: reqwest::Client,
    stop: Stop,
    _folder: tempfile::TempDir,
}

struct Reply {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

impl House {
    async fn open() -> Self {
        Self::with(gateway::Config::default()).await
    }

    async fn with(config: gateway::Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::default();
        let database = embedded::Database::open(&folder.path().join("carillon.db"), &options).unwrap();
        let lanes = EmbeddedBus::open(database.clone(), bus::Options::default()).await.unwrap();
        let bus = AnyBus::Embedded(lanes.clone());
        let store = AnyStore::Embedded(EmbeddedStore::open(database).await.unwrap());
        let master = MasterKey::new([7; 32]);
        fill(&store, &master).await;
        let (stop, mut doors) = (Stop::new(5), Vec::new());
        for _ in 0..2 {
            let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
            doors.push(format!("http://{}/v1/messages", public.local_addr().unwrap()));
            let deps = Deps {
                bus: bus.clone(),
                store: store.clone(),
                master: master.clone(),
                registry: Registry::new(),
                health: Health::new(),
            };
            let running = gateway::run(config.clone(), deps, Listeners { public, events: None }, stop.clone());
            tokio::spawn(async move { running.await.expect("the gateway starts") });
        }
        House { lanes, bus, store, doors, client: reqwest::Client::new(), stop, _folder: folder }
    }

    async fn reply(request: reqwest::RequestBuilder) -> Reply {
        let answer = request.bearer_auth(KEY).send().await.unwrap();
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Reply { status: answer.status().as_u16(), retry_after, body: answer.json().await.unwrap() }
    }

    /// Sends by the first gateway.
    async fn send(&self, key: Option<&str>) -> String {
        let mut request = self.client.post(&self.doors[0]).json(&json!({"to": "+447400123456", "text": "hello"}));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let reply = Self::reply(request).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.body["id"].as_str().unwrap().to_owned()
    }

    async fn ask(&self, door: usize, id: &str) -> Reply {
        Self::reply(self.client.get(format!("{}/{id}", self.doors[door]))).await
    }

    /// What the router does: carries all that was accepted into the state.
    async fn project(&self) {
        for partition in 0..Lane::Accepted.partitions() {
            let end = self.bus.bounds(&Lane::Accepted, partition).await.unwrap().next;
            let mut from = self.store.projected(&Lane::Accepted, partition).await.unwrap();
            while from < end {
                let reads = self.bus.read(&Lane::Accepted, partition, from, 1_000).await.unwrap();
                let row = |read: &bus::Read| {
                    AcceptedRow::of(read.offset, &Record::read(read.payload.clone()).unwrap().header).unwrap()
                };
                let accepted: Vec<_> = reads.iter().map(row).collect();
                from = reads.last().unwrap().offset + 1;
                let batch =
                    Projection { lane: Lane::Accepted, partition, next_offset: from, accepted, events: Vec::new() };
                self.store.project(batch).await.unwrap();
            }
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.begin();
    }
}

async fn fill(store: &AnyStore, master: &MasterKey) {
    let (supplier, tenant) = (SupplierId::new("blue").unwrap(), TenantId::new("acme").unwrap());
    store.put_supplier(Supplier { id: supplier.clone(), name: "Blue".into() }).await.unwrap();
    let id = RouteId::new("blue-modems").unwrap();
    let route = Route {
        id,
        supplier: supplier.clone(),
        prefixes: vec![],
        receipts: true,
        enabled: true,
        carries: Carries::Sms,
        weight: 1,
    };
    store.put_route(route).await.unwrap();
    let unit = RatePrice { micros: 35_000, currency: "EUR".parse().unwrap() };
    let rate = Rate { supplier, prefix: "44".into(), country: String::new(), unit, from: Timestamp(0), to: None };
    store.replace_deck(vec![rate]).await.unwrap();
    store.put_data_key(master.mint(&tenant, Timestamp(0), [9; 32])).await.unwrap();
    store.put_tenant(acme(&tenant)).await.unwrap();
    let hash = master.api_key_hash(KEY);
    store.put_api_key(ApiKey { name: "test".into(), tenant, hash }).await.unwrap();
}

fn acme(id: &TenantId) -> Tenant {
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
        hears_answers: false,
        webhook: String::new(),
        events_url: String::new(),
        oms: OmsProfile::default(),
    }
}

/// The lane is slow, and the processor is taken away from all tasks until it is too late: timer and lane then speak at once.
#[tokio::test(flavor = "current_thread")]
async fn an_answer_that_would_come_too_late_is_none() {
    let limit = std::time::Duration::from_millis(1_000);
    let house = House::with(gateway::Config { accept_ms_max: 1_000, ..gateway::Config::default() }).await;
    house.send(None).await; // the gateway has begun
    let held = house.lanes.hold_writer();
    let request = house.client.post(&house.doors[0]).json(&json!({"to": "+447400123456", "text": "hello"}));
    let (reply, ()) = tokio::join!(House::reply(request), async {
        tokio::time::sleep(limit / 2).await; // it is at the lane by now
        drop(held);
        std::thread::sleep(limit);
    });
    // The lane took it in time, or will end it: neither is known in time.
    assert_eq!((reply.status, reply.retry_after.is_some()), (503, true), "{}", reply.body);
}

/// Nothing moves at the lane: some are under way, the others wait for their turn, and hear in time that it does not come.
#[tokio::test]
async fn who_waits_too_long_for_a_turn_hears_when_to_come_back_and_nothing_was_taken() {
    let sent = 400;
    let house = House::with(gateway::Config { turn_ms_max: 300, ..gateway::Config::default() }).await;
    house.send(None).await; // the gateway has begun
    let held = house.lanes.hold_writer();
    let message = json!({"to": "+447400123456", "text": "hello"});
    let send = || House::reply(house.client.post(&house.doors[0]).json(&message));
    let replies = futures_util::future::join_all((0..sent).map(|_| send()));
    let (replies, ()) = tokio::join!(replies, async {
        // Longer than a turn may take to come, and shorter than an acceptance may take.
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        drop(held);
    });
    let (taken, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 202);
    assert!(!taken.is_empty() && !refused.is_empty(), "{} taken, {} refused", taken.len(), refused.len());
    for reply in refused {
        assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("1")), "{}", reply.body);
        assert_eq!(reply.body["type"], "urn:carillon:problem:busy");
    }
    let mut kept = 0;
    for partition in 0..Lane::Accepted.partitions() {
        kept += house.bus.bounds(&Lane::Accepted, partition).await.unwrap().next;
    }
    assert_eq!(kept as usize, 1 + taken.len(), "what was refused is not in the lane");
    assert_eq!(house.send(None).await.len(), 36, "and the next one is taken");
}

#[tokio::test]
async fn no_gateway_denies_a_message_that_another_has_taken() {
    let house = House::open().await;
    for key in [None, Some("order-4711")] {
        let id = house.send(key).await;
        assert_eq!(house.ask(0, &id).await.status, 200, "who took it knows it");
        let reply = house.ask(1, &id).await;
        assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("1")), "{}", reply.body);
        assert_eq!(reply.body["type"], "urn:carillon:problem:behind");
        house.project().await;
        let reply = house.ask(1, &id).await;
        assert_eq!((reply.status, &reply.body["state"]), (200, &json!("accepted")));
    }
}

#[tokio::test]
async fn an_id_nobody_was_given_is_denied_once_that_is_certain() {
    let house = House::open().await;
    let strange = "msg_0123456789abcdef0123456789abcdef";
    assert_eq!(house.ask(1, strange).await.status, 404, "nothing was accepted at all");
    house.send(None).await;
    assert_eq!(house.ask(1, strange).await.status, 503, "it could be the one that was accepted");
    house.project().await;
    assert_eq!(house.ask(1, strange).await.status, 404);
}

#[tokio::test]
async fn a_question_waits_a_moment_for_the_state() {
    let house = House::open().await;
    let id = house.send(None).await;
    let (reply, ()) = tokio::join!(house.ask(1, &id), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        house.project().await;
    });
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn a_tenant_keeps_the_list_of_numbers_that_want_nothing() {
    let house = House::open().await;
    let base = house.doors[0].replace("/messages", "/opt-outs");
    let at = |number: &str| format!("{base}/{number}");
    let put = |number: &str| house.client.put(at(number));
    assert_eq!(House::reply(put("+447400123456")).await.status, 201);
    let again = House::reply(put("07400%20123456")).await;
    assert_eq!(
        (again.status, again.body["number"].as_str(), again.body["by"].as_str()),
        (200, Some("+447400123456"), Some("test"))
    );
    assert_eq!(House::reply(put("+447400123457")).await.status, 201);
    let nobody = House::reply(put("ann")).await;
    assert_eq!((nobody.status, nobody.body["type"].as_str().unwrap().ends_with("invalid-recipient")), (422, true));
    // The list is whole, page by page, at every gateway.
    let base = house.doors[1].replace("/messages", "/opt-outs");
    let first = House::reply(house.client.get(format!("{base}?limit=1"))).await.body;
    let next = first["next"].as_str().expect("there is another page");
    let second = House::reply(house.client.get(format!("{base}?limit=1&cursor={next}"))).await.body;
    assert!(second.get("next").is_none());
    let mut numbers: Vec<&str> = [&first, &second].map(|page| page["optOuts"][0]["number"].as_str().unwrap()).into();
    numbers.sort_unstable();
    assert_eq!(numbers, ["+447400123456", "+447400123457"]);
    assert_eq!(House::reply(house.client.get(format!("{base}?limit=0"))).await.status, 422);
    for _ in 0..2 {
        let removed = house.client.delete(at("+447400123456")).bearer_auth(KEY).send().await.unwrap();
        assert_eq!(removed.status().as_u16(), 204);
    }
    assert_eq!(House::reply(house.client.get(at("+447400123456"))).await.status, 404);
    assert_eq!(house.store.parties().await.unwrap().opt_outs, [TenantId::new("acme").unwrap()]);
}
