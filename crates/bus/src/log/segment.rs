//! A segment: one file of frames, written at its end and read anywhere. Knows a file, no lane.
//!
//! A new file is filled with zeros first, and one that is not needed any more is written over: a sync then has no block to
//! allocate and no length to change, which is most of what it costs on a journalling file system.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The number of the first segment of all.
pub(super) const FIRST: u64 = 1;
/// Zeros written at a time.
const FILL: usize = 1 << 20;
/// What a file is called that waits to be written over.
const SPARE: &str = "spare";

/// One file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    file: File,
    bytes: u64,
}

impl Segment {
    /// Makes the segment of this number, with room for at least `bytes`, from a spare file if one is large enough. It is
    /// there after a loss of power.
    pub(super) fn make(folder: &Path, number: u64, bytes: u64) -> io::Result<Self> {
        let path = folder.join(name(number));
        let spare = spares(folder)?.into_iter().find(|(_, length)| *length >= bytes);
        let from = match spare {
            Some((spare, _)) => spare,
            None => fill(folder.join("now.filling"), bytes)?,
        };
        std::fs::rename(from, &path)?;
        sync_folder(folder)?;
        Self::open(number, path)
    }

    /// Opens a segment that is there.
    pub(super) fn open(number: u64, path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Segment { number, path, file, bytes })
    }

    /// Octets the file has room for.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes and syncs.
    pub(super) fn write(&self, at: u64, octets: &[u8]) -> io::Result<()> {
        self.file.write_all_at(octets, at)?;
        self.file.sync_data()
    }

    /// Reads octets; fewer at the end of the file.
    pub(super) fn read(&self, at: u64, count: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut octets = vec![0; count.min(left)];
        self.file.read_exact_at(&mut octets, at)?;
        Ok(octets)
    }

    /// Lets go of the file: it waits to be written over if few enough do, and is removed else. Nobody may read it any more.
    pub(super) fn retire(self, folder: &Path, spares_max: usize, bytes: u64) -> io::Result<()> {
        let waiting = spares(folder)?;
        if waiting.len() >= spares_max || self.bytes != bytes {
            return std::fs::remove_file(&self.path);
        }
        let to = folder.join(format!("{:016x}.{SPARE}", self.number));
        std::fs::rename(&self.path, to)
    }
}

fn name(number: u64) -> String {
    format!("{number:016x}.log")
}

fn spares(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == SPARE) {
            found.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(found)
}

/// Sees to it that a spare waits, so that whoever needs the next file need not fill it. May run beside everything else, once at
/// a time.
pub(super) fn fill_ahead(folder: &Path, bytes: u64) -> io::Result<()> {
    if spares(folder)?.iter().any(|(_, length)| *length >= bytes) {
        return Ok(());
    }
    let filled = fill(folder.join("ahead.filling"), bytes)?;
    std::fs::rename(filled, folder.join("ahead").with_extension(SPARE))
}

/// A file of zeros. One that was not finished is begun anew.
fn fill(path: PathBuf, bytes: u64) -> io::Result<PathBuf> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let zeros = vec![0; FILL];
    let mut at = 0;
    while at < bytes {
        let count = FILL.min(usize::try_from(bytes - at).unwrap_or(FILL));
        file.write_all_at(&zeros[..count], at)?;
        at += count as u64;
        // Little by little: a sync of all of it would hold up those of others.
        file.sync_data()?;
    }
    file.sync_all()?;
    Ok(path)
}

/// The segments of a folder, in order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log"));
        if let Some(number) = number.and_then(|number| u64::from_str_radix(number, 16).ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
