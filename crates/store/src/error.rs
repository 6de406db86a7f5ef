//! What can go wrong with the state. Knows operations, not what an engine calls them.

use embedded::EmbeddedError;

/// An operation on the state that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The engine could not prepare its tables.
    #[error("the state could not be opened")]
    Open(#[source] EmbeddedError),
    /// A party could not be read or written.
    #[error("the parties could not be read or written")]
    Parties(#[source] EmbeddedError),
    /// A row holds what it can't: written by a later build, or damaged.
    #[error("a row of `{table}` can't be read")]
    Row {
        /// The table.
        table: &'static str,
    },
    /// The projection could not be carried on; nothing of the batch is in it.
    #[error("the projection could not be written")]
    Project(#[source] EmbeddedError),
    /// The projection could not be read.
    #[error("the projection could not be read")]
    Read(#[source] EmbeddedError),
    /// The schedule could not be read or written.
    #[error("the schedule could not be read or written")]
    Schedule(#[source] EmbeddedError),
    /// The open references could not be read or written.
    #[error("the open references could not be read or written")]
    References(#[source] EmbeddedError),
    /// The router replicas could not be read or written.
    #[error("the router replicas could not be read or written")]
    Routers(#[source] EmbeddedError),
    /// Old rows could not be removed.
    #[error("old rows could not be removed")]
    Purge(#[source] EmbeddedError),
}
