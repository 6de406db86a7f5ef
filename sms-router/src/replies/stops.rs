//! What STOP and START do: a number is put on its tenant's list, or taken off. Knows the list, not who reads it.

use bus::Bus;
use model::TenantId;
use model::opt_out::OptOut;
use store::{Document, DocumentKind, Store};

use super::claims::Hearing;
use super::orders::Order;
use crate::RouterError;
use crate::routing::Loads;

/// Times another writer may be first.
const TRIES_MAX: u32 = 8;

/// Obeys the order; returns whose list it is, or `None` if there is nothing to obey: nobody is known to write to that phone, or
/// it is to be taken off a list that it is not on.
///
/// # Errors
/// The store is away; done again, the same comes of it.
pub(super) async fn obey<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    order: Order,
) -> Result<Option<TenantId>, RouterError> {
    let Some(tenant) = hearing.correspondent().await? else { return Ok(None) };
    let is_done = match order {
        Order::Stop => put(hearing, &tenant).await?,
        _ => take(hearing, &tenant).await?,
    };
    Ok(is_done.then_some(tenant))
}

async fn put<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    tenant: &TenantId,
) -> Result<bool, RouterError> {
    let (store, snapshot) = (&hearing.desk.store, hearing.snapshot);
    let (Some(number), Some((_, key))) = (hearing.number(), snapshot.keyring.newest(tenant)) else { return Ok(false) };
    if !snapshot.opt_outs.contains(tenant) {
        // Before the number, so that whoever finds it in the list is also told to look there.
        store.put_opt_outs(tenant).await.map_err(RouterError::OptOuts)?;
    }
    let opt_out = OptOut::new(tenant, &number, hearing.said.received, OptOut::BY_PHONE, key);
    let body = serde_json::to_string(&opt_out).expect("it has only keys that are text");
    let id = OptOut::id(&hearing.numbers.hash(&number));
    let document = Document { tenant: tenant.clone(), kind: DocumentKind::OptOut, id, body, until: None };
    // Where there is one, it said so before.
    store.replace_document(None, document).await.map_err(RouterError::OptOuts)?;
    Ok(true)
}

/// False if it is not there.
async fn take<B: Bus, S: Store, L: Loads>(
    hearing: &Hearing<'_, B, S, L>,
    tenant: &TenantId,
) -> Result<bool, RouterError> {
    let (store, kind) = (&hearing.desk.store, DocumentKind::OptOut);
    let Some(number) = hearing.number() else { return Ok(false) };
    let id = OptOut::id(&hearing.numbers.hash(&number));
    for tries in 0..TRIES_MAX {
        let found = store.document(tenant, kind, &id).await.map_err(RouterError::OptOuts)?;
        let Some((revision, _)) = found else { return Ok(tries > 0) };
        if store.remove_document(tenant, kind, &id, revision).await.map_err(RouterError::OptOuts)? {
            return Ok(true);
        }
    }
    Ok(true)
}
