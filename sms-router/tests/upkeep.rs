//! What the router promises of prices, snapshots and keys. Knows files and the store by its public face.

mod support;

use model::keyring::MasterKey;
use model::party::Supplier;
use model::{Lane, RouteId, SupplierId, Timestamp};
use runtime::in_full;
use sms_router::keys::Keeper;
use sms_router::upkeep::DeckFile;
use store::Store as _;
use support::{House, NOW};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const DECK: &str = "supplier,prefix,country,price,currency,from,to\nblue,44,GB,0.03,EUR,2026-01-01T00:00:00Z,\n";

/// A deck's file that the test rewrites; each text has another length, so that no clock decides whether it changed.
struct Desk {
    house: House,
    file: DeckFile,
    path: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Desk {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deck.csv");
        Desk { house: House::open().await, file: DeckFile::default(), path, _directory: directory }
    }

    async fn import(&mut self, text: &str) -> Result<bool, String> {
        std::fs::write(&self.path, text).unwrap();
        self.again().await
    }

    async fn again(&mut self) -> Result<bool, String> {
        let imported = self.file.import(&self.house.desk.store, &self.path, 10_000).await;
        imported.map_err(|error| in_full(&error))
    }

    async fn in_force(&self) -> (u64, Vec<i64>) {
        let deck = self.house.desk.store.parties().await.unwrap().deck;
        (deck.version, deck.rates.iter().map(|rate| rate.unit.micros).collect())
    }
}

#[tokio::test]
async fn a_deck_is_imported_when_its_file_changes() {
    let mut desk = Desk::open().await;
    assert_eq!(desk.import(DECK).await, Ok(true));
    assert_eq!(desk.in_force().await, (2, vec![30_000]));
    assert_eq!(desk.again().await, Ok(false), "it did not change");
    assert_eq!(desk.import(&format!("{DECK}\n")).await, Ok(false), "the file did, the prices did not");
    assert_eq!(desk.in_force().await.0, 2);
    assert_eq!(desk.import(&DECK.replace("0.03", "0.045")).await, Ok(true));
    assert_eq!(desk.in_force().await, (3, vec![45_000]));
}

#[tokio::test]
async fn a_broken_deck_is_refused_whole_and_the_old_prices_stay() {
    let mut desk = Desk::open().await;
    desk.import(DECK).await.unwrap();
    let broken =
        format!("{DECK}green,44,GB,0.01,EUR,2026-01-01T00:00:00Z,\nblue,49,DE,\"0,5\",EUR,2026-01-01T00:00:00Z,\n");
    let refusal = desk.import(&broken).await.unwrap_err();
    assert!(refusal.contains("line 4, column 4 (`price`): `0,5` is not a price"), "{refusal}");
    assert_eq!(desk.again().await, Ok(false), "it is looked at again when it changes");
    let long = desk.import(&DECK.repeat(500)).await.unwrap_err();
    assert!(long.contains("more than a deck may have"), "{long}");
    assert_eq!(desk.in_force().await, (2, vec![30_000]));
    std::fs::remove_file(&desk.path).unwrap();
    assert!(desk.again().await.unwrap_err().contains("could not be read"));
}

#[tokio::test]
async fn a_deck_refused_for_an_unknown_supplier_is_taken_when_the_supplier_comes() {
    let mut desk = Desk::open().await;
    let deck = DECK.replace("blue", "red");
    assert!(desk.import(&deck).await.unwrap_err().contains("there is no supplier `red`"));
    let red = Supplier { id: SupplierId::new("red").unwrap(), name: "red".into() };
    desk.house.desk.store.put_supplier(red).await.unwrap();
    assert_eq!(desk.again().await, Ok(true));
}

#[tokio::test]
async fn the_snapshot_follows_the_store() {
    let house = House::open().await;
    house.desk.store.replace_deck(vec![support::rate("green", 1)]).await.unwrap();
    assert_eq!(house.desk.world.snapshot().table.version(), 1);
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    assert_eq!(house.desk.world.snapshot().table.version(), 2);
    let same = house.desk.world.snapshot();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&same, &house.desk.world.snapshot()), "nothing changed");
}

#[tokio::test]
async fn a_route_has_lanes_before_anything_is_planned_for_it() {
    let house = House::open().await;
    let mut route = house.desk.store.parties().await.unwrap().routes[0].clone();
    route.id = RouteId::new("blue-new").unwrap();
    house.desk.store.put_route(route.clone()).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    for lane in [Lane::Front(route.id.clone()), Lane::Bulk(route.id.clone()), Lane::Leases(route.id)] {
        assert!(bus::Bus::bounds(&house.bus, &lane, 0).await.is_ok(), "{lane}");
    }
}

#[tokio::test]
async fn each_tenant_has_a_key_of_the_day_and_the_next_one_in_time() {
    let house = House::open().await;
    let keys = || async { house.desk.store.parties().await.unwrap().data_keys };
    let day = Timestamp(NOW.0 - NOW.0.rem_euclid(DAY_MS));
    assert_eq!(keys().await.iter().map(|key| key.from).collect::<Vec<_>>(), [day]);
    house.desk.clock.set(day.plus_ms(DAY_MS - 60_000));
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    assert_eq!(keys().await.iter().map(|key| key.from).collect::<Vec<_>>(), [day, day.plus_ms(DAY_MS)]);
    let sealing = |snapshot: &sms_router::world::Snapshot| snapshot.keyring.newest(&house.tenant).unwrap().0;
    assert_eq!(sealing(&house.desk.world.snapshot()), day, "it seals when its day begins");
}

#[tokio::test]
async fn a_key_younger_than_the_snapshot_opens() {
    let house = House::open().await;
    let key = house.master.mint(&house.tenant, NOW, [9; 32]);
    house.desk.store.put_data_key(key.clone()).await.unwrap();
    let sent = house.message(1);
    house.accept_with(&house.master.unwrap(&key).unwrap(), std::slice::from_ref(&sent)).await;
    house.plan().await;
    assert_eq!(house.routed("blue-gb").await.len(), 1);
}

#[tokio::test]
async fn the_wrong_master_key_is_said_at_the_start() {
    let house = House::open().await;
    let (bus, store) = (house.bus.clone(), house.desk.store.clone());
    let keeper = Keeper::new(bus, store, MasterKey::new([8; 32]), house.desk.clock.clone(), 1);
    let error = keeper.take().await.expect_err("another master key");
    assert!(in_full(&error).contains("do not open"), "{}", in_full(&error));
}
