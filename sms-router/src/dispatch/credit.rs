//! Tokens: which links may be given a lease, and whose turn it is. Pure; knows links and tokens, not deliveries.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lease::Attempt;
use lease::message::{LinkState, Token};
use model::{FarmName, IdMap, LinkName};

/// Tokens one link may have here; what comes above is given back (lanes, 8: credit is small).
const TOKENS_MAX: usize = 1_024;
/// Links one farm may name on a route; more are refused.
const LINKS_MAX: usize = 10_000;

/// A link of a farm.
pub(super) type LinkKey = (FarmName, LinkName);

/// The tokens of a route.
#[derive(Default, Debug)]
pub(super) struct Credits {
    links: BTreeMap<LinkKey, Link>,
    /// Links with tokens that are not down, the next one first.
    ring: VecDeque<LinkKey>,
    /// Farms that have not answered yet in their session: no lease may flow to them (lease rule 5).
    blocked: BTreeSet<FarmName>,
    /// Tokens of grants whose lease has not left.
    lent: IdMap<Attempt, (LinkKey, Token)>,
    held: usize,
}

#[derive(Default, Debug)]
struct Link {
    tokens: VecDeque<Token>,
    /// What the farm said; a link it granted tokens for is up until it says otherwise.
    up: Option<bool>,
    in_ring: bool,
}

impl Credits {
    /// A farm grants tokens. Returns those that are not taken.
    pub(super) fn grant(&mut self, farm: &FarmName, link: &LinkName, tokens: Vec<Token>) -> Vec<Token> {
        if self.links.len() >= LINKS_MAX && !self.links.contains_key(&(farm.clone(), link.clone())) {
            return tokens;
        }
        let key = (farm.clone(), link.clone());
        let entry = self.links.entry(key.clone()).or_default();
        entry.up.get_or_insert(true);
        let mut refused = Vec::new();
        for token in tokens {
            if entry.tokens.len() < TOKENS_MAX && !entry.tokens.contains(&token) {
                entry.tokens.push_back(token);
                self.held += 1;
            } else if entry.tokens.len() >= TOKENS_MAX {
                refused.push(token);
            }
        }
        self.enter(&key);
        refused
    }

    /// A farm wants tokens back. Returns those that were held and are given up.
    pub(super) fn recall(&mut self, farm: &FarmName, link: &LinkName, tokens: &[Token]) -> Vec<Token> {
        let Some(entry) = self.links.get_mut(&(farm.clone(), link.clone())) else { return Vec::new() };
        let wanted: BTreeSet<_> = tokens.iter().copied().collect();
        let (given, kept) = entry.tokens.iter().copied().partition::<VecDeque<_>, _>(|token| wanted.contains(token));
        entry.tokens = kept;
        self.held -= given.len();
        given.into()
    }

    /// Gives up all tokens.
    pub(super) fn give_up(&mut self) -> Vec<(LinkKey, Vec<Token>)> {
        self.held = 0;
        self.ring.clear();
        let mut given = Vec::new();
        for (key, link) in &mut self.links {
            link.in_ring = false;
            if !link.tokens.is_empty() {
                given.push((key.clone(), link.tokens.drain(..).collect()));
            }
        }
        given
    }

    /// What a farm says of a link.
    pub(super) fn set_state(&mut self, farm: &FarmName, state: &LinkState) {
        let key = (farm.clone(), state.link.clone());
        if self.links.len() >= LINKS_MAX && !self.links.contains_key(&key) {
            return;
        }
        self.links.entry(key.clone()).or_default().up = Some(state.up);
        self.enter(&key);
    }

    /// The farm's session is over: its tokens are worth nothing, its links are not to be had.
    pub(super) fn drop_farm(&mut self, farm: &FarmName) {
        let held = &mut self.held;
        self.links.retain(|(owner, _), link| {
            let keep = owner != farm;
            *held -= if keep { 0 } else { link.tokens.len() };
            keep
        });
        self.ring.retain(|(owner, _)| owner != farm);
        self.blocked.remove(farm);
        self.lent.retain(|_, ((owner, _), _)| owner != farm);
    }

    /// A token that was taken goes with the grant of this attempt.
    pub(super) fn lend(&mut self, attempt: Attempt, key: LinkKey, token: Token) {
        self.lent.insert(attempt, (key, token));
    }

    /// The lease of this attempt left, its token with it.
    pub(super) fn spend(&mut self, attempt: &Attempt) {
        self.lent.remove(attempt);
    }

    /// Whether any token goes with a grant whose lease has not left.
    pub(super) fn any_lent(&self) -> bool {
        !self.lent.is_empty()
    }

    /// Another owner begins: leases that have not left never will, so their tokens are free; and every farm must answer
    /// again before leases flow.
    pub(super) fn begin_anew<'a>(&mut self, attached: impl Iterator<Item = &'a FarmName>) {
        for (_, (key, token)) in std::mem::take(&mut self.lent) {
            self.put_back(&key, token);
        }
        attached.for_each(|farm| self.block(farm));
    }

    /// The next link, in turn, with a token of it.
    pub(super) fn take(&mut self) -> Option<(LinkKey, Token)> {
        while let Some(key) = self.ring.pop_front() {
            let Some(link) = self.links.get_mut(&key) else { continue };
            link.in_ring = false;
            if link.up == Some(false) {
                continue;
            }
            let Some(token) = link.tokens.pop_front() else { continue };
            self.held -= 1;
            self.enter(&key);
            return Some((key, token));
        }
        None
    }

    /// A token that was not used after all.
    pub(super) fn put_back(&mut self, key: &LinkKey, token: Token) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.tokens.push_front(token);
        self.held += 1;
        self.enter(key);
    }

    /// No lease may flow to this farm until it is unblocked.
    pub(super) fn block(&mut self, farm: &FarmName) {
        self.blocked.insert(farm.clone());
        for (_, link) in self.links.iter_mut().filter(|((owner, _), _)| owner == farm) {
            link.in_ring = false;
        }
        self.ring.retain(|(owner, _)| owner != farm);
    }

    /// Leases may flow to this farm again.
    pub(super) fn unblock(&mut self, farm: &FarmName) {
        if self.blocked.remove(farm) {
            let keys: Vec<_> = self.links.keys().filter(|(owner, _)| owner == farm).cloned().collect();
            keys.iter().for_each(|key| self.enter(key));
        }
    }

    /// Whether a link can be given a lease.
    pub(super) fn any(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Tokens held.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Whether any link is up.
    pub(super) fn any_up(&self) -> bool {
        self.links.values().any(|link| link.up == Some(true))
    }

    fn enter(&mut self, key: &LinkKey) {
        if let Some(link) = self.links.get_mut(key)
            && !link.in_ring
            && !link.tokens.is_empty()
            && link.up != Some(false)
            && !self.blocked.contains(&key.0)
        {
            link.in_ring = true;
            self.ring.push_back(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::RouteId;

    fn names(farm: &str, link: &str) -> LinkKey {
        (FarmName::new(farm).unwrap(), LinkName::new(link).unwrap())
    }

    fn grant(credits: &mut Credits, key: &LinkKey, tokens: &[u64]) {
        let tokens = tokens.iter().copied().map(Token).collect();
        assert_eq!(credits.grant(&key.0, &key.1, tokens), []);
    }

    fn state(key: &LinkKey, up: bool) -> LinkState {
        LinkState { link: key.1.clone(), route: RouteId::new("r").unwrap(), up, reason: String::new() }
    }

    #[test]
    fn links_take_turns() {
        let (mut credits, a, b) = (Credits::default(), names("f", "a"), names("f", "b"));
        grant(&mut credits, &a, &[1, 2, 3]);
        grant(&mut credits, &b, &[4]);
        let taken: Vec<_> = std::iter::from_fn(|| credits.take()).map(|(key, token)| (key.1, token.0)).collect();
        let expected = [(&a, 1), (&b, 4), (&a, 2), (&a, 3)].map(|(key, token)| (key.1.clone(), token));
        assert_eq!(taken, expected);
        assert!(!credits.any());
        assert_eq!(credits.held(), 0);
    }

    #[test]
    fn what_is_recalled_is_given_back_unless_used() {
        let (mut credits, a) = (Credits::default(), names("f", "a"));
        grant(&mut credits, &a, &[1, 2, 3]);
        assert_eq!(credits.take(), Some((a.clone(), Token(1))));
        assert_eq!(credits.recall(&a.0, &a.1, &[Token(1), Token(3)]), [Token(3)]);
        assert_eq!(credits.give_up(), [(a.clone(), vec![Token(2)])]);
        assert_eq!((credits.take(), credits.held()), (None, 0));
        grant(&mut credits, &a, &[9]);
        assert_eq!(credits.take(), Some((a, Token(9))));
    }

    #[test]
    fn a_link_that_is_down_is_passed_over_until_it_is_up() {
        let (mut credits, a, b) = (Credits::default(), names("f", "a"), names("g", "b"));
        grant(&mut credits, &a, &[1]);
        grant(&mut credits, &b, &[2]);
        credits.set_state(&a.0, &state(&a, false));
        assert_eq!(credits.take(), Some((b.clone(), Token(2))));
        assert_eq!(credits.take(), None);
        credits.set_state(&a.0, &state(&a, true));
        assert_eq!(credits.take(), Some((a, Token(1))));
    }

    #[test]
    fn a_farm_that_left_takes_its_tokens_along() {
        let (mut credits, a, b) = (Credits::default(), names("f", "a"), names("g", "b"));
        grant(&mut credits, &a, &[1]);
        grant(&mut credits, &b, &[2]);
        credits.drop_farm(&a.0);
        credits.put_back(&a, Token(7));
        assert_eq!(credits.held(), 1);
        assert_eq!(credits.take(), Some((b.clone(), Token(2))));
        assert_eq!(credits.take(), None);
        assert!(credits.any_up(), "up, though busy");
        credits.set_state(&b.0, &state(&b, false));
        assert!(!credits.any_up());
    }

    #[test]
    fn a_farm_that_has_not_answered_is_passed_over() {
        let (mut credits, a, b) = (Credits::default(), names("f", "a"), names("g", "b"));
        grant(&mut credits, &a, &[1]);
        grant(&mut credits, &b, &[2]);
        credits.block(&a.0);
        grant(&mut credits, &a, &[3]);
        assert_eq!(credits.take(), Some((b, Token(2))));
        assert_eq!(credits.take(), None);
        credits.unblock(&a.0);
        assert_eq!(credits.take(), Some((a, Token(1))));
        assert!(credits.any());
    }

    #[test]
    fn tokens_of_leases_that_never_left_are_free_again() {
        let (mut credits, a) = (Credits::default(), names("f", "a"));
        grant(&mut credits, &a, &[1, 2]);
        for number in [1, 2] {
            let (key, token) = credits.take().unwrap();
            let delivery = model::DeliveryId { message: model::MessageId(number), index: 0 };
            credits.lend(Attempt { delivery, number: 1 }, key, token);
        }
        credits.spend(&Attempt { delivery: model::DeliveryId { message: model::MessageId(1), index: 0 }, number: 1 });
        credits.begin_anew([a.0.clone()].iter());
        assert!(!credits.any_lent() && !credits.any(), "the farm must answer first");
        credits.unblock(&a.0);
        assert_eq!(credits.take(), Some((a, Token(2))));
        assert_eq!(credits.take(), None);
    }

    #[test]
    fn a_repeated_token_counts_once_and_too_many_are_refused() {
        let (mut credits, a) = (Credits::default(), names("f", "a"));
        grant(&mut credits, &a, &[1, 1]);
        assert_eq!(credits.held(), 1);
        let many = (0..2_000).map(Token).collect();
        assert_eq!(credits.grant(&a.0, &a.1, many).len(), 2_000 - TOKENS_MAX);
        assert_eq!(credits.held(), TOKENS_MAX);
    }
}
