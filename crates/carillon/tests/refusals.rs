//! Bad input at the REST door: each gets a clear answer, and nothing of it is taken.

mod support;

use serde_json::{Value, json};
use support::{Carillon, PATIENCE, on_both_columns};

on_both_columns! {
    [one_after_the_other:
        each_bad_request_says_what_was_wrong,
        http_itself_is_checked,
    ]
}

async fn each_bad_request_says_what_was_wrong(carillon: &Carillon) {
    let good = carillon.number(0, 1);
    let many: Vec<String> = (0..1001).map(|n| carillon.number(0, n)).collect();
    let cases: Vec<(Value, u16, &str, &str)> = vec![
        (json!({ "text": "x" }), 422, "invalid-field", "to"),
        (json!({ "to": good }), 422, "invalid-field", "text"),
        (json!({ "to": good, "text": "" }), 422, "invalid-field", "text"),
        (json!({ "to": good, "text": "x", "txet": 1 }), 422, "invalid-field", "txet"),
        (json!({ "to": 5, "text": "x" }), 422, "invalid-field", "number"),
        (json!({ "to": [], "text": "x" }), 422, "invalid-field", "to"),
        (json!({ "to": [good, "+44"], "text": "x" }), 422, "invalid-recipient", "to[1]"),
        (json!({ "to": "hello", "text": "x" }), 422, "invalid-recipient", "to[0]"),
        (json!({ "to": "+33612345678", "text": "x" }), 422, "no-route", "to[0]"),
        (json!({ "to": many, "text": "x" }), 422, "too-many-recipients", "1000"),
        (json!({ "to": good, "text": "x".repeat(1531) }), 422, "too-long", "segments"),
        (json!({ "to": good, "text": "bell \u{7}" }), 422, "invalid-text", "U+0007"),
        (json!({ "to": good, "text": "x", "validity_seconds": 0 }), 422, "invalid-field", "validity_seconds"),
        (json!({ "to": good, "text": "x", "send_at": "tomorrow" }), 422, "invalid-field", "RFC 3339"),
    ];
    for (body, status, kind, detail) in cases {
        let answer = carillon.post(&body).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{body}");
        assert_eq!(answer.status(), status, "{body}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["type"].as_str().unwrap().ends_with(kind), "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem:#}");
    }
    let ledger = carillon.settle().await;
    assert_eq!(ledger["accepted"], 0, "nothing refused may be taken");
}

async fn http_itself_is_checked(carillon: &Carillon) {
    let url = format!("{}/v1/messages", carillon.demo.rest);
    let (client, key) = (&carillon.client, &carillon.demo.api_key);
    let body = json!({ "to": carillon.number(0, 1), "text": "x" }).to_string();
    let post = |key: &str| client.post(&url).bearer_auth(key).header("content-type", "application/json");
    let status = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status().as_u16() };
    assert_eq!(status(client.post(&url).body(body.clone())).await, 401, "no key");
    assert_eq!(status(post("ck_wrong").body(body.clone())).await, 401, "wrong key");
    assert_eq!(status(post(key).body("{")).await, 400, "not JSON");
    assert_eq!(status(post(key).body(vec![b' '; 1 << 21])).await, 413, "too large");
    let text = client.post(&url).bearer_auth(key).header("content-type", "text/plain");
    assert_eq!(status(text.body(body.clone())).await, 415, "not JSON by its type");
    assert_eq!(status(client.delete(&url).bearer_auth(key)).await, 405, "wrong method");
    let shown = |id: &str| client.get(format!("{url}/{id}")).bearer_auth(key);
    let begun = std::time::Instant::now();
    loop {
        match status(shown("msg_00000000000000000000000000000000")).await {
            404 => break,
            // A state that is behind can't tell yet.
            503 => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
            other => panic!("nobody's message: {other}"),
        }
        assert!(begun.elapsed() < PATIENCE, "the state does not follow:\n{}", carillon.log_tail());
    }
    assert_eq!(status(shown("nonsense")).await, 404, "no id");
    assert_eq!(status(client.get(format!("{}/elsewhere", carillon.demo.rest))).await, 404, "no such path");
    let long_key = post(key).header("idempotency-key", "k".repeat(256)).body(body);
    assert_eq!(status(long_key).await, 422, "key too long");
    assert_eq!(carillon.settle().await["accepted"], 0);
}
