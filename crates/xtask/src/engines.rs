//! Starts and stops real engines: `cargo xtask engines up|down|status|env`.
//!
//! Knows sets by name below the target directory, and the two variables that name engines elsewhere; must not know how an
//! engine is run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, ensure};
use clap::Subcommand;
use engines::{Addresses, BROKERS_MAX, Engines, NodeReport, Options, PORT_BASE_MAX, Parts, Progress, Report};

use crate::machine;
use crate::progress::Shown;

/// What `cargo xtask engines up` starts; the test command and the faults have sets of their own.
const EVERYDAY: &str = "set";

/// What can be done with a set.
#[derive(Subcommand)]
pub(crate) enum Order {
    /// Starts what does not run, waits until all is ready, and prints the line that tells programs where.
    Up {
        #[command(flatten)]
        which: Which,
        /// Brokers; three give each record three copies, two of them in sync.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(BROKERS_MAX)))]
        brokers: u8,
        /// Where the block of 50 ports begins, instead of a free block of this tool's choice.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1024..=i64::from(PORT_BASE_MAX)))]
        port_base: Option<u16>,
    },
    /// Stops it; nothing happens if nothing runs.
    Down {
        #[command(flatten)]
        which: Which,
        /// Takes its data away, too.
        #[arg(long)]
        wipe: bool,
    },
    /// Shows every node; the exit code says whether all are ready.
    Status {
        #[command(flatten)]
        which: Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints only the line that tells programs where the engines are: `eval "$(cargo xtask engines env)"`.
    Env {
        #[command(flatten)]
        which: Which,
    },
    /// Wipes the set when its standard input ends: for whoever must not leave one behind, however he ends.
    #[command(hide = true)]
    Keep {
        #[command(flatten)]
        which: Which,
    },
}

/// Which set is meant.
#[derive(clap::Args)]
pub(crate) struct Which {
    /// The set's name: a folder in target/engines.
    #[arg(long = "set", default_value = EVERYDAY)]
    name: String,
}

/// Carries an order out.
pub(crate) fn run(order: &Order) -> anyhow::Result<()> {
    match order {
        Order::Up { which, brokers, port_base } => {
            let addresses =
                up(&which.name, &Options { brokers: *brokers, port_base: *port_base, ..Options::default() })?;
            println!("{}", addresses.export_line());
            Ok(())
        }
        Order::Down { which, wipe } => down(&which.name, *wipe),
        Order::Status { which, json } => status(&which.name, *json),
        Order::Env { which } => env(&which.name),
        Order::Keep { which } => keep(&which.name),
    }
}

/// Brings up what the environment does not name already, and says where everything is.
pub(crate) fn up(name: &str, options: &Options) -> anyhow::Result<Addresses> {
    let foreign = foreign(name)?;
    foreign.check()?;
    say_foreign(&foreign);
    let Some(parts) = left_to_us(&foreign) else { return Ok(foreign) };
    machine::prepare_java()?;
    let shown = Shown::default();
    let set = Engines::up(&folder(name), &Options { parts, ..options.clone() }, &shown)?;
    shown.says(&format!("engines are up in {}", folder(name).display()));
    Ok(foreign.or(set.addresses()))
}

fn down(name: &str, wipe: bool) -> anyhow::Result<()> {
    say_foreign(&foreign(name)?);
    let Some(set) = Engines::open(&folder(name))? else {
        eprintln!("there are no engines in {}", folder(name).display());
        return Ok(());
    };
    let shown = Shown::default();
    let killed = set.down(&shown)?;
    if !killed.is_empty() {
        shown.says(&format!("killed, because it did not end within 10 seconds: {}", killed.join(", ")));
    }
    shown.says(&format!("engines are down in {}", folder(name).display()));
    if wipe {
        set.wipe(&shown)?;
        shown.says("their data is gone");
    }
    Ok(())
}

fn status(name: &str, json: bool) -> anyhow::Result<()> {
    let foreign = foreign(name)?;
    let report = own_report(name, &foreign)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        say_foreign(&foreign);
        report.nodes.iter().for_each(|node| println!("{node}"));
    }
    foreign.check()?;
    let late: Vec<&NodeReport> = report.nodes.iter().filter(|node| node.state != "ready").collect();
    let late: Vec<&str> = late.iter().map(|node| node.name.as_str()).collect();
    ensure!(late.is_empty(), "not ready: {}", late.join(", "));
    ensure!(report.ready, "there are no engines in {}; type: cargo xtask engines up", folder(name).display());
    Ok(())
}

/// The set's report without what the environment names elsewhere.
fn own_report(name: &str, foreign: &Addresses) -> anyhow::Result<Report> {
    if left_to_us(foreign).is_none() {
        return Ok(Report { ready: true, nodes: Vec::new() });
    }
    let report = Engines::open(&folder(name))?.map(|set| set.report());
    Ok(report.unwrap_or(Report { ready: false, nodes: Vec::new() }))
}

/// What of a set the environment does not name elsewhere.
fn left_to_us(foreign: &Addresses) -> Option<Parts> {
    match (&foreign.kafka, &foreign.cql) {
        (Some(_), Some(_)) => None,
        (Some(_), None) => Some(Parts::Cql),
        (None, Some(_)) => Some(Parts::Kafka),
        (None, None) => Some(Parts::Both),
    }
}

fn env(name: &str) -> anyhow::Result<()> {
    let foreign = foreign(name)?;
    let own = Engines::open(&folder(name))?.filter(|set| set.nodes().any(engines::Node::is_running));
    let addresses = foreign.or(own.map(|set| set.addresses()).unwrap_or_default());
    let line = addresses.export_line();
    ensure!(!line.is_empty(), "no engines run in {}; type: cargo xtask engines up", folder(name).display());
    println!("{line}");
    Ok(())
}

/// What the environment names and is not the set itself: a shell that took our own line over still means our set.
fn foreign(name: &str) -> anyhow::Result<Addresses> {
    let named = Addresses::from_environment();
    let own = Engines::open(&folder(name))?.map(|set| set.all_addresses()).unwrap_or_default();
    Ok(named.without(&own))
}

fn say_foreign(foreign: &Addresses) {
    for (variable, value) in foreign.variables() {
        eprintln!("{variable} names {value}: used as it is, and left alone");
    }
}

fn folder(name: &str) -> PathBuf {
    engines::home().join(name)
}

/// A set that is wiped when this goes, or when this process ends in whatever way: a process of its own holds the other
/// end of a pipe and acts when that closes.
pub(crate) struct Kept {
    keeper: Child,
    held: Option<ChildStdin>,
    folder: PathBuf,
    pub(crate) addresses: Addresses,
}

impl Kept {
    /// Starts a set from nothing, without what the environment names.
    pub(crate) fn start(name: &str, options: &Options) -> anyhow::Result<Self> {
        let mut kept = Self::begin(name)?;
        kept.addresses = up(name, options)?;
        Ok(kept)
    }

    /// Starts a whole set from nothing, whatever the environment names: for whoever kills its nodes.
    pub(crate) fn start_own(name: &str, options: &Options) -> anyhow::Result<Self> {
        let mut kept = Self::begin(name)?;
        machine::prepare_java()?;
        kept.addresses = Engines::up(&folder(name), options, &Shown::default())?.addresses();
        Ok(kept)
    }

    /// Where the set lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn begin(name: &str) -> anyhow::Result<Self> {
        let folder = folder(name);
        if let Some(left) = Engines::open(&folder)? {
            left.wipe(&engines::Quiet).context("cannot take away what an earlier run left")?;
        }
        // The keeper first: an interruption of the start must find it.
        let (keeper, held) = keeper(name)?;
        Ok(Self { keeper, held: Some(held), folder, addresses: Addresses::default() })
    }

    /// Stops the set and takes it away.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.let_go().context("cannot wait for the engines to stop")?;
        Ok(())
    }

    fn let_go(&mut self) -> std::io::Result<()> {
        drop(self.held.take());
        let status = self.keeper.wait()?;
        if status.success() { Ok(()) } else { Err(std::io::Error::other(format!("the keeper ended with {status}"))) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.held.is_some() && self.let_go().is_err() {
            eprintln!("the engines could not be stopped; see `cargo xtask engines status`");
        }
    }
}

/// This program again, in a process group of its own, which Ctrl-C does not reach.
fn keeper(name: &str) -> anyhow::Result<(Child, ChildStdin)> {
    // Not by its path: cargo may have built another in its place meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.args(["engines", "keep", "--set", name]).stdin(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().context("cannot start the keeper of the engines")?;
    let held = child.stdin.take().context("the keeper has no standard input")?;
    Ok((child, held))
}

fn keep(name: &str) -> anyhow::Result<()> {
    let mut nothing = Vec::new();
    std::io::stdin().read_to_end(&mut nothing).context("cannot wait for the end of the standard input")?;
    match Engines::open(&folder(name))? {
        Some(set) => Ok(set.wipe(&engines::Quiet)?),
        None => Ok(()),
    }
}
