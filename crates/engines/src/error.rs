//! What can go wrong with engines, in words that say what to do.
//!
//! Knows every operation of this crate; must not know who asked for it.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on the engines that failed.
#[derive(Debug, thiserror::Error)]
pub enum EnginesError {
    /// A file or folder of the set could not be used.
    #[error("cannot {doing} `{path}`")]
    File {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the set does not hold what this crate writes there.
    #[error("`{path}` cannot be read ({why}): stop what runs, and delete `{}`", folder(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another command works on the same folder and does not come to an end.
    #[error("another command held `{path}` for {seconds} seconds")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// There is too little room for data and logs.
    #[error("only {free_mib} MiB are free at `{path}`, and the engines want {wanted_mib} MiB")]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// What is there.
        free_mib: u64,
        /// What should be.
        wanted_mib: u64,
    },
    /// No Java 17 was found.
    #[error(
        "no Java 17 ({seen}); please type: sudo apt-get install --yes openjdk-17-jdk-headless maven, \
         or set JAVA_HOME to one, or CARILLON_KAFKA and CARILLON_CQL to engines that run elsewhere"
    )]
    NoJava {
        /// What was found instead.
        seen: String,
    },
    /// Maven did not bring the packages.
    #[error("cannot fetch {what} by maven: {why}")]
    Packages {
        /// The engine and its version.
        what: String,
        /// What happened, and the last lines it wrote.
        why: String,
    },
    /// A port of the set belongs to somebody else.
    #[error(
        "port {port} of `{node}` is taken by {holder}; end that, or give the set another block: `engines down --wipe`, \
         then `engines up --port-base …`"
    )]
    PortTaken {
        /// The node that needs it.
        node: String,
        /// The port.
        port: u16,
        /// Who has it, as far as the system tells.
        holder: String,
    },
    /// No block of free ports was found.
    #[error("no free block of {width} ports between {first} and {last}; name one by `--port-base`")]
    NoPorts {
        /// Ports in a block.
        width: u16,
        /// The lowest that was tried.
        first: u16,
        /// The highest that was tried.
        last: u16,
    },
    /// The set was made with other options, and its data cannot change to these.
    #[error("the set in `{path}` has {has}, not {wanted}; `engines down --wipe` takes it away with its data")]
    OtherLayout {
        /// The set's folder.
        path: PathBuf,
        /// What it has.
        has: String,
        /// What was asked for.
        wanted: String,
    },
    /// A program of the engine could not be started at all.
    #[error("cannot start `{node}` by `{program}`")]
    Spawn {
        /// The node.
        node: String,
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate `{name}` by openssl: {why}")]
    Certificate {
        /// Whose.
        name: String,
        /// What happened, and the last lines it wrote.
        why: String,
    },
    /// The storage of a broker could not be prepared.
    #[error("cannot format the storage of `{node}`: {why}")]
    Format {
        /// The node.
        node: String,
        /// What happened, and the last lines it wrote.
        why: String,
    },
    /// A node ended while it was waited for.
    #[error("`{node}` ended before it was ready; the end of `{log}`:\n{tail}")]
    Died {
        /// The node.
        node: String,
        /// Its log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A node or the set lives, but did not become what was waited for.
    #[error("`{node}` was not {wanted} within {seconds} seconds: {last}; the end of `{log}`:\n{tail}")]
    NotReady {
        /// The node, or the set.
        node: String,
        /// What was waited for.
        wanted: &'static str,
        /// How long.
        seconds: u64,
        /// What it said last.
        last: String,
        /// Its log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A signal could not be sent.
    #[error("cannot send {signal} to `{node}` (pid {pid})")]
    Signal {
        /// The node.
        node: String,
        /// Its process.
        pid: i32,
        /// The signal.
        signal: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A process is still there after SIGKILL.
    #[error("`{node}` (pid {pid}) is still there {seconds} seconds after SIGKILL")]
    Unkillable {
        /// The node.
        node: String,
        /// Its process.
        pid: i32,
        /// How long was waited.
        seconds: u64,
    },
    /// A node is asked for something that only a running one can do.
    #[error("`{node}` does not run")]
    NotRunning {
        /// The node.
        node: String,
    },
    /// The environment names an engine that cannot be used.
    #[error("`{variable}` names an engine that cannot be used; start it, or unset the variable")]
    Named {
        /// The variable.
        variable: &'static str,
        /// What is wrong with what it names.
        source: Box<Self>,
    },
    /// Something that claims to be an engine did not answer as one.
    #[error("nothing at `{address}` answers as {engine}: {why}")]
    NoAnswer {
        /// The address.
        address: String,
        /// Which engine was expected.
        engine: &'static str,
        /// What happened instead.
        why: String,
    },
}

/// The result of an operation on the engines.
pub type Result<T> = std::result::Result<T, EnginesError>;

/// Says which file an I/O error is about.
pub(crate) trait AboutFile<T> {
    fn about(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T> AboutFile<T> for io::Result<T> {
    fn about(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| EnginesError::File { doing, path: path.to_owned(), source })
    }
}

fn folder(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}
