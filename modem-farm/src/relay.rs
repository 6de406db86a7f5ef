//! Drives the link to a relay that speaks MM7: posts what the courier brings, several at once, and rests where the relay cannot
//! be reached or has enough. What a lease is, the courier knows.

mod account;
mod client;
mod door;
mod handover;

use std::collections::VecDeque;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lease::record::OutcomeKind;
use model::LinkName;
use tokio_util::sync::CancellationToken;
use wire::mm7::{Class, HttpAnswer, Submission, SubmitEnd, reference_of, submit_end};
use wire::smpp::Backoff;

use crate::account::{Account, Limits};
use crate::link::{Line, Pdu, PduEnd, Request, Standing, tell};
use crate::metrics::RelayRest;
use crate::pace::per_second;
use crate::shared::Shared;
pub(crate) use account::Relay;
use client::{Client, ConnectError, Posted};
pub(crate) use door::serve;

/// How often a request without an answer is repeated where the relay knows repeats.
const REPEATS_MAX: u32 = 3;
/// Before it is.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// A time without trouble after which pauses begin short again.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// Keeps a relay's link until `stop`; what is under way then is finished by its courier before.
pub(crate) async fn run(name: LinkName, relay: Arc<Relay>, shared: Arc<Shared>, line: Line, stop: CancellationToken) {
    let millis = Duration::from_millis;
    let backoff = Backoff::new(millis(relay.config.rest_ms_first), millis(relay.config.rest_ms_max));
    let client = Client::new(relay.clone());
    let mut driver = Driver { name, relay, client, shared, line, backoff, good_since: None };
    let _ = stop.run_until_cancelled(driver.run()).await;
    driver.line.standing.send_replace(Standing::Down("stopped"));
}

/// One link.
struct Driver {
    name: LinkName,
    relay: Arc<Relay>,
    client: Client,
    shared: Arc<Shared>,
    line: Line,
    backoff: Backoff,
    good_since: Option<Instant>,
}

/// Why the relay is left alone for a while.
struct Trouble {
    why: RelayRest,
    cause: String,
}

impl Driver {
    async fn run(&mut self) {
        let Some(account) = account(&self.name, &self.relay, &self.shared).await else { return pending().await };
        loop {
            let trouble = match self.client.reach().await {
                Ok(()) => self.carry(&account).await,
                Err(error) => Trouble::of(&error),
            };
            self.shared.metrics.relay_rests.with(trouble.why).increment();
            self.line.standing.send_replace(Standing::Down(trouble.why.reason()));
            let pause = self.pause(trouble.why);
            let pause_ms = pause.as_millis() as u64;
            tracing::warn!(link.name = %self.name, reason = trouble.why.reason(), cause = trouble.cause, pause_ms, "the relay is left alone");
            self.rest(pause).await;
        }
    }

    /// Posts what the courier brings, until the relay is to be left alone; what is under way then is waited for.
    async fn carry(&mut self, account: &Arc<Account>) -> Trouble {
        let Self { client, relay, line, shared, .. } = self;
        let (client, relay, shared) = (&*client, &*relay, &*shared);
        self.good_since = Some(Instant::now());
        line.standing.send_replace(Standing::Up { account: account.clone(), at_once: relay.config.window as usize });
        let mut under_way = FuturesUnordered::new();
        let mut trouble = None;
        loop {
            if trouble.is_some() && under_way.is_empty() {
                break;
            }
            tokio::select! {
                Some(ended) = under_way.next(), if !under_way.is_empty() => {
                    let ended: Option<Trouble> = ended;
                    if let (Some(found), None) = (ended, &trouble) {
                        line.standing.send_replace(Standing::Down(found.why.reason()));
                        trouble = Some(found);
                    }
                }
                Some(request) = line.requests.recv() => match trouble {
                    None => under_way.push(deliver(client, relay, shared, request)),
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
            RelayRest::Refused => Duration::from_millis(self.relay.config.rest_ms_max),
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
}

/// Posts one message and tells its courier what became of it.
async fn deliver(client: &Client, relay: &Relay, shared: &Shared, request: Request) -> Option<Trouble> {
    let Pdu::Multimedia(submission) = request.pdu else {
        tell(request.answer, PduEnd::NotSent);
        return None;
    };
    shared.metrics.pdus.increment();
    let (end, trouble) = submit(client, relay, &submission).await;
    if matches!(trouble, Some(Trouble { why: RelayRest::Throttled, .. })) {
        shared.metrics.throttled.increment();
    }
    tell(request.answer, end);
    trouble
}

async fn submit(client: &Client, relay: &Relay, submission: &Submission) -> (PduEnd, Option<Trouble>) {
    let mut repeats =
        VecDeque::from(vec![REPEAT_AFTER; if relay.config.knows_repeats { REPEATS_MAX as usize } else { 0 }]);
    let mut may_be_there = false;
    loop {
        let (end, trouble) = match client.post(submission).await {
            Posted::NoConnection(error) => (PduEnd::NotSent, Some(Trouble::of(&error))),
            Posted::NotSent => (PduEnd::NotSent, None),
            Posted::Unknown => (PduEnd::Unknown, None),
            Posted::Answered(answer) => {
                let answer =
                    HttpAnswer { status: answer.status, content_type: &answer.content_type, body: &answer.body };
                meaning(submit_end(&answer, &submission.transaction, &relay.statuses))
            }
        };
        let is_open = match end {
            PduEnd::Unknown => true,
            // A repeat that does not get through says nothing of the request before it.
            PduEnd::NotSent => may_be_there,
            _ => false,
        };
        if !is_open {
            return (end, trouble);
        }
        may_be_there = true;
        let Some(pause) = repeats.pop_front() else { return (PduEnd::Unknown, trouble) };
        tokio::time::sleep(pause).await;
    }
}

/// What an answer means for the attempt, and for the link.
fn meaning(end: SubmitEnd) -> (PduEnd, Option<Trouble>) {
    let refused = |kind, reason: String| PduEnd::Refused { kind, reason };
    let trouble = |why, cause: &str| Some(Trouble { why, cause: cause.to_owned() });
    match end {
        SubmitEnd::Taken { id } => (PduEnd::Accepted { reference: id.as_deref().map(reference_of) }, None),
        SubmitEnd::Unknown { reason } => (refused(OutcomeKind::Uncertain, reason), None),
        SubmitEnd::Refused { class, reason } => match class {
            Class::Permanent => (refused(OutcomeKind::FailedForGood, reason), None),
            Class::Stop => {
                let trouble = trouble(RelayRest::Refused, &reason);
                (refused(OutcomeKind::FailedForGood, reason), trouble)
            }
            Class::Throttled => {
                let trouble = trouble(RelayRest::Throttled, &reason);
                (refused(OutcomeKind::FailedForNow, reason), trouble)
            }
            Class::Temporary => (refused(OutcomeKind::FailedForNow, reason), None),
            Class::Taken | Class::Uncertain => (refused(OutcomeKind::Uncertain, reason), None),
        },
    }
}

impl Trouble {
    fn of(error: &ConnectError) -> Self {
        let source = std::error::Error::source(error);
        let cause = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        Self { why: RelayRest::NoConnection, cause }
    }
}

/// The account with what the journal knows of its day. `None`: the journal failed, and with it the node.
async fn account(name: &LinkName, relay: &Relay, shared: &Shared) -> Option<Arc<Account>> {
    let config = &relay.config;
    let limits = Limits { per_day: config.messages_per_day, utc_offset_minutes: config.utc_offset_minutes };
    let account = shared.account(config.name.as_str(), limits, || per_second(config.messages_per_second)).await;
    let told = |error: &_| tracing::error!(link.name = %name, %error, "cannot read the account's budget");
    account.inspect_err(told).ok()
}
