//! The network through its ports, opened by path as a serial device would be.

use std::{
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serialport::SerialPort;
use sim::{Fault, FaultPlan, FaultRule, ModemConfig, Network, NetworkConfig, SimError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wire::{
    tpdu::{Address, Carried, Deliver, Outgoing, Report, StatusReport, at_command_pdu, submits},
    udh::Reference,
};

const PATIENCE: Duration = Duration::from_secs(10);
const TO: &str = "+4915112345678";

/// A network on a folder that outlives it.
struct Bench {
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
}

/// A network that runs.
struct Running<'bench> {
    bench: &'bench Bench,
    network: Network,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { dir: tempfile::tempdir().unwrap(), runtime }
    }

    fn config(&self) -> NetworkConfig {
        let dir = self.dir.path().join("sim");
        NetworkConfig { sim_log: dir.join("sim.log"), dir, receipt_delay_ms: (0, 0), ..NetworkConfig::default() }
    }

    fn start(&self, config: NetworkConfig, modem: ModemConfig) -> Running<'_> {
        let stop = CancellationToken::new();
        let network = self.runtime.block_on(Network::start(config, vec![modem], stop.clone())).unwrap();
        Running { bench: self, network, stop }
    }

    fn log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.config().sim_log).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Running<'_> {
    fn path(&self) -> PathBuf {
        self.network.ports()["modem-0"].clone()
    }

    fn owner(&self) -> Owner {
        Owner::open(&self.path())
    }

    fn inject(&self, text: &str) {
        self.bench.runtime.block_on(self.network.inject("modem-0", "+491711111111", text)).unwrap();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.bench.runtime.block_on(self.network.stopped());
    }
}

/// Whoever has the port open.
struct Owner {
    port: Box<dyn SerialPort>,
    read: Vec<u8>,
}

impl Owner {
    fn open(path: &Path) -> Self {
        let port = serialport::new(path.to_str().unwrap(), 115_200).timeout(Duration::from_millis(20)).open().unwrap();
        Self { port, read: Vec::new() }
    }

    /// Opens the port and sets it up for direct reports and stored messages.
    fn ready(running: &Running<'_>) -> Self {
        let mut owner = running.owner();
        owner.ask("ATE0");
        owner.ask("AT+CNMI=2,1,0,1,0");
        owner
    }

    fn write(&mut self, text: &str) {
        self.port.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `end` was read; gives everything up to it.
    #[track_caller]
    fn until(&mut self, end: &str) -> String {
        let begin = Instant::now();
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.read.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            assert!(begin.elapsed() < PATIENCE, "no {end:?} in {:?}", String::from_utf8_lossy(&self.read));
            let mut octets = [0; 1_024];
            match self.port.read(&mut octets) {
                Ok(count) => self.read.extend_from_slice(&octets[..count]),
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.write(&format!("{command}\r"));
        self.until("\r\nOK\r\n")
    }

    /// Sends all parts of a text; gives their references.
    #[track_caller]
    fn send(&mut self, text: &str) -> Vec<u8> {
        pdus(text).iter().map(|pdu| self.send_pdu(pdu)).collect()
    }

    #[track_caller]
    fn send_pdu(&mut self, (length, digits): &(usize, String)) -> u8 {
        self.write(&format!("AT+CMGS={length}\r"));
        self.until("\r\n> ");
        self.write(&format!("{digits}\x1a"));
        self.until("\r\n+CMGS: ");
        let reference = self.until("\r\n");
        self.until("\r\nOK\r\n");
        reference.trim().parse().unwrap()
    }

    /// The next report.
    #[track_caller]
    fn report(&mut self) -> StatusReport {
        self.until("+CDS: ");
        self.until("\r\n");
        let line = self.until("\r\n");
        StatusReport::decode(&Carried::from_line(line.trim().as_bytes()).unwrap().tpdu).unwrap()
    }
}

#[track_caller]
fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

fn pdus(text: &str) -> Vec<(usize, String)> {
    let to = Address::number(TO).unwrap();
    let outgoing = Outgoing { text, to, reference: Reference::Narrow(1), report: Report::Wanted, validity: None };
    submits(&outgoing).unwrap().iter().map(|submit| at_command_pdu(&submit.encode().unwrap())).collect()
}

#[test]
fn a_message_is_recorded_answered_and_reported() {
    let bench = Bench::new();
    let running = bench.start(bench.config(), ModemConfig::default());
    let mut owner = Owner::ready(&running);
    let reference = owner.send("hello ä €")[0];
    let log = bench.log();
    assert_eq!(log.len(), 1);
    assert_eq!((&log[0]["to"], &log[0]["text"]), (&TO.into(), &"hello ä €".into()));
    assert_eq!((&log[0]["reference"], &log[0]["link"]), (&reference.into(), &"modem-0".into()));
    assert_eq!(log[0]["imsi"], "262010000000001");
    let (_, digits) = &pdus("hello ä €")[0];
    assert_eq!(log[0]["tpdu"], digits[2..]);
    let report = owner.report();
    assert_eq!((report.reference, report.recipient.to_text().as_str(), report.status.0), (reference, TO, 0));
}

#[test]
fn a_long_message_becomes_a_text_over_a_restart() {
    let bench = Bench::new();
    let text = "Жук ".repeat(40);
    let parts = pdus(&text);
    assert_eq!(parts.len(), 3);
    let first = {
        let running = bench.start(bench.config(), ModemConfig::default());
        let mut owner = Owner::ready(&running);
        owner.send_pdu(&parts[2]);
        owner.send_pdu(&parts[0])
    };
    let running = bench.start(bench.config(), ModemConfig::default());
    let mut owner = Owner::ready(&running);
    assert_eq!(owner.send_pdu(&parts[1]), first.wrapping_add(1));
    let log = bench.log();
    let texts: Vec<Option<&str>> = log.iter().map(|line| line["text"].as_str()).collect();
    assert_eq!(texts, [None, None, Some(text.as_str())]);
}

#[test]
fn reports_wait_for_an_owner_that_listens() {
    let bench = Bench::new();
    let sent = {
        let running = bench.start(bench.config(), ModemConfig::default());
        let mut owner = running.owner();
        owner.ask("ATE0");
        owner.send("not yet listening")[0]
    };
    let running = bench.start(bench.config(), ModemConfig::default());
    let mut owner = running.owner();
    // Nothing comes unasked while it says how it wants reports.
    assert_eq!(owner.ask("ATE0"), "ATE0\r\r\nOK\r\n");
    owner.ask("AT+CNMI=2,1,0,1,0");
    assert_eq!(owner.report().reference, sent);
}

#[test]
fn what_an_owner_left_unread_reaches_the_next_one() {
    let bench = Bench::new();
    let config = NetworkConfig { receipt_delay_ms: (200, 200), ..bench.config() };
    let running = bench.start(config, ModemConfig::default());
    let mut owner = Owner::ready(&running);
    let sent = owner.send("the owner does not read the report")[0];
    wait_for("the report in the port", || owner.port.bytes_to_read().unwrap() > 0);
    drop(owner);
    let mut owner = Owner::ready(&running);
    assert_eq!(owner.report().reference, sent);

    // What has been read is not handed over again.
    let journal = bench.config().dir.join("sims/262010000000001.jsonl");
    wait_for("the journal to forget", || std::fs::read_to_string(&journal).unwrap().contains("done"));
    drop(owner);
    drop(running);
    let running = bench.start(bench.config(), ModemConfig::default());
    let mut owner = Owner::ready(&running);
    assert_eq!(owner.ask("AT"), "\r\nOK\r\n");
}

#[test]
fn a_message_for_the_sim_stays_until_it_is_deleted() {
    let bench = Bench::new();
    {
        let running = bench.start(bench.config(), ModemConfig::default());
        let mut owner = Owner::ready(&running);
        running.inject("STOP");
        owner.until("+CMTI: \"SM\",1\r\n");
    }
    {
        let running = bench.start(bench.config(), ModemConfig::default());
        let mut owner = Owner::ready(&running);
        let listed = owner.ask("AT+CMGL=4");
        let line = listed.lines().nth(2).unwrap();
        let deliver = Deliver::decode(&Carried::from_line(line.as_bytes()).unwrap().tpdu).unwrap();
        assert_eq!(deliver.user_data.text().as_deref(), Some("STOP"));
        assert_eq!(deliver.originator.to_text(), "+491711111111");
        owner.ask("AT+CMGD=1");
    }
    let running = bench.start(bench.config(), ModemConfig::default());
    assert_eq!(Owner::ready(&running).ask("AT+CMGL=4"), "\r\nOK\r\n");
}

#[test]
fn a_port_that_hangs_up_comes_back_under_its_link() {
    let bench = Bench::new();
    let fault = Fault::HangUp { sent: true, back_ms: 50 };
    let faults = FaultPlan { rules: vec![FaultRule::at(fault, &[1])] };
    let running = bench.start(bench.config(), ModemConfig { faults, ..ModemConfig::default() });
    let device = std::fs::read_link(running.path()).unwrap();
    let mut owner = Owner::ready(&running);
    let (length, digits) = &pdus("gone")[0];
    owner.write(&format!("AT+CMGS={length}\r"));
    owner.until("> ");
    owner.write(&format!("{digits}\x1a"));
    let begin = Instant::now();
    loop {
        match owner.port.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Ok(count) if count > 0 => {}
            _ => break,
        }
        assert!(begin.elapsed() < PATIENCE, "the port did not hang up");
    }
    wait_for("the port to come back", || std::fs::read_link(running.path()).is_ok_and(|path| path != device));
    assert_eq!(bench.log().len(), 1);
    assert_eq!(Owner::ready(&running).report().recipient.to_text(), TO);
}

#[test]
fn nobody_shares_a_network_or_a_name() {
    let bench = Bench::new();
    let start = |modems| bench.runtime.block_on(Network::start(bench.config(), modems, CancellationToken::new()));
    let named = |link: &str| ModemConfig { link: link.to_owned(), ..ModemConfig::default() };
    assert!(matches!(start(vec![named("../x")]), Err(SimError::BadName { .. })));
    assert!(matches!(start(vec![named("a"), named("b")]), Err(SimError::BadName { .. })));
    let running = bench.start(bench.config(), ModemConfig::default());
    assert!(matches!(start(vec![named("a")]), Err(SimError::InUse { .. })));
    drop(running);
}
