//! What the planner's loop promises. Knows lanes and the store by their public faces.

mod support;

use bus::{Bus as _, Entry};
use lease::record::OutcomeKind;
use model::event::Step;
use model::record::{Door, Header, Record};
use model::{Lane, Money, State};
use prost::Message as _;
use sms_router::deadletter::DeadLetter;
use sms_router::planner::Fitness;
use sms_router::schedule::Maker;
use store::{Cancelled, Store as _};
use support::{House, NOW, rate};

#[tokio::test]
async fn the_cheapest_route_gets_it_and_the_timeline_says_why() {
    let house = House::open().await;
    let sent = house.message(1);
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    let records = house.routed("blue-gb").await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].header.hop, records[0].header.attempt), (1, 0));
    let body = records[0].body().unwrap();
    let routes: Vec<_> = body.candidates.iter().map(|c| c.route.as_str()).collect();
    assert_eq!(routes, ["blue-gb", "green-gb"], "the next one stands by at its own price");
    assert_eq!(Money::try_from(&body.candidates[1].unit).unwrap().micros, 50_000);
    let events = house.events(&sent).await;
    let [Some(Step::Routed(routed))] = &events.iter().map(|e| e.step.clone()).collect::<Vec<_>>()[..] else {
        panic!("{events:?}")
    };
    assert_eq!((routed.supplier.as_str(), routed.country.as_str(), routed.prefix.as_str()), ("blue", "GB", "44"));
    assert_eq!((routed.price_table, routed.hop, routed.unit.micros), (1, 1, 20_000));
    assert_eq!((routed.lost[0].route.as_str(), routed.lost[0].reason.as_str()), ("green-gb", "dearer"));
    assert_eq!(house.ledger().await.pending[&State::Routed], 1);
}

#[tokio::test]
async fn a_route_that_is_down_is_passed_over() {
    let house = House::open().await;
    house.script.set("blue-gb", Fitness::Down);
    house.accept(&[house.message(1)]).await;
    house.plan().await;
    assert_eq!((house.routed("blue-gb").await.len(), house.routed("green-gb").await.len()), (0, 1));
}

#[tokio::test]
async fn what_can_t_go_ends_and_says_why() {
    let house = House::open().await;
    let nowhere = house.message_to(1, "+4915112345678");
    let late = house.message(2).with(|header| header.expires_ms = NOW.0);
    let unanswered = house.message(3).with(|header| header.answer_by_ms = 1);
    house.accept(&[nowhere.clone(), late.clone(), unanswered.clone()]).await;
    house.plan().await;
    assert_eq!(house.ending(&nowhere).await, (State::Rejected, "no route".into()));
    assert_eq!(house.ending(&late).await.0, State::Expired);
    assert_eq!(house.ending(&unanswered).await, (State::Rejected, "not answered".into()));
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.finals[&State::Rejected], ledger.finals[&State::Expired]), (3, 2, 1));
}

#[tokio::test]
async fn repeats_of_a_keyed_request_are_dropped_and_another_body_is_refused() {
    let house = House::open().await;
    let first = house.message(1).keyed(1);
    let (second, other) = (first.clone(), house.message(1).keyed(2));
    house.accept(&[first.clone(), second, other]).await;
    house.plan().await;
    assert_eq!(house.routed("blue-gb").await.len(), 1);
    assert_eq!(house.story(&first).await, ["routed", "key-reused"]);
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.repeats, ledger.keys_reused), (1, 1, 1));
}

#[tokio::test]
async fn what_was_taken_too_late_under_a_key_is_as_never_sent_and_its_repeat_goes() {
    let house = House::open().await;
    let delivery = |index| house.message(1).keyed(1).with(|header| (header.delivery, header.deliveries) = (index, 2));
    let late = |index| delivery(index).with(|header| header.answer_by_ms = 1);
    house.accept(&[late(0), late(1)]).await;
    house.plan().await;
    house.project().await;
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.finals.len(), ledger.repeats), (0, 0, 0), "nobody was told that it was taken");
    // The caller did as it was told. Whoever plans now has read the first again.
    house.accept(&[delivery(0), delivery(1)]).await;
    house.plan().await;
    house.accept(&[delivery(0), delivery(1), late(0)]).await;
    house.plan().await;
    assert_eq!(house.routed("blue-gb").await.len(), 2);
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.repeats, ledger.keys_reused), (2, 2, 0));
    assert_eq!(ledger.finals.len(), 0, "{ledger:?}");
}

#[tokio::test]
async fn an_id_stays_claimed_after_a_restart_when_only_the_store_knows_it() {
    let house = House::open().await;
    let sent = house.message(1).keyed(1);
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    house.project().await;
    house.accept(&[sent.clone(), house.message(1).keyed(2)]).await;
    house.plan().await;
    assert_eq!(house.routed("blue-gb").await.len(), 1);
    assert_eq!(house.story(&sent).await, ["routed", "key-reused"]);
    house.ledger().await;
}

#[tokio::test]
async fn all_deliveries_of_a_keyed_message_go_and_none_of_its_repeat() {
    let house = House::open().await;
    let delivery = |index| house.message(1).keyed(1).with(|header| (header.delivery, header.deliveries) = (index, 3));
    let message = [delivery(0), delivery(1), delivery(2)];
    house.accept(&message).await;
    house.accept(&message).await;
    house.plan().await;
    let mut indexes: Vec<u32> = house.routed("blue-gb").await.iter().map(|record| record.header.delivery).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2]);
    assert_eq!(house.ledger().await.repeats, 3);
}

#[tokio::test]
async fn without_a_key_equal_requests_are_two_messages() {
    let house = House::open().await;
    house.accept(&[house.message(1), house.message(2)]).await;
    house.plan().await;
    assert_eq!(house.routed("blue-gb").await.len(), 2);
}

#[tokio::test]
async fn a_kill_before_the_commit_changes_nothing() {
    let house = House::open().await;
    let message = |n: u128| house.message(n).keyed(1);
    let messages: Vec<_> = (0..200).map(message).collect();
    house.accept(&messages).await;
    house.bus.fail_after(0);
    for partition in 0..4 {
        house.plan_partition(partition).await.expect_err("the commit fails");
    }
    assert_eq!(house.routed("blue-gb").await.len(), 0);
    house.bus.heal();
    house.project().await; // The store is ahead of the planner: that makes no repeat of a replay.
    house.plan().await;
    assert_eq!(house.routed("blue-gb").await.len(), 200);
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.repeats, ledger.pending[&State::Routed]), (200, 0, 200));
}

#[tokio::test]
async fn what_is_not_due_waits_in_the_schedule_and_is_planned_when_it_is() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| header.not_before_ms = NOW.plus_ms(60_000).0);
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    house.fire().await;
    assert_eq!(house.story(&sent).await, ["scheduled"]);
    assert_eq!(house.ledger().await.pending[&State::Scheduled], 1);
    // Prices change before it is due.
    house.desk.store.replace_deck(vec![rate("blue", 90_000), rate("green", 50_000)]).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.fire().await;
    house.fire().await;
    assert_eq!(house.story(&sent).await, ["scheduled", "routed"]);
    assert_eq!(house.routed("green-gb").await.len(), 1, "once, at the price of the day");
    assert_eq!(house.ledger().await.pending[&State::Routed], 1);
}

#[tokio::test]
async fn a_kill_while_firing_repeats_the_same_hop_on_the_same_route() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| header.not_before_ms = NOW.plus_ms(60_000).0);
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    // It dies after the plan was put back and before anything was appended; then the prices turn.
    house.bus.fail_after(0);
    let maker = Maker::Planner(sent.partition());
    let shard = maker.shard(sent.header.id().unwrap());
    house.schedule(maker).fire(shard).await.expect_err("the commit fails");
    house.bus.heal();
    house.desk.store.replace_deck(vec![rate("blue", 90_000), rate("green", 50_000)]).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    house.fire().await;
    let records = house.routed("blue-gb").await;
    assert_eq!((records.len(), house.routed("green-gb").await.len()), (1, 0), "the plan stands");
    assert_eq!(records[0].header.hop, 1);
}

#[tokio::test]
async fn a_kill_between_the_row_and_the_commit_sends_it_one_way() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| header.not_before_ms = NOW.plus_ms(60_000).0);
    house.accept(std::slice::from_ref(&sent)).await;
    house.bus.fail_after(0);
    house.plan_partition(sent.partition()).await.expect_err("the commit fails, and the row is there");
    house.bus.heal();
    // Its time comes before anybody plans again: neither may the row fire, nor the replay go past the schedule.
    house.desk.clock.set(NOW.plus_ms(120_000));
    house.fire().await;
    assert_eq!(house.story(&sent).await, [""; 0], "what is not committed does not fire");
    house.plan().await;
    assert_eq!(house.story(&sent).await, ["scheduled"]);
    house.fire().await;
    house.fire().await;
    assert_eq!(house.story(&sent).await, ["scheduled", "routed"]);
    assert_eq!(house.routed("blue-gb").await.len() + house.routed("green-gb").await.len(), 1);
    house.ledger().await;
}

#[tokio::test]
async fn a_row_put_again_by_one_that_lost_its_share_does_not_fire() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| header.not_before_ms = NOW.plus_ms(60_000).0);
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    let maker = Maker::Planner(sent.partition());
    let shard = maker.shard(sent.header.id().unwrap());
    let row = house.desk.store.schedule_due(shard, NOW.plus_ms(60_000), 1).await.unwrap();
    house.fire().await;
    assert_eq!(house.routed("blue-gb").await.len(), 1);
    // It comes back as it was before it was planned, and another route is cheaper by now.
    house.desk.store.schedule_put(row).await.unwrap();
    house.desk.store.replace_deck(vec![rate("blue", 90_000), rate("green", 50_000)]).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    house.fire().await;
    assert_eq!((house.routed("blue-gb").await.len(), house.routed("green-gb").await.len()), (1, 0));
    assert_eq!(house.desk.store.schedule_due(shard, NOW.plus_ms(60_000), 1).await.unwrap(), [], "it is cleared");
}

#[tokio::test]
async fn rows_fire_before_a_lane_that_ends_without_an_entry() {
    let house = House::open().await;
    house.bus.leave_gap(5);
    // Each returns only when its rows may fire.
    house.plan().await;
    house.settle().await;
    let sent = house.message(1).with(|header| header.not_before_ms = header.accepted_ms + 60_000);
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.fire().await;
    assert_eq!(house.story(&sent).await, ["scheduled", "routed"]);
}

#[tokio::test]
async fn what_is_cancelled_before_it_is_planned_is_not_sent() {
    let house = House::open().await;
    let later = |n| house.message(n).with(|header| header.not_before_ms = NOW.plus_ms(60_000).0);
    let (sent, kept) = (later(1), later(2));
    house.accept(&[sent.clone(), kept.clone()]).await;
    house.plan().await;
    let id = sent.header.id().unwrap().message;
    house.desk.store.cancel(Cancelled::Message(id), NOW).await.unwrap();
    house.fire().await;
    assert_eq!(house.story(&sent).await, ["scheduled"], "it ends when it is due");
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.fire().await;
    house.fire().await;
    assert_eq!(house.ending(&sent).await.0, State::Cancelled);
    assert_eq!(house.story(&kept).await, ["scheduled", "routed"]);
    assert_eq!(house.ledger().await.finals[&State::Cancelled], 1);
}

#[tokio::test]
async fn what_was_planned_before_it_was_cancelled_is_sent() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| header.not_before_ms = NOW.plus_ms(60_000).0);
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    // The plan was put back, and perhaps appended: it can't be taken back.
    house.bus.fail_after(0);
    let maker = Maker::Planner(sent.partition());
    house.schedule(maker).fire(maker.shard(sent.header.id().unwrap())).await.expect_err("the commit fails");
    house.bus.heal();
    house.desk.store.cancel(Cancelled::Message(sent.header.id().unwrap().message), NOW).await.unwrap();
    house.fire().await;
    assert_eq!(house.story(&sent).await, ["scheduled", "routed"]);
}

#[tokio::test]
async fn what_a_user_left_is_not_sent_and_what_comes_later_is() {
    let house = House::open().await;
    let of = |n, user: &str, accepted: i64| {
        house.message(n).with(|header| {
            (header.not_before_ms, header.accepted_ms) = (NOW.plus_ms(60_000).0, accepted);
            (header.door, header.account.user) = (Door::Oms as i32, user.into());
        })
    };
    let (gone, other, later) = (of(1, "demo", NOW.0), of(2, "demo2", NOW.0), of(3, "demo", NOW.0 + 1));
    let key = of(4, "demo", NOW.0).with(|header| header.door = Door::Rest as i32);
    house.accept(&[gone.clone(), other.clone(), later.clone(), key.clone()]).await;
    house.plan().await;
    let user = Cancelled::User { tenant: house.tenant.clone(), user_id: "demo".into() };
    house.desk.store.cancel(user, NOW).await.unwrap();
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.fire().await;
    assert_eq!(house.ending(&gone).await.0, State::Cancelled);
    for kept in [other, later, key] {
        assert_eq!(house.story(&kept).await, ["scheduled", "routed"]);
    }
}

/// When a message is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Moment {
    BeforeItIsFiled,
    BeforeItIsDue,
    WhenItIsDue,
    AfterItFired,
    AfterItWasSent,
}

#[tokio::test]
async fn whenever_it_is_cancelled_it_ends_once_and_is_sent_once_at_most() {
    use Moment::{AfterItFired, AfterItWasSent, BeforeItIsDue, BeforeItIsFiled, WhenItIsDue};
    for moment in [BeforeItIsFiled, BeforeItIsDue, WhenItIsDue, AfterItFired, AfterItWasSent] {
        for killed in [false, true] {
            cancelled_at(moment, killed).await;
        }
    }
}

/// `killed`: the first commit of the firing fails, and another router fires again.
async fn cancelled_at(moment: Moment, killed: bool) {
    let house = House::open().await;
    let sent = house.message(1).with(|header| (header.not_before_ms, header.receipt) = (NOW.plus_ms(60_000).0, false));
    let cancel = async |at: Moment| {
        if moment == at {
            let message = Cancelled::Message(sent.header.id().unwrap().message);
            house.desk.store.cancel(message, house.desk.clock.now()).await.unwrap();
        }
    };
    house.accept(std::slice::from_ref(&sent)).await;
    cancel(Moment::BeforeItIsFiled).await;
    house.plan().await;
    cancel(Moment::BeforeItIsDue).await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    cancel(Moment::WhenItIsDue).await;
    if killed {
        house.bus.fail_after(0);
        let maker = Maker::Planner(sent.partition());
        house.schedule(maker).fire(maker.shard(sent.header.id().unwrap())).await.expect_err("the commit fails");
        house.bus.heal();
    }
    house.fire().await;
    cancel(Moment::AfterItFired).await;
    house.fire().await;
    let routed = house.routed("blue-gb").await;
    assert_eq!(routed.len(), usize::from(moment > Moment::WhenItIsDue), "{moment:?}, killed: {killed}");
    for record in &routed {
        house.outcome_because(record, OutcomeKind::Sent, &[9], "").await;
    }
    house.settle().await;
    cancel(Moment::AfterItWasSent).await;
    house.fire().await;
    let expected = if moment > Moment::WhenItIsDue { State::Sent } else { State::Cancelled };
    assert_eq!(house.ending(&sent).await.0, expected, "{moment:?}, killed: {killed}");
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.finals[&expected]), (1, 1), "{moment:?}, killed: {killed}");
}

#[tokio::test]
async fn an_expired_schedule_ends_as_expired() {
    let house = House::open().await;
    let sent = house.message(1).with(|header| {
        (header.not_before_ms, header.expires_ms) = (NOW.plus_ms(60_000).0, NOW.plus_ms(70_000).0);
    });
    house.accept(std::slice::from_ref(&sent)).await;
    house.plan().await;
    house.desk.clock.set(NOW.plus_ms(80_000));
    house.fire().await;
    assert_eq!(house.ending(&sent).await.0, State::Expired);
    house.ledger().await;
}

#[tokio::test]
async fn what_nobody_can_read_goes_to_the_dead_letters_and_stays_pending() {
    let house = House::open().await;
    let sent = house.message(1);
    let record = Record {
        header: Header { data_key: "acme.unheard-of".into(), ..sent.header.clone() },
        body: bytes::Bytes::new(),
    };
    let entries = vec![Entry::new(sent.header.message.clone(), record.to_bytes()), Entry::to_partition(0, "garbage")];
    house.bus.append(&Lane::Accepted, entries).await.unwrap();
    house.plan().await;
    let letters: Vec<_> =
        house.entries(&Lane::DeadLetter).await.into_iter().map(|bytes| DeadLetter::decode(bytes).unwrap()).collect();
    assert_eq!(letters.len(), 2);
    let named = letters.iter().find(|letter| letter.header.is_some()).unwrap();
    assert_eq!(named.header.as_ref().unwrap().message, sent.header.message);
    assert!(named.reason.contains("acme.unheard-of"), "{}", named.reason);
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.pending[&State::Accepted]), (1, 1));
}

#[tokio::test]
async fn when_every_route_is_full_it_waits_in_the_lane() {
    let house = House::open().await;
    house.script.set("blue-gb", Fitness::Full);
    house.script.set("green-gb", Fitness::Full);
    let sent = house.message(1);
    house.accept(std::slice::from_ref(&sent)).await;
    let planning = house.plan_partition(sent.partition());
    let opening = async {
        house.script.asked(8).await;
        assert_eq!(house.routed("blue-gb").await.len(), 0);
        house.script.set("blue-gb", Fitness::Fit);
    };
    let (planned, ()) = tokio::join!(planning, opening);
    planned.unwrap();
    assert_eq!(house.routed("blue-gb").await.len(), 1);
}

#[tokio::test]
async fn a_whole_life_balances() {
    let house = House::open().await;
    let messages: Vec<_> = (1..=50).map(|n| house.message_to(n, &format!("+44770090{n:04}"))).collect();
    house.accept(&messages).await;
    house.plan().await;
    for (n, record) in (0..).zip(house.routed("blue-gb").await) {
        house.outcome(&record, OutcomeKind::Sent, &[n]).await;
        let sent = messages.iter().find(|sent| sent.header.message == record.header.message).unwrap();
        house.receipt(sent, n, 0).await;
    }
    house.settle().await;
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.finals[&State::Delivered]), (50, 50));
    let view =
        house.desk.store.message(&house.tenant, messages[0].header.id().unwrap().message).await.unwrap().unwrap();
    let story: Vec<_> = view.deliveries[0].events.iter().map(|e| e.step.as_ref().unwrap().name()).collect();
    assert_eq!(story, ["routed", "submitted", "delivered"]);
}
