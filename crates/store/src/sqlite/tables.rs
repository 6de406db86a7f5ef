//! The tables of the state. Knows SQL, no rules.
//!
//! A delivery's `number` is given out in the order of arrival, so that the rows of what is under way lie together,
//! whatever their ids, and its `story` is what was told of it (see `story`). The index `live` holds exactly what is pending: counting stages walks it, and nothing else.

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS party (
        kind TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (kind, owner, name)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS rate (
        supplier TEXT NOT NULL, prefix TEXT NOT NULL, country TEXT NOT NULL, micros INTEGER NOT NULL,
        currency TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER
    );
    CREATE TABLE IF NOT EXISTS router (
        name TEXT PRIMARY KEY, address TEXT NOT NULL, until_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS allowance (
        tenant TEXT NOT NULL, user_id TEXT NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (tenant, user_id)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS version (what TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE IF NOT EXISTS delivery (
        number INTEGER PRIMARY KEY, message BLOB NOT NULL, idx INTEGER NOT NULL, tenant TEXT NOT NULL,
        deliveries INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, counted INTEGER NOT NULL,
        lane_partition INTEGER NOT NULL, lane_offset INTEGER NOT NULL, segments INTEGER NOT NULL,
        keyed INTEGER NOT NULL, digest BLOB NOT NULL, state INTEGER NOT NULL, state_attempt INTEGER NOT NULL,
        over_attempt INTEGER NOT NULL, charged_attempt INTEGER NOT NULL, unit_micros INTEGER NOT NULL,
        currency TEXT NOT NULL, story BLOB NOT NULL, UNIQUE (message, idx)
    );
    CREATE INDEX IF NOT EXISTS live ON delivery (tenant, state) WHERE counted = 1 AND state < 5;
    CREATE TABLE IF NOT EXISTS total (
        tenant TEXT NOT NULL, hour INTEGER NOT NULL, lane TEXT NOT NULL, partition INTEGER NOT NULL,
        included INTEGER NOT NULL, messages INTEGER NOT NULL, accepted INTEGER NOT NULL, segments INTEGER NOT NULL,
        repeats INTEGER NOT NULL, keys_reused INTEGER NOT NULL, sent INTEGER NOT NULL, delivered INTEGER NOT NULL,
        failed INTEGER NOT NULL, expired INTEGER NOT NULL, cancelled INTEGER NOT NULL, rejected INTEGER NOT NULL,
        uncertain INTEGER NOT NULL, PRIMARY KEY (tenant, hour, lane, partition)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cost (
        tenant TEXT NOT NULL, hour INTEGER NOT NULL, lane TEXT NOT NULL, partition INTEGER NOT NULL,
        currency TEXT NOT NULL, micros INTEGER NOT NULL, PRIMARY KEY (tenant, hour, lane, partition, currency)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS projected (
        lane TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (lane, partition)
    ) WITHOUT ROWID;

    CREATE TABLE IF NOT EXISTS schedule (
        shard INTEGER NOT NULL, minute INTEGER NOT NULL, due_ms INTEGER NOT NULL, delivery BLOB NOT NULL,
        hop INTEGER NOT NULL, attempt INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (shard, delivery, hop)
    );
    CREATE INDEX IF NOT EXISTS due ON schedule (shard, minute, due_ms);
    CREATE TABLE IF NOT EXISTS cancellation (
        subject TEXT PRIMARY KEY, message BLOB, at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS reference (
        lane_partition INTEGER NOT NULL, imsi TEXT NOT NULL, recipient BLOB NOT NULL, reference INTEGER NOT NULL,
        delivery BLOB NOT NULL, attempt INTEGER NOT NULL, part INTEGER NOT NULL, parts INTEGER NOT NULL,
        until_ms INTEGER NOT NULL, opened_at INTEGER NOT NULL, payload BLOB NOT NULL,
        UNIQUE (lane_partition, imsi, recipient, reference)
    );
    CREATE INDEX IF NOT EXISTS overdue ON reference (lane_partition, until_ms);

    CREATE TABLE IF NOT EXISTS conversation (
        account TEXT NOT NULL, number BLOB NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL, is_oms INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, PRIMARY KEY (account, number)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS conversation_age ON conversation (at_ms);
    CREATE TABLE IF NOT EXISTS inbound (
        owner TEXT NOT NULL, received_ms INTEGER NOT NULL, id BLOB NOT NULL, account TEXT NOT NULL, user TEXT NOT NULL,
        goes_to TEXT NOT NULL, data_key TEXT NOT NULL, sealed BLOB NOT NULL, fate TEXT, reason TEXT, fate_ms INTEGER,
        PRIMARY KEY (owner, received_ms, id)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS inbound_age ON inbound (received_ms);
    CREATE TABLE IF NOT EXISTS inbound_taken (
        arrival BLOB PRIMARY KEY, lane_offset INTEGER NOT NULL, at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS inbound_taken_age ON inbound_taken (at_ms);
    CREATE TABLE IF NOT EXISTS inbound_part (
        lane_partition INTEGER NOT NULL, message BLOB NOT NULL, number INTEGER NOT NULL, lane_offset INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (lane_partition, message, number)
    ) WITHOUT ROWID;

    CREATE TABLE IF NOT EXISTS content (
        id BLOB PRIMARY KEY, tenant TEXT NOT NULL, until_ms INTEGER NOT NULL, octets INTEGER NOT NULL,
        data_key TEXT NOT NULL, sealed BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS content_size ON content (tenant, until_ms, octets);
    CREATE INDEX IF NOT EXISTS content_age ON content (until_ms);
    CREATE TABLE IF NOT EXISTS content_ticket (
        ticket BLOB PRIMARY KEY, content BLOB NOT NULL, recipient BLOB NOT NULL, until_ms INTEGER NOT NULL,
        ended_ms INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS content_ticket_age ON content_ticket (until_ms);

    CREATE TABLE IF NOT EXISTS document (
        tenant TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, until_ms INTEGER,
        PRIMARY KEY (tenant, kind, id)
    );
    CREATE INDEX IF NOT EXISTS document_age ON document (until_ms) WHERE until_ms IS NOT NULL;
    CREATE INDEX IF NOT EXISTS document_number ON document (id) WHERE kind = 'number-owner';
    CREATE TABLE IF NOT EXISTS notify_window (
        lane_partition INTEGER NOT NULL, tenant TEXT NOT NULL, account TEXT NOT NULL, device TEXT NOT NULL,
        state BLOB NOT NULL, PRIMARY KEY (lane_partition, tenant, account, device)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS notification (
        id BLOB PRIMARY KEY, tenant TEXT NOT NULL, until_ms INTEGER NOT NULL, body TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS notification_age ON notification (until_ms);";

/// Reads a count or a version: a number that is never below zero.
pub(super) fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
