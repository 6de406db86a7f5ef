//! A block of ports that a set keeps for life, and who holds a port that should be free.
//!
//! Knows 127.0.0.1 and `/proc/net`; must not know protocols.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use crate::error::{EnginesError, Result};

/// Brokers a set can have.
pub const BROKERS_MAX: u8 = 9;

/// Ports in a block; the layout is that of the functions of [`Ports`].
const WIDTH: u16 = 50;
/// Below the ports that systems give to outgoing connections (32768 and up), which could take ours while a node is down.
const FIRST: u16 = 20_000;
const BLOCKS: u16 = 250;

/// The ports of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    base: u16,
}

impl Ports {
    pub(crate) const fn at(base: u16) -> Self {
        Self { base }
    }

    /// Where clients reach a broker (counted from 1).
    pub(crate) fn broker(self, id: u8) -> u16 {
        self.base + u16::from(id)
    }

    /// Where the brokers' controllers reach each other.
    pub(crate) fn controller(self, id: u8) -> u16 {
        self.base + 10 + u16::from(id)
    }

    /// Where clients with a certificate reach a broker.
    pub(crate) fn broker_tls(self, id: u8) -> u16 {
        self.base + 30 + u16::from(id)
    }

    /// Where clients with a password reach a broker, by TLS.
    pub(crate) fn broker_sasl(self, id: u8) -> u16 {
        self.base + 40 + u16::from(id)
    }

    /// Where CQL is spoken.
    pub(crate) fn cql(self) -> u16 {
        self.base + 20
    }

    /// Where Cassandra's nodes reach each other.
    pub(crate) fn storage(self) -> u16 {
        self.base + 21
    }

    /// Where `nodetool` asks.
    pub(crate) fn jmx(self) -> u16 {
        self.base + 22
    }

    /// Takes the block that was named, or finds one that is free. The search begins at a place of the folder's own, so that
    /// the sets of two checkouts hardly meet, even while one of them is down.
    pub(crate) fn choose(folder: &Path, named: Option<u16>) -> Result<u16> {
        if let Some(base) = named {
            return Ok(base);
        }
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        let begin = u16::try_from(hasher.finish() % u64::from(BLOCKS)).expect("a remainder of a small number is small");
        let bases = (0..BLOCKS).map(|step| FIRST + (begin + step) % BLOCKS * WIDTH);
        let last = FIRST + BLOCKS * WIDTH - 1;
        bases.into_iter().find(|base| (*base..base + WIDTH).all(is_free)).ok_or(EnginesError::NoPorts {
            width: WIDTH,
            first: FIRST,
            last,
        })
    }
}

/// The highest base a block may have.
pub const PORT_BASE_MAX: u16 = u16::MAX - WIDTH;

pub(crate) fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Whether a server could listen there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(address(port)).is_ok()
}

/// Who listens there, in words.
pub(crate) fn holder(port: u16) -> String {
    let Some(inode) = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listener(table, port)) else {
        return "a process that cannot be seen".to_owned();
    };
    match owner(&inode) {
        Some((pid, line)) => format!("process {pid} (`{line}`)"),
        None => "a process of another user".to_owned(),
    }
}

/// The inode of the socket that listens on a port (state 0A of proc(5) `net/tcp`).
fn listener(table: &str, port: u16) -> Option<String> {
    let text = fs::read_to_string(table).ok()?;
    let ending = format!(":{port:04X}");
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&ending) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}

fn owner(inode: &str) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let holds = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link.as_os_str() == wanted.as_str())
    };
    pids.into_iter().find(holds).map(|pid| (pid, command_line(pid)))
}

/// The beginning of a command line: that of a JVM fills pages.
fn command_line(pid: u32) -> String {
    const CHARACTERS_MAX: usize = 120;
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace(char::is_control, " ");
    line.trim().chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_block_has_room_for_every_node() {
        let ports = Ports::at(FIRST);
        let ranges: [fn(Ports, u8) -> u16; 4] =
            [Ports::broker, Ports::controller, Ports::broker_tls, Ports::broker_sasl];
        let brokers = ranges.iter().flat_map(|range| (1..=BROKERS_MAX).map(|id| range(ports, id)));
        let all: Vec<u16> = brokers.chain([ports.cql(), ports.storage(), ports.jmx()]).collect();
        assert!(all.iter().all(|port| (FIRST..FIRST + WIDTH).contains(port)));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each is there once");
        const { assert!(FIRST + BLOCKS * WIDTH < 32_768) };
    }

    #[test]
    fn a_folder_comes_back_to_its_block_unless_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let base = Ports::choose(folder.path(), None).unwrap();
        assert_eq!(Ports::choose(folder.path(), None).unwrap(), base);
        let _taken = TcpListener::bind(address(base + 7)).unwrap();
        assert_ne!(Ports::choose(folder.path(), None).unwrap(), base);
        assert_eq!(Ports::choose(folder.path(), Some(1234)).unwrap(), 1234);
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let taken = TcpListener::bind(address(0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_free(port));
        assert!(holder(port).contains(&format!("process {}", std::process::id())), "{}", holder(port));
    }
}
