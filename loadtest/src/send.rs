//! The sending phase: as many workers as connections, each with one call in flight, by the clock or as answers come.
//!
//! Knows when to send again and what to count; must not know how a call is written.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hdrhistogram::Histogram;

use crate::client::Client;
use crate::door::{Attempt, Caller, Verdict};
use crate::options::Target;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::receipts::Receipts;
use crate::timeline::Timeline;

/// How often one message is sent again before it counts as failed.
const RETRIES_MAX: u32 = 100;

/// The longest a busy server is taken at its word.
const RETRY_SECONDS_MAX: u64 = 30;

/// Acceptance slower than this is counted as this.
pub(crate) const LATENCY_MICROS_MAX: u64 = 600_000_000;

/// What came of the sending phase.
#[derive(Debug)]
pub(crate) struct Sent {
    /// By index: what is known of each message.
    pub(crate) fates: Vec<Fate>,
    /// Answers that said "not now".
    pub(crate) busy: u64,
    /// Calls sent again because their connection broke.
    pub(crate) reconnected: u64,
    /// Why messages failed, with how many.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Microseconds from a call, or from when it was due, to its answer, of the calls that were accepted.
    pub(crate) latency: Histogram<u64>,
    /// The same by time.
    pub(crate) timeline: Timeline,
}

/// What is known of one message after sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server took it; with its id where the door tells one.
    Accepted(Option<Box<str>>),
    /// The server did not take it, or nobody knows.
    Failed,
    /// Nobody sent it.
    Unsent,
}

impl Sent {
    /// How many messages the server took.
    pub(crate) fn accepted_messages(&self) -> u64 {
        self.fates.iter().filter(|fate| matches!(fate, Fate::Accepted(_))).count() as u64
    }

    /// The accepted messages whose id is known, with their index.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (u64, &str)> {
        self.fates.iter().enumerate().filter_map(|(index, fate)| match fate {
            Fate::Accepted(Some(id)) => Some((index as u64, &**id)),
            _ => None,
        })
    }
}

/// Sends every message of the plan once, and again where the server was busy.
pub(crate) async fn send_all(
    plan: &Plan,
    target: &Target,
    receipts: Option<Arc<Receipts>>,
    progress: &Progress,
    began: Instant,
) -> anyhow::Result<Sent> {
    let caller = Caller::new(plan, target, receipts)?;
    let (next, sent) = (Cell::new(u64::from(plan.share.part)), RefCell::new(Sent::new()?));
    let run = Run { plan, caller: &caller, progress, began, next, sent };
    join_all((0..plan.connections).map(|_| run.work())).await;
    Ok(run.sent.into_inner())
}

impl Sent {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            fates: Vec::new(),
            busy: 0,
            reconnected: 0,
            failures: BTreeMap::new(),
            latency: Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3)?,
            timeline: Timeline::default(),
        })
    }

    fn fail(&mut self, index: u64, reason: String) {
        self.end(index, Fate::Failed);
        *self.failures.entry(reason).or_default() += 1;
    }

    pub(crate) fn end(&mut self, index: u64, fate: Fate) {
        let index = index as usize;
        if index >= self.fates.len() {
            self.fates.resize(index + 1, Fate::Unsent);
        }
        self.fates[index] = fate;
    }

    /// Messages that somebody sent.
    pub(crate) fn begun(&self) -> u64 {
        self.fates.iter().filter(|fate| !matches!(fate, Fate::Unsent)).count() as u64
    }
}

/// What the workers share; they all run on one thread.
struct Run<'a> {
    plan: &'a Plan,
    caller: &'a Caller<'a>,
    progress: &'a Progress,
    began: Instant,
    next: Cell<u64>,
    sent: RefCell<Sent>,
}

impl Run<'_> {
    async fn work(&self) {
        let mut client = Client::new(self.caller.endpoint());
        loop {
            let first = self.next.get() * self.plan.batch_messages as u64;
            let end = self.plan.messages().min(first + self.plan.batch_messages as u64);
            let late = self.plan.rate.is_none() && self.plan.span.is_some_and(|span| self.began.elapsed() >= span);
            if first >= end || late {
                return;
            }
            self.next.set(self.next.get() + u64::from(self.plan.share.of));
            let due = self.plan.due(first).map(|due| self.began + due);
            if let Some(due) = due {
                tokio::time::sleep_until(due.into()).await;
            }
            self.send_until_settled(&mut client, (first..end).collect(), due).await;
        }
    }

    /// Sends until each is taken or refused. What was due at a time is as late as it is, whoever kept it waiting: a server
    /// that stalls must not slow the clock that measures it.
    async fn send_until_settled(&self, client: &mut Client, mut open: Vec<u64>, due: Option<Instant>) {
        let mut attempt = Attempt::First;
        for _ in 0..RETRIES_MAX {
            let began = due.unwrap_or_else(Instant::now);
            let pause = self.send_once(client, &mut open, attempt, began).await;
            if open.is_empty() {
                return;
            }
            attempt = Attempt::Again;
            tokio::time::sleep(Duration::from_secs(pause.min(RETRY_SECONDS_MAX))).await;
        }
        for index in open {
            self.sent.borrow_mut().fail(index, format!("busy {RETRIES_MAX} times"));
        }
    }

    /// Makes one call. Leaves in `open` what must be sent again, and returns the seconds to wait before.
    async fn send_once(&self, client: &mut Client, open: &mut Vec<u64>, attempt: Attempt, began: Instant) -> u64 {
        let answer = match self.caller.request(open, attempt) {
            Ok(call) => client.ask(&call).await,
            Err(error) => Err(error),
        };
        let mut sent = self.sent.borrow_mut();
        let answer = match answer {
            Ok(answer) => answer,
            // Only with a key is it safe to send what may have been taken.
            Err(_) if self.plan.idempotency => {
                sent.reconnected += 1;
                return 1;
            }
            Err(error) => {
                open.drain(..).for_each(|index| sent.fail(index, format!("{error:#}")));
                return 0;
            }
        };
        let verdicts = self.caller.verdicts(&answer, open.len());
        let second = self.began.elapsed().as_secs();
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Accepted(_))) {
            let micros = began.elapsed().as_micros() as u64;
            sent.latency.saturating_record(micros);
            sent.timeline.at(began.saturating_duration_since(self.began).as_secs()).took(micros);
        }
        self.settle(&mut sent, second, open, verdicts)
    }

    fn settle(&self, sent: &mut Sent, second: u64, open: &mut Vec<u64>, verdicts: Vec<Verdict>) -> u64 {
        let mut pause = 0;
        let mut again = Vec::new();
        for (index, verdict) in open.drain(..).zip(verdicts) {
            match verdict {
                Verdict::Accepted(id) => {
                    sent.end(index, Fate::Accepted(id));
                    sent.timeline.at(second).accepted += 1;
                    self.progress.accepted();
                }
                Verdict::Busy(seconds) => {
                    sent.busy += 1;
                    sent.timeline.at(second).refused += 1;
                    pause = pause.max(seconds);
                    if self.plan.retry { again.push(index) } else { sent.end(index, Fate::Failed) }
                }
                Verdict::Refused(reason) => sent.fail(index, reason),
            }
        }
        *open = again;
        pause
    }
}
