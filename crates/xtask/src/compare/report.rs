//! The comparison as a table for a person and as an object for a program.
//!
//! Knows figures and words; must not know how they were taken.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::Options;
use super::column::Column;
use super::cost::{Cost, Topic};
use super::load::Load;

/// Our own processes, whatever the column. Engines, network and loader are shown beside them.
const OURS: [&str; 4] = ["carillon", "gateway", "router", "farm"];
const ENGINES: [&str; 2] = ["kafka", "cassandra"];
/// What the goal allows: CPU on real engines by that of the embedded ones.
const RATIO_MAX: f64 = 1.5;
/// A column that accepts less than this share of the rate did not hold it: it worked on a backlog, in larger steps.
const HELD_MIN: f64 = 0.97;

/// What was found of one column.
pub(crate) struct Figures {
    pub(crate) column: Column,
    pub(crate) load_average: f64,
    pub(crate) processes: Vec<&'static str>,
    /// CPU seconds a second at rest.
    pub(crate) resting: BTreeMap<String, f64>,
    /// Closed loop, nobody sends.
    pub(crate) accept: Load,
    /// Open loop at a rate every column holds.
    pub(crate) paced: Paced,
    /// Closed loop, everything to its end.
    pub(crate) fast: Load,
    pub(crate) fast_cost: Option<Cost>,
}

/// The paced run and what it left in the engines.
pub(crate) struct Paced {
    pub(crate) load: Load,
    pub(crate) cost: Option<Cost>,
}

/// All columns.
#[derive(Serialize)]
pub(crate) struct Report {
    messages: u64,
    connections: u32,
    paced_per_second: u64,
    links: String,
    columns: BTreeMap<&'static str, Shown>,
    /// CPU of our processes per message, by that of the embedded column; the first of the paced run, then of the fast one.
    ratio: BTreeMap<&'static str, Ratio>,
    #[serde(skip)]
    order: Vec<&'static str>,
}

/// A column as it is shown.
#[derive(Serialize)]
struct Shown {
    load_average: f64,
    processes: Vec<&'static str>,
    resting_cpu_seconds_per_second: BTreeMap<String, f64>,
    accepting_alone: Run,
    paced: Run,
    fast: Run,
    rss_mib_max: f64,
    engines_rss_mib_max: f64,
    paced_cost: Option<Cost>,
    fast_cost: Option<Cost>,
}

/// A run as it is shown.
#[derive(Serialize)]
struct Run {
    accepted_per_second: f64,
    delivered_per_second: Option<f64>,
    accept_p50_ms: f64,
    accept_p99_ms: f64,
    /// All our processes.
    cpu_seconds_per_1000: f64,
    engines_cpu_seconds_per_1000: f64,
    /// Each process, the simulated network and the engines among them.
    cpu_seconds_per_1000_by: BTreeMap<String, f64>,
    loader_cpu_seconds_per_1000: f64,
    /// Empty: nothing lost, nothing doubled, ledger and network agree.
    complaints: Vec<String>,
}

#[derive(Clone, Copy, Serialize)]
struct Ratio {
    paced: f64,
    fast: f64,
}

impl Report {
    pub(crate) fn new(options: &Options, columns: Vec<Figures>) -> Self {
        let order: Vec<&'static str> = columns.iter().map(|figures| figures.column.title()).collect();
        let columns: BTreeMap<&'static str, Shown> =
            columns.into_iter().map(|figures| (figures.column.title(), Shown::of(figures))).collect();
        Self {
            messages: options.messages,
            connections: options.connections,
            paced_per_second: options.rate,
            links: options.links(),
            ratio: ratios(&columns),
            columns,
            order,
        }
    }

    /// An error if a run lost, doubled or miscounted anything.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let runs = self.columns.values().flat_map(|shown| [&shown.accepting_alone, &shown.paced, &shown.fast]);
        let bad = runs.filter(|run| !run.complaints.is_empty()).count();
        ensure!(bad == 0, "{bad} runs are bad: see their complaints");
        Ok(())
    }
}

fn ratios(columns: &BTreeMap<&'static str, Shown>) -> BTreeMap<&'static str, Ratio> {
    let Some(base) = columns.get(Column::Embedded.title()) else { return BTreeMap::new() };
    let by = |run: &Run, base: &Run| run.cpu_seconds_per_1000 / base.cpu_seconds_per_1000;
    let others = columns.iter().filter(|(name, _)| **name != Column::Embedded.title());
    others
        .map(|(name, shown)| (*name, Ratio { paced: by(&shown.paced, &base.paced), fast: by(&shown.fast, &base.fast) }))
        .collect()
}

impl Shown {
    fn of(figures: Figures) -> Self {
        let rss = |names: &[&str]| figures.fast.rss_mib(names);
        Self {
            load_average: figures.load_average,
            processes: figures.processes,
            rss_mib_max: rss(&OURS),
            engines_rss_mib_max: rss(&ENGINES),
            resting_cpu_seconds_per_second: figures.resting,
            accepting_alone: Run::of(figures.accept),
            paced: Run::of(figures.paced.load),
            fast: Run::of(figures.fast),
            paced_cost: figures.paced.cost,
            fast_cost: figures.fast_cost,
        }
    }
}

impl Run {
    fn of(load: Load) -> Self {
        Self {
            accepted_per_second: load.accepted_per_second,
            delivered_per_second: load.delivered_per_second,
            accept_p50_ms: load.latency_ms.p50,
            accept_p99_ms: load.latency_ms.p99,
            cpu_seconds_per_1000: load.cpu_per_1000(&OURS),
            engines_cpu_seconds_per_1000: load.cpu_per_1000(&ENGINES),
            cpu_seconds_per_1000_by: load
                .watched
                .keys()
                .map(|name| (name.clone(), load.cpu_per_1000(&[name])))
                .collect(),
            loader_cpu_seconds_per_1000: load.loader_cpu_seconds * 1000.0 / load.accepted.max(1) as f64,
            complaints: load.complaints,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "\n{} messages, {} connections, {}", self.messages, self.connections, self.links)?;
        write!(to, "{:<44}", "")?;
        self.order.iter().try_for_each(|name| write!(to, "{name:>12}"))?;
        writeln!(to)?;
        self.line(to, "load average of the machine at the start", |shown| Some(shown.load_average), 1)?;
        self.line(to, "CPU at rest, of our processes, % of a core", |shown| Some(resting(shown) * 100.0), 1)?;
        self.write_run(to, "accepting alone, closed loop", |shown| &shown.accepting_alone)?;
        self.write_run(to, &format!("paced, {} a second, open loop", self.paced_per_second), |shown| &shown.paced)?;
        self.write_run(to, "as fast as it can, closed loop, to the last end", |shown| &shown.fast)?;
        self.line(to, "memory of ours at most, MiB", |shown| Some(shown.rss_mib_max), 0)?;
        self.line(to, "memory of the engines at most, MiB", |shown| Some(shown.engines_rss_mib_max), 0)?;
        for (name, Ratio { paced, fast }) in &self.ratio {
            let met = match (self.held(name), *paced <= RATIO_MAX) {
                (false, _) => "the rate was not held, so this says nothing",
                (true, true) => "1.5 is met",
                (true, false) => "1.5 is not met",
            };
            writeln!(to, "{name}: CPU of ours by the embedded column's: paced {paced:.2} ({met}), fast {fast:.2}")?;
        }
        for name in &self.order {
            let costs = self.columns.get(name).map(|shown| [&shown.paced_cost, &shown.fast_cost]);
            for (cost, run) in costs.iter().flatten().zip(["paced", "as fast as it can"]) {
                cost.as_ref().map_or(Ok(()), |cost| write_cost(to, name, run, cost))?;
            }
        }
        self.write_complaints(to)
    }
}

fn resting(shown: &Shown) -> f64 {
    OURS.iter().filter_map(|name| shown.resting_cpu_seconds_per_second.get(*name)).sum()
}

impl Report {
    /// Whether a column could do what the paced run asked for.
    fn held(&self, name: &str) -> bool {
        let accepted = self.columns.get(name).map_or(0.0, |shown| shown.paced.accepted_per_second);
        accepted >= HELD_MIN * self.paced_per_second as f64
    }

    fn line(
        &self,
        to: &mut fmt::Formatter<'_>,
        what: &str,
        figure: impl Fn(&Shown) -> Option<f64>,
        digits: usize,
    ) -> fmt::Result {
        write!(to, "{what:<44}")?;
        for shown in self.order.iter().filter_map(|name| self.columns.get(name)) {
            match figure(shown) {
                Some(figure) => write!(to, "{figure:>12.digits$}")?,
                None => write!(to, "{:>12}", "-")?,
            }
        }
        writeln!(to)
    }

    fn write_run(&self, to: &mut fmt::Formatter<'_>, title: &str, run: fn(&Shown) -> &Run) -> fmt::Result {
        writeln!(to, "{title}:")?;
        self.line(to, "  accepted a second", |shown| Some(run(shown).accepted_per_second), 0)?;
        self.line(to, "  delivered a second", |shown| run(shown).delivered_per_second, 0)?;
        self.line(to, "  acceptance p50, ms", |shown| Some(run(shown).accept_p50_ms), 1)?;
        self.line(to, "  acceptance p99, ms", |shown| Some(run(shown).accept_p99_ms), 1)?;
        self.line(to, "  CPU seconds per 1,000, all of ours", |shown| Some(run(shown).cpu_seconds_per_1000), 3)?;
        for name in OURS.iter().chain(&ENGINES).chain(&["network", "centre"]) {
            let figure = |shown: &Shown| run(shown).cpu_seconds_per_1000_by.get(*name).copied();
            if self.columns.values().any(|shown| figure(shown).is_some()) {
                self.line(to, &format!("    {name}"), figure, 3)?;
            }
        }
        self.line(to, "    loader", |shown| Some(run(shown).loader_cpu_seconds_per_1000), 3)
    }

    fn write_complaints(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut good = true;
        for (name, shown) in &self.columns {
            for complaint in [&shown.accepting_alone, &shown.paced, &shown.fast].iter().flat_map(|run| &run.complaints)
            {
                good = false;
                writeln!(to, "BAD, {name}: {complaint}")?;
            }
        }
        if good { write!(to, "every ledger adds up; nothing lost, nothing doubled") } else { Ok(()) }
    }
}

/// Per message: what is in the lanes, and what was asked of the database.
fn write_cost(to: &mut fmt::Formatter<'_>, column: &str, run: &str, cost: &Cost) -> fmt::Result {
    writeln!(to, "\n{column}, {run}: what one message leaves in Kafka")?;
    writeln!(to, "{:<32}{:>10}{:>10}{:>10}{:>10}", "topic", "entries", "records", "markers", "bytes")?;
    let mut all = Topic::default();
    for (name, topic) in &cost.topics {
        let Topic { entries, records, markers, bytes } = *topic;
        writeln!(to, "{name:<32}{entries:>10.3}{records:>10.3}{markers:>10.3}{bytes:>10.0}")?;
        all.entries += entries;
        all.records += records;
        all.markers += markers;
        all.bytes += bytes;
    }
    let Topic { entries, records, markers, bytes } = all;
    writeln!(to, "{:<32}{entries:>10.3}{records:>10.3}{markers:>10.3}{bytes:>10.0}", "in all")?;
    let sent = cost.cql_bytes.map_or_else(String::new, |bytes| format!(", {bytes:.0} bytes"));
    writeln!(to, "and asks of the database: {:.3} requests{sent}", cost.cql_requests)?;
    writeln!(to, "{:<32}{:>10}{:>10}", "table, partitions", "written", "read")?;
    for (name, table) in &cost.tables {
        writeln!(to, "{name:<32}{:>10.3}{:>10.3}", table.writes, table.reads)?;
    }
    Ok(())
}
