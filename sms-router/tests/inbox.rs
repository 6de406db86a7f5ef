//! Whom messages from handsets are for, and what a kill in between leaves. Knows lanes and the store by their public faces.

mod support;

use bus::{Bus as _, Entry};
use model::reply::Words;
use model::{Lane, MessageId, Timestamp};
use sms_router::config::Config;
use sms_router::deadletter;
use sms_router::outcome::{Inbound, Kind};
use store::{InboundOwner, InboundPlace, InboundRow, Store as _};
use support::{House, IMSI, NOW, NUMBER};
use wire::tpdu::{Address, Incoming, delivers};
use wire::udh::Reference;

/// All of it goes through this partition of lane `inbox`.
const PARTITION: u32 = 0;
/// How long parts wait here.
const WAIT_SECONDS: u64 = 60;

async fn open(is_acme_s: bool) -> House {
    let mut config = Config { inbound_settle_ms: 0, inbound_parts_seconds_max: WAIT_SECONDS, ..Config::default() };
    if is_acme_s {
        config.inbound_owners.insert(IMSI.to_owned(), "acme".parse().unwrap());
    }
    House::open_with(config).await
}

/// A text as a farm hands it over, part by part; numbers from `first` on.
fn heard(house: &House, text: &str, first: u64) -> Vec<Entry> {
    let service_centre_time = wire::tpdu::Timestamp([0x62, 0x11, 0x22, 0x80, 0x00, 0x00, 0x00]);
    let from = Address::number(NUMBER).unwrap();
    let parts = delivers(&Incoming { text, from, reference: Reference::Narrow(7), service_centre_time }).unwrap();
    let entry = |(nth, part): (usize, &wire::tpdu::Deliver)| {
        let key = house.master.inbound_key();
        let mut inbound = Inbound {
            imsi: IMSI.into(),
            link: "modem-1".into(),
            data_key: key.id().to_owned(),
            at_ms: NOW.0 - 500,
            farm: "cellar".into(),
            incarnation: vec![3; 16],
            number: first + nth as u64,
            ..Inbound::default()
        };
        inbound.sealed = key.seal_bytes(&inbound.binding(), &part.encode().unwrap()).into();
        Entry::to_partition(PARTITION, Kind::Inbound(inbound).to_bytes())
    };
    parts.iter().enumerate().map(entry).collect()
}

async fn put(house: &House, entries: &[Entry]) {
    house.bus.append(&Lane::Inbox, entries.to_vec()).await.unwrap();
}

async fn listed(house: &House, owner: InboundOwner) -> Vec<InboundRow> {
    let after = InboundPlace { owner, received: Timestamp(0), id: MessageId(0) };
    house.desk.store.inbound(&after, house.desk.clock.now(), 100).await.unwrap()
}

/// What the operator's list says.
async fn texts(house: &House) -> Vec<String> {
    let rows = listed(house, InboundOwner::Operator).await;
    let text = |row: &InboundRow| Words::open(&house.master.inbound_key(), row.place.id, &row.sealed).unwrap().text;
    rows.iter().map(text).collect()
}

#[tokio::test]
async fn what_nobody_claims_is_the_operator_s_and_a_sim_s_owner_gets_the_rest() {
    let nobody_s = open(false).await;
    put(&nobody_s, &heard(&nobody_s, "hello", 1)).await;
    nobody_s.sort_inbox(PARTITION).await.unwrap();
    assert_eq!(texts(&nobody_s).await, ["hello"]);
    let acme_s = open(true).await;
    put(&acme_s, &heard(&acme_s, "hello", 1)).await;
    acme_s.sort_inbox(PARTITION).await.unwrap();
    assert_eq!(listed(&acme_s, InboundOwner::Operator).await.len(), 0);
    let rows = listed(&acme_s, InboundOwner::Tenant(acme_s.tenant.clone())).await;
    assert_eq!((rows.len(), rows[0].account.as_str(), rows[0].goes_to.as_str()), (1, IMSI, ""));
}

#[tokio::test]
async fn what_a_farm_says_twice_is_listed_once() {
    let house = open(false).await;
    let once = heard(&house, "hello", 1);
    put(&house, &[once[0].clone(), once[0].clone()]).await;
    house.sort_inbox(PARTITION).await.unwrap();
    put(&house, &once).await;
    house.sort_inbox(PARTITION).await.unwrap();
    put(&house, &heard(&house, "hello", 2)).await;
    house.sort_inbox(PARTITION).await.unwrap();
    assert_eq!(texts(&house).await, ["hello", "hello"], "another message says the same");
}

#[tokio::test]
async fn parts_come_together_over_a_restart_in_any_order() {
    let house = open(false).await;
    let text = "0123456789".repeat(40);
    let mut parts = heard(&house, &text, 1);
    assert_eq!(parts.len(), 3);
    parts.rotate_left(1);
    for part in parts {
        put(&house, &[part]).await;
        house.sort_inbox(PARTITION).await.unwrap();
    }
    assert_eq!(texts(&house).await, [text]);
}

/// A kill between the rows and the commit: whoever reads next must make the same of it.
#[tokio::test]
async fn parts_that_waited_too_long_go_on_once_over_a_kill() {
    let house = open(false).await;
    let text = "0123456789".repeat(20);
    let parts = heard(&house, &text, 1);
    put(&house, &parts[..1]).await;
    house.sort_inbox(PARTITION).await.unwrap();
    assert_eq!(texts(&house).await, [""; 0], "the other part may come yet");
    let wait_ms = i64::try_from(WAIT_SECONDS).unwrap() * 1_000;
    house.desk.clock.set(NOW.plus_ms(wait_ms + 1));
    put(&house, &heard(&house, "look", 8)).await;
    house.bus.fail_after(0);
    house.sort_inbox(PARTITION).await.expect_err("it was killed");
    house.bus.heal();
    house.desk.clock.set(NOW.plus_ms(wait_ms + 20_001));
    house.sort_inbox(PARTITION).await.unwrap();
    house.desk.clock.set(NOW.plus_ms(2 * wait_ms));
    let mut said = texts(&house).await;
    said.sort();
    assert_eq!(said, [format!("{}[\u{2026}]", &text[..153]), "look".to_owned()]);
}

#[tokio::test]
async fn what_can_t_be_read_goes_to_the_dead_letters_and_keeps_nobody_waiting() {
    let house = open(false).await;
    let mut entries = heard(&house, "hello", 1);
    entries.insert(0, Entry::to_partition(PARTITION, "garbage"));
    put(&house, &entries).await;
    house.sort_inbox(PARTITION).await.unwrap();
    assert_eq!(texts(&house).await, ["hello"]);
    let page = deadletter::list(&house.bus, 0, 100).await.unwrap();
    assert_eq!((page.letters.len(), page.letters[0].letter.lane.as_str()), (1, "inbox"));
}
