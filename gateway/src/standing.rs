//! Whether lane `accepted` takes what it is given, as readiness tells it. Knows outcomes of appends, no record.

use std::sync::atomic::{AtomicI64, Ordering};

use model::Timestamp;
use runtime::Health;

/// The readiness condition.
const ACCEPTANCE: &str = "acceptance";
/// After this long without a failure callers are welcome again: only an append shows whether the next would be kept.
const REST_MS: i64 = 10_000;
/// No failure is remembered.
const FINE: i64 = i64::MIN;

/// What became of the last appends.
#[derive(Debug)]
pub struct Standing {
    health: Health,
    failed_ms: AtomicI64,
}

impl Standing {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(health: Health) -> Self {
        Standing { health, failed_ms: AtomicI64::new(FINE) }
    }

    /// An append was kept.
    pub fn took(&self) {
        if self.failed_ms.load(Ordering::Relaxed) != FINE {
            self.clear();
        }
    }

    /// An append failed, or is not known to be kept.
    pub fn failed(&self, now: Timestamp) {
        self.failed_ms.store(now.0, Ordering::Relaxed);
        self.health.not_ready(ACCEPTANCE, "lane `accepted` does not keep what it is given in time");
    }

    /// Called now and then: forgets a failure that is long ago.
    pub fn look(&self, now: Timestamp) {
        let failed = self.failed_ms.load(Ordering::Relaxed);
        if failed != FINE && now.0.saturating_sub(failed) >= REST_MS {
            self.clear();
        }
    }

    fn clear(&self) {
        self.failed_ms.store(FINE, Ordering::Relaxed);
        self.health.ready(ACCEPTANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_until_an_append_is_kept() {
        let health = Health::new();
        let standing = Standing::new(health.clone());
        standing.failed(Timestamp(5));
        assert!(health.readiness().not_ready.contains_key(ACCEPTANCE));
        standing.took();
        assert!(health.readiness().ready);
    }

    #[test]
    fn a_failure_long_ago_is_forgotten() {
        let health = Health::new();
        let standing = Standing::new(health.clone());
        standing.failed(Timestamp(5));
        standing.look(Timestamp(5 + REST_MS - 1));
        assert!(!health.readiness().ready, "nobody has shown that it works again");
        standing.look(Timestamp(5 + REST_MS));
        assert!(health.readiness().ready);
    }
}
