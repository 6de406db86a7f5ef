//! What can go wrong with the state. Knows operations, and that there are several engines; not what they call things.

use embedded::EmbeddedError;

#[cfg(feature = "cql")]
use crate::cql::CqlError;

/// What the engine behind the state says. Which one it is makes no difference to who asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The embedded database.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The CQL cluster.
    #[cfg(feature = "cql")]
    #[error(transparent)]
    Cql(#[from] CqlError),
}

/// An operation on the state that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The engine could not be reached, or could not prepare its tables.
    #[error("the state could not be opened")]
    Open(#[source] EngineError),
    /// A party could not be read or written.
    #[error("the parties could not be read or written")]
    Parties(#[source] EngineError),
    /// A row holds what it can't: written by a later build, or damaged.
    #[error("a row of `{table}` can't be read")]
    Row {
        /// The table.
        table: &'static str,
    },
    /// The projection could not be carried on. Whether the stretch is in it, [`crate::Store::projected`] tells.
    #[error("the projection could not be written")]
    Project(#[source] EngineError),
    /// The projection could not be read.
    #[error("the projection could not be read")]
    Read(#[source] EngineError),
    /// The schedule could not be read or written.
    #[error("the schedule could not be read or written")]
    Schedule(#[source] EngineError),
    /// The open references could not be read or written.
    #[error("the open references could not be read or written")]
    References(#[source] EngineError),
    /// The router replicas could not be read or written.
    #[error("the router replicas could not be read or written")]
    Routers(#[source] EngineError),
    /// A user's allowance could not be read or written.
    #[error("a user's allowance could not be read or written")]
    Allowance(#[source] EngineError),
    /// Messages from handsets, or conversations, could not be read or written.
    #[error("messages from handsets could not be read or written")]
    Inbound(#[source] EngineError),
    /// What waits for phones could not be read or written.
    #[error("content for phones could not be read or written")]
    Content(#[source] EngineError),
    /// Documents could not be read or written.
    #[error("documents could not be read or written")]
    Documents(#[source] EngineError),
    /// Windows of notifications, or notifications, could not be read or written.
    #[error("notifications could not be read or written")]
    Notifications(#[source] EngineError),
    /// Old rows could not be removed.
    #[error("old rows could not be removed")]
    Purge(#[source] EngineError),
}
