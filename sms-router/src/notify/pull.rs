//! Asks tenants that can't call us what changed: a long GET with a cursor, again and again (push channels, 2.2). Knows pages and their
//! bounds, not who is told.
//!
//! The owner of a partition of lane `changes` asks the tenants whose names fall to it, each by a task of its own. A page is in the lane,
//! durable, before its cursor is kept: a crash in between asks for it again, and what is dirty twice is told once.

use std::collections::HashMap;
use std::time::Duration;

use bus::{Bus, Entry};
use model::party::Tenant;
use model::push::{Account, Change, ChangeKind, Dirty, Op};
use model::{Lane, TenantId};
use rand::Rng as _;
use runtime::Stop;
use serde::Deserialize;
use store::{Document, DocumentKind, Revision, Store};
use tokio::task::JoinHandle;

use crate::RouterError;
use crate::desk::Desk;
use crate::metrics::PulledAs;
use crate::replies::hooks::Hooks;
use crate::routing::Loads;

/// How often it is looked which tenants are to be asked.
const LOOK: Duration = Duration::from_secs(1);
/// Events of one page.
const EVENTS_MAX: usize = 5_000;
/// Octets of a cursor.
const CURSOR_BYTES_MAX: usize = 1_024;
/// Octets of a name.
const NAME_BYTES_MAX: usize = 255;
/// The document that keeps a tenant's cursor.
const CURSOR: &str = "events";
/// An answer that holds nothing and comes sooner than this was no long GET; the next one waits so long.
const PAUSE: Duration = Duration::from_millis(500);
/// The first pause after a failure, and the longest; each is drawn from nothing to it (full jitter).
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Asks the tenants of one partition.
pub struct Puller<B, S, L> {
    desk: Desk<B, S, L>,
    hooks: Hooks,
    partition: u32,
}

/// What a tenant answers.
#[derive(Deserialize)]
struct Page {
    cursor: String,
    events: Vec<Event>,
}

/// Something that changed. What else stands there is passed over.
#[derive(Deserialize)]
struct Event {
    account: String,
    resource: String,
    #[serde(default)]
    op: String,
    #[serde(default)]
    count: u32,
    #[serde(default)]
    origin: String,
}

/// A task, and the address it asks. It ends with what holds it.
struct Asking {
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<B: Bus, S: Store, L: Loads> Puller<B, S, L> {
    /// Asks for the owner of a partition.
    #[must_use]
    pub fn new(desk: Desk<B, S, L>, hooks: Hooks, partition: u32) -> Self {
        Puller { desk, hooks, partition }
    }

    /// Works until the stop begins. What was taken and not noted is asked for again.
    ///
    /// # Errors
    /// None; it is a part like others.
    pub async fn run(self, stop: &Stop) -> Result<(), RouterError> {
        let mut asking: HashMap<TenantId, Asking> = HashMap::new();
        while !stop.has_begun() {
            let snapshot = self.desk.world.snapshot();
            let is_ours = |tenant: &&Tenant| {
                let name = tenant.id.as_str().as_bytes();
                !tenant.events_url.is_empty() && bus::partition_of(name, Lane::Changes.partitions()) == self.partition
            };
            let ours: Vec<&Tenant> = snapshot.tenants.values().filter(is_ours).collect();
            asking.retain(|id, one| ours.iter().any(|tenant| tenant.id == *id && tenant.events_url == one.url));
            for tenant in ours {
                let begin = || Asking { url: tenant.events_url.clone(), task: self.ask(tenant.clone(), stop) };
                asking.entry(tenant.id.clone()).or_insert_with(begin);
            }
            tokio::select! { () = stop.begun() => {} () = tokio::time::sleep(LOOK) => {} }
        }
        Ok(())
    }

    fn ask(&self, tenant: Tenant, stop: &Stop) -> JoinHandle<()> {
        let one = One { desk: self.desk.clone(), hooks: self.hooks.clone(), tenant };
        let until = stop.clone();
        tokio::spawn(async move {
            tokio::select! { () = until.begun() => {} () = one.go_on() => {} }
        })
    }
}

/// One tenant that is asked.
struct One<B, S, L> {
    desk: Desk<B, S, L>,
    hooks: Hooks,
    tenant: Tenant,
}

/// Where a tenant's events were read up to.
struct Place {
    revision: Option<Revision>,
    cursor: String,
}

impl<B: Bus, S: Store, L: Loads> One<B, S, L> {
    async fn go_on(self) {
        let mut backoff = BACKOFF;
        loop {
            let begun = tokio::time::Instant::now();
            let rest = match self.turn().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => PAUSE.saturating_sub(begun.elapsed()),
                Err(reason) => {
                    self.count(PulledAs::Failed, 1);
                    tracing::warn!(tenant = %self.tenant.id, %reason, "a tenant can't be asked what changed");
                    let rest = backoff.mul_f64(rand::rng().random_range(0.0..1.0));
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    tokio::time::sleep(rest).await;
                    continue;
                }
            };
            backoff = BACKOFF;
            tokio::time::sleep(rest).await;
        }
    }

    /// Asks once and takes in what is answered; false if there is nothing.
    async fn turn(&self) -> Result<bool, String> {
        let place = self.place().await?;
        let Some(body) = self.hooks.pull(&self.tenant, &place.cursor, self.desk.clock.now()).await? else {
            return Ok(false);
        };
        let page: Page =
            serde_json::from_slice(&body).map_err(|error| format!("its answer is not understood: {error}"))?;
        if page.events.len() > EVENTS_MAX || page.cursor.len() > CURSOR_BYTES_MAX {
            return Err(format!("a page has at most {EVENTS_MAX} events, and a cursor {CURSOR_BYTES_MAX} bytes"));
        }
        let told = page.events.len();
        let entries: Vec<Entry> = page.events.into_iter().filter_map(|event| self.entry(event)).collect();
        self.count(PulledAs::Rejected, told - entries.len());
        self.count(PulledAs::Taken, entries.len());
        if !entries.is_empty() {
            self.desk.bus.append(&Lane::Changes, entries).await.map_err(|error| runtime::in_full(&error))?;
        }
        self.keep(place, page.cursor).await?;
        Ok(told > 0)
    }

    /// Checked as at the other doors, but for what only the account tells; there the notifier counts what it does not know.
    fn entry(&self, event: Event) -> Option<Entry> {
        let Event { account, resource, op, count, origin } = event;
        let account = Account::id_of(&account)?;
        let op = match op.as_str() {
            "" | "-" => Op::Unsaid,
            "add" => Op::Add,
            "change" => Op::Change,
            "delete" => Op::Delete,
            _ => return None,
        };
        if !(1..=NAME_BYTES_MAX).contains(&resource.len()) || origin.len() > NAME_BYTES_MAX {
            return None;
        }
        let dirty = Dirty { resource, op: op.into(), count, origin, within_ms: None };
        let (tenant, kind) = (self.tenant.id.as_str().to_owned(), Some(ChangeKind::Dirty(dirty)));
        let key = Change::partition_key(&self.tenant.id, &account);
        Some(Entry::new(key, Change { tenant, account, answer_by_ms: 0, kind }.to_bytes()))
    }

    async fn place(&self) -> Result<Place, String> {
        let found = self.desk.store.document(&self.tenant.id, DocumentKind::PullCursor, CURSOR).await;
        Ok(match found.map_err(|error| runtime::in_full(&error))? {
            Some((revision, document)) => Place { revision: Some(revision), cursor: document.body },
            None => Place { revision: None, cursor: String::new() },
        })
    }

    /// Somebody else who is first has asked from the same place: nothing is lost by it.
    async fn keep(&self, was: Place, cursor: String) -> Result<(), String> {
        if cursor == was.cursor {
            return Ok(());
        }
        let (tenant, kind, id) = (self.tenant.id.clone(), DocumentKind::PullCursor, CURSOR.to_owned());
        let document = Document { tenant, kind, id, body: cursor, until: None };
        let put = self.desk.store.replace_document(was.revision, document).await;
        put.map(drop).map_err(|error| runtime::in_full(&error))
    }

    fn count(&self, what: PulledAs, events: usize) {
        self.desk.metrics.pulled.with(what).add(u64::try_from(events).unwrap_or(u64::MAX));
    }
}
