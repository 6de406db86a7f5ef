//! What the role as a whole promises: it starts, says when it is ready, survives a part that fails, and stops in order.

mod support;

use std::time::Duration;

use model::{Lane, State};
use runtime::{Health, Registry, Stop};
use sms_router::{Config, Deps, Doors};
use store::Store as _;
use support::House;

struct Running {
    house: House,
    health: Health,
    registry: Registry,
    stop: Stop,
    role: tokio::task::JoinHandle<Result<(), sms_router::RouterError>>,
}

async fn start(house: House) -> Running {
    let (health, registry, stop) = (Health::new(), Registry::new(), Stop::new(30));
    let deps = Deps {
        bus: house.bus.clone(),
        store: house.desk.store.clone(),
        master: house.master.clone(),
        registry: registry.clone(),
        health: health.clone(),
        clock: house.desk.clock.clone(),
    };
    let doors = Doors { local: tokio::sync::mpsc::channel(1).1, control: None };
    let role = tokio::spawn(sms_router::run(Config::default(), deps, doors, stop.clone()));
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
