//! Devices: numbers that are unique, states, and the list of those that are not told.

use model::push::{ChangeKind, DeviceState};
use serde_json::{Value, json};
use store::Store as _;

use crate::house::House;

fn phone(number: &str) -> Value {
    json!({ "account": "ann@acme.example", "model": "ds-1.2", "number": number, "resources": { "INBOX": { "name": "Mail" } } })
}

async fn state(house: &House, id: &str) -> (String, String) {
    let device = house.ask("GET", &format!("/v1/devices/{id}"), None).await.good();
    let text = |name: &str| device[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn words(state: &str, reason: &str) -> (String, String) {
    (state.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_device_is_made_and_the_router_hears_of_it() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[]).await;
    let reply = house.ask("PUT", "/v1/devices/IMEI:490154203237518", phone("07700 900001")).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let made = reply.good();
    assert_eq!(
        (&made["number"], &made["state"], &made["by"]),
        (&json!("\u{2026}01"), &json!("enabled"), &json!("console"))
    );
    assert!(!reply.text.contains("7700"), "a number is shown in a whole document only");
    assert_eq!(house.touched().await, ["IMEI:490154203237518"]);
    let shown = house.ask("GET", "/v1/devices/IMEI:490154203237518", None).await;
    assert_eq!((&shown.etag, shown.good()), (&reply.etag, made));
    let other = json!({ "model": "ds-1.2" });
    house
        .ask_with("PUT", "/v1/devices/IMEI:490154203237518", &[("if-match", "\"x\"")], other)
        .await
        .refused(412, "changed");
    assert_eq!(house.ask("DELETE", "/v1/devices/IMEI:490154203237518", None).await.status, 204);
    house.ask("DELETE", "/v1/devices/IMEI:490154203237518", None).await.refused(404, "not-found");
    assert_eq!(house.touched().await.len(), 2, "that it is gone is told too");
}

#[tokio::test]
async fn what_is_no_device_is_refused() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("known", json!({}))]).await;
    house.settle("ben@acme.example", &[]).await;
    let refused = async |id: &str, body: Value, status: u16, code: &str| {
        house.ask("PUT", &format!("/v1/devices/{id}"), body).await.refused(status, code);
    };
    refused("x", json!({ "model": "ds-1.2" }), 422, "invalid-field").await;
    refused("x", json!({ "account": "cid@acme.example", "model": "ds-1.2" }), 404, "not-found").await;
    refused("x", json!({ "account": "ann@acme.example", "model": "typewriter" }), 422, "invalid-field").await;
    refused("known", json!({ "account": "ben@acme.example", "model": "ds-1.2" }), 409, "taken").await;
    refused("x", phone("12"), 422, "invalid-field").await;
    let giant = json!({ "INBOX": { "name": "x".repeat(256) } });
    refused("x", json!({ "account": "ann@acme.example", "model": "ds-1.2", "resources": giant }), 422, "invalid-field")
        .await;
    // Such notifications are signed, and there is nothing to sign with.
    refused("x", json!({ "account": "ann@acme.example", "model": "dm-1.2" }), 422, "invalid-field").await;
    let enabled = json!({ "account": "ann@acme.example", "model": "sony-ericsson", "state": "enabled" });
    refused("x", enabled, 409, "push_not_supported").await;
    let silent = json!({ "account": "ann@acme.example", "model": "sony-ericsson" });
    house.ask("PUT", "/v1/devices/x", silent).await.good();
    assert_eq!(state(&house, "x").await, words("disabled", "policy"));
    house.ask("POST", "/v1/devices/x:enable", None).await.refused(409, "push_not_supported");
    house.ask("POST", "/v1/devices/x:sing", None).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_number_is_one_devices() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[]).await;
    house.settle("ben@acme.example", &[]).await;
    house.ask("PUT", "/v1/devices/first", phone("+447700900001")).await.good();
    let mut second = phone("+447700900001");
    second["account"] = json!("ben@acme.example");
    house.ask("PUT", "/v1/devices/second", second).await.good();
    assert_eq!(state(&house, "first").await, words("enabled", ""));
    assert_eq!(state(&house, "second").await, words("number_conflict", "number_taken"));
    house.ask("POST", "/v1/devices/second:test", None).await.refused(409, "number_conflict");
    house.ask("POST", "/v1/devices/second:enable", None).await.refused(409, "number_conflict");
    let resolve = |keep: &'static str| house.ask("POST", "/v1/devices/second/number:resolve", json!({ "keep": keep }));
    resolve("configured").await.refused(409, "number_conflict");
    resolve("reported").await.refused(422, "invalid-field");
    resolve("nonsense").await.refused(422, "invalid-field");
    resolve("+447700900002").await.good();
    assert_eq!(state(&house, "second").await, words("enabled", ""));

    // The first lets its number go, and the second gets it.
    let disabled = json!({ "model": "ds-1.2", "state": "disabled" });
    house.ask("PUT", "/v1/devices/first", disabled).await.good();
    resolve("+447700900001").await.good();
    assert_eq!(state(&house, "second").await, words("enabled", ""));
    let enabled = house.ask("POST", "/v1/devices:enable", json!({ "ids": ["first"] })).await.good();
    assert_eq!(enabled["refused"], json!([{ "id": "first", "reason": "number_conflict" }]));
    assert_eq!(state(&house, "first").await, words("number_conflict", "number_taken"));
    // A number of its own settles it as well.
    house.ask("PUT", "/v1/devices/first", json!({ "model": "ds-1.2", "number": "+447700900003" })).await.good();
    assert_eq!(state(&house, "first").await, words("enabled", ""));
}

#[tokio::test]
async fn whoever_says_another_number_stops_messages_until_it_is_settled() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[]).await;
    house.ask("PUT", "/v1/devices/phone", phone("+447700900001")).await.good();
    let report =
        |number: &'static str| house.ask("POST", "/v1/devices/phone/number:report", json!({ "number": number }));
    report("+447700900001").await.good();
    assert_eq!(state(&house, "phone").await, words("enabled", ""), "it says the same");
    report("+447700900002").await.good();
    assert_eq!(state(&house, "phone").await, words("number_conflict", "number_reported"));
    house.ask("POST", "/v1/devices/phone:test", None).await.refused(409, "number_conflict");
    let settled = house.ask("POST", "/v1/devices/phone/number:resolve", json!({ "keep": "reported" })).await.good();
    assert_eq!((&settled["state"], &settled["number"]), (&json!("enabled"), &json!("\u{2026}02")));
    // The number it had is free.
    let other = phone("+447700900001");
    house.ask("PUT", "/v1/devices/other", other).await.good();
    assert_eq!(state(&house, "other").await, words("enabled", ""));
}

/// Devices that are put at once with one number: whoever is asked, one has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_come_at_once_one_gets_the_number() {
    let house = House::open().await;
    let ids: Vec<String> = (0..6).map(|nth| format!("d{nth}")).collect();
    for id in &ids {
        house.settle(&format!("{id}@acme.example"), &[]).await;
    }
    let put = |id: &String| {
        let mut body = phone("+447700900001");
        body["account"] = json!(format!("{id}@acme.example"));
        let (path, house) = (format!("/v1/devices/{id}"), &house);
        async move { house.ask("PUT", &path, body).await.good() }
    };
    futures_util::future::join_all(ids.iter().map(put)).await;
    let mut enabled = 0;
    for id in &ids {
        enabled += usize::from(state(&house, id).await.0 == "enabled");
    }
    assert_eq!(enabled, 1);
}

#[tokio::test]
async fn a_pause_ends_by_hand_or_by_itself() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({}))]).await;
    let pause = |body: Value| house.ask("POST", "/v1/devices/phone:pause", body);
    pause(json!({ "until": "2001-01-01T00:00:00Z" })).await.refused(422, "invalid-field");
    let paused = pause(json!({})).await.good();
    assert_eq!((&paused["state"], paused.get("until")), (&json!("paused"), None));
    house.ask("POST", "/v1/devices/phone:resume", None).await.good();
    assert_eq!(state(&house, "phone").await.0, "enabled");
    let soon = model::Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 + 300);
    pause(json!({ "until": soon })).await.good();
    while state(&house, "phone").await.0 == "paused" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let disabled = json!({ "model": "ds-1.2", "state": "disabled" });
    house.ask("PUT", "/v1/devices/phone", disabled).await.good();
    pause(json!({})).await.refused(409, "too-late");
    house.ask("POST", "/v1/devices/phone:resume", None).await.refused(409, "too-late");
    assert_eq!(house.touched().await.iter().filter(|id| *id == "phone").count(), 5, "each change was told");
}

#[tokio::test]
async fn who_synchronises_is_back() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({}))]).await;
    house.ask("POST", "/v1/devices/phone:synced", json!({ "syncing": true })).await.good();
    house.ask("POST", "/v1/devices/phone:synced", None).await.good();
    let future = json!({ "to": "2090-01-01T00:00:00Z" });
    house.ask("POST", "/v1/devices/phone:synced", future).await.refused(422, "invalid-field");
    let synced: Vec<(i64, i64)> = house
        .changes()
        .await
        .into_iter()
        .filter_map(|change| match change.kind {
            Some(ChangeKind::Touched(touched)) => touched.synced_from_ms.map(|from| (from, touched.synced_to_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(synced.len(), 2);
    assert!(synced[0].0 > 0 && synced[0].1 == 0, "the first session goes on");
    assert!(synced[1].0 > 0 && synced[1].1 == synced[1].0, "the second is over");

    // The network gave up on it; that it synchronises shows that it is back. What an admin disabled stays so.
    for (reason, expected) in [("hard_bounce", "enabled"), ("admin", "disabled")] {
        let mut config = house.ask("GET", "/v1/accounts/ann@acme.example/config", None).await.good();
        config["devices"][0]["state"] = json!("disabled");
        config["devices"][0]["reason"] = json!(reason);
        house.ask("PUT", "/v1/accounts/ann@acme.example/config", config).await.good();
        assert_eq!(state(&house, "phone").await, words("disabled", reason));
        house.ask("POST", "/v1/devices/phone:synced", None).await.good();
        assert_eq!(state(&house, "phone").await.0, expected);
    }
}

#[tokio::test]
async fn the_disabled_are_listed_and_enabled_together() {
    let house = House::open().await;
    for account in ["ann@acme.example", "ben@acme.example"] {
        house.settle(account, &[]).await;
    }
    let accounts = ["ann@acme.example", "ann@acme.example", "ann@acme.example", "ben@acme.example", "ben@acme.example"];
    for (nth, account) in accounts.iter().enumerate() {
        let state = if nth == 1 { "enabled" } else { "disabled" };
        let body = json!({ "account": account, "model": "ds-1.2", "state": state, "kind": "a,b" });
        house.ask("PUT", &format!("/v1/devices/d{nth}"), body).await.good();
    }
    let (mut path, mut ids) = ("/v1/devices?state=disabled&limit=1".to_owned(), Vec::new());
    loop {
        let list = house.ask("GET", &path, None).await.good();
        for device in list["devices"].as_array().unwrap() {
            assert_eq!(
                (&device["state"], &device["reason"], &device["by"]),
                (&json!("disabled"), &json!("admin"), &json!("console"))
            );
            assert!(device["since"].is_string());
            ids.push(device["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = list["next"].as_str() else { break };
        path = format!("/v1/devices?state=disabled&limit=1&cursor={next}");
    }
    assert_eq!(ids, ["d0", "d2", "d3", "d4"]);

    let csv = house.ask_with("GET", "/v1/devices?state=disabled&limit=3", &[("accept", "text/csv")], None).await;
    let lines: Vec<&str> = csv.text.split("\r\n").collect();
    assert_eq!(lines[0], "id,account,kind,model,state,reason,since,by,until");
    assert!(lines[1].starts_with("d0,ann@acme.example,\"a,b\",ds-1.2,disabled,admin,"), "{}", lines[1]);
    assert_eq!(lines.len(), 5, "a head, three rows, and the end");
    let next = csv.link.strip_prefix('<').and_then(|link| link.split_once('>')).unwrap().0;
    assert!(next.ends_with("&state=disabled&limit=3"), "{next}");
    assert!(house.ask_with("GET", next, &[("accept", "text/csv")], None).await.text.contains("\r\nd4,"));

    let answer = house.ask("POST", "/v1/devices:enable", json!({ "ids": ["d0", "nobody"] })).await.good();
    assert_eq!(answer, json!({ "enabled": ["d0"], "refused": [{ "id": "nobody", "reason": "not-found" }] }));
    // After ann's, by a cursor as a list gives it.
    let cursor = "YW5uQGFjbWUuZXhhbXBsZQ";
    let rest = json!({ "reason": "admin", "cursor": cursor });
    let answer = house.ask("POST", "/v1/devices:enable", rest).await.good();
    assert_eq!(answer, json!({ "enabled": ["d3", "d4"] }));
    let answer = house.ask("POST", "/v1/devices:enable", json!({ "reason": "admin" })).await.good();
    assert_eq!(answer, json!({ "enabled": ["d2"] }));
    let odd = json!({ "ids": ["d0"], "cursor": cursor });
    house.ask("POST", "/v1/devices:enable", odd).await.refused(422, "invalid-field");
    house
        .ask("POST", "/v1/devices:enable", json!({ "reason": "x", "cursor": "!" }))
        .await
        .refused(422, "invalid-field");
    assert_eq!(house.ask("GET", "/v1/devices?state=disabled", None).await.good()["devices"], json!([]));
    house.ask("POST", "/v1/devices:enable", json!({})).await.refused(422, "invalid-field");
}

#[tokio::test]
async fn one_inbox_switches_the_other_off() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({ "INBOX": { "name": "Mail" } }))]).await;
    let body = json!({ "model": "ds-1.2", "inbox": "mail", "resources": { "INBOX": { "name": "Mail" } } });
    let device = house.ask("PUT", "/v1/devices/phone", body.clone()).await.good();
    assert_eq!(
        (&device["switched_off"], &device["resources"]["INBOX"]["enabled"]),
        (&json!(["sync:INBOX"]), &json!(false))
    );
    let device = house.ask("PUT", "/v1/devices/phone", body).await.good();
    assert_eq!((&device["switched_off"], &device["inbox"]), (&json!(["mail"]), &json!("sync")));
}

/// Nobody says it of a device, and everybody sees it.
#[tokio::test]
async fn a_device_without_a_way_shows_that() {
    let house = House::with(&[], |_| {}).await;
    house.settle("ann@acme.example", &[]).await;
    house.ask("PUT", "/v1/devices/phone", phone("+447700900001")).await.good();
    assert_eq!(state(&house, "phone").await, words("enabled", "no_route"));
    let (_, account) = house
        .store
        .document(&model::TenantId::new("acme").unwrap(), store::DocumentKind::Account, "ann@acme.example")
        .await
        .unwrap()
        .unwrap();
    let account: model::push::Account = serde_json::from_str(&account.body).unwrap();
    assert_eq!(account.devices["phone"].standing.state, DeviceState::Enabled);
    assert!(!serde_json::to_string(&account).unwrap().contains("7700"), "numbers are kept sealed");
}
