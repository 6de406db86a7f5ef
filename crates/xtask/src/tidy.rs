//! The rules of the house that a compiler does not know.
//!
//! Knows the files of the repository as text; must not change any.

mod alerts;
mod manifests;
mod metrics;
mod source;
mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};

/// The files of the repository that the rules look at: path from the root, and text.
pub(crate) type Tree = BTreeMap<String, String>;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    what: String,
}

impl Finding {
    fn of_file(path: &str, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, what: what.into() }
    }

    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.what),
            line => write!(formatter, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Folders that hold no source of ours.
const FOREIGN: &[&str] = &["target", "data", "fuzz/target", "fuzz/corpus", "fuzz/artifacts"];

/// The kinds of files the rules look at.
const KINDS: &[&str] = &["rs", "toml", "lock", "yaml", "yml", "json", "tpl", "md"];

/// Checks every rule.
///
/// # Errors
/// Lists every breach.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut tree = Tree::new();
    read(root, "", &mut tree)?;
    let mut findings: Vec<Finding> = check(&tree);
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        bail!("{} breaches of the rules of the house", findings.len());
    }
    println!("{} files keep the rules of the house", tree.len());
    Ok(())
}

fn check(tree: &Tree) -> Vec<Finding> {
    [sources::check, manifests::check, metrics::check, alerts::check].iter().flat_map(|rule| rule(tree)).collect()
}

fn read(directory: &Path, prefix: &str, tree: &mut Tree) -> anyhow::Result<()> {
    let context = || format!("cannot read `{}`", directory.display());
    for entry in std::fs::read_dir(directory).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type().with_context(context)?.is_dir() {
            if !name.starts_with('.') && !FOREIGN.contains(&path.as_str()) {
                read(&entry.path(), &format!("{path}/"), tree)?;
            }
        } else if KINDS.contains(&path.rsplit('.').next().unwrap_or_default()) {
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("cannot read `{path}`"))?;
            tree.insert(path, text);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Finding, Tree};

    /// Checks that a rule finds exactly these breaches in these files.
    #[track_caller]
    pub(crate) fn check_rule(rule: impl Fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)], expected: &[&str]) {
        let tree = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let mut found: Vec<String> = rule(&tree).iter().map(ToString::to_string).collect();
        found.sort();
        assert_eq!(found, expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_read_without_what_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["a/src/lib.rs", "target/x.rs", ".git/x.rs", "a/target/y.rs", "a/picture.png"] {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        let mut tree = Tree::new();
        read(directory.path(), "", &mut tree).unwrap();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["a/src/lib.rs", "a/target/y.rs"]);
    }

    #[test]
    fn a_finding_says_where() {
        assert_eq!(Finding::at("a.rs", 3, "why").to_string(), "a.rs:3: why");
        assert_eq!(Finding::of_file("a.rs", "why").to_string(), "a.rs: why");
    }
}
