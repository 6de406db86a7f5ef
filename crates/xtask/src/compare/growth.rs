//! What a message costs as more and more are in the store, and as more and more tenants send.
//!
//! Knows the order of the measurement; must not know how an installation is set up.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;

use super::centre::{self, Centre};
use super::installation::{self, Installation, Way};
use super::load::{self, Load};

/// The binds and the process's pools are warm after so many.
const WARM_UP_MESSAGES: u64 = 2_000;
/// Messages of each tenant at least: the loader reads every one's ledger, which is work for the server, too.
const OF_EACH_TENANT: u64 = 50;
/// Our process, as the loader is told to watch it.
const OURS: &str = "carillon";

/// How it is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Messages in the store at which the cost of one is measured, in one installation.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000, 10_000_000])]
    stored: Vec<u64>,
    /// Tenants that send in turn, each number in an installation of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 10_000])]
    tenants: Vec<u32>,
    /// Messages of a measured run, as fast as they are answered (closed loop), each with one recipient and a receipt.
    #[arg(short = 'n', long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Connections of the loader.
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Measures what was built before, whatever the sources say now.
    #[arg(long)]
    no_build: bool,
    /// Prints the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// One measured run.
#[derive(Serialize)]
struct Figures {
    /// Tenants that sent.
    tenants: u32,
    /// Messages in the store after it.
    stored: u64,
    accepted_per_second: f64,
    delivered_per_second: f64,
    accept_p99_ms: f64,
    cpu_seconds_per_1000: f64,
    /// What ours is a multiple of on a machine whose speed swings.
    loader_cpu_seconds_per_1000: f64,
    rss_mib_max: f64,
    /// Octets of the data folder: state, lanes and the farm's journal.
    disk_bytes: u64,
    complaints: Vec<String>,
}

/// All of them.
#[derive(Serialize)]
struct Report {
    by_messages: Vec<Figures>,
    by_tenants: Vec<Figures>,
}

pub(crate) fn compare(root: &Path, options: &Options) -> anyhow::Result<()> {
    let target = super::built(root, options.no_build, "smsc")?;
    let mut report = Report { by_messages: by_messages(&target, options)?, by_tenants: Vec::new() };
    for &tenants in &options.tenants {
        let mut bench = Bench::begin(&target, options, tenants)?;
        let figures = bench.measure(options.messages.max(OF_EACH_TENANT * u64::from(tenants)))?;
        bench.end()?;
        report.by_tenants.push(figures);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    report.check()
}

/// Fills one installation up, and measures where it is asked for.
fn by_messages(target: &Path, options: &Options) -> anyhow::Result<Vec<Figures>> {
    let mut found = Vec::new();
    if options.stored.is_empty() {
        return Ok(found);
    }
    ensure!(options.stored.is_sorted(), "`--stored`: in rising order");
    let mut bench = Bench::begin(target, options, 1)?;
    for &stored in &options.stored {
        let lacks = stored.saturating_sub(bench.stored).max(1);
        let measured = lacks.min(options.messages);
        if lacks > measured {
            eprintln!("=== {} more, not measured", lacks - measured);
            bench.load(lacks - measured)?;
        }
        found.push(bench.measure(measured)?);
    }
    bench.end()?;
    Ok(found)
}

/// An installation, and what it has stored.
struct Bench<'a> {
    target: &'a Path,
    options: &'a Options,
    installation: Installation,
    tenants: u32,
    stored: u64,
}

impl<'a> Bench<'a> {
    fn begin(target: &'a Path, options: &'a Options, tenants: u32) -> anyhow::Result<Self> {
        let folder = installation::empty(&target.join("compare").join("growth"))?;
        let centre = Centre::start(&folder, target, centre::BINDS, centre::WINDOW)?;
        let mut installation = Installation::begin(folder, target, Way::Smpp(centre), None, tenants)?;
        installation.deliver()?;
        let mut bench = Self { target, options, installation, tenants, stored: 0 };
        bench.load(WARM_UP_MESSAGES)?;
        Ok(bench)
    }

    fn measure(&mut self, messages: u64) -> anyhow::Result<Figures> {
        eprintln!("=== tenants: {}, stored: {}", self.tenants, self.stored + messages);
        let run = self.load(messages)?;
        let network = run.network.clone().unwrap_or_default();
        let figures = Figures {
            tenants: self.tenants,
            stored: self.stored,
            accepted_per_second: run.accepted_per_second,
            delivered_per_second: network.seen_per_second.unwrap_or(0.0),
            accept_p99_ms: run.latency_ms.p99,
            cpu_seconds_per_1000: run.cpu_per_1000(&[OURS]),
            loader_cpu_seconds_per_1000: run.loader_cpu_seconds * 1000.0 / run.accepted.max(1) as f64,
            rss_mib_max: run.rss_mib(&[OURS]),
            disk_bytes: octets(&self.installation.data())?,
            complaints: run.complaints,
        };
        eprintln!("{}\n{figures}", Figures::HEAD);
        Ok(figures)
    }

    fn load(&mut self, messages: u64) -> anyhow::Result<Load> {
        let own = ["-c", "-n", "--tenants"].map(str::to_owned);
        let counts = [u64::from(self.options.connections), messages, u64::from(self.tenants)];
        let own = own.into_iter().zip(counts).flat_map(|(word, count)| [word, count.to_string()]);
        let arguments: Vec<String> = self.installation.loader_arguments().into_iter().chain(own).collect();
        let watched: Vec<(String, u32)> = self.installation.roles().map(|(name, pid)| (name.to_owned(), pid)).collect();
        let load = load::run(self.target, &arguments, &watched)?;
        load.complaints.iter().for_each(|complaint| eprintln!("BAD: {complaint}"));
        self.stored += load.accepted;
        Ok(load)
    }

    fn end(self) -> anyhow::Result<()> {
        self.installation.wait_settled()?;
        self.installation.end()
    }
}

/// Octets of all files in a folder. One that goes away meanwhile has none.
fn octets(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).context("the data folder")? {
        let entry = entry.context("the data folder")?;
        let Ok(kind) = entry.metadata() else { continue };
        sum += if kind.is_dir() { octets(&entry.path())? } else { kind.len() };
    }
    Ok(sum)
}

impl Report {
    /// An error if a run lost, doubled or miscounted anything.
    fn check(&self) -> anyhow::Result<()> {
        let all = self.by_messages.iter().chain(&self.by_tenants);
        let complaints: Vec<&str> = all.flat_map(|figures| &figures.complaints).map(String::as_str).collect();
        ensure!(complaints.is_empty(), "runs are bad: {}", complaints.join("; "));
        Ok(())
    }
}

impl Figures {
    const HEAD: &str = "    stored  tenants accepted/s delivered/s  p99 ms  CPU s/1,000  by loader's  mem MiB disk MiB";
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, tenants, accepted_per_second, delivered_per_second, .. } = self;
        let (cpu, loader) = (self.cpu_seconds_per_1000, self.loader_cpu_seconds_per_1000);
        let (p99, memory, disk) = (self.accept_p99_ms, self.rss_mib_max, self.disk_bytes >> 20);
        let times = if loader > 0.0 { cpu / loader } else { 0.0 };
        write!(
            f,
            "{stored:>10} {tenants:>8} {accepted_per_second:>10.0} {delivered_per_second:>11.0} {p99:>7.1} {cpu:>12.3} {times:>12.1} \
             {memory:>8.0} {disk:>8}"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Figures::HEAD)?;
        self.by_messages.iter().chain(&self.by_tenants).try_for_each(|figures| writeln!(f, "{figures}"))
    }
}
