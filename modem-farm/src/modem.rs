//! Drives one modem: port, session, what it says unasked. Knows I/O and when to give a modem a rest; what a lease is, the courier knows.

mod arrivals;
mod health;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lease::record::OutcomeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_serial::SerialStream;
use tokio_util::sync::CancellationToken;
use wire::at::{Class, Down, Event, Identity, Pin, Session};

use crate::account::{Account, Limits};
use crate::config;
use crate::link::{Pdu, PduEnd, Request, Standing, tell};
use crate::pace::per_minute;
use crate::port::{self, PortError};
use crate::shared::Shared;

use arrivals::Arrivals;
use health::{Health, Remedy};

/// A port that takes nothing for so long is stuck.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// Before a port that vanished is looked for again: the device re-enumerates.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// The longest pause between two looks for a device that is not there.
const REOPEN_AFTER_MAX: Duration = Duration::from_secs(60);

/// Reports and messages that wait for the SIM to say who it is; a stored one that exceeds it stays in the modem.
const EARLY_MAX: usize = 256;

/// Drives the modem of one link.
pub(crate) struct Modem {
    link: config::Link,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    standing: watch::Sender<Standing>,
    session: Session,
    answer: Option<oneshot::Sender<PduEnd>>,
    arrivals: Arrivals,
    health: Health,
    card: Option<Arc<Account>>,
    /// What came before the SIM said who it is.
    early: Vec<Event>,
}

/// How the time with an open port ended.
#[derive(Debug)]
enum End {
    Stopped,
    Reopen,
    Lost(PortError),
    Down(Down),
}

impl Modem {
    pub(crate) fn new(
        link: config::Link,
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Request>,
        standing: watch::Sender<Standing>,
        offset: Duration,
    ) -> Self {
        let session = Session::new(link.profile(offset), Instant::now());
        let health = Health::new(shared.config.quarantine_seconds.clone());
        let arrivals = Arrivals::new(link.name.clone(), shared.clone());
        Self {
            link,
            shared,
            requests,
            standing,
            session,
            answer: None,
            arrivals,
            health,
            card: None,
            early: Vec::new(),
        }
    }

    /// Keeps the modem up until `stop`; what is being sent then is finished by its courier before.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut missing = REOPEN_AFTER;
        loop {
            let end = self.with_port(&stop).await;
            self.session.closed();
            self.take_events().await;
            let rest = match end {
                End::Stopped => break,
                End::Reopen => REOPEN_AFTER,
                End::Lost(error) => {
                    self.say_lost(&error);
                    missing = (missing * 2).min(REOPEN_AFTER_MAX);
                    missing / 2
                }
                End::Down(reason) => self.quarantine(reason),
            };
            if self.card.take().is_some() {
                missing = REOPEN_AFTER;
            }
            if stop.run_until_cancelled(self.rest(rest)).await.is_none() {
                break;
            }
        }
        self.arrivals.finish().await;
    }

    /// Opens the port and leads the dialogue until something ends it.
    async fn with_port(&mut self, stop: &CancellationToken) -> End {
        if stop.run_until_cancelled(self.shared.starter.turn()).await.is_none() {
            return End::Stopped;
        }
        let mut port = match port::open(&self.link.device, self.link.baud) {
            Ok(port) => port,
            Err(error) => return End::Lost(error),
        };
        self.session.opened(Instant::now());
        match self.converse(&mut port, stop).await {
            Ok(end) => end,
            Err(error) => End::Lost(error),
        }
    }

    /// The dialogue: what the session wants written, what the modem says, what time brings, what the courier asks for.
    async fn converse(&mut self, port: &mut SerialStream, stop: &CancellationToken) -> Result<End, PortError> {
        let mut buffer = vec![0; 4096];
        loop {
            if let Some(end) = self.settle(port).await? {
                return Ok(end);
            }
            let wake = self.session.poll_timeout().unwrap_or_else(|| Instant::now() + REOPEN_AFTER_MAX);
            tokio::select! {
                read = port.read(&mut buffer) => self.heard(&buffer, read)?,
                () = tokio::time::sleep_until(wake.into()) => self.session.handle_timeout(Instant::now()),
                Some(request) = self.requests.recv(), if self.answer.is_none() => self.submit(request),
                Some(slot) = self.arrivals.next_durable() => self.session.release(slot, Instant::now()),
                () = stop.cancelled() => return Ok(End::Stopped),
            }
        }
    }

    /// Writes and tells until the session has nothing more to say.
    async fn settle(&mut self, port: &mut SerialStream) -> Result<Option<End>, PortError> {
        loop {
            let end = self.take_events().await;
            let mut wrote = false;
            while let Some(bytes) = self.session.poll_output() {
                write(port, &bytes).await?;
                wrote = true;
            }
            if end.is_some() || !wrote {
                return Ok(end);
            }
        }
    }

    fn heard(&mut self, buffer: &[u8], read: std::io::Result<usize>) -> Result<(), PortError> {
        match read {
            Ok(0) => Err(PortError::Closed),
            Ok(length) => {
                self.session.handle_input(&buffer[..length], Instant::now());
                Ok(())
            }
            Err(error) => Err(PortError::Read(error)),
        }
    }

    fn submit(&mut self, request: Request) {
        let taken = match request.pdu {
            Pdu::Modem(submit) => self.session.submit(submit, Instant::now()).is_ok(),
            Pdu::Bind(..) | Pdu::Multimedia(_) | Pdu::Call(_) => false,
        };
        if taken {
            self.answer = Some(request.answer);
        } else {
            tell(request.answer, PduEnd::NotSent);
        }
    }

    /// Acts on all events there are; the last one that ends the time with this port is returned.
    async fn take_events(&mut self) -> Option<End> {
        let mut end = None;
        while let Some(event) = self.session.poll_event() {
            end = self.take_event(event).await.or(end);
        }
        end
    }

    async fn take_event(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Ready(identity) => self.ready(*identity).await,
            Event::NotReady => self.set_standing(Standing::Down("not ready")),
            Event::PduWritten => self.shared.metrics.pdus.increment(),
            Event::Accepted { reference } => {
                self.health.succeeded();
                self.answered(PduEnd::Accepted { reference: reference.map(u32::from) });
            }
            Event::Refused { fault, class, .. } => {
                self.answered(end_of(class, fault.to_string()));
                let remedy = self.health.refused(class);
                return self.apply(remedy);
            }
            Event::NotSent => {
                self.answered(PduEnd::NotSent);
                let remedy = self.health.refused(Class::Device);
                return self.apply(remedy);
            }
            Event::Unknown => {
                self.health.unknown();
                self.answered(PduEnd::Unknown);
            }
            Event::Report { .. } | Event::Inbound { .. } => self.take_arrival(event),
            Event::PinNeeded { tries_left, identity } => self.pin_needed(tries_left, &identity).await,
            Event::Reopen => return Some(End::Reopen),
            Event::Down(reason) => return Some(End::Down(reason)),
        }
        None
    }

    /// Takes a report or a message. One that comes before the SIM has said who it is waits: without that it belongs to nobody.
    fn take_arrival(&mut self, event: Event) {
        if self.session.imsi().is_empty() {
            if self.early.len() < EARLY_MAX {
                self.early.push(event);
            } else {
                self.shared.metrics.arrivals_lost.increment();
            }
            return;
        }
        for event in std::mem::take(&mut self.early).into_iter().chain([event]) {
            self.arrive(event);
        }
    }

    fn arrive(&mut self, event: Event) {
        let imsi = self.session.imsi();
        match event {
            Event::Report { tpdu, slot } => self.arrivals.report(imsi, self.card.as_deref(), &tpdu, slot),
            Event::Inbound { tpdu, slot } => self.arrivals.inbound(imsi, tpdu, slot),
            _ => {}
        }
    }

    /// Knows the SIM before anything is sent with it.
    async fn ready(&mut self, identity: Identity) {
        let limits =
            Limits { per_day: self.link.sim_segments_per_day, utc_offset_minutes: self.link.sim_utc_offset_minutes };
        let limiter = || per_minute(self.link.sim_segments_per_minute);
        let card = match self.shared.account(&identity.imsi, limits, limiter).await {
            Ok(card) => card,
            Err(error) => return tracing::error!(modem.id = %self.link.name, %error, "cannot read the sim's budget"),
        };
        if !self.link.pin_file.as_os_str().is_empty()
            && let Err(error) = self.shared.journal.clear_pin(card_id(&identity)).await
        {
            tracing::error!(modem.id = %self.link.name, %error, "cannot record that the pin was right");
        }
        self.card = Some(card.clone());
        tracing::info!(
            modem.id = %self.link.name, maker = identity.maker, model = identity.model, network = identity.network,
            signal = identity.signal, registration = ?identity.registration, "modem is up"
        );
        for event in std::mem::take(&mut self.early) {
            self.arrive(event);
        }
        self.set_standing(Standing::Up { account: card, at_once: 1 });
    }

    /// Enters the PIN if there is one, the SIM has all its tries, and it was never entered wrongly before.
    async fn pin_needed(&mut self, tries_left: Option<u8>, identity: &Identity) {
        match self.pin_to_enter(tries_left, identity).await {
            Ok(pin) => self.session.enter_pin(&pin, Instant::now()),
            Err(reason) => {
                tracing::warn!(modem.id = %self.link.name, tries_left, reason, "the sim's pin is not entered");
                self.session.decline_pin();
            }
        }
    }

    async fn pin_to_enter(&mut self, tries_left: Option<u8>, identity: &Identity) -> Result<Pin, &'static str> {
        if self.link.pin_file.as_os_str().is_empty() {
            return Err("none is configured");
        }
        let secret = runtime::Secret::read(&self.link.pin_file).map_err(|_| "its file cannot be read")?;
        let pin = Pin::parse(secret.expose()).ok_or("its file holds no pin")?;
        if tries_left.is_some_and(|tries| tries < 3) {
            return Err("tries were used up before");
        }
        let card = card_id(identity);
        if card.is_empty() {
            return Err("the card does not tell who it is");
        }
        match self.shared.journal.claim_pin(card).await {
            Ok(true) => Ok(pin),
            Ok(false) => Err("it was entered before without success"),
            Err(_) => Err("the attempt cannot be recorded"),
        }
    }

    fn answered(&mut self, sent: PduEnd) {
        if let Some(answer) = self.answer.take() {
            tell(answer, sent);
        }
    }

    fn apply(&mut self, remedy: Remedy) -> Option<End> {
        match remedy {
            Remedy::None => None,
            Remedy::Climb(rung) => {
                self.session.recover(rung, Instant::now());
                None
            }
            Remedy::Quarantine => Some(End::Down(Down::SimFailed)),
        }
    }

    fn set_standing(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    fn say_lost(&self, error: &PortError) {
        let reason = match error {
            PortError::Open(_) => "the port cannot be opened",
            _ => "the port is gone",
        };
        self.set_standing(Standing::Down(reason));
        tracing::warn!(modem.id = %self.link.name, %error, cause = cause(error), "modem lost");
    }

    fn quarantine(&mut self, reason: Down) -> Duration {
        let rest = self.health.quarantine();
        self.set_standing(Standing::Down(reason.name()));
        self.shared.metrics.quarantines.with(reason.into()).increment();
        tracing::warn!(modem.id = %self.link.name, reason = reason.name(), seconds = rest.as_secs(), "modem rests");
        rest
    }

    /// Waits without a port; what the courier asks for in that time was surely not sent.
    async fn rest(&mut self, time: Duration) {
        let mut over = pin!(tokio::time::sleep(time));
        loop {
            tokio::select! {
                () = &mut over => return,
                Some(request) = self.requests.recv() => tell(request.answer, PduEnd::NotSent),
                Some(_) = self.arrivals.next_durable() => {}
            }
        }
    }
}

async fn write(port: &mut SerialStream, bytes: &[u8]) -> Result<(), PortError> {
    match tokio::time::timeout(WRITE_MAX, port.write_all(bytes)).await {
        Ok(written) => written.map_err(PortError::Write),
        Err(_) => Err(PortError::Stuck),
    }
}

/// What a refusal means for the attempt. It is surely not sent, but where the class says otherwise.
fn end_of(class: Class, reason: String) -> PduEnd {
    let kind = match class {
        Class::Message | Class::Bug => OutcomeKind::FailedForGood,
        Class::Retry | Class::Sim | Class::Network | Class::Device => OutcomeKind::FailedForNow,
        Class::AlreadyAccepted => OutcomeKind::Sent,
        Class::Unknown => OutcomeKind::Uncertain,
    };
    PduEnd::Refused { kind, reason }
}

/// What wrong PINs are counted by: the card, else the device.
fn card_id(identity: &Identity) -> &str {
    if identity.iccid.is_empty() { &identity.imei } else { &identity.iccid }
}

fn cause(error: &PortError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
