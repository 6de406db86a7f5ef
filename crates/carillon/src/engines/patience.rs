//! Waiting for servers at the start: again and again, with words, and not for ever. Knows no engine.

use std::future::Future;
use std::time::Duration;

use runtime::{Again, Health, Stop};
use tokio::time::Instant;

/// The readiness condition of the lanes.
pub(crate) const LANES: &str = "lanes";
/// The readiness condition of the state.
pub(crate) const STATE: &str = "state";

/// How long a command waits for servers.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(15);
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What takes less is not worth a word.
const WORDS_AFTER: Duration = Duration::from_millis(500);
/// An engine's own last words may come a little late.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is said that one attempt still lasts.
const WORDS_EVERY: Duration = Duration::from_secs(5);

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

impl Patience {
    /// Patience that begins now and ends with the process.
    pub(crate) fn new(wait_max: Duration, health: &Health, stop: &Stop) -> Self {
        Patience { started: Instant::now(), wait_max, health: health.clone(), stop: stop.clone() }
    }

    /// Patience of a command that somebody waits for.
    pub(crate) fn of_command() -> Self {
        Self::for_work(COMMAND_WAIT_MAX)
    }

    /// Patience of a command that changes what is on the servers: what it does takes its time there.
    pub(crate) fn for_work(wait_max: Duration) -> Self {
        Self::new(wait_max, &Health::new(), &Stop::new(0))
    }

    /// Attempts until it succeeds, the time is over, or the process is told to stop. All that is waited for shares the time.
    ///
    /// An attempt is never cut short while there is time: it may be changing tables, and would leave others waiting for it.
    pub(crate) async fn wait<T, F>(&self, awaited: Awaited, attempt: impl Fn() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let Awaited { condition, setting, address } = &awaited;
        self.tell(&awaited, "no answer yet");
        let mut pause = PAUSE_FIRST;
        loop {
            let attempted = tokio::select! {
                () = self.stop.begun() => {
                    anyhow::bail!("told to stop while waiting for `{address}` (setting `{setting}`)")
                }
                attempted = self.attempt(&awaited, attempt()) => attempted,
            };
            let failed = match attempted {
                Ok(opened) => {
                    self.health.ready(condition);
                    return Ok(opened);
                }
                Err(failed) => failed,
            };
            if failed.again == Again::No {
                return Err(failed.reason.context(format!("cannot use `{address}` (setting `{setting}`)")));
            }
            if self.started.elapsed() + pause >= self.wait_max {
                let text = format!(
                    "`{address}` (setting `{setting}`) could not be used for {} s (setting `start_seconds_max`)",
                    self.started.elapsed().as_secs()
                );
                return Err(failed.reason.context(text));
            }
            self.tell(&awaited, &format!("{:#}", failed.reason));
            tokio::select! { () = self.stop.begun() => {} () = tokio::time::sleep(pause) => {} }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One attempt, with words while it lasts.
    async fn attempt<T>(
        &self,
        awaited: &Awaited,
        attempt: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let left = self.wait_max.saturating_sub(self.started.elapsed()) + GRACE;
        let over = tokio::time::sleep(left);
        tokio::pin!(attempt, over);
        loop {
            tokio::select! {
                ended = &mut attempt => return ended,
                () = &mut over => return Err(Failed { reason: anyhow::anyhow!("no answer"), again: Again::Yes }),
                () = tokio::time::sleep(WORDS_EVERY) => self.tell(awaited, "no answer yet"),
            }
        }
    }

    fn tell(&self, awaited: &Awaited, reason: &str) {
        let Awaited { condition, setting, address } = awaited;
        self.health.not_ready(condition, format!("waiting for `{address}` (setting `{setting}`): {reason}"));
        let waited = self.started.elapsed();
        if waited > WORDS_AFTER {
            tracing::warn!(
                setting,
                address,
                reason,
                waited_seconds = waited.as_secs(),
                wait_seconds_max = self.wait_max.as_secs(),
                "waiting for an engine"
            );
        }
    }
}
