//! `AT+CMGS` from the prompt to the answer, and all that can go wrong in between. Decides no delivery.

use model::Timestamp;
use rand::Rng;
use wire::tpdu::{Address, Carried, Status, StatusReport, Submit, Timestamp as ServiceCentreTime, TypeOfNumber};

use super::{CANCEL, CR, DATA_OCTETS_MAX, Event, Failure, Flow, LF, Mode, Record, SUBMIT, SimModem};
use crate::{
    config::NumberTreatment,
    fault::{Fault, Occasion},
};

/// 3GPP TS 27.005, 3.2.5.
const OPERATION_NOT_ALLOWED: u16 = 303;
const INVALID_PDU: u16 = 304;
const SERVICE_CENTRE_UNKNOWN: u16 = 330;
const NO_NETWORK: u16 = 331;
/// Delivered, in TP-ST.
const RECEIVED: u8 = 0x00;
const QUARTERS_UTC: i8 = 0;

/// A message between its PDU and the answer.
pub(super) struct Sending {
    submit: Submit,
    tpdu: Vec<u8>,
    faults: Vec<Fault>,
    refused: Option<u16>,
    take_at: Timestamp,
    answer_at: Timestamp,
    /// The reference, once the network has taken it.
    reference: Option<u8>,
}

impl Sending {
    pub(super) fn next_step(&self) -> Timestamp {
        if self.reference.is_none() { self.take_at } else { self.answer_at }
    }

    /// Whether the network gets it at all.
    fn goes_out(&self) -> bool {
        let lost = |fault: &Fault| {
            matches!(
                fault,
                Fault::PduRefused { sent: false, .. }
                    | Fault::ReferenceMissing { sent: false }
                    | Fault::AnswerMissing { sent: false }
                    | Fault::Reset { sent: false }
                    | Fault::HangUp { sent: false, .. }
            )
        };
        self.refused.is_none() && !self.faults.iter().any(lost)
    }
}

impl SimModem {
    /// `AT+CMGS=length`.
    pub(super) fn begin_send(&mut self, argument: &str, now: Timestamp) -> Result<Flow, Failure> {
        if !self.unlocked {
            return Err(Failure::Cms(self.lock_error_cms()));
        }
        if self.settings.format != 0 {
            // Text mode cannot carry what this network is asked to carry.
            return Err(Failure::Cms(OPERATION_NOT_ALLOWED));
        }
        let length = argument.split(',').next().and_then(|length| length.trim().parse().ok());
        let length: usize = length.filter(|length| (1..=232).contains(length)).ok_or(Failure::Cms(INVALID_PDU))?;
        let faults = self.strike(Occasion::Send);
        for fault in &faults {
            match *fault {
                Fault::PromptMissing => return Ok(Flow::Stop),
                Fault::PromptRefused { cms } => return Err(Failure::Cms(cms)),
                Fault::Ban { cms } => self.radio.banned = Some(cms),
                Fault::SplitWrites => self.split_writes = true,
                Fault::RegistrationLost { back_ms } => {
                    self.radio.lost_until = Some(now.plus_ms(back_ms.cast_signed()));
                    self.announce_registration();
                }
                _ => {}
            }
        }
        self.out.extend_from_slice(b"\r\n> ");
        if faults.contains(&Fault::UrcInside) {
            self.say("^RSSI: 18");
        }
        self.mode = Mode::Data { length, data: Vec::new(), faults };
        Ok(Flow::Stop)
    }

    pub(super) fn data_byte(&mut self, byte: u8, now: Timestamp) {
        let Mode::Data { length, data, faults } = &mut self.mode else { return };
        match byte {
            CANCEL => {
                self.mode = Mode::Command;
                self.accept();
            }
            SUBMIT => {
                let (length, data, faults) = (*length, std::mem::take(data), std::mem::take(faults));
                self.mode = Mode::Command;
                self.submit(length, &data, faults, now);
            }
            CR | LF | b' ' => {}
            _ => {
                if data.len() <= DATA_OCTETS_MAX {
                    data.push(byte);
                }
                if self.settings.echo {
                    self.out.push(byte);
                }
            }
        }
    }

    /// The PDU is complete.
    fn submit(&mut self, length: usize, data: &[u8], faults: Vec<Fault>, now: Timestamp) {
        let carried = Carried::from_line(data).ok().filter(|carried| carried.tpdu.len() == length);
        let decoded = carried.and_then(|carried| Some((Submit::decode(&carried.tpdu).ok()?, carried)));
        let Some((submit, carried)) = decoded else { return self.refuse(&Failure::Cms(INVALID_PDU)) };
        if carried.service_centre.is_none() && self.settings.service_centre.is_empty() {
            return self.refuse(&Failure::Cms(SERVICE_CENTRE_UNKNOWN));
        }
        if !self.is_registered() {
            return self.refuse(&Failure::Cms(NO_NETWORK));
        }
        match self.radio.banned {
            Some(0) => return,
            Some(cms) => return self.refuse(&Failure::Cms(cms)),
            None => {}
        }
        let answer_ms = self.span(self.profile.answer_ms);
        // The network has the message some time before the modem knows.
        let take_ms = self.chance.random_range(0..=answer_ms);
        let late_ms = faults.iter().find_map(|fault| match fault {
            Fault::AnswerLate { ms } => Some(ms.cast_signed()),
            _ => None,
        });
        self.mode = Mode::Sending(Box::new(Sending {
            refused: self.treatment(&submit.destination).and_then(|treatment| match treatment {
                NumberTreatment::Refused { cms } => Some(*cms),
                _ => None,
            }),
            submit,
            tpdu: carried.tpdu,
            faults,
            take_at: now.plus_ms(take_ms),
            answer_at: now.plus_ms(answer_ms + late_ms.unwrap_or(0)),
            reference: None,
        }));
        self.go_on_sending(now);
    }

    /// Takes and answers the message in hand, as far as it is time to.
    pub(super) fn go_on_sending(&mut self, now: Timestamp) {
        let Mode::Sending(mut sending) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        if sending.reference.is_none() && sending.take_at <= now {
            sending.reference = Some(if sending.goes_out() { self.take(&sending, now) } else { 0 });
        }
        if sending.reference.is_none() || sending.answer_at > now {
            self.mode = Mode::Sending(sending);
            return;
        }
        self.answer(&sending, now);
    }

    /// The network takes the message.
    fn take(&mut self, sending: &Sending, now: Timestamp) -> u8 {
        let repeated = sending.faults.contains(&Fault::ReferenceRepeated);
        let reference = self.card.next_reference().wrapping_sub(u8::from(repeated));
        let reports = self.reports(sending, reference, now);
        let taken = self.card.take(&sending.submit, &sending.tpdu, reference, reports, now);
        self.events.push_back(Event::Taken(Box::new(Record {
            to: sending.submit.destination.clone(),
            reference,
            tpdu: sending.tpdu.clone(),
            text: taken.text,
            entry: taken.entry,
        })));
        reference
    }

    /// What will be reported of the message: due times and TPDUs.
    fn reports(&mut self, sending: &Sending, reference: u8, now: Timestamp) -> Vec<(i64, Vec<u8>)> {
        if !sending.submit.status_report_request || sending.faults.contains(&Fault::ReportMissing) {
            return Vec::new();
        }
        let mut statuses = match self.treatment(&sending.submit.destination) {
            Some(NumberTreatment::Unreported) => return Vec::new(),
            Some(NumberTreatment::Reported { statuses }) => statuses.clone(),
            _ => vec![RECEIVED],
        };
        let mut national = false;
        for fault in &sending.faults {
            match *fault {
                Fault::ReportStatus { status } => statuses = vec![status],
                Fault::ReportTemporary { status } => statuses.insert(0, status),
                Fault::ReportTwice => statuses.extend(statuses.last().copied()),
                Fault::ReportNational => national = true,
                _ => {}
            }
        }
        let recipient =
            if national { national_form(&sending.submit.destination) } else { sending.submit.destination.clone() };
        let mut due = now;
        let mut reports = Vec::with_capacity(statuses.len());
        for status in statuses {
            due = due.plus_ms(self.span(self.profile.receipt_delay_ms));
            reports.push((due.0, report(reference, recipient.clone(), now, due, status)));
        }
        reports
    }

    /// The modem answers, or what stands for an answer.
    fn answer(&mut self, sending: &Sending, now: Timestamp) {
        let start = self.out.len();
        let reference = sending.reference.unwrap_or_default();
        for fault in &sending.faults {
            match *fault {
                Fault::Reset { .. } => {
                    self.restart();
                    return self.say("^SYSSTART");
                }
                Fault::HangUp { back_ms, .. } => {
                    return self.events.push_back(Event::HangUp { back: now.plus_ms(back_ms.cast_signed()) });
                }
                Fault::AnswerMissing { .. } => return,
                Fault::PduRefused { cms, .. } => return self.refuse(&Failure::Cms(cms)),
                Fault::ReportFirst => self.hand_report_now(reference),
                Fault::UrcInside => self.say("^RSSI: 17"),
                Fault::UrcStorm { lines } => (0..lines).for_each(|line| self.say(&format!("+ZUSIMR:{}", line % 10))),
                _ => {}
            }
        }
        match sending.refused {
            Some(cms) => self.refuse(&Failure::Cms(cms)),
            None => self.confirm(sending, reference),
        }
        if sending.faults.contains(&Fault::GluedLines) {
            let answer = String::from_utf8_lossy(&self.out.split_off(start)).replace("\r\n\r\n", "\r\n");
            self.out.extend_from_slice(answer.as_bytes());
        }
        if sending.faults.contains(&Fault::ExtraCr) {
            let answer = self.out.split_off(start);
            self.out.extend(answer.into_iter().flat_map(|byte| if byte == CR { vec![CR, CR] } else { vec![byte] }));
        }
    }

    fn confirm(&mut self, sending: &Sending, reference: u8) {
        if !sending.faults.iter().any(|fault| matches!(fault, Fault::ReferenceMissing { .. })) {
            self.say(&format!("+CMGS: {reference}"));
        }
        if !sending.faults.contains(&Fault::OkMissing) {
            self.accept();
        }
    }

    fn treatment(&self, to: &Address) -> Option<&NumberTreatment> {
        let rule = self.profile.numbers.iter().find(|rule| to.value().ends_with(&rule.suffix));
        rule.map(|rule| &rule.treatment)
    }
}

fn report(reference: u8, recipient: Address, taken: Timestamp, due: Timestamp, status: u8) -> Vec<u8> {
    let time = |moment: Timestamp| ServiceCentreTime::from_unix_seconds(moment.0.div_euclid(1_000), QUARTERS_UTC);
    let report = StatusReport {
        more_messages: false,
        answers_command: false,
        has_header: false,
        reference,
        recipient,
        service_centre_time: time(taken),
        discharge_time: time(due),
        status: Status(status),
        optional: Vec::new(),
    };
    report.encode()
}

/// A number without its country code, as some networks report it. Which digits are the country code is not known here;
/// two is the most common.
fn national_form(number: &Address) -> Address {
    let digits = number.value().get(2..).unwrap_or_default();
    Address::typed(TypeOfNumber::National, &format!("0{digits}")).unwrap_or_else(|_| number.clone())
}
