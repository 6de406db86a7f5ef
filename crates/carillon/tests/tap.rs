//! A raw tap on a modem's line, outside the simulator: what really crossed it while the farm was killed again and again
//! agrees with what the network says it received.

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng;
use support::farm::{apart, end, issue_farm, start_farm, wait_until};
use support::load::{Sent, chance, count, now_ms, start_senders};

const KILLS: usize = 10;
const CTRL_Z: u8 = 0x1A;

/// A pseudo-terminal in front of a device: whatever the farm writes goes there, and is kept.
struct Tap {
    path: PathBuf,
    written: Arc<Mutex<Vec<u8>>>,
    _slave: OwnedFd,
}

impl Tap {
    fn before(device: &Path) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let slave = raw(&path);
        let far = raw(device);
        let written = Arc::new(Mutex::new(Vec::new()));
        let (near_in, near_out) = (File::from(master.try_clone().unwrap()), File::from(master));
        let (far_in, far_out) = (File::from(far.try_clone().unwrap()), File::from(far));
        let kept = Arc::clone(&written);
        std::thread::spawn(move || {
            forward(near_in, far_out, move |bytes| kept.lock().unwrap().extend_from_slice(bytes))
        });
        std::thread::spawn(move || forward(far_in, near_out, |_| {}));
        Tap { path, written, _slave: slave }
    }

    /// Every PDU that was written to its end, in hexadecimal digits of its TPDU, with how often it was.
    fn pdus(&self) -> BTreeMap<String, usize> {
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

fn raw(path: &Path) -> OwnedFd {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut modes = rustix::termios::tcgetattr(&file).unwrap();
    modes.make_raw();
    rustix::termios::tcsetattr(file.as_fd(), rustix::termios::OptionalActions::Now, &modes).unwrap();
    file.into()
}

/// Copies bytes until one side is gone.
fn forward(mut from: File, mut to: File, mut seen: impl FnMut(&[u8])) {
    let mut buffer = [0; 4096];
    while let Ok(count) = from.read(&mut buffer) {
        seen(&buffer[..count]);
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn what_crossed_the_line_agrees_with_what_the_network_received() {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = chance();
    let carillon = apart(dir.path(), "").await;
    let config = issue_farm(&carillon, &carillon.demo.control);
    let mut settings: toml::Table = toml::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    let mut taps = Vec::new();
    for link in settings["links"].as_array_mut().unwrap() {
        let tap = Tap::before(Path::new(link["device"].as_str().unwrap()));
        link["device"] = tap.path.to_str().unwrap().into();
        taps.push(tap);
    }
    std::fs::write(&config, toml::to_string(&settings).unwrap()).unwrap();
    let log = dir.path().join("farm.log");
    let counter = Arc::new(AtomicUsize::new(0));
    let (senders, done) = start_senders(&carillon, &counter, "tapped");
    let mut kills = Vec::new();
    for _ in 0..KILLS {
        let farm = start_farm(&config, &log);
        let enough = carillon.received().len() + chance.random_range(0..40);
        wait_until("the farm sends", &log, || carillon.received().len() >= enough).await;
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..60))).await;
        end(farm);
        kills.push(now_ms());
    }
    done.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = senders.join_all().await.into_iter().flatten().collect();
    let farm = start_farm(&config, &log);
    count(&carillon, &sent, &kills).await;
    end(farm);

    let mut crossed = BTreeMap::new();
    for (tpdu, count) in taps.iter().flat_map(|tap| tap.pdus()) {
        *crossed.entry(tpdu).or_insert(0) += count;
    }
    let mut received = BTreeMap::new();
    for line in carillon.received() {
        *received.entry(line.tpdu.to_ascii_lowercase()).or_insert(0) += 1;
    }
    assert_eq!(crossed, received, "the line and the network disagree");
    let twice: Vec<_> = crossed.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "a PDU crossed the line twice: {twice:?}");
}
