//! What a device shows that speaks for itself. Knows how a token is made, shown once, kept, checked and revoked; must not know what the
//! device says.
//!
//! A token names its tenant and its device, so that one document is looked at. It has 256 random bits, and what is kept of it is a
//! keyed hash.

use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use model::push::{Account, Device};
use model::record::Door;
use model::{Refusal, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use store::DocumentKind;
use subtle::ConstantTimeEq as _;

use super::desk::{Desk, TRIES_MAX};
use super::save::no_device;
use crate::oms::Peer;
use crate::problem::Problem;
use crate::rest::{Caller, RestProblem, bearer};
use crate::run::Gateway;
use crate::snapshot::KeyHolder;

/// What tokens begin with, for people who find one.
const PREFIX: &str = "dt_";
/// Octets of a token's secret.
const SECRET_OCTETS: usize = 32;
/// Octets of a token: prefix, tenant, device and secret in Base64 fit.
const TOKEN_BYTES_MAX: usize = 256;
/// Who says it, where the device does.
pub(super) const BY_DEVICE: &str = "device";

/// A token as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    hash: String,
    /// A device that comes again in another account is another one.
    account: String,
    since: Timestamp,
    by: String,
}

#[derive(Serialize)]
struct View {
    device: String,
    /// Shown once: nobody can read it later.
    token: String,
    since: Timestamp,
    by: String,
}

/// A device that speaks for itself.
pub(super) struct Own {
    pub(super) desk: Desk,
    pub(super) account: Account,
    pub(super) device: Device,
}

impl FromRequestParts<Arc<Gateway>> for Own {
    type Rejection = RestProblem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, RestProblem> {
        Own::of(parts, gateway).await.map_err(|problem| RestProblem::at(gateway, Door::Push, problem))
    }
}

impl Own {
    async fn of(parts: &Parts, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let refused = |detail: &str| Problem::new(Refusal::Unauthorized, detail);
        let token = bearer(&parts.headers).ok_or_else(|| refused("send `Authorization: Bearer <device token>`"))?;
        let wrong = || refused("the device token is not known; your provider makes another");
        let (tenant, device) = names(token).ok_or_else(wrong)?;
        let spilt = "a token that came in clear is known to others; call by `https`";
        let peer = Peer::of(gateway, parts).ok_or_else(|| Problem::new(Refusal::Forbidden, spilt))?.address;
        // No user of the other door is called that.
        let name = format!("\0device {device}");
        gateway.passwords.may_try(&tenant, &name, peer)?;
        let found = find(gateway, &tenant, &device, token).await?;
        if found.is_none() {
            gateway.passwords.failed(&tenant, &name, peer);
        }
        found.ok_or_else(wrong)
    }
}

/// The device whose token it is.
async fn find(gateway: &Arc<Gateway>, tenant: &TenantId, device: &str, token: &str) -> Result<Option<Own>, Problem> {
    let snapshot = gateway.snapshot();
    let Some(tenant) = snapshot.tenant(tenant).cloned() else { return Ok(None) };
    let shown = snapshot.device_token_hash(token);
    let holder = Arc::new(KeyHolder { tenant, name: BY_DEVICE.to_owned() });
    let desk = Desk::new(Arc::clone(gateway), Caller { holder, snapshot });
    let Some((_, kept)) = desk.files().read::<Kept>(DocumentKind::DeviceToken, device).await? else { return Ok(None) };
    let is_known: bool = kept.hash.as_bytes().ct_eq(shown.as_bytes()).into();
    if !is_known {
        return Ok(None);
    }
    let account = desk.account_of(device).await?.filter(|account| account.id == kept.account);
    let own = account.and_then(|account| Some((account.devices.get(device)?.clone(), account)));
    Ok(own.map(|(device, account)| Own { desk, account, device }))
}

impl Desk {
    /// `POST /v1/devices/{id}:token`: makes a token, in place of the one there was.
    pub(super) async fn make_token(&self, id: &str) -> Result<Response, Problem> {
        let account = self.account_of(id).await?.ok_or_else(no_device)?;
        let token = token(self.tenant(), id, rand::random());
        let (since, by) = (self.now, self.caller.holder.name.clone());
        let hash = self.caller.snapshot.device_token_hash(&token);
        let kept = Kept { hash, account: account.id, since, by: by.clone() };
        for _ in 0..TRIES_MAX {
            let was = self.files().text(DocumentKind::DeviceToken, id).await?.map(|(revision, _)| revision);
            if self.files().put(was, DocumentKind::DeviceToken, id, &kept).await?.is_some() {
                let view = View { device: id.to_owned(), token, since, by };
                return Ok((StatusCode::CREATED, Json(view)).into_response());
            }
        }
        Err(Refusal::Busy.into())
    }

    /// `DELETE /v1/devices/{id}/token`.
    pub(super) async fn revoke_token(&self, id: &str) -> Result<Response, Problem> {
        if self.files().text(DocumentKind::DeviceToken, id).await?.is_none() {
            return Err(Problem::new(Refusal::NotFound, "the device has no token"));
        }
        self.files().drop(DocumentKind::DeviceToken, id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// Revokes the tokens of devices that are about to go.
    pub(super) async fn forget_tokens(&self, before: Option<&Account>, account: &Account) -> Result<(), Problem> {
        let before = before.into_iter().flat_map(|before| before.devices.keys());
        for id in before.filter(|id| !account.devices.contains_key(*id)) {
            self.files().drop(DocumentKind::DeviceToken, id).await?;
        }
        Ok(())
    }
}

fn token(tenant: &TenantId, device: &str, secret: [u8; SECRET_OCTETS]) -> String {
    let named = [tenant.as_str().as_bytes(), b"\0", device.as_bytes(), b"\0", &secret].concat();
    format!("{PREFIX}{}", BASE64.encode(named))
}

/// Whose token it says it is.
fn names(token: &str) -> Option<(TenantId, String)> {
    let named = BASE64.decode(token.strip_prefix(PREFIX).filter(|_| token.len() <= TOKEN_BYTES_MAX)?).ok()?;
    let names = std::str::from_utf8(named.get(..named.len().checked_sub(SECRET_OCTETS)?)?).ok()?;
    let (tenant, device) = names.strip_suffix('\0')?.split_once('\0')?;
    Some((TenantId::new(tenant).ok()?, device.to_owned())).filter(|(_, device)| Device::is_id(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_tenant_and_device() {
        let acme = TenantId::new("acme").unwrap();
        for secret in [[0; 32], [0xff; 32]] {
            let made = token(&acme, "IMEI:1", secret);
            assert_eq!(names(&made), Some((acme.clone(), "IMEI:1".to_owned())));
        }
        let longest = token(&TenantId::new(&"t".repeat(64)).unwrap(), &"d".repeat(32), [7; 32]);
        assert!(longest.len() <= TOKEN_BYTES_MAX, "{}", longest.len());
        for bad in ["", "dt_", "dt_AAAA", "ck_acme", &token(&acme, "a b", [1; 32]), &token(&acme, "", [1; 32])] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }
}
