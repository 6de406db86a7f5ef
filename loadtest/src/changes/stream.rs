//! The stream of events: drawn by Zipf's law, posted in bodies of many lines. Knows how a body is written, not what comes of it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::world::{RESOURCES, account};
use super::{ChangesOptions, client};
use crate::client::Endpoint;
use crate::progress::Progress;
use crate::send::LATENCY_MICROS_MAX;

/// Lines a gateway takes in one body.
pub(super) const LINES_MAX: u32 = 5_000;
/// How often a body is posted again that a busy gateway did not take.
const RETRIES_MAX: u32 = 100;
/// The longest a busy gateway is taken at its word.
const RETRY_SECONDS_MAX: u64 = 30;

/// Draws events.
pub(super) struct Stream {
    devices: WeightedIndex<f64>,
    random: StdRng,
    left: u64,
}

/// What came of posting.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) events: u64,
    pub(super) rejected: u64,
    pub(super) busy: u64,
    /// Microseconds from a body, or from when it was due, to its answer.
    pub(super) latency: Histogram<u64>,
}

impl Stream {
    pub(super) fn new(options: &ChangesOptions) -> Self {
        let weights = (1..=options.devices).map(|rank| f64::from(rank).powf(-options.skew));
        let devices = WeightedIndex::new(weights).expect("there is a device, and its weight is above 0");
        Stream { devices, random: StdRng::seed_from_u64(options.seed), left: options.events }
    }

    /// The next body and how many events are in it; `None`: there are no more.
    fn body(&mut self, lines: u32) -> Option<(String, u64)> {
        let count = self.left.min(u64::from(lines));
        self.left -= count;
        let mut body = String::with_capacity(64 * lines as usize);
        for _ in 0..count {
            let device = u32::try_from(self.devices.sample(&mut self.random)).expect("devices are a u32");
            let (resource, _) = RESOURCES[self.random.random_range(0..RESOURCES.len())];
            body.push_str(&format!("{{\"account\":\"{}\",\"resource\":\"{resource}\"}}\n", account(device)));
        }
        (count > 0).then_some((body, count))
    }

    /// Posts all events.
    pub(super) async fn post(self, rest: &Endpoint, api_key: &str, options: &ChangesOptions) -> anyhow::Result<Posted> {
        let run = Run {
            rest,
            api_key,
            stream: RefCell::new(self),
            bodies: Cell::new(0),
            begun: Instant::now(),
            every: options.rate.map(|rate| Duration::from_secs_f64(f64::from(options.lines) / rate)),
            lines: options.lines,
            progress: Progress::new(options.events),
        };
        let parts = try_join_all((0..options.connections).map(|_| run.part())).await?;
        let mut all = Posted::new()?;
        for part in parts {
            all.events += part.events;
            all.rejected += part.rejected;
            all.busy += part.busy;
            all.latency.add(&part.latency).context("latencies have one range")?;
        }
        Ok(all)
    }
}

impl Posted {
    fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_max(LATENCY_MICROS_MAX, 3).context("no histogram")?;
        Ok(Posted { events: 0, rejected: 0, busy: 0, latency })
    }
}

/// What the connections share.
struct Run<'a> {
    rest: &'a Endpoint,
    api_key: &'a str,
    stream: RefCell<Stream>,
    bodies: Cell<u32>,
    begun: Instant,
    every: Option<Duration>,
    lines: u32,
    progress: Progress,
}

impl Run<'_> {
    async fn part(&self) -> anyhow::Result<Posted> {
        let (mut client, mut posted) = (client(self.rest), Posted::new()?);
        loop {
            let Some((body, count)) = self.stream.borrow_mut().body(self.lines) else { return Ok(posted) };
            let due = self.due().await;
            let head =
                self.rest.call("POST", "/v1/changes").header("authorization", &format!("Bearer {}", self.api_key));
            let call = head.header("content-type", "application/x-ndjson").body(body.as_bytes());
            let mut tries = 0;
            loop {
                let answer = client.ask(&call).await?;
                if answer.status.as_u16() == 202 {
                    posted.rejected += rejected(&answer.body)?;
                    break;
                }
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                ensure!(answer.status.as_u16() == 503, "`POST /v1/changes` was answered {}: {said}", answer.status);
                (tries, posted.busy) = (tries + 1, posted.busy + 1);
                ensure!(tries <= RETRIES_MAX, "the gateway stayed busy: {said}");
                let seconds = answer.retry_after_seconds.unwrap_or(1).min(RETRY_SECONDS_MAX);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            posted.events += count;
            let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
            posted.latency.saturating_record(micros);
            self.progress.followed(posted.events);
        }
    }

    /// Waits until the next body is due, and tells since when it is.
    async fn due(&self) -> Instant {
        let nth = self.bodies.replace(self.bodies.get() + 1);
        let Some(every) = self.every else { return Instant::now() };
        let due = self.begun + every * nth;
        tokio::time::sleep_until(due.into()).await;
        due
    }
}

fn rejected(body: &[u8]) -> anyhow::Result<u64> {
    #[derive(serde::Deserialize)]
    struct Answer {
        rejected: Vec<serde_json::Value>,
    }
    let answer: Answer = serde_json::from_slice(body).context("the answer to changes is not understood")?;
    Ok(answer.rejected.len() as u64)
}
