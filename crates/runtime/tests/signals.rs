//! The first signal begins an orderly stop, the second ends the process at once.
//!
//! Knows signals as an operator sends them. Each test starts this program again as a child that only `child` runs in.
#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use runtime::Stop;
use rustix::process::{Pid, Signal, kill_process};

const ROLE: &str = "RUNTIME_SIGNALS_CHILD";

struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

/// Starts a child whose work ends in good order, or never.
fn start(work: &str) -> Running {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "child", "--nocapture"];
    let mut child = Command::new(program).args(arguments).env(ROLE, work).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut running = Running { child, lines };
    running.wait_for("ready");
    running
}

impl Running {
    fn wait_for(&mut self, word: &str) {
        assert!(self.lines.by_ref().map(Result::unwrap).any(|line| line.ends_with(word)), "never said `{word}`");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

#[test]
fn child() {
    let Ok(work) = std::env::var(ROLE) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let stop = Stop::new(600);
        stop.listen_to_signals().unwrap();
        let inside = stop.clone();
        drop(stop.spawn("work", async move {
            inside.begun().await;
            println!("stopping");
            if work == "never" {
                std::future::pending::<()>().await;
            }
        }));
        println!("ready");
        stop.begun().await;
        std::process::exit(if stop.drain().await.is_complete() { 0 } else { 1 });
    });
}

#[test]
fn one_signal_stops_in_good_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let running = start("orderly");
        running.signal(signal);
        assert_eq!(running.exit_code(), Some(0));
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut running = start("never");
        running.signal(Signal::TERM);
        running.wait_for("stopping");
        running.signal(signal);
        assert_eq!(running.exit_code(), Some(code));
    }
}
