//! What a device is told while earlier notifications wait before their route (push channels, 3, rule 4): one that has it all. With a
//! notifier, planners, a projection and a dispatcher on one house's lanes; the farm is made of words.

mod dispatching;
mod notifying;
mod support;

use std::sync::Arc;

use dispatching::{FakeFarm, Router, until};
use lease::message::Lease;
use lease::record::OutcomeKind;
use model::keyring::Keyring;
use model::party::Farm;
use model::push::NoticeState;
use model::record::Record;
use model::{FarmName, RouteId, State};
use notifying::{Scene, WINDOW_MS, names};
use sms_router::dispatch::Directory;
use sms_router::metrics::NoticeAs;
use store::Store as _;
use support::{FrailBus, NOW};

const ROUTE: &str = "blue-gb";
const SUPERSEDED: &str = "carillon_dispatch_superseded_total";

/// A dispatcher on the scene's lanes, by its clock.
async fn dispatch(scene: &Scene) -> Router<FrailBus> {
    let house = &scene.house;
    let mut parties = house.desk.store.parties().await.unwrap();
    let (name, routes) = (FarmName::new("cellar").unwrap(), [RouteId::new(ROUTE).unwrap()].into());
    parties.farms.push(Farm { name, operator: "blue".into(), routes });
    let keyring = Keyring::open(&house.master, &parties.data_keys, scene.now()).unwrap();
    let directory = Directory::of(&parties, Arc::new(keyring));
    Router::start_as(house.bus.clone(), directory, house.desk.clock.clone(), |_| {})
}

/// Something changes, and its window closes.
async fn tell(scene: &Scene, resource: &str) {
    scene.change(resource).await;
    scene.work_at(scene.now().since_ms(NOW) + WINDOW_MS).await;
}

/// The same, and what comes of it stands before the route, as the projection knows.
async fn tell_and_wait(scene: &Scene, resource: &str) {
    tell(scene, resource).await;
    scene.house.plan().await;
    scene.house.project().await;
}

/// The route opens: everything that stands before it is taken, and told as sent.
async fn open(router: &Router<FrailBus>, count: usize) -> Vec<Lease> {
    let mut farm = FakeFarm::attach(router, "cellar", &[ROUTE]).await;
    farm.link(ROUTE, "modem-1", true).await;
    farm.grant(ROUTE, "modem-1", 10).await;
    let mut leases = Vec::new();
    while leases.len() < count {
        let lease = farm.next_lease().await;
        farm.report(&lease, OutcomeKind::Sent).await;
        leases.push(lease);
    }
    // Whatever else were to come would stand before the route still.
    router.until_metric("carillon_dispatch_waiting_segments 0").await;
    router.until_metric("carillon_dispatch_open_grants 0").await;
    assert!(router.metric(&format!("carillon_dispatch_grants_total {count}")), "{}", router.registry.text());
    leases
}

/// What a phone finds in what a farm was given.
fn names_in(scene: &Scene, lease: &Lease) -> Vec<String> {
    names(&scene.opened(&Record::read(lease.envelope.clone()).unwrap()).1)
}

#[tokio::test]
async fn three_windows_before_a_stopped_route_are_one_notification_when_it_opens() {
    let scene = Scene::open().await;
    let router = dispatch(&scene).await;
    for resource in ["inbox", "contacts", "calendar"] {
        tell_and_wait(&scene, resource).await;
    }
    // The first two leave the queue without waiting for the route.
    router.until_metric(&format!("{SUPERSEDED} 2")).await;
    let leases = open(&router, 1).await;
    assert_eq!(names_in(&scene, &leases[0]), ["./calendar", "./contacts", "./inbox"]);
    router.stop().await;
    scene.house.project().await;
    scene.work(0).await;
    let records = scene.records().await;
    let traces = [scene.trace(&records[0]).await, scene.trace(&records[1]).await, scene.trace(&records[2]).await];
    let ids: Vec<String> = records.iter().map(|record| record.header.id().unwrap().message.to_string()).collect();
    let told: Vec<_> = traces.iter().map(|trace| (trace.state, trace.superseded_by.clone())).collect();
    let expected = [
        (NoticeState::Superseded, Some(ids[1].clone())),
        (NoticeState::Superseded, Some(ids[2].clone())),
        (NoticeState::Accepted, None),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        (&traces[0].supersedes[..], &traces[1].supersedes[..], &traces[2].supersedes[..]),
        (&[][..], &[1][..], &[2][..])
    );
    assert_eq!((traces[0].ends[0].state.as_str(), scene.notices(NoticeAs::Superseded)), ("superseded", 2));
    let endings = scene.endings().await;
    assert_eq!(endings[&1], (State::Cancelled, format!("superseded by {}", ids[1])));
    assert_eq!((endings.len(), scene.house.ledger().await.finals.get(&State::Cancelled)), (2, Some(&2)));
    assert_eq!(scene.find().await.unwrap().devices["phone"].failures, 0);
    // Nothing is dirty again: a change of one resource tells of what is not told, which is nothing.
    scene.change("inbox").await;
    scene.work_at(30_000).await;
    assert_eq!((scene.records().await.len(), scene.notices(NoticeAs::Covered)), (3, 1));
}

#[tokio::test]
async fn what_the_waiting_one_tells_of_is_not_told_again() {
    let scene = Scene::open().await;
    let router = dispatch(&scene).await;
    tell_and_wait(&scene, "inbox").await;
    tell_and_wait(&scene, "inbox").await;
    assert_eq!((scene.records().await.len(), scene.notices(NoticeAs::Covered)), (1, 1));
    let leases = open(&router, 1).await;
    assert_eq!(names_in(&scene, &leases[0]), ["./inbox"]);
    router.stop().await;
}

#[tokio::test]
async fn what_has_left_meanwhile_is_sent_and_ends_as_itself() {
    let scene = Scene::open().await;
    let router = dispatch(&scene).await;
    tell_and_wait(&scene, "inbox").await;
    let mut farm = FakeFarm::attach(&router, "cellar", &[ROUTE]).await;
    farm.link(ROUTE, "modem-1", true).await;
    farm.grant(ROUTE, "modem-1", 5).await;
    let first = farm.next_lease().await;
    // The projection does not tell of it yet, so the next one has it all.
    tell(&scene, "contacts").await;
    scene.house.plan().await;
    let second = farm.next_lease().await;
    assert_eq!(names_in(&scene, &first), ["./inbox"]);
    assert_eq!(names_in(&scene, &second), ["./contacts", "./inbox"]);
    farm.report(&first, OutcomeKind::FailedForGood).await;
    farm.report(&second, OutcomeKind::FailedForGood).await;
    router.until_metric("carillon_dispatch_open_grants 0").await;
    assert!(router.metric(&format!("{SUPERSEDED} 0")), "what was granted is left alone");
    router.stop().await;
    scene.house.settle().await;
    scene.house.project().await;
    scene.work(0).await;
    let states: Vec<State> = scene.endings().await.into_values().map(|(state, _)| state).collect();
    assert_eq!(states, [State::Failed, State::Failed]);
    // With the second, both of its names failed; with the first, nothing that the second did not have.
    scene.change("calendar").await;
    scene.work_at(30_000).await;
    assert_eq!(scene.sent_to("phone").await[2], ["./calendar", "./contacts", "./inbox"]);
}

#[tokio::test]
async fn the_later_one_may_come_first() {
    let scene = Scene::open().await;
    for resource in ["inbox", "contacts"] {
        tell(&scene, resource).await;
    }
    let partitions: Vec<u32> = scene.records().await.iter().map(partition).collect();
    assert_ne!(partitions[0], partitions[1], "or the planner of the second is not the first");
    scene.house.plan_partition(partitions[1]).await.unwrap();
    let router = dispatch(&scene).await;
    router.until_metric("carillon_dispatch_waiting_segments 1").await;
    scene.house.plan().await;
    router.until_metric(&format!("{SUPERSEDED} 1")).await;
    let leases = open(&router, 1).await;
    assert_eq!(names_in(&scene, &leases[0]), ["./contacts", "./inbox"]);
    router.stop().await;
}

fn partition(record: &Record) -> u32 {
    bus::partition_of(&record.header.message, model::Lane::Accepted.partitions())
}

/// One that was killed left what it left; the next ones go on with it.
async fn survives(kill_notifier_after: i64, kill_dispatcher_after: i64) {
    let scene = Scene::open().await;
    tell_and_wait(&scene, "inbox").await;
    scene.change("contacts").await;
    scene.clock(10_000);
    scene.house.bus.fail_after(kill_notifier_after);
    let _killed = scene.try_work(0).await; // or it is done before that
    scene.house.bus.heal();
    scene.work(0).await;
    scene.house.plan().await;
    scene.house.project().await;
    scene.house.bus.fail_after(kill_dispatcher_after);
    let killed = dispatch(&scene).await;
    let died = async || {
        let restarts = killed.registry.text();
        let died =
            restarts.lines().any(|line| line.starts_with("carillon_dispatch_restarts_total") && !line.ends_with(" 0"));
        (died || killed.metric(&format!("{SUPERSEDED} 1"))).then_some(())
    };
    until("a commit that fails, or none", died).await;
    killed.kill();
    scene.house.bus.heal();
    let router = dispatch(&scene).await;
    let leases = open(&router, 1).await;
    let told = (kill_notifier_after, kill_dispatcher_after, names_in(&scene, &leases[0]));
    assert_eq!(told, (kill_notifier_after, kill_dispatcher_after, vec!["./contacts".into(), "./inbox".into()]));
    router.stop().await;
    assert_eq!(scene.endings().await.into_keys().collect::<Vec<_>>(), [1], "the later one was sent");
    let ledger = scene.house.ledger().await;
    assert_eq!((ledger.finals.get(&State::Cancelled), ledger.pending.values().sum::<u64>()), (Some(&1), 1));
}

#[tokio::test]
async fn a_kill_of_the_notifier_between_any_two_steps_loses_no_set() {
    for commits in 0..3 {
        survives(commits, i64::MAX).await;
    }
}

#[tokio::test]
async fn a_kill_of_the_dispatcher_between_any_two_steps_ends_each_message_once() {
    for commits in 0..5 {
        survives(i64::MAX, commits).await;
    }
}

#[tokio::test]
async fn one_that_was_handed_over_and_not_noted_is_made_again_and_supersedes_once() {
    let scene = Scene::open().await;
    tell_and_wait(&scene, "inbox").await;
    scene.change("contacts").await;
    scene.clock(10_000);
    scene.house.bus.fail_after(1);
    scene.try_work(0).await.expect_err("it dies when it hands over");
    let made = scene.rows().await;
    scene.house.bus.heal();
    scene.work(0).await;
    scene.put_rows(made).await;
    scene.work(0).await;
    let records = scene.records().await;
    assert_eq!(
        (records.len(), &records[1].header),
        (3, &records[2].header),
        "the same again, which supersedes the same"
    );
    let router = dispatch(&scene).await;
    scene.house.plan().await;
    let leases = open(&router, 1).await;
    assert_eq!(names_in(&scene, &leases[0]), ["./contacts", "./inbox"]);
    router.stop().await;
    assert_eq!((scene.house.ledger().await.repeats, scene.endings().await.len()), (1, 1));
}

#[tokio::test]
async fn the_set_of_one_that_expires_with_what_it_supersedes_is_over() {
    let scene = Scene::open().await;
    let router = dispatch(&scene).await;
    tell_and_wait(&scene, "inbox").await;
    tell_and_wait(&scene, "contacts").await;
    router.until_metric(&format!("{SUPERSEDED} 1")).await;
    scene.clock(10_000 + 1_441 * 60_000);
    router.until_metric("carillon_dispatch_expired_total 1").await;
    router.until_metric("carillon_dispatch_waiting_segments 0").await;
    router.stop().await;
    let states: Vec<State> = scene.endings().await.into_values().map(|(state, _)| state).collect();
    assert_eq!(states, [State::Cancelled, State::Expired]);
    assert_eq!(scene.house.ledger().await.pending.values().sum::<u64>(), 0);
}
