//! What the notifier promises (push channels, 3 and 4). Knows lanes and the store by their public faces, and reads what is sent as
//! a phone would.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bus as _, Entry, partition_of};
use lease::record::OutcomeKind;
use model::push::{
    Access, AccessRule, Account, Change, ChangeKind, Channel, ClientModel, ConfirmedBy, Device, DeviceState, Dirty,
    InboxBy, NoticeState, Number, Ota, Resource, San, SealedText, Standing, SyncKind, Touched, Trace,
};
use model::record::{Binary, Body, Door, Record};
use model::{Lane, MessageId, Msisdn, State, Timestamp};
use prost::Message as _;
use sms_router::config::Config;
use sms_router::metrics::{ChangeAs, NoticeAs};
use store::{Document, DocumentKind, Store as _, WindowRow};
use support::{House, NOW, NUMBER};
use wire::san::{Body as Alerted, Notification, Verdict};
use wire::wsp::Push;

const ACCOUNT: &str = "ann@acme.example";
const WINDOW_MS: i64 = 5_000;

/// A house with an account, whose devices are told what is posted.
struct Scene {
    house: House,
    account: Account,
    partition: u32,
}

/// What a phone makes of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Alert {
    device: String,
    seq: u64,
    delivery: u32,
    names: Vec<String>,
}

impl Scene {
    /// One device, `phone`, that has `inbox`, `contacts` and `calendar` under names of its own.
    async fn open() -> Self {
        Self::open_with(Config { notify_window_ms: WINDOW_MS as u64, ..Config::default() }).await
    }

    async fn open_with(config: Config) -> Self {
        let house = House::open_with(Config { references_flush_ms: 20, ..config }).await;
        let partition = partition_of(&Change::partition_key(&house.tenant, ACCOUNT), Lane::Changes.partitions());
        let account = Account {
            tenant: house.tenant.clone(),
            id: ACCOUNT.into(),
            server_id: "icewarp".into(),
            sync_url: "https://sync.acme.example/".into(),
            user_name: String::new(),
            access: None,
            password: None,
            devices: BTreeMap::new(),
        };
        let mut scene = Scene { house, account, partition };
        let phone = scene.device("phone", NUMBER, &["inbox", "contacts", "calendar"]);
        scene.edit(|account| drop(account.devices.insert("phone".into(), phone))).await;
        scene
    }

    fn device(&self, id: &str, number: &str, resources: &[&str]) -> Device {
        let snapshot = self.house.desk.world.snapshot();
        let (_, key) = snapshot.keyring.newest(&self.house.tenant).unwrap();
        let hash = self.house.master.number_key().hash(&Msisdn::parse(number).unwrap());
        let resource = |name: &str| Resource {
            name: format!("./{name}"),
            sync: SyncKind::TwoWay,
            content_type: String::new(),
            enabled: true,
        };
        Device {
            id: id.into(),
            kind: "phone".into(),
            model: "plain".into(),
            number: Some(Number {
                hash: hash.iter().map(|octet| format!("{octet:02x}")).collect(),
                sealed: SealedText::seal(key, &self.house.tenant, number),
            }),
            reported: None,
            channels: vec![Channel::Sms],
            standing: standing(DeviceState::Enabled),
            resources: resources.iter().map(|name| ((*name).to_owned(), resource(name))).collect(),
            inbox: InboxBy::Sync,
            failures: 0,
            configured: None,
            answered: None,
        }
    }

    /// Changes the account as an administrator does, and says so of all its devices.
    async fn edit(&mut self, change: impl FnOnce(&mut Account)) {
        if let Some(found) = self.find().await {
            self.account = found;
        }
        change(&mut self.account);
        self.put(DocumentKind::Account, ACCOUNT, &self.account).await;
        self.touch("", None).await;
    }

    async fn find(&self) -> Option<Account> {
        let (store, tenant) = (&self.house.desk.store, &self.house.tenant);
        let found = store.document(tenant, DocumentKind::Account, ACCOUNT).await.unwrap();
        found.map(|(_, document)| serde_json::from_str(&document.body).unwrap())
    }

    async fn put(&self, kind: DocumentKind, id: &str, what: &impl serde::Serialize) {
        let (store, tenant) = (&self.house.desk.store, self.house.tenant.clone());
        let was = store.document(&tenant, kind, id).await.unwrap().map(|(was, _)| was);
        let body = serde_json::to_string(what).unwrap();
        let document = Document { tenant, kind, id: id.into(), body, until: None };
        store.replace_document(was, document).await.unwrap().expect("nobody else edits");
    }

    async fn put_model(&self, change: impl FnOnce(&mut ClientModel)) {
        let mut model = ClientModel {
            name: "plain".into(),
            push: true,
            ota: Ota::None,
            san: San::Ds12,
            digest: false,
            all_stores: false,
            dcs: 0xf5,
            resources: BTreeMap::new(),
        };
        change(&mut model);
        self.put(DocumentKind::ClientModel, "plain", &model).await;
    }

    async fn append(&self, kind: ChangeKind) {
        let change = Change { tenant: "acme".into(), account: ACCOUNT.into(), answer_by_ms: 0, kind: Some(kind) };
        let key = Change::partition_key(&self.house.tenant, ACCOUNT);
        self.house.bus.append(&Lane::Changes, vec![Entry::new(key, change.to_bytes())]).await.unwrap();
    }

    /// The device synchronises by itself: from when, and until when if it is done.
    async fn touch(&self, device: &str, synced: Option<(i64, Option<i64>)>) {
        let touched = Touched {
            device: device.into(),
            synced_from_ms: synced.map(|(from, _)| NOW.plus_ms(from).0),
            synced_to_ms: synced.and_then(|(_, to)| to).map_or(0, |to| NOW.plus_ms(to).0),
        };
        self.append(ChangeKind::Touched(touched)).await;
    }

    /// Something changes now.
    async fn change(&self, resource: &str) {
        self.change_by(resource, "", None).await;
    }

    async fn change_by(&self, resource: &str, origin: &str, within_ms: Option<u32>) {
        let dirty = Dirty { resource: resource.into(), op: 1, count: 1, origin: origin.into(), within_ms };
        self.append(ChangeKind::Dirty(dirty)).await;
    }

    fn clock(&self, ms: i64) {
        self.house.desk.clock.set(NOW.plus_ms(ms));
    }

    fn now(&self) -> Timestamp {
        self.house.desk.clock.now()
    }

    /// Works until all that was told is taken, and as many windows are open.
    async fn work(&self, open: i64) {
        self.try_work(open).await.unwrap();
    }

    async fn try_work(&self, open: i64) -> Result<(), sms_router::RouterError> {
        let settled = async {
            // Two looks apart: what is due is told in between.
            for _ in 0..2 {
                while self.house.desk.metrics.notify_windows_open.value() != open {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        self.house.notify(self.partition, settled).await
    }

    /// Works at a time of the test's: what is due then is told.
    async fn work_at(&self, ms: i64) {
        self.clock(ms);
        self.work(0).await;
    }

    async fn records(&self) -> Vec<Record> {
        let entries = self.house.entries(&Lane::Accepted).await;
        let mut records: Vec<Record> = entries.into_iter().map(|entry| Record::read(entry).unwrap()).collect();
        // Messages are in different partitions.
        records.sort_by_key(|record| (record.header.accepted_ms, record.header.delivery));
        records
    }

    fn opened(&self, record: &Record) -> (String, Binary) {
        let snapshot = self.house.desk.world.snapshot();
        let body = Body::decode(record.body.clone()).unwrap();
        let key = snapshot.keyring.key(&record.header.data_key).unwrap();
        let content = key.open(&record.header, &body.sealed).unwrap();
        (content.recipient, content.binary.unwrap())
    }

    /// All that was sent, in order.
    async fn alerts(&self) -> Vec<Alert> {
        let alert = |record: &Record| {
            let notice = record.header.notice.clone().expect("it says what it is");
            let names = names(&self.opened(record).1);
            Alert { device: notice.device, seq: notice.seq, delivery: record.header.delivery, names }
        };
        self.records().await.iter().map(alert).collect()
    }

    /// What was sent, by device, as names.
    async fn sent_to(&self, device: &str) -> Vec<Vec<String>> {
        self.alerts().await.into_iter().filter(|alert| alert.device == device).map(|alert| alert.names).collect()
    }

    async fn trace(&self, record: &Record) -> Trace {
        let id = record.header.id().unwrap().message;
        let row = self.house.desk.store.notification(&self.house.tenant, id).await.unwrap().expect("it is there");
        assert!(row.until > self.now().plus_ms(7 * 24 * 3_600_000));
        serde_json::from_str(&row.body).unwrap()
    }

    /// The message of a record ends, as the route says.
    async fn end(&self, record: &Record, kind: OutcomeKind) {
        self.house.outcome(record, kind, &[]).await;
        self.house.settle().await;
        self.house.project().await;
    }

    /// The latest record is delivered.
    async fn deliver(&self, nth: usize) {
        self.house.plan().await;
        let record = self.records().await[nth].clone();
        let routed = self.routed(&record).await;
        self.house.outcome(&routed, OutcomeKind::Sent, &[nth as u32 + 1]).await;
        let sent = support::Sent { header: routed.header.clone(), content: model::record::Content::default() };
        self.house.receipt(&sent, nth as u32 + 1, 0).await;
        self.house.settle().await;
        self.house.project().await;
    }

    async fn fail(&self, nth: usize) {
        self.house.plan().await;
        let record = self.records().await[nth].clone();
        let routed = self.routed(&record).await;
        self.end(&routed, OutcomeKind::FailedForGood).await;
    }

    async fn routed(&self, record: &Record) -> Record {
        let id = record.header.id().unwrap();
        let routed = self.house.routed("blue-gb").await;
        routed.into_iter().find(|routed| routed.header.id().unwrap() == id).expect("it was planned")
    }

    async fn rows(&self) -> Vec<WindowRow> {
        self.house.desk.store.windows(self.partition).await.unwrap()
    }

    fn changes(&self, what: ChangeAs) -> u64 {
        self.house.desk.metrics.notify_changes.with(what).value()
    }

    fn notices(&self, what: NoticeAs) -> u64 {
        self.house.desk.metrics.notices.with(what).value()
    }
}

fn standing(state: DeviceState) -> Standing {
    Standing { state, reason: String::new(), since: NOW, by: "admin".into(), until: None }
}

/// The names a phone finds in a package for data synchronisation.
fn names(binary: &Binary) -> Vec<String> {
    let octets = pushed(binary);
    match Notification::decode_data_sync(&octets).unwrap().notification.body {
        Alerted::DataSync(stores) => stores.into_iter().map(|store| String::from_utf8(store.uri).unwrap()).collect(),
        Alerted::DeviceManagement => unreachable!("it was read as data synchronisation"),
    }
}

/// What the phone's program gets.
fn pushed(binary: &Binary) -> Vec<u8> {
    for part in &binary.parts {
        assert!(part.udh.len() + part.data.len() <= 140);
    }
    let octets: Vec<u8> = binary.parts.iter().flat_map(|part| part.data.to_vec()).collect();
    Push::decode(&octets).unwrap().body
}

#[tokio::test]
async fn sixty_changes_of_three_resources_are_one_notification_at_the_deadline() {
    let scene = Scene::open_with(Config { notify_window_ms: 15_000, ..Config::default() }).await;
    for n in 0..20 {
        for resource in ["contacts", "inbox", "calendar"] {
            scene.clock(n * 500);
            scene.change(resource).await;
        }
        scene.work(1).await;
    }
    scene.clock(14_999);
    scene.work(1).await;
    assert_eq!(scene.alerts().await, []);
    scene.work_at(15_000).await;
    let alerts = scene.alerts().await;
    let expected = ["./calendar", "./contacts", "./inbox"].map(str::to_owned).to_vec();
    assert_eq!(alerts, [Alert { device: "phone".into(), seq: 1, delivery: 0, names: expected }]);
    assert_eq!((scene.changes(ChangeAs::Marked), scene.changes(ChangeAs::Merged)), (3, 57));
    let record = &scene.records().await[0];
    let header = &record.header;
    assert_eq!((header.door(), header.keyed, header.receipt, header.segments), (Door::Push, true, true, 1));
    assert_eq!(header.expires_ms, NOW.plus_ms(15_000 + 1_440 * 60_000).0);
    let (recipient, binary) = scene.opened(record);
    assert_eq!((recipient.as_str(), binary.dcs), (NUMBER, 0xf5));
    let trace = scene.trace(record).await;
    assert_eq!((trace.state, trace.events, trace.packages), (NoticeState::Accepted, 60, 1));
    assert_eq!((trace.opened, trace.deadline, trace.made), (NOW, NOW.plus_ms(15_000), NOW.plus_ms(15_000)));
    assert_eq!((trace.handed_over, trace.confirmed), (Some(NOW.plus_ms(15_000)), None));
    assert_eq!(scene.house.desk.metrics.push_deadline_missed.value(), 0);
}

#[tokio::test]
async fn what_is_not_confirmed_is_not_sent_again_and_a_report_changes_that() {
    let scene = Scene::open().await;
    for resource in ["inbox", "contacts", "calendar"] {
        scene.change(resource).await;
    }
    scene.work_at(5_000).await;
    scene.clock(6_000);
    scene.change("inbox").await;
    scene.work_at(11_000).await;
    assert_eq!(scene.alerts().await.len(), 1, "the phone will find it");
    assert_eq!(scene.notices(NoticeAs::Covered), 1);
    let trace = scene.trace(&scene.records().await[0]).await;
    assert_eq!((trace.spared_count, trace.spared[0].opened, trace.spared[0].events), (1, NOW.plus_ms(6_000), 1));
    scene.deliver(0).await;
    scene.work(0).await;
    let trace = scene.trace(&scene.records().await[0]).await;
    assert_eq!((trace.state, trace.confirmed.unwrap().by), (NoticeState::Delivered, ConfirmedBy::Report));
    assert_eq!(trace.ends[0].state, "delivered");
    scene.clock(20_000);
    scene.change("inbox").await;
    scene.work_at(25_000).await;
    assert_eq!(scene.sent_to("phone").await[1], ["./inbox"]);
    assert_eq!(scene.alerts().await[1].seq, 2);
}

#[tokio::test]
async fn a_report_while_a_window_is_open_makes_its_whole_set_new() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.change("contacts").await;
    scene.work_at(10_000).await;
    scene.change("contacts").await;
    scene.work(1).await;
    scene.deliver(0).await;
    scene.work(1).await;
    scene.work_at(15_000).await;
    assert_eq!(scene.sent_to("phone").await, [["./inbox"], ["./contacts"], ["./contacts"]]);
}

#[tokio::test]
async fn the_device_a_change_comes_from_is_not_told_and_the_others_are() {
    let mut scene = Scene::open().await;
    let other = scene.device("tablet", "+447700900456", &["inbox"]);
    scene.edit(|account| drop(account.devices.insert("tablet".into(), other))).await;
    scene.change_by("inbox", "phone", None).await;
    scene.work(1).await;
    scene.work_at(5_000).await;
    assert_eq!(scene.sent_to("tablet").await, [["./inbox"]]);
    assert!(scene.sent_to("phone").await.is_empty());
    assert_eq!(scene.changes(ChangeAs::Origin), 1);
}

#[tokio::test]
async fn names_are_the_devices_own_to_the_last_octet() {
    let mut scene = Scene::open().await;
    let mut other = scene.device("tablet", "+447700900456", &[]);
    let named =
        |name: &str| Resource { name: name.into(), sync: SyncKind::TwoWay, content_type: String::new(), enabled: true };
    other.resources.insert("contacts".into(), named("contacts"));
    scene.put_model(|model| drop(model.resources.insert("notes".into(), named("Notes")))).await;
    scene
        .edit(|account| {
            account.devices.insert("tablet".into(), other);
            let phone = account.devices.get_mut("phone").unwrap();
            phone.resources.insert("contacts".into(), named("Contacts"));
        })
        .await;
    scene.change("contacts").await;
    scene.change("notes").await;
    scene.change("Contacts").await;
    scene.work_at(5_000).await;
    assert_eq!(scene.sent_to("phone").await, [["Contacts", "Notes"]]);
    assert_eq!(scene.sent_to("tablet").await, [["contacts", "Notes"]]);
    assert_eq!(scene.changes(ChangeAs::NotMapped), 2, "`Contacts` is no name of theirs");
}

#[tokio::test]
async fn what_is_switched_off_is_dropped_and_counted() {
    let mut scene = Scene::open().await;
    let off = |account: &mut Account| {
        let phone = account.devices.get_mut("phone").unwrap();
        phone.resources.get_mut("contacts").unwrap().enabled = false;
        phone.inbox = InboxBy::Mail;
    };
    scene.edit(off).await;
    scene.change("contacts").await;
    scene.change("inbox").await;
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::NotMapped), 2);
    scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Disabled)).await;
    scene.change("calendar").await;
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::Disabled), 1);
    scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Enabled)).await;
    scene.put_model(|model| model.push = false).await;
    // What is believed of models is a second old at most.
    while scene.changes(ChangeAs::NoPush) == 0 {
        scene.change("calendar").await;
        scene.work_at(scene.now().since_ms(NOW) + 5_000).await;
    }
    assert_eq!(scene.alerts().await.len(), 0, "before it is told it is looked at again");
}

#[tokio::test]
async fn an_account_without_access_is_not_told_even_if_it_lost_it_meanwhile() {
    let mut scene = Scene::open().await;
    scene
        .put(DocumentKind::AccessRule, "acme.example", &AccessRule { access: Access::Listed, ..AccessRule::default() })
        .await;
    scene.change("inbox").await;
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::NoAccess), 1);
    scene.edit(|account| account.access = Some(Access::On)).await;
    scene.change("inbox").await;
    scene.work(1).await;
    scene.account.access = Some(Access::Off);
    scene.put(DocumentKind::Account, ACCOUNT, &scene.account).await;
    scene.work_at(5_000).await;
    assert_eq!((scene.changes(ChangeAs::NoAccess), scene.alerts().await.len()), (2, 0));
}

#[tokio::test]
async fn a_paused_device_hears_of_everything_when_it_resumes() {
    let mut scene = Scene::open().await;
    for state in [DeviceState::Paused, DeviceState::NumberConflict] {
        let before = scene.alerts().await.len();
        let start = scene.now().since_ms(NOW);
        scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(state)).await;
        scene.change("inbox").await;
        scene.clock(start + 100_000);
        scene.change("contacts").await;
        scene.work(1).await;
        scene.clock(start + 200_000);
        scene.work(1).await;
        assert_eq!(scene.alerts().await.len(), before, "{state:?}");
        scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Enabled)).await;
        scene.work(0).await;
        let names: Vec<_> = scene.alerts().await.into_iter().skip(before).map(|alert| alert.names).collect();
        assert_eq!(names, [["./contacts", "./inbox"]], "{state:?}");
        scene.deliver(before).await;
        scene.work(0).await;
    }
}

#[tokio::test]
async fn a_pause_with_an_end_ends_by_itself() {
    let mut scene = Scene::open().await;
    let until = Some(NOW.plus_ms(60_000));
    scene
        .edit(|account| {
            let phone = account.devices.get_mut("phone").unwrap();
            phone.standing = Standing { until, ..standing(DeviceState::Paused) };
        })
        .await;
    scene.change("inbox").await;
    scene.work(1).await;
    scene.clock(59_999);
    scene.work(1).await;
    scene.work_at(60_000).await;
    assert_eq!(scene.sent_to("phone").await, [["./inbox"]]);
}

#[tokio::test]
async fn a_device_that_synchronises_hears_of_what_changed_since_when_it_is_done() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.clock(6_000);
    scene.change("contacts").await;
    scene.clock(7_000);
    scene.touch("phone", Some((7_000, None))).await;
    scene.work(0).await;
    let trace = scene.trace(&scene.records().await[0]).await;
    assert_eq!((trace.state, trace.confirmed.unwrap().by), (NoticeState::Delivered, ConfirmedBy::Sync));
    scene.clock(8_000);
    scene.change("calendar").await;
    scene.clock(30_000);
    scene.work(1).await;
    assert_eq!(scene.alerts().await.len(), 1, "nothing until it is done");
    scene.touch("phone", Some((7_000, Some(29_000)))).await;
    scene.work(0).await;
    assert_eq!(scene.sent_to("phone").await, [["./inbox"], ["./calendar"]]);
}

#[tokio::test]
async fn more_than_fifteen_resources_are_several_packages_of_one_message() {
    let many: Vec<String> = (0..33).map(|n| format!("store{n:02}")).collect();
    let mut scene = Scene::open().await;
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let phone = scene.device("phone", NUMBER, &names);
    scene.edit(|account| drop(account.devices.insert("phone".into(), phone))).await;
    for name in &many {
        scene.change(name).await;
    }
    scene.work_at(5_000).await;
    let alerts = scene.alerts().await;
    assert_eq!(alerts.iter().map(|alert| (alert.seq, alert.delivery)).collect::<Vec<_>>(), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(alerts.iter().map(|alert| alert.names.len()).collect::<Vec<_>>(), [15, 15, 3]);
    let all: Vec<String> = alerts.into_iter().flat_map(|alert| alert.names).collect();
    assert_eq!(all, many.iter().map(|name| format!("./{name}")).collect::<Vec<_>>());
    let records = scene.records().await;
    assert!(records.iter().all(|record| record.header.message == records[0].header.message));
    // One package is proved, one fails: of the third nothing is known.
    scene.deliver(1).await;
    scene.fail(2).await;
    scene.work(0).await;
    assert_eq!(scene.trace(&records[0]).await.state, NoticeState::Undeliverable);
    scene.change("store00").await;
    scene.change("store20").await;
    scene.work_at(10_000).await;
    let expected = ["./store20", "./store30", "./store31", "./store32"];
    assert_eq!(scene.sent_to("phone").await[3], expected, "the first waits on, what failed goes along");
    // A model that allows it names none instead.
    scene.put_model(|model| model.all_stores = true).await;
    scene.touch("phone", Some((10_000, Some(10_000)))).await;
    scene.clock(20_000);
    for name in &many {
        scene.change(name).await;
    }
    scene.work_at(25_000).await;
    assert_eq!(scene.sent_to("phone").await[4..], [vec![]; 1] as [Vec<String>; 1]);
}

#[tokio::test]
async fn five_failures_for_good_in_a_row_disable_the_device_and_its_own_word_enables_it() {
    let mut scene = Scene::open().await;
    for n in 0..5_i64 {
        scene.clock(n * 10_000);
        scene.change("inbox").await;
        scene.work_at(n * 10_000 + 5_000).await;
        let phone = scene.find().await.unwrap().devices["phone"].clone();
        assert_eq!((phone.standing.state, phone.failures), (DeviceState::Enabled, n as u32));
        scene.fail(n as usize).await;
        scene.work(0).await;
    }
    let phone = scene.find().await.unwrap().devices["phone"].clone();
    assert_eq!((phone.standing.state, phone.standing.reason.as_str()), (DeviceState::Disabled, "hard_bounce"));
    assert_eq!((phone.failures, phone.standing.by.as_str()), (5, "network"));
    scene.change("inbox").await;
    scene.work(0).await;
    assert_eq!((scene.alerts().await.len(), scene.changes(ChangeAs::Disabled)), (5, 1));
    scene.edit(|account| account.devices.get_mut("phone").unwrap().standing = standing(DeviceState::Enabled)).await;
    scene.clock(100_000);
    scene.change("contacts").await;
    scene.work_at(105_000).await;
    assert_eq!(scene.sent_to("phone").await[5], ["./contacts"], "nothing was kept for it");
    scene.fail(5).await;
    scene.work(0).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].standing.state, DeviceState::Enabled, "it counts anew");
}

#[tokio::test]
async fn without_a_route_it_stays_dirty_says_so_and_goes_when_there_is_one() {
    let mut scene = Scene::open().await;
    let nowhere = scene.device("phone", "+4915112345678", &["inbox", "contacts"]);
    scene.edit(|account| drop(account.devices.insert("phone".into(), nowhere))).await;
    scene.change("inbox").await;
    scene.clock(5_000);
    scene.work(1).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].standing.reason, "no_route");
    assert!(scene.notices(NoticeAs::NoRoute) > 0 && scene.alerts().await.is_empty());
    scene.change("contacts").await;
    scene.work(1).await;
    let somewhere = scene.device("phone", NUMBER, &["inbox", "contacts"]);
    scene
        .edit(|account| {
            let phone = account.devices.get_mut("phone").unwrap();
            phone.number = somewhere.number;
        })
        .await;
    scene.work(0).await;
    assert_eq!(scene.sent_to("phone").await, [["./contacts", "./inbox"]], "at once, with all there is");
    assert_eq!(scene.alerts().await[0].seq, 1, "no number was used up");
    assert_eq!(scene.find().await.unwrap().devices["phone"].standing.reason, "");
}

#[tokio::test]
async fn it_is_signed_where_the_model_wants_it() {
    let mut scene = Scene::open().await;
    scene.put_model(|model| model.digest = true).await;
    let snapshot = scene.house.desk.world.snapshot();
    let (_, key) = snapshot.keyring.newest(&scene.house.tenant).unwrap();
    let password = SealedText::seal(key, &scene.house.tenant, "s3cret");
    scene.edit(|account| account.password = Some(password)).await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    let binary = scene.opened(&scene.records().await[0]).1;
    let octets = pushed(&binary);
    let received = Notification::decode_data_sync(&octets).unwrap();
    assert_eq!(received.verify(b"s3cret", b""), Verdict::Good);
    assert_eq!(received.verify(b"other", b""), Verdict::Wrong);
}

#[tokio::test]
async fn a_change_in_a_hurry_shortens_its_window_and_none_prolongs_it() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.change_by("contacts", "", Some(60_000)).await;
    scene.change_by("calendar", "", Some(1_000)).await;
    scene.clock(999);
    scene.work(1).await;
    scene.work_at(1_000).await;
    assert_eq!(scene.sent_to("phone").await.len(), 1);
}

#[tokio::test]
async fn what_comes_late_to_its_channel_is_counted() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(40_000).await;
    assert_eq!(scene.house.desk.metrics.push_deadline_missed.value(), 1);
}

#[tokio::test]
async fn a_kill_anywhere_sends_it_once_under_one_number() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.change("contacts").await;
    // It dies when the windows are written, and the lane's watermark is not.
    scene.house.bus.fail_after(0);
    scene.try_work(1).await.expect_err("the commit fails");
    let opened = scene.rows().await;
    assert_eq!(opened.len(), 1);
    scene.house.bus.heal();
    scene.work(1).await;
    assert_eq!(scene.rows().await, opened, "a replay changes nothing");
    // It dies when the notification is made, and nothing is handed over.
    scene.clock(5_000);
    scene.house.bus.fail_after(0);
    scene.try_work(0).await.expect_err("the commit fails");
    let made = scene.rows().await;
    assert_ne!(made, opened);
    assert!(scene.alerts().await.is_empty());
    scene.house.bus.heal();
    scene.clock(6_000);
    scene.change("calendar").await;
    scene.work(1).await;
    let alerts = scene.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].seq, alerts[0].names.len()), (1, 2), "the exact set that was promised");
    let handed = scene.rows().await;
    // It dies when it was handed over, and that is not noted: the row is as it was before.
    scene.house.desk.store.windows_put(made).await.unwrap();
    scene.work(0).await;
    let alerts = scene.alerts().await;
    assert_eq!((alerts.len(), &alerts[0]), (2, &alerts[1]), "the same again");
    scene.house.plan().await;
    assert_eq!(scene.house.routed("blue-gb").await.len(), 1, "which the planner drops");
    assert_eq!(scene.house.ledger().await.repeats, 1);
    scene.house.desk.store.windows_put(handed).await.unwrap();
    scene.work_at(11_000).await;
    assert_eq!(scene.sent_to("phone").await[2], ["./calendar"]);
    assert_eq!(scene.alerts().await[2].seq, 2);
}

#[tokio::test]
async fn a_kill_after_a_report_was_taken_in_counts_it_once() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.fail(0).await;
    scene.house.bus.fail_after(0);
    scene.try_work(0).await.expect_err("the commit fails");
    assert_eq!(scene.find().await.unwrap().devices["phone"].failures, 1);
    scene.house.bus.heal();
    scene.work(0).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].failures, 1);
    // The projection, too, may tell twice.
    let told: Vec<_> = scene.house.entries(&Lane::Changes).await;
    scene
        .house
        .bus
        .append(&Lane::Changes, vec![Entry::to_partition(scene.partition, told.last().unwrap().clone())])
        .await
        .unwrap();
    scene.work(0).await;
    assert_eq!(scene.find().await.unwrap().devices["phone"].failures, 1);
}

#[tokio::test]
async fn a_device_that_is_removed_and_comes_again_has_other_notifications() {
    let mut scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    let mut phone = None;
    scene.edit(|account| phone = account.devices.remove("phone")).await;
    scene.change("inbox").await;
    scene.work(0).await;
    scene.edit(|account| drop(account.devices.insert("phone".into(), phone.unwrap()))).await;
    scene.clock(10_000);
    scene.change("inbox").await;
    scene.work_at(15_000).await;
    let ids: Vec<MessageId> = scene.records().await.iter().map(|record| record.header.id().unwrap().message).collect();
    assert_eq!(ids.len(), 2, "what it was told of before counts no more");
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn what_was_never_answered_is_passed_over_and_what_can_t_be_read_is_buried() {
    let scene = Scene::open().await;
    let dirty = Dirty { resource: "inbox".into(), ..Dirty::default() };
    let late = Change {
        tenant: "acme".into(),
        account: ACCOUNT.into(),
        answer_by_ms: NOW.0 - 1,
        kind: Some(ChangeKind::Dirty(dirty)),
    };
    let entry = |payload: bytes::Bytes| Entry::to_partition(scene.partition, payload);
    let entries = vec![entry(late.to_bytes()), entry("garbage".into())];
    scene.house.bus.append(&Lane::Changes, entries).await.unwrap();
    scene.work(0).await;
    assert_eq!(scene.changes(ChangeAs::NotAnswered), 1);
    assert_eq!(scene.house.entries(&Lane::DeadLetter).await.len(), 1);
}

#[tokio::test]
async fn its_end_is_its_own_in_the_ledger() {
    let scene = Scene::open().await;
    scene.change("inbox").await;
    scene.work_at(5_000).await;
    scene.deliver(0).await;
    let ledger = scene.house.ledger().await;
    assert_eq!((ledger.accepted, ledger.finals.get(&State::Delivered)), (1, Some(&1)));
}
