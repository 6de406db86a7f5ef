//! The one place statements go through. Knows how a statement is sent, not what it is for.

use futures_util::stream::{self, TryStreamExt as _};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};

use super::CqlError;
use super::faults::Faults;

/// Rows one batch has at most, all of one partition.
pub(super) const BATCH_ROWS_MAX: usize = 100;

/// A session, and what a test does to it.
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) faults: Faults,
    /// Statements one operation has under way at once.
    pub(super) in_flight_max: usize,
}

/// A statement and what it is for.
pub(super) struct Statement {
    pub(super) what: &'static str,
    pub(super) prepared: PreparedStatement,
}

impl Client {
    /// Runs a statement whose answer is not looked at.
    pub(super) async fn write(&self, statement: &Statement, values: impl SerializeRow) -> Result<(), CqlError> {
        self.answer(statement, values).await.map(drop)
    }

    /// Runs a conditional statement; false if its condition did not hold.
    pub(super) async fn decide(&self, statement: &Statement, values: impl SerializeRow) -> Result<bool, CqlError> {
        applied(statement.what, self.answer(statement, values).await?)
    }

    /// Runs a query whose answer is small, and takes in all its rows.
    pub(super) async fn rows<R>(&self, statement: &Statement, values: impl SerializeRow) -> Result<Vec<R>, CqlError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let failed = |error: &dyn std::error::Error| CqlError::Statement {
            what: statement.what,
            reason: error.to_string(),
            source: std::sync::Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(error.to_string())),
        };
        let result = self.answer(statement, values).await?;
        let rows = result.into_rows_result().map_err(|error| failed(&error))?;
        let rows = rows.rows::<R>().map_err(|error| failed(&error))?;
        rows.collect::<Result<_, _>>().map_err(|error| failed(&error))
    }

    /// Runs a query whose answer comes in pages, and takes in its rows one after the other.
    pub(super) async fn pages<R>(
        &self,
        statement: &Statement,
        values: impl SerializeRow,
        mut take: impl FnMut(R) -> Result<(), CqlError>,
    ) -> Result<(), CqlError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + 'static,
    {
        self.faults.before()?;
        let pager = self.session.execute_iter(statement.prepared.clone(), values).await;
        let pager = pager.map_err(|error| CqlError::statement(statement.what, error))?;
        let mut rows = pager.rows_stream::<R>().map_err(|error| CqlError::statement(statement.what, error))?;
        while let Some(row) = rows.try_next().await.map_err(|error| CqlError::statement(statement.what, error))? {
            take(row)?;
        }
        self.faults.after()
    }

    /// Writes rows of one partition, as many per request as a batch may have. Each row may be written again.
    pub(super) async fn write_rows<R: SerializeRow + Sync>(
        &self,
        statement: &Statement,
        rows: &[R],
        timestamp: Option<i64>,
    ) -> Result<(), CqlError> {
        for rows in rows.chunks(BATCH_ROWS_MAX) {
            if let ([row], None) = (rows, timestamp) {
                self.write(statement, row).await?;
                continue;
            }
            let mut batch = Batch::new(BatchType::Unlogged);
            for _ in rows {
                batch.append_statement(statement.prepared.clone());
            }
            batch.set_is_idempotent(true);
            batch.set_timestamp(timestamp);
            self.send(statement.what, &batch, rows).await?;
        }
        Ok(())
    }

    /// Sends a batch.
    pub(super) async fn send<R: SerializeRow + Sync>(
        &self,
        what: &'static str,
        batch: &Batch,
        rows: &[R],
    ) -> Result<QueryResult, CqlError> {
        self.faults.before()?;
        let answer = self.session.batch(batch, rows).await.map_err(|error| CqlError::statement(what, error))?;
        self.faults.after()?;
        Ok(answer)
    }

    /// Does many things at once, as many as are allowed to be under way; the first failure is the answer.
    pub(super) async fn all<T, F>(&self, works: Vec<F>) -> Result<Vec<T>, CqlError>
    where
        F: Future<Output = Result<T, CqlError>>,
    {
        use futures_util::StreamExt as _;
        stream::iter(works).buffered(self.in_flight_max).try_collect().await
    }

    async fn answer(&self, statement: &Statement, values: impl SerializeRow) -> Result<QueryResult, CqlError> {
        self.faults.before()?;
        let answer = self.session.execute_unpaged(&statement.prepared, values).await;
        let answer = answer.map_err(|error| CqlError::statement(statement.what, error))?;
        self.faults.after()?;
        Ok(answer)
    }
}

/// What a conditional statement came to. Cassandra answers with one column when the condition held, ScyllaDB always with
/// all; the first column of the first row says it.
pub(super) fn applied(what: &'static str, answer: QueryResult) -> Result<bool, CqlError> {
    let rows = answer.into_rows_result().map_err(|error| CqlError::statement(what, error))?;
    let row: Row = rows.first_row().map_err(|error| CqlError::statement(what, error))?;
    Ok(matches!(row.columns.first(), Some(Some(CqlValue::Boolean(true)))))
}
