//! The steps of the test command, in order, with what each took.
//!
//! Knows cargo; must not know the product's inside.

use std::path::Path;
use std::time::{Duration, Instant};

use ::engines::{Addresses, Options};
use anyhow::{bail, ensure};
use clap::ValueEnum;

use crate::engines::Kept;
use crate::faults::Round;
use crate::{command, deploy, faults, machine, mail, mm7, oms, oracles, smpp, soap, suites, tidy};

/// One step. They run in this order; the tests come last, so that their summary is near the end of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// What the machine lacks is installed, or said.
    Machine,
    /// The code is formatted.
    Fmt,
    /// The rules of the house hold.
    Tidy,
    /// There is one crypto provider: `ring` is nowhere in the build.
    Ring,
    /// Everything compiles, tests included, and no lint has anything to say: the compiler of the whole command lints (see
    /// [`crate::lints`]).
    Build,
    /// One round of every fault, on engines of its own, beside the steps that follow up to the engines: what the tests measure
    /// against must not share the machine with brokers that are killed.
    Faults,
    /// Independent SOAP clients send to a real process: through the served WSDL, and in the RPC style.
    Soap,
    /// Service centres of other makers take messages from a real process, and report on them.
    Smpp,
    /// A mail server of another maker takes the replies of a real process.
    Mail,
    /// A mail server of another maker tells a real process of new mail, by the example hook.
    Hook,
    /// tshark, libwbxml and openssl agree with what the codecs write.
    Oracles,
    /// An outside validator finds every result document of the OMS door valid.
    Oms,
    /// The chart, its examples, alerts and dashboards are what Helm, Kubernetes and Prometheus take.
    Deploy,
    /// Readers of other makers find every exchange with a relay valid.
    Mm7,
    /// Real engines are up, from nothing; they are stopped when all steps are through. Always before the tests.
    Engines,
    /// Every test of one process and of each engine passes.
    Test,
    /// The end-to-end tests pass on many processes and the same engines.
    Cluster,
}

/// End-to-end tests on many processes carry this in their names.
const OF_CLUSTER: &str = "cluster::";
/// The crate whose tests they are.
const END_TO_END: &str = "crates/carillon";

/// How many of them at a time: each installation is seven processes beside the engines, and waits for them more often than not.
const INSTALLATIONS: usize = 2;

/// The set of engines that the tests get.
const SET: &str = "test";

/// One build serves all steps: with every engine.
pub(crate) const EVERYTHING: [&str; 3] = ["--workspace", "--features", "carillon/cluster"];

struct Done {
    step: Step,
    took: Duration,
    error: Option<anyhow::Error>,
}

/// Runs the chosen steps (all of them when none is chosen), also those after one that failed, and says at the end which
/// failed.
pub(crate) fn run(root: &Path, only: &[Step]) -> anyhow::Result<()> {
    let chosen: Vec<Step> = Step::value_variants().iter().copied().filter(|step| step.is_chosen(only)).collect();
    let mut engines: Option<Kept> = None;
    let mut beside: Option<(Instant, Round)> = None;
    let mut all_done: Vec<Done> = Vec::new();
    let begun = Instant::now();
    for (position, step) in chosen.iter().enumerate() {
        if *step == Step::Engines {
            all_done.extend(end_of(beside.take()));
        }
        println!("\n=== {} of {}: {} ({})", position + 1, chosen.len(), step.name(), step.purpose());
        let began = Instant::now();
        match step.run(root, &mut engines) {
            Ok(Some(round)) => beside = Some((began, round)),
            Ok(None) => all_done.push(Done::say(*step, began.elapsed(), None)),
            Err(error) => all_done.push(Done::say(*step, began.elapsed(), Some(error))),
        }
    }
    all_done.extend(end_of(beside));
    if let Some(engines) = engines {
        println!("\nstopping the engines");
        engines.stop()?;
    }
    recap(begun.elapsed(), &all_done)
}

/// Waits for what goes on beside the steps, if anything.
fn end_of(beside: Option<(Instant, Round)>) -> Option<Done> {
    let (began, round) = beside?;
    println!("\nwaiting for the faults");
    let (ended, ran) = round.end();
    Some(Done::say(Step::Faults, ended - began, ran.err()))
}

fn recap(took: Duration, all_done: &[Done]) -> anyhow::Result<()> {
    println!("\nsteps, {:.0} s in all:", took.as_secs_f64());
    all_done.iter().for_each(|done| println!("  {}", done.line()));
    let failed: Vec<&str> = all_done.iter().filter(|done| done.error.is_some()).map(|done| done.step.name()).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

impl Done {
    /// Says so, too.
    fn say(step: Step, took: Duration, error: Option<anyhow::Error>) -> Self {
        let done = Done { step, took, error };
        println!("--- {}", done.line());
        done
    }

    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        match &self.error {
            None => format!("{:<8} passed in {seconds:.1} s", self.step.name()),
            Some(error) => format!("{:<8} FAILED after {seconds:.1} s: {error:#}", self.step.name()),
        }
    }
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Ring => "ring",
            Self::Build => "build",
            Self::Soap => "soap",
            Self::Smpp => "smpp",
            Self::Mail => "mail",
            Self::Hook => "hook",
            Self::Oracles => "oracles",
            Self::Oms => "oms",
            Self::Deploy => "deploy",
            Self::Mm7 => "mm7",
            Self::Engines => "engines",
            Self::Test => "test",
            Self::Cluster => "cluster",
            Self::Faults => "faults",
        }
    }

    const fn purpose(self) -> &'static str {
        match self {
            Self::Machine => "installs what is missing, or says what to type",
            Self::Fmt => "the code is formatted",
            Self::Tidy => "the rules of the house",
            Self::Ring => "one crypto provider, and not this one",
            Self::Build => "compiles and lints everything, some minutes when cold; a lint is a failure",
            Self::Soap => "independent SOAP clients against a real process",
            Self::Smpp => "a real process against service centres of other makers",
            Self::Mail => "replies of a real process in a real mail server, also after kill -9",
            Self::Hook => "mails through a real Dovecot with the example hook, and what the phone gets",
            Self::Oracles => "tshark, libwbxml and openssl read what we write",
            Self::Oms => "the OMS fixtures, and their answers before an outside validator",
            Self::Deploy => {
                "the chart's examples, alerts and dashboards by Helm's, Kubernetes' and Prometheus' own tools"
            }
            Self::Mm7 => "exchanges with a relay before readers of other makers",
            Self::Engines => "three Kafka brokers and a Cassandra node, from nothing",
            Self::Test => "every test of one process and of each engine",
            Self::Cluster => "end to end on many processes and real engines",
            Self::Faults => {
                "processes, brokers and the database killed under load, every message counted; beside what follows"
            }
        }
    }

    /// The tests bring their engines with them.
    fn is_chosen(self, only: &[Self]) -> bool {
        let brought = self == Self::Engines && (only.contains(&Self::Test) || only.contains(&Self::Cluster));
        only.is_empty() || brought || only.contains(&self)
    }

    /// Carries it out; what goes on beside the next steps is returned.
    fn run(self, root: &Path, engines: &mut Option<Kept>) -> anyhow::Result<Option<Round>> {
        let given = engines.as_ref().map(|kept| kept.addresses.clone());
        let addresses = || given.clone().unwrap_or_else(Addresses::from_environment);
        let cargo = |command: &str, rest: &[&str]| {
            let arguments = [&[command], &EVERYTHING[..], rest].concat();
            command::run_with(root, "cargo", &arguments, &addresses().variables())
        };
        let done = match self {
            Self::Machine => machine::prepare(root),
            Self::Fmt => command::run(root, "cargo", &["fmt", "--all", "--check"]),
            Self::Tidy => tidy::run(root),
            Self::Ring => no_ring(root),
            Self::Build => cargo("test", &["--no-run", "--all-targets"]),
            Self::Soap => soap::run(root),
            Self::Smpp => smpp::run(root),
            Self::Mail => mail::run(root),
            Self::Hook => mail::hook(root),
            Self::Oracles => oracles::run(root),
            Self::Oms => oms::run(root, &EVERYTHING),
            Self::Deploy => deploy::run(root),
            Self::Mm7 => mm7::run(root, &EVERYTHING),
            Self::Engines => {
                *engines = Some(Kept::start(SET, &Options::default())?);
                Ok(())
            }
            Self::Test => {
                let addresses = addresses();
                suites::run(root, &EVERYTHING, &[faults::SUITE], &["--skip", OF_CLUSTER], &addresses.variables())
            }
            Self::Cluster => {
                let (addresses, folder) = (addresses(), Path::new(END_TO_END));
                suites::run_few(root, &EVERYTHING, folder, OF_CLUSTER, INSTALLATIONS, &addresses.variables())
            }
            Self::Faults => return Round::begin(root).map(Some),
        };
        done.map(|()| None)
    }
}

/// Two crypto providers in one process make rustls refuse to choose, at run time.
fn no_ring(root: &Path) -> anyhow::Result<()> {
    let arguments = [&["tree"], &EVERYTHING[..], &["--invert", "ring", "--edges", "normal,build"]].concat();
    println!("$ cargo {}", arguments.join(" "));
    match command::output(root, "cargo", &arguments) {
        Ok(tree) if tree.trim().is_empty() => Ok(()),
        Ok(tree) => bail!("`ring` is in the build:\n{tree}"),
        // Not even the lock file knows it.
        Err(error) if error.to_string().contains("did not match any packages") => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(step: Step, error: Option<&str>) -> Done {
        Done { step, took: Duration::from_millis(1500), error: error.map(|text| anyhow::anyhow!("{text}")) }
    }

    #[test]
    fn one_failed_step_fails_the_whole() {
        assert!(recap(Duration::ZERO, &[done(Step::Fmt, None), done(Step::Test, None)]).is_ok());
        let error =
            recap(Duration::ZERO, &[done(Step::Fmt, Some("x")), done(Step::Test, None)]).expect_err("one failed");
        assert_eq!(error.to_string(), "failed: fmt");
    }

    #[test]
    fn a_line_says_what_and_how_long() {
        assert_eq!(done(Step::Fmt, None).line(), "fmt      passed in 1.5 s");
        assert_eq!(done(Step::Build, Some("why")).line(), "build    FAILED after 1.5 s: why");
    }

    #[test]
    fn the_tests_come_last_and_bring_their_engines() {
        assert!(Step::value_variants().ends_with(&[Step::Engines, Step::Test, Step::Cluster]));
        assert!(Step::Engines.is_chosen(&[Step::Test]));
        assert!(Step::Engines.is_chosen(&[Step::Cluster]));
        assert!(Step::Cluster.is_chosen(&[]));
        assert!(!Step::Engines.is_chosen(&[Step::Fmt]));
        assert!(Step::Engines.is_chosen(&[]));
    }
}
