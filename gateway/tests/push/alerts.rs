//! Test alerts and settings: what is queued, what is refused, and that it can be followed.

use model::party::Carries;
use model::push::Notice;
use model::record::{Content, Door};
use serde_json::json;
use wire::provisioning::{Document, Pin, Security};
use wire::san::{Body, Notification, Verdict};
use wire::wsp::Push;

use crate::house::House;

async fn with_phone(routes: &[Carries], model: &str) -> House {
    let house = House::with(routes, |_| {}).await;
    let account = json!({ "server_id": "icewarp", "sync_url": "https://sync.example.com", "password": "s3cret" });
    house.ask("PUT", "/v1/accounts/ann@acme.example", account).await.good();
    let resources = json!({
        "contacts": { "name": "Contacts", "content_type": "text/x-vcard" },
        "INBOX": { "name": "./Mail" },
        "tasks": { "name": "Tasks", "enabled": false },
    });
    let body =
        json!({ "account": "ann@acme.example", "model": model, "number": "+447700900001", "resources": resources });
    house.ask("PUT", "/v1/devices/phone", body).await.good();
    house
}

fn push(content: &Content) -> Push {
    let binary = content.binary.as_ref().expect("it is binary");
    Push::decode(&binary.parts.iter().flat_map(|part| part.data.to_vec()).collect::<Vec<u8>>()).unwrap()
}

#[tokio::test]
async fn a_test_alert_names_what_the_device_is_told_of() {
    let house = with_phone(&[Carries::Sms], "ds-1.2").await;
    let queued = house.ask("POST", "/v1/devices/phone:test", None).await;
    assert_eq!(queued.status, 202, "{queued:?}");
    let id = queued.json()["id"].as_str().unwrap().to_owned();
    let sent = house.sent().await;
    let [(header, content)] = &sent[..] else { panic!("one message") };
    assert_eq!((content.recipient.as_str(), header.door, header.segments), ("+447700900001", Door::Push as i32, 1));
    let notice = Notice { account: "ann@acme.example".into(), device: "phone".into(), seq: 0 };
    assert_eq!((&header.notice, header.receipt, header.keyed), (&Some(notice), true, true));
    assert_eq!(header.expires_ms - header.accepted_ms, 1440 * 60_000, "a day, whatever the tenant's messages have");
    let body = push(content).body;
    let received = Notification::decode_data_sync(&body).unwrap();
    assert_eq!(received.verify(b"s3cret", b""), Verdict::Absent, "the model does not ask for a digest");
    let Body::DataSync(stores) = received.notification.body else { panic!("it is data synchronisation") };
    let names: Vec<&[u8]> = stores.iter().map(|store| &store.uri[..]).collect();
    assert_eq!(names, [&b"./Mail"[..], b"Contacts"]);

    let trace = house.ask("GET", &format!("/v1/notifications/{id}/trace"), None).await;
    let shown = trace.good();
    assert_eq!(shown["notification"]["resources"], json!(["INBOX", "contacts"]));
    assert_eq!((&shown["message"]["id"], &shown["message"]["timeline"][0]["step"]), (&json!(id), &json!("accepted")));
    assert!(!trace.text.contains("7700"), "no number in full");
    let notification = house.ask("GET", &format!("/v1/notifications/{id}"), None).await.good();
    assert_eq!((&notification["device"], &notification["seq"]), (&json!("phone"), &json!(0)));
    house.raw("blue", "GET", &format!("/v1/notifications/{id}"), &[], String::new()).await.refused(404, "not-found");
    house.ask("GET", "/v1/notifications/nonsense/trace", None).await.refused(404, "not-found");
}

#[tokio::test]
async fn a_test_alert_is_signed_where_the_model_says_so() {
    let house = with_phone(&[Carries::Sms], "ds-1.2").await;
    house.ask("PUT", "/v1/models/signed", json!({ "push": true, "ota": false, "digest": true })).await.good();
    let body = json!({ "model": "signed", "resources": { "INBOX": { "name": "./Mail" }, "a": { "name": "A" } } });
    house.ask("PUT", "/v1/devices/phone", body).await.good();
    let only = json!({ "resources": ["INBOX"] });
    house.ask("POST", "/v1/devices/phone:test", only).await.good();
    let body = push(&house.sent().await[0].1).body;
    let received = Notification::decode_data_sync(&body).unwrap();
    assert_eq!(received.verify(b"s3cret", b""), Verdict::Good);
    let Body::DataSync(stores) = received.notification.body else { panic!("it is data synchronisation") };
    assert_eq!(stores.len(), 1);
    let unknown = json!({ "resources": ["nothing"] });
    house.ask("POST", "/v1/devices/phone:test", unknown).await.refused(422, "invalid-field");
}

#[tokio::test]
async fn the_same_request_is_the_same_alert() {
    let house = with_phone(&[Carries::Sms], "ds-1.2").await;
    let key = [("idempotency-key", "t-1")];
    let first = house.ask_with("POST", "/v1/devices/phone:test", &key, None).await;
    let second = house.ask_with("POST", "/v1/devices/phone:test", &key, None).await;
    assert_eq!((second.status, &second.text), (202, &first.text));
    assert_eq!(house.sent().await.len(), 1);
}

#[tokio::test]
async fn what_leads_nowhere_is_not_queued() {
    let pin = json!({ "user_pin": "1234" });
    for routes in [&[][..], &[Carries::Mms]] {
        let house = with_phone(routes, "ds-1.2").await;
        house.ask("POST", "/v1/devices/phone:test", None).await.refused(409, "no_route");
        house.ask("POST", "/v1/devices/phone:configure", pin.clone()).await.refused(409, "no_route");
        assert!(house.sent().await.is_empty());
    }
    let house = with_phone(&[Carries::Sms], "ds-1.2").await;
    house.ask("PUT", "/v1/devices/phone", json!({ "model": "ds-1.2", "number": null })).await.good();
    house.ask("POST", "/v1/devices/phone:test", None).await.refused(409, "no_route");
    // No price leads to that country.
    house.ask("PUT", "/v1/devices/phone", json!({ "model": "ds-1.2", "number": "+4915112345678" })).await.good();
    house.ask("POST", "/v1/devices/phone:test", None).await.refused(409, "no_route");
    house.ask("PUT", "/v1/devices/phone", json!({ "model": "sony-ericsson" })).await.good();
    house.ask("POST", "/v1/devices/phone:test", None).await.refused(409, "push_not_supported");
    house.ask("POST", "/v1/devices/nobody:test", None).await.refused(404, "not-found");
    assert!(house.sent().await.is_empty());
}

#[tokio::test]
async fn settings_are_sent_once() {
    let house = with_phone(&[Carries::Sms], "sony-ericsson").await;
    let configure = |body| house.ask("POST", "/v1/devices/phone:configure", body);
    configure(json!({})).await.refused(422, "invalid-field");
    configure(json!({ "user_pin": "12x4" })).await.refused(422, "invalid-field");
    let first = configure(json!({ "user_pin": "1234", "name": "Acme", "access_point": "INTERNET" })).await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = configure(json!({ "user_pin": "9999" })).await.good();
    assert_eq!((&again["id"], &again["repeated"]), (&first.json()["id"], &json!(true)));
    let sent = house.sent().await;
    let [(header, content)] = &sent[..] else { panic!("one message") };
    assert_eq!(header.expires_ms - header.accepted_ms, 1440 * 60_000);
    let push = push(content);
    assert_eq!(push.media_type.name(), Some("application/vnd.wap.connectivity-wbxml"));
    let security = Security::UserPin(Pin::new("1234").unwrap());
    assert!(security.verify(&push.body, push.parameters.mac.as_deref().unwrap()));
    let text = format!("{:?}", String::from_utf8_lossy(&push.body));
    for there in
        ["https://sync.example.com/syncml/", "ann@acme.example", "icewarp", "Acme", "INTERNET", "Contacts", "./Mail"]
    {
        assert!(text.contains(there), "{there} in {text}");
    }
    for absent in ["s3cret", "1234", "Tasks", "7700"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert!(Document::decode(&push.body).is_ok());
    assert!(house.ask("GET", "/v1/devices/phone", None).await.good()["configured_at"].is_string());

    let house = with_phone(&[Carries::Sms], "dm-1.2").await;
    house
        .ask("POST", "/v1/devices/phone:configure", json!({ "imsi": "262011234567890" }))
        .await
        .refused(409, "ota_not_supported");
}

/// Two who press at once, before either is noted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_asked_for_twice_at_once_are_one_message() {
    let house = with_phone(&[Carries::Sms], "nokia").await;
    let press = || house.ask("POST", "/v1/devices/phone:configure", json!({ "user_pin": "1234" }));
    let (first, second) = tokio::join!(press(), press());
    assert_eq!(first.good()["id"], second.good()["id"]);
    let sent = house.sent().await;
    assert!(sent.iter().all(|(header, _)| header.message == sent[0].0.message && header.digest == sent[0].0.digest));
}
