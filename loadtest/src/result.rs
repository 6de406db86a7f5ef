//! What a scenario came to: figures by phase and stream, second by second, and whether its checks are met.
//!
//! Knows numbers and words; must not talk to anyone, nor draw.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cpu::Used;
use crate::crew::{Order, Outcome};
use crate::ledger::Growth;
use crate::network::NetworkCount;
use crate::options::ScenarioOptions;
use crate::page;
use crate::plan::Share;
use crate::scenario::{Check, Figure, Phase, Scenario};
use crate::send::Sent;
use crate::stage::Growths;

/// Everything a scenario found out.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioReport {
    scenario: String,
    processes: u32,
    machine: Machine,
    phases: Vec<PhaseReport>,
    checks: Vec<CheckReport>,
    /// Why it is bad: something lost, doubled or uncounted, or a check that is not met. Empty when all is well.
    complaints: Vec<String>,
}

/// Where it ran.
#[derive(Clone, Debug, Serialize)]
struct Machine {
    processors: usize,
    /// Processes that wanted one in the minute before.
    load_average: f64,
}

#[derive(Clone, Debug, Serialize)]
struct PhaseReport {
    name: String,
    accepted: u64,
    accepted_per_second: f64,
    /// Deliveries with a final state, from the beginning to the last of them.
    delivered_per_second: Option<f64>,
    seconds: f64,
    streams: Vec<StreamReport>,
    ledgers: BTreeMap<String, LedgerReport>,
    /// Seconds, and deliveries that had ended by then.
    settled: Vec<(f64, u64)>,
    watched: BTreeMap<String, Used>,
    loader_cpu_seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
struct StreamReport {
    name: String,
    tenant: String,
    /// Messages a second that were to be begun; `None`: as fast as they were answered.
    rate: Option<f64>,
    begun: u64,
    accepted: u64,
    accepted_per_second: f64,
    sending_seconds: f64,
    /// Refusals for now.
    refused: u64,
    reconnected: u64,
    failures: BTreeMap<String, u64>,
    latency_ms: BTreeMap<&'static str, f64>,
    /// Per cent of the accepted calls, and the milliseconds they took at most.
    percentiles: Vec<(f64, f64)>,
    timeline: Vec<SecondReport>,
    network: Option<NetworkCount>,
}

#[derive(Clone, Debug, Serialize)]
struct SecondReport {
    accepted: u64,
    refused: u64,
    /// Of calls that were due in it.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
struct LedgerReport {
    accepted: i128,
    #[serde(rename = "final")]
    settled: i128,
    /// Growth by final state.
    by_state: BTreeMap<String, i128>,
    pending: u64,
    difference: i128,
}

#[derive(Clone, Debug, Serialize)]
struct CheckReport {
    name: String,
    value: Option<f64>,
    at_least: Option<f64>,
    at_most: Option<f64>,
    met: bool,
}

/// What a phase left behind.
pub(crate) struct Done {
    pub(crate) orders: Vec<Order>,
    pub(crate) outcome: Outcome,
    pub(crate) growths: Growths,
    pub(crate) settled: Settled,
    pub(crate) networks: Option<Vec<NetworkCount>>,
    pub(crate) watched: BTreeMap<String, Used>,
}

/// How many deliveries had ended, and when.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    began: std::time::Instant,
    seen: Vec<(f64, u64)>,
    /// When the last one ended; `None` when not all did.
    reached: Option<Duration>,
}

/// Points of the curve of latencies.
const PERCENTILES: [f64; 14] = [0.0, 10.0, 25.0, 50.0, 75.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.99, 100.0];

impl Settled {
    pub(crate) fn new() -> Self {
        Self { began: std::time::Instant::now(), seen: vec![(0.0, 0)], reached: None }
    }

    pub(crate) fn note(&mut self, at: Duration, settled: u64) {
        self.seen.push((at.as_secs_f64(), settled));
    }

    pub(crate) fn last(&self) -> u64 {
        self.seen.last().map_or(0, |(_, settled)| *settled)
    }

    pub(crate) fn ended<'a>(&mut self, growths: impl Iterator<Item = &'a Growth>) {
        let growths: Vec<&Growth> = growths.collect();
        let all = growths.iter().map(|growth| u64::try_from(growth.settled()).unwrap_or(0)).sum();
        let reached = growths.iter().map(|growth| growth.reached_at).collect::<Option<Vec<_>>>();
        self.reached = reached.and_then(|at| at.into_iter().max()).map(|at| at.saturating_duration_since(self.began));
        let at = self.reached.unwrap_or_else(|| self.began.elapsed());
        self.note(at, all);
    }
}

impl ScenarioReport {
    pub(crate) fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        let load = std::fs::read_to_string("/proc/loadavg").context("cannot read the load average")?;
        let load_average = load.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            scenario: scenario.name.clone(),
            processes: scenario.processes,
            machine: Machine { processors, load_average },
            phases: Vec::new(),
            checks: Vec::new(),
            complaints: Vec::new(),
        })
    }

    pub(crate) fn phases(&self) -> usize {
        self.phases.len()
    }

    /// What `phase/stream` had accepted a second.
    pub(crate) fn accepted_per_second(&self, path: &str) -> Option<f64> {
        self.stream(path).map(|stream| stream.accepted_per_second)
    }

    pub(crate) fn add(&mut self, phase: &Phase, done: Done) {
        self.complaints.extend(complaints(&done).into_iter().map(|complaint| format!("{}: {complaint}", phase.name)));
        self.phases.push(PhaseReport::new(phase, done));
    }

    /// Holds the figures against what was asked for.
    pub(crate) fn check(&mut self, checks: &[Check]) {
        for check in checks {
            let figure = |path: &str| self.stream(path).and_then(|stream| stream.figure(check.figure));
            let of = figure(&check.of);
            let value = match &check.by {
                None => of,
                Some(by) => of.zip(figure(by)).map(|(of, by)| of / by).filter(|value| value.is_finite()),
            };
            let within = |value: f64| {
                check.at_least.is_none_or(|least| value >= least) && check.at_most.is_none_or(|most| value <= most)
            };
            let met = value.is_some_and(within);
            let Check { name, at_least, at_most, .. } = check.clone();
            if !met {
                self.complaints.push(format!("not met: {name}"));
            }
            self.checks.push(CheckReport { name, value, at_least, at_most, met });
        }
    }

    /// Writes what files are asked for.
    pub(crate) fn write(&self, options: &ScenarioOptions) -> anyhow::Result<()> {
        let put = |path: &Path, text: String| {
            std::fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
        };
        if let Some(path) = &options.out {
            put(path, self.json() + "\n")?;
        }
        if let Some(path) = &options.html {
            let result = serde_json::to_value(self).context("the result as JSON")?;
            put(path, page::html(&self.scenario, &self.to_string(), &[(&self.scenario, &result)]))?;
        }
        Ok(())
    }

    /// Whether nothing was lost or doubled, the ledgers add up, and every check is met.
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }

    /// Why it is bad; empty when all is well.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The report as one JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the report has only keys that are text")
    }

    fn stream(&self, path: &str) -> Option<&StreamReport> {
        let (phase, stream) = path.split_once('/')?;
        let phase = self.phases.iter().find(|one| one.name == phase)?;
        phase.streams.iter().find(|one| one.name == stream)
    }
}

/// A refusal for now is none: a stream that does not send again asked for it.
fn complaints(done: &Done) -> Vec<String> {
    let mut found = Vec::new();
    for (number, (order, sent)) in done.orders.iter().zip(&done.outcome.sent).enumerate() {
        let network = done.networks.as_ref().and_then(|all| all.get(number)).cloned().unwrap_or_default();
        let checks = [
            (sent.failures.values().sum::<u64>(), "messages could not be sent"),
            (network.doubled, "texts reached the network once too often"),
            (network.strays, "texts reached a number they were not meant for"),
        ];
        let bad = checks.iter().filter(|(count, _)| *count != 0);
        found.extend(bad.map(|(count, text)| format!("{}: {count} {text}", order.stream.name)));
    }
    let unseen: u64 = done.networks.iter().flatten().map(|network| network.lost).sum();
    let otherwise: i128 = done.growths.iter().map(|(_, _, growth)| growth.ended_otherwise()).sum();
    if i128::from(unseen) > otherwise {
        let lost = i128::from(unseen) - otherwise;
        found.push(format!(
            "{lost} deliveries were accepted and never reached the network, nor does the ledger say why"
        ));
    }
    for (tenant, expected, growth) in &done.growths {
        let checks = [
            (i128::from(*expected) - growth.settled(), "more deliveries were accepted here than became final"),
            (growth.accepted() - i128::from(*expected), "more deliveries are accepted in the ledger than here"),
            (growth.difference(), "is the ledger's difference (accepted - final - pending)"),
            (i128::from(growth.after.pending), "deliveries are still pending"),
        ];
        let bad = checks.iter().filter(|(count, _)| *count != 0);
        found.extend(bad.map(|(count, text)| format!("tenant {tenant}: {count} {text}")));
    }
    found
}

impl PhaseReport {
    fn new(phase: &Phase, done: Done) -> Self {
        let Done { orders, outcome, growths, settled, networks, watched } = done;
        let networks = networks.map_or_else(|| vec![None; orders.len()], |all| all.into_iter().map(Some).collect());
        let parts = orders.iter().zip(&outcome.sent).zip(&outcome.sending).zip(networks);
        let streams: Vec<StreamReport> = parts
            .map(|(((order, sent), sending), network)| StreamReport::new(order, sent, *sending, network))
            .collect();
        let sending = outcome.sending.iter().max().copied().unwrap_or_default().as_secs_f64();
        let accepted = streams.iter().map(|stream| stream.accepted).sum();
        let deliveries: i128 = growths.iter().map(|(_, _, growth)| growth.settled()).sum();
        let per_second = |count: f64, seconds: f64| count / seconds.max(1e-9);
        Self {
            name: phase.name.clone(),
            accepted,
            accepted_per_second: per_second(accepted as f64, sending),
            delivered_per_second: settled.reached.map(|at| per_second(deliveries as f64, at.as_secs_f64())),
            seconds: settled.reached.map_or(sending, |at| at.as_secs_f64().max(sending)),
            streams,
            ledgers: growths.iter().map(|(tenant, _, growth)| (tenant.clone(), LedgerReport::of(growth))).collect(),
            settled: settled.seen,
            watched,
            loader_cpu_seconds: outcome.cpu.as_secs_f64(),
        }
    }
}

impl StreamReport {
    fn new(order: &Order, sent: &Sent, sending: Duration, network: Option<NetworkCount>) -> Self {
        let (accepted, seconds) = (sent.accepted_messages(), sending.as_secs_f64());
        let latency = &sent.latency;
        let ms = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
        let second = |second: &crate::timeline::Second| SecondReport {
            accepted: second.accepted,
            refused: second.refused,
            p50_ms: quantile(&second.latency, 0.5),
            p99_ms: quantile(&second.latency, 0.99),
        };
        let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)];
        Self {
            name: order.stream.name.clone(),
            tenant: order.stream.tenant.clone(),
            rate: order.plan(Share::WHOLE).rate,
            begun: sent.begun(),
            accepted,
            accepted_per_second: accepted as f64 / seconds.max(1e-9),
            sending_seconds: seconds,
            refused: sent.busy,
            reconnected: sent.reconnected,
            failures: sent.failures.clone(),
            latency_ms: quantiles.into_iter().map(|(name, quantile)| (name, ms(quantile))).collect(),
            percentiles: PERCENTILES.into_iter().map(|percent| (percent, ms(percent / 100.0))).collect(),
            timeline: sent.timeline.seconds.iter().map(second).collect(),
            network,
        }
    }

    fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::AcceptedPerSecond => Some(self.accepted_per_second),
            Figure::Refused => Some(self.refused as f64),
            Figure::P50Ms => self.latency_ms.get("p50").copied(),
            Figure::P99Ms => self.latency_ms.get("p99").copied(),
        }
    }
}

impl LedgerReport {
    fn of(growth: &Growth) -> Self {
        let (accepted, settled) = (growth.accepted(), growth.settled());
        let by_state = growth.by_state();
        Self { accepted, settled, by_state, pending: growth.after.pending, difference: growth.difference() }
    }
}

fn quantile(micros: &Histogram<u32>, quantile: f64) -> Option<f64> {
    (!micros.is_empty()).then(|| micros.value_at_quantile(quantile) as f64 / 1000.0)
}

impl fmt::Display for ScenarioReport {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processors, load_average } = self.machine;
        writeln!(to, "{}: {processors} processors, load average {load_average:.1} at the start", self.scenario)?;
        for phase in &self.phases {
            phase.write(to)?;
        }
        for check in &self.checks {
            check.write(to)?;
        }
        for complaint in &self.complaints {
            writeln!(to, "BAD: {complaint}")?;
        }
        if self.is_good() { write!(to, "nothing lost, nothing doubled, every ledger adds up") } else { Ok(()) }
    }
}

impl PhaseReport {
    fn write(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delivered = self.delivered_per_second.map_or_else(|| "not all".to_owned(), |rate| format!("{rate:.0} /s"));
        writeln!(to, "\n{}: accepted {:.0} /s, delivered {delivered}", self.name, self.accepted_per_second)?;
        writeln!(
            to,
            "  {:<16}{:>10}{:>10}{:>12}{:>10}{:>10}{:>10}{:>10}",
            "stream", "rate", "accepted", "accepted/s", "refused", "p50 ms", "p99 ms", "max ms"
        )?;
        for stream in &self.streams {
            let rate = stream.rate.map_or_else(|| "free".to_owned(), |rate| format!("{rate:.0}"));
            let ms = |name: &str| stream.latency_ms.get(name).copied().unwrap_or(0.0);
            writeln!(
                to,
                "  {:<16}{rate:>10}{:>10}{:>12.0}{:>10}{:>10.1}{:>10.1}{:>10.1}",
                stream.name,
                stream.accepted,
                stream.accepted_per_second,
                stream.refused,
                ms("p50"),
                ms("p99"),
                ms("max")
            )?;
            for (reason, count) in &stream.failures {
                writeln!(to, "    {count} failed: {reason}")?;
            }
        }
        for (tenant, ledger) in &self.ledgers {
            let states: Vec<String> = ledger.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
            writeln!(to, "  ledger of {tenant}: {}", states.join(", "))?;
        }
        for (name, Used { cpu_seconds, rss_mib_max }) in &self.watched {
            let per_1000 = cpu_seconds * 1000.0 / self.accepted.max(1) as f64;
            writeln!(to, "  {name}: {per_1000:.3} CPU seconds per 1,000 accepted, {rss_mib_max:.0} MiB at most")?;
        }
        Ok(())
    }
}

impl CheckReport {
    fn write(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.map_or_else(|| "no figure".to_owned(), |value| format!("{value:.2}"));
        let bound =
            |word: &str, bound: Option<f64>| bound.map_or_else(String::new, |bound| format!(", {word} {bound}"));
        let bounds = bound("at least", self.at_least) + &bound("at most", self.at_most);
        writeln!(to, "{}: {value}{bounds}: {}", self.name, if self.met { "met" } else { "not met" })
    }
}
