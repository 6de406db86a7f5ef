//! What stands in lane `dead-letter`: records nobody can read, as they came, and what became of them. Knows their bytes, not
//! how they are mended.
//!
//! A letter is open until somebody replays it (it goes back where it came from, to be read by a build that can) or ends its
//! delivery. That is written into the lane itself, in one step with what follows, so a letter is replayed once. One operator
//! at a time: two may both find a letter open.

use std::collections::BTreeSet;

use bus::{Acks, Bus, BusError, Consumed, Entry, Group};
use bytes::Bytes;
use model::event::Event;
use model::record::{Account, Header, Record};
use model::{Lane, State, Timestamp};
use prost::Message as _;

use crate::outcome::{Kind, OutcomeEntry};
use crate::step;

/// Whoever looks after the dead letters: what is below its watermark was replayed or ended, and may be trimmed.
pub const OPERATOR: Group = Group::new("operator");

/// The lane has one partition: letters are few.
const PARTITION: u32 = 0;
/// Entries read at a time.
const READ_MAX: usize = 512;
/// Letters dealt with in one step.
const STEP_MAX: usize = 256;

/// A record that could not be read, kept until somebody replays or ends its deliveries; or the word that this was done.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeadLetter {
    /// The lane it stood in.
    #[prost(string, tag = "1")]
    pub lane: String,
    /// The partition.
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// The offset; below 0 it came from the schedule.
    #[prost(int64, tag = "3")]
    pub offset: i64,
    /// Why it can't be read, for people.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// Its header, or as much of it as the record tells, if that can be read.
    #[prost(message, optional, tag = "5")]
    pub header: Option<Header>,
    /// The record as it came.
    #[prost(bytes = "bytes", tag = "6")]
    pub payload: Bytes,
    /// When it was put here (UTC ms).
    #[prost(int64, tag = "7")]
    pub at_ms: i64,
    /// Letters that were replayed or ended: then this is no letter.
    #[prost(int64, repeated, tag = "8")]
    pub done: Vec<i64>,
}

/// Where a record came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: u32,
    /// The offset; below 0 for what stood in the schedule.
    pub offset: i64,
}

/// An open letter, as it is listed.
#[derive(Clone, PartialEq, Debug)]
pub struct Letter {
    /// What it is replayed or ended by: its place in lane `dead-letter`.
    pub offset: i64,
    /// The letter.
    pub letter: DeadLetter,
}

/// A page of the open letters.
#[derive(Clone, PartialEq, Debug)]
pub struct Page {
    /// In the order in which they came.
    pub letters: Vec<Letter>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<i64>,
}

/// What went wrong with dead letters. What was done before stays done.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// The lane could not be read.
    #[error("the dead letters could not be read")]
    Read(#[source] BusError),
    /// The step could not be written. It happened whole or not at all: list again.
    #[error("the dead letters could not be replayed or ended")]
    Write(#[source] BusError),
    /// There is no such letter, or it was replayed or ended before.
    #[error("there is no open dead letter at offset `{offset}`")]
    NotOpen {
        /// What was named.
        offset: i64,
    },
    /// It came from a lane nobody knows.
    #[error("the dead letter at offset `{offset}` came from lane `{lane}`, which this build does not know")]
    Lane {
        /// The letter.
        offset: i64,
        /// Where it came from.
        lane: String,
    },
}

/// Lists open letters from an offset on (0: all), at most `max`.
///
/// # Errors
/// [`LetterError::Read`].
pub async fn list<B: Bus>(bus: &B, from: i64, max: usize) -> Result<Page, LetterError> {
    let desk = Letters::open(bus).await?;
    let mut letters = Vec::new();
    for offset in desk.open.range(from..) {
        if letters.len() >= max {
            return Ok(Page { letters, next: Some(*offset) });
        }
        letters.push(desk.fetch(*offset).await?);
    }
    Ok(Page { letters, next: None })
}

/// Puts letters back where they came from, at its end, for whoever reads there to try again. Returns how many.
///
/// # Errors
/// [`LetterError`].
pub async fn replay<B: Bus>(bus: &B, offsets: &[i64]) -> Result<usize, LetterError> {
    deal(bus, offsets, |letter| {
        let unknown = || LetterError::Lane { offset: letter.offset, lane: letter.letter.lane.clone() };
        let lane = Lane::from_name(&letter.letter.lane).ok_or_else(unknown)?;
        let payload = again(&lane, &letter.letter.payload);
        Ok(Some((lane, Entry::to_partition(letter.letter.partition, payload))))
    })
    .await
}

/// Ends the deliveries of letters as failed. One that does not tell its delivery is only put aside. Returns how many
/// letters were dealt with.
///
/// # Errors
/// [`LetterError`].
pub async fn end<B: Bus>(bus: &B, offsets: &[i64], reason: &str, now: Timestamp) -> Result<usize, LetterError> {
    deal(bus, offsets, |letter| {
        let header = letter.letter.header.as_ref().filter(|header| header.id().is_ok() && header.tenant().is_ok());
        Ok(header.map(|header| step::entry(header, header.attempt, now, step::ended(State::Failed, reason))))
    })
    .await
}

/// Deals with letters, in steps: what follows from each, and the word that it is done, together.
async fn deal<B: Bus>(
    bus: &B,
    offsets: &[i64],
    follow: impl Fn(&Letter) -> Result<Option<(Lane, Entry)>, LetterError>,
) -> Result<usize, LetterError> {
    let mut desk = Letters::open(bus).await?;
    let wanted: BTreeSet<i64> = offsets.iter().copied().collect();
    if let Some(offset) = wanted.iter().find(|offset| !desk.open.contains(offset)) {
        return Err(LetterError::NotOpen { offset: *offset });
    }
    let wanted: Vec<i64> = wanted.into_iter().collect();
    for step in wanted.chunks(STEP_MAX) {
        let mut appended = Vec::with_capacity(step.len() + 1);
        for offset in step {
            appended.extend(follow(&desk.fetch(*offset).await?)?);
        }
        desk.done(step, appended).await?;
    }
    Ok(wanted.len())
}

/// The lane, and which letters of it are open.
struct Letters<'a, B> {
    bus: &'a B,
    open: BTreeSet<i64>,
    /// The offset after the last entry looked at.
    end: i64,
}

impl<'a, B: Bus> Letters<'a, B> {
    async fn open(bus: &'a B) -> Result<Self, LetterError> {
        let lane = Lane::DeadLetter;
        let end = bus.bounds(&lane, PARTITION).await.map_err(LetterError::Read)?.next;
        let mut from = bus.watermark(OPERATOR, &lane, PARTITION).await.map_err(LetterError::Read)?;
        let (mut open, mut done) = (BTreeSet::new(), BTreeSet::new());
        // Offsets have gaps: there may be no letter in between, and no read would return.
        let any = bus.lag(OPERATOR, &lane, PARTITION).await.map_err(LetterError::Read)? > 0;
        while any && from < end {
            for read in bus.read(&lane, PARTITION, from, READ_MAX).await.map_err(LetterError::Read)? {
                from = read.offset + 1;
                let word = DeadLetter::decode(read.payload).map(|letter| letter.done).unwrap_or_default();
                if word.is_empty() {
                    open.insert(read.offset);
                } else {
                    done.extend(word);
                }
            }
        }
        open.retain(|offset| !done.contains(offset));
        Ok(Letters { bus, open, end })
    }

    async fn fetch(&self, offset: i64) -> Result<Letter, LetterError> {
        let reads = self.bus.fetch(&Lane::DeadLetter, PARTITION, &[offset]).await.map_err(LetterError::Read)?;
        let read = reads.into_iter().next().ok_or(LetterError::NotOpen { offset })?;
        let (at, payload) = (read.at, read.payload);
        // A letter that can't be read either was written by a later build.
        let letter = DeadLetter::decode(payload.clone()).unwrap_or_else(|error| DeadLetter {
            reason: format!("the letter itself can't be read: {error}"),
            payload,
            at_ms: at.0,
            ..DeadLetter::default()
        });
        Ok(Letter { offset, letter })
    }

    async fn done(&mut self, offsets: &[i64], mut appended: Vec<(Lane, Entry)>) -> Result<(), LetterError> {
        let word = DeadLetter { done: offsets.to_vec(), ..DeadLetter::default() };
        appended.push((Lane::DeadLetter, Entry::to_partition(PARTITION, word.encode_to_vec())));
        let mut open = self.open.clone();
        open.retain(|offset| !offsets.contains(offset));
        let acks = Acks::UpTo(open.first().copied().unwrap_or(self.end));
        let consumed = Consumed { group: OPERATOR, lane: Lane::DeadLetter, partition: PARTITION, acks };
        self.bus.commit(vec![consumed], appended).await.map_err(LetterError::Write)?;
        self.open = open;
        Ok(())
    }
}

/// The entry for a record of this origin. Its key is its message, if that can be read.
#[must_use]
pub fn entry(origin: &Origin, payload: Bytes, reason: String, at: Timestamp) -> (Lane, Entry) {
    let header = header_of(&origin.lane, &payload);
    let key = header.as_ref().map(|header| header.message.clone()).unwrap_or_default();
    let letter = DeadLetter {
        lane: origin.lane.to_string(),
        partition: origin.partition,
        offset: origin.offset,
        reason,
        header,
        payload,
        at_ms: at.0,
        done: Vec::new(),
    };
    (Lane::DeadLetter, Entry::new(key, letter.encode_to_vec()))
}

/// The header of what stood in this lane, or as much of it as can be read.
fn header_of(lane: &Lane, payload: &Bytes) -> Option<Header> {
    match lane {
        Lane::Accepted | Lane::Front(_) | Lane::Bulk(_) => Some(Record::decode(payload.clone()).ok()?.header),
        Lane::Outcomes => match OutcomeEntry::read(payload.clone()).ok()? {
            Kind::Fact(fact) => {
                let header = Record::decode(fact.envelope).ok()?.header;
                Some(Header { attempt: fact.attempt, ..header })
            }
            Kind::Receipt(_) | Kind::Inbound(_) | Kind::Fetched(_) | Kind::Reported(_) => None,
        },
        Lane::Events => {
            let event = Event::decode(payload.clone()).ok()?;
            let account = Account { tenant: event.tenant, ..Account::default() };
            let Event { message, delivery, deliveries, attempt, segments, .. } = event;
            Some(Header { account, message, delivery, deliveries, attempt, segments, ..Header::default() })
        }
        Lane::Leases(_)
        | Lane::Inbox
        | Lane::Mail
        | Lane::Hooks
        | Lane::Reports
        | Lane::Changes
        | Lane::DeadLetter
        | Lane::Loads => None,
    }
}

/// A record as it is put back. In lane `accepted` it must not be taken for a repeat of itself.
fn again(lane: &Lane, payload: &Bytes) -> Bytes {
    match (lane, Record::read(payload.clone())) {
        (Lane::Accepted, Ok(mut record)) => {
            record.header.replayed = true;
            record.to_bytes()
        }
        _ => payload.clone(),
    }
}
