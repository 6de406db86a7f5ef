//! Runs the test binaries: those that mostly wait for engines beside those that compute.
//!
//! Knows cargo's list of what it built; must not know what a test is about.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::command;

/// Suites whose time goes by in waiting, for brokers and nodes, for windows to close and for one installation to hear of another: they
/// run beside the rest.
const WAITING: [&str; 4] = ["chain", "cql", "kafka", "push"];

/// Lines of each output of what ran beside other things that are shown again if it failed.
const LAST_MAX: usize = 24;

/// A test binary.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Suite {
    /// The folder of its crate, in which cargo would run it.
    folder: PathBuf,
    /// The file with its `main`, as cargo shows it.
    source: PathBuf,
    name: String,
    executable: PathBuf,
}

impl Suite {
    fn waits(&self) -> bool {
        WAITING.contains(&self.name.as_str())
    }

    fn title(&self) -> String {
        let source = self.source.strip_prefix(&self.folder).unwrap_or(&self.source);
        format!("     Running {} of {}", source.display(), self.folder.display())
    }

    /// Runs it with its output on the terminal; an unsuccessful end is an error.
    pub(crate) fn run(&self, rest: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<()> {
        println!("{}", self.title());
        let status = self.command(rest, variables).status().with_context(|| self.not_run())?;
        ensure!(status.success(), "`{}` ended with {status}", self.name);
        Ok(())
    }

    /// Starts it beside whatever else is done: each line it says has its name before it.
    pub(crate) fn start(&self, variables: &[(&str, &str)]) -> anyhow::Result<Beside> {
        println!("{}, beside what follows", self.title());
        let mut command = self.command(&[], variables);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.with_context(|| self.not_run())?;
        let outputs = [
            child.stdout.take().map(|output| passed_on(&self.name, output)),
            child.stderr.take().map(|output| passed_on(&self.name, output)),
        ];
        Ok(Beside { name: self.name.clone(), child, outputs })
    }

    fn not_run(&self) -> String {
        format!("cannot run `{}`", self.executable.display())
    }

    fn command(&self, rest: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(rest).envs(variables.iter().copied()).current_dir(&self.folder).stdin(Stdio::null());
        command
    }
}

/// A test binary that runs beside other things.
pub(crate) struct Beside {
    name: String,
    child: Child,
    outputs: [Option<JoinHandle<Said>>; 2],
}

/// What a binary said, and when it had said all.
struct Said {
    last: VecDeque<String>,
    ended: Instant,
}

impl Beside {
    /// Waits for its end, and says when that was; an unsuccessful one is an error, with the last it said: other things were said since.
    pub(crate) fn end(mut self) -> (Instant, anyhow::Result<()>) {
        let status = self.child.wait().with_context(|| format!("cannot wait for `{}`", self.name));
        let said = self.outputs.into_iter().flatten();
        let said: Vec<Said> = said.map(|output| output.join().expect("passing lines on does not panic")).collect();
        let ended = said.iter().map(|said| said.ended).max().unwrap_or_else(Instant::now);
        let succeeded = |status: ExitStatus| {
            let last: Vec<&str> = said.iter().flat_map(|said| &said.last).map(String::as_str).collect();
            ensure!(status.success(), "`{}` ended with {status}, and said last:\n{}", self.name, last.join("\n"));
            Ok(())
        };
        (ended, status.and_then(succeeded))
    }
}

/// Shows each line with a name before it, until there are no more.
fn passed_on(name: &str, output: impl Read + Send + 'static) -> JoinHandle<Said> {
    let name = name.to_owned();
    thread::spawn(move || {
        let mut last = VecDeque::new();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = format!("{name}: {}", String::from_utf8_lossy(&line));
            println!("{line}");
            if last.len() == LAST_MAX {
                last.pop_front();
            }
            last.push_back(line);
        }
        Said { last, ended: Instant::now() }
    })
}

/// A line of what cargo says when it is asked for JSON.
#[derive(Deserialize)]
struct Built {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Every test binary there is, built as all steps build, so that nothing is built twice.
pub(crate) fn built(root: &Path, built_with: &[&str]) -> anyhow::Result<Vec<Suite>> {
    let built = command::output(root, "cargo", &[&["test", "--no-run", "--message-format=json"], built_with].concat())?;
    let suites = list(&built);
    ensure!(!suites.is_empty(), "cargo built no tests");
    Ok(suites)
}

/// The one of this name.
pub(crate) fn find(root: &Path, built_with: &[&str], name: &str) -> anyhow::Result<Suite> {
    let found = built(root, built_with)?.into_iter().find(|suite| suite.name == name);
    found.with_context(|| format!("there is no test binary `{name}`"))
}

/// Runs every test of every binary but those `left_out`, also after one that failed; the documentation's tests come last.
/// `rest` goes to each binary, `variables` into its environment.
pub(crate) fn run(
    root: &Path,
    built_with: &[&str],
    left_out: &[&str],
    rest: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let suites = built(root, built_with)?.into_iter().filter(|suite| !left_out.contains(&suite.name.as_str()));
    let (waiting, others): (Vec<Suite>, Vec<Suite>) = suites.partition(Suite::waits);
    let mut failed = thread::scope(|scope| {
        let beside: Vec<_> =
            waiting.iter().map(|suite| (suite, scope.spawn(|| suite.command(rest, variables).output()))).collect();
        let mut failed = here(&others, rest, variables)?;
        for (suite, thread) in beside {
            let output = thread.join().expect("running a program does not panic");
            if !shown(suite, output.with_context(|| suite.not_run())?)? {
                failed.push(suite.name.clone());
            }
        }
        anyhow::Ok(failed)
    })?;
    let documentation = [&["test", "--doc"], built_with].concat();
    if let Err(error) = command::run_with(root, "cargo", &documentation, variables) {
        println!("{error:#}");
        failed.push("the documentation's".into());
    }
    ensure!(failed.is_empty(), "tests failed in: {}", failed.join(", "));
    Ok(())
}

/// Runs those tests of the binaries in one folder whose names have this in them, so many at a time.
pub(crate) fn run_few(
    root: &Path,
    built_with: &[&str],
    folder: &Path,
    named: &str,
    at_a_time: usize,
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let suites: Vec<Suite> =
        built(root, built_with)?.into_iter().filter(|suite| suite.folder == root.join(folder)).collect();
    ensure!(!suites.is_empty(), "there are no tests in `{}`", folder.display());
    let failed = here(&suites, &[named, "--test-threads", &at_a_time.to_string()], variables)?;
    ensure!(failed.is_empty(), "tests failed in: {}", failed.join(", "));
    Ok(())
}

/// Runs suites one after the other with their output on the terminal; the names of those that failed.
fn here(suites: &[Suite], rest: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
    let mut failed = Vec::new();
    for suite in suites {
        println!("{}", suite.title());
        let status = suite.command(rest, variables).status();
        if !status.with_context(|| suite.not_run())?.success() {
            failed.push(suite.name.clone());
        }
    }
    Ok(failed)
}

/// Shows what a suite said, and whether it passed.
fn shown(suite: &Suite, output: Output) -> anyhow::Result<bool> {
    println!("{}", suite.title());
    std::io::stdout().write_all(&output.stdout).context("cannot write to the terminal")?;
    std::io::stderr().write_all(&output.stderr).context("cannot write to the terminal")?;
    Ok(output.status.success())
}

/// The test binaries cargo named, each once.
fn list(built: &str) -> Vec<Suite> {
    let built = built.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
    let mut suites: Vec<Suite> = built
        .filter(|built| built.profile.test)
        .filter_map(|built| {
            let folder = built.manifest_path.parent()?.to_owned();
            let (source, name) = (built.target.src_path, built.target.name);
            Some(Suite { folder, source, name, executable: built.executable? })
        })
        .collect();
    suites.sort();
    suites.dedup();
    suites
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, test: bool, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/r/bus/Cargo.toml","target":{{"kind":["test"],"name":"{name}",
            "src_path":"/r/bus/tests/{name}.rs"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn only_what_can_be_run_is_listed_and_each_once() {
        let kafka = line("kafka", true, "\"/t/kafka-1\"");
        let built = [&kafka, &line("bus", false, "null"), &line("kill", true, "\"/t/kill-1\""), &kafka];
        let built = format!("{}\n{}\n{}\n{}\nnot JSON", built[0], built[1], built[2], built[3]);
        let suites = list(&built);
        assert_eq!(
            suites.iter().map(|suite| (suite.name.as_str(), suite.waits())).collect::<Vec<_>>(),
            [("kafka", true), ("kill", false)]
        );
        assert_eq!(suites[0].title(), "     Running tests/kafka.rs of /r/bus");
    }

    #[test]
    fn the_last_that_was_said_is_kept() {
        let said = (1..=LAST_MAX + 5).map(|n| format!("{n}\n")).collect::<String>();
        let kept = passed_on("x", std::io::Cursor::new(said)).join().unwrap().last;
        assert_eq!((kept.len(), kept[0].as_str()), (LAST_MAX, "x: 6"));
    }

    #[test]
    fn all_run_and_those_that_fail_are_named() {
        let script = |name: &str, program: &str| Suite {
            folder: "/".into(),
            source: name.into(),
            name: name.into(),
            executable: program.into(),
        };
        let failed = here(&[script("a", "false"), script("b", "true"), script("c", "false")], &[], &[]).unwrap();
        assert_eq!(failed, ["a", "c"]);
        assert!(here(&[script("a", "/no/such/program")], &[], &[]).is_err());
    }
}
