//! Faults of our own processes: stopped, killed, added.

use std::path::Path;
use std::time::Duration;

use rand::Rng;
use rustix::process::Signal;

use crate::report::say;
use crate::siege::Siege;
use crate::support::Role;
use crate::traffic::Traffic;

/// How long something new is left at work before it goes again.
const AT_WORK: Duration = Duration::from_secs(3);

/// A router stands still past its session, another takes over, and the first goes on, believing that it still owns.
pub(crate) async fn two_owners(siege: &mut Siege<'_>, traffic: &Traffic) {
    let owner = siege.router_that_owns();
    say(&format!("router {owner} stands still"));
    siege.part(Role::Router, owner).pause();
    // By the other's work: it owns now.
    siege.goes_on(traffic).await;
    let log = siege.part(Role::Router, owner).log.clone();
    let before = losses(&log);
    say("it goes on, believing that it owns");
    siege.part(Role::Router, owner).resume();
    siege.until("the first router notices", || losses(&log) > before).await;
    siege.ready(Role::Router, owner).await;
    siege.goes_on(traffic).await;
}

/// How often a router's log says that it lost shares in routes.
fn losses(log: &Path) -> usize {
    lines(log).filter(|line| is_about_routes(line, "taken")).count()
}

fn lines(log: &Path) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn is_about_routes(line: &str, what: &str) -> bool {
    line.contains(&format!("\"message\":\"{what}\"")) && line.contains("\"group\":\"owner\"")
}

impl Siege<'_> {
    /// A router that owns a route now, by its log. One of two must.
    fn router_that_owns(&mut self) -> usize {
        let first = self.chance.random_range(0..2);
        let owns = |siege: &mut Self, router: usize| {
            let log = siege.part(Role::Router, router).log.clone();
            let mut held = 0_usize;
            for line in lines(&log) {
                let shares = line.matches("Share {").count();
                if is_about_routes(&line, "given") {
                    held += shares;
                } else if is_about_routes(&line, "taken") {
                    held = held.saturating_sub(shares);
                }
            }
            held > 0
        };
        let found = [first, 1 - first].into_iter().find(|router| owns(self, *router));
        found.expect("one of the routers owns a route")
    }
}

/// `kill -9` of one process, and a new one in its place.
pub(crate) async fn kill(siege: &mut Siege<'_>, traffic: &Traffic, role: Role) {
    let index = match role {
        Role::Router => siege.router_that_owns(),
        _ => siege.chance.random_range(0..2),
    };
    say(&format!("{role:?} {index} is killed"));
    siege.part(role, index).kill();
    // What it had goes to the other.
    siege.goes_on(traffic).await;
    say("it is started again");
    siege.part(role, index).start();
    siege.ready(role, index).await;
    siege.goes_on(traffic).await;
}

/// A third router joins while leases are out, and leaves in order.
pub(crate) async fn rebalance(siege: &mut Siege<'_>, traffic: &Traffic) {
    let mut third = siege.plan.another_router(&siege.data);
    say("a third router starts");
    third.start();
    third.ready(&siege.carillon.client).await;
    let log = third.log.clone();
    siege
        .until("the third router has a share", || lines(&log).any(|line| line.contains("\"message\":\"given\"")))
        .await;
    siege.goes_on(traffic).await;
    tokio::time::sleep(AT_WORK).await;
    say("it is asked to stop");
    third.signal(Signal::TERM);
    assert_eq!(third.ended().await, Some(0), "the third router did not stop in order");
    siege.goes_on(traffic).await;
}
