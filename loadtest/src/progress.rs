//! The bar on the terminal; nothing where there is none.
//!
//! Knows the terminal; must not know what is counted.

use std::cell::Cell;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a run is. Hidden when standard error is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    accepted: Cell<u64>,
}

/// Redrawing at each message would cost more than sending it.
const DRAW_EVERY: u64 = 64;

impl Progress {
    pub(crate) fn new(deliveries: u64) -> Self {
        let bar = ProgressBar::new(deliveries); // indicatif draws on standard error, and only on a terminal.
        let template = "{elapsed:>5} {wide_bar} {pos}/{len} done, {msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        Self { bar, accepted: Cell::new(0) }
    }

    /// Shows nothing.
    pub(crate) fn none() -> Self {
        Self { bar: ProgressBar::hidden(), accepted: Cell::new(0) }
    }

    /// One more message was accepted.
    pub(crate) fn accepted(&self) {
        self.accepted.set(self.accepted.get() + 1);
        if self.accepted.get().is_multiple_of(DRAW_EVERY) {
            self.bar.set_message(format!("{} accepted", self.accepted.get()));
        }
    }

    /// So many deliveries have their final state.
    pub(crate) fn followed(&self, done: u64) {
        self.bar.set_message(format!("{} accepted", self.accepted.get()));
        self.bar.set_position(done);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
