//! What messages left in the engines: records, entries, markers and bytes by topic; requests, writes and reads by table.
//!
//! Knows the engines' own counters, and how an entry stands in a record of ours; must not know what entries say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use engines::probe::cql::{self, Value};
use engines::records::{self, Count};
use serde::Serialize;

/// The keyspace and the prefix of topics of an installation under measurement.
const NAME: &str = "compare";

/// Engines whose counters are read.
pub(crate) struct Meter {
    /// The data folder of a broker that has a copy of everything.
    pub(crate) broker: PathBuf,
    pub(crate) cql: SocketAddr,
}

/// All counters at one moment.
pub(crate) struct Reading {
    topics: BTreeMap<String, Count>,
    tables: BTreeMap<String, Table>,
    requests: i64,
    bytes: Option<u64>,
}

/// What was asked of a table.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Table {
    /// Partitions written: a batch of rows of one partition is one.
    pub(crate) writes: i64,
    /// Partitions read.
    pub(crate) reads: i64,
}

/// What a run left, per message.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) tables: BTreeMap<String, PerTable>,
    /// Requests of all our processes to the database, those of the loader's looks at the ledger among them.
    pub(crate) cql_requests: f64,
    /// Bytes our processes sent to the database, if the machine can tell (`ss`).
    pub(crate) cql_bytes: Option<f64>,
}

/// A topic's part, per message.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Topic {
    /// What a lane calls entries: what would be a record each, were there no blocks.
    pub(crate) entries: f64,
    pub(crate) records: f64,
    /// Transactions' markers.
    pub(crate) markers: f64,
    /// Bytes in the log of one broker.
    pub(crate) bytes: f64,
}

/// A table's part, per message.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct PerTable {
    pub(crate) writes: f64,
    pub(crate) reads: f64,
}

impl Meter {
    pub(crate) fn read(&self) -> anyhow::Result<Reading> {
        let topics = records::count(&self.broker, entries).context("cannot count the brokers' records")?;
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        for (table, writes) in self.by_table("local_write_latency")? {
            tables.entry(table).or_default().writes = writes;
        }
        for (table, reads) in self.by_table("local_read_latency")? {
            tables.entry(table).or_default().reads = reads;
        }
        let clients = cql::query(self.cql, "SELECT driver_name, request_count FROM system_views.clients")?;
        // Our own question comes from a client without a name.
        let requests = clients.iter().filter_map(|row| match row.as_slice() {
            [Value::Text(_), Value::Number(count)] => Some(count),
            _ => None,
        });
        Ok(Reading { topics, tables, requests: requests.sum(), bytes: self.bytes_received() })
    }

    fn by_table(&self, view: &str) -> anyhow::Result<Vec<(String, i64)>> {
        let rows = cql::query(self.cql, &format!("SELECT keyspace_name, table_name, count FROM system_views.{view}"))?;
        let counted = rows.into_iter().filter_map(|row| match row.as_slice() {
            [Value::Text(keyspace), Value::Text(table), Value::Number(count)] if keyspace == NAME => {
                Some((table.clone(), *count))
            }
            _ => None,
        });
        Ok(counted.collect())
    }

    /// Bytes the database took in over the connections that are open, as the kernel counts them.
    fn bytes_received(&self) -> Option<u64> {
        let filter = format!("( sport = :{} )", self.cql.port());
        let output = Command::new("ss").args(["-tinH", "state", "established", &filter]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let counts = text.split_ascii_whitespace().filter_map(|word| word.strip_prefix("bytes_received:"));
        Some(counts.filter_map(|count| count.parse::<u64>().ok()).sum())
    }
}

impl Reading {
    /// What came since `before`, for each of so many messages.
    pub(crate) fn since(&self, before: &Self, messages: u64) -> Cost {
        let each = |count: f64| count / messages.max(1) as f64;
        let topic = |(name, count): (&String, &Count)| {
            let count = count.since(before.topics.get(name).copied().unwrap_or_default());
            let [entries, records, markers, bytes] =
                [count.inside, count.records, count.markers, count.bytes].map(|count| each(count as f64));
            let name = name.strip_prefix(NAME).and_then(|name| name.strip_prefix('.')).unwrap_or(name);
            (name.to_owned(), Topic { entries, records, markers, bytes })
        };
        let table = |(name, now): (&String, &Table)| {
            let was = before.tables.get(name).copied().unwrap_or_default();
            let (writes, reads) = (each((now.writes - was.writes) as f64), each((now.reads - was.reads) as f64));
            (name.clone(), PerTable { writes, reads })
        };
        let bytes = self.bytes.zip(before.bytes).map(|(now, was)| each(now.saturating_sub(was) as f64));
        Cost {
            topics: self.topics.iter().map(topic).filter(|(_, topic)| topic.bytes > 0.0).collect(),
            tables: self.tables.iter().map(table).filter(|(_, table)| table.writes + table.reads > 0.0).collect(),
            cql_requests: each((self.requests - before.requests) as f64),
            cql_bytes: bytes,
        }
    }
}

/// Entries in a record's value: a block of ours is three bytes and a protobuf message whose field 1 is one entry each.
fn entries(value: &[u8]) -> u64 {
    const MAGIC: [u8; 3] = [0xCA, 0xB1, 1];
    const ENTRY: u8 = 1 << 3 | 2;
    let Some(mut rest) = value.strip_prefix(&MAGIC) else { return 0 };
    let mut count = 0;
    while let Some(after) = rest.strip_prefix(&[ENTRY]) {
        let Some((length, after)) = length(after) else { break };
        let Some(after) = after.get(length..) else { break };
        (count, rest) = (count + 1, after);
    }
    count
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0).filter(|last| *last < 5)?;
    let length = bytes[..=last].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F));
    Some((length, &bytes[last + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_block_are_counted() {
        let mut block = vec![0xCA, 0xB1, 1, 0x0A, 2, b'a', b'b', 0x0A, 0];
        assert_eq!(entries(&block), 2);
        block.extend([0x0A, 0x80, 0x01]);
        block.extend([b'x'; 128]);
        assert_eq!(entries(&block), 3);
        assert_eq!(entries(&block[..20]), 2, "torn");
        assert_eq!(entries(b"somebody else's"), 0);
    }

    #[test]
    fn a_run_costs_what_came_since() {
        let reading = |records, writes, requests| Reading {
            topics: [("compare.events".to_owned(), Count { records, bytes: records, ..Count::default() })].into(),
            tables: [("ledger".to_owned(), Table { writes, reads: 0 })].into(),
            requests,
            bytes: None,
        };
        let cost = reading(110, 7, 30).since(&reading(10, 5, 10), 10);
        assert!((cost.topics["events"].records - 10.0).abs() < 1e-9);
        assert!((cost.tables["ledger"].writes - 0.2).abs() < 1e-9);
        assert!((cost.cql_requests - 2.0).abs() < 1e-9 && cost.cql_bytes.is_none());
    }
}
