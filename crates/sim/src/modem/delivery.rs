//! How what comes for the SIM reaches the owner: stored, announced or handed over directly, as `+CNMI` says.

use model::Timestamp;
use wire::tpdu::{Address, to_hex, with_service_centre};

use super::{Event, Mode, OUT_OCTETS_MAX, SimModem, storage::Memory};
use crate::{
    card::{Delivery, DeliveryKind, Entry},
    fault::{Fault, Occasion},
};

/// How much later than due a delivery may be: on a busy port it goes with the next answer and wakes nobody.
const DELIVERY_SLACK_MS: i64 = 10;

/// How a delivery goes to the owner.
enum Way {
    Direct,
    Stored(Memory),
    Held,
}

const KINDS: [DeliveryKind; 2] = [DeliveryKind::Report, DeliveryKind::Message];

impl SimModem {
    /// Takes a message for the SIM.
    pub fn come(&mut self, tpdu: Vec<u8>, now: Timestamp) {
        let entry = self.card.come(tpdu, now);
        self.events.push_back(Event::Remember(entry));
        self.deliver(now);
    }

    /// Whether something was handed over directly of which it is not sure that the owner read it.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// The port is empty: the owner has read everything. What was unread at the last such call too counts as kept; what
    /// came since may be with an owner that dies before it has kept it, and is then handed over again. With `+CSMS=1`
    /// only an acknowledgement counts.
    pub fn port_was_read(&mut self) -> Option<Entry> {
        if self.settings.service == 1 {
            return None;
        }
        let kept: Vec<u64> = self.unread.drain(..self.unread_before).collect();
        self.unread_before = self.unread.len();
        self.card.done(&kept)
    }

    /// `AT+CNMA`: the oldest direct delivery is with the owner.
    pub(super) fn acknowledge(&mut self) -> bool {
        if self.unread.is_empty() {
            return false;
        }
        let id = self.unread.remove(0);
        self.unread_before = self.unread_before.saturating_sub(1);
        self.done(&[id]);
        true
    }

    /// These deliveries are with the owner.
    pub(super) fn done(&mut self, ids: &[u64]) {
        self.events.extend(self.card.done(ids).map(Event::Remember));
    }

    pub(super) fn next_delivery(&self) -> Option<Timestamp> {
        if self.out.len() >= OUT_OCTETS_MAX {
            return None;
        }
        let wanted = KINDS.into_iter().filter(|kind| !matches!(self.way(*kind), Way::Held));
        wanted.filter_map(|kind| self.card.next_due(kind)).min().map(|due| due.plus_ms(DELIVERY_SLACK_MS))
    }

    /// Hands over what is due and can be handed over.
    pub(super) fn deliver(&mut self, now: Timestamp) {
        for kind in KINDS {
            while matches!(self.mode, Mode::Command) && self.out.len() < OUT_OCTETS_MAX {
                let way = self.way(kind);
                if matches!(way, Way::Held) {
                    break;
                }
                let Some(delivery) = self.card.hand_due(kind, now) else { break };
                match way {
                    Way::Stored(memory) => self.store(delivery, memory),
                    _ => self.hand_over(delivery),
                }
            }
        }
    }

    /// Hands over the report of the message just taken, due or not.
    pub(super) fn hand_report_now(&mut self, reference: u8) {
        if !matches!(self.way(DeliveryKind::Report), Way::Direct) {
            return;
        }
        if let Some(report) = self.card.hand_report_of(reference) {
            self.hand_over(report);
        }
    }

    fn way(&self, kind: DeliveryKind) -> Way {
        let routing = self.settings.routing;
        let direct = if self.listening && routing.mode > 0 { Way::Direct } else { Way::Held };
        let stored = |memory| if self.storage.has_room(memory) { Way::Stored(memory) } else { Way::Held };
        if !self.unlocked {
            return Way::Held;
        }
        match (kind, routing.reports, routing.messages) {
            (DeliveryKind::Report, 0, _) => Way::Held,
            (DeliveryKind::Report, 1, _) | (DeliveryKind::Message, _, 2 | 3) => direct,
            (DeliveryKind::Report, ..) => stored(self.profile.stored_reports),
            (DeliveryKind::Message, ..) => stored(self.storage.selected[2]),
        }
    }

    fn hand_over(&mut self, delivery: Delivery) {
        let length = delivery.tpdu.0.len();
        let announced = match delivery.kind {
            DeliveryKind::Report => format!("+CDS: {length}\r\n{}", self.digits(&delivery.tpdu.0)),
            DeliveryKind::Message => format!("+CMT: ,{length}\r\n{}", self.digits(&delivery.tpdu.0)),
        };
        self.say(&announced);
        self.unread.push(delivery.id);
    }

    fn store(&mut self, delivery: Delivery, memory: Memory) {
        let (name, occasion) = match delivery.kind {
            DeliveryKind::Report => ("+CDSI", Occasion::StoredReport),
            DeliveryKind::Message => ("+CMTI", Occasion::Inbound),
        };
        let faults = self.strike(occasion);
        if faults.contains(&Fault::InboundNowhere) {
            self.done(&[delivery.id]);
            return self.say("+CMTI: ,-1");
        }
        let index = self.storage.store(memory, delivery.tpdu.0, delivery.id).expect("the way was chosen for its room");
        let routing = self.settings.routing;
        let announced = delivery.kind == DeliveryKind::Report || routing.messages == 1;
        if !(announced && self.listening && routing.mode > 0) {
            return;
        }
        if faults.contains(&Fault::StoredReportTrap) {
            self.say("+CDSI: \"SM\",0");
        } else {
            self.say(&format!("{name}: \"{}\",{index}", memory.name()));
        }
    }

    /// A TPDU behind the service centre's address, in digits.
    pub(super) fn digits(&self, tpdu: &[u8]) -> String {
        let centre = Address::number(&self.settings.service_centre).ok();
        to_hex(&with_service_centre(tpdu, centre.as_ref()))
    }
}
