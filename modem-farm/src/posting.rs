//! Drives links to servers that are posted to: sends what the courier brings, several at once, and rests where the server cannot be
//! reached or has enough. Must not know what is posted, or what answers say.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lease::record::OutcomeKind;
use model::LinkName;
use tokio_util::sync::CancellationToken;
use wire::smpp::Backoff;

use crate::account::{Account, Limits};
use crate::http::ConnectError;
use crate::link::{Line, Pdu, PduEnd, Request, Standing, tell};
use crate::metrics::RelayRest;
use crate::pace::per_second;
use crate::shared::Shared;

/// How often a request without an answer is repeated where the server knows repeats.
const REPEATS_MAX: usize = 3;
/// Before it is.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// A time without trouble after which pauses begin short again.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// A server that takes messages.
pub(crate) trait Poster: Send + Sync {
    /// What goes for it.
    fn terms(&self) -> Terms;

    /// Makes sure that it can be reached.
    fn reach(&self) -> impl Future<Output = Result<(), ConnectError>> + Send;

    /// Posts one message; `None`: it is not of its kind.
    fn submit(&self, pdu: Pdu) -> impl Future<Output = Option<Submitted>> + Send;
}

/// What goes for a server.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// What its budget is counted by.
    pub(crate) account: String,
    pub(crate) limits: Limits,
    pub(crate) messages_per_second: u32,
    /// Requests at once.
    pub(crate) window: usize,
    pub(crate) rest_first: Duration,
    pub(crate) rest_max: Duration,
    /// Requests in a row whose end nobody knows, after which it is left alone.
    pub(crate) failures_max: u32,
}

/// What became of a message, and whether the server is to be left alone.
pub(crate) type Submitted = (PduEnd, Option<Trouble>);

/// Why a server is left alone for a while.
pub(crate) struct Trouble {
    pub(crate) why: RelayRest,
    pub(crate) cause: String,
}

impl Trouble {
    fn failing(failures: u32) -> Self {
        Self { why: RelayRest::Failing, cause: format!("{failures} requests in a row ended nobody knows how") }
    }

    pub(crate) fn of(error: &ConnectError) -> Self {
        let source = std::error::Error::source(error);
        let cause = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        Self { why: RelayRest::NoConnection, cause }
    }
}

/// Keeps a link until `stop`; what is under way then is finished by its courier before.
pub(crate) async fn run<P: Poster>(
    name: LinkName,
    poster: P,
    shared: Arc<Shared>,
    line: Line,
    stop: CancellationToken,
) {
    let terms = poster.terms();
    let backoff = Backoff::new(terms.rest_first, terms.rest_max);
    let mut driver = Driver { name, poster, terms, shared, line, backoff, good_since: None, failures: 0 };
    let _ = stop.run_until_cancelled(driver.run()).await;
    driver.line.standing.send_replace(Standing::Down("stopped"));
}

/// Sends once, and again where the server knows repeats and nothing is known of what became of it.
pub(crate) async fn persist<F>(knows_repeats: bool, once: impl Fn() -> F) -> Submitted
where
    F: Future<Output = Submitted>,
{
    let mut repeats = if knows_repeats { REPEATS_MAX } else { 0 };
    let mut may_be_there = false;
    loop {
        let (end, trouble) = once().await;
        let is_open = match end {
            PduEnd::Unknown => true,
            // A repeat that does not get through, or that the server has no time for, says nothing of the request before it: another
            // way would send the message twice.
            PduEnd::NotSent | PduEnd::Refused { kind: OutcomeKind::FailedForNow, .. } => may_be_there,
            _ => false,
        };
        if !is_open {
            return (end, trouble);
        }
        may_be_there = true;
        if repeats == 0 {
            return (PduEnd::Unknown, trouble);
        }
        repeats -= 1;
        tokio::time::sleep(REPEAT_AFTER).await;
    }
}

/// One link.
struct Driver<P> {
    name: LinkName,
    poster: P,
    terms: Terms,
    shared: Arc<Shared>,
    line: Line,
    backoff: Backoff,
    good_since: Option<Instant>,
    /// Requests in a row whose end nobody knows. One at a time is posted, and none may fail, once there were too many.
    failures: u32,
}

impl<P: Poster> Driver<P> {
    async fn run(&mut self) {
        let Some(account) = self.account().await else { return pending().await };
        loop {
            let trouble = match self.poster.reach().await {
                Ok(()) => self.carry(&account).await,
                Err(error) => Trouble::of(&error),
            };
            self.shared.metrics.relay_rests.with(trouble.why).increment();
            self.line.standing.send_replace(Standing::Down(trouble.why.reason()));
            let pause = self.pause(trouble.why);
            let pause_ms = pause.as_millis() as u64;
            tracing::warn!(link.name = %self.name, reason = trouble.why.reason(), cause = trouble.cause, pause_ms, "the server is left alone");
            self.rest(pause).await;
        }
    }

    /// Posts what the courier brings, until the server is to be left alone; what is under way then is waited for.
    async fn carry(&mut self, account: &Arc<Account>) -> Trouble {
        let Self { poster, terms, line, shared, failures, .. } = self;
        let (poster, shared) = (&*poster, &*shared);
        self.good_since = Some(Instant::now());
        let up = |at_once| Standing::Up { account: account.clone(), at_once };
        let is_on_trial = *failures >= terms.failures_max;
        line.standing.send_replace(up(if is_on_trial { 1 } else { terms.window }));
        let mut under_way = FuturesUnordered::new();
        let mut trouble = None;
        loop {
            if trouble.is_some() && under_way.is_empty() {
                break;
            }
            tokio::select! {
                Some(ended) = under_way.next(), if !under_way.is_empty() => {
                    let (known, found): (Known, Option<Trouble>) = ended;
                    match known {
                        Known::Yes if *failures > 0 => {
                            *failures = 0;
                            if trouble.is_none() {
                                line.standing.send_replace(up(terms.window));
                            }
                        }
                        Known::No => *failures = failures.saturating_add(1),
                        Known::Yes | Known::NotSent => {}
                    }
                    let fails = known == Known::No && *failures >= terms.failures_max;
                    let found = found.or_else(|| fails.then(|| Trouble::failing(*failures)));
                    if let (Some(found), None) = (found, &trouble) {
                        line.standing.send_replace(Standing::Down(found.why.reason()));
                        trouble = Some(found);
                    }
                }
                Some(request) = line.requests.recv() => match trouble {
                    None => under_way.push(deliver(poster, shared, request)),
                    Some(_) => tell(request.answer, PduEnd::NotSent),
                },
                else => break,
            }
        }
        match trouble {
            Some(trouble) => trouble,
            // The courier is gone, and the driver goes with it.
            None => pending().await,
        }
    }

    fn pause(&mut self, why: RelayRest) -> Duration {
        if self.good_since.take().is_some_and(|since| since.elapsed() >= GOOD_AFTER) {
            self.backoff.succeeded();
        }
        match why {
            // It takes people to mend that.
            RelayRest::Refused => self.terms.rest_max,
            _ => self.backoff.failed(rand::random()),
        }
    }

    /// What the courier asks for meanwhile was surely not sent.
    async fn rest(&mut self, time: Duration) {
        let mut over = pin!(tokio::time::sleep(time));
        loop {
            tokio::select! {
                () = &mut over => return,
                Some(request) = self.line.requests.recv() => tell(request.answer, PduEnd::NotSent),
            }
        }
    }

    /// The account with what the journal knows of its day. `None`: the journal failed, and with it the node.
    async fn account(&self) -> Option<Arc<Account>> {
        let Terms { account, limits, messages_per_second, .. } = &self.terms;
        let account = self.shared.account(account, *limits, || per_second(*messages_per_second)).await;
        let told = |error: &_| tracing::error!(link.name = %self.name, %error, "cannot read the account's budget");
        account.inspect_err(told).ok()
    }
}

/// Whether it is known what became of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    /// It says nothing of the server.
    NotSent,
}

impl Known {
    const fn of(end: &PduEnd) -> Self {
        match end {
            PduEnd::Unknown | PduEnd::Refused { kind: OutcomeKind::Uncertain, .. } => Self::No,
            PduEnd::Accepted { .. } | PduEnd::Refused { .. } => Self::Yes,
            PduEnd::NotSent => Self::NotSent,
        }
    }
}

/// Posts one message and tells its courier what became of it.
async fn deliver(poster: &impl Poster, shared: &Shared, request: Request) -> (Known, Option<Trouble>) {
    let Some((end, trouble)) = poster.submit(request.pdu).await else {
        tell(request.answer, PduEnd::NotSent);
        return (Known::NotSent, None);
    };
    let known = Known::of(&end);
    shared.metrics.pdus.increment();
    if matches!(trouble, Some(Trouble { why: RelayRest::Throttled, .. })) {
        shared.metrics.throttled.increment();
    }
    tell(request.answer, end);
    (known, trouble)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    /// What is left of a script of ends when a server that knows repeats was posted to.
    async fn check(script: Vec<PduEnd>, expected: PduEnd, left: usize) {
        let script = Mutex::new(VecDeque::from(script));
        let next = || script.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
        let once = || {
            let end = next().expect("no more than so often");
            async move { (end, None) }
        };
        let (end, _) = persist(true, once).await;
        assert_eq!(end, expected);
        assert_eq!(script.into_inner().map(|script| script.len()).ok(), Some(left));
    }

    #[tokio::test]
    async fn what_may_be_there_is_nowhere_else() {
        let refused = |kind| PduEnd::Refused { kind, reason: String::new() };
        let (now, good) = (refused(OutcomeKind::FailedForNow), refused(OutcomeKind::FailedForGood));
        let taken = PduEnd::Accepted { reference: None };
        tokio::join!(
            check(vec![now.clone(), taken.clone()], now.clone(), 1),
            check(vec![PduEnd::NotSent, taken.clone()], PduEnd::NotSent, 1),
            check(vec![PduEnd::Unknown, now.clone(), PduEnd::NotSent, taken.clone()], taken, 0),
            check(vec![PduEnd::Unknown, now.clone(), now.clone(), now], PduEnd::Unknown, 0),
            check(vec![PduEnd::Unknown, good.clone(), PduEnd::Unknown], good, 1),
        );
    }
}
