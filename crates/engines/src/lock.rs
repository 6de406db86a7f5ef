//! One command at a time in a folder.
//!
//! Knows file locks; must not know what is done under them. The system gives a lock back when its holder dies.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{AboutFile, EnginesError, Result};

/// Longer than a first start takes, downloads included.
const WAIT_SECONDS_MAX: u64 = 900;
const POLL: Duration = Duration::from_millis(100);

/// Held as long as it lives.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the folder if need be, and waits for whoever works in it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).about("make", folder)?;
        let path = folder.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path).about("open", &path)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(error)) => return Err(error).about("lock", &path),
                Err(TryLockError::WouldBlock) if began.elapsed().as_secs() >= WAIT_SECONDS_MAX => {
                    return Err(EnginesError::Locked { path, seconds: WAIT_SECONDS_MAX });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
            }
        }
    }
}
