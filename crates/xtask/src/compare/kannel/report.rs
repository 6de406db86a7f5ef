//! The comparison with Kannel as a table for a person and as an object for a program.
//!
//! Knows figures and words; must not know how they were taken.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use super::Options;
use crate::compare::load::Load;

/// The processes of either system. The service centre and the loader are shown beside them.
const SYSTEMS: [&str; 3] = ["carillon", "bearerbox", "smsbox"];

/// A system that has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Row {
    /// Ours: everything that is accepted is synced to the disk.
    Carillon,
    /// The same by `DeliverXms`.
    CarillonOms,
    /// The same by `DeliverXmsBatch`.
    CarillonBatch,
    /// Kannel with a file for each message, which is not synced.
    KannelSpool,
    /// Kannel with its messages in memory.
    Kannel,
}

impl Row {
    pub(crate) const ALL: [Self; 5] =
        [Self::Carillon, Self::KannelSpool, Self::Kannel, Self::CarillonOms, Self::CarillonBatch];
    const OURS: [Self; 3] = [Self::Carillon, Self::CarillonOms, Self::CarillonBatch];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Carillon => "carillon",
            Self::CarillonOms => "DeliverXms",
            Self::CarillonBatch => "batches of 100",
            Self::KannelSpool => "kannel, spool",
            Self::Kannel => "kannel, no store",
        }
    }

    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Carillon => "carillon",
            Self::CarillonOms => "carillon-oms",
            Self::CarillonBatch => "carillon-batch",
            Self::KannelSpool => "kannel-spool",
            Self::Kannel => "kannel-memory",
        }
    }

    /// How many times the messages of the others it has: a call with a hundred of them is over too soon to be measured.
    pub(crate) const fn per_message(self) -> u64 {
        match self {
            Self::CarillonBatch => 10,
            _ => 1,
        }
    }

    /// How the loader is told which of our doors; nothing for what is not ours.
    pub(crate) const fn door(self) -> &'static [&'static str] {
        match self {
            Self::Carillon => &["--door", "rest"],
            Self::CarillonOms => &["--door", "oms"],
            Self::CarillonBatch => &["--door", "oms-batch", "--batch-messages", "100"],
            Self::KannelSpool | Self::Kannel => &[],
        }
    }
}

/// What a system did in its turn, or the median of all its turns.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    accepted_per_second: f64,
    /// As the service centre saw them, from the first call to the last message.
    delivered_per_second: f64,
    /// To the last receipt: a final state with us, a report by HTTP with Kannel. 0: some never came.
    receipted_per_second: f64,
    cpu_seconds_per_1000: f64,
    /// The sum of what each of its processes ever had at most.
    rss_mib_max: f64,
    accept_p50_ms: f64,
    accept_p99_ms: f64,
    /// Nobody sends; only with us.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepting_alone_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepting_alone_cpu_seconds_per_1000: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepting_alone_p99_ms: Option<f64>,
    /// Each process, the service centre among them.
    cpu_seconds_per_1000_by: BTreeMap<String, f64>,
    loader_cpu_seconds_per_1000: f64,
    load_average: f64,
    accepted: u64,
    delivered: u64,
    receipts: u64,
    lost: u64,
    doubled: u64,
    /// Empty: nothing lost, nothing doubled, every receipt came, and our ledger adds up.
    complaints: Vec<String>,
}

impl Figures {
    pub(crate) fn new(load_average: f64, accepting: Option<&Load>, run: &Load) -> Self {
        let network = run.network.clone().unwrap_or_default();
        let complaints = accepting.into_iter().chain([run]).flat_map(|load| load.complaints.iter().cloned());
        Self {
            accepted_per_second: run.accepted_per_second,
            delivered_per_second: network.seen_per_second.unwrap_or(0.0),
            receipted_per_second: run.delivered_per_second.unwrap_or(0.0),
            cpu_seconds_per_1000: run.cpu_per_1000(&SYSTEMS),
            rss_mib_max: run.rss_mib(&SYSTEMS),
            accept_p50_ms: run.latency_ms.p50,
            accept_p99_ms: run.latency_ms.p99,
            accepting_alone_per_second: accepting.map(|load| load.accepted_per_second),
            accepting_alone_cpu_seconds_per_1000: accepting.map(|load| load.cpu_per_1000(&SYSTEMS)),
            accepting_alone_p99_ms: accepting.map(|load| load.latency_ms.p99),
            cpu_seconds_per_1000_by: run.watched.keys().map(|name| (name.clone(), run.cpu_per_1000(&[name]))).collect(),
            loader_cpu_seconds_per_1000: run.loader_cpu_seconds * 1000.0 / run.accepted.max(1) as f64,
            load_average,
            accepted: run.accepted,
            delivered: network.seen,
            receipts: run.receipted(),
            lost: network.lost,
            doubled: network.doubled,
            complaints: complaints.collect(),
        }
    }

    /// The median of each figure; counts and complaints are added up, and of memory it is the most.
    fn of_all(turns: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(turns.iter().map(figure).collect());
        let some = |figure: fn(&Self) -> Option<f64>| {
            let found: Vec<f64> = turns.iter().filter_map(figure).collect();
            (!found.is_empty()).then(|| median(found))
        };
        let sum = |figure: fn(&Self) -> u64| turns.iter().map(figure).sum();
        let names = turns.iter().flat_map(|turn| turn.cpu_seconds_per_1000_by.keys().cloned());
        let by = |name: &str| turns.iter().filter_map(|turn| turn.cpu_seconds_per_1000_by.get(name).copied()).collect();
        Self {
            accepted_per_second: of(|turn| turn.accepted_per_second),
            delivered_per_second: of(|turn| turn.delivered_per_second),
            receipted_per_second: of(|turn| turn.receipted_per_second),
            cpu_seconds_per_1000: of(|turn| turn.cpu_seconds_per_1000),
            rss_mib_max: turns.iter().fold(0.0, |most, turn| most.max(turn.rss_mib_max)),
            accept_p50_ms: of(|turn| turn.accept_p50_ms),
            accept_p99_ms: of(|turn| turn.accept_p99_ms),
            accepting_alone_per_second: some(|turn| turn.accepting_alone_per_second),
            accepting_alone_cpu_seconds_per_1000: some(|turn| turn.accepting_alone_cpu_seconds_per_1000),
            accepting_alone_p99_ms: some(|turn| turn.accepting_alone_p99_ms),
            cpu_seconds_per_1000_by: names.map(|name| (name.clone(), median(by(&name)))).collect(),
            loader_cpu_seconds_per_1000: of(|turn| turn.loader_cpu_seconds_per_1000),
            load_average: of(|turn| turn.load_average),
            accepted: sum(|turn| turn.accepted),
            delivered: sum(|turn| turn.delivered),
            receipts: sum(|turn| turn.receipts),
            lost: sum(|turn| turn.lost),
            doubled: sum(|turn| turn.doubled),
            complaints: turns.iter().flat_map(|turn| turn.complaints.iter().cloned()).collect(),
        }
    }
}

/// The middle one; of two in the middle their mean. 0 of none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match (figures.len(), figures.len() / 2) {
        (0, _) => 0.0,
        (count, middle) if count % 2 == 1 => figures[middle],
        (_, middle) => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

/// Ours by theirs: above 1, we do more of it (take more of it).
#[derive(Clone, Debug, Serialize)]
struct Ratio {
    accepted_per_second: f64,
    delivered_per_second: f64,
    receipted_per_second: f64,
    cpu_seconds_per_1000: f64,
    rss_mib_max: f64,
    accept_p99_ms: f64,
}

impl Ratio {
    fn new(ours: &Figures, theirs: &Figures) -> Self {
        let by = |figure: fn(&Figures) -> f64| if figure(theirs) > 0.0 { figure(ours) / figure(theirs) } else { 0.0 };
        Self {
            accepted_per_second: by(|figures| figures.accepted_per_second),
            delivered_per_second: by(|figures| figures.delivered_per_second),
            receipted_per_second: by(|figures| figures.receipted_per_second),
            cpu_seconds_per_1000: by(|figures| figures.cpu_seconds_per_1000),
            rss_mib_max: by(|figures| figures.rss_mib_max),
            accept_p99_ms: by(|figures| figures.accept_p99_ms),
        }
    }
}

/// All turns.
pub(crate) struct Report {
    messages: u64,
    connections: u32,
    binds: u32,
    window: u32,
    turns: BTreeMap<Row, Vec<Figures>>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let Options { messages, connections, binds, window, .. } = *options;
        Self { messages, connections, binds, window, turns: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, row: Row, figures: Figures) {
        self.turns.entry(row).or_default().push(figures);
    }

    /// An error if our system lost, doubled or miscounted anything. What Kannel did is shown.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let ours = Row::OURS.iter().filter_map(|row| self.of(*row));
        let complaints: Vec<String> = ours.flat_map(|figures| figures.complaints).collect();
        ensure!(complaints.is_empty(), "carillon's runs are bad: {}", complaints.join("; "));
        Ok(())
    }

    /// The result as one object; what had no turn is `null`.
    pub(crate) fn json(&self) -> Value {
        let [ours, spool, memory, oms, batch] = Row::ALL.map(|row| self.of(row));
        let ratio = |ours: Option<&Figures>, theirs: Option<&Figures>| {
            ours.zip(theirs).map(|(ours, theirs)| Ratio::new(ours, theirs))
        };
        json!({
            "messages": self.messages, "connections": self.connections, "binds_per_account": self.binds,
            "window": self.window, "rounds": self.rounds(),
            "ratio": ratio(ours.as_ref(), spool.as_ref()), "ratio_without_store": ratio(ours.as_ref(), memory.as_ref()),
            "ratio_deliver_xms": ratio(oms.as_ref(), spool.as_ref()), "ratio_deliver_xms_batch": ratio(batch.as_ref(), spool.as_ref()),
            "carillon": ours, "carillon_deliver_xms": oms, "carillon_deliver_xms_batch": batch,
            "kannel": spool, "kannel_without_store": memory,
            "turns": self.turns.iter().map(|(row, turns)| (row.title(), turns)).collect::<BTreeMap<_, _>>(),
        })
    }

    /// `None`: it had no turn.
    fn of(&self, row: Row) -> Option<Figures> {
        self.turns.get(&row).map(|turns| Figures::of_all(turns))
    }

    /// Those that had a turn, in the order of the table.
    fn measured(&self) -> Vec<(Row, Figures)> {
        Row::ALL.into_iter().filter_map(|row| Some((row, self.of(row)?))).collect()
    }

    fn rounds(&self) -> usize {
        self.turns.values().map(Vec::len).max().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.measured();
        let rounds = self.rounds();
        writeln!(
            to,
            "\n{} messages a run, {} connections, 2 accounts with {} binds each, window {}; median of {rounds}",
            self.messages, self.connections, self.binds, self.window
        )?;
        write!(to, "{:<44}", "")?;
        all.iter().try_for_each(|(row, _)| write!(to, "{:>18}", row.title()))?;
        writeln!(to)?;
        let mut line = |what: &str, figure: &dyn Fn(&Figures) -> Option<f64>, digits: usize| {
            write!(to, "{what:<44}")?;
            for (_, figures) in &all {
                match figure(figures) {
                    Some(figure) => write!(to, "{figure:>18.digits$}")?,
                    None => write!(to, "{:>18}", "-")?,
                }
            }
            writeln!(to)
        };
        line("load average of the machine at the start", &|of| Some(of.load_average), 1)?;
        line("accepting alone, a second", &|of| of.accepting_alone_per_second, 0)?;
        line("  its p99, ms", &|of| of.accepting_alone_p99_ms, 1)?;
        line("  CPU seconds per 1,000", &|of| of.accepting_alone_cpu_seconds_per_1000, 3)?;
        line("accepted a second", &|of| Some(of.accepted_per_second), 0)?;
        line("delivered a second, by the service centre", &|of| Some(of.delivered_per_second), 0)?;
        line("to the last receipt, a second", &|of| Some(of.receipted_per_second), 0)?;
        line("acceptance p50, ms", &|of| Some(of.accept_p50_ms), 1)?;
        line("acceptance p99, ms", &|of| Some(of.accept_p99_ms), 1)?;
        line("CPU seconds per 1,000, all its processes", &|of| Some(of.cpu_seconds_per_1000), 3)?;
        for name in SYSTEMS.iter().chain(&["centre"]) {
            line(&format!("    {name}"), &|of| of.cpu_seconds_per_1000_by.get(*name).copied(), 3)?;
        }
        line("    loader", &|of| Some(of.loader_cpu_seconds_per_1000), 3)?;
        line("memory at most, MiB", &|of| Some(of.rss_mib_max), 0)?;
        line("accepted, in all", &|of| Some(of.accepted as f64), 0)?;
        line("receipts", &|of| Some(of.receipts as f64), 0)?;
        line("lost", &|of| Some(of.lost as f64), 0)?;
        line("doubled", &|of| Some(of.doubled as f64), 0)?;
        self.write_end(to, &all)
    }
}

impl Report {
    fn write_end(&self, to: &mut fmt::Formatter<'_>, all: &[(Row, Figures)]) -> fmt::Result {
        let pairs = [
            ("carillon by kannel with its spool", Row::Carillon, Row::KannelSpool),
            ("carillon by kannel without store", Row::Carillon, Row::Kannel),
            ("DeliverXms by kannel with its spool", Row::CarillonOms, Row::KannelSpool),
            ("batches of 100 by kannel with its spool", Row::CarillonBatch, Row::KannelSpool),
        ];
        let find = |wanted: Row| all.iter().find(|(row, _)| *row == wanted).map(|(_, figures)| figures);
        for (name, ours, theirs) in pairs {
            let Some((ours, theirs)) = find(ours).zip(find(theirs)) else { continue };
            let ratio = Ratio::new(ours, theirs);
            writeln!(
                to,
                "{name}: accepted {:.2}, delivered {:.2}, CPU {:.2}, memory {:.2}, acceptance p99 {:.2}",
                ratio.accepted_per_second,
                ratio.delivered_per_second,
                ratio.cpu_seconds_per_1000,
                ratio.rss_mib_max,
                ratio.accept_p99_ms
            )?;
        }
        for (row, figures) in all {
            for complaint in &figures.complaints {
                writeln!(to, "BAD, {}: {complaint}", row.title())?;
            }
        }
        let mut ours = all.iter().filter(|(row, _)| Row::OURS.contains(row)).peekable();
        if ours.peek().is_some() && ours.all(|(_, figures)| figures.complaints.is_empty()) {
            write!(to, "carillon's ledger adds up after each run; nothing lost, nothing doubled")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_counts() {
        assert_eq!([vec![], vec![3.0], vec![9.0, 1.0], vec![9.0, 1.0, 2.0]].map(median), [0.0, 3.0, 5.0, 2.0]);
    }

    #[test]
    fn the_object_has_what_is_promised() {
        let load = |rate: f64| Load { accepted_per_second: rate, accepted: 10, ..Load::default() };
        let mut report = Report { messages: 10, connections: 1, binds: 1, window: 1, turns: BTreeMap::new() };
        for (row, rate) in Row::ALL.into_iter().zip([30.0, 10.0, 15.0, 20.0, 40.0]) {
            report.add(row, Figures::new(0.0, None, &load(rate)));
        }
        let object = report.json();
        for system in ["carillon", "kannel", "ratio"] {
            for key in
                ["accepted_per_second", "delivered_per_second", "cpu_seconds_per_1000", "rss_mib_max", "accept_p99_ms"]
            {
                assert!(object[system][key].is_number(), "{system}.{key} of {object}");
            }
        }
        assert_eq!((&object["ratio"]["accepted_per_second"], &object["kannel"]["accepted"]), (&json!(3.0), &json!(10)));
        let ratios = ["ratio_without_store", "ratio_deliver_xms", "ratio_deliver_xms_batch"];
        assert_eq!(ratios.map(|key| &object[key]["accepted_per_second"]), [&json!(2.0), &json!(2.0), &json!(4.0)]);
        report.check().unwrap();
        let alone = Report { turns: report.turns.clone().into_iter().take(1).collect(), ..report };
        assert_eq!((&alone.json()["ratio"], &alone.json()["kannel"]), (&Value::Null, &Value::Null));
        assert!(!alone.to_string().contains("kannel"), "{alone}");
        let bad = Load { complaints: vec!["1 lost".to_owned()], ..Load::default() };
        report.add(Row::Kannel, Figures::new(0.0, None, &bad));
        report.check().unwrap();
        report.add(Row::Carillon, Figures::new(0.0, None, &bad));
        report.check().expect_err("ours must be good");
    }
}
