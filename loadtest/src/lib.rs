//! Sends messages through a public door, follows them to their end, and counts what came of each.
//!
//! Knows the public protocols (REST, OMS, the ledger), Kannel's door and the simulated network's record; must not know anything of the
//! server's inside.

mod changes;
mod chart;
mod client;
mod comparison;
mod cpu;
mod crew;
mod door;
mod follow;
mod ledger;
mod network;
mod options;
mod page;
mod plan;
mod progress;
mod receipts;
mod report;
mod result;
mod scenario;
mod send;
mod server;
mod stage;
mod timeline;
mod verify;

use std::time::{Duration, Instant, SystemTime};

pub use changes::{ChangesOptions, ChangesReport};
pub use comparison::Comparison;
pub use options::{CompareOptions, Door, Options, ScenarioOptions, Until, Verify, Watch};
pub use report::Report;
pub use result::ScenarioReport;

use crate::cpu::{CpuClock, Watched};
use crate::follow::Follower;
use crate::network::NetworkLog;
use crate::options::Target;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{Outcome, Rates};
use crate::server::Server;

/// Runs a scenario and says what came of it.
///
/// # Errors
/// As [`run`]. A check that is not met is no error but a bad report.
pub async fn run_scenario(options: &ScenarioOptions) -> anyhow::Result<ScenarioReport> {
    stage::run(options).await
}

/// Runs a load of change notifications and says what came of it.
///
/// # Errors
/// As [`run`]. Windows that stay open are no error but a bad report.
pub async fn run_changes(options: &ChangesOptions) -> anyhow::Result<ChangesReport> {
    changes::run(options).await
}

/// Holds two results against each other.
///
/// # Errors
/// A file cannot be read or is no JSON object, or the page cannot be written.
pub fn compare(options: &CompareOptions) -> anyhow::Result<Comparison> {
    Comparison::of(options)
}

/// Does a part of another process's work: reads the job from the standard input and tells what came of it on the standard
/// output.
///
/// # Errors
/// The job cannot be read or told of.
pub async fn part() -> anyhow::Result<()> {
    crew::part().await
}

/// Runs one load test and says what came of it.
///
/// # Errors
/// The test could not be made: unusable options, an unreachable server, an unreadable record of the network. A message
/// that was lost or doubled is no error but a bad report.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let server = Server::start(&options).await?;
    let target = Target::resolve(&options)?;
    let result = load(&options, &target, server.as_ref()).await;
    if let Some(server) = server {
        server.stop().await?;
    }
    result
}

async fn load(options: &Options, target: &Target, server: Option<&Server>) -> anyhow::Result<Report> {
    let plan = Plan::new(options, target);
    let log = target.sim_log.as_deref().map(NetworkLog::from_here).transpose()?;
    let mut follower = Follower::start(&plan, target).await?;
    let cpu = server.map(Server::pid).or(options.server_pid).map(CpuClock::start).transpose()?;
    let watched = Watched::start(&options.watch)?;
    let progress = Progress::new(plan.deliveries());
    let (began, began_at) = (Instant::now(), SystemTime::now());
    let sending = send::send_all(&plan, target, follower.receipts(), &progress, began);
    let sent = follower.glance_during(sending, |done| progress.followed(done)).await?;
    let sending = began.elapsed();
    let expected = sent.accepted_messages() * plan.recipients() as u64;
    let settle = Duration::from_secs(options.settle_seconds_max);
    let used = || anyhow::Ok((cpu.as_ref().map(CpuClock::elapsed).transpose()?, watched.elapsed()?));
    // What accepting took, before what others make of it.
    let accepting = used()?;
    let followed = follower.wait(options.until, expected, settle, |done| progress.followed(done)).await?;
    let (server_cpu, watched) = if options.until == Until::Final { used()? } else { accepting };
    let delivering = followed.reached_at().map(|at| at - began);
    // What was only accepted has nothing to show yet.
    let ended = options.until == Until::Final;
    let which = if ended && plan.door != Door::Kannel { options.verify } else { Verify::None };
    let states = verify::verify(&plan, target, &sent, which).await?;
    let network = log.filter(|_| ended).map(|log| log.count(&plan, &sent, &states, began_at)).transpose()?;
    progress.finish();
    let rates = Rates { sending, delivering, server_cpu, watched, loader_cpu: CpuClock::own()? };
    Ok(Report::new(options, &plan, Outcome { sent, followed, states, network }, rates))
}
