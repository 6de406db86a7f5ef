//! What an earlier build kept, this one reads; what this one keeps without using anything new, the earlier one reads.
//!
//! Knows, octet by octet, what version 0.1.0 wrote: `kept/0.1.0.txt` is never edited, and a later version gets a file and samples
//! of its own. A field added since stands in the samples as what an earlier record leaves it: absent.

#![expect(clippy::needless_update, reason = "a field that came later is absent in what an earlier build wrote")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use bytes::Bytes;
use model::event::{Ended, Event, KeyReused, Leased, Lost, Retried, Routed, Scheduled, Step, Submitted};
use model::fetch::{End, Fetch, Fetched};
use model::keyring::MasterKey;
use model::party::{
    ApiKey, Carries, Farm, OmsMultimedia, OmsProfile, OmsService, OmsUser, PriceDeck, Rate, RatePrice, ReplyTo, Route,
    Supplier, Tenant, UserState, WrappedKey,
};
use model::push::{
    Access, AccessRule, Change, ChangeKind, Channel, ClientModel, Confirmed, ConfirmedBy, Device, DeviceState, Dirty,
    InboxBy, Notice, NoticeState, Number, Op, Ota, PackageEnd, Resource, San, SealedText, Spared, Standing, SyncKind,
    Told, Touched, Trace,
};
use model::record::{
    Account, Amount, Binary, BinaryPart, Body, Candidate, Class, Content, Door, Header, Medium, Multimedia,
    OnUncertain, Record, Region, Screen, Service, Slide,
};
use model::reply::{Heard, Letter, MailRecord, Words};
use model::seal::DataKey;
use model::{Allowance, FarmName, MessageId, Msisdn, RouteId, State, SupplierId, TenantId, Timestamp};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

const KEPT: &str = include_str!("kept/0.1.0.txt");
/// A field that no build has had: number 2047, one octet of it.
const UNKNOWN: [u8; 4] = [0xFA, 0x7F, 0x01, 0x01];

/// A line of what was kept: its name, ` = `, and its octets in hexadecimal digits, or JSON.
fn kept(name: &str) -> &'static str {
    let lines: BTreeMap<&str, &str> = KEPT.lines().filter_map(|line| line.split_once(" = ")).collect();
    lines.get(name).unwrap_or_else(|| panic!("nothing is kept of `{name}`"))
}

fn octets(digits: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(pair).collect()
}

fn digits(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A record of a lane, read as its readers read it.
#[track_caller]
fn check<T: PartialEq + Debug, E: Debug>(
    name: &str,
    sample: &T,
    write: impl Fn(&T) -> Bytes,
    read: impl Fn(Bytes) -> Result<T, E>,
) {
    assert_eq!(digits(&write(sample)), kept(name), "0.1.0 must go on reading `{name}`");
    let octets = octets(kept(name));
    assert!(read(octets.clone().into()).unwrap() == *sample, "`{name}` of 0.1.0 is read as something else");
    let later = [&octets[..], &UNKNOWN].concat();
    assert!(read(later.into()).unwrap() == *sample, "what a later build adds to `{name}` is in the way");
}

/// The same for what has no reader of its own.
#[track_caller]
fn check_message<T: Message + Default + PartialEq + Debug>(name: &str, sample: &T) {
    check(name, sample, |sample| sample.encode_to_vec().into(), T::decode);
}

/// A document or a row, as JSON.
#[track_caller]
fn check_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, sample: &T) {
    assert_eq!(serde_json::to_string(sample).unwrap(), kept(name), "0.1.0 must go on reading `{name}`");
    assert_eq!(serde_json::from_str::<T>(kept(name)).unwrap(), *sample);
}

fn amount(micros: i64) -> Amount {
    Amount { micros, currency: "EUR".into() }
}

fn notice() -> Notice {
    Notice { account: "ann@acme.example".into(), device: "phone".into(), seq: 7 }
}

fn header() -> Header {
    Header {
        schema_version: 1,
        cell: "north".into(),
        account: Account { provider: "p".into(), reseller: "r".into(), tenant: "acme".into(), user: "u".into() },
        message: vec![9; 16],
        delivery: 1,
        deliveries: 2,
        hop: 3,
        attempt: 4,
        accepted_ms: 5,
        answer_by_ms: 6,
        expires_ms: 7,
        not_before_ms: 8,
        traceparent: "00-1-2-01".into(),
        class: Class::Urgent.into(),
        data_key: "acme.0".into(),
        segments: 10,
        keyed: true,
        digest: vec![11; 16],
        recipient_hash: vec![12; 16],
        receipt: true,
        on_uncertain: OnUncertain::Resend.into(),
        quota_block: "q".into(),
        door: Door::Push.into(),
        order_key: vec![13; 16],
        replayed: true,
        service: Service::Mms.into(),
        path: "a,b".into(),
        fetch: Some(Fetch { reference: 14, until_ms: 15 }),
        notice: Some(notice()),
        ..Header::default()
    }
}

fn multimedia() -> Multimedia {
    let region = Region {
        id: "image".into(),
        left: "1".into(),
        top: "2".into(),
        width: "3".into(),
        height: "4%".into(),
        fit: "meet".into(),
    };
    Multimedia {
        subject: "s".into(),
        media: vec![Medium {
            content_type: "image/gif".into(),
            id: "i".into(),
            location: "i.gif".into(),
            data: vec![1, 2],
        }],
        slides: vec![Slide { duration_ms: 5, image: "i".into(), text: "t".into(), audio: "a".into() }],
        screen: Some(Screen { width: 6, height: 7, background: "#fff".into(), regions: vec![region] }),
    }
}

fn content() -> Content {
    let part = BinaryPart { udh: Bytes::from_static(&[1, 2]), data: Bytes::from_static(&[3]) };
    Content {
        recipient: "+447700900123".into(),
        text: "h\u{e9}llo".into(),
        multimedia: Some(multimedia()),
        binary: Some(Binary { pid: 1, dcs: 0xf5, parts: vec![part] }),
        ..Content::default()
    }
}

fn words() -> Words {
    Words {
        from: "+447700900123".into(),
        text: "t".into(),
        data: vec![1],
        heard_ms: 2,
        multimedia: Some(multimedia()),
        mailbox: "a@b".into(),
        subject: "s".into(),
        ..Words::default()
    }
}

#[test]
fn a_delivery_on_its_way() {
    let candidate = Candidate { route: "r1".into(), supplier: "s1".into(), unit: amount(3), prefix: "44".into() };
    let body = Body {
        sealed: Bytes::from_static(&[1, 2, 3]),
        candidates: vec![candidate],
        price_table: 4,
        sale: Some(amount(5)),
        ..Body::default()
    };
    check_message("body", &body);
    let record = Record { header: header(), body: body.encode_to_vec().into() };
    check("record", &record, Record::to_bytes, Record::read);
    check_message("content", &content());
}

fn submitted() -> Submitted {
    Submitted { farm: "f".into(), link: "l".into(), references: vec![1, 300] }
}

#[test]
fn what_happened_to_a_delivery() {
    let lost = Lost { route: "r2".into(), supplier: "s2".into(), unit: Some(amount(9)), reason: "dearer".into() };
    let routed = Routed {
        route: "r1".into(),
        supplier: "s1".into(),
        unit: amount(3),
        price_table: 4,
        hop: 1,
        lost: vec![lost],
        country: "GB".into(),
        prefix: "44".into(),
    };
    let ended = Ended {
        state: u32::from(State::Delivered.rank()),
        reason: "r".into(),
        network_ms: 5,
        correction: true,
        submitted: Some(submitted()),
        permanent: true,
        ..Ended::default()
    };
    let steps = [
        ("scheduled", Step::Scheduled(Scheduled { due_ms: 1 })),
        ("routed", Step::Routed(routed)),
        ("leased", Step::Leased(Leased { farm: "f".into(), link: "l".into() })),
        ("submitted", Step::Submitted(submitted())),
        ("retried", Step::Retried(Retried { reason: "CMS 42".into() })),
        ("ended", Step::Ended(ended)),
        ("key-reused", Step::KeyReused(KeyReused { offset: 6 })),
    ];
    for (name, step) in steps {
        let event = Event {
            tenant: "acme".into(),
            message: vec![9; 16],
            delivery: 1,
            deliveries: 2,
            attempt: 3,
            at_ms: 4,
            segments: 5,
            accepted_ms: 6,
            notice: Some(notice()),
            step: Some(step),
            ..Event::default()
        };
        check(&format!("event-{name}"), &event, Event::to_bytes, Event::read);
    }
    let fetched = Fetched { recipient_hash: vec![1; 16], reference: 2, end: End::Rejected.into(), at_ms: 3 };
    check_message("fetched", &fetched);
    assert_eq!(digits(&fetched.to_bytes()), kept("fetched-entry"), "as lane `outcomes` has it");
}

#[test]
fn what_handsets_send() {
    check_message("words", &words());
    let heard = Heard::Multimedia(Letter { from: "+447700900123".into(), multimedia: multimedia() });
    check("letter", &heard, Heard::to_bytes, Heard::read);
    let mail = MailRecord {
        id: vec![9; 16],
        tenant: "acme".into(),
        user: "u".into(),
        received_ms: 1,
        data_key: "acme.0".into(),
        sealed: Bytes::from_static(&[2, 3]),
        is_letter: true,
        account: "sim".into(),
        ..MailRecord::default()
    };
    check("mail", &mail, MailRecord::to_bytes, MailRecord::read);
}

#[test]
fn what_changed_at_a_tenant() {
    let dirty = Dirty {
        resource: "contacts".into(),
        op: Op::Delete.into(),
        count: 1,
        origin: "phone".into(),
        within_ms: Some(2),
        ..Dirty::default()
    };
    let told = Told {
        notice: notice(),
        state: u32::from(State::Failed.rank()),
        reason: "r".into(),
        delivery: 1,
        at_ms: 2,
        permanent: true,
        ..Told::default()
    };
    let touched = Touched { device: "phone".into(), synced_from_ms: Some(3), synced_to_ms: 4 };
    let kinds = [
        ("dirty", ChangeKind::Dirty(dirty)),
        ("told", ChangeKind::Told(told)),
        ("touched", ChangeKind::Touched(touched)),
    ];
    for (name, kind) in kinds {
        let change = Change {
            tenant: "acme".into(),
            account: "ann@acme.example".into(),
            answer_by_ms: 1,
            kind: Some(kind),
            ..Change::default()
        };
        check(&format!("change-{name}"), &change, Change::to_bytes, Change::read);
    }
}

fn tenant_id() -> TenantId {
    TenantId::new("acme").unwrap()
}

/// What the fields that 0.1.0 does not know are worth to it is for the tests beside them; here nothing uses them.
#[test]
fn who_takes_part() {
    let oms =
        OmsProfile { service_provider: "sp".into(), mms: Some(OmsMultimedia::default()), ..OmsProfile::default() };
    let tenant = Tenant {
        id: tenant_id(),
        provider: "p".into(),
        reseller: "r".into(),
        default_country: "GB".into(),
        weight: 1,
        recipients_max: 2,
        segments_max: 3,
        validity_seconds: 4,
        resend_uncertain: true,
        hears_answers: false,
        webhook: String::new(),
        events_url: String::new(),
        oms,
    };
    check_json("tenant", &tenant);
    check_json("api-key", &ApiKey { name: "n".into(), tenant: tenant_id(), hash: "ab".into() });
    let (supplier, route) = (SupplierId::new("s1").unwrap(), RouteId::new("r1").unwrap());
    check_json("supplier", &Supplier { id: supplier.clone(), name: "S".into() });
    let carries = Carries::Mms;
    let (id, paid, prefixes) = (route.clone(), supplier.clone(), vec!["44".into()]);
    let kept = Route { id, supplier: paid, prefixes, receipts: true, enabled: true, carries, weight: 1 };
    check_json("route", &kept);
    let unit = RatePrice { micros: 5, currency: "EUR".parse().unwrap() };
    let (country, from, to) = ("GB".into(), Timestamp(1), Some(Timestamp(2)));
    let rate = Rate { supplier, prefix: "44".into(), country, unit, from, to };
    check_json("price-deck", &PriceDeck { version: 3, rates: vec![rate] });
    let farm = Farm { name: FarmName::new("cellar").unwrap(), operator: "o".into(), routes: BTreeSet::from([route]) };
    check_json("farm", &farm);
    let wrapped = WrappedKey { id: "acme.0".into(), tenant: tenant_id(), from: Timestamp(0), wrapped: vec![1, 255] };
    check_json("wrapped-key", &wrapped);
}

#[test]
fn users_and_what_they_have_left() {
    let user = OmsUser {
        tenant: tenant_id(),
        user_id: "u".into(),
        password_hash: "x".into(),
        state: UserState::Expired,
        reply_phone: "+44".into(),
        smtp_address: "a@b".into(),
        services: BTreeSet::from([OmsService::Sms, OmsService::Mms]),
        per_day: Some(1),
        per_month: Some(2),
        price: Some("0.5".parse().unwrap()),
        since: Some(Timestamp(3)),
        until: Some(Timestamp(4)),
        mail_address: "u@c".into(),
        mail_verified: true,
        reply_to: Some(ReplyTo::Both),
        phone_verified: true,
        may_have_no_password: true,
        signing_up: true,
    };
    check_json("oms-user", &user);
    check_json("allowance", &Allowance::begun(Timestamp(86_400_000), 1, 2, Some("3.5".parse().unwrap())));
}

fn sealed_text() -> SealedText {
    SealedText { data_key: "acme.0".into(), sealed: "00ff".into() }
}

fn device() -> Device {
    let resource = Resource {
        name: "Contacts".into(),
        sync: SyncKind::RefreshFromServer,
        content_type: "text/x-vcard".into(),
        enabled: true,
    };
    Device {
        id: "phone".into(),
        kind: "k".into(),
        model: "nokia".into(),
        number: Some(Number { hash: "ab".into(), sealed: sealed_text() }),
        reported: Some(Number { hash: "cd".into(), sealed: sealed_text() }),
        channels: vec![Channel::Sms],
        standing: Standing {
            state: DeviceState::NumberConflict,
            reason: "r".into(),
            since: Timestamp(1),
            by: "device".into(),
            until: Some(Timestamp(2)),
        },
        resources: BTreeMap::from([("contacts".into(), resource)]),
        inbox: InboxBy::Mail,
        failures: 3,
        configured: Some((Timestamp(4), "msg".into())),
        answered: Some(Timestamp(5)),
    }
}

#[test]
fn accounts_devices_and_what_they_were_told() {
    let account = model::push::Account {
        tenant: tenant_id(),
        id: "ann@acme.example".into(),
        server_id: "acme".into(),
        sync_url: "https://sync.acme.example/syncml/".into(),
        user_name: "ann".into(),
        access: Some(Access::Listed),
        password: Some(sealed_text()),
        devices: BTreeMap::from([("phone".into(), device())]),
    };
    check_json("push-account", &account);
    check_json("access-rule", &AccessRule { access: Access::Off, sync_path: String::new() });
    let client = ClientModel {
        name: "m".into(),
        push: true,
        ota: Ota::ClientProvisioning,
        san: San::Dm12,
        digest: true,
        all_stores: true,
        dcs: 4,
        resources: device().resources,
    };
    check_json("client-model", &client);
    let trace = Trace {
        account: "ann@acme.example".into(),
        device: "phone".into(),
        seq: 1,
        state: NoticeState::Undeliverable,
        opened: Timestamp(2),
        deadline: Timestamp(3),
        made: Timestamp(4),
        handed_over: Some(Timestamp(5)),
        events: 6,
        resources: vec!["contacts".into()],
        told_before: 7,
        told_by: vec![8],
        supersedes: Vec::new(),
        superseded_by: None,
        channel: Channel::Sms,
        chosen_because: "c".into(),
        packages: 9,
        spared: vec![Spared { opened: Timestamp(10), closed: Timestamp(11), events: 12 }],
        spared_count: 13,
        ends: vec![PackageEnd { delivery: 0, state: "failed".into(), reason: "r".into(), at: Timestamp(14) }],
        confirmed: Some(Confirmed { by: ConfirmedBy::Sync, at: Timestamp(15) }),
    };
    check_json("trace", &trace);
}

/// What two builds must come to by themselves: else one does not find, or open, what the other kept.
#[test]
fn keys_hashes_and_ids() {
    let master = MasterKey::new([7; 32]);
    let number = Msisdn::parse("+447700900123").unwrap();
    assert_eq!(digits(&master.number_key().hash(&number)), kept("number-hash"));
    assert_eq!(digits(master.inbound_key().expose()), kept("inbound-key"));
    assert_eq!(master.api_key_hash("key"), kept("api-key-hash"));
    assert_eq!(master.installation(), kept("installation"));
    assert_eq!(MessageId::derived(&tenant_id(), "key").to_string(), kept("derived-id"));
    let key = DataKey::new("acme.0", [3; 32]);
    assert!(key.open(&header(), &octets(kept("sealed-content"))).unwrap() == content());
    assert!(Words::open(&key, MessageId(7), &octets(kept("sealed-words"))).unwrap() == words());
    let wrapped: WrappedKey = serde_json::from_str(kept("minted-key")).unwrap();
    assert_eq!(master.unwrap(&wrapped).unwrap().expose(), &[5; 32]);
}
