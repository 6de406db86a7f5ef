//! Numbered steps of the schema: once each, one process at a time. Knows the files, not what the tables are for.
//!
//! CQL has no transactional DDL, so every statement of a step may run twice (`IF NOT EXISTS`), and a step counts when its
//! row is written. The lock is a row with a time to live: a process that dies with it holds nobody up for longer.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::unprepared::Statement as Unprepared;
use tokio::time::{Instant, sleep};

use super::client::applied;
use super::session::Patience;
use super::{CqlError, Options};

/// A step of the schema.
struct Step {
    /// Its number, from 1 without gaps.
    number: i32,
    /// Its name.
    name: &'static str,
    /// Its statements, each ended by `;`, with comments of whole lines.
    text: &'static str,
}

/// All steps this build knows, in order.
const STEPS: &[Step] = &[
    Step { number: 1, name: "tables", text: include_str!("../../migrations/0001-tables.cql") },
    Step { number: 2, name: "allowance", text: include_str!("../../migrations/0002-allowance.cql") },
    Step { number: 3, name: "cancellation", text: include_str!("../../migrations/0003-cancellation.cql") },
    Step { number: 4, name: "inbound", text: include_str!("../../migrations/0004-inbound.cql") },
    Step { number: 5, name: "content", text: include_str!("../../migrations/0005-content.cql") },
    Step { number: 6, name: "push", text: include_str!("../../migrations/0006-push.cql") },
];

const SCOPE: &str = "carillon";
/// How long the lock holds unless it is taken again: longer than a step takes.
const LOCK_SECONDS: u64 = 120;
/// How long one change of the schema may take: seconds, on a busy machine.
pub(super) const CHANGE_MAX: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_millis(250);
/// Looks at whether all nodes know the same schema, before one gives up.
const AGREEMENT_LOOKS_MAX: usize = 120;

const BOOKS: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS schema_migrations (scope text, number int, name text, compatible boolean, \
     applied timestamp, PRIMARY KEY ((scope), number))",
    "CREATE TABLE IF NOT EXISTS schema_lock (scope text PRIMARY KEY, owner text)",
];

/// Brings the schema to what this build knows.
pub(super) async fn run(session: &Session, options: &Options) -> Result<(), CqlError> {
    run_steps(session, options, STEPS).await
}

async fn run_steps(session: &Session, options: &Options, steps: &[Step]) -> Result<(), CqlError> {
    let owner = format!("{:032x}", uuid::Uuid::now_v7().as_u128());
    let mut patience = Patience::new(options);
    while let Err(error) = try_steps(session, options, steps, &owner).await {
        patience.after(error).await?;
    }
    Ok(())
}

/// Every part of it may be done twice: also taking the lock, by whoever has it.
async fn try_steps(session: &Session, options: &Options, steps: &[Step], owner: &str) -> Result<(), CqlError> {
    let books = Books { session, options };
    if books.are_there().await? && books.missing(steps).await?.is_empty() {
        return Ok(());
    }
    if !options.change_schema {
        return Err(CqlError::Outdated { keyspace: options.keyspace.clone() });
    }
    for book in BOOKS {
        books.change(book).await?;
    }
    books.lock(owner).await?;
    let done = books.apply(steps, owner).await;
    let unlocked = books.unlock(owner).await;
    done.and(unlocked)
}

/// Notes that a step is in.
pub(super) async fn note(session: &Session, number: i32, name: &str, compatible: bool) -> Result<(), CqlError> {
    let put = "INSERT INTO schema_migrations (scope, number, name, compatible, applied) \
               VALUES (?, ?, ?, ?, toTimestamp(now()))";
    session.query_unpaged(put, (SCOPE, number, name, compatible)).await.map_err(failed).map(drop)
}

struct Books<'a> {
    session: &'a Session,
    options: &'a Options,
}

impl Books<'_> {
    async fn are_there(&self) -> Result<bool, CqlError> {
        let find = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'schema_lock'";
        let found = self.session.query_unpaged(find, (&self.options.keyspace,)).await.map_err(failed)?;
        Ok(found.into_rows_result().is_ok_and(|rows| rows.rows_num() > 0))
    }

    /// The steps that are not in yet. Refuses a schema that has steps this build can't work with.
    async fn missing<'s>(&self, steps: &'s [Step]) -> Result<Vec<&'s Step>, CqlError> {
        let find = "SELECT number, name, compatible FROM schema_migrations WHERE scope = ?";
        let found = self.session.query_unpaged(find, (SCOPE,)).await.map_err(failed)?;
        let rows = found.into_rows_result().map_err(failed)?;
        let rows = rows.rows::<(i32, Option<String>, Option<bool>)>().map_err(failed)?;
        let known = steps.last().map_or(0, |step| step.number);
        let mut there = Vec::new();
        for row in rows {
            let (found, name, compatible) = row.map_err(failed)?;
            if found > known && !compatible.unwrap_or(false) {
                let (keyspace, name) = (self.options.keyspace.clone(), name.unwrap_or_default());
                return Err(CqlError::Newer { keyspace, found, name, known });
            }
            there.push(found);
        }
        Ok(steps.iter().filter(|step| !there.contains(&step.number)).collect())
    }

    async fn apply(&self, steps: &[Step], owner: &str) -> Result<(), CqlError> {
        for step in self.missing(steps).await? {
            for statement in statements(step.text) {
                self.change(&statement).await?;
                self.relock(owner).await?;
            }
            note(self.session, step.number, step.name, is_compatible(step.text)).await?;
            tracing::info!(cql.keyspace = %self.options.keyspace, step = step.number, name = step.name, "the schema was changed");
        }
        Ok(())
    }

    /// Changes the schema, always through the same node: two that create the same table at once, through two nodes, may
    /// leave it twice.
    async fn change(&self, statement: &str) -> Result<(), CqlError> {
        let state = self.session.get_cluster_state();
        let first = state.get_nodes_info().iter().filter(|node| node.is_connected()).map(|node| node.host_id).min();
        let mut change = Unprepared::new(statement);
        if let Some(host) = first {
            let policy = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::HostId(host), None);
            change.set_load_balancing_policy(Some(policy));
        }
        change.set_is_idempotent(true);
        change.set_request_timeout(Some(CHANGE_MAX));
        self.session.query_unpaged(change, ()).await.map_err(failed)?;
        self.agree().await
    }

    async fn agree(&self) -> Result<(), CqlError> {
        let mut last = None;
        for _ in 0..AGREEMENT_LOOKS_MAX {
            match self.session.await_schema_agreement().await {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
            sleep(REST).await;
        }
        Err(failed(last.expect("the loop ran")))
    }

    async fn lock(&self, owner: &str) -> Result<(), CqlError> {
        let take =
            format!("INSERT INTO schema_lock (scope, owner) VALUES (?, ?) IF NOT EXISTS USING TTL {LOCK_SECONDS}");
        let wait = self.options.startup_deadline.max(Duration::from_secs(2 * LOCK_SECONDS));
        let deadline = Instant::now() + wait;
        loop {
            let answer = self.session.query_unpaged(take.as_str(), (SCOPE, owner)).await.map_err(failed)?;
            // An attempt whose answer was lost may have been the one that took it.
            if applied("take the lock of the migrations", answer)? || self.holder().await? == owner {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (keyspace, seconds) = (self.options.keyspace.clone(), wait.as_secs());
                return Err(CqlError::Locked { keyspace, owner: self.holder().await?, seconds });
            }
            sleep(REST).await;
        }
    }

    async fn relock(&self, owner: &str) -> Result<(), CqlError> {
        let take = format!("UPDATE schema_lock USING TTL {LOCK_SECONDS} SET owner = ? WHERE scope = ? IF owner = ?");
        let answer = self.session.query_unpaged(take.as_str(), (owner, SCOPE, owner)).await.map_err(failed)?;
        if applied("keep the lock of the migrations", answer)? {
            return Ok(());
        }
        let keyspace = self.options.keyspace.clone();
        Err(CqlError::Locked { keyspace, owner: self.holder().await?, seconds: 0 })
    }

    async fn unlock(&self, owner: &str) -> Result<(), CqlError> {
        let give = "DELETE FROM schema_lock WHERE scope = ? IF owner = ?";
        self.session.query_unpaged(give, (SCOPE, owner)).await.map_err(failed).map(drop)
    }

    async fn holder(&self) -> Result<String, CqlError> {
        let find = "SELECT owner FROM schema_lock WHERE scope = ?";
        let found = self.session.query_unpaged(find, (SCOPE,)).await.map_err(failed)?;
        let rows = found.into_rows_result().map_err(failed)?;
        Ok(rows.maybe_first_row::<(Option<String>,)>().ok().flatten().and_then(|row| row.0).unwrap_or_default())
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CqlError {
    CqlError::statement("bring the schema up to date", error)
}

/// The statements of a step, without its comments.
fn statements(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let all = lines.join("\n");
    all.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// Whether builds that do not know a step can work with a schema that has it.
fn is_compatible(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "-- compatible: yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_gaps_and_may_run_twice() {
        for (nth, step) in STEPS.iter().enumerate() {
            assert_eq!(step.number as usize, nth + 1);
            assert!(step.text.contains("-- compatible: "), "step {} does not say who can work with it", step.number);
            for statement in statements(step.text) {
                let repeatable = ["IF NOT EXISTS", "IF EXISTS"].iter().any(|words| statement.contains(words));
                assert!(repeatable, "{statement}");
            }
        }
    }

    /// Whether builds that do not know it go on as before: tables and columns are added, nothing else.
    fn only_adds(statement: &str) -> bool {
        let words: Vec<String> = statement.split_whitespace().map(str::to_uppercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(words[..], ["CREATE", "TABLE", ..] | ["ALTER", "TABLE", _, "ADD", ..])
    }

    fn version(text: &str) -> Vec<u32> {
        text.split('.').map(|number| number.parse().unwrap()).collect()
    }

    /// What a build leaves out while its neighbour still reads it is missed by the neighbour. So a step takes something away only
    /// in a version after the last that read or wrote it, which its line `-- contract: VERSION` names.
    fn is_in_time(text: &str, now: &str) -> bool {
        let last = text.lines().find_map(|line| line.trim().strip_prefix("-- contract: "));
        statements(text).iter().all(|statement| only_adds(statement))
            || last.is_some_and(|last| version(last) < version(now))
    }

    #[test]
    fn what_is_taken_away_was_read_by_no_neighbour() {
        for step in STEPS {
            assert!(is_in_time(step.text, env!("CARGO_PKG_VERSION")), "step {} takes something away", step.number);
        }
        for taking in [
            "DROP TABLE IF EXISTS a;",
            "ALTER TABLE a DROP IF EXISTS b;",
            "ALTER TABLE a RENAME b TO c;",
            "ALTER TABLE a ALTER b TYPE blob;",
            "alter table a\n drop b;",
        ] {
            assert!(!is_in_time(taking, "0.3.0"), "{taking}");
            assert!(!is_in_time(&format!("-- contract: 0.3.0\n{taking}"), "0.3.0"), "{taking}");
            assert!(is_in_time(&format!("-- contract: 0.2.9\n{taking}"), "0.3.0"), "{taking}");
        }
        assert!(is_in_time(
            "CREATE TABLE IF NOT EXISTS a (b int PRIMARY KEY);\nALTER TABLE a ADD IF NOT EXISTS c int;",
            "0.1.0"
        ));
    }

    /// FNV-1a of the statements: words about them may change.
    fn sum(text: &str) -> u64 {
        let all = statements(text).join(";");
        all.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, octet| (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
    }

    /// A step that is in somewhere is not run there again: what changes is a step of its own.
    #[test]
    fn a_step_that_was_released_stays_as_it_was() {
        let released: [u64; 6] = [
            0xe840_f82d_abcb_3d4d,
            0x0075_9672_6b5b_f35e,
            0x8168_f79b_8540_fc22,
            0x72f8_0e43_1eb2_de54,
            0xf959_c0c0_2165_f120,
            0xbf39_5a00_8a7f_885b,
        ];
        for (step, sum_then) in STEPS.iter().zip(released) {
            assert_eq!(sum(step.text), sum_then, "step {} was changed", step.number);
        }
    }

    #[test]
    fn no_table_needs_an_index_a_filter_or_a_counter() {
        for step in STEPS {
            let text = statements(step.text).concat().to_lowercase();
            for word in ["create index", "allow filtering", " counter"] {
                assert!(!text.contains(word), "{word} in step {}", step.number);
            }
        }
    }
}
