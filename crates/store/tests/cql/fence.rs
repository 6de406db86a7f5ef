//! Who lost a partition can't write into it any more, and who got it goes on.

use model::{Lane, State};
use store::conformance::{Story, ended, leased, routed};
use store::cql::CqlError;
use store::{EngineError, Store, StoreError};

use super::keyspace::{Keyspace, until_taken};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_lost_its_partition_is_refused() {
    let keyspace = Keyspace::new("fence");
    let (old, new) = (keyspace.open().await, keyspace.open().await);
    let mut story = Story::new("fence", 0);
    let (a, b) = (story.delivery("a", 0), story.delivery("b", 0));
    let first = story.accept(&[(a, "x")]);
    until_taken(async || old.project(first.clone()).await).await;
    let (accepted, begun, done) = (
        story.accept(&[(b, "x")]),
        story.tell(&[(a, 0, routed(1)), (a, 1, leased())]),
        story.tell(&[(a, 1, ended(State::Sent)), (b, 0, ended(State::Rejected))]),
    );
    until_taken(async || new.project(accepted.clone()).await).await;
    // The old one still thinks it is its own; what it says differs from what came to be.
    let refused = old.project(begun.clone()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Project(EngineError::Cql(CqlError::Superseded { partition: 0 }))),
        "{refused:?}"
    );
    let ledger = new.ledger(None).await.unwrap();
    assert_eq!((ledger.accepted, ledger.pending.get(&State::Accepted), ledger.difference), (2, Some(&2), 0));
    assert_eq!(new.projected(&Lane::Events, 0).await.unwrap(), 0);
    until_taken(async || new.project(begun.clone()).await).await;
    // It got the partition back, asks where it stands, and goes on.
    assert_eq!(old.projected(&Lane::Events, 0).await.unwrap(), 2);
    until_taken(async || old.project(done.clone()).await).await;
    let ledger = old.ledger(Some(story.tenant())).await.unwrap();
    assert_eq!((ledger.finals.values().sum::<u64>(), ledger.difference), (2, 0));
    keyspace.drop(&new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_at_once_end_with_what_one_would_have_written() {
    let keyspace = Keyspace::new("race");
    let stores = [keyspace.open().await, keyspace.open().await];
    let mut story = Story::new("race", 0);
    let ids: Vec<_> = (0..12).map(|n| story.delivery(&n.to_string(), 0)).collect();
    let accepted: Vec<_> = ids.iter().map(|id| story.accept(&[(*id, "x")])).collect();
    let told: Vec<_> =
        ids.iter().map(|id| story.tell(&[(*id, 0, routed(1)), (*id, 1, ended(State::Delivered))])).collect();
    let writers = stores.clone().map(|store| {
        let stretches: Vec<_> = accepted.iter().zip(&told).flat_map(|(a, e)| [a.clone(), e.clone()]).collect();
        tokio::spawn(async move {
            for stretch in stretches {
                // Refused as often as the other is first; what is in is not written again.
                while store.project(stretch.clone()).await.is_err() {}
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let ledger = stores[0].ledger(None).await.unwrap();
    assert_eq!((ledger.accepted, ledger.repeats, ledger.difference), (12, 0, 0));
    assert_eq!(ledger.finals.get(&State::Delivered), Some(&12));
    let used = stores[0].usage(story.tenant(), model::Timestamp(0), model::Timestamp(i64::MAX)).await.unwrap();
    assert_eq!((used[0].messages, used[0].segments), (12, 24));
    keyspace.drop(&stores[0]).await;
}
