//! Which routes' partitions are this process's to own, as they come and go. Knows the membership, not what an owner does.
//!
//! Every route has a task here, so that farms can attach before its share comes; the task lives only while the share is
//! this process's. The route's other lanes go along with its front lane.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bus::{Bus, BusError, Change, Group, Membership, RELEASE_MAX, Release, Share};
use model::{Lane, RouteId};
use tokio::sync::watch;

use super::hub::Hub;
use super::route::RouteTask;

/// How long lives may take to end when their shares are taken: less than others wait for it.
const END_MAX: Duration = RELEASE_MAX.saturating_sub(Duration::from_secs(2));

/// Whether a partition is this process's. A route's task holds it.
pub(super) struct Seat {
    given: watch::Receiver<bool>,
    lives: watch::Sender<bool>,
}

/// The other end of a [`Seat`].
struct Chair {
    given: watch::Sender<bool>,
    lives: watch::Receiver<bool>,
}

/// The routes of this process and who owns them.
pub(super) struct Seats<B> {
    hub: Arc<Hub<B>>,
    chairs: BTreeMap<(RouteId, u32), Chair>,
}

impl Seat {
    fn pair() -> (Self, Chair) {
        let (given, is_given) = watch::channel(false);
        let (lives, is_living) = watch::channel(false);
        (Seat { given: is_given, lives }, Chair { given, lives: is_living })
    }

    /// Begins a life, if the share is this process's. The share is not let go of until [`Seat::end`].
    pub(super) fn begin(&self) -> bool {
        // In this order: whoever takes the share sees the life, or the life sees that the share is taken.
        self.lives.send_replace(true);
        let given = self.is_given();
        if !given {
            self.end();
        }
        given
    }

    /// Whether the share is this process's.
    pub(super) fn is_given(&self) -> bool {
        *self.given.borrow()
    }

    /// The life ended.
    pub(super) fn end(&self) {
        self.lives.send_replace(false);
    }

    /// Waits until the share is this process's, or until it is not. Can be cancelled.
    pub(super) async fn until(&mut self, given: bool) {
        if self.given.wait_for(|is| *is == given).await.is_err() {
            // Nobody hands out shares any more: the process ends.
            std::future::pending::<()>().await;
        }
    }

    /// Follows whether the share is this process's.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.given.clone()
    }
}

impl<B: Bus> Seats<B> {
    pub(super) fn new(hub: Arc<Hub<B>>) -> Self {
        Seats { hub, chairs: BTreeMap::new() }
    }

    /// Shares in the routes of the directory, and in those that are added, until the process stops and every route has
    /// finished. A route that leaves the directory is shared in further: what stands before it is still carried.
    pub(super) async fn run(mut self) {
        let mut backoff = control::Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        loop {
            match self.join().await {
                Ok(membership) => {
                    backoff.reset();
                    if self.follow(membership).await.is_break() {
                        return;
                    }
                }
                Err(error) => tracing::error!(%error, "this router can't share in the routes and tries again"),
            }
            tokio::select! {
                () = self.hub.routes_done() => return,
                () = tokio::time::sleep(backoff.wait()) => {}
            }
        }
    }

    async fn join(&mut self) -> Result<Membership, BusError> {
        let lanes = self.enter().await?;
        self.hub.bus.join(Group::OWNER, lanes).await
    }

    /// Enters the directory's routes, each with a task. Returns the lanes to share in.
    async fn enter(&mut self) -> Result<Vec<Lane>, BusError> {
        let directory = self.hub.directory();
        for route in directory.routes() {
            self.hub.bus.create(&Lane::Front(route.clone())).await?;
            self.seat(route);
        }
        let routes: std::collections::BTreeSet<&RouteId> = self.chairs.keys().map(|(route, _)| route).collect();
        Ok(routes.into_iter().cloned().map(Lane::Front).collect())
    }

    fn seat(&mut self, route: &RouteId) {
        let Some(commands) = self.hub.enter_route(route) else { return };
        // Lanes of a route have one partition; more will be more tasks, told apart by the partition in each word.
        const PARTITION: u32 = 0;
        let (seat, chair) = Seat::pair();
        self.chairs.insert((route.clone(), PARTITION), chair);
        let task = RouteTask::new(self.hub.clone(), route.clone(), PARTITION, seat, commands);
        let token = self.hub.route_tasks.token();
        self.hub.stop.spawn("dispatch-supervise", async move {
            let _token = token;
            task.run().await;
        });
    }

    /// Follows a membership to its end, or (`Break`) until every route has finished; then the group is left, so that
    /// others take over at once.
    async fn follow(&mut self, mut membership: Membership) -> ControlFlow<()> {
        let hub = self.hub.clone();
        let mut directories = hub.directories();
        directories.mark_unchanged();
        let mut followed = true;
        loop {
            tokio::select! {
                change = membership.next() => match change {
                    Some(Change::Given(shares)) => self.give(&shares),
                    Some(Change::Taken(shares, release)) => self.take(&shares, Some(release)),
                    None => {
                        let all: Vec<Share> = self.chairs.keys().map(share).collect();
                        self.take(&all, None);
                        return ControlFlow::Continue(());
                    }
                },
                changed = directories.changed(), if followed => {
                    followed = changed.is_ok();
                    match self.enter().await {
                        Ok(lanes) => membership.follow(lanes),
                        Err(error) => {
                            tracing::error!(%error, "a route's lanes can't be made; its share is asked for again");
                            directories.mark_changed();
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    }
                }
                () = hub.routes_done() => {
                    membership.leave().await;
                    return ControlFlow::Break(());
                }
            }
        }
    }

    fn give(&self, shares: &[Share]) {
        for chair in self.chairs(shares) {
            chair.given.send_replace(true);
        }
    }

    /// Has the lives on these shares end, and lets go of the shares when they have.
    fn take(&self, shares: &[Share], release: Option<Release>) {
        let mut lives = Vec::new();
        for chair in self.chairs(shares) {
            chair.given.send_replace(false);
            lives.push(chair.lives.clone());
        }
        self.hub.stop.spawn("dispatch-release", async move {
            let ended = async {
                for life in &mut lives {
                    drop(life.wait_for(|lives| !lives).await); // an error: its task is gone
                }
            };
            if tokio::time::timeout(END_MAX, ended).await.is_err() {
                tracing::warn!("routes did not end in time; their next owners' markers end them");
            }
            drop(release);
        });
    }

    fn chairs<'a>(&'a self, shares: &'a [Share]) -> impl Iterator<Item = &'a Chair> {
        shares.iter().filter_map(|share| {
            let Lane::Front(route) = &share.lane else { return None };
            self.chairs.get(&(route.clone(), share.partition))
        })
    }
}

fn share((route, partition): &(RouteId, u32)) -> Share {
    Share { lane: Lane::Front(route.clone()), partition: *partition }
}
