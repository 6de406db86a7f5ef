//! Trying again, with growing pauses, what others may be unable to do for a while. Knows pauses and the stop, not what is
//! tried.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::Stop;

/// How long is waited.
#[derive(Clone, Copy)]
struct Times {
    pause_first: Duration,
    pause_max: Duration,
    /// For how long it is tried: who answered a moment ago and is away for longer needs somebody's eye, and so a process
    /// that ends.
    tried_max: Duration,
}

const TIMES: Times = Times {
    pause_first: Duration::from_millis(100),
    pause_max: Duration::from_secs(5),
    tried_max: Duration::from_secs(300),
};

/// Whether another try may fare better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// It may: somebody else is away or busy.
    Yes,
    /// It won't until a person changes something.
    No,
}

/// Tries until it works, at most five minutes, and says each time why not.
///
/// # Errors
/// The last try's, if another can't help, the stop has begun or the time is over.
pub async fn until_it_works<T, E, F>(
    stop: &Stop,
    doing: &'static str,
    helps: impl Fn(&E) -> Again,
    attempt: impl Fn() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: std::error::Error + 'static,
{
    try_for(TIMES, stop, doing, helps, attempt).await
}

async fn try_for<T, E, F>(
    times: Times,
    stop: &Stop,
    doing: &'static str,
    helps: impl Fn(&E) -> Again,
    attempt: impl Fn() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: std::error::Error + 'static,
{
    let late = Instant::now() + times.tried_max;
    let mut pause = times.pause_first;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if helps(&error) == Again::No || stop.has_begun() || Instant::now() >= late {
            return Err(error);
        }
        tracing::warn!(error = &error as &dyn std::error::Error, doing, "tried in vain, trying again");
        tokio::select! { () = stop.begun() => return Err(error), () = tokio::time::sleep(pause) => {} }
        pause = (pause * 2).min(times.pause_max);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, thiserror::Error, PartialEq, Eq)]
    #[error("try {0}")]
    struct Failed(u32);

    async fn tried(stop: &Stop, works_at: u32, hopeless_at: u32) -> Result<u32, Failed> {
        let times = Times {
            pause_first: Duration::from_millis(1),
            pause_max: Duration::from_millis(2),
            tried_max: Duration::from_millis(500),
        };
        let count = Cell::new(0);
        let helps = |error: &Failed| if error.0 == hopeless_at { Again::No } else { Again::Yes };
        try_for(times, stop, "count", helps, async || {
            count.set(count.get() + 1);
            if count.get() == works_at { Ok(works_at) } else { Err(Failed(count.get())) }
        })
        .await
    }

    #[tokio::test]
    async fn it_goes_on_until_it_works() {
        assert_eq!(tried(&Stop::new(1), 5, 99).await, Ok(5));
    }

    #[tokio::test]
    async fn what_time_cannot_mend_ends_it() {
        assert_eq!(tried(&Stop::new(1), 9, 3).await, Err(Failed(3)));
    }

    #[tokio::test]
    async fn time_ends_it() {
        let begun = Instant::now();
        assert!(tried(&Stop::new(1), u32::MAX, u32::MAX).await.is_err());
        assert!(begun.elapsed() >= Duration::from_millis(500), "not before");
    }

    #[tokio::test]
    async fn a_stop_ends_it() {
        let stop = Stop::new(1);
        stop.begin();
        assert_eq!(tried(&stop, 9, 99).await, Err(Failed(1)));
    }
}
