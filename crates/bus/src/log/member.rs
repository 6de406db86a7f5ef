//! Membership where there is one process: it is given everything. Knows which groups are joined.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use model::Lane;
use tokio::sync::watch;

use super::partition::lock;
use crate::membership::MembershipEnd;
use crate::{BusError, Group, Membership, Share};

/// The groups this process is a member of.
#[derive(Default)]
pub(super) struct Members {
    joined: Mutex<BTreeSet<Group>>,
}

impl Members {
    /// Makes this process the one member of a group. `closed` ends it.
    pub(super) fn join(
        self: &Arc<Self>,
        group: Group,
        lanes: Vec<Lane>,
        mut closed: watch::Receiver<bool>,
        partitions: impl Fn(&Lane) -> u32 + Send + Sync + 'static,
    ) -> Result<Membership, BusError> {
        if !lock(&self.joined).insert(group) {
            return Err(BusError::Joined { group: group.name() });
        }
        let (membership, end) = Membership::new(lanes);
        let joined = Joined { members: Arc::clone(self), group };
        tokio::spawn(async move {
            tokio::select! {
                () = share_out(&end, partitions) => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
            drop(joined);
            drop(end);
        });
        Ok(membership)
    }
}

/// While it lives the process is a member; also if its runtime is gone from one moment to the next.
struct Joined {
    members: Arc<Members>,
    group: Group,
}

impl Drop for Joined {
    fn drop(&mut self) {
        lock(&self.members.joined).remove(&self.group);
    }
}

/// Gives the partitions of what the member follows, until it leaves.
async fn share_out(end: &MembershipEnd, partitions: impl Fn(&Lane) -> u32 + Sync) {
    let mut wanted = end.lanes.clone();
    let mut given: BTreeSet<Lane> = BTreeSet::new();
    loop {
        let follows: BTreeSet<Lane> = wanted.borrow_and_update().iter().cloned().collect();
        let shares = |lanes: &mut dyn Iterator<Item = &Lane>| -> Vec<Share> {
            lanes
                .flat_map(|lane| (0..partitions(lane)).map(|partition| Share { lane: lane.clone(), partition }))
                .collect()
        };
        end.take(shares(&mut given.difference(&follows))).await;
        if !end.give(shares(&mut follows.difference(&given))).await {
            return;
        }
        given = follows;
        if wanted.changed().await.is_err() {
            return;
        }
    }
}
