//! The embedded engine: the common suite, any interleaving of stretches, and what only it can be asked.

use embedded::Database;
use model::{Lane, MessageId, State, Timestamp};
use proptest::prelude::*;
use store::conformance::{Story, conformance, corrected, ended, leased, retried, routed, submitted};
use store::{
    Document, DocumentKind, EmbeddedStore, KEEP_MS_MIN, Ledger, MessageView, NotificationRow, Projection, Store,
};

fn open(dir: &tempfile::TempDir) -> Database {
    Database::open(&dir.path().join("state.db"), &embedded::Options::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let last: tokio::sync::Mutex<Option<Database>> = tokio::sync::Mutex::default();
    conformance(async || {
        let mut last = last.lock().await;
        if let Some(database) = last.take() {
            database.close().await;
        }
        let database = open(&dir);
        *last = Some(database.clone());
        EmbeddedStore::open(database).await.unwrap()
    })
    .await;
}

const PARTITIONS: u32 = 2;

/// The stretches of two partitions of both lanes, with lives of every kind, and a repeat of a request.
fn lanes() -> (Vec<Vec<Projection>>, Vec<model::MessageId>) {
    let (mut lanes, mut ids) = (Vec::new(), Vec::new());
    for partition in 0..PARTITIONS {
        let mut story = Story::new("acme", partition);
        let [a, b, c, d] = [0, 1, 2, 3].map(|n| story.delivery(&format!("{partition}:{n}"), 0));
        ids.extend([a, b, c, d].map(|id| id.message));
        lanes.push(vec![
            story.accept(&[(a, "x"), (b, "x")]),
            story.accept(&[(c, "x"), (a, "x")]),
            story.accept(&[(d, "x"), (b, "y")]),
        ]);
        lanes.push(vec![
            story.tell(&[(a, 0, routed(1)), (b, 0, routed(1))]),
            story.tell(&[(a, 1, leased()), (b, 1, leased()), (c, 0, ended(State::Rejected))]),
            story.tell(&[(a, 1, submitted()), (b, 1, retried()), (b, 1, routed(2)), (d, 0, routed(1))]),
            story.tell(&[(a, 1, ended(State::Delivered)), (b, 2, leased()), (b, 2, ended(State::Uncertain))]),
            story.tell(&[(b, 2, corrected(State::Delivered)), (b, 2, leased())]),
        ]);
    }
    (lanes, ids)
}

async fn views(store: &EmbeddedStore, ids: &[model::MessageId]) -> Vec<Option<MessageView>> {
    let tenant = Story::new("acme", 0).tenant().clone();
    let mut views = Vec::new();
    for id in ids {
        views.push(store.message(&tenant, *id).await.unwrap());
    }
    views
}

/// Carries stretches on in the order of `picks`: each names a lane, whose next stretch is taken, alone or together with
/// others, or whose last is taken again.
async fn run(picks: &[(usize, bool)]) -> (Ledger, Vec<Option<MessageView>>) {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(open(&dir)).await.unwrap();
    let (lanes, ids) = lanes();
    let mut at = vec![0; lanes.len()];
    let rest = (0..lanes.len()).flat_map(|lane| std::iter::repeat_n((lane, false), 5));
    let mut batches = Vec::new();
    for (lane, again) in picks.iter().copied().chain(rest) {
        let next = if again { at[lane].max(1) - 1 } else { at[lane] };
        if let Some(batch) = lanes[lane].get(next) {
            at[lane] = next + 1;
            batches.push(batch.clone());
        }
    }
    for together in batches.chunks(3) {
        let projecting: Vec<_> = together.iter().map(|batch| store.project(batch.clone())).collect();
        for projected in futures_in_order(projecting).await {
            projected.unwrap();
        }
        let ledger = store.ledger(None).await.unwrap();
        assert_eq!(ledger.difference, 0, "{ledger:?}");
    }
    assert_eq!(store.projected(&Lane::Events, 0).await.unwrap(), 14);
    (store.ledger(None).await.unwrap(), views(&store, &ids).await)
}

/// Starts all, in order, then waits for all.
async fn futures_in_order<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in pinned.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        if outputs.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_interleaving_leads_to_the_same_rows(picks in proptest::collection::vec((0..4_usize, any::<bool>()), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (ledger, views) = runtime.block_on(run(&picks));
        let (wanted, rows) = runtime.block_on(run(&[]));
        prop_assert_eq!((ledger.accepted, &ledger.finals, &ledger.pending), (8, &wanted.finals, &wanted.pending));
        prop_assert_eq!((ledger.repeats, ledger.keys_reused), (2, 2));
        prop_assert_eq!(views, rows);
    }
}

#[tokio::test]
async fn a_failed_step_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir);
    let store = EmbeddedStore::open(database.clone()).await.unwrap();
    let mut story = Story::new("acme", 0);
    let (a, b) = (story.delivery("a", 0), story.delivery("b", 0));
    store.project(story.accept(&[(a, "x")])).await.unwrap();
    // The disk refuses, when all else of the step is written: a trigger stands in for it.
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON total BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.write(move |tx| tx.execute_batch(refuse)).await.unwrap();
    let (accepted, told) =
        (story.accept(&[(b, "x")]), story.tell(&[(a, 0, routed(1)), (a, 0, ended(State::Rejected))]));
    let results = futures_in_order(vec![store.project(accepted.clone()), store.project(told.clone())]).await;
    assert!(results.iter().all(Result::is_err));
    database.write(|tx| tx.execute_batch("DROP TRIGGER refuse")).await.unwrap();
    let ledger = store.ledger(None).await.unwrap();
    assert_eq!((ledger.accepted, ledger.pending.get(&State::Accepted), ledger.difference), (1, Some(&1), 0));
    assert_eq!(store.projected(&Lane::Events, 0).await.unwrap(), 0);
    store.project(told).await.unwrap();
    store.project(accepted).await.unwrap();
    let ledger = store.ledger(None).await.unwrap();
    assert_eq!((ledger.accepted, ledger.finals.get(&State::Rejected), ledger.difference), (2, Some(&1), 0));
}

#[tokio::test]
async fn stages_are_counted_from_live_rows_only() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir);
    EmbeddedStore::open(database.clone()).await.unwrap();
    let plan = |sql: &'static str| {
        let plan = move |c: &embedded::Connection| {
            c.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get::<_, String>(3))
        };
        database.read(plan)
    };
    let plan =
        plan("SELECT state, count(*) FROM delivery INDEXED BY live WHERE counted = 1 AND state < 5 GROUP BY state")
            .await
            .unwrap();
    assert!(plan.contains("COVERING INDEX live"), "stages are counted from live rows only: {plan}");
}

#[tokio::test]
async fn what_is_over_is_purged() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(open(&dir)).await.unwrap();
    let (tenant, over) = (Story::new("acme", 0).tenant().clone(), Timestamp(1_000));
    let put = |id: &str, until| Document {
        tenant: tenant.clone(),
        kind: DocumentKind::ChangeKey,
        id: id.into(),
        body: id.into(),
        until,
    };
    let many = (0..1_200).map(|n| put(&format!("over-{n}"), Some(over)));
    for document in many.chain([put("later", Some(over.plus_ms(1))), put("for ever", None)]) {
        store.replace_document(None, document).await.unwrap().unwrap();
    }
    let notification =
        |id, until| NotificationRow { tenant: tenant.clone(), id: MessageId(id), until, body: "b".into() };
    store.notifications_put(vec![notification(1, over), notification(2, over.plus_ms(1))]).await.unwrap();
    store.purge(over, KEEP_MS_MIN).await.unwrap();
    let left = store.documents(&tenant, DocumentKind::ChangeKey, "", 9).await.unwrap();
    assert_eq!(left.iter().map(|(_, document)| document.id.as_str()).collect::<Vec<_>>(), ["for ever", "later"]);
    assert!(store.notification(&tenant, MessageId(1)).await.unwrap().is_none());
    assert!(store.notification(&tenant, MessageId(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn numbers_and_texts_are_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(&dir);
    EmbeddedStore::open(database.clone()).await.unwrap();
    let columns: Vec<String> = database
        .read(|c| {
            let mut all = c.prepare("SELECT m.name || '.' || p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'")?;
            all.query_map([], |row| row.get(0))?.collect()
        })
        .await
        .unwrap();
    // Keyed hashes, what is sealed before the store gets it, and the id of such.
    let opaque = [
        "reference.recipient",
        "inbound.sealed",
        "content.sealed",
        "content_ticket.recipient",
        "content_ticket.content",
    ];
    assert!(opaque.iter().all(|column| columns.iter().any(|known| known == column)));
    for column in columns.iter().filter(|column| !opaque.contains(&column.as_str())) {
        let (_, name) = column.split_once('.').expect("a table and its column");
        assert!(
            !["msisdn", "recipient", "text", "content", "sealed"].iter().any(|word| name.contains(word)),
            "{column}"
        );
    }
}
