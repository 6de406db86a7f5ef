//! All that a tenant has set, out and in again.

use serde_json::{Value, json};

use crate::house::{House, Reply};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

async fn export(house: &House, tenant: &str, query: &str) -> Reply {
    let reply = house.raw(tenant, "GET", &format!("/v1/push/config{query}"), &[], String::new()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}

async fn import(house: &House, tenant: &str, body: &str) -> Value {
    house.raw(tenant, "PUT", "/v1/push/config", &[NDJSON], body.to_owned()).await.good()
}

async fn furnish(house: &House) {
    house.ask("PUT", "/v1/models/brick", json!({ "push": true, "ota": false })).await.good();
    house.ask("PUT", "/v1/access/acme.example", json!({ "access": "on", "sync_path": "/sync/" })).await.good();
    house.settle("ann@acme.example", &[]).await;
    house.settle("ben@acme.example", &[("ben-phone", json!({ "INBOX": { "name": "./Mail" } }))]).await;
    let phone = |account: &str| {
        let resources = json!({ "contacts": { "name": "Contacts", "enabled": false } });
        json!({ "account": account, "model": "brick", "number": "+447700900001", "kind": "phone", "resources": resources })
    };
    house.ask("PUT", "/v1/devices/ann-phone", phone("ann@acme.example")).await.good();
    house.ask("PUT", "/v1/devices/ben-other", phone("ben@acme.example")).await.good();
    house.ask("POST", "/v1/devices/ben-phone:pause", json!({ "until": "2090-01-01T00:00:00Z" })).await.good();
}

#[tokio::test]
async fn what_goes_out_comes_in_again_the_same() {
    let house = House::open().await;
    furnish(&house).await;
    let first = export(&house, "acme", "").await;
    let kinds: Vec<String> = first.text.lines().map(|line| line[2..].split('"').next().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["model", "access", "account", "account"]);
    assert!(first.text.contains("+447700900001") && first.text.contains("number_conflict"));
    let report = import(&house, "acme", &first.text).await;
    assert_eq!((&report["done"], &report["failed"]), (&json!(4), &json!(0)), "{report}");
    let again = export(&house, "acme", "").await;
    assert_eq!((&again.text, &again.etag), (&first.text, &first.etag));

    // And at another tenant's, which is there already: nothing of it is shared.
    let report = import(&house, "blue", &first.text).await;
    assert_eq!(report["failed"], json!(0), "{report}");
    assert_eq!(export(&house, "blue", "").await.text, first.text);
    assert_eq!(export(&house, "acme", "").await.text, first.text);
}

#[tokio::test]
async fn secrets_neither_go_out_nor_are_lost() {
    let house = House::open().await;
    let body = json!({ "server_id": "icewarp", "sync_url": "https://sync.example.com", "password": "s3cret" });
    house.ask("PUT", "/v1/accounts/ann@acme.example", body).await.good();
    let device = json!({ "account": "ann@acme.example", "model": "dm-1.2" });
    house.ask("PUT", "/v1/devices/phone", device).await.good();
    let token = house.ask("POST", "/v1/devices/phone:token", None).await.good()["token"].as_str().unwrap().to_owned();
    house.ask("PUT", "/v1/event-keys/mail-1", None).await.good();
    let first = export(&house, "acme", "").await;
    assert!(!first.text.contains("s3cret") && !first.text.contains("sealed") && !first.text.contains(&token));
    import(&house, "acme", &first.text).await;
    assert_eq!(export(&house, "acme", "").await.text, first.text);
    assert_eq!(house.ask("GET", "/v1/accounts/ann@acme.example", None).await.good()["has_password"], json!(true));
    house.request(&house.base, &token, "GET", "/v1/me/push", &[], String::new()).await.good();
    // Elsewhere nobody knows the password that it needs: the line says so, or brings it.
    let report = import(&house, "blue", &first.text).await;
    assert_eq!((&report["failed"], &report["lines"][0]["status"]), (&json!(1), &json!(422)), "{report}");
    let mut line: Value = serde_json::from_str(&first.text).unwrap();
    line["account"]["password"] = json!("s3cret");
    assert_eq!(import(&house, "blue", &line.to_string()).await["done"], json!(1));
}

#[tokio::test]
async fn pages_hold_all_and_each_can_be_put() {
    let house = House::open().await;
    furnish(&house).await;
    let whole = export(&house, "acme", "").await.text;
    let (mut query, mut pages, mut count) = ("?limit=1".to_owned(), String::new(), 0);
    loop {
        let page = export(&house, "acme", &query).await;
        assert_eq!(page.text.lines().count(), 1);
        (pages, count) = (pages + &page.text, count + 1);
        let path = format!("/v1/push/config{query}");
        let put = house.raw("acme", "PUT", &path, &[NDJSON, ("if-match", &page.etag)], page.text.clone()).await;
        assert_eq!(put.good()["done"], json!(1));
        let Some(next) = page.link.strip_prefix("</v1/push/config").and_then(|link| link.split_once('>')) else {
            break;
        };
        query = next.0.to_owned();
    }
    assert_eq!((pages, count), (whole, 4));
    let reply = house.raw("acme", "GET", "/v1/push/config?cursor=OQ", &[], String::new()).await;
    reply.refused(422, "invalid-field");
}

/// A page is no larger than a body that is taken.
#[tokio::test]
async fn a_page_is_bounded_in_octets() {
    let house = House::with(&[model::party::Carries::Sms], |config| config.rest_body_bytes_max = 400).await;
    for nth in 0..5 {
        house.settle(&format!("user-{nth}@acme.example"), &[]).await;
    }
    let (mut query, mut lines) = (String::new(), 0);
    loop {
        let page = export(&house, "acme", &query).await;
        assert!((1..=400).contains(&page.text.len()), "{}", page.text.len());
        lines += page.text.lines().count();
        let Some(next) = page.link.strip_prefix("</v1/push/config").and_then(|link| link.split_once('>')) else {
            break;
        };
        query = next.0.to_owned();
    }
    assert_eq!(lines, 5);
}

#[tokio::test]
async fn a_page_that_changed_is_not_replaced() {
    let house = House::open().await;
    furnish(&house).await;
    let page = export(&house, "acme", "").await;
    house.ask("PUT", "/v1/access/acme.example", json!({ "access": "off" })).await.good();
    let matched = |tag: String, body: String| {
        let house = &house;
        async move { house.raw("acme", "PUT", "/v1/push/config", &[NDJSON, ("if-match", &tag)], body).await }
    };
    matched(page.etag, page.text.clone()).await.refused(412, "changed");
    let rule = house.ask("GET", "/v1/access/acme.example", None).await.good();
    assert_eq!(rule["access"], "off", "nothing of it was put");
    // What the page does not have must not be there.
    let now = export(&house, "acme", "").await;
    let fresh = json!({ "access": { "domain": "new.example", "access": "on" } });
    let put = matched(now.etag, fresh.to_string()).await.good();
    assert_eq!(put["lines"][0], json!({ "line": 1, "access": "new.example", "status": 201 }));
}

#[tokio::test]
async fn each_line_is_told_and_spoils_no_other() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({}))]).await;
    let account = |id: &str, devices: Value| {
        let account =
            json!({ "id": id, "server_id": "icewarp", "sync_url": "https://sync.example.com", "devices": devices });
        json!({ "account": account }).to_string()
    };
    let lines = [
        "nonsense".to_owned(),
        json!({ "access": { "domain": "acme.example", "access": "sometimes" } }).to_string(),
        String::new(),
        json!({ "model": { "push": true, "ota": false } }).to_string(),
        account("ben@acme.example", json!([{ "id": "own", "model": "ds-1.2" }, { "id": "phone", "model": "ds-1.2" }])),
        account("cid@acme.example", json!([])),
    ];
    let report = import(&house, "acme", &lines.join("\n")).await;
    assert_eq!((&report["done"], &report["failed"]), (&json!(1), &json!(4)), "{report}");
    let of = |line: usize| report["lines"].as_array().unwrap().iter().find(|done| done["line"] == line).unwrap();
    assert_eq!((&of(1)["status"], &of(1)["type"]), (&json!(400), &json!("urn:carillon:problem:malformed")));
    let detail = of(2)["detail"].as_str().unwrap();
    assert!(detail.contains("`access`") && detail.contains("sometimes"), "{detail}");
    assert_eq!(of(4)["status"], 422);
    assert_eq!((&of(5)["status"], &of(5)["account"]), (&json!(409), &json!("ben@acme.example")));
    assert_eq!((&of(6)["status"], &of(6)["account"]), (&json!(201), &json!("cid@acme.example")));
    house.ask("GET", "/v1/accounts/ben@acme.example", None).await.refused(404, "not-found");
    let many = format!("{}\n", account("cid@acme.example", json!([]))).repeat(201);
    let reply = house.raw("acme", "PUT", "/v1/push/config", &[NDJSON], many).await;
    reply.refused(413, "body-too-large");
}
