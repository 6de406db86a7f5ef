//! `carillon lanes dead-letters`: what could not be read, listed, replayed or ended by an operator. Shows headers, never a
//! record's content.

use anyhow::Context;
use bus::AnyBus;
use clap::Subcommand;
use serde::Serialize;
use sms_router::deadletter::{self, Letter};

use crate::demo;

/// Letters asked for at a time.
const PAGE: usize = 1_000;

#[derive(Subcommand, Debug)]
pub(super) enum DeadLetters {
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
    },
    /// Ends the deliveries of letters as failed.
    End {
        /// Which: offsets as listed.
        #[arg(required = true, value_name = "OFFSET")]
        offsets: Vec<i64>,
        /// What their timelines say.
        #[arg(long, default_value = "the record could not be read")]
        reason: String,
    },
}

impl DeadLetters {
    pub(super) async fn run(&self, bus: &AnyBus) -> anyhow::Result<()> {
        match self {
            DeadLetters::List { json } => list(bus, *json).await,
            DeadLetters::Replay { offsets } => {
                let count = deadletter::replay(bus, offsets).await.context("cannot replay")?;
                println!("{count} replayed");
                Ok(())
            }
            DeadLetters::End { offsets, reason } => {
                let count = deadletter::end(bus, offsets, reason, demo::now()).await.context("cannot end")?;
                println!("{count} ended");
                Ok(())
            }
        }
    }
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

async fn list(bus: &AnyBus, json: bool) -> anyhow::Result<()> {
    let (mut rows, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        let page = deadletter::list(bus, next, PAGE).await.context("cannot list")?;
        rows.extend(page.letters.into_iter().map(Row::of));
        from = page.next;
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for row in &rows {
        println!(
            "{:>8}  {}  from {} {}:{}  {} {}  {}",
            row.offset, row.at, row.lane, row.partition, row.lane_offset, row.tenant, row.message, row.reason
        );
    }
    println!("{} open", rows.len());
    Ok(())
}
