//! How an account changes: whole, by revision, with what its devices claim in the tenant, and with word to the router. Knows the
//! order of writes that makes a crash between them harmless; must not know what a change is about.
//!
//! A device's id and its number belong to one device of the tenant. What says so are documents of their own, claims, written before
//! the account: a claim whose account does not have what it says is nobody's, and the next one takes it over. Two who take at once see
//! it when they look again after they wrote; in one process they come one after the other.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};

use model::push::{Account, Change, ChangeKind, Device, DeviceState, Touched};
use model::{Refusal, TenantId};
use store::{DocumentKind, Revision};
use tokio::sync::{Mutex, MutexGuard};

use super::desk::{Desk, TRIES_MAX};
use crate::problem::Problem;

/// Why a device is in conflict whose number another has.
pub(super) const NUMBER_TAKEN: &str = "number_taken";

/// Changes under way in this process at a time that claim something; those that claim the same come one after the other.
const STRIPES: usize = 256;

/// Whose turn it is to claim.
pub(crate) struct Turns {
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Turns { stripes: (0..STRIPES).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for the turn of everything that is claimed. In one order, so that two do not wait for each other.
    async fn take(&self, tenant: &TenantId, claims: impl Iterator<Item = String>) -> Vec<MutexGuard<'_, ()>> {
        let stripe = |claim: String| self.hasher.hash_one((tenant, claim)) as usize % STRIPES;
        let stripes: BTreeSet<usize> = claims.map(stripe).collect();
        let mut taken = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            taken.push(self.stripes[stripe].lock().await);
        }
        taken
    }
}

/// Which devices the router is to look at again.
#[derive(Clone, Copy)]
pub(super) enum Touch<'a> {
    /// Those that are others than they were.
    Changed,
    /// Those, and this one in any case: the last request about it may have failed on the way to the router.
    One(&'a str),
    All,
}

/// An account as it was read.
pub(super) type Found = (Revision, Account);

/// Whose a claim is.
#[derive(PartialEq, Eq)]
enum Claim {
    Ours,
    Another,
}

impl Desk {
    /// Changes an account that must be there: as often as somebody else is first, from the beginning.
    pub(super) async fn edit<T>(
        &self,
        id: &str,
        touch: Touch<'_>,
        mut change: impl FnMut(&mut Account) -> Result<T, Problem>,
    ) -> Result<(Account, T), Problem> {
        for _ in 0..TRIES_MAX {
            let was = self.files().account(id).await?.ok_or_else(no_account)?;
            let mut account = was.1.clone();
            let told = change(&mut account)?;
            if let Some(account) = self.save(Some(was), account, touch).await? {
                return Ok((account, told));
            }
        }
        Err(Refusal::Busy.into())
    }

    /// Puts an account in place of what was read; `None`: somebody else was first. Durable, and told to the router, when it
    /// returns; said again after a failure, it does the rest.
    pub(super) async fn save(
        &self,
        was: Option<Found>,
        account: Account,
        touch: Touch<'_>,
    ) -> Result<Option<Account>, Problem> {
        let before = was.as_ref().map(|(_, account)| account.clone());
        let news = News::of(before.as_ref(), &account);
        let claims = news.claims(&account);
        let _turns = self.gateway.turns.take(self.tenant(), claims).await;
        let (mut revision, mut account) = (was.map(|(revision, _)| revision), account);
        self.claim_devices(&news, &account).await?;
        for _ in 0..TRIES_MAX {
            self.claim_numbers(&news, &mut account).await?;
            let put = self.files().put(revision, DocumentKind::Account, &account.id, &account).await?;
            let Some(put) = put else { return Ok(None) };
            if self.still_claims(&news, &account).await? {
                self.release(before.as_ref(), &account).await?;
                self.touch(before.as_ref(), &account, touch).await?;
                return Ok(Some(account));
            }
            if let Err(taken) = self.claim_devices(&news, &account).await {
                self.give_up(&news, put, account).await?;
                return Err(taken);
            }
            revision = Some(put);
        }
        Err(Refusal::Busy.into())
    }

    /// Removes an account with all that is claimed for it.
    pub(super) async fn remove_account(&self, was: Found) -> Result<bool, Problem> {
        let (revision, account) = was;
        if !self.files().remove(DocumentKind::Account, &account.id, revision).await? {
            return Ok(false);
        }
        let empty = Account { devices: std::collections::BTreeMap::new(), ..account.clone() };
        self.release(Some(&account), &empty).await?;
        self.touch(Some(&account), &empty, Touch::All).await?;
        Ok(true)
    }

    /// The account a device belongs to, with the device in it.
    pub(super) async fn account_of(&self, device: &str) -> Result<Option<Account>, Problem> {
        let Some((_, owner)) = self.files().text(DocumentKind::DeviceOwner, device).await? else { return Ok(None) };
        let found = self.files().account(&owner).await?;
        Ok(found.map(|(_, account)| account).filter(|account| account.devices.contains_key(device)))
    }

    async fn claim_devices(&self, news: &News, account: &Account) -> Result<(), Problem> {
        for id in &news.devices {
            if self.claim(DocumentKind::DeviceOwner, id, &account.id, account).await? == Claim::Another {
                let detail = format!("device `{id}` belongs to another account of yours; remove it there first");
                return Err(Problem::new(Refusal::Taken, detail));
            }
        }
        Ok(())
    }

    /// A number that another device has leads to nobody until somebody settles whose it is.
    async fn claim_numbers(&self, news: &News, account: &mut Account) -> Result<(), Problem> {
        for id in &news.numbers {
            let Some((device, number)) = holder(account, id) else { continue };
            if self.claim(DocumentKind::NumberOwner, &number, &device, account).await? == Claim::Another {
                let standing = &mut account.devices.get_mut(id).expect("it was found there").standing;
                (standing.state, standing.since) = (DeviceState::NumberConflict, self.now);
                (standing.reason, standing.by) = (NUMBER_TAKEN.to_owned(), self.caller.holder.name.clone());
                standing.until = None;
            }
        }
        Ok(())
    }

    /// Whether what was claimed before the account was written is still claimed for it.
    async fn still_claims(&self, news: &News, account: &Account) -> Result<bool, Problem> {
        for id in &news.devices {
            if self.owner(DocumentKind::DeviceOwner, id).await?.as_deref() != Some(&account.id) {
                return Ok(false);
            }
        }
        for id in &news.numbers {
            let Some((device, number)) = holder(account, id) else { continue };
            if self.owner(DocumentKind::NumberOwner, &number).await? != Some(device) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn owner(&self, kind: DocumentKind, id: &str) -> Result<Option<String>, Problem> {
        Ok(self.files().text(kind, id).await?.map(|(_, owner)| owner))
    }

    /// Claims something for an owner, unless it is really another's.
    async fn claim(&self, kind: DocumentKind, id: &str, owner: &str, account: &Account) -> Result<Claim, Problem> {
        for _ in 0..TRIES_MAX {
            let found = self.files().text(kind, id).await?;
            let (was, before) = match found {
                Some((_, body)) if body == owner => return Ok(Claim::Ours),
                Some((_, body)) if self.has(kind, &body, id, account).await? => return Ok(Claim::Another),
                Some((revision, body)) => (Some(revision), Some(body)),
                None => (None, None),
            };
            let put = self.files().put_text(was, kind, id, owner.to_owned(), None).await?;
            match (put, before) {
                // It wrote what it had claimed while nobody saw it there: it looked at its claim before it was taken over.
                (Some(put), Some(before)) if self.has(kind, &before, id, account).await? => {
                    self.files().put_text(Some(put), kind, id, before, None).await?;
                    return Ok(Claim::Another);
                }
                (Some(_), _) => return Ok(Claim::Ours),
                (None, _) => {}
            }
        }
        Err(Refusal::Busy.into())
    }

    /// Whether the owner that a claim names has what it claims. `account` is as it is about to be written.
    async fn has(&self, kind: DocumentKind, owner: &str, id: &str, account: &Account) -> Result<bool, Problem> {
        let holds = |account: &Account| holder(account, owner).is_some_and(|(_, number)| number == id);
        if kind == DocumentKind::DeviceOwner {
            let found = self.files().account(owner).await?;
            return Ok(found.is_some_and(|(_, account)| account.devices.contains_key(id)));
        }
        if account.devices.contains_key(owner) {
            return Ok(holds(account));
        }
        Ok(self.account_of(owner).await?.is_some_and(|account| holds(&account)))
    }

    /// Takes devices back that turned out to be another account's.
    async fn give_up(&self, news: &News, revision: Revision, account: Account) -> Result<(), Problem> {
        let mut without = account.clone();
        without.devices.retain(|id, _| !news.devices.contains(id));
        // Somebody who changed the account meanwhile finds the same when looking after the claim.
        self.files().put(Some(revision), DocumentKind::Account, &account.id, &without).await?;
        self.release(Some(&account), &without).await
    }

    /// Lets go of what an account no longer has.
    async fn release(&self, was: Option<&Account>, account: &Account) -> Result<(), Problem> {
        let Some(was) = was else { return Ok(()) };
        for id in was.devices.keys() {
            if !account.devices.contains_key(id) {
                self.let_go(DocumentKind::DeviceOwner, id, &account.id).await?;
            }
            if let Some((device, number)) = holder(was, id)
                && holder(account, id).is_none_or(|(_, other)| other != number)
            {
                self.let_go(DocumentKind::NumberOwner, &number, &device).await?;
            }
        }
        Ok(())
    }

    async fn let_go(&self, kind: DocumentKind, id: &str, owner: &str) -> Result<(), Problem> {
        if let Some((revision, body)) = self.files().text(kind, id).await?
            && body == owner
        {
            // Who was first has it, or let it go.
            self.files().remove(kind, id, revision).await?;
        }
        Ok(())
    }

    /// Tells the router which devices to look at again.
    async fn touch(&self, was: Option<&Account>, account: &Account, touch: Touch<'_>) -> Result<(), Problem> {
        let before = |id: &String| was.and_then(|was| was.devices.get(id));
        let all = was.into_iter().chain([account]).flat_map(|account| account.devices.keys());
        let is_another = |id: &String| before(id) != account.devices.get(id);
        let is_touched = |id: &&String| match touch {
            Touch::Changed => is_another(id),
            Touch::One(one) => one == id.as_str() || is_another(id),
            Touch::All => true,
        };
        let ids: BTreeSet<&String> = all.filter(is_touched).collect();
        let touched = |device: &String| Touched { device: device.clone(), synced_from_ms: None, synced_to_ms: 0 };
        let changes = ids.into_iter().map(|id| self.change(&account.id, ChangeKind::Touched(touched(id))));
        Ok(self.gateway.acceptor.note_changes(&changes.collect::<Vec<_>>()).await?)
    }

    pub(super) fn change(&self, account: &str, kind: ChangeKind) -> Change {
        // Nobody minds one that is told twice, so none is ever too late.
        let tenant = self.tenant().as_str().to_owned();
        Change { tenant, account: account.to_owned(), answer_by_ms: 0, kind: Some(kind) }
    }
}

/// What an account has to claim before it is written.
struct News {
    /// Devices it did not have.
    devices: Vec<String>,
    /// Devices that hold a number they did not hold.
    numbers: Vec<String>,
}

impl News {
    fn of(was: Option<&Account>, account: &Account) -> Self {
        let before = |id: &String| was.and_then(|was| was.devices.get(id));
        let is_new = |id: &&String| before(id).is_none();
        let held = |device: &Device| device.holds_number().then(|| device.number.clone()).flatten();
        let is_number_new = |id: &&String| held(&account.devices[*id]) != before(id).and_then(held);
        News {
            devices: account.devices.keys().filter(is_new).cloned().collect(),
            numbers: account.devices.keys().filter(is_number_new).cloned().collect(),
        }
    }

    /// All of it, as texts that are different for different claims.
    fn claims(&self, account: &Account) -> impl Iterator<Item = String> {
        let devices = self.devices.iter().map(|id| format!("device {id}"));
        let numbers = self.numbers.iter().filter_map(|id| holder(account, id));
        devices.chain(numbers.map(|(_, number)| format!("number {number}")))
    }
}

/// A device that holds a number, with the hash of that.
fn holder(account: &Account, id: &str) -> Option<(String, String)> {
    let device = account.devices.get(id).filter(|device| device.holds_number())?;
    Some((device.id.clone(), device.number.as_ref()?.hash.clone()))
}

pub(super) fn no_account() -> Problem {
    Problem::new(Refusal::NotFound, "you have no account of this address")
}

pub(super) fn no_device() -> Problem {
    Problem::new(Refusal::NotFound, "you have no device of this id")
}
