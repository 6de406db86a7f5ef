//! Follows the ledgers of the tenants that send until everything has its final state.
//!
//! Knows `GET /v1/ledger`; must not know single messages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::client::{Client, Endpoint};
use crate::options::Target;

/// How often the ledger is read while waiting: seldom, since reading it is work for the server that is measured.
const POLL: Duration = Duration::from_millis(100);

/// How often it is read while messages are still being sent: only for the bar on the terminal.
const GLANCE: Duration = Duration::from_millis(500);

/// One reading of a tenant's ledger, or the sum of several.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) accepted: u64,
    #[serde(rename = "final")]
    pub(crate) settled: u64,
    pub(crate) pending: u64,
    #[serde(default)]
    pub(crate) by_state: BTreeMap<String, u64>,
}

/// What the ledger grew by during the run.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    pub(crate) before: Ledger,
    pub(crate) after: Ledger,
    /// When the last delivery had its final state; `None` when the ledger stood still before.
    pub(crate) reached_at: Option<Instant>,
}

/// Reads the ledgers again and again over one connection.
pub(crate) struct Follower {
    client: Client,
    tenants: Vec<Tenant>,
    before: Ledger,
}

struct Tenant {
    api_key: String,
    last: Ledger,
}

impl Ledger {
    fn sum<'a>(ledgers: impl Iterator<Item = &'a Self>) -> Self {
        ledgers.fold(Self::default(), |mut sum, one| {
            sum.accepted += one.accepted;
            sum.settled += one.settled;
            sum.pending += one.pending;
            for (state, count) in &one.by_state {
                *sum.by_state.entry(state.clone()).or_default() += count;
            }
            sum
        })
    }
}

impl Growth {
    /// Deliveries the server says it accepted during the run.
    pub(crate) fn accepted(&self) -> i128 {
        i128::from(self.after.accepted) - i128::from(self.before.accepted)
    }

    /// Deliveries that got their final state during the run.
    pub(crate) fn settled(&self) -> i128 {
        i128::from(self.after.settled) - i128::from(self.before.settled)
    }

    /// What each final state grew by.
    pub(crate) fn by_state(&self) -> BTreeMap<String, i128> {
        let before = |state: &String| self.before.by_state.get(state).copied().unwrap_or(0);
        let grown = |(state, after): (&String, &u64)| (state.clone(), i128::from(*after) - i128::from(before(state)));
        self.after.by_state.iter().map(grown).filter(|(_, count)| *count != 0).collect()
    }

    /// Deliveries that ended, as the ledger says, without the network's having them for certain.
    pub(crate) fn ended_otherwise(&self) -> i128 {
        let others = self.by_state().into_iter().filter(|(state, _)| state != "delivered" && state != "sent");
        others.map(|(_, count)| count).sum()
    }

    /// accepted − final − pending. Anything but 0 means that the server has lost count of a delivery.
    pub(crate) fn difference(&self) -> i128 {
        i128::from(self.after.accepted) - i128::from(self.after.settled) - i128::from(self.after.pending)
    }
}

impl Follower {
    /// Takes the first reading.
    pub(crate) async fn start(target: &Target) -> anyhow::Result<Self> {
        let client = Client::new(Endpoint::parse(&target.rest)?);
        let tenant = |key: &str| Tenant { api_key: key.to_owned(), last: Ledger::default() };
        let tenants = target.api_keys().map(tenant).collect();
        let mut follower = Self { client, tenants, before: Ledger::default() };
        follower.before = follower.read().await?;
        Ok(follower)
    }

    /// Does `work`, and tells every now and then how many deliveries are final.
    pub(crate) async fn glance_during<T>(&mut self, work: impl Future<Output = T>, on_progress: impl Fn(u64)) -> T {
        let mut work = std::pin::pin!(work);
        // A bar is not worth as many requests as there are tenants.
        while self.tenants.len() == 1 {
            tokio::select! {
                done = work.as_mut() => return done,
                () = tokio::time::sleep(GLANCE) => {}
            }
            // The work goes on while the server looks: a loader that stood still would measure itself. A server that is too
            // busy to show its ledger is no failure here; the last reading decides.
            let read = tokio::select! {
                done = work.as_mut() => return done,
                read = self.read() => read,
            };
            if let Ok(ledger) = read {
                on_progress(ledger.settled.saturating_sub(self.before.settled));
            }
        }
        work.await
    }

    /// Deliveries that got their final state since the start; `None` if the server is too busy to say.
    pub(crate) async fn glance(&mut self) -> Option<u64> {
        let before = self.before.settled;
        self.read().await.ok().map(|ledger| ledger.settled.saturating_sub(before))
    }

    /// Waits until `expected` more deliveries are final and none is pending, or until nothing has moved for `patience`.
    pub(crate) async fn wait_for_final(
        &mut self,
        expected: u64,
        patience: Duration,
        on_progress: impl Fn(u64),
    ) -> anyhow::Result<Growth> {
        let wanted = self.before.settled + expected;
        let mut last = Ledger::default();
        let mut moved_at = Instant::now();
        loop {
            let after = self.read().await?;
            on_progress(after.settled.saturating_sub(self.before.settled));
            let reached = after.settled >= wanted && after.pending == 0;
            if after.settled != last.settled {
                moved_at = Instant::now();
            }
            if reached || moved_at.elapsed() > patience {
                let reached_at = reached.then(Instant::now);
                return Ok(Growth { before: self.before.clone(), after, reached_at });
            }
            last = after;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the ledger has counted `expected` more deliveries as accepted, or until nothing has moved for `patience`.
    pub(crate) async fn wait_for_accepted(&mut self, expected: u64, patience: Duration) -> anyhow::Result<Growth> {
        let wanted = self.before.accepted + expected;
        let (mut last, mut moved_at) = (0, Instant::now());
        loop {
            let after = self.read().await?;
            if after.accepted != last {
                moved_at = Instant::now();
            }
            if after.accepted >= wanted || moved_at.elapsed() > patience {
                return Ok(Growth { before: self.before.clone(), after, reached_at: None });
            }
            last = after.accepted;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Reads the ledgers in which something was pending, or else all, and adds up what is known of each.
    async fn read(&mut self) -> anyhow::Result<Ledger> {
        let is_quiet = self.tenants.iter().all(|tenant| tenant.last.pending == 0);
        for tenant in self.tenants.iter_mut().filter(|tenant| is_quiet || tenant.last.pending > 0) {
            let answer = self.client.get("/v1/ledger", &tenant.api_key).await?;
            ensure!(answer.status.is_success(), "the ledger answers `{}`", answer.status);
            tenant.last = serde_json::from_slice(&answer.body).context("the ledger's answer is not understood")?;
        }
        Ok(Ledger::sum(self.tenants.iter().map(|tenant| &tenant.last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(accepted: u64, settled: u64, pending: u64) -> Ledger {
        Ledger { accepted, settled, pending, by_state: BTreeMap::new() }
    }

    #[test]
    fn the_difference_is_what_nobody_accounts_for() {
        let growth = |after| Growth { before: ledger(10, 10, 0), after, reached_at: None };
        assert_eq!(growth(ledger(15, 12, 3)).difference(), 0);
        assert_eq!(growth(ledger(15, 12, 2)).difference(), 1);
        assert_eq!(growth(ledger(15, 16, 0)).difference(), -1);
        assert_eq!(growth(ledger(15, 12, 3)).settled(), 2);
    }
}
