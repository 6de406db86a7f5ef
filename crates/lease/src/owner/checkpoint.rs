//! Checkpoints of lane `leases`: when one is due, how it is split, when a reader may start at it. Knows no farm.

use std::time::Duration;

use model::record::RecordError;
use prost::Message as _;

use super::api::OwnerLimits;
use super::book::{Book, Why};
use crate::now::Now;
use crate::record::{Checkpoint, Epoch, Kind};
use crate::rule::{Rule, Rules};

/// Records a reader holds back while the checkpoint it starts at is incomplete. A checkpoint is appended at once after
/// what it covers was read, so there are few.
const HELD_RECORDS_MAX: usize = 1_000_000;

/// What an owner knows of its own checkpoints.
#[derive(Debug)]
pub(super) struct Checkpoints {
    records: u64,
    last: Option<Now>,
    /// Appended, not read back whole: the offset it covers, and the piece to come.
    pending: Option<(i64, u32)>,
    /// Read back whole; not stored, because what it covers is not all committed.
    complete: Option<i64>,
    start: i64,
    rules: Rules,
}

impl Checkpoints {
    pub(super) fn new(start: i64, rules: Rules) -> Self {
        Checkpoints { records: 0, last: None, pending: None, complete: None, start, rules }
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn begin(&mut self, now: Now) {
        self.last = Some(now);
    }

    /// Counts a record that is none of a checkpoint's pieces.
    pub(super) fn count(&mut self) {
        self.records += 1;
    }

    /// A piece under the newest marker was read, by the router that wrote it.
    pub(super) fn read_back(&mut self, offset: i64, piece: &Checkpoint) {
        match self.pending {
            Some((covers, next)) if covers == piece.covers && next == piece.piece => {
                self.pending = if next + 1 < piece.pieces { Some((covers, next + 1)) } else { None };
                if self.pending.is_none() {
                    let first = offset - i64::from(piece.piece);
                    self.complete = Some(if self.rules.keep(Rule::CheckpointCovers) { covers } else { first });
                }
            }
            _ => {}
        }
    }

    /// Everything below `derived_to` is committed: a complete checkpoint that covers no more becomes the start.
    pub(super) fn committed(&mut self, derived_to: i64) {
        if let Some(covers) = self.complete.take_if(|covers| *covers <= derived_to) {
            self.start = self.start.max(covers);
        }
    }

    pub(super) fn is_due(&self, now: Now, limits: &OwnerLimits) -> bool {
        let busy = self.pending.is_some() || self.complete.is_some();
        let late = self.due(limits).is_some_and(|due| due <= now.instant);
        !busy && (self.records >= limits.checkpoint_records || late)
    }

    pub(super) fn due(&self, limits: &OwnerLimits) -> Option<std::time::Instant> {
        let waits = self.records > 0 && self.pending.is_none() && self.complete.is_none();
        let last = self.last.filter(|_| waits)?;
        last.instant.checked_add(Duration::from_secs(limits.checkpoint_seconds))
    }

    /// Writes down the book as of `covers`, in pieces of bounded size.
    pub(super) fn write(
        &mut self,
        book: &Book,
        epoch: Epoch,
        covers: i64,
        now: Now,
        limits: &OwnerLimits,
    ) -> Vec<Kind> {
        let mut pieces = split(book, limits.piece_bytes_max);
        let count = u32::try_from(pieces.len()).expect("pieces are bounded by attempts_max");
        for (index, piece) in (0..).zip(&mut pieces) {
            (piece.epoch, piece.covers, piece.piece, piece.pieces) = (epoch, covers, index, count);
        }
        self.records = 0;
        self.last = Some(now);
        self.pending = Some((covers, 0));
        pieces.into_iter().map(Kind::Checkpoint).collect()
    }
}

fn split(book: &Book, bytes_max: usize) -> Vec<Checkpoint> {
    let mut pieces = Pieces { done: Vec::new(), current: Checkpoint::default(), bytes: 0, bytes_max };
    for open in book.open.values() {
        pieces.room(open.grant.encoded_len()).open.push((*open.grant).clone());
    }
    for waiting in book.waiting.values() {
        let piece = pieces.room(waiting.grant.encoded_len());
        let list = if waiting.why == Why::Released { &mut piece.waiting } else { &mut piece.resend };
        list.push((*waiting.grant).clone());
    }
    for stretch in book.places.to_stretches() {
        pieces.room(stretch.encoded_len()).settled.push(stretch);
    }
    for (attempt, over) in &book.over {
        let closed = over.to_record(*attempt);
        pieces.room(closed.encoded_len()).closed.push(closed);
    }
    for gap in book.gaps.values() {
        pieces.room(gap.encoded_len()).gaps.push(gap.clone());
    }
    pieces.done.push(pieces.current);
    pieces.done
}

struct Pieces {
    done: Vec<Checkpoint>,
    current: Checkpoint,
    bytes: usize,
    bytes_max: usize,
}

impl Pieces {
    fn room(&mut self, bytes: usize) -> &mut Checkpoint {
        if self.bytes > 0 && self.bytes + bytes > self.bytes_max {
            self.done.push(std::mem::take(&mut self.current));
            self.bytes = 0;
        }
        self.bytes += bytes;
        &mut self.current
    }
}

/// A reader that starts at what a checkpoint covers: it holds records back until the checkpoint is complete.
#[derive(Debug)]
pub(super) struct Base {
    covers: i64,
    held: Vec<(i64, Kind)>,
    pieces: Vec<Checkpoint>,
    top: Option<Epoch>,
    rules: Rules,
}

impl Base {
    /// `None` if there is nothing before the start: the reader needs no checkpoint.
    pub(super) fn new(start: i64, rules: Rules) -> Option<Self> {
        (start > 0).then(|| Base { covers: start, held: Vec::new(), pieces: Vec::new(), top: None, rules })
    }

    /// Takes a record; once the checkpoint is complete, loads the book and gives back all records held.
    ///
    /// # Errors
    /// A checkpoint that can't be read, or does not come.
    pub(super) fn take(
        &mut self,
        offset: i64,
        kind: Kind,
        book: &mut Book,
    ) -> Result<Option<Vec<(i64, Kind)>>, RecordError> {
        match &kind {
            Kind::Marker(_) => self.top = Some(offset),
            Kind::Checkpoint(piece) => self.take_piece(piece),
            _ => {}
        }
        self.held.push((offset, kind));
        let complete = self.pieces.last().is_some_and(|piece| piece.piece + 1 == piece.pieces);
        if !complete {
            let endless = self.held.len() > HELD_RECORDS_MAX;
            return if endless { Err(RecordError::Field("checkpoint")) } else { Ok(None) };
        }
        for piece in self.pieces.drain(..) {
            book.load(&piece)?;
        }
        Ok(Some(std::mem::take(&mut self.held)))
    }

    /// A piece belongs if it covers the start, and its epoch is the newest marker before it: the newest held back, or else
    /// one before the start, which is then the one its writer had read when it covered the start.
    fn take_piece(&mut self, piece: &Checkpoint) {
        let counts = self.top.is_none_or(|top| top == piece.epoch);
        let next = self.pieces.last().map_or(0, |last| last.piece + 1);
        let covers = piece.covers == self.covers || !self.rules.keep(Rule::CheckpointCovers);
        if covers && counts && piece.piece == next {
            self.pieces.push(piece.clone());
        }
    }
}
