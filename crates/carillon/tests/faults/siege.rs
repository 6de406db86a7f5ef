//! One installation, the engines beneath it and the ways between its processes, to be tried hard. Knows how to tell that
//! work goes on; must not know what is done to it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engines::Engines;
use rand::rngs::StdRng;

use crate::report::say;
use crate::support::cluster::{Farms, Plan};
use crate::support::{Carillon, PATIENCE, Part, Received, Role};
use crate::traffic::Traffic;
use crate::wire::Wire;

/// Modems that take their time, so that leases are out whenever something happens.
const SETTINGS: &str = "[demo]\nanswer_ms_min = 5\nanswer_ms_max = 40\n";

/// What is tried.
pub(crate) struct Siege<'a> {
    pub(crate) engines: &'a Engines,
    pub(crate) carillon: Carillon,
    pub(crate) plan: Plan,
    /// The way to each router.
    pub(crate) wires: Vec<Wire>,
    pub(crate) chance: StdRng,
    pub(crate) data: PathBuf,
    /// The program of an earlier build, if there is one to stand beside this one.
    pub(crate) previous: Option<PathBuf>,
}

impl<'a> Siege<'a> {
    /// Starts an installation in `dir` on these engines, its farms behind wires.
    pub(crate) async fn lay(engines: &'a Engines, dir: &Path, chance: StdRng) -> Self {
        let addresses = engines.addresses();
        let kafka = addresses.kafka.expect("the set has brokers");
        let mut plan = Plan::on(dir, &kafka, &addresses.cql.expect("the set has a CQL node"));
        let mut wires = Vec::new();
        for door in plan.router_doors() {
            wires.push(Wire::to(door).await);
        }
        plan.reach_routers_by(wires.iter().map(|wire| wire.port).collect());
        let data = dir.join("data");
        let carillon = plan.start(&data, SETTINGS, Farms::Two).await;
        Siege { engines, carillon, plan, wires, chance, data, previous: None }
    }

    /// Waits until a text of each country, sent from here on, was received by a modem that is counted: work goes on.
    pub(crate) async fn goes_on_by(&self, traffic: &Traffic, is_counted: impl Fn(&Received) -> bool) {
        let (from, countries, begun) = (traffic.begun(), traffic.countries(), Instant::now());
        loop {
            let received = self.carillon.received();
            let fresh = received.iter().filter(|line| is_counted(line));
            let fresh = fresh.filter_map(|line| number(line.text.as_deref()?, traffic.word())).filter(|n| *n >= from);
            let mut reached: Vec<usize> = fresh.map(|n| n % countries).collect();
            reached.sort_unstable();
            reached.dedup();
            if reached.len() == countries {
                return;
            }
            let missing = || (0..countries).filter(|country| !reached.contains(country)).collect::<Vec<_>>();
            assert!(
                begun.elapsed() < PATIENCE,
                "{PATIENCE:?} after text {from} nothing newer has reached countries {:?}:\n{}",
                missing(),
                self.carillon.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The same by any modem.
    pub(crate) async fn goes_on(&self, traffic: &Traffic) {
        say("waiting until texts of all countries arrive");
        self.goes_on_by(traffic, |_| true).await;
    }

    pub(crate) fn part(&mut self, role: Role, index: usize) -> &mut Part {
        self.carillon.part(role, index)
    }

    /// Waits until this process is ready again.
    pub(crate) async fn ready(&mut self, role: Role, index: usize) {
        let client = self.carillon.client.clone();
        self.part(role, index).ready(&client).await;
    }

    /// Waits until every process is ready.
    pub(crate) async fn all_ready(&mut self) {
        let client = self.carillon.client.clone();
        for part in &mut self.carillon.parts {
            part.ready(&client).await;
        }
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}:\n{}", self.carillon.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The number in a text `word-n`.
fn number(text: &str, word: &str) -> Option<usize> {
    text.strip_prefix(word)?.strip_prefix('-')?.parse().ok()
}
