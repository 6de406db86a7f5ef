//! Measures what an entry costs: appended one by one by 64 callers, and moved from lane to lane in batches.
//! Knows the embedded engine. `cargo run --release -p bus --example lanes-speed [DIR]`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bus::{Acks, Bus, Consumed, EmbeddedBus, Entry, Group, Options};
use bytes::Bytes;
use embedded::Database;
use model::{Lane, RouteId};

const CALLERS: usize = 64;
const ENTRY_BYTES: usize = 300;
const SPAN: Duration = Duration::from_secs(5);
const BATCH: usize = 256;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory for the measure");
    let dir = std::env::args().nth(1).map_or_else(|| dir.path().to_owned(), PathBuf::from);
    let database = Database::open(&dir.join("lanes.db"), &embedded::Options::default()).expect("a fresh file opens");
    let bus = EmbeddedBus::open(database.clone(), Options::default()).await.expect("fresh lanes open");
    let target = Lane::Front(RouteId::new("target").expect("a name"));
    for lane in [&Lane::Accepted, &target] {
        bus.create(lane).await.expect("a lane is created");
    }
    bus.declare(&Lane::Accepted, &[Group::PLANNER]).await.expect("a group is declared");
    let (before, begun) = (cpu(), Instant::now());
    let callers: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(append(bus.clone(), caller))).collect();
    let mut appended = 0;
    for caller in callers {
        appended += caller.await.expect("a caller ends");
    }
    report("appended one by one by 64 callers", appended, begun, before);
    let (before, begun) = (cpu(), Instant::now());
    let movers: Vec<_> =
        (0..Lane::Accepted.partitions()).map(|p| tokio::spawn(move_on(bus.clone(), target.clone(), p))).collect();
    let mut moved = 0;
    for mover in movers {
        moved += mover.await.expect("a mover ends");
    }
    report("read, committed and appended in batches of 256", moved, begun, before);
    let (before, begun) = (cpu(), Instant::now());
    bus.trim().await.expect("the lane is trimmed");
    report("trimmed", moved, begun, before);
    bus.close().await;
    database.close().await;
}

async fn append(bus: EmbeddedBus, caller: usize) -> usize {
    let (begun, mut count) = (Instant::now(), 0);
    let payload = Bytes::from(vec![b'x'; ENTRY_BYTES]);
    while begun.elapsed() < SPAN {
        let key = Bytes::from(format!("{caller}:{count}"));
        bus.append(&Lane::Accepted, vec![Entry::new(key, payload.clone())]).await.expect("the lane has room");
        count += 1;
    }
    count
}

async fn move_on(bus: EmbeddedBus, target: Lane, partition: u32) -> usize {
    let end = bus.bounds(&Lane::Accepted, partition).await.expect("the partition is there").next;
    let mut from = 0;
    while from < end {
        let reads = bus.read(&Lane::Accepted, partition, from, BATCH).await.expect("it can be read");
        from = reads.last().expect("a read returns at least one").offset + 1;
        let appended = reads.into_iter().map(|read| (target.clone(), Entry::to_partition(0, read.payload))).collect();
        let acks = Acks::UpTo(from);
        let consumed = Consumed { group: Group::PLANNER, lane: Lane::Accepted, partition, acks };
        bus.commit(vec![consumed], appended).await.expect("the step is taken");
    }
    usize::try_from(end).expect("a count")
}

fn report(what: &str, count: usize, begun: Instant, cpu_before: Duration) {
    let (wall, cpu) = (begun.elapsed(), cpu() - cpu_before);
    let (rate, each) = (count as f64 / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count as f64);
    println!("{what}: {count} entries, {rate:.0}/s, {each:.2} µs CPU each");
}

/// CPU time of this process, in steps of 10 ms (proc(5), fields 14 and 15 of stat).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux tells of processes");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
