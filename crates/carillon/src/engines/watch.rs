//! Looks after the servers while a process runs, so that its readiness tells the truth. Knows questions that cost little.

use std::time::Duration;

use bus::{AnyBus, Bus};
use model::Lane;
use runtime::{Health, Stop, in_full};
use store::{AnyStore, Store};

use super::Engines;
use super::patience::{LANES, STATE};
use crate::process::Process;

/// How often lanes and state are asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often each broker is asked for a word of its own, which costs more.
const EVERY_BROKER: Duration = Duration::from_secs(5);
/// An answer that takes longer is none.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long a broker may take.
#[cfg(feature = "cluster")]
const BROKER_ANSWER_MAX: Duration = Duration::from_secs(4);
/// Where the copies are is asked before, and again while whoever was asked is away.
const BROKERS_ANSWER_MAX: Duration = Duration::from_secs(16);
/// The readiness condition of the brokers that keep copies.
const BROKERS: &str = "brokers";

/// Asks lanes and state again and again until the process stops.
pub(crate) fn start(engines: &Engines, process: &Process) {
    let watched = |condition, every, answer_max| Watched {
        condition,
        every,
        answer_max,
        health: process.health.clone(),
        stop: process.stop.clone(),
    };
    let bus = engines.bus.clone();
    drop(process.stop.spawn("lanes watch", watched(LANES, EVERY, ANSWER_MAX).run(move || ask_lanes(bus.clone()))));
    let bus = engines.bus.clone();
    let brokers = watched(BROKERS, EVERY_BROKER, BROKERS_ANSWER_MAX);
    drop(process.stop.spawn("brokers watch", brokers.run(move || ask_brokers(bus.clone()))));
    let store = engines.store.clone();
    drop(process.stop.spawn("state watch", watched(STATE, EVERY, ANSWER_MAX).run(move || ask_state(store.clone()))));
}

/// What is read from a leader may be more than it can keep: enough others must be there.
async fn ask_brokers(bus: AnyBus) -> Result<(), String> {
    match bus {
        #[cfg(feature = "cluster")]
        AnyBus::Kafka(bus) => {
            let asked = bus.check_quorum(&Lane::Accepted, BROKER_ANSWER_MAX).await;
            asked.map_err(|error| in_full(&error))
        }
        AnyBus::Embedded(_) => Ok(()),
    }
}

async fn ask_lanes(bus: AnyBus) -> Result<(), String> {
    for partition in 0..Lane::Accepted.partitions() {
        bus.bounds(&Lane::Accepted, partition).await.map_err(|error| in_full(&error))?;
    }
    Ok(())
}

async fn ask_state(store: AnyStore) -> Result<(), String> {
    store.parties_version().await.map(drop).map_err(|error| in_full(&error))
}

/// One engine's readiness.
struct Watched {
    condition: &'static str,
    every: Duration,
    answer_max: Duration,
    health: Health,
    stop: Stop,
}

impl Watched {
    async fn run<F: Future<Output = Result<(), String>>>(self, ask: impl Fn() -> F) {
        let mut away = false;
        loop {
            tokio::select! { () = self.stop.begun() => return, () = tokio::time::sleep(self.every) => {} }
            let answer = tokio::time::timeout(self.answer_max, ask()).await;
            match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(()) => {
                    if away {
                        tracing::info!(engine = self.condition, "the engine answers again");
                    }
                    away = false;
                    self.health.ready(self.condition);
                }
                Err(reason) => {
                    if !away {
                        tracing::warn!(engine = self.condition, reason, "the engine does not answer");
                    }
                    away = true;
                    self.health.not_ready(self.condition, reason);
                }
            }
        }
    }
}
