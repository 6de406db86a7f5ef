//! What a notifier that dies, or that lost its share and does not know it, leaves behind: nothing is lost, nothing is told twice.

mod notifying;
mod support;

use std::time::Duration;

use bus::{Bus as _, Entry};
use model::Lane;
use notifying::Scene;
use runtime::Stop;
use sms_router::metrics::PlannedAs;
use sms_router::notify::{self, Notifier};

#[tokio::test]
async fn a_kill_anywhere_sends_it_once_under_one_number() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.change("contacts").await;
    // It dies when the windows are written, and the lane's watermark is not.
    scene.house.bus.fail_after(0);
    scene.try_work(1).await.expect_err("the commit fails");
    let opened = scene.rows().await;
    assert_eq!(opened.len(), 1);
    scene.house.bus.heal();
    scene.work(1).await;
    assert_eq!(scene.rows().await, opened, "a replay changes nothing");
    // It dies when the notification is made, and nothing is handed over.
    scene.clock(5_000);
    scene.house.bus.fail_after(0);
    scene.try_work(0).await.expect_err("the commit fails");
    let made = scene.rows().await;
    assert_ne!(made, opened);
    assert!(scene.alerts().await.is_empty());
    scene.house.bus.heal();
    scene.clock(6_000);
    scene.change("calendar").await;
    scene.work(1).await;
    let alerts = scene.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].seq, alerts[0].names.len()), (1, 2), "the exact set that was promised");
    let handed = scene.rows().await;
    // It dies when it was handed over, and that is not noted: the row is as it was before.
    scene.put_rows(made).await;
    scene.work(0).await;
    let alerts = scene.alerts().await;
    assert_eq!((alerts.len(), &alerts[0]), (2, &alerts[1]), "the same again");
    scene.house.plan().await;
    assert_eq!(scene.house.routed("blue-gb").await.len(), 1, "which the planner drops");
    assert_eq!(scene.house.ledger().await.repeats, 1);
    scene.put_rows(handed).await;
    scene.leave(0).await;
    scene.work_at(11_000).await;
    assert_eq!(scene.sent_to("phone").await[2], ["./calendar"]);
    assert_eq!(scene.alerts().await[2].seq, 2);
}

#[tokio::test]
async fn a_kill_after_a_report_was_taken_in_counts_it_once() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.fail(0).await;
    scene.house.bus.fail_after(0);
    scene.try_work(0).await.expect_err("the commit fails");
    assert_eq!(scene.find().await.unwrap().devices["phone"].failures, 1);
    scene.house.bus.heal();
    scene.work(0).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].failures, 1);
    // The projection, too, may tell twice.
    let told: Vec<_> = scene.house.entries(&Lane::Changes).await;
    scene
        .house
        .bus
        .append(&Lane::Changes, vec![Entry::to_partition(scene.partition, told.last().unwrap().clone())])
        .await
        .unwrap();
    scene.work(0).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].failures, 1);
}

/// Works for the partition until told to stop, and says how it ended.
async fn run(scene: &Scene, stop: Stop) -> Result<(), sms_router::RouterError> {
    let keys = notify::Keys::of(&scene.house.master);
    Notifier::new(scene.house.desk.clone(), keys, scene.partition).run(&stop).await
}

#[tokio::test]
async fn what_a_notifier_writes_late_changes_nothing_that_its_successor_wrote() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work(1).await;
    // It hands the notification over, stands still, and has lost its share when it goes on.
    scene.clock(5_000);
    scene.house.bus.hold_after(0);
    let stop = Stop::new(30);
    let late = run(&scene, stop.clone());
    let meanwhile = async {
        while !scene.house.bus.is_holding() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(scene.alerts().await.len(), 1);
        // The other one makes the same again, and then another.
        scene.work(0).await;
        scene.leave(0).await;
        scene.change("contacts").await;
        scene.work_at(10_000).await;
        assert_eq!(scene.alerts().await.last().unwrap().seq, 2);
        let rows = scene.rows().await;
        stop.begin();
        scene.house.bus.let_go();
        rows
    };
    let (ended, rows) = tokio::join!(late, meanwhile);
    ended.expect("it never hears that it is late");
    assert_eq!(scene.rows().await, rows, "nothing of it is seen");
    // A third one goes on where the second was.
    scene.change("calendar").await;
    let latest = scene.records().await.len() - 1;
    scene.leave(latest).await;
    scene.work_at(15_000).await;
    let alerts = scene.alerts().await;
    let last = alerts.last().unwrap();
    assert_eq!((last.seq, last.names.as_slice()), (3, &["./calendar".to_owned()][..]));
    scene.house.plan().await;
    assert_eq!(scene.house.routed("blue-gb").await.len(), 3);
    assert_eq!(scene.house.desk.metrics.planned.with(PlannedAs::KeyReused).value(), 0);
}
