//! Which octets of which files are the lanes at one moment. Reads only.

use std::sync::Arc;

use super::{Found, Shelf};
use crate::LogError;
use crate::log::partition::lock;
use crate::log::segment::Segment;

/// The segments at one moment, and where the last one's last whole frame ends. As long as it is held, none of their files is
/// written over.
#[derive(Debug)]
pub(in crate::log) struct Cut {
    pub(in crate::log) segments: Vec<Arc<Segment>>,
    pub(in crate::log) end: u64,
}

impl Shelf {
    /// What the files hold now. Frames are whole or not there, so whatever is written meanwhile, this is a moment of theirs.
    pub(in crate::log) fn cut(&self) -> Result<Cut, LogError> {
        let segments: Vec<Arc<Segment>> = lock(&self.inner).segments.values().cloned().collect();
        let last = segments.last().expect("there is always one that is written");
        let mut end = 0;
        while let Some(found) = Found::at(last, end)? {
            if !found.is_whole(last)? {
                break;
            }
            end = found.end;
        }
        Ok(Cut { segments, end })
    }
}
