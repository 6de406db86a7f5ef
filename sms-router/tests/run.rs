//! What the role as a whole promises: it starts, says when it is ready, survives a part that fails, and stops in order.

mod support;

use std::time::Duration;

use model::{Lane, RouterName, State, Timestamp};
use runtime::pki::Authority;
use runtime::{Health, Registry, Stop};
use sms_router::config::Control;
use sms_router::{Config, Deps, Doors};
use store::{RouterSeat, Store as _};
use support::House;

struct Running {
    house: House,
    health: Health,
    registry: Registry,
    stop: Stop,
    role: tokio::task::JoinHandle<Result<(), sms_router::RouterError>>,
}

#[test]
fn terraform_names_the_lanes_that_every_installation_has() {
    let topics = include_str!("../../terraform/modules/carillon/topics.json");
    let topics: serde_json::Value = serde_json::from_str(topics).unwrap();
    let lanes = sms_router::LANES.iter().map(|(lane, _)| (lane.to_string(), lane.partitions().into()));
    assert_eq!(topics["partitions"], serde_json::Value::Object(lanes.collect()));
}

async fn start(house: House) -> Running {
    start_with(house, Config::default(), None).await
}

async fn start_with(house: House, config: Config, control: Option<control::Server>) -> Running {
    let (health, registry, stop) = (Health::new(), Registry::new(), Stop::new(30));
    let deps = Deps {
        bus: house.bus.clone(),
        store: house.desk.store.clone(),
        master: house.master.clone(),
        registry: registry.clone(),
        health: health.clone(),
        clock: house.desk.clock.clone(),
    };
    let doors = Doors { local: tokio::sync::mpsc::channel(1).1, control };
    let role = tokio::spawn(sms_router::run(config, deps, doors, stop.clone()));
    Running { house, health, registry, stop, role }
}

impl Running {
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("waited for {what}"));
    }

    async fn routed(&self, count: u64) {
        let store = &self.house.desk.store;
        self.until("the ledger", async || {
            let ledger = store.ledger(None).await.unwrap();
            ledger.difference == 0 && ledger.pending.get(&State::Routed) == Some(&count)
        })
        .await;
    }
}

#[tokio::test]
async fn it_routes_survives_a_failing_part_and_stops_in_order() {
    let running = start(House::open().await).await;
    running.until("readiness", async || running.health.readiness().ready).await;
    running.house.accept(&(1..=20).map(|n| running.house.message(n)).collect::<Vec<_>>()).await;
    running.routed(20).await;

    running.house.bus.fail_after(0);
    running.house.accept(&(21..=40).map(|n| running.house.message(n)).collect::<Vec<_>>()).await;
    running
        .until("a restart", async || !running.registry.text().contains("router_restarts_total{part=\"planner\"} 0"))
        .await;
    running.house.bus.heal();
    running.routed(40).await;

    running.until("the metrics", async || running.registry.text().contains("router_ledger_pending 40")).await;
    assert!(running.registry.text().contains("router_ledger_difference 0"));
    running.stop.begin();
    running.role.await.unwrap().unwrap();
    let routed = running.house.routed("blue-gb").await.len();
    assert_eq!(routed, 40, "each once");
    assert!(running.house.entries(&Lane::DeadLetter).await.is_empty());
}

#[tokio::test]
async fn it_is_not_ready_without_prices() {
    let house = House::open().await;
    house.desk.store.replace_deck(Vec::new()).await.unwrap();
    let running = start(house).await;
    running
        .until("the reason", async || {
            let missing = running.health.readiness().not_ready;
            missing.len() == 1 && missing.contains_key("prices")
        })
        .await;
    running.house.desk.store.replace_deck(vec![support::rate("blue", 1)]).await.unwrap();
    running.until("readiness", async || running.health.readiness().ready).await;
    running.stop.begin();
    running.role.await.unwrap().unwrap();
}

#[tokio::test]
async fn replicas_take_their_seats_and_leave_them() {
    let house = House::open().await;
    let other = RouterSeat {
        name: RouterName::new("router-2").unwrap(),
        address: "127.0.0.1:2".into(),
        until: Timestamp(house.desk.clock.now().0 + 3_600_000),
    };
    house.desk.store.put_router(other.clone()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    runtime::tls::install_provider();
    let authority = Authority::open(directory.path()).unwrap();
    let served = authority.issue_server(&["127.0.0.1"]).unwrap().write(directory.path(), "server").unwrap();
    let control = Control {
        enabled: true,
        listen: "127.0.0.1:0".parse().unwrap(),
        certificate_file: served.certificate,
        key_file: served.key,
        farm_ca_file: directory.path().join("ca.pem"),
        ..Control::default()
    };
    let connections = Stop::new(5);
    let server = sms_router::listen(&control, &connections).await.unwrap().unwrap();
    let address = server.address().to_string();
    let running = start_with(house, Config { control, ..Config::default() }, Some(server)).await;
    let seats = async || running.house.desk.store.routers(running.house.desk.clock.now()).await.unwrap();
    running.until("the seat", async || seats().await.len() == 2).await;
    let [mine, theirs] = seats().await.try_into().unwrap();
    assert_eq!((mine.name.as_str(), mine.address, theirs), ("router-1", address, other.clone()));
    running.stop.begin();
    running.until("the seat to be empty", async || seats().await == [other.clone()]).await;
    running.role.await.unwrap().unwrap();
    assert!(connections.drain().await.is_complete());
}
