//! The lease protocol under faults: many deliveries, two routers that may both believe they own, farms with journals, streams
//! that break, disks that die. One seed is one run. After each step the invariants of the protocol's model must hold; at
//! the end, in peace, every delivery must have ended once, and nothing may be left over.
//!
//! `LEASE_SIM_SEED=n` runs one seed and tells every step; `LEASE_SIM_SEEDS=n` runs so many.

mod farm;
mod lanes;
mod network;
mod random;
mod router;
mod truth;
mod world;

use lease::rule::Rule;

use crate::truth::Counts;
use crate::world::World;

const SEEDS: u64 = 10_000;

const MUTATED_SEEDS: u64 = 20_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed again with every step told, and fails.
fn tell(seed: u64, without: Option<Rule>) -> ! {
    let mut world = World::new(seed, without);
    world.verbose = true;
    let fault = world.run().unwrap_err();
    panic!("seed {seed}: {fault}");
}

#[test]
fn ten_thousand_seeds_without_a_fault() {
    if let Some(seed) = number("LEASE_SIM_SEED") {
        let mut world = World::new(seed, None);
        world.verbose = true;
        let ended = world.run();
        println!("seed {seed}: {ended:?}, {:?}", world.truth.counts);
        return ended.unwrap();
    }
    let seeds = number("LEASE_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut steps, mut counts) = (0, Counts::default());
    for seed in 0..seeds {
        let mut world = World::new(seed, None);
        if world.run().is_err() {
            tell(seed, None);
        }
        steps += world.steps;
        counts.add(&world.truth.counts);
    }
    println!("{seeds} seeds, {steps} steps, {counts:?}");
}

/// How soon the simulation sees that a rule is missing: the seed, and the fault.
fn first_fault(without: Rule) -> Option<(u64, String)> {
    (0..MUTATED_SEEDS).find_map(|seed| World::new(seed, Some(without)).run().err().map(|fault| (seed, fault)))
}

#[test]
fn without_any_one_rule_there_is_a_fault() {
    let mut unseen = Vec::new();
    for rule in Rule::ALL {
        match first_fault(rule) {
            Some((seed, fault)) => println!("without {rule:?}: seed {seed}: {fault}"),
            None => unseen.push(rule),
        }
    }
    assert_eq!(unseen, []);
}
