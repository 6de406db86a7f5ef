//! Every vector in every direction: octets others agree on. Knows folders and files; what a vector says is in `checks`.
//!
//! `CARILLON_VECTORS` names another folder of the same kinds of files; the copy beside this file is complete.

mod checks;

use std::{
    env, fs,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use checks::{KINDS, Vector};
use serde_json::Value;

/// What a file may hold beside its vectors.
const FILE_KEYS: &[&str] = &["kind", "format", "vectors", "tables"];

#[test]
fn every_vector_of_every_file() {
    let given = env::var_os("CARILLON_VECTORS").map(PathBuf::from);
    let folder = given.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"));
    let files = files(&folder);
    if given.is_none() {
        let missing: Vec<&str> = KINDS.iter().copied().filter(|kind| !files.iter().any(|file| file == kind)).collect();
        assert!(missing.is_empty(), "no file for {missing:?}");
    }
    let (mut checked, mut failed) = (0, Vec::new());
    for kind in &files {
        let vectors = run(&folder, kind, &mut failed);
        say(&format!("{kind}: {vectors} vectors checked"));
        checked += vectors;
    }
    say(&format!("{checked} vectors checked"));
    assert!(checked > 0, "no vectors in `{}`", folder.display());
    assert!(failed.is_empty(), "{} of {checked} vectors failed:\n{}", failed.len(), failed.join("\n"));
}

/// The kinds of the files in a folder, each of them known.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut kinds: Vec<String> = names
        .filter(|name| !name.starts_with('.'))
        .map(|name| name.strip_suffix(".json").unwrap_or_else(|| panic!("`{name}` is no file of vectors")).to_owned())
        .inspect(|kind| assert!(KINDS.contains(&kind.as_str()), "`{kind}.json` is of no known kind"))
        .collect();
    kinds.sort();
    kinds
}

/// Checks every vector of a file and says how many there were.
fn run(folder: &Path, kind: &str, failed: &mut Vec<String>) -> usize {
    let path = folder.join(kind).with_extension("json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    checks::only_keys(&document, FILE_KEYS);
    assert_eq!((&document["kind"], &document["format"]), (&Value::from(kind), &Value::from(1)), "{}", path.display());
    let mut attempt = |name: &str, check: &dyn Fn()| {
        if catch_unwind(AssertUnwindSafe(check)).is_err() {
            failed.push(format!("{kind}/{name}"));
        }
    };
    if let Some(tables) = document.get("tables") {
        assert_eq!(kind, "gsm7", "only the alphabet has tables");
        attempt("tables", &|| checks::tables(tables));
    }
    let vectors = document["vectors"].as_array().expect("a file has vectors");
    for value in vectors {
        let vector = Vector::of(value);
        attempt(vector.name(), &|| vector.check(kind));
    }
    vectors.len()
}

/// Writes a line that the test harness does not hold back.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is open");
}
