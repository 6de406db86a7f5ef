//! Lets an independent SOAP client send through the served WSDL of a real process.
//!
//! Knows where the binary and the client are; must not know SOAP.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::command;
use crate::machine;
use crate::process::Server;

/// Starts an all-in-one process, runs the client against it, stops it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let target = machine::target(root);
    let (program, data) = (target.join("debug/carillon"), target.join("test-data/zeep"));
    ensure!(program.exists(), "no `{}`: run the step `build` before", program.display());
    let python = machine::python(root);
    ensure!(python.exists(), "no `{}`: run the step `machine` before", python.display());
    let server = Server::start(&program, &data)?;
    let demo = server.demo.to_str().context("the data directory's name is no text")?.to_owned();
    let python = python.to_str().context("the target directory's name is no text")?;
    command::run(root, python, &["crates/carillon/tests/zeep_client.py", &demo])?;
    server.stop()
}
