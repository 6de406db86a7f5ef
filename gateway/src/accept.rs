//! From a checked request to durable records in lane `accepted`. Knows records and the lane, no protocol.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::{AnyBus, Bus, BusError, Entry};
use bytes::Bytes;
use model::party::{OmsUser, Tenant};
use model::push::Change;
use model::record::{
    Account, Binary, Body, Class, Content, Door, Header, Multimedia, OnUncertain, Record, SCHEMA_VERSION, Service,
};
use model::reply::{Happening, MailRecord, Words};
use model::report::ReportTo;
use model::{DeliveryId, Lane, MessageId, Msisdn, Refusal, Timestamp};
use wire::datagram::NOTIFICATION_MINUTES;

use crate::clock;
use crate::config::Config;
use crate::content::Notice;
use crate::metrics::{DoorLabel, Metrics};
use crate::recent::Recent;
use crate::snapshot::Snapshot;
use crate::standing::Standing;
use crate::turns::Turns;

/// A request that passed every check of its door.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whose it is.
    pub tenant: Arc<Tenant>,
    /// The user, or the API key's name.
    pub user: String,
    /// The door.
    pub door: Door,
    /// The caller's idempotency key, if any: equal keys are one message.
    pub key: Option<String>,
    /// Recipients, each once, in the order of the request.
    pub recipients: Vec<Msisdn>,
    /// What each recipient gets: one message per part.
    pub parts: Vec<Part>,
    /// Not before this.
    pub not_before: Option<Timestamp>,
    /// Not after this; `None`: the tenant's default validity.
    pub expires: Option<Timestamp>,
    /// What kind of traffic.
    pub class: Class,
    /// W3C trace context, if the caller gave one.
    pub traceparent: String,
    /// Only messages with the same order key keep their order.
    pub order_key: Option<String>,
    /// The installations it came through, the first one first, divided by commas; empty if it begins here.
    pub path: String,
    /// Where whoever handed it over wants to hear how it ends; `None`: nowhere.
    pub report: Option<String>,
    /// What it is a change notification of; `None`: a message of the tenant's.
    pub tells: Option<model::push::Notice>,
    /// When the request arrived.
    pub received: Timestamp,
}

/// One text to send, with its length in segments; or one binary or multimedia message.
#[derive(Clone, Default)]
pub struct Part {
    /// The text; empty where there is something in its place.
    pub text: String,
    /// Segments on its real alphabet; a multimedia message is one.
    pub segments: u32,
    /// In place of a text.
    pub multimedia: Option<Multimedia>,
    /// In place of a text.
    pub binary: Option<Binary>,
    /// Recipients who get a notice in place of the multimedia message, and what it is.
    pub notices: HashMap<Msisdn, Notice>,
}

impl Part {
    /// A text.
    #[must_use]
    pub fn text(text: String) -> Self {
        Part { segments: wire::segment::count(&text), text, ..Part::default() }
    }

    /// A multimedia message.
    #[must_use]
    pub fn multimedia(multimedia: Multimedia) -> Self {
        Part { segments: 1, multimedia: Some(multimedia), ..Part::default() }
    }

    /// A binary message, with as many segments as it has parts.
    #[must_use]
    pub fn binary(binary: Binary) -> Self {
        let segments = u32::try_from(binary.parts.len()).unwrap_or(u32::MAX);
        Part { segments, binary: Some(binary), ..Part::default() }
    }

    /// Octets of what it says.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let media = self.multimedia.as_ref().map_or(0, prost::Message::encoded_len);
        self.text.len() + media + self.binary.as_ref().map_or(0, prost::Message::encoded_len)
    }

    const fn service(&self) -> Service {
        if self.multimedia.is_some() { Service::Mms } else { Service::Sms }
    }

    /// What a recipient gets of it, and what the header says of that.
    fn content(&self, recipient: &Msisdn, header: &mut Header) -> Content {
        let to = recipient.to_string();
        if let Some(Notice { binary, fetch }) = self.notices.get(recipient) {
            header.segments = u32::try_from(binary.parts.len()).unwrap_or(u32::MAX);
            header.service = Service::Sms.into();
            // Who has the notice does not have the message: that somebody came for it is what counts.
            (header.receipt, header.fetch) = (false, Some(fetch.clone()));
            return Content { recipient: to, binary: Some(binary.clone()), ..Content::default() };
        }
        (header.segments, header.service) = (self.segments, self.service().into());
        (header.receipt, header.fetch) = (true, None);
        let (text, multimedia, binary) = (self.text.clone(), self.multimedia.clone(), self.binary.clone());
        Content { recipient: to, text, multimedia, binary }
    }
}

/// Shows no text.
impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} segments)", self.segments)
    }
}

/// What became durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The message.
    pub id: MessageId,
    /// When it was taken.
    pub at: Timestamp,
    /// How many deliveries it has.
    pub deliveries: u32,
}

/// Makes submissions durable.
#[derive(Clone)]
pub struct Acceptor {
    bus: AnyBus,
    cell: String,
    accept_ms_max: u64,
    recent: Arc<Recent>,
    metrics: Metrics,
    standing: Arc<Standing>,
    turns: Arc<Turns>,
}

impl Acceptor {
    /// An acceptor that writes to `bus`, and tells its standing.
    #[must_use]
    pub fn new(bus: AnyBus, standing: Arc<Standing>, turns: Arc<Turns>, config: &Config, metrics: Metrics) -> Self {
        let (cell, accept_ms_max) = (config.cell.clone(), config.accept_ms_max);
        Acceptor { bus, cell, accept_ms_max, recent: Arc::default(), metrics, standing, turns }
    }

    /// Makes all deliveries of a submission durable, all or none, and returns only then.
    ///
    /// The same key leads to the same id; a repeat is dropped by the router. A key that this replica saw with another body a
    /// moment ago is refused here; else the router refuses it, and the message's timeline shows it.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: the lane is full, nothing was taken. [`Refusal::Unavailable`]: not known to be durable in time;
    /// safe to repeat with a key (what landed nevertheless ends as `rejected`). [`Refusal::KeyReused`].
    pub async fn accept(&self, snapshot: &Snapshot, submission: &Submission) -> Result<Accepted, Refusal> {
        let accepted = self.accept_all(snapshot, std::slice::from_ref(submission)).await?;
        Ok(accepted[0])
    }

    /// Makes several messages of one tenant durable with one append, and tells what became of each, in their order. It is all or
    /// none as far as an append to several partitions of the lane is.
    ///
    /// # Errors
    /// As [`Acceptor::accept`].
    pub async fn accept_all(&self, snapshot: &Snapshot, submissions: &[Submission]) -> Result<Vec<Accepted>, Refusal> {
        let Some(first) = submissions.first() else { return Ok(Vec::new()) };
        let deliveries =
            submissions.iter().map(|submission| submission.recipients.len() * submission.parts.len()).sum();
        let _turn = self.turns.enter(&first.tenant.id, first.tenant.weight, deliveries).await?;
        // From here on, and not from the request's arrival: its body may have been long on its way.
        let answer_by = clock::now().plus_ms(i64::try_from(self.accept_ms_max).unwrap_or(i64::MAX));
        let mut taken = Vec::with_capacity(submissions.len());
        let mut entries = Vec::new();
        for submission in submissions {
            let known = Known::of(submission);
            if let Some(accepted) = self.taken_before(submission, &known)? {
                taken.push((accepted, None));
                continue;
            }
            let before = entries.len();
            self.write(snapshot, submission, &known, answer_by, &mut entries)?;
            let deliveries = u32::try_from(entries.len() - before).map_err(|_| Refusal::TooManyRecipients)?;
            taken.push((Accepted { id: known.id, at: submission.received, deliveries }, Some(known)));
        }
        if !entries.is_empty() {
            self.append(&Lane::Accepted, entries, answer_by).await?;
        }
        let now = clock::now();
        for (submission, (accepted, known)) in submissions.iter().zip(&taken) {
            if let Some(known) = known {
                self.count(submission, *accepted, known, now);
            }
        }
        Ok(taken.into_iter().map(|(accepted, _)| accepted).collect())
    }

    /// What this replica answered a moment ago to the same key.
    fn taken_before(&self, submission: &Submission, known: &Known) -> Result<Option<Accepted>, Refusal> {
        // An id by chance was never seen.
        if known.digest.is_none() {
            return Ok(None);
        }
        match self.recent.find(&submission.tenant.id, known.id, submission.received) {
            Some((_, first)) if first != known.digest => Err(Refusal::KeyReused),
            found => Ok(found.map(|(accepted, _)| accepted)),
        }
    }

    /// Remembers what became durable.
    fn count(&self, submission: &Submission, accepted: Accepted, known: &Known, now: Timestamp) {
        self.recent.note(submission.tenant.id.clone(), accepted, known.digest);
        let label = DoorLabel(submission.door);
        self.metrics.deliveries_accepted.with(label).add(u64::from(accepted.deliveries));
        self.metrics.accept_seconds.with(label).observe(now.since_ms(submission.received) as f64 / 1000.0);
    }

    /// Whether several messages in one [`Acceptor::accept_all`] fail only if none of them is durable.
    #[must_use]
    pub const fn takes_whole(&self) -> bool {
        self.bus.appends_whole()
    }

    /// Makes a letter to a user's mailbox durable; it is mailed under the user's own address.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Unavailable`]: it may not be sent.
    pub async fn write_letter(&self, snapshot: &Snapshot, user: &OmsUser, words: &Words) -> Result<(), Refusal> {
        let Some((_, key)) = snapshot.ring().newest(&user.tenant) else { return Err(Refusal::Unavailable) };
        let now = clock::now();
        let id = MessageId::fresh(now, rand::random());
        let record = MailRecord {
            id: id.to_bytes().to_vec(),
            tenant: user.tenant.as_str().to_owned(),
            user: user.user_id.clone(),
            received_ms: now.0,
            data_key: key.id().to_owned(),
            sealed: words.seal(key, id),
            is_letter: true,
            ..MailRecord::default()
        };
        let entry = Entry::new(user.tenant.as_str().as_bytes().to_vec(), record.to_bytes());
        // Nobody plans it: late is as good as in time.
        self.append(&Lane::Mail, vec![entry], Timestamp(i64::MAX)).await
    }

    /// Makes something durable that a tenant's webhook is to hear. The same key leads to the same id of the post.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Unavailable`]: it may not be heard.
    pub async fn tell(&self, tenant: &model::TenantId, key: &str, happening: Happening) -> Result<(), Refusal> {
        let record = MailRecord {
            id: MessageId::derived(tenant, key).to_bytes().to_vec(),
            tenant: tenant.as_str().to_owned(),
            received_ms: clock::now().0,
            is_letter: true,
            happening: Some(happening),
            ..MailRecord::default()
        };
        let entry = Entry::new(tenant.as_str().as_bytes().to_vec(), record.to_bytes());
        // Nobody plans it: late is as good as in time.
        self.append(&Lane::Hooks, vec![entry], Timestamp(i64::MAX)).await
    }

    /// Makes what changed durable, all of it or nothing, and returns only then. A repeat does no harm.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: the lane is full, nothing was taken. [`Refusal::Unavailable`]: not known to be durable in time.
    pub async fn note_changes(&self, changes: &[Change]) -> Result<(), Refusal> {
        let entry = |change: &Change| {
            let tenant = change.tenant().map_err(|_| Refusal::Malformed)?;
            Ok(Entry::new(Change::partition_key(&tenant, &change.account), change.to_bytes()))
        };
        let entries = changes.iter().map(entry).collect::<Result<Vec<Entry>, Refusal>>()?;
        if entries.is_empty() {
            return Ok(());
        }
        let answer_by = clock::now().plus_ms(i64::try_from(self.accept_ms_max).unwrap_or(i64::MAX));
        self.append(&Lane::Changes, entries, answer_by).await
    }

    /// Makes durable what somebody says became of a delivery, where its outcome is or will be. A repeat does no harm.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: the lane is full, nothing was taken. [`Refusal::Unavailable`]: not known to be durable in time.
    pub async fn note_outcome(&self, key: impl Into<Bytes>, record: impl Into<Bytes>) -> Result<(), Refusal> {
        // Nobody plans it: late is as good as in time.
        self.append(&Lane::Outcomes, vec![Entry::new(key, record)], Timestamp(i64::MAX)).await
    }

    /// A message this replica accepted a moment ago.
    #[must_use]
    pub fn recent(&self, tenant: &model::TenantId, id: MessageId) -> Option<Accepted> {
        self.recent.find(tenant, id, clock::now()).map(|(accepted, _)| accepted)
    }

    async fn append(&self, lane: &Lane, entries: Vec<Entry>, answer_by: Timestamp) -> Result<(), Refusal> {
        let limit = Duration::from_millis(self.accept_ms_max);
        match tokio::time::timeout(limit, self.bus.append(lane, entries)).await {
            // The lane may have taken it after `answer_by`, and then the router ends it as not answered: a process that had
            // to wait for the processor hears of both, the timer and the append, too late.
            Ok(Ok(_)) if clock::now() <= answer_by => {
                self.standing.took();
                Ok(())
            }
            Ok(Err(BusError::Full { .. })) => Err(Refusal::Busy),
            Ok(Err(error)) => {
                self.standing.failed(clock::now());
                tracing::error!(%lane, error = &error as &dyn std::error::Error, "the lane can't be written");
                Err(Refusal::Unavailable)
            }
            Ok(Ok(_)) | Err(_) => {
                self.standing.failed(clock::now());
                self.metrics.appends_unknown.increment();
                Err(Refusal::Unavailable)
            }
        }
    }

    /// Writes the records of a message's deliveries behind `entries`.
    fn write(
        &self,
        snapshot: &Snapshot,
        submission: &Submission,
        known: &Known,
        answer_by: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        let Some((_, data_key)) = snapshot.ring().newest(&submission.tenant.id) else {
            tracing::error!(tenant = %submission.tenant.id, "the tenant has no data key; nothing can be sealed for it");
            return Err(Refusal::Unavailable);
        };
        let mut header = self.header(snapshot, submission, known);
        header.data_key = data_key.id().to_owned();
        header.answer_by_ms = answer_by.0;
        let key = match header.order_key.is_empty() {
            true => Bytes::copy_from_slice(&known.id.to_bytes()),
            false => Bytes::copy_from_slice(&header.order_key),
        };
        entries.reserve(submission.recipients.len() * submission.parts.len());
        let mut record = Record { header, body: Bytes::new() };
        let first = entries.len();
        for recipient in &submission.recipients {
            record.header.recipient_hash = snapshot.numbers().hash(recipient).to_vec();
            for part in &submission.parts {
                let header = &mut record.header;
                header.delivery = u32::try_from(entries.len() - first).map_err(|_| Refusal::TooManyRecipients)?;
                let content = part.content(recipient, header);
                header.report = submission.report.as_ref().map(|url| {
                    let delivery = DeliveryId { message: known.id, index: header.delivery };
                    ReportTo::seal(data_key, &submission.tenant.id, delivery, url)
                });
                let body = Body { sealed: data_key.seal(header, &content), ..Body::default() };
                record.body = model::octets(&body).into();
                entries.push(Entry::new(key.clone(), record.to_bytes()));
            }
        }
        Ok(())
    }

    /// What all deliveries of the message share.
    fn header(&self, snapshot: &Snapshot, submission: &Submission, known: &Known) -> Header {
        let tenant = &submission.tenant;
        let begin = submission.not_before.map_or(submission.received, |due| due.max(submission.received));
        // A day-old "something changed" is worth no more than the next one (push-wire.md, 5).
        let validity_seconds = match submission.tells {
            Some(_) => NOTIFICATION_MINUTES * 60,
            None => tenant.validity_seconds,
        };
        let validity_ms = i64::from(validity_seconds) * 1000;
        let order_key = |key: &String| snapshot.numbers().hash_text(&format!("{}\0{key}", tenant.id)).to_vec();
        let on_uncertain = if tenant.resend_uncertain { OnUncertain::Resend } else { OnUncertain::Keep };
        Header {
            schema_version: SCHEMA_VERSION,
            cell: self.cell.clone(),
            account: Account {
                provider: tenant.provider.clone(),
                reseller: tenant.reseller.clone(),
                tenant: tenant.id.as_str().to_owned(),
                user: submission.user.clone(),
            },
            message: known.id.to_bytes().to_vec(),
            deliveries: (submission.recipients.len() * submission.parts.len()) as u32,
            accepted_ms: submission.received.0,
            expires_ms: submission.expires.map_or(begin.0 + validity_ms, |expires| expires.0),
            not_before_ms: submission.not_before.map_or(0, |due| due.0),
            traceparent: submission.traceparent.clone(),
            path: match submission.path.as_str() {
                "" => snapshot.installation().to_owned(),
                before => format!("{before},{}", snapshot.installation()),
            },
            class: submission.class.into(),
            keyed: submission.key.is_some(),
            digest: known.digest.map(Vec::from).unwrap_or_default(),
            receipt: true,
            on_uncertain: on_uncertain.into(),
            door: submission.door.into(),
            order_key: submission.order_key.as_ref().map(order_key).unwrap_or_default(),
            notice: submission.tells.clone(),
            ..Header::default()
        }
    }
}

/// What a submission is known by.
struct Known {
    id: MessageId,
    /// Only under a key: an id by chance is never met again.
    digest: Option<Digest>,
}

impl Known {
    fn of(submission: &Submission) -> Self {
        match &submission.key {
            Some(key) => Known { id: MessageId::derived(&submission.tenant.id, key), digest: Some(digest(submission)) },
            None => Known { id: MessageId::fresh(submission.received, rand::random()), digest: None },
        }
    }
}

/// A head of a request's hash.
pub(crate) type Digest = [u8; 16];

/// What makes two requests under one key the same: everything the caller asked for, but for the way it came and where it reports.
fn digest(submission: &Submission) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("carillon 2026 request digest");
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    field(&[submission.door as u8, submission.class as u8]);
    for recipient in &submission.recipients {
        field(recipient.digits().as_bytes());
    }
    field(b"parts");
    for part in &submission.parts {
        field(part.text.as_bytes());
        if let Some(multimedia) = &part.multimedia {
            field(&prost::Message::encode_to_vec(multimedia));
        }
        if let Some(binary) = &part.binary {
            field(b"binary");
            field(&prost::Message::encode_to_vec(binary));
        }
    }
    for time in [submission.not_before, submission.expires] {
        field(&time.map_or(-1, |time| time.0).to_be_bytes());
    }
    field(submission.order_key.as_deref().unwrap_or("").as_bytes());
    let mut head = [0; 16];
    head.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    head
}
