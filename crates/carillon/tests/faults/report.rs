//! The table of a run: a line for each fault, and what was wrong. Knows columns.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::tally::Tally;

/// One fault of one round.
pub(crate) struct Row {
    pub(crate) round: usize,
    pub(crate) fault: &'static str,
    pub(crate) took: Duration,
    pub(crate) tally: Tally,
}

/// The lines so far.
pub(crate) struct Report {
    seed: u64,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn begin(seed: u64) -> Self {
        println!("seed {seed}");
        println!("{:<5} {:<14} {} {:>7} {:>8}", "round", "fault", Tally::HEAD, "slowest", "time");
        Report { seed, rows: Vec::new() }
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
    }

    pub(crate) fn is_well(&self) -> bool {
        self.rows.iter().all(|row| row.tally.wrong.is_empty())
    }

    /// Shows sums, and says whether all was well.
    pub(crate) fn end(&self) -> bool {
        let mut sums: BTreeMap<&str, (usize, Tally)> = BTreeMap::new();
        for row in &self.rows {
            let (rounds, sum) = sums.entry(row.fault).or_default();
            *rounds += 1;
            sum.add(&row.tally);
        }
        println!("\nin all, by fault:\n{:<5} {:<14} {}", "times", "fault", Tally::HEAD);
        sums.iter().for_each(|(fault, (rounds, sum))| println!("{rounds:<5} {fault:<14} {sum}"));
        let wrong = self.rows.iter().filter(|row| !row.tally.wrong.is_empty()).count();
        match wrong {
            0 => println!("faults: {} passed; seed {}", self.rows.len(), self.seed),
            wrong => println!("faults: {wrong} of {} WRONG; seed {}", self.rows.len(), self.seed),
        }
        wrong == 0
    }
}
