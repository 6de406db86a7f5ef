//! What the network remembers of one SIM, in a file of one entry a line. A write that was begun survives `kill -9`
//! (not a power cut). Knows no modem.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{SimError, card::Entry};

/// The size up to which a journal is never written anew with what still counts.
const OCTETS_MAX: u64 = 4 * 1024 * 1024;
/// How many times what still counts it may be: that may itself be large.
const GROWTH_MAX: u64 = 2;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    octets: u64,
    octets_max: u64,
    line: Vec<u8>,
}

/// Reads all entries; none if there is no journal yet. A last line that is not whole was never acted upon.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, SimError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(SimError::File { attempt: "read", path: path.to_owned(), source }),
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let entry = |(index, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|source| SimError::Journal {
            path: path.to_owned(),
            line: index + 1,
            source,
        })
    };
    lines.enumerate().map(entry).collect()
}

impl Journal {
    /// Replaces what is there with these entries, whole or not at all.
    pub(crate) fn rewrite(path: &Path, entries: &[Entry]) -> Result<Self, SimError> {
        let failed = |attempt| move |source| SimError::File { attempt, path: path.to_owned(), source };
        let beside = path.with_extension("new");
        let mut open = OpenOptions::new();
        let mut file =
            open.create(true).write(true).truncate(true).mode(0o600).open(&beside).map_err(failed("begin"))?;
        let text = lines(entries);
        file.write_all(&text).map_err(failed("write"))?;
        fs::rename(&beside, path).map_err(failed("replace"))?;
        let file = OpenOptions::new().append(true).open(path).map_err(failed("open"))?;
        let octets = text.len() as u64;
        let octets_max = OCTETS_MAX.max(octets * GROWTH_MAX);
        Ok(Self { path: path.to_owned(), file, octets, octets_max, line: Vec::new() })
    }

    /// Adds entries with one write.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> Result<(), SimError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.line.clear();
        entries.iter().for_each(|entry| write_line(&mut self.line, entry));
        self.file.write_all(&self.line).map_err(|source| SimError::File {
            attempt: "append to",
            path: self.path.clone(),
            source,
        })?;
        self.octets += self.line.len() as u64;
        Ok(())
    }

    /// Whether it is time to rewrite it with what still counts.
    pub(crate) fn is_large(&self) -> bool {
        self.octets > self.octets_max
    }

    /// Rewrites itself.
    pub(crate) fn compact(&mut self, entries: &[Entry]) -> Result<(), SimError> {
        *self = Self::rewrite(&self.path, entries)?;
        Ok(())
    }
}

fn lines(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::new();
    entries.iter().for_each(|entry| write_line(&mut text, entry));
    text
}

fn write_line(text: &mut Vec<u8>, entry: &Entry) {
    serde_json::to_writer(&mut *text, entry).expect("an entry has no map keys that are not text");
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Tpdu;

    #[test]
    fn entries_come_back_and_a_torn_line_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sim.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        let mut journal = Journal::rewrite(&path, &[Entry::Done(vec![1])]).unwrap();
        let part = Some(Tpdu(vec![1, 0xab]));
        let taken = Entry::Taken { reference: 7, at: 5, part, reports: Vec::new() };
        journal.append(&[taken.clone(), Entry::Done(vec![2, 3])]).unwrap();
        journal.file.write_all(b"{\"done\":[4").unwrap();
        assert_eq!(read(&path).unwrap(), [Entry::Done(vec![1]), taken, Entry::Done(vec![2, 3])]);
    }

    #[test]
    fn a_broken_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sim.jsonl");
        fs::write(&path, "{\"done\":[1]}\nnonsense\n{\"done\":[2]}\n").unwrap();
        assert!(matches!(read(&path), Err(SimError::Journal { line: 2, .. })));
    }
}
