//! How fast lanes on Kafka are: `CARILLON_KAFKA=host:port,… cargo run --release -p bus --features kafka --example kafka-speed`.
//!
//! Topics of a random prefix are left behind; their names are printed.

use std::time::{Duration, Instant};

use bus::kafka::Options;
use bus::{Acks, Bus, Consumed, Entry, Group, KafkaBus};
use model::Lane;

const BYTES: usize = 300;

fn entry(n: usize) -> Entry {
    Entry::new(format!("key {n}").into_bytes(), vec![b'x'; BYTES])
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<i64> =
        stat.rsplit(')').next().unwrap_or_default().split(' ').filter_map(|f| f.parse().ok()).collect();
    // After the name: state, then numbers from `ppid` on; user and system time are the 10th and 11th of them.
    let ticks = fields.get(10).unwrap_or(&0) + fields.get(11).unwrap_or(&0);
    Duration::from_millis(u64::try_from(ticks).unwrap_or(0) * 10)
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}", at(0.5), at(0.9), at(0.99));
}

struct Rate {
    began: Instant,
    cpu: Duration,
}

impl Rate {
    fn begin() -> Self {
        Rate { began: Instant::now(), cpu: cpu() }
    }

    fn show(&self, what: &str, entries: usize) {
        let (wall, cpu) = (self.began.elapsed(), cpu().saturating_sub(self.cpu));
        let per = cpu.as_secs_f64() / entries as f64 * 1e6;
        println!("{what}: {:.0}/s, {per:.1} µs of our CPU each", entries as f64 / wall.as_secs_f64());
    }
}

#[tokio::main]
async fn main() {
    let bootstrap = std::env::var("CARILLON_KAFKA").expect("CARILLON_KAFKA=host:port,…");
    let bootstrap: Vec<String> = bootstrap.split(',').map(Into::into).collect();
    let mut options = Options::new(bootstrap, format!("speed-{:08x}", rand::random::<u32>()), "speed");
    if options.bootstrap.len() < 3 {
        (options.replication, options.min_isr) = (1, 1);
    }
    println!("prefix {}", options.prefix);
    let began = Instant::now();
    let bus = KafkaBus::open(options).await.expect("brokers");
    println!("opened in {:?}", began.elapsed());
    for lane in [Lane::Events, Lane::Outcomes, Lane::Accepted] {
        bus.create(&lane).await.expect("a lane");
        bus.declare(&lane, &[Group::PLANNER]).await.expect("a group");
    }
    println!("created in {:?}", began.elapsed());
    bus.append(&Lane::Events, vec![entry(0)]).await.expect("warm");

    let mut times = Vec::new();
    for n in 0..300 {
        let began = Instant::now();
        bus.append(&Lane::Events, vec![entry(n)]).await.expect("an append");
        times.push(began.elapsed());
    }
    show("append, one after the other", times);

    let mut times = Vec::new();
    let mut from = bus.bounds(&Lane::Outcomes, 0).await.expect("bounds").next;
    for n in 0..300 {
        let (reading, lane) = (bus.clone(), Lane::Outcomes);
        let read =
            tokio::spawn(async move { (reading.read(&lane, 0, from, 10).await.expect("a read"), Instant::now()) });
        tokio::time::sleep(Duration::from_millis(2)).await;
        let began = Instant::now();
        let to = vec![Entry::to_partition(0, format!("{n}").into_bytes())];
        bus.append(&Lane::Outcomes, to).await.expect("an append");
        let (reads, at) = read.await.expect("a task");
        times.push(at - began);
        from = reads[0].offset + 1;
    }
    show("append to read", times);

    let mut times = Vec::new();
    let lane = Lane::Events;
    let partition = bus.append(&lane, vec![entry(1)]).await.expect("an append")[0].partition;
    for n in 0..200 {
        let to = bus.append(&lane, vec![Entry::to_partition(partition, "x")]).await.expect("an append")[0].offset;
        let acks = Acks::UpTo(to + 1);
        let consumed = vec![Consumed { group: Group::PLANNER, lane: lane.clone(), partition, acks }];
        let began = Instant::now();
        bus.commit(consumed, vec![(Lane::Outcomes, entry(n))]).await.expect("a commit");
        times.push(began.elapsed());
    }
    show("commit of an acknowledgement and an entry, one after the other", times);

    let mut times = Vec::new();
    for _ in 0..200 {
        let to = bus.append(&lane, vec![Entry::to_partition(partition, "x")]).await.expect("an append")[0].offset;
        let acks = Acks::UpTo(to + 1);
        let consumed = vec![Consumed { group: Group::PLANNER, lane: lane.clone(), partition, acks }];
        let began = Instant::now();
        bus.commit(consumed, vec![]).await.expect("a commit");
        times.push(began.elapsed());
    }
    show("commit of an acknowledgement alone", times);

    for callers in [1, 16, 256] {
        let each = [500, 6_000 / callers, 40_000 / callers][usize::from(callers > 1) + usize::from(callers > 16)];
        let rate = Rate::begin();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let bus = bus.clone();
                tokio::spawn(async move {
                    for n in 0..each {
                        bus.append(&Lane::Accepted, vec![entry(caller * each + n)]).await.expect("an append");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task");
        }
        rate.show(&format!("{callers} callers append single entries"), callers * each);
    }

    let rate = Rate::begin();
    for n in 0..100 {
        bus.append(&Lane::Accepted, (0..1_000).map(|m| entry(n * 1_000 + m)).collect()).await.expect("an append");
    }
    rate.show("one caller appends blocks of 1,000", 100_000);

    let rate = Rate::begin();
    let movers: Vec<_> = (0..4)
        .map(|partition| {
            let bus = bus.clone();
            tokio::spawn(async move {
                let end = bus.bounds(&Lane::Accepted, partition).await.expect("bounds").next;
                let (mut from, mut moved, mut commits) = (0, 0, 0);
                while from < end {
                    let reads = bus.read(&Lane::Accepted, partition, from, 1_000).await.expect("a read");
                    from = reads.last().expect("at least one").offset + 1;
                    moved += reads.len();
                    commits += 1;
                    let acks = Acks::UpTo(from);
                    let consumed = vec![Consumed { group: Group::PLANNER, lane: Lane::Accepted, partition, acks }];
                    let to =
                        reads.into_iter().map(|read| (Lane::Events, Entry::new(read.offset.to_string(), read.payload)));
                    bus.commit(consumed, to.collect()).await.expect("a commit");
                }
                (moved, commits)
            })
        })
        .collect();
    let (mut moved, mut commits) = (0, 0);
    for mover in movers {
        let (more, times) = mover.await.expect("a task");
        (moved, commits) = (moved + more, commits + times);
    }
    rate.show(&format!("4 movers read, commit and append, {commits} commits"), moved);

    let (before, idle) = (cpu(), Duration::from_secs(10));
    tokio::time::sleep(idle).await;
    let share = (cpu() - before).as_secs_f64() / idle.as_secs_f64() * 100.0;
    println!("at rest, with 5 partitions followed: {share:.1} % of a core");
    bus.close().await;
}
