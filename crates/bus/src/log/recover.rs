//! What the segments of a folder hold after a stop or a crash. Knows what a crash can leave, and refuses anything else.
//!
//! Only the last frame may be torn: the next is written after it was synced. So a frame that is not whole, with nothing after
//! it, was never answered for and is dropped; with a later frame after it, it is damage, and nothing is opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::books::Books;
use super::segment::{self, FIRST, Segment};
use super::shelf::Found;
use crate::LogError;

/// What was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) books: Books,
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    /// Where the last frame of the last segment ends.
    pub(super) end: u64,
    pub(super) sequence: u64,
}

/// Looks through all segments; `None` if there are none.
pub(super) fn recover(folder: &Path) -> Result<Option<Recovered>, LogError> {
    let mut listed = segment::list(folder).map_err(|source| LogError::io("list", folder, source))?;
    let mut segments = BTreeMap::new();
    for (number, path) in listed.drain(..) {
        let opened = Segment::open(number, path.clone());
        segments.insert(number, Arc::new(opened.map_err(|source| LogError::io("open", &path, source))?));
    }
    drop_unbegun(&mut segments)?;
    let Some((&last, _)) = segments.last_key_value() else { return Ok(None) };
    let mut reading = Reading { books: Books::default(), sequence: None, end: 0 };
    let mut expected = None;
    for (&number, segment) in &segments {
        if expected.is_some_and(|expected| expected != number) {
            return Err(LogError::Damaged { path: segment.path.clone(), at: 0 });
        }
        expected = Some(number + 1);
        reading.take(segment, number == last)?;
    }
    let Reading { books, sequence, end } = reading;
    if let Some((_, oldest)) = segments.first_key_value().filter(|_| !books.are_whole()) {
        return Err(LogError::Missing { before: oldest.path.clone() });
    }
    Ok(Some(Recovered { books, segments, end, sequence: sequence.unwrap_or(0) }))
}

/// The last segment may have been made and not begun. The one before it is still there then, unless it is the first of all:
/// alone, a later one had the books of those that are gone, and without them every lane would begin anew.
fn drop_unbegun(segments: &mut BTreeMap<u64, Arc<Segment>>) -> Result<(), LogError> {
    let Some((&last, segment)) = segments.last_key_value() else { return Ok(()) };
    if Found::at(segment, 0)?.is_none() && Found::after(segment, 0, 0)?.is_none() {
        if last != FIRST && !segments.contains_key(&(last - 1)) {
            return Err(LogError::Damaged { path: segment.path.clone(), at: 0 });
        }
        std::fs::remove_file(&segment.path).map_err(|source| LogError::io("remove", &segment.path, source))?;
        segments.remove(&last);
    }
    Ok(())
}

struct Reading {
    books: Books,
    sequence: Option<u64>,
    end: u64,
}

impl Reading {
    fn take(&mut self, segment: &Segment, is_last: bool) -> Result<(), LogError> {
        let damaged = |at| LogError::Damaged { path: segment.path.clone(), at };
        let (mut at, mut next) = (0, Found::at(segment, 0)?);
        while let Some(found) = next {
            if self.sequence.is_some_and(|sequence| found.place.sequence != sequence + 1) {
                return Err(damaged(at));
            }
            next = Found::at(segment, found.end)?;
            if next.is_none() && is_last && !found.is_whole(segment)? {
                break;
            }
            self.books.enter(&found.head, segment.number).map_err(|_| damaged(at))?;
            (self.sequence, at) = (Some(found.place.sequence), found.end);
        }
        self.end = at;
        match self.sequence {
            // Whether one before the last lacks frames at its end, the next one's sequence tells.
            Some(sequence) if at > 0 && is_last => match Found::after(segment, at + 1, sequence)? {
                Some(_) => Err(damaged(at)),
                None => Ok(()),
            },
            Some(_) if at > 0 => Ok(()),
            _ => Err(damaged(0)),
        }
    }
}
