//! What the journal knows of attempts: a log with one block a write, and what is alive behind its last block. Knows how blocks
//! are written, read and replaced; must not know what becomes of an attempt.
//!
//! What is written is applied by the same code that reads it again after a restart. When the log has grown, the write at hand
//! begins it anew with what is alive.

use std::collections::BTreeMap;

use super::*;

/// The log is begun anew when it has grown by so much, and by more than a few times what was alive.
const GROWTH_OCTETS_MIN: usize = 4 * 1024 * 1024;
const GROWTH_TIMES: usize = 4;

/// Attempts of the journal.
#[derive(Debug, Default)]
pub(super) struct Log {
    live: BTreeMap<Attempt, Live>,
    /// Octets written since it was begun anew, and how many it had then.
    grown: usize,
    anew: usize,
}

/// An attempt that was begun and not forgotten.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Live {
    pub(super) partition: PartitionId,
    pub(super) by: By,
    pub(super) references: Vec<u32>,
    pub(super) outcome: Option<Outcome>,
}

/// A log that does not read as it was written.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("a block cannot be read")]
    Block(#[from] prost::DecodeError),
    #[error("an entry names no attempt")]
    Attempt,
    #[error("an entry says nothing")]
    Empty,
    #[error("a name cannot be read")]
    Name(#[from] model::ParseIdError),
    #[error("an attempt is begun twice")]
    BegunTwice,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Block {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Item>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(bytes = "vec", tag = "1")]
    delivery: Vec<u8>,
    #[prost(uint32, tag = "2")]
    number: u32,
    #[prost(oneof = "What", tags = "3, 4, 5, 6")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(message, tag = "3")]
    Begun(Begun),
    /// The references of the parts that were sent.
    #[prost(message, tag = "4")]
    Part(References),
    #[prost(message, tag = "5")]
    Ended(Outcome),
    #[prost(bool, tag = "6")]
    Forgotten(bool),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Begun {
    #[prost(string, tag = "1")]
    route: String,
    #[prost(uint32, tag = "2")]
    partition: u32,
    #[prost(string, tag = "3")]
    link: String,
    #[prost(string, tag = "4")]
    imsi: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct References {
    #[prost(uint32, repeated, tag = "1")]
    references: Vec<u32>,
}

impl Log {
    /// Reads the log.
    ///
    /// # Errors
    /// A block is damaged: nothing is skipped.
    pub(super) fn read(tx: &Transaction<'_>) -> rusqlite::Result<Self> {
        let mut log = Self::default();
        let mut blocks = tx.prepare("SELECT block FROM attempt_log ORDER BY number")?;
        let mut rows = blocks.query([])?;
        while let Some(row) = rows.next()? {
            let octets: Vec<u8> = row.get(0)?;
            log.replay(&octets).map_err(|error| schema::broken(0, error))?;
        }
        Ok(log)
    }

    /// Adds one block. After an error the log is not what the file says, and must not be used again.
    pub(super) fn write(&mut self, tx: &Transaction<'_>, items: Vec<LogItem>) -> rusqlite::Result<()> {
        let block = Block { items: items.into_iter().map(|item| item.0).collect() };
        let octets = model::octets(&block);
        self.apply(block).map_err(unwritable)?;
        self.grown += octets.len();
        if self.grown > GROWTH_OCTETS_MIN.max(GROWTH_TIMES * self.anew) {
            return self.write_anew(tx);
        }
        tx.prepare_cached("INSERT INTO attempt_log (block) VALUES (?1)")?.execute([octets]).map(drop)
    }

    /// Replaces the log by what is alive.
    pub(super) fn write_anew(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let items = self.live.iter().flat_map(|(attempt, live)| live.items(attempt)).collect();
        let octets = model::octets(&Block { items });
        (self.grown, self.anew) = (0, octets.len());
        tx.prepare_cached("DELETE FROM attempt_log")?.execute([])?;
        tx.prepare_cached("INSERT INTO attempt_log (block) VALUES (?1)")?.execute([octets]).map(drop)
    }

    /// Takes in what an earlier build kept in another way.
    pub(super) fn adopt(&mut self, attempt: Attempt, live: Live) {
        self.live.insert(attempt, live);
    }

    /// What is begun gets this outcome.
    pub(super) fn end_all(&mut self, outcome: impl Fn(&Live) -> Outcome) {
        for live in self.live.values_mut().filter(|live| live.outcome.is_none()) {
            live.outcome = Some(outcome(live));
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = (&Attempt, &Live)> {
        self.live.iter()
    }

    fn replay(&mut self, octets: &[u8]) -> Result<(), LogError> {
        self.grown += octets.len();
        self.apply(Block::decode(octets)?)
    }

    fn apply(&mut self, block: Block) -> Result<(), LogError> {
        block.items.into_iter().try_for_each(|item| {
            let delivery = DeliveryId::from_bytes(&item.delivery).ok_or(LogError::Attempt)?;
            self.apply_to(Attempt { delivery, number: item.number }, item.what.ok_or(LogError::Empty)?)
        })
    }

    /// The first outcome stays; only what has one is forgotten.
    fn apply_to(&mut self, attempt: Attempt, what: What) -> Result<(), LogError> {
        let live = self.live.get_mut(&attempt);
        match (what, live) {
            (What::Begun(_), Some(_)) => return Err(LogError::BegunTwice),
            (What::Begun(begun), None) => drop(self.live.insert(attempt, begun.try_into()?)),
            (What::Part(References { references }), Some(live)) => live.references = references,
            (What::Ended(outcome), Some(live)) => drop(live.outcome.get_or_insert(outcome)),
            (What::Forgotten(_), Some(live)) if live.outcome.is_some() => drop(self.live.remove(&attempt)),
            (What::Part(_) | What::Ended(_) | What::Forgotten(_), _) => {}
        }
        Ok(())
    }
}

/// An entry as the log has it.
pub(super) struct LogItem(Item);

impl LogItem {
    pub(super) fn begun(attempt: &Attempt, partition: &PartitionId, by: By) -> Self {
        let (route, link) = (partition.route.to_string(), by.link.to_string());
        Self::of(attempt, What::Begun(Begun { route, partition: partition.index, link, imsi: by.imsi }))
    }

    pub(super) fn part(attempt: &Attempt, references: Vec<u32>) -> Self {
        Self::of(attempt, What::Part(References { references }))
    }

    pub(super) fn ended(attempt: &Attempt, outcome: Outcome) -> Self {
        Self::of(attempt, What::Ended(outcome))
    }

    pub(super) fn forgotten(attempt: &Attempt) -> Self {
        Self::of(attempt, What::Forgotten(true))
    }

    fn of(attempt: &Attempt, what: What) -> Self {
        let delivery = attempt.delivery.to_bytes().to_vec();
        Self(Item { delivery, number: attempt.number, what: Some(what) })
    }
}

impl Live {
    fn items(&self, attempt: &Attempt) -> impl Iterator<Item = Item> + use<> {
        let begun = LogItem::begun(attempt, &self.partition, self.by.clone());
        let part = (!self.references.is_empty()).then(|| LogItem::part(attempt, self.references.clone()));
        let ended = self.outcome.clone().map(|outcome| LogItem::ended(attempt, outcome));
        [Some(begun), part, ended].into_iter().flatten().map(|item| item.0)
    }
}

impl TryFrom<Begun> for Live {
    type Error = LogError;

    fn try_from(begun: Begun) -> Result<Self, LogError> {
        let partition = PartitionId { route: RouteId::new(&begun.route)?, index: begun.partition };
        let by = By { link: LinkName::new(&begun.link)?, imsi: begun.imsi };
        Ok(Self { partition, by, references: Vec::new(), outcome: None })
    }
}

fn unwritable(error: LogError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
