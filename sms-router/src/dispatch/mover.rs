//! When a route has been down too long, its deliveries are looked through, in order, for those that can go elsewhere. Knows
//! how far it has come, not where they go.

use std::time::{Duration, Instant};

use bus::{Bus, BusError, Read};
use lease::record::Queue;
use model::RouteId;
use runtime::stop::Panicked;
use tokio::task::JoinHandle;

use super::hub::Hub;
use super::{lanes, route};

/// Deliveries looked at per step.
const LOOK_MAX: usize = 512;

type Looking = JoinHandle<Result<Result<(Queue, Vec<Read>), BusError>, Panicked>>;

/// Looks through the lanes of a route that is down.
pub(super) struct Mover {
    down_since: Option<Instant>,
    was_up: bool,
    /// The next offset to be looked at, per lane.
    next: [i64; 2],
    looking: Option<Looking>,
}

impl Mover {
    /// Nothing is up yet, since now.
    pub(super) fn new(now: Instant) -> Self {
        Mover { down_since: Some(now), was_up: false, next: [0, 0], looking: None }
    }

    /// Whether the route has been down for longer than `patience`.
    pub(super) fn is_down(&mut self, up: bool, now: Instant, patience: Duration) -> bool {
        if up {
            self.was_up = true;
            self.down_since = None;
            self.next = [0, 0];
            return false;
        }
        now.saturating_duration_since(*self.down_since.get_or_insert(now)) >= patience
    }

    /// Whether it was ever up.
    pub(super) const fn was_up(&self) -> bool {
        self.was_up
    }

    /// Looks at the next deliveries, of the lane that has some: between its watermark and what was read of it.
    pub(super) fn go<B: Bus>(&mut self, hub: &Hub<B>, route: &RouteId, partition: u32, ends: [(i64, i64); 2]) {
        if self.looking.is_some() {
            return;
        }
        for (queue, (watermark, seen_to)) in [Queue::Front, Queue::Bulk].into_iter().zip(ends) {
            let next = &mut self.next[queue as usize];
            *next = (*next).max(watermark);
            if *next >= seen_to {
                continue;
            }
            let (bus, lane, from) = (hub.bus.clone(), route::lane_of(route, queue), *next);
            let look = async move {
                match bus.read(&lane, partition, from, LOOK_MAX).await {
                    // Settled meanwhile; the watermark tells where to go on.
                    Err(BusError::Trimmed { .. }) => Ok((queue, Vec::new())),
                    other => Ok((queue, other?)),
                }
            };
            self.looking = Some(hub.stop.spawn("dispatch-move", look));
            return;
        }
    }

    /// The deliveries that were looked at. Can be cancelled.
    pub(super) async fn next(&mut self) -> Result<Result<(Queue, Vec<Read>), BusError>, Panicked> {
        let looked = lanes::join(&mut self.looking).await?;
        if let Ok((queue, reads)) = &looked
            && let Some(last) = reads.last()
        {
            self.next[*queue as usize] = last.offset + 1;
        }
        Ok(looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_down_after_a_while_and_up_at_once() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut mover = Mover::new(start);
        assert!(!mover.is_down(false, start, second));
        assert!(mover.is_down(false, start + second, second));
        assert!(!mover.is_down(true, start + second, second));
        assert!(!mover.is_down(false, start + 2 * second, second), "it went down just now");
        assert!(mover.is_down(false, start + 3 * second, second));
        assert!(mover.was_up());
    }
}
