//! State in a CQL cluster, Apache Cassandra or ScyllaDB: typed tables, bounded partitions, prepared statements. Knows no SQL.
//!
//! Writes are at LOCAL_QUORUM, so is reading; conditional writes, at LOCAL_SERIAL, stand only where a promise needs them:
//! the version of the parties, a data key, the lock of the migrations, and the step that moves the ledger.

mod allowances;
mod book;
mod client;
mod content;
mod doctor;
mod error;
#[cfg_attr(not(feature = "conformance"), expect(dead_code, unreachable_pub, reason = "only tests cut the wire"))]
mod faults;
mod figures;
mod inbound;
mod migrate;
mod notes;
mod options;
mod parties;
mod place;
mod projection;
mod purge;
mod push;
mod read;
mod references;
mod routers;
mod schedule;
mod session;
mod statements;
mod timeline;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::party::{ApiKey, Farm, OmsUser, Rate, Route, Supplier, Tenant, WrappedKey};
use model::{Allowance, Lane, MessageId, TenantId, Timestamp};
use tokio::sync::oneshot;

pub use doctor::{Finding, Severity};
pub use error::CqlError;
#[cfg(any(test, feature = "conformance"))]
pub use faults::Faults;
pub use options::{Identity, Login, Options, Replication, Tls};

use crate::{
    Cancelled, Claim, ContentRow, ContentTicket, Conversation, Document, DocumentKind, EngineError, Fate, InboundPart,
    InboundPlace, InboundRow, InboundTaken, Ledger, MessageView, NotificationRow, Parties, Projection, ReferenceClosed,
    ReferenceRow, Result, Revision, RouterSeat, ScheduledRow, Store, StoreError, Usage, WindowRow, WindowSeat,
    WindowStamp,
};
use book::Book;
use client::Client;
use parties::Kind;
use statements::Statements;

/// State in a CQL keyspace. Cheap to clone; clones are the same store.
///
/// A lane partition is carried on by one process at a time, and both lanes of a partition by the same: their consumer
/// group gives them out together. One that goes on after it lost a partition is refused.
#[derive(Clone)]
pub struct CqlStore(Arc<Inner>);

struct Inner {
    engine: Engine,
    partitions: Mutex<HashMap<u32, Arc<Partition>>>,
    /// Up to where a shard of the schedule is known to be empty.
    swept: schedule::Swept,
}

/// What every operation needs.
struct Engine {
    client: Client,
    statements: Statements,
    options: Options,
}

/// A lane partition that this process carries on.
#[derive(Default)]
struct Partition {
    /// Stretches that wait. Bounded by the callers: each waits for its answer, and there is one per lane.
    waiting: Mutex<Vec<(Projection, Answer)>>,
    /// What is known of it; nothing until it is opened, and after a failure.
    book: tokio::sync::Mutex<Option<Book>>,
}

type Answer = oneshot::Sender<std::result::Result<(), CqlError>>;

impl CqlStore {
    /// Connects to the cluster, within the start-up deadline, and brings keyspace and schema up to date. Processes that
    /// start at once do not hurt each other.
    ///
    /// # Errors
    /// [`StoreError::Open`], naming the address and the setting.
    pub async fn open(options: Options) -> Result<Self> {
        Self::open_cut(options, faults::Faults::default()).await
    }

    /// As [`CqlStore::open`], with a wire that a test cuts once the store is open.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    #[cfg(any(test, feature = "conformance"))]
    pub async fn open_with(options: Options, faults: Faults) -> Result<Self> {
        Self::open_cut(options, faults).await
    }

    async fn open_cut(options: Options, faults: faults::Faults) -> Result<Self> {
        let engine = async {
            let session = session::open(&options).await?;
            migrate::run(&session, &options).await?;
            let statements = Statements::prepare(&session).await?;
            let client = Client { session, faults, in_flight_max: options.in_flight_max };
            Ok(Engine { client, statements, options })
        };
        let engine = engine.await.map_err(|error: CqlError| StoreError::Open(error.into()))?;
        let inner = Inner { engine, partitions: Mutex::default(), swept: schedule::Swept::default() };
        Ok(CqlStore(Arc::new(inner)))
    }

    /// Looks at what the cluster's settings can't promise.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub async fn check(&self) -> Result<Vec<Finding>> {
        doctor::check(self.engine()).await.map_err(|error| StoreError::Read(error.into()))
    }

    /// Drops the keyspace with all that is in it.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    #[cfg(any(test, feature = "conformance"))]
    pub async fn drop_keyspace(&self) -> Result<()> {
        let statement = format!("DROP KEYSPACE IF EXISTS {}", self.engine().options.keyspace);
        let mut drop_all = scylla::statement::unprepared::Statement::new(statement);
        drop_all.set_request_timeout(Some(migrate::CHANGE_MAX));
        drop_all.set_is_idempotent(true);
        let dropped = self.engine().client.session.query_unpaged(drop_all, ()).await;
        dropped.map(drop).map_err(|error| StoreError::Open(CqlError::statement("drop the keyspace", error).into()))
    }

    /// Notes a step of the schema, as another build would.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    #[cfg(any(test, feature = "conformance"))]
    pub async fn note_migration(&self, number: i32, name: &str, compatible: bool) -> Result<()> {
        let noted = migrate::note(&self.engine().client.session, number, name, compatible).await;
        noted.map_err(|error| StoreError::Open(error.into()))
    }

    /// Makes a login that may do nothing.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    #[cfg(any(test, feature = "conformance"))]
    pub async fn make_login(&self, user: &str, password: &str) -> Result<()> {
        let statement = format!("CREATE ROLE {user} WITH LOGIN = true AND PASSWORD = '{password}'");
        let made = self.engine().client.session.query_unpaged(statement, ()).await;
        made.map(drop).map_err(|error| StoreError::Open(CqlError::statement("make a login", error).into()))
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn partition(&self, number: u32) -> Arc<Partition> {
        Arc::clone(lock(&self.0.partitions).entry(number).or_default())
    }

    async fn put(&self, kind: Kind, owner: &str, name: &str, record: &impl serde::Serialize) -> Result<u64> {
        parties::put(self.engine(), kind, owner, name, record).await.map_err(failed(StoreError::Parties))
    }

    /// Takes a stretch, alone or with what waits beside it: whoever comes first carries the others along.
    async fn carry(&self, batch: Projection) -> std::result::Result<(), CqlError> {
        let number = batch.partition;
        let partition = self.partition(number);
        let (answer, answered) = oneshot::channel();
        lock(&partition.waiting).push((batch, answer));
        {
            // Taken out while it is worked with: an error, or a caller that stops waiting, leaves it closed.
            let mut slot = partition.book.lock().await;
            let taken = std::mem::take(&mut *lock(&partition.waiting));
            let (batches, answers): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
            if !batches.is_empty() {
                let book = match slot.take() {
                    Some(book) => Ok(book),
                    None => projection::open(self.engine(), number).await,
                };
                let carried = match book {
                    Ok(book) => projection::carry(self.engine(), book, batches).await,
                    Err(error) => Err(error),
                };
                let told = carried.map(|book| *slot = Some(book));
                for answer in answers {
                    drop(answer.send(told.clone())); // nobody waits any more: nothing to tell
                }
            }
        }
        answered.await.unwrap_or(Err(CqlError::Abandoned))
    }

    /// The next offset of a lane. If it is not where this process left it, somebody else carried it on meanwhile.
    async fn position(&self, lane: &Lane, number: u32) -> std::result::Result<i64, CqlError> {
        let engine = self.engine();
        let found = projection::position(&engine.client, &engine.statements.position, number).await?;
        let Some((position, _)) = found else { return Ok(0) };
        if let Some(partition) = lock(&self.0.partitions).get(&number).cloned()
            && let Ok(mut slot) = partition.book.try_lock()
            && slot.as_ref().is_some_and(|book| book.position.commits < position.commits)
        {
            *slot = None;
        }
        Ok(if *lane == Lane::Accepted { position.accepted_next } else { position.events_next })
    }

    /// Makes all partitions forget the deliveries they remember.
    async fn forget(&self) {
        let partitions: Vec<_> = lock(&self.0.partitions).values().cloned().collect();
        for partition in partitions {
            if let Some(book) = partition.book.lock().await.as_mut() {
                book.forget_messages();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an operation makes of the engine's error.
fn failed(operation: fn(EngineError) -> StoreError) -> impl Fn(CqlError) -> StoreError {
    move |error| match error {
        CqlError::Row { table } => StoreError::Row { table },
        error => operation(error.into()),
    }
}

impl Store for CqlStore {
    async fn parties(&self) -> Result<Parties> {
        parties::snapshot(self.engine()).await.map_err(failed(StoreError::Parties))
    }

    async fn parties_version(&self) -> Result<u64> {
        parties::version(self.engine()).await.map_err(failed(StoreError::Parties))
    }

    async fn put_tenant(&self, tenant: Tenant) -> Result<u64> {
        self.put(Kind::Tenant, "", tenant.id.as_str(), &tenant).await
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<u64> {
        self.put(Kind::ApiKey, key.tenant.as_str(), &key.name, &key).await
    }

    async fn put_oms_user(&self, user: OmsUser) -> Result<u64> {
        parties::put_in_turn(self.engine(), Kind::OmsUser, user.tenant.as_str(), &user.user_id, &user)
            .await
            .map_err(failed(StoreError::Parties))
    }

    async fn oms_user(&self, tenant: &TenantId, user_id: &str) -> Result<Option<(Revision, OmsUser)>> {
        parties::find(self.engine(), Kind::OmsUser, tenant.as_str(), user_id).await.map_err(failed(StoreError::Parties))
    }

    async fn oms_users(&self, tenant: &TenantId, after: &str, max: usize) -> Result<Vec<OmsUser>> {
        parties::list(self.engine(), Kind::OmsUser, tenant.as_str(), after, max)
            .await
            .map_err(failed(StoreError::Parties))
    }

    async fn replace_oms_user(&self, was: Option<Revision>, user: OmsUser) -> Result<Option<u64>> {
        let place = (user.tenant.as_str(), user.user_id.as_str());
        parties::replace(self.engine(), Kind::OmsUser, place, was.as_ref(), &user)
            .await
            .map_err(failed(StoreError::Parties))
    }

    async fn remove_oms_user(&self, tenant: &TenantId, user_id: &str, was: Revision) -> Result<Option<u64>> {
        parties::remove(self.engine(), Kind::OmsUser, tenant.as_str(), user_id, &was)
            .await
            .map_err(failed(StoreError::Parties))
    }

    async fn put_supplier(&self, supplier: Supplier) -> Result<u64> {
        self.put(Kind::Supplier, "", supplier.id.as_str(), &supplier).await
    }

    async fn put_route(&self, route: Route) -> Result<u64> {
        self.put(Kind::Route, "", route.id.as_str(), &route).await
    }

    async fn put_farm(&self, farm: Farm) -> Result<u64> {
        self.put(Kind::Farm, "", farm.name.as_str(), &farm).await
    }

    async fn put_data_key(&self, key: WrappedKey) -> Result<u64> {
        self.put(Kind::DataKey, key.tenant.as_str(), &key.id, &key).await
    }

    async fn put_opt_outs(&self, tenant: &TenantId) -> Result<()> {
        let put = parties::replace(self.engine(), Kind::OptOuts, (tenant.as_str(), ""), None, tenant);
        put.await.map(drop).map_err(failed(StoreError::Parties))
    }

    async fn replace_deck(&self, rates: Vec<Rate>) -> Result<u64> {
        parties::replace_deck(self.engine(), &rates).await.map_err(failed(StoreError::Parties))
    }

    async fn allowance(&self, tenant: &TenantId, user_id: &str) -> Result<(u64, Allowance)> {
        allowances::find(self.engine(), tenant, user_id).await.map_err(failed(StoreError::Allowance))
    }

    async fn replace_allowance(
        &self,
        tenant: &TenantId,
        user_id: &str,
        version: u64,
        allowance: Allowance,
    ) -> Result<bool> {
        let replace = allowances::replace(self.engine(), tenant, user_id, version, &allowance);
        replace.await.map_err(failed(StoreError::Allowance))
    }

    async fn put_router(&self, seat: RouterSeat) -> Result<()> {
        routers::put(self.engine(), &seat).await.map_err(failed(StoreError::Routers))
    }

    async fn routers(&self, now: Timestamp) -> Result<Vec<RouterSeat>> {
        routers::there(self.engine(), now).await.map_err(failed(StoreError::Routers))
    }

    async fn project(&self, batch: Projection) -> Result<()> {
        self.carry(batch).await.map_err(failed(StoreError::Project))
    }

    async fn projected(&self, lane: &Lane, partition: u32) -> Result<i64> {
        self.position(lane, partition).await.map_err(failed(StoreError::Read))
    }

    async fn claims(&self, ids: &[MessageId]) -> Result<Vec<Option<Claim>>> {
        read::claims(self.engine(), ids).await.map_err(failed(StoreError::Read))
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageView>> {
        read::message(self.engine(), tenant, id).await.map_err(failed(StoreError::Read))
    }

    async fn ledger(&self, tenant: Option<&TenantId>) -> Result<Ledger> {
        read::ledger(self.engine(), tenant).await.map_err(failed(StoreError::Read))
    }

    async fn usage(&self, tenant: &TenantId, from: Timestamp, to: Timestamp) -> Result<Vec<Usage>> {
        read::usage(self.engine(), tenant, from, to).await.map_err(failed(StoreError::Read))
    }

    async fn cancel(&self, subject: Cancelled, at: Timestamp) -> Result<()> {
        schedule::cancel(self.engine(), &subject, at).await.map_err(failed(StoreError::Schedule))
    }

    async fn cancelled(&self, subjects: &[Cancelled]) -> Result<Vec<Option<Timestamp>>> {
        schedule::cancelled(self.engine(), subjects).await.map_err(failed(StoreError::Schedule))
    }

    async fn schedule_put(&self, rows: Vec<ScheduledRow>) -> Result<()> {
        schedule::put(self.engine(), &self.0.swept, &rows).await.map_err(failed(StoreError::Schedule))
    }

    async fn schedule_due(&self, shard: u32, until: Timestamp, max: usize) -> Result<Vec<ScheduledRow>> {
        schedule::due(self.engine(), &self.0.swept, shard, until, max).await.map_err(failed(StoreError::Schedule))
    }

    async fn schedule_clear(&self, rows: Vec<ScheduledRow>) -> Result<()> {
        schedule::clear(self.engine(), &rows).await.map_err(failed(StoreError::Schedule))
    }

    async fn references_open(&self, rows: Vec<ReferenceRow>) -> Result<()> {
        references::open(self.engine(), &rows).await.map_err(failed(StoreError::References))
    }

    async fn references_close(&self, rows: Vec<ReferenceClosed>) -> Result<()> {
        references::close(self.engine(), &rows).await.map_err(failed(StoreError::References))
    }

    async fn references(&self, partition: u32) -> Result<Vec<ReferenceRow>> {
        references::all(self.engine(), partition).await.map_err(failed(StoreError::References))
    }

    async fn references_expired(&self, partition: u32, until: Timestamp, max: usize) -> Result<Vec<ReferenceRow>> {
        references::expired(self.engine(), partition, until, max).await.map_err(failed(StoreError::References))
    }

    async fn converse(&self, rows: Vec<Conversation>) -> Result<()> {
        inbound::converse(self.engine(), &rows).await.map_err(failed(StoreError::Inbound))
    }

    async fn conversation(&self, account: &str, number_hash: [u8; 16]) -> Result<Option<Conversation>> {
        inbound::conversation(self.engine(), account, number_hash).await.map_err(failed(StoreError::Inbound))
    }

    async fn conversation_numbers(&self, max: usize) -> Result<Vec<[u8; 16]>> {
        inbound::conversation_numbers(self.engine(), max).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_take(&self, rows: Vec<InboundTaken>) -> Result<()> {
        inbound::take(self.engine(), &rows).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_taken(&self, arrivals: Vec<[u8; 16]>) -> Result<Vec<Option<i64>>> {
        inbound::taken(self.engine(), &arrivals).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_put(&self, rows: Vec<InboundRow>) -> Result<()> {
        inbound::put(self.engine(), &rows).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_tell(&self, place: &InboundPlace, fate: Fate) -> Result<()> {
        inbound::tell(self.engine(), place, &fate).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_one(&self, place: &InboundPlace) -> Result<Option<InboundRow>> {
        inbound::find(self.engine(), place).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound(&self, after: &InboundPlace, now: Timestamp, max: usize) -> Result<Vec<InboundRow>> {
        inbound::list(self.engine(), after, now, max).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_parts_put(&self, rows: Vec<InboundPart>) -> Result<()> {
        inbound::put_parts(self.engine(), &rows).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_parts(&self, partition: u32) -> Result<Vec<InboundPart>> {
        inbound::parts(self.engine(), partition).await.map_err(failed(StoreError::Inbound))
    }

    async fn inbound_parts_drop(&self, partition: u32, messages: Vec<[u8; 16]>) -> Result<()> {
        inbound::drop_parts(self.engine(), partition, &messages).await.map_err(failed(StoreError::Inbound))
    }

    async fn content_put(&self, content: ContentRow, tickets: Vec<ContentTicket>, now: Timestamp) -> Result<()> {
        content::put(self.engine(), &content, &tickets, now).await.map_err(failed(StoreError::Content))
    }

    async fn content(&self, ticket: [u8; 16]) -> Result<Option<(ContentTicket, ContentRow)>> {
        content::find(self.engine(), ticket).await.map_err(failed(StoreError::Content))
    }

    async fn content_ended(&self, ticket: &ContentTicket, at: Timestamp) -> Result<()> {
        content::end(self.engine(), ticket, at).await.map_err(failed(StoreError::Content))
    }

    async fn content_octets(&self, tenant: &TenantId, _now: Timestamp) -> Result<u64> {
        content::octets(self.engine(), tenant).await.map_err(failed(StoreError::Content))
    }

    async fn document(&self, tenant: &TenantId, kind: DocumentKind, id: &str) -> Result<Option<(Revision, Document)>> {
        push::document(self.engine(), tenant, kind, id).await.map_err(failed(StoreError::Documents))
    }

    async fn documents(
        &self,
        tenant: &TenantId,
        kind: DocumentKind,
        after: &str,
        max: usize,
    ) -> Result<Vec<(Revision, Document)>> {
        push::documents(self.engine(), tenant, kind, after, max).await.map_err(failed(StoreError::Documents))
    }

    async fn replace_document(&self, was: Option<Revision>, document: Document) -> Result<Option<Revision>> {
        push::replace(self.engine(), was.as_ref(), &document).await.map_err(failed(StoreError::Documents))
    }

    async fn remove_document(&self, tenant: &TenantId, kind: DocumentKind, id: &str, was: Revision) -> Result<bool> {
        push::remove(self.engine(), tenant, kind, id, &was).await.map_err(failed(StoreError::Documents))
    }

    async fn have_documents(&self, kind: DocumentKind, ids: &[(TenantId, String)]) -> Result<Vec<bool>> {
        push::have(self.engine(), kind, ids).await.map_err(failed(StoreError::Documents))
    }

    async fn tenants_with(&self, kind: DocumentKind, id: &str) -> Result<Vec<TenantId>> {
        push::tenants_with(self.engine(), kind, id).await.map_err(failed(StoreError::Documents))
    }

    async fn windows(&self, partition: u32) -> Result<Vec<WindowRow>> {
        push::windows(self.engine(), partition).await.map_err(failed(StoreError::Notifications))
    }

    async fn windows_take(&self, partition: u32) -> Result<WindowSeat> {
        push::take_windows(self.engine(), partition).await.map_err(failed(StoreError::Notifications))
    }

    async fn windows_put(&self, stamp: WindowStamp, rows: Vec<WindowRow>) -> Result<()> {
        push::put_windows(self.engine(), stamp, &rows).await.map_err(failed(StoreError::Notifications))
    }

    async fn notifications_put(&self, rows: Vec<NotificationRow>) -> Result<()> {
        push::put_notifications(self.engine(), &rows).await.map_err(failed(StoreError::Notifications))
    }

    async fn notification(&self, tenant: &TenantId, id: MessageId) -> Result<Option<NotificationRow>> {
        push::notification(self.engine(), tenant, id).await.map_err(failed(StoreError::Notifications))
    }

    async fn purge(&self, now: Timestamp, keep_ms: i64) -> Result<u64> {
        let removed = purge::run(self.engine(), now, keep_ms).await.map_err(failed(StoreError::Purge))?;
        if removed > 0 {
            self.forget().await;
        }
        Ok(removed)
    }
}
