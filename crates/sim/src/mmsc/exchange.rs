//! Every exchange as it was on the wire, in a folder of files that others read. Must not know what is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::SimError;

/// The folder. Without a path it keeps nothing.
#[derive(Debug)]
pub(super) struct Exchanges {
    dir: Option<PathBuf>,
    last: AtomicU64,
}

impl Exchanges {
    pub(super) fn open(dir: &Path) -> Result<Self, SimError> {
        let dir = (!dir.as_os_str().is_empty()).then(|| dir.to_owned());
        if let Some(dir) = &dir {
            let failed = |source| SimError::File { attempt: "make", path: dir.clone(), source };
            fs::create_dir_all(dir).map_err(failed)?;
        }
        Ok(Self { dir, last: AtomicU64::new(0) })
    }

    /// Keeps one message: its `Content-Type` as a MIME header, and its octets.
    pub(super) fn keep(&self, what: &str, content_type: &str, body: &[u8]) {
        let Some(dir) = &self.dir else { return };
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let path = dir.join(format!("{number:06}-{what}.mime"));
        let octets = [format!("MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n").as_bytes(), body].concat();
        if let Err(error) = fs::write(&path, octets) {
            tracing::error!(path = %path.display(), %error, "an exchange cannot be kept");
        }
    }
}
