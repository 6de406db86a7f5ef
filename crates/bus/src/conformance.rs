//! The suite every engine of [`Bus`] passes. Knows the trait and its promises, no engine.
//!
//! Each scenario works in lanes of its own, so that an engine may keep all of them in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use model::{Lane, RouteId};

use crate::{Acks, Bus, BusError, Change, Consumed, Entry, Group, Membership, Position, Read, Share};

/// How much a lane may hold in the bus that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// As much as the engine's defaults say.
    Wide,
    /// At most [`NARROW_ENTRIES_MAX`] entries that are still needed.
    Narrow,
}

/// See [`Room::Narrow`].
pub const NARROW_ENTRIES_MAX: usize = 100;

/// Longer than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the suite. `open` opens the engine; called again after a [`Bus::close`], it finds what was left.
///
/// # Panics
/// On the first promise that is not kept.
pub async fn conformance<B: Bus>(open: impl AsyncFn(Room) -> B) {
    let open = &open;
    lanes_stay_what_they_are(open).await;
    keys_pick_partitions_and_keep_their_order(open).await;
    callers_do_not_mix_within_a_key(open).await;
    reads_are_bounded_and_leave_nothing_out(open).await;
    a_waiting_read_wakes(open).await;
    fetch_finds_exactly_what_is_named(open).await;
    commit_marks_and_appends(open).await;
    acknowledgements_in_any_order(open).await;
    what_is_not_below_the_watermark_comes_again(open).await;
    trimming_follows_the_slowest(open).await;
    a_member_is_given_what_it_follows(open).await;
    lag_is_what_is_not_done(open).await;
    a_full_lane_says_so(open).await;
    nonsense_is_refused(open).await;
    closing_ends_waits(open).await;
}

fn front(name: &str) -> Lane {
    Lane::Front(RouteId::new(name).expect("a name of this suite"))
}

async fn fresh<B: Bus>(bus: &B, name: &str) -> Lane {
    let lane = front(name);
    bus.create(&lane).await.expect("a lane can be created");
    lane
}

fn entry(key: &str, text: impl ToString) -> Entry {
    Entry::new(Bytes::copy_from_slice(key.as_bytes()), text.to_string().into_bytes())
}

async fn append<B: Bus>(bus: &B, lane: &Lane, texts: impl IntoIterator<Item = i64>) -> Vec<Position> {
    let batch = texts.into_iter().map(|text| Entry::to_partition(0, text.to_string().into_bytes())).collect();
    bus.append(lane, batch).await.expect("the lane has room")
}

fn text(read: &Read) -> String {
    String::from_utf8(read.payload.to_vec()).expect("the suite writes text")
}

/// Everything from `from` to the end of the partition as it is.
async fn rest<B: Bus>(bus: &B, lane: &Lane, partition: u32, mut from: i64) -> Vec<Read> {
    let next = bus.bounds(lane, partition).await.expect("the partition is there").next;
    let mut all: Vec<Read> = Vec::new();
    while from < next {
        let reads = bus.read(lane, partition, from, 1_000).await.expect("what is within bounds can be read");
        from = reads.last().expect("a read returns at least one").offset + 1;
        all.extend(reads);
    }
    all
}

fn texts(reads: &[Read]) -> Vec<String> {
    reads.iter().map(text).collect()
}

fn numbers(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn done(group: Group, lane: &Lane, acks: Acks) -> Vec<Consumed> {
    vec![Consumed { group, lane: lane.clone(), partition: 0, acks }]
}

async fn acknowledge<B: Bus>(bus: &B, group: Group, lane: &Lane, acks: Acks) -> i64 {
    bus.commit(done(group, lane, acks), vec![]).await.expect("what was read can be acknowledged");
    bus.watermark(group, lane, 0).await.expect("the lane is there")
}

async fn lanes_stay_what_they_are<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let (one, other) = (front("stay-one"), Lane::Outcomes);
    let infos = [bus.create(&one).await.unwrap(), bus.create(&other).await.unwrap()];
    assert_eq!(infos.map(|info| info.partitions), [one.partitions(), other.partitions()]);
    assert_ne!(infos[0].id, infos[1].id, "ids are minted");
    assert_eq!(bus.create(&one).await.unwrap(), infos[0], "creating again changes nothing");
    append(&bus, &one, 0..3).await;
    bus.close().await;
    let bus = open(Room::Wide).await;
    assert_eq!([bus.create(&one).await.unwrap(), bus.create(&other).await.unwrap()], infos, "nor does a restart");
    let last = append(&bus, &one, 3..4).await[0];
    let reads = rest(&bus, &one, 0, 0).await;
    assert_eq!(texts(&reads), numbers(0..4));
    assert_eq!(reads.last().unwrap().offset, last.offset, "offsets go on where they were");
    bus.close().await;
}

async fn keys_pick_partitions_and_keep_their_order<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = Lane::Events;
    let partitions = bus.create(&lane).await.unwrap().partitions;
    let batch: Vec<Entry> = (0..200).map(|n| entry(&format!("key {}", n % 20), n)).collect();
    let wanted: Vec<u32> = batch.iter().map(|entry| entry.partition(partitions)).collect();
    let positions = bus.append(&lane, batch).await.unwrap();
    assert_eq!(positions.iter().map(|p| p.partition).collect::<Vec<_>>(), wanted);
    assert_eq!(wanted.iter().collect::<BTreeSet<_>>().len(), partitions as usize, "keys spread");
    for (n, position) in positions.iter().enumerate() {
        let read = bus.fetch(&lane, position.partition, &[position.offset]).await.unwrap();
        assert_eq!(text(&read[0]), n.to_string(), "positions are in the order of the batch");
    }
    let mut last = BTreeMap::new();
    for position in positions {
        let before = last.insert(position.partition, position.offset);
        assert!(before.is_none_or(|before| before < position.offset), "offsets rise in the order of the batch");
    }
    bus.close().await;
}

async fn callers_do_not_mix_within_a_key<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "callers").await;
    let caller = |caller: usize| {
        let (bus, lane) = (bus.clone(), lane.clone());
        async move {
            for round in 0..10 {
                let name = format!("{caller}:{round}");
                let batch = (0..5).map(|n| entry(&name, format!("{name}:{n}"))).collect();
                bus.append(&lane, batch).await.unwrap();
            }
        }
    };
    let callers: Vec<_> = (0..32).map(|n| tokio::spawn(caller(n))).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let all = texts(&rest(&bus, &lane, 0, 0).await);
    assert_eq!(all.len(), 32 * 10 * 5);
    let mut rounds: BTreeMap<String, i32> = BTreeMap::new();
    for block in all.chunks(5) {
        let (caller, _) = block[0].split_once(':').unwrap();
        let round = rounds.entry(caller.to_owned()).or_default();
        let wanted: Vec<String> = (0..5).map(|n| format!("{caller}:{round}:{n}")).collect();
        assert_eq!(block, wanted, "a call's entries stand together and in order");
        *round += 1;
    }
    bus.close().await;
}

async fn reads_are_bounded_and_leave_nothing_out<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "bounded").await;
    for batch in 0..10 {
        append(&bus, &lane, batch * 30..batch * 30 + 30).await;
    }
    let check = async |bus: &B| {
        let (mut from, mut seen) = (0, Vec::new());
        while seen.len() < 300 {
            let reads = bus.read(&lane, 0, from, 7).await.unwrap();
            assert!((1..=7).contains(&reads.len()));
            assert!(reads.is_sorted_by_key(|read| read.offset) && reads[0].offset >= from);
            from = reads.last().unwrap().offset + 1;
            seen.extend(texts(&reads));
        }
        assert_eq!(seen, numbers(0..300));
    };
    check(&bus).await;
    bus.close().await;
    let bus = open(Room::Wide).await;
    check(&bus).await;
    bus.close().await;
}

async fn a_waiting_read_wakes<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "wakes").await;
    for round in 0..50 {
        let from = bus.bounds(&lane, 0).await.unwrap().next;
        let read = bus.read(&lane, 0, from, 10);
        let write = async {
            tokio::task::yield_now().await;
            append(&bus, &lane, [round]).await
        };
        let (reads, _) = tokio::time::timeout(PATIENCE, async { tokio::join!(read, write) }).await.expect("it wakes");
        assert_eq!(texts(&reads.unwrap()), numbers(round..round + 1));
    }
    bus.close().await;
}

async fn fetch_finds_exactly_what_is_named<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "fetch").await;
    let mut positions = Vec::new();
    for batch in 0..5 {
        positions.extend(append(&bus, &lane, batch * 20..batch * 20 + 20).await);
    }
    let wanted: Vec<i64> = [99, 0, 20, 19, 57, 58].to_vec();
    let offsets: Vec<i64> = wanted.iter().map(|n| positions[*n as usize].offset).collect();
    let check = async |bus: &B| {
        let reads = bus.fetch(&lane, 0, &offsets).await.unwrap();
        assert_eq!(reads.iter().map(|read| read.offset).collect::<Vec<_>>(), offsets);
        assert_eq!(texts(&reads), wanted.iter().map(ToString::to_string).collect::<Vec<_>>());
        let next = bus.bounds(&lane, 0).await.unwrap().next;
        assert!(matches!(bus.fetch(&lane, 0, &[next]).await, Err(BusError::BeyondEnd { .. })));
    };
    check(&bus).await;
    bus.close().await;
    let bus = open(Room::Wide).await;
    check(&bus).await;
    bus.close().await;
}

async fn commit_marks_and_appends<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let (from, to) = (fresh(&bus, "commit-from").await, fresh(&bus, "commit-to").await);
    append(&bus, &from, 0..10).await;
    let appended = |n: i64| (to.clone(), Entry::to_partition(0, n.to_string().into_bytes()));
    bus.commit(done(Group::PLANNER, &from, Acks::UpTo(4)), (0..4).map(appended).collect()).await.unwrap();
    // One half can't be: the other must not be either.
    let nowhere = (front("commit-nowhere"), Entry::to_partition(0, "x"));
    let half = bus.commit(done(Group::PLANNER, &from, Acks::UpTo(6)), vec![appended(99), nowhere]).await;
    assert!(matches!(half, Err(BusError::NoLane { .. })));
    let half = bus.commit(done(Group::PLANNER, &from, Acks::UpTo(1_000)), vec![appended(99)]).await;
    assert!(matches!(half, Err(BusError::BeyondEnd { .. })));
    let check = async |bus: &B| {
        assert_eq!(bus.watermark(Group::PLANNER, &from, 0).await.unwrap(), 4);
        assert_eq!(bus.watermark(Group::OWNER, &from, 0).await.unwrap(), 0, "groups do not know of each other");
        assert_eq!(texts(&rest(bus, &to, 0, 0).await), numbers(0..4));
    };
    check(&bus).await;
    bus.close().await;
    let bus = open(Room::Wide).await;
    check(&bus).await;
    bus.close().await;
}

async fn acknowledgements_in_any_order<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "any-order").await;
    let at: Vec<i64> = append(&bus, &lane, 0..10).await.iter().map(|position| position.offset).collect();
    let group = Group::OWNER;
    assert_eq!(acknowledge(&bus, group, &lane, Acks::Offsets(vec![at[3], at[1]])).await, at[0]);
    assert_eq!(acknowledge(&bus, group, &lane, Acks::Offsets(vec![at[0]])).await, at[2], "0, 1 are contiguous");
    assert_eq!(acknowledge(&bus, group, &lane, Acks::Offsets(vec![at[0], at[3]])).await, at[2], "repeats");
    assert_eq!(acknowledge(&bus, group, &lane, Acks::Offsets(vec![at[2]])).await, at[4], "2, 3 join");
    assert_eq!(acknowledge(&bus, group, &lane, Acks::UpTo(at[7])).await, at[7]);
    assert_eq!(acknowledge(&bus, group, &lane, Acks::UpTo(at[5])).await, at[7], "it never goes back");
    bus.close().await;
}

async fn what_is_not_below_the_watermark_comes_again<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "again").await;
    let at: Vec<i64> = append(&bus, &lane, 0..10).await.iter().map(|position| position.offset).collect();
    acknowledge(&bus, Group::OWNER, &lane, Acks::UpTo(at[2])).await;
    acknowledge(&bus, Group::OWNER, &lane, Acks::Offsets(vec![at[5], at[6]])).await;
    bus.close().await;
    let bus = open(Room::Wide).await;
    let from = bus.watermark(Group::OWNER, &lane, 0).await.unwrap();
    assert_eq!(from, at[2]);
    assert_eq!(texts(&rest(&bus, &lane, 0, from).await), numbers(2..10), "also what was done out of order");
    assert_eq!(acknowledge(&bus, Group::OWNER, &lane, Acks::Offsets(at[2..5].to_vec())).await, at[5]);
    bus.close().await;
}

async fn trimming_follows_the_slowest<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "trim").await;
    let mut at = Vec::new();
    for n in 0..20 {
        at.push(append(&bus, &lane, [n]).await[0].offset);
    }
    bus.trim().await.unwrap();
    assert_eq!(bus.bounds(&lane, 0).await.unwrap().first, at[0], "a lane nobody declared is never trimmed");
    bus.declare(&lane, &[Group::OWNER, Group::PROJECTION]).await.unwrap();
    acknowledge(&bus, Group::OWNER, &lane, Acks::UpTo(at[12])).await;
    bus.trim().await.unwrap();
    assert_eq!(bus.bounds(&lane, 0).await.unwrap().first, at[0], "the slowest group holds it");
    acknowledge(&bus, Group::PROJECTION, &lane, Acks::UpTo(at[15])).await;
    bus.trim().await.unwrap();
    let bounds = bus.bounds(&lane, 0).await.unwrap();
    assert!(bounds.first > at[5] && bounds.first <= at[12], "{}", bounds.first);
    assert!(
        matches!(bus.read(&lane, 0, at[0], 1).await, Err(BusError::Trimmed { first, .. }) if first == bounds.first)
    );
    assert!(matches!(bus.fetch(&lane, 0, &[at[0]]).await, Err(BusError::Trimmed { .. })));
    assert_eq!(texts(&rest(&bus, &lane, 0, at[12]).await), numbers(12..20), "what is needed stays");
    // All consumed and trimmed: the offsets still go on.
    for group in [Group::OWNER, Group::PROJECTION] {
        acknowledge(&bus, group, &lane, Acks::UpTo(bounds.next)).await;
    }
    bus.trim().await.unwrap();
    bus.close().await;
    let bus = open(Room::Wide).await;
    assert_eq!(bus.watermark(Group::OWNER, &lane, 0).await.unwrap(), bounds.next);
    assert!(append(&bus, &lane, [20]).await[0].offset >= bounds.next);
    bus.close().await;
}

/// Takes changes until these are what the member has.
async fn until_given(membership: &mut Membership, given: &mut BTreeSet<Share>, wanted: &BTreeSet<Share>) {
    let turn = async {
        while given != wanted {
            match membership.next().await.expect("the bus is open") {
                Change::Given(shares) => given.extend(shares),
                Change::Taken(shares, release) => {
                    shares.iter().for_each(|share| assert!(given.remove(share), "{share:?} was never given"));
                    drop(release);
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, turn).await.unwrap_or_else(|_| panic!("waited for {wanted:?}, has {given:?}"));
}

async fn a_member_is_given_what_it_follows<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let (one, two) = (fresh(&bus, "member-one").await, fresh(&bus, "member-two").await);
    let share = |lane: &Lane| Share { lane: lane.clone(), partition: 0 };
    let group = Group::new("members");
    assert!(matches!(bus.join(group, vec![front("member-none")]).await, Err(BusError::NoLane { .. })));
    let mut given = BTreeSet::new();
    let mut membership = bus.join(group, vec![one.clone()]).await.unwrap();
    until_given(&mut membership, &mut given, &[share(&one)].into()).await;
    assert!(matches!(bus.join(group, vec![one.clone()]).await, Err(BusError::Joined { .. })));
    // A member's commit holds, also on a lane that goes along with the one it joined for.
    let at = append(&bus, &one, [0, 1]).await;
    let along = append(&bus, &two, [0, 1]).await;
    assert_eq!(acknowledge(&bus, group, &one, Acks::UpTo(at[1].offset)).await, at[1].offset);
    assert_eq!(acknowledge(&bus, group, &two, Acks::UpTo(along[1].offset)).await, along[1].offset);
    membership.follow(vec![one.clone(), two.clone()]);
    until_given(&mut membership, &mut given, &[share(&one), share(&two)].into()).await;
    membership.follow(vec![two.clone()]);
    until_given(&mut membership, &mut given, &[share(&two)].into()).await;
    membership.leave().await;
    // It may come again, and goes on where it was.
    let mut membership = bus.join(group, vec![two.clone()]).await.unwrap();
    until_given(&mut membership, &mut BTreeSet::new(), &[share(&two)].into()).await;
    assert_eq!(bus.watermark(group, &two, 0).await.unwrap(), along[1].offset);
    bus.close().await;
    assert!(tokio::time::timeout(PATIENCE, async { while membership.next().await.is_some() {} }).await.is_ok());
}

async fn lag_is_what_is_not_done<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "lag").await;
    bus.declare(&lane, &[Group::OWNER]).await.unwrap();
    assert_eq!(bus.lag(Group::OWNER, &lane, 0).await.unwrap(), 0);
    let at = append(&bus, &lane, 0..10).await;
    assert!(bus.lag(Group::OWNER, &lane, 0).await.unwrap() > 0);
    acknowledge(&bus, Group::OWNER, &lane, Acks::UpTo(at[9].offset)).await;
    assert!(bus.lag(Group::OWNER, &lane, 0).await.unwrap() > 0, "one is left");
    acknowledge(&bus, Group::OWNER, &lane, Acks::Offsets(vec![at[9].offset])).await;
    assert_eq!(bus.lag(Group::OWNER, &lane, 0).await.unwrap(), 0);
    bus.close().await;
}

async fn a_full_lane_says_so<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Narrow).await;
    let (lane, other) = (fresh(&bus, "full").await, fresh(&bus, "full-other").await);
    bus.declare(&lane, &[Group::OWNER]).await.unwrap();
    let batch =
        |count: usize| (0..count).map(|n| Entry::to_partition(0, n.to_string().into_bytes())).collect::<Vec<_>>();
    let positions = bus.append(&lane, batch(NARROW_ENTRIES_MAX)).await.unwrap();
    let refused = tokio::time::timeout(PATIENCE, bus.append(&lane, batch(1))).await.expect("at once");
    assert!(matches!(refused, Err(BusError::Full { lane: full }) if full == lane));
    bus.append(&other, batch(1)).await.expect("a full lane fills no other");
    let appended = (0..5).map(|_| (lane.clone(), Entry::to_partition(0, "in hand"))).collect();
    bus.commit(vec![], appended).await.expect("what is in hand may go on");
    acknowledge(&bus, Group::OWNER, &lane, Acks::UpTo(positions[49].offset + 1)).await;
    bus.append(&lane, batch(45)).await.expect("consuming makes room");
    assert!(matches!(bus.append(&lane, batch(1)).await, Err(BusError::Full { .. })));
    bus.close().await;
}

async fn nonsense_is_refused<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let (lane, nowhere) = (fresh(&bus, "nonsense").await, front("nonsense-nowhere"));
    assert!(matches!(bus.append(&nowhere, vec![entry("k", 1)]).await, Err(BusError::NoLane { .. })));
    assert!(matches!(bus.read(&nowhere, 0, 0, 1).await, Err(BusError::NoLane { .. })));
    let wrong = Entry::to_partition(7, "x");
    assert!(matches!(bus.append(&lane, vec![wrong]).await, Err(BusError::NoPartition { partition: 7, .. })));
    let huge = Entry::to_partition(0, vec![0; 64 << 20]);
    assert!(matches!(bus.append(&lane, vec![huge]).await, Err(BusError::TooLarge { .. })));
    assert!(matches!(bus.read(&lane, 0, 5, 1).await, Err(BusError::BeyondEnd { offset: 5, .. })), "the lane went back");
    assert_eq!(bus.bounds(&lane, 0).await.unwrap().next, 0, "nothing of it was appended");
    assert_eq!(bus.append(&lane, vec![]).await.unwrap(), vec![]);
    bus.close().await;
}

async fn closing_ends_waits<B: Bus>(open: &impl AsyncFn(Room) -> B) {
    let bus = open(Room::Wide).await;
    let lane = fresh(&bus, "closing").await;
    let taken = append(&bus, &lane, 0..3);
    taken.await;
    let read = bus.read(&lane, 0, 3, 1);
    let close = async {
        tokio::task::yield_now().await;
        bus.close().await;
    };
    let (read, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(read, close) }).await.expect("it ends");
    assert!(matches!(read, Err(BusError::Closed)));
    assert!(matches!(bus.append(&lane, vec![entry("k", 1)]).await, Err(BusError::Closed)));
    let bus = open(Room::Wide).await;
    assert_eq!(texts(&rest(&bus, &lane, 0, 0).await), numbers(0..3));
    bus.close().await;
}
