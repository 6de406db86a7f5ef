//! How an account changes: whole, by revision, with what its devices claim in the tenant, with word to the router and to the tenant.
//! Knows the order of writes that makes a crash between them harmless; must not know what a change is about.
//!
//! What is claimed anew is claimed before the account is written, and let go after it was (`claims.rs`). An account that begins with
//! devices is there without them before: what is to be stopped must be there.

use std::collections::BTreeSet;

use model::Refusal;
use model::push::{Account, Change, ChangeKind, Device, DeviceState, Standing, Touched};
use store::{DocumentKind, Revision};

use super::claims::{Claimed, Claims, Thing, account_of};
use super::desk::{Desk, TRIES_MAX};
use crate::problem::Problem;

/// Why a device is in conflict whose number another has.
pub(super) const NUMBER_TAKEN: &str = "number_taken";

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

/// What an account is put in place of.
struct Base {
    revision: Option<Revision>,
    /// Whether it was put there for that.
    is_bare: bool,
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

    /// Puts an account in place of what was read; `None`: somebody else was first. Durable, and told to the router and where
    /// a number is in dispute to the tenant, when it returns; said again after a failure, it does the rest.
    pub(super) async fn save(
        &self,
        was: Option<Found>,
        mut account: Account,
        touch: Touch<'_>,
    ) -> Result<Option<Account>, Problem> {
        let before = was.as_ref().map(|(_, account)| account.clone());
        let Some(base) = self.base(was, &account).await? else { return Ok(None) };
        let dropped = self.find_dropped(before.as_ref(), &account).await?;
        let mut taken = Vec::new();
        let put = match self.claim(before.as_ref(), &mut account, &mut taken).await {
            Ok(()) => {
                self.forget_tokens(before.as_ref(), &account).await?;
                self.files().put(base.revision.clone(), DocumentKind::Account, &account.id, &account).await?.is_some()
            }
            Err(problem) if problem.refusal == Refusal::Taken => {
                self.undo(base, &account, taken).await?;
                return Err(problem);
            }
            // What is not known to be done is not undone: who comes next finds claims of an account that has nothing of it.
            Err(problem) => return Err(problem),
        };
        if !put {
            self.undo(base, &account, taken).await?;
            return Ok(None);
        }
        self.let_go(&account, dropped).await?;
        self.tell_conflicts(before.as_ref(), &account).await?;
        self.touch(before.as_ref(), &account, touch).await?;
        Ok(Some(account))
    }

    /// What the account is to be put in place of; `None`: somebody else was first.
    async fn base(&self, was: Option<Found>, account: &Account) -> Result<Option<Base>, Problem> {
        match was {
            Some((revision, _)) => Ok(Some(Base { revision: Some(revision), is_bare: false })),
            None if account.devices.is_empty() => Ok(Some(Base { revision: None, is_bare: false })),
            None => {
                let bare = Account { devices: std::collections::BTreeMap::new(), ..account.clone() };
                let put = self.files().put(None, DocumentKind::Account, &account.id, &bare).await?;
                Ok(put.map(|revision| Base { revision: Some(revision), is_bare: true }))
            }
        }
    }

    /// Takes back what was written for an account that then was not.
    async fn undo(&self, base: Base, account: &Account, taken: Vec<Claimed>) -> Result<(), Problem> {
        for claimed in taken {
            self.claims(account).give_back(claimed).await?;
        }
        if let Base { revision: Some(revision), is_bare: true } = base {
            // Who changed it meanwhile wants it.
            self.files().remove(DocumentKind::Account, &account.id, revision).await?;
        }
        Ok(())
    }

    /// Removes an account with all that is claimed for it.
    pub(super) async fn remove_account(&self, was: Found) -> Result<bool, Problem> {
        let (revision, account) = was;
        let empty = Account { devices: std::collections::BTreeMap::new(), ..account.clone() };
        let dropped = self.find_dropped(Some(&account), &empty).await?;
        self.forget_tokens(Some(&account), &empty).await?;
        if !self.files().remove(DocumentKind::Account, &account.id, revision).await? {
            return Ok(false);
        }
        self.let_go(&empty, dropped).await?;
        self.tell_conflicts(Some(&account), &empty).await?;
        self.touch(Some(&account), &empty, Touch::All).await?;
        Ok(true)
    }

    /// The account a device belongs to, with the device in it.
    pub(super) async fn account_of(&self, device: &str) -> Result<Option<Account>, Problem> {
        account_of(self.files(), device).await
    }

    fn claims<'a>(&'a self, account: &'a Account) -> Claims<'a> {
        Claims { files: self.files(), account: &account.id }
    }

    /// Claims what the account did not have. A number that another device has leads to nobody until somebody settles whose it is.
    ///
    /// # Errors
    /// [`Refusal::Taken`]: a device is another account's.
    async fn claim(
        &self,
        before: Option<&Account>,
        account: &mut Account,
        taken: &mut Vec<Claimed>,
    ) -> Result<(), Problem> {
        let had = |id: &String| before.and_then(|before| before.devices.get(id));
        let new: Vec<String> = account.devices.keys().filter(|id| had(id).is_none()).cloned().collect();
        for id in new {
            let Some(claimed) = self.claims(account).take(Thing::device(&id, account)).await? else {
                let detail = format!("device `{id}` belongs to another account of yours; remove it there first");
                return Err(Problem::new(Refusal::Taken, detail));
            };
            taken.push(claimed);
        }
        let is_kept = |device: &&Device| had(&device.id).and_then(Thing::number) == Thing::number(device);
        let (kept, new): (Vec<&Device>, Vec<&Device>) = account.devices.values().partition(is_kept);
        let mut held: BTreeSet<String> = kept.into_iter().filter_map(Thing::number).map(Thing::into_id).collect();
        let new: Vec<(String, Thing)> =
            new.into_iter().filter_map(|device| Some((device.id.clone(), Thing::number(device)?))).collect();
        for (id, number) in new {
            // Of two devices of this account the one has it that had it, else the first.
            let is_first = held.insert(number.id().to_owned());
            let claimed = if is_first { self.claims(account).take(number).await? } else { None };
            match claimed {
                Some(claimed) => taken.push(claimed),
                None => {
                    let standing = self.in_dispute(had(&id).map(|device| &device.standing));
                    account.devices.get_mut(&id).expect("it was found there").standing = standing;
                }
            }
        }
        Ok(())
    }

    /// How a device stands whose number another has: as before, if it is the same dispute.
    fn in_dispute(&self, was: Option<&Standing>) -> Standing {
        let is_same = |was: &&Standing| was.state == DeviceState::NumberConflict && was.reason == NUMBER_TAKEN;
        was.filter(is_same).cloned().unwrap_or_else(|| Standing {
            state: DeviceState::NumberConflict,
            reason: NUMBER_TAKEN.to_owned(),
            since: self.now,
            by: self.caller.holder.name.clone(),
            until: None,
        })
    }

    /// The claims of what the account had and is not to have.
    async fn find_dropped(&self, before: Option<&Account>, account: &Account) -> Result<Vec<Claimed>, Problem> {
        let Some(before) = before else { return Ok(Vec::new()) };
        let devices = before.devices.keys().map(|id| Thing::device(id, before));
        let had = devices.chain(before.devices.values().filter_map(Thing::number));
        let mut dropped = Vec::new();
        for thing in had.filter(|thing| !thing.is_of(account)) {
            dropped.extend(self.claims(account).find(thing).await?);
        }
        Ok(dropped)
    }

    async fn let_go(&self, account: &Account, claims: Vec<Claimed>) -> Result<(), Problem> {
        for claimed in claims {
            self.claims(account).let_go(claimed).await?;
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

pub(super) fn no_account() -> Problem {
    Problem::new(Refusal::NotFound, "you have no account of this address")
}

pub(super) fn no_device() -> Problem {
    Problem::new(Refusal::NotFound, "you have no device of this id")
}
