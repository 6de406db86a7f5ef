//! Drives the binds of one link: connection, session, what comes in. Knows I/O and when to try again; what a lease is, the
//! courier knows.

mod connection;
mod inbox;
mod supplier;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lease::record::OutcomeKind;
use model::LinkName;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wire::smpp::{Arrival, Backoff, Class, Down, Event, Mode, Session, Status, SubmitEnd, Ticket, Verdict};

use crate::account::{Account, Limits};
use crate::config::smpp::BindAs;
use crate::link::{Line, Pdu, PduEnd, Request, Standing, tell};
use crate::metrics::{BindEnd, Oddity};
use crate::pace::per_second;
use crate::shared::Shared;
use connection::{Connection, ConnectionError};
use inbox::Inbox;
pub(crate) use supplier::Supplier;

/// The longest the driver sleeps when nothing is due.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A bind that held so long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(60);
/// How long the last bytes may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A pause that is longer takes the link down: routers then look for another.
const PAUSE_UNNOTICED: Duration = Duration::from_secs(1);
/// Requests taken at once.
const REQUESTS_MAX: usize = 256;

/// Keeps a link's binds up until `stop`; what is under way then is finished by its courier before.
pub(crate) async fn run(
    name: LinkName,
    supplier: Arc<Supplier>,
    shared: Arc<Shared>,
    line: Line,
    stop: CancellationToken,
) {
    let bind = |mode, line| Bind::new(mode, name.clone(), supplier.clone(), shared.clone(), line).run(stop.clone());
    match supplier.config.bind {
        BindAs::Transceiver => bind(Mode::Transceiver, Some(line)).await,
        BindAs::Transmitter => bind(Mode::Transmitter, Some(line)).await,
        BindAs::TransmitterReceiver => {
            tokio::join!(bind(Mode::Transmitter, Some(line)), bind(Mode::Receiver, None));
        }
    }
}

/// One bind.
struct Bind {
    mode: Mode,
    name: LinkName,
    supplier: Arc<Supplier>,
    shared: Arc<Shared>,
    /// A receiver has none.
    line: Option<Line>,
    session: Session,
    answers: HashMap<Ticket, oneshot::Sender<PduEnd>>,
    tickets: u64,
    inbox: Inbox,
    backoff: Backoff,
    bound: Option<Instant>,
    shown: Shown,
}

/// What the courier was shown last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Up(usize),
    Down(&'static str),
}

/// How the time with a connection ended.
enum End {
    Stopped,
    Lost(ConnectionError),
    Down(Down),
}

impl Bind {
    fn new(mode: Mode, name: LinkName, supplier: Arc<Supplier>, shared: Arc<Shared>, line: Option<Line>) -> Self {
        let millis = Duration::from_millis;
        let backoff = Backoff::new(millis(supplier.config.rebind_ms_first), millis(supplier.config.rebind_ms_max));
        Self {
            mode,
            session: Session::new(supplier.profile(mode), rand::random(), Instant::now()),
            inbox: Inbox::new(name.clone(), supplier.clone(), shared.clone()),
            name,
            supplier,
            shared,
            line,
            answers: HashMap::new(),
            tickets: 0,
            backoff,
            bound: None,
            shown: Shown::Down("starting"),
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        loop {
            let end = self.with_connection(&stop).await;
            self.session.closed();
            self.take_events();
            if matches!(end, End::Stopped) || stop.is_cancelled() {
                break;
            }
            let pause = self.after(&end);
            if stop.run_until_cancelled(self.rest(pause)).await.is_none() {
                break;
            }
        }
        self.show(Shown::Down("stopped"), None);
        self.inbox.finish().await;
    }

    /// Connects and leads the conversation until something ends it.
    async fn with_connection(&mut self, stop: &CancellationToken) -> End {
        let Some(account) = account(&self.name, &self.supplier, &self.shared).await else { return End::Stopped };
        let mut connection = match stop.run_until_cancelled(Connection::open(&self.supplier)).await {
            None => return End::Stopped,
            Some(Err(error)) => return End::Lost(error),
            Some(Ok(connection)) => connection,
        };
        self.session.opened(Instant::now());
        let end = self.converse(&mut connection, &account, stop).await;
        if let End::Down(_) = end {
            // A connection that takes no last words is none.
            let _ = tokio::time::timeout(LAST_WORDS, connection.close()).await;
        }
        end
    }

    /// The conversation: what the session wants written, what comes, what time brings, what the courier asks for.
    async fn converse(&mut self, connection: &mut Connection, account: &Arc<Account>, stop: &CancellationToken) -> End {
        let (mut batch, mut leaving) = (Vec::new(), false);
        loop {
            let down = self.take_events();
            if let Some(octets) = self.session.poll_output() {
                connection.write(&octets);
            }
            if let Some(down) = down {
                return End::Down(down);
            }
            let now = Instant::now();
            self.show_standing(account, now);
            let wake = self.session.poll_timeout(now).unwrap_or(now + IDLE_MAX);
            tokio::select! {
                read = connection.turn() => match read {
                    Ok(octets) => self.session.handle_input(&octets, Instant::now()),
                    Err(error) => return End::Lost(error),
                },
                () = tokio::time::sleep_until(wake.into()) => self.session.handle_timeout(Instant::now()),
                () = next_requests(&mut self.line, &mut batch) => {
                    batch.drain(..).for_each(|request| self.submit(request));
                }
                (arrivals, verdict) = self.inbox.next_concluded() => self.conclude(&arrivals, verdict),
                () = stop.cancelled(), if !leaving => {
                    leaving = true;
                    self.session.unbind(Instant::now());
                }
            }
        }
    }

    fn submit(&mut self, request: Request) {
        let Pdu::Bind(kind, message) = request.pdu else { return tell(request.answer, PduEnd::NotSent) };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        if self.session.submit(kind, *message, ticket, Instant::now()).is_ok() {
            self.shared.metrics.pdus.increment();
            self.answers.insert(ticket, request.answer);
        } else {
            tell(request.answer, PduEnd::NotSent);
        }
    }

    /// Acts on all events there are; the last word of the conversation is returned.
    fn take_events(&mut self) -> Option<Down> {
        let mut down = None;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Bound => self.bound(),
                Event::Submitted { ticket, end } => self.ended(ticket, end),
                Event::Arrived { arrival, message } => {
                    if let Some(verdict) = self.inbox.take(arrival, &message) {
                        self.session.conclude(arrival, verdict);
                    }
                }
                Event::Odd(odd) => self.shared.metrics.oddities.with(Oddity(odd)).increment(),
                Event::Down(why) => down = Some(why),
            }
        }
        let (not_kept, verdict) = self.inbox.flush();
        self.conclude(&not_kept, verdict);
        down
    }

    fn conclude(&mut self, arrivals: &[Arrival], verdict: Verdict) {
        arrivals.iter().for_each(|arrival| self.session.conclude(*arrival, verdict));
    }

    fn bound(&mut self) {
        self.bound = Some(Instant::now());
        tracing::info!(link.name = %self.name, mode = mode_name(self.mode), "bound to the supplier");
    }

    fn ended(&mut self, ticket: Ticket, end: SubmitEnd) {
        let Some(answer) = self.answers.remove(&ticket) else { return };
        let end = match end {
            SubmitEnd::Taken { id } => {
                let reference = (!id.is_empty()).then(|| self.supplier.receipts.reference_of(&id));
                PduEnd::Accepted { reference }
            }
            SubmitEnd::Refused { status, class } => self.refused(status, class),
            SubmitEnd::NotSent => PduEnd::NotSent,
            SubmitEnd::Unknown => PduEnd::Unknown,
        };
        tell(answer, end);
    }

    fn refused(&self, status: Status, class: Class) -> PduEnd {
        let kind = match class {
            Class::Permanent => OutcomeKind::FailedForGood,
            Class::Temporary | Class::Throttled | Class::Bind => OutcomeKind::FailedForNow,
            Class::Taken | Class::Uncertain => OutcomeKind::Uncertain,
        };
        if class == Class::Throttled {
            self.shared.metrics.throttled.increment();
        }
        PduEnd::Refused { kind, reason: status.to_string() }
    }

    /// Shows the courier how many messages the supplier takes at once.
    fn show_standing(&mut self, account: &Arc<Account>, now: Instant) {
        let paused = self.session.paused_until(now).map(|until| until - now);
        let shown = match (self.bound, paused) {
            (None, _) => Shown::Down("binding"),
            (Some(_), Some(pause)) if pause > PAUSE_UNNOTICED => Shown::Down("throttled"),
            (Some(_), _) => Shown::Up(self.session.width(now)),
        };
        self.show(shown, Some(account));
    }

    fn show(&mut self, shown: Shown, account: Option<&Arc<Account>>) {
        // A long pause ends in its own time; it must not look shorter while it passes.
        let still = self.shown == Shown::Down("throttled") && shown == Shown::Up(0);
        if self.shown == shown || still {
            return;
        }
        self.shown = shown;
        if let Some(line) = &self.line {
            line.standing.send_replace(match (shown, account) {
                (Shown::Up(at_once), Some(account)) => Standing::Up { account: account.clone(), at_once },
                (Shown::Down(reason), _) => Standing::Down(reason),
                (Shown::Up(_), None) => Standing::Down("starting"),
            });
        }
    }

    /// Says why it ended, and how long to wait before the next bind.
    fn after(&mut self, end: &End) -> Duration {
        if self.bound.take().is_some_and(|since| since.elapsed() >= GOOD_AFTER) {
            self.backoff.succeeded();
        }
        let longest = Duration::from_millis(self.supplier.config.rebind_ms_max);
        let pause = self.backoff.failed(rand::random());
        let (why, pause) = match end {
            End::Stopped => (BindEnd::Unbound, pause),
            End::Lost(ConnectionError::Connect(_) | ConnectionError::ConnectLate | ConnectionError::Tls(_)) => {
                (BindEnd::NoConnection, pause)
            }
            End::Lost(_) => (BindEnd::ConnectionLost, pause),
            // Who asks again and again with a wrong password is locked out.
            End::Down(Down::BindRefused(Status::INVALID_PASSWORD | Status::INVALID_SYSTEM_ID)) => {
                (BindEnd::Refused, longest)
            }
            End::Down(down) => (BindEnd::of(*down), pause),
        };
        self.shared.metrics.bind_ends.with(why).increment();
        self.show(Shown::Down(why.reason()), None);
        let (cause, seconds) = (cause(end), pause.as_secs_f64());
        tracing::warn!(link.name = %self.name, mode = mode_name(self.mode), reason = why.reason(), cause, seconds, "bind lost");
        pause
    }

    /// Waits without a connection; what the courier asks for in that time was surely not sent.
    async fn rest(&mut self, time: Duration) {
        let mut over = pin!(tokio::time::sleep(time));
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = &mut over => return,
                () = next_requests(&mut self.line, &mut batch) => {
                    batch.drain(..).for_each(|request| tell(request.answer, PduEnd::NotSent));
                }
                _ = self.inbox.next_concluded() => {}
            }
        }
    }
}

/// The account with what the journal knows of its day. `None`: the journal failed, and with it the node.
async fn account(name: &LinkName, supplier: &Supplier, shared: &Shared) -> Option<Arc<Account>> {
    let config = &supplier.config;
    let limits = Limits { per_day: config.account_segments_per_day, utc_offset_minutes: config.utc_offset_minutes };
    let account = shared.account(config.name.as_str(), limits, || per_second(config.account_segments_per_second)).await;
    let told = |error: &_| tracing::error!(link.name = %name, %error, "cannot read the account's budget");
    account.inspect_err(told).ok()
}

/// The next requests of the courier; waits for ever when there is none any more. Can be cancelled without losing anything.
async fn next_requests(line: &mut Option<Line>, batch: &mut Vec<Request>) {
    if let Some(line) = line
        && line.requests.recv_many(batch, REQUESTS_MAX).await > 0
    {
        return;
    }
    std::future::pending().await
}

fn cause(end: &End) -> String {
    match end {
        End::Stopped => String::new(),
        End::Lost(error) => {
            let source = std::error::Error::source(error);
            source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        }
        End::Down(Down::BindRefused(status) | Down::BindLost(status)) => status.to_string(),
        End::Down(_) => String::new(),
    }
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Transmitter => "transmitter",
        Mode::Receiver => "receiver",
        Mode::Transceiver => "transceiver",
    }
}
