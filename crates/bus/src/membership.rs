//! A process's part in a group: which partitions it may work on, as they come and go. Knows no engine.

use std::time::Duration;

use model::Lane;
use tokio::sync::{mpsc, oneshot, watch};

/// Changes that may wait to be taken up.
const CHANGES_MAX: usize = 16;
/// How long a member may take to let go of shares: others wait for it no longer.
pub const RELEASE_MAX: Duration = Duration::from_secs(10);

/// A partition of a lane that a group reads. Lanes that are read along with it, in the same group, go with it: whoever has
/// partition 2 of one has partition 2 of all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Share {
    /// The lane that was joined for.
    pub lane: Lane,
    /// The partition.
    pub partition: u32,
}

/// What changed.
#[derive(Debug)]
pub enum Change {
    /// These are this process's to work on, until they are taken. No other member has them, as far as the group knows; that
    /// what a member that lost them still does is void, is up to the lanes' order and to fenced commits.
    Given(Vec<Share>),
    /// These go to others, or went already: stop, then let go.
    Taken(Vec<Share>, Release),
}

/// Held until the work on taken shares has ended; dropping it lets others begin. They wait for at most [`RELEASE_MAX`].
#[derive(Debug)]
pub struct Release {
    // Dropping the sender is the word.
    _done: oneshot::Sender<()>,
}

/// A process's part in a group. Dropping it leaves the group; [`Membership::leave`] says when that is done.
#[derive(Debug)]
pub struct Membership {
    changes: mpsc::Receiver<Change>,
    lanes: watch::Sender<Vec<Lane>>,
    left: oneshot::Receiver<()>,
}

/// The engine's side of a [`Membership`].
#[derive(Debug)]
pub struct MembershipEnd {
    changes: mpsc::Sender<Change>,
    /// The lanes to share in; closed when the member leaves.
    pub lanes: watch::Receiver<Vec<Lane>>,
    // Dropping it says that the member is gone.
    _left: oneshot::Sender<()>,
}

impl Membership {
    /// A membership that shares in these lanes, and the side of the engine that hands out shares.
    #[must_use]
    pub fn new(lanes: Vec<Lane>) -> (Self, MembershipEnd) {
        let (changed, changes) = mpsc::channel(CHANGES_MAX);
        let (lanes, wanted) = watch::channel(lanes);
        let (gone, left) = oneshot::channel();
        let end = MembershipEnd { changes: changed, lanes: wanted, _left: gone };
        (Membership { changes, lanes, left }, end)
    }

    /// The next change; `None` when the bus was closed. Can be cancelled.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Shares in these lanes from here on, in place of those before. Shares of lanes that are not among them are taken.
    pub fn follow(&self, lanes: Vec<Lane>) {
        self.lanes.send_replace(lanes);
    }

    /// Leaves the group, after the work on all shares has ended: others take them over at once.
    pub async fn leave(self) {
        let Membership { changes, lanes, left } = self;
        drop((changes, lanes));
        drop(left.await); // an error is the word: the other side is gone
    }
}

impl MembershipEnd {
    /// Gives shares. False if the member is gone.
    pub async fn give(&self, shares: Vec<Share>) -> bool {
        shares.is_empty() || self.changes.send(Change::Given(shares)).await.is_ok()
    }

    /// Takes shares, and waits until their work has ended or [`RELEASE_MAX`] has passed. False if it passed.
    pub async fn take(&self, shares: Vec<Share>) -> bool {
        if shares.is_empty() {
            return true;
        }
        let (held, done) = oneshot::channel();
        let told = self.changes.send(Change::Taken(shares, Release { _done: held }));
        let ended = async {
            if told.await.is_ok() {
                drop(done.await); // an error is the word
            }
        };
        tokio::time::timeout(RELEASE_MAX, ended).await.is_ok()
    }
}
