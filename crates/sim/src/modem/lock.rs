//! The SIM's codes and the tries that are left for them (3GPP TS 27.007, 8.3 and 8.65). Sends nothing.

use super::{Event, Failure, SimModem};
use crate::card::Lock;

const PUK: &str = "12345678";
/// 3GPP TS 27.007, 9.2.1, and the same for messages in 3GPP TS 27.005, 3.2.5.
const NOT_ALLOWED: u16 = 3;
const PIN_WANTED: u16 = 11;
const PUK_WANTED: u16 = 12;
const SIM_FAILURE: u16 = 13;
const WRONG_CODE: u16 = 16;
const PIN_WANTED_CMS: u16 = 311;
const SIM_FAILURE_CMS: u16 = 313;
const PUK_WANTED_CMS: u16 = 316;
/// VERIFY without a code tells the tries and costs none (ETSI TS 102 221, 11.1.9).
const VERIFY_PIN: &str = "0020000100";
const UNBLOCK_PIN: &str = "002C000100";

impl SimModem {
    /// What the SIM waits for.
    pub(super) fn lock_state(&self) -> Result<&'static str, Failure> {
        match self.card.lock() {
            _ if self.unlocked => Ok("READY"),
            Lock { puk_tries: 0, .. } => Err(Failure::Cme(SIM_FAILURE)),
            Lock { pin_tries: 0, .. } => Ok("SIM PUK"),
            _ => Ok("SIM PIN"),
        }
    }

    pub(super) fn lock_error_cme(&self) -> u16 {
        match self.lock_state() {
            Err(_) => SIM_FAILURE,
            Ok("SIM PUK") => PUK_WANTED,
            Ok(_) => PIN_WANTED,
        }
    }

    pub(super) fn lock_error_cms(&self) -> u16 {
        match self.lock_error_cme() {
            SIM_FAILURE => SIM_FAILURE_CMS,
            PUK_WANTED => PUK_WANTED_CMS,
            _ => PIN_WANTED_CMS,
        }
    }

    /// `+CPIN=`: one code is taken for whatever is asked for, a PUK brings a new PIN with it.
    pub(super) fn enter_code(&mut self, values: &[&str]) -> Result<(), Failure> {
        let lock = self.card.lock();
        let (right, left) = match (self.lock_state()?, values) {
            ("SIM PIN", [code]) => (*code == self.profile.pin, Lock { pin_tries: lock.pin_tries - 1, ..lock }),
            ("SIM PUK", [code, ..]) => (*code == PUK, Lock { puk_tries: lock.puk_tries - 1, ..lock }),
            _ => return Err(Failure::Cme(NOT_ALLOWED)),
        };
        if !right {
            self.remember_lock(left);
            return Err(Failure::Cme(WRONG_CODE));
        }
        if let [_, pin] = values {
            (*pin).clone_into(&mut self.profile.pin);
        }
        self.remember_lock(Lock::default());
        self.unlocked = true;
        self.announce_registration();
        Ok(())
    }

    /// `+CPINR=`: tries left and tries at most.
    pub(super) fn say_tries(&mut self, code: &str) -> Result<(), Failure> {
        let (left, most) = match code {
            "SIM PIN" => (self.card.lock().pin_tries, Lock::default().pin_tries),
            "SIM PUK" => (self.card.lock().puk_tries, Lock::default().puk_tries),
            _ => return Err(Failure::Error),
        };
        self.say(&format!("+CPINR: {code},{left},{most}"));
        Ok(())
    }

    /// `+CSIM=`: only the two questions for tries.
    pub(super) fn command_sim(&mut self, values: &[&str]) -> Result<(), Failure> {
        let tries = match values {
            ["10", VERIFY_PIN] => self.card.lock().pin_tries,
            ["10", UNBLOCK_PIN] => self.card.lock().puk_tries,
            _ => return Err(Failure::Cme(NOT_ALLOWED)),
        };
        self.say(&format!("+CSIM: 4,\"63C{tries:X}\""));
        Ok(())
    }

    fn remember_lock(&mut self, lock: Lock) {
        if lock != self.card.lock() {
            let entry = self.card.set_lock(lock);
            self.events.push_back(Event::Remember(entry));
        }
    }
}
