//! Notices that a later one makes needless, at their route (push channels, 3, rule 4): only what no farm has is ended, and each
//! delivery once.

mod dispatching;

use bus::Bus as _;
use dispatching::{Disk, FakeFarm, Router, record, route, steps};
use lease::FarmMessage;
use lease::record::OutcomeKind;
use model::push::Notice;
use model::record::Record;
use model::{DeliveryId, Lane, MessageId};

/// A notice that tells of what these earlier ones tell of, too.
fn notice(number: u128, supersedes: &[u128], candidates: &[&str]) -> Record {
    let mut record = record("quiet", number, candidates);
    let id = |number: &u128| DeliveryId { message: MessageId(*number), index: 0 }.to_bytes().to_vec();
    record.header.supersedes = supersedes.iter().map(id).collect();
    record.header.notice = Some(Notice { account: "ann".into(), device: "phone".into(), seq: number as u64 });
    record
}

#[tokio::test]
async fn one_that_a_farm_gives_back_ends_at_its_next_turn() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [notice(1, &[], &["slow"])]).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 1).await;
    let lease = farm.next_lease().await;
    disk.append(Lane::Front(route("slow")), [notice(2, &[1], &["slow"])]).await;
    router.until_metric("carillon_dispatch_waiting_segments 1").await;
    assert!(router.metric("carillon_dispatch_superseded_total 0"), "the farm has it");
    let (partition, session, attempt) = (lease.partition.clone(), farm.session, lease.attempt);
    farm.say(vec![FarmMessage::Return { partition, session, attempt, reason: "modem gone".into() }]).await;
    farm.grant("slow", "modem-1", 1).await;
    let next = farm.next_lease().await;
    assert_eq!(next.attempt.delivery.message, MessageId(2));
    farm.report(&next, OutcomeKind::Sent).await;
    let events = disk.until_events(|events| steps(events, 1).len() == 3).await;
    assert_eq!(steps(&events, 1), ["leased", "retried", "cancelled"]);
    router.stop().await;
}

#[tokio::test]
async fn one_that_is_moved_to_the_later_ones_route_ends_there() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [notice(1, &[], &["slow", "fast"])]).await;
    let router = Router::start_with(&disk, |options| options.route_down_seconds_max = 1);
    disk.append(Lane::Front(route("fast")), [notice(2, &[1], &["fast"])]).await;
    let farm = FakeFarm::attach(&router, "cellar", &["slow", "fast"]).await;
    farm.link("slow", "modem-1", false).await;
    farm.link("fast", "modem-2", true).await;
    let events = disk.until_events(|events| steps(events, 1).len() == 2).await;
    assert_eq!((steps(&events, 1), steps(&events, 2).len()), (vec!["routed", "cancelled"], 0));
    router.stop().await;
}

#[tokio::test]
async fn a_new_owner_knows_from_the_grant_of_the_later_one() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [notice(2, &[1], &["slow"])]).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 1).await;
    let lease = farm.next_lease().await;
    router.kill();
    disk.append(Lane::Front(route("slow")), [notice(1, &[], &["slow"]), notice(3, &[], &["slow"])]).await;
    let router = Router::start(&disk);
    let events = disk.until_events(|events| !steps(events, 1).is_empty()).await;
    assert_eq!(steps(&events, 1), ["cancelled"]);
    let mut farm = FakeFarm::attach_with(&router, "cellar", &["slow"], farm.journal.clone()).await;
    farm.grant("slow", "modem-1", 5).await;
    let granted = [farm.next_lease().await, farm.next_lease().await].map(|lease| lease.attempt.delivery.message);
    assert!(granted.contains(&MessageId(3)) && granted.contains(&lease.attempt.delivery.message), "{granted:?}");
    router.stop().await;
}

#[tokio::test]
async fn of_a_great_many_each_earlier_one_ends_once_and_each_last_one_is_sent() {
    const DEVICES: u128 = 2_000;
    let disk = Disk::new().await;
    // Three of each device, the third with all, in both lanes, much of it not at hand.
    let id = |device: u128, nth: u128| 10 * device + nth;
    for nth in 1..=3 {
        let earlier: Vec<u128> = if nth == 1 { vec![] } else { vec![nth - 1] };
        let notices = (1..=DEVICES).map(|device| {
            let earlier: Vec<u128> = earlier.iter().map(|nth| id(device, *nth)).collect();
            notice(id(device, nth), &earlier, &["slow"])
        });
        let lane = if nth == 2 { Lane::Front(route("slow")) } else { Lane::Bulk(route("slow")) };
        disk.append(lane, notices).await;
    }
    let router = Router::start(&disk);
    router.until_metric(&format!("carillon_dispatch_superseded_total {}", 2 * DEVICES)).await;
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 50).await;
    let working = tokio::spawn(farm.work("slow"));
    router.until_metric("carillon_dispatch_waiting_segments 0").await;
    router.until_metric("carillon_dispatch_open_grants 0").await;
    router.stop().await;
    let worked = working.await.unwrap();
    let mut sent: Vec<u128> = worked.leases.iter().map(|attempt| attempt.delivery.message.0).collect();
    sent.sort_unstable();
    assert_eq!(sent, (1..=DEVICES).map(|device| id(device, 3)).collect::<Vec<_>>());
    let events = disk.events().await;
    let ended = events.iter().filter(|event| event.step.as_ref().is_some_and(|step| step.name() == "cancelled"));
    assert_eq!(ended.count() as u128, 2 * DEVICES);
    assert_eq!(disk.bus.watermark(bus::Group::OWNER, &Lane::Bulk(route("slow")), 0).await.unwrap(), 2 * DEVICES as i64);
}
