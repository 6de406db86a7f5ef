//! What users of the OMS door may still send, counted in the store where every replica sees it. Knows no protocol.
//!
//! Only users with a limit cost a look at the store, and only those who are to be told of a change of the service.

use std::hash::{BuildHasher as _, RandomState};

use model::party::OmsUser;
use model::{Allowance, AllowanceLimits, Decimal, Refusal, Shortage, Timestamp};
use moka::sync::Cache;
use store::{AnyStore, Store};
use tokio::sync::Mutex;

/// Times another replica may be first at changing an allowance.
const TRIES_MAX: u32 = 32;
/// Changes under way in this process at a time; those of one user come one after the other.
const STRIPES: usize = 64;
/// Users remembered as told of a change as often as they are to be.
const TOLD_MAX: u64 = 100_000;

/// Takes from allowances and gives back.
pub struct Meter {
    store: AnyStore,
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
    told: Cache<(model::TenantId, String), Timestamp>,
}

/// What a message asks for: so many deliveries for each of its recipients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// How many recipients.
    pub recipients: usize,
    /// Deliveries for one of them: all or none.
    pub deliveries_each: u64,
}

/// What a message gets: so many of its recipients, the first ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// How many recipients.
    pub recipients: usize,
    /// What the others fail by; `None` if there are none.
    pub shortage: Option<Shortage>,
}

/// What a user used and has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Used {
    /// Deliveries of the day.
    pub day: u64,
    /// Deliveries of the month.
    pub month: u64,
    /// The balance; `None`: nobody counts it.
    pub balance: Option<Decimal>,
}

impl Meter {
    /// A meter that counts in `store`.
    #[must_use]
    pub fn new(store: AnyStore) -> Self {
        let told = Cache::builder().max_capacity(TOLD_MAX).build();
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Meter { store, stripes, hasher: RandomState::new(), told }
    }

    /// Takes what messages of one user ask for, in their order and in one step. What is taken is counted before anything
    /// is sent: a crash in between may cost deliveries, and never allows more than the limit.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Busy`]: whether it was counted is not known; nothing may be sent.
    pub async fn take(&self, user: &OmsUser, asks: &[Ask], now: Timestamp) -> Result<Vec<Grant>, Refusal> {
        let limits = user.limits();
        if limits.are_none() {
            return Ok(asks.iter().map(|ask| Grant { recipients: ask.recipients, shortage: None }).collect());
        }
        self.change(user, |allowance| asks.iter().map(|ask| grant(allowance, &limits, ask, now)).collect()).await
    }

    /// Gives back deliveries that were taken at `then` and not sent. A failure costs the user those deliveries; it is
    /// logged.
    pub async fn give_back(&self, user: &OmsUser, deliveries: u64, then: Timestamp) {
        let limits = user.limits();
        if deliveries > 0 && !limits.are_none() {
            let given = self.change(user, |allowance| allowance.give_back(&limits, deliveries, then)).await;
            if given.is_err() {
                tracing::warn!(tenant = %user.tenant, deliveries, "deliveries that were not sent stay counted");
            }
        }
    }

    /// Whether the user is to be told that the service changed at `change`; counts it if so. A store that can't be asked
    /// means no.
    pub async fn is_to_be_told(&self, user: &OmsUser, change: Timestamp) -> bool {
        let key = (user.tenant.clone(), user.user_id.clone());
        if self.told.get(&key) == Some(change) {
            return false;
        }
        let is_due = self.change(user, |allowance| allowance.tell(change)).await;
        if is_due == Ok(false) {
            self.told.insert(key, change);
        }
        is_due.unwrap_or(false)
    }

    /// What a user has used of the day and the month of `now`, and the balance.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn standing(&self, user: &OmsUser, now: Timestamp) -> Result<Used, Refusal> {
        let (_, allowance) = self.store.allowance(&user.tenant, &user.user_id).await.map_err(unavailable)?;
        let (day, month) = allowance.used(now);
        Ok(Used { day, month, balance: allowance.balance })
    }

    /// Sets a balance; what is used stays counted.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`], [`Refusal::Busy`]: whether it is set is not known.
    pub async fn set_balance(&self, user: &OmsUser, balance: Option<Decimal>) -> Result<(), Refusal> {
        self.change(user, |allowance| allowance.balance = balance).await
    }

    /// Forgets what a user used and had left: the next of this name begins anew.
    ///
    /// # Errors
    /// As [`Self::set_balance`].
    pub async fn forget(&self, user: &OmsUser) -> Result<(), Refusal> {
        self.change(user, |allowance| *allowance = Allowance::default()).await
    }

    async fn change<T>(&self, user: &OmsUser, mut change: impl FnMut(&mut Allowance) -> T) -> Result<T, Refusal> {
        let stripe = self.hasher.hash_one((&user.tenant, &user.user_id)) as usize % STRIPES;
        let _one_at_a_time = self.stripes[stripe].lock().await;
        for _ in 0..TRIES_MAX {
            let (version, before) = self.store.allowance(&user.tenant, &user.user_id).await.map_err(unavailable)?;
            let mut after = before;
            let answer = change(&mut after);
            let is_in = after == before
                || self
                    .store
                    .replace_allowance(&user.tenant, &user.user_id, version, after)
                    .await
                    .map_err(unavailable)?;
            if is_in {
                return Ok(answer);
            }
        }
        Err(Refusal::Busy)
    }
}

/// Recipients of one message cost the same, so those that fit are the first ones.
fn grant(allowance: &mut Allowance, limits: &AllowanceLimits, ask: &Ask, now: Timestamp) -> Grant {
    for recipients in 0..ask.recipients {
        if let Err(shortage) = allowance.take(limits, ask.deliveries_each, now) {
            return Grant { recipients, shortage: Some(shortage) };
        }
    }
    Grant { recipients: ask.recipients, shortage: None }
}

fn unavailable(error: store::StoreError) -> Refusal {
    tracing::error!(error = &error as &dyn std::error::Error, "an allowance can't be counted");
    Refusal::Unavailable
}
