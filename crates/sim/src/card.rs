//! What the network knows of one SIM: its message reference, long messages half received, and what it has still to
//! hand to the modem. Does no I/O: says what to write down as [`Entry`] and is restored from that.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    fmt,
};

use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use wire::{
    tpdu::{Submit, UserData, from_hex, to_hex},
    udh::{Concatenation, Header},
};

/// Long messages half received that are kept for one SIM; the oldest gives way.
const PARTIALS_MAX: usize = 1_000;
/// Deliveries of one kind that wait for one SIM; the service centre gives up the oldest.
const WAITING_MAX: usize = 100_000;
/// How long the rest of a long message is waited for.
const PARTIAL_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// One thing to be remembered about a SIM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A message was taken from the SIM.
    Taken {
        /// TP-MR the network gave it.
        reference: u8,
        /// When.
        at: i64,
        /// The TPDU, where it is a part of a longer message.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        part: Option<Tpdu>,
        /// What is to be reported of it.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        reports: Vec<Delivery>,
    },
    /// A message for the SIM came.
    Came(Delivery),
    /// These deliveries are with the modem's owner.
    Done(Vec<u64>),
    /// The tries that are left for the SIM's codes.
    Lock(Lock),
}

/// The tries that are left for a SIM's codes. The SIM itself remembers them over power cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// For the PIN; 0 asks for the PUK.
    pub pin_tries: u8,
    /// For the PUK; 0 is the end of the SIM.
    pub puk_tries: u8,
}

impl Default for Lock {
    fn default() -> Self {
        Self { pin_tries: 3, puk_tries: 10 }
    }
}

/// Something the network has to hand to the modem.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Its own number, per SIM.
    pub id: u64,
    /// Not before this moment.
    pub due: i64,
    /// What it is.
    pub kind: DeliveryKind,
    /// The TPDU.
    pub tpdu: Tpdu,
}

/// The octets of a TPDU; hexadecimal in an entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Tpdu(pub Vec<u8>);

/// Shows the size: it has numbers and texts.
impl fmt::Debug for Tpdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tpdu({} octets)", self.0.len())
    }
}

impl Serialize for Tpdu {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Tpdu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        from_hex(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

/// What is handed to a modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// SMS-STATUS-REPORT.
    Report,
    /// SMS-DELIVER.
    Message,
}

/// What became of a message the network took.
#[derive(Clone, PartialEq, Eq)]
pub struct Taken {
    /// TP-MR the network gave it.
    pub reference: u8,
    /// The whole text, if this message made it whole and it is text.
    pub text: Option<String>,
    /// What to write down.
    pub entry: Entry,
}

/// One SIM as the network sees it.
#[derive(Debug)]
pub struct Card {
    reference: u8,
    next_id: u64,
    lock: Lock,
    partials: VecDeque<Partial>,
    /// By kind; then by the moment they are due, then in order.
    waiting: [BTreeMap<(i64, u64), Delivery>; 2],
    /// With the modem, but not surely with its owner.
    handed: BTreeMap<u64, Delivery>,
}

/// A long message half received.
struct Partial {
    to: String,
    place: Concatenation,
    began: i64,
    parts: BTreeMap<u8, Vec<u8>>,
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partial({} of {})", self.parts.len(), self.place.total)
    }
}

impl Card {
    /// A SIM nobody has used, whose count begins after `reference`.
    pub fn new(reference: u8) -> Self {
        Self {
            reference,
            next_id: 1,
            lock: Lock::default(),
            partials: VecDeque::new(),
            waiting: Default::default(),
            handed: BTreeMap::new(),
        }
    }

    /// Applies what was written down once, in its order.
    pub fn restore(&mut self, entries: Vec<Entry>) {
        let mut open = BTreeMap::new();
        for entry in entries {
            match entry {
                Entry::Taken { reference, at, part, reports } => {
                    self.reference = reference;
                    if let Some((tpdu, submit)) =
                        part.and_then(|Tpdu(tpdu)| Submit::decode(&tpdu).ok().map(|submit| (tpdu, submit)))
                    {
                        self.join(&submit, &tpdu, at);
                    }
                    open.extend(reports.into_iter().map(|report| (report.id, report)));
                }
                Entry::Came(delivery) => drop(open.insert(delivery.id, delivery)),
                Entry::Done(ids) => ids.iter().for_each(|id| drop(open.remove(id))),
                Entry::Lock(lock) => self.lock = lock,
            }
        }
        open.into_values().for_each(|delivery| self.wait(delivery));
    }

    /// The fewest entries that restore this SIM.
    pub fn snapshot(&self) -> Vec<Entry> {
        let taken = |at, part| Entry::Taken { reference: self.reference, at, part, reports: Vec::new() };
        let parts = self.partials.iter().flat_map(|partial| partial.parts.values().map(|part| (partial.began, part)));
        let mut entries: Vec<Entry> = parts.map(|(at, part)| taken(at, Some(Tpdu(part.clone())))).collect();
        entries.push(taken(0, None));
        entries.push(Entry::Lock(self.lock));
        let waiting = self.waiting.iter().flat_map(BTreeMap::values);
        entries.extend(waiting.chain(self.handed.values()).cloned().map(Entry::Came));
        entries
    }

    /// The tries that are left.
    pub fn lock(&self) -> Lock {
        self.lock
    }

    /// Changes the tries that are left.
    pub fn set_lock(&mut self, lock: Lock) -> Entry {
        self.lock = lock;
        Entry::Lock(lock)
    }

    /// The reference the next message gets.
    pub fn next_reference(&self) -> u8 {
        self.reference.wrapping_add(1)
    }

    /// Takes a message from the SIM under `reference`, with what is to be reported of it: due times and TPDUs.
    pub fn take(
        &mut self,
        submit: &Submit,
        tpdu: &[u8],
        reference: u8,
        reports: Vec<(i64, Vec<u8>)>,
        now: Timestamp,
    ) -> Taken {
        self.reference = reference;
        let is_part = place_of(submit).is_some();
        let text = if is_part { self.join(submit, tpdu, now.0) } else { submit.user_data.text() };
        let reports: Vec<Delivery> =
            reports.into_iter().map(|(due, tpdu)| self.number(due, DeliveryKind::Report, tpdu)).collect();
        reports.iter().cloned().for_each(|report| self.wait(report));
        let entry = Entry::Taken { reference, at: now.0, part: is_part.then(|| Tpdu(tpdu.to_vec())), reports };
        Taken { reference, text, entry }
    }

    /// Takes a message for the SIM.
    pub fn come(&mut self, tpdu: Vec<u8>, now: Timestamp) -> Entry {
        let delivery = self.number(now.0, DeliveryKind::Message, tpdu);
        self.wait(delivery.clone());
        Entry::Came(delivery)
    }

    /// Hands the first delivery of a kind that is due to the modem. It stays remembered until [`Card::done`].
    pub fn hand_due(&mut self, kind: DeliveryKind, now: Timestamp) -> Option<Delivery> {
        let first = self.waiting[kind as usize].first_entry()?;
        if first.key().0 > now.0 {
            return None;
        }
        let delivery = first.remove();
        self.handed.insert(delivery.id, delivery.clone());
        Some(delivery)
    }

    /// Hands over the report of the message with this reference that was made last, due or not.
    pub fn hand_report_of(&mut self, reference: u8) -> Option<Delivery> {
        let reports = &mut self.waiting[DeliveryKind::Report as usize];
        let its = reports.iter().filter(|(_, report)| report.tpdu.0.get(1) == Some(&reference));
        let key = *its.max_by_key(|(key, _)| key.1)?.0;
        let report = reports.remove(&key)?;
        self.handed.insert(report.id, report.clone());
        Some(report)
    }

    /// When the next delivery of a kind is due.
    pub fn next_due(&self, kind: DeliveryKind) -> Option<Timestamp> {
        self.waiting[kind as usize].first_key_value().map(|(key, _)| Timestamp(key.0))
    }

    /// A delivery is with the modem's owner.
    pub fn done(&mut self, ids: &[u64]) -> Option<Entry> {
        ids.iter().for_each(|id| drop(self.handed.remove(id)));
        (!ids.is_empty()).then(|| Entry::Done(ids.to_vec()))
    }

    /// A delivery did not reach the modem's owner after all.
    pub fn take_back(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some(delivery) = self.handed.remove(id) {
                self.wait(delivery);
            }
        }
    }

    fn number(&mut self, due: i64, kind: DeliveryKind, tpdu: Vec<u8>) -> Delivery {
        let id = self.next_id;
        self.next_id += 1;
        Delivery { id, due, kind, tpdu: Tpdu(tpdu) }
    }

    fn wait(&mut self, delivery: Delivery) {
        self.next_id = self.next_id.max(delivery.id + 1);
        let waiting = &mut self.waiting[delivery.kind as usize];
        waiting.insert((delivery.due, delivery.id), delivery);
        if waiting.len() > WAITING_MAX {
            waiting.pop_first();
        }
    }

    /// Adds a part; returns the whole text if this one made it whole and it is text.
    fn join(&mut self, submit: &Submit, tpdu: &[u8], now: i64) -> Option<String> {
        let place = place_of(submit)?;
        let to = submit.destination.to_text();
        let same = |partial: &Partial| {
            partial.to == to && partial.place.reference == place.reference && partial.place.total == place.total
        };
        self.partials.retain(|partial| now - partial.began < PARTIAL_MS_MAX);
        let index = self.partials.iter().position(same).unwrap_or_else(|| {
            if self.partials.len() == PARTIALS_MAX {
                self.partials.pop_front();
            }
            self.partials.push_back(Partial { to: to.clone(), place, began: now, parts: BTreeMap::new() });
            self.partials.len() - 1
        });
        self.partials[index].parts.insert(place.number, tpdu.to_vec());
        if self.partials[index].parts.len() < usize::from(place.total) {
            return None;
        }
        self.partials.remove(index).and_then(|whole| whole.text())
    }
}

impl Partial {
    /// The text of all parts. UTF-16 is joined before it is read: a pair may be cut between two parts.
    fn text(&self) -> Option<String> {
        let parts: Option<Vec<UserData>> =
            self.parts.values().map(|tpdu| Submit::decode(tpdu).ok().map(|submit| submit.user_data)).collect();
        let parts = parts?;
        let units: Option<Vec<&[u16]>> = parts.iter().map(UserData::units).collect();
        match units {
            Some(units) => Some(String::from_utf16_lossy(&units.concat())),
            None => parts.iter().map(UserData::text).collect(),
        }
    }
}

fn place_of(submit: &Submit) -> Option<Concatenation> {
    submit.user_data.header().and_then(Header::part)
}

#[cfg(test)]
mod tests {
    use wire::{
        tpdu::{Address, Outgoing, Report, submits},
        udh::Reference,
    };

    use super::*;

    fn parts(text: &str) -> Vec<Submit> {
        let to = Address::number("+4915112345678").unwrap();
        let reference = Reference::Narrow(7);
        submits(&Outgoing { text, to, reference, report: Report::Wanted, validity: None }).unwrap()
    }

    fn take(card: &mut Card, submit: &Submit) -> Taken {
        let reference = card.next_reference();
        card.take(submit, &submit.encode().unwrap(), reference, vec![(50, vec![6, reference])], Timestamp(1))
    }

    #[test]
    fn references_wrap() {
        let mut card = Card::new(254);
        let submit = &parts("hello")[0];
        assert_eq!(take(&mut card, submit).reference, 255);
        let taken = take(&mut card, submit);
        assert_eq!((taken.reference, taken.text.as_deref()), (0, Some("hello")));
    }

    #[test]
    fn everything_survives_a_restart() {
        let text = "😀".repeat(80);
        let parts = parts(&text);
        let mut card = Card::new(0);
        let mut entries: Vec<Entry> = parts[1..].iter().map(|part| take(&mut card, part).entry).collect();
        entries.push(card.come(vec![4], Timestamp(3)));
        let report = card.hand_due(DeliveryKind::Report, Timestamp(60)).unwrap();
        entries.extend(card.done(&[report.id]));

        entries.push(card.set_lock(Lock { pin_tries: 2, puk_tries: 10 }));

        let mut again = Card::new(99);
        again.restore(entries);
        assert_eq!(again.snapshot(), card.snapshot());
        let mut compacted = Card::new(99);
        compacted.restore(card.snapshot());
        assert_eq!(compacted.snapshot(), card.snapshot());
        assert_eq!(take(&mut compacted, &parts[0]).text, Some(text));
        assert!(compacted.partials.is_empty());
    }

    #[test]
    fn what_was_handed_over_in_vain_waits_again() {
        let mut card = Card::new(0);
        take(&mut card, &parts("x")[0]);
        let hand = |card: &mut Card, now| card.hand_due(DeliveryKind::Report, Timestamp(now));
        assert_eq!(hand(&mut card, 49), None);
        assert_eq!(card.next_due(DeliveryKind::Report), Some(Timestamp(50)));
        assert_eq!(card.next_due(DeliveryKind::Message), None);
        let report = hand(&mut card, 50).unwrap();
        assert_eq!(hand(&mut card, 50), None);
        card.take_back(&[report.id]);
        assert_eq!(hand(&mut card, 50), Some(report));
    }
}
