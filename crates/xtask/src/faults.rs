//! Runs the faults often: `cargo xtask faults`.
//!
//! Knows the variables by which their tests are told how; must not know what they do.

mod previous;

use std::path::{Path, PathBuf};
use std::time::Instant;

use ::engines::Options;
use anyhow::Context as _;
use clap::ValueEnum as _;

use self::previous::PREVIOUS;
use crate::engines::Kept;
use crate::steps::EVERYTHING;
use crate::suites::{self, Beside};

/// The test binary that does them.
pub(crate) const SUITE: &str = "faults";
/// The set of engines they kill.
const SET: &str = "faults";

/// What is done to an installation under load. The tests know them by the same names, and refuse others.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Fault {
    /// The router that owns a route stands still past its session (SIGSTOP), another takes over, the first goes on.
    TwoOwners,
    /// kill -9 of a gateway, and its restart.
    KillGateway,
    /// kill -9 of the router that owns a route, and its restart.
    KillRouter,
    /// kill -9 of a farm, and its restart; what a modem was sending is uncertain.
    KillFarm,
    /// kill -9 of the broker that leads a busy partition or coordinates transactions or groups, and its restart.
    KillBroker,
    /// The CQL node is stopped or killed, and comes back.
    RestartCql,
    /// A third router joins while leases are out, and leaves in order.
    Rebalance,
    /// Every process is replaced in order, one by one, by one of a neighbouring build (`--previous`), or one that writes as the next
    /// build might, and back.
    Upgrade,
    /// A farm is cut off from all routers for 30 s.
    FarmCut,
    /// Two of three brokers are stunned or killed: gateways answer 503 and serviceNetwork, live, and are not ready.
    NoQuorum,
}

impl Fault {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// What follows the options in `--help`.
const FAULTS: &str = "\
Each fault is done under load, to two gateways, two routers, two farms, three brokers and a CQL node.

After each, every message is counted: as its sender knows it, as the ledger does, and as the simulated network received it.
  accepted    answered 202                  doubled     received more than once: must be 0
  unanswered  answered 503, or not at all   lost        accepted, not received, not called uncertain: must be 0
  received    texts the network has         uncertain   called so; only after the kill of a farm, at most one a modem
  late        unanswered, yet received      rejected    taken by the lanes too late

The engines are a set of its own, `--set faults`: the one of `cargo xtask engines up` is left alone. Logs of a fault that went
wrong stay in target/tmp/faults. Ctrl-C ends the run after the fault in hand.";

/// What is asked for.
#[derive(clap::Args)]
#[command(after_help = FAULTS)]
pub(crate) struct Faults {
    /// How often each fault.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these faults (repeat it, or separate them by commas).
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Fault>,
    /// What chance begins with: who is killed, and when. Another one each time if it is not given; it is shown.
    #[arg(long)]
    seed: Option<u64>,
    /// A file that gets what came of it as JSON, whole after each fault.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The fault `upgrade` with a real neighbour: every process is replaced by one of this revision's build, and back. Without a
    /// revision, the earliest whose build may stand beside this one. Building it takes minutes the first time.
    #[arg(long, value_name = "REVISION", num_args = 0..=1, default_missing_value = PREVIOUS)]
    previous: Option<String>,
}

impl Faults {
    /// One round of everything, for the test command.
    fn once() -> Self {
        Faults { rounds: 1, only: Vec::new(), seed: None, json: None, previous: None }
    }

    /// How the tests are told.
    fn variables(&self, set: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
        let only: Vec<String> = self.only.iter().map(|fault| fault.name()).collect();
        let mut variables = vec![
            ("CARILLON_FAULTS_ROUNDS", self.rounds.to_string()),
            ("CARILLON_FAULTS_ONLY", only.join(",")),
            ("CARILLON_FAULTS_SET", set.display().to_string()),
        ];
        variables.extend(self.seed.map(|seed| ("CARILLON_FAULTS_SEED", seed.to_string())));
        if let Some(json) = &self.json {
            // The tests run in another folder.
            let json = std::path::absolute(json).context("cannot find the folder of the JSON file")?;
            variables.push(("CARILLON_FAULTS_JSON", json.display().to_string()));
        }
        Ok(variables)
    }
}

/// Starts engines of its own, runs all rounds, and takes the engines away.
pub(crate) fn run(root: &Path, faults: &Faults) -> anyhow::Result<()> {
    // First what takes long and needs no engines.
    let previous = faults.previous.as_deref().map(|revision| previous::build(root, revision)).transpose()?;
    let suite = suites::find(root, &EVERYTHING, SUITE)?;
    let engines = Kept::start_own(SET, &Options::default())?;
    let mut variables = faults.variables(engines.folder())?;
    variables.extend(previous.map(|program| ("CARILLON_FAULTS_PREVIOUS", program.display().to_string())));
    let ran = suite.run(&[], &borrowed(&variables));
    engines.stop()?;
    ran
}

/// One round of everything under way, beside whatever else is done: its time goes by in waiting for what was killed.
pub(crate) struct Round {
    suite: Beside,
    engines: Kept,
}

impl Round {
    /// Starts engines of its own, and the round on them.
    pub(crate) fn begin(root: &Path) -> anyhow::Result<Self> {
        let suite = suites::find(root, &EVERYTHING, SUITE)?;
        let engines = Kept::start_own(SET, &Options::default())?;
        let variables = Faults::once().variables(engines.folder())?;
        Ok(Round { suite: suite.start(&borrowed(&variables))?, engines })
    }

    /// Waits for its end, says when that was, and takes the engines away.
    pub(crate) fn end(self) -> (Instant, anyhow::Result<()>) {
        let (ended, ran) = self.suite.end();
        (ended, ran.and(self.engines.stop()))
    }
}

fn borrowed<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
