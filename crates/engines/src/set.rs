//! A set of engines in a folder: some Kafka brokers and a CQL node.
//!
//! Knows the order of things: packages, settings, starts, readiness, the end; must not know what the engines are used for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::addresses::Addresses;
use crate::archive::Archive;
use crate::credentials::Credentials;
use crate::error::{AboutFile, EnginesError, Result};
use crate::java::Java;
use crate::kafka::Ingredients;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::node::{Health, Kind, Node, TERM_MAX};
use crate::ports::{self, Ports};
use crate::probe;
use crate::progress::Progress;
use crate::report::{NodeReport, Report};
use crate::{cassandra, kafka};

/// Two cores start four JVMs in 10 to 20 seconds; with eight compilers beside them it took 84.
const READY_MAX: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(100);
/// Jars, an empty set and some room for tests.
const FREE_MIB_MIN: u64 = 1024;

/// Which engines of a set are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parts {
    /// Brokers and the CQL node.
    Both,
    /// Only the brokers.
    Kafka,
    /// Only the CQL node.
    Cql,
}

/// What a set should be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Brokers, 1 to [`crate::BROKERS_MAX`]. With three or more, a record has three copies and two must be in sync.
    pub brokers: u8,
    /// Where its block of ports begins; a free block is chosen if this says nothing. It stays with the set.
    pub port_base: Option<u16>,
    /// Which engines to start.
    pub parts: Parts,
    /// Where fetched packages are kept, for all sets.
    pub packages: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { brokers: 3, port_base: None, parts: Parts::Both, packages: home().join("packages") }
    }
}

/// Where this repository keeps its engines: `engines` in cargo's target directory.
pub fn home() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let repository = repository.expect("crates/engines has two folders above it");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    repository.join(target).join("engines")
}

/// A set of engines. The processes live on when this is dropped: any other handle on the folder means the same set.
#[derive(Debug)]
pub struct Engines {
    /// The brokers, in the order of their ids (the first has id 1).
    pub kafka: Vec<Node>,
    /// The CQL node.
    pub cql: Node,
    folder: PathBuf,
    packages: PathBuf,
    layout: Layout,
}

impl Engines {
    /// Brings the set in `folder` up and waits until it serves: what runs is left alone, what is dead is started on its data,
    /// what is paused goes on, and what is not there is made.
    ///
    /// # Errors
    /// Something is missing, taken or dead, in words that say what to do. What was started keeps running, so that its logs
    /// can be read and a second call can go on from there.
    pub fn up(folder: &Path, options: &Options, progress: &dyn Progress) -> Result<Self> {
        fs::create_dir_all(folder).about("make", folder)?;
        let folder = fs::canonicalize(folder).about("find", folder)?;
        let _one_at_a_time = Lock::take(&folder)?;
        let engines = Self::of(&folder, lay_out(&folder, options)?, options.packages.clone());
        engines.resume_paused()?;
        let dead: Vec<&Node> = engines.wanted().filter(|node| !node.is_running()).collect();
        dead.iter().try_for_each(|node| node.check_ports())?;
        // Only when it can be kept: a block of ports that is taken is not for life.
        engines.layout.write(&folder)?;
        if !dead.is_empty() {
            check_room(&folder)?;
            engines.prepare(&dead, progress)?;
            dead.iter().try_for_each(|node| node.start())?;
        }
        engines.await_all(&dead, progress)?;
        Ok(engines)
    }

    /// A handle on the set in `folder`, whatever state that is in; nothing if there never was one.
    ///
    /// # Errors
    /// The folder's file cannot be read.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let Ok(folder) = fs::canonicalize(folder) else { return Ok(None) };
        let layout = Layout::read(&folder)?;
        Ok(layout.map(|layout| Self::of(&folder, layout, Options::default().packages)))
    }

    /// Ends all nodes at once (SIGTERM), kills after ten seconds what is left, and says whom. Nothing happens if none runs.
    ///
    /// # Errors
    /// A process cannot be signalled, or does not go.
    pub fn down(&self, progress: &dyn Progress) -> Result<Vec<String>> {
        let _one_at_a_time = Lock::take(&self.folder)?;
        let mut asked = Vec::new();
        for node in self.nodes() {
            if node.terminate()? {
                progress.begins(&format!("{}: stop", node.name()));
                asked.push(node);
            }
        }
        let began = Instant::now();
        let mut killed = Vec::new();
        while !asked.is_empty() {
            if began.elapsed() >= TERM_MAX {
                for node in asked.iter().filter(|node| node.is_running()) {
                    node.kill()?;
                    killed.push(node.name().to_owned());
                }
            }
            let (ended, still): (Vec<&Node>, Vec<&Node>) = asked.into_iter().partition(|node| !node.is_running());
            ended.iter().for_each(|node| progress.ends(&format!("{}: stop", node.name()), began.elapsed()));
            asked = still;
            if !asked.is_empty() {
                std::thread::sleep(POLL);
            }
        }
        Ok(killed)
    }

    /// Ends all nodes and takes the set away, data and logs included.
    ///
    /// # Errors
    /// As [`Engines::down`], or the folder cannot be removed.
    pub fn wipe(self, progress: &dyn Progress) -> Result<()> {
        self.down(progress)?;
        fs::remove_dir_all(&self.folder).about("remove", &self.folder)
    }

    /// Every node, wanted or not, brokers first.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.kafka.iter().chain([&self.cql])
    }

    /// Where clients reach what was asked for.
    pub fn addresses(&self) -> Addresses {
        let all = self.all_addresses();
        match self.layout.parts {
            Parts::Both => all,
            Parts::Kafka => Addresses { cql: None, ..all },
            Parts::Cql => Addresses { kafka: None, kafka_tls: None, kafka_sasl: None, ..all },
        }
    }

    /// Where its nodes are or would be, wanted or not.
    pub fn all_addresses(&self) -> Addresses {
        let ports = self.layout.ports();
        let brokers = |port: fn(Ports, u8) -> u16| {
            let each = (1..=self.layout.brokers).map(|id| ports::address(port(ports, id)).to_string());
            Some(each.collect::<Vec<_>>().join(","))
        };
        Addresses {
            kafka: brokers(Ports::broker),
            kafka_tls: brokers(Ports::broker_tls),
            kafka_sasl: brokers(Ports::broker_sasl),
            cql: Some(self.cql.address().to_string()),
            tls: Some(self.credentials().folder().display().to_string()),
        }
    }

    /// Certificates and password for the doors that ask for them. The CQL node takes TLS on its only port, and asks no
    /// client for a certificate.
    pub fn credentials(&self) -> Credentials {
        Credentials::of(&self.folder)
    }

    /// How every wanted node is.
    pub fn report(&self) -> Report {
        let nodes: Vec<NodeReport> = self.wanted().map(NodeReport::of).collect();
        Report { ready: nodes.iter().all(|node| node.state == "ready"), nodes }
    }

    /// Waits until the set as a whole serves: every node is ready, every broker knows of all others, and a topic with the
    /// set's replication could be made.
    ///
    /// # Errors
    /// A node ended, or the set did not serve in time.
    pub fn wait_ready(&self, within: Duration) -> Result<()> {
        let began = Instant::now();
        for node in self.wanted() {
            node.wait_ready(within.saturating_sub(began.elapsed()))?;
        }
        if self.layout.parts == Parts::Cql {
            return Ok(());
        }
        self.until("ready for topics", within, || {
            self.kafka.iter().try_for_each(|node| {
                let known = probe::kafka::metadata(node.address()).map_err(|error| error.to_string())?.brokers.len();
                if known != self.kafka.len() {
                    return Err(format!("`{}` knows of {known} brokers", node.name()));
                }
                let replication = i16::from(kafka::replication(self.layout.brokers));
                probe::kafka::could_create(node.address(), replication).map_err(|error| error.to_string())
            })
        })
    }

    /// Waits until every partition has a leader and all its copies in sync, so that the next broker may die.
    ///
    /// # Errors
    /// It did not come to that in time.
    pub fn wait_in_sync(&self, within: Duration) -> Result<()> {
        self.until("in sync", within, || {
            let metadata = self.metadata().map_err(|error| error.to_string())?;
            let behind = |partition: &&probe::kafka::Partition| {
                partition.leader < 0 || partition.in_sync.len() < partition.replicas.len()
            };
            match metadata.partitions.iter().find(behind) {
                None => Ok(()),
                Some(partition) => Err(format!("partition {} of `{}` is behind", partition.index, partition.topic)),
            }
        })
    }

    /// The broker that leads a partition, if one does.
    ///
    /// # Errors
    /// No broker answers.
    pub fn leader(&self, topic: &str, index: i32) -> Result<Option<&Node>> {
        let partitions = self.metadata()?.partitions;
        let found = partitions.into_iter().find(|partition| partition.topic == topic && partition.index == index);
        Ok(found.and_then(|partition| self.kafka.iter().find(|node| is_broker(node, partition.leader))))
    }

    /// The broker that leads a partition, as soon as the first broker that answers knows of one: what one broker was told of a
    /// new topic, the others learn a moment later.
    ///
    /// # Errors
    /// It did not come to that in time.
    pub fn wait_leader(&self, topic: &str, index: i32, within: Duration) -> Result<&Node> {
        let mut leader = None;
        self.until("led", within, || {
            leader = self.leader(topic, index).map_err(|error| error.to_string())?;
            leader.is_some().then_some(()).ok_or_else(|| format!("partition {index} of `{topic}` has no leader"))
        })?;
        Ok(leader.expect("that was waited for"))
    }

    /// What the first broker that answers knows of the cluster.
    ///
    /// # Errors
    /// None answers.
    pub fn metadata(&self) -> Result<probe::kafka::Metadata> {
        let mut answers = self.kafka.iter().map(|node| probe::kafka::metadata(node.address()));
        let mut last = answers.next().expect("a set has a broker");
        for answer in answers {
            if last.is_ok() {
                break;
            }
            last = answer;
        }
        last
    }

    fn of(folder: &Path, layout: Layout, packages: PathBuf) -> Self {
        let kafka = (1..=layout.brokers).map(|id| kafka::node(folder, &layout, id)).collect();
        let cql = cassandra::node(folder, &layout);
        Self { kafka, cql, folder: folder.to_owned(), packages, layout }
    }

    fn wanted(&self) -> impl Iterator<Item = &Node> {
        let parts = self.layout.parts;
        self.nodes().filter(move |node| match node.kind() {
            Kind::Kafka { .. } => parts != Parts::Cql,
            Kind::Cassandra => parts != Parts::Kafka,
        })
    }

    fn resume_paused(&self) -> Result<()> {
        self.wanted().filter(|node| node.health() == Health::Paused).try_for_each(Node::resume)
    }

    /// Packages, settings and storage of nodes that will be started.
    fn prepare(&self, dead: &[&Node], progress: &dyn Progress) -> Result<()> {
        let credentials = self.credentials();
        credentials.ensure(&self.layout.password)?;
        if dead.iter().any(|node| node.kind() == Kind::Cassandra) {
            let jars = cassandra::PACKAGE.fetch(&self.packages, progress)?;
            cassandra::prepare(&self.cql, &self.layout, &jars, &credentials)?;
        }
        let brokers: Vec<&&Node> = dead.iter().filter(|node| node.kind() != Kind::Cassandra).collect();
        if brokers.is_empty() {
            return Ok(());
        }
        let jars = kafka::PACKAGE.fetch(&self.packages, progress)?;
        let archive = Archive::ready(&self.packages, &self.layout, &jars, progress);
        let with = Ingredients { jars: &jars, archive: &archive, credentials: &credentials };
        let began = Instant::now();
        progress.begins("kafka: prepare storage");
        // Each storage tool is a JVM of its own: side by side they take as long as the cores allow.
        std::thread::scope(|scope| {
            let prepare = |node| kafka::prepare(node, &self.layout, &with);
            let started: Vec<_> = brokers.into_iter().map(|node| scope.spawn(move || prepare(node))).collect();
            started.into_iter().try_for_each(|thread| thread.join().expect("preparing does not panic"))
        })?;
        progress.ends("kafka: prepare storage", began.elapsed());
        Ok(())
    }

    /// Waits for those that were started, side by side, and then for the whole.
    fn await_all(&self, started: &[&Node], progress: &dyn Progress) -> Result<()> {
        let began = Instant::now();
        let what = |node: &Node| format!("{}: start", node.name());
        started.iter().for_each(|node| progress.begins(&what(node)));
        let mut waiting: Vec<&Node> = started.to_vec();
        while !waiting.is_empty() {
            let mut still = Vec::new();
            for node in waiting {
                match node.health() {
                    Health::Ready => progress.ends(&what(node), began.elapsed()),
                    Health::Down => return Err(node.died()),
                    Health::Starting(last) if began.elapsed() >= READY_MAX => {
                        return Err(node.not("ready", READY_MAX, last));
                    }
                    Health::Starting(_) | Health::Paused => still.push(node),
                }
            }
            waiting = still;
            if !waiting.is_empty() {
                std::thread::sleep(POLL);
            }
        }
        self.wait_ready(READY_MAX)
    }

    fn until(
        &self,
        wanted: &'static str,
        within: Duration,
        mut ask: impl FnMut() -> std::result::Result<(), String>,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let Err(last) = ask() else { return Ok(()) };
            if began.elapsed() >= within {
                return Err(self.kafka.first().expect("a set has a broker").not(wanted, within, last));
            }
            std::thread::sleep(POLL);
        }
    }
}

fn is_broker(node: &Node, wanted: i32) -> bool {
    matches!(node.kind(), Kind::Kafka { id } if i32::from(id) == wanted)
}

/// The layout the folder has, brought up to what is asked for now, or a fresh one.
fn lay_out(folder: &Path, options: &Options) -> Result<Layout> {
    let java = Java::find()?;
    match Layout::read(folder)? {
        None => Layout::make(folder, options, java),
        Some(layout) => {
            layout.check(folder, options)?;
            Ok(Layout { parts: options.parts, java, ..layout })
        }
    }
}

fn check_room(folder: &Path) -> Result<()> {
    let found = rustix::fs::statvfs(folder).map_err(std::io::Error::from).about("measure", folder)?;
    let free_mib = found.f_bavail * found.f_frsize / (1024 * 1024);
    if free_mib >= FREE_MIB_MIN {
        return Ok(());
    }
    Err(EnginesError::DiskFull { path: folder.to_owned(), free_mib, wanted_mib: FREE_MIB_MIN })
}
