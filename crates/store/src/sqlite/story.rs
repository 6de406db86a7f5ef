//! A delivery's story: what was told of it, in one column. Knows the bytes, no rule of a delivery's life.
//!
//! A column and not rows of their own: a step changes its delivery's row anyway, and a story is only ever read whole.

use model::event::Event;
use prost::Message as _;
use prost::encoding::{self, WireType, encode_key, encode_varint, encoded_len_varint};

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

/// Adds an event, as its row keeps its octets, to a story.
pub(super) fn add(story: &mut Vec<u8>, offset: i64, event: &[u8]) {
    let length = encoding::int64::encoded_len(1, &offset) + 1 + encoded_len_varint(event.len() as u64) + event.len();
    story.reserve(1 + encoded_len_varint(length as u64) + length);
    encode_key(1, WireType::LengthDelimited, story);
    encode_varint(length as u64, story);
    encoding::int64::encode(1, &offset, story);
    encode_key(2, WireType::LengthDelimited, story);
    encode_varint(event.len() as u64, story);
    story.extend_from_slice(event);
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
        add(&mut first, 9, &event(-1).to_bytes());
        add(&mut second, 3, &event(200).to_bytes());
        add(&mut second, 4, &event(0).to_bytes());
        let told = [(3, event(200)), (4, event(0))].map(|(offset, event)| Told { offset, event }).to_vec();
        assert_eq!(second, Story { told }.encode_to_vec());
        assert_eq!(read(&[first.clone(), second].concat()), Some(vec![event(200), event(0), event(-1)]));
        assert_eq!((read(&[]), read(&first[1..])), (Some(vec![]), None));
    }
}
