//! Rules about single source files.
//!
//! Knows which folders must be pure; must not know cargo's files.

use super::source::{code, lines_with, without_tests};
use super::{Finding, Tree};

/// Code that does no I/O and reads no clock: protocols, leases, nouns, and the route planner.
const PURE: &[&str] = &["crates/wire/src/", "crates/lease/src/", "crates/model/src/", "sms-router/src/planner.rs"];

const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "tokio",
    "Instant::now",
    "SystemTime::now",
    "OffsetDateTime::now_utc",
    "Uuid::now_v7",
];

const MAIN: &str = "crates/carillon/src/main.rs";
const MAIN_LINES_MAX: usize = 39;

/// Checks every source file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.iter().filter(|(path, _)| path.ends_with(".rs"));
    sources.flat_map(|(path, text)| check_one(path, text)).collect()
}

fn check_one(path: &str, text: &str) -> Vec<Finding> {
    let all_code = code(text);
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        findings.push(Finding::of_file(path, "the first line must say what the file knows (`//!`)"));
    }
    for word in ["#[ignore", "#[should_panic", "todo!", "unimplemented!"] {
        let at = lines_with(&all_code, word);
        findings.extend(at.map(|line| Finding::at(path, line, format!("`{word}` has no place here"))));
    }
    if !is_test(path) {
        let at = without_tests(&all_code);
        let unwraps = lines_with(&at, ".unwrap()").map(|line| Finding::at(path, line, "`unwrap()` outside tests"));
        findings.extend(unwraps);
        if PURE.iter().any(|pure| path.starts_with(pure)) {
            findings.extend(impurities(path, &at));
        }
    }
    if path == MAIN && text.lines().count() > MAIN_LINES_MAX {
        findings.push(Finding::of_file(path, format!("{} lines; it must stay under 40", text.lines().count())));
    }
    findings
}

fn impurities(path: &str, code: &str) -> Vec<Finding> {
    let finding = |line, word: &str| Finding::at(path, line, format!("`{word}` in code without I/O and clock"));
    let plain = IMPURE.iter().flat_map(|word| lines_with(code, word).map(|line| finding(line, word)));
    // `use std::{fs, net}` says the same in other words.
    let grouped = lines_with(code, "std::{").filter(|line| {
        let text = code.lines().nth(line - 1).unwrap_or_default();
        ["fs", "net", "env", "process", "thread"].iter().any(|word| lines_with(text, word).next().is_some())
    });
    plain.chain(grouped.map(|line| finding(line, "std::{…}"))).collect()
}

/// Tests, benches and fuzz targets may unwrap and read what they like; so may the suites that engines are tested by.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz" | "examples" | "conformance"))
        || path.ends_with("/tests.rs")
        || path.ends_with("/conformance.rs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::check_rule;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        check_rule(check, &[(path, text)], expected);
    }

    #[test]
    fn a_good_file_passes() {
        check_file("a/src/lib.rs", "//! Good.\nfn a() { b.expect(\"c\") }\n", &[]);
    }

    #[test]
    fn the_first_line_says_what_the_file_knows() {
        let expected = ["a/src/lib.rs: the first line must say what the file knows (`//!`)"];
        check_file("a/src/lib.rs", "fn a() {}\n", &expected);
        check_file("a/src/lib.rs", "\n//! Too late.\n", &expected);
    }

    #[test]
    fn only_tests_unwrap() {
        check_file("a/src/lib.rs", "//! A.\nfn a() { b.unwrap() }\n", &["a/src/lib.rs:2: `unwrap()` outside tests"]);
        check_file("a/src/lib.rs", "//! A.\n// b.unwrap()\n#[cfg(test)]\nmod tests { fn a() { b.unwrap() } }\n", &[]);
        check_file("a/tests/b.rs", "//! A.\nfn a() { b.unwrap() }\n", &[]);
        check_file("a/src/conformance.rs", "//! A.\nfn a() { b.unwrap() }\n", &[]);
    }

    #[test]
    fn nothing_is_put_off() {
        check_file(
            "a/tests/b.rs",
            "//! A.\n#[ignore]\nfn a() { todo!() }\n",
            &["a/tests/b.rs:2: `#[ignore` has no place here", "a/tests/b.rs:3: `todo!` has no place here"],
        );
    }

    #[test]
    fn pure_code_has_no_io_and_no_clock() {
        let text = "//! A.\nuse std::{fmt, fs};\nuse std::time::Instant;\nfn a() { Instant::now() }\n";
        check_file(
            "crates/wire/src/a.rs",
            text,
            &[
                "crates/wire/src/a.rs:2: `std::{…}` in code without I/O and clock",
                "crates/wire/src/a.rs:4: `Instant::now` in code without I/O and clock",
            ],
        );
        check_file("crates/bus/src/a.rs", text, &[]);
        check_file("crates/wire/tests/a.rs", text, &[]);
        check_file(
            "crates/lease/src/lib.rs",
            "//! tokio\nuse tokio::time;\n",
            &["crates/lease/src/lib.rs:2: `tokio` in code without I/O and clock"],
        );
    }

    #[test]
    fn the_story_stays_short() {
        let long = format!("//! A.\n{}", "\n".repeat(39));
        check_file(MAIN, &long, &["crates/carillon/src/main.rs: 40 lines; it must stay under 40"]);
        check_file(
            MAIN,
            &long[1..].replacen('/', "//", 1),
            &["crates/carillon/src/main.rs: 40 lines; it must stay under 40"],
        );
        check_file(MAIN, &format!("//! A.\n{}", "\n".repeat(38)), &[]);
    }
}
