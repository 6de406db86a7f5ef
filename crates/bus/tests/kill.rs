//! `kill -9` at any moment: what was answered is there, and a consume-and-append step happened whole or not at all.
//!
//! The test starts itself as a child that produces and moves, kills it again and again, and counts at the end.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bus::{Acks, Bus, Consumed, EmbeddedBus, Entry, Group, Options, Position};
use embedded::Database;
use model::{Lane, RouteId};

const CHILD: &str = "BUS_KILL_TEST_CHILD";
const KILLS: usize = 30;
const PRODUCERS: usize = 4;

fn source() -> Lane {
    Lane::Events
}

fn target() -> Lane {
    Lane::Front(RouteId::new("target").unwrap())
}

async fn open(dir: &Path) -> EmbeddedBus {
    let database = Database::open(&dir.join("lanes.db"), &embedded::Options::default()).unwrap();
    // Little stays in memory and blocks are small, so that reads come from the file too.
    let options =
        Options { block_entries_max: 7, tail_bytes_max: 4_096, segment_bytes: 32 << 10, ..Options::default() };
    let bus = EmbeddedBus::open(database, options).await.unwrap();
    for lane in [source(), target()] {
        bus.create(&lane).await.unwrap();
    }
    bus.declare(&source(), &[Group::PLANNER]).await.unwrap();
    bus
}

/// The child: producers append pairs under one key and say so once they were answered; a mover per partition consumes
/// and appends; one task trims. It runs until it is killed.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    // A task that fails fails the test: the child is then gone before it is killed.
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        shown(panic);
        std::process::abort();
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bus = open(&dir).await;
        for partition in 0..source().partitions() {
            tokio::spawn(move_on(bus.clone(), partition));
        }
        for producer in 0..PRODUCERS {
            tokio::spawn(produce(bus.clone(), producer));
        }
        loop {
            bus.trim().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
}

async fn produce(bus: EmbeddedBus, producer: usize) {
    for number in 0.. {
        let key = format!("{}:{producer}:{number}", std::process::id());
        let half = |half: u32| Entry::new(key.clone().into_bytes(), format!("{key}/{half}").into_bytes());
        bus.append(&source(), vec![half(0), half(1)]).await.unwrap();
        println!("answered {key}");
    }
}

async fn move_on(bus: EmbeddedBus, partition: u32) {
    let mut from = bus.watermark(Group::PLANNER, &source(), partition).await.unwrap();
    loop {
        let reads = bus.read(&source(), partition, from, 5).await.unwrap();
        from = reads.last().unwrap().offset + 1;
        let acks = Acks::UpTo(from);
        let consumed = Consumed { group: Group::PLANNER, lane: source(), partition, acks };
        let appended = reads.into_iter().map(|read| (target(), Entry::to_partition(0, read.payload))).collect();
        let _: Vec<Position> = bus.commit(vec![consumed], appended).await.unwrap();
    }
}

/// Runs a child until it has answered `enough` times, kills it, and returns what it answered.
fn run_and_kill(dir: &Path, enough: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut answered, mut line) = (Vec::new(), String::new());
    while answered.len() < enough && lines.read_line(&mut line).unwrap() > 0 {
        answered.extend(line.trim_end().strip_prefix("answered ").map(str::to_owned));
        line.clear();
    }
    assert!(child.try_wait().unwrap().is_none(), "the child lives until it is killed");
    child.kill().unwrap();
    child.wait().unwrap();
    // What was said before the kill counts as well; a line cut short does not.
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let whole = rest.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.strip_prefix("answered "));
    answered.extend(whole.map(str::to_owned));
    answered
}

async fn texts(bus: &EmbeddedBus, lane: &Lane, partition: u32, mut from: i64) -> Vec<String> {
    let next = bus.bounds(lane, partition).await.unwrap().next;
    let mut texts = Vec::new();
    while from < next {
        for read in bus.read(lane, partition, from, 100).await.unwrap() {
            assert_eq!(read.offset, from, "offsets follow each other");
            texts.push(String::from_utf8(read.payload.to_vec()).unwrap());
            from += 1;
        }
    }
    texts
}

#[tokio::test]
async fn nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let mut answered = Vec::new();
    for kill in 0..KILLS {
        // The moments differ in every run and within it: nothing here depends on them.
        answered.extend(run_and_kill(dir.path(), 20 + 13 * kill));
    }
    let bus = open(dir.path()).await;
    let moved = texts(&bus, &target(), 0, 0).await;
    let mut all = moved.clone();
    for partition in 0..source().partitions() {
        let from = bus.watermark(Group::PLANNER, &source(), partition).await.unwrap();
        all.extend(texts(&bus, &source(), partition, from).await);
    }
    let distinct: BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "moved twice, or moved and still there");
    for key in &answered {
        for half in 0..2 {
            assert!(distinct.contains(&format!("{key}/{half}")), "{key}/{half} was answered and is lost");
        }
    }
    let halves = |half: char| all.iter().filter(|text| text.ends_with(half)).count();
    assert_eq!(halves('0'), halves('1'), "a pair is there whole or not at all");
    assert!(answered.len() > KILLS * 20 && !moved.is_empty());
}
