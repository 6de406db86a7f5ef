//! Accounts: addresses, conditions, whole documents, and who may.

use serde_json::{Value, json};

use crate::house::House;

fn account() -> Value {
    json!({ "server_id": "icewarp", "sync_url": "sync.Example.com", "password": "s3cret" })
}

#[tokio::test]
async fn an_address_is_corrected_and_said_so() {
    let house = House::open().await;
    let reply = house.ask("PUT", "/v1/accounts/Ann@Acme.Example", account()).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let made = reply.good();
    assert_eq!((&made["id"], &made["has_password"]), (&json!("ann@acme.example"), &json!(true)));
    assert_eq!(made["sync_url"], "https://sync.example.com/syncml/");
    assert_eq!(made["corrected_from"], "sync.Example.com");
    assert!(!reply.text.contains("s3cret"));
    let shown = house.ask("GET", "/v1/accounts/ann@acme.example", None).await;
    assert_eq!(shown.etag, reply.etag);
    assert!(shown.good().get("corrected_from").is_none(), "it stands corrected");

    let plain = json!({ "server_id": "icewarp", "sync_url": "http://sync.example.com/x" });
    let kept = house.ask("PUT", "/v1/accounts/ann@acme.example", plain).await.good();
    assert_eq!(
        (&kept["sync_url"], kept["warnings"].as_array().unwrap().len()),
        (&json!("http://sync.example.com/x"), 1)
    );
    assert_eq!(kept["has_password"], true, "what is left out stays");
    let bad = json!({ "server_id": "icewarp", "sync_url": "https://a b/" });
    house.ask("PUT", "/v1/accounts/ann@acme.example", bad).await.refused(422, "bad_sync_url");
    let path = json!({ "access": "on", "sync_path": "/own/" });
    house.ask("PUT", "/v1/access/acme.example", path).await.good();
    let made = house.ask("PUT", "/v1/accounts/ben@acme.example", account()).await.good();
    assert_eq!(made["sync_url"], "https://sync.example.com/own/");
}

#[tokio::test]
async fn what_is_no_account_is_refused() {
    let house = House::open().await;
    house.ask("PUT", "/v1/accounts/ann", account()).await.refused(422, "invalid-field");
    let other = json!({ "id": "ben@acme.example", "server_id": "s", "sync_url": "https://a.example/" });
    house.ask("PUT", "/v1/accounts/ann@acme.example", other).await.refused(422, "invalid-field");
    let nameless = json!({ "server_id": "", "sync_url": "https://a.example/" });
    house.ask("PUT", "/v1/accounts/ann@acme.example", nameless).await.refused(422, "invalid-field");
    let unknown = json!({ "server_id": "s", "sync_url": "https://a.example/", "x": 1 });
    house.ask("PUT", "/v1/accounts/ann@acme.example", unknown).await.refused(422, "invalid-field");
    house.ask("GET", "/v1/accounts/ann@acme.example", None).await.refused(404, "not-found");
    let reply = house.raw("nobody", "GET", "/v1/accounts", &[], String::new()).await;
    reply.refused(401, "unauthorized");
    house.ask("POST", "/v1/accounts", json!({})).await.refused(405, "method-not-allowed");
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({ "INBOX": { "name": "Mail" } }))]).await;
    let other = |path: &'static str| house.raw("blue", "GET", path, &[], String::new());
    other("/v1/accounts/ann@acme.example").await.refused(404, "not-found");
    other("/v1/devices/phone").await.refused(404, "not-found");
    assert_eq!(other("/v1/devices").await.good()["devices"], json!([]));
    let body = json!({ "server_id": "s", "sync_url": "https://a.example/" }).to_string();
    let reply = house.raw("blue", "PUT", "/v1/accounts/ann@acme.example", &[], body).await;
    assert_eq!(reply.status, 201, "the same address is another account: {reply:?}");
}

#[tokio::test]
async fn conditions_hold() {
    let house = House::open().await;
    let path = "/v1/accounts/ann@acme.example";
    let made = house.ask_with("PUT", path, &[("if-none-match", "*")], account()).await;
    assert_eq!(made.status, 201);
    house.ask_with("PUT", path, &[("if-none-match", "*")], account()).await.refused(412, "changed");
    house.ask_with("PUT", path, &[("if-match", "\"other\"")], account()).await.refused(412, "changed");
    house.ask_with("DELETE", path, &[("if-match", "\"other\"")], None).await.refused(412, "changed");
    let again = house.ask_with("PUT", path, &[("if-match", &made.etag)], account()).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_ne!(again.etag, made.etag, "the password was said again");
    assert_eq!(house.ask_with("DELETE", path, &[("if-match", &again.etag)], None).await.status, 204);
    house.ask("DELETE", path, None).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_whole_document_goes_round() {
    let house = House::open().await;
    house
        .settle(
            "ann@acme.example",
            &[("b", json!({ "contacts": { "name": "Contacts", "sync": "one_way_from_server" } }))],
        )
        .await;
    let body = json!({ "account": "ann@acme.example", "model": "nokia", "kind": "N9", "number": "+447700900001" });
    house.ask("PUT", "/v1/devices/a", body).await.good();
    house.ask("POST", "/v1/devices/a:pause", json!({ "until": "2090-01-01T00:00:00Z" })).await.good();
    let report = json!({ "number": "+447700900009" });
    house.ask("POST", "/v1/devices/b/number:report", json!({ "number": "+447700900005" })).await.good();
    house.ask("POST", "/v1/devices/b/number:report", report).await.good();

    let path = "/v1/accounts/ann@acme.example/config";
    let whole = house.ask("GET", path, None).await;
    let config = whole.good();
    assert_eq!(config["devices"][0]["number"], "+447700900001");
    assert_eq!(config["devices"][1]["reported"], "+447700900009");
    let put = house.ask_with("PUT", path, &[("if-match", &whole.etag)], config.clone()).await;
    assert_eq!((put.status, &put.etag, &put.text), (200, &whole.etag, &whole.text));
    house.ask_with("PUT", path, &[("if-match", "\"other\"")], config.clone()).await.refused(412, "changed");

    // Elsewhere, and after everything is gone, it makes the same.
    let moved = house.raw("blue", "PUT", path, &[("content-type", "application/json")], config.to_string()).await;
    assert_eq!(moved.status, 201, "{moved:?}");
    assert_eq!(house.raw("blue", "GET", path, &[], String::new()).await.text, whole.text);
    assert_eq!(house.ask("DELETE", "/v1/accounts/ann@acme.example", None).await.status, 204);
    house.ask("GET", "/v1/devices/a", None).await.refused(404, "not-found");
    house.ask("PUT", path, config.clone()).await.good();
    assert_eq!(house.ask("GET", path, None).await.text, whole.text);

    let mut without = config;
    without["devices"].as_array_mut().unwrap().remove(0);
    house.ask("PUT", path, without).await.good();
    house.ask("GET", "/v1/devices/a", None).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_list_has_pages() {
    let house = House::open().await;
    for name in ["c", "a", "b"] {
        house.settle(&format!("{name}@acme.example"), &[]).await;
    }
    let first = house.ask("GET", "/v1/accounts?limit=2", None).await.good();
    let ids = |list: &Value| -> Vec<String> {
        list["accounts"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ["a@acme.example", "b@acme.example"]);
    let next = format!("/v1/accounts?limit=2&cursor={}", first["next"].as_str().unwrap());
    let second = house.ask("GET", &next, None).await.good();
    assert_eq!((ids(&second), second.get("next")), (vec!["c@acme.example".to_owned()], None));
    house.ask("GET", "/v1/accounts?limit=0", None).await.refused(422, "invalid-field");
    house.ask("GET", "/v1/accounts?cursor=%C3%A4", None).await.refused(422, "invalid-field");
}

#[tokio::test]
async fn the_nearest_word_about_access_counts() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[]).await;
    let phone = json!({ "account": "ann@acme.example", "model": "nokia", "number": "+447700900001" });
    house.ask("PUT", "/v1/devices/phone", phone).await.good();
    let test = || house.ask("POST", "/v1/devices/phone:test", None);
    assert_eq!(test().await.status, 202);
    house.ask("PUT", "/v1/access/*", json!({ "access": "off" })).await.good();
    test().await.refused(403, "forbidden");
    house.ask("PUT", "/v1/access/Acme.Example", json!({ "access": "on" })).await.good();
    assert_eq!(test().await.status, 202);
    let rule = house.ask("PUT", "/v1/access/acme.example", json!({ "access": "listed" })).await;
    test().await.refused(403, "forbidden");
    let listed = json!({ "server_id": "s", "sync_url": "https://a.example/", "access": "on" });
    house.ask("PUT", "/v1/accounts/ann@acme.example", listed).await.good();
    assert_eq!(test().await.status, 202);
    let rules = house.ask("GET", "/v1/access", None).await.good();
    assert_eq!(rules["rules"][1], json!({ "domain": "acme.example", "access": "listed" }));
    let removed = house.ask_with("DELETE", "/v1/access/acme.example", &[("if-match", &rule.etag)], None).await;
    assert_eq!(removed.status, 204);
    house.ask("GET", "/v1/access/acme.example", None).await.refused(404, "not-found");
    house.ask("PUT", "/v1/access/a@b", json!({ "access": "on" })).await.refused(422, "invalid-field");
    let path = json!({ "access": "on", "sync_path": "syncml" });
    house.ask("PUT", "/v1/access/*", path).await.refused(422, "invalid-field");
}
