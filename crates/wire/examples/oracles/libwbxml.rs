//! libwbxml reads the documents we write, and writes the ones we read.

use std::{fs, path::Path};

use wire::{
    ota_settings,
    provisioning::{Characteristic, DataStore, Document, Route, SyncAccount},
    san::SyncType,
    service::{Execution, Indication, Loading, Signal},
    syncml::{self, Alert, Item, Package},
    tpdu::to_hex,
    wbxml::{
        self, Content, Element, OTA_SETTINGS, PROVISIONING, SERVICE_INDICATION, SERVICE_LOADING, SYNCML_1_0,
        SYNCML_1_1, SYNCML_1_2, Vocabulary,
    },
};

use super::{Findings, Random, markup, run};

const CASES: usize = 12;

/// A kind of document, and how libwbxml is told of it.
struct Kind {
    vocabulary: &'static Vocabulary,
    /// What its XML begins with.
    doctype: &'static str,
    version: &'static str,
    /// Its name where the document does not say it.
    language: Option<&'static str>,
    /// libwbxml writes the same octets.
    same_octets: bool,
}

const SI: Kind = Kind {
    vocabulary: &SERVICE_INDICATION,
    doctype: "si PUBLIC \"-//WAPFORUM//DTD SI 1.0//EN\" \"http://www.wapforum.org/DTD/si.dtd\"",
    version: "1.2",
    language: None,
    same_octets: true,
};
const SL: Kind = Kind {
    vocabulary: &SERVICE_LOADING,
    doctype: "sl PUBLIC \"-//WAPFORUM//DTD SL 1.0//EN\" \"http://www.wapforum.org/DTD/sl.dtd\"",
    ..SI
};
/// It puts tokens into the middle of values, where we write these as they are.
const PROV: Kind = Kind {
    vocabulary: &PROVISIONING,
    doctype: "wap-provisioningdoc PUBLIC \"-//WAPFORUM//DTD PROV 1.0//EN\" \"http://www.wapforum.org/DTD/prov.dtd\"",
    version: "1.3",
    language: None,
    same_octets: false,
};
const OTA: Kind = Kind {
    vocabulary: &OTA_SETTINGS,
    doctype: "CHARACTERISTIC-LIST SYSTEM \"/DTD/characteristic_list.xml\"",
    version: "1.1",
    language: Some("OTA"),
    same_octets: false,
};
const SYNCML: [(syncml::ProtocolVersion, Kind); 3] = [
    (
        syncml::ProtocolVersion::V1_0,
        Kind { vocabulary: &SYNCML_1_0, doctype: "SyncML PUBLIC \"-//SYNCML//DTD SyncML 1.0//EN\" \"x\"", ..SI },
    ),
    (
        syncml::ProtocolVersion::V1_1,
        Kind { vocabulary: &SYNCML_1_1, doctype: "SyncML PUBLIC \"-//SYNCML//DTD SyncML 1.1//EN\" \"x\"", ..SI },
    ),
    (
        syncml::ProtocolVersion::V1_2,
        Kind { vocabulary: &SYNCML_1_2, doctype: "SyncML PUBLIC \"-//SYNCML//DTD SyncML 1.2//EN\" \"x\"", ..SI },
    ),
];

pub(crate) fn ask(folder: &Path, mut random: Random) -> Findings {
    let mut findings = Findings::default();
    for _ in 0..CASES {
        compare(folder, &SI, &indication(&mut random).encode().expect("it fits"), &mut findings);
        compare(folder, &SL, &loading(&mut random).encode().expect("it fits"), &mut findings);
        compare(folder, &PROV, &settings(&mut random).encode().expect("it fits"), &mut findings);
        compare(folder, &OTA, &older_settings(&mut random).encode().expect("it fits"), &mut findings);
        for (version, kind) in &SYNCML {
            compare(folder, kind, &package(&mut random, *version).encode().expect("it fits"), &mut findings);
        }
    }
    findings
}

/// Both ways: it reads what we wrote, and we read what it writes.
fn compare(folder: &Path, kind: &Kind, octets: &[u8], findings: &mut Findings) {
    let ours = wbxml::decode(octets, kind.vocabulary).expect("we wrote it");
    let what = |way: &str| format!("{} {} {way}", kind.vocabulary.root, to_hex(octets));

    fs::write(folder.join("ours.wbxml"), octets).expect("a folder of our own");
    let language: Vec<&str> = kind.language.into_iter().flat_map(|language| ["-l", language]).collect();
    let arguments = [&["-k", "-m", "0", "-o", "theirs.xml"][..], &language, &["ours.wbxml"]].concat();
    run(folder, "wbxml2xml", &arguments, &[]);
    let theirs = fs::read_to_string(folder.join("theirs.xml")).expect("it wrote it");
    findings.compare(&what("read"), &values(&without_namespaces(markup::read(&theirs))), &values(&ours));

    let text = format!("<?xml version=\"1.0\"?><!DOCTYPE {}>{}", kind.doctype, written(&ours));
    fs::write(folder.join("ours.xml"), text).expect("a folder of our own");
    run(folder, "xml2wbxml", &["-k", "-n", "-v", kind.version, "-o", "theirs.wbxml", "ours.xml"], &[]);
    let theirs = fs::read(folder.join("theirs.wbxml")).expect("it wrote it");
    let tree = wbxml::decode(&theirs, kind.vocabulary);
    findings.compare(&what("written"), &tree.map(|tree| values(&tree)), &Ok(values(&ours)));
    if kind.same_octets {
        findings.compare(&what("octets"), &to_hex(&theirs), &to_hex(octets));
    }
}

/// The namespaces it adds stand for code pages.
fn without_namespaces(mut element: Element) -> Element {
    element.attributes.retain(|attribute| attribute.name != "xmlns");
    for content in &mut element.content {
        if let Content::Element(child) = content {
            *child = without_namespaces(std::mem::take(child));
        }
    }
    element
}

/// Everything a tree says, which its `Debug` does not show.
fn values(element: &Element) -> String {
    written(element)
}

fn written(element: &Element) -> String {
    let mut text = format!("<{}", element.name);
    for attribute in &element.attributes {
        text.push_str(&format!(" {}=\"{}\"", attribute.name, escaped(&attribute.value)));
    }
    text.push('>');
    for content in &element.content {
        match content {
            Content::Element(child) => text.push_str(&written(child)),
            Content::Text(said) => text.push_str(&escaped(said)),
        }
    }
    text + "</" + &element.name + ">"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn indication(random: &mut Random) -> Indication {
    let dates = ["2026-11-20T08:05:00Z", "2026-12-01T00:00:00Z", "2027-01-31T23:59:59Z"];
    let signals = [Signal::None, Signal::Low, Signal::Medium, Signal::High, Signal::Delete];
    Indication {
        href: Some(random.address()),
        id: random.one_in(2).then(|| random.name()),
        action: Some(random.of_list(&signals)),
        created: random.one_in(2).then(|| random.of_list(&dates).to_owned()),
        expires: random.one_in(2).then(|| random.of_list(&dates).to_owned()),
        text: random.foreign_text(6),
    }
}

fn loading(random: &mut Random) -> Loading {
    let action = random.of_list(&[Execution::Low, Execution::High, Execution::Cache]);
    Loading { href: random.address(), action: Some(action) }
}

fn settings(random: &mut Random) -> Document {
    let data_store = |random: &mut Random| DataStore {
        uri: random.name(),
        name: random.foreign_text(2),
        accepts: "text/x-vcard".to_owned(),
    };
    let account = SyncAccount {
        name: random.foreign_text(2),
        provider_id: random.one_in(2).then(|| random.name()),
        route: random.one_in(2).then(|| Route::AccessPoint(random.name())),
        address: random.address(),
        port: random.one_in(2).then_some(443),
        user: random.name(),
        data_stores: (0..random.below(4)).map(|_| data_store(random)).collect(),
    };
    let mut document = account.document();
    let bearer = random.of_list(&["GSM-GPRS", "GSM-CSD", "X-OTHER"]);
    document.characteristics.push(
        Characteristic::new("NAPDEF").with("NAPID", &random.name()).with("BEARER", bearer).containing(
            Characteristic::new("NAPAUTHINFO").with("AUTHTYPE", random.of_list(&["PAP", "CHAP"])).with("X-OWN", "1"),
        ),
    );
    document
}

fn older_settings(random: &mut Random) -> ota_settings::Document {
    let parameter = |name: &str, value: String| ota_settings::Parameter { name: name.to_owned(), value };
    let bearer = random.of_list(&["GPRS", "GSM/CSD"]).to_owned();
    let port = random.of_list(&["9201", "9203", "8080"]).to_owned();
    let address = ota_settings::Characteristic {
        kind: "ADDRESS".to_owned(),
        value: None,
        parameters: vec![
            parameter("BEARER", bearer),
            parameter("PORT", port),
            parameter("PROXY", random.name()),
            parameter("X-OWN", random.name()),
        ],
    };
    let page =
        ota_settings::Characteristic { kind: "URL".to_owned(), value: Some(random.address()), parameters: vec![] };
    ota_settings::Document { characteristics: vec![address, page] }
}

fn package(random: &mut Random, version: syncml::ProtocolVersion) -> Package {
    let item = |random: &mut Random| Item {
        uri: random.name(),
        content_type: random.one_in(2).then(|| "text/x-vcalendar".to_owned()),
    };
    let alert = |random: &mut Random| Alert {
        sync_type: SyncType::of_alert(206 + random.below(5) as u16).expect("an alert"),
        items: (0..=random.below(4)).map(|_| item(random)).collect(),
    };
    Package {
        version,
        session_id: random.next() as u32,
        message_id: 1,
        target: random.name(),
        source: random.address(),
        alerts: (0..=random.below(3)).map(|_| alert(random)).collect(),
    }
}
