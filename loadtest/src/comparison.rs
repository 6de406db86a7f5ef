//! Two results side by side: each figure that both have, and the second divided by the first.
//!
//! Knows JSON; must not know what a figure means, so that results of any kind can be compared.

use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::options::CompareOptions;
use crate::page;

/// Figures that two results have.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    first: String,
    second: String,
    figures: Vec<Figure>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Figure {
    name: String,
    first: f64,
    second: f64,
    /// `None` where the first is 0.
    ratio: Option<f64>,
}

/// Curves are for charts, and turns of several are shown by their median.
const CURVES: [&str; 4] = ["timeline", "percentiles", "settled", "turns"];

impl Comparison {
    pub(crate) fn of(options: &CompareOptions) -> anyhow::Result<Self> {
        let (first, second) = (read(&options.first)?, read(&options.second)?);
        let name = |path: &Path| path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let comparison = Self::between((name(&options.first), &first), (name(&options.second), &second));
        ensure!(!comparison.figures.is_empty(), "the two results have no figure in common");
        if let Some(path) = &options.html {
            let results = [(comparison.first.as_str(), &first), (comparison.second.as_str(), &second)];
            let title = format!("{} and {}", comparison.first, comparison.second);
            let page = page::html(&title, &comparison.to_string(), &results);
            std::fs::write(path, page).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(comparison)
    }

    fn between((first_name, first): (String, &Value), (second_name, second): (String, &Value)) -> Self {
        let mut figures = Vec::new();
        walk("", first, second, &mut figures);
        Self { first: first_name, second: second_name, figures }
    }

    /// The comparison as one JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the comparison has only keys that are text")
    }
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let value: Value = serde_json::from_slice(&text).with_context(|| format!("`{}` is no JSON", path.display()))?;
    ensure!(value.is_object(), "`{}` is no result", path.display());
    Ok(value)
}

fn walk(name: &str, first: &Value, second: &Value, figures: &mut Vec<Figure>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match (first, second) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in ours.iter().filter(|(key, _)| !CURVES.contains(&key.as_str())) {
                theirs.get(key).into_iter().for_each(|other| walk(&below(key), value, other, figures));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            for entry in ours {
                let Some(key) = entry["name"].as_str() else { continue };
                let other = theirs.iter().find(|other| other["name"].as_str() == Some(key));
                other.into_iter().for_each(|other| walk(&below(key), entry, other, figures));
            }
        }
        (Value::Number(ours), Value::Number(theirs)) => {
            if let (Some(first), Some(second)) = (ours.as_f64(), theirs.as_f64()) {
                let ratio = (first != 0.0).then(|| second / first);
                figures.push(Figure { name: name.to_owned(), first, second, ratio });
            }
        }
        _ => {}
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        write!(to, "{:<width$}{:>16}{:>16}{:>9}", "", self.first, self.second, "ratio")?;
        for Figure { name, first, second, ratio } in &self.figures {
            let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            write!(to, "\n{name:<width$}{first:>16.3}{second:>16.3}{ratio:>9}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_found_by_name_wherever_they_stand() {
        let first = json!({ "phases": [{ "name": "x", "rate": 10, "timeline": [{ "name": "t", "n": 1 }] },
                                       { "name": "gone", "rate": 1 }], "zero": 0, "only": 1 });
        let second = json!({ "phases": [{ "name": "new", "rate": 3 }, { "name": "x", "rate": 25 }], "zero": 2 });
        let comparison = Comparison::between(("a".to_owned(), &first), ("b".to_owned(), &second));
        let expected = [
            Figure { name: "phases.x.rate".to_owned(), first: 10.0, second: 25.0, ratio: Some(2.5) },
            Figure { name: "zero".to_owned(), first: 0.0, second: 2.0, ratio: None },
        ];
        assert_eq!(comparison.figures, expected);
        let shown = comparison.to_string();
        assert!(shown.ends_with("zero                    0.000           2.000        -"), "{shown}");
    }
}
