//! Secrets and the private files they live in.
//!
//! Knows file modes; must not know what a secret opens, and never shows one.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A longer file is surely not a password or a key.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A password, key or token. Wiped from memory when dropped; `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why a secret could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read.
    #[error("cannot read secret file `{path}`")]
    Read {
        /// The file as given.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Everybody on the machine may read the file, or others than its owner may write it.
    #[error("secret file `{path}` has mode `{mode:04o}`: others must not read it, and only its owner may write it")]
    TooOpen {
        /// The file as given.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is empty, too long for a secret, or no text.
    #[error("secret file `{path}` holds no secret: {reason}")]
    Content {
        /// The file as given.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A private file could not be written.
    #[error("cannot write private file `{path}`")]
    Write {
        /// The file as given.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Secret {
    /// Wraps a secret that came from elsewhere than a file.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Reads a secret from a file, without the line end.
    ///
    /// The group may read it (a Kubernetes volume with `fsGroup` is such a file), others may not.
    ///
    /// # Errors
    /// The file cannot be read, is too open, is empty, is no UTF-8, or is longer than 64 KiB.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let read_error = |source| SecretError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let mode = file.metadata().map_err(read_error)?.mode() & 0o777;
        if mode & 0o027 != 0 {
            return Err(SecretError::TooOpen { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read_error)?;
        secret_of(&bytes).map_err(|reason| SecretError::Content { path: path.to_owned(), reason })
    }

    /// The secret itself. Keep it no longer than the call it is for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Shows nothing of the secret, not even its length.
impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Writes a file only its owner can read (mode 0600), whole or not at all: after a crash the old or the new content
/// stands there, and it survives a power failure once this returns.
///
/// # Errors
/// The directory is missing or not writable, or the disk is full.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), SecretError> {
    write_whole(path, content).map_err(|source| SecretError::Write { path: path.to_owned(), source })
}

fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().ok_or(std::io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    // A part left by a crash may have another mode, and `mode` applies only to a file that is created.
    let _ = std::fs::remove_file(&part);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn secret_of(bytes: &[u8]) -> Result<Secret, &'static str> {
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err("longer than 64 KiB");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "not utf-8")?.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err("empty");
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[track_caller]
    fn check(content: &[u8], mode: u32, expected: Result<&str, &str>) {
        let (_directory, path) = file(content, mode);
        match (Secret::read(&path), expected) {
            (Ok(secret), Ok(text)) => assert_eq!(secret.expose(), text),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_private_file_is_read_without_its_line_end() {
        check(b"hunter2\n", 0o600, Ok("hunter2"));
        check(b"hunter2\r\n", 0o400, Ok("hunter2"));
        check(b" hunter 2 ", 0o440, Ok(" hunter 2 "));
    }

    #[test]
    fn an_open_file_is_refused() {
        check(b"hunter2", 0o644, Err("mode `0644`"));
        check(b"hunter2", 0o620, Err("mode `0620`"));
        check(b"hunter2", 0o601, Err("mode `0601`"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        check(b"\n", 0o600, Err("empty"));
        check(b"\xff", 0o600, Err("not utf-8"));
        check(&vec![b'a'; 64 * 1024 + 1], 0o600, Err("longer than 64 KiB"));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(..)");
    }

    #[test]
    fn a_private_file_is_private_and_replaced_whole() {
        let (directory, path) = file(b"old", 0o644);
        write_private(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no part is left behind");
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let error = write_private(Path::new("/nonexistent/x"), b"").expect_err("no such directory");
        assert_eq!(error.to_string(), "cannot write private file `/nonexistent/x`");
    }
}
