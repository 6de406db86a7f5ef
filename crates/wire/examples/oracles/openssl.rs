//! openssl recomputes digests of notifications and signatures of settings.

use std::path::Path;

use wire::{
    provisioning::{self, Imsi, Pin, Security},
    san::{Body, ContentType, DataStore, Initiator, Notification, ProtocolVersion, SyncType, UiMode},
    tpdu::to_hex,
};

use super::{Findings, Random, run};

const CASES: usize = 24;
const DIGEST_OCTETS: usize = 16;

pub(crate) fn ask(folder: &Path, mut random: Random) -> Findings {
    let mut findings = Findings::default();
    for case in 0..CASES {
        let (server_id, password, nonce) = (random.name(), random.octets(20), random.octets(20));
        let octets = notification(&mut random, &server_id).encode(&password, &nonce).expect("it fits");
        let (digest, trigger) = octets.split_at(DIGEST_OCTETS);
        let secret = encoded_hash(folder, &[server_id.as_bytes(), b":", &password].concat());
        let expected = hash(folder, &[&secret[..], b":", &nonce, b":", &encoded_hash(folder, trigger)].concat());
        findings.compare(&format!("digest {case}"), &to_hex(&expected), &to_hex(digest));

        let document = random.octets(400);
        let security = security(&mut random, case);
        let mac = provisioning::push(1, document.clone(), Some(&security)).parameters.mac.expect("it is signed");
        findings.compare(&format!("signature {case}"), &hmac(folder, &security.key(), &document), &mac);
    }
    findings
}

fn notification(random: &mut Random, server_id: &str) -> Notification {
    let data_store = |random: &mut Random| DataStore {
        sync_type: SyncType::TwoWay,
        content_type: ContentType::of("text/x-vcard"),
        uri: random.name().into_bytes(),
    };
    let body = if random.one_in(3) {
        Body::DeviceManagement
    } else {
        Body::DataSync((0..random.below(5)).map(|_| data_store(random)).collect())
    };
    Notification {
        version: ProtocolVersion::V1_2,
        ui_mode: UiMode::of(random.octet()),
        initiator: if random.one_in(2) { Initiator::Client } else { Initiator::Server },
        session_id: random.next() as u16,
        server_id: server_id.as_bytes().to_vec(),
        body,
        vendor: if random.one_in(4) { random.octets(9) } else { vec![] },
    }
}

fn security(random: &mut Random, case: usize) -> Security {
    let digits = 14 + random.below(2);
    let imsi = Imsi::new(&random.digits(digits)).expect("digits");
    let digits = 4 + random.below(5);
    let pin = Pin::new(&random.digits(digits)).expect("digits");
    match case % 3 {
        0 => Security::NetworkPin(imsi),
        1 => Security::UserPin(pin),
        _ => Security::UserNetworkPin(imsi, pin),
    }
}

fn hash(folder: &Path, octets: &[u8]) -> Vec<u8> {
    run(folder, "openssl", &["dgst", "-md5", "-binary"], octets)
}

fn encoded_hash(folder: &Path, octets: &[u8]) -> Vec<u8> {
    run(folder, "openssl", &["base64", "-A"], &hash(folder, octets))
}

fn hmac(folder: &Path, key: &[u8], octets: &[u8]) -> String {
    let key = format!("hexkey:{}", to_hex(key));
    let output = run(folder, "openssl", &["dgst", "-sha1", "-mac", "HMAC", "-macopt", &key], octets);
    let output = String::from_utf8(output).expect("digits");
    output.rsplit_once("= ").expect("a name and digits").1.trim().to_uppercase()
}
