//! A way from farms to one router that can be blocked for one of them, as when a cable is pulled. Knows TCP, and from the
//! system whose connection is whose; nothing of what is said.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Octets carried at once.
const BUFFER: usize = 16 * 1024;

/// A forwarder. While a process is cut off, what it and the router say to each other waits, and nobody hears of it: nothing
/// is refused, nothing is closed. What waited goes on afterwards, late, if both ends are still there.
pub(crate) struct Wire {
    pub(crate) port: u16,
    cut_off: watch::Sender<Option<u32>>,
}

impl Wire {
    /// A way to this port.
    pub(crate) async fn to(door: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut_off, watched) = watch::channel(None);
        tokio::spawn(async move {
            while let Ok((near, peer)) = listener.accept().await {
                let owner = owner(peer);
                tokio::spawn(join(near, door, owner, watched.clone()));
            }
        });
        Wire { port, cut_off }
    }

    /// Blocks the way for this process.
    pub(crate) fn cut(&self, pid: u32) {
        self.cut_off.send_replace(Some(pid));
    }

    /// Opens it again.
    pub(crate) fn mend(&self) {
        self.cut_off.send_replace(None);
    }
}

async fn join(near: TcpStream, door: u16, owner: Option<u32>, mut cut_off: watch::Receiver<Option<u32>>) {
    open(&mut cut_off, owner).await;
    let Ok(far) = TcpStream::connect(("127.0.0.1", door)).await else { return };
    let ((from_farm, to_farm), (from_router, to_router)) = (near.into_split(), far.into_split());
    let there = tokio::spawn(carry(from_farm, to_router, owner, cut_off.clone()));
    carry(from_router, to_farm, owner, cut_off).await;
    drop(there.await);
}

async fn open(cut_off: &mut watch::Receiver<Option<u32>>, owner: Option<u32>) {
    // An error: the wire itself is gone.
    drop(cut_off.wait_for(|pid| pid.is_none() || *pid != owner).await);
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    owner: Option<u32>,
    mut cut_off: watch::Receiver<Option<u32>>,
) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        open(&mut cut_off, owner).await;
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await); // the other side may be gone first
}

/// The process at the other end of a connection from this machine.
fn owner(peer: SocketAddr) -> Option<u32> {
    let socket = format!("socket:[{}]", inode(peer.port())?);
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid: &u32| sockets(*pid).contains(&socket))
}

/// What the system calls the connection with this port of its own (`/proc/net/tcp`: the second column is the local
/// address in hexadecimal digits, the tenth the inode).
fn inode(port: u16) -> Option<u64> {
    let (table, ending) = (std::fs::read_to_string("/proc/net/tcp").ok()?, format!(":{port:04X}"));
    let line = table.lines().find(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&ending)))?;
    line.split_whitespace().nth(9)?.parse().ok()
}

fn sockets(pid: u32) -> BTreeSet<String> {
    let Ok(open) = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return BTreeSet::new();
    };
    let targets = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter_map(|target| Some(target.to_str()?.to_owned())).collect()
}
