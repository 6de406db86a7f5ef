//! Notifications: binary ones with their digests, and package #0.

use wire::{
    san::{Body, ContentType, DataStore, Digest, Initiator, Notification, ProtocolVersion, SyncType, UiMode, Verdict},
    syncml::{self, Alert, Item, Package},
};

use super::{Fields, Vector};

const HEADER_KEYS: &[&str] =
    &["server_id", "password", "nonce_hex", "version", "ui_mode", "initiator", "session_id", "vendor_hex"];

pub(crate) fn data_sync(vector: &Vector<'_>) {
    let inputs = vector.inputs(&[HEADER_KEYS, &["syncs"]].concat());
    let syncs = inputs.list("syncs").iter().map(|sync| {
        let fields = Fields::of(sync, &["sync_type", "content_type", "uri"]);
        DataStore {
            sync_type: SyncType::of_alert(fields.number("sync_type")).expect("an alert that may be sent"),
            content_type: ContentType(fields.number("content_type")),
            uri: fields.text("uri").as_bytes().to_vec(),
        }
    });
    check(vector, &inputs, Body::DataSync(syncs.collect()));
}

pub(crate) fn device_management(vector: &Vector<'_>) {
    check(vector, &vector.inputs(HEADER_KEYS), Body::DeviceManagement);
}

fn check(vector: &Vector<'_>, inputs: &Fields<'_>, body: Body) {
    let expected = vector.expected(&["hex"]);
    let notification = Notification {
        version: ProtocolVersion::of_tenths(inputs.number("version")).unwrap(),
        ui_mode: UiMode::of(inputs.number("ui_mode")),
        initiator: if inputs.number::<u8>("initiator") == 0 { Initiator::Client } else { Initiator::Server },
        session_id: inputs.number("session_id"),
        server_id: inputs.text("server_id").as_bytes().to_vec(),
        body,
        vendor: inputs.maybe_octets("vendor_hex").unwrap_or_default(),
    };
    let octets = expected.octets("hex");
    let received = match notification.body {
        Body::DataSync(_) => Notification::decode_data_sync(&octets),
        Body::DeviceManagement => Notification::decode_device_management(&octets),
    };
    let received = received.unwrap();
    assert_eq!(received.notification, notification);
    let nonce = inputs.maybe_octets("nonce_hex").unwrap_or_default();
    let written = match inputs.maybe_text("password") {
        Some(password) => {
            assert_eq!(received.verify(password.as_bytes(), &nonce), Verdict::Good);
            assert_eq!(received.verify(format!("{password}!").as_bytes(), &nonce), Verdict::Wrong);
            notification.encode(password.as_bytes(), &nonce)
        }
        None => {
            assert_eq!(received.digest, Digest::ABSENT);
            assert_eq!(received.verify(b"any", &nonce), Verdict::Absent);
            notification.encode_unsigned()
        }
    };
    if !vector.decodes_only() {
        expected.check_hex("hex", &written.unwrap());
    }
}

pub(crate) fn package_0(vector: &Vector<'_>) {
    let inputs = vector.inputs(&["version", "session_id", "msg_id", "target", "source", "alerts"]);
    let expected = vector.expected(&["hex"]);
    let package = Package {
        version: match inputs.text("version") {
            "1.0" => syncml::ProtocolVersion::V1_0,
            "1.1" => syncml::ProtocolVersion::V1_1,
            "1.2" => syncml::ProtocolVersion::V1_2,
            other => panic!("version `{other}`"),
        },
        session_id: inputs.number("session_id"),
        message_id: inputs.maybe_number("msg_id").unwrap_or(1),
        target: inputs.text("target").to_owned(),
        source: inputs.text("source").to_owned(),
        alerts: inputs.list("alerts").iter().map(|value| alert(&Fields::of(value, &["code", "items"]))).collect(),
    };
    assert_eq!(Package::decode(&expected.octets("hex")).as_ref(), Ok(&package));
    if !vector.decodes_only() {
        expected.check_hex("hex", &package.encode().unwrap());
    }
}

fn alert(fields: &Fields<'_>) -> Alert {
    let items = fields.list("items").iter().map(|value| {
        let item = Fields::of(value, &["uri", "type"]);
        Item { uri: item.text("uri").to_owned(), content_type: item.maybe_text("type").map(str::to_owned) }
    });
    Alert {
        sync_type: SyncType::of_alert(fields.number("code")).expect("an alert that may be sent"),
        items: items.collect(),
    }
}
