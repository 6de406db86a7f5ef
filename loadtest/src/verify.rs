//! Looks messages up by their id and tells how each ended.
//!
//! Knows `GET /v1/messages/{id}`; must not know the ledger or the network.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use hyper::StatusCode;
use serde::Deserialize;

use crate::client::{Client, Endpoint};
use crate::options::{Target, Verify};
use crate::plan::Plan;
use crate::send::Sent;

const SAMPLE_MESSAGES: usize = 1000;

/// The store may follow the ledger at a distance: a message gets this long to show its final state.
const LAG: Duration = Duration::from_secs(10);
const LAG_POLL: Duration = Duration::from_millis(100);

/// How the messages that were looked up ended.
#[derive(Debug, Default)]
pub(crate) struct States {
    /// By index of the message.
    pub(crate) by_index: BTreeMap<u64, State>,
}

/// How one message ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// In one of the final states, which is named.
    Final(Box<str>),
    /// In another state, which is named.
    Open(Box<str>),
    /// The server does not know it.
    Unknown,
}

#[derive(Deserialize)]
struct Shown {
    state: Box<str>,
}

/// Every state a delivery can end in.
const FINAL: &[&str] = &["delivered", "sent", "failed", "expired", "cancelled", "rejected", "uncertain"];

impl States {
    /// How many messages ended in which state.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for state in self.by_index.values() {
            *counts.entry(state.name().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Messages without a final state.
    pub(crate) fn lost(&self) -> u64 {
        self.by_index.values().filter(|state| !matches!(state, State::Final(_))).count() as u64
    }
}

impl State {
    fn name(&self) -> &str {
        match self {
            Self::Final(name) | Self::Open(name) => name,
            Self::Unknown => "unknown to the server",
        }
    }

    /// Whether the network must have seen the message.
    pub(crate) fn was_handed_over(&self) -> bool {
        matches!(self, Self::Final(name) if matches!(&**name, "delivered" | "sent"))
    }

    fn of(name: Box<str>) -> Self {
        if FINAL.contains(&&*name) { Self::Final(name) } else { Self::Open(name) }
    }
}

/// Looks up the messages `which` asks for, with as many connections as were used to send.
pub(crate) async fn verify(plan: &Plan, target: &Target, sent: &Sent, which: Verify) -> anyhow::Result<States> {
    let ids: Vec<(u64, &str)> = chosen(sent.ids().collect(), which);
    if ids.is_empty() {
        return Ok(States::default());
    }
    let endpoint = Endpoint::parse(&target.rest)?;
    let (next, states) = (Cell::new(0), RefCell::new(States::default()));
    let api_keys: Vec<&str> = target.api_keys().collect();
    let workers = (0..plan.connections).map(async |_| {
        let mut client = Client::new(endpoint.clone());
        while let Some((index, id)) = ids.get(next.replace(next.get() + 1)) {
            let state = look_up(&mut client, id, api_keys[target.turn_of(*index)]).await?;
            states.borrow_mut().by_index.insert(*index, state);
        }
        anyhow::Ok(())
    });
    join_all(workers).await.into_iter().collect::<anyhow::Result<()>>()?;
    Ok(states.into_inner())
}

fn chosen(ids: Vec<(u64, &str)>, which: Verify) -> Vec<(u64, &str)> {
    let step = match which {
        Verify::All => 1,
        Verify::Sample => (ids.len() / SAMPLE_MESSAGES).max(1),
        Verify::None => return Vec::new(),
    };
    ids.into_iter().step_by(step).collect()
}

async fn look_up(client: &mut Client, id: &str, api_key: &str) -> anyhow::Result<State> {
    let began = Instant::now();
    loop {
        let answer = client.get(&format!("/v1/messages/{id}"), api_key).await?;
        let state = match answer.status {
            StatusCode::OK => {
                let shown: Shown = serde_json::from_slice(&answer.body).context("a message is not understood")?;
                State::of(shown.state)
            }
            StatusCode::NOT_FOUND => State::Unknown,
            status => State::Open(status.to_string().into()),
        };
        if matches!(state, State::Final(_)) || began.elapsed() > LAG {
            return Ok(state);
        }
        tokio::time::sleep(LAG_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_run() {
        let ids: Vec<(u64, &str)> = (0..5000).map(|index| (index, "id")).collect();
        let sample = chosen(ids.clone(), Verify::Sample);
        assert_eq!((sample.len(), sample[1].0, sample[999].0), (1000, 5, 4995));
        assert_eq!(chosen(ids.clone(), Verify::All).len(), 5000);
        assert_eq!(chosen(ids, Verify::None).len(), 0);
    }

    #[test]
    fn only_a_final_state_counts() {
        let states = ["delivered", "leased", "uncertain"].map(|name| State::of(name.into()));
        assert_eq!(states.each_ref().map(State::was_handed_over), [true, false, false]);
        let by_index = (0..).zip(states).chain([(9, State::Unknown)]).collect();
        assert_eq!(States { by_index }.lost(), 2);
    }
}
