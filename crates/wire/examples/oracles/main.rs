//! Lets programs nobody here wrote read what the codecs write: tshark, libwbxml and openssl. Knows how to make messages and
//! how to say what differed; each program's ways are in a file of its own. The test command runs it as its step `oracles`.
//!
//! A program that is not there is an error, never less to check.

mod libwbxml;
#[path = "../../tests/checks/markup.rs"]
mod markup;
mod openssl;
mod random;
mod tshark;

use std::{
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use random::Random;

const SEED: u64 = 7;

/// What a program was asked and what it said otherwise.
#[derive(Default)]
struct Findings {
    compared: usize,
    differing: Vec<String>,
}

impl Findings {
    fn compare<Compared: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: &Compared, expected: &Compared) {
        self.compared += 1;
        if found != expected {
            self.differing.push(format!("{what}: it says {found:?}, we {expected:?}"));
        }
    }
}

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder of our own");
    let mut differing = 0;
    for (program, ask) in [
        ("tshark", tshark::ask as fn(&Path, Random) -> Findings),
        ("libwbxml", libwbxml::ask),
        ("openssl", openssl::ask),
    ] {
        let findings = ask(folder.path(), Random::of(SEED));
        println!("{program}: {} values compared, {} differ", findings.compared, findings.differing.len());
        findings.differing.iter().take(20).for_each(|difference| println!("  {difference}"));
        assert!(findings.compared >= 48, "{program} was hardly asked");
        differing += findings.differing.len();
    }
    if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a program in a folder and gives what it wrote; it must be there and end well.
fn run(folder: &Path, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("cannot run `{program}`: {error}; `cargo xtask test --only machine` installs it")
    });
    child.stdin.take().expect("it was asked for").write_all(input).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{program} {}` ended with {}: {errors}", arguments.join(" "), output.status);
    output.stdout
}
