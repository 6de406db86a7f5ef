//! The embedded engine: the common suite, and what only it can be asked.

use std::path::{Path, PathBuf};

use bus::conformance::{NARROW_ENTRIES_MAX, Room, conformance};
use bus::{Acks, Bus, BusError, Consumed, EmbeddedBus, Entry, Group, Options};
use embedded::Database;
use model::{Lane, RouteId};

/// A bus with its database; both are let go of by [`Opened::close`].
struct Opened {
    bus: EmbeddedBus,
    database: Database,
}

impl std::ops::Deref for Opened {
    type Target = EmbeddedBus;

    fn deref(&self) -> &EmbeddedBus {
        &self.bus
    }
}

impl Opened {
    async fn close(self) {
        self.bus.close().await;
        self.database.close().await;
    }
}

async fn open(path: &Path, options: Options) -> Opened {
    let database = Database::open(path, &embedded::Options::default()).unwrap();
    Opened { bus: EmbeddedBus::open(database.clone(), options).await.unwrap(), database }
}

/// Small files, which are quickly looked through.
fn small() -> Options {
    Options { segment_bytes: 64 << 10, ..Options::default() }
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
async fn conforms_when_nothing_stays_in_memory_and_blocks_and_files_are_tiny() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::new(&dir);
    let small = Options {
        tail_bytes_max: 0,
        block_entries_max: 3,
        block_bytes_max: 64,
        read_bytes_max: 100,
        segment_bytes: 2_048,
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

fn texts(prefix: &str) -> Vec<Entry> {
    (0..10).map(|n| Entry::to_partition(0, format!("{prefix}.{n}"))).collect()
}

/// Three frames with a block each, in one file, which is returned.
async fn three_blocks(dir: &Path) -> PathBuf {
    let bus = open(&dir.join("a.db"), small()).await;
    bus.create(&lane()).await.unwrap();
    for block in 0..3 {
        bus.append(&lane(), texts(&block.to_string())).await.unwrap();
    }
    bus.close().await;
    files(dir).remove(0)
}

/// The files with entries, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("a.lanes")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    files.sort();
    files
}

/// Where these octets stand in a file.
fn find(path: &Path, octets: &[u8]) -> usize {
    let all = std::fs::read(path).unwrap();
    all.windows(octets.len()).position(|window| window == octets).expect("they are there")
}

fn spoil(path: &Path, at: usize, octets: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(octets, at as u64).unwrap();
}

async fn refused(dir: &Path) -> String {
    let database = Database::open(&dir.join("a.db"), &embedded::Options::default()).unwrap();
    let error = EmbeddedBus::open(database.clone(), small()).await.map(drop).unwrap_err();
    database.close().await;
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[tokio::test]
async fn a_spoilt_block_is_refused_and_never_stepped_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = three_blocks(dir.path()).await;
    spoil(&file, find(&file, b"1.5"), b"1.6");
    let bus = open(&dir.path().join("a.db"), small()).await;
    let before = bus.read(&lane(), 0, 0, 1_000).await.unwrap();
    assert_eq!(before.len(), 10, "what stands before the damage is read");
    assert!(matches!(bus.read(&lane(), 0, 10, 1_000).await, Err(BusError::Damaged { offset: 10, .. })));
    assert!(matches!(bus.read(&lane(), 0, 15, 1_000).await, Err(BusError::Damaged { offset: 15, .. })));
    assert!(matches!(bus.fetch(&lane(), 0, &[5, 15]).await, Err(BusError::Damaged { offset: 15, .. })));
    assert_eq!(bus.read(&lane(), 0, 20, 1_000).await.unwrap().len(), 10, "and what stands behind it, on demand");
}

/// Places in a file where frames begin.
fn frames(path: &Path) -> Vec<usize> {
    let all = std::fs::read(path).unwrap();
    all.windows(4).enumerate().filter(|(_, window)| *window == [0xCA, 0xB1, 0x10, 1]).map(|(at, _)| at).collect()
}

#[tokio::test]
async fn a_spoilt_frame_with_more_behind_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = three_blocks(dir.path()).await;
    let sound = std::fs::read(&file).unwrap();
    let frames = frames(&file);
    for nth in 0..frames.len() - 1 {
        for within in [0, 5, 9, 17, 30] {
            spoil(&file, frames[nth] + within, &[sound[frames[nth] + within] ^ 1]);
            let words = refused(dir.path()).await;
            assert!(words.contains("damaged at octet") && words.contains(file.to_str().unwrap()), "{nth}: {words}");
            std::fs::write(&file, &sound).unwrap();
        }
    }
    open(&dir.path().join("a.db"), small()).await;
}

#[tokio::test]
async fn a_torn_last_frame_never_happened() {
    let dir = tempfile::tempdir().unwrap();
    let file = three_blocks(dir.path()).await;
    let sound = std::fs::read(&file).unwrap();
    let last = *frames(&file).last().unwrap();
    let end = find(&file, b"2.9") + 3;
    for cut in last..end {
        let mut torn = sound.clone();
        torn[cut..].fill(0);
        std::fs::write(&file, &torn).unwrap();
        let bus = open(&dir.path().join("a.db"), small()).await;
        assert_eq!(bus.bounds(&lane(), 0).await.unwrap().next, 20, "cut at {cut}");
        bus.append(&lane(), texts("3")).await.unwrap();
        bus.close().await;
        let bus = open(&dir.path().join("a.db"), small()).await;
        let reads = bus.read(&lane(), 0, 0, 1_000).await.unwrap();
        assert_eq!((reads.len(), &reads[20].payload[..]), (30, &b"3.0"[..]), "cut at {cut}");
        bus.close().await;
    }
}

#[tokio::test]
async fn a_torn_last_frame_stays_away_when_the_next_goes_into_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = three_blocks(dir.path()).await;
    spoil(&file, find(&file, b"2.5"), &[0; 64]);
    let large = vec![Entry::to_partition(0, vec![b'x'; 70_000])];
    let bus = open(&dir.path().join("a.db"), small()).await;
    bus.append(&lane(), large).await.unwrap();
    bus.close().await;
    assert_eq!(files(dir.path()).len(), 2);
    let bus = open(&dir.path().join("a.db"), small()).await;
    let reads = bus.read(&lane(), 0, 0, 1_000).await.unwrap();
    assert_eq!((reads.len(), reads[20].payload.len()), (21, 70_000));
}

/// Fills several files, and closes.
async fn many_files(dir: &Path) {
    let bus = open(&dir.join("a.db"), Options { segment_bytes: 1_024, ..small() }).await;
    bus.create(&lane()).await.unwrap();
    for block in 0..40 {
        bus.append(&lane(), texts(&block.to_string())).await.unwrap();
    }
    bus.close().await;
    assert!(files(dir).len() > 5);
}

#[tokio::test]
async fn a_file_that_is_missing_or_empty_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    many_files(dir.path()).await;
    let files = files(dir.path());
    let sound = std::fs::read(&files[2]).unwrap();
    std::fs::remove_file(&files[2]).unwrap();
    assert!(refused(dir.path()).await.contains("is damaged"));
    std::fs::write(&files[2], vec![0; sound.len()]).unwrap();
    assert!(refused(dir.path()).await.contains(files[2].to_str().unwrap()));
    std::fs::write(&files[2], &sound).unwrap();
    open(&dir.path().join("a.db"), small()).await;
}

#[tokio::test]
async fn the_oldest_files_may_not_be_missing_either() {
    let dir = tempfile::tempdir().unwrap();
    many_files(dir.path()).await;
    let files = files(dir.path());
    std::fs::remove_file(&files[0]).unwrap();
    let words = refused(dir.path()).await;
    assert!(words.contains("is missing") && words.contains(files[1].to_str().unwrap()), "{words}");
}

/// Alone it had the books of all the others: made anew, every lane would begin again at nothing.
#[tokio::test]
async fn a_lonely_file_whose_beginning_is_spoilt_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    many_files(dir.path()).await;
    let mut files = files(dir.path());
    let last = files.pop().expect("there are several");
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let length = std::fs::metadata(&last).unwrap().len();
    std::fs::write(&last, vec![0; usize::try_from(length).unwrap()]).unwrap();
    let words = refused(dir.path()).await;
    assert!(words.contains("is damaged") && words.contains(last.to_str().unwrap()), "{words}");
    assert!(last.exists());
}

#[tokio::test]
async fn files_are_let_go_of_also_when_little_in_them_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(&dir.path().join("a.db"), Options { segment_bytes: 4_096, ..small() }).await;
    let slow = Lane::Inbox;
    for lane in [&lane(), &slow] {
        bus.create(lane).await.unwrap();
    }
    bus.declare(&lane(), &[Group::OWNER]).await.unwrap();
    let mut most = 0;
    for round in 0..300_i64 {
        // One lane nobody reads keeps a little of every file.
        bus.append(&slow, vec![Entry::to_partition(0, format!("kept {round}"))]).await.unwrap();
        let at = bus.append(&lane(), texts(&round.to_string())).await.unwrap()[9].offset;
        let consumed = Consumed { group: Group::OWNER, lane: lane(), partition: 0, acks: Acks::UpTo(at + 1) };
        bus.commit(vec![consumed], vec![]).await.unwrap();
        bus.trim().await.unwrap();
        most = most.max(files(dir.path()).len());
    }
    assert!(most < 30, "{most} files for 300 small entries");
    bus.close().await;
    let bus = open(&dir.path().join("a.db"), Options { segment_bytes: 4_096, ..small() }).await;
    let mut kept = Vec::new();
    while kept.len() < 300 {
        kept.extend(bus.read(&slow, 0, kept.len() as i64, 1_000).await.unwrap());
    }
    assert!(kept.iter().enumerate().all(|(n, read)| read.payload == format!("kept {n}")), "they were moved whole");
    assert_eq!(bus.bounds(&lane(), 0).await.unwrap().next, 3_000);
}

#[tokio::test]
async fn a_writer_that_cannot_begin_a_file_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(&dir.path().join("a.db"), Options { segment_bytes: 1_024, ..small() }).await;
    bus.create(&lane()).await.unwrap();
    bus.append(&lane(), (0..6).map(|n| Entry::to_partition(0, format!("{n}"))).collect()).await.unwrap();
    let done = |acks| vec![Consumed { group: Group::OWNER, lane: lane(), partition: 0, acks }];
    bus.commit(done(Acks::Offsets(vec![2])), vec![]).await.unwrap();
    // There is no folder to make the next file in.
    std::fs::rename(dir.path().join("a.lanes"), dir.path().join("away")).unwrap();
    let appended = vec![(lane(), Entry::to_partition(0, vec![b'x'; 2_000]))];
    assert!(matches!(bus.commit(done(Acks::Offsets(vec![0, 1, 3])), appended.clone()).await, Err(BusError::Write(_))));
    std::fs::rename(dir.path().join("away"), dir.path().join("a.lanes")).unwrap();
    assert_eq!(bus.watermark(Group::OWNER, &lane(), 0).await.unwrap(), 0);
    assert_eq!(bus.bounds(&lane(), 0).await.unwrap().next, 6);
    let positions = bus.commit(done(Acks::Offsets(vec![0, 1])), appended).await.unwrap();
    assert_eq!(positions[0].offset, 6, "no gap");
    assert_eq!(bus.watermark(Group::OWNER, &lane(), 0).await.unwrap(), 3, "2 stays done, 3 does not");
}

#[tokio::test]
async fn appends_of_many_callers_share_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(&dir.path().join("a.db"), small()).await;
    bus.create(&lane()).await.unwrap();
    let before = frames(&files(dir.path())[0]).len();
    // While the writer is held, everything that comes waits at the desk.
    let held = bus.hold_writer();
    let callers: Vec<_> = (0..64)
        .map(|n| {
            let bus = bus.bus.clone();
            tokio::spawn(async move { bus.append(&lane(), vec![Entry::to_partition(0, format!("{n}"))]).await })
        })
        .collect();
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    drop(held);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(frames(&files(dir.path())[0]).len() - before, 1, "64 callers, one frame, one sync");
}

#[tokio::test]
async fn too_many_gaps_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(&dir.path().join("lanes.db"), Options { gaps_max: 3, ..small() }).await;
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
    let bus = open(&dir.path().join("a.db"), Options { waiting_max: 10, ..small() }).await;
    bus.create(&lane()).await.unwrap();
    let held = bus.hold_writer();
    let some = |count: usize| (0..count).map(|n| Entry::to_partition(0, format!("{n}"))).collect::<Vec<_>>();
    let (first, waiting) = (some(10), some(1));
    let one = tokio::spawn({
        let bus = bus.bus.clone();
        async move { bus.append(&lane(), first).await }
    });
    tokio::task::yield_now().await; // the other task is polled, and waits at the desk
    assert!(matches!(bus.append(&lane(), waiting).await, Err(BusError::Full { .. })), "an append is refused at once");
    let two = tokio::spawn({
        let bus = bus.bus.clone();
        async move { bus.commit(vec![], vec![(lane(), Entry::to_partition(0, "in hand"))]).await }
    });
    tokio::task::yield_now().await;
    drop(held);
    assert_eq!(one.await.unwrap().unwrap().len(), 10);
    assert_eq!(two.await.unwrap().unwrap()[0].offset, 10, "a commit is not");
    bus.append(&lane(), some(3)).await.unwrap();
}

/// A lane as builds before the log kept it in the database.
fn old_tables(tx: &embedded::Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "CREATE TABLE lane (name TEXT PRIMARY KEY, id BLOB NOT NULL, partitions INTEGER NOT NULL, seat INTEGER NOT NULL UNIQUE)
            WITHOUT ROWID;
        CREATE TABLE block (place INTEGER PRIMARY KEY, count INTEGER NOT NULL, at_ms INTEGER NOT NULL,
            before INTEGER NOT NULL, sum INTEGER NOT NULL, frame BLOB NOT NULL);
        CREATE TABLE watermark (seat INTEGER NOT NULL, grp TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (seat, grp))
            WITHOUT ROWID;
        INSERT INTO lane VALUES ('outcomes', x'00000000000000000000000000000009', 4, 0);
        INSERT INTO watermark VALUES (2, 'owner', 101);",
    )?;
    for first in [100_i64, 102] {
        let place = 2 << 44 | first;
        let mut frame = vec![1, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
        frame.extend_from_slice(if first == 100 { b"ab" } else { b"cd" });
        let mut hasher = blake3::Hasher::new();
        hasher.update(&place.to_le_bytes()).update(&7_i64.to_le_bytes()).update(&frame);
        let sum = i64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().unwrap());
        tx.execute("INSERT INTO block VALUES (?1, 2, 7, 0, ?2, ?3)", rusqlite::params![place, sum, frame])?;
    }
    Ok(())
}

#[tokio::test]
async fn lanes_of_an_earlier_build_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let database = Database::open(&path, &embedded::Options::default()).unwrap();
    database.write(old_tables).await.unwrap();
    database.close().await;
    for _ in 0..2 {
        let bus = open(&path, small()).await;
        let lane = Lane::Outcomes;
        assert_eq!(bus.create(&lane).await.unwrap().id, 9);
        let bounds = bus.bounds(&lane, 2).await.unwrap();
        assert_eq!((bounds.first, bounds.next, bounds.oldest_ms), (100, 104, Some(7)));
        assert_eq!(bus.watermark(Group::OWNER, &lane, 2).await.unwrap(), 101);
        let reads = bus.read(&lane, 2, 101, 10).await.unwrap();
        assert_eq!(reads.iter().map(|read| &read.payload[..]).collect::<Vec<_>>(), [b"b", b"c", b"d"]);
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('lane', 'block', 'watermark')";
        let left: i64 = bus.database.read(move |c| c.query_row(tables, [], |row| row.get(0))).await.unwrap();
        assert_eq!(left, 0, "the tables are gone");
        bus.close().await;
    }
}
