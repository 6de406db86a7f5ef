//! The sessions of farms with this replica: their numbers, and which one counts. Waits for nothing.

use std::collections::BTreeMap;

use lease::message::{Hello, Incarnation, KnownSession, Session};
use model::{FarmName, RouterName};
use tokio_util::sync::CancellationToken;

/// Sessions are numbered by the time the process began at, in steps of this many a millisecond: more than there ever are. So they
/// rise across restarts.
const PER_MS: u64 = 1 << 16;
/// How far ahead of this process's clock a session of an earlier life may have been numbered. What a farm claims above it is not
/// believed.
const CLOCK_AHEAD_MS_MAX: u64 = 366 * 24 * 3_600 * 1_000;

/// The sessions of one replica.
pub(super) struct Sessions {
    router: RouterName,
    next: Session,
    max: Session,
    open: BTreeMap<FarmName, Open>,
}

struct Open {
    session: Session,
    incarnation: Incarnation,
    over: CancellationToken,
}

impl Sessions {
    pub(super) fn starting_at(router: RouterName, started_ms: u64) -> Self {
        let (next, max) = ((started_ms * PER_MS).max(1), (started_ms + CLOCK_AHEAD_MS_MAX) * PER_MS);
        Sessions { router, next, max, open: BTreeMap::new() }
    }

    /// The session of this very incarnation of the farm that its hello says is open, if it is.
    pub(super) fn open_elsewhere(&self, hello: &Hello) -> Option<Session> {
        let claimed = self.known_to(hello).find(|known| known.open)?.session;
        let open = self.open.get(&hello.farm).filter(|open| !open.over.is_cancelled())?;
        (open.session == claimed && open.incarnation == hello.incarnation).then_some(claimed)
    }

    /// Begins a session, numbered above every one the farm has heard of: the clock may have been set back since. An older one of the
    /// farm is told that it is over (lease rule 6).
    pub(super) fn begin(&mut self, hello: &Hello, over: CancellationToken) -> Session {
        let known = self.known_to(hello).map(|known| known.session).filter(|session| *session < self.max).max();
        let session = known.map_or(self.next, |known| self.next.max(known + 1));
        self.next = session + 1;
        let open = Open { session, incarnation: hello.incarnation, over };
        if let Some(old) = self.open.insert(hello.farm.clone(), open) {
            old.over.cancel();
        }
        session
    }

    pub(super) fn end(&mut self, farm: &FarmName, session: Session) {
        if self.open.get(farm).is_some_and(|open| open.session == session) {
            self.open.remove(farm);
        }
    }

    fn known_to<'a>(&'a self, hello: &'a Hello) -> impl Iterator<Item = &'a KnownSession> {
        hello.sessions.iter().filter(|known| known.router == self.router)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Session = 1_000 * PER_MS;

    fn hello(incarnation: u128, known: &[(&str, Session, bool)]) -> Hello {
        let session = |(router, session, open): &(&str, Session, bool)| KnownSession {
            router: RouterName::new(router).unwrap(),
            session: *session,
            open: *open,
        };
        Hello {
            farm: FarmName::new("cellar").unwrap(),
            incarnation: Incarnation(incarnation),
            version: String::new(),
            routes: Vec::new(),
            sessions: known.iter().map(session).collect(),
        }
    }

    fn sessions() -> Sessions {
        Sessions::starting_at(RouterName::new("one").unwrap(), 1_000)
    }

    #[test]
    fn the_newest_session_ends_the_older() {
        let (mut sessions, first, second) = (sessions(), CancellationToken::new(), CancellationToken::new());
        assert_eq!(sessions.begin(&hello(1, &[]), first.clone()), FIRST);
        assert_eq!(sessions.begin(&hello(1, &[]), second.clone()), FIRST + 1);
        assert!(first.is_cancelled() && !second.is_cancelled());
        sessions.end(&hello(1, &[]).farm, FIRST);
        assert_eq!(sessions.open_elsewhere(&hello(1, &[("one", FIRST + 1, true)])), Some(FIRST + 1));
    }

    #[test]
    fn a_second_way_is_known_by_the_session_that_is_open() {
        let mut sessions = sessions();
        let over = CancellationToken::new();
        sessions.begin(&hello(1, &[]), over.clone());
        let check = |incarnation, known, expected| {
            assert_eq!(sessions.open_elsewhere(&hello(incarnation, known)), expected);
        };
        check(1, &[("one", FIRST, true)], Some(FIRST));
        check(1, &[("two", 7, true), ("one", FIRST, true)], Some(FIRST));
        // Another router's, an older one, one that is over, and one of another journal are none.
        check(1, &[("two", FIRST, true)], None);
        check(1, &[("one", FIRST - 1, true)], None);
        check(1, &[("one", FIRST, false)], None);
        check(2, &[("one", FIRST, true)], None);
        over.cancel();
        assert_eq!(sessions.open_elsewhere(&hello(1, &[("one", FIRST, true)])), None);
    }

    #[test]
    fn numbers_rise_above_what_a_farm_has_heard_though_the_clock_was_set_back() {
        let mut sessions = sessions();
        let over = CancellationToken::new;
        assert_eq!(sessions.begin(&hello(1, &[("one", FIRST + 500, false)]), over()), FIRST + 501);
        assert_eq!(sessions.begin(&hello(1, &[("one", FIRST + 9, false)]), over()), FIRST + 502);
        assert_eq!(sessions.begin(&hello(1, &[("two", FIRST + 900, false)]), over()), FIRST + 503);
        assert_eq!(sessions.begin(&hello(1, &[("one", u64::MAX, false)]), over()), FIRST + 504);
    }
}
