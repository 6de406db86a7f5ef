//! What breaks: assignments, streams, processes, disks. A part of the world.

use lease::farm::FarmLimits;
use lease::message::{Incarnation, Peer};
use lease::owner::OwnerStart;
use lease::record::Queue;
use lease::{Attempt, Farm, LaneId, Owner, PartitionId, RouterMessage};
use model::{DeliveryId, MessageId};

use crate::farm::{Node, Work};
use crate::lanes::Routed;
use crate::network;
use crate::plan::pick;
use crate::router::Seat;
use crate::world::{World, names};

impl World {
    pub(crate) fn break_something(&mut self) {
        let (router, farm) = (self.random.below(2), self.random.below(self.plan.farms));
        let crash = self.random.chance(self.plan.crashes);
        match pick(&self.plan.ills, &mut self.random) {
            0 => self.assign(router),
            1 => self.open_session(router, farm),
            2 => self.break_session(router, farm),
            3 => self.give_back(farm),
            4 if crash && self.routers[router].alive => self.crash_router(router),
            4 => self.routers[router].alive = true,
            5 if crash && self.farms[farm].machine.is_some() => self.crash_farm(farm),
            5 => self.restart_farm(farm),
            _ => self.routers[router].blind = !self.routers[router].blind,
        }
    }

    /// A delivery arrives in the route's lane.
    pub(crate) fn accept(&mut self) -> bool {
        if self.deliveries.len() >= self.plan.deliveries {
            return false;
        }
        let delivery = DeliveryId { message: MessageId(self.deliveries.len() as u128 + 1), index: 0 };
        if self.random.chance(250) {
            self.truth.resend.insert(delivery);
        }
        self.deliveries.push(delivery);
        self.lanes.routed.push(Routed { delivery, hop: 1, attempt: 0 });
        true
    }

    /// The partition is assigned to a router; the other is not told.
    pub(crate) fn assign(&mut self, router: usize) {
        if !self.routers[router].alive {
            return;
        }
        self.truth.counts.takeovers += 1;
        self.lanes.generation += 1;
        self.lives += 1;
        let partition = PartitionId { route: names().route.clone(), index: 0 };
        let start = OwnerStart {
            partition,
            lane: LaneId(7),
            router: names().routers[router].clone(),
            read_from: self.lanes.read_from,
            derived_to: self.lanes.derived_to,
        };
        self.say(|| {
            format!("router {router} is assigned, reads from {}, derived to {}", start.read_from, start.derived_to)
        });
        let mut owner = Owner::mutated(start, self.plan.limits, self.without);
        owner.queue_watermark(Queue::Front, self.lanes.watermark);
        owner.take_over(&self.lives.to_be_bytes());
        let now = self.now();
        let state = &mut self.routers[router];
        for (farm, seat) in &state.seats {
            owner.session_opened(&names().farms[*farm], seat.incarnation, seat.session, now);
        }
        state.leave();
        state.generation = self.lanes.generation;
        state.position = self.lanes.read_from;
        state.cursor = self.lanes.watermark;
        state.owner = Some(owner);
        self.drain_router(router);
    }

    /// A farm dials a router; an older stream between them is over.
    pub(crate) fn open_session(&mut self, router: usize, farm: usize) {
        if !self.routers[router].alive || self.farms[farm].machine.is_none() {
            return;
        }
        if let Some(old) = self.farms[farm].streams.get(&router).copied() {
            self.network.break_stream(old, network::Farm::Noticed, &mut self.random);
        }
        if let Some(old) = self.routers[router].seats.get(&farm) {
            self.network.break_stream(old.session, network::Farm::Noticed, &mut self.random);
        }
        self.sessions += 1;
        self.truth.counts.sessions += 1;
        let (session, now) = (self.sessions, self.now());
        self.say(|| format!("farm {farm} opens session {session} to router {router}"));
        let node = &mut self.farms[farm];
        node.streams.insert(router, session);
        let name = &names().routers[router];
        let welcome = RouterMessage::Welcome { router: name.clone(), session, peers: Vec::<Peer>::new() };
        node.machine.as_mut().unwrap().handle_message(name, welcome, now);
        let incarnation = node.incarnation;
        self.drain_farm(farm);
        self.routers[router].seats.insert(farm, Seat { incarnation, session });
        if let Some(owner) = &mut self.routers[router].owner {
            owner.session_opened(&names().farms[farm], incarnation, session, now);
        }
        self.drain_router(router);
    }

    /// A stream breaks; each end may or may not notice.
    pub(crate) fn break_session(&mut self, router: usize, farm: usize) {
        let Some(session) = self.farms[farm].streams.get(&router).copied() else { return };
        self.say(|| format!("session {session} of router {router} and farm {farm} breaks"));
        self.network.break_stream(session, network::Farm::Believes, &mut self.random);
        if self.random.chance(700) {
            self.farms[farm].streams.remove(&router);
            if let Some(machine) = &mut self.farms[farm].machine {
                machine.session_closed(&names().routers[router]);
            }
        }
        if self.random.chance(700) {
            self.close_seat(router, farm);
        }
    }

    pub(crate) fn close_seat(&mut self, router: usize, farm: usize) {
        let now = self.now();
        self.routers[router].seats.remove(&farm);
        if let Some(owner) = &mut self.routers[router].owner {
            owner.session_closed(&names().farms[farm], now);
            self.drain_router(router);
        }
    }

    pub(crate) fn crash_router(&mut self, router: usize) {
        self.say(|| format!("router {router} crashes"));
        self.truth.counts.crashes += 1;
        let seats = std::mem::take(&mut self.routers[router].seats);
        for seat in seats.values() {
            self.network.break_stream(seat.session, network::Farm::Believes, &mut self.random);
        }
        let state = &mut self.routers[router];
        state.leave();
        state.alive = false;
        // What was on its way to the lane may land, up to some record.
        let kept = self.random.below(state.in_flight.len() + 1);
        state.in_flight.truncate(kept);
    }

    pub(crate) fn crash_farm(&mut self, farm: usize) {
        self.say(|| format!("farm {farm} crashes"));
        self.truth.counts.crashes += 1;
        let node = &mut self.farms[farm];
        let streams = node.streams.clone();
        // Some of what was being written reaches the disk, though nobody hears of it.
        for _ in 0..self.random.below(3) {
            if let Some(attempt) = node.sync_one() {
                self.truth.began(attempt);
            }
        }
        self.farms[farm].crash();
        self.truth.uncertain_max += self.farms[farm].disk.begun_count() as u64;
        for session in streams.values() {
            self.network.break_stream(*session, network::Farm::Noticed, &mut self.random);
        }
        if self.random.chance(self.plan.disks) {
            self.truth.counts.disks_lost += 1;
            self.lives += 1;
            self.say(|| format!("farm {farm} loses its disk"));
            self.farms[farm] = Node::new(Incarnation(1_000 + u128::from(self.lives)));
        }
    }

    pub(crate) fn restart_farm(&mut self, farm: usize) {
        let now = self.now();
        let node = &mut self.farms[farm];
        if node.machine.is_none() {
            let name = names().farms[farm].clone();
            let (limits, journal) = (FarmLimits { attempts_max: 6 }, node.disk.read());
            node.machine = Some(Farm::mutated(name, limits, journal, now, self.without));
        }
    }

    pub(crate) fn give_back(&mut self, farm: usize) {
        let node = &mut self.farms[farm];
        let queued: Vec<Attempt> =
            node.work.iter().filter(|(_, work)| **work == Work::Queued).map(|(attempt, _)| *attempt).collect();
        let Some(attempt) = self.random.pick(&queued).copied() else { return };
        if let Some(machine) = &mut node.machine {
            // The link goes on as if nothing had happened: it is the machine that must not let it begin.
            let _ = machine.give_back(attempt, "the modem is gone");
            self.say(|| format!("farm {farm} gives {attempt:?} back"));
            self.drain_farm(farm);
        }
    }
}
