//! All metrics of the farm. Nobody else registers any.

use lease::record::OutcomeKind;
use runtime::metrics::{Counter, CounterBy, Gauge, Histogram, Label, Registry, SECONDS};
use wire::at::Down;
use wire::smpp;

/// The farm's metrics.
pub(crate) struct Metrics {
    pub(crate) links_up: Gauge,
    pub(crate) sessions: Gauge,
    pub(crate) leases: Counter,
    pub(crate) begun: Counter,
    pub(crate) pdus: Counter,
    pub(crate) outcomes: CounterBy<Ending>,
    pub(crate) returned: CounterBy<GiveBack>,
    pub(crate) quarantines: CounterBy<Rest>,
    pub(crate) bind_ends: CounterBy<BindEnd>,
    pub(crate) oddities: CounterBy<Oddity>,
    pub(crate) throttled: Counter,
    pub(crate) relay_rests: CounterBy<RelayRest>,
    pub(crate) reports: CounterBy<ReportEnd>,
    pub(crate) receipts: Counter,
    pub(crate) inbound: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) arrivals_lost: Counter,
    pub(crate) arrivals_waiting: Gauge,
    pub(crate) references_reused: Counter,
    pub(crate) refused: Counter,
    pub(crate) link_panics: Counter,
    pub(crate) intent_seconds: Histogram,
    pub(crate) dialogue_seconds: Histogram,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending(pub(crate) OutcomeKind);

/// Why a lease was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GiveBack {
    LinkDown,
    BudgetSpent,
    DeadlinePast,
    NoKey,
    NoLink,
    Stopping,
}

/// Why a modem rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest(Down);

/// Why a bind ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindEnd {
    NoConnection,
    ConnectionLost,
    Refused,
    NoAnswer,
    Silent,
    Garbled,
    ByPeer,
    NotBound,
    Unbound,
}

/// Why a relay or an HTTP service is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayRest {
    NoConnection,
    Throttled,
    Refused,
    Failing,
}

/// What became of a request at the door for delivery reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportEnd {
    Kept,
    Repeated,
    NotKept,
    NotAdmitted,
    NotOffered,
    TooLarge,
    Unreadable,
}

/// An odd thing a supplier did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Oddity(pub(crate) smpp::Odd);

impl BindEnd {
    pub(crate) const fn of(down: smpp::Down) -> Self {
        match down {
            smpp::Down::BindRefused(_) => Self::Refused,
            smpp::Down::NoBindAnswer => Self::NoAnswer,
            smpp::Down::Silent => Self::Silent,
            smpp::Down::Garbled => Self::Garbled,
            smpp::Down::UnboundByPeer => Self::ByPeer,
            smpp::Down::BindLost(_) => Self::NotBound,
            smpp::Down::Unbound => Self::Unbound,
        }
    }

    /// For the router and people.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NoConnection => "no connection",
            Self::ConnectionLost => "the connection is lost",
            Self::Refused => "the bind is refused",
            Self::NoAnswer => "the bind is not answered",
            Self::Silent => "the supplier is silent",
            Self::Garbled => "the supplier does not speak smpp",
            Self::ByPeer => "the supplier unbound",
            Self::NotBound => "the supplier forgot the bind",
            Self::Unbound => "unbound",
        }
    }
}

impl RelayRest {
    /// For the router and people.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NoConnection => "no connection",
            Self::Throttled => "throttled",
            Self::Refused => "the other side refuses who we are",
            Self::Failing => "failing",
        }
    }
}

impl Label for RelayRest {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[Self::NoConnection, Self::Throttled, Self::Refused, Self::Failing];
    fn value(self) -> &'static str {
        match self {
            Self::NoConnection => "no-connection",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Failing => "failing",
        }
    }
}

impl Label for ReportEnd {
    const NAME: &'static str = "end";
    const ALL: &'static [Self] = &[
        Self::Kept,
        Self::Repeated,
        Self::NotKept,
        Self::NotAdmitted,
        Self::NotOffered,
        Self::TooLarge,
        Self::Unreadable,
    ];
    fn value(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Repeated => "repeated",
            Self::NotKept => "not-kept",
            Self::NotAdmitted => "not-admitted",
            Self::NotOffered => "not-offered",
            Self::TooLarge => "too-large",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Label for BindEnd {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[
        Self::NoConnection,
        Self::ConnectionLost,
        Self::Refused,
        Self::NoAnswer,
        Self::Silent,
        Self::Garbled,
        Self::ByPeer,
        Self::NotBound,
        Self::Unbound,
    ];
    fn value(self) -> &'static str {
        match self {
            Self::NoConnection => "no-connection",
            Self::ConnectionLost => "connection-lost",
            Self::Refused => "refused",
            Self::NoAnswer => "no-answer",
            Self::Silent => "silent",
            Self::Garbled => "garbled",
            Self::ByPeer => "by-peer",
            Self::NotBound => "not-bound",
            Self::Unbound => "unbound",
        }
    }
}

impl Label for Oddity {
    const NAME: &'static str = "what";
    const ALL: &'static [Self] = &[
        Self(smpp::Odd::LateAnswer),
        Self(smpp::Odd::Unreadable),
        Self(smpp::Odd::UnknownCommand),
        Self(smpp::Odd::TooMuch),
    ];
    fn value(self) -> &'static str {
        match self.0 {
            smpp::Odd::LateAnswer => "late-answer",
            smpp::Odd::Unreadable => "unreadable",
            smpp::Odd::UnknownCommand => "unknown-command",
            smpp::Odd::TooMuch => "too-much",
        }
    }
}

impl From<Down> for Rest {
    fn from(down: Down) -> Self {
        Self(down)
    }
}

impl GiveBack {
    /// For the router and people.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::LinkDown => "the link is down",
            Self::BudgetSpent => "the budget of the sim or account is spent",
            Self::DeadlinePast => "it could not be begun in time",
            Self::NoKey => "there is no data key for it",
            Self::NoLink => "no link of the route can take it",
            Self::Stopping => "the farm stops",
        }
    }
}

impl Label for Ending {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self(OutcomeKind::Sent),
        Self(OutcomeKind::FailedForNow),
        Self(OutcomeKind::FailedForGood),
        Self(OutcomeKind::Uncertain),
    ];
    fn value(self) -> &'static str {
        match self.0 {
            OutcomeKind::Sent => "sent",
            OutcomeKind::FailedForNow => "failed-for-now",
            OutcomeKind::FailedForGood => "failed-for-good",
            OutcomeKind::Uncertain => "uncertain",
        }
    }
}

impl Label for GiveBack {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] =
        &[Self::LinkDown, Self::BudgetSpent, Self::DeadlinePast, Self::NoKey, Self::NoLink, Self::Stopping];
    fn value(self) -> &'static str {
        match self {
            Self::LinkDown => "link-down",
            Self::BudgetSpent => "budget-spent",
            Self::DeadlinePast => "deadline-past",
            Self::NoKey => "no-key",
            Self::NoLink => "no-link",
            Self::Stopping => "stopping",
        }
    }
}

impl Label for Rest {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &[
        Self(Down::NoAnswer),
        Self(Down::SimMissing),
        Self(Down::SimFailed),
        Self(Down::PinNeeded),
        Self(Down::PinRefused),
        Self(Down::PukNeeded),
        Self(Down::RegistrationDenied),
        Self(Down::NotRegistered),
        Self(Down::NoIdentity),
        Self(Down::NoServiceCentre),
        Self(Down::StepRefused),
    ];
    fn value(self) -> &'static str {
        self.0.name()
    }
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| registry.counter(name, help);
        Self {
            links_up: registry.gauge("carillon_farm_links_up", "Links that can send."),
            sessions: registry.gauge("carillon_farm_sessions", "Routers this farm is attached to."),
            leases: counter("carillon_farm_leases_total", "Leases taken."),
            begun: counter("carillon_farm_begun_total", "Attempts whose intent was written to the journal."),
            pdus: counter("carillon_farm_pdus_total", "PDUs written to modems and binds."),
            outcomes: registry.counter_by("carillon_farm_outcomes_total", "Attempts that ended, by outcome."),
            returned: registry.counter_by("carillon_farm_returned_total", "Leases given back, by reason."),
            quarantines: registry.counter_by("carillon_farm_quarantines_total", "Modems laid to rest, by reason."),
            bind_ends: registry.counter_by("carillon_farm_bind_ends_total", "Binds that ended, by reason."),
            oddities: registry.counter_by("carillon_farm_smpp_oddities_total", "Odd things suppliers did, by kind."),
            relay_rests: registry.counter_by(
                "carillon_farm_relay_rests_total",
                "Times a relay or an HTTP service was left alone, by reason.",
            ),
            reports: registry.counter_by(
                "carillon_farm_relay_reports_total",
                "Requests at the door for delivery reports of relays, by what became of them.",
            ),
            throttled: counter("carillon_farm_throttled_total", "Messages suppliers refused as too much at once."),
            receipts: counter(
                "carillon_farm_receipts_total",
                "Status reports and delivery receipts that came over links.",
            ),
            inbound: counter("carillon_farm_inbound_total", "Messages from handsets that came over links."),
            unreadable: counter(
                "carillon_farm_unreadable_total",
                "Status reports, receipts and messages that could not be read.",
            ),
            arrivals_lost: counter(
                "carillon_farm_arrivals_lost_total",
                "Receipts and inbound messages that neither the other side nor the journal kept.",
            ),
            arrivals_waiting: registry
                .gauge("carillon_farm_arrivals_waiting", "Receipts and inbound messages that no router has taken yet."),
            references_reused: counter(
                "carillon_farm_references_reused_total",
                "Messages sent although an older one to the same recipient may have had the same reference open.",
            ),
            refused: counter("carillon_farm_refused_total", "Refusals by routers."),
            link_panics: counter("carillon_farm_link_panics_total", "Link tasks that panicked and were started anew."),
            intent_seconds: registry.histogram(
                "carillon_farm_intent_seconds",
                "Time from the wish to begin until the intent was synced.",
                SECONDS,
            ),
            dialogue_seconds: registry.histogram(
                "carillon_farm_dialogue_seconds",
                "Time a modem or a service centre took for one PDU, from the command to its result.",
                SECONDS,
            ),
        }
    }
}
