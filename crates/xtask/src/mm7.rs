//! Lets readers of other makers judge what goes between us and a relay.
//!
//! Knows the test that leaves the exchanges and the script that reads them; must not know what they say.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::{command, machine, suites};

/// The tests of multimedia messages, and the one that leaves its exchanges.
const TEST: &str = "mms";
const LEAVES: &str = "a_message_arrives_part_by_part";

/// Runs the test into an empty folder, then the reader over that folder.
pub(crate) fn run(root: &Path, everything: &[&str]) -> anyhow::Result<()> {
    let python = machine::python(root);
    ensure!(python.exists(), "no `{}`: run the step `machine` before", python.display());
    let exchanges = machine::target(root).join("test-data/mm7");
    if exchanges.exists() {
        std::fs::remove_dir_all(&exchanges).with_context(|| format!("cannot empty `{}`", exchanges.display()))?;
    }
    let folder = exchanges.to_str().context("the target directory's name is no text")?;
    suites::find(root, everything, TEST)?.run(&[LEAVES], &[("CARILLON_MM7_EXCHANGES", folder)])?;
    let python = python.to_str().context("the target directory's name is no text")?;
    command::run(root, python, &["crates/carillon/tests/mm7_reader.py", "crates/wire/tests/mm7/mm7.xsd", folder])
}
