//! The network's own record of what it took: what tests count against. Written before the modem answers. Knows no modem.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::Timestamp;
use serde::Serialize;
use wire::tpdu::to_hex;

use crate::{SimError, modem::Record};

/// No line is longer: a text has at most 255 parts of 153 characters, each at most 6 octets in JSON.
const LINE_OCTETS_MAX: u64 = 512 * 1024;

/// The record, open for appending.
#[derive(Debug)]
pub(crate) struct RecordLog {
    path: PathBuf,
    file: File,
}

/// One line. The names are fixed: outside checks read them.
#[derive(Serialize)]
pub(crate) struct Line<'record> {
    pub(crate) at: Timestamp,
    pub(crate) link: &'record str,
    pub(crate) imsi: &'record str,
    pub(crate) to: String,
    pub(crate) reference: u64,
    pub(crate) tpdu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<&'record str>,
}

/// Adds a line to others that are written together.
pub(crate) fn put_line(octets: &mut Vec<u8>, line: &Line<'_>) {
    serde_json::to_writer(&mut *octets, line).expect("a line has no map keys that are not text");
    octets.push(b'\n');
}

/// Which modem a message came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) link: String,
    pub(crate) imsi: String,
}

impl RecordLog {
    /// Opens the record behind its last whole line. `kill -9` may end a write where a page of the file does; of the torn
    /// line nobody was told, and no modem remembers its message.
    pub(crate) fn open(path: &Path) -> Result<Self, SimError> {
        let failed = |attempt| move |source| SimError::File { attempt, path: path.to_owned(), source };
        let open = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path);
        let file = open.map_err(failed("open"))?;
        let whole = whole_octets(&file).map_err(failed("read"))?;
        file.set_len(whole).map_err(failed("cut"))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Adds one line with one write, so that lines of many modems never mix.
    pub(crate) fn write(&self, at: Timestamp, origin: &Origin, record: &Record) -> Result<(), SimError> {
        let mut octets = Vec::new();
        put_line(
            &mut octets,
            &Line {
                at,
                link: &origin.link,
                imsi: &origin.imsi,
                to: record.to.to_text(),
                reference: record.reference.into(),
                tpdu: to_hex(&record.tpdu),
                text: record.text.as_deref(),
            },
        );
        self.write_lines(&octets)
    }

    /// Adds whole lines with one write.
    pub(crate) fn write_lines(&self, octets: &[u8]) -> Result<(), SimError> {
        let written = (&self.file)
            .write(octets)
            .and_then(|written| if written == octets.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) });
        written.map_err(|source| SimError::File { attempt: "append to", path: self.path.clone(), source })
    }
}

/// How much of a file whole lines fill. Looks at its end only: a line is short, a record may be long.
fn whole_octets(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(LINE_OCTETS_MAX);
    let mut end = vec![0; usize::try_from(length - begin).unwrap_or_default()];
    file.read_exact_at(&mut end, begin)?;
    // Without any line end it is no record of ours, or one whose first line was torn.
    Ok(end.iter().rposition(|octet| *octet == b'\n').map_or(begin, |at| begin + at as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, after: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.jsonl");
        std::fs::write(&path, before).unwrap();
        RecordLog::open(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    }

    #[test]
    fn a_torn_line_goes() {
        check("", "");
        check("{}\n", "{}\n");
        check("{}\n{\"at\":", "{}\n");
        check("{\"at\":", "");
        let long = "x".repeat(LINE_OCTETS_MAX as usize - 1);
        check(&format!("{long}\n{long}"), &format!("{long}\n"));
    }
}
