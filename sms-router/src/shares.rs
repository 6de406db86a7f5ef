//! Which partitions are this process's to work on, as they come and go, and the parts that work on them. Knows
//! memberships; not what a part does.
//!
//! What is given is started; what is taken is ended, in order and in bounded time, before others may begin with it. That
//! two processes never work on one partition is not promised by this: what a member that lost its share still commits is
//! refused by the lanes, and its part then waits to be ended.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bus, Change, Group, Membership, RELEASE_MAX, Release, Share};
use control::Backoff;
use futures_util::future::join_all;
use model::Lane;
use runtime::Stop;
use store::Store;

use crate::desk::Desk;
use crate::parts::Kept;
use crate::routing::Loads;

/// How long parts may take to end when their share is taken: less than others wait for it.
const END_MAX: Duration = RELEASE_MAX.saturating_sub(Duration::from_secs(2));

/// What works on a share, in the order in which it ends.
pub(crate) type Parts = Vec<Kept>;

/// The shares of this process in one group, and what works on them.
struct Holder<F> {
    start: F,
    held: BTreeMap<Share, Parts>,
}

/// Joins a group for a lane, and again whenever the membership fails, and has parts work on what is given, until the stop
/// begins. Then the parts end, and the group is left, so that others take over at once.
pub(crate) fn share<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    group: Group,
    lane: Lane,
    stop: &Stop,
    start: impl Fn(u32) -> Parts + Send + 'static,
) {
    let (bus, until) = (desk.bus.clone(), stop.clone());
    stop.spawn("router-shares", async move {
        let mut holder = Holder { start, held: BTreeMap::new() };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        while !until.has_begun() {
            match bus.join(group, vec![lane.clone()]).await {
                Ok(membership) => {
                    backoff.reset();
                    holder.follow(membership, &until).await;
                }
                Err(error) => tracing::error!(
                    group = group.name(), %error, "this router can't share in the work and tries again"
                ),
            }
            tokio::select! { () = until.begun() => {} () = tokio::time::sleep(backoff.wait()) => {} }
        }
    });
}

impl<F: Fn(u32) -> Parts> Holder<F> {
    /// Follows a membership to its end, or to the stop. Nothing is held afterwards.
    async fn follow(&mut self, mut membership: Membership, stop: &Stop) {
        loop {
            let change = tokio::select! { () = stop.begun() => break, change = membership.next() => change };
            match change {
                Some(Change::Given(shares)) => self.give(shares),
                Some(Change::Taken(shares, release)) => self.take(shares, release).await,
                None => {
                    self.end_all(END_MAX).await;
                    return;
                }
            }
        }
        // The drain has a time of its own, and each part's phase ends in its turn.
        self.end_all(Duration::MAX).await;
        membership.leave().await;
    }

    fn give(&mut self, shares: Vec<Share>) {
        for share in shares {
            tracing::info!(lane = %share.lane, partition = share.partition, "this router takes a share over");
            let parts = (self.start)(share.partition);
            self.held.insert(share, parts);
        }
    }

    async fn take(&mut self, shares: Vec<Share>, release: Release) {
        let taken: BTreeMap<Share, Parts> =
            shares.into_iter().filter_map(|share| self.held.remove_entry(&share)).collect();
        for share in taken.keys() {
            tracing::info!(lane = %share.lane, partition = share.partition, "this router lets go of a share");
        }
        end(taken, END_MAX).await;
        drop(release);
    }

    async fn end_all(&mut self, max: Duration) {
        end(std::mem::take(&mut self.held), max).await;
    }
}

/// Ends the parts of each share in order, the shares side by side. Parts that take too long are cut off: nothing of them
/// lives on beside those of the next holder.
async fn end(shares: BTreeMap<Share, Parts>, max: Duration) {
    let ends = shares.into_values().map(end_in_order);
    if tokio::time::timeout(max, join_all(ends)).await.is_err() {
        tracing::warn!("parts did not end in time and were cut off; nothing is lost");
    }
}

async fn end_in_order(parts: Parts) {
    for part in parts {
        part.end().await;
    }
}
