//! What differs between modems and sites, as data: the steps of the bring-up, waits, quirks of makers. No behaviour.

use std::time::Duration;

/// How the dialogue with one modem is led.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The bring-up, in order.
    pub steps: &'static [Step],
    /// Time left between a final result and the next command.
    pub command_gap: Duration,
    /// How long a result may take after the PDU was written. Makers allow up to 120 s.
    pub result_wait: Duration,
    /// How long a network is searched.
    pub register_wait: Duration,
    /// How often an idle modem is asked for its state.
    pub check_every: Duration,
    /// How often the stores are read, for messages whose notice was lost.
    pub sweep_every: Duration,
    /// Shifts the first check and sweep, so that a farm's modems do not all poll at once.
    pub poll_offset: Duration,
    /// Set where the SIM has no service centre's address. It stays on the SIM.
    pub service_centre: Option<String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            steps: BRING_UP,
            command_gap: Duration::from_millis(20),
            result_wait: Duration::from_secs(120),
            register_wait: Duration::from_secs(120),
            check_every: Duration::from_secs(30),
            sweep_every: Duration::from_secs(60),
            poll_offset: Duration::ZERO,
            service_centre: None,
        }
    }
}

/// One step of the bring-up.
#[derive(Debug)]
pub struct Step {
    /// Tried in order until one is accepted.
    pub commands: &'static [&'static str],
    /// What a value line of the answer begins with; empty: any line that is not marked as unsolicited.
    pub answer: &'static str,
    /// How long the answer may take.
    pub wait_seconds: u64,
    /// What it means if no command is accepted.
    pub need: Need,
    /// What is read from the answer.
    pub reads: Reads,
}

/// What it means if a step is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Go on.
    Soft,
    /// The modem cannot be used.
    Hard,
}

/// What is read from a step's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    Nothing,
    Maker,
    Model,
    Firmware,
    Imei,
    Radio,
    Iccid,
    Pin,
    Imsi,
    Memory,
    Routing,
    ServiceCentre,
    Registration,
    Network,
    Signal,
}

const fn step(
    commands: &'static [&'static str],
    answer: &'static str,
    wait_seconds: u64,
    need: Need,
    reads: Reads,
) -> Step {
    Step { commands, answer, wait_seconds, need, reads }
}

use Need::{Hard, Soft};

/// The bring-up of a modem after the wake-up. No `ATZ`, `AT&F`, `AT&W`: they alter or restore stored profiles.
pub(super) const BRING_UP: &[Step] = &[
    step(&["ATE0"], "", 2, Hard, Reads::Nothing),
    step(&["ATV1"], "", 2, Soft, Reads::Nothing),
    step(&["ATQ0"], "", 2, Soft, Reads::Nothing),
    step(&["AT+CMEE=1"], "", 2, Soft, Reads::Nothing),
    step(&["AT+CGMI", "AT+GMI"], "", 5, Soft, Reads::Maker),
    step(&["AT+CGMM", "AT+GMM"], "", 5, Soft, Reads::Model),
    step(&["AT+CGMR"], "", 5, Soft, Reads::Firmware),
    step(&["AT+CGSN", "AT+GSN"], "", 10, Soft, Reads::Imei),
    step(&["AT+CFUN?"], "+CFUN", 15, Soft, Reads::Radio),
    // Before the PIN: the record of wrong entries is kept by card.
    step(&["AT+CCID", "AT+ICCID", "AT^ICCID?", "AT+QCCID", "AT#CCID"], "", 10, Soft, Reads::Iccid),
    step(&["AT+CPIN?"], "+CPIN", 10, Hard, Reads::Pin),
    step(&["AT+CIMI"], "", 10, Hard, Reads::Imsi),
    step(&["AT+CSCS=\"GSM\""], "", 3, Soft, Reads::Nothing),
    step(&["AT+CMGF=0"], "", 3, Hard, Reads::Nothing),
    // With service 1 every report must be acknowledged in time with +CNMA or the network repeats it (3GPP TS 27.005, 3.2.1).
    step(&["AT+CSMS=0"], "", 3, Soft, Reads::Nothing),
    step(
        &["AT+CPMS=\"SM\",\"SM\",\"SM\"", "AT+CPMS=\"ME\",\"ME\",\"ME\"", "AT+CPMS=\"SM\""],
        "+CPMS",
        5,
        Soft,
        Reads::Memory,
    ),
    step(ROUTING, "", 3, Soft, Reads::Routing),
    step(&["AT+CSCA?"], "+CSCA", 5, Soft, Reads::ServiceCentre),
    step(&["AT+CREG=2", "AT+CREG=1"], "", 5, Soft, Reads::Nothing),
    step(&["AT+CEREG=2"], "", 5, Soft, Reads::Nothing),
    step(&["AT+CREG?", "AT+CEREG?"], "+CREG", 5, Hard, Reads::Registration),
    step(&["AT+COPS=3,2"], "", 10, Soft, Reads::Nothing),
    step(&["AT+COPS?"], "+COPS", 10, Soft, Reads::Network),
    step(&["AT+CSQ"], "+CSQ", 5, Soft, Reads::Signal),
];

/// Inbound messages stored (they survive a crash of ours), reports direct (they need no slot); then what modems accept that refuse this.
const ROUTING: &[&str] = &["AT+CNMI=2,1,0,1,0", "AT+CNMI=2,1,0,2,0", "AT+CNMI=2,1,0,0,0", "AT+CNMI=1,1,0,1,0"];

/// What is special about a maker's modems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Begins the maker's or the model's name, in lower case.
    pub name: &'static str,
    /// `+CMGL` works; else the slots are read one by one.
    pub lists: bool,
    /// Replaces the usual chain of `+CNMI`.
    pub routing: &'static [&'static str],
    /// Written once after the model is known; may be refused.
    pub silence: &'static str,
}

pub(super) const PLAIN: Quirks = Quirks { name: "", lists: true, routing: ROUTING, silence: "" };

/// Looked up by maker, then by model.
const QUIRKS: &[Quirks] = &[
    // +CMGL may hang the firmware until it is reset; state lines come by the dozen.
    Quirks { name: "huawei", lists: false, routing: ROUTING, silence: "AT^CURC=0" },
    // The last field of +CNMI must be 1.
    Quirks { name: "siemens", lists: true, routing: &["AT+CNMI=2,1,0,1,1", "AT+CNMI=2,0,0,2,1"], silence: "" },
    Quirks { name: "cinterion", lists: true, routing: &["AT+CNMI=2,1,0,1,1", "AT+CNMI=2,0,0,2,1"], silence: "" },
    // Reading the storage state stops an endless stream of +ZUSIMR.
    Quirks { name: "zte", lists: true, routing: ROUTING, silence: "AT+CPMS?" },
];

impl Quirks {
    pub(super) fn of(maker: &str, model: &str) -> Self {
        let (maker, model) = (maker.to_ascii_lowercase(), model.to_ascii_lowercase());
        let found = QUIRKS.iter().find(|row| maker.starts_with(row.name) || model.starts_with(row.name));
        *found.unwrap_or(&PLAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_go_by_maker_or_model() {
        assert_eq!(Quirks::of("Huawei Technologies", "E1752"), QUIRKS[0]);
        assert_eq!(Quirks::of("", "Cinterion BGS2"), QUIRKS[2]);
        assert_eq!(Quirks::of("Carillon", "sim"), PLAIN);
    }
}
