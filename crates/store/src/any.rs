//! The engine picked at run time. Knows which engines there are.

use model::party::{ApiKey, Farm, OmsUser, Rate, Route, Supplier, Tenant, WrappedKey};
use model::{Allowance, Lane, MessageId, TenantId, Timestamp};

#[cfg(feature = "cql")]
use crate::cql::CqlStore;
use crate::{
    Cancelled, Claim, ContentRow, ContentTicket, Conversation, Document, DocumentKind, EmbeddedStore, Fate,
    InboundPart, InboundPlace, InboundRow, InboundTaken, Ledger, MessageView, NotificationRow, Parties, Projection,
    ReferenceClosed, ReferenceRow, Result, Revision, RouterSeat, ScheduledRow, Store, Usage, WindowRow, WindowSeat,
    WindowStamp,
};

/// Whichever engine the configuration names.
///
/// The futures of the one on servers are behind a pointer: they are large, and every future that asks a store would carry
/// them, and move them, on the embedded engine, too.
#[derive(Clone)]
pub enum AnyStore {
    /// SQLite in this process.
    Embedded(EmbeddedStore),
    /// A CQL cluster.
    #[cfg(feature = "cql")]
    Cql(CqlStore),
}

impl Store for AnyStore {
    async fn parties(&self) -> Result<Parties> {
        match self {
            AnyStore::Embedded(store) => store.parties().await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.parties()).await,
        }
    }

    async fn parties_version(&self) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.parties_version().await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.parties_version()).await,
        }
    }

    async fn put_tenant(&self, tenant: Tenant) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.put_tenant(tenant).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_tenant(tenant)).await,
        }
    }

    async fn put_api_key(&self, key: ApiKey) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.put_api_key(key).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_api_key(key)).await,
        }
    }

    async fn put_oms_user(&self, user: OmsUser) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.put_oms_user(user).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_oms_user(user)).await,
        }
    }

    async fn oms_user(&self, tenant: &TenantId, user_id: &str) -> Result<Option<(Revision, OmsUser)>> {
        match self {
            AnyStore::Embedded(store) => store.oms_user(tenant, user_id).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.oms_user(tenant, user_id)).await,
        }
    }

    async fn oms_users(&self, tenant: &TenantId, after: &str, max: usize) -> Result<Vec<OmsUser>> {
        match self {
            AnyStore::Embedded(store) => store.oms_users(tenant, after, max).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.oms_users(tenant, after, max)).await,
        }
    }

    async fn replace_oms_user(&self, was: Option<Revision>, user: OmsUser) -> Result<Option<u64>> {
        match self {
            AnyStore::Embedded(store) => store.replace_oms_user(was, user).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.replace_oms_user(was, user)).await,
        }
    }

    async fn remove_oms_user(&self, tenant: &TenantId, user_id: &str, was: Revision) -> Result<Option<u64>> {
        match self {
            AnyStore::Embedded(store) => store.remove_oms_user(tenant, user_id, was).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.remove_oms_user(tenant, user_id, was)).await,
        }
    }

    async fn put_supplier(&self, supplier: Supplier) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.put_supplier(supplier).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_supplier(supplier)).await,
        }
    }

    async fn put_route(&self, route: Route) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.put_route(route).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_route(route)).await,
        }
    }

    async fn put_farm(&self, farm: Farm) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.put_farm(farm).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_farm(farm)).await,
        }
    }

    async fn put_data_key(&self, key: WrappedKey) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.put_data_key(key).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_data_key(key)).await,
        }
    }

    async fn put_opt_outs(&self, tenant: &TenantId) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.put_opt_outs(tenant).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_opt_outs(tenant)).await,
        }
    }

    async fn replace_deck(&self, rates: Vec<Rate>) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.replace_deck(rates).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.replace_deck(rates)).await,
        }
    }

    async fn allowance(&self, tenant: &TenantId, user_id: &str) -> Result<(u64, Allowance)> {
        match self {
            AnyStore::Embedded(store) => store.allowance(tenant, user_id).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.allowance(tenant, user_id)).await,
        }
    }

    async fn replace_allowance(
        &self,
        tenant: &TenantId,
        user_id: &str,
        version: u64,
        allowance: Allowance,
    ) -> Result<bool> {
        match self {
            AnyStore::Embedded(store) => store.replace_allowance(tenant, user_id, version, allowance).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.replace_allowance(tenant, user_id, version, allowance)).await,
        }
    }

    async fn put_router(&self, seat: RouterSeat) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.put_router(seat).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.put_router(seat)).await,
        }
    }

    async fn routers(&self, now: Timestamp) -> Result<Vec<RouterSeat>> {
        match self {
            AnyStore::Embedded(store) => store.routers(now).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.routers(now)).await,
        }
    }

    async fn project(&self, batch: Projection) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.project(batch).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.project(batch)).await,
        }
    }

    async fn projected(&self, lane: &Lane, partition: u32) -> Result<i64> {
        match self {
            AnyStore::Embedded(store) => store.projected(lane, partition).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.projected(lane, partition)).await,
        }
    }

    async fn claims(&self, ids: &[MessageId]) -> Result<Vec<Option<Claim>>> {
        match self {
            AnyStore::Embedded(store) => store.claims(ids).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.claims(ids)).await,
        }
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageView>> {
        match self {
            AnyStore::Embedded(store) => store.message(tenant, id).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.message(tenant, id)).await,
        }
    }

    async fn ledger(&self, tenant: Option<&TenantId>) -> Result<Ledger> {
        match self {
            AnyStore::Embedded(store) => store.ledger(tenant).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.ledger(tenant)).await,
        }
    }

    async fn usage(&self, tenant: &TenantId, from: Timestamp, to: Timestamp) -> Result<Vec<Usage>> {
        match self {
            AnyStore::Embedded(store) => store.usage(tenant, from, to).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.usage(tenant, from, to)).await,
        }
    }

    async fn cancel(&self, subject: Cancelled, at: Timestamp) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.cancel(subject, at).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.cancel(subject, at)).await,
        }
    }

    async fn cancelled(&self, subjects: &[Cancelled]) -> Result<Vec<Option<Timestamp>>> {
        match self {
            AnyStore::Embedded(store) => store.cancelled(subjects).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.cancelled(subjects)).await,
        }
    }

    async fn schedule_put(&self, rows: Vec<ScheduledRow>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.schedule_put(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.schedule_put(rows)).await,
        }
    }

    async fn schedule_due(&self, shard: u32, until: Timestamp, max: usize) -> Result<Vec<ScheduledRow>> {
        match self {
            AnyStore::Embedded(store) => store.schedule_due(shard, until, max).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.schedule_due(shard, until, max)).await,
        }
    }

    async fn schedule_clear(&self, rows: Vec<ScheduledRow>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.schedule_clear(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.schedule_clear(rows)).await,
        }
    }

    async fn references_open(&self, rows: Vec<ReferenceRow>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.references_open(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.references_open(rows)).await,
        }
    }

    async fn references_close(&self, rows: Vec<ReferenceClosed>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.references_close(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.references_close(rows)).await,
        }
    }

    async fn references(&self, partition: u32) -> Result<Vec<ReferenceRow>> {
        match self {
            AnyStore::Embedded(store) => store.references(partition).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.references(partition)).await,
        }
    }

    async fn references_expired(&self, partition: u32, until: Timestamp, max: usize) -> Result<Vec<ReferenceRow>> {
        match self {
            AnyStore::Embedded(store) => store.references_expired(partition, until, max).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.references_expired(partition, until, max)).await,
        }
    }

    async fn converse(&self, rows: Vec<Conversation>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.converse(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.converse(rows)).await,
        }
    }

    async fn conversation(&self, account: &str, number_hash: [u8; 16]) -> Result<Option<Conversation>> {
        match self {
            AnyStore::Embedded(store) => store.conversation(account, number_hash).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.conversation(account, number_hash)).await,
        }
    }

    async fn conversation_numbers(&self, max: usize) -> Result<Vec<[u8; 16]>> {
        match self {
            AnyStore::Embedded(store) => store.conversation_numbers(max).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.conversation_numbers(max)).await,
        }
    }

    async fn inbound_take(&self, rows: Vec<InboundTaken>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.inbound_take(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_take(rows)).await,
        }
    }

    async fn inbound_taken(&self, arrivals: Vec<[u8; 16]>) -> Result<Vec<Option<i64>>> {
        match self {
            AnyStore::Embedded(store) => store.inbound_taken(arrivals).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_taken(arrivals)).await,
        }
    }

    async fn inbound_put(&self, rows: Vec<InboundRow>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.inbound_put(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_put(rows)).await,
        }
    }

    async fn inbound_tell(&self, place: &InboundPlace, fate: Fate) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.inbound_tell(place, fate).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_tell(place, fate)).await,
        }
    }

    async fn inbound_one(&self, place: &InboundPlace) -> Result<Option<InboundRow>> {
        match self {
            AnyStore::Embedded(store) => store.inbound_one(place).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_one(place)).await,
        }
    }

    async fn inbound(&self, after: &InboundPlace, now: Timestamp, max: usize) -> Result<Vec<InboundRow>> {
        match self {
            AnyStore::Embedded(store) => store.inbound(after, now, max).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound(after, now, max)).await,
        }
    }

    async fn inbound_parts_put(&self, rows: Vec<InboundPart>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.inbound_parts_put(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_parts_put(rows)).await,
        }
    }

    async fn inbound_parts(&self, partition: u32) -> Result<Vec<InboundPart>> {
        match self {
            AnyStore::Embedded(store) => store.inbound_parts(partition).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_parts(partition)).await,
        }
    }

    async fn inbound_parts_drop(&self, partition: u32, messages: Vec<[u8; 16]>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.inbound_parts_drop(partition, messages).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.inbound_parts_drop(partition, messages)).await,
        }
    }

    async fn content_put(&self, content: ContentRow, tickets: Vec<ContentTicket>, now: Timestamp) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.content_put(content, tickets, now).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.content_put(content, tickets, now)).await,
        }
    }

    async fn content(&self, ticket: [u8; 16]) -> Result<Option<(ContentTicket, ContentRow)>> {
        match self {
            AnyStore::Embedded(store) => store.content(ticket).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.content(ticket)).await,
        }
    }

    async fn content_ended(&self, ticket: &ContentTicket, at: Timestamp) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.content_ended(ticket, at).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.content_ended(ticket, at)).await,
        }
    }

    async fn content_octets(&self, tenant: &TenantId, now: Timestamp) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.content_octets(tenant, now).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.content_octets(tenant, now)).await,
        }
    }

    async fn document(&self, tenant: &TenantId, kind: DocumentKind, id: &str) -> Result<Option<(Revision, Document)>> {
        match self {
            AnyStore::Embedded(store) => store.document(tenant, kind, id).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.document(tenant, kind, id)).await,
        }
    }

    async fn documents(
        &self,
        tenant: &TenantId,
        kind: DocumentKind,
        after: &str,
        max: usize,
    ) -> Result<Vec<(Revision, Document)>> {
        match self {
            AnyStore::Embedded(store) => store.documents(tenant, kind, after, max).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.documents(tenant, kind, after, max)).await,
        }
    }

    async fn replace_document(&self, was: Option<Revision>, document: Document) -> Result<Option<Revision>> {
        match self {
            AnyStore::Embedded(store) => store.replace_document(was, document).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.replace_document(was, document)).await,
        }
    }

    async fn remove_document(&self, tenant: &TenantId, kind: DocumentKind, id: &str, was: Revision) -> Result<bool> {
        match self {
            AnyStore::Embedded(store) => store.remove_document(tenant, kind, id, was).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.remove_document(tenant, kind, id, was)).await,
        }
    }

    async fn have_documents(&self, kind: DocumentKind, ids: &[(TenantId, String)]) -> Result<Vec<bool>> {
        match self {
            AnyStore::Embedded(store) => store.have_documents(kind, ids).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.have_documents(kind, ids)).await,
        }
    }

    async fn tenants_with(&self, kind: DocumentKind, id: &str) -> Result<Vec<TenantId>> {
        match self {
            AnyStore::Embedded(store) => store.tenants_with(kind, id).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.tenants_with(kind, id)).await,
        }
    }

    async fn windows(&self, partition: u32) -> Result<Vec<WindowRow>> {
        match self {
            AnyStore::Embedded(store) => store.windows(partition).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.windows(partition)).await,
        }
    }

    async fn windows_take(&self, partition: u32) -> Result<WindowSeat> {
        match self {
            AnyStore::Embedded(store) => store.windows_take(partition).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.windows_take(partition)).await,
        }
    }

    async fn windows_put(&self, stamp: WindowStamp, rows: Vec<WindowRow>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.windows_put(stamp, rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.windows_put(stamp, rows)).await,
        }
    }

    async fn notifications_put(&self, rows: Vec<NotificationRow>) -> Result<()> {
        match self {
            AnyStore::Embedded(store) => store.notifications_put(rows).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.notifications_put(rows)).await,
        }
    }

    async fn notification(&self, tenant: &TenantId, id: MessageId) -> Result<Option<NotificationRow>> {
        match self {
            AnyStore::Embedded(store) => store.notification(tenant, id).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.notification(tenant, id)).await,
        }
    }

    async fn purge(&self, now: Timestamp, keep_ms: i64) -> Result<u64> {
        match self {
            AnyStore::Embedded(store) => store.purge(now, keep_ms).await,
            #[cfg(feature = "cql")]
            AnyStore::Cql(store) => Box::pin(store.purge(now, keep_ms)).await,
        }
    }
}
