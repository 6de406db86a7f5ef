//! What nobody can read: it blocks nothing, is listed, and is replayed or ended by an operator.

mod support;

use bus::{Bus as _, Entry};
use model::keyring::Keyring;
use model::{Lane, State, Timestamp};
use sms_router::deadletter::{self, LetterError, OPERATOR};
use store::Store as _;
use support::{House, NOW, Sent};

/// A message sealed with a key that nobody has yet, and the way to make the key known.
async fn accept_sealed(house: &House, sent: &Sent) -> impl AsyncFnOnce() {
    let wrapped = house.master.mint(&house.tenant, Timestamp(5), [1; 32]);
    let ring = Keyring::open(&house.master, std::slice::from_ref(&wrapped), NOW).unwrap();
    house.accept_with(ring.key("acme.5").unwrap(), std::slice::from_ref(sent)).await;
    async move || {
        house.desk.store.put_data_key(wrapped).await.unwrap();
        house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    }
}

async fn open(house: &House) -> Vec<i64> {
    let page = deadletter::list(&house.bus, 0, 100).await.unwrap();
    page.letters.into_iter().map(|letter| letter.offset).collect()
}

#[tokio::test]
async fn a_letter_is_replayed_once_and_its_delivery_goes_on() {
    let house = House::open().await;
    let sent = house.message(1).keyed(7);
    let make_known = accept_sealed(&house, &sent).await;
    house.plan().await;
    assert_eq!(house.ledger().await.pending[&State::Accepted], 1, "it stays pending");
    let page = deadletter::list(&house.bus, 0, 100).await.unwrap();
    let [letter] = &page.letters[..] else { panic!("{page:?}") };
    assert_eq!((letter.letter.lane.as_str(), letter.letter.partition), ("accepted", sent.partition()));
    assert!(letter.letter.reason.contains("acme.5"), "{}", letter.letter.reason);
    assert_eq!(letter.letter.header.as_ref().unwrap().message, sent.header.message);
    make_known().await;
    assert_eq!(deadletter::replay(&house.bus, &[letter.offset]).await.unwrap(), 1);
    house.plan().await;
    assert_eq!(house.routed("blue-gb").await.len(), 1, "no repeat of itself");
    let ledger = house.ledger().await;
    assert_eq!((ledger.accepted, ledger.pending[&State::Routed]), (1, 1));
    let again = deadletter::replay(&house.bus, &[letter.offset]).await;
    assert!(matches!(again, Err(LetterError::NotOpen { .. })), "{again:?}");
    assert_eq!(open(&house).await, [0; 0]);
}

#[tokio::test]
async fn a_letter_s_delivery_may_be_ended() {
    let house = House::open().await;
    let sent = house.message(1);
    drop(accept_sealed(&house, &sent).await);
    house.plan().await;
    deadletter::end(&house.bus, &open(&house).await, "given up by an operator", NOW).await.unwrap();
    assert_eq!(house.ending(&sent).await, (State::Failed, "given up by an operator".into()));
    assert_eq!(house.ledger().await.finals[&State::Failed], 1);
}

#[tokio::test]
async fn an_event_nobody_can_read_stops_no_projection() {
    let house = House::open().await;
    house.bus.append(&Lane::Events, vec![Entry::to_partition(2, "garbage")]).await.unwrap();
    let messages: Vec<_> = (1..=20).map(|n| house.message(n)).collect();
    house.accept(&messages).await;
    house.plan().await;
    assert_eq!(house.ledger().await.pending[&State::Routed], 20);
    let page = deadletter::list(&house.bus, 0, 100).await.unwrap();
    assert_eq!((page.letters.len(), page.letters[0].letter.lane.as_str()), (1, "events"));
    assert_eq!(&page.letters[0].letter.payload[..], b"garbage");
    // It comes back if it still can't be read, as a letter of its own.
    deadletter::replay(&house.bus, &[page.letters[0].offset]).await.unwrap();
    house.project().await;
    assert_eq!(open(&house).await.len(), 1);
}

#[tokio::test]
async fn letters_are_listed_in_pages_and_trimmed_when_all_before_them_are_done() {
    let house = House::open().await;
    let garbage = (0..5).map(|n| Entry::to_partition(0, format!("garbage {n}"))).collect();
    house.bus.append(&Lane::Accepted, garbage).await.unwrap();
    house.plan().await;
    let first = deadletter::list(&house.bus, 0, 2).await.unwrap();
    let rest = deadletter::list(&house.bus, first.next.unwrap(), 100).await.unwrap();
    assert_eq!((first.letters.len(), rest.letters.len(), rest.next), (2, 3, None));
    let offsets = open(&house).await;
    deadletter::end(&house.bus, &offsets[1..], "garbage", NOW).await.unwrap();
    let watermark = async || house.bus.watermark(OPERATOR, &Lane::DeadLetter, 0).await.unwrap();
    assert_eq!((open(&house).await, watermark().await), (offsets[..1].to_vec(), offsets[0]));
    deadletter::end(&house.bus, &offsets[..1], "garbage", NOW).await.unwrap();
    assert!(watermark().await > offsets[4]);
    assert_eq!(open(&house).await, [0; 0]);
}

#[tokio::test]
async fn a_list_of_none_ends_where_the_lane_does() {
    let house = House::open().await;
    house.bus.leave_gap(5);
    assert_eq!(open(&house).await, [0; 0]);
    assert!(matches!(deadletter::replay(&house.bus, &[0]).await, Err(LetterError::NotOpen { .. })));
}
