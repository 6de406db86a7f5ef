//! A raw tap on a modem's line, outside the simulator. Knows bytes, and that a line ends with its owner; of AT only where a
//! PDU begins and ends.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::{read, write};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const CTRL_Z: u8 = 0x1A;

/// A pseudo-terminal in front of a device: whatever its owner writes goes there, and is kept.
///
/// It does what a clip on the wires of a serial line does: it adds nothing, and hides nothing. When the owner goes, `kill -9`
/// included, what it wrote is still carried over and then the device sees its line end, as a modem sees DTR fall; what was on
/// its way to the owner is gone. The next owner meets a line that nobody used before it.
pub(crate) struct Tap {
    /// What owners open instead of the device.
    pub(crate) path: PathBuf,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    /// Taps the device; `path` is made.
    pub(crate) fn before(device: &Path, path: PathBuf) -> Self {
        let written = Arc::default();
        let line = Line { device: device.to_owned(), path: path.clone(), written: Arc::clone(&written) };
        let near = line.fresh();
        // A thread of its own, as a tap does not stop while the test does something else. It ends with the process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(line.run(near));
        });
        Tap { path, written }
    }

    /// Every PDU that was written to its end, in hexadecimal digits of its TPDU, with how often it was.
    pub(crate) fn pdus(&self) -> BTreeMap<String, usize> {
        let written = self.written.lock().unwrap();
        let mut counts = BTreeMap::new();
        for line in written.split(|byte| *byte == b'\r' || *byte == 0x1B) {
            let Some(end) = line.iter().position(|byte| *byte == CTRL_Z) else { continue };
            let pdu = String::from_utf8(line[..end].to_vec()).unwrap().to_ascii_lowercase();
            // The first octet is the length of the service centre's address: 00, the SIM's own.
            let tpdu = pdu.strip_prefix("00").unwrap_or_else(|| panic!("not a PDU: {pdu}"));
            *counts.entry(tpdu.to_owned()).or_insert(0) += 1;
        }
        counts
    }
}

/// What the tap's thread knows.
struct Line {
    device: PathBuf,
    path: PathBuf,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Line {
    /// One owner after the other. The next one's end is there before the first one's dialogue begins, so that no owner
    /// meets what another left behind.
    async fn run(self, mut near: OwnedFd) {
        loop {
            let owner = registered(near);
            // It wrote its first byte, or opened the line and went.
            drop(owner.readable().await.unwrap());
            near = self.fresh();
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(far) = open(&self.device, flags, Mode::empty()) else { return };
            self.carry(&owner, &registered(far)).await;
        }
    }

    /// A line that nobody has used, where owners find it.
    fn fresh(&self) -> OwnedFd {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        fcntl_setfl(&near, OFlags::NONBLOCK).unwrap();
        let beside = self.path.with_added_extension("new");
        symlink(ptsname(&near, Vec::new()).unwrap().to_str().unwrap(), &beside).unwrap();
        std::fs::rename(&beside, &self.path).unwrap();
        near
    }

    /// Carries bytes both ways until the owner is gone and all it wrote is carried over, or the device is gone.
    async fn carry(&self, owner: &AsyncFd<OwnedFd>, device: &AsyncFd<OwnedFd>) {
        let there = async {
            while let Some(bytes) = read_from(owner).await {
                self.written.lock().unwrap().extend_from_slice(&bytes);
                if !write_to(device, &bytes).await {
                    return;
                }
            }
        };
        let back = async {
            while let Some(bytes) = read_from(device).await {
                // An owner that is gone hears nothing; the other way says when all it wrote was carried over.
                write_to(owner, &bytes).await;
            }
        };
        tokio::select! { biased; () = there => {}, () = back => {} }
    }
}

/// Some bytes, or nothing once the other end is gone and everything was read.
async fn read_from(end: &AsyncFd<OwnedFd>) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    let count = end.async_io(Interest::READABLE, |end| Ok(read(end, &mut buffer)?)).await.ok()?;
    (count > 0).then(|| buffer[..count].to_vec())
}

/// Writes everything; says whether the other end is still there.
async fn write_to(end: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match end.async_io(Interest::WRITABLE, |end| Ok(write(end, bytes)?)).await {
            Ok(count) => bytes = &bytes[count..],
            Err(_) => return false,
        }
    }
    true
}

/// Lets the runtime wait for a descriptor.
#[expect(deprecated, reason = "what its unsafe successor asks of the caller, an `OwnedFd` keeps by itself")]
fn registered(descriptor: OwnedFd) -> AsyncFd<OwnedFd> {
    AsyncFd::new(descriptor).unwrap()
}
