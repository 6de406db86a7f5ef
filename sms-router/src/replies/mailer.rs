//! From lane `mail` to the mail server. Knows turns, retries and fates; how a mail is written and sent is not here.
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
use model::reply::{MailRecord, Words};
use model::{Lane, Msisdn, TenantId, Timestamp};
use runtime::Stop;
use store::{Fate, InboundOwner, InboundPlace, Store};
use tokio::time::Instant;
use wire::mail::{MailAddress, Reply};

use super::post::{Answer, Post};
use super::turns::{InHand, Turns};
use crate::RouterError;
use crate::deadletter::{self, Origin};
use crate::desk::{Desk, Source};
use crate::metrics::MailedAs;
use crate::routing::Loads;

/// Takes replies out of lane `mail`.
pub const MAILERS: Group = Group::new("mailer");

/// The fates of replies, in a word.
const MAILED: &str = "mailed";
const BOUNCED: &str = "bounced";
const UNMAILED: &str = "unmailed";

/// The mailer of one partition of lane `mail`.
pub struct Mailer<B, S, L> {
    desk: Desk<B, S, L>,
    post: Post,
    source: Source,
}

/// A reply in hand.
struct Waiting {
    offset: i64,
    tries: u32,
    tenant: TenantId,
    record: Arc<MailRecord>,
}

/// What came of one try.
enum Try {
    /// It has its fate.
    Done(MailedAs),
    /// It is to be tried again, since the server said this.
    Again(String),
}

type Trying<'a> = Pin<Box<dyn Future<Output = Result<(Waiting, Try), RouterError>> + Send + 'a>>;

impl<B: Bus, S: Store, L: Loads> Mailer<B, S, L> {
    /// The mailer of a partition.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, post: Post, partition: u32) -> Self {
        Mailer { desk, post, source: Source { group: MAILERS, lane: Lane::Mail, partition } }
    }

    /// Mails until the stop begins; what is on its way then is finished.
    ///
    /// # Errors
    /// The lane or the store is away; run again.
    pub async fn run(self, stop: &Stop) -> Result<(), RouterError> {
        let mut from = self.desk.watermark(&self.source).await?;
        let (mut turns, mut hand) = (Turns::new(), InHand::default());
        let mut trying: FuturesUnordered<Trying<'_>> = FuturesUnordered::new();
        let connections_max = usize::try_from(self.desk.config.mail.connections_max.max(1)).unwrap_or(1);
        while !stop.has_begun() {
            while trying.len() < connections_max
                && let Some(waiting) = turns.pop(Instant::now())
            {
                trying.push(Box::pin(self.attempt(waiting)));
            }
            let has_room = hand.len() < self.desk.config.mail.in_hand_max;
            let due = turns.next_due().filter(|_| trying.len() < connections_max);
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
            self.desk.metrics.mails_in_hand.set(i64::try_from(hand.len()).unwrap_or(i64::MAX));
        }
        while let Some(tried) = trying.next().await {
            self.conclude(tried?, from, &mut turns, &mut hand).await?;
        }
        self.desk.metrics.mails_in_hand.set(0);
        Ok(())
    }

    async fn take(&self, reads: Vec<Read>, turns: &mut Turns<Waiting>, hand: &mut InHand) -> Result<(), RouterError> {
        for read in reads {
            let record = MailRecord::read(read.payload.clone());
            let record = record.and_then(|record| Ok((record.tenant()?, record)));
            match record {
                Ok((tenant, record)) => {
                    hand.take(read.offset);
                    let waiting =
                        Waiting { offset: read.offset, tries: 0, tenant: tenant.clone(), record: record.into() };
                    turns.push(tenant, waiting);
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
        match tried {
            Try::Done(counted) => {
                self.desk.metrics.mails.with(counted).increment();
                hand.done(waiting.offset);
                let up_to = hand.watermark(read);
                // Those above the oldest in hand are known by their fates if they come again.
                if up_to > waiting.offset {
                    self.desk.commit(&self.source, up_to, Vec::new()).await?;
                }
            }
            Try::Again(reason) => {
                self.desk.metrics.mails.with(MailedAs::Deferred).increment();
                let pause = self.pause(waiting.tries);
                let id = waiting.record.id().map(|id| id.to_string()).unwrap_or_default();
                tracing::warn!(message.id = %id, tries = waiting.tries + 1, pause_ms = pause.as_millis(), %reason, "a reply could not be mailed and is tried again");
                let tenant = waiting.tenant.clone();
                let waiting = Waiting { tries: waiting.tries + 1, ..waiting };
                turns.push_later(tenant, waiting, Instant::now() + pause);
            }
        }
        Ok(())
    }

    fn pause(&self, tries: u32) -> Duration {
        let mail = &self.desk.config.mail;
        let pause_ms = mail.retry_ms_first.saturating_mul(1 << tries.min(20)).min(mail.retry_ms_max);
        Duration::from_millis(pause_ms.max(1))
    }

    async fn attempt(&self, waiting: Waiting) -> Result<(Waiting, Try), RouterError> {
        let place = InboundPlace {
            owner: InboundOwner::Tenant(waiting.tenant.clone()),
            received: waiting.record.received(),
            id: waiting.record.id().expect("it was looked at when it was read"),
        };
        let row = self.desk.store.inbound_one(&place).await.map_err(RouterError::Inbound)?;
        if row.is_some_and(|row| row.fate.is_some()) {
            return Ok((waiting, Try::Done(MailedAs::Repeated)));
        }
        let user = self.desk.store.oms_user(&waiting.tenant, &waiting.record.user).await;
        let user = user.map_err(RouterError::Inbound)?.map(|(_, user)| user);
        let (counted, word, reason) = match self.send(&waiting, user).await {
            Ok(Answer::Taken) => (MailedAs::Mailed, MAILED, String::new()),
            Ok(Answer::Refused(reason)) => (MailedAs::Bounced, BOUNCED, reason),
            Ok(Answer::NotNow(excuse)) if self.is_given_up(place.received) => {
                (MailedAs::Bounced, BOUNCED, excuse.reason)
            }
            Ok(Answer::NotNow(excuse)) => return Ok((waiting, Try::Again(excuse.word))),
            Err(reason) => (MailedAs::Unmailed, UNMAILED, reason.to_owned()),
        };
        let fate = Fate { word: word.to_owned(), reason, at: self.desk.clock.now() };
        self.desk.store.inbound_tell(&place, fate).await.map_err(RouterError::Inbound)?;
        Ok((waiting, Try::Done(counted)))
    }

    fn is_given_up(&self, received: Timestamp) -> bool {
        let hours = i64::from(self.desk.config.mail.give_up_hours);
        self.desk.clock.now() >= received.plus_ms(hours * 60 * 60 * 1_000)
    }

    /// Writes the mail by what is known of the user at this moment, and hands it over. The error says why there is none.
    async fn send(&self, waiting: &Waiting, user: Option<OmsUser>) -> Result<Answer, &'static str> {
        let (record, snapshot) = (&waiting.record, self.desk.world.snapshot());
        let id = record.id().expect("it was looked at when it was read");
        let user = user.ok_or("the user is gone")?;
        if !user.mail_verified {
            return Err("the mailbox is not proved");
        }
        let to = MailAddress::parse(&user.mail_address).map_err(|_| "the user has no mailbox")?;
        let from = MailAddress::parse(&user.smtp_address).map_err(|_| "the user has no address to reply from")?;
        let key = snapshot.keyring.key(&record.data_key).map_err(|_| "its key is gone")?;
        let words = Words::open(key, id, &record.sealed).map_err(|_| "it does not open")?;
        let mobile = Msisdn::parse(&words.from).map_err(|_| "its sender is no number")?;
        let name = snapshot.tenants.get(&waiting.tenant).map(|tenant| tenant.oms.local_name.clone());
        let reply = Reply {
            from_name: name.as_deref().unwrap_or_default(),
            from: &from,
            to: &to,
            date: Timestamp(words.heard_ms),
            id: &format!("{:032x}.reply", id.0),
            mobile: &mobile,
        };
        let mail = reply.short_message(&words.text, self.post.charset());
        Ok(self.post.send(&from, &to, &mail).await)
    }
}
