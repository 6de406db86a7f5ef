//! What `PUSH OFF` and `PUSH ON` do: the device that has the number is paused, or told again. Knows accounts, not windows: who keeps
//! those is told to look at the device again.

use bus::{Bus, Entry};
use model::push::{Account, Change, ChangeKind, Device, DeviceState, Standing, Touched};
use model::{Lane, Msisdn, TenantId, Timestamp};
use store::{Document, DocumentKind, Revision, Store};

use super::claims::Hearing;
use super::onward::Text;
use super::orders::Order;
use crate::RouterError;
use crate::routing::Loads;

/// Times another writer may be first.
const TRIES_MAX: u32 = 16;
/// Tenants looked at whose device a number may be.
const TENANTS_MAX: usize = 16;
/// A device is answered once in so long.
const ANSWERED_MS: i64 = 24 * 60 * 60 * 1_000;
/// Who paused it, where the device itself did.
const BY: &str = "device";
const REASON: &str = "user";

/// An account's document, with the device in it that has the number.
struct Found {
    tenant: TenantId,
    revision: Revision,
    account: Account,
    device: String,
}

/// An order that was obeyed.
pub(super) struct Obeyed {
    /// Whose device it is.
    pub(super) tenant: TenantId,
    /// What is to be appended for it.
    pub(super) appended: Vec<(Lane, Entry)>,
}

/// Obeys the order; `None`: the number is no device's, or it can't be told whose.
///
/// # Errors
/// The store is away; done again, the same comes of it.
pub(super) async fn obey<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    order: Order,
) -> Result<Option<Obeyed>, RouterError> {
    let Some(number) = hearing.number() else { return Ok(None) };
    for _ in 0..TRIES_MAX {
        let Some(found) = find(hearing, &number).await? else { return Ok(None) };
        let Found { tenant, revision, mut account, device } = found;
        let Some(changed) = account.devices.get_mut(&device) else { return Ok(None) };
        let before = changed.clone();
        turn(changed, order, hearing.said.received);
        let is_answered = answer(changed, hearing.said.received);
        if *changed != before && !put(hearing, &tenant, revision, &account).await? {
            continue;
        }
        let mut appended = vec![touched(&tenant, &account.id, &device)];
        if is_answered {
            appended.extend(reply(hearing, &tenant, &number, order));
        }
        return Ok(Some(Obeyed { tenant, appended }));
    }
    Err(RouterError::Contended { what: "pause a device", times: TRIES_MAX })
}

/// The device that has a number. If several tenants have one with it, it is that of who wrote to the phone last.
async fn find<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    number: &Msisdn,
) -> Result<Option<Found>, RouterError> {
    let hash = hearing.numbers.digits(number);
    let store = &hearing.desk.store;
    let tenants = store.tenants_with(DocumentKind::NumberOwner, &hash).await.map_err(RouterError::Devices)?;
    let mut found = Vec::new();
    for tenant in tenants.into_iter().take(TENANTS_MAX) {
        found.extend(of_tenant(hearing, tenant, &hash).await?);
    }
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let correspondent = hearing.correspondent().await?;
    Ok(found.into_iter().find(|found| Some(&found.tenant) == correspondent.as_ref()))
}

/// By what says whose number and whose device it is; an account that says something else is right.
async fn of_tenant<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    tenant: TenantId,
    hash: &str,
) -> Result<Option<Found>, RouterError> {
    let read =
        async |kind, id: &str| hearing.desk.store.document(&tenant, kind, id).await.map_err(RouterError::Devices);
    let Some((_, device)) = read(DocumentKind::NumberOwner, hash).await? else { return Ok(None) };
    let device = device.body;
    let Some((_, owner)) = read(DocumentKind::DeviceOwner, &device).await? else { return Ok(None) };
    let Some((revision, document)) = read(DocumentKind::Account, &owner.body).await? else { return Ok(None) };
    let Ok(account) = serde_json::from_str::<Account>(&document.body) else {
        tracing::error!(%tenant, "an account can't be read");
        return Ok(None);
    };
    let has = |device: &Device| device.number.as_ref().is_some_and(|number| number.hash == hash);
    let is_its = account.devices.get(&device).is_some_and(|device| has(device) && device.holds_number());
    Ok(is_its.then_some(Found { tenant, revision, account, device }))
}

fn turn(device: &mut Device, order: Order, now: Timestamp) {
    let state = match (order, device.state_at(now)) {
        (Order::PushOff, DeviceState::Enabled) => DeviceState::Paused,
        (Order::PushOn, DeviceState::Paused) => DeviceState::Enabled,
        _ => return,
    };
    device.standing = Standing { state, reason: REASON.into(), since: now, by: BY.into(), until: None };
}

/// Whether the device is to be answered: once a day, and again if this is the very message it was answered for.
fn answer(device: &mut Device, now: Timestamp) -> bool {
    let is_due = device.answered.is_none_or(|at| at == now || now.since_ms(at) >= ANSWERED_MS);
    if is_due {
        device.answered = Some(now);
    }
    is_due
}

async fn put<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    tenant: &TenantId,
    was: Revision,
    account: &Account,
) -> Result<bool, RouterError> {
    let body = serde_json::to_string(account).expect("an account has only keys that are text");
    let (tenant, id) = (tenant.clone(), account.id.clone());
    let document = Document { tenant, kind: DocumentKind::Account, id, body, until: None };
    let put = hearing.desk.store.replace_document(Some(was), document).await;
    Ok(put.map_err(RouterError::Devices)?.is_some())
}

/// Tells who keeps its window.
fn touched(tenant: &TenantId, account: &str, device: &str) -> (Lane, Entry) {
    let touched = Touched { device: device.to_owned(), synced_from_ms: None, synced_to_ms: 0 };
    let change = Change {
        tenant: tenant.as_str().to_owned(),
        account: account.to_owned(),
        answer_by_ms: 0,
        kind: Some(ChangeKind::Touched(touched)),
    };
    (Lane::Changes, Entry::new(Change::partition_key(tenant, account), change.to_bytes()))
}

fn reply<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    tenant: &TenantId,
    number: &Msisdn,
    order: Order,
) -> Option<(Lane, Entry)> {
    let orders = &hearing.desk.config.orders;
    let text = match order {
        Order::PushOff => orders.push_off_answer.clone(),
        _ => orders.push_on_answer.clone(),
    };
    let (snapshot, received) = (hearing.snapshot, hearing.said.received);
    let (tenant, (_, key)) = (snapshot.tenants.get(tenant)?, snapshot.keyring.newest(tenant)?);
    let id = hearing.said.answer;
    let text = Text { tenant, user: "", phone: number, text, id, received };
    (!text.text.is_empty()).then(|| (Lane::Accepted, text.entry(key, hearing.numbers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(state: DeviceState) -> Device {
        let json = format!(
            r#"{{"id": "d", "model": "m", "channels": ["sms"], "standing": {{"state": {}, "since": "2026-11-22T00:00:00Z"}}}}"#,
            serde_json::to_string(&state).unwrap()
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn only_what_is_on_is_paused_and_only_what_is_paused_is_resumed() {
        use DeviceState::{Disabled, Enabled, NumberConflict, Paused};
        for (order, from, to) in [
            (Order::PushOff, Enabled, Paused),
            (Order::PushOff, Paused, Paused),
            (Order::PushOn, Paused, Enabled),
            (Order::PushOn, Enabled, Enabled),
            (Order::PushOn, Disabled, Disabled),
            (Order::PushOff, NumberConflict, NumberConflict),
        ] {
            let mut device = device(from);
            turn(&mut device, order, Timestamp(7));
            assert_eq!(device.standing.state, to, "{order:?} {from:?}");
            assert_eq!(device.standing.by == BY, from != to);
        }
    }

    #[test]
    fn a_device_is_answered_once_a_day() {
        let mut device = device(DeviceState::Enabled);
        assert!(answer(&mut device, Timestamp(1_000)));
        assert!(answer(&mut device, Timestamp(1_000)), "the same message, heard again after a kill");
        assert!(!answer(&mut device, Timestamp(1_001)));
        assert!(!answer(&mut device, Timestamp(ANSWERED_MS)));
        assert!(answer(&mut device, Timestamp(1_000 + ANSWERED_MS)));
    }
}
