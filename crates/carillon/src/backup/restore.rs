//! `carillon restore`: a data directory from a backup, and what must not be believed of the past it is a copy of. Knows files,
//! and which promise hangs on what.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::{FARM, JOURNAL, LANES, copy_file, make_empty};
use crate::cli::Common;
use crate::demo;

/// The restore's own record, in the data directory.
const FILE: &str = "restored.json";

/// Puts a backup back into an empty data directory (--data), after checking it.
///
/// A backup is of the past, and what was waiting then may have been sent since; nobody can know. Unless you say otherwise it
/// ends as `uncertain` when its turn comes, and is not sent; what was accepted after the backup is not there at all. The
/// installation that was copied must not run any more: two that believe to be one would both send.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// What becomes of deliveries that were waiting when the backup was made, and were due before this moment.
    #[arg(long, value_enum, default_value_t = Waiting::Uncertain)]
    waiting: Waiting,
    /// Prints what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// What becomes of what waited in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Waiting {
    /// It ends as `uncertain`, but for tenants who chose to have such messages sent again.
    Uncertain,
    /// It is sent. Right if nothing ran since the backup: it was made with the installation stopped, to move it. Then also what
    /// farms know of it goes on.
    Send,
}

/// What a restore leaves for the start that follows.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Restored {
    /// The moment the backup is of.
    taken_at: Timestamp,
    /// The moment of the restore.
    restored_at: Timestamp,
    waiting: Waiting,
    /// Whether it came to its end.
    whole: bool,
}

impl Restore {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let (from, data, waiting) = (self.from.clone(), common.data.clone(), self.waiting);
        let copied = tokio::task::spawn_blocking(move || copy(&from, &data, waiting)).await?;
        let (mut restored, manifest) = copied?;
        let moved = manifest.at_rest && self.waiting == Waiting::Send;
        if !moved {
            renew(&common.data).await?;
        }
        restored.whole = true;
        restored.write(&common.data)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&restored)?);
        } else {
            print!("{}", manifest.told(&format!("was restored to `{}`", common.data.display()), false)?);
            println!("{}", restored.words());
            if !crate::secrets::in_data(&common.data).exists() {
                println!("the backup has no master key: put it back before the start (`master_key_file`)");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes lanes and journal others than those they are copies of: what farms and routers know of these does not hold any more
/// (lanes, rule 3).
async fn renew(data: &Path) -> anyhow::Result<()> {
    bus::renew_lanes(&data.join(LANES)).context("cannot renew the lanes")?;
    let farm = data.join(FARM);
    if farm.join(JOURNAL).exists() {
        modem_farm::begin_anew(&farm).await.context("cannot renew the journal")?;
    }
    Ok(())
}

/// Checks the backup and copies its files.
fn copy(from: &Path, data: &Path, waiting: Waiting) -> anyhow::Result<(Restored, Manifest)> {
    let manifest = Manifest::verify(from)?;
    make_empty(data)?;
    let restored_at = demo::now();
    let restored = Restored { taken_at: manifest.taken_at, restored_at, waiting, whole: false };
    restored.write(data)?;
    for kept in &manifest.files {
        copy_file(&from.join(&kept.path), &data.join(&kept.path))?;
    }
    Ok((restored, manifest))
}

impl Restored {
    /// What a restore left in this data directory; `None` if there never was one.
    ///
    /// # Errors
    /// It was cut short.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(FILE);
        let Ok(text) = std::fs::read(&path) else { return Ok(None) };
        let restored: Self =
            serde_json::from_slice(&text).with_context(|| format!("`{}` is broken", path.display()))?;
        anyhow::ensure!(
            restored.whole,
            "the restore into `{}` was cut short: empty the directory and restore again",
            data.display()
        );
        Ok(Some(restored))
    }

    /// Since when what was waiting may have been sent; `None` if the operator knows better.
    pub(crate) fn doubts(&self) -> Option<Timestamp> {
        (self.waiting == Waiting::Uncertain).then_some(self.restored_at)
    }

    fn words(&self) -> &'static str {
        match self.waiting {
            Waiting::Uncertain => "what was waiting ends as `uncertain`; what is due later is sent in its time",
            Waiting::Send => "what was waiting is sent",
        }
    }

    fn write(&self, data: &Path) -> anyhow::Result<()> {
        let (path, draft) = (data.join(FILE), data.join("restored.json.new"));
        let text = serde_json::to_vec_pretty(self)?;
        runtime::secret::write_private(&draft, &text).context("cannot write the restore's record")?;
        std::fs::rename(&draft, &path).with_context(|| format!("cannot write `{}`", path.display()))
    }
}
