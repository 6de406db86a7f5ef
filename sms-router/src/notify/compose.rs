//! A notification as records of lane `accepted`. Knows records, keys and the alert's form; no window's rules, no store.
//!
//! It draws nothing but the seal's nonce: made again, it is the same message under the same id.

use bus::Entry;
use bytes::Bytes;
use model::party::Tenant;
use model::push::{Channel, Notice, Resource, San};
use model::record::{Account, Binary, Body, Content, Door, Header, Record, SCHEMA_VERSION};
use model::seal::{NumberKey, SealError};
use model::{DeliveryId, Lane, MessageId, Msisdn, TenantId, Timestamp};
use prost::Message as _;
use wire::alert::{Alert, Stores};
use wire::san::DATA_STORES_MAX;

use super::book::DeviceKey;
use super::roster::{Household, Member};
use super::window::{Intent, Mark, PackageId};
use crate::world::Snapshot;

/// A notification, made.
pub(super) struct Made {
    /// Its message.
    pub(super) id: MessageId,
    /// What each package tells of.
    pub(super) packages: Vec<Vec<Mark>>,
    /// Until when it is worth anything.
    pub(super) until: Timestamp,
    /// Why it goes the way it goes.
    pub(super) because: &'static str,
    /// To whom.
    pub(super) number: Msisdn,
    /// Short messages of the largest package.
    pub(super) segments: u32,
    /// The entries of lane `accepted`.
    pub(super) entries: Vec<(Lane, Entry)>,
}

/// Why a notification can't be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmade {
    /// No way leads to the device.
    #[error("the device has no number, or no way that is offered")]
    NoWay,
    /// What is sealed does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The tenant, or its key, is not known.
    #[error("tenant `{0}` is not known")]
    Tenant(TenantId),
    /// The number is none.
    #[error("the device's number is not an e.164 number")]
    Number,
    /// The alert can't be written.
    #[error("the notification can't be written")]
    Alert(#[from] wire::alert::AlertError),
}

/// What a notification is made of.
pub(super) struct Order<'a> {
    pub(super) key: &'a DeviceKey,
    pub(super) household: &'a Household,
    pub(super) member: Member<'a>,
    /// When the device was first heard of.
    pub(super) born: Timestamp,
    pub(super) intent: &'a Intent,
    pub(super) valid_ms: i64,
}

/// The id of a device's notification, and of the message that carries it.
#[must_use]
pub fn notification_id(tenant: &TenantId, device: &str, born: Timestamp, seq: u64) -> MessageId {
    // Keys of tenants have no control characters: none of them leads here.
    MessageId::derived(tenant, &format!("\u{1}notice\u{1}{device}\u{1}{}\u{1}{seq}", born.0))
}

impl Order<'_> {
    /// Makes it.
    ///
    /// # Errors
    /// [`Unmade`].
    pub(super) fn make(&self, snapshot: &Snapshot, numbers: &NumberKey) -> Result<Made, Unmade> {
        let (tenant_id, device) = (&self.key.tenant, self.member.device);
        let unknown = || Unmade::Tenant(tenant_id.clone());
        let tenant = snapshot.tenants.get(tenant_id).ok_or_else(unknown)?;
        let sealed = device.number.as_ref().filter(|_| device.channels.contains(&Channel::Sms));
        let number = sealed.ok_or(Unmade::NoWay)?.sealed.open(&snapshot.keyring, tenant_id)?;
        let number = Msisdn::parse(&number).map_err(|_| Unmade::Number)?;
        let (_, data_key) = snapshot.keyring.newest(tenant_id).ok_or_else(unknown)?;
        let binaries = self.packages(snapshot)?;
        let deliveries = u32::try_from(binaries.len()).expect("a device has few resources");
        let id = notification_id(tenant_id, &self.key.device, self.born, self.intent.seq);
        let until = self.intent.made.plus_ms(self.valid_ms);
        let segments = binaries.iter().map(|binary| binary.parts.len()).max().unwrap_or(1);
        let entry = |(delivery, binary): (u32, Binary)| {
            let parts = u32::try_from(binary.parts.len()).expect("a package has few parts");
            let header = Header {
                deliveries,
                delivery,
                segments: parts,
                data_key: data_key.id().to_owned(),
                recipient_hash: numbers.hash(&number).to_vec(),
                expires_ms: until.0,
                ..self.header(tenant, id)
            };
            let content = Content { recipient: number.to_string(), binary: Some(binary), ..Content::default() };
            let body = Body { sealed: data_key.seal(&header, &content), ..Body::default() };
            let record = Record { header, body: body.encode_to_vec().into() };
            (Lane::Accepted, Entry::new(Bytes::copy_from_slice(&id.to_bytes()), record.to_bytes()))
        };
        let entries = (0..).zip(binaries).map(entry).collect();
        Ok(Made {
            id,
            packages: self.shares(deliveries),
            until,
            because: "sms is the only way to the device",
            number,
            segments: u32::try_from(segments).unwrap_or(u32::MAX),
            entries,
        })
    }

    fn header(&self, tenant: &Tenant, id: MessageId) -> Header {
        let notice =
            Notice { account: self.key.account.to_string(), device: self.key.device.to_string(), seq: self.intent.seq };
        Header {
            schema_version: SCHEMA_VERSION,
            account: Account {
                provider: tenant.provider.clone(),
                reseller: tenant.reseller.clone(),
                tenant: tenant.id.as_str().to_owned(),
                user: String::new(),
            },
            message: id.to_bytes().to_vec(),
            accepted_ms: self.intent.made.0,
            receipt: true,
            keyed: true,
            digest: self.digest(tenant),
            door: Door::Push.into(),
            notice: Some(notice),
            supersedes: self.intent.supersedes.iter().map(|package| self.superseded(*package)).collect(),
            ..Header::default()
        }
    }

    /// The delivery of a package that need not be sent, as a header names it.
    fn superseded(&self, package: PackageId) -> Vec<u8> {
        let message = notification_id(&self.key.tenant, &self.key.device, self.born, package.seq);
        DeliveryId { message, index: package.delivery }.to_bytes().to_vec()
    }

    /// Tells this set from any other that somebody might send under the same number.
    fn digest(&self, tenant: &Tenant) -> Vec<u8> {
        let names: Vec<&str> = self.intent.marks.iter().map(|mark| &*mark.resource).collect();
        MessageId::derived(&tenant.id, &names.join("\u{1}")).to_bytes().to_vec()
    }

    fn packages(&self, snapshot: &Snapshot) -> Result<Vec<Binary>, Unmade> {
        let Member { model, .. } = self.member;
        let marks = &self.intent.marks;
        let named: Vec<Resource> =
            marks.iter().filter_map(|mark| self.member.resource(&mark.resource)).cloned().collect();
        let is_binary = matches!(model.san, San::Ds12 | San::Dm12);
        let account = &self.household.account;
        let password = match &account.password {
            Some(password) if model.digest && is_binary => Some(password.open(&snapshot.keyring, &account.tenant)?),
            _ => None,
        };
        let stores = if self.means_all() { Stores::All } else { Stores::Named(&named) };
        let nth = self.intent.packages_before.wrapping_add(1);
        let alert = Alert {
            form: model.san,
            server_id: &account.server_id,
            // Counters that go around: neighbours differ, which is all they are for.
            session_id: nth as u16,
            reference: nth as u8,
            stores,
            password: password.as_ref().map(String::as_bytes),
            dcs: model.dcs,
        };
        Ok(alert.packages()?)
    }

    /// Whether no data store is named and all are meant: where naming them takes more than one package.
    fn means_all(&self) -> bool {
        let model = self.member.model;
        model.all_stores && model.san == San::Ds12 && self.intent.marks.len() > DATA_STORES_MAX
    }

    /// What each package tells of: the same cut as the alert's.
    fn shares(&self, packages: u32) -> Vec<Vec<Mark>> {
        match packages {
            0 | 1 => vec![self.intent.marks.clone()],
            _ => self.intent.marks.chunks(DATA_STORES_MAX).map(<[Mark]>::to_vec).collect(),
        }
    }
}
