//! Everything the gateway counts. Nobody else in this role registers a metric.

use model::Refusal;
use model::record::Door;
use runtime::Registry;
use runtime::metrics::{Counter, CounterBy, Gauge, HistogramBy, Label};

use crate::push::Fault;

/// The door a request came through, as a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoorLabel(pub Door);

impl Label for DoorLabel {
    const NAME: &'static str = "door";
    const ALL: &'static [Self] =
        &[DoorLabel(Door::Rest), DoorLabel(Door::Oms), DoorLabel(Door::Sms), DoorLabel(Door::Push)];

    fn value(self) -> &'static str {
        match self.0 {
            Door::Rest => "rest",
            Door::Oms => "oms",
            Door::Sms => "sms",
            Door::Push => "push",
        }
    }
}

/// Why a request was refused, as a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusalLabel(pub Refusal);

impl Label for RefusalLabel {
    const NAME: &'static str = "refusal";
    const ALL: &'static [Self] = &{
        let mut all = [RefusalLabel(Refusal::Busy); Refusal::ALL.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = RefusalLabel(Refusal::ALL[at]);
            at += 1;
        }
        all
    };

    fn value(self) -> &'static str {
        self.0.code()
    }
}

/// Who said what changed, as a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SourceLabel {
    /// `POST /v1/changes`.
    Http,
    /// A datagram.
    Datagram,
}

impl Label for SourceLabel {
    const NAME: &'static str = "source";
    const ALL: &'static [Self] = &[SourceLabel::Http, SourceLabel::Datagram];

    fn value(self) -> &'static str {
        match self {
            SourceLabel::Http => "http",
            SourceLabel::Datagram => "datagram",
        }
    }
}

/// Why a line counts for nothing, as a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultLabel(pub(crate) Fault);

impl Label for FaultLabel {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[FaultLabel(Fault::ALL[0]), FaultLabel(Fault::ALL[1]), FaultLabel(Fault::ALL[2])];

    fn value(self) -> &'static str {
        self.0.word()
    }
}

/// What became of a datagram, as a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatagramLabel {
    /// Its lines are in.
    Taken,
    /// It is none.
    Malformed,
    /// Nobody knows the tenant, or the key.
    Unknown,
    /// Its seal is not good, or missing.
    Forged,
    /// Its time is not about now.
    Late,
    /// It was here before.
    Replayed,
    /// There is no room to work on it, or to remember it.
    Full,
    /// The lane or the state is away.
    Failed,
}

impl DatagramLabel {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            DatagramLabel::Taken => "taken",
            DatagramLabel::Malformed => "malformed",
            DatagramLabel::Unknown => "unknown",
            DatagramLabel::Forged => "forged",
            DatagramLabel::Late => "late",
            DatagramLabel::Replayed => "replayed",
            DatagramLabel::Full => "full",
            DatagramLabel::Failed => "failed",
        }
    }
}

impl Label for DatagramLabel {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        DatagramLabel::Taken,
        DatagramLabel::Malformed,
        DatagramLabel::Unknown,
        DatagramLabel::Forged,
        DatagramLabel::Late,
        DatagramLabel::Replayed,
        DatagramLabel::Full,
        DatagramLabel::Failed,
    ];

    fn value(self) -> &'static str {
        self.word()
    }
}

/// The gateway's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Deliveries made durable.
    pub deliveries_accepted: CounterBy<DoorLabel>,
    /// Requests refused.
    pub refused: CounterBy<(DoorLabel, RefusalLabel)>,
    /// From the request's arrival to the durable append.
    pub accept_seconds: HistogramBy<DoorLabel>,
    /// Appends that were not known to be durable at their deadline.
    pub appends_unknown: Counter,
    /// Password checks that cost an argon2 run.
    pub password_checks: Counter,
    /// Multimedia messages that phones fetched here.
    pub content_fetched: Counter,
    /// Multimedia messages that phones did not want.
    pub content_rejected: Counter,
    /// Reports of HTTP services that are in the lane.
    pub reports_taken: Counter,
    /// Lines about changes that are in the lane.
    pub changes_taken: CounterBy<SourceLabel>,
    /// Lines about changes that count for nothing.
    pub changes_rejected: CounterBy<(SourceLabel, FaultLabel)>,
    /// Datagrams about changes.
    pub event_datagrams: CounterBy<DatagramLabel>,
    /// Requests in work.
    pub requests_in_work: Gauge,
    /// Requests that wait for their tenant's turn.
    pub turns_waiting: Gauge,
    /// Requests that may become durable at a time.
    pub turns_allowed: Gauge,
    /// Version of the parties' snapshot in use.
    pub parties_version: Gauge,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            deliveries_accepted: registry
                .counter_by("carillon_gateway_deliveries_accepted_total", "Deliveries made durable and answered."),
            refused: registry.counter_by("carillon_gateway_refused_total", "Requests refused, by door and reason."),
            accept_seconds: registry.histogram_by(
                "carillon_gateway_accept_seconds",
                "Time from a request's arrival until it was durable.",
                &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            ),
            appends_unknown: registry.counter(
                "carillon_gateway_appends_unknown_total",
                "Appends not known to be durable at their deadline; answered 503.",
            ),
            password_checks: registry
                .counter("carillon_gateway_password_checks_total", "Password checks that cost an argon2 run."),
            content_fetched: registry
                .counter("carillon_gateway_content_fetched_total", "Multimedia messages that phones fetched here."),
            content_rejected: registry
                .counter("carillon_gateway_content_rejected_total", "Multimedia messages that phones did not want."),
            reports_taken: registry
                .counter("carillon_gateway_reports_taken_total", "Delivery reports of HTTP services made durable."),
            changes_taken: registry
                .counter_by("carillon_gateway_changes_taken_total", "Lines about changes made durable, by source."),
            changes_rejected: registry.counter_by(
                "carillon_gateway_changes_rejected_total",
                "Lines about changes that count for nothing, by source and reason.",
            ),
            event_datagrams: registry.counter_by(
                "carillon_gateway_event_datagrams_total",
                "Datagrams about changes, by what became of them.",
            ),
            requests_in_work: registry.gauge("carillon_gateway_requests_in_work", "Requests in work."),
            turns_waiting: registry
                .gauge("carillon_gateway_turns_waiting", "Requests that wait for their tenant's turn."),
            turns_allowed: registry.gauge(
                "carillon_gateway_turns_allowed",
                "Requests that may become durable at a time, by how late the processors are.",
            ),
            parties_version: registry
                .gauge("carillon_gateway_parties_version", "Version of the tenants' snapshot in use."),
        }
    }
}
