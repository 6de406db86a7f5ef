//! The promises of the embedded engine, seen from outside: order, isolation of failures, bounds, one owner.

use embedded::{Database, EmbeddedError, Options};

async fn numbers(path: &std::path::Path, options: &Options) -> Database {
    let database = Database::open(path, options).unwrap();
    database.write(|tx| tx.execute_batch("CREATE TABLE IF NOT EXISTS number (n INTEGER PRIMARY KEY)")).await.unwrap();
    database
}

async fn insert(database: &Database, n: i64) -> Result<usize, EmbeddedError> {
    database.write(move |tx| tx.execute("INSERT INTO number VALUES (?1)", [n])).await
}

async fn count(database: &Database) -> i64 {
    database.read(|c| c.query_row("SELECT count(*) FROM number", [], |row| row.get(0))).await.unwrap()
}

#[tokio::test]
async fn a_failing_job_leaves_the_others_of_its_group_alone() {
    let dir = tempfile::tempdir().unwrap();
    let database = numbers(&dir.path().join("a.db"), &Options::default()).await;
    let both = |n: i64| {
        database
            .submit(move |tx| {
                tx.execute("INSERT INTO number VALUES (?1)", [n])?;
                tx.execute("INSERT INTO number VALUES (?1)", [if n == 4 { 0 } else { n + 100 }])
            })
            .unwrap()
    };
    let jobs: Vec<_> = (0..10).map(both).collect();
    let mut failed = Vec::new();
    for (n, job) in jobs.into_iter().enumerate() {
        if job.await.is_err() {
            failed.push(n);
        }
    }
    assert_eq!(failed, [4]);
    assert_eq!(count(&database).await, 18, "neither half of the failed job may stay");
}

#[tokio::test]
async fn a_panic_costs_one_job() {
    let dir = tempfile::tempdir().unwrap();
    let database = numbers(&dir.path().join("a.db"), &Options::default()).await;
    let broken = database.write(|_| -> Result<(), _> { panic!("on purpose") }).await;
    assert!(matches!(broken, Err(EmbeddedError::Panicked)));
    insert(&database, 1).await.unwrap();
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn who_is_told_is_told_before_the_next_group() {
    let dir = tempfile::tempdir().unwrap();
    let database = numbers(&dir.path().join("a.db"), &Options { group_max: 1, ..Options::default() }).await;
    let told: std::sync::Arc<std::sync::Mutex<Vec<String>>> = std::sync::Arc::default();
    let say = |what: String| {
        let told = std::sync::Arc::clone(&told);
        move || told.lock().unwrap().push(what)
    };
    for n in 0..4 {
        let (begun, ended) = (say(format!("{n} runs")), say(format!("{n} is told")));
        let work = move |tx: &embedded::Transaction<'_>| {
            begun();
            tx.execute("INSERT INTO number VALUES (?1)", [n / 2]) // every other one fails
        };
        let after = move |result: Result<usize, EmbeddedError>| {
            assert_eq!(result.is_ok(), n % 2 == 0);
            ended();
            assert!(n != 2, "a panic of who is told costs nobody else");
        };
        database.submit_then(work, after).unwrap();
    }
    insert(&database, 100).await.unwrap();
    let wanted: Vec<String> = (0..4).flat_map(|n| [format!("{n} runs"), format!("{n} is told")]).collect();
    assert_eq!(*told.lock().unwrap(), wanted);
}

#[tokio::test]
async fn what_is_full_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { waiting_max: 2, ..Options::default() };
    let database = numbers(&dir.path().join("a.db"), &options).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (begun, started) = tokio::sync::oneshot::channel();
    let hold = database
        .submit(move |_| {
            begun.send(()).unwrap();
            held.recv().map_err(|_| rusqlite::Error::InvalidQuery)
        })
        .unwrap();
    started.await.unwrap();
    let waiting: Vec<_> = (0..2).map(|_| database.submit(|_| Ok(())).unwrap()).collect();
    assert!(matches!(database.write(|_| Ok(())).await, Err(EmbeddedError::Full)));
    release.send(()).unwrap();
    hold.await.unwrap();
    for job in waiting {
        job.await.unwrap();
    }
    database.write(|_| Ok(())).await.unwrap();
}

#[tokio::test]
async fn two_owners_are_refused_and_a_closed_file_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let database = numbers(&path, &Options::default()).await;
    insert(&database, 7).await.unwrap();
    assert!(matches!(Database::open(&path, &Options::default()), Err(EmbeddedError::Locked { .. })));
    database.close().await;
    assert!(matches!(insert(&database, 8).await, Err(EmbeddedError::Closed)));
    drop(database);
    assert_eq!(count(&numbers(&path, &Options::default()).await).await, 1);
}
