//! The key a journal is sealed with: made with the journal, kept beside it. Must not know what is sealed.

use std::path::Path;

use model::keyring::MasterKey;
use model::seal::{DataKey, NumberKey};
use runtime::secret::{Secret, write_private};

use crate::error::FarmError;

const FILE: &str = "journal.key";

/// Reads the key of an existing journal, or makes that of a new one.
pub(super) fn of_journal(directory: &Path, exists: bool) -> Result<(DataKey, NumberKey), FarmError> {
    let path = directory.join(FILE);
    let failed = |source| FarmError::JournalKey { path: path.clone(), source };
    if !exists && !path.exists() {
        let made = std::fs::create_dir_all(directory);
        made.map_err(|source| failed(runtime::secret::SecretError::Write { path: directory.to_owned(), source }))?;
        let random: [u8; 32] = rand::random();
        write_private(&path, model::hex::digits(&random).as_bytes()).map_err(failed)?;
    }
    let secret = Secret::read(&path).map_err(failed)?;
    let key = parse(secret.expose()).ok_or_else(|| FarmError::JournalKeyText { path: path.clone() })?;
    Ok((DataKey::new("journal", key), MasterKey::new(key).number_key()))
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}
