//! What routers tell each other of the routes they own, through lane `loads`: so that a planner knows the load of routes that
//! another router owns. Knows the lane and the words, not what follows from them.
//!
//! A word is about a second old when it is heard, and is forgotten when none follows it; nothing is lost with the lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bus::{Bus, BusError, Entry, Group};
use model::{Lane, RouteId, TenantId};
use prost::Message as _;
use runtime::Stop;
use store::Store;

use crate::RouterError;
use crate::desk::{Desk, Source};
use crate::dispatch::{Health, Report, RouteLoads, Waiting};
use crate::routing::Loads;

/// Says up to where the lane may be trimmed: everything in it is old as soon as it is read.
pub(crate) const LISTENERS: Group = Group::new("listeners");
const PARTITION: u32 = 0;
const EVERY: Duration = Duration::from_secs(1);
/// Words read at a time.
const WORDS_MAX: usize = 256;
/// Tenants told of in one record, and routes.
const TENANTS_MAX: usize = 2_000;
const ROUTES_MAX: usize = 200;

/// A record of lane `loads`. Fields a reader does not know are skipped.
#[derive(Clone, PartialEq, prost::Message)]
struct Word {
    #[prost(message, repeated, tag = "1")]
    routes: Vec<RouteWord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RouteWord {
    #[prost(string, tag = "1")]
    route: String,
    #[prost(enumeration = "HealthWord", tag = "2")]
    health: i32,
    #[prost(uint64, tag = "3")]
    segments: u64,
    #[prost(uint64, tag = "4")]
    weights: u64,
    #[prost(uint64, tag = "5")]
    done: u64,
    #[prost(message, repeated, tag = "6")]
    tenants: Vec<TenantWord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TenantWord {
    #[prost(string, tag = "1")]
    tenant: String,
    #[prost(uint64, tag = "2")]
    front: u64,
    #[prost(uint64, tag = "3")]
    bulk: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
enum HealthWord {
    Unknown = 0,
    Up = 1,
    Down = 2,
}

/// Whether others plan too. A router that has every planner's and every settler's share has nobody to tell. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planning(Arc<AtomicU32>);

/// A share of the planning; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct PlanningShare(Planning);

impl Planning {
    pub(crate) fn share(&self) -> PlanningShare {
        self.0.fetch_add(1, Ordering::AcqRel);
        PlanningShare(self.clone())
    }

    fn is_all_here(&self) -> bool {
        self.0.load(Ordering::Acquire) >= Lane::Accepted.partitions() + Lane::Outcomes.partitions()
    }
}

impl Drop for PlanningShare {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Tells what is known of this router's routes, while others plan too, until the stop begins.
///
/// # Errors
/// The lane is away; run again.
pub(crate) async fn tell<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    loads: &RouteLoads,
    planning: &Planning,
    stop: &Stop,
) -> Result<(), RouterError> {
    loop {
        tokio::select! { () = stop.begun() => return Ok(()), () = tokio::time::sleep(EVERY) => {} }
        let words = if planning.is_all_here() { Vec::new() } else { words(loads.reports(Instant::now())) };
        if !words.is_empty() {
            let told = desk.bus.append(&Lane::Loads, words).await;
            // A full lane means that nobody trims it: the next word is as good.
            if let Err(error) = told.map(drop).or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) }) {
                return Err(RouterError::Tell(error));
            }
        }
    }
}

/// Hears what other routers tell, until the stop begins.
///
/// # Errors
/// The lane is away; run again.
pub(crate) async fn hear<B: Bus, S: Store, L: Loads>(
    desk: &Desk<B, S, L>,
    loads: &RouteLoads,
    stop: &Stop,
) -> Result<(), RouterError> {
    let mut from = desk.end(&source()).await?;
    loop {
        let read = tokio::select! {
            () = stop.begun() => return Ok(()),
            read = desk.bus.read(&Lane::Loads, PARTITION, from, WORDS_MAX) => read,
        };
        match read {
            Ok(words) => {
                from = words.last().map_or(from, |last| last.offset + 1);
                let now = Instant::now();
                words.into_iter().flat_map(|word| reports(word.payload)).for_each(|report| loads.hear(report, now));
            }
            Err(BusError::Trimmed { first, .. }) => from = first,
            // Nobody's delivery is in it.
            Err(BusError::Damaged { offset, .. }) => from = offset + 1,
            Err(error) => return Err(source().read_failed(error)),
        }
    }
}

/// Lets the lane be trimmed: what stands in it was heard, or is too old to be.
pub(crate) async fn forget<B: Bus, S: Store, L: Loads>(desk: &Desk<B, S, L>) -> Result<(), RouterError> {
    let (end, watermark) = (desk.end(&source()).await?, desk.watermark(&source()).await?);
    if end > watermark { desk.commit(&source(), end, Vec::new()).await } else { Ok(()) }
}

fn source() -> Source {
    Source { group: LISTENERS, lane: Lane::Loads, partition: PARTITION }
}

fn is_full(error: &BusError) -> bool {
    matches!(error, BusError::Full { .. })
}

fn words(reports: Vec<Report>) -> Vec<Entry> {
    let mut words = vec![Word::default()];
    let mut tenants = 0;
    for report in reports {
        let last = words.last().expect("there is one from the start");
        if last.routes.len() >= ROUTES_MAX || tenants + report.tenants.len() > TENANTS_MAX {
            words.push(Word::default());
            tenants = 0;
        }
        tenants += report.tenants.len();
        words.last_mut().expect("there is one from the start").routes.push(word(report));
    }
    words.retain(|word| !word.routes.is_empty());
    words.iter().map(|word| Entry::to_partition(PARTITION, word.encode_to_vec())).collect()
}

fn word(report: Report) -> RouteWord {
    let health = match report.health {
        Health::Unknown => HealthWord::Unknown,
        Health::Up => HealthWord::Up,
        Health::Down => HealthWord::Down,
    };
    let of = |(tenant, waiting): (TenantId, Waiting)| TenantWord {
        tenant: tenant.to_string(),
        front: waiting.front,
        bulk: waiting.bulk,
    };
    RouteWord {
        route: report.route.to_string(),
        health: health.into(),
        segments: report.segments,
        weights: report.weights,
        done: report.done,
        tenants: report.tenants.into_iter().map(of).collect(),
    }
}

/// What a record tells; of what can't be read, nothing.
fn reports(payload: bytes::Bytes) -> Vec<Report> {
    let Ok(word) = Word::decode(payload) else { return Vec::new() };
    let report = |word: RouteWord| {
        let health = match word.health() {
            HealthWord::Unknown => Health::Unknown,
            HealthWord::Up => Health::Up,
            HealthWord::Down => Health::Down,
        };
        let tenant = |word: TenantWord| {
            Some((TenantId::new(&word.tenant).ok()?, Waiting { front: word.front, bulk: word.bulk }))
        };
        let tenants: HashMap<_, _> = word.tenants.into_iter().filter_map(tenant).collect();
        let route = RouteId::new(&word.route).ok()?;
        Some(Report { route, health, segments: word.segments, weights: word.weights, done: word.done, tenants })
    };
    word.routes.into_iter().filter_map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(route: &str, tenants: usize) -> Report {
        let tenant = |n: usize| (TenantId::new(&format!("t{n}")).unwrap(), Waiting { front: n as u64, bulk: 1 });
        Report {
            route: RouteId::new(route).unwrap(),
            health: Health::Down,
            segments: 7,
            weights: 3,
            done: 60,
            tenants: (0..tenants).map(tenant).collect(),
        }
    }

    #[test]
    fn what_is_told_is_what_is_heard() {
        let told = [report("a", 3), report("b", TENANTS_MAX), report("c", 1)];
        let words = words(told.to_vec());
        assert_eq!(words.len(), 3, "records are bounded");
        let heard: Vec<_> = words.into_iter().flat_map(|word| reports(word.payload)).collect();
        assert_eq!(heard, told);
        assert_eq!(reports("garbage".into()), []);
    }

    #[test]
    fn nobody_is_told_while_all_planning_is_here() {
        let planning = Planning::default();
        let mut shares: Vec<_> = (0..8).map(|_| planning.share()).collect();
        assert!(planning.is_all_here());
        shares.pop();
        assert!(!planning.is_all_here());
    }
}
