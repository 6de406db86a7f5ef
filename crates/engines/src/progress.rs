//! Says what is under way.
//!
//! Knows only texts; must not know where they are shown.

use std::time::Duration;

/// Is told when something that takes time begins and ends. What begins more than once at a time is told apart by its text.
pub trait Progress: Sync {
    /// This takes a while.
    fn begins(&self, what: &str);
    /// What began came to a good end.
    fn ends(&self, what: &str, took: Duration);
    /// Something the reader should know.
    fn says(&self, text: &str);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Progress for Quiet {
    fn begins(&self, _what: &str) {}
    fn ends(&self, _what: &str, _took: Duration) {}
    fn says(&self, _text: &str) {}
}
