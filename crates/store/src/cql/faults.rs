//! Where a test cuts the wire between us and the cluster. Does nothing in a product.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::CqlError;

/// Lets a number of statements through and then none: what a process that dies leaves behind. Clones are the same wire.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Wire>>);

#[derive(Default)]
struct Wire {
    armed: AtomicBool,
    left: AtomicI64,
    sent: AtomicI64,
    /// The first statement that is cut arrives; only its answer does not.
    arrives: AtomicBool,
}

impl Faults {
    /// A wire that holds until it is cut.
    #[must_use]
    pub fn new() -> Self {
        Faults(Some(Arc::default()))
    }

    /// Cuts after so many statements; the next arrives if `arrives`, but its answer is lost.
    pub fn cut_after(&self, count: i64, arrives: bool) {
        let Some(wire) = &self.0 else { return };
        wire.left.store(count, Ordering::SeqCst);
        wire.arrives.store(arrives, Ordering::SeqCst);
        wire.armed.store(true, Ordering::SeqCst);
    }

    /// Joins what was cut.
    pub fn mend(&self) {
        if let Some(wire) = &self.0 {
            wire.armed.store(false, Ordering::SeqCst);
        }
    }

    /// Statements that were sent since the last call, or would have been.
    #[must_use]
    pub fn take_sent(&self) -> i64 {
        self.0.as_ref().map_or(0, |wire| wire.sent.swap(0, Ordering::SeqCst))
    }

    pub(super) fn before(&self) -> Result<(), CqlError> {
        let Some(wire) = &self.0 else { return Ok(()) };
        wire.sent.fetch_add(1, Ordering::SeqCst);
        if !wire.armed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let left = wire.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 || (left == 0 && wire.arrives.load(Ordering::SeqCst)) { Ok(()) } else { Err(gone()) }
    }

    pub(super) fn after(&self) -> Result<(), CqlError> {
        let is_cut = |wire: &Wire| wire.armed.load(Ordering::SeqCst) && wire.left.load(Ordering::SeqCst) < 0;
        if self.0.as_ref().is_some_and(|wire| is_cut(wire)) { Err(gone()) } else { Ok(()) }
    }
}

fn gone() -> CqlError {
    CqlError::statement("send a statement", std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}
