//! Who may lease what: numbered tokens per link, shared out by the routers' backlogs. Must not know sessions or modems.
//!
//! Over all routers a link has at most [`WINDOW`] leases: those it holds, and the tokens that could become some.

use std::collections::{BTreeMap, BTreeSet};

use lease::message::{FarmMessage, Token};
use model::{LinkName, RouteId, RouterName};

/// One lease on the wire and one waiting.
pub(crate) const WINDOW: usize = 2;

/// All tokens of a node.
#[derive(Default)]
pub(crate) struct Credit {
    links: BTreeMap<LinkName, LinkCredit>,
    routers: BTreeMap<RouterName, BTreeMap<RouteId, Demand>>,
    minted: u64,
}

struct LinkCredit {
    route: RouteId,
    up: bool,
    in_hand: usize,
    out: BTreeMap<Token, RouterName>,
    recalled: BTreeSet<Token>,
}

/// What a router says waits for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// Nothing said: it may have something.
    Unknown,
    Segments(u64),
}

impl Credit {
    /// A link of a route; down at first.
    pub(crate) fn add_link(&mut self, link: LinkName, route: RouteId) {
        let (out, recalled) = (BTreeMap::new(), BTreeSet::new());
        self.links.insert(link, LinkCredit { route, up: false, in_hand: 0, out, recalled });
    }

    /// A router's stream began: tokens of an earlier one are void, and nothing is known of its backlog.
    pub(crate) fn attached(&mut self, router: &RouterName) {
        self.detached(router);
        self.routers.insert(router.clone(), BTreeMap::new());
    }

    /// A router's stream ended.
    pub(crate) fn detached(&mut self, router: &RouterName) {
        self.routers.remove(router);
        for link in self.links.values_mut() {
            link.out.retain(|_, holder| holder != router);
            link.recalled.retain(|token| link.out.contains_key(token));
        }
    }

    /// Whether the link can send.
    pub(crate) fn set_up(&mut self, link: &LinkName, up: bool) {
        if let Some(link) = self.links.get_mut(link) {
            link.up = up;
        }
    }

    /// Whether the link may hold one lease more.
    pub(crate) fn has_room(&self, link: &LinkName) -> bool {
        self.links.get(link).is_some_and(|link| link.in_hand < WINDOW)
    }

    /// A router tells what waits for a route.
    pub(crate) fn backlog(&mut self, router: &RouterName, route: RouteId, segments: u64) {
        if let Some(routes) = self.routers.get_mut(router) {
            routes.insert(route, Demand::Segments(segments));
        }
    }

    /// A lease came and used up its token.
    pub(crate) fn used(&mut self, link: &LinkName, token: Token) {
        if let Some(link) = self.links.get_mut(link) {
            link.out.remove(&token);
            link.recalled.remove(&token);
        }
    }

    /// A router gave tokens back unused: it has nothing to send there until it says so.
    pub(crate) fn returned(&mut self, router: &RouterName, link: &LinkName, tokens: &[Token]) {
        let Some(credit) = self.links.get_mut(link) else { return };
        let mut unasked = false;
        for token in tokens {
            if credit.out.get(token) == Some(router) {
                credit.out.remove(token);
                unasked |= !credit.recalled.remove(token);
            }
        }
        if let (true, Some(routes)) = (unasked, self.routers.get_mut(router)) {
            routes.insert(credit.route.clone(), Demand::Segments(0));
        }
    }

    /// A link holds one lease more, or one less.
    pub(crate) fn took(&mut self, link: &LinkName) {
        if let Some(link) = self.links.get_mut(link) {
            link.in_hand += 1;
        }
    }

    pub(crate) fn freed(&mut self, link: &LinkName) {
        if let Some(link) = self.links.get_mut(link) {
            link.in_hand = link.in_hand.saturating_sub(1);
        }
    }

    /// Lets routers that were idle be asked again; call it now and then.
    pub(crate) fn doubt(&mut self) {
        for demand in self.routers.values_mut().flat_map(BTreeMap::values_mut) {
            if *demand == Demand::Segments(0) {
                *demand = Demand::Unknown;
            }
        }
    }

    /// What to tell the routers: new tokens, and old ones wanted back.
    pub(crate) fn share_out(&mut self) -> Vec<(RouterName, FarmMessage)> {
        let mut said = Vec::new();
        let routers = &self.routers;
        for (name, link) in &mut self.links {
            if !link.up {
                link.recall(name, |_| true, &mut said);
                continue;
            }
            while link.in_hand + link.out.len() < WINDOW {
                let Some(router) = neediest(routers, link) else { break };
                self.minted += 1;
                let token = Token(self.minted);
                link.out.insert(token, router.clone());
                let (route, tokens) = (link.route.clone(), vec![token]);
                said.push((router, FarmMessage::Credit { route, link: name.clone(), tokens }));
            }
            if is_starved(routers, link) {
                let route = link.route.clone();
                let idle = |router: &RouterName| demand(routers, router, &route) == Demand::Segments(0);
                link.recall(name, idle, &mut said);
            }
        }
        said
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

/// The router that waits for most with least: its backlog over the tokens it would have. One that said nothing may have something.
fn neediest(routers: &BTreeMap<RouterName, BTreeMap<RouteId, Demand>>, link: &LinkCredit) -> Option<RouterName> {
    let need = |router: &RouterName| match demand(routers, router, &link.route) {
        Demand::Segments(0) => None,
        Demand::Segments(segments) => Some((1 + segments) * 1000 / (1 + link.held_by(router))),
        Demand::Unknown => Some(1000 / (1 + link.held_by(router))),
    };
    let needs = routers.keys().filter_map(|router| Some((need(router)?, router)));
    // Equal needs: the first by name; the tokens it then holds let the next one follow.
    needs.max_by(|(need, router), (other, of)| need.cmp(other).then(of.cmp(router))).map(|(_, router)| router.clone())
}

/// Whether a router waits for this link and every token is with others.
fn is_starved(routers: &BTreeMap<RouterName, BTreeMap<RouteId, Demand>>, link: &LinkCredit) -> bool {
    let waits =
        |router: &&RouterName| !matches!(demand(routers, router, &link.route), Demand::Segments(0) | Demand::Unknown);
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
    fn an_idle_router_gives_way_to_one_that_waits() {
        let mut credit = credit(&["one"]);
        said(&mut credit);
        credit.backlog(&router("one"), route(), 0);
        credit.attached(&router("two"));
        check(&mut credit, &[]);
        credit.backlog(&router("two"), route(), 5);
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
        credit.backlog(&router("one"), route(), 1);
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
