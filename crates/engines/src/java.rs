//! Finds a Java that both engines run on.
//!
//! Knows where a JVM may be and how it tells its version; must not know what it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::{EnginesError, Result};

/// Kafka 4 wants 17 or newer, Cassandra 5.0 wants 11 or 17.
const MAJOR: u32 = 17;

/// Where Debian, Fedora and their kin put their JVMs.
const SYSTEM: &str = "/usr/lib/jvm";

/// A Java of the right version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Java {
    /// The program `java`.
    pub program: PathBuf,
    /// What it calls itself, for caches that hold for one build only.
    pub version: String,
}

impl Java {
    /// Looks at `JAVA_HOME`, at the path, and where systems keep their JVMs.
    ///
    /// # Errors
    /// None of them is Java 17; the error says what was there instead, and what to type.
    pub fn find() -> Result<Self> {
        let mut seen = Vec::new();
        for program in candidates() {
            let Some(version) = version_text(&program) else { continue };
            match major(&version) {
                Some(MAJOR) => return Ok(Self { program, version }),
                other => seen.push(format!(
                    "`{}` is {}",
                    program.display(),
                    other.map_or("something else".to_owned(), |number| format!("Java {number}"))
                )),
            }
        }
        let seen = if seen.is_empty() { "there is none at all".to_owned() } else { seen.join(", ") };
        Err(EnginesError::NoJava { seen })
    }
}

fn candidates() -> Vec<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let mut system: Vec<PathBuf> = std::fs::read_dir(SYSTEM)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("17"))
        .map(|entry| entry.path().join("bin/java"))
        .collect();
    system.sort();
    home.into_iter().chain([PathBuf::from("java")]).chain(system).collect()
}

/// The first line and the build; a JVM writes them to its standard error.
fn version_text(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("-version").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// `openjdk version "17.0.15" 2025-04-15` is 17.
fn major(version: &str) -> Option<u32> {
    let quoted = version.split('"').nth(1)?;
    let mut parts = quoted.split(['.', '-', '_', '+']);
    let first = parts.next()?.parse().ok()?;
    // Before 9, versions were called 1.8 and so on.
    if first == 1 { parts.next()?.parse().ok() } else { Some(first) }
}

/// One line of an argument file (`java @file`): quoted, because folders may have spaces in their names.
pub(crate) fn quoted(argument: &str) -> String {
    format!("\"{}\"\n", argument.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK …"), Some(17));
        assert_eq!(major("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(major("java version \"1.8.0_292\""), Some(8));
        assert_eq!(major("The operation couldn’t be completed."), None);
    }

    #[test]
    fn an_argument_is_one_line_whatever_it_holds() {
        assert_eq!(quoted("-Dx=a b"), "\"-Dx=a b\"\n");
        assert_eq!(quoted("C:\\x\"y"), "\"C:\\\\x\\\"y\"\n");
    }
}
