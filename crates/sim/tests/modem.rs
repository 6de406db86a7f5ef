//! One modem in virtual time: what it answers, and every fault it offers.

use model::Timestamp;
use sim::{
    Event, Fault, FaultPlan, FaultRule, ModemConfig, NetworkConfig, NumberRule, NumberTreatment, Registration,
    ReportMemory, SimModem, card::Entry, fault::Faults,
};
use wire::{
    tpdu::{Address, Carried, Outgoing, Report, StatusReport, TypeOfNumber, at_command_pdu, delivers, submits},
    udh::Reference,
};

const TO: &str = "+4915112345678";
const RECEIPT_MS: u64 = 100;

/// A modem, what it said last and what happened to it.
struct Bench {
    modem: SimModem,
    now: Timestamp,
    /// Texts the network took, in order.
    taken: Vec<(u8, String)>,
    hung_up: Option<Timestamp>,
}

impl Bench {
    fn new(network: NetworkConfig, modem: ModemConfig) -> Self {
        let network = NetworkConfig { receipt_delay_ms: (RECEIPT_MS, RECEIPT_MS), ..network };
        let modem = SimModem::new(&network, &modem, 1, Vec::new());
        Self { modem, now: Timestamp(1_800_000_000_000), taken: Vec::new(), hung_up: None }
    }

    fn plain() -> Self {
        Self::new(NetworkConfig::default(), ModemConfig::default())
    }

    /// A modem set up as its owner would, with these faults from then on.
    fn faulty(faults: &[Fault]) -> Self {
        let mut bench = Self::plain();
        bench.set_up();
        bench.fault(faults);
        bench
    }

    fn set_up(&mut self) {
        for command in ["ATE0", "AT+CMEE=1", "AT+CNMI=2,1,0,1,0"] {
            self.say(&format!("{command}\r"));
        }
    }

    fn fault(&mut self, faults: &[Fault]) {
        let rules = faults.iter().cloned().map(FaultRule::always).collect();
        self.modem.set_faults(Faults::new(FaultPlan { rules }));
    }

    fn output(&mut self) -> String {
        while let Some(event) = self.modem.poll_event() {
            match event {
                Event::Taken(record) => self.taken.push((record.reference, record.text.unwrap_or_default())),
                Event::HangUp { back } => self.hung_up = Some(back),
                Event::Remember(_) | Event::Routed => {}
            }
        }
        String::from_utf8(self.modem.poll_output().unwrap_or_default()).unwrap()
    }

    /// Writes to the modem; gives what it says at once.
    fn say(&mut self, text: &str) -> String {
        self.modem.handle_input(text.as_bytes(), self.now);
        self.output()
    }

    /// Lets time pass; gives what the modem says by itself.
    fn wait(&mut self, ms: i64) -> String {
        self.now = self.now.plus_ms(ms);
        self.modem.handle_timeout(self.now);
        self.output()
    }

    /// Sends a text and gives what comes after the PDU.
    fn send(&mut self, text: &str) -> String {
        let (length, digits) = pdu(text);
        let prompt = self.say(&format!("AT+CMGS={length}\r"));
        assert!(prompt.contains("\r\n> "), "{prompt:?}");
        self.say(&format!("{digits}\x1a"))
    }

    fn report(&mut self) -> StatusReport {
        let said = self.wait(RECEIPT_MS as i64);
        read_report(&said)
    }
}

fn read_report(said: &str) -> StatusReport {
    let mut lines = said.lines().skip_while(|line| !line.starts_with("+CDS: "));
    let length: usize = lines.next().expect(said)["+CDS: ".len()..].parse().unwrap();
    let carried = Carried::from_line(lines.next().unwrap().as_bytes()).unwrap();
    assert_eq!(carried.tpdu.len(), length);
    StatusReport::decode(&carried.tpdu).unwrap()
}

fn pdu(text: &str) -> (usize, String) {
    let to = Address::number(TO).unwrap();
    let outgoing = Outgoing { text, to, reference: Reference::Narrow(1), report: Report::Wanted, validity: None };
    at_command_pdu(&submits(&outgoing).unwrap()[0].encode().unwrap())
}

fn inbound(text: &str) -> Vec<u8> {
    let from = Address::number("+491711111111").unwrap();
    let service_centre_time = wire::tpdu::Timestamp::from_unix_seconds(0, 0);
    let incoming = wire::tpdu::Incoming { text, from, reference: Reference::Narrow(1), service_centre_time };
    delivers(&incoming).unwrap()[0].encode().unwrap()
}

const OK: &str = "\r\nOK\r\n";

#[track_caller]
fn check(bench: &mut Bench, said: &str, expected: &str) {
    assert_eq!(bench.say(said), expected, "after {said:?}");
}

#[test]
fn lines() {
    let bench = &mut Bench::plain();
    check(bench, "AT\r", "AT\r\r\nOK\r\n");
    check(bench, "\r", "\r");
    check(bench, "ATE0\r", "ATE0\r\r\nOK\r\n");
    check(bench, "at\r", OK);
    check(bench, "\r\n\r", "");
    check(bench, "AT+NONSENSE\r", "\r\nERROR\r\n");
    check(bench, "hello\r", "");
    check(bench, "ATE0+CMEE=1\r", OK);
    check(bench, "AT+CMEE=1;+CREG=2\r", OK);
    check(bench, "AT+CMEE?;+NONSENSE;+CREG?\r", "\r\n+CMEE: 1\r\n\r\nERROR\r\n");
    check(bench, "ATV0\r", "0\r");
    check(bench, "AT+CMEE?\r", "+CMEE: 1\r\n0\r");
    check(bench, "AT+X\r", "4\r");
    check(bench, "ATQ1\r", "");
    check(bench, "ATQ0V1\r", OK);
    check(bench, "ATZ\r", OK);
    check(bench, "AT+CMEE?\r", "AT+CMEE?\r\r\n+CMEE: 0\r\n\r\nOK\r\n");
}

#[test]
fn a_pdu_in_command_mode_is_survived() {
    let bench = &mut Bench::plain();
    bench.set_up();
    let (_, digits) = pdu("x");
    check(bench, &format!("{digits}\x1a"), "");
    check(bench, "AT\r", OK);
    check(bench, &format!("{}\r", "A".repeat(100_000)), "");
    check(bench, "AT\r", OK);
    assert!(bench.taken.is_empty());
}

#[test]
fn questions() {
    let bench = &mut Bench::plain();
    bench.set_up();
    for (question, answer) in [
        ("+CPIN?", "+CPIN: READY"),
        ("+CIMI", "262010000000001"),
        ("+CGSN", "490154203237518"),
        ("+CREG?", "+CREG: 0,1"),
        ("+CNMI?", "+CNMI: 2,1,0,1,0"),
        ("+CPMS?", "+CPMS: \"SM\",0,20,\"SM\",0,20,\"SM\",0,20"),
        ("+CPMS=\"ME\",\"SM\"", "+CPMS: 0,20,0,20,0,20"),
        ("+CSMS=?", "+CSMS: (0,1)"),
        ("+CSCA?", "+CSCA: \"+491710760000\",145"),
        ("+COPS=3,2;+COPS?", "+COPS: 0,2,\"26201\""),
        ("+CFUN?", "+CFUN: 1"),
    ] {
        check(bench, &format!("AT{question}\r"), &format!("\r\n{answer}\r\n{OK}"));
    }
    check(bench, "AT+CMGR=1\r", "\r\n+CMS ERROR: 321\r\n");
    check(bench, "AT+CMGD=1\r", "\r\n+CMS ERROR: 321\r\n");
    check(bench, "AT+CNMI=2,1,0,3\r", "\r\nERROR\r\n");
}

#[test]
fn a_send() {
    let bench = &mut Bench::plain();
    bench.set_up();
    let said = bench.send("hello");
    let (reference, text) = bench.taken[0].clone();
    assert_eq!((said, text.as_str()), (format!("\r\n+CMGS: {reference}\r\n{OK}"), "hello"));
    assert_eq!(bench.wait(RECEIPT_MS as i64 - 1), "");
    let said = bench.wait(1);
    let report = read_report(&said);
    assert_eq!((report.reference, report.status.0, report.recipient.to_text().as_str()), (reference, 0, TO));
    assert_eq!(bench.wait(1_000_000), "");
}

#[test]
fn refused_sends() {
    let bench = &mut Bench::plain();
    bench.set_up();
    let (length, digits) = pdu("hello");
    check(bench, "AT+CMGS=\r", "\r\n+CMS ERROR: 304\r\n");
    check(bench, &format!("AT+CMGS={}\r", length + 1), "\r\n> ");
    check(bench, &format!("{digits}\x1a"), "\r\n+CMS ERROR: 304\r\n");
    check(bench, "AT+CMGS=10\r", "\r\n> ");
    check(bench, "no digits\x1a", "\r\n+CMS ERROR: 304\r\n");
    check(bench, "AT+CMGS=10\r", "\r\n> ");
    check(bench, "\x1b", OK);
    check(bench, "AT+CFUN=4\r", OK);
    check(bench, &format!("AT+CMGS={length}\r"), "\r\n> ");
    check(bench, &format!("{digits}\x1a"), "\r\n+CMS ERROR: 331\r\n");
    check(bench, "AT+CFUN=1;+CSCA=\"\"\r", OK);
    check(bench, &format!("AT+CMGS={length}\r"), "\r\n> ");
    check(bench, &format!("{digits}\x1a"), "\r\n+CMS ERROR: 330\r\n");
    // A service centre in front of the PDU is as good as a preset one.
    check(bench, &format!("AT+CMGS={length}\r"), "\r\n> ");
    let said = bench.say(&format!("07919471016700{}\x1a", &format!("00{}", &digits[2..])));
    assert!(said.starts_with("\r\n+CMGS: "), "{said:?}");
    assert_eq!(bench.taken.len(), 1);
}

#[test]
fn the_answer_takes_its_time() {
    let modem = ModemConfig { answer_ms: (500, 500), ..ModemConfig::default() };
    let bench = &mut Bench::new(NetworkConfig::default(), modem);
    bench.set_up();
    assert_eq!(bench.send("slow"), "");
    // What is typed meanwhile waits; no report comes in between.
    assert_eq!(bench.say("AT+CMEE?\r"), "");
    assert_eq!(bench.wait(499), "");
    assert_eq!(bench.taken.len(), 1);
    let said = bench.wait(1);
    let reference = bench.taken[0].0;
    assert!(said.starts_with(&format!("\r\n+CMGS: {reference}\r\n{OK}\r\n+CMEE: 1\r\n{OK}")), "{said:?}");
}

#[test]
fn reports_go_where_the_owner_wants() {
    let bench = &mut Bench::plain();
    bench.set_up();
    bench.send("held");
    check(bench, "AT+CNMI=2,1,0,0,0\r", OK);
    assert_eq!(bench.wait(10_000), "");
    let said = bench.say("AT+CNMI=2,1,0,2,0\r");
    assert_eq!(said, format!("{OK}\r\n+CDSI: \"SR\",1\r\n"));
    let reference = bench.taken[0].0;
    let said = bench.say("AT+CPMS=\"SR\";+CMGR=1\r");
    let line = said.lines().find(|line| line.starts_with("07")).unwrap();
    let report = StatusReport::decode(&Carried::from_line(line.as_bytes()).unwrap().tpdu).unwrap();
    assert_eq!(report.reference, reference);
    check(bench, "AT+CMGD=1\r", OK);
    check(bench, "AT+CMGL=4\r", OK);
}

#[test]
fn acknowledged_service() {
    let bench = &mut Bench::plain();
    bench.set_up();
    bench.say("AT+CSMS=1\r");
    bench.send("x");
    let reference = bench.report().reference;
    assert!(bench.modem.port_was_read().is_none());
    // Without an acknowledgement it comes again to the next owner.
    bench.modem.port_changed();
    let said = bench.say("AT+CNMI=2,1,0,1,0\r");
    assert_eq!(read_report(&said).reference, reference);
    check(bench, "AT+CNMA=1\r", OK);
    check(bench, "AT+CNMA=1\r", "\r\n+CMS ERROR: 340\r\n");
    bench.modem.port_changed();
    check(bench, "AT+CNMI=2,1,0,1,0\r", OK);
}

#[test]
fn inbound_messages() {
    let bench = &mut Bench::new(NetworkConfig::default(), ModemConfig { storage_slots: 1, ..ModemConfig::default() });
    bench.set_up();
    bench.modem.come(inbound("one"), bench.now);
    assert_eq!(bench.output(), "\r\n+CMTI: \"SM\",1\r\n");
    // No room: the network keeps it.
    bench.modem.come(inbound("two"), bench.now);
    assert_eq!(bench.output(), "");
    assert!(bench.say("AT+CMGR=1\r").contains("+CMGR: 0,,"));
    assert!(bench.say("AT+CMGL=4\r").contains("+CMGL: 1,1,,"));
    check(bench, "AT+CMGD=1\r", &format!("{OK}\r\n+CMTI: \"SM\",1\r\n"));
    check(bench, "AT+CMGD=1,4\r", OK);
    check(bench, "AT+CNMI=2,2,0,1,0\r", OK);
    bench.modem.come(inbound("three"), bench.now);
    assert!(bench.output().starts_with("\r\n+CMT: ,"));
}

#[test]
fn numbers_with_a_treatment() {
    let rule = |suffix: &str, treatment| NumberRule { suffix: suffix.to_owned(), treatment };
    for (treatment, statuses) in [
        (NumberTreatment::Reported { statuses: vec![0x20, 0x46] }, vec![0x20, 0x46]),
        (NumberTreatment::Unreported, vec![]),
    ] {
        let numbers = vec![rule("999", NumberTreatment::Unreported), rule("5678", treatment)];
        let bench = &mut Bench::new(NetworkConfig { numbers, ..NetworkConfig::default() }, ModemConfig::default());
        bench.set_up();
        assert!(bench.send("x").ends_with(OK));
        let told: Vec<String> = (0..3).map(|_| bench.wait(RECEIPT_MS as i64)).filter(|said| !said.is_empty()).collect();
        assert_eq!(told.iter().map(|said| read_report(said).status.0).collect::<Vec<_>>(), statuses);
    }
    let numbers = vec![rule("", NumberTreatment::Refused { cms: 38 })];
    let bench = &mut Bench::new(NetworkConfig { numbers, ..NetworkConfig::default() }, ModemConfig::default());
    bench.set_up();
    assert_eq!(bench.send("x"), "\r\n+CMS ERROR: 38\r\n");
    assert!(bench.taken.is_empty());
}

/// What a fault does to the answer after the PDU (`*` is the reference), and whether the message went out.
#[track_caller]
fn check_fault(fault: Fault, expected: &str, out: bool) -> Bench {
    let mut bench = Bench::faulty(std::slice::from_ref(&fault));
    let said = bench.send("x");
    let reference = bench.taken.first().map_or("*".to_owned(), |(reference, _)| reference.to_string());
    assert_eq!(said, expected.replace('*', &reference), "{fault:?}");
    assert_eq!(!bench.taken.is_empty(), out, "{fault:?}");
    let said = bench.wait(RECEIPT_MS as i64);
    if bench.hung_up.is_none() && !matches!(fault, Fault::Reset { .. }) {
        assert_eq!(said.contains("+CDS: "), out, "{fault:?}");
        assert!(bench.say("AT\r").ends_with("OK\r\n"), "{fault:?}");
    }
    bench
}

#[test]
fn faults_after_the_pdu() {
    check_fault(Fault::PduRefused { cms: 332, sent: true }, "\r\n+CMS ERROR: 332\r\n", true);
    check_fault(Fault::PduRefused { cms: 500, sent: false }, "\r\n+CMS ERROR: 500\r\n", false);
    check_fault(Fault::OkMissing, "\r\n+CMGS: *\r\n", true);
    check_fault(Fault::ReferenceMissing { sent: true }, OK, true);
    check_fault(Fault::ReferenceMissing { sent: false }, OK, false);
    check_fault(Fault::AnswerMissing { sent: true }, "", true);
    check_fault(Fault::AnswerMissing { sent: false }, "", false);
    check_fault(Fault::Ban { cms: 8 }, "\r\n+CMS ERROR: 8\r\n", false);
    check_fault(Fault::Ban { cms: 0 }, "", false);
    check_fault(Fault::UrcInside, "\r\n^RSSI: 17\r\n\r\n+CMGS: *\r\n\r\nOK\r\n", true);
    check_fault(Fault::UrcStorm { lines: 2 }, "\r\n+ZUSIMR:0\r\n\r\n+ZUSIMR:1\r\n\r\n+CMGS: *\r\n\r\nOK\r\n", true);
    check_fault(Fault::ExtraCr, "\r\r\n+CMGS: *\r\r\n\r\r\nOK\r\r\n", true);
    check_fault(Fault::GluedLines, "\r\n+CMGS: *\r\nOK\r\n", true);
    check_fault(Fault::Reset { sent: true }, "\r\n^SYSSTART\r\n", true);
    check_fault(Fault::Reset { sent: false }, "\r\n^SYSSTART\r\n", false);
    let bench = check_fault(Fault::HangUp { sent: true, back_ms: 70 }, "", true);
    assert!(bench.hung_up.is_some());
    let bench = check_fault(Fault::SplitWrites, "\r\n+CMGS: *\r\n\r\nOK\r\n", true);
    assert!(bench.modem.splits_writes());
}

#[test]
fn faults_at_the_prompt() {
    let (length, _) = pdu("x");
    let bench = &mut Bench::faulty(&[Fault::PromptMissing]);
    check(bench, &format!("AT+CMGS={length}\r"), "");
    check(bench, "\x1b\rAT\r", OK);
    let bench = &mut Bench::faulty(&[Fault::PromptRefused { cms: 500 }]);
    check(bench, &format!("AT+CMGS={length}\r"), "\r\n+CMS ERROR: 500\r\n");
    let bench = &mut Bench::faulty(&[Fault::UrcInside]);
    check(bench, &format!("AT+CMGS={length}\r"), "\r\n> \r\n^RSSI: 18\r\n");
}

#[test]
fn a_reset_forgets_settings() {
    let bench = &mut Bench::faulty(&[Fault::Reset { sent: true }]);
    bench.send("x");
    // Echo is on again, and nothing is announced.
    check(bench, "AT+CNMI?\r", "AT+CNMI?\r\r\n+CNMI: 0,0,0,0,0\r\n\r\nOK\r\n");
    assert_eq!(bench.wait(10_000), "");
    assert!(bench.say("AT+CNMI=2,1,0,1,0\r").contains("+CDS: "));
}

#[test]
fn a_late_answer() {
    let bench = &mut Bench::faulty(&[Fault::AnswerLate { ms: 5_000 }]);
    assert_eq!(bench.send("x"), "");
    assert_eq!(bench.taken.len(), 1);
    assert_eq!(bench.wait(4_999), "");
    assert!(bench.wait(1).starts_with("\r\n+CMGS: "));
}

#[test]
fn lost_registration_comes_back() {
    let mut bench = Bench::plain();
    bench.set_up();
    bench.say("AT+CREG=1\r");
    bench.fault(&[Fault::RegistrationLost { back_ms: 3_000 }]);
    let (length, digits) = pdu("x");
    assert_eq!(bench.say(&format!("AT+CMGS={length}\r")), "\r\n+CREG: 2\r\n\r\n> ");
    assert_eq!(bench.say(&format!("{digits}\x1a")), "\r\n+CMS ERROR: 331\r\n");
    assert_eq!(bench.modem.poll_timeout(), Some(bench.now.plus_ms(3_000)));
    assert_eq!(bench.wait(3_000), "\r\n+CREG: 1\r\n");
}

#[test]
fn odd_reports() {
    let bench = &mut Bench::faulty(&[Fault::ReportFirst]);
    let said = bench.send("x");
    let (report, answer) = (said.find("+CDS: ").unwrap(), said.find("+CMGS: ").unwrap());
    assert!(report < answer);
    assert_eq!(read_report(&said).reference, bench.taken[0].0);
    assert_eq!(bench.wait(10_000), "");

    let bench = &mut Bench::faulty(&[Fault::ReferenceRepeated]);
    bench.send("one");
    bench.send("two");
    assert_eq!(bench.taken[0].0, bench.taken[1].0);

    let bench = &mut Bench::faulty(&[Fault::ReportNational]);
    bench.send("x");
    let recipient = bench.report().recipient;
    assert_eq!((recipient.ton(), recipient.value()), (TypeOfNumber::National, "015112345678"));

    let bench = &mut Bench::faulty(&[Fault::ReportStatus { status: 0x46 }, Fault::ReportTemporary { status: 0x30 }]);
    bench.send("x");
    assert_eq!(bench.report().status.0, 0x30);
    assert_eq!(bench.report().status.0, 0x46);

    let bench = &mut Bench::faulty(&[Fault::ReportTwice]);
    bench.send("x");
    assert_eq!(bench.report().reference, bench.report().reference);

    let bench = &mut Bench::faulty(&[Fault::ReportMissing]);
    bench.send("x");
    assert_eq!(bench.wait(1_000_000), "");
}

#[test]
fn listing_faults() {
    let bench = &mut Bench::faulty(&[Fault::ListSlow { ms: 20_000 }]);
    check(bench, "AT+CMGL=4\r", "");
    assert_eq!(bench.wait(19_999), "");
    assert_eq!(bench.wait(1), OK);
    let bench = &mut Bench::faulty(&[Fault::ListHang { ms: 60_000 }]);
    check(bench, "AT+CMGL=4\rAT\rAT\r", "");
    assert_eq!(bench.wait(60_000), "");
    check(bench, "AT\r", OK);
}

#[test]
fn lines_nobody_asked_for_in_a_list() {
    let bench = &mut Bench::faulty(&[Fault::ListUrc]);
    bench.modem.come(inbound("one"), bench.now);
    bench.modem.come(inbound("two"), bench.now);
    bench.output();
    let said = bench.say("AT+CMGL=4\r");
    let marks: Vec<&str> =
        said.lines().filter(|line| line.starts_with(['+', '^', 'O'])).map(|line| &line[..2]).collect();
    assert_eq!(marks, ["+C", "^R", "+C", "^R", "OK"]);
}

#[test]
fn reports_among_the_messages() {
    let config = ModemConfig { stored_reports: ReportMemory::Sim, ..ModemConfig::default() };
    let bench = &mut Bench::new(NetworkConfig::default(), config);
    bench.set_up();
    check(bench, "AT+CNMI=2,0,0,2,1\r", OK);
    bench.send("x");
    assert_eq!(bench.wait(RECEIPT_MS as i64), "\r\n+CDSI: \"SM\",1\r\n");
    assert!(bench.say("AT+CPMS?\r").contains("+CPMS: \"SM\",1,20"));
}

#[test]
fn registration() {
    for (registration, stat, sends) in [
        (Registration::Home, 1, true),
        (Registration::Roaming, 5, true),
        (Registration::Searching, 2, false),
        (Registration::Denied, 3, false),
    ] {
        let config = ModemConfig { registration, ..ModemConfig::default() };
        let bench = &mut Bench::new(NetworkConfig::default(), config);
        bench.set_up();
        check(bench, "AT+CREG?\r", &format!("\r\n+CREG: 0,{stat}\r\n{OK}"));
        assert_eq!(bench.send("x").contains("+CMGS"), sends);
    }
}

#[test]
fn codes() {
    let config = ModemConfig { pin: "0000".to_owned(), ..ModemConfig::default() };
    let bench = &mut Bench::new(NetworkConfig::default(), config.clone());
    bench.say("ATE0+CMEE=1\r");
    check(bench, "AT+CPIN?\r", "\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n");
    check(bench, "AT+CIMI\r", "\r\n+CME ERROR: 11\r\n");
    check(bench, "AT+CMGS=20\r", "\r\n+CMS ERROR: 311\r\n");
    check(bench, "AT+CSIM=10,\"0020000100\"\r", "\r\n+CSIM: 4,\"63C3\"\r\n\r\nOK\r\n");
    for left in [2, 1, 0] {
        check(bench, "AT+CPIN=\"1234\"\r", "\r\n+CME ERROR: 16\r\n");
        check(bench, "AT+CPINR=\"SIM PIN\"\r", &format!("\r\n+CPINR: SIM PIN,{left},3\r\n{OK}"));
    }
    check(bench, "AT+CPIN?\r", "\r\n+CPIN: SIM PUK\r\n\r\nOK\r\n");
    // The tries are the SIM's: a power cycle does not bring them back.
    let entries: Vec<Entry> = bench.modem.snapshot();
    bench.modem = SimModem::new(&NetworkConfig::default(), &config, 1, entries);
    bench.say("ATE0+CMEE=1\r");
    check(bench, "AT+CPIN=\"0000\"\r", "\r\n+CME ERROR: 16\r\n");
    check(bench, "AT+CPINR=\"SIM PUK\"\r", "\r\n+CPINR: SIM PUK,9,10\r\n\r\nOK\r\n");
    check(bench, "AT+CPIN=\"12345678\",\"4321\"\r", OK);
    check(bench, "AT+CPIN?\r", "\r\n+CPIN: READY\r\n\r\nOK\r\n");
    check(bench, "AT+CPIN=\"4321\"\r", "\r\n+CME ERROR: 3\r\n");
    check(bench, "AT+CREG?\r", "\r\n+CREG: 0,1\r\n\r\nOK\r\n");
}

#[test]
fn announcing_faults() {
    let bench = &mut Bench::faulty(&[Fault::InboundNowhere]);
    bench.modem.come(inbound("lost"), bench.now);
    assert_eq!(bench.output(), "\r\n+CMTI: ,-1\r\n");
    check(bench, "AT+CMGL=4\r", OK);
    let bench = &mut Bench::faulty(&[Fault::StoredReportTrap]);
    check(bench, "AT+CNMI=2,1,0,2,0\r", OK);
    bench.send("x");
    assert_eq!(bench.wait(RECEIPT_MS as i64), "\r\n+CDSI: \"SM\",0\r\n");
}

#[test]
fn the_same_seed_does_the_same() {
    let run = || {
        let rule = FaultRule { probability: 0.3, ..FaultRule::always(Fault::AnswerMissing { sent: true }) };
        let faults = FaultPlan { rules: vec![rule] };
        let bench = &mut Bench::new(
            NetworkConfig::default(),
            ModemConfig { faults, answer_ms: (0, 50), ..ModemConfig::default() },
        );
        bench.set_up();
        (0..50).map(|_| bench.send("x") + &bench.wait(50)).collect::<Vec<_>>()
    };
    let said = run();
    assert_eq!(said, run());
    assert!(said.iter().any(|said| said.contains("+CMGS")) && said.iter().any(|said| !said.contains("+CMGS")));
}

#[test]
fn no_input_panics() {
    let bench = &mut Bench::plain();
    let mut state = 1_u64;
    for _ in 0..200_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let bytes = b"AT+CMGS=23\r\x1a\x1b0?;\"&EZ \xff";
        let byte = bytes[(state >> 33) as usize % bytes.len()];
        bench.modem.handle_input(&[byte], bench.now);
        drop(bench.modem.poll_output());
    }
}
