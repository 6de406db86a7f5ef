//! Counts the instructions of every micro-benchmark, for machines whose clock tells little.
//!
//! Knows valgrind and the benchmarks' own options; must not know what they measure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::{command, machine};

/// Each is run so often, and so often more: what both have in common falls out.
const FEW: u64 = 100;
const MORE: u64 = 1_000;

/// The benchmarks, each in a crate of its own.
const BUILT: [&str; 9] =
    ["bench", "--no-run", "--message-format=json", "--bench", "codecs", "--bench", "records", "--bench", "planner"];

/// A line of what cargo says.
#[derive(Deserialize)]
struct Built {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

/// Builds them in release, and shows the instructions of one call of each case.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    machine::prepare_valgrind()?;
    eprintln!("building the benchmarks in release");
    let built = command::output(root, "cargo", &BUILT)?;
    let benches = list(&built);
    ensure!(!benches.is_empty(), "cargo built no benchmarks");
    for bench in &benches {
        let bench = bench.to_str().context("its path is no text")?;
        for case in cases(&command::output(root, bench, &["--bench", "--list"])?) {
            let more = collected(bench, &case, FEW + MORE)?.saturating_sub(collected(bench, &case, FEW)?);
            println!("{:>12} {case}", more / MORE);
        }
    }
    Ok(())
}

fn list(built: &str) -> Vec<PathBuf> {
    let built = built.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
    built.filter(|built| built.target.kind == ["bench"]).filter_map(|built| built.executable).collect()
}

/// The leaves of the tree that a benchmark shows, as paths.
fn cases(tree: &str) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut cases: Vec<String> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let name = line.trim_start_matches(['├', '│', '╰', '─', ' ']);
        // Each level is three characters further in.
        let depth = (line.chars().count() - name.chars().count()) / 3;
        path.truncate(depth);
        let above = path.join("::");
        path.push(name.trim_end());
        // What has something below it is no leaf.
        cases.retain(|case| *case != above);
        cases.push(path.join("::"));
    }
    cases
}

/// The instructions of a process that makes so many calls.
fn collected(bench: &str, case: &str, calls: u64) -> anyhow::Result<u64> {
    let calls = calls.to_string();
    let arguments = ["--bench", "--exact", case, "--sample-count", "1", "--sample-size", &calls];
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", bench]).args(arguments);
    let output = valgrind.stdin(Stdio::null()).output().context("cannot run `valgrind`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{case}` ended with {}: {}", output.status, said.trim());
    count(&said).with_context(|| format!("valgrind did not count `{case}`"))
}

fn count(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        assert_eq!(count("==1== Events    : Ir\n==1== Collected : 4711\n==1== \n"), Some(4_711));
        assert_eq!(count("==1== nothing"), None);
    }

    #[test]
    fn the_leaves_of_the_tree_are_the_cases() {
        let tree = "codecs\n├─ gsm7\n├─ segments_of\n│  ├─ Short\n│  ╰─ Long\n╰─ last\n\n";
        let expected = ["codecs::gsm7", "codecs::segments_of::Short", "codecs::segments_of::Long", "codecs::last"];
        assert_eq!(cases(tree), expected);
    }

    #[test]
    fn only_benchmarks_are_run() {
        let line = |kind: &str| format!(r#"{{"target":{{"kind":["{kind}"],"name":"x"}},"executable":"/t/{kind}"}}"#);
        let said = [line("bench"), line("lib"), "{}".to_owned()].join("\n");
        assert_eq!(list(&said), [PathBuf::from("/t/bench")]);
    }
}
