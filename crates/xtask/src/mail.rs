//! A real process beside mail servers nobody here wrote: one takes its replies, one tells it of new mail.
//!
//! Knows where the binary and the scripts are; must not know SMTP.

use std::path::Path;

use anyhow::{Context, ensure};

const SCRIPTS: &str = "crates/carillon/tests/mail_server";
const EXAMPLE: &str = "gateway/examples/mail-hook";

use crate::command;
use crate::machine;

/// Runs the script that takes replies.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    drive(root, "drive.py", &machine::target(root).join("test-data/mail"), &[])
}

/// Runs the script that delivers mails with the example hook. The server delivers as another user, who may not enter the target
/// directory: it works in a folder for temporary files.
pub(crate) fn hook(root: &Path) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("carillon-hook-{}", std::process::id()));
    let done = drive(root, "hook.py", &folder, &[EXAMPLE]);
    if done.is_ok() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    done
}

fn drive(root: &Path, script: &str, data: &Path, rest: &[&str]) -> anyhow::Result<()> {
    let program = machine::target(root).join("debug/carillon");
    ensure!(program.exists(), "no `{}`: run the step `build` before", program.display());
    let python = machine::python(root);
    ensure!(python.exists(), "no `{}`: run the step `machine` before", python.display());
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a directory's name is no text");
    let (script, program, data) = (format!("{SCRIPTS}/{script}"), text(&program)?, text(data)?);
    command::run(root, &text(&python)?, &[&[script.as_str(), &program, &data], rest].concat())
}
