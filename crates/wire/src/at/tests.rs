//! Scripted dialogues: what a modem says, word by word, and what must come of it.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const REPORT: &str = "07919471016700000622 0C91947112325476 62112101000080 62112101500080 00";

/// A session and the words exchanged with it, on a clock of its own.
struct Dialogue {
    session: Session,
    now: Instant,
}

/// Answers to the bring-up of a plain modem.
fn answer_to(command: &str) -> String {
    let value = match command {
        "AT+CGMI" => "Carillon",
        "AT+CGMM" => "Sim",
        "AT+CGMR" => "1.0",
        "AT+CGSN" => "490154203237518",
        "AT+CFUN?" => "+CFUN: 1",
        "AT+CCID" => "+CCID: 8949020000000000001F",
        "AT+CPIN?" => "+CPIN: READY",
        "AT+CIMI" => "262019876543210",
        "AT+CSCA?" => "+CSCA: \"+491710760000\",145",
        "AT+CREG?" => "+CREG: 2,1",
        "AT+COPS?" => "+COPS: 0,2,\"26201\",7",
        "AT+CSQ" => "+CSQ: 21,99",
        "AT+CPMS=\"SM\",\"SM\",\"SM\"" => "+CPMS: 0,30,0,30,0,30",
        _ => "",
    };
    if value.is_empty() { "\r\nOK\r\n".to_owned() } else { format!("\r\n{value}\r\n\r\nOK\r\n") }
}

impl Dialogue {
    fn new(profile: Profile) -> Self {
        let now = Instant::now();
        let mut session = Session::new(profile, now);
        session.opened(now);
        Self { session, now }
    }

    /// A dialogue whose bring-up went well, with the events of it fetched.
    fn ready() -> Self {
        let mut dialogue = Self::new(Profile { command_gap: Duration::ZERO, ..Profile::default() });
        dialogue.bring_up(answer_to);
        assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]));
        dialogue.expect("AT+CMGL=4\r");
        dialogue.say("\r\nOK\r\n");
        dialogue
    }

    /// Answers every command until the modem is ready, or nothing more is said.
    fn bring_up(&mut self, answer: impl Fn(&str) -> String) {
        for _ in 0..2000 {
            while let Some(bytes) = self.session.poll_output() {
                let text = String::from_utf8(bytes).unwrap();
                let command = text.trim_matches(['\r', '\x1b']);
                if command.starts_with("AT+CMGL") || (command.is_empty() && text.contains('\u{1a}')) {
                    self.session.output_back(text);
                    return;
                }
                if !command.is_empty() {
                    self.session.handle_input(answer(command).as_bytes(), self.now);
                }
            }
            if matches!(self.session.phase, session::Phase::Closed | session::Phase::Down | session::Phase::AwaitPin(_))
            {
                return;
            }
            let Some(at) = self.session.poll_timeout() else { return };
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
        }
        panic!("the bring-up has no end: {:?}", self.session);
    }

    fn submit(&mut self) {
        let tpdu = hex("3100 0C919471123254760000FF0AE8329BFD06C1CB6539");
        self.session.submit(Submit::new(tpdu).unwrap(), self.now).unwrap();
        self.expect("AT+CMGS=23\r");
    }

    fn submitted(&mut self) {
        self.submit();
        self.say("\r\n> ");
        self.expect("0031000C919471123254760000FF0AE8329BFD06C1CB6539\x1a");
        assert_eq!(self.events(), [Event::PduWritten]);
    }

    fn say(&mut self, text: &str) {
        self.session.handle_input(text.as_bytes(), self.now);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
        }
        self.now = until;
    }

    #[track_caller]
    fn expect(&mut self, output: &str) {
        let seen = self.session.poll_output().map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(seen.as_deref(), Some(output));
    }

    #[track_caller]
    fn silent(&mut self) {
        assert_eq!(self.session.poll_output(), None);
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }
}

fn hex(text: &str) -> Vec<u8> {
    let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    reply::hex_bytes(text.as_bytes()).unwrap()
}

fn joined(text: &str) -> String {
    text.replace(' ', "")
}

fn report_tpdu() -> Vec<u8> {
    hex(REPORT).split_off(8)
}

#[test]
fn a_plain_modem_comes_up_and_tells_who_it_is() {
    let mut dialogue = Dialogue::new(Profile::default());
    dialogue.bring_up(answer_to);
    let events = dialogue.events();
    let [Event::Ready(identity)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(identity.imsi, "262019876543210");
    assert_eq!(identity.imei, "490154203237518");
    assert_eq!(identity.iccid, "8949020000000000001");
    assert_eq!(identity.network, "26201");
    assert_eq!(identity.signal, 21);
    assert_eq!(identity.registration, Registration::Home);
    assert!(!format!("{identity:?}").contains("26201987"));
}

#[test]
fn soft_steps_may_fail_and_chains_fall_back() {
    let mut dialogue = Dialogue::new(Profile::default());
    dialogue.bring_up(|command| match command {
        // As oFono's phonesim: a bare AT is an error.
        "AT" | "ATV1" | "AT+CMEE=1" | "AT+CGMI" | "AT+CSMS=0" | "AT+CNMI=2,1,0,1,0" => "\r\nERROR\r\n".to_owned(),
        "AT+CPMS=\"SM\",\"SM\",\"SM\"" | "AT+CREG?" => "\r\n+CME ERROR: 4\r\n".to_owned(),
        "AT+CEREG?" => "\r\n+CEREG: 2,5,\"1A2B\",\"01C3D4E5\",7\r\n\r\nOK\r\n".to_owned(),
        other => answer_to(other),
    });
    let events = dialogue.events();
    let [Event::Ready(identity)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(identity.registration, Registration::Roaming);
    assert_eq!(dialogue.session.home, Memory::Device);
}

#[test]
fn the_bring_up_survives_echo_digits_and_a_missing_ok() {
    let mut dialogue = Dialogue::new(Profile::default());
    dialogue.bring_up(|command| match command {
        "AT" | "ATE0" => format!("{command}\r0\r"),
        "AT+CPIN?" => "\r\n+CPIN:\"READY\"\r\n".to_owned(),
        other => format!("{other}\r\r{}", answer_to(other).replace("\r\n", "\r\r\n")),
    });
    assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]));
}

#[test]
fn a_sim_that_cannot_be_used_stops_the_session() {
    let check = |answers: &'static [(&'static str, &'static str)], expected: Down| {
        let mut dialogue = Dialogue::new(Profile::default());
        dialogue.bring_up(|command| match answers.iter().find(|(name, _)| *name == command) {
            Some((_, line)) => format!("\r\n{line}\r\n"),
            None => answer_to(command),
        });
        assert_eq!(dialogue.events().last(), Some(&Event::Down(expected)), "{answers:?}");
    };
    check(&[("AT+CPIN?", "+CME ERROR: 10")], Down::SimMissing);
    check(&[("AT+CPIN?", "+CPIN: SIM PUK\r\n\r\nOK")], Down::PukNeeded);
    check(&[("AT+CPIN?", "+CME ERROR: 262")], Down::SimFailed);
    check(&[("AT+CIMI", "ERROR")], Down::NoIdentity);
    check(&[("AT+CIMI", "OK")], Down::NoIdentity);
    check(&[("AT+CREG?", "+CREG: 2,3\r\n\r\nOK"), ("AT+CEREG?", "ERROR")], Down::RegistrationDenied);
    check(&[("AT+CREG?", "+CREG: 2,2\r\n\r\nOK"), ("AT+CEREG?", "+CEREG: 2,4\r\n\r\nOK")], Down::NotRegistered);
    check(&[("AT+CSCA?", "+CSCA: \"\"\r\n\r\nOK")], Down::NoServiceCentre);
}

#[test]
fn a_busy_sim_is_asked_again() {
    let mut dialogue = Dialogue::new(Profile::default());
    let asked = std::cell::Cell::new(0);
    dialogue.bring_up(|command| {
        if command == "AT+CPIN?" && asked.replace(asked.get() + 1) < 5 {
            return "\r\n+CME ERROR: 14\r\n".to_owned();
        }
        answer_to(command)
    });
    assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]));
    assert_eq!(asked.get(), 6);
}

#[test]
fn a_pin_is_asked_for_with_its_tries_and_entered_once() {
    let locked = |command: &str| match command {
        "AT+CPIN?" => "\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n".to_owned(),
        "AT+CPINR=\"SIM PIN\"" => "\r\nERROR\r\n".to_owned(),
        "AT+CSIM=10,\"0020000100\"" => "\r\n+CSIM: 4,\"63C3\"\r\n\r\nOK\r\n".to_owned(),
        other => answer_to(other),
    };
    let mut dialogue = Dialogue::new(Profile::default());
    dialogue.bring_up(locked);
    let events = dialogue.events();
    assert!(matches!(events.as_slice(), [Event::PinNeeded { tries_left: Some(3), .. }]), "{events:?}");
    dialogue.session.enter_pin(&Pin::parse("1234").unwrap(), dialogue.now);
    assert!(!format!("{:?}", dialogue.session).contains("1234"));
    dialogue.expect("AT+CPIN=\"1234\"\r");
    dialogue.say("\r\nOK\r\n");
    dialogue.bring_up(answer_to);
    assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]));

    let mut dialogue = Dialogue::new(Profile::default());
    dialogue.bring_up(locked);
    dialogue.session.enter_pin(&Pin::parse("1234").unwrap(), dialogue.now);
    dialogue.expect("AT+CPIN=\"1234\"\r");
    dialogue.say("\r\n+CME ERROR: 16\r\n");
    assert_eq!(dialogue.events().last(), Some(&Event::Down(Down::PinRefused)));

    let mut dialogue = Dialogue::new(Profile::default());
    dialogue.bring_up(locked);
    dialogue.session.decline_pin();
    assert_eq!(dialogue.events().last(), Some(&Event::Down(Down::PinNeeded)));
}

#[test]
fn a_message_is_sent_after_the_prompt_and_accepted_with_its_reference() {
    let mut dialogue = Dialogue::ready();
    dialogue.submitted();
    assert_eq!(dialogue.session.submit(Submit::new(vec![0; 23]).unwrap(), dialogue.now), Err(SubmitRefused::Busy));
    dialogue.say("\r\n+CMGS: 34\r\n");
    assert_eq!(dialogue.events(), []);
    dialogue.say("\r\nOK\r\n");
    assert_eq!(dialogue.events(), [Event::Accepted { reference: Some(34) }]);
    dialogue.submit();
}

#[test]
fn the_pdu_waits_for_the_prompt_whatever_else_comes() {
    let mut dialogue = Dialogue::ready();
    dialogue.submit();
    dialogue.say("AT+CMGS=23\r\r\n+CREG: 1,\"A>B\"\r\nRING\r\n\r\n+COPS: 0,0,\"> OKTEL\"\r\n");
    dialogue.silent();
    dialogue.say(">");
    dialogue.expect("0031000C919471123254760000FF0AE8329BFD06C1CB6539\x1a");
    // The rest of the prompt, the echo of the PDU, and unasked lines.
    dialogue.say(" 0031000C919471123254760000FF0AE8329BFD06C1CB6539\x1a\r\n+CSQ: 3,99\r\n\r\n+CMGS: 7,\"26/11/21,10:00:00+04\"\r\nNO CARRIER\r\n\r\nOK\r\n");
    assert_eq!(dialogue.events(), [Event::PduWritten, Event::Accepted { reference: Some(7) }]);
}

#[test]
fn no_pdu_follows_an_error_at_the_prompt() {
    let mut dialogue = Dialogue::ready();
    dialogue.submit();
    dialogue.say("\r\n+CMS ERROR: 500\r\n");
    dialogue.silent();
    let refused = Event::Refused { fault: Fault::Cms(500), class: Class::Retry, stage: Stage::BeforePdu };
    assert_eq!(dialogue.events(), [refused]);
    // A prompt that comes all the same is not ours.
    dialogue.say("\r\n> ");
    dialogue.silent();
}

#[test]
fn a_missing_prompt_means_not_sent_and_is_left_by_escape() {
    let mut dialogue = Dialogue::ready();
    dialogue.submit();
    dialogue.pass(Duration::from_secs(9));
    assert_eq!(dialogue.events(), []);
    dialogue.pass(Duration::from_secs(2));
    assert_eq!(dialogue.events(), [Event::NotSent]);
    dialogue.expect("\x1b\r");
    dialogue.expect("AT\r");
    dialogue.say("\r\nOK\r\n");
    dialogue.pass(Duration::from_secs(1));
    dialogue.submit();
}

#[test]
fn silence_after_the_pdu_is_unknown_after_the_full_time() {
    let mut dialogue = Dialogue::ready();
    dialogue.submitted();
    dialogue.pass(Duration::from_secs(119));
    assert_eq!(dialogue.events(), []);
    dialogue.pass(Duration::from_secs(2));
    assert_eq!(dialogue.events(), [Event::Unknown]);
    dialogue.expect("\x1b\r");
}

#[test]
fn results_after_the_pdu_are_told_apart() {
    let check = |said: &str, expected: Event| {
        let mut dialogue = Dialogue::ready();
        dialogue.submitted();
        dialogue.say(said);
        assert_eq!(dialogue.events().first(), Some(&expected), "{said:?}");
    };
    let refused = |fault, class| Event::Refused { fault, class, stage: Stage::AfterPdu };
    check("\r\n+CMS ERROR: 332\r\n", Event::Unknown);
    check("\r\n+CMS ERROR: 197\r\n", Event::Accepted { reference: None });
    check("\r\n+CMS ERROR: 1\r\n", refused(Fault::Cms(1), Class::Message));
    check("\r\n+CMS ERROR: 38\r\n", refused(Fault::Cms(38), Class::Retry));
    check("\r\n+CMS ERROR: 304\r\n", refused(Fault::Cms(304), Class::Bug));
    check("\r\n+CMS ERROR: 8\r\n", refused(Fault::Cms(8), Class::Sim));
    check("\r\nERROR\r\n", refused(Fault::Bare, Class::Device));
    check("\r\nOK\r\n", Event::Unknown);
    check("\r\nRDY\r\n", Event::Unknown);
    check("\r\n^SYSSTART\r\n", Event::Unknown);
    check("\r\n+CMGS: 5\r\n\r\nRDY\r\n", Event::Accepted { reference: Some(5) });
}

#[test]
fn the_same_fault_in_a_row_weighs_more() {
    let mut dialogue = Dialogue::ready();
    for class in [Class::Retry, Class::Retry, Class::Sim] {
        dialogue.submitted();
        dialogue.say("\r\n+CMS ERROR: 21\r\n");
        assert_eq!(dialogue.events(), [Event::Refused { fault: Fault::Cms(21), class, stage: Stage::AfterPdu }]);
    }
}

#[test]
fn a_reference_without_ok_is_accepted() {
    let mut dialogue = Dialogue::ready();
    dialogue.submitted();
    dialogue.say("\r\n+CMGS: 34\r\n");
    dialogue.pass(Duration::from_secs(6));
    assert_eq!(dialogue.events(), [Event::Accepted { reference: Some(34) }]);
    dialogue.expect("AT\r");
}

#[test]
fn a_lost_port_ends_a_message_by_what_is_known() {
    let mut dialogue = Dialogue::ready();
    dialogue.submit();
    dialogue.session.closed();
    assert_eq!(dialogue.events(), [Event::NotSent, Event::NotReady]);

    let mut dialogue = Dialogue::ready();
    dialogue.submitted();
    dialogue.session.closed();
    assert_eq!(dialogue.events(), [Event::Unknown, Event::NotReady]);
    assert_eq!(dialogue.session.submit(Submit::new(vec![0; 23]).unwrap(), dialogue.now), Err(SubmitRefused::NotReady));

    dialogue.session.opened(dialogue.now);
    dialogue.bring_up(answer_to);
    assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]));
}

#[test]
fn a_restart_means_the_whole_bring_up_again() {
    for line in ["RDY", "SMS Ready", "+CPIN: NOT READY", "NORMAL POWER DOWN"] {
        let mut dialogue = Dialogue::ready();
        dialogue.say(&format!("\r\n{line}\r\n"));
        assert_eq!(dialogue.events(), [Event::NotReady], "{line}");
        dialogue.bring_up(answer_to);
        assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]), "{line}");
    }
    let mut dialogue = Dialogue::ready();
    dialogue.say("\r\n^BOOT:27710117,0,0,0,72\r\n\r\n^BOOT:27710117,0,0,0,72\r\n");
    assert_eq!(dialogue.events(), []);
    dialogue.say("\r\n^BOOT:99,0,0,0,72\r\n");
    assert_eq!(dialogue.events(), [Event::NotReady]);
}

#[test]
fn reports_come_directly_even_before_the_reference() {
    let mut dialogue = Dialogue::ready();
    dialogue.submitted();
    dialogue.say(&format!("\r\n+CDS: 25\r\n{}\r\n\r\n+CMGS: 34\r\n\r\nOK\r\n", joined(REPORT)));
    assert_eq!(
        dialogue.events(),
        [Event::Report { tpdu: report_tpdu(), slot: None }, Event::Accepted { reference: Some(34) }]
    );
}

#[test]
fn a_stored_report_is_read_from_its_own_store_and_deleted_when_released() {
    let mut dialogue = Dialogue::ready();
    dialogue.say("\r\n+CDSI: \"SR\",3\r\n");
    dialogue.expect("AT+CPMS=\"SR\"\r");
    dialogue.say("\r\n+CPMS: 1,10,0,30,0,30\r\n\r\nOK\r\n");
    dialogue.expect("AT+CMGR=3\r");
    dialogue.say(&format!("\r\n+CMGR: 0,,25\r\n{}\r\n\r\nOK\r\n", joined(REPORT)));
    let slot = Slot { memory: Memory::Reports, index: 3 };
    assert_eq!(dialogue.events(), [Event::Report { tpdu: report_tpdu(), slot: Some(slot) }]);
    dialogue.silent();
    dialogue.session.release(slot, dialogue.now);
    dialogue.expect("AT+CMGD=3\r");
    dialogue.say("\r\nOK\r\n");
    dialogue.session.release(slot, dialogue.now);
    dialogue.silent();
    // The next sweep goes back to the usual store.
    dialogue.pass(Duration::from_secs(31));
    dialogue.expect("AT+CREG?\r");
    dialogue.say("\r\n+CREG: 2,1\r\n\r\nOK\r\n");
    dialogue.pass(Duration::from_secs(29));
    dialogue.expect("AT+CPMS=\"SM\"\r");
}

#[test]
fn an_inbound_message_is_read_once_and_kept_until_released() {
    let inbound = "07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07";
    let mut dialogue = Dialogue::ready();
    dialogue.say("\r\n+CMTI: \"SM\",1\r\n");
    dialogue.expect("AT+CMGR=1\r");
    dialogue.say(&format!("\r\n+CMGR: 0,,30\r\n{inbound}\r\n\r\nOK\r\n"));
    let slot = Slot { memory: Memory::Sim, index: 1 };
    let tpdu = hex(inbound).split_off(8);
    assert_eq!(dialogue.events(), [Event::Inbound { tpdu: tpdu.clone(), slot: Some(slot) }]);
    // A sweep sees it again, with another between the two lines of a pair; it is not handed out twice.
    dialogue.pass(Duration::from_secs(31));
    dialogue.expect("AT+CREG?\r");
    dialogue.say("\r\n+CREG: 2,1\r\n\r\nOK\r\n");
    dialogue.pass(Duration::from_secs(30));
    dialogue.expect("AT+CMGL=4\r");
    dialogue.say(&format!("\r\n+CMGL: 1,1,,30\r\n+CMTI: \"SM\",4\r\n{inbound}\r\n+CMGL: 2,1,,30\r\n{inbound}\r\n+CMGL: 3,3,,30\r\n{inbound}\r\n\r\nOK\r\n"));
    assert_eq!(dialogue.events(), [Event::Inbound { tpdu: tpdu.clone(), slot: Some(Slot { index: 2, ..slot }) }]);
    dialogue.expect("AT+CMGR=4\r");
    dialogue.say("\r\n+CMS ERROR: 321\r\n");
    assert_eq!(dialogue.events(), []);
    dialogue.say(&format!("\r\n+CMT: ,30\r\n{inbound}\r\n"));
    assert_eq!(dialogue.events(), [Event::Inbound { tpdu, slot: None }]);
}

#[test]
fn a_notice_without_a_place_turns_on_direct_delivery() {
    let mut dialogue = Dialogue::ready();
    dialogue.say("\r\n+CMTI: ,-1\r\n");
    dialogue.expect("AT+CNMI=2,2,0,1,0\r");
}

#[test]
fn a_modem_that_cannot_list_is_read_slot_by_slot() {
    let mut dialogue = Dialogue::new(Profile { command_gap: Duration::ZERO, ..Profile::default() });
    dialogue.bring_up(answer_to);
    dialogue.expect("AT+CMGL=4\r");
    dialogue.say("\r\nERROR\r\n");
    for index in 0..=30 {
        dialogue.expect(&format!("AT+CMGR={index}\r"));
        dialogue.say("\r\nOK\r\n");
    }
    dialogue.silent();
}

#[test]
fn messages_and_stores_take_turns() {
    let mut dialogue = Dialogue::ready();
    dialogue.submitted();
    dialogue.say("\r\n+CMTI: \"SM\",1\r\n+CMTI: \"SM\",2\r\n\r\n+CMGS: 1\r\n\r\nOK\r\n");
    dialogue.expect("AT+CMGR=1\r");
    dialogue.session.submit(Submit::new(vec![0; 23]).unwrap(), dialogue.now).unwrap();
    dialogue.say("\r\nOK\r\n");
    dialogue.expect("AT+CMGS=23\r");
    dialogue.say("\r\n+CMS ERROR: 500\r\n");
    dialogue.expect("AT+CMGR=2\r");
}

#[test]
fn a_dead_modem_is_climbed_to_the_top_and_given_up() {
    let mut dialogue = Dialogue::new(Profile::default());
    dialogue.pass(Duration::from_secs(60));
    assert_eq!(dialogue.events(), [Event::Reopen]);
    dialogue.session.opened(dialogue.now);
    dialogue.pass(Duration::from_secs(60));
    assert_eq!(dialogue.events(), [Event::Down(Down::NoAnswer)]);
    assert_eq!(dialogue.session.poll_timeout(), None);
}

#[test]
fn a_driver_may_ask_for_a_reset_or_a_radio_cycle() {
    let mut dialogue = Dialogue::ready();
    dialogue.session.recover(Rung::Radio, dialogue.now);
    assert_eq!(dialogue.events(), [Event::NotReady]);
    dialogue.expect("\x1b\r");
    let seen = std::cell::RefCell::new(Vec::new());
    dialogue.bring_up(|command| {
        seen.borrow_mut().push(command.to_owned());
        answer_to(command)
    });
    assert_eq!(seen.borrow()[..4], ["AT", "AT+CFUN=4", "AT+CFUN=1", "ATE0"]);
    assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]));
}

#[test]
fn a_lost_registration_pauses_sending_until_it_is_back() {
    let mut dialogue = Dialogue::ready();
    dialogue.pass(Duration::from_secs(31));
    dialogue.expect("AT+CREG?\r");
    dialogue.say("\r\n+CREG: 2,2\r\n\r\nOK\r\n");
    assert_eq!(dialogue.events(), [Event::NotReady]);
    dialogue.bring_up(answer_to);
    assert!(matches!(dialogue.events().as_slice(), [Event::Ready(_)]));
}

#[test]
fn a_storm_of_lines_is_counted_and_harmless() {
    let mut dialogue = Dialogue::ready();
    for _ in 0..10_000 {
        dialogue.say("\r\n^RSSI: 12\r\njunk\r\n");
    }
    assert_eq!(dialogue.events(), []);
    assert_eq!(dialogue.session.junk_lines(), 10_000);
    dialogue.submitted();
}

/// Fragments of what modems say, to be joined at random with noise between.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static str> = vec![
        "\r\nOK\r\n",
        "\r\nERROR\r\n",
        "\r\n> ",
        ">",
        "\r\n+CMGS: 34\r\n",
        "\r\n+CMGS: 999\r\n",
        "\r\n+CMS ERROR: 332\r\n",
        "\r\n+CMS ERROR: 21\r\n",
        "\r\n+CDS: 25\r\n",
        "079194710167000006220C9194711232547662112101000080621121015000800\r\n",
        "\r\n+CMTI: \"SM\",1\r\n",
        "\r\n+CMTI: ,-1\r\n",
        "\r\n+CMGL: 1,1,,30\r\n",
        "\r\n+CMGR: 0,,30\r\n",
        "\r\nRDY\r\n",
        "\r\n+CREG: 0\r\n",
        "\r\n+CREG: 2,1\r\n",
        "\r\n+CPIN: SIM PIN\r\n",
        "\r\n+CPIN: READY\r\n",
        "262019876543210\r\n",
        "0\r",
        "4\r",
        "\r\n^BOOT:1,2\r\n",
        "\r\n^BOOT:2,2\r\n",
        "+CPMS: 1,255,1,255\r\n",
    ];
    prop_oneof![
        4 => proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

/// One thing that may be done to a session.
#[derive(Debug, Clone)]
enum Act {
    Say(Vec<u8>),
    Pass(u64),
    Submit,
    Close,
    Open,
    Recover(u8),
    Pin,
    Release(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => fragment().prop_map(Act::Say),
        4 => (0u64..40_000).prop_map(Act::Pass),
        3 => Just(Act::Submit),
        1 => Just(Act::Close),
        1 => Just(Act::Open),
        1 => (0u8..5).prop_map(Act::Recover),
        1 => Just(Act::Pin),
        1 => (0u16..3).prop_map(Act::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing a modem says makes the session panic; every message ends once; a PDU follows nothing but a prompt.
    #[test]
    fn no_input_panics_and_every_message_ends_once(from_ready: bool, acts in proptest::collection::vec(act(), 0..80)) {
        let mut dialogue = if from_ready { Dialogue::ready() } else { Dialogue::new(Profile::default()) };
        let (mut taken, mut ended, mut written) = (0, 0, 0);
        let rungs = [Rung::Drain, Rung::Escape, Rung::Reopen, Rung::Reset, Rung::Radio];
        for act in acts {
            match act {
                Act::Say(bytes) => dialogue.session.handle_input(&bytes, dialogue.now),
                Act::Pass(milliseconds) => dialogue.pass(Duration::from_millis(milliseconds)),
                Act::Submit => taken += i32::from(dialogue.session.submit(Submit::new(vec![1; 30]).unwrap(), dialogue.now).is_ok()),
                Act::Close => dialogue.session.closed(),
                Act::Open => dialogue.session.opened(dialogue.now),
                Act::Recover(rung) => dialogue.session.recover(rungs[usize::from(rung)], dialogue.now),
                Act::Pin => dialogue.session.enter_pin(&Pin::parse("0000").unwrap(), dialogue.now),
                Act::Release(index) => dialogue.session.release(Slot { memory: Memory::Sim, index }, dialogue.now),
            }
            for event in dialogue.events() {
                written += i32::from(event == Event::PduWritten);
                ended += i32::from(matches!(event, Event::Accepted { .. } | Event::Refused { .. } | Event::NotSent | Event::Unknown));
            }
            prop_assert!(taken - ended == 0 || taken - ended == 1);
            prop_assert!(written <= taken);
            while let Some(bytes) = dialogue.session.poll_output() {
                prop_assert!(bytes.ends_with(b"\r") || bytes.ends_with(b"\x1a"));
            }
        }
        dialogue.session.closed();
        for event in dialogue.events() {
            ended += i32::from(matches!(event, Event::Accepted { .. } | Event::Refused { .. } | Event::NotSent | Event::Unknown));
        }
        prop_assert_eq!(taken, ended);
    }
}
