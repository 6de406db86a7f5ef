//! Every SMS vector, both ways: octets others agree on. `CARILLON_VECTORS` names another folder of the same files.

use std::{env, fs, path::PathBuf};

use serde_json::Value;
use wire::{
    gsm7::{self, Locking, Single},
    segment::{self, Alphabet},
    tpdu::{
        Address, CivilTime, Coding, Deliver, Status, StatusClass, StatusReport, Submit, Timestamp, TypeOfNumber,
        UserData, Validity, at_command_pdu, from_hex, to_hex,
    },
    udh::{Element, Header},
};

/// Checks every vector of a file and says how many there were.
fn every_vector(file: &str, check: impl Fn(&Vector)) -> usize {
    let folder = env::var_os("CARILLON_VECTORS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"), PathBuf::from);
    let path = folder.join(file).with_extension("json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["kind"], file);
    let vectors = document["vectors"].as_array().unwrap();
    for vector in vectors {
        check(&Vector { name: format!("{file}/{}", vector["name"].as_str().unwrap()), value: vector });
    }
    println!("{file}: {} vectors checked", vectors.len());
    vectors.len()
}

struct Vector<'document> {
    name: String,
    value: &'document Value,
}

impl Vector<'_> {
    fn input(&self, key: &str) -> &Value {
        &self.value["inputs"][key]
    }

    fn text(&self, key: &str) -> &str {
        self.input(key).as_str().unwrap_or_else(|| panic!("{} lacks `{key}`", self.name))
    }

    fn number(&self, key: &str) -> u8 {
        self.input(key).as_u64().unwrap_or(0) as u8
    }

    fn flag(&self, key: &str) -> bool {
        self.input(key).as_bool().unwrap_or(false)
    }

    fn octets(&self, key: &str) -> Vec<u8> {
        from_hex(self.text(key).as_bytes()).unwrap()
    }

    fn expected(&self, key: &str) -> &Value {
        &self.value["expected"][key]
    }

    fn expected_octets(&self, key: &str) -> Vec<u8> {
        from_hex(self.expected(key).as_str().unwrap().as_bytes()).unwrap()
    }

    fn decodes_only(&self) -> bool {
        self.value["direction"] == "decode"
    }

    fn address(&self, key: &str) -> Address {
        let text = self.text(key);
        let address = match self.input("ton").as_u64() {
            None => Address::number(text),
            Some(5) => Address::alphanumeric(text),
            Some(ton) => Address::typed(type_of_number(ton), text.trim_start_matches('+')),
        };
        match self.input("npi").as_u64() {
            None => address.unwrap(),
            Some(npi) => address.unwrap().in_plan(npi as u8).unwrap(),
        }
    }

    fn header(&self) -> Option<Header> {
        self.input("udh_hex").as_str().filter(|hex| !hex.is_empty()).map(|hex| {
            let octets = from_hex(hex.as_bytes()).unwrap();
            let (header, taken) = Header::decode(&octets).unwrap();
            assert_eq!((taken, header.encode().unwrap()), (octets.len(), octets), "{}", self.name);
            header
        })
    }

    fn user_data(&self) -> UserData {
        match self.text("coding") {
            "gsm7" => UserData::gsm7(self.header(), self.text("text")),
            "ucs2" => UserData::ucs2(self.header(), self.text("text")),
            "bin" => UserData::octets(self.header(), &self.octets("data_hex")),
            other => panic!("{}: coding `{other}`", self.name),
        }
        .unwrap()
    }

    #[track_caller]
    fn check_user_data(&self, user_data: &UserData) {
        assert_eq!(user_data.header(), self.header().as_ref(), "{}", self.name);
        match user_data.coding() {
            Coding::Octets => assert_eq!(user_data.body_octets(), self.octets("data_hex"), "{}", self.name),
            _ => assert_eq!(user_data.text().as_deref(), Some(self.text("text")), "{}", self.name),
        }
    }
}

fn type_of_number(ton: u64) -> TypeOfNumber {
    [
        TypeOfNumber::Unknown,
        TypeOfNumber::International,
        TypeOfNumber::National,
        TypeOfNumber::NetworkSpecific,
        TypeOfNumber::Subscriber,
        TypeOfNumber::Alphanumeric,
        TypeOfNumber::Abbreviated,
        TypeOfNumber::Reserved,
    ][ton as usize]
}

/// Reads `2026-11-20T10:11:12+01:00`.
fn timestamp(text: &str) -> Timestamp {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u8>().unwrap();
    let quarters = (number(20..22) * 4 + number(23..25) / 15) as i8;
    Timestamp::from_civil(CivilTime {
        year: text[0..4].parse().unwrap(),
        month: number(5..7),
        day: number(8..10),
        hour: number(11..13),
        minute: number(14..16),
        second: number(17..19),
        quarters: if &text[19..20] == "-" { -quarters } else { quarters },
    })
}

fn validity(value: &Value) -> Option<Validity> {
    match value["format"].as_str()? {
        "relative" => Some(Validity::minutes(value["minutes"].as_u64().unwrap() as u32)),
        "absolute" => Some(Validity::Absolute(timestamp(value["time"].as_str().unwrap()))),
        "enhanced" => Some(Validity::Enhanced(
            from_hex(value["octets_hex"].as_str().unwrap().as_bytes()).unwrap().try_into().unwrap(),
        )),
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

#[test]
fn gsm7() {
    every_vector("gsm7", |vector| {
        let (locking, single) = (vector.number("locking"), vector.number("single"));
        let alphabet = gsm7::Alphabet {
            locking: Locking::from_identifier(locking).unwrap(),
            single: Single::from_identifier(single).unwrap(),
        };
        let septets = vector.expected_octets("septets_hex");
        let mut elements = Vec::new();
        if single != 0 {
            elements.push(Element::NationalSingle(single));
        }
        if locking != 0 {
            elements.push(Element::NationalLocking(locking));
        }
        let header = if elements.is_empty() { vec![] } else { Header { elements }.encode().unwrap() };
        assert_eq!(header, vector.expected_octets("udh_hex"), "{}", vector.name);
        let header_septets = (header.len() * 8).div_ceil(7);
        let fill_bits = (header_septets * 7 - header.len() * 8) as u8;
        let user_data = vector.expected_octets("ud_hex");

        assert_eq!(vector.expected("septets"), septets.len(), "{}", vector.name);
        assert_eq!(vector.expected("udl"), header_septets + septets.len(), "{}", vector.name);
        assert_eq!(
            gsm7::unpack(&user_data[header.len()..], septets.len(), fill_bits).as_ref(),
            Ok(&septets),
            "{}",
            vector.name
        );
        assert_eq!(gsm7::decode(&septets, alphabet), vector.text("text"), "{}", vector.name);
        assert_eq!([header, gsm7::pack(&septets, fill_bits)].concat(), user_data, "{}", vector.name);
        if !vector.decodes_only() {
            assert_eq!(gsm7::encode(vector.text("text"), alphabet), Some(septets), "{}", vector.name);
        }
    });
}

#[test]
fn segmentation() {
    every_vector("segmentation", |vector| {
        let segments = segment::plan(vector.text("text"));
        let encoding = match segments.alphabet {
            Alphabet::Gsm7 => "gsm7",
            Alphabet::Ucs2 => "ucs2",
        };
        let units: Vec<usize> = segments.parts.iter().map(|part| part.units).collect();
        assert_eq!(vector.expected("encoding"), encoding, "{}", vector.name);
        assert_eq!(vector.expected("units"), segments.units, "{}", vector.name);
        assert_eq!(vector.expected("segments"), segment::count(vector.text("text")), "{}", vector.name);
        assert_eq!(vector.expected("units_per_segment"), &Value::from(units), "{}", vector.name);
    });
}

#[test]
fn sms_submit() {
    every_vector("sms-submit", |vector| {
        let submit = Submit {
            reject_duplicates: vector.flag("rd"),
            status_report_request: vector.flag("srr"),
            reply_path: vector.flag("rp"),
            reference: vector.number("mr"),
            destination: vector.address("to"),
            pid: vector.number("pid"),
            dcs: vector.number("dcs"),
            validity: validity(vector.input("vp")),
            user_data: vector.user_data(),
        };
        let tpdu = submit.encode().unwrap();
        assert_eq!(to_hex(&tpdu), to_hex(&vector.expected_octets("tpdu_hex")), "{}", vector.name);
        let (length, digits) = at_command_pdu(&tpdu);
        assert_eq!(vector.expected("at_pdu"), &digits, "{}", vector.name);
        assert_eq!(vector.expected("at_cmgs_length"), length, "{}", vector.name);
        let decoded = Submit::decode(&tpdu).unwrap();
        vector.check_user_data(&decoded.user_data);
        assert_eq!(decoded, submit, "{}", vector.name);
    });
}

#[test]
fn sms_deliver() {
    every_vector("sms-deliver", |vector| {
        let deliver = Deliver {
            more_messages: vector.flag("more"),
            status_report_indication: vector.flag("sri"),
            reply_path: vector.flag("rp"),
            originator: vector.address("from"),
            pid: vector.number("pid"),
            dcs: vector.number("dcs"),
            service_centre_time: timestamp(vector.text("scts")),
            user_data: vector.user_data(),
        };
        let tpdu = vector.expected_octets("tpdu_hex");
        let decoded = Deliver::decode(&tpdu).unwrap();
        vector.check_user_data(&decoded.user_data);
        assert_eq!(decoded, deliver, "{}", vector.name);
        assert_eq!(to_hex(&deliver.encode().unwrap()), to_hex(&tpdu), "{}", vector.name);
    });
}

#[test]
fn sms_status_report() {
    every_vector("sms-status-report", |vector| {
        let report = StatusReport {
            more_messages: vector.flag("more"),
            answers_command: false,
            has_header: false,
            reference: vector.number("mr"),
            recipient: vector.address("recipient"),
            service_centre_time: timestamp(vector.text("scts")),
            discharge_time: timestamp(vector.text("discharge")),
            status: Status(vector.number("status")),
            optional: vec![],
        };
        let tpdu = vector.expected_octets("tpdu_hex");
        assert_eq!(StatusReport::decode(&tpdu).as_ref(), Ok(&report), "{}", vector.name);
        assert_eq!(to_hex(&report.encode()), to_hex(&tpdu), "{}", vector.name);
        assert_eq!(vector.expected("class"), class_name(report.status.class()), "{}", vector.name);
    });
}

#[test]
fn tp_status() {
    every_vector("tp-status", |vector| {
        let status = Status(vector.number("status"));
        assert_eq!(vector.expected("class"), class_name(status.class()), "{}", vector.name);
        assert_eq!(vector.expected("final"), status.is_final(), "{}", vector.name);
        assert_eq!(vector.expected("reserved"), status.is_reserved(), "{}", vector.name);
    });
}

#[test]
fn vp_relative() {
    every_vector("vp-relative", |vector| {
        let octet = vector.expected("octet").as_u64().unwrap() as u8;
        let minutes = vector.input("minutes").as_u64().unwrap() as u32;
        assert_eq!(Validity::minutes(minutes), Validity::Relative(octet), "{}", vector.name);
        assert_eq!(vector.expected("octet_means_minutes"), Validity::relative_minutes(octet), "{}", vector.name);
    });
}

#[test]
fn malformed() {
    let sms = std::cell::Cell::new(0);
    let all = every_vector("malformed", |vector| {
        let octets = vector.octets("hex");
        let refused = match vector.text("decoder") {
            "sms-deliver" => Deliver::decode(&octets).is_err(),
            "sms-submit" => Submit::decode(&octets).is_err(),
            "sms-status-report" => StatusReport::decode(&octets).is_err(),
            // Sync notifications and WAP push have decoders of their own.
            _ => return,
        };
        assert_eq!(vector.expected("result"), "error");
        assert!(refused, "{}", vector.name);
        sms.set(sms.get() + 1);
    });
    println!("malformed: {} of {all} vectors are SMS", sms.get());
    assert!(sms.get() > 0);
}
