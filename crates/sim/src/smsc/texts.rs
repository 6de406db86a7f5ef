//! Parts that become whole texts again. Knows headers and codings.

use std::collections::{BTreeMap, VecDeque};

use wire::smpp::{DefaultCoding, Message, Tag};
use wire::udh::{Header, Reference};

/// Texts of which parts are missing; the oldest gives way.
const UNFINISHED_MAX: usize = 10_000;

/// What the parts of a text share: account, sender, recipient, reference, number of parts.
type Key = (String, String, String, u32, u8);

/// Texts of which parts are missing.
#[derive(Debug, Default)]
pub(super) struct Texts {
    unfinished: BTreeMap<Key, BTreeMap<u8, String>>,
    order: VecDeque<Key>,
}

impl Texts {
    /// The whole text, if this message makes it whole; `None` also for what is no text.
    pub(super) fn add(&mut self, account: &str, message: &Message) -> Option<String> {
        let octets = message.text_octets();
        let (part, body) = match message.esm_class & Message::UDH {
            0 => (sar(message), octets),
            _ => {
                let (header, taken) = Header::decode(octets).ok()?;
                let part = header.part().map(|part| {
                    let reference = match part.reference {
                        Reference::Narrow(reference) => u32::from(reference),
                        Reference::Wide(reference) => u32::from(reference) | 1 << 16,
                    };
                    (reference, part.total, part.number)
                });
                (part, &octets[taken..])
            }
        };
        let text = DefaultCoding::Gsm7.of_data_coding(message.data_coding).decode(body)?;
        match part {
            Some((reference, total, number)) if total > 1 => {
                let (from, to) = (message.source.text.clone(), message.destination.text.clone());
                self.add_part((account.to_owned(), from, to, reference, total), number, text)
            }
            _ => Some(text),
        }
    }

    fn add_part(&mut self, key: Key, number: u8, text: String) -> Option<String> {
        if !self.unfinished.contains_key(&key) {
            self.order.push_back(key.clone());
            if self.order.len() > UNFINISHED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.unfinished.remove(&oldest);
            }
        }
        let parts = self.unfinished.entry(key.clone()).or_default();
        parts.insert(number, text);
        if parts.len() < usize::from(key.4) {
            return None;
        }
        let whole = self.unfinished.remove(&key)?.into_values().collect();
        self.order.retain(|other| *other != key);
        Some(whole)
    }
}

fn sar(message: &Message) -> Option<(u32, u8, u8)> {
    let number = |tag| message.tlvs.number(tag);
    let small = |tag| number(tag).and_then(|number| u8::try_from(number).ok());
    Some((number(Tag::SAR_REFERENCE)? | 1 << 17, small(Tag::SAR_TOTAL)?, small(Tag::SAR_NUMBER)?))
}
