//! Whom messages from handsets are for, and what a kill in between leaves. Knows lanes and the store by their public faces.

mod support;

use bus::{Bus as _, Entry};
use model::push::{Account, Change, ChangeKind, DeviceState};
use model::record::Door;
use model::reply::Words;
use model::{Lane, MessageId, Msisdn, State, TenantId, Timestamp};
use sms_router::config::Config;
use sms_router::deadletter;
use sms_router::outcome::{Inbound, Kind};
use store::{Conversation, Document, DocumentKind, InboundOwner, InboundPlace, InboundRow, Store as _};
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

/// What the lists say was done about each message.
async fn done_of(house: &House, owner: InboundOwner) -> Vec<String> {
    listed(house, owner).await.into_iter().map(|row| row.goes_to).collect()
}

async fn opt_outs(house: &House) -> usize {
    house.desk.store.documents(&house.tenant, DocumentKind::OptOut, "", 100).await.unwrap().len()
}

async fn say(house: &House, text: &str, nth: u64) {
    put(house, &heard(house, text, nth)).await;
    house.sort_inbox(PARTITION).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
}

#[tokio::test]
async fn a_number_that_says_stop_gets_nothing_until_it_says_start() {
    let house = open(true).await;
    let later = house.message(1).with(|header| header.not_before_ms = NOW.plus_ms(60_000).0);
    let ours = |id| house.message(id);
    house.accept(std::slice::from_ref(&later)).await;
    house.plan().await;
    say(&house, " Stop.", 1).await;
    let other = house.message_to(3, "+447700900999");
    let alert = ours(4).with(|header| header.door = Door::Push as i32);
    house.accept(&[ours(2), other.clone(), alert.clone()]).await;
    house.plan().await;
    house.desk.clock.set(NOW.plus_ms(60_000));
    house.fire().await;
    for sent in [ours(2), later] {
        let (state, reason) = house.ending(&sent).await;
        assert_eq!((state, reason.as_str()), (State::Rejected, "opted out"));
    }
    for sent in [other, alert] {
        assert_eq!(house.story(&sent).await, ["routed"]);
    }
    say(&house, "START", 2).await;
    house.accept(&[ours(5)]).await;
    house.plan().await;
    assert_eq!(house.story(&ours(5)).await, ["routed"]);
    assert_eq!(done_of(&house, InboundOwner::Tenant(house.tenant.clone())).await, ["opt-out", "opt-in"]);
    assert_eq!(opt_outs(&house).await, 0);
}

#[tokio::test]
async fn an_order_that_is_obeyed_again_after_a_kill_changes_nothing() {
    let house = open(true).await;
    put(&house, &heard(&house, "STOP", 1)).await;
    house.bus.fail_after(0);
    house.sort_inbox(PARTITION).await.unwrap_err();
    let first = house.desk.store.documents(&house.tenant, DocumentKind::OptOut, "", 2).await.unwrap();
    assert_eq!(first.len(), 1, "obeyed before it is answered for");
    house.bus.heal();
    house.sort_inbox(PARTITION).await.unwrap();
    assert_eq!(house.desk.store.documents(&house.tenant, DocumentKind::OptOut, "", 2).await.unwrap(), first);
    assert_eq!(done_of(&house, InboundOwner::Tenant(house.tenant.clone())).await, ["opt-out"]);
}

#[tokio::test]
async fn an_order_that_concerns_nobody_s_list_is_a_message() {
    let nobody_s = open(false).await;
    say(&nobody_s, "stop", 1).await;
    assert_eq!(texts(&nobody_s).await, ["stop"]);
    assert_eq!(opt_outs(&nobody_s).await, 0);
    let house = open(true).await;
    for (nth, text) in ["start", "stop it", "STOP"].into_iter().enumerate() {
        say(&house, text, nth as u64 + 1).await;
    }
    let mut done = done_of(&house, InboundOwner::Tenant(house.tenant.clone())).await;
    done.sort_unstable();
    assert_eq!(done, ["", "", "opt-out"]);
}

#[tokio::test]
async fn over_a_shared_sim_stop_is_for_who_wrote_last() {
    let house = open(false).await;
    let number_hash = house.master.number_key().hash(&Msisdn::parse(NUMBER).unwrap());
    let (tenant, user) = (house.tenant.clone(), "server-1".to_owned());
    let last = Conversation { account: IMSI.into(), number_hash, tenant, user, is_oms: false, at: NOW };
    house.desk.store.converse(vec![last]).await.unwrap();
    say(&house, "STOP", 1).await;
    assert_eq!((opt_outs(&house).await, texts(&house).await.len()), (1, 0));
}

/// Ann's phone, which has the number, is a device of this tenant's.
async fn register(house: &House, tenant: &TenantId) {
    let hash = house.master.number_key().digits(&Msisdn::parse(NUMBER).unwrap());
    let account = format!(
        r#"{{"tenant": "{tenant}", "id": "ann@acme.example", "server_id": "acme", "sync_url": "https://sync.acme.example/",
            "devices": {{"phone": {{"id": "phone", "model": "any", "channels": ["sms"],
                "number": {{"hash": "{hash}", "sealed": {{"data_key": "k", "sealed": ""}}}},
                "standing": {{"state": "enabled", "since": "2026-11-22T00:00:00Z"}}}}}}}}"#
    );
    let documents = [
        (DocumentKind::NumberOwner, hash.as_str(), "phone"),
        (DocumentKind::DeviceOwner, "phone", "ann@acme.example"),
        (DocumentKind::Account, "ann@acme.example", &account),
    ];
    for (kind, id, body) in documents {
        let document = Document { tenant: tenant.clone(), kind, id: id.into(), body: body.into(), until: None };
        house.desk.store.replace_document(None, document).await.unwrap().unwrap();
    }
}

async fn state(house: &House, tenant: &TenantId) -> DeviceState {
    let found = house.desk.store.document(tenant, DocumentKind::Account, "ann@acme.example").await.unwrap();
    serde_json::from_str::<Account>(&found.unwrap().1.body).unwrap().devices["phone"].standing.state
}

/// How often the router was told to look at the phone, and how many messages go to it.
async fn consequences(house: &House) -> (usize, usize) {
    let changes =
        house.entries(&Lane::Changes).await.into_iter().map(|entry| Change::read(entry).unwrap().kind.unwrap());
    let touched = changes.filter(|kind| matches!(kind, ChangeKind::Touched(touched) if touched.device == "phone"));
    (touched.count(), house.entries(&Lane::Accepted).await.len())
}

#[tokio::test]
async fn a_phone_pauses_its_device_and_is_answered_once_a_day() {
    let house = open(false).await;
    let acme = house.tenant.clone();
    register(&house, &acme).await;
    for (nth, (text, then)) in
        [("push off", DeviceState::Paused), ("Push Off", DeviceState::Paused), (" PUSH ON ", DeviceState::Enabled)]
            .into_iter()
            .enumerate()
    {
        house.desk.clock.set(NOW.plus_ms(nth as i64));
        say(&house, text, nth as u64 + 1).await;
        assert_eq!(state(&house, &acme).await, then, "{text}");
        assert_eq!(consequences(&house).await, (nth + 1, 1), "{text}");
    }
    house.desk.clock.set(NOW.plus_ms(24 * 60 * 60 * 1_000));
    say(&house, "push off", 4).await;
    assert_eq!(consequences(&house).await, (4, 2));
    let done = done_of(&house, InboundOwner::Tenant(acme)).await;
    assert_eq!((done.len(), done.iter().filter(|done| *done == "push-off").count()), (4, 3));
}

#[tokio::test]
async fn a_kill_while_a_device_is_paused_answers_it_once() {
    let house = open(false).await;
    register(&house, &house.tenant).await;
    put(&house, &heard(&house, "PUSH OFF", 1)).await;
    house.bus.fail_after(0);
    house.sort_inbox(PARTITION).await.unwrap_err();
    assert_eq!((state(&house, &house.tenant).await, consequences(&house).await), (DeviceState::Paused, (0, 0)));
    house.bus.heal();
    house.sort_inbox(PARTITION).await.unwrap();
    assert_eq!(consequences(&house).await, (1, 1));
}

#[tokio::test]
async fn a_number_of_two_tenants_is_that_of_who_wrote_last() {
    let house = open(false).await;
    let other: TenantId = "other".parse().unwrap();
    let tenant = house.desk.store.parties().await.unwrap().tenants.remove(0);
    house.desk.store.put_tenant(model::party::Tenant { id: other.clone(), ..tenant }).await.unwrap();
    house.desk.keeper.refresh(&house.desk.world).await.unwrap();
    for tenant in [&house.tenant, &other] {
        register(&house, tenant).await;
    }
    say(&house, "PUSH OFF", 1).await;
    assert_eq!(texts(&house).await, ["PUSH OFF"], "nobody can say whose");
    let number_hash = house.master.number_key().hash(&Msisdn::parse(NUMBER).unwrap());
    let user = String::new();
    let last = Conversation { account: IMSI.into(), number_hash, tenant: other.clone(), user, is_oms: false, at: NOW };
    house.desk.store.converse(vec![last]).await.unwrap();
    say(&house, "PUSH OFF", 2).await;
    let states = (state(&house, &house.tenant).await, state(&house, &other).await);
    assert_eq!(states, (DeviceState::Enabled, DeviceState::Paused));
}
