//! What the codecs on a message's way cost, one call each. Knows typical messages; must not know what is fast enough.
//!
//! `cargo bench -p wire`; `cargo xtask instructions` counts instead of timing, for machines whose clock tells little.

use divan::{Bencher, black_box};
use wire::gsm7::{self, Alphabet};
use wire::oms::Limits;
use wire::oms::request::XmsData;
use wire::smpp::{Body, Pdu, Status, Style, compose};
use wire::tpdu::{Address, Outgoing, Report, Submit, submits};
use wire::udh::Reference;
use wire::{segment, smpp};

fn main() {
    divan::main();
}

const SHORT: &str = "Your code is 4711. It is good for five minutes; tell it to nobody, also not to us.";

const LONG: &str = "Ваш заказ передан в доставку и будет у вас сегодня между 14 и 16 часами. Если вас не будет дома, \
    ответьте на это сообщение, и мы договоримся о другом времени. Номер заказа 4711, сумма 89,90.";

/// One segment of the default alphabet, and three of UCS-2.
#[derive(Clone, Copy, Debug)]
enum Text {
    Short,
    Long,
}

const TEXTS: [Text; 2] = [Text::Short, Text::Long];

impl Text {
    const fn as_str(self) -> &'static str {
        match self {
            Text::Short => SHORT,
            Text::Long => LONG,
        }
    }
}

/// What a mail program posts for one recipient.
const XMS_DATA: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <xmsData client=\"Microsoft Office Outlook 12.0\" xmlns=\"http://schemas.microsoft.com/office/Outlook/2006/OMS\">\
    <user><userId>reader</userId><password>secret</password><customData/></user><xmsHead>\
    <requiredService>SMS_SENDER</requiredService><sourceType>wsSMS</sourceType>\
    <to><recipient>+447700900123</recipient></to></xmsHead><xmsBody format=\"SMS\">\
    <content contentType=\"text/plain\" contentId=\"Att0.txt@1\" contentLocation=\"1.txt\">\
    Your code is 4711. It is good for five minutes; tell it to nobody.</content></xmsBody></xmsData>";

#[divan::bench(args = TEXTS)]
fn segments_of(text: Text) -> u32 {
    segment::count(black_box(text.as_str()))
}

#[divan::bench]
fn gsm7_there_and_back() -> String {
    let septets = gsm7::encode(black_box(SHORT), Alphabet::DEFAULT).expect("it is in the alphabet");
    gsm7::decode(&septets, Alphabet::DEFAULT)
}

fn tpdus(text: &str) -> Vec<Submit> {
    let to = Address::number("+447700900123").expect("it is a number");
    let outgoing = Outgoing { text, to, reference: Reference::Narrow(7), report: Report::Wanted, validity: None };
    submits(&outgoing).expect("it has few parts")
}

#[divan::bench(args = TEXTS)]
fn sms_submit_encoded(text: Text) -> Vec<Vec<u8>> {
    tpdus(black_box(text.as_str())).iter().map(|part| part.encode().expect("it fits")).collect()
}

#[divan::bench]
fn sms_submit_decoded(bencher: Bencher<'_, '_>) {
    let octets = tpdus(SHORT)[0].encode().expect("it fits");
    bencher.bench_local(|| Submit::decode(black_box(&octets)));
}

fn submit_sm(text: &str) -> Vec<u8> {
    let (reference, valid_seconds, now_seconds) = (7, 3_600, 1_750_000_000);
    let outgoing = smpp::Outgoing { text, to: "+447700900123", reference, receipt: true, valid_seconds, now_seconds };
    let style = Style::default();
    let mut octets = Vec::new();
    for message in compose(&outgoing, &style).expect("it has few parts") {
        let body = Body::Message(style.kind(), Box::new(message));
        Pdu { status: Status(0), sequence: 1, body }.encode_into(&mut octets);
    }
    octets
}

#[divan::bench(args = TEXTS)]
fn submit_sm_composed(text: Text) -> Vec<u8> {
    submit_sm(black_box(text.as_str()))
}

#[divan::bench]
fn submit_sm_decoded(bencher: Bencher<'_, '_>) {
    let octets = submit_sm(SHORT);
    bencher.bench_local(|| Pdu::decode(black_box(&octets)));
}

#[divan::bench]
fn xms_data_parsed(bencher: Bencher<'_, '_>) {
    let limits = Limits::default();
    bencher.bench_local(|| XmsData::parse(black_box(XMS_DATA), &limits).map(|data| data.recipients.len()));
}
