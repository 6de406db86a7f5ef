//! Removing what is old, a bounded step at a time. Knows which rows may go.

use model::State;
use rusqlite::{Transaction, params};

/// Rows one step looks at.
const STEP_ROWS_MAX: usize = 500;

/// What a step did.
pub(super) struct Step {
    /// Deliveries removed.
    pub(super) removed: u64,
    /// Where the next step begins; `None` if the rest is younger.
    pub(super) next: Option<i64>,
}

/// Looks at the deliveries after number `after`, which are in order of arrival, and removes those that were accepted
/// before `before_ms` and ended. Rows that wait for their record of lane `accepted` in vain go too: it was trimmed.
pub(super) fn step(tx: &Transaction<'_>, after: i64, before_ms: i64) -> rusqlite::Result<Step> {
    let find = "SELECT number, accepted_ms, counted, state FROM delivery WHERE number > ?1 ORDER BY number LIMIT ?2";
    let mut find = tx.prepare_cached(find)?;
    let limit = i64::try_from(STEP_ROWS_MAX).expect("the step is small");
    let rows = find.query_map(params![after, limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?, row.get::<_, u8>(3)?))
    })?;
    let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    let old = rows.iter().filter(|(_, accepted_ms, ..)| *accepted_ms < before_ms);
    let ended = |counted: bool, state: u8| !counted || state >= State::Sent.rank();
    let gone: Vec<i64> = old.clone().filter(|row| ended(row.2, row.3)).map(|row| row.0).collect();
    for number in &gone {
        tx.prepare_cached("DELETE FROM delivery WHERE number = ?1")?.execute([number])?;
    }
    let more = rows.len() == STEP_ROWS_MAX && old.count() > 0;
    Ok(Step { removed: gone.len() as u64, next: rows.last().filter(|_| more).map(|row| row.0) })
}

/// Forgets what was said of messages that are gone. What was said of users is little, and stays.
pub(super) fn forget_cancelled(tx: &Transaction<'_>, before_ms: i64) -> rusqlite::Result<()> {
    let forget = "DELETE FROM cancellation WHERE at_ms < ?1 AND message IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message = cancellation.message)";
    tx.execute(forget, [before_ms]).map(drop)
}
