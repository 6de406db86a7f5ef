//! Which routers there are and by which addresses they are reached: what this farm was told, what they tell of each other, and who
//! turned out to answer. Decides which addresses are dialed; dials nothing.

use std::collections::{BTreeMap, BTreeSet};

use lease::message::{KnownSession, Peer, Session};
use model::RouterName;

use super::StreamId;

/// Addresses kept; what exceeds it is not dialed. Those of the configuration come first.
const ADDRESSES_MAX: usize = 64;
/// Routers whose newest session is remembered.
const NEWEST_MAX: usize = 256;

/// Routers and addresses.
#[derive(Default)]
pub(super) struct Book {
    addresses: BTreeMap<String, Address>,
    /// Routers with a session, and which replicas they name.
    attached: BTreeMap<RouterName, Vec<Peer>>,
    newest: BTreeMap<RouterName, Session>,
}

#[derive(Default)]
struct Address {
    /// The configuration names it.
    is_seed: bool,
    /// Who is there, as attached routers say.
    listed: BTreeSet<RouterName>,
    /// Who answered there last.
    met: Option<RouterName>,
    stream: Option<StreamId>,
}

impl Book {
    pub(super) fn of_seeds(seeds: impl IntoIterator<Item = String>) -> Self {
        let seed = |address| (address, Address { is_seed: true, ..Address::default() });
        Book { addresses: seeds.into_iter().map(seed).collect(), ..Book::default() }
    }

    /// A stream to this address opened; nobody has spoken in it.
    pub(super) fn opened(&mut self, stream: StreamId, address: &str) {
        if let Some(address) = self.addresses.get_mut(address) {
            address.stream = Some(stream);
        }
    }

    /// A stream ended.
    pub(super) fn closed(&mut self, stream: StreamId) {
        for address in self.addresses.values_mut().filter(|address| address.stream == Some(stream)) {
            address.stream = None;
        }
        self.forget();
    }

    /// Who answers by this stream.
    pub(super) fn met(&mut self, stream: StreamId, router: &RouterName) {
        for address in self.addresses.values_mut().filter(|address| address.stream == Some(stream)) {
            address.met = Some(router.clone());
        }
    }

    /// Whether a session with this number is one: they rise.
    pub(super) fn is_newest(&self, router: &RouterName, session: Session) -> bool {
        self.newest.get(router).is_none_or(|newest| *newest < session)
    }

    /// A router's session began in this stream; an older one of it is over.
    pub(super) fn attached(&mut self, router: &RouterName, stream: StreamId, session: Session, peers: &[Peer]) {
        self.met(stream, router);
        self.attached.insert(router.clone(), Vec::new());
        if self.newest.len() >= NEWEST_MAX {
            self.newest.retain(|router, _| self.attached.contains_key(router));
        }
        self.newest.insert(router.clone(), session);
        self.listed(router, peers);
    }

    /// A router's session is over.
    pub(super) fn detached(&mut self, router: &RouterName) {
        self.attached.remove(router);
        self.relist();
    }

    /// An attached router tells which replicas there are.
    pub(super) fn listed(&mut self, router: &RouterName, peers: &[Peer]) {
        if let Some(attached) = self.attached.get_mut(router) {
            *attached = peers.iter().take(ADDRESSES_MAX).cloned().collect();
            self.relist();
        }
    }

    /// Every address, and whether it is to be dialed if it has no stream: not while who is there is attached by another way.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, bool)> {
        self.addresses.iter().map(|(name, address)| (name.as_str(), self.is_wanted(address)))
    }

    /// What a hello says of earlier sessions.
    pub(super) fn sessions(&self) -> Vec<KnownSession> {
        let known = |(router, session): (&RouterName, &Session)| {
            let open = self.attached.contains_key(router);
            KnownSession { router: router.clone(), session: *session, open }
        };
        self.newest.iter().map(known).collect()
    }

    fn is_wanted(&self, address: &Address) -> bool {
        let elsewhere = |router: &RouterName| self.attached.contains_key(router);
        match &address.met {
            Some(router) => !elsewhere(router),
            None => address.listed.is_empty() || !address.listed.iter().all(elsewhere),
        }
    }

    /// Takes over what attached routers say by now. If none is attached, what was said last still holds.
    fn relist(&mut self) {
        if self.attached.is_empty() {
            return;
        }
        let mut listed: BTreeMap<&str, BTreeSet<RouterName>> = BTreeMap::new();
        for peer in self.attached.values().flatten() {
            listed.entry(&peer.address).or_default().insert(peer.router.clone());
        }
        for (name, address) in &mut self.addresses {
            let named = listed.remove(name.as_str()).unwrap_or_default();
            if address.listed != named && address.stream.is_none() {
                // Somebody else may be there by now.
                address.met = None;
            }
            address.listed = named;
        }
        for (name, listed) in listed {
            if self.addresses.len() >= ADDRESSES_MAX {
                tracing::warn!(max = ADDRESSES_MAX, "there are more routers than a farm attaches to");
                break;
            }
            self.addresses.insert(name.to_owned(), Address { listed, ..Address::default() });
        }
        self.forget();
    }

    /// Gives up addresses that nobody names any more and where nobody answers.
    fn forget(&mut self) {
        if !self.attached.is_empty() {
            self.addresses.retain(|_, a| a.is_seed || a.stream.is_some() || !a.listed.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(name: &str) -> RouterName {
        RouterName::new(name).unwrap()
    }

    fn peers(list: &[(&str, &str)]) -> Vec<Peer> {
        list.iter().map(|(name, at)| Peer { router: router(name), address: (*at).to_owned() }).collect()
    }

    /// A book with seed `seed`, by which router `one` is attached; it names the peers.
    fn book(list: &[(&str, &str)]) -> Book {
        let mut book = Book::of_seeds(["seed".to_owned()]);
        book.opened(1, "seed");
        book.attached(&router("one"), 1, 10, &peers(list));
        book
    }

    #[track_caller]
    fn check(book: &Book, expected: &[(&str, bool)]) {
        assert_eq!(book.addresses().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_seed_leads_to_all_and_nobody_is_dialed_twice() {
        check(&Book::of_seeds(["seed".to_owned()]), &[("seed", true)]);
        let mut book = book(&[("one", "a"), ("two", "b")]);
        check(&book, &[("a", false), ("b", true), ("seed", false)]);
        book.opened(2, "b");
        book.attached(&router("two"), 2, 5, &peers(&[("one", "a"), ("two", "b"), ("three", "c")]));
        check(&book, &[("a", false), ("b", false), ("c", true), ("seed", false)]);
    }

    #[test]
    fn another_way_to_a_router_is_taken_when_the_first_is_gone() {
        let mut book = book(&[("one", "a"), ("two", "b")]);
        book.opened(2, "b");
        book.attached(&router("two"), 2, 5, &peers(&[("one", "a"), ("two", "b")]));
        book.closed(1);
        book.detached(&router("one"));
        check(&book, &[("a", true), ("b", false), ("seed", true)]);
        // It comes back by the other way; the seed turns out to lead there too.
        book.opened(3, "a");
        book.attached(&router("one"), 3, 11, &peers(&[("one", "a"), ("two", "b")]));
        check(&book, &[("a", false), ("b", false), ("seed", false)]);
    }

    #[test]
    fn a_second_stream_to_the_same_router_makes_an_alias() {
        let mut book = Book::of_seeds(["seed".to_owned(), "other".to_owned()]);
        book.opened(1, "seed");
        book.opened(2, "other");
        book.attached(&router("one"), 1, 10, &[]);
        check(&book, &[("other", true), ("seed", false)]);
        book.met(2, &router("one"));
        book.closed(2);
        check(&book, &[("other", false), ("seed", false)]);
        book.closed(1);
        book.detached(&router("one"));
        check(&book, &[("other", true), ("seed", true)]);
    }

    #[test]
    fn who_left_the_list_is_forgotten_unless_it_answers_or_is_a_seed() {
        let mut book = book(&[("one", "a"), ("two", "b")]);
        book.opened(2, "b");
        book.listed(&router("one"), &[]);
        check(&book, &[("b", true), ("seed", false)]);
        book.closed(2);
        check(&book, &[("seed", false)]);
    }

    #[test]
    fn with_nobody_attached_nothing_is_forgotten() {
        let mut book = book(&[("one", "a"), ("two", "b")]);
        book.closed(1);
        book.detached(&router("one"));
        check(&book, &[("a", true), ("b", true), ("seed", true)]);
    }

    #[test]
    fn another_router_at_the_same_address_is_dialed() {
        let mut book = book(&[("two", "b")]);
        book.opened(2, "b");
        book.attached(&router("two"), 2, 5, &[]);
        book.opened(3, "b");
        book.closed(3);
        check(&book, &[("b", false), ("seed", false)]);
        book.listed(&router("one"), &peers(&[("two", "c"), ("three", "b")]));
        check(&book, &[("b", true), ("c", false), ("seed", false)]);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<_> = (0..ADDRESSES_MAX + 9).map(|n| (format!("r-{n}"), format!("10.0.0.1:{n}"))).collect();
        let list: Vec<_> = names.iter().map(|(name, at)| (name.as_str(), at.as_str())).collect();
        assert_eq!(book(&list).addresses().count(), ADDRESSES_MAX);
    }

    #[test]
    fn a_hello_tells_of_sessions_open_and_over() {
        let mut book = book(&[]);
        assert!(!book.is_newest(&router("one"), 10) && book.is_newest(&router("one"), 11));
        let known = |open| vec![KnownSession { router: router("one"), session: 10, open }];
        assert_eq!(book.sessions(), known(true));
        book.detached(&router("one"));
        assert_eq!(book.sessions(), known(false));
    }
}
