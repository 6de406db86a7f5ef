//! Counts what a broker has in its logs.
//!
//! Knows the files of a broker's data folder and the record batches in them (magic 2 of Kafka's message format); must not
//! know what records say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::{AboutFile, Result};

const BATCH_HEAD_BYTES: usize = 61;
/// Bytes of a batch before those its length counts.
const BEFORE_LENGTH_ENDS: usize = 12;
const MAGIC: u8 = 2;
/// Attributes: a transaction's marker, not a record of anybody's.
const CONTROL: u16 = 0x20;
const COMPRESSION: u16 = 0x07;

/// What is in a topic, over all its partitions and once, however many copies there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Batches of records.
    pub batches: u64,
    /// Records.
    pub records: u64,
    /// What `inside` said of their values, added up.
    pub inside: u64,
    /// Transactions' markers.
    pub markers: u64,
    /// Bytes of all of it.
    pub bytes: u64,
}

impl Count {
    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            batches: self.batches.saturating_sub(before.batches),
            records: self.records.saturating_sub(before.records),
            inside: self.inside.saturating_sub(before.inside),
            markers: self.markers.saturating_sub(before.markers),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }

    fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.records += other.records;
        self.inside += other.inside;
        self.markers += other.markers;
        self.bytes += other.bytes;
    }
}

/// Counts by topic what the broker with this data folder holds. It may go on writing: a batch that is not whole yet is left
/// out. Values that are compressed are not looked into.
///
/// # Errors
/// A file cannot be read.
pub fn count(data: &Path, inside: impl Fn(&[u8]) -> u64) -> Result<BTreeMap<String, Count>> {
    let mut topics: BTreeMap<String, Count> = BTreeMap::new();
    for partition in fs::read_dir(data).about("list", data)? {
        let folder = partition.about("list", data)?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((topic, index)) = name.rsplit_once('-') else { continue };
        if index.parse::<u32>().is_err() || !folder.is_dir() {
            continue; // being deleted, or no partition
        }
        for file in fs::read_dir(&folder).about("list", &folder)? {
            let path = file.about("list", &folder)?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let bytes = fs::read(&path).about("read", &path)?;
                topics.entry(topic.to_owned()).or_default().add(of_segment(&bytes, &inside));
            }
        }
    }
    Ok(topics)
}

fn of_segment(mut rest: &[u8], inside: &impl Fn(&[u8]) -> u64) -> Count {
    let mut count = Count::default();
    while let Some(length) = batch_bytes(rest) {
        let (batch, after) = rest.split_at(length);
        rest = after;
        count.bytes += length as u64;
        let (attributes, records) = (number::<2>(batch, 21) as u16, number::<4>(batch, 57));
        if attributes & CONTROL != 0 {
            count.markers += 1;
            continue;
        }
        count.batches += 1;
        count.records += records;
        if attributes & COMPRESSION == 0 {
            count.inside += values(&batch[BATCH_HEAD_BYTES..]).map(inside).sum::<u64>();
        }
    }
    count
}

/// The length of the batch that begins here, if it is whole.
fn batch_bytes(rest: &[u8]) -> Option<usize> {
    if rest.len() < BATCH_HEAD_BYTES || rest[16] != MAGIC {
        return None;
    }
    let length = BEFORE_LENGTH_ENDS + number::<4>(rest, 8) as usize;
    (BATCH_HEAD_BYTES..=rest.len()).contains(&length).then_some(length)
}

fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + BYTES].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The values of the records of a batch; a record is its length, and in it attributes, two deltas, a key and a value.
fn values(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let (mut record, after) = rest.split_at_checked(length)?;
        rest = after;
        record = record.get(1..)?;
        varint(&mut record)?;
        varint(&mut record)?;
        let key = usize::try_from(varint(&mut record)?).unwrap_or(0); // -1: none
        record = record.get(key..)?;
        let value = usize::try_from(varint(&mut record)?).unwrap_or(0);
        record.get(..value)
    })
}

/// A number in seven bits a byte, zigzag.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7F).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(attributes: u16, values: &[&str]) -> Vec<u8> {
        let mut records = Vec::new();
        for value in values {
            let mut record = vec![0, 0, 0, 1]; // no attributes, no deltas, no key
            record.push(u8::try_from(value.len() * 2).unwrap());
            record.extend(value.as_bytes());
            record.push(0); // no headers
            records.push(u8::try_from(record.len() * 2).unwrap());
            records.extend(record);
        }
        let mut bytes = vec![0; BATCH_HEAD_BYTES];
        bytes[16] = MAGIC;
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[57..61].copy_from_slice(&u32::try_from(values.len()).unwrap().to_be_bytes());
        bytes.extend(records);
        let length = u32::try_from(bytes.len() - BEFORE_LENGTH_ENDS).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn whole_batches_are_counted_and_looked_into() {
        let data = tempfile::tempdir().unwrap();
        for (folder, bytes) in [
            ("a.events-0", [batch(0x10, &["xx", "yyy"]), batch(CONTROL, &["marker"]), batch(0, &["z"])].concat()),
            ("a.events-1", batch(0, &["z"])),
            ("a.events-2.0123-delete", batch(0, &["gone"])),
        ] {
            let folder = data.path().join(folder);
            fs::create_dir(&folder).unwrap();
            let torn = &batch(0, &["torn"])[..70];
            fs::write(folder.join("00.log"), [&bytes[..], torn].concat()).unwrap();
            fs::write(folder.join("00.index"), "x").unwrap();
        }
        let found = count(data.path(), |value| value.len() as u64).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a.events"]);
        let events = found["a.events"];
        assert_eq!((events.batches, events.records, events.inside, events.markers), (3, 4, 7, 1));
        assert_eq!(events.since(events), Count::default());
    }

    #[test]
    fn numbers_are_zigzag() {
        let read = |bytes: &[u8]| varint(&mut &bytes[..]);
        assert_eq!([read(&[0]), read(&[1]), read(&[2]), read(&[0x80, 0x01])], [0, -1, 1, 64].map(Some));
        assert_eq!(read(&[0x80]), None);
    }
}
