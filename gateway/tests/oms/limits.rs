//! Limits of users, and notices of change, through the door. Knows what a limit promises.

use model::Timestamp;
use model::party::{OmsUser, UserState};

use crate::service::{Answer, Reply, Service, Setup, user};
use crate::{Message, batch, codes};

const CHANGE: Timestamp = Timestamp(1_795_165_200_000);

fn with_user(change: impl FnOnce(&mut OmsUser)) -> Setup {
    let mut setup = Setup::new();
    change(&mut setup.users[0]);
    setup
}

/// The code of each item of a batch.
fn of_items(reply: &Reply) -> Vec<String> {
    Answer::of(reply).items().into_iter().map(|item| item.codes[0].0.clone()).collect()
}

#[tokio::test]
async fn a_limit_runs_through_calls_and_items() {
    let service = Service::start(with_user(|user| user.per_day = Some(4))).await;
    let one = Message::to(&["+447700900123"]);
    assert_eq!(codes(&service.post(one.call()).await), ["ok"]);
    let two_parts = one.clone().texts(&["(1/2) a", "(2/2) b"]);
    assert_eq!(
        of_items(&service.post(batch(&[one.clone(), two_parts.clone(), one.clone()])).await),
        ["ok", "ok", "perDayMsgLimit"]
    );
    let item = Answer::of(&service.post(two_parts.call()).await).item();
    assert_eq!((item.content.as_deref(), item.recipients), (Some("4 SMS"), None));
    assert_eq!(service.messages().await.len(), 4);
}

#[tokio::test]
async fn a_list_names_the_refused_unless_they_are_all() {
    let service = Service::start(with_user(|user| user.per_month = Some(1))).await;
    let message = Message::to(&["12", "+447700900120", "+447700900121", "+447700900122"]);
    let item = Answer::of(&service.post(message.call()).await).item();
    assert_eq!(item.codes.len(), 2);
    assert!(item.text.contains("<content>1 SMS</content><recipientList>+447700900121;+447700900122<"), "{item:?}");
    // The only good one is refused; the bad one fails by another code, so it is not all of them.
    let item = Answer::of(&service.post(Message::to(&["12", "+447700900120"]).call()).await).item();
    assert!(item.text.contains("<recipientList>+447700900120</recipientList>"), "{item:?}");
    let item = Answer::of(&service.post(Message::to(&["+447700900120"]).call()).await).item();
    assert_eq!((item.codes[0].0.as_str(), item.recipients), ("perMonthMsgLimit", None));
}

#[tokio::test]
async fn what_was_not_queued_is_given_back() {
    let mut setup = with_user(|user| user.per_day = Some(2));
    setup.lanes.lane_entries_max = 1;
    let service = Service::start(setup).await;
    let two = Message::to(&["+447700900123", "+447700900124"]);
    assert_eq!(codes(&service.post(two.call()).await), ["serviceNetwork"]);
    assert_eq!(codes(&service.post(Message::to(&["+447700900123"]).call()).await), ["ok"]);
    assert_eq!(codes(&service.post(two.call()).await)[0], "perDayMsgLimit", "one is left of two");
}

#[tokio::test]
async fn calls_at_once_never_exceed_a_limit() {
    let service = Service::start(with_user(|user| user.per_day = Some(5))).await;
    let message = Message::to(&["+447700900123"]).call();
    let calls = (0..12).map(|_| service.post(message.clone()));
    let replies = futures_util::future::join_all(calls).await;
    let accepted = replies.iter().filter(|reply| codes(reply) == ["ok"]).count();
    assert_eq!((accepted, service.messages().await.len()), (5, 5));
}

#[tokio::test]
async fn each_user_is_told_of_a_change_three_times() {
    let mut setup = Setup::new().oms(|oms| oms.changed = Some(CHANGE));
    setup.users.push(user("acme", "other", "pw", UserState::Active));
    let service = Service::start(setup).await;
    let good = Message::to(&["+447700900123"]);
    let bad = Message::to(&["12"]);
    assert_eq!(codes(&service.post(bad.call()).await), ["invalidRecipient"], "a failure is no time for news");
    let reply = service.post(good.call()).await;
    assert_eq!(codes(&reply), ["ok", "serviceUpdate"]);
    assert!(Answer::of(&reply).document.contains("<content>2026-11-20T09:00:00Z</content>"), "{reply:?}");
    // A batch is one notice, on every item that is accepted.
    let of_batch = Answer::of(&service.post(batch(&[good.clone(), bad, good.clone()])).await).items();
    assert_eq!(of_batch.iter().map(|item| item.codes.len()).collect::<Vec<_>>(), [2, 1, 2]);
    assert_eq!(codes(&service.post(good.call()).await), ["ok", "serviceUpdate"]);
    assert_eq!(codes(&service.post(good.call()).await), ["ok"]);
    assert_eq!(codes(&service.post(good.by("other", "pw").call()).await), ["ok", "serviceUpdate"]);
}
