//! What a run tells: what it is doing, a line for each fault, what was wrong, and all of it for programs. Knows columns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tally::Tally;

static BEGAN: OnceLock<Instant> = OnceLock::new();

/// Says what happens now, with the seconds since the run began.
pub(crate) fn say(what: &str) {
    println!("    {:>6.1} s  {what}", BEGAN.get_or_init(Instant::now).elapsed().as_secs_f64());
}

/// One fault of one round.
pub(crate) struct Row {
    pub(crate) round: usize,
    pub(crate) fault: &'static str,
    pub(crate) took: Duration,
    pub(crate) tally: Tally,
}

impl Row {
    fn to_json(&self) -> Value {
        let tally = &self.tally;
        json!({
            "round": self.round,
            "fault": self.fault,
            "passed": tally.wrong.is_empty(),
            "seconds": self.took.as_secs_f64(),
            "accepted": tally.accepted,
            "unanswered": tally.unanswered,
            "received": tally.received,
            "doubled": tally.doubled,
            "lost": tally.lost,
            "uncertain": tally.uncertain,
            "rejected": tally.rejected,
            "late": tally.unanswered_received,
            "slowest_seconds": tally.slowest.as_secs_f64(),
            "wrong": tally.wrong,
        })
    }
}

/// The lines so far.
pub(crate) struct Report {
    seed: u64,
    json: Option<PathBuf>,
    rows: Vec<Row>,
}

impl Report {
    /// Begins a table, and a file of the same for programs if one is wanted; it is whole after each line.
    pub(crate) fn begin(seed: u64, json: Option<PathBuf>) -> Self {
        BEGAN.get_or_init(Instant::now);
        println!("seed {seed}");
        println!("{:<5} {:<14} {} {:>7} {:>8}", "round", "fault", Tally::HEAD, "slowest", "time");
        Report { seed, json, rows: Vec::new() }
    }

    /// Shows a line, and keeps it.
    pub(crate) fn add(&mut self, row: Row) {
        let verdict = if row.tally.wrong.is_empty() { "ok" } else { "WRONG" };
        println!(
            "{:<5} {:<14} {} {:>5.1} s {:>6.1} s  {verdict}",
            row.round,
            row.fault,
            row.tally,
            row.tally.slowest.as_secs_f64(),
            row.took.as_secs_f64()
        );
        row.tally.wrong.iter().for_each(|wrong| println!("    {wrong}"));
        self.rows.push(row);
        if let Some(path) = &self.json
            && let Err(error) = self.write(path)
        {
            println!("    {} could not be written: {error}", path.display());
        }
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        let faults: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        let all = json!({ "seed": self.seed, "passed": self.is_well(), "faults": faults });
        std::fs::write(path, format!("{all:#}\n"))
    }

    pub(crate) fn is_well(&self) -> bool {
        self.rows.iter().all(|row| row.tally.wrong.is_empty())
    }

    /// Shows sums and all that was wrong, and says whether all was well. The last lines: a run among others shows these again.
    pub(crate) fn end(&self) -> bool {
        let mut sums: BTreeMap<&str, (usize, Tally)> = BTreeMap::new();
        for row in &self.rows {
            let (rounds, sum) = sums.entry(row.fault).or_default();
            *rounds += 1;
            sum.add(&row.tally);
        }
        println!("\nin all, by fault:\n{:<5} {:<14} {}", "times", "fault", Tally::HEAD);
        sums.iter().for_each(|(fault, (rounds, sum))| println!("{rounds:<5} {fault:<14} {sum}"));
        let wrong: Vec<&Row> = self.rows.iter().filter(|row| !row.tally.wrong.is_empty()).collect();
        for row in &wrong {
            row.tally.wrong.iter().for_each(|what| println!("round {}, {}: {what}", row.round, row.fault));
        }
        match wrong.len() {
            0 => println!("faults: {} passed; seed {}", self.rows.len(), self.seed),
            wrong => println!("faults: {wrong} of {} WRONG; seed {}", self.rows.len(), self.seed),
        }
        wrong.is_empty()
    }
}
