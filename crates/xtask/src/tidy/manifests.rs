//! Rules about crates and their dependencies.
//!
//! Knows cargo's files; must not know Rust.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{Finding, Tree};

const ROLES: &[&str] = &["gateway", "sms-router", "modem-farm"];

/// Names that say nothing: a helper lives with its noun.
const NAMELESS: &[&str] = &["common", "util", "utils", "helpers", "misc"];

/// Crates without I/O and clock, and what would bring either in.
const PURE: &[&str] = &["wire", "lease", "model"];
const IMPURE: &[&str] =
    &["tokio", "tokio-util", "tokio-stream", "hyper", "reqwest", "axum", "tonic", "rusqlite", "serialport", "rustix"];

const SECTIONS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Crates that others pull in twice; each entry is looked at when it goes.
const TWICE: &str = "crates/xtask/twice.toml";

/// Checks every manifest and the lock file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with("/Cargo.toml")) {
        match text.parse::<Table>() {
            Ok(manifest) => findings.extend(check_member(path, &manifest)),
            Err(error) => findings.push(Finding::of_file(path, format!("is no manifest: {}", error.message()))),
        }
    }
    findings.extend(check_duplicates(tree));
    findings
}

fn check_member(path: &str, manifest: &Table) -> Vec<Finding> {
    let name = manifest.get("package").and_then(|package| package.get("name")?.as_str()).unwrap_or_default();
    let mut found = Vec::new();
    if NAMELESS.contains(&name) {
        found.push(format!("a crate called `{name}` says nothing of what it holds"));
    }
    let folder = path.trim_end_matches("/Cargo.toml").rsplit('/').next().unwrap_or_default();
    if name != folder {
        found.push(format!("package `{name}` lives in folder `{folder}`"));
    }
    if manifest.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
        found.push("does not take the lints of the workspace".to_owned());
    }
    for section in SECTIONS {
        let Some(dependencies) = manifest.get(*section).and_then(Value::as_table) else { continue };
        found.extend(dependencies.iter().filter_map(|(dependency, value)| own_version(dependency, value)));
        found.extend(dependencies.keys().filter_map(|dependency| forbidden(name, section, dependency)));
    }
    found.into_iter().map(|what| Finding::of_file(path, what)).collect()
}

fn own_version(dependency: &str, value: &Value) -> Option<String> {
    let inherited = value.get("workspace") == Some(&Value::Boolean(true));
    (!inherited)
        .then(|| format!("`{dependency}` must take its version from the root (`{dependency}.workspace = true`)"))
}

fn forbidden(name: &str, section: &str, dependency: &str) -> Option<String> {
    if ROLES.contains(&name) && ROLES.contains(&dependency) {
        return Some(format!("role `{name}` imports role `{dependency}`: they meet in lanes and control calls"));
    }
    let impure = PURE.contains(&name) && IMPURE.contains(&dependency) && section == "dependencies";
    impure.then(|| format!("`{name}` does no I/O and reads no clock, and `{dependency}` does"))
}

/// A crate in two versions costs build time and makes two types of one: each one stands in the list, with its reason.
fn check_duplicates(tree: &Tree) -> Vec<Finding> {
    let Some(lock) = tree.get("Cargo.lock") else { return Vec::new() };
    let (Ok(lock), Ok(known)) = (lock.parse::<Table>(), tree.get(TWICE).map_or("", |text| text).parse::<Table>())
    else {
        return vec![Finding::of_file(TWICE, "this or the lock file is no toml")];
    };
    let twice = duplicates(&lock);
    let fresh = twice.iter().filter(|(name, _)| !known.contains_key(**name)).map(|(name, versions)| {
        let versions: Vec<&str> = versions.iter().copied().collect();
        Finding::of_file(
            "Cargo.lock",
            format!("`{name}` is there in versions {}: unite them, or say why in {TWICE}", versions.join(" and ")),
        )
    });
    let stale = known.keys().filter(|name| !twice.contains_key(name.as_str()));
    fresh
        .chain(stale.map(|name| Finding::of_file(TWICE, format!("`{name}` is there only once: take the line out"))))
        .collect()
}

fn duplicates(lock: &Table) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in lock.get("package").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(name), Some(version)) =
            (package.get("name").and_then(Value::as_str), package.get("version").and_then(Value::as_str))
        {
            versions.entry(name).or_default().insert(version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::check_rule;

    #[track_caller]
    fn check_manifest(path: &str, dependencies: &str, expected: &[&str]) {
        let name = path.trim_end_matches("/Cargo.toml").rsplit('/').next().unwrap();
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{dependencies}");
        check_rule(check, &[(path, &text)], expected);
    }

    #[test]
    fn a_good_manifest_passes() {
        check_manifest(
            "gateway/Cargo.toml",
            "[dependencies]\nbus.workspace = true\ntokio = { workspace = true }\n",
            &[],
        );
    }

    #[test]
    fn roles_do_not_import_each_other() {
        let expected =
            ["gateway/Cargo.toml: role `gateway` imports role `sms-router`: they meet in lanes and control calls"];
        check_manifest("gateway/Cargo.toml", "[dependencies]\nsms-router.workspace = true\n", &expected);
        check_manifest("gateway/Cargo.toml", "[dev-dependencies]\nsms-router.workspace = true\n", &expected);
        check_manifest("crates/carillon/Cargo.toml", "[dependencies]\nsms-router.workspace = true\n", &[]);
    }

    #[test]
    fn versions_stand_at_the_root() {
        let expected = ["crates/a/Cargo.toml: `x` must take its version from the root (`x.workspace = true`)"];
        for line in ["x = \"1\"", "x = { version = \"1\" }", "x = { path = \"../x\" }", "x = { git = \"y\" }"] {
            check_manifest("crates/a/Cargo.toml", &format!("[build-dependencies]\n{line}\n"), &expected);
        }
    }

    #[test]
    fn pure_crates_have_pure_dependencies() {
        let expected = ["crates/wire/Cargo.toml: `wire` does no I/O and reads no clock, and `tokio` does"];
        check_manifest("crates/wire/Cargo.toml", "[dependencies]\ntokio.workspace = true\n", &expected);
        check_manifest("crates/wire/Cargo.toml", "[dev-dependencies]\ntokio.workspace = true\n", &[]);
    }

    #[test]
    fn a_crate_is_called_by_its_noun_and_its_folder() {
        check_manifest(
            "crates/util/Cargo.toml",
            "",
            &["crates/util/Cargo.toml: a crate called `util` says nothing of what it holds"],
        );
        let text = "[package]\nname = \"a\"\n";
        check_rule(
            check,
            &[("crates/b/Cargo.toml", text)],
            &[
                "crates/b/Cargo.toml: does not take the lints of the workspace",
                "crates/b/Cargo.toml: package `a` lives in folder `b`",
            ],
        );
    }

    const LOCK: &str = "[[package]]\nname = \"a\"\nversion = \"1\"\n[[package]]\nname = \"a\"\nversion = \"2\"\n[[package]]\nname = \"b\"\nversion = \"1\"\n";

    #[test]
    fn a_crate_in_two_versions_is_known_or_refused() {
        let expected =
            ["Cargo.lock: `a` is there in versions 1 and 2: unite them, or say why in crates/xtask/twice.toml"];
        check_rule(check, &[("Cargo.lock", LOCK)], &expected);
        check_rule(check, &[("Cargo.lock", LOCK), (TWICE, "a = \"why\"\n")], &[]);
        let stale = ["crates/xtask/twice.toml: `b` is there only once: take the line out"];
        check_rule(check, &[("Cargo.lock", LOCK), (TWICE, "a = \"why\"\nb = \"why\"\n")], &stale);
    }
}
