//! What belongs to one account of a tenant's: a device's id, and a number that is told. Knows how a claim is taken, taken over and let
//! go; must not know what is done with it.
//!
//! A claim is a document of its own, by what is claimed, that names the account which may have it. It is put before the account is,
//! anew for every attempt. Of an account that does not have what it claimed nobody knows whether it is about to, or whether somebody
//! was killed before. So who takes a claim over first writes that account again as it is, only under another revision, and what
//! somebody meant to put in place of the old one is refused. Of any number of gateways one succeeds, without a clock: an account is put in place of a revision that was
//! read before its claim was written, and a claim is replaced by who read it before that account was written again.
//!
//! Beside the claim stands who has it by name, for those who look a device up; that is a hint, the account is right.

use std::time::Duration;

use model::Refusal;
use model::push::{Account, Device};
use serde::{Deserialize, Serialize};
use store::{DocumentKind, Revision};

use super::desk::TRIES_MAX;
use super::files::Files;
use crate::problem::Problem;

/// How long an attempt of somebody else's is waited for at first before it is stopped.
const PATIENCE_MS: u64 = 10;
/// How often that is doubled at most.
const DOUBLED_MAX: u32 = 4;

/// What can be claimed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Device,
    Number,
}

impl Kind {
    const fn claim(self) -> DocumentKind {
        match self {
            Kind::Device => DocumentKind::DeviceClaim,
            Kind::Number => DocumentKind::NumberClaim,
        }
    }

    const fn owner(self) -> DocumentKind {
        match self {
            Kind::Device => DocumentKind::DeviceOwner,
            Kind::Number => DocumentKind::NumberOwner,
        }
    }
}

/// Something that is claimed: a device by its id, a number by its hash and for a device.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Thing {
    kind: Kind,
    id: String,
    /// What whoever looks it up is led to.
    owner: String,
}

impl Thing {
    /// A device of an account.
    pub(super) fn device(id: &str, account: &Account) -> Self {
        Thing { kind: Kind::Device, id: id.to_owned(), owner: account.id.clone() }
    }

    /// The number of a device that no other one may have; `None`: it has none.
    pub(super) fn number(device: &Device) -> Option<Self> {
        let number = device.number.as_ref().filter(|_| device.holds_number())?;
        Some(Thing { kind: Kind::Number, id: number.hash.clone(), owner: device.id.clone() })
    }

    /// By what it is claimed.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn into_id(self) -> String {
        self.id
    }

    /// Whether an account has it.
    pub(super) fn is_of(&self, account: &Account) -> bool {
        match self.kind {
            Kind::Device => account.devices.contains_key(&self.id),
            Kind::Number => account.devices.values().filter_map(Thing::number).any(|held| held.id == self.id),
        }
    }
}

/// A claim as it was found or put.
pub(super) struct Claimed {
    thing: Thing,
    /// `None`: it is older than claims are.
    revision: Option<Revision>,
    /// Whether it took the place of another attempt's of the same account, which then goes by it.
    is_shared: bool,
}

#[derive(Serialize, Deserialize)]
struct Claim {
    account: String,
    /// Makes every attempt's claim another one.
    attempt: String,
}

/// The claims of one account.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a> {
    pub(super) files: Files<'a>,
    pub(super) account: &'a str,
}

impl Claims<'_> {
    /// Claims something for the account, whose revision was read before. `None`: another account has it.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where others are in the way all the time; [`Refusal::Unavailable`].
    pub(super) async fn take(&self, thing: Thing) -> Result<Option<Claimed>, Problem> {
        let (kind, mut waited_for) = (thing.kind.claim(), None);
        for doubled in 0..TRIES_MAX {
            let found = self.files.read::<Claim>(kind, &thing.id).await?;
            if let Some((revision, claim)) = &found
                && claim.account != self.account
                && let Some((base, body)) = self.files.text(DocumentKind::Account, &claim.account).await?
            {
                if thing.is_of(&self.files.read_account(&body)?) {
                    return Ok(None);
                }
                if waited_for.as_ref() != Some(revision) {
                    waited_for = Some(revision.clone());
                    patience(doubled).await;
                    continue;
                }
                if !self.files.put_again(base, &claim.account, &body).await? {
                    continue;
                }
            }
            let claim = Claim { account: self.account.to_owned(), attempt: format!("{:032x}", rand::random::<u128>()) };
            let is_shared = found.as_ref().is_some_and(|(_, found)| found.account == self.account);
            let put = self.files.put(found.map(|(revision, _)| revision), kind, &thing.id, &claim).await?;
            if let Some(revision) = put {
                return self.name(Claimed { thing, revision: Some(revision), is_shared }).await;
            }
        }
        Err(Refusal::Busy.into())
    }

    /// Puts down who has it now; `None`: it is another account's since before there were claims, and was let go.
    async fn name(&self, claimed: Claimed) -> Result<Option<Claimed>, Problem> {
        let (kind, Thing { id, owner, .. }) = (claimed.thing.kind.owner(), &claimed.thing);
        for _ in 0..TRIES_MAX {
            let found = self.files.text(kind, id).await?;
            if let Some((_, named)) = &found {
                if named == owner {
                    return Ok(Some(claimed));
                }
                if self.has(&claimed.thing, named).await? {
                    if !claimed.is_shared {
                        self.unclaim(claimed).await?;
                    }
                    return Ok(None);
                }
            }
            let was = found.map(|(revision, _)| revision);
            if self.files.put_text(was, kind, id, owner.clone(), None).await?.is_some() {
                return Ok(Some(claimed));
            }
        }
        Err(Refusal::Busy.into())
    }

    /// Whether another account has the thing, by who is named as its owner.
    async fn has(&self, thing: &Thing, named: &str) -> Result<bool, Problem> {
        let account = match thing.kind {
            Kind::Device => self.files.account(named).await?.map(|(_, account)| account),
            Kind::Number => account_of(self.files, named).await?,
        };
        Ok(account.is_some_and(|account| account.id != self.account && thing.is_of(&account)))
    }

    /// The account's own claim, to be let go when the account has the thing no more. It is found before the account is written:
    /// what is claimed anew afterwards is another claim.
    pub(super) async fn find(&self, thing: Thing) -> Result<Option<Claimed>, Problem> {
        let found = self.files.read::<Claim>(thing.kind.claim(), &thing.id).await?;
        Ok(match found {
            Some((_, claim)) if claim.account != self.account => None,
            found => Some(Claimed { revision: found.map(|(revision, _)| revision), thing, is_shared: false }),
        })
    }

    /// Takes back what was claimed for an account that then was not written.
    pub(super) async fn give_back(&self, claimed: Claimed) -> Result<(), Problem> {
        if claimed.is_shared { Ok(()) } else { self.let_go(claimed).await }
    }

    /// Lets go of what the account has no more.
    pub(super) async fn let_go(&self, claimed: Claimed) -> Result<(), Problem> {
        let Thing { kind, id, owner } = claimed.thing.clone();
        let named = self.files.text(kind.owner(), &id).await?.filter(|(_, named)| *named == owner);
        if let Some((revision, _)) = &named {
            self.files.remove(kind.owner(), &id, revision.clone()).await?;
        }
        if !self.unclaim(claimed).await? && named.is_some() {
            // Claimed again meanwhile: whoever did found itself named, and is again unless somebody else is.
            self.files.put_text(None, kind.owner(), &id, owner, None).await?;
        }
        Ok(())
    }

    /// Whether it was still this claim.
    async fn unclaim(&self, Claimed { thing, revision, .. }: Claimed) -> Result<bool, Problem> {
        let Some(revision) = revision else { return Ok(true) };
        self.files.remove(thing.kind.claim(), &thing.id, revision).await
    }
}

/// The account that has a device: the one that is named, else, after a crash or a race about the name, the one that claimed it.
pub(super) async fn account_of(files: Files<'_>, device: &str) -> Result<Option<Account>, Problem> {
    let has = async |account: &str| -> Result<Option<Account>, Problem> {
        let found = files.account(account).await?;
        Ok(found.map(|(_, account)| account).filter(|account| account.devices.contains_key(device)))
    };
    if let Some((_, named)) = files.text(Kind::Device.owner(), device).await?
        && let Some(account) = has(&named).await?
    {
        return Ok(Some(account));
    }
    match files.read::<Claim>(Kind::Device.claim(), device).await? {
        Some((_, claim)) => has(&claim.account).await,
        None => Ok(None),
    }
}

/// Gives another attempt the time to end by itself; of several that wait nobody waits as long as another.
async fn patience(doubled: u32) {
    let most = PATIENCE_MS << doubled.min(DOUBLED_MAX);
    tokio::time::sleep(Duration::from_millis(rand::random_range(most / 2..=most))).await;
}
