//! The codec by bytes, the session by scenes, and both by bytes nobody would send.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::session::{Arrival, Profile, Verdict};
use super::*;

mod scenes;

const SECOND: Duration = Duration::from_secs(1);

fn bind() -> Bind {
    let text = str::to_owned;
    Bind {
        system_id: text("SMPP3TEST"),
        password: text("secret08"),
        system_type: text("SUBMIT1"),
        interface_version: 0x34,
        addresses: Address { ton: 1, npi: 1, text: String::new() },
    }
}

fn profile() -> Profile {
    Profile {
        mode: Mode::Transceiver,
        bind: bind(),
        window: 4,
        bind_wait: 10 * SECOND,
        answer_wait: 60 * SECOND,
        enquire_after: 30 * SECOND,
        enquire_wait: 10 * SECOND,
        unbind_wait: 5 * SECOND,
        arrivals_max: 3,
        pause_first: SECOND,
        pause_longest: 30 * SECOND,
        statuses: BTreeMap::new(),
    }
}

fn message() -> Message {
    Message {
        source: Address::new(5, 0, "Shop").unwrap(),
        destination: Address::new(1, 1, "447700900123").unwrap(),
        validity: "000001000000000R".to_owned(),
        registered_delivery: 1,
        short_message: b"Hello".to_vec(),
        ..Message::default()
    }
}

#[track_caller]
fn check(pdu: &Pdu, hex: &str) {
    let octets: Vec<u8> = crate::tpdu::from_hex(hex.replace([' ', '\n'], "").as_bytes()).unwrap();
    assert_eq!(crate::tpdu::to_hex(&pdu.encode()), crate::tpdu::to_hex(&octets));
    assert_eq!(Pdu::decode(&octets).as_ref(), Ok(pdu));
}

fn answer(status: u32, sequence: u32, body: Body) -> Pdu {
    Pdu { status: Status(status), sequence, body }
}

#[test]
fn pdus_by_their_octets() {
    let transmitter = Pdu::request(1, Body::Bind(Mode::Transmitter, bind()));
    check(
        &transmitter,
        "0000002F 00000002 00000000 00000001
         534D50503354455354 00 7365637265743038 00 5355424D495431 00 34 01 01 00",
    );
    let resp = BindResp { system_id: "MC".into(), tlvs: Tlvs::default().with(Tag::INTERFACE_VERSION, vec![0x34]) };
    check(
        &answer(0, 1, Body::BindResp(Mode::Transceiver, resp)),
        "00000018 80000009 00000000 00000001 4D4300 0210 0001 34",
    );
    check(
        &Pdu::request(2, Body::Message(Kind::Submit, Box::new(message()))),
        "00000046 00000004 00000000 00000002 00 05 00 53686F7000 01 01 34343737303039303031323300 00 00 00
         00 3030303030313030303030303030305200 01 00 00 00 05 48656C6C6F",
    );
    check(
        &answer(0, 2, Body::MessageResp(Kind::Submit, "1A2B".into())),
        "00000015 80000004 00000000 00000002 3141324200",
    );
    let mut data = Message { short_message: Vec::new(), validity: String::new(), ..message() };
    data.tlvs = Tlvs::default().with(Tag::MESSAGE_PAYLOAD, b"Hello".to_vec());
    check(
        &Pdu::request(3, Body::Message(Kind::Data, Box::new(data))),
        "00000033 00000103 00000000 00000003 00 05 00 53686F7000 01 01 34343737303039303031323300 00 01 00
         0424 0005 48656C6C6F",
    );
    check(&answer(0, 9, Body::MessageResp(Kind::Deliver, String::new())), "00000011 80000005 00000000 00000009 00");
    check(&Pdu::request(4, Body::EnquireLink), "00000010 00000015 00000000 00000004");
    check(&answer(0, 4, Body::EnquireLinkResp), "00000010 80000015 00000000 00000004");
    check(&Pdu::request(5, Body::Unbind), "00000010 00000006 00000000 00000005");
    check(&answer(0, 5, Body::UnbindResp), "00000010 80000006 00000000 00000005");
    check(&answer(3, 6, Body::GenericNack), "00000010 80000000 00000003 00000006");
    check(&Pdu::request(7, Body::Other(0x0200)), "00000010 00000200 00000000 00000007");
}

fn read(hex: &str) -> Result<Pdu, Unreadable> {
    Pdu::decode(&crate::tpdu::from_hex(hex.replace(' ', "").as_bytes()).unwrap())
}

#[test]
fn careless_suppliers_are_read() {
    // A refusal without a body, and one with.
    let refused = answer(0x58, 2, Body::MessageResp(Kind::Submit, String::new()));
    assert_eq!(read("00000010 80000004 00000058 00000002"), Ok(refused.clone()));
    assert_eq!(read("00000011 80000004 00000058 00000002 00"), Ok(refused));
    // No body though it was taken; an id without its zero.
    assert_eq!(
        read("00000010 80000004 00000000 00000002"),
        Ok(answer(0, 2, Body::MessageResp(Kind::Submit, "".into())))
    );
    assert_eq!(
        read("00000012 80000004 00000000 00000002 3141").unwrap().body,
        Body::MessageResp(Kind::Submit, "1A".into())
    );
    assert_eq!(read("00000010 80000009 0000000E 00000001").unwrap().status, Status::INVALID_PASSWORD);
    // An optional parameter that is cut: those before it count.
    let mut octets = Pdu::request(1, Body::Message(Kind::Deliver, Box::new(message()))).encode();
    octets.extend([0x04, 0x27, 0, 1, 2, 0x00, 0x1e, 0, 9, b'1']);
    let Ok(Pdu { body: Body::Message(_, read), .. }) = Pdu::decode(&octets) else { panic!("it can be read") };
    assert_eq!((read.tlvs.number(Tag::MESSAGE_STATE), read.tlvs.string(Tag::RECEIPTED_MESSAGE_ID)), (Some(2), None));
}

#[test]
fn what_cannot_be_read_tells_whom_to_answer() {
    let unreadable = read("00000012 00000005 00000000 00000007 0001").unwrap_err();
    let error = PduError::Cut { field: "source_addr" };
    assert_eq!(unreadable, Unreadable { command: 5, status: Status::OK, sequence: 7, error });
}

#[test]
fn passwords_numbers_and_texts_stay_out_of_debug() {
    let mut message = message();
    message.tlvs = Tlvs::default().with(Tag::MESSAGE_PAYLOAD, b"secret".to_vec());
    let shown = format!("{:?} {message:?} {:?}", bind(), Address::new(1, 1, "447700900123"));
    for hidden in ["secret", "4477", "Hello", "72, 101"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

prop_compose! {
    fn any_address()(ton in any::<u8>(), npi in any::<u8>(), text in "[0-9A-Za-z+ é]{0,20}") -> Address {
        Address { ton, npi, text }
    }
}

prop_compose! {
    fn any_tlvs()(all in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..40)), 0..5)) -> Tlvs {
        all.into_iter().fold(Tlvs::default(), |tlvs, (tag, value)| tlvs.with(Tag(tag), value))
    }
}

prop_compose! {
    fn any_message()(
        (source, destination, tlvs) in (any_address(), any_address(), any_tlvs()),
        flags in any::<[u8; 7]>(),
        texts in ("[A-Z]{0,5}", "[0-9]{0,16}", "[0-9R+]{0,16}"),
        short_message in prop::collection::vec(any::<u8>(), 0..255),
    ) -> Message {
        let [esm_class, protocol_id, priority, registered_delivery, replace_if_present, data_coding, default_message] = flags;
        Message {
            source, destination, tlvs, esm_class, protocol_id, priority, registered_delivery, replace_if_present,
            data_coding, default_message, short_message, service_type: texts.0, schedule: texts.1, validity: texts.2,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in any_message(), sequence in any::<u32>()) {
        for kind in [Kind::Submit, Kind::Deliver] {
            let pdu = Pdu::request(sequence, Body::Message(kind, Box::new(message.clone())));
            prop_assert_eq!(Pdu::decode(&pdu.encode()), Ok(pdu));
        }
    }

    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..200), command in 0u32..24, response in any::<bool>()) {
        let mut whole = vec![0; 16];
        whole[4..8].copy_from_slice(&(command | u32::from(response) << 31).to_be_bytes());
        whole.extend(octets);
        if let Ok(Pdu { body: Body::Message(_, message), .. }) = Pdu::decode(&whole) {
            let _ = Receipts { country: "44".into(), ..Receipts::default() }.read(&message);
            let _ = tpdu_of(&message, DefaultCoding::Gsm7, "44", 0);
        }
    }

    #[test]
    fn no_stream_panics_or_grows(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..30)) {
        let now = Instant::now();
        let mut session = Session::new(profile(), 1, now);
        session.opened(now);
        for (step, chunk) in chunks.iter().enumerate() {
            let now = now + SECOND * step as u32;
            session.handle_input(chunk, now);
            session.handle_timeout(now);
            prop_assert!(session.poll_output().is_none_or(|output| output.len() < 4096));
            while session.poll_event().is_some() {}
        }
    }

    /// PDUs that are well formed and make no sense, in any order: every message ends exactly once.
    #[test]
    fn every_message_ends_once(steps in prop::collection::vec((0u8..12, 0u32..8, any::<u8>()), 0..120)) {
        let mut now = Instant::now();
        let mut session = Session::new(profile(), 2, now);
        session.opened(now);
        let (mut submitted, mut ended) = (0u64, BTreeMap::<Ticket, u32>::new());
        for (what, sequence, random) in steps {
            now += Duration::from_millis(u64::from(random) * 60);
            let status = Status([0, 0, 0x58, 0x0b, 0x04, 0x400][usize::from(random) % 6]);
            let pdu = |body| Some(Pdu { status, sequence, body });
            let heard = match what {
                0 => Some(Pdu { status: Status::OK, sequence: 1, body: Body::BindResp(Mode::Transceiver, BindResp::default()) }),
                1 => pdu(Body::MessageResp(Kind::Submit, "7".into())),
                2 => pdu(Body::GenericNack),
                3 => pdu(Body::Message(Kind::Deliver, Box::new(message()))),
                4 => pdu(Body::EnquireLinkResp),
                5 if random < 20 => pdu(Body::Unbind),
                6 => pdu(Body::Other(u32::from(random))),
                _ => None,
            };
            if let Some(pdu) = heard {
                session.handle_input(&pdu.encode(), now);
            }
            match what {
                7 | 8 => submitted += u64::from(session.submit(Kind::Submit, message(), Ticket(submitted), now).is_ok()),
                9 => { session.poll_output(); }
                10 if random < 10 => session.unbind(now),
                11 => session.handle_timeout(now),
                _ => {}
            }
            let mut down = false;
            while let Some(event) = session.poll_event() {
                match event {
                    Event::Submitted { ticket, .. } => *ended.entry(ticket).or_default() += 1,
                    Event::Arrived { arrival, .. } if random < 128 => session.conclude(arrival, Verdict::Kept),
                    Event::Down(_) => down = true,
                    _ => {}
                }
            }
            if down {
                session.closed();
                while let Some(event) = session.poll_event() {
                    if let Event::Submitted { ticket, .. } = event { *ended.entry(ticket).or_default() += 1; }
                }
                session.opened(now);
            }
            prop_assert!(session.under_way() <= profile().window);
        }
        session.closed();
        while let Some(event) = session.poll_event() {
            if let Event::Submitted { ticket, .. } = event { *ended.entry(ticket).or_default() += 1; }
        }
        prop_assert_eq!(ended.len() as u64, submitted);
        prop_assert!(ended.values().all(|count| *count == 1));
    }
}
