//! Keeps the parts of the role running: one that fails is started again. Knows stops and pauses, not what a part does.

use std::future::Future;
use std::time::Duration;

use bus::Bus;
use runtime::Stop;
use runtime::stop::Panicked;
use store::Store;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::RouterError;
use crate::desk::Desk;
use crate::metrics::Part;
use crate::routing::Loads;

const PAUSE_MS_MIN: u64 = 50;
/// A part that ran for so long was well: the next pause is short again.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// How long a part whose share went to another process waits to be ended. If it is not, the share was given back.
const TAKEN_MAX: Duration = Duration::from_secs(15);

/// A part that is kept running.
pub(crate) struct Kept {
    stop: Stop,
    keeper: JoinHandle<Result<(), Panicked>>,
}

/// Why a part ended.
enum Ended {
    ForGood,
    Failed(String),
    /// Another process has its share.
    Disowned,
}

/// Keeps a part running until its phase stops, or [`Kept::end`]: one that fails, or panics, is started again after a pause.
pub(crate) fn keep<B, S, L, F>(
    desk: &Desk<B, S, L>,
    phase: &Stop,
    part: Part,
    start: impl Fn(Desk<B, S, L>, Stop) -> F + Send + 'static,
) -> Kept
where
    B: Bus,
    S: Store,
    L: Loads,
    F: Future<Output = Result<(), RouterError>> + Send + 'static,
{
    let (desk, stop) = (desk.clone(), phase.part());
    let until = stop.clone();
    let keeper = stop.spawn("router-keeper", async move {
        let mut pause_ms = PAUSE_MS_MIN;
        loop {
            let began = Instant::now();
            let pause = match run(until.spawn("router-part", start(desk.clone(), until.clone()))).await {
                Ended::ForGood => return,
                _ if until.has_begun() => return,
                Ended::Disowned => TAKEN_MAX,
                Ended::Failed(reason) => {
                    desk.metrics.restarts.with(part).increment();
                    tracing::error!(?part, %reason, "a part of the router failed and is started again");
                    if began.elapsed() > GOOD_RUN {
                        pause_ms = PAUSE_MS_MIN;
                    }
                    let pause = Duration::from_millis(pause_ms);
                    pause_ms = (pause_ms * 2).min(desk.config.restart_ms_max);
                    pause
                }
            };
            tokio::select! { () = until.begun() => return, () = tokio::time::sleep(pause) => {} }
        }
    });
    Kept { stop, keeper }
}

impl Kept {
    /// Ends the part, and waits until it has ended. If the wait is given up, the part is cut off where it stands: its
    /// commits happen whole or not at all.
    pub(crate) async fn end(mut self) {
        self.stop.token().cancel();
        // An error means that its runtime ends.
        drop((&mut self.keeper).await);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.token().cancel();
        self.keeper.abort();
    }
}

/// A running part; it dies with its keeper.
struct Running(JoinHandle<Result<Result<(), RouterError>, Panicked>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(task: JoinHandle<Result<Result<(), RouterError>, Panicked>>) -> Ended {
    let mut running = Running(task);
    match (&mut running.0).await {
        Ok(Ok(Ok(()))) | Err(_) => Ended::ForGood,
        Ok(Ok(Err(error))) if error.is_disowned() => {
            tracing::info!(reason = %runtime::in_full(&error), "a part's share went to another router");
            Ended::Disowned
        }
        Ok(Ok(Err(error))) => Ended::Failed(runtime::in_full(&error)),
        Ok(Err(panicked)) => Ended::Failed(panicked.to_string()),
    }
}
