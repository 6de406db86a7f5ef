//! What the settler promises. Knows lanes and the store by their public faces.

mod support;

use bus::Bus as _;
use bytes::Bytes;
use lease::record::OutcomeKind;
use model::event::Step;
use model::fetch::{End, Fetch};
use model::record::Record;
use model::{Lane, Money, State};
use sms_router::config::Config;
use sms_router::outcome::{Inbound, Kind, OutcomeEntry};
use support::{House, IMSI, NOW, Sent};

const DELIVERED: u32 = 0x00;
const REPLACED: u32 = 0x02;
const TRYING: u32 = 0x20;
const PERMANENT: u32 = 0x41;
const EXPIRED: u32 = 0x46;
const GAVE_UP: u32 = 0x60;

/// A message that stands before its first route.
async fn routed(house: &House, sent: &Sent) -> Record {
    house.accept(std::slice::from_ref(sent)).await;
    house.plan().await;
    let mut records = house.routed("blue-gb").await;
    records.retain(|record| record.header.message == sent.header.message);
    records.pop().expect("it was routed")
}

#[tokio::test]
async fn a_hand_over_without_receipt_to_come_is_the_end() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| header.receipt = false);
    let record = routed(&house, &sent).await;
    house.outcome_because(&record, OutcomeKind::Sent, &[9], "").await;
    house.settle().await;
    assert_eq!(house.ending(&sent).await, (State::Sent, String::new()));
    let events = house.events(&sent).await;
    let Some(Step::Ended(ended)) = &events[1].step else { panic!("{events:?}") };
    let submitted = ended.submitted.as_ref().expect("hand-over and end are one step");
    assert_eq!((submitted.link.as_str(), submitted.references.as_slice()), ("modem-1", &[9][..]));
    assert_eq!(house.ledger().await.finals[&State::Sent], 1);
}

#[tokio::test]
async fn a_receipt_delivers() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.settle().await;
    assert_eq!(house.ledger().await.pending[&State::Submitted], 1);
    house.receipt(&sent, 9, DELIVERED).await;
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "submitted", "delivered"]);
    assert_eq!(house.ledger().await.finals[&State::Delivered], 1);
}

#[tokio::test]
async fn a_receipt_may_come_before_its_outcome_even_across_a_restart() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.receipt(&sent, 9, DELIVERED).await;
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed"]);
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "submitted", "delivered"]);
    house.ledger().await;
}

#[tokio::test]
async fn a_kill_anywhere_in_settling_tells_each_end_once() {
    for commits in 0..6 {
        let house = House::open_with(Config { references_flush_ms: 1, batch_max: 1, ..Config::default() }).await;
        let sent = house.message(1);
        let record = routed(&house, &sent).await;
        house.receipt(&sent, 8, DELIVERED).await;
        house.outcome(&record, OutcomeKind::Sent, &[8, 9]).await;
        house.receipt(&sent, 9, DELIVERED).await;
        house.bus.fail_after(commits);
        let _killed = house.settle_partition(sent.settled_in()).await;
        house.bus.heal();
        house.settle().await;
        assert_eq!(house.ending(&sent).await.0, State::Delivered, "killed at commit {commits}");
        assert_eq!(house.story(&sent).await, ["routed", "submitted", "delivered"], "killed at commit {commits}");
        house.ledger().await;
        assert_eq!(open_rows(&house, &sent).await, 0, "killed at commit {commits}");
    }
}

async fn open_rows(house: &House, sent: &Sent) -> usize {
    store::Store::references(&house.desk.store, sent.settled_in()).await.unwrap().len()
}

#[tokio::test]
async fn all_parts_must_arrive() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| header.segments = 3);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::Sent, &[7, 8, 9]).await;
    for reference in [8, 7] {
        house.receipt(&sent, reference, DELIVERED).await;
        house.receipt(&sent, reference, DELIVERED).await;
        house.settle().await;
        assert_eq!(
            house.story(&sent).await,
            ["routed", "submitted"],
            "each settler starts from what the last one kept"
        );
    }
    house.receipt(&sent, 9, DELIVERED).await;
    house.settle().await;
    assert_eq!(house.ending(&sent).await.0, State::Delivered);
    house.ledger().await;
}

#[tokio::test]
async fn statuses_are_told_apart() {
    let cases = [
        (PERMANENT, State::Failed, "status 0x41"),
        (EXPIRED, State::Expired, "status 0x46"),
        (GAVE_UP, State::Failed, "status 0x60"),
        (REPLACED, State::Failed, "replaced"),
        (0xff, State::Failed, "status 0xff"),
    ];
    for (status, state, reason) in cases {
        let house = House::open().await;
        let sent = house.message(1);
        let record = routed(&house, &sent).await;
        house.outcome(&record, OutcomeKind::Sent, &[9]).await;
        house.receipt(&sent, 9, TRYING).await;
        house.settle().await;
        assert_eq!(house.story(&sent).await, ["routed", "submitted"], "the network goes on trying");
        house.receipt(&sent, 9, status).await;
        house.settle().await;
        assert_eq!(house.ending(&sent).await, (state, reason.into()));
        house.ledger().await;
    }
}

#[tokio::test]
async fn a_receipt_of_another_recipient_or_sim_changes_nothing() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.receipt(&house.message_to(2, "+447700900999"), 9, DELIVERED).await;
    house.receipt(&sent, 8, DELIVERED).await;
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "submitted"]);
}

#[tokio::test]
async fn no_receipt_in_time_ends_as_sent() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.settle().await;
    house.desk.clock.set(NOW.plus_ms(3_600_000 + 86_400_000 - 1));
    house.outcome(&record, OutcomeKind::Sent, &[9]).await; // Told again: nothing follows.
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "submitted"]);
    house.desk.clock.set(NOW.plus_ms(3_600_000 + 86_400_000));
    let stranger = house.message_to(2, support::NUMBER);
    house.receipt(&stranger, 200, DELIVERED).await; // Anything that makes the settler run.
    house.settle().await;
    assert_eq!(house.ending(&sent).await, (State::Sent, "no receipt".into()));
    house.ledger().await;
}

#[tokio::test]
async fn a_reference_used_again_belongs_to_the_newest() {
    let house = House::open().await;
    let (old, new) = (house.message(1), house.message(2));
    for sent in [&old, &new] {
        let record = routed(&house, sent).await;
        house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    }
    house.receipt(&new, 9, DELIVERED).await;
    house.settle().await;
    assert_eq!(house.ending(&new).await.0, State::Delivered);
    assert_eq!(house.ending(&old).await, (State::Sent, "its reference was used again".into()));
    house.ledger().await;
}

/// A router may die after it kept a receipt and before it said so: the farm tells another one again.
#[tokio::test]
async fn a_repeated_receipt_proves_no_later_delivery() {
    let house = House::open().await;
    let (old, new) = (house.message(1), house.message(2));
    let record = routed(&house, &old).await;
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.receipt(&old, 9, DELIVERED).await;
    house.settle().await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    let record = routed(&house, &new).await;
    house.outcome(&record, OutcomeKind::Sent, &[9]).await;
    house.desk.clock.set(NOW);
    house.receipt(&old, 9, DELIVERED).await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.settle().await;
    assert_eq!(house.story(&new).await, ["routed", "submitted"]);
    house.receipt(&new, 9, DELIVERED).await;
    house.settle().await;
    assert_eq!(house.ending(&new).await.0, State::Delivered);
    house.ledger().await;
}

#[tokio::test]
async fn failing_for_now_goes_to_the_next_candidate_at_its_own_price() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.settle().await;
    let next = house.routed("green-gb").await.pop().expect("the next candidate has it");
    assert_eq!((next.header.hop, next.header.attempt), (2, 1), "attempts are never used again");
    assert_eq!(next.body().unwrap().candidates.len(), 1);
    assert_eq!(house.story(&sent).await, ["routed", "retried", "routed"]);
    let events = house.events(&sent).await;
    let (Some(Step::Retried(retried)), Some(Step::Routed(routed))) = (&events[1].step, &events[2].step) else {
        panic!("{events:?}")
    };
    assert_eq!(retried.reason, "CMS 42");
    assert_eq!((routed.hop, Money::try_from(&routed.unit).unwrap().micros), (2, 50_000));
    house.outcome(&next, OutcomeKind::Sent, &[4]).await;
    house.receipt(&sent, 4, DELIVERED).await;
    house.settle().await;
    assert_eq!(house.ending(&sent).await.0, State::Delivered);
    house.ledger().await;
}

#[tokio::test]
async fn when_every_candidate_failed_it_is_tried_again_later_while_it_is_valid() {
    let house = House::open().await;
    let sent = house.message(1);
    let mut record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.settle().await;
    record = house.routed("green-gb").await.pop().unwrap();
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.settle().await;
    house.fire().await;
    assert_eq!(house.story(&sent).await, ["routed", "retried", "routed", "retried", "scheduled"], "not yet due");
    house.desk.clock.set(NOW.plus_ms(10_000));
    house.fire().await;
    record = house.routed("blue-gb").await.pop().unwrap();
    assert_eq!((record.header.hop, record.header.attempt), (3, 2));
    house.ledger().await;
    house.outcome(&record, OutcomeKind::FailedForGood, &[]).await;
    house.settle().await;
    assert_eq!(house.ending(&sent).await, (State::Failed, "CMS 42".into()));
    house.ledger().await;
}

#[tokio::test]
async fn a_kill_between_a_retry_s_row_and_the_commit_decides_the_same_later() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.settle().await;
    let record = house.routed("green-gb").await.pop().unwrap();
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.bus.fail_after(0);
    house.settle_partition(sent.settled_in()).await.expect_err("the commit fails, and the row is there");
    house.bus.heal();
    // By now it would not be tried again: but the row is there, so that is what counts.
    house.desk.clock.set(NOW.plus_ms(2 * 3_600_000));
    house.fire().await;
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "retried", "routed", "retried", "scheduled"]);
    house.fire().await;
    assert_eq!(house.ending(&sent).await.0, State::Expired);
    house.ledger().await;
}

#[tokio::test]
async fn retries_are_bounded_by_number_and_by_validity() {
    let house = House::open_with(Config { attempts_max: 1, ..Config::default() }).await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.settle().await;
    assert_eq!(house.ending(&sent).await.0, State::Failed);

    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.desk.clock.set(NOW.plus_ms(3_600_000));
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.settle().await;
    assert_eq!(house.ending(&sent).await.0, State::Expired);
    house.ledger().await;
}

#[tokio::test]
async fn a_kill_in_failing_over_hands_it_on_once() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    house.bus.fail_after(0);
    house.settle_partition(sent.settled_in()).await.expect_err("the commit fails");
    house.bus.heal();
    house.settle().await;
    house.settle().await;
    assert_eq!(house.routed("green-gb").await.len(), 1);
    assert_eq!(house.story(&sent).await, ["routed", "retried", "routed"]);
}

#[tokio::test]
async fn uncertain_is_final_unless_the_tenant_chose_otherwise() {
    let house = House::open().await;
    let (sent, code) = (house.message(1), house.message(2).resend());
    for sent in [&sent, &code] {
        let record = routed(&house, sent).await;
        house.outcome_because(&record, OutcomeKind::Uncertain, &[], "").await;
    }
    house.settle().await;
    assert_eq!(house.ending(&sent).await.0, State::Uncertain);
    assert_eq!(house.story(&code).await, ["routed", "retried", "routed"]);
    assert_eq!(house.routed("green-gb").await.len(), 1, "only the one-time code is sent again");
    house.ledger().await;
}

#[tokio::test]
async fn a_proof_corrects_what_was_uncertain() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome_because(&record, OutcomeKind::Uncertain, &[9], "").await;
    house.settle().await;
    assert_eq!(house.ledger().await.finals[&State::Uncertain], 1);
    house.receipt(&sent, 9, DELIVERED).await;
    house.settle().await;
    let events = house.events(&sent).await;
    let Some(Step::Ended(ended)) = &events.last().unwrap().step else { panic!("{events:?}") };
    assert!(ended.correction);
    let ledger = house.ledger().await;
    assert_eq!((ledger.finals.get(&State::Uncertain).copied().unwrap_or(0), ledger.finals[&State::Delivered]), (0, 1));
}

#[tokio::test]
async fn a_journal_that_comes_back_corrects_what_was_uncertain() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    house.outcome_because(&record, OutcomeKind::Uncertain, &[], "").await;
    house.settle().await;
    house.correction(&record, OutcomeKind::Sent, &[9]).await;
    house.settle().await;
    assert_eq!(house.ledger().await.finals[&State::Sent], 1);
    house.receipt(&sent, 9, DELIVERED).await;
    house.settle().await;
    let ledger = house.ledger().await;
    assert_eq!(ledger.finals.values().sum::<u64>(), 1);
    assert_eq!(ledger.finals[&State::Delivered], 1);
}

#[tokio::test]
async fn what_was_sent_again_is_not_corrected_by_its_first_attempt() {
    let house = House::open().await;
    let code = house.message(1).resend();
    let record = routed(&house, &code).await;
    house.outcome_because(&record, OutcomeKind::Uncertain, &[], "").await;
    house.correction(&record, OutcomeKind::Sent, &[9]).await;
    house.settle().await;
    assert_eq!(house.story(&code).await, ["routed", "retried", "routed"]);
    house.ledger().await;
}

#[tokio::test]
async fn a_repeated_outcome_changes_nothing() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = routed(&house, &sent).await;
    for _ in 0..2 {
        house.outcome(&record, OutcomeKind::FailedForNow, &[]).await;
    }
    house.settle().await;
    assert_eq!(house.routed("green-gb").await.len(), 1);
}

#[tokio::test]
async fn parked_receipts_are_bounded_and_forgotten_in_time() {
    let config =
        Config { receipts_parked_max: 2, receipt_parked_seconds_max: 60, references_flush_ms: 1, ..Config::default() };
    let house = House::open_with(config).await;
    let sent = house.message(1);
    for reference in 0..5 {
        house.receipt(&sent, reference, DELIVERED).await;
    }
    house.settle().await;
    assert_eq!(open_rows(&house, &sent).await, 2);
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.receipt(&sent, 77, DELIVERED).await;
    house.settle().await;
    assert_eq!(open_rows(&house, &sent).await, 1, "only the young one is kept");
}

#[tokio::test]
async fn what_handsets_send_is_kept() {
    let house = House::open().await;
    let inbound = Inbound { imsi: IMSI.into(), sealed: Bytes::from_static(b"sealed"), number: 3, ..Inbound::default() };
    house.put_outcome(&[1; 16], Kind::Inbound(inbound.clone())).await;
    house.settle().await;
    let kept = house.entries(&Lane::Inbox).await;
    assert_eq!(
        kept.into_iter().map(|bytes| OutcomeEntry::read(bytes).unwrap()).collect::<Vec<_>>(),
        [Kind::Inbound(inbound)]
    );
}

#[tokio::test]
async fn what_nobody_can_read_goes_to_the_dead_letters() {
    let house = House::open().await;
    house.bus.append(&Lane::Outcomes, vec![bus::Entry::to_partition(0, "garbage")]).await.unwrap();
    house.settle().await;
    assert_eq!(house.entries(&Lane::DeadLetter).await.len(), 1);
}

/// A message that stands before its first route, and is a notice of what waits for an hour.
async fn noticed(house: &House) -> (Sent, Record) {
    let fetch = Fetch { reference: 77, until_ms: NOW.plus_ms(3_600_000).0 };
    let sent = house.message(1).with(|header| (header.fetch, header.receipt) = (Some(fetch.clone()), false));
    let record = routed(house, &sent).await;
    (sent, record)
}

#[tokio::test]
async fn a_notice_is_delivered_when_somebody_came_for_the_message() {
    for (end, state) in [(End::Fetched, State::Delivered), (End::Rejected, State::Failed)] {
        let house = House::open().await;
        let (sent, record) = noticed(&house).await;
        house.outcome(&record, OutcomeKind::Sent, &[8, 9]).await;
        house.settle().await;
        assert_eq!(house.story(&sent).await, ["routed", "submitted"], "that it arrived is not that it was fetched");
        house.fetched(&sent, end).await;
        house.fetched(&sent, End::Rejected).await;
        house.settle().await;
        assert_eq!(house.ending(&sent).await.0, state);
        assert_eq!(house.ledger().await.finals[&state], 1);
    }
}

#[tokio::test]
async fn somebody_may_come_before_the_notice_is_known_to_be_sent() {
    let house = House::open().await;
    let (sent, record) = noticed(&house).await;
    house.fetched(&sent, End::Fetched).await;
    house.settle().await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.outcome(&record, OutcomeKind::Sent, &[8]).await;
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "submitted", "delivered"]);
    house.ledger().await;
}

#[tokio::test]
async fn a_message_nobody_came_for_expires() {
    let house = House::open().await;
    let (sent, record) = noticed(&house).await;
    house.outcome(&record, OutcomeKind::Sent, &[8]).await;
    house.desk.clock.set(NOW.plus_ms(3_600_000));
    house.settle().await;
    assert_eq!(house.story(&sent).await, ["routed", "submitted"], "who began to fetch in time may end it");
    house.desk.clock.set(NOW.plus_ms(3_600_000 + 5 * 60_000));
    house.outcome(&record, OutcomeKind::Sent, &[8]).await; // Anything that makes the settler run.
    house.settle().await;
    assert_eq!(house.ending(&sent).await, (State::Expired, "it was not fetched in time".to_owned()));
    assert_eq!(house.ledger().await.finals[&State::Expired], 1);
}

#[tokio::test]
async fn who_came_proves_what_was_uncertain() {
    let house = House::open().await;
    let (sent, record) = noticed(&house).await;
    house.outcome(&record, OutcomeKind::Uncertain, &[]).await;
    house.settle().await;
    assert_eq!(house.ending(&sent).await.0, State::Uncertain);
    house.fetched(&sent, End::Fetched).await;
    house.settle().await;
    assert_eq!(house.ledger().await.finals[&State::Delivered], 1);
}

#[tokio::test]
async fn whom_a_tenant_wrote_to_is_remembered_if_it_hears_answers() {
    for hears_answers in [false, true] {
        let house = House::open_with(Config { references_flush_ms: 1, ..Config::default() }).await;
        let tenant = store::Store::parties(&house.desk.store).await.unwrap().tenants.remove(0);
        let tenant = model::party::Tenant { hears_answers, ..tenant };
        store::Store::put_tenant(&house.desk.store, tenant).await.unwrap();
        house.desk.keeper.refresh(&house.desk.world).await.unwrap();
        let sent = house.message(1);
        let record = routed(&house, &sent).await;
        house.outcome(&record, OutcomeKind::Sent, &[9]).await;
        house.settle().await;
        let number_hash = sent.header.recipient_hash.clone().try_into().unwrap();
        let found = store::Store::conversation(&house.desk.store, IMSI, number_hash).await.unwrap();
        assert_eq!(found.map(|last| last.tenant), hears_answers.then(|| house.tenant.clone()));
    }
}
