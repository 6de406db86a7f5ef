//! Lints as part of the build: the test command has clippy compile the workspace, so that nothing is compiled twice.
//!
//! Knows how cargo and clippy are told; must not know what is built.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::{command, machine};

/// Cargo runs this in place of the compiler, for members of the workspace alone. It compiles as the compiler does.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";
/// Clippy reads its own arguments from here, with [`SEPARATOR`] after each.
const ARGUMENTS: &str = "CLIPPY_ARGS";
const SEPARATOR: &str = "__CLIPPY_HACKERY__";

/// Whether whatever is compiled from here on is linted.
pub(crate) fn is_on() -> bool {
    std::env::var_os(WRAPPER).is_some() && std::env::var_os(ARGUMENTS).is_some()
}

/// Runs this very command again with lints on: all that it starts inherits them. Its end is this one's.
pub(crate) fn run_again(root: &Path) -> anyhow::Result<()> {
    machine::prepare_toolchain(root)?;
    let sysroot = command::output(root, "rustc", &["--print", "sysroot"])?;
    let clippy = Path::new(sysroot.trim()).join("bin/clippy-driver");
    ensure!(clippy.is_file(), "there is no `{}`: type `rustup component add clippy`", clippy.display());
    let own = std::env::current_exe().context("this command's own file is not known")?;
    let mut again = Command::new(&own);
    again.args(std::env::args_os().skip(1)).env(WRAPPER, clippy).env(ARGUMENTS, format!("-Dwarnings{SEPARATOR}"));
    let status = again.status().with_context(|| format!("cannot run `{}`", own.display()))?;
    // What failed was said by it.
    std::process::exit(status.code().unwrap_or(1));
}
