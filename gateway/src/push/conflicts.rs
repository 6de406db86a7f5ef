//! A number in dispute, as the tenant's webhook is told of it: once. Knows which dispute was told of; how a post is made is the router's.

use model::push::{Account, Device, DeviceState, Standing};
use model::reply::Happening;
use serde::Serialize;
use store::DocumentKind;

use super::desk::Desk;
use crate::problem::Problem;

/// The `type` of the post.
const NUMBER_CONFLICT: &str = "device.number_conflict";

/// The post's `data`. Which number it is the tenant knows.
#[derive(Serialize)]
struct Data<'a> {
    account: &'a str,
    device: &'a str,
    reason: &'a str,
    since: model::Timestamp,
}

impl Desk {
    /// Tells of every dispute that nobody was told of yet, durable when it returns, and forgets those that are over. After a crash
    /// before the mark it is told of again, under the same id.
    pub(super) async fn tell_conflicts(&self, before: Option<&Account>, account: &Account) -> Result<(), Problem> {
        for device in account.devices.values() {
            if let Some(standing) = dispute(device) {
                self.tell_conflict(account, device, standing).await?;
            }
        }
        let is_over = |device: &&Device| account.devices.get(&device.id).and_then(dispute).is_none();
        let before = before.into_iter().flat_map(|before| before.devices.values());
        for device in before.filter(|device| dispute(device).is_some()).filter(is_over) {
            self.files().drop(DocumentKind::ConflictTold, &device.id).await?;
        }
        Ok(())
    }

    async fn tell_conflict(&self, account: &Account, device: &Device, standing: &Standing) -> Result<(), Problem> {
        let which = standing.since.0.to_string();
        let told = self.files().text(DocumentKind::ConflictTold, &device.id).await?;
        if told.as_ref().is_some_and(|(_, told)| *told == which) {
            return Ok(());
        }
        let data = Data { account: &account.id, device: &device.id, reason: &standing.reason, since: standing.since };
        let data = serde_json::to_string(&data).expect("texts and times can be written");
        let happening = Happening { kind: NUMBER_CONFLICT.to_owned(), at_ms: standing.since.0, data };
        let key = format!("{NUMBER_CONFLICT}\0{}\0{which}", device.id);
        self.gateway.acceptor.tell(self.tenant(), &key, happening).await?;
        // Whoever was first noted the same.
        let was = told.map(|(revision, _)| revision);
        self.files().put_text(was, DocumentKind::ConflictTold, &device.id, which, None).await?;
        Ok(())
    }
}

fn dispute(device: &Device) -> Option<&Standing> {
    Some(&device.standing).filter(|standing| standing.state == DeviceState::NumberConflict)
}
