//! The product beside Kannel: both in turns, the same loader, service centre and texts, receipts on.
//!
//! Knows the order of the measurement; must not know how either is set up nor how figures are shown.

mod bearerbox;
mod report;

use std::path::Path;

use anyhow::Context;
use clap::Args;

use self::bearerbox::{Bearerbox, Store};
use self::report::{Figures, Report, Row};
use super::centre::{self, Centre};
use super::column::load_average;
use super::installation::{self, Installation, Way};
use super::load::{self, Load};
use crate::machine;

/// The binds and the processes' pools are warm after so many.
const WARM_UP_MESSAGES: u64 = 2_000;
const MESSAGES_MAX: u64 = 100_000_000;

/// How it is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Who has a turn, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Row::ALL)]
    rows: Vec<Row>,
    /// Messages of a run, each with one recipient and a receipt; as fast as they are answered (closed loop). Ten times as many
    /// where a call has a hundred of them.
    #[arg(short = 'n', long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=MESSAGES_MAX))]
    messages: u64,
    /// Connections of the loader.
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How often each system has its turn; the table shows the median of each figure, and the most memory of all.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// SMPP binds of each system on each of its two accounts.
    #[arg(long, default_value_t = centre::BINDS, value_parser = clap::value_parser!(u32).range(1..=64))]
    binds: u32,
    /// Messages under way at once on a bind.
    #[arg(long, default_value_t = centre::WINDOW, value_parser = clap::value_parser!(u32).range(1..=4096))]
    window: u32,
    /// Measures what was built before, whatever the sources say now.
    #[arg(long)]
    no_build: bool,
    /// Shows the process ids at each run, so that a profiler can be attached.
    #[arg(long)]
    show_processes: bool,
    /// Prints the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn compare(root: &Path, options: &Options) -> anyhow::Result<()> {
    machine::prepare_kannel()?;
    let target = super::built(root, options.no_build, "smsc")?;
    let mut report = Report::new(options);
    for round in 1..=options.rounds {
        for &row in &options.rows {
            eprintln!("=== {}, {round} of {}", row.title(), options.rounds);
            let bench = Bench { target: &target, options };
            report.add(row, bench.measure(row).with_context(|| row.title())?);
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    } else {
        println!("{report}");
    }
    report.check()
}

struct Bench<'a> {
    target: &'a Path,
    options: &'a Options,
}

impl Bench<'_> {
    /// One turn of one system, from nothing.
    fn measure(&self, row: Row) -> anyhow::Result<Figures> {
        let load_average = load_average()?;
        let folder = installation::empty(&self.target.join("compare").join(row.folder()))?;
        let centre = Centre::start(&folder, self.target, self.options.binds, self.options.window)?;
        let (accepting, run) = match row {
            Row::Carillon | Row::CarillonOms | Row::CarillonBatch => {
                let mut carillon = Installation::begin(folder, self.target, Way::Smpp(centre), None, 1)?;
                let mut fixed = carillon.loader_arguments();
                fixed.extend(row.door().iter().map(|word| (*word).to_owned()));
                let processes = |carillon: &Installation| carillon.roles().chain([carillon.network()]).collect();
                // Before anybody drives the binds.
                let alone = ["--until".to_owned(), "accepted".to_owned()];
                let messages = self.options.messages * row.per_message();
                self.load("warm-up", &fixed, WARM_UP_MESSAGES, &alone, processes(&carillon))?;
                let accepting = self.load("accepting alone", &fixed, messages, &alone, processes(&carillon))?;
                carillon.deliver().context("what was accepted is not delivered")?;
                self.load("warm-up", &fixed, WARM_UP_MESSAGES, &[], processes(&carillon))?;
                let run = self.load("as fast as it can", &fixed, messages, &[], processes(&carillon))?;
                carillon.wait_settled()?;
                carillon.end()?;
                (Some(accepting), run)
            }
            Row::KannelSpool | Row::Kannel => {
                let store = if row == Row::Kannel { Store::None } else { Store::Spool };
                let kannel = Bearerbox::start(folder, centre, store)?;
                let (fixed, processes) = (kannel.loader_arguments(), || kannel.processes().collect());
                self.load("warm-up", &fixed, WARM_UP_MESSAGES, &[], processes())?;
                let run = self.load("as fast as it can", &fixed, self.options.messages, &[], processes())?;
                kannel.end()?;
                (None, run)
            }
        };
        Ok(Figures::new(load_average, accepting.as_ref(), &run))
    }

    fn load(
        &self,
        what: &str,
        fixed: &[String],
        messages: u64,
        more: &[String],
        processes: Vec<(&'static str, u32)>,
    ) -> anyhow::Result<Load> {
        let connections = self.options.connections.to_string();
        let own = ["-c".to_owned(), connections, "-n".to_owned(), messages.to_string()];
        if self.options.show_processes {
            eprintln!("{processes:?}");
        }
        let watched: Vec<(String, u32)> = processes.into_iter().map(|(name, pid)| (name.to_owned(), pid)).collect();
        let load = load::run(self.target, &[fixed, &own, more].concat(), &watched).with_context(|| what.to_owned())?;
        eprintln!("{what}: {:.0} accepted a second", load.accepted_per_second);
        load.complaints.iter().for_each(|complaint| eprintln!("BAD: {complaint}"));
        Ok(load)
    }
}
