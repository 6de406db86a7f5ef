//! `carillon inbound`: messages from handsets that are nobody's, for operators. Knows the operator's list, no tenant's.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use model::reply::Words;
use model::{MessageId, Timestamp};
use serde::Serialize;
use store::{INBOUND_MS, InboundOwner, InboundPlace, Store};

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::engines::{Absent, Engines, Patience};
use crate::{demo, secrets};

/// Messages asked for at a time.
const PAGE: usize = 500;

/// Shows messages from handsets that answer nobody and came to nobody's SIM or account.
#[derive(Args, Debug)]
pub(crate) struct Inbound {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Lists them, the oldest first: those of the last 30 days.
    List {
        /// Prints a line of JSON for each.
        #[arg(long)]
        json: bool,
    },
}

/// A message as it is shown.
#[derive(Serialize)]
struct Shown {
    id: String,
    received_at: Timestamp,
    account: String,
    from: String,
    text: String,
}

impl Inbound {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let config = Config::load(common, Door::None)?;
        let Command::List { json } = self.command;
        let key = secrets::master_key(&config, &common.data, Absent::Refuse)?.inbound_key();
        let engines = Engines::find(&config, &common.data, &config.member("inbound"), &Patience::of_command()).await?;
        let now = demo::now();
        let mut after =
            InboundPlace { owner: InboundOwner::Operator, received: now.plus_ms(-INBOUND_MS), id: MessageId(0) };
        loop {
            let rows = engines.store.inbound(&after, now, PAGE).await.context("cannot read the operator's list")?;
            let Some(last) = rows.last().map(|row| row.place.clone()) else { break };
            after = last;
            for row in rows {
                let words = Words::open(&key, row.place.id, &row.sealed).context("a message does not open")?;
                let id = row.place.id.to_string();
                let Words { from, text, heard_ms, .. } = words;
                show(&Shown { id, received_at: Timestamp(heard_ms), account: row.account, from, text }, json)?;
            }
        }
        engines.close().await;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(shown: &Shown, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(shown)?);
    } else {
        let Shown { received_at, account, from, text, .. } = shown;
        // A text from outside must not move the terminal's cursor.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        println!("{received_at}  {account}  {from}  {text}");
    }
    Ok(())
}
