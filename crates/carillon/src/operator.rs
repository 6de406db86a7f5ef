//! Operators' commands for engines that belong to a process that runs: asked through a socket in its data directory, which only
//! its owner may enter. Knows how to ask and to answer, not what is asked.

pub(crate) mod apply;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use runtime::Stop;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::backup::Rest;
use crate::cli::Common;
use crate::config::Config;
use crate::engines::{self, Engines, Patience};
use crate::{backup, doctor, lanes};

/// The socket, in the data directory.
const SOCKET: &str = "operator.sock";
/// Octets of a command.
const ORDER_BYTES_MAX: u64 = 4 << 20;
/// How long a command may be on its way, and its answer: operators are answered one after the other.
const LETTER_MAX: Duration = Duration::from_secs(10);

/// What may be asked of an installation's engines.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Order {
    Lanes(lanes::Command),
    Backup(backup::Wanted),
    Apply(apply::Wanted),
    Doctor(doctor::Examination),
}

/// What came of it.
#[derive(Serialize, Deserialize, Debug, Default)]
pub(crate) struct Answer {
    /// What the command prints.
    pub(crate) text: String,
    /// Why it failed; empty if it did not.
    error: String,
}

/// What a command works with.
pub(crate) struct Desk<'a> {
    pub(crate) engines: &'a Engines,
    pub(crate) config: &'a Config,
    pub(crate) data: &'a Path,
    /// Whether no role runs on them.
    pub(crate) rest: Rest,
}

impl Desk<'_> {
    /// The journal of the farm inside, whether there is one or not.
    pub(crate) fn journal(&self) -> PathBuf {
        let set = &self.config.modem_farm.journal_dir;
        let inside = *set == modem_farm::Config::default().journal_dir;
        let folder = if inside { self.data.join(backup::FARM) } else { set.clone() };
        folder.join("journal.db")
    }

    async fn perform(&self, order: &Order) -> Answer {
        let done = match order {
            Order::Lanes(command) => command.perform(self).await,
            Order::Backup(wanted) => wanted.perform(self).await,
            Order::Apply(wanted) => wanted.perform(self).await,
            Order::Doctor(examination) => examination.perform(self).await,
        };
        match done {
            Ok(text) => Answer { text, error: String::new() },
            Err(error) => Answer { text: String::new(), error: format!("{error:#}") },
        }
    }
}

/// Has an order carried out, and prints what came of it.
pub(crate) async fn give(common: &Common, config: &Config, order: Order) -> anyhow::Result<ExitCode> {
    print!("{}", carried_out(common, config, order).await?);
    Ok(ExitCode::SUCCESS)
}

/// Has an order carried out: by the process whose engines these are, or here if none runs or they are on servers.
pub(crate) async fn carried_out(common: &Common, config: &Config, order: Order) -> anyhow::Result<String> {
    let asked = if engines::on_servers(config) { None } else { ask(&common.data, &order).await? };
    let answer = match asked {
        Some(answer) => answer,
        None => {
            let (member, patience) = (config.member("operator"), Patience::of_command());
            let engines = Engines::find(config, &common.data, &member, &patience).await?;
            let answer = Desk { engines: &engines, config, data: &common.data, rest: Rest::Yes }.perform(&order).await;
            engines.close().await;
            answer
        }
    };
    anyhow::ensure!(answer.error.is_empty(), "{}", answer.error);
    Ok(answer.text)
}

/// Asks the process that runs on this data directory; `None` if none does.
async fn ask(data: &Path, order: &Order) -> anyhow::Result<Option<Answer>> {
    let Ok(mut stream) = UnixStream::connect(data.join(SOCKET)).await else { return Ok(None) };
    let mut text = serde_json::to_vec(order)?;
    text.push(b'\n');
    stream.write_all(&text).await.context("cannot ask the process that runs")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.context("the process that runs did not answer")?;
    anyhow::ensure!(!answer.is_empty(), "the process that runs stopped before it answered: ask again");
    serde_json::from_slice(&answer).map(Some).context("the process that runs speaks another version")
}

/// Answers operators, one after the other, until the stop begins.
pub(crate) async fn serve(engines: Engines, config: Config, data: PathBuf, stop: Stop) {
    let path = data.join(SOCKET);
    // One that was left: this process has the engines, so nobody else listens there.
    drop(std::fs::remove_file(&path));
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            let socket = path.display();
            return tracing::warn!(%socket, %error, "operators' commands can't be taken while this process runs");
        }
    };
    let desk = Desk { engines: &engines, config: &config, data: &data, rest: Rest::No };
    loop {
        let stream = tokio::select! {
            () = stop.begun() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = stream else { continue };
        tokio::select! {
            () = stop.begun() => break,
            answered = answer(&desk, stream) => if let Err(error) = answered {
                tracing::debug!(%error, "an operator went away");
            }
        }
    }
    drop(std::fs::remove_file(&path));
}

async fn answer(desk: &Desk<'_>, stream: UnixStream) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    tokio::time::timeout(LETTER_MAX, (&mut stream).take(ORDER_BYTES_MAX).read_line(&mut line)).await??;
    if line.is_empty() {
        return Ok(());
    }
    let answer = match serde_json::from_str::<Order>(&line) {
        Ok(order) => desk.perform(&order).await,
        Err(error) => Answer { text: String::new(), error: format!("the process that runs can't read this: {error}") },
    };
    let answer = serde_json::to_vec(&answer)?;
    let written = async {
        stream.get_mut().write_all(&answer).await?;
        stream.get_mut().shutdown().await
    };
    Ok(tokio::time::timeout(LETTER_MAX, written).await??)
}
