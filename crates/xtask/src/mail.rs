//! Brings replies of a real process into a mail server nobody here wrote.
//!
//! Knows where the binary and the script are; must not know SMTP.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::command;
use crate::machine;

/// Runs the script against an all-in-one process.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let target = machine::target(root);
    let (program, data) = (target.join("debug/carillon"), target.join("test-data/mail"));
    ensure!(program.exists(), "no `{}`: run the step `build` before", program.display());
    let python = machine::python(root);
    ensure!(python.exists(), "no `{}`: run the step `machine` before", python.display());
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the target directory's name is no text");
    let arguments = [text(&program)?, text(&data)?];
    let script = "crates/carillon/tests/mail_server/drive.py";
    command::run(root, &text(&python)?, &[script, &arguments[0], &arguments[1]])
}
