//! Devices that speak for themselves.

use serde_json::{Value, json};

use crate::house::{House, Reply};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn token(house: &House, id: &str) -> String {
    let made = house.ask("POST", &format!("/v1/devices/{id}:token"), None).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn show(house: &House, token: &str) -> Reply {
    house.request(&house.base, token, "GET", "/v1/me/push", &[], String::new()).await
}

async fn say(house: &House, token: &str, body: Value) -> Reply {
    house.request(&house.base, token, "PUT", "/v1/me/push", &JSON, body.to_string()).await
}

#[tokio::test]
async fn a_device_pauses_itself_and_is_told_again() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({})), ("tablet", json!({}))]).await;
    let (phone, tablet) = (token(&house, "phone").await, token(&house, "tablet").await);
    let before = house.touched().await.len();
    let shown = show(&house, &phone).await.good();
    assert_eq!((&shown["device"], &shown["state"]), (&json!("phone"), &json!("enabled")));
    let until = "2090-01-01T00:00:00Z";
    let paused = say(&house, &phone, json!({ "state": "paused", "until": until })).await.good();
    assert_eq!((&paused["state"], &paused["reason"]), (&json!("paused"), &json!("user")));
    assert!(paused["until"].as_str().unwrap().starts_with("2090-01-01T00:00:00"), "{paused}");
    let seen = house.ask("GET", "/v1/devices/phone", None).await.good();
    assert_eq!((&seen["state"], &seen["by"]), (&json!("paused"), &json!("device")));
    assert_eq!(show(&house, &tablet).await.good()["state"], "enabled", "it speaks for itself alone");
    assert_eq!(say(&house, &phone, json!({ "state": "enabled" })).await.good()["state"], "enabled");
    assert_eq!(house.touched().await[before..], ["phone", "phone"], "the router looks what is to be told");
}

#[tokio::test]
async fn what_a_device_cannot_say_is_refused() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({}))]).await;
    let phone = token(&house, "phone").await;
    for body in [
        json!({ "state": "disabled" }),
        json!({ "state": "enabled", "until": "2090-01-01T00:00:00Z" }),
        json!({ "state": "paused", "until": "2001-01-01T00:00:00Z" }),
        json!({ "state": "paused", "number": "+447700900001" }),
        json!({}),
    ] {
        say(&house, &phone, body).await.refused(422, "invalid-field");
    }
    house.ask("PUT", "/v1/devices/phone", json!({ "model": "ds-1.2", "state": "disabled" })).await.good();
    say(&house, &phone, json!({ "state": "enabled" })).await.refused(409, "too-late");
    // It is no API key, and an API key is no device's.
    let list = house.request(&house.base, &phone, "GET", "/v1/devices", &[], String::new()).await;
    list.refused(401, "unauthorized");
    show(&house, "ck_acme").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn a_token_is_kept_as_a_hash_and_ends() {
    let house = House::open().await;
    house.settle("ann@acme.example", &[("phone", json!({}))]).await;
    house.settle("ben@acme.example", &[]).await;
    let first = token(&house, "phone").await;
    let tenant = model::TenantId::new("acme").unwrap();
    let kept = store::Store::document(&house.store, &tenant, store::DocumentKind::DeviceToken, "phone").await.unwrap();
    assert!(!kept.unwrap().1.body.contains(&first));
    let second = token(&house, "phone").await;
    show(&house, &first).await.refused(401, "unauthorized");
    show(&house, &second).await.good();
    assert_eq!(house.ask("DELETE", "/v1/devices/phone/token", None).await.status, 204);
    show(&house, &second).await.refused(401, "unauthorized");
    house.ask("DELETE", "/v1/devices/phone/token", None).await.refused(404, "not-found");

    // A device that is removed takes its token with it, also where another gets its id.
    let third = token(&house, "phone").await;
    assert_eq!(house.ask("DELETE", "/v1/devices/phone", None).await.status, 204);
    house.ask("PUT", "/v1/devices/phone", json!({ "account": "ben@acme.example", "model": "ds-1.2" })).await.good();
    show(&house, &third).await.refused(401, "unauthorized");
    house.ask("POST", "/v1/devices/nobody:token", None).await.refused(404, "not-found");
}

#[tokio::test]
async fn who_guesses_is_held_up() {
    let house = House::with(&[model::party::Carries::Sms], |config| config.failed_logins_max = 3).await;
    house.settle("ann@acme.example", &[("phone", json!({})), ("tablet", json!({}))]).await;
    let (phone, tablet) = (token(&house, "phone").await, token(&house, "tablet").await);
    // The last characters are the secret's.
    let wrong = format!("{}{}", &phone[..phone.len() - 4], if phone.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    for _ in 0..3 {
        show(&house, &wrong).await.refused(401, "unauthorized");
    }
    show(&house, &wrong).await.refused(429, "rate-limited");
    show(&house, &tablet).await.good();
}
