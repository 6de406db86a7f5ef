//! What a set keeps for life: its size, its ports, its ids.
//!
//! Knows the file `set.json`; must not know what runs.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{AboutFile, EnginesError, Result};
use crate::java::Java;
use crate::ports::Ports;
use crate::set::{Options, Parts};

const FILE: &str = "set.json";

/// The contents of `set.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) brokers: u8,
    pub(crate) port_base: u16,
    pub(crate) cluster_id: String,
    /// One a broker, in order: KRaft knows its controllers by these.
    pub(crate) directory_ids: Vec<String>,
    /// Of the user of the door with a password.
    pub(crate) password: String,
    /// What was asked for last.
    pub(crate) parts: Parts,
    /// What starts the nodes.
    pub(crate) java: Java,
}

impl Layout {
    /// The layout of a folder that has one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).about("read", &path)?;
        let layout = serde_json::from_slice(&text);
        layout.map(Some).map_err(|error| EnginesError::Damaged { path, why: error.to_string() })
    }

    /// A layout for a folder that has none.
    pub(crate) fn make(folder: &Path, options: &Options, java: Java) -> Result<Self> {
        let port_base = Ports::choose(folder, options.port_base)?;
        let directory_ids = (0..options.brokers).map(|_| id()).collect();
        let (brokers, parts) = (options.brokers, options.parts);
        Ok(Self { brokers, port_base, cluster_id: id(), directory_ids, password: id(), parts, java })
    }

    /// Refuses options that the data of the set cannot follow.
    pub(crate) fn check(&self, folder: &Path, options: &Options) -> Result<()> {
        let other = |has: String, wanted: String| EnginesError::OtherLayout { path: folder.to_owned(), has, wanted };
        if options.brokers != self.brokers {
            return Err(other(format!("{} brokers", self.brokers), options.brokers.to_string()));
        }
        match options.port_base {
            Some(base) if base != self.port_base => {
                Err(other(format!("its ports from {}", self.port_base), base.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Writes it whole or not at all.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let (path, fresh) = (folder.join(FILE), folder.join("set.new"));
        let text = serde_json::to_vec_pretty(self).expect("numbers and texts are JSON");
        fs::write(&fresh, text).about("write", &fresh)?;
        fs::rename(&fresh, &path).about("write", &path)
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports::at(self.port_base)
    }
}

/// An id as Kafka writes them: 16 random bytes in 22 letters. One that begins with `-` would be read as an option.
fn id() -> String {
    loop {
        let text = URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
        if !text.starts_with('-') {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn java() -> Java {
        Java { program: "java".into(), version: "17".to_owned() }
    }

    #[test]
    fn a_set_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Layout::read(folder.path()).unwrap(), None);
        let made = Layout::make(folder.path(), &Options::default(), java()).unwrap();
        made.write(folder.path()).unwrap();
        assert_eq!(Layout::read(folder.path()).unwrap(), Some(made.clone()));
        assert_eq!(made.directory_ids.len(), 3);
        assert!(made.directory_ids.iter().all(|id| id.len() == 22));
    }

    #[test]
    fn data_cannot_follow_other_options() {
        let folder = tempfile::tempdir().unwrap();
        let made = Layout::make(folder.path(), &Options::default(), java()).unwrap();
        assert!(made.check(folder.path(), &Options::default()).is_ok());
        let one = Options { brokers: 1, ..Options::default() };
        let error = made.check(folder.path(), &one).unwrap_err().to_string();
        assert!(error.contains("has 3 brokers, not 1"), "{error}");
        let elsewhere = Options { port_base: Some(made.port_base + 1), ..Options::default() };
        assert!(made.check(folder.path(), &elsewhere).is_err());
        let same = Options { port_base: Some(made.port_base), ..Options::default() };
        assert!(made.check(folder.path(), &same).is_ok());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Layout::read(folder.path()).unwrap_err().to_string().contains("set.json"));
    }
}
