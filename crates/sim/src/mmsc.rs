//! A relay (MMSC) that speaks MM7: takes multimedia messages, answers, reports, and misbehaves as it is told. Knows the protocol's
//! codec; must not know the farm's driver.

mod config;
mod exchange;
mod reports;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::mm7::{self, Call, Confirmation, NAMESPACE, Reporting, Submitted, VERSION};

use crate::SimError;
use crate::driver::now;
use crate::fault::FaultRule;
pub use config::{MmscConfig, MmscFault, MmscNumberRule};
use exchange::Exchanges;
use reports::post;

/// Octets of a request.
const REQUEST_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// How often a report is brought, and how long apart.
const REPORT_TRIES_MAX: u32 = 200;
const REPORT_AGAIN: Duration = Duration::from_millis(100);
/// How much later an answer comes than the report that is to be first.
const REPORT_FIRST: Duration = Duration::from_millis(200);
/// What a message ends as if nothing else is said.
const RETRIEVED: &str = "Retrieved";

/// A running relay. It stops with its token; dropping it stops nothing.
#[derive(Debug)]
pub struct Mmsc {
    address: SocketAddr,
    centre: Arc<Centre>,
}

/// A message it took.
#[derive(Clone, Debug)]
pub struct MmscMessage {
    /// `TransactionID` of the request.
    pub transaction: String,
    /// The id it was given.
    pub id: String,
    /// What was in it.
    pub message: Submitted,
}

#[derive(Debug)]
struct Centre {
    config: MmscConfig,
    exchanges: Exchanges,
    state: Mutex<State>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
struct State {
    taken: Vec<MmscMessage>,
    /// Reports that were answered by success, and answers of any other kind.
    reported: u64,
    unreported: u64,
    posted: u64,
    rules: Vec<(FaultRule<MmscFault>, u64)>,
    chance: StdRng,
}

/// What becomes of a message.
enum End {
    Answer(StatusCode, String),
    Silence,
    Disconnect,
}

impl Mmsc {
    /// Listens, and takes messages until `stop`.
    ///
    /// # Errors
    /// A file cannot be used, or it cannot listen.
    pub async fn start(config: MmscConfig, stop: CancellationToken) -> Result<Self, SimError> {
        let wanted = config.listen;
        let failed = |source| SimError::Listen { address: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let state = State {
            taken: Vec::new(),
            reported: 0,
            unreported: 0,
            posted: 0,
            rules: config.faults.iter().map(|rule| (rule.clone(), 0)).collect(),
            chance: StdRng::seed_from_u64(config.seed),
        };
        let exchanges = Exchanges::open(&config.dir)?;
        let tasks = TaskTracker::new();
        let centre = Arc::new(Centre { config, exchanges, state: Mutex::new(state), tasks, stop });
        centre.tasks.spawn(centre.clone().accept(listener));
        centre.tasks.close();
        Ok(Self { address, centre })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The messages it took, in their order.
    pub fn taken(&self) -> Vec<MmscMessage> {
        self.centre.state().taken.clone()
    }

    /// Reports that were taken, and answers that say something else or did not come.
    pub fn reports(&self) -> (u64, u64) {
        let state = self.centre.state();
        (state.reported, state.unreported)
    }

    /// Requests with a message, whatever became of them.
    pub fn posted(&self) -> u64 {
        self.centre.state().posted
    }

    /// Replaces what goes wrong from here on.
    pub fn set_faults(&self, rules: Vec<FaultRule<MmscFault>>) {
        self.centre.state().rules = rules.into_iter().map(|rule| (rule, 0)).collect();
    }

    /// Waits until all is over, which the token makes it be.
    pub async fn stopped(&self) {
        self.centre.tasks.wait().await;
    }
}

impl Centre {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            if let Ok((stream, _)) = accepted {
                let (centre, stop) = (self.clone(), self.stop.clone());
                self.tasks.spawn(async move { stop.run_until_cancelled(centre.serve(stream)).await });
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| self.clone().answer(request));
        let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    /// An error ends the connection.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
        let (head, body) = request.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let (content_type, authorization) = (header(CONTENT_TYPE), header(AUTHORIZATION));
        // A request that breaks off is none.
        let Ok(body) = Limited::new(body, REQUEST_OCTETS_MAX).collect().await else { return broken() };
        if !self.config.authorization.is_empty() && authorization != self.config.authorization {
            return respond(StatusCode::UNAUTHORIZED, String::new());
        }
        match self.take(&content_type, &body.to_bytes()).await {
            End::Answer(status, body) => respond(status, body),
            End::Silence => {
                self.stop.cancelled().await;
                broken()
            }
            End::Disconnect => broken(),
        }
    }

    async fn take(self: &Arc<Self>, content_type: &str, body: &Bytes) -> End {
        self.exchanges.keep("request", content_type, body);
        let received = mm7::receive(content_type, body);
        let (transaction, message) = match received {
            Ok(mm7::Received { transaction, call: Call::Submit(message) }) => {
                (transaction.unwrap_or_default(), *message)
            }
            Ok(_) => return self.fault(None, mm7::UNSUPPORTED),
            Err(_) => return self.fault(None, mm7::FORMAT_CORRUPT),
        };
        let (faults, wait) = self.strike();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let has = |wanted: &MmscFault| faults.contains(wanted);
        for fault in &faults {
            match fault {
                MmscFault::Refused { code } => return self.confirm(&transaction, *code, ""),
                MmscFault::Fault { code } => return self.fault(Some(&transaction), *code),
                MmscFault::Http { status } => {
                    return End::Answer(StatusCode::from_u16(*status).unwrap_or(StatusCode::OK), String::new());
                }
                MmscFault::AnswerMissing { taken: false } => return End::Silence,
                MmscFault::Disconnect { taken: false } => return End::Disconnect,
                _ => {}
            }
        }
        let id = self.keep(&transaction, &message);
        if message.report && !has(&MmscFault::ReportMissing) {
            let times = if has(&MmscFault::ReportTwice) { 2 } else { 1 };
            let first = has(&MmscFault::ReportFirst);
            self.tasks.spawn(self.clone().report(id.clone(), message, times, first));
            if first {
                tokio::time::sleep(REPORT_FIRST).await;
            }
        }
        match faults
            .into_iter()
            .find(|fault| !matches!(fault, MmscFault::ReportFirst | MmscFault::ReportTwice | MmscFault::ReportMissing))
        {
            Some(MmscFault::Nonsense) => End::Answer(StatusCode::OK, "<html>it works".to_owned()),
            Some(MmscFault::WithoutId) => self.confirm(&transaction, mm7::SUCCESS, ""),
            Some(MmscFault::AnswerMissing { .. }) => End::Silence,
            Some(MmscFault::Disconnect { .. }) => End::Disconnect,
            _ => self.confirm(&transaction, mm7::SUCCESS, &id),
        }
    }

    /// What goes wrong this time, and how long the answer takes.
    fn strike(&self) -> (Vec<MmscFault>, Duration) {
        let mut state = self.state();
        let State { posted, rules, chance, .. } = &mut *state;
        *posted += 1;
        let struck = rules.iter_mut().filter_map(|(rule, times)| {
            let strikes = rule.strikes(*posted, *times, chance);
            *times += u64::from(strikes);
            strikes.then(|| rule.fault.clone())
        });
        let struck = struck.collect();
        (struck, within(chance, self.config.answer_ms))
    }

    /// Takes a message and names it.
    fn keep(&self, transaction: &str, message: &Submitted) -> String {
        let mut state = self.state();
        let id = format!("{:x}-{}@relay", self.config.seed, state.taken.len() + 1);
        state.taken.push(MmscMessage { transaction: transaction.to_owned(), id: id.clone(), message: message.clone() });
        id
    }

    fn confirm(&self, transaction: &str, code: u32, message_id: &str) -> End {
        let transaction = Some(transaction);
        let confirmation = Confirmation { namespace: NAMESPACE, version: VERSION, transaction, code, message_id };
        self.say(StatusCode::OK, mm7::confirm(&confirmation))
    }

    fn fault(&self, transaction: Option<&str>, code: u32) -> End {
        self.say(StatusCode::INTERNAL_SERVER_ERROR, mm7::refuse(NAMESPACE, VERSION, transaction, code))
    }

    fn say(&self, status: StatusCode, body: String) -> End {
        self.exchanges.keep("answer", reports::CONTENT, body.as_bytes());
        End::Answer(status, body)
    }

    /// Reports a message, until each report is taken.
    async fn report(self: Arc<Self>, id: String, message: Submitted, times: u32, first: bool) {
        let recipient = message.recipients.first().cloned().unwrap_or_default();
        let fits = |rule: &&MmscNumberRule| recipient.ends_with(&rule.suffix);
        let states = self.config.numbers.iter().find(fits).map(|rule| rule.states.clone());
        for state in states.unwrap_or_else(|| vec![RETRIEVED.to_owned()]) {
            let wait = if first { Duration::ZERO } else { within(&mut self.state().chance, self.config.report_ms) };
            tokio::time::sleep(wait).await;
            for time in 1..=times {
                let transaction = format!("report-{id}-{state}-{time}");
                let body = mm7::report(&Reporting {
                    namespace: NAMESPACE,
                    version: VERSION,
                    transaction: &transaction,
                    message_id: &id,
                    recipient: &recipient,
                    sender: &message.sender,
                    at_ms: now().0,
                    status: &state,
                });
                self.bring(body).await;
            }
        }
    }

    /// Brings a report until it is taken.
    async fn bring(&self, body: String) {
        if self.config.report_url.is_empty() {
            return;
        }
        self.exchanges.keep("report", reports::CONTENT, body.as_bytes());
        for _ in 0..REPORT_TRIES_MAX {
            let answer = post(&self.config.report_url, &self.config.report_authorization, body.clone()).await;
            if let Some((200, answer)) = answer {
                self.exchanges.keep("report-answer", reports::CONTENT, &answer);
                self.state().reported += 1;
                return;
            }
            self.state().unreported += 1;
            if self.stop.run_until_cancelled(tokio::time::sleep(REPORT_AGAIN)).await.is_none() {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn within(chance: &mut StdRng, (least, most): (u64, u64)) -> Duration {
    Duration::from_millis(chance.random_range(least..=most.max(least)))
}

fn respond(status: StatusCode, body: String) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    Response::builder().status(status).header(CONTENT_TYPE, reports::CONTENT).body(Full::new(Bytes::from(body)))
}

/// hyper closes the connection of a service that fails, without a word.
fn broken() -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    Response::builder().header("\0", "").body(Full::default())
}
