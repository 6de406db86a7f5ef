//! The settler under kills, by seed: outcomes and receipts in any order, killed at any commit, and yet every delivery ends
//! once, as its receipts say. A failing seed prints itself.

mod support;

use lease::record::OutcomeKind;
use model::State;
use model::record::Record;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use sms_router::config::Config;
use support::{House, NOW, Sent};

const SEEDS: u64 = 10;
const MESSAGES: u32 = 12;
const NUMBERS: u32 = 3;
const UNUSED: u32 = 9_999;

/// A delivery and what the network will say of it.
struct Case {
    sent: Sent,
    record: Record,
    references: Vec<u32>,
    statuses: Vec<Option<u32>>,
}

/// A thing that happens.
#[derive(Clone, Copy)]
enum Deed {
    Outcome(usize),
    Receipt(usize, usize),
}

impl Case {
    fn expected(&self) -> State {
        if self.statuses.contains(&Some(0x41)) {
            State::Failed
        } else if self.statuses.iter().all(|status| *status == Some(0)) {
            State::Delivered
        } else {
            State::Sent
        }
    }
}

#[tokio::test]
async fn every_delivery_ends_once_as_its_receipts_say() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        run(StdRng::seed_from_u64(seed)).await;
    }
}

async fn run(mut random: StdRng) {
    let config = Config { references_flush_ms: 1, batch_max: random.random_range(1..8), ..Config::default() };
    let house = House::open_with(config).await;
    let cases = cases(&house, &mut random).await;
    let mut deeds = deeds(&cases);
    deeds.shuffle(&mut random);
    for deed in deeds {
        perform(&house, &cases, deed).await;
        if random.random_bool(0.4) {
            settle_and_maybe_die(&house, &cases, &mut random).await;
        }
    }
    house.settle().await;
    check_ended(&house, &cases).await;
    house.desk.clock.set(NOW.plus_ms(2 * 86_400_000));
    settle_by_the_clock(&house, &cases).await;
    let ledger = house.ledger().await;
    assert_eq!(ledger.finals.values().sum::<u64>(), u64::from(MESSAGES));
    for case in &cases {
        assert_eq!(house.ending(&case.sent).await.0, case.expected());
        let story = house.story(&case.sent).await;
        assert_eq!(story.iter().filter(|step| **step == "submitted").count(), 1, "{story:?}");
    }
}

async fn cases(house: &House, random: &mut StdRng) -> Vec<Case> {
    let mut cases = Vec::new();
    for n in 0..MESSAGES {
        let parts = random.random_range(1..=3_u32);
        let number = format!("+44770090{:04}", n % NUMBERS);
        let sent = house.message_to(u128::from(n) + 1, &number).with(|header| header.segments = parts);
        let references = (0..parts).map(|part| n * 10 + part).collect();
        let statuses =
            (0..parts).map(|_| [Some(0), Some(0), Some(0), Some(0), Some(0x41), None][random.random_range(0..6)]);
        cases.push((sent, references, statuses.collect::<Vec<_>>()));
    }
    house.accept(&cases.iter().map(|case| case.0.clone()).collect::<Vec<_>>()).await;
    house.plan().await;
    let records = house.routed("blue-gb").await;
    let with_record = |(sent, references, statuses): (Sent, Vec<u32>, Vec<Option<u32>>)| {
        let record = records.iter().find(|record| record.header.message == sent.header.message).unwrap().clone();
        Case { sent, record, references, statuses }
    };
    cases.into_iter().map(with_record).collect()
}

fn deeds(cases: &[Case]) -> Vec<Deed> {
    let of_case = |(index, case): (usize, &Case)| {
        let heard = case.statuses.iter().enumerate().filter(|(_, status)| status.is_some());
        let receipts: Vec<Deed> = heard.map(|(part, _)| Deed::Receipt(index, part)).collect();
        [vec![Deed::Outcome(index)], receipts].concat()
    };
    cases.iter().enumerate().flat_map(of_case).collect()
}

async fn perform(house: &House, cases: &[Case], deed: Deed) {
    match deed {
        Deed::Outcome(index) => {
            let case = &cases[index];
            house.outcome_because(&case.record, OutcomeKind::Sent, &case.references, "").await;
        }
        Deed::Receipt(index, part) => {
            let case = &cases[index];
            house.receipt(&case.sent, case.references[part], case.statuses[part].unwrap()).await;
        }
    }
}

async fn settle_and_maybe_die(house: &House, cases: &[Case], random: &mut StdRng) {
    let partition = cases[random.random_range(0..cases.len())].sent.settled_in();
    house.bus.fail_after(random.random_range(0..12));
    // It dies, or it does not.
    drop(house.settle_partition(partition).await);
    house.bus.heal();
}

/// Gives every partition something to read, so that its settler runs and sees the clock.
async fn settle_by_the_clock(house: &House, cases: &[Case]) {
    for case in cases {
        house.receipt(&case.sent, UNUSED, 0).await;
    }
    house.settle().await;
}

async fn check_ended(house: &House, cases: &[Case]) {
    for case in cases.iter().filter(|case| case.expected() != State::Sent) {
        assert_eq!(house.ending(&case.sent).await.0, case.expected());
    }
}
