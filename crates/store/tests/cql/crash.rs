//! A process dies between any two statements of a step: whatever is carried on after that, the tables end as if it had not.
//! What they should be, the embedded engine says, which does a step in one transaction.

use std::collections::BTreeMap;

use embedded::Database;
use model::event::KeyReused;
use model::event::{Event, Step};
use model::{DeliveryId, Lane, MessageId, State, TenantId, Timestamp};
use store::conformance::{Story, corrected, ended, leased, retried, routed, submitted};
use store::cql::{CqlStore, Faults};
use store::{EmbeddedStore, EventRow, Ledger, MessageView, Projection, Store, Usage};

use super::keyspace::{Keyspace, until_taken};

/// The stretches of a partition, by lane, and the ids in them.
struct Lives {
    tenants: Vec<TenantId>,
    accepted: Vec<Projection>,
    events: Vec<Projection>,
    messages: Vec<MessageId>,
}

/// Lives of every kind, of two tenants: with repeats, misused keys, retries, corrections, and steps that come before their
/// record.
fn lives(name: &str, partition: u32) -> Lives {
    let (mut one, mut two) = (Story::new(&format!("{name}-a"), partition), Story::new(&format!("{name}-b"), partition));
    let [a, b, c] = [0, 1, 2].map(|n| one.delivery(&n.to_string(), 0));
    let a_too = DeliveryId { index: 1, ..a };
    let other = two.delivery("0", 0);
    let reused = Step::KeyReused(KeyReused { offset: 5 });
    let accepted = vec![
        one.accept(&[(a, "x"), (a_too, "x"), (b, "x")]),
        join(one.accept(&[(a, "x"), (c, "x"), (b, "y")]), two.accept(&[(other, "x")])),
    ];
    let events = vec![
        one.tell(&[(a, 0, routed(1)), (b, 0, routed(1)), (c, 0, routed(1)), (a_too, 0, routed(1))]),
        join(
            one.tell(&[(a, 1, leased()), (a, 1, submitted()), (b, 1, leased()), (b, 1, retried()), (b, 1, routed(2))]),
            two.tell(&[(other, 0, ended(State::Rejected))]),
        ),
        one.tell(&[(a, 1, ended(State::Uncertain)), (b, 2, submitted()), (a, 1, leased()), (b, 0, reused)]),
        one.tell(&[(a, 1, corrected(State::Delivered)), (b, 2, ended(State::Sent)), (c, 1, leased())]),
    ];
    let tenants = vec![one.tenant().clone(), two.tenant().clone()];
    Lives {
        tenants,
        accepted: in_order(accepted),
        events: in_order(events),
        messages: [a, b, c, other].map(|id| id.message).to_vec(),
    }
}

fn join(mut one: Projection, other: Projection) -> Projection {
    one.accepted.extend(other.accepted);
    one.events.extend(other.events);
    one
}

/// Numbers the entries as one lane has them.
fn in_order(mut stretches: Vec<Projection>) -> Vec<Projection> {
    let mut next = 0;
    for stretch in &mut stretches {
        for row in &mut stretch.accepted {
            row.offset = next;
            next += 1;
        }
        for EventRow { offset, .. } in &mut stretch.events {
            *offset = next;
            next += 1;
        }
        stretch.next_offset = next;
    }
    stretches
}

/// All a store says of these lives.
#[derive(PartialEq, Debug)]
struct Told {
    ledgers: Vec<Ledger>,
    usage: Vec<Vec<Usage>>,
    views: Vec<Option<MessageView>>,
    claims: Vec<bool>,
    positions: [i64; 2],
}

async fn told<S: Store>(store: &S, lives: &Lives) -> Told {
    let (mut ledgers, mut usage, mut views) = (Vec::new(), Vec::new(), Vec::new());
    let partition = lives.accepted[0].partition;
    for tenant in &lives.tenants {
        let ledger = until_taken(async || store.ledger(Some(tenant)).await).await;
        assert_eq!(ledger.difference, 0, "{ledger:?}");
        ledgers.push(ledger);
        usage.push(until_taken(async || store.usage(tenant, Timestamp(0), Timestamp(i64::MAX)).await).await);
        for message in &lives.messages {
            views.push(until_taken(async || store.message(tenant, *message).await).await.map(plain));
        }
    }
    let claims = until_taken(async || store.claims(&lives.messages).await).await.iter().map(Option::is_some).collect();
    let next = async |lane: Lane| until_taken(async || store.projected(&lane, partition).await).await;
    Told { ledgers, usage, views, claims, positions: [next(Lane::Accepted).await, next(Lane::Events).await] }
}

/// A view without what an engine may leave out of its events.
fn plain(mut view: MessageView) -> MessageView {
    for delivery in &mut view.deliveries {
        delivery.events.iter_mut().for_each(|event: &mut Event| event.accepted_ms = 0);
    }
    view
}

/// What the embedded engine says of the same stretches.
async fn wanted(lives: &Lives) -> Told {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("state.db"), &embedded::Options::default()).unwrap();
    let store = EmbeddedStore::open(database).await.unwrap();
    for stretch in lives.accepted.iter().chain(&lives.events) {
        store.project(stretch.clone()).await.unwrap();
    }
    told(&store, lives).await
}

/// The stretches before the one that is cut, that one, and those after it.
type Cut<'a> = (Vec<&'a Projection>, &'a Projection, Vec<&'a Projection>);

fn cuts(lives: &Lives) -> BTreeMap<&'static str, Cut<'_>> {
    let (a, e) = (&lives.accepted, &lives.events);
    BTreeMap::from([
        ("an acceptance, then steps", (vec![], &a[0], vec![&e[0], &a[0], &a[1], &e[1], &e[2], &e[3]])),
        ("an acceptance, then itself", (vec![&a[0], &e[0]], &a[1], vec![&a[1], &e[1], &e[2], &e[3]])),
        ("steps, then an acceptance", (vec![&a[0]], &e[0], vec![&a[1], &e[0], &e[1], &e[2], &e[3]])),
        ("early steps, then their record", (vec![&a[0], &e[0]], &e[1], vec![&a[1], &e[1], &e[2], &e[3]])),
        ("ends, then themselves", (vec![&a[0], &a[1], &e[0], &e[1]], &e[2], vec![&e[2], &e[3]])),
        ("a correction, then all again", (vec![&a[0], &a[1], &e[0], &e[1], &e[2]], &e[3], vec![&a[1], &e[2], &e[3]])),
    ])
}

/// More statements than any step here has.
const STATEMENTS_MAX: i64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_cut_anywhere_leaves_what_its_replay_makes_whole() {
    let keyspace = Keyspace::new("crash");
    let healthy = keyspace.open().await;
    let mut all = Vec::new();
    for (nth, name) in cuts(&lives("x", 0)).into_keys().enumerate() {
        let first = 1_000 * (1 + u32::try_from(nth).unwrap());
        all.push(cut_everywhere(name, first, &keyspace, &healthy));
    }
    let tried: u32 = futures_util::future::join_all(all).await.into_iter().sum();
    assert!(tried > 60, "only {tried} cuts were tried");
    keyspace.drop(&healthy).await;
}

/// Cuts a step after every number of statements it has, each time in a partition of its own. Returns how often.
async fn cut_everywhere(name: &str, first: u32, keyspace: &Keyspace, healthy: &CqlStore) -> u32 {
    let faults = Faults::new();
    let victim = keyspace.open_over(&faults).await;
    let mut partition = first;
    for arrives in [false, true] {
        for statements in 0..STATEMENTS_MAX {
            partition += 1;
            let lives = lives(&format!("t{partition}"), partition);
            let (before, cut, after) = cuts(&lives).remove(name).unwrap();
            for stretch in before {
                until_taken(async || victim.project(stretch.clone()).await).await;
            }
            faults.cut_after(statements, arrives);
            let survived = victim.project(cut.clone()).await.is_ok();
            faults.mend();
            // Whoever comes next has nothing but the tables: another process, or this one after its failure.
            let next = if partition.is_multiple_of(2) { &victim } else { healthy };
            for stretch in after {
                until_taken(async || next.project(stretch.clone()).await).await;
            }
            let what = format!("{name}, cut after {statements} statements (the next arrives: {arrives})");
            assert_eq!(told(next, &lives).await, wanted(&lives).await, "{what}");
            if survived {
                break;
            }
            assert!(statements + 1 < STATEMENTS_MAX, "a step has no end: {what}");
        }
    }
    partition - first
}
