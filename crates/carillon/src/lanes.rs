//! `carillon lanes`: what stands in the lanes, for operators. Knows lanes and groups, shows no record's content.

mod letters;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use bus::{Bus, BusError, Group};
use clap::{Args, Subcommand};
use model::{Lane, Timestamp};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::demo;
use crate::engines::Engines;
use crate::operator::{self, Desk, Order};

/// How often a partition is asked about that changes meanwhile.
const TRIES_MAX: u32 = 5;

/// Shows the lanes, of a process that runs, too.
#[derive(Args, Debug)]
pub(crate) struct Lanes {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Serialize, Deserialize, Clone, Debug)]
pub(crate) enum Command {
    /// Lists every partition: what it holds, and how far each group that reads it is behind.
    List {
        /// Prints JSON, one array.
        #[arg(long)]
        json: bool,
    },
    /// What was put aside since it could not be read.
    #[command(subcommand)]
    DeadLetters(letters::DeadLetters),
}

impl Lanes {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let config = Config::load(common, Door::None)?;
        operator::give(common, &config, Order::Lanes(self.command.clone())).await
    }
}

impl Command {
    /// Does it, and says what came of it.
    pub(crate) async fn perform(&self, desk: &Desk<'_>) -> anyhow::Result<String> {
        match self {
            Command::List { json } => list(desk.engines, *json).await,
            Command::DeadLetters(letters) => letters.perform(&desk.engines.bus).await,
        }
    }
}

/// A partition as it is shown.
#[derive(Serialize)]
struct Row {
    lane: String,
    partition: u32,
    first: i64,
    next: i64,
    /// When the oldest entry that is kept was appended, and how long ago that is.
    oldest_at: Option<String>,
    oldest_seconds: Option<i64>,
    groups: Vec<GroupRow>,
}

#[derive(Serialize)]
struct GroupRow {
    group: &'static str,
    watermark: i64,
    lag: u64,
}

async fn list(engines: &Engines, json: bool) -> anyhow::Result<String> {
    let (mut text, mut rows) = (String::new(), Vec::new());
    for (lane, groups) in lanes(engines).await? {
        for partition in 0..lane.partitions() {
            match seen(engines, &lane, partition, groups).await {
                Ok(row) => rows.push(row),
                Err(BusError::NoLane { .. }) => {
                    if !json {
                        writeln!(text, "lane `{lane}` is not there yet: the router makes it")?;
                    }
                    break;
                }
                Err(error) => return Err(error).with_context(|| format!("cannot look at lane `{lane}`")),
            }
        }
    }
    if json {
        return Ok(serde_json::to_string_pretty(&rows)? + "\n");
    }
    let title = ["lane", "partition", "first", "next", "oldest", "groups (watermark, lag)"];
    let [lane, partition, first, next, oldest, groups] = title;
    writeln!(text, "{lane:<34} {partition:>9} {first:>12} {next:>12} {oldest:>9}  {groups}")?;
    for row in rows {
        let group = |row: &GroupRow| format!("{} ({}, {})", row.group, row.watermark, row.lag);
        let groups: Vec<String> = row.groups.iter().map(group).collect();
        let oldest = row.oldest_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
        let Row { lane, partition, first, next, .. } = row;
        writeln!(text, "{lane:<34} {partition:>9} {first:>12} {next:>12} {oldest:>9}  {}", groups.join("  "))?;
    }
    Ok(text)
}

/// A partition that is trimmed between two questions is asked about again.
async fn seen(engines: &Engines, lane: &Lane, partition: u32, groups: &[Group]) -> Result<Row, BusError> {
    let mut tries = TRIES_MAX;
    loop {
        tries -= 1;
        match row(engines, lane, partition, groups).await {
            Err(BusError::Trimmed { .. }) if tries > 0 => {}
            seen => return seen,
        }
    }
}

async fn row(engines: &Engines, lane: &Lane, partition: u32, groups: &[Group]) -> Result<Row, BusError> {
    let bounds = engines.bus.bounds(lane, partition).await?;
    let mut shown = Vec::new();
    for group in groups {
        let watermark = engines.bus.watermark(*group, lane, partition).await?;
        let lag = engines.bus.lag(*group, lane, partition).await?;
        shown.push(GroupRow { group: group.name(), watermark, lag });
    }
    let oldest = bounds.oldest_ms.map(Timestamp);
    Ok(Row {
        lane: lane.to_string(),
        partition,
        first: bounds.first,
        next: bounds.next,
        oldest_at: oldest.map(|oldest| oldest.to_string()),
        oldest_seconds: oldest.map(|oldest| (demo::now().0 - oldest.0).max(0) / 1_000),
        groups: shown,
    })
}

/// Every lane, and who reads it.
async fn lanes(engines: &Engines) -> anyhow::Result<Vec<(Lane, &'static [Group])>> {
    let mut lanes = sms_router::LANES.to_vec();
    for route in engines.store.parties().await.context("cannot read the routes")?.routes {
        lanes.push((Lane::Front(route.id.clone()), &[Group::OWNER]));
        lanes.push((Lane::Bulk(route.id.clone()), &[Group::OWNER]));
        lanes.push((Lane::Leases(route.id), &[Group::OWNER]));
    }
    Ok(lanes)
}
