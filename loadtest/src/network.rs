//! Counts what the simulated network saw of each delivery.
//!
//! Knows the network's record (one JSON object a line, `text` where a text is whole); must not ask the server.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::plan::Plan;
use crate::send::{Fate, Sent};
use crate::verify::States;

/// The record, from where it stood when the run began.
#[derive(Debug)]
pub(crate) struct NetworkLog {
    path: PathBuf,
    from: u64,
}

/// What the network saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct NetworkCount {
    /// Whole texts of this run.
    pub(crate) seen: u64,
    /// Deliveries it never saw, although they were accepted and nothing says they ended otherwise.
    pub(crate) lost: u64,
    /// Texts it saw once too often.
    pub(crate) doubled: u64,
    /// Texts of this run for a number they were not meant for.
    pub(crate) strays: u64,
    /// From the first call to the last text that was seen; `None` where the record tells no times.
    pub(crate) seeing_seconds: Option<f64>,
    /// Whole texts in that time: the same for every system in front of the same network.
    pub(crate) seen_per_second: Option<f64>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    at: String,
    to: String,
    text: Option<String>,
}

impl NetworkLog {
    /// Marks the end of the record; what stands before it is not ours. A record that is not there yet begins empty.
    pub(crate) fn from_here(path: &Path) -> anyhow::Result<Self> {
        let from = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        Ok(Self { path: path.to_owned(), from })
    }

    /// Reads the record and holds it against what was accepted.
    pub(crate) fn count(
        &self,
        plan: &Plan,
        sent: &Sent,
        states: &States,
        began_at: SystemTime,
    ) -> anyhow::Result<NetworkCount> {
        let mut times_seen = vec![0_u32; sent.fates.len() * plan.recipients()];
        let mut count = NetworkCount::default();
        let mut last_at = String::new();
        self.for_each_line(|line| {
            if tally(line, plan, &mut times_seen, &mut count) {
                last_at.clone_from(&line.at);
            }
        })?;
        count.seeing_seconds = seconds_between(began_at, &last_at);
        count.seen_per_second = count.seeing_seconds.map(|seconds| count.seen as f64 / seconds);
        for (delivery, times) in times_seen.into_iter().enumerate() {
            let index = (delivery / plan.recipients()) as u64;
            let missed = times == 0 && must_be_seen(index, sent, states);
            count.lost += u64::from(missed);
            count.doubled += u64::from(times.saturating_sub(1));
        }
        Ok(count)
    }

    fn for_each_line(&self, mut take: impl FnMut(&Line)) -> anyhow::Result<()> {
        let context = || format!("cannot read the network's record `{}`", self.path.display());
        let mut file = File::open(&self.path).with_context(context)?;
        file.seek(SeekFrom::Start(self.from)).with_context(context)?;
        let (mut file, mut line) = (BufReader::new(file), Vec::new());
        for number in 1.. {
            line.clear();
            file.read_until(b'\n', &mut line).with_context(context)?;
            // The network goes on writing: a last line without its end is of a message that nobody was told of yet.
            if !line.ends_with(b"\n") {
                break;
            }
            let parsed = serde_json::from_slice(&line);
            take(&parsed.with_context(|| format!("{}, line {number} of this run", context()))?);
        }
        Ok(())
    }
}

/// Whether the line is of this run.
fn tally(line: &Line, plan: &Plan, times_seen: &mut [u32], count: &mut NetworkCount) -> bool {
    let Some(index) = line.text.as_deref().and_then(|text| plan.index_of(text)) else {
        return false; // A part of a longer text, or somebody else's.
    };
    count.seen += 1;
    let delivery = plan.delivery_of(index, &line.to);
    match delivery.and_then(|delivery| times_seen.get_mut(delivery as usize)) {
        Some(times) => *times += 1,
        None => count.strays += 1,
    }
    true
}

fn seconds_between(began_at: SystemTime, last_at: &str) -> Option<f64> {
    let last_at = OffsetDateTime::parse(last_at, &Rfc3339).ok()?;
    // The record counts in milliseconds.
    Some((last_at - OffsetDateTime::from(began_at)).as_seconds_f64().max(0.001))
}

/// An accepted message must be seen unless a look-up has shown that it ended otherwise.
fn must_be_seen(index: u64, sent: &Sent, states: &States) -> bool {
    let accepted = matches!(sent.fates.get(index as usize), Some(Fate::Accepted(_)));
    accepted && states.by_index.get(&index).is_none_or(crate::verify::State::was_handed_over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_still_being_written_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record.jsonl");
        let whole = "{\"to\":\"+1\",\"text\":\"a\"}\n";
        std::fs::write(&path, format!("{whole}{whole}{{\"to\":\"+1\",\"te")).unwrap();
        let log = NetworkLog { path: path.clone(), from: whole.len() as u64 };
        let mut seen = 0;
        log.for_each_line(|_| seen += 1).unwrap();
        assert_eq!(seen, 1);
        std::fs::write(&path, format!("{whole}broken\n{whole}")).unwrap();
        let error = log.for_each_line(|_| ()).expect_err("a whole line must be one").to_string();
        assert!(error.ends_with("line 1 of this run"), "{error}");
    }
}
