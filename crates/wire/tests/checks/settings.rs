//! Documents in WBXML: indications, provisioning, older settings.

use wire::{
    ota_settings,
    provisioning::{self, Imsi, Pin, Security},
    tpdu::{UserData, to_hex},
    udh::{Element, Header},
    wbxml::{self, SERVICE_INDICATION, SERVICE_LOADING, Version},
    wsp::Push,
};

use super::{
    Fields, Vector, markup,
    wap::{check_reassembly, datagram, reference},
};

pub(crate) fn service(vector: &Vector<'_>) {
    let inputs = vector.inputs(&["xml", "wbxml_version"]);
    let expected = vector.expected(&["hex"]);
    let root = markup::read(inputs.text("xml"));
    let vocabulary = if root.name == "sl" { &SERVICE_LOADING } else { &SERVICE_INDICATION };
    let version = match inputs.maybe_text("wbxml_version") {
        Some("1.1") => Version::V1_1,
        None | Some("1.2") => Version::V1_2,
        Some("1.3") => Version::V1_3,
        Some(other) => panic!("version `{other}`"),
    };
    assert_eq!(wbxml::decode(&expected.octets("hex"), vocabulary).as_ref(), Ok(&root));
    if !vector.decodes_only() {
        expected.check_hex("hex", &wbxml::encode(&root, vocabulary, version).unwrap());
    }
}

pub(crate) fn ota_settings(vector: &Vector<'_>) {
    let inputs = vector.inputs(&["xml", "dst_port", "src_port"]);
    let expected = vector.expected(&["wbxml_hex", "wsp_hex", "udh_hex"]);
    let document = ota_settings::Document::of(&markup::read(inputs.text("xml"))).unwrap();
    assert_eq!(ota_settings::Document::decode(&expected.octets("wbxml_hex")).as_ref(), Ok(&document));
    let push = document.push().unwrap();
    assert_eq!(Push::decode(&expected.octets("wsp_hex")).as_ref(), Ok(&push));
    if !vector.decodes_only() {
        expected.check_hex("wbxml_hex", &document.encode().unwrap());
        expected.check_hex("wsp_hex", &push.encode().unwrap());
        let ports = Element::Ports { destination: inputs.number("dst_port"), source: inputs.number("src_port") };
        expected.check_hex("udh_hex", &Header { elements: vec![ports] }.encode().unwrap());
    }
}

pub(crate) fn provisioning(vector: &Vector<'_>) {
    let inputs =
        vector.inputs(&["xml", "sec", "imsi", "pin", "tid", "dst_port", "src_port", "concat_ref", "concat_16bit"]);
    let expected = vector.expected(&["wbxml_hex", "mac", "key_hex", "wsp_hex", "segments"]);
    let document = provisioning::Document::of(&markup::read(inputs.text("xml"))).unwrap();
    let body = expected.octets("wbxml_hex");
    assert_eq!(provisioning::Document::decode(&body).as_ref(), Ok(&document));

    let security = security(&inputs);
    let received = Push::decode(&expected.octets("wsp_hex")).unwrap();
    assert_eq!(received.body, body);
    assert_eq!(received.parameters.security, security.as_ref().map(Security::code));
    match &security {
        Some(security) => {
            assert_eq!(security.mac(&body), expected.text("mac"));
            expected.check_hex("key_hex", &security.key());
            assert!(security.verify(&body, received.parameters.mac.as_deref().expect("a signature")));
        }
        None => assert_eq!(received.parameters.mac, None),
    }
    check_segments(vector, &inputs, &expected);
    if !vector.decodes_only() {
        expected.check_hex("wbxml_hex", &document.encode().unwrap());
        let push = provisioning::push(inputs.number("tid"), document.encode().unwrap(), security.as_ref());
        assert_eq!(push, received);
        expected.check_hex("wsp_hex", &push.encode().unwrap());
    }
}

fn check_segments(vector: &Vector<'_>, inputs: &Fields<'_>, expected: &Fields<'_>) {
    let segments = expected.list("segments").iter().map(|value| Fields::of(value, &["udh_hex", "data_hex"]));
    let segments: Vec<(Vec<u8>, Vec<u8>)> =
        segments.map(|segment| (segment.octets("udh_hex"), segment.octets("data_hex"))).collect();
    let arrived = segments.iter().map(|(header, data)| {
        let (header, _) = Header::decode(header).unwrap();
        UserData::octets(Some(header), data).unwrap()
    });
    let payload = expected.octets("wsp_hex");
    check_reassembly(&arrived.collect::<Vec<_>>(), &payload);
    if !vector.decodes_only() {
        let parts = datagram(inputs, &payload).parts(reference(inputs)).unwrap();
        let written = parts.iter().map(|part| (part.header().unwrap().encode().unwrap(), part.body_octets()));
        let digits = |(header, data): (Vec<u8>, Vec<u8>)| (to_hex(&header), to_hex(&data));
        assert_eq!(written.map(digits).collect::<Vec<_>>(), segments.into_iter().map(digits).collect::<Vec<_>>());
    }
}

fn security(inputs: &Fields<'_>) -> Option<Security> {
    let imsi = || Imsi::new(inputs.text("imsi")).unwrap();
    let pin = || Pin::new(inputs.text("pin")).unwrap();
    Some(match inputs.maybe_number::<u8>("sec")? {
        0 => Security::NetworkPin(imsi()),
        1 => Security::UserPin(pin()),
        2 => Security::UserNetworkPin(imsi(), pin()),
        other => panic!("security `{other}`"),
    })
}
