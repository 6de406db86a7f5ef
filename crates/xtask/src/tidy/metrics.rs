//! Rules about metrics: alerts name only what exists, and each role keeps its own in one place.
//!
//! Knows names that begin with `carillon_`; must not know what they mean.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const PREFIX: &str = "carillon_";
const ROLES: &[&str] = &["gateway/src/", "sms-router/src/", "modem-farm/src/"];

/// What Prometheus adds to the name of a histogram.
const SUFFIXES: &[&str] = &["_bucket", "_sum", "_count"];

/// Checks `helm/` against the sources, and the sources against the rule of one place.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let known = known(tree);
    let helm = tree.iter().filter(|(path, _)| path.starts_with("helm/"));
    let dangling = helm.flat_map(|(path, text)| {
        names(text)
            .into_iter()
            .filter(|(_, name)| !exists(name, &known))
            .map(move |(line, name)| Finding::at(path, line, format!("metric `{name}` is registered nowhere")))
    });
    let dangling: Vec<Finding> = dangling.collect();
    dangling.into_iter().chain(misplaced(tree)).collect()
}

/// Names in quotes in a source file, and those a closure of the file makes: that is how a metric is registered.
fn known(tree: &Tree) -> BTreeSet<String> {
    let sources = tree.iter().filter(|(path, _)| path.ends_with(".rs") && path.contains("src/"));
    let of_file = |(_, text): (&String, &String)| {
        let whole = quoted(text).into_iter().map(|(_, name)| name.to_owned());
        whole.chain(made(text)).collect::<Vec<String>>()
    };
    sources.flat_map(of_file).collect()
}

/// `let counter = |name…| …format!("carillon_x_{name}_total")…` on one line, and then `counter("grants", …)`.
fn made(text: &str) -> Vec<String> {
    let maker = |line: &str| {
        let (closure, rest) = line.trim_start().strip_prefix("let ")?.split_once(" = |")?;
        let (_, pattern) = rest.split_once("format!(\"")?;
        let (pattern, _) = pattern.split_once('"')?;
        (pattern.starts_with(PREFIX) && pattern.contains("{name}")).then(|| (closure.to_owned(), pattern.to_owned()))
    };
    let names = |(closure, pattern): (String, String)| {
        calls(text, &closure).into_iter().map(|name| pattern.replace("{name}", name)).collect::<Vec<String>>()
    };
    text.lines().filter_map(maker).flat_map(names).collect()
}

/// The first argument of each call of this closure, where it is a text.
fn calls<'a>(text: &'a str, closure: &str) -> Vec<&'a str> {
    let call = format!("{closure}(");
    let argument = |(at, _): (usize, &str)| {
        let alone = !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || "_.".contains(before));
        let (name, _) = text[at + call.len()..].trim_start().strip_prefix('"')?.split_once('"')?;
        alone.then_some(name)
    };
    text.match_indices(&call).filter_map(argument).collect()
}

fn misplaced(tree: &Tree) -> Vec<Finding> {
    let of_roles = tree.iter().filter(|(path, _)| ROLES.iter().any(|role| path.starts_with(role)));
    let elsewhere = of_roles.filter(|(path, _)| path.ends_with(".rs") && !path.ends_with("/metrics.rs"));
    let finding =
        |path: &str, line, name| Finding::at(path, line, format!("metric `{name}` belongs into the role's metrics.rs"));
    elsewhere
        .flat_map(|(path, text)| quoted(text).into_iter().map(move |(line, name)| finding(path, line, name)))
        .collect()
}

fn exists(name: &str, known: &BTreeSet<String>) -> bool {
    known.contains(name)
        || SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix)).any(|name| known.contains(name))
}

fn quoted(text: &str) -> Vec<(usize, &str)> {
    let in_line = |(number, line)| {
        names_in(line).filter(|(at, name)| is_quoted(line, *at, name)).map(move |(_, name)| (number + 1, name))
    };
    text.lines().enumerate().flat_map(in_line).collect()
}

fn is_quoted(line: &str, at: usize, name: &str) -> bool {
    line[..at].ends_with('"') && line[at + name.len()..].starts_with('"')
}

fn names(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .flat_map(|(number, line)| names_in(line).map(move |(_, name)| (number + 1, name)))
        .collect()
}

fn names_in(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    line.match_indices(PREFIX).filter(move |(at, _)| !line[..*at].ends_with(of_name)).map(move |(at, _)| {
        let length = line[at..].find(|character| !of_name(character)).unwrap_or(line.len() - at);
        (at, &line[at..at + length])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::check_rule;

    const SOURCE: (&str, &str) = (
        "gateway/src/metrics.rs",
        "//! M.\nregistry.counter(\"carillon_doors_total\", \"Counts carillon_doors_x here.\");\n\"carillon_wait_seconds\"",
    );

    #[test]
    fn an_alert_names_what_exists() {
        let alert = "expr: rate(carillon_doors_total[5m]) > 0 and carillon_wait_seconds_bucket{le=\"1\"}\n";
        check_rule(check, &[SOURCE, ("helm/alerts.yaml", alert)], &[]);
    }

    #[test]
    fn an_alert_on_nothing_is_found() {
        let alert = "x\nexpr: carillon_door_total > 0\n# carillon_doors_x\n";
        check_rule(
            check,
            &[SOURCE, ("helm/alerts.yaml", alert)],
            &[
                "helm/alerts.yaml:2: metric `carillon_door_total` is registered nowhere",
                "helm/alerts.yaml:3: metric `carillon_doors_x` is registered nowhere",
            ],
        );
    }

    #[test]
    fn names_that_a_closure_makes_exist() {
        let source = "let counter = |name: &str, help: &str| registry.counter(&format!(\"carillon_x_{name}_total\"), help);\n\
                      counter(\"grants\", \"G.\"), counter(\n  \"ends\", \"E.\"), other_counter(\"none\", \"N.\")";
        let alert = "carillon_x_grants_total\ncarillon_x_ends_total\ncarillon_x_none_total\ncarillon_x_grants\n";
        check_rule(
            check,
            &[("sms-router/src/metrics.rs", source), ("helm/alerts.yaml", alert)],
            &[
                "helm/alerts.yaml:3: metric `carillon_x_none_total` is registered nowhere",
                "helm/alerts.yaml:4: metric `carillon_x_grants` is registered nowhere",
            ],
        );
    }

    #[test]
    fn a_role_keeps_its_metrics_in_one_place() {
        let elsewhere = ("sms-router/src/run.rs", "//! R.\nregistry.gauge(\"carillon_open\", \"Open things.\");\n");
        check_rule(
            check,
            &[elsewhere],
            &["sms-router/src/run.rs:2: metric `carillon_open` belongs into the role's metrics.rs"],
        );
        check_rule(check, &[("crates/runtime/src/stop.rs", "\"carillon_task_panics_total\"")], &[]);
    }
}
