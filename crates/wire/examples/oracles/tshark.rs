//! tshark reads messages of the SMS layer, in parts and put together, and the pushes inside them.

use std::{fs, path::Path};

use serde_json::Value;
use wire::{
    datagram::{Datagram, Envelope, PORT_PUSH, PORT_SESSION},
    mms,
    san::{Body, ContentType, DataStore, Initiator, Notification, ProtocolVersion, SyncType, UiMode},
    service::{Indication, Signal},
    tpdu::{
        Address, Incoming, Outgoing, Report, Status, StatusClass, StatusReport, Submit, Timestamp, TypeOfNumber,
        Validity, delivers, submits,
    },
    udh::{Header, Reference},
    wsp::{ApplicationId, MediaType, Parameters, Push},
};

use super::{Findings, Random, run};

const TEXTS: usize = 60;
const PUSHES: usize = 80;

/// Packets that name the protocol they are (libpcap's `LINKTYPE_WIRESHARK_UPPER_PDU`).
const LINK_TYPE: u32 = 252;
const TAG_PROTOCOL: u16 = 12;
const TAG_DIRECTION: u16 = 35;

/// A packet and what tshark must say of it: fields, each with all its values in order.
struct Packet {
    protocol: &'static str,
    /// From a handset; a message type means something else that way.
    from_handset: bool,
    octets: Vec<u8>,
    expected: Vec<(&'static str, Vec<String>)>,
}

pub(crate) fn ask(folder: &Path, mut random: Random) -> Findings {
    let mut packets = Vec::new();
    for _ in 0..TEXTS {
        packets.extend(submitted(&mut random));
        packets.extend(delivered(&mut random));
    }
    packets.extend((0..=255).map(|status| reported(&mut random, status)));
    for _ in 0..PUSHES {
        let push = push(&mut random);
        packets.push(pushed(&push));
        packets.extend(carried(&mut random, &push));
    }
    fs::write(folder.join("packets.pcap"), capture(&packets)).expect("a folder of our own");
    let output = run(folder, "tshark", &["-r", "packets.pcap", "-T", "json", "--no-duplicate-keys"], &[]);
    let read: Vec<Value> = serde_json::from_slice(&output).expect("it writes JSON");
    assert_eq!(read.len(), packets.len(), "packets read");
    let mut findings = Findings::default();
    for (number, (packet, read)) in packets.iter().zip(&read).enumerate() {
        for (field, expected) in &packet.expected {
            let mut found = Vec::new();
            collect(read, field, &mut found);
            findings.compare(&format!("packet {} field {field}", number + 1), &found, expected);
        }
    }
    findings
}

/// Every value of a field, wherever it stands.
fn collect(value: &Value, field: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == field => found.push(text.clone()),
                    Value::Array(texts) if name == field => {
                        found.extend(texts.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    other => collect(other, field, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, field, found)),
        _ => {}
    }
}

fn capture(packets: &[Packet]) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(0xa1b2_c3d4_u32.to_be_bytes());
    octets.extend([0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    octets.extend(LINK_TYPE.to_be_bytes());
    for (second, packet) in (0_u32..).zip(packets) {
        let mut data = tag(TAG_PROTOCOL, packet.protocol.as_bytes());
        data.extend(tag(TAG_DIRECTION, &u32::from(packet.from_handset).to_be_bytes()));
        data.extend(tag(0, &[]));
        data.extend(&packet.octets);
        let length = (data.len() as u32).to_be_bytes();
        octets.extend([second.to_be_bytes(), [0; 4], length, length].concat());
        octets.extend(data);
    }
    octets
}

fn tag(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = value.len().next_multiple_of(4);
    let mut octets = [kind.to_be_bytes(), (length as u16).to_be_bytes()].concat();
    octets.extend(value);
    octets.resize(4 + length, 0);
    octets
}

fn one(value: impl ToString) -> Vec<String> {
    vec![value.to_string()]
}

fn address(random: &mut Random) -> Address {
    let digits = 3 + random.below(13);
    let digits = random.digits(digits);
    match random.below(4) {
        0 => Address::number(&digits),
        1 => Address::typed(TypeOfNumber::National, &digits),
        2 => Address::typed(TypeOfNumber::NetworkSpecific, &digits),
        _ => Address::number(&format!("+{digits}")),
    }
    .expect("digits")
}

fn reference(random: &mut Random) -> Reference {
    if random.one_in(2) { Reference::Narrow(random.octet()) } else { Reference::Wide(random.next() as u16) }
}

fn text(random: &mut Random) -> String {
    let words = random.of_list(&[3, 12, 60]);
    if random.one_in(2) { random.text(words) } else { random.foreign_text(words) }
}

/// What a concatenation element says.
fn place(header: Option<&Header>, expected: &mut Vec<(&'static str, Vec<String>)>) {
    let part = header.and_then(Header::part);
    let reference = part.map(|part| match part.reference {
        Reference::Narrow(reference) => u16::from(reference),
        Reference::Wide(reference) => reference,
    });
    expected.push(("gsm_sms.udh.mm.msg_id", reference.into_iter().map(|number| number.to_string()).collect()));
    expected.push(("gsm_sms.udh.mm.msg_parts", part.into_iter().map(|part| part.total.to_string()).collect()));
    expected.push(("gsm_sms.udh.mm.msg_part", part.into_iter().map(|part| part.number.to_string()).collect()));
}

fn submit_fields(submit: &Submit) -> Vec<(&'static str, Vec<String>)> {
    let flag = |set: bool| one(u8::from(set));
    let mut expected = vec![
        ("gsm_sms.tp-mti", one(1)),
        ("gsm_sms.tp-mr", one(submit.reference)),
        ("gsm_sms.tp-rd", flag(submit.reject_duplicates)),
        ("gsm_sms.tp-rp", flag(submit.reply_path)),
        ("gsm_sms.tp-srr", flag(submit.status_report_request)),
        ("gsm_sms.tp-udhi", flag(submit.user_data.header().is_some())),
        ("gsm_sms.tp-da", one(submit.destination.value())),
        ("gsm_sms.dis_field_addr.num_type", one(submit.destination.ton() as u8)),
        ("gsm_sms.tp-pid", one(submit.pid)),
        ("gsm_sms.tp-dcs", one(submit.dcs)),
    ];
    match submit.validity {
        Some(Validity::Relative(octet)) => expected.push(("gsm_sms.vp.validity_period", one(octet))),
        Some(Validity::Absolute(time)) => times(&[time], &mut expected),
        _ => expected.push(("gsm_sms.tp-vpf", one(0))),
    }
    place(submit.user_data.header(), &mut expected);
    expected
}

fn submitted(random: &mut Random) -> Vec<Packet> {
    let text = text(random);
    let outgoing = Outgoing {
        text: &text,
        to: address(random),
        reference: reference(random),
        report: if random.one_in(2) { Report::Wanted } else { Report::NotWanted },
        validity: match random.below(3) {
            0 => None,
            1 => Some(Validity::minutes(random.next() as u32 % 700_000)),
            _ => Some(Validity::Absolute(time(random))),
        },
    };
    let mut parts = submits(&outgoing).expect("it fits");
    let flags = random.octet();
    for part in &mut parts {
        (part.reference, part.pid) = (random.octet(), random.octet() & 0x3f);
        (part.reject_duplicates, part.reply_path) = (flags & 1 != 0, flags & 2 != 0);
    }
    let texts: Vec<String> = parts.iter().map(|part| part.user_data.text().expect("a text")).collect();
    let packet = |(index, part): (usize, &Submit)| {
        let mut expected = submit_fields(part);
        // The last part shows all of them.
        let shown = if index + 1 == texts.len() { texts.clone() } else { vec![texts[index].clone()] };
        expected.push(("gsm_sms.sms_text", shown));
        Packet { protocol: "gsm_sms", from_handset: true, octets: part.encode().expect("it fits"), expected }
    };
    parts.iter().enumerate().map(packet).collect()
}

fn time(random: &mut Random) -> Timestamp {
    let seconds = 1_000_000_000 + (random.next() % 2_000_000_000) as i64;
    Timestamp::from_unix_seconds(seconds, random.below(97) as i8 - 48)
}

fn times(times: &[Timestamp], expected: &mut Vec<(&'static str, Vec<String>)>) {
    let civil: Vec<_> = times.iter().map(|time| time.civil().expect("a time")).collect();
    let mut field = |name, values: Vec<u32>| expected.push((name, values.iter().map(u32::to_string).collect()));
    field("gsm_sms.scts.year", civil.iter().map(|time| u32::from(time.year % 100)).collect());
    field("gsm_sms.scts.month", civil.iter().map(|time| u32::from(time.month)).collect());
    field("gsm_sms.scts.day", civil.iter().map(|time| u32::from(time.day)).collect());
    field("gsm_sms.scts.hour", civil.iter().map(|time| u32::from(time.hour)).collect());
    field("gsm_sms.scts.minutes", civil.iter().map(|time| u32::from(time.minute)).collect());
    field("gsm_sms.scts.seconds", civil.iter().map(|time| u32::from(time.second)).collect());
    // The sign is not in the field.
    field("gsm_sms.scts.timezone", civil.iter().map(|time| u32::from(time.quarters.unsigned_abs())).collect());
}

fn delivered(random: &mut Random) -> Vec<Packet> {
    let text = text(random);
    let from = if random.one_in(3) {
        let name: String = random.name().chars().take(1 + random.below(11)).collect();
        Address::alphanumeric(&name).expect("a short name")
    } else {
        address(random)
    };
    let incoming = Incoming { text: &text, from, reference: reference(random), service_centre_time: time(random) };
    let parts = delivers(&incoming).expect("it fits");
    let texts: Vec<String> = parts.iter().map(|part| part.user_data.text().expect("a text")).collect();
    let packet = |(index, part): (usize, &wire::tpdu::Deliver)| {
        let mut expected = vec![
            ("gsm_sms.tp-mti", one(0)),
            ("gsm_sms.tp-mms", one(u8::from(!part.more_messages))),
            ("gsm_sms.tp-oa", one(part.originator.value())),
            ("gsm_sms.tp-dcs", one(part.dcs)),
        ];
        times(&[part.service_centre_time], &mut expected);
        place(part.user_data.header(), &mut expected);
        let shown = if index + 1 == texts.len() { texts.clone() } else { vec![texts[index].clone()] };
        expected.push(("gsm_sms.sms_text", shown));
        Packet { protocol: "gsm_sms", from_handset: false, octets: part.encode().expect("it fits"), expected }
    };
    parts.iter().enumerate().map(packet).collect()
}

fn reported(random: &mut Random, status: u8) -> Packet {
    let report = StatusReport {
        more_messages: random.one_in(2),
        answers_command: false,
        has_header: false,
        reference: random.octet(),
        recipient: address(random),
        service_centre_time: time(random),
        discharge_time: time(random),
        status: Status(status),
        optional: vec![],
    };
    let mut expected = vec![
        ("gsm_sms.tp-mti", one(2)),
        ("gsm_sms.tp-mr", one(report.reference)),
        ("gsm_sms.tp-ra", one(report.recipient.value())),
        ("gsm_sms.dis_field.definition", one(status >> 7)),
    ];
    // Their groups are read in the order of their names.
    times(&[report.discharge_time, report.service_centre_time], &mut expected);
    if !report.status.is_reserved() {
        let group = match report.status.class() {
            StatusClass::Delivered | StatusClass::Replaced => 0,
            StatusClass::Temporary => 1,
            StatusClass::Permanent => 2,
            StatusClass::TemporaryFinal => 3,
        };
        expected.push(("gsm_sms.dis_field.st_error", one(group)));
    }
    Packet { protocol: "gsm_sms", from_handset: false, octets: report.encode(), expected }
}

fn push(random: &mut Random) -> Push {
    let indication = Indication {
        href: Some(random.address()),
        action: Some(Signal::High),
        text: random.text(10),
        ..Indication::default()
    };
    let (media_type, application, body) = match random.below(5) {
        0 => ("application/vnd.wap.sic", Some("wml.ua"), indication.encode().expect("it fits")),
        1 => {
            let body = Body::DeviceManagement;
            ("application/vnd.syncml.notification", Some("syncml.dm"), notification(random, body))
        }
        2 => {
            let data_store = |random: &mut Random| DataStore {
                sync_type: SyncType::TwoWay,
                content_type: ContentType::of("text/x-vcard"),
                uri: random.name().into_bytes(),
            };
            let body = Body::DataSync((0..random.below(10)).map(|_| data_store(random)).collect());
            ("application/vnd.syncml.ds.notification", Some("push.syncml"), notification(random, body))
        }
        3 => (mms::MEDIA_TYPE, Some(mms::APPLICATION), notice(random).encode().expect("plain texts")),
        _ => ("application/x-example", None, random.octets(300)),
    };
    let mut push = Push::new(random.octet(), media_type, application, body);
    if random.one_in(3) {
        push.parameters =
            Parameters { security: Some(1), mac: Some("0123456789ABCDEF".to_owned()), ..Parameters::utf_8() };
    }
    push.push_flag = random.one_in(3).then(|| random.octet() & 0b111);
    push
}

fn notice(random: &mut Random) -> mms::Notification {
    mms::Notification {
        transaction: random.name(),
        from: random.one_in(2).then(|| "+447700900000".to_owned()),
        octets: random.below(1 << 20) as u32,
        expires_seconds: random.below(1 << 20) as u32,
        location: random.address(),
    }
}

fn notification(random: &mut Random, body: Body) -> Vec<u8> {
    let notification = Notification {
        version: ProtocolVersion::V1_2,
        ui_mode: UiMode::Background,
        initiator: Initiator::Server,
        session_id: random.next() as u16,
        server_id: random.name().into_bytes(),
        body,
        vendor: vec![],
    };
    notification.encode(b"password", b"nonce").expect("it fits")
}

fn push_fields(push: &Push) -> Vec<(&'static str, Vec<String>)> {
    let MediaType::Name(name) = &push.media_type else { unreachable!("all of them have names") };
    let media_type = match name.as_str() {
        // tshark 4.0 knows the code of DS notifications not by its name.
        "application/vnd.syncml.ds.notification" => "<Unknown media type identifier 0x4E>",
        known => known,
    };
    let application = push.application.as_ref().map(|application| match application {
        ApplicationId::Name(name) => format!("x-wap-application:{name}"),
        ApplicationId::Number(number) => format!("{number:#x}"),
    });
    let bit = |bit: u8| push.push_flag.map(|flag| u8::from(flag & bit != 0).to_string()).into_iter().collect();
    let charset = push.parameters.charset.map(|_| "UTF-8".to_owned());
    let mut fields = vec![
        ("wsp.TID", one(format!("{:#04x}", push.transaction_id))),
        ("wsp.pdu_type", one("0x06")),
        ("wsp.header.content_type", one(media_type)),
        ("wsp.header.x_wap_application_id", application.into_iter().collect()),
        ("wsp.header.push_flag.authenticated", bit(1)),
        ("wsp.header.push_flag.trusted", bit(2)),
        ("wsp.header.push_flag.last", bit(4)),
        ("wsp.parameter.charset", charset.into_iter().collect()),
        ("wsp.parameter.mac", push.parameters.mac.clone().into_iter().collect()),
    ];
    if name == mms::MEDIA_TYPE {
        let notice = mms::Notification::decode(&push.body).expect("it was written here");
        fields.extend([
            ("mmse.message_type", one("0x82")),
            ("mmse.transaction_id", one(&notice.transaction)),
            ("mmse.from", notice.from.iter().map(|from| format!("{from}/TYPE=PLMN")).collect()),
            ("mmse.message_size", one(notice.octets)),
            ("mmse.expiry.rel", one(format!("{}.000000000", notice.expires_seconds))),
            ("mmse.content_location", one(&notice.location)),
        ]);
    }
    fields
}

fn pushed(push: &Push) -> Packet {
    let octets = push.encode().expect("it fits");
    Packet { protocol: "wsp-cl", from_handset: false, octets, expected: push_fields(push) }
}

/// A push as messages; the last one shows it whole.
fn carried(random: &mut Random, push: &Push) -> Vec<Packet> {
    let payload = push.encode().expect("it fits");
    let datagram = Datagram { destination_port: PORT_PUSH, source_port: PORT_SESSION, payload: &payload };
    let envelope = Envelope {
        to: address(random),
        pid: 0,
        dcs: random.of_list(&[0xf5, 0x04, 0x15]),
        reference: reference(random),
        report: Report::Wanted,
        validity: Some(Validity::minutes(1440)),
    };
    let submits = datagram.submits(&envelope).expect("it fits");
    let packet = |(index, submit): (usize, &Submit)| {
        let mut expected = submit_fields(submit);
        expected.push(("gsm_sms.destination_port", one(PORT_PUSH)));
        expected.push(("gsm_sms.originator_port", one(PORT_SESSION)));
        if index + 1 == submits.len() {
            expected.extend(push_fields(push));
        }
        Packet { protocol: "gsm_sms", from_handset: true, octets: submit.encode().expect("it fits"), expected }
    };
    submits.iter().enumerate().map(packet).collect()
}
