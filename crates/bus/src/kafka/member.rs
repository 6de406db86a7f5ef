//! A process's seat in a group: one consumer that only joins, and reads nothing. Knows how Kafka hands partitions over.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use model::Lane;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::append::spawn;
use super::client::{self, Context};
use super::lane::Partition;
use super::options::{GroupProtocol, Options};
use super::sync::lock;
use crate::membership::MembershipEnd;
use crate::{BusError, Group, Membership, Share};

/// How long the member's thread waits for something to happen.
const POLL_MAX: Duration = Duration::from_millis(50);
/// How long a member that leaves waits until it has nothing any more.
const EMPTY_MAX: Duration = Duration::from_secs(5);
/// How long it then waits for the word of it to be out, before it closes.
const WORD_REST: Duration = Duration::from_millis(250);
/// Rest before a seat that is taken is tried again.
const SEAT_REST: Duration = Duration::from_millis(500);
/// A lane nobody has: a member that follows nothing follows this, and so keeps its seat.
const NOTHING: &str = "nothing";

/// The groups this process is a member of.
#[derive(Default)]
pub(super) struct Members {
    seats: Mutex<HashMap<Group, Arc<Member>>>,
    left: Condvar,
}

/// A seat.
pub(super) struct Member {
    pub(super) consumer: Arc<BaseConsumer<MemberContext>>,
    held: Arc<Held>,
}

/// What a member has.
struct Held {
    prefix: String,
    lanes: Mutex<Vec<Lane>>,
    shares: Mutex<BTreeSet<Share>>,
}

/// What hears of partitions that come and go.
#[derive(Clone)]
pub(super) struct MemberContext {
    context: Context,
    group: Group,
    held: Arc<Held>,
    runtime: Handle,
    /// Taken when the member leaves.
    end: Arc<Mutex<Option<Arc<MembershipEnd>>>>,
    /// Told of a partition before it is given: what is known of it from earlier is stale.
    given: Arc<dyn Fn(Group, u32) + Send + Sync>,
}

impl Member {
    /// Whether a commit for this partition is this member's to make: it has it, or one that goes with it.
    pub(super) fn has(&self, partition: &Partition) -> bool {
        let shares = lock(&self.held.shares);
        if lock(&self.held.lanes).contains(&partition.lane) {
            return shares.iter().any(|share| share.lane == partition.lane && share.partition == partition.index);
        }
        shares.iter().any(|share| share.partition == partition.index)
    }
}

impl Held {
    fn shares_of(&self, list: &TopicPartitionList) -> Vec<Share> {
        let share = |topic: &str, partition: i32| {
            let lane = Lane::from_name(topic.strip_prefix(&self.prefix)?.strip_prefix('.')?)?;
            Some(Share { lane, partition: u32::try_from(partition).ok()? })
        };
        list.elements().iter().filter_map(|element| share(element.topic(), element.partition())).collect()
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let told = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.gain(consumer, list),
            _ => self.lose(consumer, list),
        };
        if let Err(error) = told {
            tracing::error!(group = self.group.name(), %error, "a member could not follow its group");
        }
    }
}

impl MemberContext {
    fn end(&self) -> Option<Arc<MembershipEnd>> {
        lock(&self.end).clone()
    }

    fn gain(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> Result<(), KafkaError> {
        let shares = self.held.shares_of(list);
        shares.iter().for_each(|share| (self.given)(self.group, share.partition));
        lock(&self.held.shares).extend(shares.iter().cloned());
        // Nothing is read here: others read by offset.
        list.set_all_offsets(Offset::End)?;
        consumer.incremental_assign(list)?;
        consumer.pause(list)?;
        tracing::info!(group = self.group.name(), ?shares, "given");
        if let Some(end) = self.end() {
            self.runtime.block_on(end.give(shares));
        }
        Ok(())
    }

    /// Blocks until the work on what is lost has ended: only then do the brokers hear that it is free.
    fn lose(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), KafkaError> {
        let mut shares = self.held.shares_of(list);
        shares.retain(|share| lock(&self.held.shares).contains(share)); // each is taken once
        let gone = consumer.assignment_lost();
        let forget = || lock(&self.held.shares).retain(|share| !shares.contains(share));
        if gone {
            // Others may have it already: nothing is committed for it from here on.
            forget();
        }
        tracing::info!(group = self.group.name(), ?shares, gone, "taken");
        if let Some(end) = self.end()
            && !self.runtime.block_on(end.take(shares.clone()))
        {
            tracing::warn!(group = self.group.name(), ?shares, "work on what was taken has not ended; it is void");
        }
        forget();
        consumer.incremental_unassign(list)
    }
}

impl Members {
    pub(super) fn get(&self, group: Group) -> Option<Arc<Member>> {
        lock(&self.seats).get(&group).cloned()
    }

    fn put(&self, group: Group, member: Arc<Member>) {
        lock(&self.seats).insert(group, member);
    }

    fn remove(&self, group: Group) {
        lock(&self.seats).remove(&group);
        self.left.notify_all();
    }

    /// Waits until the last seat is empty, or for so long. Blocks.
    pub(super) fn wait_left(&self, patience: Duration) {
        let seats = lock(&self.seats);
        let waited = self.left.wait_timeout_while(seats, patience, |seats| !seats.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// What joining takes from the engine.
pub(super) struct Joining {
    pub(super) group: Group,
    pub(super) lanes: Vec<Lane>,
    pub(super) closed: watch::Receiver<bool>,
    /// Told of a partition before it is given.
    pub(super) given: Arc<dyn Fn(Group, u32) + Send + Sync>,
}

/// Makes this process a member of a group.
pub(super) fn join(
    groups: &Arc<super::groups::Groups>,
    options: &Arc<Options>,
    joining: Joining,
) -> Result<Membership, BusError> {
    let Joining { group, lanes, closed, given } = joining;
    let (membership, end) = Membership::new(lanes.clone());
    let wanted = end.lanes.clone();
    let held = Arc::new(Held { prefix: options.prefix.clone(), lanes: Mutex::default(), shares: Mutex::default() });
    let context = MemberContext {
        context: Context::default(),
        group,
        held: Arc::clone(&held),
        runtime: Handle::current(),
        end: Arc::new(Mutex::new(Some(Arc::new(end)))),
        given,
    };
    let mut members = lock(&groups.members.seats);
    if members.contains_key(&group) {
        return Err(BusError::Joined { group: group.name() });
    }
    let consumer = Arc::new(client::create(options, &client::member(options, group.name()), context)?);
    let member = Arc::new(Member { consumer, held });
    let seat = Seat {
        member: Arc::clone(&member),
        groups: Arc::downgrade(groups),
        options: Arc::clone(options),
        group,
        wanted,
        closed,
        left: AtomicBool::new(false),
    };
    spawn("kafka-member", options, move || seat.keep())?;
    members.insert(group, member);
    drop(members);
    Ok(membership)
}

/// The thread that keeps a seat.
struct Seat {
    member: Arc<Member>,
    groups: Weak<super::groups::Groups>,
    options: Arc<Options>,
    group: Group,
    wanted: watch::Receiver<Vec<Lane>>,
    closed: watch::Receiver<bool>,
    left: AtomicBool,
}

impl Seat {
    fn keep(mut self) {
        self.follow();
        while !*self.closed.borrow() {
            self.poll();
            if self.member.consumer.client().fatal_error().is_some() {
                self.sit_down_again();
            }
            match self.wanted.has_changed() {
                Ok(true) => self.follow(),
                Ok(false) => {}
                Err(_) => break, // the membership was dropped
            }
        }
        self.leave();
    }

    /// Takes the seat with another client. The brokers refuse one that comes back from a crash before its predecessor's
    /// session has ended, and the client takes that for the end of all things.
    fn sit_down_again(&mut self) {
        let old = &self.member.consumer;
        if let Some((code, reason)) = old.client().fatal_error() {
            tracing::warn!(group = self.group.name(), %code, reason, "a member's seat is taken; it tries again");
        }
        std::thread::sleep(SEAT_REST);
        let context = MemberContext::clone(old.context());
        match client::create(&self.options, &client::member(&self.options, self.group.name()), context) {
            Ok(consumer) => {
                let had: Vec<Share> = std::mem::take(&mut *lock(&self.member.held.shares)).into_iter().collect();
                let seen = self.member.consumer.context();
                if let Some(end) = seen.end() {
                    seen.runtime.block_on(end.take(had)); // late or not, it is lost
                }
                self.member = Arc::new(Member { consumer: Arc::new(consumer), held: Arc::clone(&self.member.held) });
                if let Some(groups) = self.groups.upgrade() {
                    groups.members.put(self.group, Arc::clone(&self.member));
                }
                self.follow();
            }
            Err(error) => tracing::error!(group = self.group.name(), %error, "no member could be made"),
        }
    }

    fn poll(&self) {
        if let Some(Err(error)) = self.member.consumer.poll(POLL_MAX) {
            tracing::debug!(group = self.group.name(), %error, "kafka member");
        }
    }

    fn follow(&mut self) {
        let lanes = self.wanted.borrow_and_update().clone();
        self.subscribe(&lanes);
    }

    fn subscribe(&self, lanes: &[Lane]) {
        *lock(&self.member.held.lanes) = lanes.to_vec();
        let mut topics: Vec<String> = lanes.iter().map(|lane| self.options.named(&lane.to_string())).collect();
        if topics.is_empty() {
            topics.push(self.options.named(NOTHING));
        }
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Err(error) = self.member.consumer.subscribe(&topics) {
            tracing::error!(group = self.group.name(), %error, "a member could not say what it follows");
        }
    }

    /// Leaves so that others take over at once. A static member's leave keeps its seat, and what is on it, until the session
    /// ends; so it first gives everything back, and then leaves an empty one.
    fn leave(&self) {
        if self.left.swap(true, Ordering::Relaxed) {
            return;
        }
        let consumer = &self.member.consumer;
        if *self.closed.borrow() {
            // Whoever closes the bus has ended its work; nobody takes changes up any more.
            drop(lock(&consumer.context().end).take());
        }
        match self.options.group_protocol {
            GroupProtocol::Consumer => self.subscribe(&[]),
            GroupProtocol::Classic => consumer.unsubscribe(),
        }
        self.empty();
        if let Err(error) = consumer.close_queue() {
            tracing::warn!(group = self.group.name(), %error, "a member could not close");
        }
        let late = Instant::now() + EMPTY_MAX;
        while !consumer.closed() && Instant::now() < late {
            self.poll();
        }
        if let Some(groups) = self.groups.upgrade() {
            groups.members.remove(self.group);
        }
        drop(lock(&consumer.context().end).take());
    }

    /// Waits until nothing is on the seat any more, and the word of it is out.
    fn empty(&self) {
        let late = Instant::now() + EMPTY_MAX;
        let has_any = || self.member.consumer.assignment().is_ok_and(|list| list.count() > 0);
        while has_any() && Instant::now() < late {
            self.poll();
        }
        let told = Instant::now() + WORD_REST;
        while Instant::now() < told {
            self.poll();
        }
    }
}
