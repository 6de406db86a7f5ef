//! What time it is, as the role is told. Tests own the clock; production asks the system.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Tells the time. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Clock(None)
    }

    /// A clock that stands until it is set.
    #[must_use]
    pub fn standing(at: Timestamp) -> Self {
        Clock(Some(Arc::new(AtomicI64::new(at.0))))
    }

    /// Sets a standing clock; the system's can't be set.
    pub fn set(&self, at: Timestamp) {
        if let Some(standing) = &self.0 {
            standing.store(at.0, Ordering::Release);
        }
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(standing) => Timestamp(standing.load(Ordering::Acquire)),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
}
