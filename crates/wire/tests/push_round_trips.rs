//! What is written is read back: notifications, pushes, documents, datagrams. The SMS layer has its own file.

use std::time::Instant;

use proptest::{collection::vec, option, prelude::*};
use wire::{
    datagram::{Datagram, Envelope, NOTIFICATION_MINUTES, PORT_PUSH, PORT_SESSION},
    http_template::{Call, Message, Payload, Template},
    ota_settings,
    provisioning::{self, Characteristic, Entry, Imsi, Pin, Security},
    reassembly::{Arrival, Reassembly, join_octets},
    san::{Body, ContentType, DataStore, Initiator, Notification, ProtocolVersion, SyncType, UiMode, Verdict},
    service::{Execution, Indication, Loading, Signal},
    syncml::{self, Alert, Item, Package},
    tpdu::{Address, Deliver, Report, Submit, Timestamp, Validity},
    udh::{Header, Reference},
    wsp::{ApplicationId, MediaType, Parameters, Push},
};

fn names() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 1..=255), "[ -~]{1,30}".prop_map(String::into_bytes)]
}

fn sync_types() -> impl Strategy<Value = SyncType> {
    (206..=210_u16).prop_map(|code| SyncType::of_alert(code).unwrap())
}

fn data_stores() -> impl Strategy<Value = DataStore> {
    (sync_types(), 0..1_u32 << 24, names()).prop_map(|(sync_type, code, uri)| DataStore {
        sync_type,
        content_type: ContentType(code),
        uri,
    })
}

fn bodies() -> impl Strategy<Value = Body> {
    prop_oneof![vec(data_stores(), 0..=15).prop_map(Body::DataSync), Just(Body::DeviceManagement)]
}

fn notifications() -> impl Strategy<Value = Notification> {
    let header = (10..=12_u16, 0..4_u8, any::<bool>(), any::<u16>(), names());
    (header, bodies(), vec(any::<u8>(), 0..20)).prop_map(
        |((tenths, ui, server, session_id, server_id), body, vendor)| Notification {
            version: ProtocolVersion::of_tenths(tenths).unwrap(),
            ui_mode: UiMode::of(ui),
            initiator: if server { Initiator::Server } else { Initiator::Client },
            session_id,
            server_id,
            body,
            vendor,
        },
    )
}

/// Texts a document can hold, with what vocabularies have tokens for.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\u{0}]{0,40}",
        "(http|https)://(www\\.)?[a-z]{1,8}(\\.com/|\\.org/|\\.net/|\\.edu/|/)[a-z.]{0,12}",
        "(GSM-GPRS|PAP|CHAP|APPSRV|APN|IPV4|GPRS|9201|w5)x?",
    ]
}

fn packages() -> impl Strategy<Value = Package> {
    let item = (texts(), option::of(texts())).prop_map(|(uri, content_type)| Item { uri, content_type });
    let alert = (sync_types(), vec(item, 1..5)).prop_map(|(sync_type, items)| Alert { sync_type, items });
    let version = prop::sample::select(vec![
        syncml::ProtocolVersion::V1_0,
        syncml::ProtocolVersion::V1_1,
        syncml::ProtocolVersion::V1_2,
    ]);
    (version, any::<u32>(), any::<u32>(), texts(), texts(), vec(alert, 1..4)).prop_map(
        |(version, session_id, message_id, target, source, alerts)| Package {
            version,
            session_id,
            message_id,
            target,
            source,
            alerts,
        },
    )
}

fn pushes() -> impl Strategy<Value = Push> {
    let media = prop_oneof![
        "[a-z]{1,12}/[a-z.+-]{1,60}".prop_map(MediaType::Name),
        prop::sample::select(vec!["text/plain", "application/vnd.syncml+wbxml", "application/vnd.wap.sic"])
            .prop_map(MediaType::named),
        (0x1000..u32::MAX).prop_map(MediaType::Code),
    ];
    let parameters = (option::of(any::<u32>()), option::of(any::<u8>()), option::of("[0-9A-F]{1,40}"))
        .prop_map(|(charset, security, mac)| Parameters { charset, security, mac });
    let application = option::of(prop_oneof![
        (0x0b..u32::MAX).prop_map(ApplicationId::Number),
        prop::sample::select(vec!["push.syncml", "syncml.dm", "wml.ua", "x:own"]).prop_map(ApplicationId::named),
    ]);
    (any::<u8>(), media, parameters, application, option::of(any::<u8>()), vec(any::<u8>(), 0..300)).prop_map(
        |(transaction_id, media_type, parameters, application, push_flag, body)| Push {
            transaction_id,
            media_type,
            parameters,
            application,
            push_flag,
            body,
        },
    )
}

fn characteristics() -> impl Strategy<Value = Characteristic> {
    let kind = prop_oneof!["APPLICATION|NAPDEF|APPADDR|PORT|RESOURCE", texts()];
    let name = prop_oneof!["APPID|NAME|ADDR|BEARER|URI|TO-NAPID|AAUTHLEVEL", texts()];
    let parameter = (name, option::of(texts())).prop_map(|(name, value)| Entry::Parameter { name, value }).boxed();
    let leaf = (kind, vec(parameter.clone(), 0..4)).prop_map(|(kind, entries)| Characteristic { kind, entries });
    leaf.prop_recursive(5, 20, 3, move |inner| {
        let entry = prop_oneof![parameter.clone(), inner.prop_map(Entry::Characteristic)];
        (texts(), vec(entry, 0..4)).prop_map(|(kind, entries)| Characteristic { kind, entries })
    })
}

fn references() -> impl Strategy<Value = Reference> {
    prop_oneof![any::<u8>().prop_map(Reference::Narrow), any::<u16>().prop_map(Reference::Wide)]
}

fn dates() -> impl Strategy<Value = String> {
    (0..100_u32, 0..100_u32, 1..13_u32, 1..32_u32, 0..24_u32, 0..60_u32, 0..60_u32).prop_map(
        |(century, year, month, day, hour, minute, second)| {
            format!("{century:02}{year:02}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        },
    )
}

proptest! {
    #[test]
    fn notifications_come_back(notification in notifications(), password in vec(any::<u8>(), 0..20), nonce in vec(any::<u8>(), 0..20)) {
        let octets = notification.encode(&password, &nonce).unwrap();
        let received = match notification.body {
            Body::DataSync(_) => Notification::decode_data_sync(&octets),
            Body::DeviceManagement => Notification::decode_device_management(&octets),
        }.unwrap();
        // The end of a management notification is the vendor's, so both come back apart.
        prop_assert_eq!(&received.notification, &notification);
        prop_assert_eq!(received.verify(&password, &nonce), Verdict::Good);
        prop_assert_eq!(received.verify(&[&password[..], b"x"].concat(), &nonce), Verdict::Wrong);
    }

    #[test]
    fn packages_come_back(package in packages()) {
        prop_assert_eq!(Package::decode(&package.encode().unwrap()), Ok(package));
    }

    #[test]
    fn pushes_come_back(push in pushes()) {
        prop_assert_eq!(Push::decode(&push.encode().unwrap()), Ok(push));
    }

    #[test]
    fn provisioning_comes_back(characteristics in vec(characteristics(), 0..4), imsi in "[0-9]{6,15}", pin in "[0-9]{1,16}") {
        let document = provisioning::Document::new(characteristics);
        let octets = document.encode().unwrap();
        prop_assert_eq!(provisioning::Document::decode(&octets), Ok(document));
        let (imsi, pin) = (Imsi::new(&imsi).unwrap(), Pin::new(&pin).unwrap());
        for security in [Security::NetworkPin(imsi.clone()), Security::UserPin(pin.clone()), Security::UserNetworkPin(imsi, pin)] {
            let push = Push::decode(&provisioning::push(1, octets.clone(), Some(&security)).encode().unwrap()).unwrap();
            prop_assert!(security.verify(&push.body, &push.parameters.mac.unwrap()));
            prop_assert_eq!(push.parameters.security, Some(security.code()));
        }
    }

    #[test]
    fn older_settings_come_back(groups in vec(("ADDRESS|URL|NAME|BOOKMARK", option::of(texts()), vec((texts(), texts()), 0..4)), 0..5)) {
        let group = |(kind, value, parameters): (String, Option<String>, Vec<(String, String)>)| ota_settings::Characteristic {
            kind,
            value,
            parameters: parameters.into_iter().map(|(name, value)| ota_settings::Parameter { name, value }).collect(),
        };
        let document = ota_settings::Document { characteristics: groups.into_iter().map(group).collect() };
        prop_assert_eq!(ota_settings::Document::decode(&document.encode().unwrap()), Ok(document));
    }

    #[test]
    fn services_come_back(href in option::of(texts()), id in option::of(texts()), text in texts(), created in option::of(dates()), expires in option::of(dates()), action in 0..6_usize) {
        let signals = [None, Some(Signal::None), Some(Signal::Low), Some(Signal::Medium), Some(Signal::High), Some(Signal::Delete)];
        let indication = Indication { href: href.clone(), id, action: signals[action], created, expires, text };
        prop_assert_eq!(Indication::decode(&indication.encode().unwrap()), Ok(indication));
        let executions = [None, Some(Execution::Low), Some(Execution::High), Some(Execution::Cache)];
        let loading = Loading { href: href.unwrap_or_default(), action: executions[action % 4] };
        prop_assert_eq!(Loading::decode(&loading.encode().unwrap()), Ok(loading));
    }

    #[test]
    fn datagrams_come_back(payload in vec(any::<u8>(), 0..2000), reference in references(), order in any::<u64>()) {
        let datagram = Datagram { destination_port: PORT_PUSH, source_port: PORT_SESSION, payload: &payload };
        let envelope = Envelope {
            to: Address::number("+4915112345678").unwrap(),
            pid: 0,
            dcs: 0xf5,
            reference,
            report: Report::Wanted,
            validity: Some(Validity::minutes(NOTIFICATION_MINUTES)),
        };
        let mut submits = datagram.submits(&envelope).unwrap();
        prop_assert_eq!(submits.len() == 1, payload.len() <= 133);
        let turn = order as usize % submits.len();
        submits.rotate_left(turn);
        let (mut reassembly, now) = (Reassembly::default(), Instant::now());
        let mut whole = None;
        for submit in submits {
            // Out as one kind of message, in as the other.
            let arrived = Submit::decode(&submit.encode().unwrap()).unwrap();
            let deliver = Deliver {
                more_messages: false,
                status_report_indication: false,
                reply_path: false,
                originator: arrived.destination,
                pid: arrived.pid,
                dcs: arrived.dcs,
                service_centre_time: Timestamp::from_unix_seconds(0, 0),
                user_data: arrived.user_data,
            };
            let user_data = Deliver::decode(&deliver.encode().unwrap()).unwrap().user_data;
            if let Arrival::Whole(parts) = reassembly.take("1", user_data, now) {
                whole = Some(join_octets(&parts));
            }
        }
        prop_assert_eq!(whole, Some(payload));
        prop_assert_eq!(reassembly.parts(), 0);
    }

    /// Our own door reads what our own way out writes.
    #[test]
    fn calls_come_back(number in "\\+[0-9]{7,15}", text in "[^\u{0}]{1,60}", octets in vec(any::<u8>(), 1..140), ports in any::<[u16; 2]>(), dcs in any::<u8>(), is_text in any::<bool>()) {
        let template = "number=%number%&data=%data%&udh=%udh%&binary=%binary%&pid=%pid%&dcs=%dcs%&sender=%sender%";
        let [destination, source] = ports;
        let header = Header { elements: vec![wire::udh::Element::Ports { destination, source }] };
        let elements = header.encode().unwrap().split_off(1);
        let message = Message {
            number: &number,
            payload: if is_text { Payload::Text(&text) } else { Payload::Octets(&octets) },
            header: if is_text { &[] } else { &elements },
            pid: 7,
            dcs,
            sender: "A&B",
            sender_phone_alias: "",
            parts: 1,
            report: "",
        };
        let call = Call::parse(&Template::parse(template).unwrap().render(&message).unwrap()).unwrap();
        prop_assert_eq!(&call.number, &number);
        prop_assert_eq!((call.pid, call.dcs, call.sender.as_deref()), (7, Some(dcs), Some("A&B")));
        prop_assert_eq!(call.text, is_text.then_some(text));
        prop_assert_eq!(call.octets, (!is_text).then_some(octets));
        prop_assert_eq!(call.header, (!is_text).then_some(header));
    }
}
