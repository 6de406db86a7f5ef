//! The task of one partition of a route: reads its lanes, writes its steps, tells its farms. Knows I/O; the decisions are
//! the desk's. A life ends with a failure, a panic or a newer owner; then another begins.

mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bus, BusError, Group, Read};
use lease::message::RouterMessage;
use lease::owner::OwnerStart;
use lease::record::Queue;
use lease::{FarmMessage, LaneId, Now, PartitionId};
use model::{FarmName, Lane, RouteId};
use runtime::stop::Panicked;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::state::{Event, State};
use super::backlog::Want;
use super::credit::Credits;
use super::desk::{Desk, DeskStart, DeskTools, Pace};
use super::hub::Hub;
use super::lanes::{self, Reader};
use super::load::{Health, RouteLoad};
use super::mover::Mover;
use super::seats::Seat;
use super::session::{Attachment, Command, partition_of};

/// Deliveries fetched at a time.
const FETCH_MAX: usize = 512;
/// Batches of words taken in at a time.
const COMMANDS_BATCH_MAX: usize = 64;
/// How often a route looks around when nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// How often loads are swept.
const SWEEP: Duration = Duration::from_secs(5);
/// Progress alone is written this often.
const REST: Duration = Duration::from_millis(500);
/// A life that lasted so long was a good one: the next pause is short again.
const GOOD_LIFE: Duration = Duration::from_secs(60);
/// How long a route whose share is taken lets farms give back or finish what they have. The next owner asks them anyway;
/// what is back by then is out of its way.
const HANDOVER_MAX: Duration = Duration::from_secs(3);
/// How long a route that was refused as another has its share waits for the share to be taken. If it is not, it was given
/// back meanwhile.
const TAKEN_MAX: Duration = Duration::from_secs(15);

type Fetching = JoinHandle<Result<Result<(Want, Vec<Read>), BusError>, Panicked>>;
type Ending = JoinHandle<Result<Result<Vec<(Queue, Vec<Read>)>, BusError>, Panicked>>;

/// Why a life ended.
#[derive(Debug, thiserror::Error)]
enum LifeError {
    #[error("cannot open the lanes")]
    Open(#[source] BusError),
    #[error("cannot read a lane")]
    Read(#[source] BusError),
    #[error("cannot write a step")]
    Write(#[source] BusError),
    #[error("a task of it panicked")]
    Panicked(#[from] Panicked),
    #[error("another owner took over, or a person is needed")]
    Over,
}

/// How a life ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// The process stops.
    Stopped,
    /// The share went to another router.
    Taken,
}

impl LifeError {
    /// Whether another router has the share: its lanes refused this one's step, whole.
    fn is_disowned(&self) -> bool {
        matches!(self, LifeError::Write(BusError::NotOwner { .. }))
    }
}

/// One partition of a route.
pub(super) struct RouteTask<B> {
    hub: Arc<Hub<B>>,
    route: RouteId,
    partition: u32,
    seat: Seat,
    state: Arc<tokio::sync::Mutex<State>>,
}

impl<B: Bus> RouteTask<B> {
    pub(super) fn new(
        hub: Arc<Hub<B>>,
        route: RouteId,
        partition: u32,
        seat: Seat,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let state = State {
            commands,
            attachments: BTreeMap::new(),
            credits: Credits::default(),
            tokens_shown: 0,
            writing: None,
        };
        RouteTask { hub, route, partition, seat, state: Arc::new(tokio::sync::Mutex::new(state)) }
    }

    /// Lives whenever the share is this process's, until the process stops. What goes wrong costs this route a pause, and
    /// nobody else anything.
    pub(super) async fn run(mut self) {
        let mut backoff = control::Backoff::new(Duration::from_millis(100), Duration::from_secs(15));
        loop {
            if !self.wait().await {
                return;
            }
            if !self.seat.begin() {
                continue;
            }
            let began = Instant::now();
            let (hub, route, state) = (self.hub.clone(), self.route.clone(), self.state.clone());
            let life = live(hub, route, self.partition, self.seat.watch(), state);
            let ended = self.hub.stop.spawn("dispatch-route", life).await;
            self.seat.end();
            let mut pause = Duration::ZERO;
            match ended {
                Ok(Ok(Ok(Ended::Stopped))) | Err(_) => return,
                Ok(Ok(Ok(Ended::Taken))) => continue,
                Ok(Ok(Err(error))) if error.is_disowned() => {
                    tracing::info!(route = %self.route, reason = %error, "a route's share went to another router");
                    pause = TAKEN_MAX;
                }
                Ok(Ok(Err(error))) => self.say(&error),
                // Counted and logged by the one who caught it.
                Ok(Err(Panicked { .. })) => {}
            }
            if pause.is_zero() {
                self.hub.metrics.restarts.increment();
                if began.elapsed() > GOOD_LIFE {
                    backoff.reset();
                }
                pause = backoff.wait();
            }
            if self.hub.stop.has_begun() || !self.pause(pause).await {
                return;
            }
        }
    }

    /// Waits until the share is this process's, and keeps up with who is attached. Whoever owns the route elsewhere needs
    /// the tokens. False when the process stops.
    async fn wait(&mut self) -> bool {
        if self.seat.is_given() {
            return !self.hub.stop.has_begun();
        }
        let mut state = self.state.lock().await;
        state.rest(&self.route);
        // Whoever takes it over here, one day, begins anew.
        self.hub.loads.route(&self.route).set_health(Health::Unknown);
        loop {
            tokio::select! {
                biased;
                () = self.hub.stop.begun() => return false,
                () = self.seat.until(true) => return true,
                command = state.commands.recv() => match command {
                    Some(command) => {
                        drop(state.apply(command));
                        state.give_up_tokens();
                    }
                    None => return false,
                },
            }
        }
    }

    fn say(&self, error: &LifeError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(route = %self.route, %error, cause, "a route's dispatcher failed and starts again");
    }

    /// Waits between two lives, and keeps up with who is attached. Words are lost; farms repeat them when asked. False when
    /// the process stops.
    async fn pause(&mut self, wait: Duration) -> bool {
        let mut state = self.state.lock().await;
        let until = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                () = self.seat.until(false) => return true,
                () = self.hub.stop.begun() => return false,
                command = state.commands.recv() => match command {
                    Some(command) => drop(state.apply(command)),
                    None => return false,
                },
            }
        }
    }
}

/// A life: from taking over to a failure, or until the share is taken or the process stops.
async fn live<B: Bus>(
    hub: Arc<Hub<B>>,
    route: RouteId,
    partition: u32,
    given: watch::Receiver<bool>,
    state: Arc<tokio::sync::Mutex<State>>,
) -> Result<Ended, LifeError> {
    let mut state = state.lock().await;
    if let Some(writing) = state.writing.take() {
        // Whether it landed is seen in the lanes.
        let _ = writing.await;
    }
    let start = open(&hub, &route, partition).await.map_err(LifeError::Open)?;
    let State { attachments, credits, .. } = &mut *state;
    credits.begin_anew(attachments.keys());
    Life::begin(hub, route, partition, start, attachments).run(&mut state, given).await
}

/// Opens the route's lanes and says where its owner begins.
async fn open<B: Bus>(hub: &Hub<B>, route: &RouteId, partition: u32) -> Result<DeskStart, BusError> {
    let [front, bulk, leases] = [Lane::Front(route.clone()), Lane::Bulk(route.clone()), Lane::Leases(route.clone())];
    let bus = &hub.bus;
    for lane in &super::SHARED_LANES {
        bus.create(lane).await?;
    }
    for lane in [&front, &bulk] {
        bus.create(lane).await?;
        bus.declare(lane, &[Group::OWNER]).await?;
    }
    let info = bus.create(&leases).await?;
    bus.declare(&leases, &[Group::OWNER, super::DERIVED]).await?;
    let owner = OwnerStart {
        partition: PartitionId { route: route.clone(), index: partition },
        lane: LaneId(info.id),
        router: hub.options.router.clone(),
        read_from: bus.watermark(Group::OWNER, &leases, partition).await?,
        derived_to: bus.watermark(super::DERIVED, &leases, partition).await?,
    };
    let front = bus.watermark(Group::OWNER, &front, partition).await?;
    let bulk = bus.watermark(Group::OWNER, &bulk, partition).await?;
    Ok(DeskStart { owner, front, bulk })
}

struct Life<B> {
    hub: Arc<Hub<B>>,
    load: RouteLoad,
    route: RouteId,
    partition: u32,
    desk: Desk,
    leases: Reader,
    /// Front and bulk; they begin once the partition is owned.
    queues: Option<[Reader; 2]>,
    starts: [i64; 2],
    fetching: Option<Fetching>,
    ending: Option<Ending>,
    mover: Mover,
    reported: Option<(u64, u64)>,
    next_tick: Instant,
    next_sweep: Instant,
    next_rest: Instant,
    draining: Option<Instant>,
}

impl<B: Bus> Life<B> {
    fn begin(
        hub: Arc<Hub<B>>,
        route: RouteId,
        partition: u32,
        start: DeskStart,
        attachments: &BTreeMap<FarmName, Attachment>,
    ) -> Self {
        let now = now(&hub);
        let starts = [start.front, start.bulk];
        let leases = lanes::follow(&hub, Lane::Leases(route.clone()), partition, start.owner.read_from);
        let tools = DeskTools {
            loads: hub.loads.clone(),
            directory: hub.directory(),
            metrics: hub.metrics.clone(),
            restored_at: hub.options.restored_at,
        };
        let mut desk = Desk::new(start, hub.options.owner, &rand::random::<[u8; 16]>(), tools);
        for (farm, attachment) in attachments {
            desk.opened(farm, attachment.incarnation, attachment.session, now);
        }
        let load = hub.loads.route(&route);
        Life {
            hub,
            load,
            route,
            partition,
            desk,
            leases,
            queues: None,
            starts,
            fetching: None,
            ending: None,
            mover: Mover::new(now.instant),
            reported: None,
            next_tick: now.instant,
            next_sweep: now.instant + SWEEP,
            next_rest: now.instant + REST,
            draining: None,
        }
    }

    async fn run(mut self, state: &mut State, mut given: watch::Receiver<bool>) -> Result<Ended, LifeError> {
        let mut directories = self.hub.directories();
        let mut followed = true;
        let mut commands = Vec::new();
        loop {
            if self.turn(state)? {
                return Ok(if self.hub.stop.has_begun() { Ended::Stopped } else { Ended::Taken });
            }
            let wake = self.desk.wake_at().map_or(self.next_tick, |at| at.min(self.next_tick));
            let [front_has_room, bulk_has_room] =
                [Queue::Front, Queue::Bulk].map(|queue| self.desk.backlog.has_room(queue));
            let [front, bulk] = match &mut self.queues {
                Some([front, bulk]) => [Some(front), Some(bulk)],
                None => [None, None],
            };
            tokio::select! {
                count = state.commands.recv_many(&mut commands, COMMANDS_BATCH_MAX) => {
                    if count == 0 {
                        return Ok(Ended::Stopped);
                    }
                    for command in commands.drain(..) {
                        let events = state.apply(command);
                        self.take_in(state, events);
                    }
                }
                reads = self.leases.next() => self.desk.read_leases(reads.map_err(LifeError::Read)?, now(&self.hub)),
                reads = lanes::next(front), if front_has_room => {
                    self.desk.read_queue(Queue::Front, reads.map_err(LifeError::Read)?, now(&self.hub));
                }
                reads = lanes::next(bulk), if bulk_has_room => {
                    self.desk.read_queue(Queue::Bulk, reads.map_err(LifeError::Read)?, now(&self.hub));
                }
                written = lanes::join(&mut state.writing) => {
                    let step = written?.map_err(LifeError::Write)?;
                    self.desk.wrote(step);
                    self.next_rest = Instant::now() + REST;
                }
                fetched = lanes::join(&mut self.fetching) => {
                    let (want, reads) = fetched?.map_err(LifeError::Read)?;
                    self.desk.fetched(&want, reads);
                }
                fetched = lanes::join(&mut self.ending) => {
                    for (queue, reads) in fetched?.map_err(LifeError::Read)? {
                        self.desk.fetched_ending(queue, reads, now(&self.hub));
                    }
                }
                looked = self.mover.next() => {
                    let (queue, reads) = looked?.map_err(LifeError::Read)?;
                    self.desk.move_away(queue, reads, now(&self.hub));
                }
                changed = directories.changed(), if followed => {
                    followed = changed.is_ok();
                    self.desk.set_directory(directories.borrow_and_update().clone());
                }
                () = self.hub.stop.begun(), if self.draining.is_none() => {
                    self.begin_drain(state, Duration::from_millis(self.hub.options.drain_ms_max));
                }
                _ = given.wait_for(|given| !given), if self.draining.is_none() => self.begin_drain(state, HANDOVER_MAX),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Everything that can be done without waiting. Whether the partition is done with: the share is taken, or the process
    /// stops.
    fn turn(&mut self, state: &mut State) -> Result<bool, LifeError> {
        let now = now(&self.hub);
        let pace = if self.draining.is_none() { Pace::Open } else { Pace::Draining };
        self.desk.work(&mut state.credits, pace, now);
        for (farm, messages) in self.desk.sends(&mut state.credits) {
            if let Some(attachment) = state.attachments.get(&farm) {
                attachment.send(messages);
            }
        }
        self.read_queues();
        self.write(state, now);
        self.fetch();
        self.end(now);
        if now.instant >= self.next_tick {
            self.next_tick = now.instant + TICK;
            self.look_around(state, now);
        }
        self.report_first(state);
        if self.desk.is_over() && state.writing.is_none() {
            return Err(LifeError::Over);
        }
        Ok(self.is_drained(state, now))
    }

    fn take_in(&mut self, state: &mut State, events: Vec<Event>) {
        let now = now(&self.hub);
        for event in events {
            match event {
                Event::Opened(farm, attachment) => {
                    self.reported = None;
                    self.desk.opened(&farm, attachment.incarnation, attachment.session, now);
                }
                Event::Closed(farm) => self.desk.closed(&farm, now),
                Event::Word(farm, word) => {
                    let here = partition_of(&word).is_some_and(|partition| partition.index == self.partition);
                    if here {
                        // Once it has answered, leases may flow; if this answer does not count, an offer says so.
                        if matches!(word, FarmMessage::Answer { .. }) {
                            state.credits.unblock(&farm);
                        }
                        self.desk.hear(&farm, word, now);
                    } else {
                        self.hub.metrics.refused.increment();
                    }
                }
            }
        }
    }

    fn read_queues(&mut self) {
        if self.queues.is_some() || !self.desk.is_owner() {
            return;
        }
        let follow = |lane, from| lanes::follow(&self.hub, lane, self.partition, from);
        let front = follow(Lane::Front(self.route.clone()), self.starts[0]);
        let bulk = follow(Lane::Bulk(self.route.clone()), self.starts[1]);
        self.queues = Some([front, bulk]);
    }

    /// One step at a time: what comes meanwhile goes into the next, which is how steps become large when there is much.
    fn write(&mut self, state: &mut State, now: Now) {
        if state.writing.is_some() {
            return;
        }
        let rested = now.instant >= self.next_rest;
        let Some(mut step) = self.desk.step().or_else(|| if rested { self.desk.rest() } else { None }) else { return };
        let consumed = step.consumed(&self.route, self.partition);
        let appended = std::mem::take(&mut step.appended);
        let bus = self.hub.bus.clone();
        let write = async move { lanes::commit(&bus, consumed, appended).await.map(|()| step) };
        state.writing = Some(self.hub.stop.spawn("dispatch-write", write));
    }

    fn fetch(&mut self) {
        if self.fetching.is_some() {
            return;
        }
        let Some(want) = self.desk.backlog.want(FETCH_MAX) else { return };
        let (bus, partition) = (self.hub.bus.clone(), self.partition);
        let lane = lane_of(&self.route, want.queue);
        let fetch = async move {
            let reads = lanes::fetch(&bus, &lane, partition, want.offsets.clone()).await?;
            Ok((want, reads))
        };
        self.fetching = Some(self.hub.stop.spawn("dispatch-fetch", fetch));
    }

    fn end(&mut self, now: Now) {
        if self.ending.is_some() || !self.desk.any_ending(now) {
            return;
        }
        let places = self.desk.ending_places(now);
        if places.is_empty() {
            return;
        }
        let (bus, partition) = (self.hub.bus.clone(), self.partition);
        let lanes = [Queue::Front, Queue::Bulk].map(|queue| {
            let offsets = places.iter().filter(|place| place.queue == queue).map(|place| place.offset);
            (queue, lane_of(&self.route, queue), offsets.collect::<Vec<_>>())
        });
        let fetch = async move {
            let mut fetched = Vec::new();
            for (queue, lane, offsets) in lanes {
                fetched.push((queue, lanes::fetch(&bus, &lane, partition, offsets).await?));
            }
            Ok(fetched)
        };
        self.ending = Some(self.hub.stop.spawn("dispatch-end", fetch));
    }

    /// What is done every tick: health, moves, idle tokens, sweeps.
    fn look_around(&mut self, state: &mut State, now: Now) {
        let up = state.credits.any_up();
        let patience = Duration::from_secs(self.hub.options.route_down_seconds_max);
        let down_for = self.mover.down_for(up, now.instant);
        self.load.set_health(self.mover.health(down_for, patience));
        let down = down_for.is_some_and(|time| time >= patience);
        if down && self.desk.is_owner() && self.draining.is_none() {
            self.desk.move_returned(now);
            let ends = [Queue::Front, Queue::Bulk].map(|queue| (self.desk.watermark(queue), self.desk.seen_to(queue)));
            self.mover.go(&self.hub, &self.route, self.partition, ends);
        }
        if now.instant >= self.next_sweep {
            self.next_sweep = now.instant + SWEEP;
            self.load.sweep(now.instant);
        }
        self.report(state);
        let held = i64::try_from(state.credits.held()).unwrap_or(i64::MAX);
        self.hub.metrics.tokens.add(held - state.tokens_shown);
        state.tokens_shown = held;
    }

    /// Tells farms what waits, if that changed since they were told.
    fn report(&mut self, state: &mut State) {
        let backlog = self.load.backlog();
        if self.reported != Some(backlog) {
            self.reported = Some(backlog);
            let (segments, weight) = backlog;
            let message = RouterMessage::Backlog { route: self.route.clone(), segments, weight };
            state.attachments.values().for_each(|attachment| attachment.send(vec![message.clone()]));
        }
    }

    /// The first thing that waits is told at once, and who has just attached is told; the rest is told every tick.
    fn report_first(&mut self, state: &mut State) {
        let waits = self.desk.backlog.tenants() > 0;
        // An idle router returns its tokens at once (lanes, 8); where there is no other, nobody is waiting for them.
        if !waits && state.credits.held() > 0 && (self.hub.has_peers() || self.draining.is_some()) {
            state.give_up_tokens();
            // The farm takes it for a word that nothing waits; what comes next is told at once.
            self.reported = Some((0, 0));
        }
        if self.reported.is_none_or(|(segments, _)| segments == 0 && waits) {
            self.report(state);
        }
    }

    fn begin_drain(&mut self, state: &mut State, max: Duration) {
        self.draining = Some(Instant::now() + max);
        self.desk.cancel_all();
        state.give_up_tokens();
    }

    /// Nothing is at farms that could still tell of it and all is written, or it takes too long: the next start finds everything in the lanes.
    fn is_drained(&self, state: &State, now: Now) -> bool {
        let Some(until) = self.draining else { return false };
        let at_farms = !state.attachments.is_empty() && (self.desk.any_open() || state.credits.any_lent());
        let at_rest = state.writing.is_none() && self.desk.is_told() && self.desk.rest().is_none();
        let done = at_rest && !at_farms;
        done || now.instant >= until
    }
}

pub(super) fn lane_of(route: &RouteId, queue: Queue) -> Lane {
    match queue {
        Queue::Front => Lane::Front(route.clone()),
        Queue::Bulk => Lane::Bulk(route.clone()),
    }
}

fn now<B>(hub: &Hub<B>) -> Now {
    Now { instant: Instant::now(), utc: hub.clock.now() }
}
