//! How changes become notifications (push channels, 3). Knows lanes and the store by their public faces.

mod notifying;
mod support;

use bus::{Bus as _, Entry};
use model::push::{Change, ChangeKind, ConfirmedBy, Dirty, NoticeState, SealedText};
use model::record::Door;
use model::{Lane, State};
use notifying::{ACCOUNT, Alert, Scene, pushed};
use sms_router::config::Config;
use sms_router::metrics::{ChangeAs, NoticeAs};
use support::{NOW, NUMBER};
use wire::san::{Notification, Verdict};

#[tokio::test]
async fn sixty_changes_of_three_resources_are_one_notification_at_the_deadline() {
    let scene = Scene::open_with(Config { notify_window_ms: 15_000, ..Config::default() }).await;
    for n in 0..20 {
        for resource in ["contacts", "inbox", "calendar"] {
            scene.clock(n * 500);
            scene.change(resource).await;
        }
        scene.work(1).await;
    }
    scene.clock(14_999);
    scene.work(1).await;
    assert_eq!(scene.alerts().await, []);
    scene.work_at(15_000).await;
    let alerts = scene.alerts().await;
    let expected = ["./calendar", "./contacts", "./inbox"].map(str::to_owned).to_vec();
    assert_eq!(alerts, [Alert { device: "phone".into(), seq: 1, delivery: 0, names: expected }]);
    assert_eq!((scene.changes(ChangeAs::Marked), scene.changes(ChangeAs::Merged)), (3, 57));
    let record = &scene.records().await[0];
    let header = &record.header;
    assert_eq!((header.door(), header.keyed, header.receipt, header.segments), (Door::Push, true, true, 1));
    assert_eq!(header.expires_ms, NOW.plus_ms(15_000 + 1_440 * 60_000).0);
    let (recipient, binary) = scene.opened(record);
    assert_eq!((recipient.as_str(), binary.dcs), (NUMBER, 0xf5));
    let trace = scene.trace(record).await;
    assert_eq!((trace.state, trace.events, trace.packages), (NoticeState::Accepted, 60, 1));
    assert_eq!((trace.opened, trace.deadline, trace.made), (NOW, NOW.plus_ms(15_000), NOW.plus_ms(15_000)));
    assert_eq!((trace.handed_over, trace.confirmed), (Some(NOW.plus_ms(15_000)), None));
    assert_eq!(scene.house.desk.metrics.push_deadline_missed.value(), 0);
}

#[tokio::test]
async fn what_is_not_confirmed_is_not_sent_again_and_a_report_changes_that() {
    let scene = Scene::open().await;
    for resource in ["inbox", "contacts", "calendar"] {
        scene.change(resource).await;
    }
    scene.work_at(5_000).await;
    scene.clock(6_000);
    scene.change("inbox").await;
    scene.work_at(11_000).await;
    assert_eq!(scene.alerts().await.len(), 1, "the phone will find it");
    assert_eq!(scene.notices(NoticeAs::Covered), 1);
    let trace = scene.trace(&scene.records().await[0]).await;
    assert_eq!((trace.spared_count, trace.spared[0].opened, trace.spared[0].events), (1, NOW.plus_ms(6_000), 1));
    scene.deliver(0).await;
    scene.work(0).await;
    let trace = scene.trace(&scene.records().await[0]).await;
    assert_eq!((trace.state, trace.confirmed.unwrap().by), (NoticeState::Delivered, ConfirmedBy::Report));
    assert_eq!(trace.ends[0].state, "delivered");
    scene.clock(20_000);
    scene.change("inbox").await;
    scene.work_at(25_000).await;
    assert_eq!(scene.sent_to("phone").await[1], ["./inbox"]);
    assert_eq!(scene.alerts().await[1].seq, 2);
}

#[tokio::test]
async fn a_report_while_a_window_is_open_makes_its_whole_set_new() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.leave(0).await;
    scene.change("contacts").await;
    scene.work_at(10_000).await;
    scene.leave(1).await;
    scene.change("contacts").await;
    scene.work(1).await;
    scene.deliver(0).await;
    scene.work(1).await;
    scene.work_at(15_000).await;
    assert_eq!(scene.sent_to("phone").await, [["./inbox"], ["./contacts"], ["./contacts"]]);
}

#[tokio::test]
async fn a_change_in_a_hurry_shortens_its_window_and_none_prolongs_it() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.change_by("contacts", "", Some(60_000)).await;
    scene.change_by("calendar", "", Some(1_000)).await;
    scene.clock(999);
    scene.work(1).await;
    scene.work_at(1_000).await;
    assert_eq!(scene.sent_to("phone").await.len(), 1);
}

#[tokio::test]
async fn what_comes_late_to_its_channel_is_counted() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(40_000).await;
    assert_eq!(scene.house.desk.metrics.push_deadline_missed.value(), 1);
}

#[tokio::test]
async fn more_than_fifteen_resources_are_several_packages_of_one_message() {
    let many: Vec<String> = (0..33).map(|n| format!("store{n:02}")).collect();
    let mut scene = Scene::open().await;
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let phone = scene.device("phone", NUMBER, &names);
    scene.edit(|account| drop(account.devices.insert("phone".into(), phone))).await;
    for name in &many {
        scene.change(name).await;
    }
    scene.work_at(5_000).await;
    let alerts = scene.alerts().await;
    assert_eq!(alerts.iter().map(|alert| (alert.seq, alert.delivery)).collect::<Vec<_>>(), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(alerts.iter().map(|alert| alert.names.len()).collect::<Vec<_>>(), [15, 15, 3]);
    let all: Vec<String> = alerts.into_iter().flat_map(|alert| alert.names).collect();
    assert_eq!(all, many.iter().map(|name| format!("./{name}")).collect::<Vec<_>>());
    let records = scene.records().await;
    assert!(records.iter().all(|record| record.header.message == records[0].header.message));
    // One package is sent, and no more is known; another is proved, one fails.
    scene.leave(0).await;
    scene.deliver(1).await;
    scene.fail(2).await;
    scene.work(0).await;
    assert_eq!(scene.trace(&records[0]).await.state, NoticeState::Undeliverable);
    scene.change("store00").await;
    scene.change("store20").await;
    scene.work_at(10_000).await;
    let expected = ["./store20", "./store30", "./store31", "./store32"];
    assert_eq!(scene.sent_to("phone").await[3], expected, "the first waits on, what failed goes along");
    // A model that allows it names none instead.
    scene.put_model(|model| model.all_stores = true).await;
    scene.touch("phone", Some((10_000, Some(10_000)))).await;
    scene.clock(20_000);
    for name in &many {
        scene.change(name).await;
    }
    scene.work_at(25_000).await;
    assert_eq!(scene.sent_to("phone").await[4..], [vec![]; 1] as [Vec<String>; 1]);
}

#[tokio::test]
async fn it_is_signed_where_the_model_wants_it() {
    let mut scene = Scene::open().await;
    scene.put_model(|model| model.digest = true).await;
    let snapshot = scene.house.desk.world.snapshot();
    let (_, key) = snapshot.keyring.newest(&scene.house.tenant).unwrap();
    let password = SealedText::seal(key, &scene.house.tenant, "s3cret");
    scene.edit(|account| account.password = Some(password)).await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    let binary = scene.opened(&scene.records().await[0]).1;
    let octets = pushed(&binary);
    let received = Notification::decode_data_sync(&octets).unwrap();
    assert_eq!(received.verify(b"s3cret", b""), Verdict::Good);
    assert_eq!(received.verify(b"other", b""), Verdict::Wrong);
}

#[tokio::test]
async fn what_was_never_answered_is_passed_over_and_what_can_t_be_read_is_buried() {
    let scene = Scene::open().await;
    let dirty = Dirty { resource: "inbox".into(), ..Dirty::default() };
    let late = Change {
        tenant: "acme".into(),
        account: ACCOUNT.into(),
        answer_by_ms: NOW.0 - 1,
        kind: Some(ChangeKind::Dirty(dirty)),
    };
    let entry = |payload: bytes::Bytes| Entry::to_partition(scene.partition, payload);
    let entries = vec![entry(late.to_bytes()), entry("garbage".into())];
    scene.house.bus.append(&Lane::Changes, entries).await.unwrap();
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::NotAnswered), 1);
    assert_eq!(scene.house.entries(&Lane::DeadLetter).await.len(), 1);
}

#[tokio::test]
async fn its_end_is_its_own_in_the_ledger() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.deliver(0).await;
    let ledger = scene.house.ledger().await;
    assert_eq!((ledger.accepted, ledger.finals.get(&State::Delivered)), (1, Some(&1)));
}
