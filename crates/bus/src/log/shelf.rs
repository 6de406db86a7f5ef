//! The segments and what is in them: writes frames, finds blocks, lets go of what nobody needs. Knows files and books, no lane.

mod cut;

pub(super) use cut::Cut;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::block::Raw;
use super::books::{Books, Extent, Seat};
use super::frame::{self, BlockRow, Head, PREFIX, Place, Prefix};
use super::partition::lock;
use super::segment::{self, FIRST, Segment};
use crate::LogError;

/// Octets of a segment.
pub(super) const SEGMENT_BYTES: u64 = 16 << 20;
/// Files that wait to be written over.
const SPARES_MAX: usize = 4;
/// Segments whose blocks are remembered after they were looked up.
const INDEXES_MAX: usize = 8;
/// Segments there must be before entries are moved to get rid of one.
const SEGMENTS_WIDE: usize = 4;
/// A segment is emptied when this part of it, at most, is still needed.
const LIVE_PART: u64 = 4;
/// Octets that are moved in one frame.
const MOVE_BYTES_MAX: usize = 1 << 20;

/// Where a block stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: i64,
    next: i64,
    at_ms: i64,
    sum: u64,
    bytes: u32,
    place: u64,
}

/// The blocks of a segment, by seat, in order.
#[derive(Clone, Default, Debug)]
struct Index(HashMap<Seat, Vec<Slot>>);

impl Index {
    /// Enters the blocks of a head; the first begins at `place`.
    fn enter(&mut self, head: &Head, mut place: u64) {
        for row in &head.blocks {
            let BlockRow { first, at_ms, sum, bytes, .. } = *row;
            let slots = self.0.entry(row.seat).or_default();
            let at = slots.partition_point(|slot| slot.first < first);
            slots.insert(at, Slot { first, next: row.next(), at_ms, sum, bytes, place });
            place += u64::from(bytes);
        }
    }

    fn from(&self, seat: Seat, offset: i64) -> &[Slot] {
        let slots = self.0.get(&seat).map_or(&[][..], Vec::as_slice);
        &slots[slots.partition_point(|slot| slot.next <= offset)..]
    }
}

/// The segments. Written by one thread, read by any.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    segment_bytes: u64,
    /// A spare file is being filled.
    filling: Arc<AtomicBool>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    books: Books,
    segments: BTreeMap<u64, Arc<Segment>>,
    /// Of the segment that is written.
    index: Index,
    looked_up: VecDeque<(u64, Arc<Index>)>,
}

/// Where the next frame goes. There is one.
#[derive(Debug)]
pub(super) struct Pen {
    segment: Arc<Segment>,
    at: u64,
    sequence: u64,
    /// A write failed: what is on the disk is not known any more, so nothing more is written.
    broken: bool,
}

impl Shelf {
    /// Opens the segments of a folder, and makes the first if there are none.
    pub(super) fn open(folder: &Path, segment_bytes: u64) -> Result<(Self, Pen), LogError> {
        let at = |source| LogError::io("open", folder, source);
        std::fs::create_dir_all(folder).map_err(at)?;
        let found = super::recover::recover(folder)?;
        let shelf = |books, segments| {
            let inner = Inner { books, segments, index: Index::default(), looked_up: VecDeque::new() };
            Shelf { folder: folder.to_owned(), segment_bytes, filling: Arc::default(), inner: Mutex::new(inner) }
        };
        let Some(found) = found else {
            let shelf = shelf(Books::default(), BTreeMap::new());
            let snapshot = Books::default().snapshot();
            let segment = shelf.make(FIRST, &snapshot, 0)?;
            let pen = shelf.begin(segment, &snapshot, 0)?;
            return Ok((shelf, pen));
        };
        let last = found.segments.last_key_value().map(|(_, segment)| Arc::clone(segment)).expect("there is one");
        // A torn frame must not be taken for one when the next goes into another file.
        if found.end + PREFIX as u64 <= last.bytes() {
            let wiped = last.write(found.end, &[0; PREFIX]);
            wiped.map_err(|source| LogError::io("write", &last.path, source))?;
        }
        let pen = Pen { segment: last, at: found.end, sequence: found.sequence, broken: false };
        let shelf = shelf(found.books, found.segments);
        let index = shelf.look_through(&pen.segment, pen.at)?;
        lock(&shelf.inner).index = index;
        shelf.fill_ahead();
        Ok((shelf, pen))
    }

    /// What a partition holds.
    pub(super) fn extent(&self, seat: Seat) -> Option<Extent> {
        lock(&self.inner).books.extent(seat).cloned()
    }

    /// The lanes there are.
    pub(super) fn lanes(&self) -> Vec<frame::LaneRow> {
        lock(&self.inner).books.lanes.clone()
    }

    pub(super) fn next_seat(&self) -> Seat {
        lock(&self.inner).books.next_seat()
    }

    /// Writes a frame with these blocks and syncs. A failure to make the file of a new segment leaves everything as it was;
    /// after any other nothing is written any more.
    pub(super) fn write(&self, pen: &mut Pen, head: &Head, bodies: &[&[u8]]) -> Result<(), LogError> {
        if pen.broken {
            return Err(LogError::Broken { path: pen.segment.path.clone() });
        }
        let bytes = frame::length(head);
        if pen.at + bytes > pen.segment.bytes() {
            let snapshot = lock(&self.inner).books.snapshot();
            let segment = self.make(pen.segment.number + 1, &snapshot, bytes)?;
            self.turn_over(pen, segment, &snapshot)?;
        }
        self.put(pen, head, bodies)
    }

    /// Makes the file of a segment with room for this snapshot and a frame of so many octets.
    fn make(&self, number: u64, snapshot: &Head, bytes: u64) -> Result<Arc<Segment>, LogError> {
        let room = self.segment_bytes.max(frame::length(snapshot) + bytes);
        let made = Segment::make(&self.folder, number, room);
        Ok(Arc::new(made.map_err(|source| LogError::io("make a segment in", &self.folder, source))?))
    }

    /// Goes on in a new segment. If that fails, it may yet be begun on the disk, and the one before must not be continued.
    fn turn_over(&self, pen: &mut Pen, segment: Arc<Segment>, snapshot: &Head) -> Result<(), LogError> {
        match self.begin(segment, snapshot, pen.sequence) {
            Ok(next) => *pen = next,
            Err(error) => {
                pen.broken = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Begins a segment with what is known beside the entries.
    fn begin(&self, segment: Arc<Segment>, snapshot: &Head, sequence: u64) -> Result<Pen, LogError> {
        let number = segment.number;
        let mut pen = Pen { segment: Arc::clone(&segment), at: 0, sequence, broken: false };
        let place = Place { segment: number, sequence: sequence + 1 };
        let octets = frame::encode(place, snapshot, std::iter::empty());
        segment.write(0, &octets).map_err(|source| LogError::io("begin", &segment.path, source))?;
        (pen.at, pen.sequence) = (octets.len() as u64, place.sequence);
        let mut inner = lock(&self.inner);
        inner.segments.insert(number, segment);
        let index = std::mem::take(&mut inner.index);
        inner.look_up_later(number.saturating_sub(1), Arc::new(index));
        drop(inner);
        self.fill_ahead();
        Ok(pen)
    }

    /// Lets a thread of its own fill the file that is needed next. If it can't, whoever needs the file hears why.
    fn fill_ahead(&self) {
        if self.filling.swap(true, Ordering::Relaxed) {
            return;
        }
        let (folder, bytes, filling) = (self.folder.clone(), self.segment_bytes, Arc::clone(&self.filling));
        let fill = move || {
            if let Err(error) = segment::fill_ahead(&folder, bytes) {
                tracing::debug!(%error, "no file could be filled ahead");
            }
            filling.store(false, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("lanes-fill".into()).spawn(fill).is_err() {
            self.filling.store(false, Ordering::Relaxed);
        }
    }

    fn put(&self, pen: &mut Pen, head: &Head, bodies: &[&[u8]]) -> Result<(), LogError> {
        let place = Place { segment: pen.segment.number, sequence: pen.sequence + 1 };
        let octets = frame::encode(place, head, bodies.iter().copied());
        if let Err(source) = pen.segment.write(pen.at, &octets) {
            pen.broken = true;
            return Err(LogError::io("write", &pen.segment.path, source));
        }
        let blocks: u64 = head.blocks.iter().map(|row| u64::from(row.bytes)).sum();
        let mut inner = lock(&self.inner);
        inner.books.enter(head, place.segment).expect("what is written follows what is known");
        inner.index.enter(head, pen.at + octets.len() as u64 - blocks);
        (pen.at, pen.sequence) = (pen.at + octets.len() as u64, place.sequence);
        Ok(())
    }

    /// Blocks of a partition as they are on the disk, from the one that holds `from`, until they hold `max` entries from there
    /// on or `bytes_max`. Ends early where one is missing.
    pub(super) fn blocks(&self, seat: Seat, from: i64, max: usize, bytes_max: usize) -> Result<Vec<Raw>, LogError> {
        let (mut at, mut bytes, mut found) = (from, 0, Vec::new());
        let end = from.saturating_add(i64::try_from(max).unwrap_or(i64::MAX));
        while at < end && bytes < bytes_max {
            let Some(raw) = self.block(seat, at)? else { break };
            bytes += raw.frame.len();
            at = raw.next;
            found.push(raw);
        }
        Ok(found)
    }

    /// The block that holds an offset, as it is on the disk.
    pub(super) fn block(&self, seat: Seat, offset: i64) -> Result<Option<Raw>, LogError> {
        let Some((segment, slot)) = self.find(seat, offset)? else { return Ok(None) };
        let Slot { first, next, at_ms, sum, bytes, place } = slot;
        let frame =
            segment.read(place, bytes as usize).map_err(|source| LogError::io("read", &segment.path, source))?;
        Ok(Some(Raw { first, next, at_ms, sum, frame: Bytes::from(frame) }))
    }

    /// Where the block is that has an offset. Whoever holds its segment keeps the file from being written over, also when its
    /// entries are moved meanwhile.
    fn find(&self, seat: Seat, offset: i64) -> Result<Option<(Arc<Segment>, Slot)>, LogError> {
        let slot_of = |index: &Index| index.from(seat, offset).first().copied().filter(|slot| slot.first <= offset);
        let inner = lock(&self.inner);
        let number = inner.books.extent(seat).and_then(|extent| extent.segment_of(offset));
        let Some(segment) = number.and_then(|number| inner.segments.get(&number)).cloned() else { return Ok(None) };
        let known = match inner.segments.last_key_value() {
            Some((last, _)) if *last == segment.number => Some(&inner.index),
            _ => inner.looked_up.iter().find(|(number, _)| *number == segment.number).map(|(_, index)| index.as_ref()),
        };
        if let Some(index) = known {
            return Ok(slot_of(index).map(|slot| (segment, slot)));
        }
        drop(inner);
        let index = Arc::new(self.look_through(&segment, segment.bytes())?);
        let slot = slot_of(&index);
        lock(&self.inner).look_up_later(segment.number, index);
        Ok(slot.map(|slot| (segment, slot)))
    }

    /// The blocks of a segment, by its heads.
    fn look_through(&self, segment: &Segment, end: u64) -> Result<Index, LogError> {
        let mut index = Index::default();
        let mut at = 0;
        while let Some(found) = Found::at(segment, at)?.filter(|_| at < end) {
            index.enter(&found.head, found.blocks_at);
            at = found.end;
        }
        Ok(index)
    }

    /// Lets go of entries before these offsets: files that hold nothing else, and, if one at the front holds little else, that
    /// after its rest was moved, a bounded number of octets at a time.
    ///
    /// Returns the octets that each partition does not keep any more.
    pub(super) fn trim(&self, pen: &mut Pen, firsts: &[(Seat, i64)]) -> Result<Vec<u64>, LogError> {
        let freed = {
            let mut inner = lock(&self.inner);
            firsts.iter().map(|(seat, first)| inner.books.trim(*seat, *first)).collect()
        };
        self.retire(pen)?;
        let moving = {
            let inner = lock(&self.inner);
            let oldest = inner.segments.values().next().filter(|_| inner.segments.len() > SEGMENTS_WIDE).cloned();
            oldest.filter(|oldest| inner.books.live(oldest.number) <= oldest.bytes() / LIVE_PART)
        };
        if let Some(oldest) = moving {
            self.move_some(pen, &oldest)?;
            drop(oldest);
            self.retire(pen)?;
        }
        Ok(freed)
    }

    fn retire(&self, pen: &Pen) -> Result<(), LogError> {
        loop {
            let mut inner = lock(&self.inner);
            let Some((&number, _)) = inner.segments.first_key_value() else { return Ok(()) };
            if number == pen.segment.number || inner.books.live(number) > 0 {
                return Ok(());
            }
            let segment = inner.segments.remove(&number).expect("it was there");
            inner.looked_up.retain(|(other, _)| *other != number);
            drop(inner);
            let path = segment.path.clone();
            let gone = match Arc::try_unwrap(segment) {
                Ok(segment) => segment.retire(&self.folder, SPARES_MAX, self.segment_bytes),
                // Somebody reads it: what is read must not be written over.
                Err(_) => std::fs::remove_file(&path),
            };
            gone.map_err(|source| LogError::io("let go of", &path, source))?;
        }
    }

    /// Writes the first blocks of a segment that are still needed again.
    fn move_some(&self, pen: &mut Pen, from: &Segment) -> Result<(), LogError> {
        let index = self.look_through(from, from.bytes())?;
        let (mut head, mut bodies, mut bytes) = (Head::default(), Vec::new(), 0);
        {
            let inner = lock(&self.inner);
            let slots = index.0.iter().flat_map(|(seat, slots)| slots.iter().map(|slot| (*seat, *slot)));
            for (seat, slot) in slots {
                let needed = inner.books.extent(seat).is_some_and(|extent| {
                    slot.next > extent.first && extent.segment_of(slot.next - 1) == Some(from.number)
                });
                if !needed || bytes > MOVE_BYTES_MAX {
                    continue;
                }
                let Slot { first, at_ms, sum, .. } = slot;
                let count = u32::try_from(slot.next - first).expect("a block's entries are bounded");
                head.blocks.push(BlockRow { seat, first, count, at_ms, bytes: slot.bytes, sum });
                bytes += slot.bytes as usize;
                bodies.push(slot);
            }
        }
        if bodies.is_empty() {
            return Ok(());
        }
        let read = |slot: &Slot| from.read(slot.place, slot.bytes as usize);
        let read: std::io::Result<Vec<Vec<u8>>> = bodies.iter().map(read).collect();
        let read = read.map_err(|source| LogError::io("read", &from.path, source))?;
        let bodies: Vec<&[u8]> = read.iter().map(Vec::as_slice).collect();
        self.write(pen, &head, &bodies)
    }
}

impl Inner {
    fn look_up_later(&mut self, number: u64, index: Arc<Index>) {
        if self.looked_up.len() == INDEXES_MAX {
            self.looked_up.pop_front();
        }
        self.looked_up.push_back((number, index));
    }
}

/// A frame that was found.
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) head: Head,
    pub(super) blocks_at: u64,
    pub(super) end: u64,
}

impl Found {
    /// The frame at this place of a segment, if a whole head of this segment is there.
    pub(super) fn at(segment: &Segment, at: u64) -> Result<Option<Self>, LogError> {
        let failed = |source| LogError::io("read", &segment.path, source);
        let octets = segment.read(at, PREFIX).map_err(failed)?;
        let prefix = octets.first_chunk().and_then(Prefix::read);
        let Some(prefix) = prefix.filter(|prefix| prefix.place.segment == segment.number) else { return Ok(None) };
        let octets = segment.read(at, prefix.up_to_blocks()).map_err(failed)?;
        let Some(head) =
            Some(octets).filter(|octets| octets.len() == prefix.up_to_blocks()).and_then(|o| frame::decode(&o))
        else {
            return Ok(None);
        };
        let blocks_at = at + prefix.up_to_blocks() as u64;
        let bytes: u64 = head.blocks.iter().map(|row| u64::from(row.bytes)).sum();
        Ok(Some(Found { place: prefix.place, head, blocks_at, end: blocks_at + bytes }))
    }

    /// Whether all its blocks are what was written.
    pub(super) fn is_whole(&self, segment: &Segment) -> Result<bool, LogError> {
        let mut at = self.blocks_at;
        for row in &self.head.blocks {
            let read = segment.read(at, row.bytes as usize);
            let octets = read.map_err(|source| LogError::io("read", &segment.path, source))?;
            if octets.len() != row.bytes as usize
                || super::block::sum(row.seat, row.first, row.at_ms, &octets) != row.sum
            {
                return Ok(false);
            }
            at += u64::from(row.bytes);
        }
        Ok(true)
    }

    /// The next frame of this segment at or after a place, wherever it begins.
    pub(super) fn after(segment: &Segment, mut at: u64, sequence: u64) -> Result<Option<u64>, LogError> {
        const STEP: usize = 1 << 20;
        while at < segment.bytes() {
            let octets = segment.read(at, STEP).map_err(|source| LogError::io("read", &segment.path, source))?;
            let starts = memchr::memmem::find_iter(&octets, &frame::MAGIC).filter_map(|start| {
                let prefix = Prefix::read(octets.get(start..)?.first_chunk()?)?;
                (prefix.place.segment == segment.number && prefix.place.sequence > sequence).then_some(start as u64)
            });
            for start in starts {
                if Found::at(segment, at + start)?.is_some() {
                    return Ok(Some(at + start));
                }
            }
            // The next step begins where a prefix might have been cut.
            at += (octets.len().saturating_sub(PREFIX - 1)).max(1) as u64;
        }
        Ok(None)
    }
}

/// Whether a folder holds segments.
pub(super) fn is_there(folder: &Path) -> bool {
    segment::list(folder).is_ok_and(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full when the first frame is written, after the file was made.
    #[test]
    fn nothing_is_written_after_a_segment_that_could_not_be_begun() {
        let folder = tempfile::tempdir().unwrap();
        let (shelf, mut pen) = Shelf::open(folder.path(), 4_096).unwrap();
        let snapshot = lock(&shelf.inner).books.snapshot();
        let full = Segment::open(FIRST + 1, PathBuf::from("/dev/full")).unwrap();
        assert!(matches!(shelf.turn_over(&mut pen, Arc::new(full), &snapshot), Err(LogError::Io { .. })));
        assert!(matches!(shelf.write(&mut pen, &Head::default(), &[]), Err(LogError::Broken { .. })));
    }
}
