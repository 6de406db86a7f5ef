//! Messages and reports that reach us: by themselves, by a notice, by a sweep of the stores. Deletes only what was released. Must not decode a TPDU beyond its kind.

use std::time::{Duration, Instant};

use super::event::{Event, Memory, Slot};
use super::fault::Fault;
use super::reply::{self, Final};
use super::session::{Session, What, fault_of};

/// Jobs that wait for the modem. What exceeds it is found by the next sweep.
const JOBS_MAX: usize = 512;
/// Slots read one by one where the modem cannot list.
const SLOTS_MAX: u16 = 255;

/// Something to do with the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Read(Slot),
    Delete(Slot),
    /// Have inbound messages delivered directly: the modem announced one that it did not store.
    RouteDirectly,
}

/// The first of two lines that belong together; the second is a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    length: usize,
    kind: Kind,
    /// Other lines that may still come between; a header whose PDU got lost must not wait for another's.
    patience: u8,
}

const PATIENCE_LINES: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inbound,
    Report,
    /// A cell broadcast: of no use to anybody here.
    Ignored,
    /// Whatever lies in a slot; its first octet tells.
    Stored(Slot),
}

impl Session {
    /// Deletes a stored message. The caller has made it durable. A slot that was not handed out is left alone.
    pub fn release(&mut self, slot: Slot, now: Instant) {
        if self.held.contains(&slot) {
            self.add_job(Job::Delete(slot));
            self.pump(now);
        }
    }

    /// Takes the second line of a pair. An unsolicited pair may stand inside a listed one, and other lines inside both.
    pub(super) fn second_line(&mut self, line: &[u8]) -> bool {
        if self.unsolicited.is_none() && self.listed.is_none() {
            return false;
        }
        let octets = reply::hex_bytes(line);
        let found = matching(&mut self.unsolicited, octets.as_deref())
            .or_else(|| matching(&mut self.listed, octets.as_deref()));
        let Some((kind, tpdu)) = found else { return false };
        self.arrived(kind, tpdu);
        true
    }

    fn arrived(&mut self, kind: Kind, tpdu: Vec<u8>) {
        let (slot, is_report) = match kind {
            Kind::Ignored => return,
            Kind::Inbound => (None, false),
            Kind::Report => (None, true),
            // 3GPP TS 23.040, 9.2.3.1: TP-MTI 2 is a status report towards the mobile.
            Kind::Stored(slot) => (Some(slot), tpdu.first().is_some_and(|octet| octet & 0b11 == 0b10)),
        };
        if let Some(slot) = slot
            && !self.held.insert(slot)
        {
            return;
        }
        self.emit(if is_report { Event::Report { tpdu, slot } } else { Event::Inbound { tpdu, slot } });
    }

    /// Takes the notices of TS 27.005: `+CMTI`, `+CDSI`, `+CMT`, `+CDS`, `+CBM`.
    pub(super) fn take_notice(&mut self, line: &[u8]) -> bool {
        if let Some(value) = reply::value_of(line, "+CMTI").or_else(|| reply::value_of(line, "+CDSI")) {
            self.stored_notice(value);
            return true;
        }
        let (kind, value) = if let Some(value) = reply::value_of(line, "+CMT") {
            (Kind::Inbound, value)
        } else if let Some(value) = reply::value_of(line, "+CDS") {
            (Kind::Report, value)
        } else if let Some(value) = reply::value_of(line, "+CBM") {
            (Kind::Ignored, value)
        } else {
            return false;
        };
        self.unsolicited = last_number(value).map(|length| Header { length, kind, patience: PATIENCE_LINES });
        true
    }

    fn stored_notice(&mut self, value: &[u8]) {
        let mut fields = reply::fields(value);
        let memory = fields.next().and_then(Memory::from_name);
        match (memory, fields.next().and_then(reply::number)) {
            (Some(memory), Some(index)) => self.add_job(Job::Read(Slot { memory, index })),
            _ => self.add_job(Job::RouteDirectly),
        }
    }

    fn add_job(&mut self, job: Job) {
        if self.jobs.len() < JOBS_MAX && !self.jobs.contains(&job) {
            self.jobs.push_back(job);
        }
    }

    /// Takes `+CMGR: stat,[alpha],length` or `+CMGL: index,stat,[alpha],length` in front of a PDU.
    pub(super) fn take_header(&mut self, what: What, line: &[u8]) -> bool {
        let (slot, value, skip) = match what {
            What::Read(slot) => (Some(slot), reply::value_of(line, "+CMGR"), 0),
            _ => (None, reply::value_of(line, "+CMGL"), 1),
        };
        let Some(value) = value else { return false };
        let index = reply::fields(value).next().and_then(reply::number);
        let slot = slot.or_else(|| Some(Slot { memory: self.current, index: index? }));
        let stat: Option<u8> = reply::fields(value).nth(skip).and_then(reply::number);
        self.listed = slot.zip(last_number(value)).map(|(slot, length)| Header {
            length,
            kind: kind_of(slot, stat),
            patience: PATIENCE_LINES,
        });
        true
    }

    /// Starts the next job, switching the store first where it must.
    pub(super) fn start_job(&mut self, now: Instant) -> bool {
        let Some(job) = self.jobs.front().copied() else { return false };
        let wait = Duration::from_secs(10);
        match job {
            Job::Read(slot) | Job::Delete(slot) if slot.memory != self.current => self.use_memory(slot.memory, now),
            Job::Read(slot) => self.command(What::Read(slot), format!("AT+CMGR={}", slot.index).as_bytes(), wait, now),
            Job::Delete(slot) => {
                self.command(What::Delete(slot), format!("AT+CMGD={}", slot.index).as_bytes(), wait, now)
            }
            Job::RouteDirectly => self.command(What::Route, b"AT+CNMI=2,2,0,1,0", wait, now),
        }
        true
    }

    fn use_memory(&mut self, memory: Memory, now: Instant) {
        let text = format!("AT+CPMS=\"{}\"", memory.name());
        self.command(What::UseMemory(memory), text.as_bytes(), Duration::from_secs(5), now);
    }

    /// Reads everything stored: notices get lost.
    pub(super) fn sweep(&mut self, now: Instant) {
        if self.current != self.home {
            return self.use_memory(self.home, now);
        }
        self.sweep_at = now + self.profile.sweep_every;
        if self.quirks.lists {
            return self.command(What::List, b"AT+CMGL=4", Duration::from_secs(60), now);
        }
        for index in 0..=self.slots_total.min(SLOTS_MAX) {
            let slot = Slot { memory: self.home, index };
            if !self.held.contains(&slot) {
                self.add_job(Job::Read(slot));
            }
        }
        self.pump(now);
    }

    /// Ends a command on the stores. An empty slot is `OK` with nothing, or CMS 321.
    pub(super) fn storage_finished(&mut self, what: What, result: Final, now: Instant) {
        let fault = fault_of(result);
        match what {
            What::UseMemory(memory) if fault.is_none() => self.current = memory,
            What::UseMemory(memory) => self.memory_refused(memory),
            What::List if fault.is_some_and(|fault| !is_passing(fault)) => {
                self.quirks.lists = false;
                self.sweep_at = now;
            }
            What::List => {}
            What::Delete(slot) => {
                self.held.remove(&slot);
                self.jobs.pop_front();
            }
            _ => {
                self.jobs.pop_front();
            }
        }
    }

    /// Goes on without what the modem did not answer; the next sweep finds it again.
    pub(super) fn storage_timed_out(&mut self, what: What) {
        match what {
            What::UseMemory(memory) => self.memory_refused(memory),
            // Some firmware never ends a list; the slots can still be read one by one.
            What::List => self.quirks.lists = false,
            What::Delete(slot) => {
                self.held.remove(&slot);
                self.jobs.pop_front();
            }
            _ => {
                self.jobs.pop_front();
            }
        }
    }

    /// A store that cannot be selected has nothing for us.
    fn memory_refused(&mut self, memory: Memory) {
        let in_it = |job: &Job| matches!(job, Job::Read(slot) | Job::Delete(slot) if slot.memory == memory);
        self.jobs.retain(|job| !in_it(job));
        self.held.retain(|slot| slot.memory != memory);
        if memory == self.home {
            self.current = memory;
        }
    }
}

/// The PDU a header waits for, if these octets are it; else its patience wears off.
fn matching(pending: &mut Option<Header>, octets: Option<&[u8]>) -> Option<(Kind, Vec<u8>)> {
    let header = pending.as_mut()?;
    if let Some(tpdu) = octets.and_then(|octets| reply::tpdu_of(octets.to_vec(), header.length)) {
        let kind = header.kind;
        *pending = None;
        return Some((kind, tpdu));
    }
    header.patience -= 1;
    if header.patience == 0 {
        *pending = None;
    }
    None
}

/// A failure that says nothing about whether the modem can list.
fn is_passing(fault: Fault) -> bool {
    matches!(fault, Fault::Cms(314 | 500) | Fault::Cme(14 | 515))
}

/// Only what was received is ours; what somebody stored to send is left alone.
fn kind_of(slot: Slot, stat: Option<u8>) -> Kind {
    match stat {
        Some(2 | 3) => Kind::Ignored,
        _ => Kind::Stored(slot),
    }
}

fn last_number(value: &[u8]) -> Option<usize> {
    reply::fields(value).last().and_then(reply::number)
}
