//! Lets independent SOAP clients send to a real process.
//!
//! Knows where the binary and the clients are; must not know SOAP.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::command;
use crate::machine;
use crate::process::Server;

/// zeep goes by the served description, suds by one of the RPC style.
const CLIENTS: [&str; 2] = ["crates/carillon/tests/zeep_client.py", "crates/carillon/tests/suds_client.py"];

/// Starts an all-in-one process and runs a client that Apache CXF makes of its description: outside of the test command, since
/// Maven is slow.
pub(crate) fn java(root: &Path) -> anyhow::Result<()> {
    let target = machine::target(root);
    let (program, data, out) =
        (target.join("debug/carillon"), target.join("test-data/java"), target.join("java-client"));
    ensure!(program.exists(), "no `{}`: run the step `build` before", program.display());
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the target directory's name is no text");
    let server = Server::start(&program, &data)?;
    let arguments = ["crates/carillon/tests/java_client/run.py", &text(&server.demo)?, &text(&out)?];
    command::run(root, "python3", &arguments)?;
    server.stop()
}

/// Starts an all-in-one process, runs the clients against it, stops it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let target = machine::target(root);
    let (program, data) = (target.join("debug/carillon"), target.join("test-data/soap"));
    ensure!(program.exists(), "no `{}`: run the step `build` before", program.display());
    let python = machine::python(root);
    ensure!(python.exists(), "no `{}`: run the step `machine` before", python.display());
    let server = Server::start(&program, &data)?;
    let demo = server.demo.to_str().context("the data directory's name is no text")?.to_owned();
    let python = python.to_str().context("the target directory's name is no text")?;
    for client in CLIENTS {
        command::run(root, python, &[client, &demo])?;
    }
    server.stop()
}
