//! Shows what is under way on standard error: moving on a terminal, line by line elsewhere.
//!
//! Knows terminals; must not know what takes so long. There is no colour in it, with or without `NO_COLOR`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engines::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(120);

/// One line for each thing under way.
#[derive(Default)]
pub(crate) struct Shown {
    lines: MultiProgress,
    open: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Shown {
    fn open(&self) -> MutexGuard<'_, BTreeMap<String, ProgressBar>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Shown {
    fn begins(&self, what: &str) {
        if !moves() {
            eprintln!("{what} …");
            return;
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is well formed");
        let line = self.lines.add(ProgressBar::new_spinner().with_style(style).with_message(what.to_owned()));
        line.enable_steady_tick(TICK);
        self.open().insert(what.to_owned(), line);
    }

    fn ends(&self, what: &str, took: Duration) {
        if let Some(line) = self.open().remove(what) {
            line.finish_and_clear();
        }
        self.says(&format!("{what}: done in {:.1} s", took.as_secs_f64()));
    }

    fn says(&self, text: &str) {
        if moves() {
            // It fails only if the terminal is gone, and then nobody reads it.
            let _ = self.lines.println(text);
        } else {
            eprintln!("{text}");
        }
    }
}

fn moves() -> bool {
    std::io::stderr().is_terminal()
}
