//! What the planner promises. Knows its public face only.

use std::collections::BTreeMap;

use model::party::{Carries, PriceDeck, Rate, RatePrice, Route};
use model::record::Service;
use model::{Msisdn, RouteId, SupplierId, Timestamp};
use proptest::prelude::*;
use sms_router::country::Country;
use sms_router::planner::{Conditions, Fitness, Loss, Plan, PriceTable, ROOM_WHOLE, RateUse, Request, TableError};

fn rate(supplier: &str, prefix: &str, micros: i64) -> Rate {
    Rate {
        supplier: SupplierId::new(supplier).unwrap(),
        prefix: prefix.into(),
        country: String::new(),
        unit: RatePrice { micros, currency: "EUR".parse().unwrap() },
        from: Timestamp(0),
        to: None,
    }
}

fn route(supplier: &str, name: &str, prefixes: &[&str]) -> Route {
    Route {
        id: RouteId::new(name).unwrap(),
        supplier: SupplierId::new(supplier).unwrap(),
        prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
        receipts: true,
        enabled: true,
        carries: Carries::Sms,
        weight: 1,
    }
}

fn table(rates: Vec<Rate>, routes: &[Route]) -> PriceTable {
    PriceTable::compile(&PriceDeck { version: 7, rates }, routes).unwrap()
}

fn fit(_: &RouteId) -> Fitness {
    Fitness::Fit
}

fn plan_at(table: &PriceTable, number: &str, country: &str, now: i64) -> Plan {
    let number = Msisdn::parse(number).unwrap();
    let request = Request {
        number: &number,
        country: Country::parse(country),
        service: Service::Sms,
        segments: 2,
        turn: 0,
        now: Timestamp(now),
    };
    table.plan(&request, &fit)
}

fn routes_of(plan: &Plan) -> Vec<&str> {
    plan.candidates.iter().map(|choice| choice.route.as_str()).collect()
}

fn losses(plan: &Plan) -> BTreeMap<&str, Loss> {
    plan.lost.iter().map(|loser| (loser.route.as_str(), loser.loss)).collect()
}

#[test]
fn the_longest_prefix_of_a_supplier_is_its_price_even_if_a_shorter_one_is_cheaper() {
    let rates = vec![rate("blue", "44", 10), rate("blue", "447", 90), rate("green", "4", 50)];
    let table = table(rates, &[route("blue", "b", &[]), route("green", "g", &[])]);
    let plan = plan_at(&table, "+447400123456", "GB", 1);
    assert_eq!(routes_of(&plan), ["g", "b"]);
    assert_eq!((plan.candidates[1].unit.micros, plan.candidates[1].total.micros), (90, 180));
    assert_eq!(plan.candidates[1].prefix, "447");
    assert_eq!(plan.price_table, 7);
    assert_eq!(losses(&plan), BTreeMap::from([("b", Loss::Dearer)]));
}

#[test]
fn a_missing_price_is_not_routable() {
    let routes = [route("blue", "b", &[]), route("none", "n", &[])];
    let plan = plan_at(&table(vec![rate("blue", "49", 1)], &routes), "+447400123456", "GB", 1);
    assert!(plan.candidates.is_empty());
    assert_eq!(losses(&plan), BTreeMap::from([("b", Loss::NoPrice), ("n", Loss::NoPrice)]));
    assert!(plan_at(&table(vec![], &routes), "+447400123456", "GB", 1).candidates.is_empty());
}

#[test]
fn a_price_of_zero_is_a_price() {
    let table = table(
        vec![rate("blue", "44", 0), rate("green", "44", 5)],
        &[route("green", "g", &[]), route("blue", "b", &[])],
    );
    assert_eq!(routes_of(&plan_at(&table, "+447400123456", "GB", 1)), ["b", "g"]);
}

#[test]
fn a_rate_holds_from_its_first_moment_up_to_not_including_its_last() {
    let old = Rate { to: Some(Timestamp(100)), ..rate("blue", "44", 10) };
    let new = Rate { from: Timestamp(100), to: Some(Timestamp(200)), ..rate("blue", "44", 30) };
    let table = table(vec![new, old], &[route("blue", "b", &[])]);
    let price = |now| plan_at(&table, "+447400123456", "GB", now).candidates.first().map(|c| c.unit.micros);
    assert_eq!([price(99), price(100), price(199), price(200)], [Some(10), Some(30), Some(30), None]);
}

#[test]
fn countries_that_share_a_code_have_their_own_prices() {
    let rates = vec![
        Rate { country: "US".into(), ..rate("blue", "1", 10) },
        Rate { country: "CA".into(), ..rate("blue", "1", 20) },
        rate("blue", "1", 15),
    ];
    let table = table(rates, &[route("blue", "b", &[])]);
    let price = |country| plan_at(&table, "+12025550123", country, 1).candidates[0].unit.micros;
    assert_eq!([price("US"), price("CA"), price("JM")], [10, 20, 15]);
}

#[test]
fn a_route_carries_only_its_prefixes_and_only_while_enabled() {
    let off = Route { enabled: false, ..route("blue", "off", &[]) };
    let routes = [route("blue", "gb", &["44"]), route("blue", "de", &["49", "43"]), off];
    let plan = plan_at(&table(vec![rate("blue", "4", 1)], &routes), "+447400123456", "GB", 1);
    assert_eq!(routes_of(&plan), ["gb"]);
    assert_eq!(losses(&plan), BTreeMap::from([("de", Loss::NotCarried), ("off", Loss::Disabled)]));
}

#[test]
fn a_route_carries_one_service() {
    let centre = Route { carries: Carries::Mms, ..route("blue", "centre", &[]) };
    let table = table(vec![rate("blue", "44", 1)], &[route("blue", "modems", &[]), centre]);
    let number = Msisdn::parse("+447400123456").unwrap();
    for (service, carrier, other) in [(Service::Sms, "modems", "centre"), (Service::Mms, "centre", "modems")] {
        let request = Request { number: &number, country: None, service, segments: 1, turn: 0, now: Timestamp(1) };
        let plan = table.plan(&request, &fit);
        assert_eq!(routes_of(&plan), [carrier]);
        assert_eq!(losses(&plan), BTreeMap::from([(other, Loss::OtherService)]));
    }
}

/// The route each of many deliveries goes by.
fn chosen(table: &PriceTable, deliveries: u64, conditions: &impl Conditions) -> Vec<String> {
    let number = Msisdn::parse("+447400123456").unwrap();
    let request =
        Request { number: &number, country: None, service: Service::Sms, segments: 1, turn: 0, now: Timestamp(1) };
    // Ids are spread evenly; consecutive numbers are the worst that could come.
    let chosen = |turn| table.plan(&Request { turn, ..request }, conditions).candidates.remove(0);
    (0..deliveries).map(|turn| chosen(turn).route.as_str().to_owned()).collect()
}

fn count(chosen: &[String], route: &str) -> u64 {
    chosen.iter().filter(|name| *name == route).count() as u64
}

fn weighted(name: &str, weight: u32) -> Route {
    Route { weight, ..route("blue", name, &[]) }
}

/// Whether a share is within four standard deviations of what the weights say: one run in 16,000 is not, were it by chance.
fn is_share(count: u64, of: u64, part: f64) -> bool {
    let deviation = (of as f64 * part * (1.0 - part)).sqrt();
    (count as f64 - of as f64 * part).abs() <= 4.0 * deviation
}

#[test]
fn routes_of_one_price_take_turns_by_their_weights() {
    let three_to_one = table(vec![rate("blue", "44", 5)], &[weighted("a", 3), weighted("b", 1)]);
    let turns = chosen(&three_to_one, 10_000, &fit);
    assert!(is_share(count(&turns, "a"), 10_000, 0.75), "{}", count(&turns, "a"));
    assert_eq!(turns, chosen(&three_to_one, 10_000, &fit), "the same question has the same answer");
    let plan = plan_at(&three_to_one, "+447400123456", "GB", 1);
    assert_eq!(plan.candidates.len(), 2, "the other is for failover");
    assert_eq!(losses(&plan).into_values().collect::<Vec<_>>(), [Loss::SamePrice]);
    // Routes of different suppliers at one price are no different.
    let rates = vec![rate("blue", "44", 5), rate("green", "44", 5)];
    let suppliers = table(rates, &[route("blue", "a", &[]), route("green", "b", &[])]);
    let turns = chosen(&suppliers, 10_000, &fit);
    assert!(is_share(count(&turns, "a"), 10_000, 0.5), "{}", count(&turns, "a"));
}

#[test]
fn one_that_goes_leaves_its_deliveries_to_the_others_and_moves_none_of_theirs() {
    let routes = [weighted("a", 5), weighted("b", 3), weighted("c", 2)];
    let table = table(vec![rate("blue", "44", 5)], &routes);
    let before = chosen(&table, 10_000, &fit);
    let without = |route: &RouteId| if route.as_str() == "a" { Fitness::Down } else { Fitness::Fit };
    let after = chosen(&table, 10_000, &without);
    assert!(before.iter().zip(&after).all(|(before, after)| before == "a" || before == after));
    assert!(is_share(count(&after, "b"), 10_000, 0.6), "{}", count(&after, "b"));
}

#[test]
fn a_weight_of_zero_carries_what_no_other_can() {
    let routes = [weighted("a", 1), weighted("spare", 0), weighted("spare-2", 0)];
    let table = table(vec![rate("blue", "44", 5)], &routes);
    assert_eq!(count(&chosen(&table, 1_000, &fit), "a"), 1_000);
    let without = |route: &RouteId| if route.as_str() == "a" { Fitness::Full } else { Fitness::Fit };
    let spares = chosen(&table, 10_000, &without);
    assert!(is_share(count(&spares, "spare"), 10_000, 0.5), "{}", count(&spares, "spare"));
    // Among prices the weight counts for nothing.
    let rates = vec![rate("blue", "44", 5), rate("green", "44", 4)];
    let cheap = Route { weight: 0, ..route("green", "cheap", &[]) };
    let both = self::table(rates, &[weighted("a", 1_000), cheap]);
    assert_eq!(count(&chosen(&both, 100, &fit), "cheap"), 100);
}

#[test]
fn what_is_free_counts_as_the_weight_does() {
    struct Busy;
    impl Conditions for Busy {
        fn fitness(&self, _: &RouteId) -> Fitness {
            Fitness::Fit
        }
        fn room(&self, route: &RouteId) -> u32 {
            if route.as_str() == "a" { ROOM_WHOLE / 8 } else { ROOM_WHOLE }
        }
    }
    let even = table(vec![rate("blue", "44", 5)], &[weighted("a", 1), weighted("b", 1)]);
    let turns = chosen(&even, 10_000, &Busy);
    assert!(is_share(count(&turns, "a"), 10_000, 1.0 / 9.0), "{}", count(&turns, "a"));
}

#[test]
fn what_is_free_in_a_country_goes_where_it_is_free() {
    let rates = vec![
        rate("blue", "49", 0),
        rate("blue", "420", 9),
        rate("green", "420", 0),
        rate("green", "49", 9),
        // A longer prefix is a price of its own.
        rate("green", "4915", 0),
        rate("blue", "4915", 1),
    ];
    let table = table(rates, &[route("blue", "a", &[]), route("green", "b", &[])]);
    let first = |number: &str| plan_at(&table, number, "", 1).candidates[0].route.to_string();
    for n in 0..100 {
        assert_eq!(first(&format!("+49301234{n:04}")), "a");
        assert_eq!(first(&format!("+4206012{n:05}")), "b");
        assert_eq!(first(&format!("+49151234{n:05}")), "b");
    }
}

#[test]
fn unfit_routes_wait_behind_fit_ones_and_carry_when_nobody_else_can() {
    let rates = vec![rate("blue", "44", 1), rate("green", "44", 5), rate("red", "44", 9)];
    let routes = [route("blue", "b", &[]), route("green", "g", &[]), route("red", "r", &[])];
    let table = table(rates, &routes);
    let number = Msisdn::parse("+447400123456").unwrap();
    let request =
        Request { number: &number, country: None, service: Service::Sms, segments: 1, turn: 0, now: Timestamp(1) };
    let some = table.plan(&request, &|route: &RouteId| match route.as_str() {
        "b" => Fitness::Down,
        "g" => Fitness::Full,
        _ => Fitness::Fit,
    });
    assert_eq!(routes_of(&some), ["r"]);
    assert_eq!(losses(&some), BTreeMap::from([("b", Loss::Down), ("g", Loss::Full)]));
    let none = table.plan(&request, &|_: &RouteId| Fitness::Down);
    assert_eq!(routes_of(&none), ["b", "g", "r"]);
}

#[test]
fn an_explanation_has_every_line_that_matches() {
    let over = Rate { to: Some(Timestamp(1)), ..rate("blue", "4474", 1) };
    let soon = Rate { from: Timestamp(9), ..rate("blue", "44740", 1) };
    let other = Rate { country: "IM".into(), ..rate("blue", "447", 1) };
    let rates = vec![rate("blue", "4", 1), rate("blue", "44", 2), over, soon, other, rate("blue", "49", 1)];
    let table = table(rates, &[route("blue", "b", &[])]);
    let number = Msisdn::parse("+447400123456").unwrap();
    let request = Request {
        number: &number,
        country: Country::parse("GB"),
        service: Service::Sms,
        segments: 1,
        turn: 0,
        now: Timestamp(5),
    };
    let uses: Vec<_> = table.explain(&request, &fit).rates.into_iter().map(|r| (r.prefix, r.applies)).collect();
    let expected = [
        ("4", RateUse::ShorterPrefix),
        ("44", RateUse::Applies),
        ("447", RateUse::OtherCountry),
        ("4474", RateUse::Over),
        ("44740", RateUse::NotYet),
    ];
    assert_eq!(uses, expected.map(|(prefix, applies)| (prefix.to_owned(), applies)));
}

#[test]
fn a_timeline_shows_a_bounded_number_of_losers_and_an_explanation_all() {
    let routes: Vec<Route> = (0..40).map(|n| route("none", &format!("n{n:02}"), &[])).collect();
    let table = table(vec![rate("blue", "44", 1)], &routes);
    assert_eq!(plan_at(&table, "+447400123456", "GB", 1).lost.len(), sms_router::planner::LOST_MAX);
    let number = Msisdn::parse("+447400123456").unwrap();
    let request =
        Request { number: &number, country: None, service: Service::Sms, segments: 1, turn: 0, now: Timestamp(5) };
    assert_eq!(table.explain(&request, &fit).plan.lost.len(), 40);
}

#[test]
fn a_deck_of_two_currencies_is_refused() {
    let dollars = Rate { unit: RatePrice { micros: 1, currency: "USD".parse().unwrap() }, ..rate("blue", "1", 1) };
    let deck = PriceDeck { version: 1, rates: vec![rate("blue", "44", 1), dollars] };
    assert!(matches!(PriceTable::compile(&deck, &[]), Err(TableError::Currencies { .. })));
}

#[test]
fn a_price_that_overflows_is_no_price() {
    let table = table(vec![rate("blue", "44", i64::MAX / 2 + 1)], &[route("blue", "b", &[])]);
    assert!(plan_at(&table, "+447400123456", "GB", 1).candidates.is_empty());
}

prop_compose! {
    fn world()(
        prices in prop::collection::vec((0..4usize, "4[0-9]{0,4}", 0..6i64), 0..30),
        routes in prop::collection::vec((0..4usize, prop::option::of("4[0-9]{0,2}"), any::<bool>()), 1..10),
        fitness in prop::collection::vec(0..3usize, 10),
        tail in "[0-9]{8}",
    ) -> (Vec<Rate>, Vec<Route>, Vec<Fitness>, Msisdn) {
        let names = ["blue", "green", "red", "white"];
        let unique: BTreeMap<(usize, String), i64> = prices.into_iter().map(|(s, p, m)| ((s, p), m)).collect();
        let rates = unique.into_iter().map(|((s, p), m)| rate(names[s], &p, m)).collect();
        let routes = routes.into_iter().enumerate().map(|(n, (s, prefix, enabled))| {
            let prefixes: Vec<&str> = prefix.as_deref().into_iter().collect();
            Route { enabled, ..route(names[s], &format!("r{n}"), &prefixes) }
        }).collect();
        let fitness = fitness.into_iter().map(|f| [Fitness::Fit, Fitness::Down, Fitness::Full][f]).collect();
        (rates, routes, fitness, Msisdn::parse(&format!("+4{tail}")).unwrap())
    }
}

/// What a supplier takes for a number, by the simplest words: of the lines that match, the longest.
fn price_in_words(rates: &[Rate], supplier: &SupplierId, number: &Msisdn) -> Option<i64> {
    let matching = rates.iter().filter(|r| r.supplier == *supplier && number.digits().starts_with(&r.prefix));
    matching.max_by_key(|r| r.prefix.len()).map(|r| r.unit.micros)
}

proptest! {
    #[test]
    fn the_chosen_is_never_dearer_than_a_healthy_loser((rates, routes, fitness, number) in world()) {
        let table = table(rates.clone(), &routes);
        let how = |id: &RouteId| fitness[id.as_str()[1..].parse::<usize>().unwrap()];
        let request = Request { number: &number, country: None, service: Service::Sms, segments: 3, turn: 0, now: Timestamp(1) };
        let plan = table.plan(&request, &how);
        let able = |r: &&Route| r.enabled
            && (r.prefixes.is_empty() || r.prefixes.iter().any(|p| number.digits().starts_with(p)))
            && price_in_words(&rates, &r.supplier, &number).is_some();
        let able: Vec<&Route> = routes.iter().filter(able).collect();
        let price = |r: &Route| price_in_words(&rates, &r.supplier, &number).unwrap();
        prop_assert_eq!(plan.candidates.is_empty(), able.is_empty());
        let Some(chosen) = plan.candidates.first() else { return Ok(()) };
        let route = routes.iter().find(|r| r.id == chosen.route).unwrap();
        prop_assert_eq!(chosen.unit.micros, price(route), "the longest prefix of its supplier, never a cheaper shorter one");
        for other in able.iter().filter(|r| how(&r.id) == Fitness::Fit) {
            prop_assert!(chosen.unit.micros <= price(other));
            prop_assert_eq!(how(&chosen.route), Fitness::Fit);
        }
        let named: usize = plan.lost.len() + 1;
        prop_assert_eq!(named, routes.len(), "everyone but the chosen is named with a reason");
        prop_assert_eq!(&plan, &table.plan(&request, &how), "the same question has the same answer");
    }
}
