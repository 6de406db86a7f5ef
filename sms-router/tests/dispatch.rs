//! The dispatcher between embedded lanes and a farm: what is granted, told, kept and refused.

mod dispatching;

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bus as _, Group};
use dispatching::{Disk, FakeFarm, Router, START, master, outcome, record, route, steps};
use lease::message::{Inbound, JournalState, Receipt, RouterMessage};
use lease::record::OutcomeKind;
use lease::{FarmMessage, PartitionId};
use model::event::Step;
use model::{Lane, LinkName, Msisdn, Timestamp};
use sms_router::outcome::Kind;

#[tokio::test]
async fn a_delivery_is_granted_leased_reported_and_told() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"])]).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 2).await;
    let key = loop {
        match farm.listen().await {
            RouterMessage::Key(key) => break key,
            RouterMessage::Lease(_) => panic!("the key comes before the lease that needs it"),
            _ => {}
        }
    };
    assert_eq!((key.id.as_str(), key.secret), ("quiet.0", [7; 32]));
    let lease = farm.next_lease().await;
    assert_eq!(lease.envelope, record_bytes(&lease.envelope));
    assert_eq!((lease.attempt.number, lease.session), (1, farm.session));
    assert!(lease.begin_within_ms > 0 && lease.begin_within_ms <= 60_000);
    farm.report(&lease, OutcomeKind::Sent).await;
    assert_eq!(farm.forgotten().await, [lease.attempt]);
    let outcomes = disk.until_outcomes(1).await;
    let [Kind::Fact(fact)] = outcomes.as_slice() else { panic!("one fact, not {outcomes:?}") };
    assert_eq!((fact.attempt, fact.farm.as_str(), fact.link.as_str()), (1, "cellar", "modem-1"));
    assert_eq!((fact.leased_ms, fact.correction), (START.0, false));
    assert_eq!((fact.outcome.clone(), fact.envelope.clone()), (outcome(OutcomeKind::Sent), lease.envelope));
    assert_eq!(steps(&disk.events().await, 1), ["leased"]);
    router.until_metric("carillon_dispatch_open_grants 0").await;
    router.stop().await;
    assert_eq!(disk.bus.watermark(Group::OWNER, &Lane::Front(route("slow")), 0).await.unwrap(), 1);
}

/// The envelope is a whole record, as it stood in the lane.
fn record_bytes(envelope: &bytes::Bytes) -> bytes::Bytes {
    model::record::Record::read(envelope.clone()).unwrap().to_bytes()
}

#[tokio::test]
async fn with_200_000_of_one_tenant_waiting_anothers_single_one_is_next() {
    let disk = Disk::new().await;
    let flood = |number: u128| record("flood", number, &["slow"]);
    let template = flood(0);
    let records = (0..200_000u128).map(|number| {
        let mut record = template.clone();
        record.header.message = (1_000 + number).to_be_bytes().to_vec();
        record
    });
    disk.append(Lane::Bulk(route("slow")), records).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 1).await;
    assert_eq!(tenant_of(&farm.next_lease().await), "flood");
    router.until_metric("carillon_dispatch_waiting_segments 199999").await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"])]).await;
    router.until_metric("carillon_dispatch_waiting_segments 200000").await;
    farm.grant("slow", "modem-1", 2).await;
    let next = [tenant_of(&farm.next_lease().await), tenant_of(&farm.next_lease().await)];
    assert!(next.contains(&"quiet".to_owned()), "{next:?}");
    router.stop().await;
}

fn tenant_of(lease: &lease::message::Lease) -> String {
    model::record::Record::read(lease.envelope.clone()).unwrap().header.account.tenant
}

#[tokio::test]
async fn after_a_restart_what_was_begun_is_awaited_and_what_was_not_is_granted_again() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"]), record("quiet", 2, &["slow"])]).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 2).await;
    let (begun, waiting) = (farm.next_lease().await, farm.next_lease().await);
    router.kill();
    drop(farm);

    let router = Router::start(&disk);
    let journal = BTreeMap::from([(begun.attempt, JournalState::Begun)]);
    let mut farm = FakeFarm::attach_with(&router, "cellar", &["slow"], journal).await;
    farm.grant("slow", "modem-1", 5).await;
    let again = farm.next_lease().await;
    assert_eq!((again.attempt.delivery, again.attempt.number), (waiting.attempt.delivery, 2));
    farm.report(&again, OutcomeKind::Sent).await;
    farm.report(&begun, OutcomeKind::Sent).await;
    let outcomes = disk.until_outcomes(2).await;
    let mut facts: Vec<_> =
        outcomes.iter().map(|kind| matches!(kind, Kind::Fact(fact) if fact.outcome.kind == 1)).collect();
    facts.dedup();
    assert_eq!((outcomes.len(), facts), (2, vec![true]));
    let events = disk.until_events(|events| events.len() >= 4).await;
    let second = waiting.attempt.delivery.message.0;
    assert_eq!(steps(&events, second), ["leased", "retried", "leased"]);
    assert_eq!(steps(&events, 3 - second), ["leased"]);
    router.stop().await;
}

#[tokio::test]
async fn what_a_farm_gives_back_is_granted_again_and_comes_first() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), (1..=3).map(|number| record("quiet", number, &["slow"]))).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 1).await;
    let first = farm.next_lease().await;
    let given = FarmMessage::Return {
        partition: first.partition.clone(),
        session: farm.session,
        attempt: first.attempt,
        reason: "modem gone".into(),
    };
    farm.say(vec![given]).await;
    disk.until_events(|events| steps(events, 1).contains(&"retried")).await;
    farm.grant("slow", "modem-2", 1).await;
    let again = farm.next_lease().await;
    assert_eq!((again.attempt.delivery, again.attempt.number), (first.attempt.delivery, 2));
    assert_eq!(again.link, LinkName::new("modem-2").unwrap());
    router.stop().await;
}

#[tokio::test]
async fn a_farm_that_gives_everything_back_does_not_keep_the_lanes_busy() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"])]).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 50).await;
    let began = std::time::Instant::now();
    for number in 1..=6 {
        let lease = farm.next_lease().await;
        assert_eq!(lease.attempt.number, number);
        let (partition, session, attempt) = (lease.partition, farm.session, lease.attempt);
        farm.say(vec![FarmMessage::Return { partition, session, attempt, reason: "no".into() }]).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(100 + 200 + 400), "it rests before the 4th, 5th and 6th");
    router.stop().await;
}

#[tokio::test]
async fn what_expires_in_the_queue_ends_though_no_credit_comes() {
    let disk = Disk::new().await;
    let mut soon = record("quiet", 1, &["slow"]);
    soon.header.expires_ms = START.0 + 5_000;
    let many = (2..800).map(|number| {
        let mut record = record("flood", number, &["slow"]);
        record.header.expires_ms = START.0 + 5_500;
        record
    });
    disk.append(Lane::Bulk(route("slow")), many).await;
    disk.append(Lane::Front(route("slow")), [soon, record("quiet", 900, &["slow"])]).await;
    let router = Router::start(&disk);
    router.until_metric("carillon_dispatch_waiting_segments 800").await;
    assert_eq!(disk.events().await.len(), 0);
    router.clock.set(Timestamp(START.0 + 6_000));
    let events = disk.until_events(|events| events.len() >= 799).await;
    assert!(events.iter().all(|event| event.step.as_ref().is_some_and(|step| step.name() == "expired")));
    assert_eq!((steps(&events, 1), steps(&events, 900)), (vec!["expired"], vec![]));
    router.until_metric("carillon_dispatch_waiting_segments 1").await;
    router.stop().await;
    assert_eq!(disk.bus.watermark(Group::OWNER, &Lane::Bulk(route("slow")), 0).await.unwrap(), 798);
    assert_eq!(disk.bus.watermark(Group::OWNER, &Lane::Front(route("slow")), 0).await.unwrap(), 1);
}

#[tokio::test]
async fn a_route_that_stays_down_sends_its_deliveries_to_their_next_candidate() {
    let disk = Disk::new().await;
    let records = (1..=700).map(|number| record("quiet", number, &["slow", "fast"]));
    disk.append(Lane::Bulk(route("slow")), records).await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1_000, &["slow"])]).await;
    let router = Router::start_with(&disk, |options| options.route_down_seconds_max = 1);
    let farm = FakeFarm::attach(&router, "cellar", &["slow", "fast"]).await;
    farm.link("slow", "modem-1", false).await;
    farm.link("fast", "modem-2", true).await;
    let events = disk.until_events(|events| events.len() >= 700).await;
    let Some(Step::Routed(routed)) = &events[0].step else { panic!("routed, not {:?}", events[0]) };
    assert_eq!((routed.route.as_str(), routed.hop, routed.lost[0].reason.as_str()), ("fast", 2, "link down"));
    let moved = [Lane::Front(route("fast")), Lane::Bulk(route("fast"))];
    let moved = [disk.all(&moved[0]).await, disk.all(&moved[1]).await].concat();
    assert_eq!(moved.len(), 700, "each once");
    let first = model::record::Record::read(moved[0].payload.clone()).unwrap();
    assert_eq!((first.header.hop, first.body().unwrap().candidates.len()), (2, 1));
    assert_eq!(steps(&events, 1_000), Vec::<&str>::new(), "it has no other candidate and stays");
    router.stop().await;
}

/// A farm that must be refused, and what it is told.
async fn refused(certified: &str, operator: &str, said: &str, routes: &[&str]) -> String {
    let disk = Disk::new().await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::dial(&router, certified, operator, said, routes).await;
    let RouterMessage::Refused { reason } = farm.hear().await else { panic!("a refusal comes first") };
    assert!(farm.end.receiver.next().await.is_err(), "the stream ends");
    assert!(router.metric("carillon_dispatch_sessions_refused_total 1"));
    router.stop().await;
    reason
}

#[tokio::test]
async fn a_wrong_farm_is_refused_with_the_reason() {
    assert!(refused("cellar", "blue", "attic", &[]).await.contains("its certificate says `cellar`"));
    assert!(refused("stranger", "blue", "stranger", &[]).await.contains("not in the table"));
    assert!(refused("cellar", "red", "cellar", &["slow"]).await.contains("belongs to operator `blue`"));
    assert!(refused("attic", "blue", "attic", &["slow", "fast"]).await.contains("may not serve route `fast`"));
}

#[tokio::test]
async fn a_report_on_what_a_farm_was_not_granted_is_refused_and_counted() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"])]).await;
    let router = Router::start(&disk);
    let mut cellar = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    cellar.grant("slow", "modem-1", 1).await;
    let lease = cellar.next_lease().await;
    let mut attic = FakeFarm::attach(&router, "attic", &["slow"]).await;
    assert!(matches!(attic.hear().await, RouterMessage::Ask { .. } | RouterMessage::Backlog { .. }));
    attic.report(&lease, OutcomeKind::FailedForGood).await;
    router.until_metric("carillon_dispatch_refused_total 1").await;
    let partition = PartitionId { route: route("fast"), index: 0 };
    let (session, attempt) = (attic.session, lease.attempt);
    attic.say(vec![FarmMessage::Return { partition, session, attempt, reason: String::new() }]).await;
    router.until_metric("carillon_dispatch_refused_total 2").await;
    cellar.report(&lease, OutcomeKind::Sent).await;
    let outcomes = disk.until_outcomes(1).await;
    assert!(matches!(&outcomes[0], Kind::Fact(fact) if fact.outcome.kind == i32::from(OutcomeKind::Sent)));
    router.stop().await;
}

#[tokio::test]
async fn receipts_and_inbound_messages_are_durable_before_they_are_taken() {
    let disk = Disk::new().await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    let receipt = Receipt {
        number: 41,
        imsi: "234150000000001".into(),
        reference: 7,
        recipient: "+447700900123".into(),
        status: 0,
        network_ms: 5,
        at_ms: 6,
    };
    let inbound = Inbound {
        number: 42,
        imsi: "234150000000001".into(),
        link: LinkName::new("modem-1").unwrap(),
        tpdu: b"a secret".to_vec().into(),
        at_ms: 8,
    };
    farm.say(vec![FarmMessage::Receipt(receipt), FarmMessage::Inbound(inbound)]).await;
    let mut taken = Vec::new();
    while taken.len() < 2 {
        if let RouterMessage::Taken { numbers } = farm.listen().await {
            taken.extend(numbers);
        }
    }
    assert_eq!(taken, [41, 42]);
    let mut outcomes = disk.outcomes().await;
    outcomes.sort_by_key(|kind| matches!(kind, Kind::Inbound(_)));
    let [Kind::Receipt(receipt), Kind::Inbound(inbound)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    let hash = master().number_key().hash(&Msisdn::parse("+447700900123").unwrap());
    assert_eq!((receipt.recipient_hash.as_slice(), receipt.number, receipt.reference), (hash.as_slice(), 41, 7));
    let key = model::seal::DataKey::new("inbound", [3; 32]);
    assert_eq!(key.open_bytes(&inbound.binding(), &inbound.sealed).unwrap(), b"a secret");
    router.stop().await;
}

#[tokio::test]
async fn a_newer_session_takes_the_older_ones_place_and_its_leases_are_granted_again() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"])]).await;
    let router = Router::start(&disk);
    let mut old = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    old.grant("slow", "modem-1", 1).await;
    let first = old.next_lease().await;
    let mut new = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    assert!(new.session > old.session);
    new.grant("slow", "modem-1", 1).await;
    let again = new.next_lease().await;
    assert_eq!((again.attempt.delivery, again.attempt.number), (first.attempt.delivery, 2));
    while old.end.receiver.next().await.is_ok() {}
    router.stop().await;
}

#[tokio::test]
async fn tokens_are_given_back_when_recalled() {
    let disk = Disk::new().await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 2).await;
    router.until_metric("carillon_dispatch_tokens 2").await;
    let link = LinkName::new("modem-1").unwrap();
    let tokens = vec![lease::message::Token(2), lease::message::Token(9)];
    farm.say(vec![FarmMessage::Recall { link, tokens }]).await;
    let RouterMessage::TokensReturned { tokens, .. } = farm.listen().await else { panic!("tokens come back") };
    assert_eq!(tokens, [lease::message::Token(2)]);
    router.until_metric("carillon_dispatch_tokens 1").await;
    router.stop().await;
}

#[tokio::test]
async fn a_repeated_delivery_is_dropped() {
    let disk = Disk::new().await;
    let twice = record("quiet", 1, &["slow"]);
    disk.append(Lane::Front(route("slow")), [twice.clone(), twice.clone(), record("quiet", 2, &["slow"])]).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 9).await;
    let leased = [farm.next_lease().await, farm.next_lease().await].map(|lease| lease.attempt.delivery.message.0);
    assert_eq!(leased, [1, 2]);
    router.until_metric("carillon_dispatch_repeated_total 1").await;
    disk.append(Lane::Bulk(route("slow")), [twice]).await;
    router.until_metric("carillon_dispatch_repeated_total 2").await;
    router.stop().await;
    assert_eq!(disk.bus.watermark(Group::OWNER, &Lane::Front(route("slow")), 0).await.unwrap(), 3);
}

#[tokio::test]
async fn an_unreadable_record_is_put_aside_and_the_next_is_served() {
    let disk = Disk::new().await;
    let rubbish = bus::Entry::new(vec![1], b"\xff\xff\xff".to_vec());
    disk.bus.append(&Lane::Front(route("slow")), vec![rubbish]).await.unwrap();
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"])]).await;
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 1).await;
    assert_eq!(farm.next_lease().await.attempt.delivery.message.0, 1);
    router.stop().await;
    assert_eq!(disk.all(&Lane::DeadLetter).await.len(), 1);
}

#[tokio::test]
async fn a_stop_waits_for_what_was_begun_and_takes_back_the_rest() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"]), record("quiet", 2, &["slow"])]).await;
    let router = Router::start_with(&disk, |options| options.drain_ms_max = 30_000);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 2).await;
    let (begun, waiting) = (farm.next_lease().await, farm.next_lease().await);
    disk.until_events(|events| events.len() >= 2).await;
    let stopping = tokio::spawn(router.stop());
    let mut cancelled = Vec::new();
    while cancelled.len() < 2 {
        if let RouterMessage::Cancel { attempt, .. } = farm.listen().await {
            cancelled.push(attempt);
        }
    }
    assert!(cancelled.contains(&begun.attempt));
    let (partition, session, attempt) = (waiting.partition.clone(), farm.session, waiting.attempt);
    farm.say(vec![FarmMessage::Return { partition, session, attempt, reason: "cancelled".into() }]).await;
    farm.report(&begun, OutcomeKind::Sent).await;
    assert_eq!(farm.forgotten().await, [begun.attempt]);
    tokio::time::timeout(Duration::from_secs(25), stopping).await.expect("it stops in time").unwrap();
    assert_eq!(disk.outcomes().await.len(), 1);
    let router = Router::start(&disk);
    let mut farm = FakeFarm::attach(&router, "cellar", &["slow"]).await;
    farm.grant("slow", "modem-1", 2).await;
    let again = farm.next_lease().await;
    assert_eq!((again.attempt.delivery, again.attempt.number), (waiting.attempt.delivery, 2));
    router.stop().await;
}
