//! Octets that every decoder must refuse.

use wire::{
    http_template::Template,
    ota_settings, provisioning,
    san::Notification,
    service::{Indication, Loading},
    syncml::Package,
    tpdu::{Deliver, StatusReport, Submit},
    udh::{Element, Header},
    wsp::Push,
};

use super::Vector;

pub(crate) fn malformed(vector: &Vector<'_>) {
    let inputs = vector.inputs(&["decoder", "hex"]);
    let expected = vector.expected(&["result", "reason"]);
    assert_eq!(expected.text("result"), "error");
    assert!(!is_accepted(inputs.text("decoder"), &inputs.octets("hex")), "it was accepted");
}

/// Whether the decoder that a kind of vector is read with takes these octets.
fn is_accepted(kind: &str, octets: &[u8]) -> bool {
    match kind {
        "san-ds12" => Notification::decode_data_sync(octets).is_ok(),
        "san-dm" => Notification::decode_device_management(octets).is_ok(),
        "san-ds11" => Package::decode(octets).is_ok(),
        "wsp-push" => Push::decode(octets).is_ok(),
        "si-sl" => Indication::decode(octets).is_ok() || Loading::decode(octets).is_ok(),
        "oma-cp" => body_of_push(octets).is_some_and(|body| provisioning::Document::decode(&body).is_ok()),
        "nokia-ota" => body_of_push(octets).is_some_and(|body| ota_settings::Document::decode(&body).is_ok()),
        "sms-submit" => Submit::decode(octets).is_ok(),
        "wap-sms" => Submit::decode(octets).is_ok_and(|submit| submit.user_data.header().is_some_and(has_ports)),
        "sms-deliver" => Deliver::decode(octets).is_ok(),
        "sms-status-report" => StatusReport::decode(octets).is_ok(),
        // A text in a message with nothing around it, behind its length.
        "gsm7" => Submit::decode(&[&[0x01, 0, 1, 0x81, 0xf1, 0, 0], octets].concat()).is_ok(),
        "segmentation" => std::str::from_utf8(octets).is_ok(),
        "tp-status" | "vp-relative" => octets.len() == 1,
        "http-template" => std::str::from_utf8(octets).is_ok_and(|text| Template::parse(text).is_ok()),
        other => panic!("decoder `{other}`"),
    }
}

fn has_ports(header: &Header) -> bool {
    header.elements.iter().any(|element| matches!(element, Element::Ports { .. }))
}

/// A document, alone or in the push that carries it.
fn body_of_push(octets: &[u8]) -> Option<Vec<u8>> {
    match octets {
        [0x01..=0x03, 0x01 | 0x0b, ..] => Some(octets.to_vec()),
        _ => Push::decode(octets).map(|push| push.body).ok(),
    }
}
