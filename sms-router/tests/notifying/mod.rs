//! A house with an account whose devices are told what changes, and sentences to lead it. Reads what is sent as a phone would.
#![expect(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bus as _, Entry, partition_of};
use lease::record::OutcomeKind;
use model::event::{Event, Leased, Step};
use model::push::{
    Account, Change, ChangeKind, Channel, ClientModel, Device, DeviceState, Dirty, InboxBy, Number, Ota, Resource, San,
    SealedText, Standing, SyncKind, Touched, Trace,
};
use model::record::{Binary, Body, Record};
use model::{Lane, Msisdn, State, Timestamp};
use prost::Message as _;
use sms_router::config::Config;
use sms_router::metrics::{ChangeAs, NoticeAs};
use store::{Document, DocumentKind, Store as _, WindowRow};
use wire::san::{Body as Alerted, Notification};
use wire::wsp::Push;

use crate::support::{House, NOW, NUMBER, Sent};

pub(crate) const ACCOUNT: &str = "ann@acme.example";
pub(crate) const WINDOW_MS: i64 = 5_000;

/// A house with an account, whose devices are told what is posted.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) account: Account,
    pub(crate) partition: u32,
}

/// What a phone makes of a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Alert {
    pub(crate) device: String,
    pub(crate) seq: u64,
    pub(crate) delivery: u32,
    pub(crate) names: Vec<String>,
}

impl Scene {
    /// One device, `phone`, that has `inbox`, `contacts` and `calendar` under names of its own.
    pub(crate) async fn open() -> Self {
        Self::open_with(Config { notify_window_ms: WINDOW_MS as u64, ..Config::default() }).await
    }

    pub(crate) async fn open_with(config: Config) -> Self {
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

    pub(crate) fn device(&self, id: &str, number: &str, resources: &[&str]) -> Device {
        let snapshot = self.house.desk.world.snapshot();
        let (_, key) = snapshot.keyring.newest(&self.house.tenant).unwrap();
        let hash = self.house.master.number_key().digits(&Msisdn::parse(number).unwrap());
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
            number: Some(Number { hash, sealed: SealedText::seal(key, &self.house.tenant, number) }),
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
    pub(crate) async fn edit(&mut self, change: impl FnOnce(&mut Account)) {
        if let Some(found) = self.find().await {
            self.account = found;
        }
        change(&mut self.account);
        self.put(DocumentKind::Account, ACCOUNT, &self.account).await;
        self.touch("", None).await;
    }

    pub(crate) async fn find(&self) -> Option<Account> {
        let (store, tenant) = (&self.house.desk.store, &self.house.tenant);
        let found = store.document(tenant, DocumentKind::Account, ACCOUNT).await.unwrap();
        found.map(|(_, document)| serde_json::from_str(&document.body).unwrap())
    }

    pub(crate) async fn put(&self, kind: DocumentKind, id: &str, what: &impl serde::Serialize) {
        let (store, tenant) = (&self.house.desk.store, self.house.tenant.clone());
        let was = store.document(&tenant, kind, id).await.unwrap().map(|(was, _)| was);
        let body = serde_json::to_string(what).unwrap();
        let document = Document { tenant, kind, id: id.into(), body, until: None };
        store.replace_document(was, document).await.unwrap().expect("nobody else edits");
    }

    pub(crate) async fn put_model(&self, change: impl FnOnce(&mut ClientModel)) {
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

    pub(crate) async fn append(&self, kind: ChangeKind) {
        let change = Change { tenant: "acme".into(), account: ACCOUNT.into(), answer_by_ms: 0, kind: Some(kind) };
        let key = Change::partition_key(&self.house.tenant, ACCOUNT);
        self.house.bus.append(&Lane::Changes, vec![Entry::new(key, change.to_bytes())]).await.unwrap();
    }

    /// The device synchronises by itself: from when, and until when if it is done.
    pub(crate) async fn touch(&self, device: &str, synced: Option<(i64, Option<i64>)>) {
        let touched = Touched {
            device: device.into(),
            synced_from_ms: synced.map(|(from, _)| NOW.plus_ms(from).0),
            synced_to_ms: synced.and_then(|(_, to)| to).map_or(0, |to| NOW.plus_ms(to).0),
        };
        self.append(ChangeKind::Touched(touched)).await;
    }

    /// Something changes now.
    pub(crate) async fn change(&self, resource: &str) {
        self.change_by(resource, "", None).await;
    }

    pub(crate) async fn change_by(&self, resource: &str, origin: &str, within_ms: Option<u32>) {
        let dirty = Dirty { resource: resource.into(), op: 1, count: 1, origin: origin.into(), within_ms };
        self.append(ChangeKind::Dirty(dirty)).await;
    }

    pub(crate) fn clock(&self, ms: i64) {
        self.house.desk.clock.set(NOW.plus_ms(ms));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.house.desk.clock.now()
    }

    /// Works until all that was told is taken, and as many windows are open.
    pub(crate) async fn work(&self, open: i64) {
        self.try_work(open).await.unwrap();
    }

    pub(crate) async fn try_work(&self, open: i64) -> Result<(), sms_router::RouterError> {
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
    pub(crate) async fn work_at(&self, ms: i64) {
        self.clock(ms);
        self.work(0).await;
    }

    pub(crate) async fn records(&self) -> Vec<Record> {
        let entries = self.house.entries(&Lane::Accepted).await;
        let mut records: Vec<Record> = entries.into_iter().map(|entry| Record::read(entry).unwrap()).collect();
        // Messages are in different partitions.
        records.sort_by_key(|record| (record.header.accepted_ms, record.header.delivery));
        records
    }

    pub(crate) fn opened(&self, record: &Record) -> (String, Binary) {
        let snapshot = self.house.desk.world.snapshot();
        let body = Body::decode(record.body.clone()).unwrap();
        let key = snapshot.keyring.key(&record.header.data_key).unwrap();
        let content = key.open(&record.header, &body.sealed).unwrap();
        (content.recipient, content.binary.unwrap())
    }

    /// All that was sent, in order.
    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let alert = |record: &Record| {
            let notice = record.header.notice.clone().expect("it says what it is");
            let names = names(&self.opened(record).1);
            Alert { device: notice.device, seq: notice.seq, delivery: record.header.delivery, names }
        };
        self.records().await.iter().map(alert).collect()
    }

    /// What was sent, by device, as names.
    pub(crate) async fn sent_to(&self, device: &str) -> Vec<Vec<String>> {
        self.alerts().await.into_iter().filter(|alert| alert.device == device).map(|alert| alert.names).collect()
    }

    pub(crate) async fn trace(&self, record: &Record) -> Trace {
        let id = record.header.id().unwrap().message;
        let row = self.house.desk.store.notification(&self.house.tenant, id).await.unwrap().expect("it is there");
        assert!(row.until > self.now().plus_ms(7 * 24 * 3_600_000));
        serde_json::from_str(&row.body).unwrap()
    }

    /// The message of a record ends, as the route says.
    pub(crate) async fn end(&self, record: &Record, kind: OutcomeKind) {
        self.house.outcome(record, kind, &[]).await;
        self.house.settle().await;
        self.house.project().await;
    }

    /// The latest record is delivered.
    pub(crate) async fn deliver(&self, nth: usize) {
        self.house.plan().await;
        let record = self.records().await[nth].clone();
        let routed = self.routed(&record).await;
        self.house.outcome(&routed, OutcomeKind::Sent, &[nth as u32 + 1]).await;
        let sent = Sent { header: routed.header.clone(), content: model::record::Content::default() };
        self.house.receipt(&sent, nth as u32 + 1, 0).await;
        self.house.settle().await;
        self.house.project().await;
    }

    pub(crate) async fn fail(&self, nth: usize) {
        self.house.plan().await;
        let record = self.records().await[nth].clone();
        let routed = self.routed(&record).await;
        self.end(&routed, OutcomeKind::FailedForGood).await;
    }

    /// A farm has been granted the record, and the projection tells.
    pub(crate) async fn leave(&self, nth: usize) {
        let header = self.records().await[nth].header.clone();
        let event = Event {
            tenant: header.account.tenant.clone(),
            message: header.message.clone(),
            delivery: header.delivery,
            deliveries: header.deliveries,
            attempt: 1,
            at_ms: self.now().0,
            segments: header.segments,
            accepted_ms: header.accepted_ms,
            report: None,
            notice: header.notice,
            step: Some(Step::Leased(Leased { farm: "farm-1".into(), link: "modem-1".into() })),
        };
        let entry = Entry::new(event.message.clone(), event.to_bytes());
        self.house.bus.append(&Lane::Events, vec![entry]).await.unwrap();
        self.house.project().await;
    }

    /// How each message ended, by its notification's number; none twice.
    pub(crate) async fn endings(&self) -> BTreeMap<u64, (State, String)> {
        let mut endings = BTreeMap::new();
        for entry in self.house.entries(&Lane::Events).await {
            let event = Event::read(entry).unwrap();
            let Some(Step::Ended(ended)) = &event.step else { continue };
            let state = State::from_rank(ended.state as u8).unwrap();
            let seq = event.notice.as_ref().expect("it says what it is").seq;
            let known = endings.insert(seq, (state, ended.reason.clone()));
            assert!(known.is_none_or(|known| known == endings[&seq]), "{seq} ended twice");
        }
        endings
    }

    pub(crate) async fn routed(&self, record: &Record) -> Record {
        let id = record.header.id().unwrap();
        let routed = self.house.routed("blue-gb").await;
        routed.into_iter().find(|routed| routed.header.id().unwrap() == id).expect("it was planned")
    }

    pub(crate) async fn rows(&self) -> Vec<WindowRow> {
        self.house.desk.store.windows(self.partition).await.unwrap()
    }

    /// The rows are as they were: what a kill leaves behind that came before they were written.
    pub(crate) async fn put_rows(&self, rows: Vec<WindowRow>) {
        let mut seat = self.house.desk.store.windows_take(self.partition).await.unwrap();
        self.house.desk.store.windows_put(seat.stamp().unwrap(), rows).await.unwrap();
    }

    /// As many rows more as are given; how many there are then.
    pub(crate) async fn rows_of(&self, rows: Vec<WindowRow>) -> usize {
        for rows in rows.chunks(2_000) {
            self.put_rows(rows.to_vec()).await;
        }
        self.rows().await.len()
    }

    pub(crate) fn changes(&self, what: ChangeAs) -> u64 {
        self.house.desk.metrics.notify_changes.with(what).value()
    }

    pub(crate) fn notices(&self, what: NoticeAs) -> u64 {
        self.house.desk.metrics.notices.with(what).value()
    }
}

pub(crate) fn standing(state: DeviceState) -> Standing {
    Standing { state, reason: String::new(), since: NOW, by: "admin".into(), until: None }
}

/// The names a phone finds in a package for data synchronisation.
pub(crate) fn names(binary: &Binary) -> Vec<String> {
    let octets = pushed(binary);
    match Notification::decode_data_sync(&octets).unwrap().notification.body {
        Alerted::DataSync(stores) => stores.into_iter().map(|store| String::from_utf8(store.uri).unwrap()).collect(),
        Alerted::DeviceManagement => unreachable!("it was read as data synchronisation"),
    }
}

/// What the phone's program gets.
pub(crate) fn pushed(binary: &Binary) -> Vec<u8> {
    for part in &binary.parts {
        assert!(part.udh.len() + part.data.len() <= 140);
    }
    let octets: Vec<u8> = binary.parts.iter().flat_map(|part| part.data.to_vec()).collect();
    Push::decode(&octets).unwrap().body
}
