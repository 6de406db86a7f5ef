//! `carillon lanes dead-letters`: what could not be read, listed, replayed or ended by an operator. Shows headers, never a
//! record's content.

use std::fmt::Write as _;

use anyhow::Context;
use bus::AnyBus;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use sms_router::deadletter::{self, Letter};

use crate::demo;

/// Letters asked for at a time.
const PAGE: usize = 1_000;

#[derive(Subcommand, Serialize, Deserialize, Clone, Debug)]
pub(crate) enum DeadLetters {
    /// Lists the letters that are open: neither replayed nor ended.
    List {
        /// Prints JSON, one array.
        #[arg(long)]
        json: bool,
    },
    /// Puts letters back where they came from, for a build that can read them. Their deliveries go on.
    Replay {
        /// Which: offsets as listed.
        #[arg(required = true, value_name = "OFFSET")]
        offsets: Vec<i64>,
        /// Prints JSON: how many.
        #[arg(long)]
        json: bool,
    },
    /// Ends the deliveries of letters as failed.
    End {
        /// Which: offsets as listed.
        #[arg(required = true, value_name = "OFFSET")]
        offsets: Vec<i64>,
        /// What their timelines say.
        #[arg(long, default_value = "the record could not be read")]
        reason: String,
        /// Prints JSON: how many.
        #[arg(long)]
        json: bool,
    },
}

impl DeadLetters {
    /// Does it, and says what came of it.
    pub(super) async fn perform(&self, bus: &AnyBus) -> anyhow::Result<String> {
        match self {
            DeadLetters::List { json } => list(bus, *json).await,
            DeadLetters::Replay { offsets, json } => {
                let count = deadletter::replay(bus, offsets).await.context("cannot replay")?;
                Ok(done("replayed", count, *json))
            }
            DeadLetters::End { offsets, reason, json } => {
                let count = deadletter::end(bus, offsets, reason, demo::now()).await.context("cannot end")?;
                Ok(done("ended", count, *json))
            }
        }
    }
}

fn done(what: &str, count: usize, json: bool) -> String {
    if json { format!("{}\n", serde_json::json!({ what: count })) } else { format!("{count} {what}\n") }
}

/// A letter as it is shown.
#[derive(Serialize)]
struct Row {
    offset: i64,
    at: String,
    lane: String,
    partition: u32,
    lane_offset: i64,
    reason: String,
    tenant: String,
    message: String,
    delivery: Option<u32>,
    bytes: usize,
}

impl Row {
    fn of(letter: Letter) -> Self {
        let Letter { offset, letter } = letter;
        let header = letter.header.as_ref();
        Row {
            offset,
            at: model::Timestamp(letter.at_ms).to_string(),
            lane: letter.lane.clone(),
            partition: letter.partition,
            lane_offset: letter.offset,
            reason: letter.reason.clone(),
            tenant: header.map(|header| header.account.tenant.clone()).unwrap_or_default(),
            message: header.and_then(|header| header.id().ok()).map(|id| id.to_string()).unwrap_or_default(),
            delivery: header.map(|header| header.delivery),
            bytes: letter.payload.len(),
        }
    }
}

async fn list(bus: &AnyBus, json: bool) -> anyhow::Result<String> {
    let (mut rows, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        let page = deadletter::list(bus, next, PAGE).await.context("cannot list")?;
        rows.extend(page.letters.into_iter().map(Row::of));
        from = page.next;
    }
    if json {
        return Ok(serde_json::to_string_pretty(&rows)? + "\n");
    }
    let mut text = String::new();
    for row in &rows {
        let Row { offset, at, lane, partition, lane_offset, tenant, message, reason, .. } = row;
        writeln!(text, "{offset:>8}  {at}  from {lane} {partition}:{lane_offset}  {tenant} {message}  {reason}")?;
    }
    writeln!(text, "{} open", rows.len())?;
    Ok(text)
}
