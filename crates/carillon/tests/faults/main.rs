//! Faults on the cluster column, under load, counted against the simulated network's record. Knows which faults there are
//! and in which order they come.
//!
//! A harness of its own: all faults share one set of engines and one installation, which takes longer to start than a
//! fault takes. `cargo xtask faults` runs it often; the variables it sets are [`orders`]'s.

#[path = "../support/mod.rs"]
mod support;

mod balancer;
mod links;
mod orders;
mod report;
mod roles;
mod servers;
mod siege;
mod tally;
mod traffic;
mod upgrade;
mod wire;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use engines::{Engines, Options, Temporary};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;

use orders::Orders;
use report::{Report, Row, say};
use siege::Siege;
use support::Role;
use tally::{Ledger, Tally, count};
use traffic::Traffic;

/// What is done to an installation under load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    TwoOwners,
    KillGateway,
    KillRouter,
    KillFarm,
    KillBroker,
    RestartCql,
    Rebalance,
    Upgrade,
    FarmCut,
    NoQuorum,
}

impl Fault {
    const ALL: [Fault; 10] = [
        Fault::TwoOwners,
        Fault::KillGateway,
        Fault::KillRouter,
        Fault::KillFarm,
        Fault::KillBroker,
        Fault::RestartCql,
        Fault::Rebalance,
        Fault::Upgrade,
        Fault::FarmCut,
        Fault::NoQuorum,
    ];

    const fn name(self) -> &'static str {
        match self {
            Fault::TwoOwners => "two-owners",
            Fault::KillGateway => "kill-gateway",
            Fault::KillRouter => "kill-router",
            Fault::KillFarm => "kill-farm",
            Fault::KillBroker => "kill-broker",
            Fault::RestartCql => "restart-cql",
            Fault::Rebalance => "rebalance",
            Fault::Upgrade => "upgrade",
            Fault::FarmCut => "farm-cut",
            Fault::NoQuorum => "no-quorum",
        }
    }

    async fn happen(self, siege: &mut Siege<'_>, traffic: &Traffic) {
        match self {
            Fault::TwoOwners => roles::two_owners(siege, traffic).await,
            Fault::KillGateway => roles::kill(siege, traffic, Role::Gateway).await,
            Fault::KillRouter => roles::kill(siege, traffic, Role::Router).await,
            Fault::KillFarm => roles::kill(siege, traffic, Role::Farm).await,
            Fault::KillBroker => servers::kill_broker(siege, traffic).await,
            Fault::RestartCql => servers::restart_cql(siege, traffic).await,
            Fault::Rebalance => roles::rebalance(siege, traffic).await,
            Fault::Upgrade => upgrade::upgrade(siege, traffic).await,
            Fault::FarmCut => links::cut(siege, traffic).await,
            Fault::NoQuorum => servers::no_quorum(siege, traffic).await,
        }
    }
}

fn main() -> ExitCode {
    let orders = match Orders::read(&Fault::ALL.map(Fault::name)) {
        Ok(Some(orders)) => orders,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| orders.wants(fault.name())).collect();
    if faults.is_empty() {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let borrowed = orders.set.as_ref().map(|folder| Engines::open(folder).unwrap().expect("the set named is there"));
    let own = borrowed.is_none().then(|| Temporary::up(&engines::home().join("faults"), &Options::default()).unwrap());
    let set: &Engines = borrowed.as_ref().or(own.as_deref()).expect("one of the two");
    orders::watch_for_interruption(&runtime);
    if rounds(&runtime, set, &orders, &faults) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All faults, round by round, on one installation as long as it serves; whether all was well.
fn rounds(runtime: &Runtime, set: &Engines, orders: &Orders, faults: &[Fault]) -> bool {
    let mut chance = StdRng::seed_from_u64(orders.seed);
    let mut report = Report::begin(orders.seed, orders.json.clone());
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    drop(std::fs::remove_dir_all(&home)); // what an earlier run left to be looked at
    let mut siege: Option<Siege<'_>> = None;
    for (round, fault) in (1..=orders.rounds).flat_map(|round| faults.iter().map(move |fault| (round, *fault))) {
        if orders::interrupted() {
            break;
        }
        let began = Instant::now();
        say(&format!("round {round} of {}: {}", orders.rounds, fault.name()));
        let seed = rand::Rng::random(&mut chance);
        let dir: PathBuf = home.join(format!("{round}-{}", fault.name()));
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                let siege = match &mut siege {
                    Some(siege) => siege,
                    none => {
                        say("an installation starts");
                        std::fs::create_dir_all(&dir).unwrap();
                        none.insert(Siege::lay(set, &dir, StdRng::seed_from_u64(seed)).await)
                    }
                };
                siege.chance = StdRng::seed_from_u64(seed);
                siege.previous.clone_from(&orders.previous);
                one(siege, fault, round).await
            })
        }));
        let tally =
            ran.unwrap_or_else(|panic| Tally::broken(&format!("could not be carried through: {}", said(&*panic))));
        let is_well = tally.wrong.is_empty();
        report.add(Row { round, fault: fault.name(), took: began.elapsed(), tally });
        if !is_well {
            // The next one is not to suffer from it; its logs and its record stay.
            servers::heal(set);
            if let Some(broken) = siege.take() {
                println!("    logs: {}", broken.data.parent().unwrap_or(&broken.data).display());
            }
        }
    }
    drop(siege);
    if report.is_well() {
        drop(std::fs::remove_dir_all(&home)); // nobody needs logs of what went well
    }
    report.end()
}

/// What a panic said first; the rest is above.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next()).unwrap_or("see above")
}

/// One fault, from load to count.
async fn one(siege: &mut Siege<'_>, fault: Fault, round: usize) -> Tally {
    let before = Ledger::now(&siege.carillon).await;
    say("load begins");
    let traffic = Traffic::start(&siege.carillon, &format!("{}-{round}", fault.name()));
    siege.goes_on(&traffic).await;
    fault.happen(siege, &traffic).await;
    say("load ends; everything is counted");
    let sent = traffic.stop().await;
    count(&siege.carillon, &sent, &before, usize::from(fault == Fault::KillFarm)).await
}
