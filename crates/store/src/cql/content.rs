//! What waits for phones, how much of it there is, and what it is fetched by. Rows live as long as they wait.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};
use scylla::value::CqlTimestamp;

use super::{CqlError, Engine};
use crate::{ContentRow, ContentTicket};

/// The message first: who finds a ticket finds what it is for.
pub(super) async fn put(
    engine: &Engine,
    content: &ContentRow,
    tickets: &[ContentTicket],
    now: Timestamp,
) -> Result<(), CqlError> {
    let (id, tenant, lives) = (content.id.to_bytes(), content.tenant.as_str(), seconds(content.until, now));
    let octets = i64::try_from(content.sealed.len()).unwrap_or(i64::MAX);
    let (until, sealed) = (CqlTimestamp(content.until.0), &content.sealed[..]);
    // Its size before itself: what waits is counted, or is not there.
    engine.client.write(&engine.statements.content_size_put, (tenant, &id[..], octets, lives)).await?;
    let row = (&id[..], tenant, until, &content.data_key, sealed, lives);
    engine.client.write(&engine.statements.content_put, row).await?;
    let put = async |ticket: &ContentTicket| {
        let (content, until) = (ticket.content.to_bytes(), CqlTimestamp(ticket.until.0));
        let row = (&ticket.ticket[..], &content[..], &ticket.recipient_hash[..], until, seconds(ticket.until, now));
        engine.client.write(&engine.statements.content_ticket_put, row).await
    };
    engine.client.all(tickets.iter().map(put).collect()).await.map(drop)
}

pub(super) async fn find(engine: &Engine, ticket: [u8; 16]) -> Result<Option<(ContentTicket, ContentRow)>, CqlError> {
    type Ticket = (Option<Vec<u8>>, Option<Vec<u8>>, Option<CqlTimestamp>, Option<CqlTimestamp>);
    type Content = (Option<String>, Option<CqlTimestamp>, Option<String>, Option<Vec<u8>>);
    let rows: Vec<Ticket> = engine.client.rows(&engine.statements.content_ticket, (&ticket[..],)).await?;
    // Without a content only the note of its end is left.
    let Some((Some(content), recipient, until, ended)) = rows.into_iter().next() else { return Ok(None) };
    let broken = |table| CqlError::Row { table };
    let rows: Vec<Content> = engine.client.rows(&engine.statements.content, (&content[..],)).await?;
    let Some((tenant, kept_until, data_key, sealed)) = rows.into_iter().next() else { return Ok(None) };
    let id: [u8; 16] = content.try_into().map_err(|_| broken("content_ticket"))?;
    let id = MessageId(u128::from_be_bytes(id));
    let ticket = ContentTicket {
        ticket,
        content: id,
        recipient_hash: recipient.unwrap_or_default().try_into().map_err(|_| broken("content_ticket"))?,
        until: Timestamp(until.ok_or_else(|| broken("content_ticket"))?.0),
        ended: ended.map(|at| Timestamp(at.0)),
    };
    let row = ContentRow {
        id,
        tenant: TenantId::new(&tenant.unwrap_or_default()).map_err(|_| broken("content"))?,
        until: Timestamp(kept_until.ok_or_else(|| broken("content"))?.0),
        data_key: data_key.unwrap_or_default(),
        sealed: Bytes::from(sealed.unwrap_or_default()),
    };
    Ok(Some((ticket, row)))
}

pub(super) async fn end(engine: &Engine, ticket: &ContentTicket, at: Timestamp) -> Result<(), CqlError> {
    let row = (seconds(ticket.until, at), CqlTimestamp(at.0), &ticket.ticket[..]);
    engine.client.write(&engine.statements.content_ended, row).await
}

pub(super) async fn octets(engine: &Engine, tenant: &TenantId) -> Result<u64, CqlError> {
    let mut sum = 0_u64;
    let take = |(octets,): (Option<i64>,)| {
        sum = sum.saturating_add(u64::try_from(octets.unwrap_or(0)).unwrap_or(0));
        Ok(())
    };
    engine.client.pages(&engine.statements.content_sizes, (tenant.as_str(),), take).await?;
    Ok(sum)
}

/// A row lives a second at least: 0 would be for ever.
fn seconds(until: Timestamp, now: Timestamp) -> i32 {
    i32::try_from(until.since_ms(now).max(0) / 1_000 + 1).unwrap_or(i32::MAX)
}
