//! The memories of a modem: SM on the SIM, ME in the device, SR for status reports. Knows no command.

use std::collections::BTreeMap;

/// A memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Sim,
    Device,
    Reports,
}

/// What lies in a slot.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) tpdu: Vec<u8>,
    pub(super) unread: bool,
    /// The delivery the network remembers until this slot is emptied.
    pub(super) delivery: u64,
}

/// All memories, and which of them commands mean.
#[derive(Debug)]
pub(super) struct Storage {
    slots: [BTreeMap<u16, Slot>; 3],
    slots_max: u16,
    /// `+CPMS`: for reading, for writing, for what comes in.
    pub(super) selected: [Memory; 3],
}

impl Memory {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sim => "SM",
            Self::Device => "ME",
            Self::Reports => "SR",
        }
    }

    /// `MT` is the device and the SIM together on real modems; here it is the device.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "SM" => Some(Self::Sim),
            "ME" | "MT" => Some(Self::Device),
            "SR" => Some(Self::Reports),
            _ => None,
        }
    }
}

impl Storage {
    pub(super) fn new(slots_max: u16) -> Self {
        Self { slots: Default::default(), slots_max, selected: [Memory::Sim; 3] }
    }

    pub(super) fn slots_max(&self) -> u16 {
        self.slots_max
    }

    pub(super) fn used(&self, memory: Memory) -> usize {
        self.slots[memory as usize].len()
    }

    /// Puts a TPDU into the first free slot, or gives `None` where there is none. Slots count from 1.
    pub(super) fn store(&mut self, memory: Memory, tpdu: Vec<u8>, delivery: u64) -> Option<u16> {
        let slots = &mut self.slots[memory as usize];
        let index = (1..=self.slots_max).find(|index| !slots.contains_key(index))?;
        slots.insert(index, Slot { tpdu, unread: true, delivery });
        Some(index)
    }

    pub(super) fn has_room(&self, memory: Memory) -> bool {
        self.used(memory) < usize::from(self.slots_max)
    }

    /// Reads one slot of the memory for reading; what was unread is read from then on.
    pub(super) fn read(&mut self, index: u16) -> Option<Slot> {
        let slot = self.slots[self.selected[0] as usize].get_mut(&index)?;
        let before = slot.clone();
        slot.unread = false;
        Some(before)
    }

    /// Reads all slots of the memory for reading that `wanted` says yes to.
    pub(super) fn list(&mut self, wanted: impl Fn(&Slot) -> bool) -> Vec<(u16, Slot)> {
        let slots = &mut self.slots[self.selected[0] as usize];
        let listed: Vec<(u16, Slot)> =
            slots.iter().filter(|(_, slot)| wanted(slot)).map(|(index, slot)| (*index, slot.clone())).collect();
        listed.iter().for_each(|(index, _)| slots.get_mut(index).expect("it was just listed").unread = false);
        listed
    }

    /// Empties one slot of the memory for reading; gives the delivery it held.
    pub(super) fn delete(&mut self, index: u16) -> Option<u64> {
        self.slots[self.selected[0] as usize].remove(&index).map(|slot| slot.delivery)
    }

    /// Empties all slots of the memory for reading that `wanted` says yes to; gives the deliveries they held.
    pub(super) fn delete_all(&mut self, wanted: impl Fn(&Slot) -> bool) -> Vec<u64> {
        let slots = &mut self.slots[self.selected[0] as usize];
        let deliveries = slots.values().filter(|slot| wanted(slot)).map(|slot| slot.delivery).collect();
        slots.retain(|_, slot| !wanted(slot));
        deliveries
    }
}
