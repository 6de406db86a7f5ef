//! What a record costs to seal, write, read and open. Knows a typical record; must not know what is fast enough.
//!
//! `cargo bench -p model`; `cargo xtask instructions` counts instead of timing.

use divan::{Bencher, black_box};
use model::record::{Account, Body, Content, Header, Record};
use model::seal::DataKey;

fn main() {
    divan::main();
}

fn header() -> Header {
    let account =
        Account { tenant: "acme".into(), user: "shop".into(), provider: "carillon".into(), ..Account::default() };
    Header {
        account,
        cell: "cell-1".into(),
        message: vec![7; 16],
        deliveries: 1,
        data_key: "acme.20260101".into(),
        segments: 1,
        digest: vec![1; 16],
        recipient_hash: vec![2; 16],
        accepted_ms: 1_750_000_000_000,
        expires_ms: 1_750_086_400_000,
        ..Header::default()
    }
}

fn content() -> Content {
    let text = "Your code is 4711. It is good for five minutes; tell it to nobody, also not to us.";
    Content { recipient: "+447700900123".into(), text: text.into(), ..Content::default() }
}

fn record() -> Record {
    let body = Body { sealed: key().seal(&header(), &content()), ..Body::default() };
    Record { header: header(), body: prost::Message::encode_to_vec(&body).into() }
}

fn key() -> DataKey {
    DataKey::new("acme.20260101", [3; 32])
}

#[divan::bench]
fn sealed(bencher: Bencher<'_, '_>) {
    let (key, header, content) = (key(), header(), content());
    bencher.bench_local(|| key.seal(black_box(&header), black_box(&content)));
}

#[divan::bench]
fn opened(bencher: Bencher<'_, '_>) {
    let (key, header) = (key(), header());
    let sealed = key.seal(&header, &content());
    bencher.bench_local(|| key.open(black_box(&header), black_box(&sealed)));
}

#[divan::bench]
fn written(bencher: Bencher<'_, '_>) {
    let record = record();
    bencher.bench_local(|| black_box(&record).to_bytes());
}

#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let bytes = record().to_bytes();
    bencher.bench_local(|| Record::read(black_box(&bytes).clone()));
}
