//! What the cluster's settings can't promise, in words for an operator. Reads, changes nothing.

use super::session::is_scylla;
use super::{CqlError, Engine};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Good to know.
    Note,
    /// A promise of ours holds only with luck.
    Warning,
}

/// Something about the cluster an operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What, and what to do about it.
    pub text: String,
}

/// Copies with which one node may be lost and a quorum is left.
const COPIES_WANTED: usize = 3;

pub(super) async fn check(engine: &Engine) -> Result<Vec<Finding>, CqlError> {
    let copies = copies(engine).await?;
    let mut findings = vec![version(engine).await?];
    let keyspace = &engine.options.keyspace;
    if copies < COPIES_WANTED {
        findings.push(warning(format!(
            "keyspace `{keyspace}` keeps {copies} cop{} of each row in a data centre: while one node is away, the state is \
             too; keep 3",
            if copies == 1 { "y" } else { "ies" }
        )));
    }
    findings.extend(commit_log(engine, copies).await?);
    Ok(findings)
}

fn warning(text: String) -> Finding {
    Finding { severity: Severity::Warning, text }
}

/// The fewest copies a data centre keeps.
async fn copies(engine: &Engine) -> Result<usize, CqlError> {
    type Columns = (std::collections::BTreeMap<String, String>,);
    let find = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let rows: Vec<Columns> = query(engine, find, (&engine.options.keyspace,)).await?;
    let counts = rows.iter().flat_map(|(replication,)| replication.iter().filter(|(option, _)| *option != "class"));
    Ok(counts.filter_map(|(_, count)| count.split('/').next()?.parse().ok()).min().unwrap_or(1))
}

async fn version(engine: &Engine) -> Result<Finding, CqlError> {
    let rows: Vec<(Option<String>,)> = query(engine, "SELECT release_version FROM system.local", ()).await?;
    let version = rows.into_iter().next().and_then(|row| row.0).unwrap_or_default();
    let name =
        if is_scylla(&engine.client.session).await? { "ScyllaDB, which speaks as Cassandra" } else { "Cassandra" };
    Ok(Finding { severity: Severity::Note, text: format!("the state is on {name} {version}") })
}

/// Whether a write that was acknowledged outlives the kill of every process that has it.
async fn commit_log(engine: &Engine, copies: usize) -> Result<Option<Finding>, CqlError> {
    if is_scylla(&engine.client.session).await? {
        let text = "ScyllaDB tells its `commitlog_sync` to nobody: with fewer than 3 copies set it to `batch`, or a node \
                    that is killed loses writes it acknowledged";
        return Ok((copies < COPIES_WANTED).then(|| warning(text.into())));
    }
    let find = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
    let rows: Vec<(Option<String>,)> = match query(engine, find, ()).await {
        Ok(rows) => rows,
        Err(error) => {
            let text =
                format!("`commitlog_sync` can't be read, so nobody knows whether a killed node loses writes: {error}");
            return Ok(Some(warning(text)));
        }
    };
    let sync = rows.into_iter().next().and_then(|row| row.0).unwrap_or_default();
    let holds = sync != "periodic" || copies >= COPIES_WANTED;
    let text = format!(
        "`commitlog_sync` is `{sync}` and each row has {copies} cop{}: a node that is killed loses writes it acknowledged; \
         set it to `group` (with `concurrent_writes: 256`) or `batch`, or keep 3 copies",
        if copies == 1 { "y" } else { "ies" }
    );
    Ok((!holds).then(|| warning(text)))
}

async fn query<R>(
    engine: &Engine,
    find: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, CqlError>
where
    R: for<'frame, 'metadata> scylla::deserialize::row::DeserializeRow<'frame, 'metadata>,
{
    const WHAT: &str = "look at the cluster's settings";
    let found = engine.client.session.query_unpaged(find, values).await;
    let found = found.map_err(|error| CqlError::statement(WHAT, error))?;
    let rows = found.into_rows_result().map_err(|error| CqlError::statement(WHAT, error))?;
    let rows = rows.rows::<R>().map_err(|error| CqlError::statement(WHAT, error))?;
    rows.collect::<Result<_, _>>().map_err(|error| CqlError::statement(WHAT, error))
}
