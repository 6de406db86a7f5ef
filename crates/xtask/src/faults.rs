//! Runs the faults often: `cargo xtask faults`.
//!
//! Knows the variables by which their tests are told how; must not know what they do.

use std::path::Path;

use ::engines::Options;

use crate::command;
use crate::engines::Kept;
use crate::steps::EVERYTHING;

/// The set of engines they kill.
const SET: &str = "faults";

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct Faults {
    /// How often each fault.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these faults (repeat it, or separate them by commas); a name that is none is answered with all there are.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What chance begins with: who is killed, and when. Another one each time if it is not given; it is shown.
    #[arg(long)]
    seed: Option<u64>,
}

/// Starts engines of its own, runs all rounds, and takes the engines away.
pub(crate) fn run(root: &Path, faults: &Faults) -> anyhow::Result<()> {
    let target = [&EVERYTHING[..], &["--test", "faults"]].concat();
    // First what takes long and needs no engines.
    command::run(root, "cargo", &[&["test"], &target[..], &["--no-run"]].concat())?;
    let engines = Kept::start_own(SET, &Options::default())?;
    let (rounds, only, set) =
        (faults.rounds.to_string(), faults.only.join(","), engines.folder().display().to_string());
    let seed = faults.seed.map(|seed| seed.to_string());
    let mut variables = vec![
        ("CARILLON_FAULTS_ROUNDS", rounds.as_str()),
        ("CARILLON_FAULTS_ONLY", &only),
        ("CARILLON_FAULTS_SET", &set),
    ];
    variables.extend(seed.as_deref().map(|seed| ("CARILLON_FAULTS_SEED", seed)));
    let ran = command::run_with(root, "cargo", &[&["test"], &target[..]].concat(), &variables);
    engines.stop()?;
    ran
}
