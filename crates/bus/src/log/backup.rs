//! Copying the lanes while they are written. Knows their files, changes nothing.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rand::Rng as _;

use super::frame::{Head, LaneRow};
use super::segment::{self, Segment};
use super::shelf::{Cut, SEGMENT_BYTES, Shelf};
use super::{EmbeddedBus, recover};
use crate::LogError;

/// Octets copied at a time.
const COPY_OCTETS: usize = 1 << 20;

/// The lanes as they were at one moment. As long as it is held, their files are kept.
#[derive(Debug)]
pub struct LanesCut(Cut);

impl EmbeddedBus {
    /// The lanes as they are now: a state in which a crash at this moment might have left them. Reads the file that is
    /// written, and waits for nothing.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn cut(&self) -> Result<LanesCut, LogError> {
        self.inner.shelf.cut().map(LanesCut)
    }
}

impl LanesCut {
    /// Writes the files into a folder that is there and has none of them; returns their names. They are on the disk when this
    /// returns.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, LogError> {
        let Cut { segments, end } = &self.0;
        let (last, whole) = segments.split_last().expect("there is always one that is written");
        let mut written = Vec::with_capacity(segments.len());
        for segment in whole {
            written.push(copy(segment, segment.bytes(), folder)?);
        }
        // What stands behind its last whole frame was promised to nobody.
        written.push(copy(last, *end, folder)?);
        segment::sync_folder(folder).map_err(|source| LogError::io("sync", folder, source))?;
        Ok(written)
    }
}

/// Copies the first octets of a segment; the rest of the file is empty.
fn copy(segment: &Segment, octets: u64, folder: &Path) -> Result<PathBuf, LogError> {
    let path = folder.join(segment.path.file_name().expect("a segment has a name"));
    let failed = |source| LogError::io("write", &path, source);
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = made.map_err(failed)?;
    let mut at = 0;
    while at < octets {
        let count = usize::try_from(octets - at).unwrap_or(COPY_OCTETS).min(COPY_OCTETS);
        let read = segment.read(at, count).map_err(|source| LogError::io("read", &segment.path, source))?;
        file.write_all(&read).map_err(failed)?;
        at += count as u64;
    }
    file.set_len(segment.bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(path)
}

/// Whether the lanes in this folder, which nobody writes, are whole: what a start would find.
///
/// # Errors
/// [`LogError`], as a start would say it.
pub fn check(folder: &Path) -> Result<(), LogError> {
    let files = segment::list(folder).map_err(|source| LogError::io("list", folder, source))?;
    if files.is_empty() {
        return Err(LogError::Missing { before: folder.to_owned() });
    }
    recover::recover(folder).map(drop)
}

/// Gives the lanes in this folder, which nobody writes, identities of their own: they are a copy, and what farms know of the
/// originals (the highest epoch they answered) does not hold for them.
///
/// # Errors
/// [`LogError`].
pub fn renew(folder: &Path) -> Result<(), LogError> {
    let (shelf, mut pen) = Shelf::open(folder, SEGMENT_BYTES)?;
    let renewed = |row: LaneRow| LaneRow { id: rand::rng().random::<[u8; 16]>().to_vec().into(), ..row };
    let lanes = shelf.lanes().into_iter().map(renewed).collect();
    shelf.write(&mut pen, &Head { lanes, ..Head::default() }, &[])
}
