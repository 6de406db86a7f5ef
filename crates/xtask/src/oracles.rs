//! Lets programs nobody here wrote read what our codecs write.
//!
//! Knows where the program is that asks them; must not know protocols.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::command;
use crate::machine;

/// Runs the comparison; a program that is missing fails it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let program = machine::target(root).join("debug/examples/oracles");
    ensure!(program.exists(), "no `{}`: run the step `build` before", program.display());
    command::run(root, program.to_str().context("the target directory's name is no text")?, &[])
}
