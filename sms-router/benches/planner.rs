//! What a plan costs, over decks of several sizes. Knows made-up prices; must not know what is fast enough.
//!
//! `cargo bench -p sms-router`; `cargo xtask instructions` counts instead of timing.

use divan::{Bencher, black_box};
use model::party::{Carries, PriceDeck, Rate, RatePrice, Route};
use model::record::Service;
use model::{Msisdn, RouteId, SupplierId, Timestamp};
use sms_router::country::Country;
use sms_router::planner::{Fitness, PriceTable, Request};

fn main() {
    divan::main();
}

/// Whose price deck it is.
#[derive(Clone, Copy, Debug)]
enum Deck {
    Demo,
    Provider,
    Carrier,
}

const DECKS: [Deck; 3] = [Deck::Demo, Deck::Provider, Deck::Carrier];

impl Deck {
    /// Suppliers, and lines of each.
    const fn size(self) -> (usize, usize) {
        match self {
            Deck::Demo => (2, 200),
            Deck::Provider => (10, 2_000),
            Deck::Carrier => (50, 20_000),
        }
    }
}

fn supplier(number: usize) -> SupplierId {
    SupplierId::new(&format!("supplier-{number}")).expect("it is a name")
}

fn rate(number: usize, line: usize) -> Rate {
    Rate {
        supplier: supplier(number),
        // Every deck has the number's own prefixes; the rest fills the tree.
        prefix: if line < 4 { "4477"[..=line].to_owned() } else { format!("{}", 100_000 + line * 37 % 900_000) },
        country: String::new(),
        unit: RatePrice { micros: 10_000 + (line * 7 + number) as i64, currency: "EUR".parse().expect("it is one") },
        from: Timestamp(0),
        to: None,
    }
}

fn table(deck: Deck) -> PriceTable {
    let (suppliers, lines) = deck.size();
    let rates = (0..suppliers).flat_map(|number| (0..lines).map(move |line| rate(number, line))).collect();
    let route = |number| Route {
        id: RouteId::new(&format!("route-{number}")).expect("it is a name"),
        supplier: supplier(number),
        prefixes: Vec::new(),
        receipts: true,
        enabled: true,
        carries: Carries::Sms,
        weight: 1,
    };
    let routes: Vec<Route> = (0..suppliers).map(route).collect();
    PriceTable::compile(&PriceDeck { version: 1, rates }, &routes).expect("its prices are of one currency")
}

#[divan::bench(args = DECKS)]
fn planned(bencher: Bencher<'_, '_>, deck: Deck) {
    let table = table(deck);
    let number = Msisdn::parse("+447700900123").expect("it is a number");
    let country = Country::parse("GB");
    let request = Request { number: &number, country, service: Service::Sms, segments: 1, turn: 0, now: Timestamp(1) };
    bencher.bench_local(|| table.plan(black_box(&request), &|_: &RouteId| Fitness::Fit));
}
