//! Sends messages through a public door, follows them to their end, and counts what came of each.
//!
//! Knows the public protocols (REST, OMS, the ledger) and the simulated network's record; must not know anything of the
//! server's inside.

mod client;
mod cpu;
mod door;
mod ledger;
mod network;
mod options;
mod plan;
mod progress;
mod report;
mod send;
mod server;
mod verify;

use std::time::{Duration, Instant};

use anyhow::Context;

pub use options::{Door, Options, Until, Verify, Watch};
pub use report::Report;

use crate::cpu::{CpuClock, Watched};
use crate::ledger::Follower;
use crate::network::NetworkLog;
use crate::options::Target;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{Outcome, Rates};
use crate::server::Server;

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
    let mut follower = Follower::start(target).await.context("cannot read the ledger before the start")?;
    let cpu = server.map(Server::pid).or(options.server_pid).map(CpuClock::start).transpose()?;
    let watched = Watched::start(&options.watch)?;
    let progress = Progress::new(plan.deliveries());
    let began = Instant::now();
    let sending = send::send_all(&plan, target, &progress);
    let sent = follower.glance_during(sending, |done| progress.followed(done)).await?;
    let sending = began.elapsed();
    let expected = sent.accepted_messages() * plan.recipients() as u64;
    let settle = Duration::from_secs(options.settle_seconds_max);
    let (growth, server_cpu, watched) = match options.until {
        Until::Final => {
            let growth = follower.wait_for_final(expected, settle, |done| progress.followed(done)).await?;
            (growth, cpu.as_ref().map(CpuClock::elapsed).transpose()?, watched.elapsed()?)
        }
        Until::Accepted => {
            // What accepting took, before what others make of it.
            let used = (cpu.as_ref().map(CpuClock::elapsed).transpose()?, watched.elapsed()?);
            (follower.wait_for_accepted(expected, settle).await?, used.0, used.1)
        }
    };
    let delivering = growth.reached_at.map(|at| at - began);
    // What was only accepted has nothing to show yet.
    let ended = options.until == Until::Final;
    let which = if ended { options.verify } else { Verify::None };
    let states = verify::verify(&plan, target, &sent, which).await?;
    let network = log.filter(|_| ended).map(|log| log.count(&plan, &sent, &states)).transpose()?;
    progress.finish();
    let rates = Rates { sending, delivering, server_cpu, watched, loader_cpu: CpuClock::own()? };
    Ok(Report::new(options, &plan, Outcome { sent, growth, states, network }, rates))
}
