//! Which route carries a delivery, and why not another. Pure: no I/O, no clock, no state.
//!
//! Two sorts that must never be mixed: within a supplier the longest matching prefix decides the price, whatever it is;
//! only then the suppliers' prices are compared. A missing price means not routable, never free.

use std::collections::BTreeMap;

use model::event::Lost;
use model::party::{Carries, PriceDeck, Rate, Route};
use model::record::{Amount, Candidate, Service};
use model::{Currency, Money, Msisdn, RouteId, SupplierId, Timestamp};

use crate::country::Country;

/// All of a route's capacity is free, or nobody knows.
pub const ROOM_WHOLE: u32 = 16;
/// Candidates a decision keeps: the chosen one and those for failover.
pub const CANDIDATES_MAX: usize = 8;
/// Losers a timeline shows; [`PriceTable::explain`] has them all.
pub const LOST_MAX: usize = 16;

/// An immutable, compiled price deck with the routes that were known when it was compiled.
#[derive(Debug)]
pub struct PriceTable {
    version: u64,
    currency: Option<Currency>,
    nodes: Vec<Node>,
    rates: Vec<CompiledRate>,
    suppliers: usize,
    routes: Vec<CompiledRoute>,
}

/// What is to be planned.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The recipient.
    pub number: &'a Msisdn,
    /// Its country; `None` if nobody knows.
    pub country: Option<Country>,
    /// What it is.
    pub service: Service,
    /// Segments to be paid.
    pub segments: u32,
    /// What decides between routes of one price: the same for a delivery whenever it is planned, evenly spread over deliveries.
    pub turn: u64,
    /// The moment the prices must hold.
    pub now: Timestamp,
}

/// Whether a route can take work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fitness {
    /// Healthy, with room.
    Fit,
    /// No link of it is up.
    Down,
    /// Its lanes are at their bound.
    Full,
}

/// How the routes are, as the planner is told.
pub trait Conditions {
    /// How a route is at this moment.
    fn fitness(&self, route: &RouteId) -> Fitness;

    /// How much of its capacity a route has free at this moment, 1 to [`ROOM_WHOLE`].
    fn room(&self, _route: &RouteId) -> u32 {
        ROOM_WHOLE
    }
}

/// A decision.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The version of the table that made it.
    pub price_table: u64,
    /// Routes to try, best first. Empty: not routable.
    pub candidates: Vec<Choice>,
    /// Routes that are not among the candidates or not the first of them, and why.
    pub lost: Vec<Loser>,
}

/// A route that can carry the delivery, at its own price.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The route.
    pub route: RouteId,
    /// Who is paid.
    pub supplier: SupplierId,
    /// The price of one segment.
    pub unit: Money,
    /// The price of all segments.
    pub total: Money,
    /// The matched prefix.
    pub prefix: String,
}

/// A route that was not chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loser {
    /// The route.
    pub route: RouteId,
    /// Whose connection.
    pub supplier: SupplierId,
    /// Its price of one segment, if it has one.
    pub unit: Option<Money>,
    /// Why it lost.
    pub loss: Loss,
}

/// Why a route was not chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Loss {
    /// Another costs less.
    Dearer,
    /// Another costs the same, and it is that one's turn.
    SamePrice,
    /// It can carry it, but no link of it is up.
    Down,
    /// It can carry it, but its lanes are full.
    Full,
    /// Switched off.
    Disabled,
    /// It carries something else: a modem no multimedia messages, a multimedia centre no short ones.
    OtherService,
    /// Its connection does not carry this prefix.
    NotCarried,
    /// Its supplier has no price for this number at this moment.
    NoPrice,
}

/// All there is to say about a decision.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The decision; its list of losers is whole.
    pub plan: Plan,
    /// Every line of the deck whose prefix the number begins with.
    pub rates: Vec<RateVerdict>,
}

/// What became of one line of the deck.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateVerdict {
    /// Whose price.
    pub supplier: SupplierId,
    /// Its prefix.
    pub prefix: String,
    /// Its price of one segment.
    pub unit: Money,
    /// Whether it counts, and if not, why.
    pub applies: RateUse,
}

/// Whether a line of the deck counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RateUse {
    /// It is its supplier's price for this number.
    Applies,
    /// The supplier has a longer prefix for this number.
    ShorterPrefix,
    /// It is for another country that shares the calling code.
    OtherCountry,
    /// It does not hold yet.
    NotYet,
    /// It holds no longer.
    Over,
}

/// A deck that can't be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Prices of different currencies can't be compared.
    #[error("the deck has prices in `{first}` and in `{second}`: one installation compares prices in one currency")]
    Currencies {
        /// One of them.
        first: Currency,
        /// Another.
        second: Currency,
    },
    /// A prefix that is none.
    #[error("`{prefix}` of supplier `{supplier}` is not a prefix (1 to 15 digits)")]
    Prefix {
        /// Whose line.
        supplier: SupplierId,
        /// What stands there.
        prefix: String,
    },
}

/// A step of the tree of prefixes: one digit further.
#[derive(Debug, Default)]
struct Node {
    children: [u32; 10], // 0: none; the root is nobody's child.
    rates: Vec<u32>,
}

#[derive(Debug)]
struct CompiledRate {
    supplier: usize,
    supplier_id: SupplierId,
    prefix: String,
    country: Option<Country>,
    unit: Money,
    from: Timestamp,
    to: Option<Timestamp>,
}

#[derive(Debug)]
struct CompiledRoute {
    id: RouteId,
    supplier_id: SupplierId,
    supplier: Option<usize>, // `None`: no line of the deck is this supplier's.
    prefixes: Vec<String>,
    enabled: bool,
    service: Service,
    weight: u32,
    /// Tells the turns of this route from those of others.
    seed: u64,
}

impl PriceTable {
    /// Compiles a deck for these routes.
    ///
    /// # Errors
    /// [`TableError`]: the deck was not made by [`crate::deck`], which refuses such decks with their line.
    pub fn compile(deck: &PriceDeck, routes: &[Route]) -> Result<Self, TableError> {
        let currency = one_currency(&deck.rates)?;
        let mut names: BTreeMap<&SupplierId, usize> = BTreeMap::new();
        for rate in &deck.rates {
            let next = names.len();
            names.entry(&rate.supplier).or_insert(next);
        }
        let mut routes: Vec<CompiledRoute> = routes.iter().map(|route| CompiledRoute::new(route, &names)).collect();
        routes.sort_by(|a, b| (&a.supplier_id, &a.id).cmp(&(&b.supplier_id, &b.id)));
        let suppliers = names.len();
        let mut table = PriceTable {
            version: deck.version,
            currency,
            nodes: vec![Node::default()],
            rates: vec![],
            suppliers,
            routes,
        };
        for rate in &deck.rates {
            table.insert(rate, names[&rate.supplier])?;
        }
        Ok(table)
    }

    /// The version of the deck it was compiled from.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The currency of its prices; `None` while it has none.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }

    /// How many prices it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rates.len()
    }

    /// Whether nothing is routable by it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rates.is_empty()
    }

    /// Decides. Healthy routes with room come by price of all segments; those of one price take turns, each by its weight and what
    /// of its capacity is free, so the same question under the same conditions has the same answer. Only if none of the routes that
    /// could carry it is fit, those that are down or full are the candidates: an accepted delivery waits for them. The losers shown
    /// are at most [`LOST_MAX`].
    #[must_use]
    pub fn plan(&self, request: &Request<'_>, conditions: &impl Conditions) -> Plan {
        self.decide(request, conditions, LOST_MAX)
    }

    /// Decides as [`PriceTable::plan`] does and keeps everything that was looked at.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>, conditions: &impl Conditions) -> Explanation {
        let best = self.best_rates(request);
        let mut rates = Vec::new();
        self.walk(request.number, |index, rate| rates.push(rate.verdict(request, best[rate.supplier] == Some(index))));
        Explanation { plan: self.decide(request, conditions, usize::MAX), rates }
    }

    fn insert(&mut self, rate: &Rate, supplier: usize) -> Result<(), TableError> {
        let wrong = || TableError::Prefix { supplier: rate.supplier.clone(), prefix: rate.prefix.clone() };
        if !is_prefix(&rate.prefix) {
            return Err(wrong());
        }
        let mut node = 0;
        for digit in rate.prefix.bytes().map(|b| usize::from(b - b'0')) {
            if self.nodes[node].children[digit] == 0 {
                self.nodes[node].children[digit] = u32::try_from(self.nodes.len()).map_err(|_| wrong())?;
                self.nodes.push(Node::default());
            }
            node = self.nodes[node].children[digit] as usize;
        }
        self.nodes[node].rates.push(u32::try_from(self.rates.len()).map_err(|_| wrong())?);
        self.rates.push(CompiledRate {
            supplier,
            supplier_id: rate.supplier.clone(),
            prefix: rate.prefix.clone(),
            country: Country::parse(&rate.country),
            unit: rate.unit.into(),
            from: rate.from,
            to: rate.to,
        });
        Ok(())
    }

    fn decide(&self, request: &Request<'_>, conditions: &impl Conditions, lost_max: usize) -> Plan {
        let best = self.best_rates(request);
        let (mut able, mut lost) = (Vec::new(), Vec::new());
        for (order, route) in self.routes.iter().enumerate() {
            let rate = route.supplier.and_then(|supplier| best[supplier]).map(|index| &self.rates[index as usize]);
            match route.offer(rate, request) {
                Ok((rate, total)) => {
                    let fitness = conditions.fitness(&route.id);
                    able.push(Offer { order, total, rate, fitness });
                }
                Err(loss) => lost.push((route, rate.map(|rate| rate.unit), loss)),
            }
        }
        able.sort_by_key(Offer::standing);
        // Only those of one price take turns: of most there is one.
        for equals in able.chunk_by_mut(|one, other| one.standing() == other.standing()) {
            self.take_turns(equals, request.turn, conditions);
        }
        self.rank(able, lost, lost_max)
    }

    /// Puts routes of one price, in the order of their names, into that of their turns.
    fn take_turns(&self, equals: &mut [Offer<'_>], turn: u64, conditions: &impl Conditions) {
        if equals.len() < 2 {
            return;
        }
        equals.sort_by_cached_key(|offer| {
            let route = &self.routes[offer.order];
            Turn::of(turn, route.seed, route.weight, conditions.room(&route.id))
        });
    }

    /// The plan of offers in their order.
    fn rank(
        &self,
        mut able: Vec<Offer<'_>>,
        refused: Vec<(&CompiledRoute, Option<Money>, Loss)>,
        lost_max: usize,
    ) -> Plan {
        let fit = able.iter().any(|offer| offer.fitness == Fitness::Fit);
        let first = able.first().map(|offer| offer.total.micros);
        let mut lost: Vec<Loser> = Vec::new();
        for (index, offer) in able.iter().enumerate() {
            let loss = match offer.fitness {
                Fitness::Down if fit => Loss::Down,
                Fitness::Full if fit => Loss::Full,
                _ if index == 0 => continue,
                _ if first == Some(offer.total.micros) => Loss::SamePrice,
                _ => Loss::Dearer,
            };
            lost.push(self.routes[offer.order].loser(Some(offer.rate.unit), loss));
        }
        let shown = refused.into_iter().take(lost_max.saturating_sub(lost.len()));
        lost.extend(shown.map(|(route, unit, loss)| route.loser(unit, loss)));
        lost.truncate(lost_max);
        able.retain(|offer| !fit || offer.fitness == Fitness::Fit);
        able.truncate(CANDIDATES_MAX);
        let candidates = able.iter().map(|offer| self.routes[offer.order].choice(offer)).collect();
        Plan { price_table: self.version, candidates, lost }
    }

    /// Each supplier's price for the number: the line with the longest prefix that holds now and is for its country.
    fn best_rates(&self, request: &Request<'_>) -> Vec<Option<u32>> {
        let mut best: Vec<Option<u32>> = vec![None; self.suppliers];
        self.walk(request.number, |index, rate| {
            if rate.usable(request).is_none() {
                let beaten = best[rate.supplier].is_none_or(|old| self.rates[old as usize].rank() <= rate.rank());
                if beaten {
                    best[rate.supplier] = Some(index);
                }
            }
        });
        best
    }

    /// Visits every line whose prefix the number begins with, shorter ones first.
    fn walk<'a>(&'a self, number: &Msisdn, mut visit: impl FnMut(u32, &'a CompiledRate)) {
        let mut node = 0;
        for digit in number.digits().bytes().map(|b| usize::from(b - b'0')) {
            node = self.nodes[node].children[digit] as usize;
            if node == 0 {
                return;
            }
            for index in &self.nodes[node].rates {
                visit(*index, &self.rates[*index as usize]);
            }
        }
    }
}

/// A route that could carry the delivery.
struct Offer<'a> {
    order: usize,
    total: Money,
    rate: &'a CompiledRate,
    fitness: Fitness,
}

impl Offer<'_> {
    /// What comes before all else: the fit before the others, then the price.
    const fn standing(&self) -> (bool, i64) {
        (!matches!(self.fitness, Fitness::Fit), self.total.micros)
    }
}

/// When a route's turn is among those of one price; the lowest is the first. Of all deliveries, each route is first for as many as
/// its weight says, and one that goes leaves its own to the others and moves none of theirs (rendezvous hashing, weighted by
/// -ln(u)/w as in Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Turn {
    is_last: bool,
    /// The bits of a float that is not negative, which have its order.
    distance: u64,
}

impl Turn {
    fn of(turn: u64, seed: u64, weight: u32, room: u32) -> Self {
        // 53 bits are what a float holds; the half keeps it from being 0 or 1.
        let drawn = ((mixed(turn ^ seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        // Those that have no weight come last, and among them all are equal.
        let (has_weight, weight) = (weight > 0, f64::from(weight.max(1)) * f64::from(room.clamp(1, ROOM_WHOLE)));
        Turn { is_last: !has_weight, distance: (-drawn.ln() / weight).to_bits() }
    }
}

/// Spreads what differs little over all bits (the finaliser of splitmix64).
const fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl CompiledRate {
    /// Why the line does not count for a request, if it does not.
    fn usable(&self, request: &Request<'_>) -> Option<RateUse> {
        let other = |country| request.country.is_some_and(|asked| asked != country);
        if self.country.is_some_and(other) {
            Some(RateUse::OtherCountry)
        } else if request.now < self.from {
            Some(RateUse::NotYet)
        } else if self.to.is_some_and(|to| to <= request.now) {
            Some(RateUse::Over)
        } else {
            None
        }
    }

    /// A longer prefix beats a shorter one; of equal ones, the one that names the country.
    fn rank(&self) -> (usize, bool) {
        (self.prefix.len(), self.country.is_some())
    }

    fn verdict(&self, request: &Request<'_>, best: bool) -> RateVerdict {
        let applies = if best { RateUse::Applies } else { self.usable(request).unwrap_or(RateUse::ShorterPrefix) };
        RateVerdict { supplier: self.supplier_id.clone(), prefix: self.prefix.clone(), unit: self.unit, applies }
    }
}

impl CompiledRoute {
    fn new(route: &Route, suppliers: &BTreeMap<&SupplierId, usize>) -> Self {
        CompiledRoute {
            id: route.id.clone(),
            supplier_id: route.supplier.clone(),
            supplier: suppliers.get(&route.supplier).copied(),
            prefixes: route.prefixes.clone(),
            enabled: route.enabled,
            weight: route.weight.min(Route::WEIGHT_MAX),
            seed: seed_of(&route.id),
            service: match route.carries {
                Carries::Sms => Service::Sms,
                Carries::Mms => Service::Mms,
            },
        }
    }

    fn offer<'a>(
        &self,
        rate: Option<&'a CompiledRate>,
        request: &Request<'_>,
    ) -> Result<(&'a CompiledRate, Money), Loss> {
        if !self.enabled {
            return Err(Loss::Disabled);
        }
        if self.service != request.service {
            return Err(Loss::OtherService);
        }
        let carries = |prefix: &String| request.number.digits().starts_with(prefix.as_str());
        if !self.prefixes.is_empty() && !self.prefixes.iter().any(carries) {
            return Err(Loss::NotCarried);
        }
        let rate = rate.ok_or(Loss::NoPrice)?;
        // A total that does not fit is no price that could be charged.
        let total = rate.unit.times(request.segments).ok_or(Loss::NoPrice)?;
        Ok((rate, total))
    }

    fn loser(&self, unit: Option<Money>, loss: Loss) -> Loser {
        Loser { route: self.id.clone(), supplier: self.supplier_id.clone(), unit, loss }
    }

    fn choice(&self, offer: &Offer<'_>) -> Choice {
        Choice {
            route: self.id.clone(),
            supplier: self.supplier_id.clone(),
            unit: offer.rate.unit,
            total: offer.total,
            prefix: offer.rate.prefix.clone(),
        }
    }
}

fn seed_of(route: &RouteId) -> u64 {
    // FNV-1a: the same in every build, as turns must be.
    let hash = route
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3));
    mixed(hash)
}

/// Whether a text is 1 to 15 digits.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn one_currency(rates: &[Rate]) -> Result<Option<Currency>, TableError> {
    let Some(first) = rates.first().map(|rate| rate.unit.currency) else { return Ok(None) };
    match rates.iter().map(|rate| rate.unit.currency).find(|other| *other != first) {
        Some(second) => Err(TableError::Currencies { first, second }),
        None => Ok(Some(first)),
    }
}

impl Loss {
    /// The reason in words, for a timeline.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Loss::Dearer => "dearer",
            Loss::SamePrice => "same price, not its turn",
            Loss::Down => "no link up",
            Loss::Full => "full",
            Loss::Disabled => "disabled",
            Loss::OtherService => "other service",
            Loss::NotCarried => "prefix not carried",
            Loss::NoPrice => "no price",
        }
    }
}

impl From<&Choice> for Candidate {
    fn from(choice: &Choice) -> Self {
        Candidate {
            route: choice.route.as_str().to_owned(),
            supplier: choice.supplier.as_str().to_owned(),
            unit: choice.unit.into(),
            prefix: choice.prefix.clone(),
        }
    }
}

impl From<&Loser> for Lost {
    fn from(loser: &Loser) -> Self {
        Lost {
            route: loser.route.as_str().to_owned(),
            supplier: loser.supplier.as_str().to_owned(),
            unit: loser.unit.map(Amount::from),
            reason: loser.loss.as_str().to_owned(),
        }
    }
}

impl<F: Fn(&RouteId) -> Fitness> Conditions for F {
    fn fitness(&self, route: &RouteId) -> Fitness {
        self(route)
    }
}
