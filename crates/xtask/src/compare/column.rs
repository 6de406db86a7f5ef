//! One column of the comparison: an installation on its engines, the runs, and the counters around them.
//!
//! Knows the order of the runs; must not know how a figure is shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ::engines::{Engines, Options as EngineOptions};
use anyhow::Context;
use clap::ValueEnum;

use super::Options;
use super::centre::{self, Centre};
use super::cost::Meter;
use super::installation::{self, Installation, Modems, Servers, Way};
use super::load::{self, Load};
use super::part::cpu_seconds;
use super::report::{Figures, Paced};
use crate::engines::Kept;

/// The set of engines that is started for a column and wiped after it.
const SET: &str = "compare";
/// Warms up what was just started with its links: processors, pools, compilers of the engines.
const WARM_UP_MESSAGES: u64 = 1_000;
/// How long everything is left alone to see what it uses at rest.
const REST: Duration = Duration::from_secs(5);

/// A way to keep lanes and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// All roles in one process, lanes and state in one file.
    Embedded,
    /// Gateway, router and farm as processes, one Kafka broker, one Cassandra node.
    Kafka1,
    /// The same with three brokers: three copies of each record, two of them in sync.
    Kafka3,
}

impl Column {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka1 => "kafka 1",
            Self::Kafka3 => "kafka 3",
        }
    }

    const fn brokers(self) -> Option<u8> {
        match self {
            Self::Embedded => None,
            Self::Kafka1 => Some(1),
            Self::Kafka3 => Some(3),
        }
    }
}

/// Engines of a column, if it needs any, and what keeps them.
struct Backing {
    kept: Kept,
    set: Engines,
    brokers: u8,
}

/// Measures one column from nothing, and takes everything away.
pub(crate) fn measure(column: Column, target: &Path, options: &Options) -> anyhow::Result<Figures> {
    let backing = column.brokers().map(Backing::start).transpose()?;
    let folder = installation::empty(&target.join("compare").join(column.title().replace(' ', "-")))?;
    let servers = backing.as_ref().map(Backing::servers).transpose()?;
    let way = if options.smpp {
        Way::Smpp(Centre::start(&folder, target, centre::BINDS, centre::WINDOW)?)
    } else {
        Way::Modems(Modems::start(&folder, target, options.modems)?)
    };
    let installation = Installation::begin(folder, target, way, servers, 1)?;
    let mut bench = Bench { installation, backing: backing.as_ref(), target, options };
    let figures = bench.run(column)?;
    bench.installation.end()?;
    if let Some(backing) = backing {
        backing.kept.stop()?;
    }
    Ok(figures)
}

struct Bench<'a> {
    installation: Installation,
    backing: Option<&'a Backing>,
    target: &'a Path,
    options: &'a Options,
}

impl Bench<'_> {
    fn run(&mut self, column: Column) -> anyhow::Result<Figures> {
        let load_average = load_average()?;
        let options = self.options;
        let connections = ["-c".to_owned(), options.connections.to_string()];
        let count = |messages: u64| ["-n".to_owned(), messages.to_string()];
        let unpaced = [connections.clone(), count(options.messages)].concat();

        let accept = self.load("accepting alone", &[&unpaced[..], &["--until".into(), "accepted".into()]].concat())?;
        self.installation.deliver().context("what was accepted is not delivered")?;
        let warm_up = [&connections[..], &count(WARM_UP_MESSAGES)].concat();
        self.load("warm-up", &warm_up)?;
        let resting = self.rest()?;

        let meter = self.backing.map(Backing::meter);
        let read = || meter.as_ref().map(Meter::read).transpose();
        let paced = [&connections[..], &count(options.rate * options.seconds)].concat();
        let paced = [&paced[..], &["--rate".into(), options.rate.to_string()]].concat();
        let before = read()?;
        let paced = self.load("paced", &paced)?;
        let between = read()?;
        let fast = self.load("as fast as it can", &unpaced)?;
        let after = read()?;
        let cost = |now: &Option<_>, before: &Option<_>, load: &Load| {
            now.as_ref()
                .zip(before.as_ref())
                .map(|(now, before): (&super::cost::Reading, _)| now.since(before, load.accepted))
        };
        let (paced_cost, fast_cost) = (cost(&between, &before, &paced), cost(&after, &between, &fast));
        self.installation.wait_settled()?;
        let processes = self.installation.roles().map(|(name, _)| name).collect();
        let paced = Paced { load: paced, cost: paced_cost };
        Ok(Figures { column, load_average, processes, resting, accept, paced, fast, fast_cost })
    }

    fn load(&self, what: &str, arguments: &[String]) -> anyhow::Result<Load> {
        let began = Instant::now();
        eprintln!("{what} …");
        let arguments = [&self.installation.loader_arguments()[..], arguments].concat();
        let watched = self.processes();
        if self.options.show_processes {
            eprintln!("{watched:?}");
        }
        let load = load::run(self.target, &arguments, &watched).with_context(|| what.to_owned())?;
        let took = began.elapsed().as_secs_f64();
        eprintln!("{what}: {:.0} accepted a second, {took:.1} s in all", load.accepted_per_second);
        load.complaints.iter().for_each(|complaint| eprintln!("BAD: {complaint}"));
        Ok(load)
    }

    /// Everything that works for the messages, by what the report calls it.
    fn processes(&self) -> Vec<(String, u32)> {
        let ours = self.installation.roles().chain([self.installation.network()]);
        let mut all: Vec<(String, u32)> = ours.map(|(name, pid)| (name.to_owned(), pid)).collect();
        all.extend(self.backing.iter().flat_map(|backing| backing.processes()));
        all
    }

    /// CPU seconds a second of each process while nothing is sent.
    fn rest(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let processes = self.processes();
        let used = || processes.iter().map(|(_, pid)| cpu_seconds(*pid)).collect::<anyhow::Result<Vec<f64>>>();
        let before = used()?;
        std::thread::sleep(REST);
        let shares = before.into_iter().zip(used()?).map(|(was, now)| (now - was) / REST.as_secs_f64());
        let mut all: BTreeMap<String, f64> = BTreeMap::new();
        processes.iter().zip(shares).for_each(|((name, _), share)| *all.entry(name.clone()).or_default() += share);
        Ok(all)
    }
}

impl Backing {
    fn start(brokers: u8) -> anyhow::Result<Self> {
        let options = EngineOptions { brokers, ..EngineOptions::default() };
        let kept = Kept::start_own(SET, &options)?;
        let set = Engines::open(kept.folder())?.context("the engines are gone")?;
        Ok(Self { kept, set, brokers })
    }

    fn servers(&self) -> anyhow::Result<Servers> {
        let addresses = self.set.addresses();
        let kafka = addresses.kafka.context("the set has no brokers")?;
        let cql = addresses.cql.context("the set has no database")?;
        Ok(Servers { kafka, cql, replication: self.brokers })
    }

    fn meter(&self) -> Meter {
        Meter { broker: self.set.kafka[0].directory().join("data"), cql: self.set.cql.address() }
    }

    fn processes(&self) -> Vec<(String, u32)> {
        let named = self.set.nodes().filter_map(|node| Some((node, u32::try_from(node.pid()?).ok()?)));
        let name = |name: &str| if name.starts_with("kafka") { "kafka".to_owned() } else { name.to_owned() };
        named.map(|(node, pid)| (name(node.name()), pid)).collect()
    }
}

/// Processes that wanted a processor in the last minute: what else the machine does, at the start.
pub(super) fn load_average() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("cannot read the load average")?;
    let first = text.split_ascii_whitespace().next().and_then(|first| first.parse().ok());
    first.context("the load average is not understood")
}
