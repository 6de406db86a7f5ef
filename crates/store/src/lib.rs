//! State: who takes part, what became of every delivery, what waits for its time. Knows no lanes' bytes and no protocol.
//!
//! One trait, [`Store`], and the engines behind it. All but parties, schedule and references is a projection: it follows
//! the lanes, may lag, and can be built again from them.

mod any;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod content;
#[cfg(feature = "cql")]
pub mod cql;
mod delivery;
mod error;
mod inbound;
mod push;
mod sqlite;
mod views;

use model::party::{ApiKey, Farm, OmsUser, Rate, Route, Supplier, Tenant, WrappedKey};
use model::{Allowance, Lane, MessageId, TenantId, Timestamp};

pub use any::AnyStore;
pub use content::{ContentRow, ContentTicket};
#[cfg(feature = "cql")]
pub use cql::CqlStore;
pub use error::{EngineError, StoreError};
pub use inbound::{
    CONVERSATION_MS, Conversation, Fate, INBOUND_MS, InboundOwner, InboundPart, InboundPlace, InboundRow, InboundTaken,
    PARTS_MS, TAKEN_MS,
};
pub use push::{Document, DocumentKind, NOTIFICATION_MS, NotificationRow, WindowRow, WindowSeat, WindowStamp};
pub use sqlite::EmbeddedStore;
pub use views::{
    AcceptedRow, Cancelled, Claim, DeliveryView, EventRow, Ledger, MessageView, Parties, Projection, ReferenceClosed,
    ReferenceRow, Revision, RouterSeat, ScheduledRow, Usage,
};

type Result<T> = std::result::Result<T, StoreError>;

/// How long a row, and with it the claim on its id, is kept at least.
pub const KEEP_MS_MIN: i64 = 24 * 60 * 60 * 1_000;

/// The state seam. Every write is durable and whole when it returns, and may be repeated. One that fails may be in in part,
/// where it has several rows; repeated, it becomes whole. (Where a method says *one step*, it is whole or not at all.)
pub trait Store: Clone + Send + Sync + 'static {
    /// Everyone who takes part, as one snapshot.
    fn parties(&self) -> impl Future<Output = Result<Parties>> + Send;

    /// The version a snapshot taken now would have: the change feed. Cheap enough to ask every second.
    fn parties_version(&self) -> impl Future<Output = Result<u64>> + Send;

    /// Puts a tenant in, or in place of the one of the same name. Returns the version that has it; so do its siblings.
    fn put_tenant(&self, tenant: Tenant) -> impl Future<Output = Result<u64>> + Send;

    /// Puts an API key, by (tenant, name).
    fn put_api_key(&self, key: ApiKey) -> impl Future<Output = Result<u64>> + Send;

    /// Puts an OMS user, by (tenant, user id).
    fn put_oms_user(&self, user: OmsUser) -> impl Future<Output = Result<u64>> + Send;

    /// A user of the OMS door, with the revision of the record.
    fn oms_user(
        &self,
        tenant: &TenantId,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<(Revision, OmsUser)>>> + Send;

    /// At most `max` users of a tenant whose ids come after `after`, in the order of their ids.
    fn oms_users(
        &self,
        tenant: &TenantId,
        after: &str,
        max: usize,
    ) -> impl Future<Output = Result<Vec<OmsUser>>> + Send;

    /// Puts an OMS user in place of the revision `was`, or where there is none; returns the parties' version that has it.
    /// `None`: somebody else was first, and nothing was changed. Of one that failed nobody knows whether it is in.
    fn replace_oms_user(
        &self,
        was: Option<Revision>,
        user: OmsUser,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Removes an OMS user that has the revision `was`, as [`Store::replace_oms_user`] replaces one.
    fn remove_oms_user(
        &self,
        tenant: &TenantId,
        user_id: &str,
        was: Revision,
    ) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Puts a supplier.
    fn put_supplier(&self, supplier: Supplier) -> impl Future<Output = Result<u64>> + Send;

    /// Puts a route.
    fn put_route(&self, route: Route) -> impl Future<Output = Result<u64>> + Send;

    /// Puts a farm.
    fn put_farm(&self, farm: Farm) -> impl Future<Output = Result<u64>> + Send;

    /// Puts a data key. A key that is there is never changed.
    fn put_data_key(&self, key: WrappedKey) -> impl Future<Output = Result<u64>> + Send;

    /// Says that a tenant may have numbers that opted out ([`DocumentKind::OptOut`]). It stays said; said again, nothing changes.
    fn put_opt_outs(&self, tenant: &TenantId) -> impl Future<Output = Result<()>> + Send;

    /// Replaces the price deck, whole or not at all, and returns the deck's version, one above the last.
    fn replace_deck(&self, rates: Vec<Rate>) -> impl Future<Output = Result<u64>> + Send;

    /// What a user of the OMS door has used and has left, with the version of that; version 0 if nothing is kept yet.
    fn allowance(&self, tenant: &TenantId, user_id: &str) -> impl Future<Output = Result<(u64, Allowance)>> + Send;

    /// Puts an allowance in place of the one that has `version`, as one step; it has the next version then. `false`:
    /// somebody else was first, and nothing was changed. Of one that failed nobody knows whether it is in.
    fn replace_allowance(
        &self,
        tenant: &TenantId,
        user_id: &str,
        version: u64,
        allowance: Allowance,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Says that a router replica is there, until the time it names; said again before that, it stays. Farms find replicas
    /// by it.
    fn put_router(&self, seat: RouterSeat) -> impl Future<Output = Result<()>> + Send;

    /// The router replicas that are there at `now`, by name.
    fn routers(&self, now: Timestamp) -> impl Future<Output = Result<Vec<RouterSeat>>> + Send;

    /// Carries the projection on by a stretch of a lane. Totals and position move in one step, and rows and claims are there
    /// when they do; what stands below the stored position is skipped, so a stretch may come twice. Lanes and partitions
    /// may come in any order among each other; each partition of its own comes in order. A partition of `accepted` and the
    /// one of `events` with its number tell of the same messages, and one process at a time carries both on: one that lost
    /// them is refused, or what it writes changes nothing.
    fn project(&self, batch: Projection) -> impl Future<Output = Result<()>> + Send;

    /// The next offset the projection needs of this partition.
    fn projected(&self, lane: &Lane, partition: u32) -> impl Future<Output = Result<i64>> + Send;

    /// For each id, the claim on it, if it comes from a key and the projection has it.
    fn claims(&self, ids: &[MessageId]) -> impl Future<Output = Result<Vec<Option<Claim>>>> + Send;

    /// A tenant's message with its timeline. `None` also if it is another tenant's.
    fn message(&self, tenant: &TenantId, id: MessageId) -> impl Future<Output = Result<Option<MessageView>>> + Send;

    /// The ledger of one tenant, or of all. What it says of a lane partition is as of one instant and balances by itself, so
    /// the difference is 0 in every reading; different partitions may be a moment apart.
    fn ledger(&self, tenant: Option<&TenantId>) -> impl Future<Output = Result<Ledger>> + Send;

    /// A tenant's usage per hour, hours that begin at or after `from` and before `to`.
    fn usage(
        &self,
        tenant: &TenantId,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Future<Output = Result<Vec<Usage>>> + Send;

    /// Says that nothing of this that was accepted by `at` and is not planned yet is to be sent. It stays said for years;
    /// said again, the later time holds.
    fn cancel(&self, subject: Cancelled, at: Timestamp) -> impl Future<Output = Result<()>> + Send;

    /// For each subject, up to when that was said.
    fn cancelled(&self, subjects: &[Cancelled]) -> impl Future<Output = Result<Vec<Option<Timestamp>>>> + Send;

    /// Puts what is not due. A row that is there, by (shard, delivery, hop), is replaced.
    fn schedule_put(&self, rows: Vec<ScheduledRow>) -> impl Future<Output = Result<()>> + Send;

    /// At most `max` rows of a shard that are due by `until`, the earliest first.
    fn schedule_due(
        &self,
        shard: u32,
        until: Timestamp,
        max: usize,
    ) -> impl Future<Output = Result<Vec<ScheduledRow>>> + Send;

    /// Clears rows, by (shard, delivery, hop).
    fn schedule_clear(&self, rows: Vec<ScheduledRow>) -> impl Future<Output = Result<()>> + Send;

    /// Opens references. One that is open under the same (partition, IMSI, recipient, reference) gives way to one opened
    /// at a later offset.
    fn references_open(&self, rows: Vec<ReferenceRow>) -> impl Future<Output = Result<()>> + Send;

    /// Closes references that were opened before the offset given; others stay.
    fn references_close(&self, rows: Vec<ReferenceClosed>) -> impl Future<Output = Result<()>> + Send;

    /// All open references of a partition of lane `outcomes`, in the order in which they were opened.
    fn references(&self, partition: u32) -> impl Future<Output = Result<Vec<ReferenceRow>>> + Send;

    /// At most `max` open references of a partition that waited until `until` or less, the longest overdue first.
    fn references_expired(
        &self,
        partition: u32,
        until: Timestamp,
        max: usize,
    ) -> impl Future<Output = Result<Vec<ReferenceRow>>> + Send;

    /// Remembers who wrote to numbers last; for each (account, number) the later one stays, for [`CONVERSATION_MS`] at least.
    fn converse(&self, rows: Vec<Conversation>) -> impl Future<Output = Result<()>> + Send;

    /// Who wrote to a number last through an account. It may be older than [`CONVERSATION_MS`]: the caller looks at when.
    fn conversation(
        &self,
        account: &str,
        number_hash: [u8; 16],
    ) -> impl Future<Output = Result<Option<Conversation>>> + Send;

    /// Keyed hashes of numbers that conversations are remembered with, in no order: all of them, or `max`.
    fn conversation_numbers(&self, max: usize) -> impl Future<Output = Result<Vec<[u8; 16]>>> + Send;

    /// Notes for [`TAKEN_MS`] where arrivals stand in lane `inbox`. One that is noted stays as it is.
    fn inbound_take(&self, rows: Vec<InboundTaken>) -> impl Future<Output = Result<()>> + Send;

    /// Where these arrivals were first seen in the lane, in their order; `None`: nowhere, or too long ago.
    fn inbound_taken(&self, arrivals: Vec<[u8; 16]>) -> impl Future<Output = Result<Vec<Option<i64>>>> + Send;

    /// Keeps messages from handsets for [`INBOUND_MS`]. One that is there stays as it is, with what became of it.
    fn inbound_put(&self, rows: Vec<InboundRow>) -> impl Future<Output = Result<()>> + Send;

    /// Tells what became of a reply that was put. The last word holds.
    fn inbound_tell(&self, place: &InboundPlace, fate: Fate) -> impl Future<Output = Result<()>> + Send;

    /// One message from a handset.
    fn inbound_one(&self, place: &InboundPlace) -> impl Future<Output = Result<Option<InboundRow>>> + Send;

    /// At most `max` messages of an owner that stand after a place, as of `now`, the oldest first.
    fn inbound(
        &self,
        after: &InboundPlace,
        now: Timestamp,
        max: usize,
    ) -> impl Future<Output = Result<Vec<InboundRow>>> + Send;

    /// Keeps parts of long messages, by (partition, message, number); one that is there is replaced.
    fn inbound_parts_put(&self, rows: Vec<InboundPart>) -> impl Future<Output = Result<()>> + Send;

    /// All parts of a partition, in the order of their offsets.
    fn inbound_parts(&self, partition: u32) -> impl Future<Output = Result<Vec<InboundPart>>> + Send;

    /// Removes all parts of these messages.
    fn inbound_parts_drop(&self, partition: u32, messages: Vec<[u8; 16]>) -> impl Future<Output = Result<()>> + Send;

    /// Keeps a message for phones, with what they fetch it by, until the time it names. Put again, it is replaced.
    fn content_put(
        &self,
        content: ContentRow,
        tickets: Vec<ContentTicket>,
        now: Timestamp,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What a ticket is for. It may be over: the caller looks at until when.
    fn content(&self, ticket: [u8; 16]) -> impl Future<Output = Result<Option<(ContentTicket, ContentRow)>>> + Send;

    /// Notes that the end of a ticket was told at `at`.
    fn content_ended(&self, ticket: &ContentTicket, at: Timestamp) -> impl Future<Output = Result<()>> + Send;

    /// Octets of all that waits for a tenant's recipients at `now`.
    fn content_octets(&self, tenant: &TenantId, now: Timestamp) -> impl Future<Output = Result<u64>> + Send;

    /// A document, with its revision. One that is over may still be there: the caller looks at until when.
    fn document(
        &self,
        tenant: &TenantId,
        kind: DocumentKind,
        id: &str,
    ) -> impl Future<Output = Result<Option<(Revision, Document)>>> + Send;

    /// Documents of a tenant's and a kind whose ids come after `after`, in the order of the ids' octets: `max`, or all that are
    /// left.
    fn documents(
        &self,
        tenant: &TenantId,
        kind: DocumentKind,
        after: &str,
        max: usize,
    ) -> impl Future<Output = Result<Vec<(Revision, Document)>>> + Send;

    /// Puts a document in place of the revision `was`, or where there is none, as one step; returns its revision, which depends
    /// on its body alone. `None`: somebody else was first, and nothing was changed. Of one that failed nobody knows whether it
    /// is in.
    fn replace_document(
        &self,
        was: Option<Revision>,
        document: Document,
    ) -> impl Future<Output = Result<Option<Revision>>> + Send;

    /// Removes a document that has the revision `was`, as [`Store::replace_document`] replaces one; false if it has not.
    fn remove_document(
        &self,
        tenant: &TenantId,
        kind: DocumentKind,
        id: &str,
        was: Revision,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// For each id, whether there is a document, in their order. It may be over.
    fn have_documents(
        &self,
        kind: DocumentKind,
        ids: &[(TenantId, String)],
    ) -> impl Future<Output = Result<Vec<bool>>> + Send;

    /// The tenants that have, or had, a document of this id, in no order. Only of kinds that are
    /// [found by their id](DocumentKind::is_found_by_id).
    fn tenants_with(&self, kind: DocumentKind, id: &str) -> impl Future<Output = Result<Vec<TenantId>>> + Send;

    /// All windows of a partition of lane `changes`, in no order.
    fn windows(&self, partition: u32) -> impl Future<Output = Result<Vec<WindowRow>>> + Send;

    /// Takes the windows of a partition over: whatever is put under an earlier seat from here on changes no row that was put
    /// under this one, or a later one. Read the windows after it.
    fn windows_take(&self, partition: u32) -> impl Future<Output = Result<WindowSeat>> + Send;

    /// Puts windows of the stamp's partition, by (tenant, account, device); one that is there is replaced, one whose state is empty
    /// removed. Of a row that a newer seat has put, nothing changes; other rows may, or may not.
    fn windows_put(&self, stamp: WindowStamp, rows: Vec<WindowRow>) -> impl Future<Output = Result<()>> + Send;

    /// Puts what is told of notifications, by id, until the time each names; one that is there is replaced.
    fn notifications_put(&self, rows: Vec<NotificationRow>) -> impl Future<Output = Result<()>> + Send;

    /// What is told of a tenant's notification. `None` also if it is another tenant's.
    fn notification(
        &self,
        tenant: &TenantId,
        id: MessageId,
    ) -> impl Future<Output = Result<Option<NotificationRow>>> + Send;

    /// Removes, in bounded steps, ended deliveries accepted more than `keep_ms` (at least [`KEEP_MS_MIN`]) before `now`,
    /// with their timelines and claims, and what else was kept long enough. Totals stay. Returns how many deliveries went.
    fn purge(&self, now: Timestamp, keep_ms: i64) -> impl Future<Output = Result<u64>> + Send;
}
