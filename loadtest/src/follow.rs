//! Follows messages to their end: by the tenant's ledger, or by delivery reports where there is none.
//!
//! Knows which of both it is; must not know how either is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::ledger::{self, Growth};
use crate::options::{Door, Target, Until};
use crate::plan::Plan;
use crate::receipts::{ReceiptCount, Receipts};

/// Who says what became of messages.
pub(crate) enum Follower {
    Ledger(ledger::Follower),
    Receipts(Arc<Receipts>),
}

/// What was said.
#[derive(Debug)]
pub(crate) enum Followed {
    Ledger(Growth),
    Receipts(ReceiptCount),
}

impl Follower {
    pub(crate) async fn start(plan: &Plan, target: &Target) -> anyhow::Result<Self> {
        if plan.door == Door::Kannel {
            return Ok(Self::Receipts(Arc::new(Receipts::start(plan)?)));
        }
        let ledger = ledger::Follower::start(target).await.context("cannot read the ledger before the start")?;
        Ok(Self::Ledger(ledger))
    }

    /// Where reports are to be sent, if they are what is followed.
    pub(crate) fn receipts(&self) -> Option<Arc<Receipts>> {
        match self {
            Self::Ledger(_) => None,
            Self::Receipts(receipts) => Some(receipts.clone()),
        }
    }

    /// Does `work`, and tells every now and then how many deliveries have ended.
    pub(crate) async fn glance_during<T>(&mut self, work: impl Future<Output = T>, on_progress: impl Fn(u64)) -> T {
        match self {
            Self::Ledger(ledger) => ledger.glance_during(work, on_progress).await,
            Self::Receipts(_) => work.await,
        }
    }

    /// Waits until so many more deliveries have come as far as is asked for, or nothing has moved for `patience`.
    pub(crate) async fn wait(
        &mut self,
        until: Until,
        expected: u64,
        patience: Duration,
        on_progress: impl Fn(u64),
    ) -> anyhow::Result<Followed> {
        match (self, until) {
            (Self::Ledger(ledger), Until::Final) => {
                ledger.wait_for_final(expected, patience, on_progress).await.map(Followed::Ledger)
            }
            (Self::Ledger(ledger), Until::Accepted) => {
                ledger.wait_for_accepted(expected, patience).await.map(Followed::Ledger)
            }
            (Self::Receipts(receipts), Until::Final) => {
                Ok(Followed::Receipts(receipts.wait(expected, patience, on_progress).await))
            }
            (Self::Receipts(receipts), Until::Accepted) => {
                Ok(Followed::Receipts(receipts.wait(0, Duration::ZERO, on_progress).await))
            }
        }
    }
}

impl Followed {
    /// When the last delivery had its end; `None` when not all had.
    pub(crate) fn reached_at(&self) -> Option<Instant> {
        match self {
            Self::Ledger(growth) => growth.reached_at,
            Self::Receipts(count) => count.reached_at,
        }
    }
}
