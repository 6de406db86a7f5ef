//! What a service centre remembers between starts, in a file of one entry a line. Survives `kill -9`, not a power cut.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::owed::Owed;
use crate::SimError;

/// An open memory.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    file: File,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Entry<'entry> {
    /// Ids up to this are used.
    Used(u64),
    Owed(std::borrow::Cow<'entry, Owed>),
    Done(u64),
}

/// What a centre is owed by its own past.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) used: u64,
    pub(super) owed: BTreeMap<u64, Owed>,
}

impl Memory {
    /// Reads what is there and writes anew what still counts.
    pub(super) fn open(dir: &Path) -> Result<(Self, Past), SimError> {
        let path = dir.join("smsc.jsonl");
        let failed = |attempt| {
            let path = path.clone();
            move |source| SimError::File { attempt, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make the folder of"))?;
        let past = read(&path)?;
        let beside = path.with_extension("new");
        let open = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside);
        let mut text = Vec::new();
        put(&mut text, &Entry::Used(past.used));
        past.owed.values().for_each(|owed| put(&mut text, &Entry::Owed(std::borrow::Cow::Borrowed(owed))));
        open.and_then(|mut file| file.write_all(&text)).map_err(failed("write"))?;
        fs::rename(&beside, &path).map_err(failed("replace"))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(failed("open"))?;
        Ok((Self { path, file }, past))
    }

    /// Adds lines that [`put_owed`], [`put_used`] and [`put_done`] made, with one write.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), SimError> {
        let written = self.file.write_all(lines);
        written.map_err(|source| SimError::File { attempt: "append to", path: self.path.clone(), source })
    }
}

pub(super) fn put_owed(lines: &mut Vec<u8>, owed: &Owed) {
    put(lines, &Entry::Owed(std::borrow::Cow::Borrowed(owed)));
}

pub(super) fn put_used(lines: &mut Vec<u8>, id: u64) {
    put(lines, &Entry::Used(id));
}

pub(super) fn put_done(lines: &mut Vec<u8>, number: u64) {
    put(lines, &Entry::Done(number));
}

fn put(lines: &mut Vec<u8>, entry: &Entry<'_>) {
    serde_json::to_writer(&mut *lines, entry).expect("an entry has no map keys that are not text");
    lines.push(b'\n');
}

/// A last line that is not whole was never acted upon.
fn read(path: &Path) -> Result<Past, SimError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Past::default()),
        Err(source) => return Err(SimError::File { attempt: "read", path: path.to_owned(), source }),
    };
    let mut past = Past::default();
    let lines = text.split_inclusive(|octet| *octet == b'\n').filter(|line| line.ends_with(b"\n"));
    for (index, line) in lines.enumerate() {
        let entry = serde_json::from_slice(line);
        let broken = |source| SimError::Journal { path: path.to_owned(), line: index + 1, source };
        match entry.map_err(broken)? {
            Entry::Used(id) => past.used = past.used.max(id),
            Entry::Owed(owed) => drop(past.owed.insert(owed.number, owed.into_owned())),
            Entry::Done(number) => drop(past.owed.remove(&number)),
        }
    }
    Ok(past)
}
