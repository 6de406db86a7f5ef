//! The whole of it: routers, farms, lanes and network under one clock and one seed. First faults, in which nothing wrong may
//! happen; then peace, in which everything must finish.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lease::farm::FarmLimits;
use lease::message::{Incarnation, Peer, Token};
use lease::owner::{Derived, NotTaken, Offer, OwnerLimits, OwnerStart};
use lease::record::{Kind, OutcomeKind, Place, Queue};
use lease::rule::Rule;
use lease::{Attempt, Farm, FarmMessage, LaneId, Now, Outcome, Owner, PartitionId, RouterMessage};
use model::record::OnUncertain;
use model::{DeliveryId, FarmName, LinkName, MessageId, RouteId, RouterName, Timestamp};

use crate::farm::{Node, Work};
use crate::lanes::{Lanes, Routed};
use crate::network::{Ends, Letter, Network};
use crate::random::Random;
use crate::router::{Ready, Router, Seat};
use crate::truth::{Fault, Final, Truth};

const STEPS_PEACE_MAX: usize = 3_000;
const HOPS_MAX: u32 = 3;
const REPEAT: &[u8] = b"repeat";

/// What a seed makes of a world.
#[derive(Clone, Debug)]
struct Plan {
    deliveries: usize,
    farms: usize,
    steps: usize,
    open_max: usize,
    /// Steps in a thousand that break something.
    faults: u32,
    crashes: u32,
    disks: u32,
    wild: bool,
    /// How often each kind of step comes: a world may be slow at any one thing.
    weights: [usize; 9],
    /// How often each kind of fault comes.
    ills: [usize; 7],
    limits: OwnerLimits,
}

/// Names that are the same in every world.
struct Names {
    routers: Vec<RouterName>,
    farms: Vec<FarmName>,
    link: LinkName,
    route: RouteId,
}

fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| Names {
        routers: (0..2).map(|index| format!("router-{index}").parse().unwrap()).collect(),
        farms: (0..3).map(|index| format!("farm-{index}").parse().unwrap()).collect(),
        link: "modem".parse().unwrap(),
        route: "route".parse().unwrap(),
    })
}

fn start_of_time() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(crate) struct World {
    random: Random,
    plan: Plan,
    without: &'static [Rule],
    pub(crate) verbose: bool,
    ms: u64,
    lanes: Lanes,
    routers: Vec<Router>,
    farms: Vec<Node>,
    network: Network,
    pub(crate) truth: Truth,
    deliveries: Vec<DeliveryId>,
    sessions: u64,
    lives: u64,
    pub(crate) steps: u64,
    peace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, without: &'static [Rule]) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random, !without.is_empty());
        let network = Network::new(plan.wild);
        let mut world = World {
            farms: (0..plan.farms).map(|index| Node::new(Incarnation(index as u128 + 1))).collect(),
            routers: (0..2).map(|_| Router::new()).collect(),
            random,
            plan,
            without,
            verbose: false,
            ms: 0,
            lanes: Lanes::default(),
            network,
            truth: Truth::default(),
            deliveries: Vec::new(),
            sessions: 0,
            lives: 0,
            steps: 0,
            peace: false,
        };
        for farm in 0..world.plan.farms {
            world.restart_farm(farm);
        }
        world
    }

    /// Runs the seed; the fault, if there is one.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        for _ in 0..self.plan.steps {
            self.step();
            self.check()?;
        }
        self.make_peace();
        for _ in 0..STEPS_PEACE_MAX {
            let busy = self.step_in_peace();
            self.check()?;
            if !busy {
                return self.judge();
            }
        }
        Err(Fault::Unfinished("peace does not come".to_owned()))
    }

    fn check(&self) -> Result<(), Fault> {
        self.truth.fault.clone().map_or(Ok(()), Err)
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>6} {:>8} ms  {}", self.steps, self.ms, text());
        }
    }

    fn now(&self) -> Now {
        let passed = Duration::from_millis(self.ms);
        Now { instant: start_of_time() + passed, utc: Timestamp(1_800_000_000_000 + self.ms as i64) }
    }

    fn pass(&mut self, ms: u64) {
        self.ms += ms;
        let now = self.now();
        for router in 0..self.routers.len() {
            if let Some(owner) = &mut self.routers[router].owner {
                owner.handle_timeout(now);
                self.drain_router(router);
            }
        }
        for farm in 0..self.farms.len() {
            if let Some(machine) = &mut self.farms[farm].machine {
                machine.handle_timeout(now);
                self.drain_farm(farm);
            }
        }
    }

    // Faults.

    fn step(&mut self) {
        self.steps += 1;
        if self.random.chance(300) {
            let ms = self.random.below(400) as u64;
            self.pass(ms);
        }
        if self.random.chance(4) {
            let ms = self.random.below(40_000) as u64;
            self.pass(ms);
        }
        if self.random.chance(self.plan.faults) {
            return self.break_something();
        }
        let (router, farm) = (self.random.below(2), self.random.below(self.plan.farms));
        let _busy = match pick(&self.plan.weights, &mut self.random) {
            0 => self.accept(),
            1 => self.land(router, 3),
            2 => !self.routers[router].blind && self.read(router, 6),
            3 => self.commit(router),
            4 => self.dispatch(router),
            5 => self.deliver(),
            6 => self.sync(farm, 3),
            7 => self.work(farm),
            _ => self.trim(),
        };
    }

    fn break_something(&mut self) {
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
    fn accept(&mut self) -> bool {
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
    fn assign(&mut self, router: usize) {
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
    fn open_session(&mut self, router: usize, farm: usize) {
        if !self.routers[router].alive || self.farms[farm].machine.is_none() {
            return;
        }
        if let Some(old) = self.farms[farm].streams.get(&router).copied() {
            self.network.break_stream(old, &mut self.random);
        }
        if let Some(old) = self.routers[router].seats.get(&farm) {
            self.network.break_stream(old.session, &mut self.random);
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
    fn break_session(&mut self, router: usize, farm: usize) {
        let Some(session) = self.farms[farm].streams.get(&router).copied() else { return };
        self.say(|| format!("session {session} of router {router} and farm {farm} breaks"));
        self.network.break_stream(session, &mut self.random);
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

    fn close_seat(&mut self, router: usize, farm: usize) {
        let now = self.now();
        self.routers[router].seats.remove(&farm);
        if let Some(owner) = &mut self.routers[router].owner {
            owner.session_closed(&names().farms[farm], now);
            self.drain_router(router);
        }
    }

    fn crash_router(&mut self, router: usize) {
        self.say(|| format!("router {router} crashes"));
        self.truth.counts.crashes += 1;
        let seats = std::mem::take(&mut self.routers[router].seats);
        for seat in seats.values() {
            self.network.break_stream(seat.session, &mut self.random);
        }
        let state = &mut self.routers[router];
        state.leave();
        state.alive = false;
        // What was on its way to the lane may land, up to some record.
        let kept = self.random.below(state.in_flight.len() + 1);
        state.in_flight.truncate(kept);
    }

    fn crash_farm(&mut self, farm: usize) {
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
            self.network.break_stream(*session, &mut self.random);
        }
        if self.random.chance(self.plan.disks) {
            self.truth.counts.disks_lost += 1;
            self.lives += 1;
            self.say(|| format!("farm {farm} loses its disk"));
            self.farms[farm] = Node::new(Incarnation(1_000 + u128::from(self.lives)));
        }
    }

    fn restart_farm(&mut self, farm: usize) {
        let now = self.now();
        let node = &mut self.farms[farm];
        if node.machine.is_none() {
            let name = names().farms[farm].clone();
            let (limits, journal) = (FarmLimits { attempts_max: 6 }, node.disk.read());
            node.machine = Some(Farm::mutated(name, limits, journal, now, self.without));
        }
    }

    fn give_back(&mut self, farm: usize) {
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

    // Routers at work.

    /// Records on their way reach the lane.
    fn land(&mut self, router: usize, max: usize) -> bool {
        let mut busy = false;
        for _ in 0..max {
            let Some(kind) = self.routers[router].in_flight.pop_front() else { break };
            let offset = self.lanes.append(&kind);
            self.truth.appended(offset, &kind);
            self.say(|| format!("lane {offset}: {} (by router {router})", describe(&kind)));
            busy = true;
        }
        busy
    }

    fn read(&mut self, router: usize, max: usize) -> bool {
        let now = self.now();
        let mut busy = false;
        for _ in 0..max {
            let state = &mut self.routers[router];
            let Some(owner) = &mut state.owner else { break };
            if state.position < self.lanes.read_from.min(self.lanes.derived_to) {
                // Trimmed below what it reads: so somebody newer owns.
                state.leave();
                break;
            }
            let Some(kind) = self.lanes.read(state.position) else { break };
            owner.handle_record(state.position, kind.clone(), now);
            state.position += 1;
            busy = true;
            self.drain_router(router);
        }
        busy
    }

    fn drain_router(&mut self, router: usize) {
        let state = &mut self.routers[router];
        let Some(owner) = &mut state.owner else { return };
        while let Some(kind) = owner.poll_append() {
            state.in_flight.push_back(kind);
        }
        while let Some(fact) = owner.poll_derived() {
            state.derived.push(fact);
        }
        while let Some(returned) = owner.poll_returned() {
            state.ready.push_back(Ready::returned(returned));
        }
        while let Some((farm, message)) = owner.poll_send() {
            let farm = names().farms.iter().position(|name| *name == farm).unwrap();
            if let Some(seat) = state.seats.get(&farm) {
                self.network.send(seat.session, Ends { router, farm }, Letter::ToFarm(message));
            }
        }
        let alarm = owner.poll_alarm();
        if owner.is_over() && owner.epoch().is_none() {
            state.ready.clear();
        }
        if let Some(alarm) = alarm {
            let alarm = Fault::Alarm(format!("router {router}: {alarm}"));
            self.truth.fault.get_or_insert(alarm);
        }
    }

    /// One transaction: what was consumed, and what follows from it.
    fn commit(&mut self, router: usize) -> bool {
        let Some(owner) = &self.routers[router].owner else { return false };
        let position = owner.position();
        if self.routers[router].generation != self.lanes.generation {
            self.say(|| format!("router {router} is fenced"));
            self.truth.counts.fenced += 1;
            self.routers[router].leave();
            return true;
        }
        let facts = std::mem::take(&mut self.routers[router].derived);
        let start = self.routers[router].owner.as_ref().unwrap().reading_start();
        let busy = position > self.lanes.derived_to || start > self.lanes.read_from || !facts.is_empty();
        let stopped = facts.iter().any(|fact| matches!(fact, Derived::Stopped { .. }));
        for fact in facts {
            self.draw(fact);
        }
        self.lanes.derived_to = self.lanes.derived_to.max(position);
        self.lanes.read_from = self.lanes.read_from.max(start);
        let owner = self.routers[router].owner.as_mut().unwrap();
        owner.committed(position);
        owner.queue_watermark(Queue::Front, self.lanes.watermark);
        if stopped {
            self.routers[router].leave();
        }
        busy
    }

    /// What other parts of the house make of a fact.
    fn draw(&mut self, fact: Derived) {
        match fact {
            Derived::GrantCounted { place, attempt, .. } => {
                self.truth.derived(attempt, "granted");
                self.lanes.ack(place.offset);
            }
            Derived::OutcomeCounted { attempt, grant, outcome } => {
                self.truth.derived(attempt, "ended");
                self.conclude(attempt, grant.offset, outcome.kind.try_into().unwrap());
            }
            Derived::ReleaseCounted { attempt, .. } => self.truth.derived(attempt, "released"),
            Derived::CorrectionCounted { attempt, outcome, .. } => {
                self.truth.derived(attempt, "corrected");
                self.correct(attempt, outcome.kind.try_into().unwrap());
            }
            Derived::SettleCounted { delivery, note, .. } if note == REPEAT => {
                self.truth.blame(format!("{delivery:?} was dropped as a repeat"));
            }
            Derived::SettleCounted { place, delivery, .. } => {
                self.lanes.ack(place.offset);
                self.truth.end(delivery, Final::Moved);
            }
            Derived::GapEnded { attempt, .. } => self.truth.blame(format!("{attempt:?} ended a gap")),
            Derived::Stopped { .. } => {}
        }
    }

    fn conclude(&mut self, attempt: Attempt, offset: i64, kind: OutcomeKind) {
        let hop = self.lanes.routed[usize::try_from(offset).unwrap()].hop;
        let delivery = attempt.delivery;
        if kind == OutcomeKind::FailedForNow && hop < HOPS_MAX {
            self.lanes.routed.push(Routed { delivery, hop: hop + 1, attempt: attempt.number });
        } else {
            self.truth.end(delivery, Final::Outcome(kind));
        }
    }

    /// A proof that came late; "failed for now" is one for people, since the delivery has ended.
    fn correct(&mut self, attempt: Attempt, kind: OutcomeKind) {
        self.truth.correct(attempt, kind);
    }

    /// The dispatcher: reads the route's lane, and offers.
    fn dispatch(&mut self, router: usize) -> bool {
        let state = &mut self.routers[router];
        let Some(owner) = &mut state.owner else { return false };
        if !owner.is_owner() {
            return false;
        }
        while let Some(routed) = self.lanes.routed.get(usize::try_from(state.cursor).unwrap()) {
            let place = Place { queue: Queue::Front, offset: state.cursor };
            if !owner.is_settled(place) {
                state.ready.push_back(Ready::Fresh { place, delivery: routed.delivery, attempt: routed.attempt });
            }
            state.cursor += 1;
        }
        if owner.open_count() >= self.plan.open_max {
            return false;
        }
        let Some(ready) = state.ready.pop_front() else { return false };
        let taken = if self.random.chance(20) && !self.peace {
            owner.settle(ready.place(), ready.delivery(), Bytes::new())
        } else {
            let farm = self.random.below(self.plan.farms);
            let resend = self.truth.resend.contains(&ready.delivery());
            let now = self.now();
            let owner = self.routers[router].owner.as_mut().unwrap();
            owner.offer(to_offer(&ready, farm, resend, now), now).map(|_| ())
        };
        self.say(|| format!("router {router} hands out {:?}: {taken:?}", ready.delivery()));
        match taken {
            Ok(()) | Err(NotTaken::Settled | NotTaken::InHand | NotTaken::NotOwner) => {}
            Err(NotTaken::NoSession | NotTaken::Full) => self.routers[router].ready.push_back(ready),
            Err(NotTaken::Repeated) => {
                // Only an owner that is one no more can think so: nothing is routed twice here. So this must not count.
                let owner = self.routers[router].owner.as_mut().unwrap();
                let _ = owner.settle(ready.place(), ready.delivery(), Bytes::from_static(REPEAT));
            }
            Err(NotTaken::Gap) => self.truth.blame(format!("{:?} is a gap", ready.delivery())),
        }
        self.drain_router(router);
        taken.is_ok()
    }

    // Farms at work.

    fn sync(&mut self, farm: usize, max: usize) -> bool {
        let node = &mut self.farms[farm];
        let mut busy = false;
        for _ in 0..max {
            if node.unsynced.is_empty() {
                break;
            }
            busy = true;
            if let Some(attempt) = node.sync_one() {
                self.truth.began(attempt);
            }
        }
        let node = &mut self.farms[farm];
        if self.random.chance(700) || self.peace {
            if let (Some(machine), Some(last)) = (&mut node.machine, node.untold.take()) {
                machine.synced(last);
                busy = true;
            }
            self.drain_farm(farm);
        }
        busy
    }

    /// A link takes the next step with one of its attempts.
    fn work(&mut self, farm: usize) -> bool {
        let now = self.now();
        let node = &mut self.farms[farm];
        let Some(machine) = &mut node.machine else { return false };
        let index = self.random.below(node.work.len());
        let Some((attempt, work)) = node.work.iter().filter(|(_, work)| **work != Work::Asked).nth(index) else {
            return self.work_first(farm);
        };
        let (attempt, work) = (*attempt, *work);
        match work {
            Work::Queued if machine.begin(attempt, &names().link, now).is_ok() => {
                // Without rule 11 the machine has said already that it may begin.
                node.work.insert(attempt, Work::Asked);
            }
            Work::Queued => {
                node.work.remove(&attempt);
            }
            Work::Asked => {}
            Work::Clear if self.random.chance(800) => {
                node.work.insert(attempt, Work::Sent);
                self.truth.sent(attempt);
            }
            Work::Clear => {
                node.work.insert(attempt, Work::Refused);
            }
            Work::Sent | Work::Refused => {
                node.work.remove(&attempt);
                let kind = match work {
                    Work::Sent => OutcomeKind::Sent,
                    _ if self.random.chance(600) => OutcomeKind::FailedForNow,
                    _ => OutcomeKind::FailedForGood,
                };
                let outcome =
                    Outcome { kind: kind.into(), farm: names().farms[farm].to_string(), ..Outcome::default() };
                let _ = machine.end(attempt, outcome);
            }
        }
        self.say(|| format!("farm {farm} goes on with {attempt:?}, {work:?}"));
        self.drain_farm(farm);
        true
    }

    fn work_first(&mut self, farm: usize) -> bool {
        let waits = self.farms[farm].work.values().any(|work| *work != Work::Asked);
        waits && {
            self.random.next();
            true
        }
    }

    fn drain_farm(&mut self, farm: usize) {
        let node = &mut self.farms[farm];
        let Some(machine) = &mut node.machine else { return };
        let mut events = Vec::new();
        while let Some(event) = machine.poll_event() {
            events.push(event);
        }
        while let Some(write) = machine.poll_write() {
            node.unsynced.push_back(write);
        }
        while let Some((router, message)) = machine.poll_send() {
            let router = names().routers.iter().position(|name| *name == router).unwrap();
            if let Some(session) = node.streams.get(&router) {
                self.network.send(*session, Ends { router, farm }, Letter::ToRouter(message));
            }
        }
        for event in events {
            node.take_event(event);
        }
    }

    fn deliver(&mut self) -> bool {
        let Some((ends, letter)) = self.network.deliver(&mut self.random) else { return false };
        let now = self.now();
        self.say(|| format!("{ends:?}: {}", describe_letter(&letter)));
        match letter {
            Letter::ToFarm(message) => {
                if let Some(machine) = &mut self.farms[ends.farm].machine {
                    machine.handle_message(&names().routers[ends.router], message, now);
                    self.drain_farm(ends.farm);
                }
            }
            Letter::ToRouter(message) => {
                if let Some(owner) = &mut self.routers[ends.router].owner {
                    owner.handle_message(&names().farms[ends.farm], message, now);
                    self.drain_router(ends.router);
                }
            }
        }
        true
    }

    fn trim(&mut self) -> bool {
        self.lanes.trim()
    }

    // Peace.

    fn make_peace(&mut self) {
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
    fn step_in_peace(&mut self) -> bool {
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

    fn judge(&mut self) -> Result<(), Fault> {
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

impl Plan {
    fn new(random: &mut Random, duels_only: bool) -> Self {
        let limits = OwnerLimits {
            farm_lost_seconds: random.between(5, 60) as u64,
            lease_seconds_max: random.between(2, 20) as u64,
            checkpoint_records: random.between(4, 60) as u64,
            checkpoint_seconds: random.between(1, 30) as u64,
            piece_bytes_max: random.between(50, 2_000),
            // Time leaps here, and a lane is read late: that alone says nothing of the lane.
            marker_wait_seconds: 1_000_000,
            ..OwnerLimits::default()
        };
        let steps = random.between(200, 2_400);
        // Half of the worlds are duels: one farm, and two routers that take over from each other all the time.
        let duel = duels_only || random.chance(500);
        let usual_ills = if duel { [4, 5, 1, 2, 1, 4, 5] } else { [3, 5, 2, 3, 2, 3, 3] };
        Plan {
            deliveries: random.between(1, 4 + steps / 20),
            farms: if duel { 1 } else { random.between(1, 3) },
            steps,
            open_max: random.between(1, 6),
            faults: if duel { random.between(30, 200) } else { random.between(3, 150) } as u32,
            crashes: random.between(0, 1_000) as u32,
            disks: if random.chance(300) { 300 } else { 0 },
            wild: random.chance(300),
            weights: [1, 5, 6, 4, 6, 9, 4, 8, 2].map(|usual| random.between(1, 2 * usual)),
            ills: usual_ills.map(|usual| random.between(1, 2 * usual)),
            limits,
        }
    }
}

fn pick(weights: &[usize], random: &mut Random) -> usize {
    let mut left = random.below(weights.iter().sum());
    for (index, weight) in weights.iter().enumerate() {
        if left < *weight {
            return index;
        }
        left -= weight;
    }
    0
}

fn to_offer(ready: &Ready, farm: usize, resend: bool, now: Now) -> Offer {
    Offer {
        place: ready.place(),
        delivery: ready.delivery(),
        attempt: ready.used(),
        expires: now.utc.plus_ms(3_600_000),
        on_uncertain: if resend { OnUncertain::Resend } else { OnUncertain::Keep },
        envelope: Bytes::from_static(b"envelope"),
        farm: names().farms[farm].clone(),
        link: names().link.clone(),
        token: Token(1),
    }
}

fn describe(kind: &Kind) -> String {
    let id = |delivery: &[u8]| DeliveryId::from_bytes(delivery).map_or(0, |id| id.message.0);
    match kind {
        Kind::Marker(marker) => format!("marker of {}", marker.router),
        Kind::Grant(g) => format!("grant {}/{} to {}, epoch {}", id(&g.delivery), g.attempt, g.farm, g.epoch),
        Kind::Released(r) => format!("released {}/{}, epoch {}: {}", id(&r.delivery), r.attempt, r.epoch, r.reason),
        Kind::Outcome(o) => format!("outcome {}/{}: {:?}", id(&o.delivery), o.attempt, o.outcome.kind()),
        Kind::Settled(s) => format!("settled {}, epoch {}", id(&s.delivery), s.epoch),
        Kind::Checkpoint(c) => {
            format!("checkpoint {} of {}, covers {}, epoch {}", c.piece, c.pieces, c.covers, c.epoch)
        }
    }
}

fn describe_letter(letter: &Letter) -> String {
    match letter {
        Letter::ToFarm(message) => format!("{message:?}"),
        Letter::ToRouter(FarmMessage::Answer { epoch, session, journal, .. }) => {
            let named: Vec<String> = journal.iter().map(|(a, state)| format!("{a:?} {state:?}")).collect();
            format!("answer to epoch {epoch} in session {session}: {}", named.join(", "))
        }
        Letter::ToRouter(message) => format!("{message:?}"),
    }
}
