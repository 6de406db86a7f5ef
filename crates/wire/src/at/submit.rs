//! Sending one PDU: prompt, PDU, result. Keeps the line between "surely not sent" and "may have been sent". Must not retry.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::event::{Event, Stage, Submit, SubmitRefused};
use super::fault::{Class, Fault};
use super::recovery::{Resume, Rung};
use super::reply::{self, Final};
use super::session::{Phase, Running, Session, What, fault_of};

const PROMPT_WAIT: Duration = Duration::from_secs(10);
/// How long the `OK` behind a reference may take: the message is accepted without it.
const OK_WAIT: Duration = Duration::from_secs(5);
const CTRL_Z: u8 = 0x1a;

impl Session {
    /// Sends one PDU. Exactly one of `Accepted`, `Refused`, `NotSent` and `Unknown` follows.
    ///
    /// # Errors
    /// Nothing was and will be written if the PDU is not taken.
    pub fn submit(&mut self, submit: Submit, now: Instant) -> Result<(), SubmitRefused> {
        if !matches!(self.phase, Phase::Ready | Phase::Wake { resume: Resume::Ready, .. }) {
            return Err(SubmitRefused::NotReady);
        }
        if self.waiting.is_some() || self.is_submitting() {
            return Err(SubmitRefused::Busy);
        }
        self.waiting = Some(submit);
        self.pump(now);
        Ok(())
    }

    pub(super) fn is_submitting(&self) -> bool {
        matches!(self.running, Some(Running { what: What::Prompt | What::Result { .. }, .. }))
    }

    /// Asks for the prompt. The length excludes the service centre's address (3GPP TS 27.005, 3.5.1).
    pub(super) fn start_submit(&mut self, now: Instant) -> bool {
        let Some(submit) = &self.waiting else { return false };
        let text = format!("AT+CMGS={}", submit.tpdu().len());
        self.command(What::Prompt, text.as_bytes(), PROMPT_WAIT, now);
        true
    }

    /// The modem wants the PDU. A prompt nobody asked for is a line like any other and never comes here.
    pub(super) fn prompted(&mut self, now: Instant) {
        let Some(submit) = self.waiting.take() else { return };
        let mut pdu = String::with_capacity(submit.tpdu().len() * 2 + 3);
        pdu.push_str("00");
        for octet in submit.tpdu() {
            write!(pdu, "{octet:02X}").expect("writing to a string does not fail");
        }
        let mut bytes = pdu.clone().into_bytes();
        bytes.push(CTRL_Z);
        self.write(bytes, pdu.as_bytes());
        self.running =
            Some(Running { what: What::Result { reference: None }, deadline: now + self.profile.result_wait });
        self.emit(Event::PduWritten);
    }

    /// `+CMGS: mr`: from here on the message is accepted, whatever becomes of the `OK`.
    pub(super) fn take_reference(&mut self, line: &[u8], now: Instant) -> bool {
        let Some(value) = reply::value_of(line, "+CMGS") else { return false };
        let Some(number) = reply::fields(value).next().and_then(reply::number) else { return true };
        self.running = Some(Running { what: What::Result { reference: Some(number) }, deadline: now + OK_WAIT });
        true
    }

    /// Ends a message by the modem's final result.
    pub(super) fn submit_finished(&mut self, what: What, result: Final, now: Instant) {
        match (what, fault_of(result)) {
            (What::Result { reference: Some(reference) }, _) => self.accepted(reference),
            // Cancelled, or a prompt that got lost: most modems have not sent it, some have.
            (What::Result { reference: None }, None) => self.unknown(now),
            (What::Result { reference: None }, Some(fault)) => self.refused(fault, Stage::AfterPdu, now),
            (_, None) => self.not_sent(now),
            (_, Some(fault)) => self.refused(fault, Stage::BeforePdu, now),
        }
    }

    /// Ends a message by what is known when time is up.
    pub(super) fn submit_timed_out(&mut self, what: What, now: Instant) {
        match what {
            What::Result { reference: Some(reference) } => {
                self.accepted(reference);
                self.climb(now);
            }
            What::Result { reference: None } => self.unknown(now),
            _ => self.not_sent(now),
        }
    }

    /// Ends a message whose dialogue is cut off: port gone, modem restarted.
    pub(super) fn abandon_submit(&mut self) {
        match self.running.as_ref().map(|running| running.what) {
            Some(What::Result { reference: Some(reference) }) => self.accepted(reference),
            Some(What::Result { reference: None }) => self.emit(Event::Unknown),
            _ => {}
        }
        self.running = None;
        if self.waiting.take().is_some() {
            self.emit(Event::NotSent);
        }
    }

    fn accepted(&mut self, reference: u8) {
        self.rung = None;
        self.same_fault = None;
        self.emit(Event::Accepted { reference: Some(reference) });
    }

    fn unknown(&mut self, now: Instant) {
        self.emit(Event::Unknown);
        self.climb_from(Rung::Escape, now);
    }

    fn not_sent(&mut self, now: Instant) {
        self.waiting = None;
        self.emit(Event::NotSent);
        self.climb_from(Rung::Escape, now);
    }

    fn refused(&mut self, fault: Fault, stage: Stage, now: Instant) {
        self.waiting = None;
        let in_a_row = self.count_fault(fault);
        let class = match (fault.class(in_a_row), stage) {
            (Class::AlreadyAccepted, _) => {
                return self.emit(Event::Accepted { reference: None });
            }
            // A time-out of the network tells nothing about a PDU it may have.
            (Class::Unknown, Stage::AfterPdu) => return self.emit(Event::Unknown),
            (Class::Unknown, Stage::BeforePdu) => Class::Network,
            (class, _) => class,
        };
        if matches!(fault, Fault::Cms(208 | 211 | 320..=322) | Fault::Cme(20)) {
            self.sweep_at = now;
        }
        self.emit(Event::Refused { fault, class, stage });
    }
}
