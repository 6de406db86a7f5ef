//! Every statement of the engine, prepared once. Knows CQL, no rule. All of it is CQL of both Cassandra and ScyllaDB.

use scylla::client::session::Session;
use scylla::statement::{Consistency, SerialConsistency};

use super::CqlError;
use super::client::Statement;

/// How often a statement may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any number of times, with the same result: repeated after a broken connection.
    Repeatable,
    /// A conditional write: whether it came through is asked, never guessed.
    Conditional,
    /// A read that sees every conditional write that was under way.
    Serial,
}

macro_rules! statements {
    ($($name:ident: $kind:ident, $what:literal, $cql:expr;)*) => {
        /// The prepared statements, by what they do.
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)*
        }

        impl Statements {
            /// Prepares them all.
            pub(super) async fn prepare(session: &Session) -> Result<Self, CqlError> {
                // At once: one after the other is a second of waiting. Each in a box: all of them are more than a stack holds.
                let made = vec![$(Box::pin(prepare(session, Kind::$kind, $what, $cql))),*];
                let mut made = futures_util::future::try_join_all(made).await?.into_iter();
                let mut next = || made.next().expect("there are as many as were asked for");
                Ok(Statements { $($name: next(),)* })
            }
        }
    };
}

statements! {
    party_put: Repeatable, "put a party", "INSERT INTO party (kind, owner, name, record) VALUES (?, ?, ?, ?)";
    party_add: Conditional, "put a data key",
        "INSERT INTO party (kind, owner, name, record) VALUES (?, ?, ?, ?) IF NOT EXISTS";
    party: Serial, "read a party", "SELECT record FROM party WHERE kind = ? AND owner = ? AND name = ?";
    party_replace: Conditional, "replace a party",
        "UPDATE party SET record = ? WHERE kind = ? AND owner = ? AND name = ? IF record = ?";
    party_remove: Conditional, "remove a party",
        "DELETE FROM party WHERE kind = ? AND owner = ? AND name = ? IF record = ?";
    parties_after: Repeatable, "list parties",
        "SELECT record FROM party WHERE kind = ? AND owner = ? AND name > ? LIMIT ?";
    parties: Repeatable, "read the parties", "SELECT owner, name, record FROM party WHERE kind = ?";
    version: Repeatable, "read the parties' version",
        "SELECT number, deck_version, deck, deck_parts FROM version WHERE what = 'parties'";
    version_first: Conditional, "begin the parties' version",
        "INSERT INTO version (what, number, deck_version, deck, deck_parts) VALUES ('parties', 0, 0, '', 0) IF NOT EXISTS";
    version_raise: Conditional, "raise the parties' version",
        "UPDATE version SET number = ?, deck_version = ?, deck = ?, deck_parts = ? WHERE what = 'parties' IF number = ?";
    rate_put: Repeatable, "put a price deck",
        "INSERT INTO rate (deck, part, line, supplier, prefix, country, micros, currency, valid_from, valid_to) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    rates: Repeatable, "read the price deck",
        "SELECT supplier, prefix, country, micros, currency, valid_from, valid_to FROM rate WHERE deck = ? AND part = ?";
    rates_drop: Repeatable, "remove an old price deck", "DELETE FROM rate WHERE deck = ? AND part = ?";
    allowance: Serial, "read an allowance",
        "SELECT version, record FROM allowance WHERE tenant = ? AND user_id = ?";
    allowance_first: Conditional, "begin an allowance",
        "INSERT INTO allowance (tenant, user_id, version, record) VALUES (?, ?, 1, ?) IF NOT EXISTS";
    allowance_replace: Conditional, "replace an allowance",
        "UPDATE allowance SET version = ?, record = ? WHERE tenant = ? AND user_id = ? IF version = ?";
    router_put: Repeatable, "put a router",
        "INSERT INTO router (what, name, address, until) VALUES ('router', ?, ?, ?) USING TTL ?";
    routers: Repeatable, "read the routers", "SELECT name, address, until FROM router WHERE what = 'router'";

    conversation_put: Repeatable, "remember a conversation",
        "INSERT INTO conversation (account, number, tenant, user, is_oms, at) VALUES (?, ?, ?, ?, ?, ?) \
         USING TTL ? AND TIMESTAMP ?";
    conversation: Repeatable, "read a conversation",
        "SELECT tenant, user, is_oms, at FROM conversation WHERE account = ? AND number = ?";
    conversation_numbers: Repeatable, "read the numbers of conversations",
        "SELECT number FROM conversation LIMIT ?";
    inbound_take: Repeatable, "note what the inbox took",
        "INSERT INTO inbound_taken (arrival, lane_offset) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?";
    inbound_taken: Repeatable, "read what the inbox took",
        "SELECT lane_offset FROM inbound_taken WHERE arrival = ?";
    inbound_put: Repeatable, "keep a message from a handset",
        "INSERT INTO inbound (owner, day, received, id, account, user, goes_to, data_key, sealed) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?";
    inbound_tell: Repeatable, "tell what became of a reply",
        "UPDATE inbound USING TTL ? SET fate = ?, reason = ?, fate_at = ? \
         WHERE owner = ? AND day = ? AND received = ? AND id = ?";
    inbound_one: Repeatable, "read a message from a handset",
        "SELECT received, id, account, user, goes_to, data_key, sealed, fate, reason, fate_at FROM inbound \
         WHERE owner = ? AND day = ? AND received = ? AND id = ?";
    inbound: Repeatable, "list messages from handsets",
        "SELECT received, id, account, user, goes_to, data_key, sealed, fate, reason, fate_at FROM inbound \
         WHERE owner = ? AND day = ? AND (received, id) > (?, ?) LIMIT ?";
    inbound_part_put: Repeatable, "keep a part of a message from a handset",
        "INSERT INTO inbound_part (lane_partition, message, number, lane_offset, at, payload) \
         VALUES (?, ?, ?, ?, ?, ?) USING TTL ?";
    inbound_parts: Repeatable, "read parts of messages from handsets",
        "SELECT message, number, lane_offset, at, payload FROM inbound_part WHERE lane_partition = ?";
    inbound_part_drop: Repeatable, "remove parts of a message from a handset",
        "DELETE FROM inbound_part WHERE lane_partition = ? AND message = ?";

    content_put: Repeatable, "keep content for phones",
        "INSERT INTO content (id, tenant, until, data_key, sealed) VALUES (?, ?, ?, ?, ?) USING TTL ?";
    content_size_put: Repeatable, "note the size of content",
        "INSERT INTO content_size (tenant, id, octets) VALUES (?, ?, ?) USING TTL ?";
    content_ticket_put: Repeatable, "keep what content is fetched by",
        "INSERT INTO content_ticket (ticket, content, recipient, until) VALUES (?, ?, ?, ?) USING TTL ?";
    content_ticket: Repeatable, "read what content is fetched by",
        "SELECT content, recipient, until, ended FROM content_ticket WHERE ticket = ?";
    content: Repeatable, "read content", "SELECT tenant, until, data_key, sealed FROM content WHERE id = ?";
    content_ended: Repeatable, "note the end of content",
        "UPDATE content_ticket USING TTL ? SET ended = ? WHERE ticket = ?";
    content_sizes: Repeatable, "read the sizes of content", "SELECT octets FROM content_size WHERE tenant = ?";

    document: Serial, "read a document",
        "SELECT body, until FROM document WHERE tenant = ? AND kind = ? AND shard = ? AND id = ?";
    document_known: Repeatable, "look for a document",
        "SELECT body, until FROM document WHERE tenant = ? AND kind = ? AND shard = ? AND id = ?";
    documents_after: Repeatable, "list documents",
        "SELECT id FROM document WHERE tenant = ? AND kind = ? AND shard = ? AND id > ? LIMIT ?";
    document_replace: Conditional, "replace a document",
        "UPDATE document USING TTL ? SET body = ?, until = ? WHERE tenant = ? AND kind = ? AND shard = ? AND id = ? \
         IF body = ?";
    document_remove: Conditional, "remove a document",
        "DELETE FROM document WHERE tenant = ? AND kind = ? AND shard = ? AND id = ? IF body = ?";
    document_tenant_put: Repeatable, "note whose a document is",
        "INSERT INTO document_tenant (kind, id, tenant) VALUES (?, ?, ?)";
    document_tenants: Repeatable, "look whose documents are",
        "SELECT tenant FROM document_tenant WHERE kind = ? AND id = ?";
    windows: Repeatable, "read the windows",
        "SELECT tenant, account, device, state FROM notify_window WHERE lane_partition = ? AND shard = ?";
    window_put: Repeatable, "write a window",
        "INSERT INTO notify_window (lane_partition, shard, tenant, account, device, state) VALUES (?, ?, ?, ?, ?, ?) \
         USING TIMESTAMP ?";
    window_drop: Repeatable, "remove a window",
        "DELETE FROM notify_window USING TIMESTAMP ? WHERE lane_partition = ? AND shard = ? AND tenant = ? AND account = ? AND device = ?";
    notification_put: Repeatable, "write a notification",
        "INSERT INTO notification (id, tenant, until, body) VALUES (?, ?, ?, ?) USING TTL ?";
    notification: Repeatable, "read a notification", "SELECT tenant, until, body FROM notification WHERE id = ?";

    told_put: Repeatable, "write a timeline",
        "INSERT INTO timeline (tenant, minute, shard, message, delivery, attempt, step, mark, at, lane_partition, told, \
         segments, deliveries, keyed, digest, route, link, reason, event) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    told_of: Repeatable, "read messages' timelines",
        "SELECT message, delivery, step, at, tenant, lane_partition, told, segments, deliveries, keyed, \
         digest, event FROM timeline WHERE tenant = ? AND minute = ? AND shard = ? AND message IN ?";
    told_in: Repeatable, "read old timelines",
        "SELECT message, delivery, step, at, keyed FROM timeline WHERE tenant = ? AND minute = ? AND shard = ?";
    told_drop: Repeatable, "remove an old delivery",
        "DELETE FROM timeline WHERE tenant = ? AND minute = ? AND shard = ? AND message = ? AND delivery = ?";
    told_drop_all: Repeatable, "remove an old minute",
        "DELETE FROM timeline WHERE tenant = ? AND minute = ? AND shard = ?";
    hour_put: Repeatable, "note an hour", "INSERT INTO timeline_hour (what, hour) VALUES ('timeline', ?)";
    hours: Repeatable, "read the hours", "SELECT hour FROM timeline_hour WHERE what = 'timeline' AND hour <= ?";
    hour_drop: Repeatable, "remove an hour",
        "DELETE FROM timeline_hour USING TIMESTAMP ? WHERE what = 'timeline' AND hour = ?";
    minute_put: Repeatable, "note a minute", "INSERT INTO timeline_minute (hour, minute, shard) VALUES (?, ?, ?)";
    minutes: Repeatable, "read the minutes of an hour", "SELECT minute, shard FROM timeline_minute WHERE hour = ?";
    minute_drop: Repeatable, "remove a minute",
        "DELETE FROM timeline_minute USING TIMESTAMP ? WHERE hour = ? AND minute = ? AND shard = ?";
    tenant_put: Repeatable, "note a tenant's minute",
        "INSERT INTO timeline_tenant (minute, shard, tenant) VALUES (?, ?, ?)";
    tenant_looked: Repeatable, "note a look at a tenant's minute",
        "UPDATE timeline_tenant SET looked = ? WHERE minute = ? AND shard = ? AND tenant = ?";
    tenants: Repeatable, "read the tenants of a minute",
        "SELECT tenant, looked FROM timeline_tenant WHERE minute = ? AND shard = ?";
    tenant_drop: Repeatable, "remove a tenant's minute",
        "DELETE FROM timeline_tenant USING TIMESTAMP ? WHERE minute = ? AND shard = ? AND tenant = ?";

    claim_put: Repeatable, "write a claim",
        "INSERT INTO claim (message, tenant, accepted, keyed, lane_partition, first_offset, digest) \
         VALUES (?, ?, ?, ?, ?, ?, ?)";
    claim: Repeatable, "read a claim",
        "SELECT tenant, accepted, keyed, lane_partition, first_offset, digest FROM claim WHERE message = ?";
    claim_drop: Repeatable, "remove a claim", "DELETE FROM claim WHERE message = ?";

    position: Repeatable, "read a position",
        "SELECT commits, accepted_next, events_next, early, usage_due FROM ledger WHERE lane_partition = ? LIMIT 1";
    position_now: Serial, "read a position",
        "SELECT commits, accepted_next, events_next, early, usage_due FROM ledger WHERE lane_partition = ? LIMIT 1";
    position_first: Conditional, "begin a position",
        "INSERT INTO ledger (lane_partition, commits, accepted_next, events_next, early, usage_due) \
         VALUES (?, 0, 0, 0, 0, '') IF NOT EXISTS";
    position_move: Conditional, "move a position",
        "UPDATE ledger SET commits = ?, accepted_next = ?, events_next = ?, early = ?, usage_due = ? \
         WHERE lane_partition = ? IF commits = ?";
    figures_put: Conditional, "write the ledger",
        "INSERT INTO ledger (lane_partition, tenant, accepted, repeats, keys_reused, pending_accepted, pending_scheduled, \
         pending_routed, pending_leased, pending_submitted, sent, delivered, failed, expired, cancelled, rejected, \
         uncertain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    figures: Repeatable, "read the ledger",
        "SELECT accepted, repeats, keys_reused, pending_accepted, pending_scheduled, pending_routed, pending_leased, \
         pending_submitted, sent, delivered, failed, expired, cancelled, rejected, uncertain \
         FROM ledger WHERE lane_partition = ? AND tenant = ?";
    partition_put: Repeatable, "note a lane partition",
        "INSERT INTO lane_partition (what, lane_partition) VALUES ('ledger', ?)";
    partitions: Repeatable, "read the lane partitions",
        "SELECT lane_partition FROM lane_partition WHERE what = 'ledger'";
    usage_put: Repeatable, "write usage",
        "INSERT INTO usage (tenant, month, hour, lane_partition, messages, deliveries, segments, cost_micros) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    usage_one: Repeatable, "read usage",
        "SELECT messages, deliveries, segments, cost_micros FROM usage \
         WHERE tenant = ? AND month = ? AND hour = ? AND lane_partition = ?";
    usage: Repeatable, "read usage",
        "SELECT hour, messages, deliveries, segments, cost_micros FROM usage \
         WHERE tenant = ? AND month = ? AND hour >= ? AND hour < ?";
    month_put: Repeatable, "note a month", "INSERT INTO usage_month (tenant, month) VALUES (?, ?)";
    months: Repeatable, "read the months", "SELECT month FROM usage_month WHERE tenant = ?";

    cancel: Repeatable, "cancel", "INSERT INTO cancellation (subject, at) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?";
    cancelled: Repeatable, "read what was cancelled", "SELECT at FROM cancellation WHERE subject = ?";
    schedule_put: Repeatable, "write the schedule",
        "INSERT INTO schedule (shard, minute, due, delivery, hop, attempt, payload) VALUES (?, ?, ?, ?, ?, ?, ?)";
    schedule_due: Repeatable, "read the schedule",
        "SELECT due, delivery, hop, attempt, payload FROM schedule WHERE shard = ? AND minute = ? AND due <= ? LIMIT ?";
    schedule_drop: Repeatable, "clear the schedule",
        "DELETE FROM schedule WHERE shard = ? AND minute = ? AND due = ? AND delivery = ? AND hop = ?";
    schedule_minute_put: Repeatable, "note a minute of the schedule",
        "INSERT INTO schedule_minute (shard, minute) VALUES (?, ?)";
    schedule_minutes: Repeatable, "read the schedule's minutes",
        "SELECT minute FROM schedule_minute WHERE shard = ? AND minute >= ? AND minute <= ?";
    schedule_minute_drop: Repeatable, "remove a minute of the schedule",
        "DELETE FROM schedule_minute USING TIMESTAMP ? WHERE shard = ? AND minute = ?";
    schedule_place_put: Repeatable, "note a place in the schedule",
        "INSERT INTO schedule_place (delivery, shard, hop, due) VALUES (?, ?, ?, ?)";
    schedule_place: Repeatable, "read a place in the schedule",
        "SELECT due FROM schedule_place WHERE delivery = ? AND shard = ? AND hop = ?";
    schedule_place_drop: Repeatable, "remove a place in the schedule",
        "DELETE FROM schedule_place WHERE delivery = ? AND shard = ? AND hop = ?";

    reference_put: Repeatable, "open a reference",
        "INSERT INTO reference (lane_partition, slot, imsi, recipient, reference, delivery, attempt, part, parts, until, \
         opened_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    reference_drop: Repeatable, "close a reference",
        "DELETE FROM reference USING TIMESTAMP ? \
         WHERE lane_partition = ? AND slot = ? AND imsi = ? AND recipient = ? AND reference = ?";
    references: Repeatable, "read open references",
        "SELECT imsi, recipient, reference, delivery, attempt, part, parts, until, opened_at, payload FROM reference \
         WHERE lane_partition = ? AND slot = ?";
}

async fn prepare(session: &Session, kind: Kind, what: &'static str, cql: &str) -> Result<Statement, CqlError> {
    let mut prepared = session.prepare(cql).await.map_err(|error| CqlError::statement(what, error))?;
    prepared.set_is_idempotent(kind != Kind::Conditional);
    match kind {
        Kind::Repeatable => {}
        Kind::Conditional => prepared.set_serial_consistency(Some(SerialConsistency::LocalSerial)),
        Kind::Serial => prepared.set_consistency(Consistency::LocalSerial),
    }
    Ok(Statement { what, prepared })
}
