//! Whose turn it is at the doors: so many requests at a time become durable, and tenants who wait are served in fair turns.
//!
//! Knows tenants and how many deliveries a request brings; must not know what is in them nor where they go.
//!
//! What is under way in a replica shares its processors. A tenant who begins a thousand requests at once would make everybody
//! wait for a thousand, so only as many are let in as the processors keep up with ([`pace`]). The others wait here, where
//! waiting costs nothing and does not go by who came first: start-time fair queueing, in deliveries, by the tenants' weights
//! (Goyal, Vin, Cheng, 1996). Who has nothing under way and would be next need not wait for room. Who waits too long is told to
//! come back, and nothing was taken.

mod pace;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{IdMap, Refusal, TenantId};
use runtime::Stop;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use self::pace::Pace;

/// How often the processors are asked how late they are, while anything is under way.
const LOOK: Duration = Duration::from_millis(10);
/// So many looks without anything under way, and nobody looks any more until there is something.
const IDLE_LOOKS_MAX: u32 = 100;
/// Requests that may be under way beyond what is allowed, one of a tenant: who asks for little then need not wait for the others'.
const QUIET_MAX: u64 = 64;
/// A delivery of a tenant of weight 1, in the queue's own time.
const DELIVERY: u64 = 1 << 20;

/// The turns of a replica.
#[derive(Debug)]
pub struct Turns {
    hall: Mutex<Hall>,
    wait_max: Duration,
    wanted: Notify,
}

/// A request that may become durable now. Another may when it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    tenant: TenantId,
}

/// Where somebody stands: by the time their turn is due, then by who came first.
type Place = (u64, u64);

#[derive(Debug)]
struct Hall {
    pace: Pace,
    /// Requests that have their turn.
    under_way: u64,
    /// The same by tenant; only those that have any.
    tenants: IdMap<TenantId, u32>,
    waiting: BTreeMap<Place, Waiting>,
    /// When each tenant's next turn is due, in the queue's own time; forgotten when nobody waits. At most all tenants.
    due: IdMap<TenantId, u64>,
    /// The queue's own time: when the turn was due that was given last.
    time: u64,
    arrivals: u64,
    /// Whether the one who looks at the processors rests.
    resting: bool,
}

#[derive(Debug)]
struct Waiting {
    tenant: TenantId,
    /// What the turn costs the tenant, in the queue's own time.
    takes: u64,
    call: oneshot::Sender<Turn>,
}

impl Turns {
    /// Nobody is under way. Nobody waits longer than `wait_max` for a turn.
    #[must_use]
    pub fn new(wait_max: Duration) -> Arc<Self> {
        let hall = Hall {
            pace: Pace::new(),
            under_way: 0,
            tenants: IdMap::default(),
            waiting: BTreeMap::new(),
            due: IdMap::default(),
            time: 0,
            arrivals: 0,
            resting: true,
        };
        Arc::new(Turns { hall: Mutex::new(hall), wait_max, wanted: Notify::new() })
    }

    /// How many requests wait, and how many may be under way.
    #[must_use]
    pub fn standing(&self) -> (u64, u64) {
        let hall = self.hall();
        (hall.waiting.len() as u64, hall.pace.allowed())
    }

    /// Waits for the tenant's turn with a request of so many deliveries. Dropping the future gives the place up.
    ///
    /// # Errors
    /// [`Refusal::Busy`]: it did not come in time.
    pub async fn enter(self: &Arc<Self>, tenant: &TenantId, weight: u32, deliveries: usize) -> Result<Turn, Refusal> {
        let (place, called) = {
            let mut hall = self.hall();
            if std::mem::take(&mut hall.resting) {
                self.wanted.notify_one();
            }
            if hall.waiting.is_empty() && hall.has_room() {
                return Ok(hall.begin(self, tenant.clone()));
            }
            hall.pace.pressed();
            if hall.goes_first(tenant) {
                hall.charge(tenant, weight, deliveries);
                return Ok(hall.begin(self, tenant.clone()));
            }
            hall.queue(tenant, weight, deliveries)
        };
        let _leave = Leave { turns: self, place };
        match tokio::time::timeout(self.wait_max, called).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::Busy),
        }
    }

    /// Lets in what the processors keep up with, until `stop` begins: looks how late they are, and says how many may be under
    /// way.
    pub async fn keep_pace(self: Arc<Self>, stop: Stop) {
        let mut idle = 0;
        loop {
            let due = Instant::now() + LOOK;
            tokio::select! {
                () = stop.begun() => return,
                () = tokio::time::sleep_until(due) => {}
            }
            let late = due.elapsed();
            idle = if self.look(late) { 0 } else { idle + 1 };
            if idle >= IDLE_LOOKS_MAX {
                idle = 0;
                self.hall().resting = true;
                tokio::select! {
                    () = stop.begun() => return,
                    () = self.wanted.notified() => {}
                }
            }
        }
    }

    /// Whether anything is under way.
    fn look(self: &Arc<Self>, late: Duration) -> bool {
        let mut hall = self.hall();
        hall.pace.note(late);
        let busy = hall.under_way > 0;
        self.call(hall);
        busy
    }

    /// Gives turns to those who wait, while there is room.
    fn call(self: &Arc<Self>, mut hall: MutexGuard<'_, Hall>) {
        let mut calls = Vec::new();
        while hall.has_room()
            && let Some(((due, _), next)) = hall.waiting.pop_first()
        {
            hall.time = hall.time.max(due);
            let turn = hall.begin(self, next.tenant);
            calls.push((next.call, turn));
        }
        if hall.waiting.is_empty() {
            hall.due.clear();
        }
        drop(hall);
        for (call, turn) in calls {
            // Who has just left gives the turn back, by dropping it.
            drop(call.send(turn));
        }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut hall = self.turns.hall();
        hall.end(&self.tenant);
        if !hall.waiting.is_empty() {
            self.turns.call(hall);
        }
    }
}

/// Takes out of the queue whoever stops waiting.
struct Leave<'a> {
    turns: &'a Turns,
    place: Place,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut hall = self.turns.hall();
        // Nobody pays for a turn that did not come.
        if let Some(gone) = hall.waiting.remove(&self.place)
            && let Some(due) = hall.due.get_mut(&gone.tenant)
        {
            *due = due.saturating_sub(gone.takes);
        }
    }
}

impl Hall {
    fn has_room(&self) -> bool {
        self.under_way < self.pace.allowed()
    }

    /// Whether a tenant need not wait for room: nothing of theirs is under way, their turn is due, so that nobody would be before
    /// them, and few of their kind are in beyond what is allowed.
    fn goes_first(&self, tenant: &TenantId) -> bool {
        let is_due = self.due.get(tenant).is_none_or(|due| *due <= self.time);
        is_due && !self.tenants.contains_key(tenant) && self.under_way < self.pace.allowed() + QUIET_MAX
    }

    fn begin(&mut self, turns: &Arc<Turns>, tenant: TenantId) -> Turn {
        self.under_way += 1;
        *self.tenants.entry(tenant.clone()).or_default() += 1;
        Turn { turns: Arc::clone(turns), tenant }
    }

    fn end(&mut self, tenant: &TenantId) {
        self.under_way -= 1;
        if let Some(under_way) = self.tenants.get_mut(tenant) {
            *under_way -= 1;
            if *under_way == 0 {
                self.tenants.remove(tenant);
            }
        }
    }

    fn queue(&mut self, tenant: &TenantId, weight: u32, deliveries: usize) -> (Place, oneshot::Receiver<Turn>) {
        let (begins, takes) = self.charge(tenant, weight, deliveries);
        self.arrivals += 1;
        let (place, (call, called)) = ((begins, self.arrivals), oneshot::channel());
        self.waiting.insert(place, Waiting { tenant: tenant.clone(), takes, call });
        (place, called)
    }

    /// When a tenant's turn is due, and what it takes; the next is due after it.
    fn charge(&mut self, tenant: &TenantId, weight: u32, deliveries: usize) -> (u64, u64) {
        let last = self.due.get(tenant).copied().unwrap_or(0);
        let begins = last.max(self.time);
        let takes = (deliveries as u64).saturating_mul(DELIVERY) / u64::from(weight.max(1));
        self.due.insert(tenant.clone(), begins.saturating_add(takes));
        (begins, takes)
    }
}

#[cfg(test)]
mod tests;
