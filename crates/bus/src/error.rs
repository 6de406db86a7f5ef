//! What can go wrong with a lane. Knows lanes and offsets, nothing of what is in them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded::EmbeddedError;
use model::Lane;

/// What an engine said.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The database beside the files of this process.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// Files of this process.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Kafka, in its client's words. Holds no payloads and no passwords.
    #[error("kafka: {doing}: {said}")]
    Kafka {
        /// What was tried.
        doing: &'static str,
        /// What came of it.
        said: String,
    },
}

/// What can go wrong with the files that keep lanes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error("cannot {doing} `{path}`", path = path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// A file is not what was written, or is missing, with more behind it. Nothing is skipped and nothing is opened.
    #[error(
        "`{path}` is damaged at octet {at}, and entries stand behind that: put the file back from a copy, or the whole \
         directory from a backup",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// Entries that somebody has yet to read stood in a file that is not there. Nothing is skipped and nothing is opened.
    #[error(
        "entries that are still needed stood in a file before `{before}`, and it is missing: put it back from a copy, or the \
         whole directory from a backup",
        before = before.display()
    )]
    Missing {
        /// The oldest file that is there.
        before: PathBuf,
    },
    /// A write failed earlier: what the disk holds is not known any more.
    #[error("a write to `{path}` failed before: mend the disk and start again", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// The lanes are closed.
    #[error("the lanes are closed")]
    Closed,
}

impl LogError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        LogError::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// A topic that can't keep a lane as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lane `{lane}`: topic `{topic}` has `{setting}` = `{found}`, and needs `{wanted}`: {mend}")]
pub struct WrongTopic {
    /// The lane.
    pub lane: Lane,
    /// The topic that keeps it.
    pub topic: String,
    /// What is wrong with it.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it has to be.
    pub wanted: String,
    /// How to put it right.
    pub mend: &'static str,
}

/// An operation on lanes that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// The lane, or the way into it, is at its bound: later it will not be.
    #[error("lane `{lane}` is full")]
    Full {
        /// The lane.
        lane: Lane,
    },
    /// An entry is larger than an entry may be.
    #[error("an entry of `{bytes}` bytes is too large for lane `{lane}`")]
    TooLarge {
        /// The lane.
        lane: Lane,
        /// The entry's size.
        bytes: usize,
    },
    /// The lane was not created.
    #[error("there is no lane `{lane}`")]
    NoLane {
        /// The lane.
        lane: Lane,
    },
    /// The lane has fewer partitions.
    #[error("lane `{lane}` has no partition `{partition}`")]
    NoPartition {
        /// The lane.
        lane: Lane,
        /// The partition asked for.
        partition: u32,
    },
    /// The lane exists with another number of partitions, and that never changes.
    #[error("lane `{lane}` has `{partitions}` partitions, not the number this build declares")]
    Layout {
        /// The lane.
        lane: Lane,
        /// What it has.
        partitions: u32,
    },
    /// What was asked for has been trimmed.
    #[error("lane `{lane}` partition `{partition}` begins at `{first}`: what was asked for is trimmed")]
    Trimmed {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// The first offset still kept.
        first: i64,
    },
    /// An offset was named that the lane does not have: the lane went back (a restore), or the caller is wrong.
    #[error("lane `{lane}` partition `{partition}` ends at `{next}`: it does not have offset `{offset}`")]
    BeyondEnd {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// What was named.
        offset: i64,
        /// The offset the next entry will have.
        next: i64,
    },
    /// A stored block is not what was written, or is missing. Nothing is skipped: the partition stops here.
    #[error("lane `{lane}` partition `{partition}` is damaged at offset `{offset}`")]
    Damaged {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// The first offset that can't be read.
        offset: i64,
    },
    /// Too many acknowledged stretches lie above the watermark.
    #[error("group `{group}` has too many gaps in lane `{lane}` partition `{partition}`")]
    Gaps {
        /// The group.
        group: &'static str,
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
    },
    /// The partition was given to another member of the group. Nothing of the call happened.
    #[error("another member of group `{group}` has lane `{lane}` partition `{partition}`")]
    NotOwner {
        /// The group.
        group: &'static str,
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
    },
    /// A process is a member of a group once.
    #[error("this process is a member of group `{group}` already")]
    Joined {
        /// The group.
        group: &'static str,
    },
    /// The engine could not prepare its tables, or read back what it left.
    #[error("the lanes could not be opened")]
    Open(#[source] EngineError),
    /// The engine can't be reached, or won't have us.
    #[error("the lanes at `{address}` can't be used: {reason} (see setting `{setting}`)")]
    Connect {
        /// Where it was looked for.
        address: String,
        /// The setting to look at first.
        setting: &'static str,
        /// What the engine's client says.
        reason: String,
    },
    /// Too few copies of a partition can be reached for it to take anything.
    #[error(
        "lane `{lane}` partition `{partition}` has `{kept}` of `{copies}` copies within reach and in step, and needs \
         `{needed}` to take anything"
    )]
    TooFew {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// Copies within reach and in step.
        kept: usize,
        /// All copies.
        copies: usize,
        /// How many must be.
        needed: usize,
    },
    /// What the lane is kept in isn't what this build asks for. It is left as it is.
    #[error(transparent)]
    Topic(Box<WrongTopic>),
    /// A group's watermark was there and isn't any more. Beginning anew would do everything again, so nobody does.
    #[error("the watermark of group `{group}` in lane `{lane}` partition `{partition}` is lost: {mend}")]
    LostWatermark {
        /// The group.
        group: &'static str,
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: u32,
        /// How to put it right.
        mend: &'static str,
    },
    /// The engine could not create or declare a lane.
    #[error("lane `{lane}` could not be declared")]
    Declare {
        /// The lane.
        lane: Lane,
        /// Why.
        source: EngineError,
    },
    /// The engine could not write. The call happened whole or not at all.
    #[error("the lanes could not be written")]
    Write(#[source] EngineError),
    /// The engine could not read.
    #[error("lane `{lane}` could not be read")]
    Read {
        /// The lane.
        lane: Lane,
        /// Why.
        source: EngineError,
    },
    /// The engine could not trim.
    #[error("the lanes could not be trimmed")]
    Trim(#[source] EngineError),
    /// The bus was closed.
    #[error("the lanes are closed")]
    Closed,
}
