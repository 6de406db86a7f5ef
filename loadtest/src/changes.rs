//! Change notifications under load: many devices, a stream of events of which few accounts get most, and what came of it.
//!
//! Knows the public API of accounts and changes, and metrics; must not know how windows are kept.

mod report;
mod stream;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;

pub use report::ChangesReport;

use crate::client::{Client, Endpoint};
use crate::cpu::{CpuClock, Watched};
use crate::options::{Demo, Target, Watch};
use report::{Figures, Meters};
use stream::Stream;

/// How often the router's figures are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Posts events for many devices and counts the notifications that come of them.
#[derive(Clone, Debug, Args)]
pub struct ChangesOptions {
    /// The `demo.json` a server wrote at its start.
    #[arg(long, value_name = "FILE")]
    pub demo: PathBuf,

    /// How many devices there are, one to an account; they are registered first, unless `--registered`.
    #[arg(long, default_value_t = 100_000)]
    pub devices: u32,

    /// The devices are there, from a run before.
    #[arg(long)]
    pub registered: bool,

    /// How many events to post.
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    pub events: u64,

    /// How unevenly events fall on accounts: the exponent of Zipf's law; 0 is evenly.
    #[arg(long, default_value_t = 1.0)]
    pub skew: f64,

    /// Events in one request.
    #[arg(long, default_value_t = 500)]
    pub lines: u32,

    /// Connections kept open, each with one request under way.
    #[arg(short, long, default_value_t = 8)]
    pub connections: usize,

    /// Events a second; without it as many as are answered.
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,

    /// Gives up on windows that do not close within this.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub settle_seconds_max: u64,

    /// A process whose CPU time and memory are shown under this name; may be given more than once.
    #[arg(long, value_name = "NAME=PID", value_parser = Watch::parse)]
    pub watch: Vec<Watch>,

    /// Draws the same events again.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Prints the report as JSON.
    #[arg(long)]
    pub json: bool,
}

impl ChangesOptions {
    fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=world::DEVICES_MAX).contains(&self.devices), "`--devices` is 1 to {}", world::DEVICES_MAX);
        ensure!(self.events > 0, "`--events` must be at least 1");
        ensure!((1..=stream::LINES_MAX).contains(&self.lines), "`--lines` is 1 to {}", stream::LINES_MAX);
        ensure!(self.connections > 0, "`--connections` must be at least 1");
        ensure!(self.skew >= 0.0 && self.skew.is_finite(), "`--skew` must be 0 or more");
        ensure!(self.rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "`--rate` must be above 0");
        Ok(())
    }
}

/// Registers devices, posts events, and waits until their windows are closed.
///
/// # Errors
/// The test could not be made: unusable options, a server that is away or refuses. Windows that stay open are no error but a bad
/// report.
pub(crate) async fn run(options: &ChangesOptions) -> anyhow::Result<ChangesReport> {
    options.check()?;
    let target = Target::of_demo(&options.demo, crate::options::FIRST_TENANT)?;
    let ops = Demo::read(&options.demo)?.ops;
    let rest = Endpoint::parse(&target.rest)?;
    let registering = Instant::now();
    if !options.registered {
        world::register(&rest, &target.api_key, options).await.context("cannot register the devices")?;
    }
    let registered_seconds = (!options.registered).then(|| registering.elapsed().as_secs_f64());
    let mut meters = Meters::at(Endpoint::parse(&ops)?);
    let before = meters.read().await?;
    let (watched, own, begun) = (Watched::start(&options.watch)?, CpuClock::own()?, Instant::now());
    let posted = Stream::new(options).post(&rest, &target.api_key, options).await?;
    let posting = begun.elapsed();
    let (after, settling) = settle(&mut meters, &before, begun, options).await?;
    let figures = Figures { registered_seconds, posted, posting, settling, before, after };
    Ok(ChangesReport::new(options, figures, watched.elapsed()?, CpuClock::own()?.saturating_sub(own)))
}

/// Waits until no window is open and all that was posted was taken; returns the figures and when that was.
async fn settle(
    meters: &mut Meters,
    before: &report::Meter,
    begun: Instant,
    options: &ChangesOptions,
) -> anyhow::Result<(report::Meter, Duration)> {
    let limit = Instant::now() + Duration::from_secs(options.settle_seconds_max);
    loop {
        let now = meters.read().await?;
        if (now.is_settled(before, options.events)) || Instant::now() > limit {
            return Ok((now, begun.elapsed()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A connection that was not refused.
fn client(endpoint: &Endpoint) -> Client {
    Client::new(endpoint.clone())
}
