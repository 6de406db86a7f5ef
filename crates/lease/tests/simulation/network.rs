//! Streams between routers and farms: in order while they live, late or never when they have died. Knows no word of what it
//! carries.

use std::collections::BTreeMap;

use lease::message::Session;
use lease::{FarmMessage, RouterMessage};

use crate::random::Random;

#[derive(Clone, Debug)]
pub(crate) enum Letter {
    ToFarm(RouterMessage),
    ToRouter(FarmMessage),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Way {
    ToFarm,
    ToRouter,
}

/// The two ends of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub(crate) router: usize,
    pub(crate) farm: usize,
}

/// Whether a farm knows that its stream is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Farm {
    Noticed,
    Believes,
}

struct Stream {
    ends: Ends,
    letters: Vec<Letter>,
}

pub(crate) struct Network {
    streams: BTreeMap<(Session, Way), Stream>,
    /// Whether letters of one stream overtake each other, as no real stream lets them.
    pub(crate) wild: bool,
}

impl Network {
    pub(crate) fn new(wild: bool) -> Self {
        Network { streams: BTreeMap::new(), wild }
    }

    pub(crate) fn send(&mut self, session: Session, ends: Ends, letter: Letter) {
        let way = if matches!(letter, Letter::ToFarm(_)) { Way::ToFarm } else { Way::ToRouter };
        let stream = self.streams.entry((session, way)).or_insert(Stream { ends, letters: Vec::new() });
        stream.letters.push(letter);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Takes out a letter of some stream.
    pub(crate) fn deliver(&mut self, random: &mut Random) -> Option<(Ends, Letter)> {
        let key = *self.streams.keys().nth(random.below(self.streams.len()))?;
        let stream = self.streams.get_mut(&key)?;
        let index = if self.wild { random.below(stream.letters.len()) } else { 0 };
        let letter = stream.letters.remove(index);
        let ends = stream.ends;
        // What is no lease may come twice: nothing but rule 6 and the order of a stream keeps leases from it.
        let again = self.wild && random.chance(50) && !matches!(letter, Letter::ToFarm(RouterMessage::Lease(_)));
        if again {
            stream.letters.push(letter.clone());
        }
        if stream.letters.is_empty() {
            self.streams.remove(&key);
        }
        Some((ends, letter))
    }

    /// A stream breaks: what it carries is lost, or comes late, or twice. As long as the farm has not noticed, a lease does
    /// not come twice: a stream repeats nothing, and that is all that keeps a farm from taking again what it gave back.
    pub(crate) fn break_stream(&mut self, session: Session, farm: Farm, random: &mut Random) {
        for way in [Way::ToFarm, Way::ToRouter] {
            let Some(stream) = self.streams.get_mut(&(session, way)) else { continue };
            stream.letters.retain(|_| random.chance(600));
            if random.chance(200)
                && let Some(letter) = random.pick(&stream.letters).cloned()
                && (farm == Farm::Noticed || !matches!(letter, Letter::ToFarm(RouterMessage::Lease(_))))
            {
                stream.letters.push(letter);
            }
            if stream.letters.is_empty() {
                self.streams.remove(&(session, way));
            }
        }
    }
}
