//! Peace: nothing breaks any more, and everything must finish. A part of the world.

use lease::Owner;

use crate::truth::Fault;
use crate::world::World;

impl World {
    pub(crate) fn make_peace(&mut self) {
        self.say(|| "peace".to_owned());
        self.peace = true;
        self.network.wild = false;
        for _ in 0..10_000 {
            self.deliver();
        }
        for router in 0..2 {
            self.routers[router].alive = true;
            self.routers[router].blind = false;
            while self.land(router, 100) {}
        }
        self.assign(0);
        self.routers[1].leave();
        for farm in 0..self.plan.farms {
            self.restart_farm(farm);
            self.open_session(0, farm);
        }
    }

    /// Everybody does what there is to do; if there is nothing, time passes. False when all is over.
    pub(crate) fn step_in_peace(&mut self) -> bool {
        self.steps += 1;
        let mut busy = self.land(0, 100) | self.read(0, 100) | self.commit(0) | self.dispatch(0);
        for _ in 0..100 {
            busy |= self.deliver();
        }
        for farm in 0..self.plan.farms {
            busy |= self.sync(farm, 100) | self.work(farm);
        }
        self.trim();
        if busy {
            return true;
        }
        let owner = self.routers[0].owner.as_ref().and_then(Owner::poll_timeout);
        let farms = self.farms.iter().filter_map(|node| node.machine.as_ref()?.poll_timeout());
        let next = farms.chain(owner).min();
        let over = self.truth.finals.len() == self.deliveries.len() && self.network.is_empty();
        let Some(next) = next.filter(|_| !over) else { return false };
        let wait = next.saturating_duration_since(self.now().instant).as_millis() as u64;
        self.pass(wait + 1);
        true
    }

    pub(crate) fn judge(&mut self) -> Result<(), Fault> {
        let deliveries = self.deliveries.clone();
        self.truth.judge(&deliveries);
        self.check()?;
        let Some(owner) = &self.routers[0].owner else {
            return Err(Fault::Unfinished("nobody owns at the end".to_owned()));
        };
        // What a dead disk held stays remembered: it may come back.
        let counts = self.truth.counts;
        let lost = if counts.disks_lost == 0 { 0 } else { usize::try_from(counts.granted).unwrap() };
        let checks = [
            (!owner.is_owner(), "nobody owns at the end"),
            (owner.open_count() > 0, "a grant is open at the end"),
            (owner.remembered_count() > lost, "the owner remembers what is over"),
            (self.farms.iter().any(|node| !node.disk.entries.is_empty()), "a journal holds what is over"),
            (self.farms.iter().any(|n| n.machine.as_ref().is_none_or(|m| m.held_count() > 0)), "a farm holds a lease"),
            (self.lanes.watermark < self.lanes.routed.len() as i64, "a place is not settled"),
            (self.lanes.len() > 2_000, "lane leases grows without end"),
        ];
        checks.iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, text)| Err(Fault::Unfinished((*text).to_owned())))
    }
}
