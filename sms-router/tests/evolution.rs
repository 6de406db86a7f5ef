//! Neighbouring builds on the same lanes: fields this build does not know are skipped in every lane, kinds it does not know
//! wait among the dead letters for a build that does.

mod support;

use bus::{Bus as _, Entry};
use bytes::Bytes;
use lease::record::{LeaseRecord, OutcomeKind};
use model::event::Event;
use model::record::Record;
use model::{Lane, RouteId, State};
use prost::Message as _;
use sms_router::deadletter;
use sms_router::outcome::OutcomeEntry;
use support::House;

/// A field of a later build: number 900, a varint.
const NOVELTY: [u8; 3] = [0xa0, 0x38, 0x01];
/// A kind of a later build: field 90 of the record's oneof, an empty message.
const NEW_KIND: [u8; 3] = [0xd2, 0x05, 0x00];

/// The record as a later build would write it: with one more field, in the record and in its header.
fn later(payload: &Bytes) -> Bytes {
    let record = Record::decode(payload.clone()).unwrap();
    let mut header = record.header.encode_to_vec();
    header.extend(NOVELTY);
    let mut out = vec![0x0a];
    prost::encoding::encode_varint(header.len() as u64, &mut out);
    out.extend(header);
    out.push(0x12);
    prost::encoding::encode_varint(record.body.len() as u64, &mut out);
    out.extend(&record.body);
    out.extend(NOVELTY);
    out.into()
}

fn with(payload: &Bytes, more: &[u8]) -> Bytes {
    [payload, more].concat().into()
}

#[tokio::test]
async fn a_delivery_of_a_later_build_goes_its_whole_way() {
    let (there, here) = (House::open().await, House::open().await);
    // Another house seals it: with this one's key.
    let sent = here.message(1);
    let snapshot = here.desk.world.snapshot();
    there.accept_with(snapshot.keyring.newest(&here.tenant).unwrap().1, std::slice::from_ref(&sent)).await;
    let [accepted] = &there.entries(&Lane::Accepted).await[..] else { panic!("one") };
    here.bus.append(&Lane::Accepted, vec![Entry::new(sent.header.message.clone(), later(accepted))]).await.unwrap();
    here.plan().await;
    let [routed] = &here.routed("blue-gb").await[..] else { panic!("one") };
    // The route's owner was of the later build, too, and so was who told of it.
    let routed = Record::read(later(&routed.to_bytes())).unwrap();
    there.outcome(&routed, OutcomeKind::Sent, &[9]).await;
    let [fact] = &there.entries(&Lane::Outcomes).await[..] else { panic!("one") };
    let fact = Entry::to_partition(sent.settled_in(), with(fact, &NOVELTY));
    here.bus.append(&Lane::Outcomes, vec![fact]).await.unwrap();
    here.receipt(&sent, 9, 0).await;
    here.settle().await;
    assert_eq!(here.ending(&sent).await.0, State::Delivered);
    let [event, ..] = &here.entries(&Lane::Events).await[..] else { panic!("some") };
    here.bus.append(&Lane::Events, vec![Entry::new(sent.header.message.clone(), with(event, &NOVELTY))]).await.unwrap();
    assert_eq!(here.ledger().await.finals[&State::Delivered], 1);
    assert_eq!(here.entries(&Lane::DeadLetter).await.len(), 0);
}

#[test]
fn an_earlier_build_s_record_has_what_it_lacks_empty() {
    let mut header = Vec::new();
    // Only the account, with its tenant, and the message: as if all other fields came later.
    header.extend([0x1a, 6, 0x1a, 4]);
    header.extend(b"acme");
    header.extend([0x22, 16]);
    header.extend([7; 16]);
    let mut bytes = vec![0x0a, header.len() as u8];
    bytes.extend(header);
    let record = Record::read(bytes.into()).unwrap();
    assert_eq!((record.header.hop, record.header.not_before_ms, record.header.replayed), (0, 0, false));
    assert_eq!(record.body().unwrap().candidates.len(), 0);
}

#[tokio::test]
async fn kinds_of_a_later_build_wait_for_it() {
    let house = House::open().await;
    house.bus.append(&Lane::Outcomes, vec![Entry::to_partition(0, NEW_KIND.to_vec())]).await.unwrap();
    let sent = house.message(1);
    let event = Event {
        tenant: "acme".into(),
        message: sent.header.message.clone(),
        deliveries: 1,
        segments: 1,
        ..Event::default()
    };
    let event = with(&event.to_bytes(), &NEW_KIND);
    house.bus.append(&Lane::Events, vec![Entry::new(sent.header.message.clone(), event.clone())]).await.unwrap();
    house.settle().await;
    house.project().await;
    let page = deadletter::list(&house.bus, 0, 10).await.unwrap();
    let mut lanes: Vec<_> = page.letters.iter().map(|letter| letter.letter.lane.as_str()).collect();
    lanes.sort_unstable();
    assert_eq!(lanes, ["events", "outcomes"]);
    let of_event = page.letters.iter().find(|letter| letter.letter.lane == "events").unwrap();
    assert_eq!((&of_event.letter.payload, of_event.letter.header.as_ref().unwrap().deliveries), (&event, 1));
}

#[test]
fn lane_leases_skips_no_kind() {
    assert!(LeaseRecord::read(NEW_KIND.to_vec().into()).is_err());
    assert!(OutcomeEntry::read(NEW_KIND.to_vec().into()).is_err());
    assert_eq!(Lane::Leases(RouteId::new("r").unwrap()).partitions(), 1);
}
