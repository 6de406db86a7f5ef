//! Traces of notifications as rows: read, changed, written whole. Knows the store's rows and when a notification is settled.

use std::collections::BTreeMap;

use model::push::{Confirmed, ConfirmedBy, NoticeState, PackageEnd, SPARED_MAX, Spared, Trace};
use model::{MessageId, State, TenantId, Timestamp};
use store::{NOTIFICATION_MS, NotificationRow, Store};

use super::window::Open;
use crate::RouterError;

/// How a package ended that a later notification made needless.
const SUPERSEDED: &str = "superseded";

/// Traces that are worked on, and written together.
#[derive(Default)]
pub(super) struct Traces(BTreeMap<(TenantId, MessageId), Option<Trace>>);

impl Traces {
    /// Puts a trace.
    pub(super) fn put(&mut self, tenant: &TenantId, id: MessageId, trace: Trace) {
        self.0.insert((tenant.clone(), id), Some(trace));
    }

    /// Changes a trace, if it is there: one that is gone was kept long enough.
    ///
    /// # Errors
    /// The store is away.
    pub(super) async fn change<S: Store>(
        &mut self,
        store: &S,
        tenant: &TenantId,
        id: MessageId,
        change: impl FnOnce(&mut Trace),
    ) -> Result<(), RouterError> {
        let key = (tenant.clone(), id);
        if !self.0.contains_key(&key) {
            let row = store.notification(tenant, id).await.map_err(RouterError::Notify)?;
            self.0.insert(key.clone(), row.and_then(|row| serde_json::from_str(&row.body).ok()));
        }
        if let Some(Some(trace)) = self.0.get_mut(&key) {
            change(trace);
        }
        Ok(())
    }

    /// Writes all of them.
    ///
    /// # Errors
    /// The store is away.
    pub(super) async fn write<S: Store>(&mut self, store: &S) -> Result<(), RouterError> {
        let row = |((tenant, id), trace): ((TenantId, MessageId), Option<Trace>)| {
            let trace = trace?;
            let body = serde_json::to_string(&trace).expect("a trace has only keys that are text");
            Some(NotificationRow { tenant, id, until: trace.made.plus_ms(NOTIFICATION_MS), body })
        };
        let rows: Vec<NotificationRow> = std::mem::take(&mut self.0).into_iter().filter_map(row).collect();
        if rows.is_empty() {
            return Ok(());
        }
        store.notifications_put(rows).await.map_err(RouterError::Notify)
    }
}

/// A window needed no notification, because of this one.
pub(super) fn spare(trace: &mut Trace, window: &Open, closed: Timestamp) {
    let spared = Spared { opened: window.opened, closed, events: window.events };
    if trace.spared.contains(&spared) {
        return; // told again after a crash
    }
    trace.spared_count += 1;
    if trace.spared.len() < SPARED_MAX {
        trace.spared.push(spared);
    }
}

/// A package ended.
pub(super) fn end(trace: &mut Trace, delivery: u32, state: State, reason: &str, at: Timestamp) {
    note_end(trace, PackageEnd { delivery, state: state.as_str().to_owned(), reason: reason.to_owned(), at });
    if trace.state == NoticeState::Delivered && trace.confirmed.is_none() {
        trace.confirmed = Some(Confirmed { by: ConfirmedBy::Report, at });
    }
}

/// A package was not sent: a later notification tells of what it would have told of.
pub(super) fn supersede(trace: &mut Trace, delivery: u32, by: MessageId, reason: &str, at: Timestamp) {
    trace.superseded_by = Some(by.to_string());
    note_end(trace, PackageEnd { delivery, state: SUPERSEDED.to_owned(), reason: reason.to_owned(), at });
}

fn note_end(trace: &mut Trace, told: PackageEnd) {
    match trace.ends.iter_mut().find(|known| known.delivery == told.delivery) {
        Some(known) => *known = told, // a later word corrects
        None => trace.ends.push(told),
    }
    let is_over = trace.ends.len() == trace.packages as usize;
    let any = |states: &[&str]| trace.ends.iter().any(|end| states.contains(&end.state.as_str()));
    let all = |state: State| is_over && trace.ends.iter().all(|end| end.state == state.as_str());
    let failures = [State::Failed, State::Rejected, State::Cancelled, State::Uncertain].map(State::as_str);
    trace.state = if all(State::Delivered) {
        NoticeState::Delivered
    } else if any(&failures) {
        NoticeState::Undeliverable
    } else if any(&[State::Expired.as_str()]) {
        NoticeState::Expired
    } else if is_over && any(&[SUPERSEDED]) {
        NoticeState::Superseded
    } else {
        NoticeState::Accepted
    };
}

/// The device synchronised, and so found what it was told of.
pub(super) fn synced(trace: &mut Trace, at: Timestamp) {
    if trace.confirmed.is_none() {
        trace.confirmed = Some(Confirmed { by: ConfirmedBy::Sync, at });
        trace.state = NoticeState::Delivered;
    }
}
