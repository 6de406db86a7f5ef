//! Alphabets and parts of texts.

use serde_json::Value;
use wire::{
    gsm7::{self, Alphabet, Locking, Single},
    segment,
    udh::Header,
};

use super::{Fields, Vector};

pub(crate) fn gsm7(vector: &Vector<'_>) {
    let inputs = vector.inputs(&["text", "locking", "single"]);
    let expected = vector.expected(&["septets", "septets_hex", "udh_hex", "udl", "ud_hex"]);
    let alphabet = Alphabet {
        locking: Locking::from_identifier(inputs.maybe_number("locking").unwrap_or(0)).unwrap(),
        single: Single::from_identifier(inputs.maybe_number("single").unwrap_or(0)).unwrap(),
    };
    let elements: Vec<_> = Header::national(alphabet).collect();
    let header = if elements.is_empty() { vec![] } else { Header { elements }.encode().unwrap() };
    expected.check_hex("udh_hex", &header);

    let septets = expected.octets("septets_hex");
    let header_septets = (header.len() * 8).div_ceil(7);
    let fill_bits = (header_septets * 7 - header.len() * 8) as u8;
    assert_eq!(expected.number::<usize>("septets"), septets.len());
    assert_eq!(expected.number::<usize>("udl"), header_septets + septets.len());
    let user_data = expected.octets("ud_hex");
    assert_eq!(gsm7::unpack(&user_data[header.len()..], septets.len(), fill_bits).as_ref(), Ok(&septets));
    assert_eq!(gsm7::decode(&septets, alphabet), inputs.text("text"));
    expected.check_hex("ud_hex", &[header, gsm7::pack(&septets, fill_bits)].concat());
    if !vector.decodes_only() {
        assert_eq!(gsm7::encode(inputs.text("text"), alphabet), Some(septets));
    }
}

pub(crate) fn segmentation(vector: &Vector<'_>) {
    let text = vector.inputs(&["text"]).text("text");
    let expected = vector.expected(&["encoding", "units", "segments", "units_per_segment"]);
    let segments = segment::plan(text);
    let encoding = match segments.alphabet {
        segment::Alphabet::Gsm7 => "gsm7",
        segment::Alphabet::Ucs2 => "ucs2",
        segment::Alphabet::National(_) => panic!("no route permitted it"),
    };
    let units: Vec<usize> = segments.parts.iter().map(|part| part.units).collect();
    assert_eq!(expected.text("encoding"), encoding);
    assert_eq!(expected.number::<usize>("units"), segments.units);
    assert_eq!(expected.number::<u32>("segments"), segment::count(text));
    assert_eq!(expected.list("units_per_segment"), units.into_iter().map(Value::from).collect::<Vec<_>>());
    assert_eq!(segments.parts.iter().map(|part| part.text).collect::<String>(), text);
}

/// The tables of the alphabets, character by character.
pub(crate) fn tables(tables: &Value) {
    let national = ["turkish (1)", "spanish (2)", "portuguese (3)"];
    let fields = Fields::of(tables, &[&["default"][..], &national].concat());
    let default = Fields::of(&fields.value["default"], &["locking", "extension"]);
    let locking: Vec<char> = default.text("locking").chars().collect();
    assert_eq!(locking.len(), 128);
    check_locking(Locking::Default, &locking, &Value::Null);
    check_single(Single::Default, &default.value["extension"]);
    for (identifier, name) in (1..).zip(national) {
        let table = Fields::of(&fields.value[name], &["locking", "locking_differences_from_default", "single_shift"]);
        check_single(Single::from_identifier(identifier).unwrap(), &table.value["single_shift"]);
        match table.get("locking_differences_from_default") {
            Some(differences) => check_locking(Locking::from_identifier(identifier).unwrap(), &locking, differences),
            None => assert_eq!(Locking::from_identifier(identifier), None),
        }
    }
}

fn check_locking(table: Locking, default: &[char], differences: &Value) {
    let alphabet = Alphabet { locking: table, single: Single::Default };
    for code in (0..128_u8).filter(|code| *code != 0x1b) {
        let expected = match differences.get(format!("{code:02x}")) {
            Some(character) => character.as_str().unwrap().to_owned(),
            None => default[usize::from(code)].to_string(),
        };
        assert_eq!(gsm7::decode(&[code], alphabet), expected, "{code:02x}");
    }
}

fn check_single(table: Single, expected: &Value) {
    let alphabet = Alphabet { locking: Locking::Default, single: table };
    for code in (0..128_u8).filter(|code| *code != 0x1b) {
        let plain = gsm7::decode(&[code], alphabet);
        let expected = expected.get(format!("{code:02x}")).map_or(plain.as_str(), |found| found.as_str().unwrap());
        assert_eq!(gsm7::decode(&[0x1b, code], alphabet), expected, "1b {code:02x}");
    }
}
