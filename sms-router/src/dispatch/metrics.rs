//! Every metric of the dispatcher, over all routes.

use lease::record::OutcomeKind;
use runtime::Registry;
use runtime::metrics::{Counter, CounterBy, Gauge, Label};

/// The dispatcher's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) sessions: Gauge,
    pub(super) sessions_refused: Counter,
    pub(super) waiting: Gauge,
    pub(super) open: Gauge,
    pub(super) tokens: Gauge,
    pub(super) grants: Counter,
    pub(super) outcomes: CounterBy<End>,
    pub(super) corrections: Counter,
    pub(super) releases: Counter,
    pub(super) expired: Counter,
    pub(super) superseded: Counter,
    pub(super) moved: Counter,
    pub(super) repeated: Counter,
    pub(super) unreadable: Counter,
    pub(super) refused: Counter,
    pub(super) skipped: Counter,
    pub(super) receipts: Counter,
    pub(super) inbound: Counter,
    pub(super) restarts: Counter,
    pub(super) alarms: Counter,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Sent,
    FailedForNow,
    FailedForGood,
    Uncertain,
}

impl Label for End {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[End::Sent, End::FailedForNow, End::FailedForGood, End::Uncertain];

    fn value(self) -> &'static str {
        match self {
            End::Sent => "sent",
            End::FailedForNow => "failed-for-now",
            End::FailedForGood => "failed-for-good",
            End::Uncertain => "uncertain",
        }
    }
}

impl From<OutcomeKind> for End {
    fn from(kind: OutcomeKind) -> Self {
        match kind {
            OutcomeKind::Sent => End::Sent,
            OutcomeKind::FailedForNow => End::FailedForNow,
            OutcomeKind::FailedForGood => End::FailedForGood,
            OutcomeKind::Uncertain => End::Uncertain,
        }
    }
}

impl Metrics {
    /// Registers them, once per registry.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(&format!("carillon_dispatch_{name}_total"), help);
        let gauge = |name: &str, help: &str| registry.gauge(&format!("carillon_dispatch_{name}"), help);
        Metrics {
            sessions: gauge("sessions", "Farms attached."),
            sessions_refused: counter("sessions_refused", "Farms that were not let in."),
            waiting: gauge("waiting_segments", "Segments in the route lanes that are not granted."),
            open: gauge("open_grants", "Grants without an outcome."),
            tokens: gauge("tokens", "Tokens held and not used."),
            grants: counter("grants", "Deliveries granted to a farm."),
            outcomes: registry.counter_by("carillon_dispatch_outcomes_total", "Attempts that ended, by outcome."),
            corrections: counter("corrections", "Proofs that came after an attempt had ended as uncertain."),
            releases: counter("releases", "Attempts that were given up, not begun."),
            expired: counter("expired", "Deliveries whose validity ended in the queue."),
            superseded: counter("superseded", "Notices that were not sent, as a later one tells of the same."),
            moved: counter("moved", "Deliveries moved to another route because theirs was down."),
            repeated: counter("repeated", "Repeated deliveries that were dropped."),
            unreadable: counter("unreadable", "Records of the route lanes put in the dead-letter lane."),
            refused: counter(
                "refused",
                "Words of farms refused: of another session, or on what they were not granted.",
            ),
            skipped: counter("skipped", "Messages of kinds this build does not know."),
            receipts: counter("receipts", "Delivery receipts taken."),
            inbound: counter("inbound", "Messages from handsets taken."),
            restarts: counter("restarts", "Route dispatchers started again after a failure."),
            alarms: counter("alarms", "Findings of owners that a person must look at."),
        }
    }
}
