//! Webhooks of several tenants, one of which is away. Knows lanes and the store by their public faces; the webhooks are servers of
//! a few lines.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Bus as _, Entry};
use model::reply::{Happening, MailRecord, Words};
use model::{Lane, MessageId, TenantId};
use runtime::Stop;
use sms_router::config::{Config, Webhooks};
use sms_router::replies::hooks::Hooks;
use sms_router::replies::mailer::{Mailer, Way};
use store::{InboundOwner, InboundPlace, InboundRow, Store as _};
use support::{House, NOW, NUMBER};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// All of it goes through this partition of lane `hooks`.
const PARTITION: u32 = 0;
/// Longer than any of it takes on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that answers every post the same, and counts.
struct Webhook {
    url: String,
    posts: Arc<AtomicUsize>,
    /// The last one, with its head.
    last: Arc<Mutex<String>>,
}

impl Webhook {
    async fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (posts, last) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (counted, kept) = (Arc::clone(&posts), Arc::clone(&last));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, status, Arc::clone(&counted), Arc::clone(&kept)));
            }
        });
        Webhook { url, posts, last }
    }

    fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, status: &str, posts: Arc<AtomicUsize>, last: Arc<Mutex<String>>) {
    let (mut request, mut octets) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        match stream.read(&mut octets).await {
            Ok(count) if count > 0 => request.extend_from_slice(&octets[..count]),
            _ => return,
        }
    }
    *last.lock().unwrap() = String::from_utf8(request).unwrap();
    posts.fetch_add(1, Ordering::SeqCst);
    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    drop(stream.write_all(answer.as_bytes()).await);
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A message in its owner's list and before its webhook.
async fn put(house: &House, tenant: &TenantId, number: u128) -> InboundPlace {
    let (id, snapshot) = (MessageId(number), house.desk.world.snapshot());
    let (_, key) = snapshot.keyring.newest(tenant).expect("the keeper made a key");
    let sealed = Words { from: NUMBER.into(), text: "hello".into(), ..Words::default() }.seal(key, id);
    let place = InboundPlace { owner: InboundOwner::Tenant(tenant.clone()), received: NOW, id };
    let row = InboundRow {
        place: place.clone(),
        account: "blue".into(),
        user: String::new(),
        goes_to: "webhook".into(),
        data_key: key.id().to_owned(),
        sealed: sealed.clone(),
        fate: None,
    };
    house.desk.store.inbound_put(vec![row]).await.unwrap();
    let record = MailRecord {
        id: id.to_bytes().to_vec(),
        tenant: tenant.as_str().to_owned(),
        user: String::new(),
        received_ms: NOW.0,
        data_key: key.id().to_owned(),
        sealed,
        account: "blue".into(),
        ..MailRecord::default()
    };
    house.bus.append(&Lane::Hooks, vec![Entry::to_partition(PARTITION, record.to_bytes())]).await.unwrap();
    place
}

async fn fate(house: &House, place: &InboundPlace) -> Option<String> {
    house.desk.store.inbound_one(place).await.unwrap().unwrap().fate.map(|fate| fate.word)
}

/// How many have no fate; the others stand in the list and say that they were not posted.
async fn waiting(house: &House, places: &[InboundPlace]) -> usize {
    let mut waiting = 0;
    for place in places {
        match fate(house, place).await.as_deref() {
            None => waiting += 1,
            Some(word) => assert_eq!(word, "unposted"),
        }
    }
    waiting
}

#[tokio::test]
async fn a_webhook_that_is_away_leaves_room_for_another_tenant_s() {
    let (away, there) =
        (Webhook::answering("503 Service Unavailable").await, Webhook::answering("204 No Content").await);
    let [acme, other] = ["acme", "other"].map(|name| TenantId::new(name).unwrap());
    let urls = [(acme.clone(), away.url.clone()), (other.clone(), there.url.clone())];
    let webhooks = Webhooks {
        urls: urls.into(),
        networks: vec!["127.0.0.0/8".into()],
        in_hand_max: 16,
        // Not again within this test.
        retry_ms_first: 3_600_000,
        retry_ms_max: 3_600_000,
        ..Webhooks::default()
    };
    let house = House::open_with(Config { webhooks, ..Config::default() }).await;
    let tenants = house.desk.store.parties().await.unwrap().tenants;
    let tenant = tenants.into_iter().find(|tenant| tenant.id == acme).unwrap();
    house.desk.store.put_tenant(model::party::Tenant { id: other.clone(), ..tenant }).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    let mut missed = Vec::new();
    for number in 0..40 {
        missed.push(put(&house, &acme, number).await);
    }
    let got = put(&house, &other, 100).await;
    let stop = Stop::new(30);
    let way = Way::Hooks(Hooks::of(&house.desk.config.webhooks, &house.master).unwrap());
    let mailer = Mailer::new(house.desk.clone(), way, PARTITION);
    // An eighth of what is in hand may wait.
    let done = async {
        while fate(&house, &got).await.is_none() || waiting(&house, &missed).await > 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = mailer.run(&stop) => panic!("it ended: {ended:?}"),
        done = tokio::time::timeout(PATIENCE, done) => done.expect("the other tenant's webhook is posted to"),
    }
    assert_eq!((fate(&house, &got).await.as_deref(), there.posts()), (Some("posted"), 1));
    assert_eq!((waiting(&house, &missed).await, away.posts()), (2, 2));
}

/// What a gateway puts before the webhook of a tenant.
async fn happen(house: &House, tenant: &TenantId, number: u128) {
    let happening = Happening {
        kind: "device.number_conflict".into(),
        at_ms: NOW.0,
        data: r#"{"account":"ann@acme.example","device":"phone"}"#.into(),
    };
    let record = MailRecord {
        id: MessageId(number).to_bytes().to_vec(),
        tenant: tenant.as_str().to_owned(),
        received_ms: NOW.0,
        is_letter: true,
        happening: Some(happening),
        ..MailRecord::default()
    };
    house.bus.append(&Lane::Hooks, vec![Entry::to_partition(PARTITION, record.to_bytes())]).await.unwrap();
}

#[tokio::test]
async fn what_happened_is_posted_to_who_wants_to_hear_it() {
    let there = Webhook::answering("204 No Content").await;
    let acme = TenantId::new("acme").unwrap();
    let webhooks = Webhooks {
        urls: [(acme.clone(), there.url.clone())].into(),
        networks: vec!["127.0.0.0/8".into()],
        ..Webhooks::default()
    };
    let house = House::open_with(Config { webhooks, ..Config::default() }).await;
    // A tenant without a webhook keeps nobody waiting.
    happen(&house, &TenantId::new("quiet").unwrap(), 1).await;
    happen(&house, &acme, 2).await;
    let stop = Stop::new(30);
    let way = Way::Hooks(Hooks::of(&house.desk.config.webhooks, &house.master).unwrap());
    let mailer = Mailer::new(house.desk.clone(), way, PARTITION);
    let done = async {
        while there.posts() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = mailer.run(&stop) => panic!("it ended: {ended:?}"),
        done = tokio::time::timeout(PATIENCE, done) => done.expect("the webhook is posted to"),
    }
    let last = there.last.lock().unwrap().clone();
    let (head, body) = last.split_once("\r\n\r\n").unwrap();
    let posted: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "type": "device.number_conflict",
        "timestamp": NOW,
        "data": { "account": "ann@acme.example", "device": "phone" },
    });
    assert_eq!(posted, expected);
    let header = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let (id, at) = (MessageId(2).to_string(), header("webhook-timestamp").unwrap());
    let signature = house.master.webhook_key(&acme).sign(&id, &at, body);
    assert_eq!((header("webhook-id"), header("webhook-signature")), (Some(id), Some(signature)));
}
