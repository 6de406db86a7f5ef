//! Who may lease what: numbered tokens per link, shared out by the routers' backlogs. Must not know sessions or modems.
//!
//! Over all routers a link has at most its window of leases: those it holds, and the tokens that could become some. A token is one
//! router's until it is used, given back, or that router's session is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lease::message::{FarmMessage, Token};
use model::{LinkName, RouteId, RouterName};

/// What a turn costs at weight 1.
const STRIDE: u64 = 1 << 20;
/// How long a router may keep a token unused while the link idles and another router waits; then it is asked for it.
const IDLE_MAX: Duration = Duration::from_millis(500);
/// How long a router that was asked may keep a link idle. As long as a silent connection is believed in: what it keeps to itself
/// after that only the end of its session brings back.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a router that said it has nothing is believed. It tells of a backlog by itself; this is against words that got lost.
const DOUBT: Duration = Duration::from_secs(10);

/// All tokens of a node.
#[derive(Default)]
pub(crate) struct Credit {
    links: BTreeMap<LinkName, LinkCredit>,
    routers: Demands,
    minted: u64,
    /// Links whose share may have changed since the last sharing.
    touched: BTreeSet<LinkName>,
    doubted: Option<Instant>,
}

/// What routers say waits, by route.
type Demands = BTreeMap<RouterName, BTreeMap<RouteId, Demand>>;

struct LinkCredit {
    route: RouteId,
    window: usize,
    up: bool,
    in_hand: usize,
    out: BTreeMap<Token, Held>,
    /// Tokens asked for, and when.
    recalled: BTreeMap<Token, Instant>,
    /// Whether it has nothing to do though a router waits for it.
    idles: bool,
    /// Where each router stands in the order of turns, and where the last turn was.
    passes: BTreeMap<RouterName, u64>,
    floor: u64,
}

/// A token at a router.
#[derive(Clone, Debug)]
struct Held {
    by: RouterName,
    since: Instant,
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
    /// A link of a route that may hold so many leases; down at first.
    pub(crate) fn add_link(&mut self, link: LinkName, route: RouteId, window: usize) {
        self.links.insert(link, LinkCredit::of(route, window));
    }

    /// A router's stream began: tokens of an earlier one are void, and nothing is known of its backlog.
    pub(crate) fn attached(&mut self, router: &RouterName) {
        self.detached(router);
        self.routers.insert(router.clone(), BTreeMap::new());
    }

    /// A router's session is over: no lease of it is taken any more (lease rule 6), so its tokens may go to others.
    pub(crate) fn detached(&mut self, router: &RouterName) {
        self.routers.remove(router);
        self.touch_all();
        for link in self.links.values_mut() {
            link.out.retain(|_, held| held.by != *router);
            link.passes.remove(router);
            link.recalled.retain(|token, _| link.out.contains_key(token));
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
        self.links.get(link).is_some_and(|link| link.in_hand < link.window)
    }

    /// A router tells what waits for a route.
    pub(crate) fn backlog(&mut self, router: &RouterName, route: RouteId, segments: u64, weight: u64) {
        let Some(routes) = self.routers.get_mut(router) else { return };
        let of_route = self.links.iter().filter(|(_, link)| link.route == route);
        self.touched.extend(of_route.map(|(name, _)| name.clone()));
        let demand = if segments == 0 { Demand::Nothing } else { Demand::Weight(weight.max(1)) };
        routes.insert(route, demand);
    }

    /// A lease of the router came and used up its token, whether it is taken or refused.
    pub(crate) fn used(&mut self, router: &RouterName, link: &LinkName, token: Token) {
        if let Some(link) = self.touch(link).filter(|link| link.is_at(token, router)) {
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
            if credit.is_at(*token, router) {
                credit.out.remove(token);
                unasked |= credit.recalled.remove(token).is_none();
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

    /// Looks after links that idle, and asks routers again that were idle long; call it several times a second.
    pub(crate) fn look(&mut self, now: Instant) {
        let idle = self.links.iter().filter(|(_, link)| link.idles);
        self.touched.extend(idle.map(|(name, _)| name.clone()));
        if now.saturating_duration_since(*self.doubted.get_or_insert(now)) >= DOUBT {
            self.doubted = Some(now);
            self.doubt();
        }
    }

    /// Routers that keep links idle and do not give back what they were asked for. Their sessions must end.
    pub(crate) fn silent(&self, now: Instant) -> BTreeSet<RouterName> {
        let long = |since: &Instant| now.saturating_duration_since(*since) >= SILENCE_MAX;
        let idle = self.links.values().filter(|link| link.idles);
        let kept = idle.flat_map(|link| {
            link.recalled.iter().filter(|(_, at)| long(at)).map(|(token, _)| link.out[token].by.clone())
        });
        kept.collect()
    }

    /// What to tell the routers: new tokens, and old ones wanted back.
    pub(crate) fn share_out(&mut self, now: Instant) -> Vec<(RouterName, FarmMessage)> {
        let mut said = Vec::new();
        for name in std::mem::take(&mut self.touched) {
            let Some(link) = self.links.get_mut(&name) else { continue };
            if !link.up {
                link.idles = false;
                link.recall(&name, |_| true, now, &mut said);
                continue;
            }
            let mut minted: BTreeMap<RouterName, Vec<Token>> = BTreeMap::new();
            while link.in_hand + link.out.len() < link.window {
                let Some(router) = link.next_router(&self.routers, now) else { break };
                self.minted += 1;
                let token = Token(self.minted);
                link.out.insert(token, Held { by: router.clone(), since: now });
                minted.entry(router).or_default().push(token);
            }
            said.extend(minted.into_iter().map(|(router, tokens)| {
                (router, FarmMessage::Credit { route: link.route.clone(), link: name.clone(), tokens })
            }));
            link.want_back(&name, &self.routers, now, &mut said);
        }
        said
    }

    fn doubt(&mut self) {
        for demand in self.routers.values_mut().flat_map(BTreeMap::values_mut) {
            if *demand == Demand::Nothing {
                *demand = Demand::Unknown;
            }
        }
        self.touch_all();
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
    fn of(route: RouteId, window: usize) -> Self {
        LinkCredit {
            route,
            window,
            up: false,
            in_hand: 0,
            out: BTreeMap::new(),
            recalled: BTreeMap::new(),
            idles: false,
            passes: BTreeMap::new(),
            floor: 0,
        }
    }

    fn demand(&self, routers: &Demands, router: &RouterName) -> Demand {
        routers.get(router).and_then(|routes| routes.get(&self.route)).copied().unwrap_or(Demand::Unknown)
    }

    fn is_at(&self, token: Token, router: &RouterName) -> bool {
        self.out.get(&token).is_some_and(|held| held.by == *router)
    }

    fn holds(&self, router: &RouterName) -> bool {
        self.out.values().any(|held| held.by == *router)
    }

    /// Whether the router has a token it should have used by now.
    fn is_slow(&self, router: &RouterName, now: Instant) -> bool {
        // Tokens are numbered as they are given: the first is the oldest.
        let oldest = self.out.values().find(|held| held.by == *router);
        oldest.is_some_and(|held| now.saturating_duration_since(held.since) >= IDLE_MAX)
    }

    /// Whose turn it is: turns come by the weight of the tenants that wait (stride scheduling). Who has not used a token for long
    /// comes after the others, as the window is small; who said nothing comes last.
    fn next_router(&mut self, routers: &Demands, now: Instant) -> Option<RouterName> {
        // Who was idle starts where the others are: turns are not saved up.
        let pass = |router: &RouterName| self.passes.get(router).copied().unwrap_or(0).max(self.floor);
        let turn = |router| {
            let (last, weight) = match self.demand(routers, router) {
                Demand::Nothing => return None,
                Demand::Weight(weight) => (false, weight),
                Demand::Unknown => (true, 1),
            };
            Some((last, self.is_slow(router, now), pass(router), router, weight))
        };
        let (.., pass, router, weight) = routers.keys().filter_map(turn).min()?;
        let router = router.clone();
        self.floor = pass;
        self.passes.insert(router.clone(), pass + STRIDE / weight.clamp(1, STRIDE));
        Some(router)
    }

    /// Asks for tokens that do not help while a router waits that has none: at once of those who have nothing to send; if the link
    /// idles, also of those who should have used them by now. A router gives back what it has not used.
    fn want_back(
        &mut self,
        name: &LinkName,
        routers: &Demands,
        now: Instant,
        said: &mut Vec<(RouterName, FarmMessage)>,
    ) {
        let waits = |router: &&RouterName| matches!(self.demand(routers, router), Demand::Weight(_));
        let starves = !self.out.is_empty() && routers.keys().filter(waits).any(|router| !self.holds(router));
        self.idles = starves && self.in_hand == 0;
        if !starves {
            return;
        }
        let nothing = |router: &&RouterName| self.demand(routers, router) == Demand::Nothing;
        let done: BTreeSet<RouterName> = routers.keys().filter(nothing).cloned().collect();
        let idles = self.idles;
        let is_late = |held: &Held| idles && now.saturating_duration_since(held.since) >= IDLE_MAX;
        self.recall(name, |held| done.contains(&held.by) || is_late(held), now, said);
    }

    fn recall(
        &mut self,
        name: &LinkName,
        of: impl Fn(&Held) -> bool,
        now: Instant,
        said: &mut Vec<(RouterName, FarmMessage)>,
    ) {
        for (token, held) in &self.out {
            if of(held) && !self.recalled.contains_key(token) {
                self.recalled.insert(*token, now);
                said.push((held.by.clone(), FarmMessage::Recall { link: name.clone(), tokens: vec![*token] }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;
    use crate::link::MODEM_WINDOW as WINDOW;

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
        credit.add_link(link(), route(), WINDOW);
        credit.set_up(&link(), true);
        for name in routers {
            credit.attached(&router(name));
        }
        credit
    }

    /// Who was given which token, and who was asked for which.
    fn said_at(credit: &mut Credit, now: Instant) -> Vec<(String, &'static str, Vec<Token>)> {
        let said = credit.share_out(now).into_iter().flat_map(|(router, message)| {
            let (what, tokens) = match message {
                FarmMessage::Credit { tokens, .. } => ("credit", tokens),
                FarmMessage::Recall { tokens, .. } => ("recall", tokens),
                other => panic!("{other:?}"),
            };
            tokens.into_iter().map(move |token| (router.to_string(), what, vec![token]))
        });
        said.collect()
    }

    fn said(credit: &mut Credit) -> Vec<(String, &'static str, Vec<Token>)> {
        said_at(credit, Instant::now())
    }

    #[track_caller]
    fn check_at(credit: &mut Credit, now: Instant, expected: &[(&str, &str, u64)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, what, token)| ((*name).to_owned(), *what, vec![Token(*token)])).collect();
        assert_eq!(said_at(credit, now), expected);
    }

    #[track_caller]
    fn check(credit: &mut Credit, expected: &[(&str, &str, u64)]) {
        check_at(credit, Instant::now(), expected);
    }

    #[test]
    fn one_router_gets_a_window_and_a_token_for_each_lease_that_ends() {
        let mut credit = credit(&["one"]);
        check(&mut credit, &[("one", "credit", 1), ("one", "credit", 2)]);
        check(&mut credit, &[]);
        credit.used(&router("one"), &link(), Token(1));
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
            for (name, _, tokens) in said(&mut credit) {
                credit.used(&router(&name), &link(), tokens[0]);
                turns.push(name);
            }
        }
        let light = turns.iter().filter(|name| *name == "one").count();
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

    #[test]
    fn a_lease_uses_up_its_routers_token_only() {
        let mut credit = credit(&["one", "two"]);
        check(&mut credit, &[("one", "credit", 1), ("two", "credit", 2)]);
        credit.used(&router("one"), &link(), Token(2));
        check(&mut credit, &[]);
        credit.used(&router("two"), &link(), Token(2));
        check(&mut credit, &[("one", "credit", 3)]);
    }

    #[test]
    fn tokens_come_back_with_the_end_of_a_session_and_not_before() {
        let mut credit = credit(&["one"]);
        said(&mut credit);
        credit.attached(&router("two"));
        credit.backlog(&router("one"), route(), 9, 1);
        credit.backlog(&router("two"), route(), 9, 1);
        check(&mut credit, &[]);
        credit.detached(&router("one"));
        check(&mut credit, &[("two", "credit", 3), ("two", "credit", 4)]);
    }

    #[test]
    fn who_keeps_a_link_idle_is_asked_and_in_the_end_hung_up_on() {
        let (mut credit, start) = (credit(&["one"]), Instant::now());
        credit.backlog(&router("one"), route(), 9, 1);
        check_at(&mut credit, start, &[("one", "credit", 1), ("one", "credit", 2)]);
        credit.attached(&router("two"));
        credit.backlog(&router("two"), route(), 9, 1);
        check_at(&mut credit, start, &[]);
        let asked = start + IDLE_MAX;
        credit.look(asked);
        check_at(&mut credit, asked, &[("one", "recall", 1), ("one", "recall", 2)]);
        credit.look(asked + SILENCE_MAX / 2);
        check_at(&mut credit, asked + SILENCE_MAX / 2, &[]);
        assert!(credit.silent(asked + SILENCE_MAX / 2).is_empty());
        assert_eq!(credit.silent(asked + SILENCE_MAX), [router("one")].into());
        credit.detached(&router("one"));
        check_at(&mut credit, asked + SILENCE_MAX, &[("two", "credit", 3), ("two", "credit", 4)]);
        assert!(credit.silent(asked + 9 * SILENCE_MAX).is_empty());
    }

    #[test]
    fn a_slow_router_keeps_one_token_and_the_others_work_on() {
        let (mut credit, start) = (credit(&["one", "two"]), Instant::now());
        credit.backlog(&router("one"), route(), 9, 1_000);
        credit.backlog(&router("two"), route(), 9, 1);
        check_at(&mut credit, start, &[("one", "credit", 1), ("two", "credit", 2)]);
        for token in 2..20 {
            let now = start + IDLE_MAX * u32::try_from(token).unwrap();
            credit.used(&router("two"), &link(), Token(token));
            check_at(&mut credit, now, &[("two", "credit", token + 1)]);
        }
    }

    /// Routers that come, go, stall and have more or less to send, on two links, led by a seed.
    struct Scene {
        credit: Credit,
        random: StdRng,
        now: Instant,
        routers: BTreeMap<RouterName, Played>,
        in_hand: BTreeMap<LinkName, usize>,
        sent: usize,
    }

    #[derive(Default)]
    struct Played {
        attached: bool,
        stalls: bool,
        backlog: u64,
        inbox: Vec<FarmMessage>,
        tokens: BTreeSet<(LinkName, Token)>,
    }

    impl Scene {
        fn set(seed: u64) -> Self {
            let mut credit = Credit::default();
            let links = [1, 2].map(|number| LinkName::new(&format!("modem-{number}")).unwrap());
            for link in &links {
                credit.add_link(link.clone(), route(), WINDOW);
                credit.set_up(link, true);
            }
            let routers = ["one", "two", "three"].map(|name| (router(name), Played::default())).into();
            let in_hand = links.map(|link| (link, 0)).into();
            Scene { credit, random: StdRng::seed_from_u64(seed), now: Instant::now(), routers, in_hand, sent: 0 }
        }

        fn attach(&mut self, name: &RouterName) {
            let played = self.routers.get_mut(name).unwrap();
            (played.attached, played.inbox, played.tokens) = (true, Vec::new(), BTreeSet::new());
            self.credit.attached(name);
            self.report(name);
        }

        fn detach(&mut self, name: &RouterName) {
            self.routers.get_mut(name).unwrap().attached = false;
            self.credit.detached(name);
        }

        fn report(&mut self, name: &RouterName) {
            let played = &self.routers[name];
            if played.attached && !played.stalls {
                self.credit.backlog(name, route(), played.backlog, 1 + played.backlog % 3);
            }
        }

        /// The router takes in what it was told, sends what it can and gives back the rest if it has nothing more.
        fn work(&mut self, name: &RouterName) {
            let Scene { credit, routers, in_hand, .. } = self;
            let played = routers.get_mut(name).unwrap();
            if !played.attached || played.stalls {
                return;
            }
            for message in played.inbox.drain(..) {
                match message {
                    FarmMessage::Credit { link, tokens, .. } => {
                        played.tokens.extend(tokens.into_iter().map(|token| (link.clone(), token)));
                    }
                    FarmMessage::Recall { link, tokens } => {
                        let given = tokens.into_iter().filter(|token| played.tokens.remove(&(link.clone(), *token)));
                        credit.returned(name, &link, &given.collect::<Vec<_>>());
                    }
                    _ => unreachable!("only these are said"),
                }
            }
            while let Some((link, token)) = played.tokens.pop_first() {
                if played.backlog == 0 {
                    credit.returned(name, &link, &[token]);
                    continue;
                }
                played.backlog -= 1;
                credit.used(name, &link, token);
                credit.took(&link);
                *in_hand.get_mut(&link).unwrap() += 1;
                self.sent += 1;
            }
            self.report(name);
        }

        fn finish(&mut self) {
            for (link, count) in &mut self.in_hand {
                if *count > 0 {
                    *count -= 1;
                    self.credit.freed(link);
                }
            }
        }

        /// Time passes; what follows is said, and the rule is checked.
        fn pass(&mut self) {
            self.now += Duration::from_millis(50);
            self.credit.look(self.now);
            for name in self.credit.silent(self.now) {
                self.detach(&name);
            }
            for (name, message) in self.credit.share_out(self.now) {
                self.routers.get_mut(&name).unwrap().inbox.push(message);
            }
            for link in self.credit.links.values() {
                assert!(link.in_hand + link.out.len() <= WINDOW, "more leases than a modem may have");
                assert!(link.recalled.keys().all(|token| link.out.contains_key(token)));
            }
            for (link, in_hand) in &self.in_hand {
                assert_eq!(self.credit.links[link].in_hand, *in_hand);
            }
        }

        fn step(&mut self) {
            let names: Vec<RouterName> = self.routers.keys().cloned().collect();
            let name = names[self.random.random_range(0..names.len())].clone();
            match self.random.random_range(0..20) {
                0 => self.attach(&name),
                1 => self.detach(&name),
                2 => self.routers.get_mut(&name).unwrap().stalls ^= true,
                3..=5 => {
                    self.routers.get_mut(&name).unwrap().backlog += self.random.random_range(1..6);
                    self.report(&name);
                }
                6..=9 => self.finish(),
                _ => self.work(&name),
            }
            self.pass();
        }
    }

    #[test]
    fn whatever_routers_do_the_window_is_kept_and_who_waits_and_works_is_served() {
        for seed in 0..80 {
            let mut scene = Scene::set(seed);
            (0..400).for_each(|_| scene.step());
            let names: Vec<RouterName> = scene.routers.keys().cloned().collect();
            // One stays as it is, stalled or gone; the others work.
            for name in &names[1..] {
                scene.routers.get_mut(name).unwrap().stalls = false;
                scene.attach(name);
            }
            for _ in 0..600 {
                names.iter().for_each(|name| scene.work(name));
                scene.finish();
                scene.pass();
            }
            let left: u64 = names[1..].iter().map(|name| scene.routers[name].backlog).sum();
            assert_eq!(left, 0, "seed {seed}");
            assert!(scene.sent > 0);
        }
    }
}
