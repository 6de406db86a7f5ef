//! When a route has been down too long, its deliveries are looked through, in order, for those that can go elsewhere. Knows
//! how far it has come, not where they go.

use std::time::{Duration, Instant};

use bus::{Bus, BusError, Read};
use lease::record::Queue;
use model::RouteId;
use runtime::stop::Panicked;
use tokio::task::JoinHandle;

use super::hub::Hub;
use super::load::Health;
use super::{lanes, route};

/// Deliveries looked at per step.
const LOOK_MAX: usize = 512;

/// A route whose links are away for less than this is not called down.
const BLINK_MAX: Duration = Duration::from_secs(5);

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

    /// How long the route has been down; `None` if it is up.
    pub(super) fn down_for(&mut self, up: bool, now: Instant) -> Option<Duration> {
        if up {
            self.was_up = true;
            self.down_since = None;
            self.next = [0, 0];
            return None;
        }
        Some(now.saturating_duration_since(*self.down_since.get_or_insert(now)))
    }

    /// The route's health, given how long it has been down. A link that blinks is not down: a dearer route would be paid
    /// for a second's sake.
    pub(super) fn health(&self, down_for: Option<Duration>, patience: Duration) -> Health {
        match down_for {
            None => Health::Up,
            Some(time) if time >= patience || (self.was_up && time >= BLINK_MAX) => Health::Down,
            Some(_) if self.was_up => Health::Up,
            Some(_) => Health::Unknown,
        }
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
        let (start, second, patience) = (Instant::now(), Duration::from_secs(1), Duration::from_secs(30));
        let mut mover = Mover::new(start);
        let mut check = |up, seconds, expected| {
            let down_for = mover.down_for(up, start + seconds * second);
            assert_eq!(mover.health(down_for, patience), expected, "after {seconds} s");
            down_for.map(|time| time.as_secs())
        };
        assert_eq!(check(false, 0, Health::Unknown), Some(0));
        assert_eq!(check(false, 29, Health::Unknown), Some(29));
        assert_eq!(check(false, 30, Health::Down), Some(30));
        assert_eq!(check(true, 31, Health::Up), None);
        assert_eq!(check(false, 32, Health::Up), Some(0));
        assert_eq!(check(false, 38, Health::Down), Some(6));
        assert_eq!(check(true, 39, Health::Up), None);
    }
}
