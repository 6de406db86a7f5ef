//! What a backup holds, with a sum of every file: how a copy that is cut short or spoilt is known. Knows files and sums.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FARM, JOURNAL, LANES, Rest, files};
use crate::engines;

/// The manifest's file, in the copy.
const FILE: &str = "manifest.json";
/// The form of copies this build makes and reads.
const FORMAT: u32 = 1;

/// What a copy holds.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Manifest {
    format: u32,
    /// The build that made it.
    version: String,
    /// The moment it is of.
    pub(crate) taken_at: Timestamp,
    /// Whether nothing ran meanwhile.
    pub(crate) at_rest: bool,
    bytes: u64,
    pub(crate) files: Vec<Kept>,
}

/// One file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    /// Its path in the copy, and in a data directory.
    pub(crate) path: PathBuf,
    bytes: u64,
    blake3: String,
}

impl Manifest {
    /// Of all files in this directory.
    pub(crate) fn of(copy: &Path, taken_at: Timestamp, rest: Rest) -> anyhow::Result<Self> {
        let kept = files(copy)?.iter().map(|file| Kept::of(copy, file)).collect::<anyhow::Result<Vec<_>>>()?;
        let bytes = kept.iter().map(|kept| kept.bytes).sum();
        let (version, at_rest) = (env!("CARGO_PKG_VERSION").into(), rest == Rest::Yes);
        Ok(Manifest { format: FORMAT, version, taken_at, at_rest, bytes, files: kept })
    }

    /// Writes it beside the files. A copy without it is no copy.
    pub(crate) fn write(&self, copy: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        runtime::secret::write_private(&copy.join(FILE), &text).context("cannot write the manifest")
    }

    /// Checks every file against its sum, and that databases and lanes read as they were written.
    pub(crate) fn verify(copy: &Path) -> anyhow::Result<Self> {
        let path = copy.join(FILE);
        let text = std::fs::read(&path)
            .with_context(|| format!("`{}` is no backup, or one that was cut short: no manifest", copy.display()))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).with_context(|| format!("`{}` is broken", path.display()))?;
        anyhow::ensure!(manifest.format == FORMAT, "`{}` is of a form this build can't read", path.display());
        for kept in &manifest.files {
            let found = Kept::of(copy, &copy.join(&kept.path))?;
            anyhow::ensure!(found == *kept, "`{}` is not what was copied", copy.join(&kept.path).display());
        }
        let known: BTreeSet<PathBuf> = manifest.files.iter().map(|kept| copy.join(&kept.path)).collect();
        let strange = files(copy)?.into_iter().find(|file| *file != path && !known.contains(file));
        anyhow::ensure!(strange.is_none(), "`{}` is not in the manifest", strange.unwrap_or_default().display());
        embedded::check(&copy.join(engines::DATABASE))?;
        bus::check_lanes(&copy.join(LANES)).context("the lanes are not whole")?;
        let journal = copy.join(FARM).join(JOURNAL);
        if journal.exists() {
            embedded::check(&journal)?;
        }
        Ok(manifest)
    }

    /// What is said of it.
    pub(crate) fn told(&self, what: &str, json: bool) -> anyhow::Result<String> {
        if json {
            return Ok(serde_json::to_string_pretty(self)? + "\n");
        }
        let mut text = String::new();
        let (count, mebibytes) = (self.files.len(), self.bytes.div_ceil(1 << 20));
        writeln!(text, "the installation as of {} {what}: {count} files, {mebibytes} MiB", self.taken_at)?;
        Ok(text)
    }
}

impl Kept {
    fn of(copy: &Path, file: &Path) -> anyhow::Result<Self> {
        let context = || format!("cannot read `{}`", file.display());
        let bytes = std::fs::metadata(file).with_context(context)?.len();
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(file).with_context(context)?).with_context(context)?;
        let path = file.strip_prefix(copy).context("a file of a copy is below it")?.to_owned();
        anyhow::ensure!(path.components().all(is_plain), "`{}` is no path in a copy", path.display());
        Ok(Kept { path, bytes, blake3: hasher.finalize().to_hex().to_string() })
    }
}

/// A manifest names files below it and nothing else.
fn is_plain(part: std::path::Component<'_>) -> bool {
    matches!(part, std::path::Component::Normal(_))
}
