//! Alerts against the octets of the vectors, and against what a phone would read.

use model::push::SyncKind;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::datagram::DCS_PUSH;
use crate::provisioning::Pin;
use crate::san::Verdict;
use crate::tpdu::from_hex;
use crate::udh::{Element, Header};

fn store(name: &str, sync: SyncKind, content_type: &str) -> Resource {
    Resource { name: name.to_owned(), sync, content_type: content_type.to_owned(), enabled: true }
}

fn two_way(name: &str, content_type: &str) -> Resource {
    store(name, SyncKind::TwoWay, content_type)
}

fn alert<'a>(form: San, server_id: &'a str, session_id: u16, stores: &'a [Resource]) -> Alert<'a> {
    let stores = Stores::Named(stores);
    Alert { form, server_id, session_id, stores, password: None, dcs: DCS_PUSH, reference: 7 }
}

/// What the phone's programs get: the ports are right, the parts are in order, and all of one reference.
fn pushed(binary: &Binary) -> Push {
    assert_eq!((binary.pid, binary.dcs), (0, u32::from(DCS_PUSH)));
    let total = binary.parts.len();
    let mut octets = Vec::new();
    for (index, part) in binary.parts.iter().enumerate() {
        let (header, taken) = Header::decode(&part.udh).unwrap();
        assert_eq!(taken, part.udh.len());
        assert_eq!(header.elements[0], Element::Ports { destination: 2948, source: 9200 });
        match header.part() {
            Some(place) => assert_eq!((usize::from(place.total), usize::from(place.number)), (total, index + 1)),
            None => assert_eq!(total, 1),
        }
        assert!(part.udh.len() + part.data.len() <= 140);
        octets.extend_from_slice(&part.data);
    }
    Push::decode(&octets).unwrap()
}

#[track_caller]
fn check(alert: &Alert<'_>, media_type: &str, program: &str, expected: &str) {
    let packages = alert.packages().unwrap();
    assert_eq!(packages.len(), 1);
    let push = pushed(&packages[0]);
    assert_eq!(
        push,
        Push::new(alert.session_id as u8, media_type, Some(program), from_hex(expected.as_bytes()).unwrap())
    );
}

const DS_12: &str = "application/vnd.syncml.ds.notification";
const DM: &str = "application/vnd.syncml.notification";
const DS_11: &str = "application/vnd.syncml+wbxml";

#[test]
fn ds_1_2_is_as_the_vectors_have_it() {
    // san-ds12: ovi-suite-contacts, whose password and nonce are empty, with another session.
    let stores = [two_way("Contacts", "")];
    let captured = Alert { password: Some(b""), ..alert(San::Ds12, "PC Suite Data Sync", 0, &stores) };
    check(
        &captured,
        DS_12,
        "push.syncml",
        "0179ab671b68f26698269b4ca78222ad0318000000000012504320537569746520446174612053796e63106000000008436f6e7461637473",
    );
    // san-ds12: zero-digest-no-credentials.
    let stores = [two_way("card", "text/x-vcard")];
    check(
        &alert(San::Ds12, "srv-3", 3, &stores),
        DS_12,
        "push.syncml",
        "0000000000000000000000000000000003180000000003057372762d3310600000070463617264",
    );
}

#[test]
fn ds_1_1_and_1_0_are_as_the_vectors_have_them() {
    // san-ds11: ds11-two-items-one-alert.
    let stores = [two_way("Contacts", "text/x-vcard"), two_way("Calendar", "text/x-vcalendar")];
    check(
        &alert(San::Ds11, "PC Suite", 42, &stores),
        DS_11,
        "push.syncml",
        "029f536a006d6c7103312e310001720353796e634d4c2f312e3100016503343200015b033100016e57032f0001016757035043205375697465000101016b464b033100014f03323036000154675703436f6e74616374730001015a00015303746578742f782d76636172640001010100005467570343616c656e6461720001015a00015303746578742f782d7663616c656e64617200010101010000120101",
    );
    // san-ds11: ds10-one-item.
    let stores = [two_way("./contacts", "text/x-vcard")];
    check(
        &alert(San::Ds10, "srv", 2, &stores),
        DS_11,
        "push.syncml",
        "029f516a006d6c7103312e300001720353796e634d4c2f312e30000165033200015b033100016e57032f000101675703737276000101016b464b033100014f033230360001546757032e2f636f6e74616374730001015a00015303746578742f782d766361726400010101010000120101",
    );
    // san-ds11: ds11-no-meta.
    let stores = [store("notes", SyncKind::OneWayFromServer, "")];
    check(
        &alert(San::Ds11, "srv", 3, &stores),
        DS_11,
        "push.syncml",
        "029f536a006d6c7103312e310001720353796e634d4c2f312e31000165033300015b033100016e57032f000101675703737276000101016b464b033100014f033230390001546757036e6f7465730001010101120101",
    );
}

#[test]
fn a_message_is_as_the_vectors_have_it() {
    // wap-sms: the header of ds12-san-single, and the beginning of its push but for the transaction.
    let stores = [two_way("./contacts", "text/x-vcard")];
    let packages = alert(San::Ds12, "icewarp", 1, &stores).packages().unwrap();
    let [part] = &packages[0].parts[..] else { panic!("it takes one message") };
    assert_eq!(part.udh[..], from_hex(b"0605040b8423f0").unwrap());
    assert_eq!(part.data[..7], from_hex(b"010603ceaf8500").unwrap());
    // The header of pkg0-two-segments-8bit-ref with its reference.
    let stores = [two_way("./contacts", "text/x-vcard"), two_way("./calendar", "text/x-vcalendar")];
    let long = Alert { reference: 0x7b, ..alert(San::Ds11, "http://sync.example.com/syncml", 1, &stores) };
    let packages = long.packages().unwrap();
    assert_eq!(packages[0].parts[0].udh[..], from_hex(b"0b05040b8423f000037b0201").unwrap());
    assert_eq!(packages[0].parts[1].udh[..], from_hex(b"0b05040b8423f000037b0202").unwrap());
    assert_eq!(packages[0].parts[0].data.len(), 128);
}

#[test]
fn management_names_no_store() {
    let stores = [two_way("card", "")];
    let signed = Alert { password: Some(b"pw"), ..alert(San::Dm12, "mgmt", 9, &stores) };
    for stores in [Stores::Named(&stores), Stores::Named(&[]), Stores::All] {
        let packages = Alert { stores, ..signed }.packages().unwrap();
        let push = pushed(&packages[0]);
        assert_eq!(push, Push::new(9, DM, Some("syncml.dm"), push.body.clone()));
        let received = Notification::decode_device_management(&push.body).unwrap();
        assert_eq!((received.verify(b"pw", b""), received.notification.session_id), (Verdict::Good, 9));
        assert_eq!(received.notification.vendor, b"");
    }
}

#[test]
fn the_sixteenth_store_takes_another_package() {
    let stores: Vec<Resource> = (0..16).map(|nth| two_way(&format!("d{nth}"), "")).collect();
    let packages = alert(San::Ds12, "m", u16::MAX, &stores).packages().unwrap();
    let bodies = packages.iter().map(|package| pushed(package).body).collect::<Vec<_>>();
    let read = bodies.iter().map(|body| Notification::decode_data_sync(body).unwrap().notification);
    let read: Vec<(u16, Body)> = read.map(|notification| (notification.session_id, notification.body)).collect();
    let expected = |stores: &[Resource]| Body::DataSync(stores.iter().map(data_store).collect());
    assert_eq!(read, [(u16::MAX, expected(&stores[..15])), (0, expected(&stores[15..]))]);
    assert_eq!(alert(San::Ds11, "m", 1, &stores).packages().unwrap().len(), 2);
}

#[test]
fn every_store_is_an_empty_list() {
    let all = Alert { stores: Stores::All, ..alert(San::Ds12, "srv", 1, &[]) };
    let body = pushed(&all.packages().unwrap()[0]).body;
    assert_eq!(Notification::decode_data_sync(&body).unwrap().notification.body, Body::DataSync(vec![]));
}

#[test]
fn what_does_not_fit_is_named() {
    let stores = [two_way("card", ""), two_way("", ""), two_way(&"x".repeat(256), ""), two_way("a\0b", "")];
    let refused = |alert: Alert<'_>| alert.packages().unwrap_err();
    for (at, found) in [(1, 1), (2, 0), (3, 0)] {
        let some = if at == 1 { &stores[..2] } else { &stores[at..=at] };
        assert_eq!(refused(alert(San::Ds12, "srv", 1, some)), AlertError::Name { at: found });
    }
    let card = &stores[..1];
    for (server_id, octets) in [("", 0), (&"s".repeat(256)[..], 256), ("sërver", 7), ("a\nb", 3)] {
        assert_eq!(refused(alert(San::Ds12, server_id, 1, card)), AlertError::ServerId { octets });
    }
    assert_eq!(refused(alert(San::Ds12, "srv", 1, &[])), AlertError::Nothing);
    let ds_1_1 = alert(San::Ds11, "srv", 1, card);
    assert_eq!(refused(Alert { stores: Stores::All, ..ds_1_1 }), AlertError::All);
    assert_eq!(refused(Alert { password: Some(b"pw"), ..ds_1_1 }), AlertError::Unsigned);
    assert_eq!(refused(Alert { dcs: 8, ..ds_1_1 }), AlertError::Parts(TpduError::CodingMismatch { dcs: 8 }));
}

#[test]
fn settings_are_signed_and_hold_no_secret() {
    let account = SyncAccount {
        name: "Acme".to_owned(),
        provider_id: Some("icewarp".to_owned()),
        route: None,
        address: "https://sync.example.com/syncml/".to_owned(),
        port: None,
        user: "ann@acme.example".to_owned(),
        data_stores: vec![provisioning::DataStore {
            uri: "contacts".to_owned(),
            name: "Contacts".to_owned(),
            accepts: "text/x-vcard".to_owned(),
        }],
    };
    let security = Security::UserPin(Pin::new("1234").unwrap());
    let push = pushed(&settings(&account, &security, DCS_PUSH, 9).unwrap());
    assert!(security.verify(&push.body, push.parameters.mac.as_deref().unwrap()));
    assert_eq!((push.parameters.security, push.media_type.name()), (Some(1), Some(provisioning::MEDIA_TYPE)));
    let document = provisioning::Document::decode(&push.body).unwrap();
    assert_eq!(document, account.document());
    assert!(!push.body.windows(4).any(|four| four == b"1234"), "the PIN stays with its user");
}

fn resources() -> impl Strategy<Value = Resource> {
    let kinds = prop::sample::select(vec![
        SyncKind::TwoWay,
        SyncKind::OneWayFromClient,
        SyncKind::RefreshFromClient,
        SyncKind::OneWayFromServer,
        SyncKind::RefreshFromServer,
    ]);
    ("[^\u{0}]{1,60}", kinds, "(text/x-vcard|text/calendar|)")
        .prop_map(|(name, sync, content_type)| store(&name, sync, &content_type))
}

proptest! {
    /// Every store is named once, in the order given, by names equal to the last octet.
    #[test]
    fn a_phone_reads_what_was_meant(stores in vec(resources(), 1..40), server_id in "[ -~]{1,40}", session_id: u16, signs: bool) {
        let password = signs.then_some(&b"secret"[..]);
        let binary = Alert { password, ..alert(San::Ds12, &server_id, session_id, &stores) };
        let mut read = Vec::new();
        for (nth, package) in binary.packages().unwrap().iter().enumerate() {
            let push = pushed(package);
            let received = Notification::decode_data_sync(&push.body).unwrap();
            prop_assert_eq!(received.verify(b"secret", b""), if signs { Verdict::Good } else { Verdict::Absent });
            prop_assert_eq!(received.notification.session_id, session_id.wrapping_add(nth as u16));
            prop_assert_eq!(&received.notification.server_id, server_id.as_bytes());
            let Body::DataSync(syncs) = received.notification.body else { unreachable!("it is data synchronisation") };
            prop_assert!(syncs.len() <= DATA_STORES_MAX);
            read.extend(syncs);
        }
        prop_assert_eq!(read, stores.iter().map(data_store).collect::<Vec<_>>());

        let mut read = Vec::new();
        for package in alert(San::Ds11, &server_id, session_id, &stores).packages().unwrap() {
            let package = Package::decode(&pushed(&package).body).unwrap();
            prop_assert_eq!((&package.source, &package.target[..]), (&server_id, "/"));
            for alert in package.alerts {
                read.extend(alert.items.into_iter().map(|item| (alert.sync_type.alert(), item.uri)));
            }
        }
        let mut meant: Vec<(u16, String)> = stores.iter().map(|store| (store.sync.alert(), store.name.clone())).collect();
        read.sort();
        meant.sort();
        prop_assert_eq!(read, meant);
    }

    #[test]
    fn the_same_alert_is_the_same_octets(stores in vec(resources(), 1..20), reference: u8) {
        let again = |form| Alert { reference, ..alert(form, "srv", 5, &stores) }.packages().unwrap();
        prop_assert_eq!(again(San::Ds12), again(San::Ds12));
        prop_assert_eq!(again(San::Ds11), again(San::Ds11));
    }
}
