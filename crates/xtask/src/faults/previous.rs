//! The program of an earlier commit, to stand beside this one.
//!
//! Knows git and cargo; must not know what the two have in common.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::{command, machine};

/// The earliest commit whose build may run beside this one. It moves to the last release with every release: N and N+1 stand side
/// by side, no more.
pub(super) const PREVIOUS: &str = "bcfa68b2d32226ed38d48b5c0cf76e8c1d4ab3f6";

/// Builds it, unless it was built before; its program.
///
/// # Errors
/// A revision that is not there (a shallow clone has few), or does not compile.
pub(super) fn build(root: &Path, revision: &str) -> anyhow::Result<PathBuf> {
    let commit = command::output(root, "git", &["rev-parse", "--verify", &format!("{revision}^{{commit}}")])
        .with_context(|| format!("there is no commit `{revision}` here; `git fetch --unshallow` brings all"))?;
    let target = machine::target(root);
    let home = target.join("previous");
    let program = home.join(format!("carillon-{}", commit.trim()));
    if program.exists() {
        println!("{} was built before", program.display());
        return Ok(program);
    }
    // Always in the same place: what did not change since the last one is not built again.
    let source = home.join("source");
    drop(std::fs::remove_dir_all(&source));
    std::fs::create_dir_all(&source).with_context(|| format!("cannot make `{}`", source.display()))?;
    let archive = home.join("source.tar");
    let archive = archive.to_str().context("the target directory's name is no text")?;
    command::run(root, "git", &["archive", "--output", archive, commit.trim()])?;
    command::run(&source, "tar", &["--extract", "--file", archive])?;
    println!("$ cargo build --locked --package carillon --features cluster    # of {}", commit.trim());
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--package", "carillon", "--features", "cluster"]).current_dir(&source);
    // Crates of others are built already. That commit's own answers to the lints of its time.
    cargo.env("CARGO_TARGET_DIR", &target).env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CLIPPY_ARGS");
    let status = cargo.status().context("cannot run `cargo build`")?;
    ensure!(status.success(), "the build of `{revision}` ended with {status}");
    // This build's program takes the same place.
    std::fs::copy(target.join("debug/carillon"), &program)
        .with_context(|| format!("cannot write `{}`", program.display()))?;
    Ok(program)
}
