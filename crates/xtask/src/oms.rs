//! Lets an outside validator judge the documents that the OMS door answers.
//!
//! Knows the test that leaves them and the script that reads them; must not know what they say.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::{command, machine, suites};

/// The test that asks a real gateway every fixture, and leaves the result documents.
const TEST: &str = "oms_fixtures";

/// Runs the test into an empty folder, then the validator over that folder.
pub(crate) fn run(root: &Path, everything: &[&str]) -> anyhow::Result<()> {
    let python = machine::python(root);
    ensure!(python.exists(), "no `{}`: run the step `machine` before", python.display());
    let results = machine::target(root).join("test-data/oms-results");
    if results.exists() {
        std::fs::remove_dir_all(&results).with_context(|| format!("cannot empty `{}`", results.display()))?;
    }
    let folder = results.to_str().context("the target directory's name is no text")?;
    suites::find(root, everything, TEST)?.run(&[], &[("CARILLON_OMS_RESULTS", folder)])?;
    let python = python.to_str().context("the target directory's name is no text")?;
    command::run(root, python, &["gateway/tests/oms_fixtures/validate.py", "crates/wire/tests/oms", folder])
}
