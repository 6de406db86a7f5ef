//! Messages of the SMS transfer layer.

use wire::{
    tpdu::{
        Address, CivilTime, Coding, Deliver, Status, StatusClass, StatusReport, Submit, Timestamp, TypeOfNumber,
        UserData, Validity, at_command_pdu, from_hex,
    },
    udh::Header,
};

use super::{Fields, Vector};

const USER_DATA_KEYS: &[&str] = &["coding", "text", "data_hex", "udh_hex", "single", "locking", "dcs", "pid"];
const ADDRESS_KEYS: &[&str] = &["ton", "npi"];

pub(crate) fn submit(vector: &Vector<'_>) {
    let keys = [USER_DATA_KEYS, ADDRESS_KEYS, &["to", "mr", "rd", "rp", "srr", "vp"]].concat();
    let inputs = vector.inputs(&keys);
    let expected = vector.expected(&["tpdu_hex", "at_pdu", "at_cmgs_length"]);
    let submit = Submit {
        reject_duplicates: inputs.flag("rd"),
        status_report_request: inputs.flag("srr"),
        reply_path: inputs.flag("rp"),
        reference: inputs.maybe_number("mr").unwrap_or(0),
        destination: address(&inputs, "to"),
        pid: inputs.maybe_number("pid").unwrap_or(0),
        dcs: inputs.number("dcs"),
        validity: validity(&inputs),
        user_data: user_data(&inputs),
    };
    let tpdu = expected.octets("tpdu_hex");
    let decoded = Submit::decode(&tpdu).unwrap();
    check_user_data(&inputs, &decoded.user_data);
    assert_eq!(decoded, submit);
    let (length, digits) = at_command_pdu(&tpdu);
    assert_eq!(expected.text("at_pdu"), digits);
    assert_eq!(expected.number::<usize>("at_cmgs_length"), length);
    if !vector.decodes_only() {
        expected.check_hex("tpdu_hex", &submit.encode().unwrap());
    }
}

pub(crate) fn deliver(vector: &Vector<'_>) {
    let keys = [USER_DATA_KEYS, ADDRESS_KEYS, &["from", "scts", "more", "sri", "rp"]].concat();
    let inputs = vector.inputs(&keys);
    let expected = vector.expected(&["tpdu_hex"]);
    let deliver = Deliver {
        more_messages: inputs.flag("more"),
        status_report_indication: inputs.flag("sri"),
        reply_path: inputs.flag("rp"),
        originator: address(&inputs, "from"),
        pid: inputs.maybe_number("pid").unwrap_or(0),
        dcs: inputs.number("dcs"),
        service_centre_time: timestamp(inputs.text("scts")),
        user_data: user_data(&inputs),
    };
    let decoded = Deliver::decode(&expected.octets("tpdu_hex")).unwrap();
    check_user_data(&inputs, &decoded.user_data);
    assert_eq!(decoded, deliver);
    if !vector.decodes_only() {
        expected.check_hex("tpdu_hex", &deliver.encode().unwrap());
    }
}

pub(crate) fn status_report(vector: &Vector<'_>) {
    let keys = [ADDRESS_KEYS, &["mr", "status", "recipient", "scts", "discharge", "more"]].concat();
    let inputs = vector.inputs(&keys);
    let expected = vector.expected(&["tpdu_hex", "class"]);
    let report = StatusReport {
        more_messages: inputs.flag("more"),
        answers_command: false,
        has_header: false,
        reference: inputs.maybe_number("mr").unwrap_or(0),
        recipient: address(&inputs, "recipient"),
        service_centre_time: timestamp(inputs.text("scts")),
        discharge_time: timestamp(inputs.text("discharge")),
        status: Status(inputs.number("status")),
        optional: vec![],
    };
    assert_eq!(StatusReport::decode(&expected.octets("tpdu_hex")).as_ref(), Ok(&report));
    assert_eq!(expected.text("class"), class_name(report.status.class()));
    if !vector.decodes_only() {
        expected.check_hex("tpdu_hex", &report.encode());
    }
}

pub(crate) fn status(vector: &Vector<'_>) {
    let status = Status(vector.inputs(&["status"]).number("status"));
    let expected = vector.expected(&["class", "final", "reserved", "text"]);
    assert_eq!(expected.text("class"), class_name(status.class()));
    assert_eq!(expected.flag("final"), status.is_final());
    assert_eq!(expected.flag("reserved"), status.is_reserved());
}

pub(crate) fn validity_octet(vector: &Vector<'_>) {
    let minutes = vector.inputs(&["minutes"]).number("minutes");
    let expected = vector.expected(&["octet", "octet_means_minutes"]);
    let octet = expected.number("octet");
    assert_eq!(expected.number::<u32>("octet_means_minutes"), Validity::relative_minutes(octet));
    assert_eq!(Validity::minutes(minutes), Validity::Relative(octet));
}

/// An address as the vectors write it: a plus makes it international.
pub(crate) fn address(inputs: &Fields<'_>, key: &str) -> Address {
    let text = inputs.text(key);
    let address = match inputs.maybe_number::<u8>("ton") {
        None => Address::number(text),
        Some(5) => Address::alphanumeric(text),
        Some(ton) => Address::typed(type_of_number(ton), text.trim_start_matches('+')),
    };
    match inputs.maybe_number("npi") {
        None => address.unwrap(),
        Some(npi) => address.unwrap().in_plan(npi).unwrap(),
    }
}

fn type_of_number(ton: u8) -> TypeOfNumber {
    [
        TypeOfNumber::Unknown,
        TypeOfNumber::International,
        TypeOfNumber::National,
        TypeOfNumber::NetworkSpecific,
        TypeOfNumber::Subscriber,
        TypeOfNumber::Alphanumeric,
        TypeOfNumber::Abbreviated,
        TypeOfNumber::Reserved,
    ][usize::from(ton)]
}

fn header(inputs: &Fields<'_>) -> Option<Header> {
    let octets = inputs.maybe_octets("udh_hex").filter(|octets| !octets.is_empty())?;
    let (header, taken) = Header::decode(&octets).unwrap();
    assert_eq!((taken, header.encode().unwrap()), (octets.len(), octets));
    for (key, named) in [("single", 0x24_u8), ("locking", 0x25)] {
        if let Some(table) = inputs.maybe_number::<u8>(key).filter(|table| *table != 0) {
            let octets = header.encode().unwrap();
            assert!(octets.windows(3).any(|element| element == [named, 1, table]), "`{key}` is not in the header");
        }
    }
    Some(header)
}

fn user_data(inputs: &Fields<'_>) -> UserData {
    match inputs.text("coding") {
        "gsm7" => UserData::gsm7(header(inputs), inputs.text("text")),
        "ucs2" => UserData::ucs2(header(inputs), inputs.text("text")),
        "bin" => UserData::octets(header(inputs), &inputs.octets("data_hex")),
        other => panic!("coding `{other}`"),
    }
    .unwrap()
}

fn check_user_data(inputs: &Fields<'_>, user_data: &UserData) {
    assert_eq!(user_data.header(), header(inputs).as_ref());
    match user_data.coding() {
        Coding::Octets => assert_eq!(user_data.body_octets(), inputs.octets("data_hex")),
        _ => assert_eq!(user_data.text().as_deref(), Some(inputs.text("text"))),
    }
}

/// Reads `2026-11-20T10:11:12+01:00`.
fn timestamp(text: &str) -> Timestamp {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u8>().unwrap();
    let zone = if text.ends_with('Z') { "+00:00" } else { &text[19..] };
    let quarters = (zone[1..3].parse::<u8>().unwrap() * 4 + zone[4..6].parse::<u8>().unwrap() / 15) as i8;
    Timestamp::from_civil(CivilTime {
        year: text[0..4].parse().unwrap(),
        month: number(5..7),
        day: number(8..10),
        hour: number(11..13),
        minute: number(14..16),
        second: number(17..19),
        quarters: if zone.starts_with('-') { -quarters } else { quarters },
    })
}

fn validity(inputs: &Fields<'_>) -> Option<Validity> {
    let fields = Fields::of(inputs.get("vp")?, &["format", "minutes", "time", "octets_hex"]);
    match fields.text("format") {
        "none" => None,
        "relative" => Some(Validity::minutes(fields.number("minutes"))),
        "absolute" => Some(Validity::Absolute(timestamp(fields.text("time")))),
        "enhanced" => {
            Some(Validity::Enhanced(from_hex(fields.text("octets_hex").as_bytes()).unwrap().try_into().unwrap()))
        }
        other => panic!("validity format `{other}`"),
    }
}

fn class_name(class: StatusClass) -> &'static str {
    match class {
        StatusClass::Delivered => "delivered",
        StatusClass::Replaced => "replaced",
        StatusClass::Temporary => "temporary",
        StatusClass::Permanent => "permanent",
        StatusClass::TemporaryFinal => "temporary_final",
    }
}
