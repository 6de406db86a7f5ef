//! Looks after the servers while a process runs, so that its readiness tells the truth. Knows questions that cost little.

use std::time::Duration;

use bus::{AnyBus, Bus};
use model::Lane;
use runtime::{Health, Stop};
use store::{AnyStore, Store};

use super::Engines;
use super::patience::{LANES, STATE};
use crate::process::Process;

/// How often is asked.
const EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer is none.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Asks lanes and state again and again until the process stops.
pub(crate) fn start(engines: &Engines, process: &Process) {
    let bus = engines.bus.clone();
    let lanes = Watched { condition: LANES, health: process.health.clone(), stop: process.stop.clone() };
    drop(process.stop.spawn("lanes watch", lanes.run(move || ask_lanes(bus.clone()))));
    let store = engines.store.clone();
    let state = Watched { condition: STATE, health: process.health.clone(), stop: process.stop.clone() };
    drop(process.stop.spawn("state watch", state.run(move || ask_state(store.clone()))));
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
    health: Health,
    stop: Stop,
}

impl Watched {
    async fn run<F: Future<Output = Result<(), String>>>(self, ask: impl Fn() -> F) {
        let mut away = false;
        loop {
            tokio::select! { () = self.stop.begun() => return, () = tokio::time::sleep(EVERY) => {} }
            let answer = tokio::time::timeout(ANSWER_MAX, ask()).await;
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

/// An error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
