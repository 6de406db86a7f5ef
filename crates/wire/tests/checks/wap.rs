//! Push PDUs, and how they travel over SMS.

use std::time::Instant;

use serde_json::Value;
use wire::{
    datagram::{Datagram, Envelope},
    reassembly::{Arrival, Reassembly, join_octets},
    tpdu::{Report, Submit, UserData, Validity, at_command_pdu},
    udh::Reference,
    wsp::{ApplicationId, MediaType, Parameters, Push},
};

use super::{Fields, Vector, sms::address};

pub(crate) fn push(vector: &Vector<'_>) {
    let inputs = vector.inputs(&["tid", "content_type", "params", "app_id", "push_flag", "body_hex"]);
    let expected = vector.expected(&["hex"]);
    let push = Push {
        transaction_id: inputs.number("tid"),
        media_type: match inputs.get("content_type").expect("a content type") {
            Value::String(name) => MediaType::named(name),
            _ => MediaType::Code(inputs.number("content_type")),
        },
        parameters: inputs.get("params").map(parameters).unwrap_or_default(),
        application: inputs.get("app_id").map(|id| match id {
            Value::String(name) => ApplicationId::named(name),
            _ => ApplicationId::Number(inputs.number("app_id")),
        }),
        push_flag: inputs.maybe_number("push_flag"),
        body: inputs.octets("body_hex"),
    };
    assert_eq!(Push::decode(&expected.octets("hex")).as_ref(), Ok(&push));
    if !vector.decodes_only() {
        expected.check_hex("hex", &push.encode().unwrap());
    }
}

fn parameters(value: &Value) -> Parameters {
    let fields = Fields::of(value, &["charset", "sec", "mac"]);
    Parameters {
        charset: fields.maybe_number("charset"),
        security: fields.maybe_number("sec"),
        mac: fields.maybe_text("mac").map(str::to_owned),
    }
}

pub(crate) fn sms(vector: &Vector<'_>) {
    let inputs = vector.inputs(&[
        "wsp_hex",
        "dst_port",
        "src_port",
        "concat_ref",
        "concat_16bit",
        "to",
        "ton",
        "npi",
        "pid",
        "dcs",
        "validity_minutes",
        "mr",
        "srr",
        "rd",
        "rp",
    ]);
    let expected = vector.expected(&["segments"]);
    let keys = ["udh_hex", "data_hex", "submit_tpdu_hex", "at_cmgs_length"];
    let segments: Vec<Fields<'_>> = expected.list("segments").iter().map(|value| Fields::of(value, &keys)).collect();

    let arrived: Vec<Submit> =
        segments.iter().map(|segment| Submit::decode(&segment.octets("submit_tpdu_hex")).unwrap()).collect();
    let parts: Vec<UserData> = arrived.iter().map(|submit| submit.user_data.clone()).collect();
    check_reassembly(&parts, &inputs.octets("wsp_hex"));
    for (segment, submit) in segments.iter().zip(&arrived) {
        segment.check_hex("data_hex", &submit.user_data.body_octets());
        segment.check_hex("udh_hex", &submit.user_data.header().unwrap().encode().unwrap());
        let (length, _) = at_command_pdu(&segment.octets("submit_tpdu_hex"));
        assert_eq!(segment.number::<usize>("at_cmgs_length"), length);
    }
    if vector.decodes_only() {
        return;
    }

    let payload = inputs.octets("wsp_hex");
    let envelope = Envelope {
        to: address(&inputs, "to"),
        pid: inputs.maybe_number("pid").unwrap_or(0),
        dcs: inputs.number("dcs"),
        reference: reference(&inputs),
        report: if inputs.flag("srr") { Report::Wanted } else { Report::NotWanted },
        validity: inputs.maybe_number("validity_minutes").map(Validity::minutes),
    };
    let submits = datagram(&inputs, &payload).submits(&envelope).unwrap();
    assert_eq!(submits.len(), segments.len());
    for (segment, submit) in segments.iter().zip(submits) {
        let submit = Submit {
            reference: inputs.maybe_number("mr").unwrap_or(0),
            reject_duplicates: inputs.flag("rd"),
            reply_path: inputs.flag("rp"),
            ..submit
        };
        segment.check_hex("submit_tpdu_hex", &submit.encode().unwrap());
    }
}

pub(crate) fn datagram<'payload>(inputs: &Fields<'_>, payload: &'payload [u8]) -> Datagram<'payload> {
    Datagram { destination_port: inputs.number("dst_port"), source_port: inputs.number("src_port"), payload }
}

pub(crate) fn reference(inputs: &Fields<'_>) -> Reference {
    if inputs.flag("concat_16bit") {
        Reference::Wide(inputs.number("concat_ref"))
    } else {
        Reference::Narrow(inputs.maybe_number("concat_ref").unwrap_or(0))
    }
}

/// The last part first: order means nothing on the air.
pub(crate) fn check_reassembly(parts: &[UserData], expected: &[u8]) {
    let (mut reassembly, now) = (Reassembly::default(), Instant::now());
    let mut whole = None;
    for part in parts.iter().rev() {
        assert_eq!(whole, None, "whole before all parts were there");
        whole = match reassembly.take("1", part.clone(), now) {
            Arrival::Whole(parts) => Some(join_octets(&parts)),
            Arrival::Waiting => None,
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(whole.as_deref(), Some(expected));
    assert_eq!(reassembly.parts(), 0);
}
