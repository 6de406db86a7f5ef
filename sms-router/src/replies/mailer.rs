//! From lane `mail` to the mail server, from lane `hooks` to tenants' webhooks, and from lane `reports` to who handed us messages. Knows turns, retries and fates; how either
//! is spoken to is not here.
//!
//! A fate is written to the store before the lane is done with the mail, and is looked for before it is sent: after a crash
//! only what the server had taken in the moment before is sent again, at most one mail per connection, under the same Message-ID.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bus::{Acks, Bus, Consumed, Group, Read};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::party::OmsUser;
use model::record::Medium;
use model::reply::{MailRecord, Words};
use model::{DeliveryId, Lane, Msisdn, TenantId, Timestamp};
use runtime::Stop;
use store::{Fate, InboundOwner, InboundPlace, Store};
use tokio::time::Instant;
use wire::mail::{MailAddress, Part, Reply, ServiceLetter};

use super::hooks::{Hooks, Posted, Report};
use super::post::{Answer, Post};
use super::turns::{InHand, Turns};
use crate::RouterError;
use crate::config::Config;
use crate::deadletter::{self, Origin};
use crate::desk::{Desk, Source};
use crate::metrics::{MailedAs, Metrics, Part as MetricPart, PostedAs};
use crate::routing::Loads;

/// Takes replies out of lane `mail`.
pub const MAILERS: Group = Group::new("mailer");

/// Takes messages out of lane `hooks`.
pub const POSTERS: Group = Group::new("poster");

/// Takes ends of deliveries out of lane `reports`.
pub const REPORTERS: Group = Group::new("reporter");

/// Part of what is in hand that one tenant's webhook may have waiting. What comes above it is not posted, and says so in the
/// tenant's list: a webhook that is away for hours must not stop those of others.
const TENANT_SHARE: usize = 8;
/// The same of reports: few tenants get any.
const REPORTED_SHARE: usize = 2;

/// Where what is in a lane goes.
#[derive(Clone)]
pub enum Way {
    /// Into mailboxes.
    Mail(Post),
    /// To webhooks.
    Hooks(Hooks),
    /// To the addresses that came with messages.
    Reports(Hooks),
}

/// The mailer of one partition of a lane.
pub struct Mailer<B, S, L> {
    desk: Desk<B, S, L>,
    way: Way,
    source: Source,
    pace: Pace,
}

/// How fast, how often, how long.
struct Pace {
    connections_max: usize,
    in_hand_max: usize,
    /// Of one tenant: its server may be away while others' are there.
    tenant_in_hand_max: usize,
    tenant_connections_max: usize,
    retry_ms_first: u64,
    retry_ms_max: u64,
    give_up_hours: u32,
}

/// What became of something.
#[derive(Clone, Copy)]
enum End {
    Sent,
    Refused,
    Deferred,
    Unsendable,
    /// Nobody wants to hear of it.
    Unwanted,
    Repeated,
}

/// A reply in hand.
struct Waiting {
    offset: i64,
    tries: u32,
    tenant: TenantId,
    /// Too many of its tenant's wait already.
    is_too_many: bool,
    record: Arc<MailRecord>,
}

/// What came of one try.
enum Try {
    /// It has its fate.
    Done(End),
    /// It is to be tried again, since the server said this.
    Again(String),
}

type Trying<'a> = Pin<Box<dyn Future<Output = Result<(Waiting, Try), RouterError>> + Send + 'a>>;

impl<B: Bus, S: Store, L: Loads> Mailer<B, S, L> {
    /// The mailer of a partition.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, way: Way, partition: u32) -> Self {
        let (group, lane) = way.source();
        let pace = way.pace(&desk.config);
        Mailer { desk, way, source: Source { group, lane, partition }, pace }
    }

    /// Mails until the stop begins; what is on its way then is finished.
    ///
    /// # Errors
    /// The lane or the store is away; run again.
    pub async fn run(self, stop: &Stop) -> Result<(), RouterError> {
        let mut from = self.desk.watermark(&self.source).await?;
        let (mut turns, mut hand) = (Turns::new(self.pace.tenant_connections_max), InHand::default());
        let mut trying: FuturesUnordered<Trying<'_>> = FuturesUnordered::new();
        while !stop.has_begun() {
            while trying.len() < self.pace.connections_max
                && let Some(waiting) = turns.pop(Instant::now())
            {
                trying.push(Box::pin(self.attempt(waiting)));
            }
            let has_room = hand.len() < self.pace.in_hand_max;
            let due = turns.next_due().filter(|_| trying.len() < self.pace.connections_max);
            let rest = due.map_or(Duration::from_secs(60), |due| due.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = stop.begun() => {}
                read = self.desk.read(&self.source, from, stop), if has_room => {
                    let Some(reads) = read? else { break };
                    from = reads.last().map_or(from, |read| read.offset + 1);
                    self.take(reads, &mut turns, &mut hand).await?;
                }
                Some(tried) = trying.next() => self.conclude(tried?, from, &mut turns, &mut hand).await?,
                () = tokio::time::sleep(rest) => {}
            }
            self.way.show(&self.desk.metrics, hand.len());
        }
        while let Some(tried) = trying.next().await {
            self.conclude(tried?, from, &mut turns, &mut hand).await?;
        }
        self.way.show(&self.desk.metrics, 0);
        Ok(())
    }

    async fn take(&self, reads: Vec<Read>, turns: &mut Turns<Waiting>, hand: &mut InHand) -> Result<(), RouterError> {
        for read in reads {
            let record = MailRecord::read(read.payload.clone());
            let record = record.and_then(|record| Ok((record.tenant()?, record)));
            match record {
                Ok((tenant, record)) => {
                    let is_too_many = hand.len_of(&tenant) >= self.pace.tenant_in_hand_max;
                    hand.take(read.offset, tenant.clone());
                    let (offset, record, of) = (read.offset, record.into(), tenant.clone());
                    turns.push(tenant, Waiting { offset, tries: 0, tenant: of, is_too_many, record });
                }
                Err(error) => self.bury(read, error.to_string()).await?,
            }
        }
        Ok(())
    }

    /// Puts what nobody can read where somebody finds it.
    async fn bury(&self, read: Read, reason: String) -> Result<(), RouterError> {
        let Source { lane, partition, .. } = &self.source;
        tracing::error!(%lane, partition, offset = read.offset, %reason, "a reply can't be read and went to the dead letters");
        self.desk.metrics.dead_letters.increment();
        let origin = Origin { lane: lane.clone(), partition: *partition, offset: read.offset };
        let letter = deadletter::entry(&origin, read.payload, reason, self.desk.clock.now());
        let acks = Acks::Offsets(vec![read.offset]);
        let consumed = Consumed { acks, ..self.source.consumed(0) };
        let committed = self.desk.bus.commit(vec![consumed], vec![letter]).await;
        committed.map(drop).map_err(|error| self.source.commit_failed(error))
    }

    /// After a try: the lane is done with what has its fate, the rest waits.
    async fn conclude(
        &self,
        (waiting, tried): (Waiting, Try),
        read: i64,
        turns: &mut Turns<Waiting>,
        hand: &mut InHand,
    ) -> Result<(), RouterError> {
        turns.carried(&waiting.tenant);
        match tried {
            Try::Done(counted) => {
                self.way.count(&self.desk.metrics, counted);
                hand.done(waiting.offset);
                let up_to = hand.watermark(read);
                // Those above the oldest in hand are known by their fates if they come again.
                if up_to > waiting.offset {
                    self.desk.commit(&self.source, up_to, Vec::new()).await?;
                }
            }
            Try::Again(reason) => {
                self.way.count(&self.desk.metrics, End::Deferred);
                let pause = self.pause(waiting.tries);
                let id = waiting.record.id().map(|id| id.to_string()).unwrap_or_default();
                tracing::warn!(message.id = %id, tries = waiting.tries + 1, pause_ms = pause.as_millis(), lane = %self.source.lane, %reason, "a message could not be passed on and is tried again");
                let tenant = waiting.tenant.clone();
                let waiting = Waiting { tries: waiting.tries + 1, ..waiting };
                turns.push_later(tenant, waiting, Instant::now() + pause);
            }
        }
        Ok(())
    }

    fn pause(&self, tries: u32) -> Duration {
        let Pace { retry_ms_first, retry_ms_max, .. } = self.pace;
        let pause_ms = retry_ms_first.saturating_mul(1 << tries.min(20)).min(retry_ms_max);
        Duration::from_millis(pause_ms.max(1))
    }

    async fn attempt(&self, waiting: Waiting) -> Result<(Waiting, Try), RouterError> {
        let place = InboundPlace {
            owner: InboundOwner::Tenant(waiting.tenant.clone()),
            received: waiting.record.received(),
            id: waiting.record.id().expect("it was looked at when it was read"),
        };
        // A letter of ours stands in no list, and neither does a report.
        let is_listed = !waiting.record.is_letter && waiting.record.report.is_none();
        let row =
            if is_listed { self.desk.store.inbound_one(&place).await.map_err(RouterError::Inbound)? } else { None };
        if row.is_some_and(|row| row.fate.is_some()) {
            return Ok((waiting, Try::Done(End::Repeated)));
        }
        if self.is_unwanted(&waiting) {
            return Ok((waiting, Try::Done(End::Unwanted)));
        }
        let sent = match &self.way {
            _ if waiting.is_too_many => Err("too many of the tenant's wait before it"),
            Way::Mail(post) => {
                let user = self.desk.store.oms_user(&waiting.tenant, &waiting.record.user).await;
                self.mail(post, &waiting, user.map_err(RouterError::Inbound)?.map(|(_, user)| user)).await
            }
            Way::Hooks(hooks) => self.post(hooks, &waiting).await,
            Way::Reports(hooks) => self.report(hooks, &waiting).await,
        };
        let (end, reason) = match sent {
            Ok(Answer::Taken) => (End::Sent, String::new()),
            Ok(Answer::Refused(reason)) => (End::Refused, reason),
            Ok(Answer::NotNow(excuse)) if self.is_given_up(place.received) => (End::Refused, excuse.reason),
            Ok(Answer::NotNow(excuse)) => return Ok((waiting, Try::Again(excuse.word))),
            Err(reason) => (End::Unsendable, reason.to_owned()),
        };
        if !is_listed && !matches!(end, End::Sent) {
            // No list tells of it.
            tracing::warn!(message.id = %place.id, tenant = %waiting.tenant, lane = %self.source.lane, %reason, "given up");
        }
        if is_listed {
            let fate = Fate { word: self.way.word(end).to_owned(), reason, at: self.desk.clock.now() };
            self.desk.store.inbound_tell(&place, fate).await.map_err(RouterError::Inbound)?;
        }
        Ok((waiting, Try::Done(end)))
    }

    fn is_given_up(&self, received: Timestamp) -> bool {
        let hours = i64::from(self.pace.give_up_hours);
        self.desk.clock.now() >= received.plus_ms(hours * 60 * 60 * 1_000)
    }

    fn words(&self, waiting: &Waiting) -> Result<Words, &'static str> {
        let (record, snapshot) = (&waiting.record, self.desk.world.snapshot());
        let id = record.id().expect("it was looked at when it was read");
        let key = snapshot.keyring.key(&record.data_key).map_err(|_| "its key is gone")?;
        Words::open(key, id, &record.sealed).map_err(|_| "it does not open")
    }

    async fn post(&self, hooks: &Hooks, waiting: &Waiting) -> Result<Answer, &'static str> {
        let (record, now) = (&waiting.record, self.desk.clock.now());
        let id = record.id().expect("it was looked at when it was read");
        let snapshot = self.desk.world.snapshot();
        let tenant = snapshot.tenants.get(&waiting.tenant).ok_or("the tenant is gone")?;
        if let Some(happening) = &record.happening {
            return hooks.tell(tenant, id, happening, now).await;
        }
        let words = self.words(waiting)?;
        hooks.post(tenant, &Posted { id, account: &record.account, user: &record.user, words: &words }, now).await
    }

    /// Whether something happened that a tenant without a webhook does not want to hear.
    fn is_unwanted(&self, waiting: &Waiting) -> bool {
        let Way::Hooks(hooks) = &self.way else { return false };
        let snapshot = self.desk.world.snapshot();
        let has_hook = || snapshot.tenants.get(&waiting.tenant).is_some_and(|tenant| hooks.has(tenant));
        waiting.record.happening.is_some() && !has_hook()
    }

    async fn report(&self, hooks: &Hooks, waiting: &Waiting) -> Result<Answer, &'static str> {
        let (record, tenant) = (&waiting.record, &waiting.tenant);
        let ending = record.report.as_ref().ok_or("it is no report")?;
        let message = record.id().expect("it was looked at when it was read");
        let delivery = DeliveryId { message, index: ending.delivery };
        let url = ending.to.open(&self.desk.world.snapshot().keyring, tenant, delivery);
        let url = url.map_err(|_| "its key is gone")?;
        hooks.report(&Report { tenant, delivery, ending, url: &url }, self.desk.clock.now()).await
    }

    /// Writes the mail by what is known of the user at this moment, and hands it over. The error says why there is none.
    async fn mail(&self, post: &Post, waiting: &Waiting, user: Option<OmsUser>) -> Result<Answer, &'static str> {
        let (record, snapshot) = (&waiting.record, self.desk.world.snapshot());
        let user = user.ok_or("the user is gone")?;
        let words = self.words(waiting)?;
        let mailbox = if record.is_letter { &words.mailbox } else { &user.mail_address };
        if !record.is_letter && !user.mail_verified {
            return Err("the mailbox is not proved");
        }
        let to = MailAddress::parse(mailbox).map_err(|_| "the user has no mailbox")?;
        let from = MailAddress::parse(&user.smtp_address).map_err(|_| "the user has no address to reply from")?;
        let oms = snapshot.tenants.get(&waiting.tenant).map(|tenant| &tenant.oms);
        let id = record.id().expect("it was looked at when it was read");
        let names = Names {
            from_name: oms.map_or("", |oms| &oms.local_name),
            from: &from,
            to: &to,
            date: Timestamp(words.heard_ms),
            id: &format!("{:032x}.{}", id.0, if record.is_letter { "letter" } else { "reply" }),
        };
        let mail = if record.is_letter { letter(&names, &words, post) } else { reply(&names, &words, post)? };
        Ok(post.send(&from, &to, &mail).await)
    }
}

/// What stands in the head of any mail.
struct Names<'a> {
    from_name: &'a str,
    from: &'a MailAddress,
    to: &'a MailAddress,
    date: Timestamp,
    id: &'a str,
}

fn letter(names: &Names<'_>, words: &Words, post: &Post) -> Vec<u8> {
    let Names { from_name, from, to, date, id } = *names;
    ServiceLetter { from_name, from, to, date, id, subject: &words.subject, text: &words.text }.write(post.charset())
}

fn reply(names: &Names<'_>, words: &Words, post: &Post) -> Result<Vec<u8>, &'static str> {
    let Names { from_name, from, to, date, id } = *names;
    let mobile = Msisdn::parse(&words.from).map_err(|_| "its sender is no number")?;
    let reply = Reply { from_name, from, to, date, id, mobile: &mobile };
    let Some(multimedia) = &words.multimedia else { return Ok(reply.short_message(&words.text, post.charset())) };
    let is_smil = |medium: &&Medium| medium.content_type.eq_ignore_ascii_case("application/smil");
    let smil = multimedia.media.iter().find(is_smil).map(|medium| medium.data.as_slice());
    let media: Vec<_> = multimedia.media.iter().filter(|medium| !is_smil(medium)).map(part_of).collect();
    Ok(reply.multimedia(&multimedia.subject, smil, &media, post.charset()))
}

fn part_of(medium: &Medium) -> Part<'_> {
    let Medium { content_type, id, location, data } = medium;
    let charset = if content_type.starts_with("text/") { "utf-8" } else { "" };
    Part { content_type, charset, id, name: location, data }
}

impl Way {
    /// Who reads which lane.
    #[must_use]
    pub fn source(&self) -> (Group, Lane) {
        match self {
            Way::Mail(_) => (MAILERS, Lane::Mail),
            Way::Hooks(_) => (POSTERS, Lane::Hooks),
            Way::Reports(_) => (REPORTERS, Lane::Reports),
        }
    }

    /// What fails and is started again by itself.
    #[must_use]
    pub const fn part(&self) -> MetricPart {
        match self {
            Way::Mail(_) => MetricPart::Mailer,
            Way::Hooks(_) => MetricPart::Hooks,
            Way::Reports(_) => MetricPart::Reports,
        }
    }

    fn pace(&self, config: &Config) -> Pace {
        let at_once = |connections: u32| usize::try_from(connections.max(1)).unwrap_or(1);
        match self {
            Way::Mail(_) => Pace {
                connections_max: at_once(config.mail.connections_max),
                in_hand_max: config.mail.in_hand_max,
                // One server has all mails: when it is away, all wait.
                tenant_in_hand_max: usize::MAX,
                tenant_connections_max: usize::MAX,
                retry_ms_first: config.mail.retry_ms_first,
                retry_ms_max: config.mail.retry_ms_max,
                give_up_hours: config.mail.give_up_hours,
            },
            Way::Hooks(_) => Pace {
                connections_max: at_once(config.webhooks.connections_max),
                in_hand_max: config.webhooks.in_hand_max,
                tenant_in_hand_max: (config.webhooks.in_hand_max / TENANT_SHARE).max(1),
                tenant_connections_max: at_once(config.webhooks.connections_max.div_ceil(2)),
                retry_ms_first: config.webhooks.retry_ms_first,
                retry_ms_max: config.webhooks.retry_ms_max,
                give_up_hours: config.webhooks.give_up_hours,
            },
            Way::Reports(_) => Pace {
                connections_max: at_once(config.reports.connections_max),
                in_hand_max: config.reports.in_hand_max,
                tenant_in_hand_max: (config.reports.in_hand_max / REPORTED_SHARE).max(1),
                tenant_connections_max: at_once(config.reports.connections_max.div_ceil(2)),
                retry_ms_first: config.reports.retry_ms_first,
                retry_ms_max: config.reports.retry_ms_max,
                give_up_hours: config.reports.give_up_hours,
            },
        }
    }

    /// The fate of a message, in a word.
    const fn word(&self, end: End) -> &'static str {
        match (self, end) {
            (Way::Mail(_), End::Sent) => "mailed",
            (Way::Mail(_), End::Refused) => "bounced",
            (Way::Mail(_), _) => "unmailed",
            (Way::Hooks(_) | Way::Reports(_), End::Sent) => "posted",
            (Way::Hooks(_) | Way::Reports(_), End::Refused) => "refused",
            (Way::Hooks(_) | Way::Reports(_), _) => "unposted",
        }
    }

    fn show(&self, metrics: &Metrics, in_hand: usize) {
        let in_hand = i64::try_from(in_hand).unwrap_or(i64::MAX);
        match self {
            Way::Mail(_) => metrics.mails_in_hand.set(in_hand),
            Way::Hooks(_) => metrics.posts_in_hand.set(in_hand),
            Way::Reports(_) => metrics.reports_in_hand.set(in_hand),
        }
    }

    fn count(&self, metrics: &Metrics, end: End) {
        match self {
            Way::Mail(_) => metrics.mails.with(match end {
                End::Sent => MailedAs::Mailed,
                End::Refused => MailedAs::Bounced,
                End::Deferred => MailedAs::Deferred,
                End::Unsendable | End::Unwanted => MailedAs::Unmailed,
                End::Repeated => MailedAs::Repeated,
            }),
            Way::Hooks(_) => metrics.posts.with(posted_as(end)),
            Way::Reports(_) => metrics.reports.with(posted_as(end)),
        }
        .increment();
    }
}

const fn posted_as(end: End) -> PostedAs {
    match end {
        End::Sent => PostedAs::Posted,
        End::Refused => PostedAs::Refused,
        End::Deferred => PostedAs::Deferred,
        End::Unsendable => PostedAs::Unposted,
        End::Unwanted => PostedAs::Unwanted,
        End::Repeated => PostedAs::Repeated,
    }
}
