//! What can go wrong with a CQL cluster. Knows settings and addresses, no row; never shows a bound value.

use std::path::PathBuf;
use std::sync::Arc;

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// An operation on the cluster that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CqlError {
    /// A setting holds what it can't.
    #[error("setting `{setting}`: {reason}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the TLS settings can't be used.
    #[error("setting `{setting}`: cannot use `{path}`: {reason}", path = path.display())]
    Tls {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answered within the start-up deadline.
    #[error("no CQL node answered at `{addresses}` (setting `contact_points`) within {seconds} s: {hint}")]
    Unreachable {
        /// Where nodes were looked for.
        addresses: String,
        /// The deadline.
        seconds: u64,
        /// What the last attempt says.
        hint: String,
        /// The last attempt.
        #[source]
        source: Cause,
    },
    /// The cluster does not take the credentials.
    #[error("the CQL nodes at `{addresses}` refuse the login (settings `user` and `password`): {reason}")]
    Login {
        /// Where.
        addresses: String,
        /// What they say.
        reason: String,
    },
    /// The keyspace is not there and is not to be, or can't be, created.
    #[error("keyspace `{keyspace}` (setting `keyspace`) is not there, and {why}; type: {statement}")]
    Keyspace {
        /// Its name.
        keyspace: String,
        /// Why it was not created.
        why: String,
        /// What creates it.
        statement: String,
    },
    /// The schema is of a later build that this one can't work with.
    #[error(
        "the schema of keyspace `{keyspace}` is at step {found} (`{name}`), which builds that know only {known} can't use: \
         start a newer build"
    )]
    Newer {
        /// The keyspace.
        keyspace: String,
        /// The step that is too new.
        found: i32,
        /// Its name.
        name: String,
        /// The last step this build knows.
        known: i32,
    },
    /// The schema is not what this build needs, and may not be changed.
    #[error(
        "keyspace `{keyspace}` does not have the tables this build needs: start a role of this build, or `carillon demo`, \
         which make them"
    )]
    Outdated {
        /// The keyspace.
        keyspace: String,
    },
    /// Another process holds the lock of the migrations for too long.
    #[error(
        "another process (`{owner}`) has been changing the schema of keyspace `{keyspace}` for more than {seconds} s"
    )]
    Locked {
        /// The keyspace.
        keyspace: String,
        /// Who holds it.
        owner: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A statement failed. What it would have written may be in.
    #[error("cannot {what}: {reason}")]
    Statement {
        /// What was attempted.
        what: &'static str,
        /// What the driver or the node says, in short.
        reason: String,
        /// In full.
        #[source]
        source: Cause,
    },
    /// A column holds what it can't.
    #[error("a row of `{table}` can't be read")]
    Row {
        /// The table.
        table: &'static str,
    },
    /// Somebody else carried the partition on: this process does not own it any more, or its last step came through after
    /// all.
    #[error("partition {partition} was carried on by another writer, or by an earlier step of this one")]
    Superseded {
        /// The lane partition.
        partition: u32,
    },
    /// A conditional step was lost to others again and again.
    #[error("cannot {what}: others were first {times} times")]
    Contended {
        /// What was attempted.
        what: &'static str,
        /// How often.
        times: u32,
    },
    /// Whoever carried this stretch along with its own was stopped.
    #[error("the step was abandoned")]
    Abandoned,
}

impl CqlError {
    /// Whether the same may work later without anybody changing anything: the cluster is busy, or away for a moment.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            CqlError::Statement { source, .. } => match source.downcast_ref::<ExecutionError>() {
                Some(ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _))) => is_busy(error),
                Some(ExecutionError::BadQuery(_)) => false,
                // Prepared, agreed on, or asked in pages: these say little of why, and trying again does no harm.
                _ => true,
            },
            CqlError::Unreachable { .. }
            | CqlError::Login { .. }
            | CqlError::Locked { .. }
            | CqlError::Superseded { .. }
            | CqlError::Contended { .. }
            | CqlError::Abandoned => true,
            CqlError::Setting { .. }
            | CqlError::Tls { .. }
            | CqlError::Keyspace { .. }
            | CqlError::Newer { .. }
            | CqlError::Outdated { .. }
            | CqlError::Row { .. } => false,
        }
    }

    pub(super) fn statement(what: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        CqlError::Statement { what, reason: source.to_string(), source: Arc::new(source) }
    }
}

/// Whether a node says that it can't just now.
fn is_busy(error: &DbError) -> bool {
    use DbError::{
        IsBootstrapping, Overloaded, RateLimitReached, ReadFailure, ReadTimeout, ServerError, TruncateError,
        Unavailable, WriteFailure, WriteTimeout,
    };
    matches!(
        error,
        IsBootstrapping
            | Overloaded
            | RateLimitReached { .. }
            | ReadFailure { .. }
            | ReadTimeout { .. }
            | ServerError
            | TruncateError
            | Unavailable { .. }
            | WriteFailure { .. }
            | WriteTimeout { .. }
    )
}

#[cfg(test)]
mod tests {
    use scylla::statement::Consistency;

    use super::*;

    #[test]
    fn a_busy_node_passes_and_a_refusal_does_not() {
        let said = |error| {
            let attempt = RequestAttemptError::DbError(error, String::new());
            CqlError::statement("try", ExecutionError::LastAttemptError(attempt)).passes()
        };
        assert!(said(DbError::Unavailable { consistency: Consistency::LocalQuorum, required: 2, alive: 1 }));
        assert!(!said(DbError::Unauthorized) && !said(DbError::Invalid));
        assert!(!CqlError::Setting { setting: "keyspace", reason: String::new() }.passes());
    }
}
