//! What a step costs in requests: many rows of a partition go in one, and nothing is read before it is written.

use model::{DeliveryId, MessageId, State};
use store::conformance::{ACCEPTED, Story, ended, leased, routed, submitted};
use store::cql::{CqlStore, Faults};
use store::{Projection, Store};

use super::keyspace::{Keyspace, until_taken};

const LIVES: u8 = 200;
/// Partitions of the timeline a minute's messages are in, the step of the ledger, and usage.
const REQUESTS_MAX: i64 = 8 + 1 + 1;

/// Whether ids come from keys of the tenant's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ids {
    Fresh,
    Keyed,
}

/// The stretches of lives from acceptance to delivery: one of records, two of steps.
fn lives(story: &mut Story, round: u8, ids: Ids) -> [Projection; 3] {
    let id = |n: u8| match ids {
        Ids::Keyed => story.delivery(&format!("{round}:{n}"), 0),
        Ids::Fresh => DeliveryId { message: MessageId::fresh(ACCEPTED, [round, 0, 0, 0, 0, 0, 0, 0, 0, n]), index: 0 },
    };
    let all: Vec<DeliveryId> = (0..LIVES).map(id).collect();
    let mut accepted = story.accept(&all.iter().map(|id| (*id, "x")).collect::<Vec<_>>());
    for row in &mut accepted.accepted {
        (row.keyed, row.deliveries) = (ids == Ids::Keyed, 1);
    }
    let begun: Vec<_> = all.iter().flat_map(|id| [(*id, 0, routed(1)), (*id, 1, leased())]).collect();
    let done: Vec<_> = all.iter().flat_map(|id| [(*id, 1, submitted()), (*id, 1, ended(State::Delivered))]).collect();
    [accepted, story.tell(&begun), story.tell(&done)]
}

/// Requests each stretch takes.
async fn requests(store: &CqlStore, wire: &Faults, stretches: [Projection; 3]) -> Vec<i64> {
    let mut counts = Vec::new();
    for stretch in stretches {
        // What a busy node did not take is not counted, only what it took in the end.
        let project = async || {
            let _ = wire.take_sent();
            store.project(stretch.clone()).await
        };
        until_taken(project).await;
        counts.push(wire.take_sent());
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_takes_few_requests_and_reads_nothing_it_knows() {
    let (keyspace, wire) = (Keyspace::new("cost"), Faults::new());
    let store = keyspace.open_over(&wire).await;
    let mut story = Story::new("cost", 0);
    // The first opens the book and notes minutes and months.
    requests(&store, &wire, lives(&mut story, 0, Ids::Fresh)).await;
    let fresh = requests(&store, &wire, lives(&mut story, 1, Ids::Fresh)).await;
    assert!(fresh.iter().all(|count| *count <= REQUESTS_MAX), "{fresh:?} requests for {LIVES} lives");
    // A key is looked up, and taken: one request each. Its steps need neither.
    let keyed = requests(&store, &wire, lives(&mut story, 2, Ids::Keyed)).await;
    assert!(keyed[0] <= REQUESTS_MAX + 2 * i64::from(LIVES), "{keyed:?} requests for {LIVES} lives");
    assert!(keyed[1..].iter().all(|count| *count <= REQUESTS_MAX), "{keyed:?} requests for {LIVES} lives");
    let ledger = store.ledger(None).await.unwrap();
    assert_eq!((ledger.finals.get(&State::Delivered), ledger.difference), (Some(&(3 * u64::from(LIVES))), 0));
    println!("{LIVES} lives of 5 rows in three stretches: {fresh:?} requests; under keys: {keyed:?}");
    keyspace.drop(&store).await;
}
