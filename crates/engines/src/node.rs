//! One server process of a set: a Kafka broker or a Cassandra node.
//!
//! Knows how to start, stop, stun and kill it, and when it is ready; must not know the other nodes.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{AboutFile, EnginesError, Result};
use crate::process::{Launch, Life, Process, resident_bytes};
use crate::{log, ports, probe};

/// How long a node has for an orderly end.
pub(crate) const TERM_MAX: Duration = Duration::from_secs(10);
/// How long the system has to end what was killed.
const KILL_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// The file of a node's folder that a JVM reads its options from.
pub(crate) const ARGUMENTS: &str = "java.args";

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A broker and controller, by its number from 1.
    Kafka {
        /// `node.id`.
        id: u8,
    },
    /// The CQL node.
    Cassandra,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has no process.
    Down,
    /// Its process is stopped by SIGSTOP.
    Paused,
    /// Its process runs, and does not serve yet; with what it says.
    Starting(String),
    /// It serves.
    Ready,
}

/// A server process, running or not. It is known by the pid file in its folder, so that every handle on the same folder, of
/// this process or another, means the same node.
#[derive(Clone, Debug)]
pub struct Node {
    kind: Kind,
    name: String,
    directory: PathBuf,
    address: SocketAddr,
    /// Every port it listens on.
    ports: Vec<u16>,
    java: PathBuf,
    main: Vec<String>,
    process: Process,
}

/// What tells one node from another.
pub(crate) struct NodeParts {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    /// The first is where clients reach it.
    pub(crate) ports: Vec<u16>,
    pub(crate) java: PathBuf,
    /// The main class and its arguments.
    pub(crate) main: Vec<String>,
}

impl Node {
    pub(crate) fn new(parts: NodeParts) -> Self {
        let NodeParts { kind, name, directory, ports, java, main } = parts;
        let mark = format!("-Dcarillon.engine={}", directory.display());
        let process = Process::new(&name, directory.join("pid.json"), mark);
        let address = ports::address(*ports.first().expect("every node listens somewhere"));
        Self { kind, name, directory, address, ports, java, main, process }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is called in messages, `kafka-1` to `kafka-9` or `cassandra`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data, settings and log.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it and its JVM wrote since its last start; what they wrote before is in `node.log.1`.
    pub fn log(&self) -> PathBuf {
        self.directory.join("node.log")
    }

    /// Its process, if it has one.
    pub fn pid(&self) -> Option<i32> {
        self.process.alive().map(|(identity, _)| identity.pid)
    }

    /// When its process was started, in seconds since 1970.
    pub fn started_at(&self) -> Option<u64> {
        self.process.alive().map(|(identity, _)| identity.started_at)
    }

    /// Its memory that is in RAM, in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        resident_bytes(self.pid()?)
    }

    /// Whether it has a process, be it ready, starting or paused.
    pub fn is_running(&self) -> bool {
        self.process.alive().is_some()
    }

    /// Asks it how it is. Takes up to three seconds when it does not answer.
    pub fn health(&self) -> Health {
        match self.process.alive() {
            None => Health::Down,
            Some((_, Life::Stopped)) => Health::Paused,
            Some((_, Life::Runs)) => match self.answers() {
                Ok(()) => Health::Ready,
                Err(error) => Health::Starting(error.to_string()),
            },
        }
    }

    /// Starts it with the data and settings it has; nothing happens if it runs. Returns before it is ready.
    ///
    /// # Errors
    /// A port of it is taken, or the JVM cannot be started.
    pub fn start(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        self.check_ports()?;
        let log = self.log();
        if log.exists() {
            let before = self.directory.join("node.log.1");
            fs::rename(&log, &before).about("keep", &log)?;
        }
        let mut arguments = vec![format!("@{ARGUMENTS}")];
        arguments.extend(self.main.iter().cloned());
        self.process.start(&Launch {
            program: &self.java,
            arguments: &arguments,
            directory: &self.directory,
            log: &log,
        })
    }

    /// Waits until it serves: a broker knows itself as a live member of the cluster, a CQL node takes connections. Says how
    /// long it took.
    ///
    /// # Errors
    /// It ended, or it did not serve in time; the error has the end of its log.
    pub fn wait_ready(&self, within: Duration) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let last = match self.health() {
                Health::Ready => return Ok(began.elapsed()),
                Health::Down => return Err(self.died()),
                Health::Paused => "it is paused".to_owned(),
                Health::Starting(last) => last,
            };
            if began.elapsed() >= within {
                return Err(self.not("ready", within, last));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Kills it at once (SIGKILL), and returns when it is gone. Its data stays.
    ///
    /// # Errors
    /// It cannot be signalled, or does not go.
    pub fn kill(&self) -> Result<()> {
        self.process.kill(KILL_MAX)
    }

    /// Asks it to end (SIGTERM) and waits; kills it after ten seconds. Of a whole set use [`crate::Engines::down`]: brokers
    /// that end one after the other wait for each other.
    ///
    /// # Errors
    /// It cannot be signalled, or does not go.
    pub fn stop(&self) -> Result<()> {
        self.terminate()?;
        if self.process.wait_end(TERM_MAX) { Ok(()) } else { self.kill() }
    }

    /// Stops its process where it stands (SIGSTOP): its connections stay open and nobody answers.
    ///
    /// # Errors
    /// It does not run, or cannot be signalled.
    pub fn pause(&self) -> Result<()> {
        self.signal_running(Signal::STOP, "SIGSTOP")
    }

    /// Lets it go on after [`Node::pause`] (SIGCONT).
    ///
    /// # Errors
    /// It does not run, or cannot be signalled.
    pub fn resume(&self) -> Result<()> {
        self.signal_running(Signal::CONT, "SIGCONT")
    }

    /// Asks it to end, and returns at once; says whether there was somebody to ask.
    pub(crate) fn terminate(&self) -> Result<bool> {
        let asked = self.process.signal(Signal::TERM, "SIGTERM")?;
        if asked {
            // A paused process would take it only when it goes on.
            self.process.signal(Signal::CONT, "SIGCONT")?;
        }
        Ok(asked)
    }

    pub(crate) fn wait_end(&self, within: Duration) -> bool {
        self.process.wait_end(within)
    }

    pub(crate) fn check_ports(&self) -> Result<()> {
        match self.ports.iter().find(|port| !ports::is_free(**port)) {
            None => Ok(()),
            Some(port) => {
                Err(EnginesError::PortTaken { node: self.name.clone(), port: *port, holder: ports::holder(*port) })
            }
        }
    }

    pub(crate) fn died(&self) -> EnginesError {
        let log = self.log();
        EnginesError::Died { node: self.name.clone(), tail: log::tail(&log), log }
    }

    pub(crate) fn not(&self, wanted: &'static str, within: Duration, last: String) -> EnginesError {
        let (node, log) = (self.name.clone(), self.log());
        EnginesError::NotReady { node, wanted, seconds: within.as_secs(), last, tail: log::tail(&log), log }
    }

    fn answers(&self) -> Result<()> {
        match self.kind {
            Kind::Cassandra => probe::cql::ask(self.address),
            Kind::Kafka { id } => {
                let live: BTreeSet<i32> = probe::kafka::metadata(self.address)?.brokers.into_keys().collect();
                if live.contains(&i32::from(id)) {
                    return Ok(());
                }
                let why = format!("it is not a live member of its cluster yet, only {live:?} are");
                Err(EnginesError::NoAnswer { address: self.address.to_string(), engine: "Kafka", why })
            }
        }
    }

    fn signal_running(&self, signal: Signal, word: &'static str) -> Result<()> {
        if self.process.signal(signal, word)? {
            return Ok(());
        }
        Err(EnginesError::NotRunning { node: self.name.clone() })
    }
}
