//! Runs one modem behind its port: bytes in and out, events to the record and the journal, time. Knows no AT.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use model::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    SimError,
    card::Entry,
    fault::{FaultPlan, Faults},
    journal::Journal,
    modem::{Event, SimModem},
    port::Port,
    record::{Origin, RecordLog},
    watch::{PortUse, Watch},
};

/// Bytes taken from the owner at once.
const READ_OCTETS_MAX: usize = 1_024;
/// Bytes waiting for the owner to read at which no more is taken from it.
const PENDING_OCTETS_MAX: usize = 64 * 1024;
/// How often it is looked whether deliveries were read. One counts as kept by the owner at the second look that finds the
/// port empty: an owner that dies within this time gets it again.
const READ_CHECK_MS: i64 = 1_000;
/// After a silence this long the next bytes may be those of another owner.
const OWNER_CHANGE_MS: i64 = 100;
/// How long the driver sleeps when nothing is due.
const IDLE_MS_MAX: u64 = 60_000;

/// What a driver is told to do.
pub(crate) enum Order {
    /// Messages for the SIM came; answered once they are remembered.
    Come { tpdus: Vec<Vec<u8>>, remembered: oneshot::Sender<()> },
    /// Other faults from here on.
    Faults(FaultPlan),
}

/// One modem and everything it is connected to.
pub(crate) struct Driver {
    pub(crate) modem: SimModem,
    pub(crate) port: Port,
    pub(crate) port_use: Option<watch::Receiver<PortUse>>,
    pub(crate) link: PathBuf,
    pub(crate) origin: Origin,
    pub(crate) journal: Journal,
    pub(crate) record: Arc<RecordLog>,
    pub(crate) watch: Option<Arc<Watch>>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) pending: Vec<u8>,
    pub(crate) seen: PortUse,
    pub(crate) last_input: Timestamp,
    pub(crate) read_check: Option<Timestamp>,
}

/// Why a modem stops.
enum Stop {
    Asked,
    Failed(SimError),
}

impl From<SimError> for Stop {
    fn from(error: SimError) -> Self {
        Self::Failed(error)
    }
}

impl Driver {
    /// Runs until stopped, or until the record or the journal can no longer be written: a message that is not on
    /// record must not be answered.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            match self.step(&stop).await {
                Ok(()) => {}
                Err(Stop::Asked) => return,
                Err(Stop::Failed(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, modem.id = %self.origin.link, "simulated modem stopped");
                    return;
                }
            }
        }
    }

    /// Waits for one thing to happen, and does what follows from it.
    async fn step(&mut self, stop: &CancellationToken) -> Result<(), Stop> {
        let mut octets = [0; READ_OCTETS_MAX];
        let idle = self.idle();
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Stop::Asked),
            Some(order) = self.orders.recv() => self.obey(order)?,
            () = used(&mut self.port_use) => self.owner_changes(),
            read = self.port.read(&mut octets), if self.pending.len() < PENDING_OCTETS_MAX => {
                let read = read.map_err(|source| self.port_failed(source))?;
                self.input(&octets[..read]);
            }
            writable = self.port.writable(), if !self.pending.is_empty() => {
                writable.map_err(|source| self.port_failed(source))?;
            }
            () = sleep(idle) => self.modem.handle_timeout(now()),
        }
        self.follow(stop).await
    }

    fn input(&mut self, octets: &[u8]) {
        let now = now();
        if now.since_ms(self.last_input) > OWNER_CHANGE_MS {
            self.look_for_owner_changes();
        }
        self.last_input = now;
        self.modem.handle_input(octets, now);
    }

    fn obey(&mut self, order: Order) -> Result<(), SimError> {
        match order {
            Order::Faults(plan) => self.modem.set_faults(Faults::new(plan)),
            Order::Come { tpdus, remembered } => {
                tpdus.into_iter().for_each(|tpdu| self.modem.come(tpdu, now()));
                // The caller may be told only what is on disk. It may also have gone.
                self.remember_all()?;
                let _ = remembered.send(());
            }
        }
        Ok(())
    }

    /// Writes down what happened, then what is to be read.
    async fn follow(&mut self, stop: &CancellationToken) -> Result<(), Stop> {
        if let Some(back) = self.remember_all()? {
            return self.hang_up(back, stop).await;
        }
        // Before the next answer is in the port: an owner that has just written has read what came before.
        self.check_read()?;
        if let Some(output) = self.modem.poll_output() {
            self.pending.extend(output);
        }
        self.write().map_err(|source| self.port_failed(source))?;
        if self.journal.is_large() {
            self.journal.compact(&self.modem.snapshot())?;
        }
        Ok(())
    }

    /// Writes down all events; says when to come back if one of them is a hang-up.
    fn remember_all(&mut self) -> Result<Option<Timestamp>, SimError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut hang_up = None;
        while let Some(event) = self.modem.poll_event() {
            match event {
                Event::Taken(taken) => {
                    self.record.write(now(), &self.origin, &taken)?;
                    entries.push(taken.entry);
                }
                Event::Remember(entry) => entries.push(entry),
                Event::Routed => {
                    // A former owner's end must not be taken for this one's.
                    self.look_for_owner_changes();
                    self.modem.port_routed();
                }
                Event::HangUp { back } => hang_up = Some(back),
            }
        }
        self.journal.append(&entries)?;
        Ok(hang_up)
    }

    fn write(&mut self) -> io::Result<()> {
        let chunk = if self.modem.splits_writes() { 1 } else { self.pending.len() };
        let mut written = 0;
        while written < self.pending.len() {
            let end = self.pending.len().min(written + chunk);
            match self.port.write(&self.pending[written..end])? {
                0 => break,
                more => written += more,
            }
        }
        self.pending.drain(..written);
        Ok(())
    }

    /// Finds out whether what was handed over directly has been read, some time after it was written: what is still
    /// on its way inside the kernel does not show.
    fn check_read(&mut self) -> Result<(), SimError> {
        if !self.modem.has_unread() {
            self.read_check = None;
            return Ok(());
        }
        let now = now();
        let due = *self.read_check.get_or_insert(now.plus_ms(READ_CHECK_MS));
        if due > now {
            return Ok(());
        }
        self.read_check = Some(now.plus_ms(READ_CHECK_MS));
        if self.pending.is_empty() && self.port.is_read() {
            let read = self.modem.port_was_read();
            self.journal.append(read.as_slice())?;
        }
        Ok(())
    }

    fn look_for_owner_changes(&mut self) {
        if let Some(watch) = &self.watch {
            watch.pump();
            self.owner_changes();
        }
    }

    fn owner_changes(&mut self) {
        let Some(port_use) = &mut self.port_use else { return };
        let before = std::mem::replace(&mut self.seen, *port_use.borrow_and_update());
        if self.seen.went != before.went {
            self.port.release();
            self.pending.clear();
            self.modem.port_changed();
        } else if self.seen.came != before.came && self.modem.has_unread() {
            self.port.flush();
            self.modem.port_changed();
        }
    }

    /// The device goes away, and comes back as another one under the same link.
    async fn hang_up(&mut self, back: Timestamp, stop: &CancellationToken) -> Result<(), Stop> {
        let failed = |source| SimError::Port { link: self.origin.link.clone(), source };
        let new = Port::open().map_err(failed)?;
        drop(std::mem::replace(&mut self.port, new));
        self.pending.clear();
        self.modem.restarted();
        drop(self.modem.poll_output());
        tokio::select! {
            () = stop.cancelled() => return Err(Stop::Asked),
            () = sleep(until(back)) => {}
        }
        let failed = |source| SimError::Port { link: self.origin.link.clone(), source };
        self.seen = PortUse::default();
        self.port_use = self.watch.as_ref().map(|watch| watch.add(self.port.path())).transpose().map_err(failed)?;
        self.port.link(&self.link).map_err(failed)?;
        Ok(())
    }

    fn idle(&self) -> Duration {
        let next = self.modem.poll_timeout().into_iter().chain(self.read_check).min();
        next.map_or(Duration::from_millis(IDLE_MS_MAX), until)
    }

    fn port_failed(&self, source: io::Error) -> SimError {
        SimError::Port { link: self.origin.link.clone(), source }
    }
}

/// Waits for a change in who uses a port; for ever where that cannot be seen.
async fn used(port_use: &mut Option<watch::Receiver<PortUse>>) {
    if let Some(port_use) = port_use
        && port_use.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn until(moment: Timestamp) -> Duration {
    Duration::from_millis(moment.since_ms(now()).clamp(0, IDLE_MS_MAX.cast_signed()).cast_unsigned())
}

/// The driver is where the simulator reads the clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
