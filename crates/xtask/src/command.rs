//! Runs programs so that the reader sees which.
//!
//! Knows processes; must not know why they run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Runs a program with its output on the terminal; an unsuccessful end is an error.
pub(crate) fn run(directory: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_with(directory, program, arguments, &[])
}

/// As [`run`], with variables in the environment.
pub(crate) fn run_with(
    directory: &Path,
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let line = line(program, arguments);
    let shown: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    println!("$ {shown}{line}");
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied()).current_dir(directory).stdin(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// As [`run`], with its output on the standard error.
pub(crate) fn run_aside(directory: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let line = line(program, arguments);
    eprintln!("$ {line}");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Runs a program and returns what it wrote to its standard output; an unsuccessful end is an error.
pub(crate) fn output(directory: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let line = line(program, arguments);
    let output = Command::new(program).args(arguments).current_dir(directory).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run `{line}`"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}` ended with {}: {}", output.status, errors.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program runs and ends well; its output is not shown.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

fn line(program: &str, arguments: &[&str]) -> String {
    let mut line = program.to_owned();
    for argument in arguments {
        line.push(' ');
        line.push_str(argument);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsuccessful_end_is_an_error_that_names_the_line() {
        let here = Path::new(".");
        let error = run(here, "sh", &["-c", "exit 3"]).expect_err("it fails").to_string();
        assert_eq!(error, "`sh -c exit 3` ended with exit status: 3");
        let error = output(here, "sh", &["-c", "echo why >&2; exit 1"]).expect_err("it fails").to_string();
        assert!(error.ends_with("exit status: 1: why"), "{error}");
        assert_eq!(run(here, "no-such-program", &[]).expect_err("none").to_string(), "cannot run `no-such-program`");
    }

    #[test]
    fn output_is_what_was_written() {
        assert_eq!(output(Path::new("."), "sh", &["-c", "echo x"]).unwrap(), "x\n");
        assert!(succeeds("true", &[]) && !succeeds("false", &[]) && !succeeds("no-such-program", &[]));
    }
}
