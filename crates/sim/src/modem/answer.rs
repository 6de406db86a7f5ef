//! What each command does and answers (ITU-T V.250, 3GPP TS 27.005 and 27.007). Knows no line and no byte.

use model::Timestamp;
use wire::tpdu::Address;

use super::{
    Event, Failure, Flow, Mode, SimModem,
    command::{Command, Form, arguments},
    settings::Routing,
    storage::{Memory, Slot},
};
use crate::fault::{Fault, Occasion};

const INVALID_MEMORY_INDEX: u16 = 321;
const NO_ACKNOWLEDGEMENT_EXPECTED: u16 = 340;
const OPERATION_NOT_ALLOWED: u16 = 303;
const ALL_STATES: u8 = 4;

/// What a command's step answers.
type Answer = Result<Flow, Failure>;

impl SimModem {
    pub(super) fn execute(&mut self, command: &Command, now: Timestamp) -> Answer {
        if !self.unlocked && needs_the_sim(&command.name) {
            return Err(Failure::Cme(self.lock_error_cme()));
        }
        match (command.name.as_str(), &command.form) {
            (name, Form::Run(number)) if !name.starts_with(|c: char| c.is_ascii_punctuation() && c != '&') => {
                self.basic(name, number)
            }
            ("+CMGS", Form::Set(argument)) => self.begin_send(argument, now),
            ("+CMGL", Form::Set(argument)) => self.list(argument, now),
            ("+CMGR", Form::Set(argument)) => self.read(argument),
            ("+CMGD", Form::Set(argument)) => self.delete(argument),
            ("+CNMA", Form::Run(_) | Form::Set(_)) => {
                if self.acknowledge() {
                    Ok(Flow::Next)
                } else {
                    Err(Failure::Cms(NO_ACKNOWLEDGEMENT_EXPECTED))
                }
            }
            (name, Form::Run(_)) => self.information(name, now),
            (name, Form::Read) => self.ask(name),
            (name, Form::Test) => self.test(name),
            (name, Form::Set(argument)) => self.set(name, argument),
        }
    }

    fn basic(&mut self, name: &str, number: &str) -> Answer {
        let on = number == "1";
        match name {
            "E" => self.settings.echo = on,
            "V" => self.settings.verbose = on,
            "Q" => self.settings.quiet = on,
            "Z" | "&F" => {
                self.settings.reset();
                self.listening = false;
            }
            "I" => {
                self.say("Carillon");
                self.say("Simulated modem");
            }
            "D" => return Err(Failure::Cme(3)),
            "H" | "X" | "S" | "L" | "M" | "&C" | "&D" | "&K" | "&S" | "&W" => {}
            _ => return Err(Failure::Error),
        }
        Ok(Flow::Next)
    }

    /// Extended commands without an argument.
    fn information(&mut self, name: &str, now: Timestamp) -> Answer {
        let line = match name {
            "+CGMI" | "+GMI" => "Carillon".to_owned(),
            "+CGMM" | "+GMM" => "Simulated modem".to_owned(),
            "+CGMR" | "+GMR" => env!("CARGO_PKG_VERSION").to_owned(),
            "+CGSN" | "+GSN" => self.profile.imei.clone(),
            "+CIMI" => self.profile.imsi.clone(),
            // ITU-T E.118: telecommunications, then what tells one SIM from another.
            "+CCID" | "+ICCID" | "+QCCID" => format!("{name}: 89{}00", self.profile.imsi),
            "+CSQ" => "+CSQ: 21,0".to_owned(),
            "+CESQ" => "+CESQ: 99,99,255,255,20,60".to_owned(),
            "+CMGL" => return self.list("0", now),
            "+CNUM" | "+CHUP" => return Ok(Flow::Next),
            "+CPINR" => {
                self.say_tries("SIM PIN")?;
                return self.say_tries("SIM PUK").map(|()| Flow::Next);
            }
            _ => return Err(Failure::Error),
        };
        self.say(&line);
        Ok(Flow::Next)
    }

    fn ask(&mut self, name: &str) -> Answer {
        let settings = &self.settings;
        let line = match name {
            "+CPIN" => format!("+CPIN: {}", self.lock_state()?),
            "+CFUN" => format!("+CFUN: {}", u8::from(self.radio.on)),
            "+CMEE" => format!("+CMEE: {}", settings.errors),
            "+CMGF" => format!("+CMGF: {}", settings.format),
            "+CMMS" => format!("+CMMS: {}", settings.more_messages),
            "+CSCS" => format!("+CSCS: \"{}\"", settings.character_set),
            "+CSMS" => format!("+CSMS: {},1,1,1", settings.service),
            "+CNMI" => {
                let Routing { mode, messages, broadcasts, reports, buffer } = settings.routing;
                format!("+CNMI: {mode},{messages},{broadcasts},{reports},{buffer}")
            }
            "+CPMS" => self.memories(),
            "+CSCA" => service_centre_line(&settings.service_centre),
            "+CREG" => self.registration_line(name, 0),
            "+CGREG" => self.registration_line(name, 1),
            "+CEREG" => self.registration_line(name, 2),
            "+COPS" => self.operator_line(),
            "+CGATT" => format!("+CGATT: {}", u8::from(self.is_registered())),
            "+CGSMS" => "+CGSMS: 3".to_owned(),
            "+IFC" => "+IFC: 2,2".to_owned(),
            "+CLIP" => "+CLIP: 0,2".to_owned(),
            "+CRC" => "+CRC: 0".to_owned(),
            "+CSMP" => "+CSMP: 17,167,0,0".to_owned(),
            "+CUSD" => "+CUSD: 0".to_owned(),
            _ => return Err(Failure::Error),
        };
        self.say(&line);
        Ok(Flow::Next)
    }

    fn test(&mut self, name: &str) -> Answer {
        let range = match name {
            "+CPMS" => "(\"SM\",\"ME\",\"SR\"),(\"SM\",\"ME\"),(\"SM\",\"ME\")",
            "+CNMI" => "(0,1,2,3),(0,1,2,3),(0),(0,1,2),(0,1)",
            "+CSMS" => "(0,1)",
            "+CMGF" => "(0)",
            "+CMEE" => "(0,1,2)",
            "+CMMS" => "(0,1,2)",
            "+CFUN" => "(0,1,4),(0,1)",
            "+CSCS" => "(\"GSM\",\"IRA\",\"UCS2\")",
            "+CREG" | "+CGREG" | "+CEREG" => "(0,1,2)",
            "+CMGL" => "(0,1,4)",
            "+CMGD" => "(1-255),(0-4)",
            "+COPS" => "(2,\"Carillon\",\"CRLN\",\"PLMN\"),,(0,1,3),(0,1,2)",
            "+CSQ" => "(0-31,99),(0-7,99)",
            "+CUSD" => "(0,1,2)",
            "+CLIP" | "+CRC" => "(0,1)",
            "+IFC" => "(0,2),(0,2)",
            "+CMGS" | "+CMGR" | "+CSCA" | "+CNMA" | "+CSMP" | "+CNUM" | "+CPIN" | "+CGMI" | "+CGMM" | "+CGMR"
            | "+CGSN" | "+CIMI" | "+GMM" | "+GMI" => return Ok(Flow::Next),
            _ => return Err(Failure::Error),
        };
        let range = range.replace("PLMN", &self.profile.plmn);
        self.say(&format!("{name}: {range}"));
        Ok(Flow::Next)
    }

    fn set(&mut self, name: &str, argument: &str) -> Answer {
        let values = arguments(argument);
        let first = values[0];
        match name {
            "+CMEE" => self.settings.errors = number(first, 2)?,
            "+CMGF" => self.settings.format = number(first, 1)?,
            "+CMMS" => self.settings.more_messages = number(first, 2)?,
            "+CSMS" => {
                self.settings.service = number(first, 1)?;
                self.say("+CSMS: 1,1,1");
            }
            "+CREG" => self.settings.registration[0] = number(first, 2)?,
            "+CGREG" => self.settings.registration[1] = number(first, 2)?,
            "+CEREG" => self.settings.registration[2] = number(first, 2)?,
            "+CSCS" if ["GSM", "IRA", "UCS2"].contains(&first) => self.settings.character_set = first.to_owned(),
            "+CNMI" => self.route(&values)?,
            "+CPMS" => self.select(&values)?,
            "+CSCA" => self.settings.service_centre = service_centre(first)?,
            "+CFUN" => self.power(&values)?,
            "+COPS" => self.choose_operator(&values)?,
            "+CPIN" => self.enter_code(&values)?,
            "+CPINR" => self.say_tries(first)?,
            "+CSIM" => self.command_sim(&values)?,
            "+CUSD" | "+IFC" | "+CLIP" | "+CRC" | "+CSMP" | "+CVHU" | "+CGSMS" | "+CGATT" => {}
            _ => return Err(Failure::Error),
        }
        Ok(Flow::Next)
    }

    fn route(&mut self, values: &[&str]) -> Result<(), Failure> {
        let value = |index: usize, max: u8, kept: u8| match values.get(index) {
            None | Some(&"") => Ok(kept),
            Some(value) => number(value, max),
        };
        let kept = self.settings.routing;
        self.settings.routing = Routing {
            mode: value(0, 3, kept.mode)?,
            messages: value(1, 3, kept.messages)?,
            broadcasts: value(2, 0, kept.broadcasts)?,
            reports: value(3, 2, kept.reports)?,
            buffer: value(4, 1, kept.buffer)?,
        };
        self.port_routed();
        self.events.push_back(Event::Routed);
        Ok(())
    }

    fn select(&mut self, values: &[&str]) -> Result<(), Failure> {
        for (index, name) in values.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let memory = Memory::of(name).filter(|memory| index == 0 || *memory != Memory::Reports);
            *self.storage.selected.get_mut(index).ok_or(Failure::Error)? =
                memory.ok_or(Failure::Cms(OPERATION_NOT_ALLOWED))?;
        }
        let max = self.storage.slots_max();
        let filled = self.storage.selected.map(|memory| format!("{},{max}", self.storage.used(memory)));
        self.say(&format!("+CPMS: {}", filled.join(",")));
        Ok(())
    }

    fn memories(&self) -> String {
        let max = self.storage.slots_max();
        let filled =
            self.storage.selected.map(|memory| format!("\"{}\",{},{max}", memory.name(), self.storage.used(memory)));
        format!("+CPMS: {}", filled.join(","))
    }

    fn power(&mut self, values: &[&str]) -> Result<(), Failure> {
        let function = number(values[0], 4)?;
        if values.get(1) == Some(&"1") {
            self.restart();
        }
        self.radio.on = function == 1;
        Ok(())
    }

    fn choose_operator(&mut self, values: &[&str]) -> Result<(), Failure> {
        if number(values[0], 4)? == 3 {
            self.settings.operator_format = number(values.get(1).copied().unwrap_or("0"), 2)?;
        }
        Ok(())
    }

    fn registration_line(&self, name: &str, index: usize) -> String {
        let (announced, stat) = (self.settings.registration[index], self.registration());
        let place = if announced == 2 && self.is_registered() { ",\"00C3\",\"0A12\"" } else { "" };
        format!("{name}: {announced},{stat}{place}")
    }

    fn operator_line(&self) -> String {
        if !self.is_registered() {
            return "+COPS: 0".to_owned();
        }
        match self.settings.operator_format {
            2 => format!("+COPS: 0,2,\"{}\"", self.profile.plmn),
            format => format!("+COPS: 0,{format},\"Carillon\""),
        }
    }

    fn list(&mut self, argument: &str, now: Timestamp) -> Answer {
        self.in_pdu_mode()?;
        let state: u8 = number(arguments(argument)[0], ALL_STATES)?;
        let faults = self.strike(Occasion::List);
        let start = self.out.len();
        let unread = |slot: &Slot| state == ALL_STATES || (state == 0) == slot.unread;
        let listed = self.storage.list(|slot| state != 2 && state != 3 && unread(slot));
        for (index, slot) in listed {
            let line = format!("+CMGL: {index},{},,{}\r\n{}", stat(&slot), slot.tpdu.len(), self.digits(&slot.tpdu));
            self.say(&line);
            if faults.contains(&Fault::ListUrc) {
                self.say("^RSSI: 16");
            }
        }
        for fault in faults {
            match fault {
                Fault::ListHang { ms } => {
                    self.out.truncate(start);
                    self.mode = Mode::Slow { until: now.plus_ms(ms.cast_signed()), answer: None };
                    return Ok(Flow::Stop);
                }
                Fault::ListSlow { ms } => {
                    self.accept();
                    let answer = Some(self.out.split_off(start));
                    self.mode = Mode::Slow { until: now.plus_ms(ms.cast_signed()), answer };
                    return Ok(Flow::Stop);
                }
                _ => {}
            }
        }
        Ok(Flow::Next)
    }

    fn read(&mut self, argument: &str) -> Answer {
        self.in_pdu_mode()?;
        let index = arguments(argument)[0].parse().map_err(|_| Failure::Cms(INVALID_MEMORY_INDEX))?;
        let slot = self.storage.read(index).ok_or(Failure::Cms(INVALID_MEMORY_INDEX))?;
        self.say(&format!("+CMGR: {},,{}\r\n{}", stat(&slot), slot.tpdu.len(), self.digits(&slot.tpdu)));
        Ok(Flow::Next)
    }

    fn delete(&mut self, argument: &str) -> Answer {
        let values = arguments(argument);
        let index: u16 = values[0].parse().map_err(|_| Failure::Cms(INVALID_MEMORY_INDEX))?;
        let emptied = match values.get(1).copied().unwrap_or("0") {
            "0" => vec![self.storage.delete(index).ok_or(Failure::Cms(INVALID_MEMORY_INDEX))?],
            "1" | "2" | "3" => self.storage.delete_all(|slot| !slot.unread),
            "4" => self.storage.delete_all(|_| true),
            _ => return Err(Failure::Error),
        };
        self.done(&emptied);
        Ok(Flow::Next)
    }

    fn in_pdu_mode(&self) -> Result<(), Failure> {
        if self.settings.format == 0 { Ok(()) } else { Err(Failure::Cms(OPERATION_NOT_ALLOWED)) }
    }
}

/// What a SIM that waits for its code does not do.
fn needs_the_sim(name: &str) -> bool {
    matches!(name, "+CIMI" | "+CNUM" | "+CPMS" | "+CMGL" | "+CMGR" | "+CMGD" | "+CSCA" | "+CNMI" | "+COPS")
}

fn number(text: &str, max: u8) -> Result<u8, Failure> {
    text.parse().ok().filter(|number| *number <= max).ok_or(Failure::Error)
}

/// `<stat>` of 3GPP TS 27.005, 3.1: 0 received and unread, 1 received and read.
fn stat(slot: &Slot) -> u8 {
    u8::from(!slot.unread)
}

fn service_centre(text: &str) -> Result<String, Failure> {
    if !text.is_empty() && Address::number(text).is_err() {
        return Err(Failure::Error);
    }
    Ok(text.to_owned())
}

fn service_centre_line(number: &str) -> String {
    let kind = if number.starts_with('+') { 145 } else { 129 };
    format!("+CSCA: \"{number}\",{kind}")
}

/// `+CMEE=2` wording of the errors this modem gives by itself.
pub(super) fn cme_text(number: u16) -> String {
    match number {
        3 => "operation not allowed".to_owned(),
        11 => "SIM PIN required".to_owned(),
        12 => "SIM PUK required".to_owned(),
        13 => "SIM failure".to_owned(),
        16 => "incorrect password".to_owned(),
        _ => number.to_string(),
    }
}

/// `+CMEE=2` wording of the errors this modem gives by itself.
pub(super) fn cms_text(number: u16) -> String {
    match number {
        303 => "operation not supported".to_owned(),
        304 => "invalid PDU mode parameter".to_owned(),
        311 => "SIM PIN required".to_owned(),
        313 => "SIM failure".to_owned(),
        316 => "SIM PUK required".to_owned(),
        321 => "invalid memory index".to_owned(),
        330 => "SMSC address unknown".to_owned(),
        331 => "no network service".to_owned(),
        340 => "no +CNMA acknowledgement expected".to_owned(),
        _ => number.to_string(),
    }
}
