//! Parts of long messages from handsets until they are whole. Knows which belong together; the rows that keep them are the
//! store's.

use std::collections::{BTreeMap, HashMap};

use model::Timestamp;
use store::InboundPart;
use wire::reassembly::join_text;
use wire::tpdu::UserData;

use crate::outcome::Inbound;

/// Parts kept of one partition; one more goes on alone.
const PARTS_MAX: usize = 65_536;

/// A part, and the message it came as.
pub(super) struct Kept {
    pub(super) row: InboundPart,
    pub(super) inbound: Inbound,
    pub(super) from: String,
    pub(super) total: u8,
    pub(super) user_data: UserData,
}

/// The parts of one partition.
#[derive(Default)]
pub(super) struct Parts {
    waiting: HashMap<[u8; 16], BTreeMap<u8, Kept>>,
    count: usize,
}

/// What became of a part.
pub(super) enum Taken {
    /// Others are missing; it is to be kept.
    Waiting(InboundPart),
    /// It was here before.
    Repeated,
    /// The message is whole.
    Whole(Vec<Kept>),
}

impl Parts {
    /// Takes in a part.
    pub(super) fn take(&mut self, part: Kept) -> Taken {
        if self.count >= PARTS_MAX {
            return Taken::Whole(vec![part]);
        }
        let (message, total, row) = (part.row.message, part.total, part.row.clone());
        let waiting = self.waiting.entry(message).or_default();
        match waiting.get(&row.number) {
            // A replay: it is put again, which changes nothing.
            Some(known) if known.row.offset == row.offset => return Taken::Waiting(row),
            Some(_) => return Taken::Repeated,
            None => drop(waiting.insert(row.number, part)),
        }
        self.count += 1;
        if waiting.len() < usize::from(total) {
            return Taken::Waiting(row);
        }
        Taken::Whole(self.forget(&message))
    }

    /// Takes out what has waited since before a moment, message by message.
    pub(super) fn overdue(&mut self, before: Timestamp) -> Vec<Vec<Kept>> {
        let is_over = |parts: &BTreeMap<u8, Kept>| parts.values().any(|part| part.row.at < before);
        let over: Vec<[u8; 16]> =
            self.waiting.iter().filter(|(_, parts)| is_over(parts)).map(|(message, _)| *message).collect();
        over.iter().map(|message| self.forget(message)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn forget(&mut self, message: &[u8; 16]) -> Vec<Kept> {
        let parts = self.waiting.remove(message).unwrap_or_default();
        self.count -= parts.len();
        parts.into_values().collect()
    }
}

/// The text of a message from its parts, in order; what is missing shows as `[…]`. `None` where one is no text.
pub(super) fn text(parts: &[Kept]) -> Option<String> {
    let total = parts.first()?.total;
    if parts.len() == usize::from(total) {
        let user_data: Vec<UserData> = parts.iter().map(|part| part.user_data.clone()).collect();
        return join_text(&user_data);
    }
    let mut text = String::new();
    for number in 1..=total {
        match parts.iter().find(|part| part.row.number == number) {
            Some(part) => text.push_str(&part.user_data.text()?),
            None if text.ends_with("[\u{2026}]") => {}
            None => text.push_str("[\u{2026}]"),
        }
    }
    Some(text)
}
