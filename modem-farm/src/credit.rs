//! Who may lease what: numbered tokens per link, shared out by the routers' backlogs. Must not know sessions or modems.
//!
//! Over all routers a link has at most [`WINDOW`] leases: those it holds, and the tokens that could become some.

use std::collections::{BTreeMap, BTreeSet};

use lease::message::{FarmMessage, Token};
use model::{LinkName, RouteId, RouterName};

/// One lease on the wire and one waiting.
pub(crate) const WINDOW: usize = 2;
/// What a turn costs at weight 1.
const STRIDE: u64 = 1 << 20;

/// All tokens of a node.
#[derive(Default)]
pub(crate) struct Credit {
    links: BTreeMap<LinkName, LinkCredit>,
    routers: BTreeMap<RouterName, BTreeMap<RouteId, Demand>>,
    minted: u64,
    /// Links whose share may have changed since the last sharing.
    touched: BTreeSet<LinkName>,
}

struct LinkCredit {
    route: RouteId,
    up: bool,
    in_hand: usize,
    out: BTreeMap<Token, RouterName>,
    recalled: BTreeSet<Token>,
    /// Where each router stands in the order of turns, and where the last turn was.
    passes: BTreeMap<RouterName, u64>,
    floor: u64,
}

/// What a router says waits for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// Nothing said: it may have something.
    Unknown,
    Nothing,
    /// Something waits, for tenants of this weight together.
    Weight(u64),
}

impl Credit {
    /// A link of a route; down at first.
    pub(crate) fn add_link(&mut self, link: LinkName, route: RouteId) {
        let (out, recalled, passes) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        self.links.insert(link, LinkCredit { route, up: false, in_hand: 0, out, recalled, passes, floor: 0 });
    }

    /// A router's stream began: tokens of an earlier one are void, and nothing is known of its backlog.
    pub(crate) fn attached(&mut self, router: &RouterName) {
        self.detached(router);
        self.routers.insert(router.clone(), BTreeMap::new());
        self.touch_all();
    }

    /// A router's stream ended.
    pub(crate) fn detached(&mut self, router: &RouterName) {
        self.routers.remove(router);
        self.touch_all();
        for link in self.links.values_mut() {
            link.out.retain(|_, holder| holder != router);
            link.passes.remove(router);
            link.recalled.retain(|token| link.out.contains_key(token));
        }
    }

    /// Whether the link can send.
    pub(crate) fn set_up(&mut self, link: &LinkName, up: bool) {
        if let Some(link) = self.touch(link) {
            link.up = up;
        }
    }

    /// Whether the link may hold one lease more.
    pub(crate) fn has_room(&self, link: &LinkName) -> bool {
        self.links.get(link).is_some_and(|link| link.in_hand < WINDOW)
    }

    /// A router tells what waits for a route.
    pub(crate) fn backlog(&mut self, router: &RouterName, route: RouteId, segments: u64, weight: u64) {
        let Some(routes) = self.routers.get_mut(router) else { return };
        let of_route = self.links.iter().filter(|(_, link)| link.route == route);
        self.touched.extend(of_route.map(|(name, _)| name.clone()));
        let demand = if segments == 0 { Demand::Nothing } else { Demand::Weight(weight.max(1)) };
        routes.insert(route, demand);
    }

    /// A lease came and used up its token.
    pub(crate) fn used(&mut self, link: &LinkName, token: Token) {
        if let Some(link) = self.touch(link) {
            link.out.remove(&token);
            link.recalled.remove(&token);
        }
    }

    /// A router gave tokens back unused: it has nothing to send there until it says so.
    pub(crate) fn returned(&mut self, router: &RouterName, link: &LinkName, tokens: &[Token]) {
        let Some(credit) = self.links.get_mut(link) else { return };
        self.touched.insert(link.clone());
        let mut unasked = false;
        for token in tokens {
            if credit.out.get(token) == Some(router) {
                credit.out.remove(token);
                unasked |= !credit.recalled.remove(token);
            }
        }
        if let (true, Some(routes)) = (unasked, self.routers.get_mut(router)) {
            routes.insert(credit.route.clone(), Demand::Nothing);
        }
    }

    /// A link holds one lease more, or one less.
    pub(crate) fn took(&mut self, link: &LinkName) {
        if let Some(link) = self.touch(link) {
            link.in_hand += 1;
        }
    }

    pub(crate) fn freed(&mut self, link: &LinkName) {
        if let Some(link) = self.touch(link) {
            link.in_hand = link.in_hand.saturating_sub(1);
        }
    }

    /// Lets routers that were idle be asked again; call it now and then.
    pub(crate) fn doubt(&mut self) {
        for demand in self.routers.values_mut().flat_map(BTreeMap::values_mut) {
            if *demand == Demand::Nothing {
                *demand = Demand::Unknown;
            }
        }
        self.touch_all();
    }

    /// What to tell the routers: new tokens, and old ones wanted back.
    pub(crate) fn share_out(&mut self) -> Vec<(RouterName, FarmMessage)> {
        let mut said = Vec::new();
        let routers = &self.routers;
        for name in std::mem::take(&mut self.touched) {
            let Some(link) = self.links.get_mut(&name) else { continue };
            if !link.up {
                link.recall(&name, |_| true, &mut said);
                continue;
            }
            while link.in_hand + link.out.len() < WINDOW {
                let Some(router) = next_router(routers, link) else { break };
                self.minted += 1;
                let token = Token(self.minted);
                link.out.insert(token, router.clone());
                let (route, tokens) = (link.route.clone(), vec![token]);
                said.push((router, FarmMessage::Credit { route, link: name.clone(), tokens }));
            }
            if is_starved(routers, link) {
                let route = link.route.clone();
                let idle = |router: &RouterName| demand(routers, router, &route) == Demand::Nothing;
                link.recall(&name, idle, &mut said);
            }
        }
        said
    }

    fn touch(&mut self, link: &LinkName) -> Option<&mut LinkCredit> {
        let found = self.links.get_mut(link)?;
        self.touched.insert(link.clone());
        Some(found)
    }

    fn touch_all(&mut self) {
        self.touched.extend(self.links.keys().cloned());
    }
}

impl LinkCredit {
    fn recall(&mut self, name: &LinkName, of: impl Fn(&RouterName) -> bool, said: &mut Vec<(RouterName, FarmMessage)>) {
        for (token, router) in &self.out {
            if of(router) && self.recalled.insert(*token) {
                said.push((router.clone(), FarmMessage::Recall { link: name.clone(), tokens: vec![*token] }));
            }
        }
    }

    fn held_by(&self, router: &RouterName) -> u64 {
        self.out.values().filter(|holder| *holder == router).count() as u64
    }
}

/// Whose turn it is: turns come by the weight of the tenants that wait (stride scheduling). A router that said nothing may have
/// something, of weight 1.
fn next_router(routers: &BTreeMap<RouterName, BTreeMap<RouteId, Demand>>, link: &mut LinkCredit) -> Option<RouterName> {
    let weight = |router: &RouterName| match demand(routers, router, &link.route) {
        Demand::Nothing => None,
        Demand::Weight(weight) => Some(weight),
        Demand::Unknown => Some(1),
    };
    // Who was idle starts where the others are: turns are not saved up.
    let pass = |router: &RouterName| link.passes.get(router).copied().unwrap_or(0).max(link.floor);
    let waiting = routers.keys().filter_map(|router| Some((pass(router), router, weight(router)?)));
    let (pass, router, weight) = waiting.min()?;
    link.floor = pass;
    link.passes.insert(router.clone(), pass + STRIDE / weight.clamp(1, STRIDE));
    Some(router.clone())
}

/// Whether a router waits for this link and every token is with others.
fn is_starved(routers: &BTreeMap<RouterName, BTreeMap<RouteId, Demand>>, link: &LinkCredit) -> bool {
    let waits = |router: &&RouterName| matches!(demand(routers, router, &link.route), Demand::Weight(_));
    link.in_hand == 0 && routers.keys().filter(waits).any(|router| link.held_by(router) == 0)
}

fn demand(routers: &BTreeMap<RouterName, BTreeMap<RouteId, Demand>>, router: &RouterName, route: &RouteId) -> Demand {
    routers.get(router).and_then(|routes| routes.get(route)).copied().unwrap_or(Demand::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> LinkName {
        LinkName::new("modem-1").unwrap()
    }

    fn route() -> RouteId {
        RouteId::new("alpha").unwrap()
    }

    fn router(name: &str) -> RouterName {
        RouterName::new(name).unwrap()
    }

    fn credit(routers: &[&str]) -> Credit {
        let mut credit = Credit::default();
        credit.add_link(link(), route());
        credit.set_up(&link(), true);
        for name in routers {
            credit.attached(&router(name));
        }
        credit
    }

    /// Who was given how many, and who was asked for how many.
    fn said(credit: &mut Credit) -> Vec<(String, &'static str, Vec<Token>)> {
        let said = credit.share_out().into_iter().map(|(router, message)| match message {
            FarmMessage::Credit { tokens, .. } => (router.to_string(), "credit", tokens),
            FarmMessage::Recall { tokens, .. } => (router.to_string(), "recall", tokens),
            other => panic!("{other:?}"),
        });
        said.collect()
    }

    #[track_caller]
    fn check(credit: &mut Credit, expected: &[(&str, &str, u64)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, what, token)| ((*name).to_owned(), *what, vec![Token(*token)])).collect();
        let said = said(credit);
        assert_eq!(said.iter().map(|(a, b, c)| (a.clone(), *b, c.clone())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_router_gets_a_window_and_a_token_for_each_lease_that_ends() {
        let mut credit = credit(&["one"]);
        check(&mut credit, &[("one", "credit", 1), ("one", "credit", 2)]);
        check(&mut credit, &[]);
        credit.used(&link(), Token(1));
        credit.took(&link());
        check(&mut credit, &[]);
        credit.freed(&link());
        check(&mut credit, &[("one", "credit", 3)]);
    }

    #[test]
    fn two_routers_share_and_never_hold_more_than_the_window() {
        let mut credit = credit(&["one", "two"]);
        check(&mut credit, &[("one", "credit", 1), ("two", "credit", 2)]);
    }

    #[test]
    fn turns_come_by_weight_whatever_the_backlog_and_nobody_starves() {
        let mut credit = credit(&["one", "two"]);
        credit.backlog(&router("one"), route(), 1_000_000, 1);
        credit.backlog(&router("two"), route(), 10, 3);
        let mut turns = Vec::new();
        while turns.len() < 400 {
            for (router, _, tokens) in said(&mut credit) {
                credit.used(&link(), tokens[0]);
                turns.push(router);
            }
        }
        let light = turns.iter().filter(|router| *router == "one").count();
        assert!((95..=105).contains(&light), "{light} of 400");
    }

    #[test]
    fn an_idle_router_gives_way_to_one_that_waits() {
        let mut credit = credit(&["one"]);
        said(&mut credit);
        credit.backlog(&router("one"), route(), 0, 0);
        credit.attached(&router("two"));
        check(&mut credit, &[]);
        credit.backlog(&router("two"), route(), 5, 1);
        check(&mut credit, &[("one", "recall", 1), ("one", "recall", 2)]);
        check(&mut credit, &[]);
        credit.returned(&router("one"), &link(), &[Token(1), Token(2)]);
        check(&mut credit, &[("two", "credit", 3), ("two", "credit", 4)]);
    }

    #[test]
    fn tokens_given_back_are_not_offered_again_at_once() {
        let mut credit = credit(&["one"]);
        said(&mut credit);
        credit.returned(&router("one"), &link(), &[Token(1), Token(2)]);
        check(&mut credit, &[]);
        credit.backlog(&router("one"), route(), 1, 1);
        check(&mut credit, &[("one", "credit", 3), ("one", "credit", 4)]);
        credit.returned(&router("one"), &link(), &[Token(3), Token(4)]);
        credit.doubt();
        check(&mut credit, &[("one", "credit", 5), ("one", "credit", 6)]);
    }

    #[test]
    fn a_link_that_goes_down_wants_its_tokens_back() {
        let mut credit = credit(&["one"]);
        said(&mut credit);
        credit.set_up(&link(), false);
        check(&mut credit, &[("one", "recall", 1), ("one", "recall", 2)]);
        credit.returned(&router("one"), &link(), &[Token(1), Token(2)]);
        check(&mut credit, &[]);
        credit.set_up(&link(), true);
        check(&mut credit, &[("one", "credit", 3), ("one", "credit", 4)]);
    }

    #[test]
    fn a_new_session_starts_without_the_old_ones_tokens() {
        let mut credit = credit(&["one"]);
        said(&mut credit);
        credit.took(&link());
        credit.attached(&router("one"));
        check(&mut credit, &[("one", "credit", 3)]);
        credit.returned(&router("one"), &link(), &[Token(1)]);
        check(&mut credit, &[]);
    }
}
