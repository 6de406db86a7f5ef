//! From lane `inbox` to whom each message is for. Knows what goes on and what is listed; who is asked first is `claims`'s.
//!
//! Whole messages are listed in the store first, under an id that a replay makes again; then replies for mailboxes are
//! appended to lane `mail` together with the watermark.

use std::collections::HashMap;
use std::time::Duration;

use bus::{Bus, Entry, Group, Read};
use model::keyring::MasterKey;
use model::party::{OmsUser, ReplyTo};
use model::reply::{Heard, Letter, MailRecord, Words};
use model::seal::{DataKey, NumberKey};
use model::{Lane, MessageId, Msisdn, TenantId, Timestamp};
use prost::Message as _;
use runtime::Stop;
use store::{InboundOwner, InboundPart, InboundPlace, InboundRow, InboundTaken, PARTS_MS, Store};
use tokio::time::Instant;
use wire::mail::MailAddress;
use wire::reassembly::join_octets;
use wire::tpdu::{Deliver, UserData};

use super::claims::{Claim, Hearing, Said};
use super::hooks::Hooks;
use super::onward::{Budget, Onward};
use super::parts::{Kept, Parts, Taken, text};
use crate::RouterError;
use crate::deadletter::{self, Origin};
use crate::desk::{Desk, Source};
use crate::metrics::{LagOf, TakenBy};
use crate::outcome::{Inbound, Kind, OutcomeEntry, partition_key};
use crate::routing::Loads;
use crate::settle::REFERENCES;
use crate::world::Snapshot;

/// Takes messages from handsets out of lane `inbox`.
pub const READERS: Group = Group::new("inbox");

/// How often parts that wait are looked at.
const LOOK_REST: Duration = Duration::from_secs(5);
/// How much later than they are due they go on, about.
const LOOK_MS: i64 = 10_000;
/// How long a message waits for outcomes to be remembered, and how often one looks.
const REMEMBERED_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// Where a message goes besides its owner's list; words of [`InboundRow::goes_to`]. The last is followed by a message's id.
const MAILBOX: &str = "mailbox";
const WEBHOOK: &str = "webhook";
const PHONE: &str = "phone:";

/// What messages from handsets are opened with, and numbers found by.
#[derive(Clone)]
pub struct Keys {
    inbound: DataKey,
    numbers: NumberKey,
}

impl Keys {
    /// The keys of an installation.
    #[must_use]
    pub fn of(master: &MasterKey) -> Self {
        Keys { inbound: master.inbound_key(), numbers: master.number_key() }
    }
}

/// The reader of one partition of lane `inbox`.
pub struct Inbox<B, S, L> {
    desk: Desk<B, S, L>,
    keys: Keys,
    source: Source,
    parts: Parts,
    hooks: Hooks,
    phones: Budget,
}

/// What a farm heard, read.
enum Opened {
    Short(Deliver),
    Multimedia(Letter),
}

/// An entry of the lane, and what is in it.
type Fresh = (Read, Inbound, Opened);

/// A whole message.
struct Whole {
    id: MessageId,
    account: String,
    received: Timestamp,
    words: Words,
}

/// What came of a batch.
#[derive(Default)]
struct Work {
    rows: Vec<InboundRow>,
    kept: Vec<InboundPart>,
    joined: Vec<[u8; 16]>,
    taken: Vec<InboundTaken>,
    appended: Vec<(Lane, Entry)>,
}

impl<B: Bus, S: Store, L: Loads> Inbox<B, S, L> {
    /// The reader of a partition.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, keys: Keys, hooks: Hooks, partition: u32) -> Self {
        let source = Source { group: READERS, lane: Lane::Inbox, partition };
        let phones = Budget::new(desk.config.replies_per_phone_hour_max);
        Inbox { desk, keys, source, parts: Parts::default(), hooks, phones }
    }

    /// Reads until the stop begins.
    ///
    /// # Errors
    /// The lane or the store is away; run again.
    pub async fn run(mut self, stop: &Stop) -> Result<(), RouterError> {
        let mut from = self.desk.watermark(&self.source).await?;
        self.load(from).await?;
        loop {
            let read = tokio::time::timeout(LOOK_REST, self.desk.read(&self.source, from, stop)).await;
            let Some(reads) = read.unwrap_or_else(|_| Ok(Some(Vec::new())))? else { return Ok(()) };
            if !self.settle(&reads, stop).await || !self.remembered(&reads, stop).await? {
                return Ok(());
            }
            let up_to = reads.last().map_or(from, |read| read.offset + 1);
            let work = self.sort(reads).await?;
            self.write(work, from, up_to).await?;
            from = up_to;
            let parts = i64::try_from(self.parts.count()).unwrap_or(i64::MAX);
            self.desk.metrics.inbound_parts.set(parts);
        }
    }

    /// Waits until what a message may answer is remembered; false if the stop began.
    async fn settle(&self, reads: &[Read], stop: &Stop) -> bool {
        let Some(last) = reads.last() else { return true };
        let settle_ms = i64::try_from(self.desk.config.inbound_settle_ms).unwrap_or(i64::MAX);
        let wait_ms = last.at.0.saturating_add(settle_ms).saturating_sub(self.desk.clock.now().0);
        // Clocks may differ; a wait is never longer than the setting.
        let wait = Duration::from_millis(u64::try_from(wait_ms.min(settle_ms)).unwrap_or(0));
        tokio::select! { () = stop.begun() => false, () = tokio::time::sleep(wait) => true }
    }

    /// Waits until every outcome that is told of is remembered: one of them may be what a message answers. False if the stop
    /// began. A settler that does not get on holds replies up for a while, not for ever.
    async fn remembered(&self, reads: &[Read], stop: &Stop) -> Result<bool, RouterError> {
        if reads.is_empty() {
            return Ok(true);
        }
        let until = Instant::now() + REMEMBERED_MAX;
        for partition in 0..Lane::Outcomes.partitions() {
            let source = Source { group: REFERENCES, lane: Lane::Outcomes, partition };
            let end = self.desk.end(&source).await?;
            loop {
                let followed = self.desk.watermark(&source).await?;
                if self.desk.has_reached(&source, followed, end).await? || Instant::now() > until {
                    break;
                }
                tokio::select! { () = stop.begun() => return Ok(false), () = tokio::time::sleep(LOOK) => {} }
            }
        }
        Ok(true)
    }

    /// Takes in the parts that are kept. What stands at or after `from` comes again.
    async fn load(&mut self, from: i64) -> Result<(), RouterError> {
        let rows = self.desk.store.inbound_parts(self.source.partition).await.map_err(RouterError::Inbound)?;
        let mut joined = Vec::new();
        for row in rows.into_iter().filter(|row| row.offset < from) {
            let read = Read { offset: row.offset, at: row.at, payload: row.payload.clone() };
            if let Some(kept) = self.part_of(&read)
                && let Taken::Whole(parts) = self.parts.take(kept)
            {
                // All of it is below the watermark: it went on, and only its rows are left.
                joined.extend(parts.first().map(|part| part.row.message));
            }
        }
        if !joined.is_empty() {
            let dropped = self.desk.store.inbound_parts_drop(self.source.partition, joined).await;
            dropped.map_err(RouterError::Inbound)?;
        }
        Ok(())
    }

    fn part_of(&self, read: &Read) -> Option<Kept> {
        match self.open(read).ok()? {
            (inbound, Opened::Short(deliver)) => self.as_part(read, &inbound, &deliver),
            (_, Opened::Multimedia(_)) => None,
        }
    }

    async fn sort(&mut self, reads: Vec<Read>) -> Result<Work, RouterError> {
        let (mut work, snapshot) = (Work::default(), self.desk.world.snapshot());
        if !reads.is_empty() {
            self.desk.metrics.batch.with(LagOf::Inbox).observe(reads.len() as f64);
        }
        for (read, inbound, opened) in self.fresh(reads, &mut work).await? {
            let deliver = match opened {
                Opened::Short(deliver) => deliver,
                Opened::Multimedia(letter) => {
                    let words = Words { from: letter.from, multimedia: Some(letter.multimedia), ..Words::default() };
                    self.claim(self.whole_of(&inbound, words, read.at), &snapshot, &mut work).await?;
                    continue;
                }
            };
            let Some(part) = self.as_part(&read, &inbound, &deliver) else {
                let from = sender(&deliver);
                let whole = self.whole(&inbound, from, &[deliver.user_data], read.at);
                self.claim(whole, &snapshot, &mut work).await?;
                continue;
            };
            match self.parts.take(part) {
                Taken::Waiting(row) => work.kept.push(row),
                Taken::Repeated => {}
                Taken::Whole(parts) => self.join(parts, read.at, &snapshot, &mut work).await?,
            }
        }
        let wait_ms =
            i64::try_from(self.desk.config.inbound_parts_seconds_max).unwrap_or(i64::MAX).saturating_mul(1_000);
        let wait_ms = wait_ms.min(PARTS_MS);
        for parts in self.parts.overdue(self.desk.clock.now().plus_ms(-wait_ms)) {
            // Not the clock's time: after a kill the same parts must make the same message, under the same id. Lists are read
            // from where they ended, so it stands after what was listed while it was still waiting.
            let Some(oldest) = parts.iter().map(|part| part.row.at).min() else { continue };
            self.join(parts, oldest.plus_ms(wait_ms + LOOK_MS), &snapshot, &mut work).await?;
        }
        Ok(work)
    }

    /// Those that can be read and are no repeats: a farm says again what it has no answer to.
    async fn fresh(&self, reads: Vec<Read>, work: &mut Work) -> Result<Vec<Fresh>, RouterError> {
        let mut opened = Vec::with_capacity(reads.len());
        for read in reads {
            match self.open(&read) {
                Ok((inbound, heard)) => opened.push((self.arrival(&inbound), read, inbound, heard)),
                Err(reason) => self.bury(&read, reason, work),
            }
        }
        let arrivals = opened.iter().map(|(arrival, ..)| *arrival).collect();
        let known = self.desk.store.inbound_taken(arrivals).await.map_err(RouterError::Inbound)?;
        let mut firsts = HashMap::new();
        let mut fresh = Vec::with_capacity(opened.len());
        for ((arrival, read, inbound, heard), known) in opened.into_iter().zip(known) {
            let first = *firsts.entry(arrival).or_insert(known.unwrap_or(read.offset));
            if first != read.offset {
                self.desk.metrics.inbound_taken.with(TakenBy::Nobody).increment();
                continue;
            }
            work.taken.push(InboundTaken { arrival, offset: read.offset, at: read.at });
            fresh.push((read, inbound, heard));
        }
        Ok(fresh)
    }

    /// What a farm calls a message, as a keyed hash: (farm, incarnation, number) makes it unique.
    fn arrival(&self, inbound: &Inbound) -> [u8; 16] {
        self.keys.numbers.hash_text(&model::hex::digits(&inbound.binding()))
    }

    /// Makes one message of parts.
    async fn join(
        &self,
        parts: Vec<Kept>,
        taken: Timestamp,
        snapshot: &Snapshot,
        work: &mut Work,
    ) -> Result<(), RouterError> {
        let Some(first) = parts.iter().min_by_key(|part| part.row.offset) else { return Ok(()) };
        let user_data: Vec<UserData> = parts.iter().map(|part| part.user_data.clone()).collect();
        let mut whole = self.whole(&first.inbound, first.from.clone(), &user_data, taken);
        if let Some(text) = text(&parts) {
            whole.words = Words { text, data: Vec::new(), ..whole.words };
        }
        work.joined.push(first.row.message);
        self.claim(whole, snapshot, work).await
    }

    fn whole(&self, inbound: &Inbound, from: String, user_data: &[UserData], received: Timestamp) -> Whole {
        let (text, data) = match user_data {
            [one] => match one.text() {
                Some(text) => (text, Vec::new()),
                None => (String::new(), one.body_octets()),
            },
            parts => (String::new(), join_octets(parts)),
        };
        self.whole_of(inbound, Words { from, text, data, ..Words::default() }, received)
    }

    fn whole_of(&self, inbound: &Inbound, words: Words, received: Timestamp) -> Whole {
        // A replay makes the same of it.
        let arrival = self.arrival(inbound);
        let words = Words { heard_ms: inbound.at_ms, ..words };
        Whole { id: id_of(arrival, received), account: inbound.imsi.clone(), received, words }
    }

    /// Gives a message to whom it is for.
    async fn claim(&self, whole: Whole, snapshot: &Snapshot, work: &mut Work) -> Result<(), RouterError> {
        let Words { from, text, .. } = &whole.words;
        let mut other = whole.id.to_bytes();
        other.reverse();
        let answer = id_of(other, whole.received);
        let said = Said { account: &whole.account, from, text, received: whole.received, answer };
        let hearing = Hearing { desk: &self.desk, numbers: &self.keys.numbers, snapshot, said };
        let Claim { owner, user, order, appended } = hearing.claim().await?;
        work.appended.extend(appended);
        let key = match &owner {
            InboundOwner::Tenant(tenant) => snapshot.keyring.newest(tenant).map_or(&self.keys.inbound, |(_, key)| key),
            InboundOwner::Operator => &self.keys.inbound,
        };
        let tenant = match &owner {
            InboundOwner::Tenant(tenant) => snapshot.tenants.get(tenant),
            InboundOwner::Operator => None,
        };
        let mut goes_to: Vec<String> = order.map(|order| order.as_str().to_owned()).into_iter().collect();
        if user.as_ref().is_some_and(|user| is_mailed(user, &whole.words)) {
            goes_to.push(MAILBOX.to_owned());
        }
        if let (Some(tenant), Some(user)) = (tenant, &user)
            && let Some(phone) = self.phones.phone(user, &whole.words)
            && let Some((_, key)) = snapshot.keyring.newest(&tenant.id)
        {
            let (id, words, received) = (answer, &whole.words, whole.received);
            let onward = Onward { tenant, user, phone: &phone, words, id, received };
            work.appended.push((Lane::Accepted, onward.entry(key, &self.keys.numbers)));
            goes_to.push(format!("{PHONE}{id}"));
        }
        // The first that fits takes it: what a user gets is not the tenant's to be told of.
        if goes_to.is_empty() && tenant.is_some_and(|tenant| self.hooks.has(tenant)) {
            goes_to.push(WEBHOOK.to_owned());
        }
        let row = InboundRow {
            account: whole.account,
            user: user.map(|user| user.user_id.clone()).unwrap_or_default(),
            goes_to: goes_to.join(" "),
            data_key: key.id().to_owned(),
            sealed: whole.words.seal(key, whole.id),
            fate: None,
            place: InboundPlace { owner, received: whole.received, id: whole.id },
        };
        let taken = match goes_to.first().map(String::as_str) {
            Some(MAILBOX) => TakenBy::Mailbox,
            Some(WEBHOOK) => TakenBy::Webhook,
            Some(_) if order.is_some() => TakenBy::Order,
            Some(_) => TakenBy::Phone,
            None if tenant.is_some() => TakenBy::Tenant,
            None => TakenBy::Operator,
        };
        match (taken, &row.place.owner) {
            (TakenBy::Mailbox, InboundOwner::Tenant(tenant)) => work.appended.push(onward(Lane::Mail, tenant, &row)),
            (TakenBy::Webhook, InboundOwner::Tenant(tenant)) => work.appended.push(onward(Lane::Hooks, tenant, &row)),
            _ => {}
        }
        self.desk.metrics.inbound_taken.with(taken).increment();
        work.rows.push(row);
        Ok(())
    }

    /// Opens an entry; the error says why it can't be, and shows nothing of it.
    fn open(&self, read: &Read) -> Result<(Inbound, Opened), String> {
        let kind = OutcomeEntry::read(read.payload.clone()).map_err(|error| error.to_string())?;
        let Kind::Inbound(inbound) = kind else { return Err("no message from a handset".to_owned()) };
        let plain = self.keys.inbound.open_bytes(&inbound.binding(), &inbound.sealed);
        let plain = plain.map_err(|error| error.to_string())?;
        let opened = match Heard::read(plain.into()).map_err(|error| error.to_string())? {
            Heard::Short(tpdu) => Opened::Short(Deliver::decode(&tpdu).map_err(|error| error.to_string())?),
            Heard::Multimedia(letter) => Opened::Multimedia(letter),
        };
        Ok((inbound, opened))
    }

    fn as_part(&self, read: &Read, inbound: &Inbound, deliver: &Deliver) -> Option<Kept> {
        let place = deliver.user_data.header().and_then(|header| header.part())?;
        let from = sender(deliver);
        let shared = format!("{}\0{from}\0{:?}\0{}", inbound.imsi, place.reference, place.total);
        let row = InboundPart {
            partition: self.source.partition,
            message: self.keys.numbers.hash_text(&shared),
            number: place.number,
            offset: read.offset,
            at: read.at,
            payload: read.payload.clone(),
        };
        let (inbound, user_data) = (inbound.clone(), deliver.user_data.clone());
        Some(Kept { row, inbound, from, total: place.total, user_data })
    }

    /// Puts what nobody can read where somebody finds it.
    fn bury(&self, read: &Read, reason: String, work: &mut Work) {
        let Source { lane, partition, .. } = &self.source;
        tracing::error!(%lane, partition, offset = read.offset, %reason, "a message from a handset can't be read and went to the dead letters");
        self.desk.metrics.dead_letters.increment();
        let origin = Origin { lane: lane.clone(), partition: *partition, offset: read.offset };
        work.appended.push(deadletter::entry(&origin, read.payload.clone(), reason, self.desk.clock.now()));
    }

    /// Rows first; they are the same if this is done again. Parts that went on are removed when they cannot come again.
    async fn write(&self, work: Work, from: i64, up_to: i64) -> Result<(), RouterError> {
        let store = &self.desk.store;
        if !work.taken.is_empty() {
            store.inbound_take(work.taken).await.map_err(RouterError::Inbound)?;
        }
        if !work.kept.is_empty() {
            store.inbound_parts_put(work.kept).await.map_err(RouterError::Inbound)?;
        }
        if !work.rows.is_empty() {
            store.inbound_put(work.rows).await.map_err(RouterError::Inbound)?;
        }
        if up_to > from || !work.appended.is_empty() {
            self.desk.commit(&self.source, up_to, work.appended).await?;
        }
        if !work.joined.is_empty() {
            let dropped = store.inbound_parts_drop(self.source.partition, work.joined).await;
            dropped.map_err(RouterError::Inbound)?;
        }
        Ok(())
    }
}

/// Whether a reply goes into the user's mailbox: to one that was proved, from a number that can be answered.
fn is_mailed(user: &OmsUser, words: &Words) -> bool {
    let wants = matches!(user.replies_go(), ReplyTo::Mailbox | ReplyTo::Both);
    wants
        && user.mail_verified
        && MailAddress::parse(&user.mail_address).is_ok()
        && MailAddress::parse(&user.smtp_address).is_ok()
        && Msisdn::parse(&words.from).is_ok()
        && words.data.is_empty()
}

/// An id that a replay makes again.
fn id_of(seed: [u8; 16], received: Timestamp) -> MessageId {
    let mut random = [0; 10];
    random.copy_from_slice(&seed[..10]);
    MessageId::fresh(received, random)
}

fn onward(lane: Lane, tenant: &TenantId, row: &InboundRow) -> (Lane, Entry) {
    let record = MailRecord {
        id: row.place.id.to_bytes().to_vec(),
        tenant: tenant.as_str().to_owned(),
        user: row.user.clone(),
        received_ms: row.place.received.0,
        data_key: row.data_key.clone(),
        sealed: row.sealed.clone(),
        account: row.account.clone(),
        ..MailRecord::default()
    };
    (lane, Entry::new(partition_key(tenant.as_str(), &[]), record.encode_to_vec()))
}

/// As people write it; an international number as E.164.
fn sender(deliver: &Deliver) -> String {
    deliver.originator.to_text()
}
