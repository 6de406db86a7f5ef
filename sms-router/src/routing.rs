//! Turns a delivery into an entry of a route's lane. Knows the planner, the keys and the lanes' names; reads no lane.

use bus::Entry;
use lease::record::Queue;
use model::event::Step;
use model::record::{Body, Candidate, Header, Record, RecordError, Service};
use model::seal::SealError;
use model::{Lane, Msisdn, RouteId, TenantId, Timestamp};
use prost::Message as _;

use crate::country::{Countries, Country};
use crate::planner::{Conditions, Fitness, Plan, Request};
use crate::step;
use crate::world::Snapshot;

/// How the routes are, and which of its two lanes a delivery goes to.
pub trait Loads: Conditions + Clone + Send + Sync + 'static {
    /// Chooses the lane for a delivery that is about to be appended to the route, and counts it there.
    fn choose(&self, route: &RouteId, tenant: &TenantId, weight: u32, segments: u32) -> Queue;
}

/// Routes deliveries.
#[derive(Clone, Debug)]
pub struct Routing<L> {
    countries: Countries,
    loads: L,
}

/// What became of a delivery that was to be routed.
#[derive(Clone, PartialEq, Debug)]
pub enum Turn {
    /// It goes into a route's lane, as the record says that was changed for it.
    Routed(Hop),
    /// No route leads to it.
    NoRoute,
    /// Every route that leads to it is full: it has to wait where it is.
    Full,
}

/// A delivery on its way into a route's lane.
#[derive(Clone, PartialEq, Debug)]
pub struct Hop {
    /// The lane.
    pub lane: Lane,
    /// The step that tells of it.
    pub step: Step,
}

/// A record that can't be routed because it can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It can't be decoded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its content does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its recipient is no number; the door should have refused it.
    #[error("the recipient is not an e.164 number")]
    Recipient,
}

impl<L: Loads> Routing<L> {
    /// Routes by these loads.
    #[must_use]
    pub fn new(countries: Countries, loads: L) -> Self {
        Routing { countries, loads }
    }

    /// Plans a delivery by the snapshot's prices and makes its next hop. The same record under the same conditions takes
    /// the same turn. Only one that is routed changes: it has its candidates and its hop from then on.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn route(&self, snapshot: &Snapshot, record: &mut Record, now: Timestamp) -> Result<Turn, Unreadable> {
        let mut body = record.body()?;
        let (plan, country) = self.plan(snapshot, record, &body, now)?;
        let Some(first) = plan.candidates.first() else { return Ok(Turn::NoRoute) };
        // Fit routes come first, so a first that is full means that all are full or down.
        if self.loads.fitness(&first.route) == Fitness::Full {
            return Ok(Turn::Full);
        }
        let route = first.route.clone();
        body.candidates = plan.candidates.iter().map(Candidate::from).collect();
        body.price_table = plan.price_table;
        let country = country.map_or(String::new(), |country| country.to_string());
        let hop = record.header.hop + 1;
        let step = step::routed(&body.candidates[0], &plan, hop, &country);
        Ok(Turn::Routed(self.hop(snapshot, record, &body, &route, step)))
    }

    /// Whether any route leads to a number for a short message of so many segments, however the routes are at the moment.
    #[must_use]
    pub fn leads(&self, snapshot: &Snapshot, number: &Msisdn, segments: u32, now: Timestamp) -> bool {
        let (country, service) = (self.countries.country(number), Service::Sms);
        let request = Request { number, country, service, segments, turn: 0, now };
        !snapshot.table.plan(&request, &self.loads).candidates.is_empty()
    }

    /// Hands a delivery on to the next of its candidates, at that one's own price; `None` if none is left, and then the record is as it
    /// was.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn fail_over(&self, snapshot: &Snapshot, record: &mut Record) -> Result<Option<Hop>, Unreadable> {
        let mut body = record.body()?;
        if body.candidates.len() < 2 {
            return Ok(None);
        }
        body.candidates.remove(0);
        let route = body.candidates[0].route()?;
        let step = step::failed_over(&body.candidates[0], body.price_table, record.header.hop + 1);
        Ok(Some(self.hop(snapshot, record, &body, &route, step)))
    }

    /// Makes again the hop of a record that was planned already.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn again(&self, snapshot: &Snapshot, record: &Record) -> Result<Hop, Unreadable> {
        let body = record.body()?;
        let first = body.candidates.first().ok_or(RecordError::Field("candidates"))?;
        let route = first.route()?;
        let step = step::failed_over(first, body.price_table, record.header.hop);
        Ok(Hop { lane: self.lane(snapshot, record, &route), step })
    }

    fn plan(
        &self,
        snapshot: &Snapshot,
        record: &Record,
        body: &Body,
        now: Timestamp,
    ) -> Result<(Plan, Option<Country>), Unreadable> {
        let header = &record.header;
        let content = snapshot.keyring.key(&header.data_key)?.open(header, &body.sealed)?;
        let number = Msisdn::parse(&content.recipient).map_err(|_| Unreadable::Recipient)?;
        let country = self.countries.country(&number);
        let (service, segments) = (header.service(), header.segments);
        let request = Request { number: &number, country, service, segments, turn: turn_of(header), now };
        Ok((snapshot.table.plan(&request, &self.loads), country))
    }

    fn hop(&self, snapshot: &Snapshot, record: &mut Record, body: &Body, route: &RouteId, step: Step) -> Hop {
        record.header.hop += 1;
        record.body = model::octets(body).into();
        Hop { lane: self.lane(snapshot, record, route), step }
    }

    fn lane(&self, snapshot: &Snapshot, record: &Record, route: &RouteId) -> Lane {
        let tenant = TenantId::new(&record.header.account.tenant).expect("`Record::read` checked it");
        match self.loads.choose(route, &tenant, snapshot.weight(&tenant), record.header.segments) {
            Queue::Front => Lane::Front(route.clone()),
            Queue::Bulk => Lane::Bulk(route.clone()),
        }
    }
}

impl Hop {
    /// The entry of the route's lane, keyed by message; `record` is the one that was routed.
    #[must_use]
    pub fn entry(&self, record: &Record) -> (Lane, Entry) {
        (self.lane.clone(), Entry::new(record.header.message.clone(), record.to_bytes()))
    }
}

/// Ids of messages are random but for their time, or hashes.
fn turn_of(header: &Header) -> u64 {
    let id = header.id().expect("`Record::read` checked it");
    (id.message.0 as u64 ^ (id.message.0 >> 64) as u64).wrapping_add(u64::from(id.index) << 32)
}

/// A record's body without its candidates: it is planned anew when it is due.
///
/// # Errors
/// [`RecordError`].
pub fn unplanned(mut record: Record) -> Result<Record, RecordError> {
    let mut body = record.body()?;
    body.candidates.clear();
    body.price_table = 0;
    record.body = body.encode_to_vec().into();
    Ok(record)
}
