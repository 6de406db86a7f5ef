//! What is written is read back, and no input panics.

use proptest::prelude::*;
use wire::{
    gsm7::{self, Alphabet},
    segment,
    tpdu::{
        Address, Carried, Deliver, Incoming, Outgoing, Report, Status, StatusReport, Submit, Timestamp, Validity,
        delivers, from_hex, submits, to_hex,
    },
    udh::{Header, Reference},
};

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~\\n]{0,400}", "[a-zA-Z€\\[\\]{}^éèñü@]{0,400}", "[a-zж😀]{0,300}", ".{0,200}"]
}

fn addresses() -> impl Strategy<Value = Address> {
    prop_oneof!["\\+[0-9]{1,20}", "[0-9*#abc]{1,20}"].prop_map(|text| Address::number(&text).unwrap())
}

fn references() -> impl Strategy<Value = Reference> {
    prop_oneof![any::<u8>().prop_map(Reference::Narrow), any::<u16>().prop_map(Reference::Wide)]
}

fn timestamps() -> impl Strategy<Value = Timestamp> {
    (946_684_800..3_755_289_600_i64, -79..=79_i8)
        .prop_map(|(seconds, quarters)| Timestamp::from_unix_seconds(seconds, quarters))
}

fn validities() -> impl Strategy<Value = Option<Validity>> {
    prop_oneof![
        Just(None),
        any::<u8>().prop_map(|octet| Some(Validity::Relative(octet))),
        timestamps().prop_map(|time| Some(Validity::Absolute(time))),
        any::<[u8; 7]>().prop_map(|octets| Some(Validity::Enhanced(octets))),
    ]
}

proptest! {
    #[test]
    fn septets_pack(septets in prop::collection::vec(0..128_u8, 0..200), fill_bits in 0..7_u8) {
        let octets = gsm7::pack(&septets, fill_bits);
        prop_assert_eq!(gsm7::unpack(&octets, septets.len(), fill_bits), Ok(septets));
    }

    #[test]
    fn text_is_septets(text in texts()) {
        let septets = gsm7::encode(&text, Alphabet::DEFAULT);
        prop_assert_eq!(septets.as_ref().map(Vec::len), gsm7::septet_count(&text));
        if let Some(septets) = septets {
            prop_assert_eq!(gsm7::decode(&septets, Alphabet::DEFAULT), text);
        }
    }

    #[test]
    fn parts_join_and_fit(text in texts()) {
        let segments = segment::plan(&text);
        prop_assert_eq!(segment::count(&text) as usize, segments.parts.len());
        let max = if segments.parts.len() == 1 {
            segments.alphabet.single_units_max()
        } else {
            segments.alphabet.part_units_max(segment::ReferenceWidth::Narrow)
        };
        prop_assert!(segments.parts.iter().all(|part| part.units <= max));
        prop_assert_eq!(segments.parts.iter().map(|part| part.text).collect::<String>(), text);
    }

    #[test]
    fn submits_come_back(text in texts(), to in addresses(), reference in references(), validity in validities()) {
        let parts = submits(&Outgoing { text: &text, to, reference, report: Report::Wanted, validity }).unwrap();
        let mut joined = String::new();
        for (index, part) in parts.iter().enumerate() {
            let tpdu = part.encode().unwrap();
            let decoded = Submit::decode(&tpdu).unwrap();
            prop_assert_eq!(&decoded, part);
            joined.push_str(&decoded.user_data.text().unwrap());
            let place = decoded.user_data.header().and_then(Header::part).map(|part| (part.reference, part.total, part.number));
            prop_assert_eq!(place, (parts.len() > 1).then_some((reference, parts.len() as u8, index as u8 + 1)));
        }
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn delivers_come_back(text in texts(), from in addresses(), reference in references(), time in timestamps()) {
        for part in delivers(&Incoming { text: &text, from, reference, service_centre_time: time }).unwrap() {
            prop_assert_eq!(Deliver::decode(&part.encode().unwrap()), Ok(part));
        }
    }

    #[test]
    fn reports_come_back(recipient in addresses(), times in (timestamps(), timestamps()), octets in (any::<u8>(), any::<u8>()), flags in any::<[bool; 3]>()) {
        let report = StatusReport {
            more_messages: flags[0],
            answers_command: flags[1],
            has_header: flags[2],
            reference: octets.0,
            recipient,
            service_centre_time: times.0,
            discharge_time: times.1,
            status: Status(octets.1),
            optional: vec![],
        };
        prop_assert_eq!(StatusReport::decode(&report.encode()), Ok(report));
    }

    #[test]
    fn hexadecimal_comes_back(octets in any::<Vec<u8>>()) {
        prop_assert_eq!(from_hex(to_hex(&octets).as_bytes()), Ok(octets));
    }

    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Header::decode(&octets);
        let _ = Submit::decode(&octets);
        let _ = Deliver::decode(&octets);
        let _ = StatusReport::decode(&octets);
        let _ = Carried::from_line(&octets);
        let _ = Timestamp(octets.get(..7).and_then(|seven| seven.try_into().ok()).unwrap_or_default()).unix_seconds();
    }

    /// What was read once is written so that it reads the same again.
    #[test]
    fn foreign_submits_are_kept(octets in prop::collection::vec(any::<u8>(), 8..180), first in any::<u8>()) {
        let octets = [&[first & 0xfc | 1, 0, 4, 0x91, 0x21, 0x43, 0], octets.as_slice()].concat();
        if let Ok(submit) = Submit::decode(&octets) {
            let again = submit.encode().unwrap();
            prop_assert_eq!(Submit::decode(&again), Ok(submit));
        }
    }
}
