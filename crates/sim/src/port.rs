//! A pseudo-terminal whose other end is opened by path like a serial device. Knows no modem and no bytes.

use std::{
    ffi::OsStr,
    fs,
    io::{self, ErrorKind},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::symlink},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, fcntl_setfl, open},
    io::{Errno, ioctl_fionread, read, write},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, QueueSelector, ioctl_tiocnxcl, tcflush, tcgetattr, tcsetattr},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Both ends of a pseudo-terminal. The far end is kept open too: a port stays where it is while nobody uses it.
#[derive(Debug)]
pub(crate) struct Port {
    near: AsyncFd<OwnedFd>,
    far: OwnedFd,
    path: PathBuf,
}

impl Port {
    /// Makes a raw pseudo-terminal.
    pub(crate) fn open() -> io::Result<Self> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let path = PathBuf::from(OsStr::from_bytes(ptsname(&near, Vec::new())?.as_bytes()));
        fcntl_setfl(&near, OFlags::NONBLOCK)?;
        let far = open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut settings = tcgetattr(&far)?;
        settings.make_raw();
        tcsetattr(&far, OptionalActions::Now, &settings)?;
        Ok(Self { near: registered(near)?, far, path })
    }

    /// The device's own path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Points `link` at the device; replaces what it pointed at before in one step.
    pub(crate) fn link(&self, link: &Path) -> io::Result<()> {
        let beside = link.with_added_extension("new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => symlink(&self.path, &beside)?,
        }
        fs::rename(&beside, link)
    }

    /// Waits for what the owner writes.
    pub(crate) async fn read(&self, octets: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.near.readable().await?;
            let Ok(result) = ready.try_io(|near| Ok(read(near, &mut *octets)?)) else { continue };
            // A terminal gives all it has: less than was asked for means that it is empty, and what comes later makes
            // it ready anew. Saves the call that would only find that out.
            if result.as_ref().is_ok_and(|count| *count < octets.len()) {
                ready.clear_ready();
            }
            return result;
        }
    }

    /// Writes what fits without waiting, and says how much that was.
    pub(crate) fn write(&self, octets: &[u8]) -> io::Result<usize> {
        match self.near.try_io(Interest::WRITABLE, |near| Ok(write(near, octets)?)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Waits until something fits.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.near.writable().await.map(drop)
    }

    /// Whether the owner has read everything that was written some time ago.
    pub(crate) fn is_read(&self) -> bool {
        ioctl_fionread(&self.far) == Ok(0)
    }

    /// Drops what the owner has not read.
    pub(crate) fn flush(&self) {
        ignore(tcflush(&self.far, QueueSelector::IFlush));
    }

    /// Undoes what a former owner left behind: unread bytes, and the exclusive use that lasts as long as the far end
    /// is open anywhere.
    pub(crate) fn release(&self) {
        ignore(ioctl_tiocnxcl(&self.far));
        self.flush();
    }
}

/// Lets the runtime wait for a descriptor.
#[expect(deprecated, reason = "what its unsafe successor asks of the caller, an `OwnedFd` keeps by itself")]
pub(crate) fn registered(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// Neither can fail on a terminal that is open; and if it did, the next owner would only read old bytes.
fn ignore(result: Result<(), Errno>) {
    if let Err(error) = result {
        tracing::debug!(%error, "simulated port kept what its former owner left");
    }
}
