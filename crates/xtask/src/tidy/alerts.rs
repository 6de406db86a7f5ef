//! Rules about alerts: each has a page that says what to do, a case in which it fires, and one in which it does not.
//!
//! Knows the names of alerts and where their files are; must not know PromQL.

use std::collections::BTreeSet;

use super::{Finding, Tree};

const ALERTS: &str = "helm/carillon/alerts/";
const TESTS: &str = "helm/carillon/alerts/tests/";
const PAGES: &str = "docs/runbooks/";

/// Checks alerts against their tests and pages, and pages against the alerts.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let alerts = alerts(tree);
    let missing = alerts.iter().flat_map(|alert| missing(tree, alert));
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name).collect();
    let idle = tree.keys().filter_map(|path| {
        let page = path.strip_prefix(PAGES)?.strip_suffix(".md")?;
        let known = page == "README" || names.contains(page);
        (!known).then(|| Finding::of_file(path, "there is no such alert"))
    });
    missing.chain(idle).collect()
}

struct Alert<'a> {
    path: &'a str,
    line: usize,
    name: &'a str,
}

fn alerts(tree: &Tree) -> Vec<Alert<'_>> {
    let files = tree.iter().filter(|(path, _)| path.starts_with(ALERTS) && !path.starts_with(TESTS));
    let of_file = |(path, text)| -> Vec<Alert<'_>> {
        let lines = str::lines(text).enumerate();
        lines
            .filter_map(|(number, line)| {
                let name = line.trim_start().strip_prefix("- alert: ")?.trim();
                Some(Alert { path, line: number + 1, name })
            })
            .collect()
    };
    files.flat_map(|(path, text): (&String, &String)| of_file((path.as_str(), text.as_str()))).collect()
}

fn missing(tree: &Tree, alert: &Alert<'_>) -> Vec<Finding> {
    let at = |what: String| Finding::at(alert.path, alert.line, what);
    let (fires, quiet) = cases(tree, alert.name);
    let mut findings = Vec::new();
    if !fires {
        findings.push(at(format!("no test in which `{}` fires", alert.name)));
    }
    if !quiet {
        findings.push(at(format!("no test in which `{}` stays quiet", alert.name)));
    }
    if !tree.contains_key(&format!("{PAGES}{}.md", alert.name)) {
        findings.push(at(format!("no page `{PAGES}{}.md`", alert.name)));
    }
    findings
}

/// Whether there is a case with this alert, and one without it. What is expected stands on the line after its name.
fn cases(tree: &Tree, name: &str) -> (bool, bool) {
    let tests = tree.iter().filter(|(path, _)| path.starts_with(TESTS));
    let mut found = (false, false);
    for (_, text) in tests {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0].strip_prefix("alertname: ") == Some(name)) {
            match pair[1] {
                "exp_alerts: []" => found.1 = true,
                "exp_alerts:" => found.0 = true,
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::check_rule;

    const RULES: (&str, &str) = ("helm/carillon/alerts/a.yaml", "rules:\n  - alert: Gone\n    expr: x\n");
    const PAGE: (&str, &str) = ("docs/runbooks/Gone.md", "# Gone\n");

    #[test]
    fn an_alert_with_both_cases_and_a_page_is_complete() {
        let tests = "alertname: Gone\n  exp_alerts:\n    - {}\nalertname: Gone\n  exp_alerts: []\n";
        check_rule(check, &[RULES, PAGE, ("helm/carillon/alerts/tests/a.yaml", tests)], &[]);
    }

    #[test]
    fn what_is_missing_is_said() {
        check_rule(
            check,
            &[RULES, ("docs/runbooks/Other.md", ""), ("docs/runbooks/README.md", "")],
            &[
                "docs/runbooks/Other.md: there is no such alert",
                "helm/carillon/alerts/a.yaml:2: no page `docs/runbooks/Gone.md`",
                "helm/carillon/alerts/a.yaml:2: no test in which `Gone` fires",
                "helm/carillon/alerts/a.yaml:2: no test in which `Gone` stays quiet",
            ],
        );
    }
}
