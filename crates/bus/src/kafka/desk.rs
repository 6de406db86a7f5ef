//! How commits of many callers become transactions. Knows what waits, what is under way, and whose turn it is.
//!
//! A few producers take turns, the one that rested longest first, since the brokers need a while after a transaction before
//! they take the next of the same producer. A turn takes all that waits; but two turns never work on one group's watermark
//! in one partition, whose order would be lost.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use super::append::spawn;
use super::block::{encode, first_of};
use super::client;
use super::gate::Bounds;
use super::groups::{Groups, Stand};
use super::lane::Partition;
use super::options::Options;
use super::sync::lock;
use super::transaction::{Brood, Failed, Transactor, Work, is_fenced};
use crate::marks::Undo;
use crate::{Acks, BusError, Group, Position};

/// Commits that may wait: each consumer has one at a time, so this is never met but by a fault.
const REQUESTS_MAX: usize = 65_536;
/// Entries one transaction takes (one larger commit has one of its own).
const TURN_ENTRIES_MAX: usize = 32_768;
/// Commits one transaction takes.
const TURN_REQUESTS_MAX: usize = 1_024;
/// How often a commit is tried again because its member's time in the group has moved on.
const STALE_TRIES_MAX: u32 = 20;
/// Rest between these: the member hears of its new time with its next heartbeat.
const STALE_REST: Duration = Duration::from_millis(100);

/// What one call wants.
pub(super) struct Request {
    pub(super) entries: Vec<(Arc<Partition>, Bytes)>,
    pub(super) acks: Vec<(Arc<Partition>, Group, Acked)>,
    pub(super) answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
}

/// Acknowledgements that were checked.
pub(super) enum Acked {
    UpTo(i64),
    /// Stretches: each entry with what stands before it and holds nothing.
    Stretches(Vec<(i64, i64)>),
}

type Key = (Group, Arc<str>, u32);

fn key(partition: &Partition, group: Group) -> Key {
    (group, Arc::clone(&partition.topic), partition.index)
}

impl Request {
    fn keys(&self) -> impl Iterator<Item = Key> {
        self.acks.iter().map(|(partition, group, _)| key(partition, *group))
    }

    /// The one group whose watermarks this moves, if that is all it does.
    fn alone(&self) -> Option<Group> {
        let (_, first, _) = self.acks.first()?;
        let alone = self.entries.is_empty() && self.acks.iter().all(|(_, group, _)| group == first);
        alone.then_some(*first)
    }

    fn answer(self, told: Result<Vec<Position>, BusError>) {
        drop(self.answer.send(told)); // nobody waits any more: nothing to tell
    }
}

/// Where commits wait for their turn.
pub(super) struct Desk {
    waiting: Mutex<Waiting>,
    turns: Vec<Condvar>,
    ended: Condvar,
    options: Arc<Options>,
    groups: Arc<Groups>,
    bounds: Bounds,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    busy: HashSet<Key>,
    /// Producers that rest, the longest rested first.
    resting: VecDeque<usize>,
    called: Vec<bool>,
    closed: bool,
    /// Producers that have not ended.
    open: usize,
}

impl Desk {
    /// Starts the producers: what a predecessor of this process left open is ended before this returns.
    pub(super) async fn start(
        options: Arc<Options>,
        groups: Arc<Groups>,
        bounds: Bounds,
    ) -> Result<Arc<Self>, BusError> {
        let slots = options.commit_slots.max(1);
        let waiting = Waiting { called: vec![false; slots], open: slots, ..Waiting::default() };
        let turns = (0..slots).map(|_| Condvar::new()).collect();
        let desk =
            Arc::new(Desk { waiting: Mutex::new(waiting), turns, ended: Condvar::new(), options, groups, bounds });
        let (mut ready, brood) = (Vec::new(), Arc::new(Brood::default()));
        for slot in 0..slots {
            let (told, telling) = oneshot::channel();
            let (options, worked, brood) = (Arc::clone(&desk.options), Arc::clone(&desk), Arc::clone(&brood));
            let work = move || {
                let mut transactor = Transactor::new(options, slot, brood);
                let prepared = transactor.prepare();
                let failed = prepared.is_err();
                drop(told.send(prepared)); // opening was given up
                if !failed {
                    worked.work(slot, &mut transactor);
                }
                drop(transactor);
                lock(&worked.waiting).open -= 1;
                worked.ended.notify_all();
            };
            spawn("kafka-commit", &desk.options, work)?;
            ready.push(telling);
        }
        for telling in ready {
            let prepared = telling.await.unwrap_or(Err(KafkaError::Canceled));
            if let Err(error) = prepared {
                desk.close();
                return Err(BusError::Open(client::engine("prepare transactions", &error)));
            }
        }
        Ok(desk)
    }

    /// Puts a request on the desk.
    pub(super) fn put(&self, request: Request) -> Result<(), BusError> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(BusError::Closed);
        }
        if waiting.requests.len() >= REQUESTS_MAX {
            let said = "too many commits wait".to_owned();
            return Err(BusError::Write(crate::EngineError::Kafka { doing: "commit", said }));
        }
        waiting.requests.push_back(request);
        self.call(&mut waiting);
        Ok(())
    }

    /// Wakes whoever rested longest.
    fn call(&self, waiting: &mut Waiting) {
        if let Some(slot) = waiting.resting.pop_front() {
            waiting.called[slot] = true;
            self.turns[slot].notify_one();
        }
    }

    /// What is on the desk is still done, then the producers end.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.turns.iter().for_each(Condvar::notify_one);
    }

    /// Waits, once closed, until the last producer has ended. Blocks.
    pub(super) fn wait_closed(&self) {
        let waiting = lock(&self.waiting);
        drop(self.ended.wait_while(waiting, |waiting| waiting.open > 0).unwrap_or_else(PoisonError::into_inner));
    }

    fn work(&self, slot: usize, transactor: &mut Transactor) {
        while let Some(turn) = self.next(slot) {
            let keys: Vec<Key> = turn.iter().flat_map(Request::keys).collect();
            Turn { desk: self, transactor }.run(turn);
            let mut waiting = lock(&self.waiting);
            waiting.busy.retain(|key| !keys.contains(key));
            waiting.resting.push_back(slot);
            if waiting.closed {
                self.turns.iter().for_each(Condvar::notify_one);
            } else if !waiting.requests.is_empty() {
                self.call(&mut waiting);
            }
        }
    }

    /// Waits for this producer's turn, and takes what may go with it. `None` at the end.
    fn next(&self, slot: usize) -> Option<Vec<Request>> {
        let mut waiting = lock(&self.waiting);
        if !waiting.resting.contains(&slot) && !waiting.called[slot] {
            waiting.resting.push_back(slot);
        }
        loop {
            if waiting.called[slot] || waiting.closed {
                waiting.called[slot] = false;
                let turn = waiting.take();
                if !turn.is_empty() {
                    waiting.resting.retain(|resting| *resting != slot);
                    return Some(turn);
                }
                if waiting.closed && waiting.requests.is_empty() {
                    return None;
                }
                if !waiting.resting.contains(&slot) {
                    waiting.resting.push_back(slot);
                }
            }
            waiting = self.turns[slot].wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Waiting {
    /// Takes, in order, what one turn may do: commits of one kind that nobody else's turn is in the way of.
    fn take(&mut self) -> Vec<Request> {
        let (mut turn, mut entries): (Vec<Request>, usize) = (Vec::new(), 0);
        let mut held: HashSet<Key> = HashSet::new();
        let mut taken: HashSet<Key> = HashSet::new();
        let mut kind: Option<Option<Group>> = None;
        let mut left = VecDeque::new();
        while let Some(request) = self.requests.pop_front() {
            let alone = request.alone();
            // A watermark that moves by itself may go along with others, but is no reason for a transaction.
            let fits = match kind {
                None => true,
                Some(None) => true,
                Some(Some(group)) => alone == Some(group),
            } && turn.len() < TURN_REQUESTS_MAX
                && (turn.is_empty() || entries + request.entries.len() <= TURN_ENTRIES_MAX);
            let free = request.keys().all(|key| !self.busy.contains(&key) && !held.contains(&key));
            if fits && free {
                kind.get_or_insert(alone);
                entries += request.entries.len();
                taken.extend(request.keys());
                turn.push(request);
            } else {
                held.extend(request.keys());
                left.push_back(request);
            }
        }
        self.requests = left;
        self.busy.extend(taken);
        turn
    }
}

/// What one producer does in one turn.
struct Turn<'a> {
    desk: &'a Desk,
    transactor: &'a mut Transactor,
}

/// How an attempt ended, if not well.
enum Refused {
    /// The brokers don't take this group's member for what it was.
    Fenced(Group, KafkaError),
    /// Nothing happened.
    Nothing(KafkaError),
    /// Nobody knows.
    Unknown(KafkaError),
}

impl Turn<'_> {
    fn run(&mut self, mut turn: Vec<Request>) {
        let mut stale = 0;
        loop {
            turn = self.refuse_strangers(turn);
            if turn.is_empty() {
                return;
            }
            let mut undo = Vec::new();
            match self.attempt(&turn, &mut undo) {
                Ok(positions) => return settle(turn, undo, positions),
                Err(Refused::Fenced(group, error)) => {
                    take_back(undo);
                    if stale < STALE_TRIES_MAX {
                        // Its member may only have to hear what time it is; if it lost what this names, it will hear that.
                        stale += 1;
                        std::thread::sleep(STALE_REST);
                    } else {
                        tracing::warn!(group = group.name(), %error, "a commit was fenced");
                        turn = self.refuse(turn, group);
                    }
                }
                Err(Refused::Nothing(error)) => {
                    take_back(undo);
                    tracing::warn!(%error, commits = turn.len(), "a transaction failed");
                    return turn.into_iter().for_each(|request| request.answer(Err(write_failed(&error))));
                }
                Err(Refused::Unknown(error)) => {
                    // What the brokers have is asked for when it is next needed.
                    undo.iter().for_each(|(partition, group, _)| partition.forget_marks(*group));
                    tracing::error!(%error, commits = turn.len(), "how a transaction ended is not known");
                    return turn.into_iter().for_each(|request| request.answer(Err(write_failed(&error))));
                }
            }
        }
    }

    /// Refuses commits for partitions that this process joined for and does not have.
    fn refuse_strangers(&self, turn: Vec<Request>) -> Vec<Request> {
        let mut kept = Vec::with_capacity(turn.len());
        for request in turn {
            let stranger =
                request.acks.iter().find(|(partition, group, _)| !self.desk.groups.allows(*group, partition));
            match stranger.map(|(partition, group, _)| not_owner(partition, *group)) {
                Some(error) => request.answer(Err(error)),
                None => kept.push(request),
            }
        }
        kept
    }

    fn refuse(&self, turn: Vec<Request>, group: Group) -> Vec<Request> {
        let mut kept = Vec::with_capacity(turn.len());
        for request in turn {
            let named = request.acks.iter().find(|(_, named, _)| *named == group);
            match named.map(|(partition, ..)| not_owner(partition, group)) {
                Some(error) => request.answer(Err(error)),
                None => kept.push(request),
            }
        }
        kept
    }

    fn attempt(
        &mut self,
        turn: &[Request],
        undo: &mut Vec<(Arc<Partition>, Group, Undo)>,
    ) -> Result<Vec<Vec<Position>>, Refused> {
        // Tickets come first, then what the member has, then what it does: a ticket that is stale is refused.
        let mut tickets = HashMap::new();
        for (_, group, _) in turn.iter().flat_map(|request| &request.acks) {
            if !tickets.contains_key(group) {
                let ticket = self.desk.groups.ticket(*group);
                let failed = |error: BusError| Refused::Nothing(KafkaError::ClientCreation(error.to_string()));
                tickets.insert(*group, ticket.map_err(failed)?);
            }
        }
        let strangers = turn.iter().flat_map(|request| &request.acks);
        for (partition, group, _) in strangers {
            if !self.desk.groups.allows(*group, partition) {
                return Err(Refused::Fenced(*group, KafkaError::Canceled));
            }
        }
        let mut stands = self.move_marks(turn, undo);
        let (blocks, places) = pack(turn, self.desk.bounds);
        if blocks.is_empty() && stands.is_empty() {
            return Ok(vec![Vec::new(); turn.len()]);
        }
        if blocks.is_empty() && stands.len() == 1 {
            let (group, stands) = stands.pop().expect("there is one");
            return match self.desk.groups.commit(group, &stands) {
                Ok(()) => Ok(vec![Vec::new(); turn.len()]),
                Err(error) if is_fenced(&error) => Err(Refused::Fenced(group, error)),
                Err(error) => Err(Refused::Unknown(error)),
            };
        }
        let offsets: Vec<_> = stands
            .into_iter()
            .filter_map(|(group, stands)| tickets.remove(&group).map(|ticket| (group, ticket, stands)))
            .collect();
        let work = Arc::new(Work { blocks, offsets });
        let records = match self.transactor.run(&work) {
            Ok(records) => records,
            Err(Failed::Fenced(group, error)) => return Err(Refused::Fenced(group, error)),
            Err(Failed::Aborted(error)) => return Err(Refused::Nothing(error)),
            Err(Failed::Unknown(error)) => return Err(Refused::Unknown(error)),
        };
        Ok(place(&work.blocks, &places, &records))
    }

    /// Takes the acknowledgements in, in order; the watermarks that moved, by group.
    fn move_marks(&self, turn: &[Request], undo: &mut Vec<(Arc<Partition>, Group, Undo)>) -> Vec<(Group, Vec<Stand>)> {
        let mut moved: HashMap<Group, HashMap<Key, Stand>> = HashMap::new();
        for (partition, group, acked) in turn.iter().flat_map(|request| &request.acks) {
            let (before, taken, watermark) = partition.with_marks(*group, |marks| {
                let before = marks.next();
                let taken = match acked {
                    Acked::UpTo(next) => marks.take(&Acks::UpTo(*next)),
                    Acked::Stretches(stretches) => marks.take_stretches(stretches.iter().copied()),
                };
                (before, taken, marks.next())
            });
            undo.push((Arc::clone(partition), *group, taken));
            // A group is declared by its first acknowledgement, even one that moves nothing. And only who names a group is
            // fenced by it: a member that lost its seat without hearing of it must not append on the group's behalf.
            if watermark > before || !partition.is_declared(*group) || self.desk.groups.is_joined(*group) {
                let stand = Stand { partition: Arc::clone(partition), watermark };
                moved.entry(*group).or_default().insert(key(partition, *group), stand);
            }
        }
        moved.into_iter().map(|(group, stands)| (group, stands.into_values().collect())).collect()
    }
}

/// Where a request's entries went: for each, the block and the index in it.
type Places = Vec<Vec<(usize, usize)>>;

/// Packs the entries of all requests, in order, into blocks.
fn pack(turn: &[Request], bounds: Bounds) -> (Vec<(Arc<Partition>, Bytes)>, Places) {
    struct Open {
        partition: Arc<Partition>,
        entries: Vec<Bytes>,
        bytes: usize,
    }
    let mut blocks: Vec<Open> = Vec::new();
    let mut open: HashMap<(Arc<str>, u32), usize> = HashMap::new();
    let mut places = Vec::with_capacity(turn.len());
    for request in turn {
        let mut own = Vec::with_capacity(request.entries.len());
        for (partition, payload) in &request.entries {
            let at = (Arc::clone(&partition.topic), partition.index);
            let fits =
                |block: &Open| block.entries.len() < bounds.entries && block.bytes + payload.len() <= bounds.bytes;
            let nth = match open.get(&at).copied().filter(|nth| fits(&blocks[*nth])) {
                Some(nth) => nth,
                None => {
                    blocks.push(Open { partition: Arc::clone(partition), entries: Vec::new(), bytes: 0 });
                    open.insert(at, blocks.len() - 1);
                    blocks.len() - 1
                }
            };
            own.push((nth, blocks[nth].entries.len()));
            blocks[nth].bytes += payload.len();
            blocks[nth].entries.push(payload.clone());
        }
        places.push(own);
    }
    (blocks.into_iter().map(|block| (block.partition, encode(block.entries))).collect(), places)
}

/// The positions of each request's entries, now that the blocks have their records.
fn place(blocks: &[(Arc<Partition>, Bytes)], places: &Places, records: &[i64]) -> Vec<Vec<Position>> {
    let mut counts = vec![0; blocks.len()];
    let position = |(nth, index): (usize, usize)| {
        let offset = first_of(records[nth]) + i64::try_from(index).expect("a block's entries are bounded");
        Position { partition: blocks[nth].0.index, offset }
    };
    for (nth, index) in places.iter().flatten() {
        counts[*nth] = counts[*nth].max(index + 1);
    }
    for (((partition, _), record), count) in blocks.iter().zip(records).zip(counts) {
        partition.wrote(*record, count, true);
    }
    places.iter().map(|own| own.iter().copied().map(position).collect()).collect()
}

fn settle(turn: Vec<Request>, undo: Vec<(Arc<Partition>, Group, Undo)>, positions: Vec<Vec<Position>>) {
    for (partition, group, _) in undo {
        partition.with_marks(group, crate::marks::Marks::settle);
        partition.declared(group);
    }
    for (request, positions) in turn.into_iter().zip(positions) {
        request.answer(Ok(positions));
    }
}

fn take_back(undo: Vec<(Arc<Partition>, Group, Undo)>) {
    for (partition, group, undo) in undo.into_iter().rev() {
        partition.with_marks(group, |marks| marks.undo(undo));
    }
}

fn not_owner(partition: &Partition, group: Group) -> BusError {
    BusError::NotOwner { group: group.name(), lane: partition.lane.clone(), partition: partition.index }
}

fn write_failed(error: &KafkaError) -> BusError {
    BusError::Write(client::engine("commit", error))
}
