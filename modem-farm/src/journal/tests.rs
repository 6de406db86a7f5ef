//! What the journal remembers, and what it forgets.

use model::MessageId;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn partition() -> PartitionId {
    PartitionId { route: RouteId::new("alpha").unwrap(), index: 3 }
}

fn attempt(number: u32) -> Attempt {
    Attempt { delivery: DeliveryId { message: MessageId(77), index: 2 }, number }
}

fn kept(epoch: i64) -> KeptEpoch {
    KeptEpoch { partition: partition(), lane: LaneId(1), epoch }
}

fn by() -> By {
    By { link: LinkName::new("modem-1").unwrap(), imsi: "262019876543210".to_owned() }
}

fn outcome(kind: OutcomeKind) -> Outcome {
    Outcome { kind: kind.into(), link: "modem-1".into(), references: vec![7], ..Outcome::default() }
}

async fn write(journal: &Journal, entries: Vec<Entry>) {
    journal.write(entries).unwrap().await.unwrap();
}

async fn reopened(journal: Journal, directory: &Path) -> (Journal, Memory) {
    journal.close().await;
    drop(journal);
    Journal::open(directory, "farm-1", NOW).await.unwrap()
}

#[tokio::test]
async fn begun_without_outcome_is_uncertain_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, memory) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    assert!(memory.recovered.entries.is_empty());
    let begun = |number| Entry::Begun { partition: partition(), attempt: attempt(number), by: by() };
    write(&journal, vec![begun(1), begun(2), begun(3)]).await;
    write(&journal, vec![Entry::PartBegun { attempt: attempt(2), references: vec![41] }]).await;
    let sent = Entry::Ended { attempt: attempt(3), outcome: outcome(OutcomeKind::Sent) };
    write(&journal, vec![sent]).await;

    let (journal, again) = reopened(journal, directory.path()).await;
    assert_eq!(again.incarnation, memory.incarnation);
    let states: Vec<(u32, OutcomeKind, Vec<u32>)> = again
        .recovered
        .entries
        .into_iter()
        .map(|entry| {
            assert_eq!((entry.partition, entry.link), (partition(), by().link));
            let JournalState::Ended(outcome) = entry.state else { panic!("everything has ended") };
            (entry.attempt.number, outcome.kind(), outcome.references)
        })
        .collect();
    let uncertain = OutcomeKind::Uncertain;
    assert_eq!(states, [(1, uncertain, vec![]), (2, uncertain, vec![41]), (3, OutcomeKind::Sent, vec![7])]);

    // The first outcome stays, and is forgotten only on request.
    let late = Entry::Ended { attempt: attempt(1), outcome: outcome(OutcomeKind::Sent) };
    write(&journal, vec![late, Entry::Forget { attempts: vec![attempt(2), attempt(3)] }]).await;
    let (_journal, last) = reopened(journal, directory.path()).await;
    let [left] = last.recovered.entries.as_slice() else { panic!("one is left") };
    let JournalState::Ended(outcome) = &left.state else { panic!("it has ended") };
    assert_eq!((left.attempt.number, outcome.kind()), (1, uncertain));
}

#[tokio::test]
async fn a_log_that_grew_is_begun_anew_with_what_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    let long = Outcome { reason: "x".repeat(10_000), ..outcome(OutcomeKind::FailedForNow) };
    for block in 0..70 {
        let numbers = || (block * 10 + 1)..=(block * 10 + 10);
        let begun = numbers().map(|n| Entry::Begun { partition: partition(), attempt: attempt(n), by: by() });
        write(&journal, begun.collect()).await;
        let ended = numbers().map(|n| Entry::Ended { attempt: attempt(n), outcome: long.clone() });
        write(&journal, ended.collect()).await;
        // One of each block stays.
        write(&journal, vec![Entry::Forget { attempts: numbers().skip(1).map(attempt).collect() }]).await;
    }
    let count = journal.database.read(|db| db.query_row("SELECT count(*) FROM attempt_log", [], |row| row.get(0)));
    let blocks: u32 = count.await.unwrap();
    assert!(blocks < 3 * 70 / 2, "{blocks} blocks");
    let (_journal, memory) = reopened(journal, directory.path()).await;
    let left: Vec<u32> = memory.recovered.entries.iter().map(|entry| entry.attempt.number).collect();
    assert_eq!(left, (0..70).map(|block| block * 10 + 1).collect::<Vec<_>>());
    assert!(memory.recovered.entries.iter().all(|entry| entry.state == JournalState::Ended(long.clone())));
}

/// The file as a program of another day sees it.
fn raw(directory: &Path) -> embedded::Connection {
    embedded::Connection::open(directory.join("journal.db")).unwrap()
}

#[tokio::test]
async fn a_damaged_block_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    write(&journal, vec![Entry::Begun { partition: partition(), attempt: attempt(1), by: by() }]).await;
    journal.close().await;
    drop(journal);
    assert_eq!(raw(directory.path()).execute("UPDATE attempt_log SET block = x'0affff'", []).unwrap(), 2);
    assert!(matches!(Journal::open(directory.path(), "farm-1", NOW).await, Err(FarmError::OpenJournal { .. })));
}

#[tokio::test]
async fn what_an_earlier_build_kept_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    journal.close().await;
    drop(journal);
    let table = "CREATE TABLE attempts (
        delivery BLOB NOT NULL, number INTEGER NOT NULL, route TEXT NOT NULL, partition INTEGER NOT NULL,
        link TEXT NOT NULL, imsi TEXT NOT NULL, part INTEGER NOT NULL, refs BLOB NOT NULL, outcome BLOB,
        PRIMARY KEY (delivery, number)) WITHOUT ROWID";
    let put = "INSERT INTO attempts VALUES (?1, ?2, 'alpha', 3, 'modem-1', '1', 1, x'00000029', ?3)";
    let file = raw(directory.path());
    file.execute(table, []).unwrap();
    let delivery = attempt(1).delivery.to_bytes();
    for (number, outcome) in [(1, None), (2, Some(outcome(OutcomeKind::Sent).encode_to_vec()))] {
        file.execute(put, (delivery.as_slice(), number, outcome)).unwrap();
    }
    drop(file);
    let (journal, memory) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    let (_journal, again) = reopened(journal, directory.path()).await;
    assert_eq!(memory.recovered.entries, again.recovered.entries);
    let states = memory.recovered.entries.iter().map(|entry| match &entry.state {
        JournalState::Ended(outcome) => (entry.attempt, outcome.kind(), outcome.references.clone()),
        JournalState::Begun => panic!("everything has ended"),
    });
    let expected = [(attempt(1), OutcomeKind::Uncertain, vec![41]), (attempt(2), OutcomeKind::Sent, vec![7])];
    assert_eq!(states.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_is_begun_is_not_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    write(&journal, vec![Entry::Begun { partition: partition(), attempt: attempt(1), by: by() }]).await;
    write(&journal, vec![Entry::Forget { attempts: vec![attempt(1)] }]).await;
    let (_journal, memory) = reopened(journal, directory.path()).await;
    assert_eq!(memory.recovered.entries.len(), 1);
}

#[tokio::test]
async fn an_attempt_is_begun_once() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    let begun = || vec![Entry::Begun { partition: partition(), attempt: attempt(1), by: by() }];
    write(&journal, begun()).await;
    assert!(journal.write(begun()).unwrap().await.is_err());
}

#[tokio::test]
async fn the_last_epoch_and_the_highest_count_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    let used = |segments| Entry::Used { imsi: "1".into(), day: 20_000, segments };
    for (epoch, segments) in [(5, 3), (9, 8), (7, 4)] {
        write(&journal, vec![Entry::Epoch(kept(epoch)), used(segments)]).await;
    }
    assert_eq!(journal.used("1", 20_000).await.unwrap(), 8);
    assert_eq!(journal.used("1", 20_001).await.unwrap(), 0);
    let (_journal, memory) = reopened(journal, directory.path()).await;
    assert_eq!(memory.recovered.epochs, [kept(7)]);
}

#[tokio::test]
async fn a_pin_is_claimed_once_until_it_was_right() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    assert!(journal.claim_pin("8949").await.unwrap());
    let (journal, _) = reopened(journal, directory.path()).await;
    assert!(!journal.claim_pin("8949").await.unwrap());
    journal.clear_pin("8949").await.unwrap();
    assert!(journal.claim_pin("8949").await.unwrap());
}

fn receipt() -> News {
    let (imsi, recipient) = ("262019876543210".to_owned(), "+491721234567".to_owned());
    News::Receipt { imsi, reference: 34, recipient, status: 0, network_ms: 5 }
}

#[tokio::test]
async fn arrivals_wait_until_they_are_taken_and_repeats_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    let arrive =
        async |news: News, tell_by: Option<&[u8]>, at| journal.arrive(news, tell_by, at).unwrap().await.unwrap();
    let inbound = || News::Inbound { imsi: "1".into(), link: by().link, tpdu: bytes::Bytes::from_static(&[4, 1]) };
    let Arrived::New(first) = arrive(receipt(), None, NOW).await else { panic!("new") };
    let Arrived::New(second) = arrive(inbound(), Some(&[4, 1]), NOW).await else { panic!("new") };
    assert_eq!(arrive(inbound(), Some(&[4, 1]), NOW).await, Arrived::Known);
    assert!(matches!(arrive(receipt(), None, NOW).await, Arrived::New(_)));
    write(&journal, vec![Entry::Taken { numbers: vec![second.number] }]).await;
    assert_eq!(arrive(inbound(), Some(&[4, 1]), NOW).await, Arrived::Known);

    let file = std::fs::read(directory.path().join("journal.db")).unwrap();
    let wal = std::fs::read(directory.path().join("journal.db-wal")).unwrap_or_default();
    let clear = |bytes: &[u8]| bytes.windows(11).any(|window| window == b"49172123456");
    assert!(!clear(&file) && !clear(&wal), "a number stands in the journal");

    let tomorrow = NOW.plus_ms(REMEMBERED_MS_AND_MORE);
    assert!(matches!(arrive(receipt(), None, tomorrow).await, Arrived::New(_)));
    assert!(matches!(arrive(inbound(), Some(&[4, 1]), tomorrow).await, Arrived::New(_)));
    let (_journal, memory) = reopened(journal, directory.path()).await;
    assert_eq!(memory.arrivals.len(), 4);
    assert_eq!(memory.arrivals[0], first);
}

#[tokio::test]
async fn receipts_that_came_together_wait_until_all_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    let receive = async |journal: &Journal, count| {
        journal.receive((0..count).map(|_| receipt()).collect(), NOW).unwrap().await.unwrap()
    };
    let numbers = |arrivals: &[Arrival]| arrivals.iter().map(|arrival| arrival.number).collect::<Vec<_>>();
    assert_eq!(numbers(&receive(&journal, 3).await), [1, 2, 3]);
    let Arrived::New(single) = journal.arrive(receipt(), None, NOW).unwrap().await.unwrap() else { panic!("new") };
    assert_eq!((single.number, numbers(&receive(&journal, 2).await)), (4, vec![5, 6]));
    write(&journal, vec![Entry::Taken { numbers: vec![2, 4, 5, 6] }]).await;
    assert_eq!(numbers(&journal.arrivals().await.unwrap()), [1, 3]);

    let file = std::fs::read(directory.path().join("journal.db-wal")).unwrap();
    assert!(!file.windows(11).any(|window| window == b"49172123456"), "a number stands in the journal");

    let (journal, memory) = reopened(journal, directory.path()).await;
    assert_eq!(numbers(&memory.arrivals), [1, 2, 3], "a block comes whole");
    assert_eq!(memory.arrivals[1].news, receipt());
    write(&journal, vec![Entry::Taken { numbers: vec![1, 2, 3, 3] }]).await;
    let (journal, memory) = reopened(journal, directory.path()).await;
    assert!(memory.arrivals.is_empty());
    assert_eq!(numbers(&receive(&journal, 1).await), [7], "numbers do not come again");
}

#[tokio::test]
async fn a_number_is_never_given_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    for expected in 1..4 {
        let Arrived::New(arrival) = journal.arrive(receipt(), None, NOW).unwrap().await.unwrap() else { panic!("new") };
        assert_eq!(arrival.number, expected);
        write(&journal, vec![Entry::Taken { numbers: vec![expected] }]).await;
        journal = reopened(journal, directory.path()).await.0;
    }
}

const REMEMBERED_MS_AND_MORE: i64 = 25 * 3600 * 1000;

#[tokio::test]
async fn a_journal_without_its_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(directory.path(), "farm-1", NOW).await.unwrap();
    journal.close().await;
    drop(journal);
    std::fs::remove_file(directory.path().join("journal.key")).unwrap();
    assert!(matches!(Journal::open(directory.path(), "farm-1", NOW).await, Err(FarmError::JournalKey { .. })));
}
