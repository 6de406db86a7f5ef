//! State in SQLite: typed tables beside the lanes, one writer, one sync for all that waits. Knows no CQL.

mod allowances;
mod content;
mod gather;
mod inbound;
mod parties;
mod projection;
mod purge;
mod push;
mod read;
mod routers;
mod story;
mod tables;
mod totals;
mod upgrade;
mod waiting;

use std::sync::Arc;

use embedded::Database;
use model::party::{ApiKey, Farm, OmsUser, Rate, Route, Supplier, Tenant, WrappedKey};
use model::{Allowance, Lane, MessageId, TenantId, Timestamp};

use crate::{
    Cancelled, Claim, ContentRow, ContentTicket, Conversation, Document, DocumentKind, Fate, InboundPart, InboundPlace,
    InboundRow, InboundTaken, KEEP_MS_MIN, Ledger, MessageView, NotificationRow, Parties, Projection, ReferenceClosed,
    ReferenceRow, Result, Revision, RouterSeat, ScheduledRow, Store, StoreError, Usage, WindowRow, WindowSeat,
    WindowStamp,
};
use gather::Gather;
use parties::{Kind, Put};

/// State in an embedded database. Cheap to clone; clones are the same store.
#[derive(Clone)]
pub struct EmbeddedStore {
    database: Database,
    gather: Arc<Gather>,
}

impl EmbeddedStore {
    /// Opens the state kept in `database`, and makes the tables if there are none. What an earlier build kept otherwise is
    /// taken over, once.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub async fn open(database: Database) -> Result<Self> {
        database.write(upgrade::to_newest).await.map_err(|error| StoreError::Open(error.into()))?;
        Ok(EmbeddedStore { database, gather: Arc::default() })
    }

    async fn put(&self, put: Put) -> Result<u64> {
        self.database.write(|tx| put.write(tx)).await.map_err(|error| StoreError::Parties(error.into()))
    }

    async fn put_inbound(
        &self,
        put: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<()> {
        self.database.write(put).await.map_err(|error| StoreError::Inbound(error.into()))
    }
}

impl Store for EmbeddedStore {
    async fn parties(&self) -> Result<Parties> {
        self.database.read(parties::snapshot).await.map_err(|error| StoreError::Parties(error.into()))?
    }

    async fn parties_version(&self) -> Result<u64> {
        self.database.read(parties::version).await.map_err(|error| StoreError::Parties(error.into()))
    }

    async fn put_tenant(&self, tenant: Tenant) -> Result<u64> {
        self.put(Put::new(Kind::Tenant, "", tenant.id.as_str(), &tenant)).await
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<u64> {
        self.put(Put::new(Kind::ApiKey, key.tenant.as_str(), &key.name, &key)).await
    }

    async fn put_oms_user(&self, user: OmsUser) -> Result<u64> {
        self.put(Put::new(Kind::OmsUser, user.tenant.as_str(), &user.user_id, &user)).await
    }

    async fn oms_user(&self, tenant: &TenantId, user_id: &str) -> Result<Option<(Revision, OmsUser)>> {
        let (tenant, user_id) = (tenant.clone(), user_id.to_owned());
        let find = self.database.read(move |c| parties::find(c, Kind::OmsUser, tenant.as_str(), &user_id));
        find.await.map_err(|error| StoreError::Parties(error.into()))?
    }

    async fn oms_users(&self, tenant: &TenantId, after: &str, max: usize) -> Result<Vec<OmsUser>> {
        let (tenant, after) = (tenant.clone(), after.to_owned());
        let list = self.database.read(move |c| parties::list(c, Kind::OmsUser, tenant.as_str(), &after, max));
        list.await.map_err(|error| StoreError::Parties(error.into()))?
    }

    async fn replace_oms_user(&self, was: Option<Revision>, user: OmsUser) -> Result<Option<u64>> {
        let put = Put::new(Kind::OmsUser, user.tenant.as_str(), &user.user_id, &user);
        let replace = self.database.write(move |tx| put.replace(tx, was.as_ref()));
        replace.await.map_err(|error| StoreError::Parties(error.into()))
    }

    async fn remove_oms_user(&self, tenant: &TenantId, user_id: &str, was: Revision) -> Result<Option<u64>> {
        let (tenant, user_id) = (tenant.clone(), user_id.to_owned());
        let remove = self.database.write(move |tx| parties::remove(tx, Kind::OmsUser, tenant.as_str(), &user_id, &was));
        remove.await.map_err(|error| StoreError::Parties(error.into()))
    }

    async fn put_supplier(&self, supplier: Supplier) -> Result<u64> {
        self.put(Put::new(Kind::Supplier, "", supplier.id.as_str(), &supplier)).await
    }

    async fn put_route(&self, route: Route) -> Result<u64> {
        self.put(Put::new(Kind::Route, "", route.id.as_str(), &route)).await
    }

    async fn put_farm(&self, farm: Farm) -> Result<u64> {
        self.put(Put::new(Kind::Farm, "", farm.name.as_str(), &farm)).await
    }

    async fn put_data_key(&self, key: WrappedKey) -> Result<u64> {
        self.put(Put::new(Kind::DataKey, key.tenant.as_str(), &key.id, &key)).await
    }

    async fn put_opt_outs(&self, tenant: &TenantId) -> Result<()> {
        let put = Put::new(Kind::OptOuts, tenant.as_str(), "", tenant);
        let done = self.database.write(move |tx| put.replace(tx, None).map(drop));
        done.await.map_err(|error| StoreError::Parties(error.into()))
    }

    async fn replace_deck(&self, rates: Vec<Rate>) -> Result<u64> {
        self.database
            .write(move |tx| parties::replace_deck(tx, &rates))
            .await
            .map_err(|error| StoreError::Parties(error.into()))
    }

    async fn allowance(&self, tenant: &TenantId, user_id: &str) -> Result<(u64, Allowance)> {
        let (tenant, user_id) = (tenant.clone(), user_id.to_owned());
        let row = self.database.read(move |c| allowances::find(c, &tenant, &user_id));
        row.await.map_err(|error| StoreError::Allowance(error.into()))?
    }

    async fn replace_allowance(
        &self,
        tenant: &TenantId,
        user_id: &str,
        version: u64,
        allowance: Allowance,
    ) -> Result<bool> {
        let (tenant, user_id) = (tenant.clone(), user_id.to_owned());
        let replace = self.database.write(move |tx| allowances::replace(tx, &tenant, &user_id, version, &allowance));
        replace.await.map_err(|error| StoreError::Allowance(error.into()))
    }

    async fn put_router(&self, seat: RouterSeat) -> Result<()> {
        self.database.write(move |tx| routers::put(tx, &seat)).await.map_err(|error| StoreError::Routers(error.into()))
    }

    async fn routers(&self, now: Timestamp) -> Result<Vec<RouterSeat>> {
        self.database.read(move |c| routers::there(c, now)).await.map_err(|error| StoreError::Routers(error.into()))
    }

    async fn project(&self, batch: Projection) -> Result<()> {
        self.gather.project(&self.database, batch).await
    }

    async fn projected(&self, lane: &Lane, partition: u32) -> Result<i64> {
        let lane = lane.clone();
        self.database
            .read(move |c| projection::position(c, &lane, partition))
            .await
            .map_err(|error| StoreError::Read(error.into()))
    }

    async fn claims(&self, ids: &[MessageId]) -> Result<Vec<Option<Claim>>> {
        let ids = ids.to_vec();
        self.database.read(move |c| read::claims(c, &ids)).await.map_err(|error| StoreError::Read(error.into()))
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageView>> {
        let tenant = tenant.clone();
        self.database
            .read(move |c| read::message(c, &tenant, id))
            .await
            .map_err(|error| StoreError::Read(error.into()))?
    }

    async fn ledger(&self, tenant: Option<&TenantId>) -> Result<Ledger> {
        let tenant = tenant.cloned();
        self.database
            .read(move |c| read::ledger(c, tenant.as_ref()))
            .await
            .map_err(|error| StoreError::Read(error.into()))
    }

    async fn usage(&self, tenant: &TenantId, from: Timestamp, to: Timestamp) -> Result<Vec<Usage>> {
        let tenant = tenant.clone();
        self.database
            .read(move |c| read::usage(c, &tenant, from, to))
            .await
            .map_err(|error| StoreError::Read(error.into()))
    }

    async fn cancel(&self, subject: Cancelled, at: Timestamp) -> Result<()> {
        let cancel = self.database.write(move |tx| waiting::cancel(tx, &subject, at));
        cancel.await.map_err(|error| StoreError::Schedule(error.into()))
    }

    async fn cancelled(&self, subjects: &[Cancelled]) -> Result<Vec<Option<Timestamp>>> {
        let subjects = subjects.to_vec();
        let cancelled = self.database.read(move |c| waiting::cancelled(c, &subjects));
        cancelled.await.map_err(|error| StoreError::Schedule(error.into()))
    }

    async fn schedule_put(&self, rows: Vec<ScheduledRow>) -> Result<()> {
        self.database
            .write(move |tx| waiting::schedule_put(tx, &rows))
            .await
            .map_err(|error| StoreError::Schedule(error.into()))
    }

    async fn schedule_due(&self, shard: u32, until: Timestamp, max: usize) -> Result<Vec<ScheduledRow>> {
        let due = self.database.read(move |c| waiting::schedule_due(c, shard, until, max));
        due.await.map_err(|error| StoreError::Schedule(error.into()))
    }

    async fn schedule_clear(&self, rows: Vec<ScheduledRow>) -> Result<()> {
        self.database
            .write(move |tx| waiting::schedule_clear(tx, &rows))
            .await
            .map_err(|error| StoreError::Schedule(error.into()))
    }

    async fn references_open(&self, rows: Vec<ReferenceRow>) -> Result<()> {
        self.database
            .write(move |tx| waiting::references_open(tx, &rows))
            .await
            .map_err(|error| StoreError::References(error.into()))
    }

    async fn references_close(&self, rows: Vec<ReferenceClosed>) -> Result<()> {
        self.database
            .write(move |tx| waiting::references_close(tx, &rows))
            .await
            .map_err(|error| StoreError::References(error.into()))
    }

    async fn references(&self, partition: u32) -> Result<Vec<ReferenceRow>> {
        self.database
            .read(move |c| waiting::references(c, partition))
            .await
            .map_err(|error| StoreError::References(error.into()))
    }

    async fn references_expired(&self, partition: u32, until: Timestamp, max: usize) -> Result<Vec<ReferenceRow>> {
        let expired = self.database.read(move |c| waiting::references_expired(c, partition, until, max));
        expired.await.map_err(|error| StoreError::References(error.into()))
    }

    async fn converse(&self, rows: Vec<Conversation>) -> Result<()> {
        self.put_inbound(move |tx| inbound::converse(tx, &rows)).await
    }

    async fn conversation(&self, account: &str, number_hash: [u8; 16]) -> Result<Option<Conversation>> {
        let account = account.to_owned();
        let find = self.database.read(move |c| inbound::conversation(c, &account, number_hash));
        find.await.map_err(|error| StoreError::Inbound(error.into()))
    }

    async fn conversation_numbers(&self, max: usize) -> Result<Vec<[u8; 16]>> {
        let find = self.database.read(move |c| inbound::conversation_numbers(c, max));
        find.await.map_err(|error| StoreError::Inbound(error.into()))
    }

    async fn inbound_take(&self, rows: Vec<InboundTaken>) -> Result<()> {
        self.put_inbound(move |tx| inbound::take(tx, &rows)).await
    }

    async fn inbound_taken(&self, arrivals: Vec<[u8; 16]>) -> Result<Vec<Option<i64>>> {
        let find = self.database.read(move |c| inbound::taken(c, &arrivals));
        find.await.map_err(|error| StoreError::Inbound(error.into()))
    }

    async fn inbound_put(&self, rows: Vec<InboundRow>) -> Result<()> {
        self.put_inbound(move |tx| inbound::put(tx, &rows)).await
    }

    async fn inbound_tell(&self, place: &InboundPlace, fate: Fate) -> Result<()> {
        let place = place.clone();
        self.put_inbound(move |tx| inbound::tell(tx, &place, &fate)).await
    }

    async fn inbound_one(&self, place: &InboundPlace) -> Result<Option<InboundRow>> {
        let place = place.clone();
        let find = self.database.read(move |c| inbound::find(c, &place));
        find.await.map_err(|error| StoreError::Inbound(error.into()))
    }

    async fn inbound(&self, after: &InboundPlace, _now: Timestamp, max: usize) -> Result<Vec<InboundRow>> {
        let after = after.clone();
        let list = self.database.read(move |c| inbound::list(c, &after, max));
        list.await.map_err(|error| StoreError::Inbound(error.into()))
    }

    async fn inbound_parts_put(&self, rows: Vec<InboundPart>) -> Result<()> {
        self.put_inbound(move |tx| inbound::put_parts(tx, &rows)).await
    }

    async fn inbound_parts(&self, partition: u32) -> Result<Vec<InboundPart>> {
        let find = self.database.read(move |c| inbound::parts(c, partition));
        find.await.map_err(|error| StoreError::Inbound(error.into()))
    }

    async fn inbound_parts_drop(&self, partition: u32, messages: Vec<[u8; 16]>) -> Result<()> {
        self.put_inbound(move |tx| inbound::drop_parts(tx, partition, &messages)).await
    }

    async fn content_put(&self, content: ContentRow, tickets: Vec<ContentTicket>, _now: Timestamp) -> Result<()> {
        let put = self.database.write(move |tx| content::put(tx, &content, &tickets));
        put.await.map_err(|error| StoreError::Content(error.into()))
    }

    async fn content(&self, ticket: [u8; 16]) -> Result<Option<(ContentTicket, ContentRow)>> {
        let find = self.database.read(move |c| content::find(c, ticket));
        find.await.map_err(|error| StoreError::Content(error.into()))
    }

    async fn content_ended(&self, ticket: &ContentTicket, at: Timestamp) -> Result<()> {
        let ticket = ticket.ticket;
        let end = self.database.write(move |tx| content::end(tx, ticket, at));
        end.await.map_err(|error| StoreError::Content(error.into()))
    }

    async fn content_octets(&self, tenant: &TenantId, now: Timestamp) -> Result<u64> {
        let tenant = tenant.clone();
        let sum = self.database.read(move |c| content::octets(c, &tenant, now));
        sum.await.map_err(|error| StoreError::Content(error.into()))
    }

    async fn document(&self, tenant: &TenantId, kind: DocumentKind, id: &str) -> Result<Option<(Revision, Document)>> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        let done = self.database.read(move |c| push::document(c, &tenant, kind, &id));
        done.await.map_err(|error| StoreError::Documents(error.into()))
    }

    async fn documents(
        &self,
        tenant: &TenantId,
        kind: DocumentKind,
        after: &str,
        max: usize,
    ) -> Result<Vec<(Revision, Document)>> {
        let (tenant, after) = (tenant.clone(), after.to_owned());
        let done = self.database.read(move |c| push::documents(c, &tenant, kind, &after, max));
        done.await.map_err(|error| StoreError::Documents(error.into()))
    }

    async fn replace_document(&self, was: Option<Revision>, document: Document) -> Result<Option<Revision>> {
        let done = self.database.write(move |tx| push::replace(tx, was.as_ref(), &document));
        done.await.map_err(|error| StoreError::Documents(error.into()))
    }

    async fn remove_document(&self, tenant: &TenantId, kind: DocumentKind, id: &str, was: Revision) -> Result<bool> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        let done = self.database.write(move |tx| push::remove(tx, &tenant, kind, &id, &was));
        done.await.map_err(|error| StoreError::Documents(error.into()))
    }

    async fn have_documents(&self, kind: DocumentKind, ids: &[(TenantId, String)]) -> Result<Vec<bool>> {
        let ids = ids.to_vec();
        let done = self.database.read(move |c| push::have(c, kind, &ids));
        done.await.map_err(|error| StoreError::Documents(error.into()))
    }

    async fn tenants_with(&self, kind: DocumentKind, id: &str) -> Result<Vec<TenantId>> {
        let id = id.to_owned();
        let done = self.database.read(move |c| push::tenants_with(c, kind, &id));
        done.await.map_err(|error| StoreError::Documents(error.into()))
    }

    async fn windows(&self, partition: u32) -> Result<Vec<WindowRow>> {
        let done = self.database.read(move |c| push::windows(c, partition));
        done.await.map_err(|error| StoreError::Notifications(error.into()))
    }

    async fn windows_take(&self, partition: u32) -> Result<WindowSeat> {
        let done = self.database.write(move |tx| push::take_windows(tx, partition));
        done.await.map_err(|error| StoreError::Notifications(error.into()))
    }

    async fn windows_put(&self, stamp: WindowStamp, rows: Vec<WindowRow>) -> Result<()> {
        let done = self.database.write(move |tx| push::put_windows(tx, stamp, &rows));
        done.await.map_err(|error| StoreError::Notifications(error.into()))
    }

    async fn notifications_put(&self, rows: Vec<NotificationRow>) -> Result<()> {
        let done = self.database.write(move |tx| push::put_notifications(tx, &rows));
        done.await.map_err(|error| StoreError::Notifications(error.into()))
    }

    async fn notification(&self, tenant: &TenantId, id: MessageId) -> Result<Option<NotificationRow>> {
        let tenant = tenant.clone();
        let done = self.database.read(move |c| push::notification(c, &tenant, id));
        done.await.map_err(|error| StoreError::Notifications(error.into()))
    }

    async fn purge(&self, now: Timestamp, keep_ms: i64) -> Result<u64> {
        let before_ms = now.0.saturating_sub(keep_ms.max(KEEP_MS_MIN));
        let (mut removed, mut after) = (0, Some(0));
        while let Some(number) = after {
            let gather = Arc::clone(&self.gather);
            let step = self.database.write(move |tx| {
                gather.forget();
                purge::step(tx, number, before_ms)
            });
            let step = step.await.map_err(|error| StoreError::Purge(error.into()))?;
            removed += step.removed;
            after = step.next;
        }
        let forgotten = self.database.write(move |tx| purge::forget_cancelled(tx, before_ms));
        forgotten.await.map_err(|error| StoreError::Purge(error.into()))?;
        let mut is_done = false;
        while !is_done {
            let step = self.database.write(move |tx| inbound::purge(tx, now));
            is_done = step.await.map_err(|error| StoreError::Purge(error.into()))?;
        }
        let mut is_done = false;
        while !is_done {
            let step = self.database.write(move |tx| content::purge(tx, now));
            is_done = step.await.map_err(|error| StoreError::Purge(error.into()))?;
        }
        let mut is_done = false;
        while !is_done {
            let step = self.database.write(move |tx| push::purge(tx, now));
            is_done = step.await.map_err(|error| StoreError::Purge(error.into()))?;
        }
        Ok(removed)
    }
}
