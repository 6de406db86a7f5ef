//! The Kafka engine against real brokers: the common suite, and what only it can be asked.

mod engine;
mod faults;
mod members;
mod support;

use bus::conformance::{NARROW_ENTRIES_MAX, Room, conformance};
use bus::kafka::Options;
use support::Cluster;

fn options(cluster: &Cluster, room: Room) -> Options {
    let options = cluster.options("test");
    match room {
        Room::Wide => options,
        Room::Narrow => Options { lane_entries_max: NARROW_ENTRIES_MAX, ..options },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let cluster = Cluster::new();
    conformance(async |room| cluster.open(options(&cluster, room)).await).await;
    cluster.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_when_nothing_stays_in_memory_and_blocks_are_tiny() {
    let cluster = Cluster::new();
    conformance(async |room| {
        let small = Options {
            cache_bytes_max: 0,
            block_entries_max: 10, // the suite names a few offsets of its first batch outright
            block_bytes_max: 64,
            read_bytes_max: 100,
            commit_slots: 2,
            ..options(&cluster, room)
        };
        cluster.open(small).await
    })
    .await;
    cluster.remove().await;
}
