//! Accounts with their devices, what their models understand, and who may be told at all. Knows the store's documents, no window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use model::push::{Access, AccessRule, Account, ClientModel, Device, DeviceState, InboxBy, Ota, Resource, San};
use model::{TenantId, Timestamp};
use moka::sync::Cache;
use serde::de::DeserializeOwned;
use store::{Document, DocumentKind, Store};

use crate::RouterError;

/// Accounts, models and rules remembered, of each kind.
const KNOWN_MAX: u64 = 4_000;
/// How long what is remembered is believed. Before a device is told it is looked at again in any case.
const BELIEVED: Duration = Duration::from_secs(1);
/// Accounts read at a time.
const READS_MAX: usize = 32;
/// Times others may be first at editing an account.
const EDITS_MAX: u32 = 20;
/// What the inbox is called among canonical names.
const INBOX: &str = "inbox";
/// The id of the rule that is for all domains without one.
const ALL_DOMAINS: &str = "*";

/// What of it is known of one account.
#[derive(Debug)]
pub(super) struct Household {
    /// The account with its devices.
    pub(super) account: Account,
    /// Whether it may use push.
    pub(super) has_access: bool,
    models: BTreeMap<String, Arc<ClientModel>>,
}

/// Whether a device is told.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// It is.
    Tell(Member<'a>),
    /// Not now, but what changes is kept.
    Hold(Member<'a>, Option<Timestamp>),
    /// It is not, and nothing is kept.
    Drop(Why),
}

/// A device, and what it understands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// The device.
    pub(super) device: &'a Device,
    /// Its model.
    pub(super) model: &'a ClientModel,
}

/// Why a device is not told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// There is no such device, or no such account.
    Unknown,
    /// It is disabled.
    Disabled,
    /// Its model can't be notified.
    NoPush,
    /// Its account may not use push.
    NoAccess,
}

/// Looks accounts up.
pub(super) struct Roster<S> {
    store: S,
    accounts: Cache<(TenantId, String), Option<Arc<Household>>>,
    models: Cache<(TenantId, String), Option<Arc<ClientModel>>>,
    rules: Cache<(TenantId, String), Option<Access>>,
}

fn cache<V: Clone + Send + Sync + 'static>() -> Cache<(TenantId, String), V> {
    Cache::builder().max_capacity(KNOWN_MAX).time_to_live(BELIEVED).build()
}

impl<S: Store> Roster<S> {
    pub(super) fn new(store: S) -> Self {
        Roster { store, accounts: cache(), models: cache(), rules: cache() }
    }

    /// An account as it was a moment ago.
    ///
    /// # Errors
    /// The store is away.
    pub(super) async fn recent(&self, tenant: &TenantId, id: &str) -> Result<Option<Arc<Household>>, RouterError> {
        let key = (tenant.clone(), id.to_owned());
        if let Some(known) = self.accounts.get(&key) {
            return Ok(known);
        }
        self.fresh(tenant, id).await
    }

    /// An account as it is.
    ///
    /// # Errors
    /// The store is away.
    pub(super) async fn fresh(&self, tenant: &TenantId, id: &str) -> Result<Option<Arc<Household>>, RouterError> {
        let account: Option<Account> = self.read(tenant, DocumentKind::Account, id).await?;
        let household = match account {
            Some(account) => Some(Arc::new(self.household(account).await?)),
            None => None,
        };
        self.accounts.insert((tenant.clone(), id.to_owned()), household.clone());
        Ok(household)
    }

    /// Several accounts as they are, with models and rules as they are, in their order.
    ///
    /// # Errors
    /// The store is away.
    pub(super) async fn fresh_all(
        &self,
        ids: &[(TenantId, String)],
    ) -> Result<Vec<Option<Arc<Household>>>, RouterError> {
        self.models.invalidate_all();
        self.rules.invalidate_all();
        let mut all = Vec::with_capacity(ids.len());
        for ids in ids.chunks(READS_MAX) {
            let reads: Vec<_> = ids.iter().map(|(tenant, id)| self.fresh(tenant, id)).collect();
            all.extend(try_join_all(reads).await?);
        }
        Ok(all)
    }

    /// Changes a device in its account, whoever else edits it; false if there was nothing to change, or nothing to change it in.
    ///
    /// # Errors
    /// The store is away, or others were first again and again.
    pub(super) async fn edit(
        &self,
        tenant: &TenantId,
        account: &str,
        device: &str,
        change: impl Fn(&mut Device) -> bool,
    ) -> Result<bool, RouterError> {
        self.accounts.invalidate(&(tenant.clone(), account.to_owned()));
        for _ in 0..EDITS_MAX {
            let found = self.store.document(tenant, DocumentKind::Account, account).await;
            let Some((was, document)) = found.map_err(RouterError::Notify)? else { return Ok(false) };
            let Some(mut edited) = parse::<Account>(&document) else { return Ok(false) };
            if !edited.devices.get_mut(device).is_some_and(&change) {
                return Ok(false);
            }
            let body = serde_json::to_string(&edited).expect("an account has only keys that are text");
            let put = self.store.replace_document(Some(was), Document { body, ..document }).await;
            if put.map_err(RouterError::Notify)?.is_some() {
                return Ok(true);
            }
        }
        Err(RouterError::NotifyContended { times: EDITS_MAX })
    }

    async fn household(&self, account: Account) -> Result<Household, RouterError> {
        let tenant = &account.tenant;
        let mut models = BTreeMap::new();
        for device in account.devices.values() {
            if !models.contains_key(&device.model) {
                models.insert(device.model.clone(), self.model(tenant, &device.model).await?);
            }
        }
        let domain = account.id.rsplit_once('@').map_or("", |(_, domain)| domain);
        let has_access = Access::allows(
            account.access,
            if domain.is_empty() { None } else { self.rule(tenant, domain).await? },
            self.rule(tenant, ALL_DOMAINS).await?,
        );
        Ok(Household { account, has_access, models })
    }

    async fn model(&self, tenant: &TenantId, name: &str) -> Result<Arc<ClientModel>, RouterError> {
        let key = (tenant.clone(), name.to_owned());
        let known = match self.models.get(&key) {
            Some(known) => known,
            None => {
                let read: Option<ClientModel> = self.read(tenant, DocumentKind::ClientModel, name).await?;
                let read = read.or_else(|| ClientModel::built_in_of(name)).map(Arc::new);
                self.models.insert(key, read.clone());
                read
            }
        };
        Ok(known.unwrap_or_else(|| Arc::new(plain_model(name))))
    }

    async fn rule(&self, tenant: &TenantId, domain: &str) -> Result<Option<Access>, RouterError> {
        let key = (tenant.clone(), domain.to_owned());
        if let Some(known) = self.rules.get(&key) {
            return Ok(known);
        }
        let rule: Option<AccessRule> = self.read(tenant, DocumentKind::AccessRule, domain).await?;
        let access = rule.map(|rule| rule.access);
        self.rules.insert(key, access);
        Ok(access)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        kind: DocumentKind,
        id: &str,
    ) -> Result<Option<T>, RouterError> {
        let found = self.store.document(tenant, kind, id).await.map_err(RouterError::Notify)?;
        Ok(found.and_then(|(_, document)| parse(&document)))
    }
}

/// One that can't be read is as none: a later build may have written it.
fn parse<T: DeserializeOwned>(document: &Document) -> Option<T> {
    match serde_json::from_str(&document.body) {
        Ok(read) => Some(read),
        Err(error) => {
            tracing::warn!(kind = document.kind.name(), %error, "a document can't be read and counts for nothing");
            None
        }
    }
}

/// What is taken of a model nobody described: what most devices understand.
fn plain_model(name: &str) -> ClientModel {
    ClientModel {
        name: name.to_owned(),
        push: true,
        ota: Ota::None,
        san: San::Ds12,
        digest: false,
        all_stores: false,
        dcs: 0xf5,
        resources: BTreeMap::new(),
    }
}

impl Household {
    /// Whether a device is told at `now`.
    pub(super) fn verdict(&self, device: &str, now: Timestamp) -> Verdict<'_> {
        let Some(device) = self.account.devices.get(device) else { return Verdict::Drop(Why::Unknown) };
        let Some(model) = self.models.get(&device.model) else { return Verdict::Drop(Why::Unknown) };
        let member = Member { device, model };
        match device.state_at(now) {
            _ if !self.has_access => Verdict::Drop(Why::NoAccess),
            _ if !model.push => Verdict::Drop(Why::NoPush),
            DeviceState::Disabled => Verdict::Drop(Why::Disabled),
            DeviceState::Paused => Verdict::Hold(member, device.standing.until),
            // Short messages are the only way there is.
            DeviceState::NumberConflict => Verdict::Hold(member, None),
            DeviceState::Enabled => Verdict::Tell(member),
        }
    }
}

impl<'a> Member<'a> {
    /// What the device calls a resource, if it is to be told of it: by its own names first, then by its model's.
    pub(super) fn resource(&self, canonical: &str) -> Option<&'a Resource> {
        if self.device.inbox == InboxBy::Mail && canonical.eq_ignore_ascii_case(INBOX) {
            return None;
        }
        let named = self.device.resources.get(canonical).or_else(|| self.model.resources.get(canonical));
        named.filter(|resource| resource.enabled)
    }
}
