//! CPU time and memory of processes, from `/proc`.
//!
//! Knows Linux's process files; must not know what the processes do.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::options::Watch;

/// The kernel reports process times in these units on every architecture (USER_HZ, `times(2)`).
const TICKS_PER_SECOND: u64 = 100;

/// Measures what a process and its descendants use from now on.
#[derive(Debug)]
pub(crate) struct CpuClock {
    pid: u32,
    at_start: Duration,
}

/// Measures processes, each by itself, under names.
#[derive(Debug)]
pub(crate) struct Watched(Vec<(Watch, CpuClock)>);

/// What the processes of a name used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Used {
    pub(crate) cpu_seconds: f64,
    /// The most memory each ever had in RAM, added up.
    pub(crate) rss_mib_max: f64,
}

impl Watched {
    pub(crate) fn start(processes: &[Watch]) -> anyhow::Result<Self> {
        let started = processes.iter().map(|watch| Ok((watch.clone(), CpuClock::start(watch.pid)?)));
        Ok(Self(started.collect::<anyhow::Result<_>>()?))
    }

    /// What was used since the start, by name.
    pub(crate) fn elapsed(&self) -> anyhow::Result<BTreeMap<String, Used>> {
        let mut all: BTreeMap<String, Used> = BTreeMap::new();
        for (watch, clock) in &self.0 {
            let used = all.entry(watch.name.clone()).or_default();
            used.cpu_seconds += clock.elapsed()?.as_secs_f64();
            used.rss_mib_max += resident_kib_max(watch.pid)? as f64 / 1024.0;
        }
        Ok(all)
    }
}

/// The most a process ever had in RAM (`VmHWM` of proc_pid_status(5)).
fn resident_kib_max(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
    number.with_context(|| format!("`{path}` does not tell the memory"))
}

/// The fields of `/proc/PID/stat` that matter here (`proc_pid_stat(5)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Of children that ended and were waited for.
    ended_children_ticks: u64,
}

impl CpuClock {
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        Ok(Self { pid, at_start: used_by_family(pid)? })
    }

    /// What was used since the start.
    pub(crate) fn elapsed(&self) -> anyhow::Result<Duration> {
        Ok(used_by_family(self.pid)?.saturating_sub(self.at_start))
    }

    /// What this process has used in all.
    pub(crate) fn own() -> anyhow::Result<Duration> {
        let stat = read(std::process::id())?;
        Ok(duration(stat.own_ticks))
    }
}

fn used_by_family(root: u32) -> anyhow::Result<Duration> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").context("cannot list `/proc`")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        // A process may end between listing and reading.
        if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, read(pid).ok()?))) {
            all.insert(pid, stat);
        }
    }
    anyhow::ensure!(all.contains_key(&root), "no process `{root}`");
    let family = all.iter().filter(|(pid, _)| is_descendant(**pid, root, &all));
    Ok(duration(family.map(|(_, stat)| stat.own_ticks + stat.ended_children_ticks).sum()))
}

fn is_descendant(mut pid: u32, root: u32, all: &BTreeMap<u32, Stat>) -> bool {
    // At most one step per process, should the listing ever show a ring.
    for _ in 0..=all.len() {
        if pid == root {
            return true;
        }
        match all.get(&pid) {
            Some(stat) => pid = stat.parent,
            None => return false,
        }
    }
    false
}

fn read(pid: u32) -> anyhow::Result<Stat> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    parse(&text).with_context(|| format!("`{path}` is not understood"))
}

fn parse(text: &str) -> Option<Stat> {
    // The second field is the name in brackets, which may itself hold brackets and spaces.
    let after_name = text.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let number = |position: usize| fields.get(position - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(4)?).ok()?,
        own_ticks: number(14)? + number(15)?,
        ended_children_ticks: number(16)? + number(17)?,
    })
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_trouble() {
        let text = "42 (a) b (c)) S 7 1 1 0 -1 0 0 0 0 0 11 12 13 14 20 0 1 0 100 0 0";
        assert_eq!(parse(text), Some(Stat { parent: 7, own_ticks: 23, ended_children_ticks: 27 }));
        assert_eq!(parse("42 (x) S 7"), None);
    }

    #[test]
    fn work_of_this_process_is_seen() {
        let clock = CpuClock::start(std::process::id()).unwrap();
        let mut x = 1_u64;
        while clock.elapsed().unwrap().is_zero() {
            (0..1_000_000).for_each(|step| x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(step)));
        }
        assert!(CpuClock::own().unwrap() >= Duration::from_millis(10));
    }

    #[test]
    fn those_of_one_name_are_added_up() {
        let own = |name: &str| Watch { name: name.to_owned(), pid: std::process::id() };
        let used = Watched::start(&[own("a"), own("b"), own("b")]).unwrap().elapsed().unwrap();
        assert!(used["a"].rss_mib_max > 0.5 && used["b"].rss_mib_max > 1.9 * used["a"].rss_mib_max, "{used:?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = CpuClock::start(u32::MAX).expect_err("no such process").to_string();
        assert_eq!(error, "no process `4294967295`");
    }

    #[test]
    fn a_family_is_a_process_and_what_came_of_it() {
        let stat = |parent| Stat { parent, own_ticks: 0, ended_children_ticks: 0 };
        let all = BTreeMap::from([(1, stat(0)), (2, stat(1)), (3, stat(2)), (4, stat(1))]);
        let family: Vec<u32> = all.keys().copied().filter(|pid| is_descendant(*pid, 2, &all)).collect();
        assert_eq!(family, [2, 3]);
    }
}
