//! The software bill of materials: every crate in the programs, and the C libraries they are linked with.
//!
//! Knows cargo's list and CycloneDX 1.5; must not know how the image is built. Of what the base of the build brings, only the
//! build knows the versions: it fills the places `@NAME@`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::command;

/// The programs of the image.
const PROGRAMS: [&str; 2] = ["carillon", "loadtest"];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// What is linked in beside crates: its name, its licence, and whose package it is, if Debian's.
const SYSTEM: [(&str, &str, Option<&str>); 3] = [
    ("rust-std", "MIT OR Apache-2.0", None),
    ("libc6-dev", "LGPL-2.1-or-later", Some("debian")),
    ("libssl-dev", "Apache-2.0", Some("debian")),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `null` is what the program itself uses; `build` and `dev` are not in it.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The list for this commit, without anything that differs between two runs.
pub(super) fn list(context: &Path, version: &str, revision: &str) -> anyhow::Result<String> {
    let host = command::output(context, "rustc", &["--print", "host-tuple"])?;
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", host.trim()];
    let told = command::output(context, "cargo", &[&arguments[..], &["--features", "carillon/cluster"]].concat())?;
    let metadata = serde_json::from_str(&told).context("cannot read cargo's metadata")?;
    let lock = std::fs::read_to_string(context.join("Cargo.lock")).context("cannot read `Cargo.lock`")?;
    let lock = toml::from_str(&lock).context("cannot parse `Cargo.lock`")?;
    let list = bill(&metadata, &lock, version, revision);
    serde_json::to_string_pretty(&list).context("cannot write the bill of materials")
}

/// Whether the build filled every place.
pub(super) fn is_complete(list: &str) -> bool {
    SYSTEM.iter().all(|(name, ..)| !list.contains(&place(name)))
}

fn bill(metadata: &Metadata, lock: &Lock, version: &str, revision: &str) -> Value {
    let inside = inside(metadata);
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let sums: BTreeMap<(&str, &str), &str> = lock
        .package
        .iter()
        .filter_map(|locked| Some(((locked.name.as_str(), locked.version.as_str()), locked.checksum.as_deref()?)))
        .collect();
    let mut components: Vec<Value> =
        inside.keys().filter_map(|id| packages.get(id)).map(|package| component(package, &sums)).collect();
    components.extend(SYSTEM.iter().map(system));
    let reference = |id: &str| packages.get(id).map(|package| purl(package));
    let mut dependencies: Vec<Value> = inside
        .iter()
        .filter_map(|(id, uses)| {
            let uses: BTreeSet<String> = uses.iter().filter_map(|id| reference(id)).collect();
            Some(json!({ "ref": reference(id)?, "dependsOn": uses }))
        })
        .collect();
    let programs: Vec<String> = inside
        .keys()
        .filter_map(|id| packages.get(id))
        .filter(|package| is_program(package))
        .map(|package| purl(package))
        .collect();
    let system = SYSTEM.iter().map(|(name, ..)| (*name).to_owned());
    dependencies.push(json!({ "ref": "image", "dependsOn": programs.into_iter().chain(system).collect::<Vec<_>>() }));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container", "bom-ref": "image", "name": "carillon", "version": version,
                "licenses": [{ "expression": "Apache-2.0" }],
            },
            "properties": [{ "name": "carillon:revision", "value": revision }],
        },
        "components": components,
        "dependencies": dependencies,
    })
}

/// What the programs consist of, and what each part uses.
fn inside(metadata: &Metadata) -> BTreeMap<&str, Vec<&str>> {
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let programs = metadata.packages.iter().filter(|package| is_program(package));
    let mut open: Vec<&str> = programs.map(|package| package.id.as_str()).collect();
    let mut inside = BTreeMap::new();
    while let Some(id) = open.pop() {
        if inside.contains_key(id) {
            continue;
        }
        let uses: Vec<&str> = nodes.get(id).into_iter().flat_map(|node| &node.deps).filter_map(linked).collect();
        open.extend(&uses);
        inside.insert(id, uses);
    }
    inside
}

fn is_program(package: &Package) -> bool {
    package.source.is_none() && PROGRAMS.contains(&package.name.as_str())
}

fn linked(dependency: &Dependency) -> Option<&str> {
    dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()).then_some(dependency.pkg.as_str())
}

fn component(package: &Package, sums: &BTreeMap<(&str, &str), &str>) -> Value {
    let purl = purl(package);
    let mut component = json!({
        "type": if is_program(package) { "application" } else { "library" },
        "bom-ref": purl, "name": package.name, "version": package.version,
    });
    if package.source.as_deref() == Some(REGISTRY) {
        component["purl"] = json!(purl);
    }
    if let Some(license) = &package.license {
        // Cargo's old way to write a choice.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(sum) = sums.get(&(package.name.as_str(), package.version.as_str())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

fn system((name, license, distribution): &(&str, &str, Option<&str>)) -> Value {
    let mut component = json!({
        "type": "library", "bom-ref": name, "name": name, "version": place(name),
        "licenses": [{ "expression": license }],
    });
    if let Some(distribution) = distribution {
        component["purl"] = json!(format!("pkg:deb/{distribution}/{name}@{}", place(name)));
    }
    component
}

/// Where the build writes a version; in a package URL it writes `+` as `%2B`.
fn place(name: &str) -> String {
    format!("@{name}@")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, source: Option<&str>) -> Value {
        json!({ "id": name, "name": name, "version": "1.0.0+x", "license": "MIT/Apache-2.0", "source": source })
    }

    fn uses(id: &str, of: &[(&str, Value)]) -> Value {
        let deps: Vec<Value> =
            of.iter().map(|(id, kind)| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] })).collect();
        json!({ "id": id, "deps": deps })
    }

    #[test]
    fn what_is_linked_is_listed_and_nothing_else() {
        let metadata = json!({
            "packages": [package("carillon", None), package("xtask", None), package("a", Some(REGISTRY)),
                package("b", Some(REGISTRY)), package("cc", Some(REGISTRY)), package("proptest", Some(REGISTRY))],
            "resolve": { "nodes": [
                uses("carillon", &[("a", Value::Null), ("cc", json!("build")), ("proptest", json!("dev"))]),
                uses("a", &[("b", Value::Null)]), uses("b", &[]), uses("cc", &[]), uses("xtask", &[("cc", Value::Null)]),
            ] },
        });
        let lock = json!({ "package": [{ "name": "a", "version": "1.0.0+x", "checksum": "00ff" }] });
        let bill =
            bill(&serde_json::from_value(metadata).unwrap(), &serde_json::from_value(lock).unwrap(), "1.2.3", "abc");
        let names: Vec<&str> =
            bill["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "carillon", "rust-std", "libc6-dev", "libssl-dev"]);
        let a = &bill["components"][0];
        assert_eq!(a["purl"], "pkg:cargo/a@1.0.0%2Bx");
        assert_eq!(a["hashes"][0]["content"], "00ff");
        assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/b@1.0.0%2Bx"]));
        assert_eq!(bill["components"][2]["type"], "application");
        assert!(!is_complete(&bill.to_string()));
    }

    #[test]
    fn an_open_place_is_seen() {
        let all = SYSTEM.map(|(name, ..)| place(name)).join(" ");
        assert!(!is_complete(&all));
        assert!(is_complete("maintainer@example.org"));
    }
}
