//! `POST /v1/changes`: lines that count, lines that do not, and repeats.

use model::push::{Change, ChangeKind, Op};
use serde_json::json;

use crate::house::{House, Reply};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

async fn post(house: &House, headers: &[(&str, &str)], lines: &[&str]) -> Reply {
    let headers: Vec<(&str, &str)> = [NDJSON].into_iter().chain(headers.iter().copied()).collect();
    house.raw("acme", "POST", "/v1/changes", &headers, lines.join("\n")).await
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(account, resource)| ((*account).to_owned(), (*resource).to_owned())).collect()
}

#[tokio::test]
async fn lines_count_one_by_one() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({ "INBOX": { "name": "Mail" } }))]).await;
    let reply = post(
        &house,
        &[],
        &[
            r#"{"account":"Ann@Acme.Example","resource":"INBOX","op":"add","count":2,"origin":"phone"}"#,
            r#"{"account":"ben@acme.example","resource":"INBOX"}"#,
            "nonsense",
            r#"{"account":"ann@acme.example","resource":"inbox"}"#,
            r#"{"account":"ann@acme.example","resource":"INBOX"}"#,
        ],
    )
    .await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let rejected = json!([
        { "line": 2, "reason": "unknown_account" },
        { "line": 3, "reason": "bad_line" },
        { "line": 4, "reason": "unknown_resource" },
    ]);
    assert_eq!(reply.json(), json!({ "accepted": 2, "rejected": rejected }));
    assert_eq!(house.dirty().await, pairs(&[("ann@acme.example", "INBOX"); 2]));
    let first = house.changes().await.into_iter().find_map(|change: Change| match change.kind {
        Some(ChangeKind::Dirty(dirty)) => Some(dirty),
        _ => None,
    });
    let first = first.unwrap();
    assert_eq!((first.op(), first.count, first.origin.as_str()), (Op::Add, 2, "phone"));
    assert_eq!(house.metric("carillon_gateway_changes_taken_total{source=\"http\"}"), 2.0);
    assert_eq!(house.metric("carillon_gateway_changes_rejected_total{reason=\"bad_line\",source=\"http\"}"), 1.0);
}

#[tokio::test]
async fn a_repeat_is_answered_the_same_and_adds_nothing() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({ "INBOX": { "name": "Mail" } }))]).await;
    let (inbox, other) =
        (r#"{"account":"ann@acme.example","resource":"INBOX"}"#, r#"{"account":"x","resource":"INBOX"}"#);
    let key = [("idempotency-key", "k-1")];
    let first = post(&house, &key, &[inbox, other]).await;
    let second = post(&house, &key, &[inbox, other]).await;
    assert_eq!((second.status, &second.text), (202, &first.text));
    assert_eq!(house.dirty().await.len(), 1);
    post(&house, &key, &[inbox]).await.refused(422, "key-reused");
    assert_eq!(post(&house, &[("idempotency-key", "k-2")], &[inbox]).await.status, 202);
    assert_eq!(house.dirty().await.len(), 2);
}

#[tokio::test]
async fn what_is_new_is_known_at_once() {
    let house = House::open().await;
    let line = r#"{"account":"ann@acme.example","resource":"INBOX"}"#;
    let reason = async || post(&house, &[], &[line]).await.json()["rejected"][0]["reason"].clone();
    assert_eq!(reason().await, "unknown_account");
    house.settle("ann@acme.example", &[("phone", json!({ "a": { "name": "A" } }))]).await;
    assert_eq!(reason().await, "unknown_resource");
    let device = json!({ "model": "ds-1.2", "resources": { "INBOX": { "name": "Mail" } } });
    house.ask("PUT", "/v1/devices/phone", device).await.good();
    assert_eq!(reason().await, json!(null));
    // Names that only the model has.
    house.settle("ben@acme.example", &[]).await;
    let device = json!({ "account": "ben@acme.example", "model": "nokia" });
    house.ask("PUT", "/v1/devices/other", device).await.good();
    let reply = post(&house, &[], &[r#"{"account":"ben@acme.example","resource":"contacts"}"#]).await;
    assert_eq!(reply.json()["accepted"], 1);
}

#[tokio::test]
async fn tenants_with_the_same_addresses_are_apart() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({ "INBOX": { "name": "Mail" } }))]).await;
    let line = r#"{"account":"ann@acme.example","resource":"INBOX"}"#.to_owned();
    let reply = house.raw("blue", "POST", "/v1/changes", &[NDJSON], line).await;
    assert_eq!(reply.json(), json!({ "accepted": 0, "rejected": [{ "line": 1, "reason": "unknown_account" }] }));
    assert!(house.dirty().await.is_empty());
}

#[tokio::test]
async fn what_is_no_body_is_refused() {
    let house = House::with(&[], |config| config.rest_body_bytes_max = 1_000_000).await;
    post(&house, &[], &[]).await.refused(422, "invalid-field");
    let kind = ("content-type", "text/plain");
    house.raw("acme", "POST", "/v1/changes", &[kind], "x".into()).await.refused(415, "unsupported-media-type");
    post(&house, &[], &vec!["x"; 5_001]).await.refused(413, "body-too-large");
    post(&house, &[], &[&"x".repeat(1_000_001)]).await.refused(413, "body-too-large");
    let long = "k".repeat(300);
    post(&house, &[("idempotency-key", &long)], &["x"]).await.refused(422, "invalid-field");
    assert_eq!(post(&house, &[], &["x"]).await.json()["accepted"], 0);
}
