//! What a run came to: figures for a person, the same as JSON, and whether all is well.
//!
//! Knows numbers and words; must not talk to anyone.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cpu::Used;
use crate::follow::Followed;
use crate::ledger::Growth;
use crate::network::NetworkCount;
use crate::options::{Door, Options, Until};
use crate::plan::Plan;
use crate::receipts::ReceiptCount;
use crate::send::Sent;
use crate::verify::States;

/// Everything a run found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    door: &'static str,
    connections: usize,
    /// Those that sent in turn.
    tenants: u32,
    /// Messages begun a second (open loop); `None`: as fast as they were answered (closed loop).
    rate: Option<f64>,
    until: &'static str,
    messages: u64,
    deliveries: u64,
    accepted: u64,
    accepted_per_second: f64,
    sending_seconds: f64,
    /// Deliveries with a final state per second, from the first call to the last final state.
    delivered_per_second: Option<f64>,
    delivering_seconds: Option<f64>,
    busy: u64,
    reconnected: u64,
    failed: u64,
    failures: BTreeMap<String, u64>,
    latency_ms: Latency,
    server_cpu_seconds: Option<f64>,
    server_cpu_seconds_per_1000: Option<f64>,
    /// What the watched processes used until the last final state (until the last answer, if only accepting was measured).
    watched: BTreeMap<String, Used>,
    loader_cpu_seconds: f64,
    verified: u64,
    states: BTreeMap<String, u64>,
    /// What the tenant's ledger says, where there is one.
    ledger: Option<LedgerReport>,
    /// What came back, where there is no ledger.
    receipts: Option<ReceiptCount>,
    network: Option<NetworkCount>,
    /// Why the run is bad; empty when all is well.
    complaints: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

#[derive(Clone, Debug, Serialize)]
struct LedgerReport {
    accepted_growth: i128,
    final_growth: i128,
    final_growth_by_state: BTreeMap<String, i128>,
    pending: u64,
    difference: i128,
}

/// What happened to the messages.
pub(crate) struct Outcome {
    pub(crate) sent: Sent,
    pub(crate) followed: Followed,
    pub(crate) states: States,
    pub(crate) network: Option<NetworkCount>,
}

/// How long it took, and what it cost.
pub(crate) struct Rates {
    pub(crate) sending: Duration,
    pub(crate) delivering: Option<Duration>,
    pub(crate) server_cpu: Option<Duration>,
    pub(crate) watched: BTreeMap<String, Used>,
    pub(crate) loader_cpu: Duration,
}

impl Report {
    pub(crate) fn new(options: &Options, plan: &Plan, outcome: Outcome, rates: Rates) -> Self {
        let Outcome { sent, followed, states, network } = outcome;
        let accepted = sent.accepted_messages();
        let expected = accepted * plan.recipients() as u64;
        let per_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64().max(1e-9);
        Self {
            door: door_name(options.door),
            connections: options.connections,
            tenants: options.tenants,
            rate: options.rate,
            until: if options.until == Until::Accepted { "accepted" } else { "final" },
            messages: plan.messages(),
            deliveries: plan.deliveries(),
            accepted,
            accepted_per_second: per_second(accepted, rates.sending),
            sending_seconds: rates.sending.as_secs_f64(),
            delivered_per_second: rates.delivering.map(|time| per_second(expected, time)),
            delivering_seconds: rates.delivering.map(|time| time.as_secs_f64()),
            busy: sent.busy,
            reconnected: sent.reconnected,
            failed: plan.messages() - accepted,
            latency_ms: Latency::of(&sent.latency),
            server_cpu_seconds: rates.server_cpu.map(|time| time.as_secs_f64()),
            server_cpu_seconds_per_1000: rates
                .server_cpu
                .map(|time| time.as_secs_f64() * 1000.0 / accepted.max(1) as f64),
            watched: rates.watched,
            loader_cpu_seconds: rates.loader_cpu.as_secs_f64(),
            verified: states.by_index.len() as u64,
            states: states.counts(),
            complaints: complaints(options.until, &sent, &followed, &states, network.as_ref(), expected),
            ledger: match &followed {
                Followed::Ledger(growth) => Some(LedgerReport::of(growth)),
                Followed::Receipts(_) => None,
            },
            receipts: match followed {
                Followed::Ledger(_) => None,
                Followed::Receipts(count) => Some(count),
            },
            network,
            failures: sent.failures,
        }
    }

    /// Whether every message was accepted, arrived, and arrived once, and the ledger agrees.
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }

    /// Why the run is bad; empty when all is well.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The report as one JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the report has only keys that are text")
    }
}

fn complaints(
    until: Until,
    sent: &Sent,
    followed: &Followed,
    states: &States,
    network: Option<&NetworkCount>,
    expected: u64,
) -> Vec<String> {
    let network = network.cloned().unwrap_or_default();
    let mut checks = vec![(i128::from(sent.failures.values().sum::<u64>()), "messages could not be sent")];
    if until == Until::Final {
        checks.extend([
            (i128::from(states.lost()), "messages have no final state"),
            (i128::from(network.lost), "deliveries were accepted and never reached the network"),
            (i128::from(network.doubled), "texts reached the network once too often"),
            (i128::from(network.strays), "texts reached a number they were not meant for"),
        ]);
    }
    match followed {
        Followed::Ledger(growth) => checks.extend(of_ledger(until, growth, i128::from(expected))),
        Followed::Receipts(count) if until == Until::Final => checks.extend(of_receipts(count)),
        Followed::Receipts(_) => {}
    }
    checks.iter().filter(|(count, _)| *count != 0).map(|(count, text)| format!("{count} {text}")).collect()
}

fn of_ledger(until: Until, growth: &Growth, expected: i128) -> Vec<(i128, &'static str)> {
    let difference = (growth.difference(), "is the ledger's difference (accepted - final - pending)");
    if until == Until::Accepted {
        // Nothing need have been delivered yet.
        return vec![
            (expected - growth.accepted(), "more deliveries were accepted here than the ledger has"),
            difference,
        ];
    }
    vec![
        (expected - growth.settled(), "more deliveries were accepted here than became final in the ledger"),
        (growth.accepted() - expected, "more deliveries are accepted in the ledger than here"),
        difference,
        (i128::from(growth.after.pending), "deliveries are still pending"),
    ]
}

fn of_receipts(count: &ReceiptCount) -> Vec<(i128, &'static str)> {
    vec![
        (i128::from(count.expected) - i128::from(count.reported), "reports never came"),
        (i128::from(count.undelivered), "reports do not say `delivered`"),
        (i128::from(count.repeated), "reports came once too often"),
        (i128::from(count.strays), "reports are of no message of this run"),
    ]
}

impl Latency {
    fn of(micros: &Histogram<u64>) -> Self {
        let at = |quantile: f64| micros.value_at_quantile(quantile) as f64 / 1000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p99_9: at(0.999), max: micros.max() as f64 / 1000.0 }
    }
}

impl LedgerReport {
    fn of(growth: &Growth) -> Self {
        Self {
            accepted_growth: growth.accepted(),
            final_growth: growth.settled(),
            final_growth_by_state: growth.by_state(),
            pending: growth.after.pending,
            difference: growth.difference(),
        }
    }
}

const fn door_name(door: Door) -> &'static str {
    match door {
        Door::Rest => "rest",
        Door::Oms => "oms",
        Door::OmsBatch => "oms-batch",
        Door::Kannel => "kannel",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_sending(formatter)?;
        self.write_cost(formatter)?;
        self.write_proof(formatter)?;
        for complaint in &self.complaints {
            write!(formatter, "\nBAD: {complaint}")?;
        }
        if self.is_good() { write!(formatter, "\nnothing lost, nothing doubled") } else { Ok(()) }
    }
}

impl Report {
    fn write_sending(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, deliveries) = (self.messages, self.deliveries);
        writeln!(
            to,
            "{messages} messages ({deliveries} deliveries), door {}, {} connections, {} tenants",
            self.door, self.connections, self.tenants
        )?;
        let busy = self.busy + self.reconnected;
        write!(to, "accepted   {:>10.0} /s  in {:.3} s", self.accepted_per_second, self.sending_seconds)?;
        writeln!(to, ", {busy} sent again, {} failed", self.failed)?;
        for (reason, count) in &self.failures {
            writeln!(to, "           {count} failed: {reason}")?;
        }
        match (self.delivered_per_second, self.delivering_seconds) {
            (Some(rate), Some(seconds)) => writeln!(to, "delivered  {rate:>10.0} /s  in {seconds:.3} s"),
            _ if self.until == "accepted" => writeln!(to, "delivered  not waited for"),
            _ => writeln!(to, "delivered  not all: nothing moved any more"),
        }
    }

    fn write_cost(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p90, p99, p99_9, max } = self.latency_ms;
        writeln!(to, "latency    p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  p99.9 {p99_9:.1}  max {max:.1} ms")?;
        if let (Some(per_1000), Some(all)) = (self.server_cpu_seconds_per_1000, self.server_cpu_seconds) {
            writeln!(to, "server     {per_1000:.3} CPU seconds per 1,000 messages ({all:.2} in all)")?;
        }
        for (name, used) in &self.watched {
            let per_1000 = used.cpu_seconds * 1000.0 / self.accepted.max(1) as f64;
            let Used { cpu_seconds, rss_mib_max } = used;
            writeln!(to, "{name:<10} {per_1000:.3} per 1,000 ({cpu_seconds:.2} in all), {rss_mib_max:.0} MiB at most")?;
        }
        writeln!(to, "loader     {:.2} CPU seconds in all", self.loader_cpu_seconds)
    }

    fn write_proof(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ledger) = &self.ledger {
            write!(to, "ledger     accepted +{}, final +{}, ", ledger.accepted_growth, ledger.final_growth)?;
            write!(to, "pending {}, difference {}", ledger.pending, ledger.difference)?;
            for (state, count) in &ledger.final_growth_by_state {
                write!(to, "\n           {count} {state}")?;
            }
        }
        if let Some(ReceiptCount { expected, reported, undelivered, .. }) = &self.receipts {
            write!(to, "reports    {reported} of {expected}, {undelivered} not of a delivery")?;
        }
        if self.verified > 0 {
            let states: Vec<String> = self.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
            write!(to, "\nby id      {} looked up: {}", self.verified, states.join(", "))?;
        }
        match &self.network {
            Some(NetworkCount { seen, lost, doubled, seen_per_second, .. }) => {
                write!(to, "\nnetwork    {seen} texts seen, {lost} lost, {doubled} doubled")?;
                seen_per_second.map_or(Ok(()), |rate| write!(to, ", {rate:.0} /s"))
            }
            None => write!(to, "\nnetwork    no record to count against"),
        }
    }
}
