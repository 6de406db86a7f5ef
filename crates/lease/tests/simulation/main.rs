//! The lease protocol under faults: many deliveries, two routers that may both believe they own, farms with journals, streams
//! that break, disks that die. One seed is one run. After each step the invariants of the protocol's model must hold; at
//! the end, in peace, every delivery must have ended once, and nothing may be left over.
//!
//! `LEASE_SIM_SEED=n` runs one seed and tells every step; `LEASE_SIM_SEEDS=n` runs so many.

mod farm;
mod farms;
mod faults;
mod lanes;
mod network;
mod peace;
mod plan;
mod random;
mod router;
mod routers;
mod truth;
mod world;

use lease::rule::Rule;

use crate::truth::{Counts, Fault};
use crate::world::World;

const SEEDS: u64 = 10_000;

/// Seeds tried with a rule left out.
const MUTATED_SEEDS: u64 = 30_000;

/// Seeds tried after one that stays unfinished, for a broken promise.
const MUTATED_SEEDS_MORE: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed again with every step told, and fails.
fn tell(seed: u64, without: &'static [Rule]) -> ! {
    let mut world = World::new(seed, without);
    world.verbose = true;
    let fault = world.run().unwrap_err();
    panic!("seed {seed}: {fault:?}");
}

#[test]
fn ten_thousand_seeds_without_a_fault() {
    if let Some(seed) = number("LEASE_SIM_SEED") {
        let mut world = World::new(seed, &[]);
        world.verbose = true;
        let ended = world.run();
        println!("seed {seed}: {ended:?}, {:?}", world.truth.counts);
        return ended.unwrap();
    }
    let seeds = number("LEASE_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut steps, mut counts) = (0, Counts::default());
    for seed in 0..seeds {
        let mut world = World::new(seed, &[]);
        if world.run().is_err() {
            tell(seed, &[]);
        }
        steps += world.steps;
        counts.add(&world.truth.counts);
    }
    println!("{seeds} seeds, {steps} steps, {counts:?}");
}

/// How soon the simulation sees that rules are missing: the first seed with a broken promise, or else the first with any
/// other fault.
fn first_fault(without: &'static [Rule], from: u64) -> Option<(u64, Fault)> {
    let (mut other, mut end) = (None, from + MUTATED_SEEDS);
    let mut seed = from;
    while seed < end {
        match World::new(seed, without).run() {
            Err(fault @ Fault::Broken(_)) => return Some((seed, fault)),
            Err(fault) if other.is_none() => (other, end) = (Some((seed, fault)), seed + MUTATED_SEEDS_MORE),
            Err(_) | Ok(()) => {}
        }
        seed += 1;
    }
    other
}

/// Each rule left out (rule 8 has a test of its own: its run is too rare for seeds); and the seed from which a fault is searched
/// (the rarer ones need long to be found from 0).
const LEFT_OUT: [(&[Rule], u64); 21] = [
    (&[Rule::MarkerStops], 0),
    (&[Rule::DurableGrant], 0),
    (&[Rule::CountsUnderMarker], 0),
    (&[Rule::ReadBack], 0),
    (&[Rule::SendOnce], 3_800),
    (&[Rule::Handshake], 0),
    (&[Rule::DropOnAsk], 0),
    (&[Rule::Sessions], 0),
    (&[Rule::EpochCheck], 5_700),
    (&[Rule::ReleaseStops], 0),
    (&[Rule::ReturnStops], 0),
    (&[Rule::ReleaseReadBack], 0),
    (&[Rule::IntentSynced], 0),
    (&[Rule::BegunIsUncertain], 0),
    (&[Rule::ForgetAfterAppend], 1_300),
    (&[Rule::BegunMeansWait], 0),
    (&[Rule::FirstCounts], 0),
    (&[Rule::LostIsUncertain], 0),
    (&[Rule::CheckpointCovers], 0),
    (&[Rule::SettledOnce], 0),
    (&[Rule::NumbersRise], 0),
];

#[test]
fn without_any_one_rule_there_is_a_fault() {
    let mut unseen = Vec::new();
    for (rules, from) in LEFT_OUT {
        match first_fault(rules, from) {
            Some((seed, fault)) => println!("without {rules:?}: seed {seed}: {fault:?}"),
            None => unseen.push(rules),
        }
    }
    assert!(unseen.is_empty(), "the simulation does not see that these are missing: {unseen:?}");
}
