//! The network's own record of what it took: what tests count against. Written before the modem answers. Knows no modem.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use model::Timestamp;
use serde::Serialize;
use wire::tpdu::to_hex;

use crate::{SimError, modem::Record};

/// The record, open for appending.
#[derive(Debug)]
pub(crate) struct RecordLog {
    path: PathBuf,
    file: File,
}

/// One line. The names are fixed: outside checks read them.
#[derive(Serialize)]
struct Line<'record> {
    at: Timestamp,
    link: &'record str,
    imsi: &'record str,
    to: String,
    reference: u8,
    tpdu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'record str>,
}

/// Which modem a message came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) link: String,
    pub(crate) imsi: String,
}

impl RecordLog {
    pub(crate) fn open(path: &Path) -> Result<Self, SimError> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let file = file.map_err(|source| SimError::File { attempt: "open", path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Adds one line with one write, so that lines of many modems never mix and none is torn by `kill -9`.
    pub(crate) fn write(&self, at: Timestamp, origin: &Origin, record: &Record) -> Result<(), SimError> {
        let line = Line {
            at,
            link: &origin.link,
            imsi: &origin.imsi,
            to: record.to.to_text(),
            reference: record.reference,
            tpdu: to_hex(&record.tpdu),
            text: record.text.as_deref(),
        };
        let mut octets = serde_json::to_vec(&line).expect("a line has no map keys that are not text");
        octets.push(b'\n');
        let written = (&self.file)
            .write(&octets)
            .and_then(|written| if written == octets.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) });
        written.map_err(|source| SimError::File { attempt: "append to", path: self.path.clone(), source })
    }
}
