//! The embedded engine: the common suite, and what only it can be asked.

use bus::conformance::{NARROW_ENTRIES_MAX, Room, conformance};
use bus::{Acks, Bus, BusError, Consumed, EmbeddedBus, Entry, Group, Options};
use embedded::Database;
use model::{Lane, RouteId};

async fn open(path: &std::path::Path, options: Options) -> EmbeddedBus {
    let database = Database::open(path, &embedded::Options::default()).unwrap();
    EmbeddedBus::open(database, options).await.unwrap()
}

/// A file that is opened again and again; what was opened before is closed first, as a process that ends would.
struct File {
    path: std::path::PathBuf,
    last: tokio::sync::Mutex<Option<Database>>,
}

impl File {
    fn new(dir: &tempfile::TempDir) -> Self {
        File { path: dir.path().join("lanes.db"), last: tokio::sync::Mutex::default() }
    }

    async fn open(&self, options: Options) -> EmbeddedBus {
        let mut last = self.last.lock().await;
        if let Some(database) = last.take() {
            database.close().await;
        }
        let database = Database::open(&self.path, &embedded::Options::default()).unwrap();
        *last = Some(database.clone());
        EmbeddedBus::open(database, options).await.unwrap()
    }
}

fn options(room: Room) -> Options {
    match room {
        Room::Wide => Options::default(),
        Room::Narrow => Options { lane_entries_max: NARROW_ENTRIES_MAX, ..Options::default() },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::new(&dir);
    conformance(async |room| file.open(options(room)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_when_nothing_stays_in_memory_and_blocks_are_tiny() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::new(&dir);
    let small = Options {
        tail_bytes_max: 0,
        block_entries_max: 3,
        block_bytes_max: 64,
        read_bytes_max: 100,
        trim_blocks_max: 2,
        ..Options::default()
    };
    conformance(async |room| {
        let options = Options { lane_entries_max: options(room).lane_entries_max, ..small.clone() };
        file.open(options).await
    })
    .await;
}

fn lane() -> Lane {
    Lane::Front(RouteId::new("blue").unwrap())
}

async fn three_blocks(path: &std::path::Path) -> Database {
    let database = Database::open(path, &embedded::Options::default()).unwrap();
    let bus = EmbeddedBus::open(database.clone(), Options::default()).await.unwrap();
    bus.create(&lane()).await.unwrap();
    for block in 0..3 {
        let batch = (0..10).map(|n| Entry::to_partition(0, format!("{block}.{n}"))).collect();
        bus.append(&lane(), batch).await.unwrap();
    }
    bus.close().await;
    database
}

/// Spoils the middle block with `spoil`, and checks that reading stops in front of it and never steps over it.
async fn check_damage(spoil: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let database = three_blocks(&dir.path().join("lanes.db")).await;
    database.write(move |tx| tx.execute(spoil, [])).await.unwrap();
    let bus = EmbeddedBus::open(database, Options::default()).await.unwrap();
    let before = bus.read(&lane(), 0, 0, 1_000).await.unwrap();
    assert_eq!(before.len(), 10, "what stands before the damage is read");
    assert!(matches!(bus.read(&lane(), 0, 10, 1_000).await, Err(BusError::Damaged { offset: 10, .. })));
    assert!(matches!(bus.read(&lane(), 0, 15, 1_000).await, Err(BusError::Damaged { offset: 15, .. })));
    assert!(matches!(bus.fetch(&lane(), 0, &[5, 15]).await, Err(BusError::Damaged { offset: 15, .. })));
    assert_eq!(bus.read(&lane(), 0, 20, 1_000).await.unwrap().len(), 10, "and what stands behind it, on demand");
}

#[tokio::test]
async fn a_changed_block_is_refused() {
    check_damage(
        "UPDATE block SET frame = CAST(replace(hex(frame), '312E35', '312E36') AS BLOB) WHERE place & 0xfff = 10",
    )
    .await;
}

#[tokio::test]
async fn a_flipped_bit_is_refused() {
    // Entry 1.5 becomes 1.6: the frame is sound in every way but its sum.
    check_damage("UPDATE block SET frame = unhex(replace(hex(frame), '312E35', '312E36')) WHERE place & 0xfff = 10")
        .await;
}

#[tokio::test]
async fn a_missing_block_is_refused() {
    check_damage("DELETE FROM block WHERE place & 0xfff = 10").await;
}

#[tokio::test]
async fn a_block_in_the_place_of_another_is_refused() {
    check_damage("UPDATE block SET (frame, sum) = (SELECT frame, sum FROM block WHERE place & 0xfff = 0) WHERE place & 0xfff = 10").await;
}

#[tokio::test]
async fn appends_of_many_callers_share_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("lanes.db"), &embedded::Options::default()).unwrap();
    let bus = EmbeddedBus::open(database.clone(), Options::default()).await.unwrap();
    bus.create(&lane()).await.unwrap();
    // While a job holds the writer, everything that comes waits at the desk.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let hold = database.submit(move |_| Ok(held.recv().is_ok())).unwrap();
    let callers: Vec<_> = (0..64)
        .map(|n| {
            let bus = bus.clone();
            tokio::spawn(async move { bus.append(&lane(), vec![Entry::to_partition(0, format!("{n}"))]).await })
        })
        .collect();
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    assert!(hold.await.unwrap());
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    let blocks: i64 = database.read(|c| c.query_row("SELECT count(*) FROM block", [], |row| row.get(0))).await.unwrap();
    assert_eq!(blocks, 1, "64 callers, one block, one sync");
}

#[tokio::test]
async fn a_failed_commit_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("lanes.db"), &embedded::Options::default()).unwrap();
    let bus = EmbeddedBus::open(database.clone(), Options::default()).await.unwrap();
    bus.create(&lane()).await.unwrap();
    bus.append(&lane(), (0..6).map(|n| Entry::to_partition(0, format!("{n}"))).collect()).await.unwrap();
    let done = |acks| vec![Consumed { group: Group::OWNER, lane: lane(), partition: 0, acks }];
    bus.commit(done(Acks::Offsets(vec![2])), vec![]).await.unwrap();
    // The disk refuses: a trigger stands in for it.
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON block BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.write(move |tx| tx.execute_batch(refuse)).await.unwrap();
    let appended = vec![(lane(), Entry::to_partition(0, "x"))];
    assert!(matches!(bus.commit(done(Acks::Offsets(vec![0, 1, 3])), appended.clone()).await, Err(BusError::Write(_))));
    database.write(|tx| tx.execute_batch("DROP TRIGGER refuse")).await.unwrap();
    assert_eq!(bus.watermark(Group::OWNER, &lane(), 0).await.unwrap(), 0);
    assert_eq!(bus.bounds(&lane(), 0).await.unwrap().next, 6);
    let positions = bus.commit(done(Acks::Offsets(vec![0, 1])), appended).await.unwrap();
    assert_eq!(positions[0].offset, 6, "no gap");
    assert_eq!(bus.watermark(Group::OWNER, &lane(), 0).await.unwrap(), 3, "2 stays done, 3 does not");
}

#[tokio::test]
async fn too_many_gaps_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(&dir.path().join("lanes.db"), Options { gaps_max: 3, ..Options::default() }).await;
    bus.create(&lane()).await.unwrap();
    bus.append(&lane(), (0..20).map(|n| Entry::to_partition(0, format!("{n}"))).collect()).await.unwrap();
    let done =
        |offset| vec![Consumed { group: Group::OWNER, lane: lane(), partition: 0, acks: Acks::Offsets(vec![offset]) }];
    let mut refused = 0;
    for offset in (2..20).step_by(2) {
        refused += usize::from(matches!(bus.commit(done(offset), vec![]).await, Err(BusError::Gaps { .. })));
    }
    assert!((4..=6).contains(&refused), "{refused}");
    bus.commit(vec![Consumed { group: Group::OWNER, lane: lane(), partition: 0, acks: Acks::UpTo(20) }], vec![])
        .await
        .unwrap();
    assert_eq!(bus.watermark(Group::OWNER, &lane(), 0).await.unwrap(), 20);
}

#[tokio::test]
async fn what_waits_for_the_writer_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("lanes.db"), &embedded::Options::default()).unwrap();
    let bus = EmbeddedBus::open(database.clone(), Options { waiting_max: 10, ..Options::default() }).await.unwrap();
    bus.create(&lane()).await.unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let hold = database.submit(move |_| Ok(held.recv().is_ok())).unwrap();
    let some = |count: usize| (0..count).map(|n| Entry::to_partition(0, format!("{n}"))).collect::<Vec<_>>();
    let (first, waiting) = (some(10), some(1));
    let one = tokio::spawn({
        let bus = bus.clone();
        async move { bus.append(&lane(), first).await }
    });
    tokio::task::yield_now().await; // the other task is polled, and waits at the desk
    assert!(matches!(bus.append(&lane(), waiting).await, Err(BusError::Full { .. })), "an append is refused at once");
    let two = tokio::spawn({
        let bus = bus.clone();
        async move { bus.commit(vec![], vec![(lane(), Entry::to_partition(0, "in hand"))]).await }
    });
    tokio::task::yield_now().await;
    release.send(()).unwrap();
    assert!(hold.await.unwrap());
    assert_eq!(one.await.unwrap().unwrap().len(), 10);
    assert_eq!(two.await.unwrap().unwrap()[0].offset, 10, "a commit is not");
    bus.append(&lane(), some(3)).await.unwrap();
}
