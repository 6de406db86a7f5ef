//! Which devices are told of what (push channels, 3 and 4): by origin, names, access, state and route. Knows lanes and the store by
//! their public faces.

mod notifying;
mod support;

use model::MessageId;
use model::push::{
    Access, AccessRule, Account, ConfirmedBy, DeviceState, InboxBy, NoticeState, Resource, Standing, SyncKind,
};
use notifying::{ACCOUNT, Scene, standing};
use sms_router::metrics::{ChangeAs, NoticeAs};
use store::DocumentKind;
use support::{NOW, NUMBER};

#[tokio::test]
async fn the_device_a_change_comes_from_is_not_told_and_the_others_are() {
    let mut scene = Scene::open().await;
    let other = scene.device("tablet", "+447700900456", &["inbox"]);
    scene.edit(|account| drop(account.devices.insert("tablet".into(), other))).await;
    scene.change_by("inbox", "phone", None).await;
    scene.work(1).await;
    scene.work_at(5_000).await;
    assert_eq!(scene.sent_to("tablet").await, [["./inbox"]]);
    assert!(scene.sent_to("phone").await.is_empty());
    assert_eq!(scene.changes(ChangeAs::Origin), 1);
}

#[tokio::test]
async fn names_are_the_devices_own_to_the_last_octet() {
    let mut scene = Scene::open().await;
    let mut other = scene.device("tablet", "+447700900456", &[]);
    let named =
        |name: &str| Resource { name: name.into(), sync: SyncKind::TwoWay, content_type: String::new(), enabled: true };
    other.resources.insert("contacts".into(), named("contacts"));
    scene.put_model(|model| drop(model.resources.insert("notes".into(), named("Notes")))).await;
    scene
        .edit(|account| {
            account.devices.insert("tablet".into(), other);
            let phone = account.devices.get_mut("phone").unwrap();
            phone.resources.insert("contacts".into(), named("Contacts"));
        })
        .await;
    scene.change("contacts").await;
    scene.change("notes").await;
    scene.change("Contacts").await;
    scene.work_at(5_000).await;
    assert_eq!(scene.sent_to("phone").await, [["Contacts", "Notes"]]);
    assert_eq!(scene.sent_to("tablet").await, [["contacts", "Notes"]]);
    assert_eq!(scene.changes(ChangeAs::NotMapped), 2, "`Contacts` is no name of theirs");
}

#[tokio::test]
async fn what_is_switched_off_is_dropped_and_counted() {
    let mut scene = Scene::open().await;
    let off = |account: &mut Account| {
        let phone = account.devices.get_mut("phone").unwrap();
        phone.resources.get_mut("contacts").unwrap().enabled = false;
        phone.inbox = InboxBy::Mail;
    };
    scene.edit(off).await;
    scene.change("contacts").await;
    scene.change("inbox").await;
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::NotMapped), 2);
    scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Disabled)).await;
    scene.change("calendar").await;
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::Disabled), 1);
    scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Enabled)).await;
    scene.put_model(|model| model.push = false).await;
    // What is believed of models is a second old at most.
    while scene.changes(ChangeAs::NoPush) == 0 {
        scene.change("calendar").await;
        scene.work_at(scene.now().since_ms(NOW) + 5_000).await;
    }
    assert_eq!(scene.alerts().await.len(), 0, "before it is told it is looked at again");
}

#[tokio::test]
async fn an_account_without_access_is_not_told_even_if_it_lost_it_meanwhile() {
    let mut scene = Scene::open().await;
    scene
        .put(DocumentKind::AccessRule, "acme.example", &AccessRule { access: Access::Listed, ..AccessRule::default() })
        .await;
    scene.change("inbox").await;
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::NoAccess), 1);
    scene.edit(|account| account.access = Some(Access::On)).await;
    scene.change("inbox").await;
    scene.work(1).await;
    scene.account.access = Some(Access::Off);
    scene.put(DocumentKind::Account, ACCOUNT, &scene.account).await;
    scene.work_at(5_000).await;
    assert_eq!((scene.changes(ChangeAs::NoAccess), scene.alerts().await.len()), (2, 0));
}

#[tokio::test]
async fn a_paused_device_hears_of_everything_when_it_resumes() {
    let mut scene = Scene::open().await;
    for state in [DeviceState::Paused, DeviceState::NumberConflict] {
        let before = scene.alerts().await.len();
        let start = scene.now().since_ms(NOW);
        scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(state)).await;
        scene.change("inbox").await;
        scene.clock(start + 100_000);
        scene.change("contacts").await;
        scene.work(1).await;
        scene.clock(start + 200_000);
        scene.work(1).await;
        assert_eq!(scene.alerts().await.len(), before, "{state:?}");
        scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Enabled)).await;
        scene.work(0).await;
        let names: Vec<_> = scene.alerts().await.into_iter().skip(before).map(|alert| alert.names).collect();
        assert_eq!(names, [["./contacts", "./inbox"]], "{state:?}");
        scene.deliver(before).await;
        scene.work(0).await;
    }
}

#[tokio::test]
async fn a_pause_with_an_end_ends_by_itself() {
    let mut scene = Scene::open().await;
    let until = Some(NOW.plus_ms(60_000));
    scene
        .edit(|account| {
            let phone = account.devices.get_mut("phone").unwrap();
            phone.standing = Standing { until, ..standing(DeviceState::Paused) };
        })
        .await;
    scene.change("inbox").await;
    scene.work(1).await;
    scene.clock(59_999);
    scene.work(1).await;
    scene.work_at(60_000).await;
    assert_eq!(scene.sent_to("phone").await, [["./inbox"]]);
}

#[tokio::test]
async fn a_device_that_synchronises_hears_of_what_changed_since_when_it_is_done() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.clock(6_000);
    scene.change("contacts").await;
    scene.clock(7_000);
    scene.touch("phone", Some((7_000, None))).await;
    scene.work(0).await;
    let trace = scene.trace(&scene.records().await[0]).await;
    assert_eq!((trace.state, trace.confirmed.unwrap().by), (NoticeState::Delivered, ConfirmedBy::Sync));
    scene.clock(8_000);
    scene.change("calendar").await;
    scene.clock(30_000);
    scene.work(1).await;
    assert_eq!(scene.alerts().await.len(), 1, "nothing until it is done");
    scene.touch("phone", Some((7_000, Some(29_000)))).await;
    scene.work(0).await;
    assert_eq!(scene.sent_to("phone").await, [["./inbox"], ["./calendar"]]);
}

#[tokio::test]
async fn five_failures_for_good_in_a_row_disable_the_device_and_its_own_word_enables_it() {
    let mut scene = Scene::open().await;
    for n in 0..5_i64 {
        scene.clock(n * 10_000);
        scene.change("inbox").await;
        scene.work_at(n * 10_000 + 5_000).await;
        let phone = scene.find().await.unwrap().devices["phone"].clone();
        assert_eq!((phone.standing.state, phone.failures), (DeviceState::Enabled, n as u32));
        scene.fail(n as usize).await;
        scene.work(0).await;
    }
    let phone = scene.find().await.unwrap().devices["phone"].clone();
    assert_eq!((phone.standing.state, phone.standing.reason.as_str()), (DeviceState::Disabled, "hard_bounce"));
    assert_eq!((phone.failures, phone.standing.by.as_str()), (5, "network"));
    scene.change("inbox").await;
    scene.work(0).await;
    assert_eq!((scene.alerts().await.len(), scene.changes(ChangeAs::Disabled)), (5, 1));
    scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Enabled)).await;
    scene.clock(100_000);
    scene.change("contacts").await;
    scene.work_at(105_000).await;
    assert_eq!(scene.sent_to("phone").await[5], ["./contacts"], "nothing was kept for it");
    scene.fail(5).await;
    scene.work(0).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].standing.state, DeviceState::Enabled, "it counts anew");
}

#[tokio::test]
async fn without_a_route_it_stays_dirty_says_so_and_goes_when_there_is_one() {
    let mut scene = Scene::open().await;
    let nowhere = scene.device("phone", "+4915112345678", &["inbox", "contacts"]);
    scene.edit(|account| drop(account.devices.insert("phone".into(), nowhere))).await;
    scene.change("inbox").await;
    scene.clock(5_000);
    scene.work(1).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].standing.reason, "no_route");
    assert!(scene.notices(NoticeAs::NoRoute) > 0 && scene.alerts().await.is_empty());
    scene.change("contacts").await;
    scene.work(1).await;
    let somewhere = scene.device("phone", NUMBER, &["inbox", "contacts"]);
    scene
        .edit(|account| {
            let phone = account.devices.get_mut("phone").unwrap();
            phone.number = somewhere.number;
        })
        .await;
    scene.work(0).await;
    assert_eq!(scene.sent_to("phone").await, [["./contacts", "./inbox"]], "at once, with all there is");
    assert_eq!(scene.alerts().await[0].seq, 1, "no number was used up");
    assert_eq!(scene.find().await.unwrap().devices["phone"].standing.reason, "");
}

#[tokio::test]
async fn a_device_that_is_removed_and_comes_again_has_other_notifications() {
    let mut scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    let mut phone = None;
    scene.edit(|account| phone = account.devices.remove("phone")).await;
    scene.change("inbox").await;
    scene.work(0).await;
    scene.edit(|account| drop(account.devices.insert("phone".into(), phone.unwrap()))).await;
    scene.clock(10_000);
    scene.change("inbox").await;
    scene.work_at(15_000).await;
    let ids: Vec<MessageId> = scene.records().await.iter().map(|record| record.header.id().unwrap().message).collect();
    assert_eq!(ids.len(), 2, "what it was told of before counts no more");
    assert_ne!(ids[0], ids[1]);
}
