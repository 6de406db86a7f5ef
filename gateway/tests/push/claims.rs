//! What belongs to one device of a tenant's, with several gateways at work and some of them killed.

use model::TenantId;
use model::push::{Account, Device, DeviceState};
use serde_json::{Value, json};
use store::{Document, DocumentKind, Revision, Store as _};

use crate::house::House;

fn phone(account: &str, number: &str) -> Value {
    json!({ "account": account, "model": "ds-1.2", "number": number })
}

fn address(id: &str) -> String {
    format!("{id}@acme.example")
}

async fn document(house: &House, kind: DocumentKind, id: &str) -> Option<(Revision, String)> {
    let found = house.store.document(&TenantId::new("acme").unwrap(), kind, id).await.unwrap();
    found.map(|(revision, document)| (revision, document.body))
}

async fn write(house: &House, was: Option<Revision>, kind: DocumentKind, id: &str, body: String) -> Option<Revision> {
    let tenant = TenantId::new("acme").unwrap();
    let document = Document { tenant, kind, id: id.into(), body, until: None };
    house.store.replace_document(was, document).await.unwrap()
}

async fn account(house: &House, id: &str) -> (Revision, Account) {
    let (revision, body) = document(house, DocumentKind::Account, &address(id)).await.unwrap();
    (revision, serde_json::from_str(&body).unwrap())
}

async fn device(house: &House, id: &str) -> Device {
    account(house, id).await.1.devices.remove(id).unwrap()
}

/// The digits by which a device's number is known.
async fn hash(house: &House, id: &str) -> String {
    device(house, id).await.number.unwrap().hash
}

/// Devices that are told under a number of theirs.
async fn holders(house: &House, ids: &[String]) -> Vec<String> {
    let mut holders = Vec::new();
    for id in ids {
        let device = device(house, id).await;
        if device.holds_number() {
            holders.push(id.clone());
        } else {
            assert_eq!(
                (device.standing.state, device.standing.reason.as_str()),
                (DeviceState::NumberConflict, "number_taken")
            );
        }
    }
    holders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_come_at_once_at_several_gateways_one_gets_the_number() {
    let house = House::open().await;
    let gateways = [house.base.clone(), house.another_gateway().await, house.another_gateway().await];
    let ids: Vec<String> = (0..6).map(|nth| format!("d{nth}")).collect();
    for id in &ids {
        house.settle(&address(id), &[]).await;
    }
    for round in 1..=8 {
        let put = |(nth, id): (usize, &String)| {
            let (base, house) = (&gateways[nth % gateways.len()], &house);
            let (path, body) = (format!("/v1/devices/{id}"), phone(&address(id), &format!("+44770090000{round}")));
            async move { house.put_at(base, &path, &body).await.good() }
        };
        futures_util::future::join_all(ids.iter().enumerate().map(put)).await;
        let holders = holders(&house, &ids).await;
        assert_eq!(holders.len(), 1, "round {round}: {holders:?}");
        let number = hash(&house, &holders[0]).await;
        let named = document(&house, DocumentKind::NumberOwner, &number).await.unwrap().1;
        assert_eq!(named, holders[0], "who looks the number up finds who has it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_come_at_once_one_account_gets_the_device() {
    let house = House::open().await;
    let gateways = [house.base.clone(), house.another_gateway().await];
    let accounts = ["ann", "ben", "cid", "dan"];
    for id in accounts {
        house.settle(&address(id), &[]).await;
    }
    let put = |(nth, id): (usize, &&str)| {
        let (base, body, house) = (&gateways[nth % 2], phone(&address(id), "+447700900001"), &house);
        async move { house.put_at(base, "/v1/devices/phone", &body).await.status }
    };
    let answers = futures_util::future::join_all(accounts.iter().enumerate().map(put)).await;
    let mut have = 0;
    for id in accounts {
        have += account(&house, id).await.1.devices.len();
    }
    assert_eq!((have, answers.iter().filter(|status| **status == 201).count()), (1, 1), "{answers:?}");
    assert!(answers.iter().all(|status| [201, 409].contains(status)), "{answers:?}");
}

/// Killed after it claimed, and before it wrote the account.
#[tokio::test]
async fn what_a_killed_gateway_claimed_can_be_claimed_again() {
    let house = House::open().await;
    for id in ["ann", "ben", "cid"] {
        house.settle(&address(id), &[]).await;
    }
    house.ask("PUT", "/v1/devices/ann", phone(&address("ann"), "+447700900001")).await.good();
    let number = hash(&house, "ann").await;
    house.ask("DELETE", "/v1/devices/ann", None).await;
    for kind in [DocumentKind::NumberClaim, DocumentKind::NumberOwner, DocumentKind::DeviceClaim] {
        assert_eq!(document(&house, kind, if kind == DocumentKind::DeviceClaim { "ann" } else { &number }).await, None);
    }
    let claim = |account: &str| json!({ "account": address(account), "attempt": "1" }).to_string();
    write(&house, None, DocumentKind::NumberClaim, &number, claim("ann")).await.unwrap();
    write(&house, None, DocumentKind::NumberOwner, &number, "ann".into()).await.unwrap();
    write(&house, None, DocumentKind::DeviceClaim, "ben", claim("ann")).await.unwrap();
    write(&house, None, DocumentKind::DeviceOwner, "ben", address("ann")).await.unwrap();
    house.ask("PUT", "/v1/devices/ben", phone(&address("ben"), "+447700900001")).await.good();
    assert_eq!(holders(&house, &["ben".into()]).await, ["ben"]);

    // As it is when the claim's account is gone with all.
    house.ask("DELETE", "/v1/accounts/ben@acme.example", None).await;
    write(&house, None, DocumentKind::NumberClaim, &number, claim("nobody")).await.unwrap();
    house.ask("PUT", "/v1/devices/cid", phone(&address("cid"), "+447700900001")).await.good();
    assert_eq!(holders(&house, &["cid".into()]).await, ["cid"]);
}

/// It claimed, slept while somebody took the claim over, and wakes up.
#[tokio::test]
async fn who_was_taken_for_dead_is_refused() {
    let house = House::open().await;
    for id in ["ann", "ben"] {
        house.settle(&address(id), &[(id, json!({}))]).await;
    }
    // What the sleeper is about to write: its own device with the number.
    house.ask("PUT", "/v1/devices/ann", phone(&address("ann"), "+447700900001")).await.good();
    let number = hash(&house, "ann").await;
    let (_, meant) = account(&house, "ann").await;
    house.ask("PUT", "/v1/devices/ann", json!({ "model": "ds-1.2", "number": null })).await.good();
    let (read, _) = account(&house, "ann").await;
    let claim = json!({ "account": address("ann"), "attempt": "1" }).to_string();
    write(&house, None, DocumentKind::NumberClaim, &number, claim).await.unwrap();

    house.ask("PUT", "/v1/devices/ben", phone(&address("ben"), "+447700900001")).await.good();
    assert_eq!(holders(&house, &["ben".into()]).await, ["ben"]);
    let meant = serde_json::to_string(&meant).unwrap();
    let written = write(&house, Some(read), DocumentKind::Account, &address("ann"), meant).await;
    assert_eq!(written, None, "it goes by a revision that is gone");
    let state = house.ask("PUT", "/v1/devices/ann", phone(&address("ann"), "+447700900001")).await.good();
    assert_eq!(state["state"], "number_conflict", "and finds out when it looks again");
}

/// Holders from before there were claims: named as the owner, and nothing else.
#[tokio::test]
async fn who_had_the_number_before_there_were_claims_has_it() {
    let house = House::open().await;
    for id in ["ann", "ben"] {
        house.settle(&address(id), &[]).await;
    }
    house.ask("PUT", "/v1/devices/ann", phone(&address("ann"), "+447700900001")).await.good();
    let number = hash(&house, "ann").await;
    for (kind, id) in [(DocumentKind::NumberClaim, number.as_str()), (DocumentKind::DeviceClaim, "ann")] {
        let (revision, _) = document(&house, kind, id).await.unwrap();
        let tenant = TenantId::new("acme").unwrap();
        assert!(house.store.remove_document(&tenant, kind, id, revision).await.unwrap());
    }
    house.ask("PUT", "/v1/devices/ben", phone(&address("ben"), "+447700900001")).await.good();
    assert_eq!(holders(&house, &["ann".into(), "ben".into()]).await, ["ann"]);
    let stolen = phone(&address("ben"), "+447700900002");
    house.ask("PUT", "/v1/devices/ann", stolen).await.refused(409, "taken");
    // It lets go of what it never claimed.
    house.ask("PUT", "/v1/devices/ann", json!({ "model": "ds-1.2", "state": "disabled" })).await.good();
    house.ask("POST", "/v1/devices/ben/number:resolve", json!({ "keep": "configured" })).await.good();
    assert_eq!(holders(&house, &["ben".into()]).await, ["ben"]);
}

/// Who is named is a hint; who claimed it has it.
#[tokio::test]
async fn a_device_is_found_whoever_is_named() {
    let house = House::open().await;
    for id in ["ann", "ben"] {
        house.settle(&address(id), &[]).await;
    }
    house.ask("PUT", "/v1/devices/phone", phone(&address("ann"), "+447700900001")).await.good();
    for named in [None, Some(address("ben"))] {
        let (revision, _) = document(&house, DocumentKind::DeviceOwner, "phone").await.unwrap();
        let tenant = TenantId::new("acme").unwrap();
        assert!(house.store.remove_document(&tenant, DocumentKind::DeviceOwner, "phone", revision).await.unwrap());
        if let Some(named) = named {
            write(&house, None, DocumentKind::DeviceOwner, "phone", named).await.unwrap();
        }
        let found = house.ask("GET", "/v1/devices/phone", None).await.good();
        assert_eq!(found["account"], address("ann"));
        // For the next round there must be one.
        write(&house, None, DocumentKind::DeviceOwner, "phone", address("ann")).await;
    }
    // Named again, it can be removed and begin elsewhere.
    assert_eq!(house.ask("DELETE", "/v1/devices/phone", None).await.status, 204);
    house.ask("PUT", "/v1/devices/phone", phone(&address("ben"), "+447700900001")).await.good();
    assert_eq!(house.ask("GET", "/v1/devices/phone", None).await.good()["account"], address("ben"));
}

#[tokio::test]
async fn an_account_that_begins_with_anothers_device_does_not_begin() {
    let house = House::open().await;
    house.settle(&address("ann"), &[("phone", json!({}))]).await;
    let config = json!({
        "server_id": "icewarp",
        "sync_url": "https://sync.example.com",
        "devices": [{ "id": "own", "model": "ds-1.2" }, { "id": "phone", "model": "ds-1.2" }],
    });
    house.ask("PUT", "/v1/accounts/ben@acme.example/config", config.clone()).await.refused(409, "taken");
    house.ask("GET", "/v1/accounts/ben@acme.example", None).await.refused(404, "not-found");
    house.ask("DELETE", "/v1/devices/phone", None).await;
    let made = house.ask("PUT", "/v1/accounts/ben@acme.example/config", config).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.good()["devices"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn of_two_devices_of_an_account_one_has_the_number() {
    let house = House::open().await;
    house.settle(&address("ann"), &[]).await;
    for id in ["first", "second"] {
        house.ask("PUT", &format!("/v1/devices/{id}"), phone(&address("ann"), "+447700900001")).await.good();
    }
    let told: Vec<Value> = house.happenings().await.into_iter().map(|(_, _, data)| data).collect();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["account"], &told[0]["device"]), (&json!(address("ann")), &json!("second")));
    // The number goes from one to the other.
    house.ask("PUT", "/v1/devices/first", json!({ "model": "ds-1.2", "number": null })).await.good();
    let resolved = house.ask("POST", "/v1/devices/second/number:resolve", json!({ "keep": "configured" })).await.good();
    assert_eq!(resolved["state"], "enabled");
}

#[tokio::test]
async fn a_dispute_is_told_once() {
    let house = House::open().await;
    for id in ["ann", "ben"] {
        house.settle(&address(id), &[]).await;
    }
    house.ask("PUT", "/v1/devices/ann", phone(&address("ann"), "+447700900001")).await.good();
    assert_eq!(house.happenings().await, []);
    for _ in 0..2 {
        house.ask("PUT", "/v1/devices/ben", phone(&address("ben"), "+447700900001")).await.good();
    }
    let resolve = |keep: &'static str| house.ask("POST", "/v1/devices/ben/number:resolve", json!({ "keep": keep }));
    resolve("configured").await.refused(409, "number_conflict");
    let told = house.happenings().await;
    assert_eq!(told.len(), 1, "it is the same dispute");
    let (id, kind, data) = &told[0];
    assert_eq!(kind, "device.number_conflict");
    let shown = house.ask("GET", "/v1/devices/ben", None).await.good();
    let expected =
        json!({ "account": address("ben"), "device": "ben", "reason": "number_taken", "since": shown["since"] });
    assert_eq!(*data, expected);
    assert!(!data.to_string().contains("7700"));

    // Killed before it noted that it was told of: the next save tells it again, under the same id.
    let (revision, _) = document(&house, DocumentKind::ConflictTold, "ben").await.unwrap();
    let tenant = TenantId::new("acme").unwrap();
    house.store.remove_document(&tenant, DocumentKind::ConflictTold, "ben", revision).await.unwrap();
    house.ask("PUT", "/v1/devices/ben", phone(&address("ben"), "+447700900001")).await.good();
    let told = house.happenings().await;
    assert_eq!((told.len(), &told[1].0), (2, id));

    // Another dispute is told of under an id of its own.
    resolve("+447700900002").await.good();
    assert_eq!(document(&house, DocumentKind::ConflictTold, "ben").await, None);
    house.ask("POST", "/v1/devices/ben/number:report", json!({ "number": "+447700900003" })).await.good();
    let told = house.happenings().await;
    assert_eq!((told.len(), &told[2].2["reason"]), (3, &json!("number_reported")));
    assert_ne!(told[2].0, *id);
}
