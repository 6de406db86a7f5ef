//! Waiting for servers at the start: again and again, with words, and not for ever. Knows no engine.

use std::future::Future;
use std::time::Duration;

use runtime::{Health, Stop};
use tokio::time::Instant;

/// The readiness condition of the lanes.
pub(crate) const LANES: &str = "lanes";
/// The readiness condition of the state.
pub(crate) const STATE: &str = "state";

/// How long a command waits for servers.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(15);
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// One attempt may take so long: what hangs is as good as away.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// How long a process waits for its engines, and where it tells of it.
pub(crate) struct Patience {
    started: Instant,
    wait_max: Duration,
    health: Health,
    stop: Stop,
}

/// What is waited for, as its operator knows it.
pub(crate) struct Awaited {
    /// The readiness condition.
    pub(crate) condition: &'static str,
    /// The setting that names it.
    pub(crate) setting: &'static str,
    /// What the setting says.
    pub(crate) address: String,
}

/// An attempt that failed.
pub(crate) struct Failed {
    /// Why.
    pub(crate) reason: anyhow::Error,
    /// Whether another attempt may fare better.
    pub(crate) again: Again,
}

/// Whether time may mend it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It may.
    Yes,
    /// Somebody must change something first.
    No,
}

impl Patience {
    /// Patience that begins now and ends with the process.
    pub(crate) fn new(wait_max: Duration, health: &Health, stop: &Stop) -> Self {
        Patience { started: Instant::now(), wait_max, health: health.clone(), stop: stop.clone() }
    }

    /// Patience of a command that somebody waits for.
    pub(crate) fn of_command() -> Self {
        Self::new(COMMAND_WAIT_MAX, &Health::new(), &Stop::new(0))
    }

    /// Attempts until it succeeds, the time is over, or the process is told to stop. All that is waited for shares the time.
    pub(crate) async fn wait<T, F>(&self, awaited: Awaited, attempt: impl Fn() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let Awaited { condition, setting, address } = &awaited;
        self.health.not_ready(condition, format!("waiting for `{address}` (setting `{setting}`)"));
        let mut pause = PAUSE_FIRST;
        loop {
            let left = self.wait_max.saturating_sub(self.started.elapsed());
            let bounded = tokio::time::timeout(left.clamp(PAUSE_FIRST, ATTEMPT_MAX), attempt());
            let failed = tokio::select! {
                () = self.stop.begun() => anyhow::bail!("told to stop while waiting for `{address}` (setting `{setting}`)"),
                ended = bounded => match ended {
                    Ok(Ok(opened)) => {
                        self.health.ready(condition);
                        return Ok(opened);
                    }
                    Ok(Err(failed)) => failed,
                    Err(_) => Failed { reason: anyhow::anyhow!("no answer"), again: Again::Yes },
                },
            };
            let waited = self.started.elapsed();
            let reason = format!("{:#}", failed.reason);
            if failed.again == Again::No {
                return Err(failed.reason.context(format!("cannot use `{address}` (setting `{setting}`)")));
            }
            if waited + pause >= self.wait_max {
                let text = format!(
                    "`{address}` (setting `{setting}`) could not be used for {} s (setting `start_seconds_max`)",
                    waited.as_secs()
                );
                return Err(failed.reason.context(text));
            }
            tracing::warn!(
                setting,
                address,
                reason,
                waited_seconds = waited.as_secs(),
                wait_seconds_max = self.wait_max.as_secs(),
                "waiting for an engine"
            );
            self.health.not_ready(condition, format!("waiting for `{address}` (setting `{setting}`): {reason}"));
            tokio::select! { () = self.stop.begun() => {} () = tokio::time::sleep(pause) => {} }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
