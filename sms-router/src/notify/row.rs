//! What is known of a device as octets of its row. Knows field numbers, no rule.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use model::Timestamp;
use prost::Message as _;

use super::window::{Held, Intent, Mark, Open, Package, PackageId, Window};

/// Names remembered; more are forgotten all at once, and shared anew.
const NAMES_MAX: usize = 4_096;

/// Names of resources, each kept once however many devices name it.
#[derive(Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    /// The shared name.
    pub(super) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= NAMES_MAX {
            self.0.clear();
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(int64, tag = "1")]
    born_ms: i64,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(uint32, tag = "3")]
    packages: u32,
    #[prost(int64, tag = "4")]
    applied: i64,
    #[prost(uint32, tag = "5")]
    failures: u32,
    #[prost(uint64, tag = "6")]
    failed_seq: u64,
    #[prost(message, repeated, tag = "7")]
    dirty: Vec<MarkRow>,
    #[prost(message, optional, tag = "8")]
    open: Option<OpenRow>,
    #[prost(message, optional, tag = "9")]
    held: Option<HeldRow>,
    #[prost(int64, optional, tag = "10")]
    syncing_ms: Option<i64>,
    #[prost(message, optional, tag = "11")]
    intent: Option<IntentRow>,
    #[prost(message, repeated, tag = "12")]
    told: Vec<PackageRow>,
    #[prost(int64, optional, tag = "13")]
    gone_ms: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MarkRow {
    #[prost(string, tag = "1")]
    resource: String,
    #[prost(int64, tag = "2")]
    changed_ms: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OpenRow {
    #[prost(int64, tag = "1")]
    opened_ms: i64,
    #[prost(int64, tag = "2")]
    deadline_ms: i64,
    #[prost(uint32, tag = "3")]
    events: u32,
    #[prost(bool, tag = "4")]
    fresh: bool,
    #[prost(bool, tag = "5")]
    held_up: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HeldRow {
    #[prost(int64, optional, tag = "1")]
    until_ms: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct IntentRow {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(int64, tag = "2")]
    made_ms: i64,
    #[prost(message, required, tag = "3")]
    window: OpenRow,
    #[prost(message, repeated, tag = "4")]
    marks: Vec<MarkRow>,
    #[prost(uint32, tag = "5")]
    packages_before: u32,
    #[prost(uint32, tag = "6")]
    told_before: u32,
    #[prost(uint64, repeated, tag = "7")]
    told_by: Vec<u64>,
    #[prost(message, repeated, tag = "8")]
    supersedes: Vec<PackageIdRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PackageIdRow {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint32, tag = "2")]
    delivery: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PackageRow {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint32, tag = "2")]
    delivery: u32,
    #[prost(int64, tag = "3")]
    until_ms: i64,
    #[prost(message, repeated, tag = "4")]
    marks: Vec<MarkRow>,
}

/// The octets of a row.
pub(super) fn write(window: &Window) -> Bytes {
    let row = Row {
        born_ms: window.born.0,
        seq: window.seq,
        packages: window.packages,
        applied: window.applied,
        failures: window.failures,
        failed_seq: window.failed_seq,
        dirty: write_marks(&window.dirty),
        open: window.open.map(write_open),
        held: window.held.map(|held| HeldRow { until_ms: held.until.map(|until| until.0) }),
        syncing_ms: window.syncing.map(|since| since.0),
        intent: window.intent.as_deref().map(write_intent),
        told: window.told.iter().map(write_package).collect(),
        gone_ms: window.gone.map(|since| since.0),
    };
    row.encode_to_vec().into()
}

/// What a row says.
///
/// # Errors
/// It is no row of this build.
pub(super) fn read(octets: Bytes, names: &mut Names) -> Result<Window, prost::DecodeError> {
    let row = Row::decode(octets)?;
    Ok(Window {
        born: Timestamp(row.born_ms),
        seq: row.seq,
        packages: row.packages,
        applied: row.applied,
        failures: row.failures,
        failed_seq: row.failed_seq,
        dirty: read_marks(row.dirty, names),
        open: row.open.map(|open| read_open(&open)),
        held: row.held.map(|held| Held { until: held.until_ms.map(Timestamp) }),
        syncing: row.syncing_ms.map(Timestamp),
        intent: row.intent.map(|intent| Box::new(read_intent(intent, names))),
        told: row.told.into_iter().map(|package| read_package(package, names)).collect(),
        gone: row.gone_ms.map(Timestamp),
    })
}

fn write_marks(marks: &[Mark]) -> Vec<MarkRow> {
    let row = |mark: &Mark| MarkRow { resource: mark.resource.to_string(), changed_ms: mark.changed.0 };
    marks.iter().map(row).collect()
}

fn read_marks(rows: Vec<MarkRow>, names: &mut Names) -> Vec<Mark> {
    let mark = |row: MarkRow| Mark { resource: names.share(&row.resource), changed: Timestamp(row.changed_ms) };
    rows.into_iter().map(mark).collect()
}

fn write_open(open: Open) -> OpenRow {
    let Open { opened, deadline, events, fresh, held_up } = open;
    OpenRow { opened_ms: opened.0, deadline_ms: deadline.0, events, fresh, held_up }
}

fn read_open(row: &OpenRow) -> Open {
    let (opened, deadline) = (Timestamp(row.opened_ms), Timestamp(row.deadline_ms));
    Open { opened, deadline, events: row.events, fresh: row.fresh, held_up: row.held_up }
}

fn write_intent(intent: &Intent) -> IntentRow {
    IntentRow {
        seq: intent.seq,
        made_ms: intent.made.0,
        window: write_open(intent.window),
        marks: write_marks(&intent.marks),
        packages_before: intent.packages_before,
        told_before: intent.told_before,
        told_by: intent.told_by.clone(),
        supersedes: intent.supersedes.iter().map(|id| PackageIdRow { seq: id.seq, delivery: id.delivery }).collect(),
    }
}

fn read_intent(row: IntentRow, names: &mut Names) -> Intent {
    Intent {
        seq: row.seq,
        made: Timestamp(row.made_ms),
        window: read_open(&row.window),
        marks: read_marks(row.marks, names),
        packages_before: row.packages_before,
        told_before: row.told_before,
        told_by: row.told_by,
        supersedes: row.supersedes.iter().map(|id| PackageId { seq: id.seq, delivery: id.delivery }).collect(),
    }
}

fn write_package(package: &Package) -> PackageRow {
    let Package { id, until, marks } = package;
    PackageRow { seq: id.seq, delivery: id.delivery, until_ms: until.0, marks: write_marks(marks) }
}

fn read_package(row: PackageRow, names: &mut Names) -> Package {
    let (until, marks) = (Timestamp(row.until_ms), read_marks(row.marks, names));
    Package { id: PackageId { seq: row.seq, delivery: row.delivery }, until, marks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_all_there_is() {
        let (mut names, at) = (Names::default(), Timestamp(1_795_257_000_000));
        let marks = |names: &mut Names, of: &[&str]| -> Vec<Mark> {
            of.iter().map(|name| Mark { resource: names.share(name), changed: at }).collect()
        };
        let open = Open { opened: at, deadline: at.plus_ms(5), events: 7, fresh: true, held_up: true };
        let intent = Intent {
            seq: 9,
            made: at.plus_ms(1),
            window: open,
            marks: marks(&mut names, &["c"]),
            packages_before: 11,
            told_before: 2,
            told_by: vec![7, 8],
            supersedes: vec![PackageId { seq: 6, delivery: 1 }, PackageId { seq: 8, delivery: 0 }],
        };
        let package = Package {
            id: PackageId { seq: 8, delivery: 1 },
            until: at.plus_ms(2),
            marks: marks(&mut names, &["a", "d"]),
        };
        let window = Window {
            born: at,
            seq: 9,
            packages: 11,
            applied: 77,
            failures: 4,
            failed_seq: 6,
            dirty: marks(&mut names, &["a", "ä"]),
            open: Some(open),
            held: Some(Held { until: Some(at) }),
            syncing: Some(at),
            intent: Some(Box::new(intent)),
            told: vec![package],
            gone: Some(at),
        };
        let back = read(write(&window), &mut names).unwrap();
        assert_eq!(back, window);
        assert!(Arc::ptr_eq(&back.dirty[0].resource, &back.told[0].marks[0].resource), "a name is kept once");
        let held = Window { held: Some(Held { until: None }), ..Window::default() };
        assert_eq!(read(write(&held), &mut names).unwrap(), held);
        assert!(read(Bytes::from_static(b"\xff\xff"), &mut names).is_err());
    }
}
