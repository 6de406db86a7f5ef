//! A delivery's story: what was told of it, in one column. Knows the bytes, no rule of a delivery's life.
//!
//! A column and not rows of their own: a step changes its delivery's row anyway, and a story is only ever read whole.

use model::event::Event;
use prost::Message as _;

/// Stories one after the other are one story: fields of this kind may be repeated.
#[derive(Clone, PartialEq, prost::Message)]
struct Story {
    #[prost(message, repeated, tag = "1")]
    told: Vec<Told>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    /// Where it stands in lane `events`: the order in which things happened, as far as anybody knows.
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(message, required, tag = "2")]
    event: Event,
}

/// Adds an event to a story.
pub(super) fn add(story: &mut Vec<u8>, offset: i64, event: Event) {
    story.extend_from_slice(&model::octets(&Story { told: vec![Told { offset, event }] }));
}

/// The events in the order in which they were told; `None` if the story can't be read.
pub(super) fn read(story: &[u8]) -> Option<Vec<Event>> {
    let mut told = Story::decode(story).ok()?.told;
    told.sort_by_key(|told| told.offset);
    Some(told.into_iter().map(|told| told.event).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_grows_at_its_end_and_is_read_in_order() {
        let event = |at_ms| Event { at_ms, ..Event::default() };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        add(&mut first, 9, event(-1));
        add(&mut second, 3, event(200));
        add(&mut second, 4, event(0));
        assert_eq!(read(&[first.clone(), second].concat()), Some(vec![event(200), event(0), event(-1)]));
        assert_eq!((read(&[]), read(&first[1..])), (Some(vec![]), None));
    }
}
