//! Where a test cuts the wire between us and the cluster. Does nothing in a product.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::CqlError;

/// Lets a number of statements through and then none: what a process that dies leaves behind.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Cut>>);

struct Cut {
    left: AtomicI64,
    seen: AtomicI64,
    /// The first statement that is cut arrives; only its answer does not.
    arrives: bool,
}

impl Faults {
    /// Cuts after so many statements; the next arrives if `arrives`, but its answer is lost.
    #[must_use]
    pub fn after_statements(count: i64, arrives: bool) -> Self {
        Faults(Some(Arc::new(Cut { left: AtomicI64::new(count), seen: AtomicI64::new(0), arrives })))
    }

    /// Statements that were sent, or would have been.
    #[must_use]
    pub fn seen(&self) -> i64 {
        self.0.as_ref().map_or(0, |cut| cut.seen.load(Ordering::SeqCst))
    }

    pub(super) async fn before(&self) -> Result<(), CqlError> {
        let Some(cut) = &self.0 else { return Ok(()) };
        cut.seen.fetch_add(1, Ordering::SeqCst);
        let left = cut.left.fetch_sub(1, Ordering::SeqCst);
        if left > 0 || (left == 0 && cut.arrives) { Ok(()) } else { Err(gone()) }
    }

    pub(super) async fn after(&self) -> Result<(), CqlError> {
        match &self.0 {
            Some(cut) if cut.left.load(Ordering::SeqCst) < 0 => Err(gone()),
            _ => Ok(()),
        }
    }
}

fn gone() -> CqlError {
    CqlError::statement("send a statement", std::io::Error::from(std::io::ErrorKind::ConnectionReset))
}
