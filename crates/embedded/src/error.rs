//! What can go wrong with the embedded engine. Knows no domain.

use std::path::PathBuf;

/// An operation of the embedded engine that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EmbeddedError {
    /// The file could not be opened or prepared.
    #[error("cannot open database `{path}`", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::sync::Arc<rusqlite::Error>,
    },
    /// A directory on the way to the file could not be made, or a thread could not be started.
    #[error("cannot prepare database `{path}`", path = path.display())]
    Prepare {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::sync::Arc<std::io::Error>,
    },
    /// Another process holds the file.
    #[error("database `{path}` is in use by another process", path = path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Too many jobs wait for the writer.
    #[error("too much is waiting for the writer")]
    Full,
    /// The job itself failed; it left no trace.
    #[error("the database refused the work")]
    Work(#[source] std::sync::Arc<rusqlite::Error>),
    /// The group could not be committed; none of its jobs happened.
    #[error("the database could not commit")]
    Commit(#[source] std::sync::Arc<rusqlite::Error>),
    /// A snapshot could not be copied.
    #[error("cannot copy database `{from}` to `{to}`", from = from.display(), to = to.display())]
    Copy {
        /// What was copied.
        from: PathBuf,
        /// Where.
        to: PathBuf,
        /// Why not.
        source: std::sync::Arc<rusqlite::Error>,
    },
    /// A file is not what was written.
    #[error("database `{path}` is damaged: {said}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In the engine's words.
        said: String,
    },
    /// The job panicked; it left no trace.
    #[error("the work panicked")]
    Panicked,
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
}
