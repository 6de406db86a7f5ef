//! The installation's master key: made at the first start, read at every other. Knows one file, and what it must open.

use std::path::{Path, PathBuf};

use anyhow::Context;
use model::keyring::MasterKey;
use model::seal::SealError;
use runtime::{Again, Secret};
use store::{AnyStore, Store, StoreError};

use crate::config::Config;
use crate::engines::Absent;

/// Reads the master key. Whoever has it opens everything: it is readable by its owner only, and losing it loses the content
/// of every message that is kept.
pub(crate) fn master_key(config: &Config, data: &Path, absent: Absent) -> anyhow::Result<MasterKey> {
    let path = path(config, data);
    if !path.exists() {
        anyhow::ensure!(
            absent == Absent::Make,
            "there is no master key at `{}` (setting `master_key_file`): copy the one of the installation; its first is \
             made by `carillon demo`, or by `(umask 077; openssl rand -hex 32 > FILE)`",
            path.display()
        );
        make(&path)?;
    }
    let text = Secret::read(&path).context("cannot read the master key")?;
    MasterKey::from_hex(text.expose()).with_context(|| format!("file `{}` is broken", path.display()))
}

/// Where the key is.
pub(crate) fn path(config: &Config, data: &Path) -> PathBuf {
    if config.master_key_file.as_os_str().is_empty() {
        return in_data(data);
    }
    config.master_key_file.clone()
}

/// Where the key is unless the settings say otherwise.
pub(crate) fn in_data(data: &Path) -> PathBuf {
    data.join("keys").join("master.key")
}

fn make(path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make directory `{}`", directory.display()))?;
    let secret: [u8; 32] = rand::random();
    let text = format!("{}\n", model::hex::digits(&secret));
    runtime::secret::write_private(path, text.as_bytes()).context("cannot write the master key")
}

/// Why a master key can't be used with a store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyRefused {
    /// It could not be tried.
    #[error("cannot read the data keys")]
    Store(#[source] StoreError),
    /// It opens nothing here.
    #[error(
        "the master key in `{}` is not the one of this installation (setting `master_key_file`): copy that one",
        path.display()
    )]
    Other {
        /// Its file.
        path: PathBuf,
        /// The data key that did not open.
        source: SealError,
    },
}

impl KeyRefused {
    /// A store comes back; a key stays what it is.
    pub(crate) fn helps(&self) -> Again {
        match self {
            KeyRefused::Store(_) => Again::Yes,
            KeyRefused::Other { .. } => Again::No,
        }
    }
}

/// Checks that the installation's data keys were wrapped by this master key: a process with another one would seal what
/// nobody can open.
pub(crate) async fn check(master: &MasterKey, store: &AnyStore, path: &Path) -> Result<(), KeyRefused> {
    let parties = store.parties().await.map_err(KeyRefused::Store)?;
    for key in &parties.data_keys {
        master.unwrap(key).map_err(|source| KeyRefused::Other { path: path.to_owned(), source })?;
    }
    Ok(())
}
