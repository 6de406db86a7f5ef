//! Every metric of the router role. Knows what is counted, not when.

use model::State;
use runtime::Registry;
use runtime::metrics::{COUNTS, Counter, CounterBy, Gauge, GaugeBy, Histogram, HistogramBy, Label, SECONDS};

/// Bounds for how long a device waits to be told: close around the usual window and the longest.
const WINDOWS: &[f64] = &[
    0.1, 0.5, 1.0, 2.5, 4.0, 5.0, 5.1, 5.25, 5.5, 6.0, 7.5, 10.0, 15.0, 20.0, 25.0, 30.0, 30.5, 31.0, 35.0, 60.0, 300.0,
];

/// All metrics of the router role but those of the dispatcher.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Deliveries read from lane `accepted`, by what became of them.
    pub planned: CounterBy<PlannedAs>,
    /// Outcomes of attempts.
    pub outcomes: CounterBy<OutcomeAs>,
    /// Delivery receipts, by what they meant.
    pub receipts: CounterBy<ReceiptAs>,
    /// Deliveries that ended, by state.
    pub ended: CounterBy<EndedAs>,
    /// Corrections of final states.
    pub corrections: Counter,
    /// Deliveries whose time came.
    pub due: Counter,
    /// Records put in the dead-letter lane.
    pub dead_letters: Counter,
    /// Messages from handsets.
    pub inbound: Counter,
    /// Messages from handsets, whole, by who got them.
    pub inbound_taken: CounterBy<TakenBy>,
    /// Parts of long messages from handsets that wait for others.
    pub inbound_parts: Gauge,
    /// Replies in hand that are to be mailed.
    pub mails_in_hand: Gauge,
    /// Replies, by what became of them on their way into a mailbox.
    pub mails: CounterBy<MailedAs>,
    /// Messages in hand for tenants' webhooks.
    pub posts_in_hand: Gauge,
    /// Messages for tenants' webhooks, by what became of them.
    pub posts: CounterBy<PostedAs>,
    /// Reports in hand for who handed us messages.
    pub reports_in_hand: Gauge,
    /// Reports for who handed us messages, by what became of them.
    pub reports: CounterBy<PostedAs>,
    /// References whose receipt is awaited.
    pub references_open: Gauge,
    /// Receipts that wait for their outcome.
    pub receipts_parked: Gauge,
    /// Entries not yet taken, by lane.
    pub lag: GaugeBy<LagOf>,
    /// How long the oldest delivery waits in a route's lanes.
    pub oldest_waiting: Gauge,
    /// Entries taken in one step, by lane.
    pub batch: HistogramBy<LagOf>,
    /// Time from acceptance to the route's lane.
    pub plan_seconds: Histogram,
    /// Deliveries accepted, as the ledger counts them.
    pub ledger_accepted: Gauge,
    /// Deliveries that ended, as the ledger counts them.
    pub ledger_final: Gauge,
    /// Deliveries that are pending, as the ledger counts them.
    pub ledger_pending: Gauge,
    /// accepted - final - pending.
    pub ledger_difference: Gauge,
    /// Version of the price table in use.
    pub price_table: Gauge,
    /// Whether the newest price deck was refused.
    pub deck_refused: Gauge,
    /// Changes and devices they concern, by what became of them.
    pub notify_changes: CounterBy<ChangeAs>,
    /// Windows that are open.
    pub notify_windows_open: Gauge,
    /// Windows that were closed, by what came of them.
    pub notices: CounterBy<NoticeAs>,
    /// Packages that notifications took.
    pub notify_packages: Counter,
    /// Packages of notifications that ended, by state.
    pub notify_ends: CounterBy<EndedAs>,
    /// Time from the first change to the channel.
    pub notify_seconds: Histogram,
    /// Notifications that came to their channel later than is promised.
    pub push_deadline_missed: Counter,
    /// Devices disabled since they failed for good again and again.
    pub notify_disabled: Counter,
    /// Events that tenants told when they were asked.
    pub pulled: CounterBy<PulledAs>,
    /// Parts that failed and were started again.
    pub restarts: CounterBy<Part>,
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident, $label:literal, $($(#[$of:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$of])* $variant),+ }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn value(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

labels! {
    /// What became of a delivery read from lane `accepted`.
    PlannedAs, "result",
    /// Put in a route's lane.
    Routed = "routed",
    /// Kept until it is due.
    Scheduled = "scheduled",
    /// Its validity had ended.
    Expired = "expired",
    /// No route leads to it.
    NoRoute = "no-route",
    /// The number wants nothing more from the tenant.
    OptedOut = "opted-out",
    /// It was taken after its caller had been told that it was not.
    NotAnswered = "not-answered",
    /// A repeat of a request.
    Repeat = "repeat",
    /// A key used again for another body.
    KeyReused = "key-reused",
    /// It can't be read.
    Unreadable = "unreadable",
}

labels! {
    /// What became of an attempt.
    OutcomeAs, "outcome",
    /// Handed over, no receipt to come.
    Sent = "sent",
    /// Handed over, a receipt is awaited.
    Submitted = "submitted",
    /// Handed on to the next candidate.
    FailedOver = "failed-over",
    /// Every candidate failed for the moment.
    Retried = "retried",
    /// Failed for good.
    Failed = "failed",
    /// Nobody knows.
    Uncertain = "uncertain",
    /// Its validity ended.
    Expired = "expired",
    /// Told before.
    Repeated = "repeated",
}

labels! {
    /// What a receipt meant.
    ReceiptAs, "result",
    /// A part arrived.
    Delivered = "delivered",
    /// A part will not arrive.
    Failed = "failed",
    /// A later message took its place.
    Replaced = "replaced",
    /// The network goes on trying.
    Temporary = "temporary",
    /// A service tells no more of a part, or does not know.
    Silent = "silent",
    /// It came before its outcome.
    Parked = "parked",
    /// Its outcome came.
    Matched = "matched",
    /// No outcome came in time: nobody waits for it.
    Dropped = "dropped",
    /// None came in time: the delivery ends as sent.
    Missing = "missing",
}

labels! {
    /// Who got a message from a handset.
    TakenBy, "by",
    /// A user's mailbox; the tenant's list has it too.
    Mailbox = "mailbox",
    /// A user's own phone; the tenant's list has it too.
    Phone = "phone",
    /// The tenant's webhook; its list has it too.
    Webhook = "webhook",
    /// Us: it was an order (`STOP`, `START`); the tenant's list has it.
    Order = "order",
    /// The tenant's list.
    Tenant = "tenant",
    /// The operator's list.
    Operator = "operator",
    /// Nobody: a farm said it again.
    Nobody = "nobody",
}

labels! {
    /// What became of a message on its way to a tenant's webhook, or of a report.
    PostedAs, "result",
    /// It was taken.
    Posted = "posted",
    /// It was refused for good, or for too long.
    Refused = "refused",
    /// It will be tried again.
    Deferred = "deferred",
    /// There is nowhere to post it, or too many wait.
    Unposted = "unposted",
    /// Something happened, and the tenant has no webhook to hear of it.
    Unwanted = "unwanted",
    /// It was told of before.
    Repeated = "repeated",
}

labels! {
    /// What became of a reply on its way into a mailbox.
    MailedAs, "result",
    /// The server took it.
    Mailed = "mailed",
    /// The server refused it for good, or for too long.
    Bounced = "bounced",
    /// It will be tried again.
    Deferred = "deferred",
    /// The user has no mailbox any more; the tenant's list has it.
    Unmailed = "unmailed",
    /// It was told of before.
    Repeated = "repeated",
}

labels! {
    /// Final states.
    EndedAs, "state",
    /// See [`State::Sent`].
    Sent = "sent",
    /// See [`State::Delivered`].
    Delivered = "delivered",
    /// See [`State::Failed`].
    Failed = "failed",
    /// See [`State::Expired`].
    Expired = "expired",
    /// See [`State::Cancelled`].
    Cancelled = "cancelled",
    /// See [`State::Rejected`].
    Rejected = "rejected",
    /// See [`State::Uncertain`].
    Uncertain = "uncertain",
}

labels! {
    /// The lanes this role reads outside of dispatch, each by its group.
    LagOf, "lane",
    /// Lane `accepted`, by the planner.
    Accepted = "accepted",
    /// Lane `outcomes`, by the settler.
    Outcomes = "outcomes",
    /// Lane `accepted`, by the projection.
    ProjectedAccepted = "accepted-projected",
    /// Lane `events`, by the projection.
    ProjectedEvents = "events-projected",
    /// Lane `inbox`.
    Inbox = "inbox",
    /// Lane `mail`.
    Mail = "mail",
    /// Lane `hooks`.
    Hooks = "hooks",
    /// Lane `reports`.
    Reports = "reports",
    /// Lane `changes`.
    Changes = "changes",
}

labels! {
    /// What became of a change, for each device of its account.
    ChangeAs, "result",
    /// The resource is to be told of.
    Marked = "marked",
    /// It was to be told of already.
    Merged = "merged",
    /// The change came from that device.
    Origin = "origin",
    /// The device does not have the resource, or does not want to hear of it.
    NotMapped = "not-mapped",
    /// The device is disabled.
    Disabled = "disabled",
    /// Its model can't be notified.
    NoPush = "no-push",
    /// Its account may not use push.
    NoAccess = "no-access",
    /// There is no such account, or device.
    Unknown = "unknown",
    /// It was taken after its caller had been told that it was not.
    NotAnswered = "not-answered",
}

labels! {
    /// What came of asking a tenant.
    PulledAs, "result",
    /// An event that is in the lane.
    Taken = "taken",
    /// An event that can't be one.
    Rejected = "rejected",
    /// A question without an answer.
    Failed = "failed",
}

labels! {
    /// What came of a window.
    NoticeAs, "result",
    /// A notification.
    Sent = "sent",
    /// Nothing: an earlier notification, not confirmed yet, tells of all of it.
    Covered = "covered",
    /// A notification that was not sent after all: a later one, made while it waited, tells of the same and more.
    Superseded = "superseded",
    /// Nothing yet: no way leads to the device.
    NoRoute = "no-route",
    /// Nothing yet: it can't be made.
    Unmade = "unmade",
}

labels! {
    /// Parts of the role that are started again when they fail.
    Part, "part",
    /// From `accepted` to the routes.
    Planner = "planner",
    /// From `outcomes` to final states.
    Settler = "settler",
    /// Into the store.
    Projection = "projection",
    /// What is not due.
    Schedule = "schedule",
    /// Parties, prices and keys.
    Parties = "parties",
    /// Trimming and the ledger's check.
    Upkeep = "upkeep",
    /// What routers tell each other of their routes.
    Loads = "loads",
    /// Messages from handsets, to whom they are for.
    Inbox = "inbox",
    /// Replies into mailboxes.
    Mailer = "mailer",
    /// Messages to tenants' webhooks.
    Hooks = "hooks",
    /// Reports to who handed us messages.
    Reports = "reports",
    /// What changed, to devices.
    Notifier = "notifier",
    /// What changed, from tenants that are asked.
    Puller = "puller",
}

impl EndedAs {
    /// The label of a final state.
    #[must_use]
    pub const fn of(state: State) -> Option<Self> {
        Some(match state {
            State::Sent => EndedAs::Sent,
            State::Delivered => EndedAs::Delivered,
            State::Failed => EndedAs::Failed,
            State::Expired => EndedAs::Expired,
            State::Cancelled => EndedAs::Cancelled,
            State::Rejected => EndedAs::Rejected,
            State::Uncertain => EndedAs::Uncertain,
            State::Accepted | State::Scheduled | State::Routed | State::Leased | State::Submitted => return None,
        })
    }
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        let gauge = |name, help| registry.gauge(name, help);
        Metrics {
            planned: registry
                .counter_by("carillon_router_planned_total", "Deliveries read from lane accepted, by result."),
            outcomes: registry
                .counter_by("carillon_router_outcomes_total", "Attempts that came to an end, by what followed."),
            receipts: registry.counter_by("carillon_router_receipts_total", "Delivery receipts, by what they meant."),
            ended: registry.counter_by("carillon_router_ended_total", "Deliveries that entered a final state."),
            corrections: counter(
                "carillon_router_corrections_total",
                "Later proofs that moved a delivery between final states.",
            ),
            due: counter("carillon_router_due_total", "Scheduled deliveries whose time came."),
            dead_letters: counter("carillon_router_dead_letters_total", "Records put in the dead-letter lane."),
            inbound: counter("carillon_router_inbound_total", "Messages from handsets."),
            inbound_taken: registry
                .counter_by("carillon_router_inbound_taken_total", "Whole messages from handsets, by who got them."),
            inbound_parts: gauge(
                "carillon_router_inbound_parts",
                "Parts of long messages from handsets that wait for others.",
            ),
            mails_in_hand: gauge("carillon_router_mails_in_hand", "Replies in hand that are to be mailed."),
            mails: registry.counter_by(
                "carillon_router_mails_total",
                "Replies on their way into mailboxes, by what became of them.",
            ),
            posts_in_hand: gauge("carillon_router_posts_in_hand", "Messages in hand for tenants' webhooks."),
            posts: registry.counter_by(
                "carillon_router_posts_total",
                "Messages on their way to tenants' webhooks, by what became of them.",
            ),
            reports_in_hand: gauge(
                "carillon_router_reports_in_hand",
                "Delivery reports in hand for those who handed us messages.",
            ),
            reports: registry.counter_by(
                "carillon_router_reports_total",
                "Delivery reports on their way to those who handed us messages, by what became of them.",
            ),
            references_open: gauge("carillon_router_references_open", "References whose receipt is awaited."),
            receipts_parked: gauge("carillon_router_receipts_parked", "Receipts that wait for their outcome."),
            lag: registry.gauge_by("carillon_router_lag_entries", "Entries of a lane that are not taken yet."),
            oldest_waiting: gauge(
                "carillon_router_oldest_waiting_seconds",
                "How long the oldest delivery that is not granted waits in the routes' lanes.",
            ),
            batch: registry.histogram_by(
                "carillon_router_batch_entries",
                "Entries of a lane taken in one step.",
                COUNTS,
            ),
            plan_seconds: registry.histogram(
                "carillon_router_plan_seconds",
                "Time from acceptance until the route is chosen.",
                SECONDS,
            ),
            ledger_accepted: gauge(
                "carillon_router_ledger_accepted",
                "Deliveries accepted, as the ledger counts them.",
            ),
            ledger_final: gauge("carillon_router_ledger_final", "Deliveries that ended, as the ledger counts them."),
            ledger_pending: gauge("carillon_router_ledger_pending", "Deliveries under way, as the ledger counts them."),
            ledger_difference: gauge(
                "carillon_router_ledger_difference",
                "Accepted less final less pending deliveries: anything but 0 is lost or doubled.",
            ),
            price_table: gauge("carillon_router_price_table_version", "Version of the price table in use."),
            deck_refused: gauge(
                "carillon_router_price_deck_refused",
                "1 while the newest price deck is refused, else 0.",
            ),
            notify_changes: registry.counter_by(
                "carillon_router_notify_changes_total",
                "Changes, once for each device of the account, by what became of them.",
            ),
            notify_windows_open: gauge(
                "carillon_router_notify_windows_open",
                "Devices with changes that wait for their window to close.",
            ),
            notices: registry
                .counter_by("carillon_router_notices_total", "Windows of changes that closed, by what came of them."),
            notify_packages: counter(
                "carillon_router_notice_packages_total",
                "Packages of change notifications handed to a channel.",
            ),
            notify_ends: registry.counter_by(
                "carillon_router_notice_ends_total",
                "Packages of change notifications that ended, by final state.",
            ),
            notify_seconds: registry.histogram(
                "carillon_router_notify_seconds",
                "Time from the first change of a window until its notification has its channel.",
                WINDOWS,
            ),
            push_deadline_missed: counter(
                "carillon_router_push_coalesce_deadline_missed_total",
                "Notifications that came to their channel more than 30 s after the first change, by our fault.",
            ),
            notify_disabled: counter(
                "carillon_router_notify_disabled_total",
                "Devices disabled since too many notifications in a row failed for good.",
            ),
            pulled: registry.counter_by(
                "carillon_router_pulled_total",
                "Events that tenants told when they were asked, and questions that failed.",
            ),
            restarts: registry
                .counter_by("carillon_router_restarts_total", "Parts that failed and were started again."),
        }
    }

    /// Counts a final state.
    pub fn count_end(&self, state: State) {
        if let Some(label) = EndedAs::of(state) {
            self.ended.with(label).increment();
        }
    }
}
