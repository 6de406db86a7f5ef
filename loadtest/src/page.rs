//! A page with the charts of one result, or of two in the same charts. It needs nothing else: no script, no other file.
//!
//! Knows the names of a scenario's figures; must not know how they were taken.

use serde_json::Value;

use crate::chart::{Chart, Line, escape};

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;max-width:800px;margin:2em auto;padding:0 1em;color:#111;\
background:#fff}pre{overflow-x:auto;background:#f4f4f4;padding:1em}svg{width:100%;height:auto;font:11px system-ui,sans-serif;\
margin:.5em 0 1.5em}.title{font-weight:600;font-size:13px}.line{fill:none;stroke-width:1.6}.grid{stroke:#ddd}\
.left{text-anchor:end}.below{text-anchor:middle}";

/// Results by what they are called.
pub(crate) type Results<'a> = [(&'a str, &'a Value)];

/// The page; `text` stands above the charts.
pub(crate) fn html(title: &str, text: &str, results: &Results<'_>) -> String {
    let mut phases: Vec<&str> = Vec::new();
    for phase in results.iter().flat_map(|(_, result)| named(&result["phases"])) {
        if !phases.contains(&phase.0) {
            phases.push(phase.0);
        }
    }
    let charts: String = phases.into_iter().map(|phase| section(phase, results)).collect();
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1><pre>{}</pre>{charts}</html>\n",
        escape(text)
    )
}

fn section(phase: &str, results: &Results<'_>) -> String {
    let of = |result: &'_ Value| {
        named(&result["phases"]).into_iter().find(|(name, _)| *name == phase).map(|(_, at)| at.clone())
    };
    let (mut rates, mut latencies, mut curves) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (called, result)) in results.iter().enumerate() {
        let Some(found) = of(result) else { continue };
        let dashed = number > 0;
        let name = |what: String| if results.len() > 1 { format!("{called}: {what}") } else { what };
        for (stream, figures) in named(&found["streams"]) {
            let seconds = figures["timeline"].as_array().map_or(&[][..], Vec::as_slice);
            let by_second = |key: &str| series(seconds.iter().map(|second| second[key].as_f64()));
            let line = |what: &str, points| Line { name: name(format!("{stream}, {what}")), points, dashed };
            rates.push(line("accepted", by_second("accepted")));
            if figures["refused"].as_u64().is_some_and(|count| count > 0) {
                rates.push(line("refused", by_second("refused")));
            }
            latencies.push(line("p50", by_second("p50_ms")));
            latencies.push(line("p99", by_second("p99_ms")));
            curves.push(Line { name: name(stream.to_owned()), points: pairs(&figures["percentiles"]), dashed });
        }
        rates.push(Line { name: name("ended".to_owned()), points: slopes(&pairs(&found["settled"])), dashed });
    }
    let chart = |title: &str, x: &str, y: &str, logarithmic, lines| {
        Chart { title: title.to_owned(), x: x.to_owned(), y: y.to_owned(), logarithmic, lines }.svg()
    };
    format!(
        "<h2>{}</h2>{}{}{}",
        escape(phase),
        chart("Messages a second", "seconds", "a second", false, rates),
        chart("Time to acceptance, by when a message was due", "seconds", "ms", true, latencies),
        chart("Time to acceptance, by share of calls", "per cent", "ms", true, curves),
    )
}

/// Objects of a list by their `name`.
fn named(list: &Value) -> Vec<(&str, &Value)> {
    let entries = list.as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().filter_map(|entry| Some((entry["name"].as_str()?, entry))).collect()
}

/// A value a second.
fn series(values: impl Iterator<Item = Option<f64>>) -> Vec<(f64, f64)> {
    (0..).zip(values).map(|(second, value)| (f64::from(second), value.unwrap_or(f64::NAN))).collect()
}

fn pairs(list: &Value) -> Vec<(f64, f64)> {
    let entries = list.as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().filter_map(|pair| Some((pair[0].as_f64()?, pair[1].as_f64()?))).collect()
}

/// What a count grew by, a second.
fn slopes(counts: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let slope = |pair: &[(f64, f64)]| (pair[1].0, (pair[1].1 - pair[0].1).max(0.0) / (pair[1].0 - pair[0].0));
    counts.windows(2).filter(|pair| pair[1].0 > pair[0].0).map(slope).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result() -> Value {
        json!({ "phases": [{ "name": "a & b", "settled": [[0.0, 0], [1.0, 5], [2.0, 20]], "streams": [{
            "name": "s", "refused": 1, "percentiles": [[50.0, 1.0], [99.0, 9.0]],
            "timeline": [{ "accepted": 5, "refused": 0, "p50_ms": 1.0, "p99_ms": 9.0 },
                         { "accepted": 6, "refused": 1, "p50_ms": null, "p99_ms": null }] }] }] })
    }

    #[test]
    fn a_page_has_its_charts_and_needs_nothing_else() {
        let page = html("x", "1 < 2", &[("one", &result())]);
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("a &amp; b") && page.contains("1 &lt; 2"), "{page}");
        assert!(!page.contains("<script") && !page.contains("http") && !page.contains("NaN"), "{page}");
        let both = html("x", "", &[("one", &result()), ("two", &result())]);
        assert!(both.contains("two: s, p99") && both.contains("stroke-dasharray"), "{both}");
    }

    #[test]
    fn a_growing_count_is_shown_as_a_rate() {
        assert_eq!(slopes(&[(0.0, 0.0), (1.0, 5.0), (2.0, 20.0), (2.0, 21.0)]), [(1.0, 5.0), (2.0, 15.0)]);
    }
}
