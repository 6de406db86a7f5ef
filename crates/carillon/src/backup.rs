//! `carillon backup`: an installation on embedded engines as it was at one moment, copied while it runs. Knows which files
//! there are, not what is in them.

pub(crate) mod manifest;
pub(crate) mod restore;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use bus::AnyBus;
use clap::Args;
use embedded::Snapshot;
use serde::{Deserialize, Serialize};

use crate::cli::Common;
use crate::config::{Config, Door};
use crate::operator::{self, Desk, Order};
use crate::{demo, engines};
use manifest::Manifest;

/// Where the lanes are in a data directory.
const LANES: &str = "carillon.lanes";
/// Where the farm inside keeps its journal, in a data directory.
pub(crate) const FARM: &str = "farm";
/// The journal, in its folder.
const JOURNAL: &str = "journal.db";
/// The journal's key, beside it.
const JOURNAL_KEY: &str = "journal.key";
/// The keys of the installation.
const KEYS: &str = "keys";
/// What else of a data directory is kept: written once and then only read.
const KEPT: [&str; 4] = ["pki", "routers", "farms", "demo.json"];
/// Files of these that are kept, at most.
const FILES_MAX: usize = 10_000;

/// Copies an installation on embedded engines while it runs, as it was at one moment, and checks the copy.
///
/// The copy holds state, lanes, the journal of the farm inside, certificates, and the installation's keys: whoever has it can
/// read every message in it. Farms elsewhere keep their own journals, which must not be restored.
#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// Where to: a directory that is not there yet, or is empty.
    #[arg(long, value_name = "DIR", required_unless_present = "verify")]
    to: Option<PathBuf>,
    /// Leaves out the master key (`keys/`), which must then be kept elsewhere: without it nothing in the copy can be read.
    #[arg(long, conflicts_with = "verify")]
    without_keys: bool,
    /// Checks a copy that was made before: every file against its sum, the databases and the lanes.
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    verify: Option<PathBuf>,
    /// Prints what was copied or checked as JSON.
    #[arg(long)]
    json: bool,
}

/// A backup that is asked for.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Wanted {
    to: PathBuf,
    without_keys: bool,
    json: bool,
}

/// Whether the engines rest while they are copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    /// No process has them: nothing was sent after the copy until somebody starts one again.
    Yes,
    /// A process works with them.
    No,
}

impl Backup {
    pub(crate) async fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        if let Some(copy) = &self.verify {
            let copy = copy.clone();
            let manifest = tokio::task::spawn_blocking(move || Manifest::verify(&copy)).await??;
            print!("{}", manifest.told("is whole", self.json)?);
            return Ok(ExitCode::SUCCESS);
        }
        let config = Config::load(common, Door::None)?;
        anyhow::ensure!(
            !engines::on_servers(&config),
            "`carillon backup` is for embedded engines: what is on servers is copied by their own tools"
        );
        let to = self.to.as_deref().context("give --to DIR")?;
        let to = std::path::absolute(to).with_context(|| format!("cannot name `{}`", to.display()))?;
        let wanted = Wanted { to, without_keys: self.without_keys, json: self.json };
        operator::give(common, &config, Order::Backup(wanted)).await
    }
}

impl Wanted {
    /// Makes the copy. One that could not be finished has no manifest, and is refused by everything that reads copies.
    pub(crate) async fn perform(&self, desk: &Desk<'_>) -> anyhow::Result<String> {
        make_empty(&self.to)?;
        #[cfg_attr(
            not(feature = "cluster"),
            expect(irrefutable_let_patterns, reason = "there is one kind of lanes then")
        )]
        let (database, AnyBus::Embedded(bus)) = (desk.engines.database()?, &desk.engines.bus) else {
            anyhow::bail!("the lanes are not embedded");
        };
        let path = database.path().to_owned();
        // The journal first: what it then says of a moment earlier than the lanes can only be told again.
        let journal = desk.journal();
        let journal_then = journal.exists().then(|| Snapshot::take(&journal)).transpose()?;
        // On the thread that writes the state, between two of its commits: nothing moves there while the lanes are looked at.
        // What was answered is in both then, and what one says of the other is there.
        let (bus, of) = (bus.clone(), path.clone());
        let taken = database.write(move |_| Ok((Snapshot::take(&of), bus.cut()))).await;
        let (state, lanes) = taken.context("cannot hold the state still")?;
        let (state, lanes) = (state?, lanes.context("cannot look at the lanes")?);
        let (at, rest) = (demo::now(), desk.rest);
        let copy = Copy { from: desk.data.to_owned(), to: self.to.clone(), without_keys: self.without_keys };
        let (to, json) = (self.to.clone(), self.json);
        let copied = tokio::task::spawn_blocking(move || {
            let name = path.file_name().context("the state has a name")?;
            state.copy(&copy.to.join(name))?;
            drop(state);
            let folder = copy.folder(LANES)?;
            lanes.write(&folder).context("cannot copy the lanes")?;
            drop(lanes);
            copy.journal(journal_then.as_ref(), &journal)?;
            copy.rest()?;
            Manifest::of(&copy.to, at, rest)?.write(&copy.to)?;
            Manifest::verify(&copy.to)
        });
        let manifest = copied.await.context("the copy was given up")?;
        let manifest = manifest.with_context(|| format!("the copy in `{}` is not to be used", to.display()))?;
        manifest.told(&format!("was copied to `{}`, and is whole", to.display()), json)
    }
}

/// Where from, where to.
struct Copy {
    from: PathBuf,
    to: PathBuf,
    without_keys: bool,
}

impl Copy {
    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.to.join(name);
        engines::make_private(&folder)?;
        Ok(folder)
    }

    fn journal(&self, then: Option<&Snapshot>, journal: &Path) -> anyhow::Result<()> {
        let Some(then) = then else { return Ok(()) };
        let folder = self.folder(FARM)?;
        then.copy(&folder.join(JOURNAL))?;
        copy_file(&journal.with_file_name(JOURNAL_KEY), &folder.join(JOURNAL_KEY))
    }

    fn rest(&self) -> anyhow::Result<()> {
        let keys = (!self.without_keys).then_some(KEYS);
        for name in KEPT.into_iter().chain(keys) {
            let from = self.from.join(name);
            // A farm that was issued here may have run here: its journal is its own.
            for file in files(&from)?.into_iter().filter(|file| !is_journal(file)) {
                let below = file.strip_prefix(&self.from).expect("it was found there");
                copy_file(&file, &self.to.join(below))?;
            }
        }
        Ok(())
    }
}

fn is_journal(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "journal")
}

/// All files below a path, which may be one itself or not be there.
pub(crate) fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![path.to_owned()]);
    while let Some(path) = open.pop() {
        let context = || format!("cannot read `{}`", path.display());
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(context),
            Ok(about) if about.is_dir() => {
                for entry in std::fs::read_dir(&path).with_context(context)? {
                    open.push(entry.with_context(context)?.path());
                }
            }
            Ok(about) if about.is_file() => found.push(path),
            Ok(_) => {}
        }
        anyhow::ensure!(found.len() + open.len() <= FILES_MAX, "more than {FILES_MAX} files below the directory");
    }
    found.sort();
    Ok(found)
}

/// Copies a file with its mode; it is on the disk when this returns.
pub(crate) fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot copy `{}` to `{}`", from.display(), to.display());
    engines::make_private(to.parent().context("a file is in a directory")?)?;
    std::fs::copy(from, to).with_context(context)?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).with_context(context)
}

/// Makes a directory for its owner only. One that is there must be empty.
pub(crate) fn make_empty(path: &Path) -> anyhow::Result<()> {
    engines::make_private(path)?;
    let mut entries = std::fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    // What a file system keeps at its own root is nobody's.
    let taken = entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found"));
    anyhow::ensure!(!taken, "`{}` is not empty: give a directory that is not there yet, or is empty", path.display());
    Ok(())
}
