//! How many messages a second a simulated network carries, and what one costs it: `COUNT` owners, each with a modem of
//! its own, send for `SECONDS` as fast as they are answered. `cargo run --release -p sim --example load -- COUNT SECONDS`

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use wire::{
    tpdu::{Address, Outgoing, Report, at_command_pdu, submits},
    udh::Reference,
};

/// Linux counts a process's time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let modems: u32 = arguments.next().map_or(Ok(100), |count| count.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |seconds| seconds.parse())?;
    let dir = env::temp_dir().join(format!("carillon-sim-load-{}", std::process::id()));
    let program = env::current_exe()?.with_file_name("network");
    let mut network =
        Command::new(program).arg(&dir).arg(modems.to_string()).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let ports: Vec<PathBuf> = (0..modems).map(|number| dir.join(format!("dev/modem-{number}"))).collect();
    while !ports.iter().all(|port| port.exists()) {
        thread::sleep(Duration::from_millis(10));
    }
    let sent = AtomicU64::new(0);
    let before = cpu_ticks(network.id())?;
    let begin = Instant::now();
    thread::scope(|scope| {
        for port in &ports {
            scope.spawn(|| own(port, begin + Duration::from_secs(seconds), &sent));
        }
    });
    let (elapsed, ticks) = (begin.elapsed().as_secs_f64(), cpu_ticks(network.id())? - before);
    let sent = sent.into_inner() as f64;
    let lines = fs::read_to_string(dir.join("sim.log"))?.lines().count();
    println!(
        "{:.0} messages/s, {:.1} µs of the network's CPU each, {lines} on record",
        sent / elapsed,
        ticks / TICKS_PER_SECOND * 1e6 / sent
    );
    drop(network.stdin.take());
    network.wait()?;
    fs::remove_dir_all(dir)?;
    Ok(())
}

/// Sends until the end comes.
fn own(port: &Path, end: Instant, sent: &AtomicU64) {
    let mut port = OpenOptions::new().read(true).write(true).open(port).expect("the port was there");
    let to = Address::number("+4915112345678").expect("it is a number");
    let text = "Your code is 123456. It is valid for ten minutes; give it to nobody.";
    let outgoing = Outgoing { text, to, reference: Reference::Narrow(1), report: Report::Wanted, validity: None };
    let tpdu = submits(&outgoing).and_then(|parts| parts[0].encode()).expect("it is one part");
    let (length, digits) = at_command_pdu(&tpdu);
    ask(&mut port, "ATE0\r", b"OK\r\n");
    ask(&mut port, "AT+CNMI=2,1,0,1,0\r", b"OK\r\n");
    while Instant::now() < end {
        ask(&mut port, &format!("AT+CMGS={length}\r"), b"> ");
        ask(&mut port, &format!("{digits}\x1a"), b"OK\r\n");
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

fn ask(port: &mut File, text: &str, end: &[u8]) {
    port.write_all(text.as_bytes()).expect("the port is open");
    let mut read = Vec::new();
    let mut octets = [0; 4_096];
    while !read.windows(end.len()).any(|window| window == end) {
        let count = port.read(&mut octets).expect("the port is open");
        read.extend_from_slice(&octets[..count]);
    }
}

fn cpu_ticks(process: u32) -> Result<f64, Box<dyn std::error::Error>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // proc(5): utime and stime are the 14th and 15th field; the second is a name in brackets.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok(fields[11].parse::<f64>()? + fields[12].parse::<f64>()?)
}
