//! Change notifications from one end to the other: what a mail server says is seen at a modem as the package that a phone reads, once
//! for each burst, and in time.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::farm::{end, issue_farm, start_farm, wait_until};
use support::part::run;
use support::{Carillon, Column, PATIENCE, check_ledger, on_both_columns};
use wire::san::{Body, Notification};
use wire::tpdu::{Submit, from_hex};
use wire::udh::Element;
use wire::wsp::Push;

on_both_columns! {
    [one_after_the_other:
        names_are_told_as_each_device_spells_them,
        the_device_a_change_came_from_is_spared,
        what_changed_in_a_pause_is_told_after_it,
        a_stream_of_changes_does_not_put_a_notification_off,
    ]
    a_burst_is_one_notification_at_its_deadline,
    a_window_survives_kills,
    what_waits_for_a_modem_is_told_at_once_and_once_whatever_is_killed,
}

/// The window that is used where nothing else is set, and where a test sets it.
const WINDOW_MS: i64 = 5_000;
const LONG_MS: i64 = 15_000;
/// What is promised, from the first change to the hand-over.
const PROMISED_MS: i64 = 30_000;

/// Puts an account of this name.
async fn put_account(carillon: &Carillon, key: &str, account: &str) {
    let body = json!({ "server_id": "mail.example", "sync_url": "sync.mail.example" });
    ask(carillon, key, "PUT", &format!("/v1/accounts/{account}"), body).await;
}

async fn put_device(carillon: &Carillon, key: &str, account: &str, device: &str, number: &str, names: &[(&str, &str)]) {
    let resources: BTreeMap<&str, Value> = names.iter().map(|(name, own)| (*name, json!({ "name": own }))).collect();
    let body = json!({ "account": account, "model": "ds-1.2", "number": number, "resources": resources });
    ask(carillon, key, "PUT", &format!("/v1/devices/{device}"), body).await;
}

/// Asks a door as the tenant of a key, again if it says so, and expects that it is done.
async fn ask(carillon: &Carillon, key: &str, method: &str, path: &str, body: Value) -> Value {
    let begun = Instant::now();
    loop {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = carillon.client.request(method, format!("{}{path}", carillon.door())).bearer_auth(key);
        let answer = request.json(&body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        if status.is_success() {
            return serde_json::from_str(&text).unwrap_or_default();
        }
        // A key is known everywhere after a moment.
        let passes = [401, 503].contains(&status.as_u16()) && begun.elapsed() < PATIENCE;
        assert!(passes, "{path}: {status} {text}\n{}", carillon.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Says that resources of an account changed.
async fn change(carillon: &Carillon, key: &str, account: &str, resources: &[&str], origin: &str) {
    let line = |resource: &&str| {
        let line = json!({ "account": account, "resource": resource, "op": "add", "origin": origin });
        line.to_string()
    };
    let body = resources.iter().map(line).collect::<Vec<_>>().join("\n");
    let request = carillon.client.post(format!("{}/v1/changes", carillon.door())).bearer_auth(key);
    let answer = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 202, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer, json!({ "accepted": resources.len(), "rejected": [] }));
}

/// The names in each notification that a number got, in the order in which they came.
fn told(carillon: &Carillon, number: &str) -> Vec<Vec<String>> {
    let mut told = Vec::new();
    for line in carillon.received().iter().filter(|line| line.to == number) {
        let submit = Submit::decode(&from_hex(line.tpdu.as_bytes()).unwrap()).unwrap();
        let header = submit.user_data.header().expect("ports");
        assert_eq!(header.elements, [Element::Ports { destination: 2948, source: 9200 }], "it fits one message");
        let push = Push::decode(&submit.user_data.body_octets()).unwrap();
        assert_eq!(push.media_type.name(), Some("application/vnd.syncml.ds.notification"));
        let received = Notification::decode_data_sync(&push.body).unwrap();
        assert_eq!(received.notification.server_id, b"mail.example");
        let Body::DataSync(stores) = received.notification.body else { panic!("no data synchronisation") };
        told.push(stores.into_iter().map(|store| String::from_utf8(store.uri).unwrap()).collect());
    }
    told
}

async fn wait_told(carillon: &Carillon, number: &str, count: usize) -> Vec<Vec<String>> {
    let log = carillon.parts[0].log.clone();
    wait_until("the device is told", &log, || told(carillon, number).len() >= count).await;
    told(carillon, number)
}

/// Waits as long as a window that is open now may stay open, and a little longer: nothing must come in that time.
async fn rest(window_ms: i64) {
    tokio::time::sleep(Duration::from_millis(window_ms as u64 + 2_000)).await;
}

/// A time of a notification's trace.
fn ms(trace: &Value, name: &str) -> i64 {
    let text = trace["notification"][name].as_str().unwrap_or_else(|| panic!("no `{name}` in {trace:#}"));
    let time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    (time.unix_timestamp_nanos() / 1_000_000) as i64
}

async fn a_burst_is_one_notification_at_its_deadline(column: Column) {
    let place = column.place();
    let carillon = place.start_with(&format!("[sms_router]\nnotify_window_ms = {LONG_MS}\n")).await;
    let (key, number) = (carillon.demo.api_key.clone(), carillon.number(0, 1));
    put_account(&carillon, &key, "ann@burst.example").await;
    let names = [("INBOX", "./Mail"), ("contacts", "Contacts"), ("calendar", "Calendar")];
    put_device(&carillon, &key, "ann@burst.example", "burst", &number, &names).await;
    let begun = Instant::now();
    for round in 0..20_u32 {
        change(&carillon, &key, "ann@burst.example", &["calendar", "INBOX", "contacts"], "").await;
        tokio::time::sleep_until((begun + Duration::from_millis(500) * (round + 1)).into()).await;
    }
    assert_eq!(told(&carillon, &number), Vec::<Vec<String>>::new(), "nothing is told before the deadline");
    let first = wait_told(&carillon, &number, 1).await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(LONG_MS as u64), "told after {took:?}");
    assert!(took <= Duration::from_millis(PROMISED_MS as u64), "told after {took:?}");
    let mut names = first[0].clone();
    names.sort();
    assert_eq!(names, ["./Mail", "Calendar", "Contacts"]);
    rest(LONG_MS).await;
    assert_eq!(told(&carillon, &number).len(), 1, "once for the whole burst");
}

async fn names_are_told_as_each_device_spells_them(carillon: &Carillon) {
    let key = &carillon.demo.api_key;
    put_account(carillon, key, "ann@case.example").await;
    let numbers = [carillon.number(0, 11), carillon.number(0, 12)];
    for (device, number, name) in [("case-1", &numbers[0], "Contacts"), ("case-2", &numbers[1], "contacts")] {
        put_device(carillon, key, "ann@case.example", device, number, &[("contacts", name)]).await;
    }
    // One that has no names of its own spells them as its model does.
    let (by_model, model) = (carillon.number(0, 13), "nokia");
    let body = json!({ "account": "ann@case.example", "model": model, "number": by_model });
    ask(carillon, key, "PUT", "/v1/devices/case-3", body).await;
    change(carillon, key, "Ann@Case.Example", &["contacts"], "").await;
    assert_eq!(wait_told(carillon, &by_model, 1).await, [["Contacts"]]);
    assert_eq!(wait_told(carillon, &numbers[0], 1).await, [["Contacts"]]);
    assert_eq!(wait_told(carillon, &numbers[1], 1).await, [["contacts"]]);
}

async fn the_device_a_change_came_from_is_spared(carillon: &Carillon) {
    let key = &carillon.demo.api_key;
    put_account(carillon, key, "ann@origin.example").await;
    let numbers = [carillon.number(0, 21), carillon.number(0, 22)];
    for (device, number) in [("origin-a", &numbers[0]), ("origin-b", &numbers[1])] {
        put_device(carillon, key, "ann@origin.example", device, number, &[("INBOX", "./Mail")]).await;
    }
    change(carillon, key, "ann@origin.example", &["INBOX"], "origin-a").await;
    assert_eq!(wait_told(carillon, &numbers[1], 1).await, [["./Mail"]]);
    rest(WINDOW_MS).await;
    assert!(told(carillon, &numbers[0]).is_empty(), "it made the change");
}

async fn what_changed_in_a_pause_is_told_after_it(carillon: &Carillon) {
    let (key, number) = (&carillon.demo.api_key, carillon.number(0, 31));
    put_account(carillon, key, "ann@pause.example").await;
    let names = [("INBOX", "./Mail"), ("contacts", "Contacts"), ("notes", "Notes")];
    put_device(carillon, key, "ann@pause.example", "pause", &number, &names).await;
    ask(carillon, key, "POST", "/v1/devices/pause:pause", json!({})).await;
    change(carillon, key, "ann@pause.example", &["INBOX"], "").await;
    change(carillon, key, "ann@pause.example", &["contacts", "INBOX"], "").await;
    rest(WINDOW_MS).await;
    assert!(told(carillon, &number).is_empty(), "it is paused");
    ask(carillon, key, "POST", "/v1/devices/pause:resume", json!({})).await;
    let mut names = wait_told(carillon, &number, 1).await.remove(0);
    names.sort();
    assert_eq!(names, ["./Mail", "Contacts"]);
}

async fn a_stream_of_changes_does_not_put_a_notification_off(carillon: &Carillon) {
    let (key, number) = (&carillon.demo.api_key, carillon.number(0, 41));
    put_account(carillon, key, "ann@stream.example").await;
    put_device(carillon, key, "ann@stream.example", "stream", &number, &[("INBOX", "./Mail")]).await;
    let begun = Instant::now();
    // Four windows long, and never quiet for a tenth of one.
    while begun.elapsed() < Duration::from_millis(4 * WINDOW_MS as u64) && told(carillon, &number).is_empty() {
        change(carillon, key, "ann@stream.example", &["INBOX"], "").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(WINDOW_MS as u64), "told after {took:?}");
    assert_eq!(told(carillon, &number), [["./Mail"]], "after {took:?}, while changes go on");
}

async fn a_window_survives_kills(column: Column) {
    let place = column.place();
    let mut carillon = place.start().await;
    let (key, number) = (carillon.demo.api_key.clone(), carillon.number(0, 51));
    put_account(&carillon, &key, "ann@kill.example").await;
    put_device(&carillon, &key, "ann@kill.example", "kill", &number, &[("INBOX", "./Mail"), ("notes", "Notes")]).await;
    change(&carillon, &key, "ann@kill.example", &["INBOX"], "").await;
    carillon.kill();
    drop(carillon);
    let mut carillon = place.start().await;
    change(&carillon, &key, "ann@kill.example", &["notes"], "").await;
    carillon.kill();
    drop(carillon);
    let carillon = place.start().await;
    let log = carillon.parts[0].log.clone();
    let names = || told(&carillon, &number).into_iter().flatten().collect::<BTreeSet<String>>();
    wait_until("the device is told of both", &log, || names().len() >= 2).await;
    rest(WINDOW_MS).await;
    let (told, ledger) = (told(&carillon, &number), carillon.settle().await);
    // The second waits for the first no longer than for its own window. What it takes along of the first one, because that was not
    // sent as far as anybody knew, may be sent by the first one after all; by itself, each is sent once.
    let sets: Vec<Vec<&str>> = told.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
    let may_be: [&[&[&str]]; 3] =
        [&[&["./Mail"], &["Notes"]], &[&["./Mail", "Notes"]], &[&["./Mail"], &["./Mail", "Notes"]]];
    assert!(may_be.iter().any(|may_be| *may_be == sets), "told {sets:?}: {ledger:#}");
    let ended = |state: &str| ledger["by_state"][state].as_u64().unwrap_or(0) as usize;
    // What a modem was sending when its farm was killed is uncertain, told or not.
    let sent = ended("delivered")..=ended("delivered") + ended("uncertain");
    assert!(sent.contains(&sets.len()), "told {sets:?}: {ledger:#}");
}

/// Waits until the state knows of so many messages.
async fn wait_accepted(carillon: &Carillon, accepted: u64) {
    let begun = Instant::now();
    loop {
        let ledger = carillon.get("/v1/ledger").await;
        check_ledger(&ledger);
        if ledger["accepted"].as_u64().unwrap() >= accepted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "fewer than {accepted} accepted: {ledger:#}\n{}", carillon.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn what_waits_for_a_modem_is_told_at_once_and_once_whatever_is_killed(column: Column) {
    let place = column.place();
    let mut carillon = place.start_without_farms().await;
    let (key, number) = (carillon.demo.api_key.clone(), carillon.number(0, 81));
    put_account(&carillon, &key, "ann@wait.example").await;
    let names = [("INBOX", "./Mail"), ("contacts", "Contacts"), ("calendar", "Calendar")];
    put_device(&carillon, &key, "ann@wait.example", "wait", &number, &names).await;
    for (nth, (resource, _)) in (1..).zip(names) {
        change(&carillon, &key, "ann@wait.example", &[resource], "").await;
        wait_accepted(&carillon, nth).await;
        carillon.kill();
        drop(carillon);
        carillon = place.start_without_farms().await;
    }
    let (config, log) = (issue_farm(&carillon, &carillon.demo.control), place.dir().join("farm.log"));
    let farm = start_farm(&config, &log);
    let mut first = wait_told(&carillon, &number, 1).await.remove(0);
    first.sort();
    assert_eq!(first, ["./Mail", "Calendar", "Contacts"]);
    let ledger = carillon.settle_all(3).await;
    assert_eq!((&ledger["accepted"], &ledger["by_state"]["cancelled"]), (&json!(3), &json!(2)), "{ledger:#}");
    assert_eq!(told(&carillon, &number).len(), 1, "one has it all");
    end(farm);
}

/// Two tenants whose accounts, devices and resources are called alike.
#[tokio::test]
async fn tenants_with_the_same_names_hear_of_their_own() {
    let place = Column::Embedded.place();
    let carillon = place.start().await;
    let (file, data) = (place.dir().join("other.toml"), place.data());
    let other = "[[tenant]]\nid = \"other\"\nprovider = \"north\"\n\n\
                 [[api_key]]\ntenant = \"other\"\nname = \"mail\"\nfile = \"other.key\"\n";
    std::fs::write(&file, other).unwrap();
    let apply = ["apply", "--file", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    run(&apply, &place.dir().join("apply.log"));
    let key = std::fs::read_to_string(place.dir().join("other.key")).unwrap().trim().to_owned();
    let tenants = [(carillon.demo.api_key.clone(), carillon.number(0, 61)), (key, carillon.number(0, 62))];
    for (key, number) in &tenants {
        put_account(&carillon, key, "ann@same.example").await;
        put_device(&carillon, key, "ann@same.example", "phone", number, &[("INBOX", "./Mail")]).await;
    }
    change(&carillon, &tenants[1].0, "ann@same.example", &["INBOX"], "").await;
    assert_eq!(wait_told(&carillon, &tenants[1].1, 1).await, [["./Mail"]]);
    rest(WINDOW_MS).await;
    assert!(told(&carillon, &tenants[0].1).is_empty(), "it is another's account");
}

/// A test alert goes out by itself, and every hop of it can be followed.
#[tokio::test]
async fn a_test_alert_can_be_followed() {
    let place = Column::Embedded.place();
    let carillon = place.start().await;
    let (key, number) = (&carillon.demo.api_key, carillon.number(0, 71));
    put_account(&carillon, key, "ann@test.example").await;
    put_device(&carillon, key, "ann@test.example", "phone", &number, &[("INBOX", "./Mail")]).await;
    let queued = ask(&carillon, key, "POST", "/v1/devices/phone:test", json!({})).await;
    let id = queued["id"].as_str().unwrap();
    carillon.wait_state(id, "delivered").await;
    assert_eq!(told(&carillon, &number), [["./Mail"]]);
    let trace = carillon.get(&format!("/v1/notifications/{id}/trace")).await;
    let steps = trace["message"]["timeline"].as_array().unwrap().iter().map(|entry| entry["step"].as_str().unwrap());
    assert_eq!(steps.collect::<Vec<_>>(), ["accepted", "routed", "leased", "submitted", "delivered"], "{trace:#}");
    assert!(ms(&trace, "made") > 0 && !trace.to_string().contains(&number[4..]), "{trace:#}");
}
