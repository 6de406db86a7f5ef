//! A raw tap on a modem's line, outside the simulator: what really crossed it while the farm was killed again and again
//! agrees with what the network says it received.

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::Rng;
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use support::Column;
use support::farm::{end, issue_farm, start_farm, wait_until};
use support::load::{Sent, chance, count, now_ms, start_senders};
use support::tap::Tap;

const KILLS: usize = 10;

#[test]
fn a_line_ends_with_its_owner_and_the_next_one_finds_it_clean() {
    let dir = tempfile::tempdir().unwrap();
    let device = dir.path().join("device");
    let tap = Tap::before(&device, dir.path().join("line"));
    for owner in 1..=3 {
        // A new one for each: this end of a line that has ended once cannot be waited at.
        let (modem, path) = terminal();
        drop(std::fs::remove_file(&device)); // the first is not there
        symlink(path, &device).unwrap();
        let mut line = File::options().read(true).write(true).open(&tap.path).unwrap();
        raw(&line);
        let mut modem = &modem;
        line.write_all(format!("AT{owner}\r").as_bytes()).unwrap();
        assert_eq!(heard(&mut modem, 4), format!("AT{owner}\r"));
        modem.write_all(b"OK").unwrap();
        assert_eq!(heard(&mut line, 2), "OK");
        // Neither what it says last nor what nobody reads may keep the line open.
        line.write_all(b"last\r").unwrap();
        modem.write_all(b"unread").unwrap();
        drop(line);
        assert_eq!(heard(&mut modem, 5), "last\r");
        let ended = modem.read(&mut [0]).unwrap_err();
        assert_eq!(ended.raw_os_error(), Some(Errno::IO.raw_os_error()), "the modem sees the end: {ended}");
    }
}

/// A modem's own end of a line, and the path of the other.
fn terminal() -> (File, PathBuf) {
    let modem = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&modem).unwrap();
    unlockpt(&modem).unwrap();
    let path = PathBuf::from(ptsname(&modem, Vec::new()).unwrap().into_string().unwrap());
    let modem = File::from(modem);
    raw(&modem);
    (modem, path)
}

fn raw(terminal: &File) {
    let mut modes = tcgetattr(terminal).unwrap();
    modes.make_raw();
    tcsetattr(terminal, OptionalActions::Now, &modes).unwrap();
}

fn heard(from: &mut impl Read, octets: usize) -> String {
    let mut buffer = vec![0; octets];
    from.read_exact(&mut buffer).unwrap();
    String::from_utf8(buffer).unwrap()
}

#[tokio::test]
async fn what_crossed_the_line_agrees_with_what_the_network_received() {
    let place = Column::Embedded.place();
    let dir = place.dir();
    let mut chance = chance();
    let carillon = place.start_without_farms().await;
    let config = issue_farm(&carillon, &carillon.demo.control);
    let mut settings: toml::Table = toml::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    let mut taps = Vec::new();
    for link in settings["links"].as_array_mut().unwrap() {
        let path = dir.join(link["name"].as_str().unwrap());
        let tap = Tap::before(Path::new(link["device"].as_str().unwrap()), path);
        link["device"] = tap.path.to_str().unwrap().into();
        taps.push(tap);
    }
    std::fs::write(&config, toml::to_string(&settings).unwrap()).unwrap();
    let log = dir.join("farm.log");
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
