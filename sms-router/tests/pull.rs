//! Tenants that are asked what changed. Knows lanes and the store by their public faces; the tenant is a server of a few lines.

mod support;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::Lane;
use model::push::{Change, ChangeKind};
use runtime::Stop;
use sms_router::config::{Config, Webhooks};
use sms_router::notify::Puller;
use sms_router::replies::hooks::Hooks;
use store::Store as _;
use support::House;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than any of it takes on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a long GET without news is, here.
const LONG: Duration = Duration::from_millis(50);

/// A tenant's server: answers as it is told to, then has no news.
#[derive(Clone, Default)]
struct Tenant {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    /// The first line of each request, and whether it was signed.
    asked: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Tenant {
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events?of=acme", listener.local_addr().unwrap());
        let tenant = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tenant.clone().answer(stream));
            }
        });
        url
    }

    async fn answer(self, mut stream: TcpStream) {
        let (mut request, mut octets) = (Vec::new(), [0; 4096]);
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut octets).await {
                Ok(count) if count > 0 => request.extend_from_slice(&octets[..count]),
                _ => return,
            }
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let first = request.lines().next().unwrap().to_owned();
        self.asked.lock().unwrap().push((first, request.contains("webhook-signature: v1,")));
        let told = self.answers.lock().unwrap().pop_front();
        let (status, body) = match told {
            Some(told) => told,
            None => {
                tokio::time::sleep(LONG).await;
                (204, String::new())
            }
        };
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
    }

    /// The cursors of the requests so far.
    fn cursors(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        assert!(asked.iter().all(|(_, is_signed)| *is_signed));
        let cursor = |(line, _): &(String, bool)| line.split(['&', ' ']).nth(2).unwrap().to_owned();
        asked.iter().map(cursor).collect()
    }
}

async fn house(url: &str) -> House {
    let webhooks = Webhooks { networks: vec!["127.0.0.0/8".into()], ..Webhooks::default() };
    let house = House::open_with(Config { webhooks, ..Config::default() }).await;
    let tenant = house.desk.store.parties().await.unwrap().tenants.remove(0);
    let tenant = model::party::Tenant { events_url: url.to_owned(), ..tenant };
    house.desk.store.put_tenant(tenant).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    house
}

/// Asks until it was asked so often.
async fn run(house: &House, tenant: &Tenant, times: usize) {
    let partition = bus::partition_of(house.tenant.as_str().as_bytes(), Lane::Changes.partitions());
    let hooks = Hooks::of(&house.desk.config.webhooks, &house.master).unwrap();
    let (puller, stop) = (Puller::new(house.desk.clone(), hooks, partition), Stop::new(5));
    let until = stop.clone();
    let running = tokio::spawn(async move { puller.run(&until).await });
    let asked = async {
        while tenant.asked.lock().unwrap().len() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("it is asked");
    stop.begin();
    running.await.unwrap().unwrap();
}

async fn told(house: &House) -> Vec<(String, String)> {
    let kind = |entry| Change::read(entry).unwrap();
    let changes = house.entries(&Lane::Changes).await.into_iter().map(kind);
    let mut told: Vec<(String, String)> = changes
        .map(|change| match change.kind {
            Some(ChangeKind::Dirty(dirty)) => (change.account, dirty.resource),
            other => panic!("not a change: {other:?}"),
        })
        .collect();
    told.sort_unstable();
    told
}

fn page(cursor: &str, events: &str) -> (u16, String) {
    (200, format!(r#"{{"cursor": "{cursor}", "events": [{events}]}}"#))
}

#[tokio::test]
async fn a_tenant_is_asked_from_where_it_was_heard_last() {
    let tenant = Tenant::default();
    let house = house(&tenant.listen().await).await;
    let first = r#"{"account": "Ann@Acme.Example", "resource": "INBOX", "op": "add", "count": 2, "later": true},
        {"account": "no address", "resource": "INBOX"}, {"account": "ann@acme.example", "resource": ""}"#;
    let second = r#"{"account": "ben@acme.example", "resource": "contacts", "origin": "ben-phone"}"#;
    let answers = [page("c&1", first), (503, String::new()), (200, "{".into()), page("c2", second)];
    tenant.answers.lock().unwrap().extend(answers);
    run(&house, &tenant, 6).await;
    let known = ["cursor=", "cursor=c%261", "cursor=c%261", "cursor=c%261", "cursor=c2", "cursor=c2"];
    assert_eq!(tenant.cursors()[..6], known);
    let both = [("ann@acme.example", "INBOX"), ("ben@acme.example", "contacts")];
    assert_eq!(told(&house).await, both.map(|(account, resource)| (account.to_owned(), resource.to_owned())));
    // Another owner goes on where this one ended.
    let before = tenant.asked.lock().unwrap().len();
    run(&house, &tenant, before + 1).await;
    assert_eq!(tenant.cursors()[before], "cursor=c2");
}

#[tokio::test]
async fn an_address_that_is_nobody_s_business_is_not_asked() {
    let tenant = Tenant::default();
    let url = tenant.listen().await;
    let house = house(&url).await;
    let closed = Webhooks::default();
    let hooks = Hooks::of(&closed, &house.master).unwrap();
    let partition = bus::partition_of(house.tenant.as_str().as_bytes(), Lane::Changes.partitions());
    let (puller, stop) = (Puller::new(house.desk.clone(), hooks, partition), Stop::new(5));
    let until = stop.clone();
    let running = tokio::spawn(async move { puller.run(&until).await });
    let failed = async {
        while house.desk.metrics.pulled.with(sms_router::metrics::PulledAs::Failed).value() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.expect("it says so");
    stop.begin();
    running.await.unwrap().unwrap();
    assert!(tenant.asked.lock().unwrap().is_empty());
}
