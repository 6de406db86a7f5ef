//! The load generator's command line: options in, report out, the exit code says whether every message arrived once.
//!
//! Knows the terminal; must not know any protocol.

use std::process::ExitCode;

use clap::Parser;
use loadtest::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let json = options.json;
    // One thread: the loader shares its machine with the server, and must not take a second core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(loadtest::run(options)));
    match report {
        Ok(report) => {
            println!("{}", if json { report.json() } else { report.to_string() });
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(2)
        }
    }
}
