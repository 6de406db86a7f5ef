//! What changed, whichever door said so: checked against accounts and resources, and put into the lane. Knows no HTTP and no datagram.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use model::push::{Change, ChangeKind, ClientModel, Dirty, Op};
use model::{Refusal, TenantId};
use moka::sync::Cache;
use store::AnyStore;
use wire::ne1;

use super::files::Files;
use crate::accept::Acceptor;
use crate::problem::Problem;

/// Accounts whose resources are remembered, some 500 bytes each.
const REMEMBERED_MAX: u64 = 100_000;
/// Models remembered.
const MODELS_MAX: u64 = 10_000;
/// How long an account's resources are remembered. One that is added meanwhile is found at once, one that goes is missed for so long.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How long a model is remembered.
const MODEL_REMEMBERED: Duration = Duration::from_secs(1);
/// Accounts looked up at a time.
const LOOKED_UP_MAX: usize = 16;
/// Octets of a resource's name.
const RESOURCE_BYTES_MAX: usize = 255;

/// Takes in what changed.
pub(crate) struct Intake {
    known: Cache<(TenantId, String), Arc<BTreeSet<String>>>,
    models: Cache<(TenantId, String), Option<Arc<ClientModel>>>,
}

/// Why a line counts for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    BadLine,
    UnknownAccount,
    UnknownResource,
}

impl Fault {
    /// Every one.
    pub(crate) const ALL: [Fault; 3] = [Fault::BadLine, Fault::UnknownAccount, Fault::UnknownResource];

    /// Its name in answers and metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Fault::BadLine => "bad_line",
            Fault::UnknownAccount => "unknown_account",
            Fault::UnknownResource => "unknown_resource",
        }
    }
}

/// What became of lines: how many are in, and which are not.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) accepted: usize,
    /// Counted from 0.
    pub(crate) rejected: Vec<(usize, Fault)>,
}

impl Default for Intake {
    fn default() -> Self {
        let cache = |most, time| Cache::builder().max_capacity(most).time_to_live(time).build();
        Intake {
            known: cache(REMEMBERED_MAX, REMEMBERED),
            models: Cache::builder().max_capacity(MODELS_MAX).time_to_live(MODEL_REMEMBERED).build(),
        }
    }
}

impl Intake {
    /// Takes a tenant's lines in, all that can be taken in one append. Durable when it returns; said again, they do no harm.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Unavailable`]: nobody knows whether they are in.
    pub(crate) async fn take(
        &self,
        store: &AnyStore,
        acceptor: &Acceptor,
        tenant: &TenantId,
        lines: Vec<Option<ne1::Line>>,
    ) -> Result<Taken, Problem> {
        let files = Files { store, tenant };
        let checked = stream::iter(lines.into_iter().map(|line| self.check(files, line)))
            .buffered(LOOKED_UP_MAX)
            .collect::<Vec<Result<Result<Change, Fault>, Problem>>>()
            .await;
        let (mut taken, mut changes) = (Taken::default(), Vec::new());
        for (at, line) in checked.into_iter().enumerate() {
            match line? {
                Ok(change) => changes.push(change),
                Err(fault) => taken.rejected.push((at, fault)),
            }
        }
        taken.accepted = changes.len();
        acceptor.note_changes(&changes).await?;
        Ok(taken)
    }

    async fn check(&self, files: Files<'_>, line: Option<ne1::Line>) -> Result<Result<Change, Fault>, Problem> {
        let Some(line) = line else { return Ok(Err(Fault::BadLine)) };
        if !(1..=RESOURCE_BYTES_MAX).contains(&line.resource.len()) || line.origin.len() > RESOURCE_BYTES_MAX {
            return Ok(Err(Fault::BadLine));
        }
        let Some(account) = model::push::Account::id_of(&line.account) else { return Ok(Err(Fault::UnknownAccount)) };
        let key = (files.tenant.clone(), account);
        if !self.known.get(&key).is_some_and(|known| known.contains(&line.resource)) {
            let Some(known) = self.look_up(files, &key.1).await? else { return Ok(Err(Fault::UnknownAccount)) };
            let is_known = known.contains(&line.resource);
            self.known.insert(key.clone(), Arc::new(known));
            if !is_known {
                return Ok(Err(Fault::UnknownResource));
            }
        }
        let (resource, op) = (line.resource, op(line.op).into());
        let dirty = Dirty { resource, op, count: line.count, origin: line.origin, within_ms: None };
        let (tenant, account) = (key.0.as_str().to_owned(), key.1);
        Ok(Ok(Change { tenant, account, answer_by_ms: 0, kind: Some(ChangeKind::Dirty(dirty)) }))
    }

    /// The resources that some device of the account has a name for.
    async fn look_up(&self, files: Files<'_>, account: &str) -> Result<Option<BTreeSet<String>>, Problem> {
        let Some((_, account)) = files.account(account).await? else { return Ok(None) };
        let mut known = BTreeSet::new();
        for device in account.devices.values() {
            known.extend(device.resources.keys().cloned());
            if let Some(model) = self.model(files, &device.model).await? {
                known.extend(model.resources.keys().cloned());
            }
        }
        Ok(Some(known))
    }

    async fn model(&self, files: Files<'_>, name: &str) -> Result<Option<Arc<ClientModel>>, Refusal> {
        let key = (files.tenant.clone(), name.to_owned());
        if let Some(known) = self.models.get(&key) {
            return Ok(known);
        }
        let model = files.model(name).await.map_err(|problem| problem.refusal)?.map(Arc::new);
        self.models.insert(key, model.clone());
        Ok(model)
    }
}

const fn op(op: ne1::Op) -> Op {
    match op {
        ne1::Op::Unsaid => Op::Unsaid,
        ne1::Op::Add => Op::Add,
        ne1::Op::Change => Op::Change,
        ne1::Op::Delete => Op::Delete,
    }
}
