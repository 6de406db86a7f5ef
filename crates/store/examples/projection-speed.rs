//! Measures what a step costs in the projection: whole lives of deliveries, told through the partitions of both lanes.
//! `cargo run --release -p store --features conformance --example projection-speed [DIR]` measures the embedded engine; with
//! feature `cql` and a node in `CARILLON_CQL`, a CQL cluster too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use embedded::Database;
use model::State;
use store::conformance::{Story, ended, leased, routed, submitted};
use store::{EmbeddedStore, Projection, Store};

const PARTITIONS: u32 = 4;
const ROUNDS: usize = 50;
const BATCH: usize = 256;
const EVENTS_EACH: usize = 4;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory for the measure");
    let dir = std::env::args().nth(1).map_or_else(|| dir.path().to_owned(), PathBuf::from);
    let database = Database::open(&dir.join("state.db"), &embedded::Options::default()).expect("a fresh file opens");
    let store = EmbeddedStore::open(database.clone()).await.expect("fresh state opens");
    measure("embedded", &store).await;
    database.close().await;
    #[cfg(feature = "cql")]
    measure_cql().await;
}

#[cfg(feature = "cql")]
async fn measure_cql() {
    use store::cql::{CqlStore, Faults, Options};
    let Ok(address) = std::env::var("CARILLON_CQL") else {
        return println!("no node in CARILLON_CQL: CQL is not measured");
    };
    let contact_points = address.split(',').map(str::to_owned).collect();
    let options = Options { contact_points, keyspace: format!("speed_{}", std::process::id()), ..Options::default() };
    let wire = Faults::new();
    let store = CqlStore::open_with(options, wire.clone()).await.expect("the node takes a keyspace");
    let opened = wire.take_sent();
    measure("CQL", &store).await;
    let lives = PARTITIONS as usize * ROUNDS * BATCH;
    println!("CQL: {:.3} requests a life ({opened} to open)", wire.take_sent() as f64 / lives as f64);
    store.drop_keyspace().await.expect("it is ours to drop");
}

async fn measure<S: Store>(engine: &str, store: &S) {
    let stretches: Vec<_> = (0..PARTITIONS).map(lives).collect();
    let (before, begun) = (cpu(), Instant::now());
    let mut writers = Vec::new();
    for (accepted, events) in stretches {
        writers.push(tokio::spawn(carry(store.clone(), accepted)));
        writers.push(tokio::spawn(carry(store.clone(), events)));
    }
    for writer in writers {
        writer.await.expect("a partition is carried on");
    }
    let (wall, cpu) = (begun.elapsed(), cpu() - before);
    let count = PARTITIONS as usize * ROUNDS * BATCH;
    let each = cpu.as_secs_f64() * 1e6 / count as f64;
    let rate = count as f64 / wall.as_secs_f64();
    println!(
        "{engine}: {count} lives of 1 record and {EVENTS_EACH} events: {rate:.0} lives/s, {:.0} events/s, {each:.1} µs CPU a life",
        rate * EVENTS_EACH as f64
    );
    let begun = Instant::now();
    let ledger = store.ledger(None).await.expect("the ledger is read");
    println!(
        "{engine}: ledger in {:?}: accepted {}, difference {}",
        begun.elapsed(),
        ledger.accepted,
        ledger.difference
    );
}

/// Tries again what a busy cluster does not take, as the router does.
async fn carry<S: Store>(store: S, stretches: Vec<Projection>) {
    for stretch in stretches {
        while let Err(error) = store.project(stretch.clone()).await {
            eprintln!("again: {error:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Rounds of deliveries; what happens to those of a round is told in two stretches.
fn lives(partition: u32) -> (Vec<Projection>, Vec<Projection>) {
    let mut story = Story::new("acme", partition);
    let (mut accepted, mut events) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let ids: Vec<_> = (0..BATCH).map(|n| story.delivery(&format!("{partition}:{round}:{n}"), 0)).collect();
        accepted.push(story.accept(&ids.iter().map(|id| (*id, "digest of 16 byt")).collect::<Vec<_>>()));
        let begun: Vec<_> = ids.iter().flat_map(|id| [(*id, 0, routed(1)), (*id, 1, leased())]).collect();
        let done: Vec<_> =
            ids.iter().flat_map(|id| [(*id, 1, submitted()), (*id, 1, ended(State::Delivered))]).collect();
        events.extend([story.tell(&begun), story.tell(&done)]);
    }
    (accepted, events)
}

/// CPU time of this process, in steps of 10 ms (proc(5), fields 14 and 15 of stat).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux tells of processes");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
