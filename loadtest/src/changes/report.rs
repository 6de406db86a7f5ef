//! What a run with change notifications came to, for a person and as JSON. Knows the router's metrics by name.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use super::stream::Posted;
use super::{ChangesOptions, client};
use crate::client::{Client, Endpoint};
use crate::cpu::Used;

const CHANGES: &str = "carillon_router_notify_changes_total";
const WINDOWS: &str = "carillon_router_notify_windows_open";
const NOTICES: &str = "carillon_router_notices_total";
const SECONDS: &str = "carillon_router_notify_seconds";

/// Reads the router's metrics.
pub(super) struct Meters {
    client: Client,
}

/// The router's figures at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(BTreeMap<String, f64>);

impl Meters {
    pub(super) fn at(ops: Endpoint) -> Self {
        Meters { client: client(&ops) }
    }

    pub(super) async fn read(&mut self) -> anyhow::Result<Meter> {
        let answer = self.client.get("/metrics", "").await.context("cannot read the metrics")?;
        ensure!(answer.status.is_success(), "the metrics were answered {}", answer.status);
        Ok(Meter::parse(&String::from_utf8_lossy(&answer.body)))
    }
}

impl Meter {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Meter(lines.filter_map(line).collect())
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// The sum over a metric's labels.
    fn sum(&self, name: &str) -> f64 {
        let labelled = format!("{name}{{");
        self.0.iter().filter(|(key, _)| key.starts_with(&labelled)).map(|(_, value)| value).sum()
    }

    fn label(&self, name: &str, value: &str) -> f64 {
        self.get(&format!("{name}{{result=\"{value}\"}}"))
    }

    /// Whether all events were taken since, and their windows are closed.
    pub(super) fn is_settled(&self, before: &Meter, events: u64) -> bool {
        self.get(WINDOWS) == 0.0 && self.sum(CHANGES) - before.sum(CHANGES) >= events as f64
    }

    /// The bounds of the histogram's buckets, with how many were below each.
    fn buckets(&self) -> Vec<(f64, f64)> {
        let begin = format!("{SECONDS}_bucket{{le=\"");
        let bucket = |(key, count): (&String, &f64)| {
            let bound = key.strip_prefix(&begin)?.strip_suffix("\"}")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, *count))
        };
        let mut buckets: Vec<(f64, f64)> = self.0.iter().filter_map(bucket).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }
}

/// What was measured.
pub(super) struct Figures {
    pub(super) registered_seconds: Option<f64>,
    pub(super) posted: Posted,
    pub(super) posting: Duration,
    /// From the first event until no window was open.
    pub(super) settling: Duration,
    pub(super) before: Meter,
    pub(super) after: Meter,
}

/// Everything a run found out.
#[derive(Clone, Debug, Serialize)]
pub struct ChangesReport {
    devices: u32,
    registered_seconds: Option<f64>,
    events: u64,
    rejected: u64,
    busy: u64,
    posting_seconds: f64,
    events_per_second: f64,
    post_p50_ms: f64,
    post_p99_ms: f64,
    settling_seconds: f64,
    windows_open: f64,
    /// Windows that became a notification, and those that an earlier one covers.
    notifications: f64,
    covered: f64,
    notifications_per_second: f64,
    /// Events that cost no notification of their own, of all.
    saved_share: f64,
    /// From the first change of a window to the hand-over of its notification.
    delay_mean_seconds: f64,
    /// No delay was longer: the bound of the highest bucket that has any.
    delay_seconds_max: f64,
    watched: BTreeMap<String, Used>,
    cpu_seconds_per_1000_events: BTreeMap<String, f64>,
    loader_cpu_seconds: f64,
    /// Why the run is bad; empty when all is well.
    complaints: Vec<String>,
}

impl ChangesReport {
    pub(super) fn new(
        options: &ChangesOptions,
        figures: Figures,
        watched: BTreeMap<String, Used>,
        loader_cpu: Duration,
    ) -> Self {
        let Figures { registered_seconds, posted, posting, settling, before, after } = figures;
        let grown = |name: &str, label: &str| after.label(name, label) - before.label(name, label);
        let (notifications, covered) = (grown(NOTICES, "sent"), grown(NOTICES, "covered"));
        let (count, sum) = (format!("{SECONDS}_count"), format!("{SECONDS}_sum"));
        let delays = after.get(&count) - before.get(&count);
        let micros = |quantile| posted.latency.value_at_quantile(quantile) as f64 / 1000.0;
        let per_1000 = |used: &Used| used.cpu_seconds * 1000.0 / posted.events.max(1) as f64;
        let mut report = Self {
            devices: options.devices,
            registered_seconds,
            events: posted.events,
            rejected: posted.rejected,
            busy: posted.busy,
            posting_seconds: posting.as_secs_f64(),
            events_per_second: posted.events as f64 / posting.as_secs_f64().max(1e-9),
            post_p50_ms: micros(0.5),
            post_p99_ms: micros(0.99),
            settling_seconds: settling.as_secs_f64(),
            windows_open: after.get(WINDOWS),
            notifications,
            covered,
            notifications_per_second: notifications / settling.as_secs_f64().max(1e-9),
            saved_share: 1.0 - notifications / posted.events.max(1) as f64,
            delay_mean_seconds: (after.get(&sum) - before.get(&sum)) / delays.max(1.0),
            delay_seconds_max: highest(&before, &after),
            cpu_seconds_per_1000_events: watched.iter().map(|(name, used)| (name.clone(), per_1000(used))).collect(),
            watched,
            loader_cpu_seconds: loader_cpu.as_secs_f64(),
            complaints: Vec::new(),
        };
        report.complain();
        report
    }

    fn complain(&mut self) {
        if self.rejected > 0 {
            self.complaints.push(format!("{} events were rejected", self.rejected));
        }
        if self.windows_open > 0.0 {
            self.complaints.push(format!("{} windows stayed open", self.windows_open));
        }
        if self.notifications == 0.0 {
            self.complaints.push("no device was notified".to_owned());
        }
    }

    /// Whether all is well.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }

    /// The report as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures and words are JSON")
    }
}

/// The bound of the highest bucket that grew.
fn highest(before: &Meter, after: &Meter) -> f64 {
    let (old, new) = (before.buckets(), after.buckets());
    let below = |buckets: &[(f64, f64)], bound: f64| {
        buckets.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count)
    };
    let mut last = 0.0;
    let grew = new.iter().filter(|(bound, count)| {
        let grown = count - below(&old, *bound);
        std::mem::replace(&mut last, grown) < grown
    });
    grew.last().map_or(0.0, |(bound, _)| *bound)
}

impl fmt::Display for ChangesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seconds) = self.registered_seconds {
            writeln!(f, "registered     {} devices in {seconds:.1} s", self.devices)?;
        }
        writeln!(
            f,
            "events         {} in {:.1} s: {:.0} a second ({} times busy)",
            self.events, self.posting_seconds, self.events_per_second, self.busy
        )?;
        writeln!(f, "answers        p50 {:.1} ms, p99 {:.1} ms", self.post_p50_ms, self.post_p99_ms)?;
        writeln!(
            f,
            "notifications  {:.0} in {:.1} s: {:.0} a second; {:.0} windows covered by earlier ones",
            self.notifications, self.settling_seconds, self.notifications_per_second, self.covered
        )?;
        writeln!(f, "saved          {:.1} % of the events cost no notification", self.saved_share * 100.0)?;
        writeln!(
            f,
            "delay          {:.2} s on average, at most {:.2} s from the first change to the hand-over",
            self.delay_mean_seconds, self.delay_seconds_max
        )?;
        for (name, used) in &self.watched {
            let per_1000 = self.cpu_seconds_per_1000_events[name];
            writeln!(
                f,
                "{name:<14} {:.1} CPU s, {per_1000:.4} per 1,000 events, {:.0} MiB at most",
                used.cpu_seconds, used.rss_mib_max
            )?;
        }
        write!(f, "loader         {:.1} CPU s", self.loader_cpu_seconds)?;
        self.complaints.iter().try_for_each(|complaint| write!(f, "\nBAD            {complaint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# HELP x y\ncarillon_router_notify_seconds_bucket{le=\"5\"} 1\n\
        carillon_router_notify_seconds_bucket{le=\"10\"} 4\ncarillon_router_notify_seconds_bucket{le=\"+Inf\"} 4\n";
    const AFTER: &str = "carillon_router_notify_seconds_bucket{le=\"5\"} 3\n\
        carillon_router_notify_seconds_bucket{le=\"10\"} 6\ncarillon_router_notify_seconds_bucket{le=\"+Inf\"} 6\n\
        carillon_router_notify_changes_total{result=\"marked\"} 3\n\
        carillon_router_notify_changes_total{result=\"merged\"} 4\n";

    #[test]
    fn metrics_are_read_by_name_and_label() {
        let (before, after) = (Meter::parse(BEFORE), Meter::parse(AFTER));
        assert_eq!((after.sum(CHANGES), after.label(CHANGES, "merged")), (7.0, 4.0));
        assert!(after.is_settled(&before, 7) && !after.is_settled(&before, 8));
    }

    #[test]
    fn the_longest_delay_is_that_of_this_run() {
        let (before, after) = (Meter::parse(BEFORE), Meter::parse(AFTER));
        assert_eq!(highest(&before, &after), 5.0, "what was slower was slower before");
        assert_eq!(highest(&Meter::default(), &after), 10.0);
    }
}
