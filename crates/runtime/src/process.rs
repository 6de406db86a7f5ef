//! Figures of the process itself, under the names every Prometheus client uses.
//!
//! Knows Linux's process files; must not know what the process does.

use std::time::Duration;

use crate::metrics::Registry;

/// The kernel reports process times in these units on every architecture (USER_HZ, `times(2)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers CPU time, memory and open files of this process. They are read at each scrape.
pub fn register(registry: &Registry) {
    let cpu = registry.seconds_counter("process_cpu_seconds_total", "User and system CPU time in seconds.");
    let memory = registry.gauge("process_resident_memory_bytes", "Resident memory in bytes.");
    let files = registry.gauge("process_open_fds", "Open file descriptors.");
    registry.before_scrape(move || {
        if let Some(figures) = read() {
            cpu.advance_to(figures.cpu);
            memory.set(figures.resident_bytes);
            files.set(figures.open_files);
        }
    });
}

struct Figures {
    cpu: Duration,
    resident_bytes: i64,
    open_files: i64,
}

fn read() -> Option<Figures> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(Figures {
        cpu: cpu(&stat)?,
        resident_bytes: resident_bytes(&status)?,
        open_files: i64::try_from(open_files).ok()?,
    })
}

fn cpu(stat: &str) -> Option<Duration> {
    // proc_pid_stat(5): fields 14 and 15; the second is a name in brackets that may itself hold brackets and spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found() {
        let stat = "42 (a) b (c)) S 7 1 1 0 -1 0 0 0 0 0 150 50 13 14 20 0 1 0 100 0 0";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    12 kB\n"), Some(12 * 1024));
        assert_eq!((cpu("42 (x) S"), resident_bytes("")), (None, None));
    }

    #[test]
    fn this_process_shows_itself() {
        let registry = Registry::new();
        register(&registry);
        let text = registry.text();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_default().parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
