//! Tells when somebody opens or closes a port: a modem has no other way to see that its owner died. Knows no modem.

use std::{
    collections::BTreeMap,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use tokio::{io::unix::AsyncFd, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::port::registered;

/// How a port is used. The counts only grow, so that a quick close and open is seen too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortUse {
    /// How many have it open, the network itself left out.
    open: u32,
    /// How often an owner came to an unused port.
    pub(crate) came: u64,
    /// How often the last owner went.
    pub(crate) went: u64,
}

/// Watches all ports of a network.
#[derive(Debug)]
pub(crate) struct Watch {
    events: AsyncFd<OwnedFd>,
    ports: Mutex<BTreeMap<i32, watch::Sender<PortUse>>>,
}

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { events: registered(events)?, ports: Mutex::new(BTreeMap::new()) })
    }

    /// Watches one more port, which nobody uses yet.
    pub(crate) fn add(&self, path: &Path) -> io::Result<watch::Receiver<PortUse>> {
        let flags = WatchFlags::OPEN | WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE;
        let (sender, receiver) = watch::channel(PortUse::default());
        // Under the lock, so that no event of this port is read before the port is known.
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let descriptor = add_watch(self.events.get_ref(), path, flags)?;
        ports.insert(descriptor, sender);
        Ok(receiver)
    }

    /// Takes note of everything that happened up to now.
    pub(crate) fn pump(&self) {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        let mut reader = Reader::new(self.events.get_ref(), &mut buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::IGNORED) {
                ports.remove(&event.wd());
            } else if let Some(port) = ports.get(&event.wd()) {
                port.send_modify(|port| port.apply(event.events()));
            }
        }
    }

    /// Takes note until stopped.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        loop {
            let ready = tokio::select! {
                () = stop.cancelled() => return,
                ready = self.events.readable() => ready,
            };
            let Ok(mut ready) = ready else { return };
            // Before reading: what happens afterwards makes it ready again.
            ready.clear_ready();
            self.pump();
        }
    }
}

impl PortUse {
    fn apply(&mut self, events: ReadFlags) {
        if events.contains(ReadFlags::OPEN) {
            self.came += u64::from(self.open == 0);
            self.open += 1;
        } else {
            self.open = self.open.saturating_sub(1);
            self.went += u64::from(self.open == 0);
        }
    }
}
