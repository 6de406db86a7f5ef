//! What a run is asked to do: by the environment, as `cargo xtask faults` says it, or by a test command line. Knows words.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often each fault.
const ROUNDS: &str = "CARILLON_FAULTS_ROUNDS";
/// Which, by name, separated by commas; all if it is not set.
const ONLY: &str = "CARILLON_FAULTS_ONLY";
/// What chance begins with.
const SEED: &str = "CARILLON_FAULTS_SEED";
/// The file that gets what came of it, for programs.
const JSON: &str = "CARILLON_FAULTS_JSON";
/// The program of an earlier build, for the fault that is an upgrade.
const PREVIOUS: &str = "CARILLON_FAULTS_PREVIOUS";
/// The folder of a set of engines that may be killed; one of its own if it is not set.
const SET: &str = "CARILLON_FAULTS_SET";

/// Options of test command lines that are followed by a value, which is no filter.
const WITH_VALUE: [&str; 6] = ["--test-threads", "--skip", "--format", "--color", "--logfile", "-Z"];

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C ends the run after the fault in hand, so that nothing that was started stays behind.
pub(crate) fn watch_for_interruption(runtime: &tokio::runtime::Runtime) {
    runtime.spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
}

/// Whether somebody wants an end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// What is asked for.
pub(crate) struct Orders {
    pub(crate) rounds: usize,
    pub(crate) seed: u64,
    pub(crate) set: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) previous: Option<PathBuf>,
    only: Vec<String>,
    filters: Vec<String>,
    skips: Vec<String>,
}

impl Orders {
    /// Reads them; nothing is left to do if only a list was wanted.
    pub(crate) fn read(names: &[&str]) -> Result<Option<Self>, String> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        if arguments.iter().any(|word| word == "--list") {
            names.iter().for_each(|name| println!("{}: test", full(name)));
            return Ok(None);
        }
        let only = variable::<String>(ONLY)?.unwrap_or_default();
        let only: Vec<String> = only.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if let Some(stranger) = only.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("there is no fault `{stranger}`; there are {}", names.join(", ")));
        }
        Ok(Some(Orders {
            rounds: variable(ROUNDS)?.unwrap_or(1),
            seed: variable(SEED)?.unwrap_or_else(rand::random),
            set: variable(SET)?,
            json: variable(JSON)?,
            previous: variable(PREVIOUS)?,
            only,
            filters: filters(&arguments),
            skips: skips(&arguments),
        }))
    }

    /// Whether a fault is among those that are asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let full = full(name);
        (self.only.is_empty() || self.only.iter().any(|only| only == name))
            && (self.filters.is_empty() || self.filters.iter().any(|filter| full.contains(filter.as_str())))
            && !self.skips.iter().any(|skip| full.contains(skip.as_str()))
    }
}

fn variable<T: FromStr>(name: &str) -> Result<Option<T>, String> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("`{name}` can't be `{text}`"))
}

/// What a fault is called among all tests.
fn full(name: &str) -> String {
    format!("faults::{name}")
}

/// Values of `--skip`, as test harnesses take them.
fn skips(arguments: &[String]) -> Vec<String> {
    let pairs = arguments.windows(2).filter(|pair| pair[0] == "--skip").map(|pair| pair[1].clone());
    let joined = arguments.iter().filter_map(|word| word.strip_prefix("--skip=").map(str::to_owned));
    pairs.chain(joined).collect()
}

fn filters(arguments: &[String]) -> Vec<String> {
    let mut words = arguments.iter();
    let mut filters = Vec::new();
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(word.clone());
        }
    }
    filters
}
