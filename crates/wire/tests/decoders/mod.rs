//! Every decoder behind one signature, for those who feed them what nobody meant: the robustness test and the fuzz targets.
//! Beside not panicking, what a decoder takes must be read the same again once it is written.

use std::time::{Duration, Instant};

use model::record::{Medium, Multimedia};
use model::{Msisdn, Timestamp as Moment};
use wire::{
    at, gsm7,
    http_template::{Call, Message, Payload, Template, said_in},
    mail::{Charset, MailAddress, Part, Reply},
    mm7, mms, ne1, oms, ota_settings, provisioning,
    reassembly::{Arrival, Reassembly, join_octets, join_text},
    san::{Notification, Received},
    service::{Indication, Loading},
    smpp,
    syncml::Package,
    tpdu::{Carried, Deliver, StatusReport, Submit, Timestamp, UserData},
    udh::Header,
    wbxml::{self, Vocabulary},
    wsp::Push,
};

/// A decoder by its name.
pub(crate) type Decoder = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const DECODERS: &[Decoder] = &[
    ("at", at_dialogue),
    ("gsm7", septets),
    ("http_call", http_call),
    ("http_report", http_report),
    ("http_template", http_template),
    ("mail", mails),
    ("mm7", mm7_messages),
    ("mms", mms_pdus),
    ("ne1", ne1_datagram),
    ("oms", oms_call),
    ("oms_document", oms_document),
    ("oms_utf16", oms_in_utf16),
    ("ota_settings", ota),
    ("provisioning", provisioning_document),
    ("reassembly", parts),
    ("san_dm", san_device_management),
    ("san_ds", san_data_sync),
    ("service", service),
    ("sms_deliver", sms_deliver),
    ("sms_line", sms_line),
    ("sms_status_report", sms_status_report),
    ("sms_submit", sms_submit),
    ("smpp", smpp_pdu),
    ("syncml", syncml),
    ("udh", header),
    ("wbxml", wbxml_documents),
    ("wsp", wsp_push),
];

fn at_dialogue(octets: &[u8]) {
    let mut now = Instant::now();
    let mut session = at::Session::new(at::Profile::default(), now);
    session.opened(now);
    for line in octets.chunks(40) {
        session.handle_input(line, now);
        now += Duration::from_millis(500);
        session.handle_timeout(now);
        while session.poll_output().is_some() {}
        while session.poll_event().is_some() {}
    }
}

fn septets(octets: &[u8]) {
    let Some((&[count, fill_bits], packed)) = octets.split_first_chunk::<2>() else { return };
    let fill_bits = fill_bits % 7;
    if let Ok(septets) = gsm7::unpack(packed, usize::from(count), fill_bits) {
        assert_eq!(gsm7::unpack(&gsm7::pack(&septets, fill_bits), septets.len(), fill_bits).as_ref(), Ok(&septets));
        for identifier in 0..=3 {
            let locking = gsm7::Locking::from_identifier(identifier).unwrap_or_default();
            let single = gsm7::Single::from_identifier(identifier).unwrap_or_default();
            let alphabet = gsm7::Alphabet { locking, single };
            let text = gsm7::decode(&septets, alphabet);
            let again = gsm7::encode(&text, alphabet).expect("what was read can be written");
            assert_eq!(gsm7::decode(&again, alphabet), text);
        }
    }
}

/// As the body of each type that says where a boundary is, and as an answer.
/// Whatever a phone says, the mail of it has our headers and no others, in lines that end as lines do.
fn mails(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let from = MailAddress::parse("r-7f3c@replies.example.invalid").expect("an address");
    let to = MailAddress::parse("someone@example.com").expect("an address");
    let mobile = Msisdn::parse("+447700900123").expect("a number");
    let date = Moment(1_795_256_100_000);
    let reply = Reply { from_name: &text, from: &from, to: &to, date, id: "1.reply", mobile: &mobile };
    let part = Part { content_type: "text/plain", charset: "utf-8", id: &text, name: &text, data: octets };
    let gb2312 = Charset::named("gb2312").expect("a charset");
    for (mail, headers) in [
        (reply.short_message(&text, Charset::UTF_8), 10),
        (reply.short_message(&text, gb2312), 10),
        (reply.multimedia(&text, None, &[part], Charset::UTF_8), 9),
        (reply.multimedia(&text, Some(octets), &[part], gb2312), 9),
    ] {
        assert!(mail.is_ascii());
        let mail = String::from_utf8(mail).expect("ASCII is UTF-8");
        assert!(mail.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
        let (head, _) = mail.split_once("\r\n\r\n").expect("a head and a body");
        let begun = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        assert_eq!(begun.count(), headers, "{head}");
    }
}

fn mms_pdus(octets: &[u8]) {
    if let Ok(notice) = mms::Notification::decode(octets)
        && let Ok(written) = notice.encode()
    {
        assert_eq!(mms::Notification::decode(&written), Ok(notice));
    }
    let _ = mms::Told::decode(octets);
    let text = String::from_utf8_lossy(octets).into_owned();
    let medium = Medium { content_type: text.clone(), id: text.clone(), location: text.clone(), data: octets.to_vec() };
    let multimedia = Multimedia { subject: text, media: vec![medium], ..Multimedia::default() };
    let date = Moment(1_795_256_100_000);
    let message = mms::Retrieved { transaction: "T1", message_id: "m1", date, from: None, multimedia: &multimedia };
    assert!(message.encode().expect("what a sender says is no reason to refuse").len() >= octets.len());
}

fn mm7_messages(octets: &[u8]) {
    for content_type in ["text/xml", "multipart/related; type=\"text/xml\"; boundary=\"b\""] {
        if let Ok(received) = mm7::receive(content_type, octets) {
            assert_eq!(mm7::receive(content_type, octets).as_ref(), Ok(&received));
        }
        let answer = mm7::HttpAnswer { status: 200, content_type, body: octets };
        let _ = mm7::submit_end(&answer, "t", &std::collections::BTreeMap::new());
    }
}

fn http_call(octets: &[u8]) {
    let form = String::from_utf8_lossy(octets);
    let _ = Call::parse(&form);
    let _ = said_in(&form);
}

fn http_report(octets: &[u8]) {
    let form = String::from_utf8_lossy(octets);
    let _ = wire::http_template::said_in(&form);
    let _ = wire::http_template::said_of(&form);
}

fn http_template(octets: &[u8]) {
    let Ok(template) = Template::parse(&String::from_utf8_lossy(octets)) else { return };
    let message = Message {
        number: "+491511234567",
        payload: Payload::Octets(octets),
        header: octets,
        pid: 0,
        dcs: 0xf5,
        sender: "me",
        sender_phone_alias: "",
        parts: 1,
        report: "",
    };
    if let Ok(request) = template.render(&message) {
        assert!(request.bytes().all(|octet| octet.is_ascii_graphic()));
    }
}

fn oms_call(octets: &[u8]) {
    oms_as("text/xml", octets);
}

/// The same text in UTF-16: what is ASCII octet by octet becomes a document, the rest noise.
fn oms_in_utf16(octets: &[u8]) {
    let wide: Vec<u8> = octets.iter().flat_map(|octet| [*octet, 0]).collect();
    oms_as("application/soap+xml; charset=utf-16le", &wide);
    oms_as("text/xml; charset=utf-16", octets);
}

/// A call, and the document in it.
fn oms_as(content_type: &str, octets: &[u8]) {
    let media = oms::soap::MediaType::of(content_type).expect("a SOAP media type");
    let Ok(body) = oms::soap::decode(octets, &media) else { return };
    match oms::soap::parse(&body, &media, &oms::Limits::default()) {
        Ok(call) => {
            if let oms::soap::Argument::Text(text) = &call.argument {
                oms_document(text.as_bytes());
            }
            assert!(call.answer("<x/>").body.contains("&lt;x/"), "what is answered is escaped");
        }
        Err(fault) => assert!(fault.answer().status >= 400),
    }
}

/// A document as each that it may be: it is read and checked, in memory that its size bounds.
fn oms_document(octets: &[u8]) {
    let (text, limits) = (String::from_utf8_lossy(octets), oms::Limits::default());
    let profile = oms::check::Profile { mms: Some(OMS_MMS), ..oms::check::Profile::default() };
    let _ = oms::request::XmsUser::parse(&text, &limits);
    if let Ok(data) = oms::request::XmsData::parse(&text, &limits) {
        check_oms(&data, &profile, text.len());
    }
    if let Ok(batch) = oms::request::Batch::parse(&text, &limits, profile.batch_items_max) {
        for item in &batch.items {
            if let oms::request::ItemBody::Message(data) = &item.body {
                check_oms(data, &profile, text.len());
            }
        }
    }
}

const OMS_MMS: oms::check::MmsLimits =
    oms::check::MmsLimits { supports_slides: true, recipients_max: 100, size_bytes_max: 30_000, slides_max: 10 };

fn check_oms(data: &oms::request::XmsData<'_>, profile: &oms::check::Profile, octets: usize) {
    let every_service = oms::check::Subscription::of(|_| true);
    let checked = oms::check::message(data, profile, every_service, 0, |_| None, |_, _| true);
    if let Ok(checked) = checked {
        assert!(checked.recipients.len() + checked.texts.len() <= octets, "no more comes out than went in");
        let texts: usize = checked.texts.iter().map(String::len).sum();
        assert!(texts <= octets * 3, "entities do not blow a text up");
    }
}

fn ota(octets: &[u8]) {
    let Ok(document) = ota_settings::Document::decode(octets) else { return };
    if let Ok(written) = document.encode() {
        assert_eq!(ota_settings::Document::decode(&written), Ok(document));
    }
}

fn provisioning_document(octets: &[u8]) {
    let Ok(document) = provisioning::Document::decode(octets) else { return };
    if let Ok(written) = document.encode() {
        assert_eq!(provisioning::Document::decode(&written), Ok(document));
    }
}

/// Octets as user data of one message after the other, each with its length in front.
fn parts(octets: &[u8]) {
    let (mut reassembly, now) = (Reassembly::default(), Instant::now());
    for piece in octets.chunks(12) {
        let tpdu = [&[0x41, 0, 1, 0x81, 0xf1, 0, 0x04, piece.len() as u8], piece].concat();
        let Ok(submit) = Submit::decode(&tpdu) else { continue };
        if let Arrival::Whole(parts) = reassembly.take("1", submit.user_data, now) {
            let size: usize = parts.iter().map(|part: &UserData| part.body_octets().len()).sum();
            assert_eq!((join_octets(&parts).len(), join_text(&parts)), (size, None));
        }
    }
    let waiting = reassembly.parts();
    assert_eq!(reassembly.expire(now + wire::reassembly::WAIT), waiting);
    assert_eq!(reassembly.parts(), 0);
}

fn san_data_sync(octets: &[u8]) {
    if let Ok(received) = Notification::decode_data_sync(octets) {
        check_notification(&received, Notification::decode_data_sync);
    }
}

fn san_device_management(octets: &[u8]) {
    if let Ok(received) = Notification::decode_device_management(octets) {
        check_notification(&received, Notification::decode_device_management);
    }
}

fn check_notification(
    received: &Received<'_>,
    decode: impl for<'octets> Fn(&'octets [u8]) -> Result<Received<'octets>, wire::san::SanError>,
) {
    let _ = received.verify(b"password", b"nonce");
    if let Ok(written) = received.notification.encode_unsigned() {
        assert_eq!(decode(&written).map(|again| again.notification).as_ref(), Ok(&received.notification));
    }
}

fn ne1_datagram(octets: &[u8]) {
    let Ok(received) = ne1::Received::parse(octets) else { return };
    let _ = (received.is_sealed_with(b"key"), received.is_of(0), received.answer(1, 0));
    let lines: Vec<ne1::Line> = received.lines().flatten().collect();
    let ne1::Received { tenant, key_id, sent_ms, nonce, wants_answer, .. } = &received;
    let (sent_ms, wants_answer) = (*sent_ms, *wants_answer);
    let envelope = ne1::Envelope { tenant, key_id, sent_ms, nonce, wants_answer };
    // Every field says all that it can, so what was short may not fit any more.
    if let Ok(written) = envelope.write(&lines, b"key") {
        let again = ne1::Received::parse(&written).expect("what was written can be read");
        assert!(again.is_sealed_with(b"key"));
        assert_eq!(again.lines().collect::<Option<Vec<_>>>(), Some(lines));
    }
}

fn service(octets: &[u8]) {
    if let Ok(indication) = Indication::decode(octets)
        && let Ok(written) = indication.encode()
    {
        assert_eq!(Indication::decode(&written), Ok(indication));
    }
    if let Ok(loading) = Loading::decode(octets)
        && let Ok(written) = loading.encode()
    {
        assert_eq!(Loading::decode(&written), Ok(loading));
    }
}

fn sms_deliver(octets: &[u8]) {
    if let Ok(deliver) = Deliver::decode(octets) {
        let _ = (deliver.user_data.text(), deliver.service_centre_time.unix_seconds());
        if let Ok(written) = deliver.encode() {
            assert_eq!(Deliver::decode(&written), Ok(deliver));
        }
    }
}

fn sms_line(octets: &[u8]) {
    let _ = Carried::from_line(octets);
    let _ = wire::tpdu::carried(octets);
    if let Some(seven) = octets.first_chunk() {
        let _ = Timestamp(*seven).unix_seconds();
    }
}

fn sms_status_report(octets: &[u8]) {
    if let Ok(report) = StatusReport::decode(octets) {
        let _ = (report.status.class(), report.discharge_time.unix_seconds());
        assert_eq!(StatusReport::decode(&report.encode()), Ok(report));
    }
}

fn sms_submit(octets: &[u8]) {
    if let Ok(submit) = Submit::decode(octets) {
        let _ = submit.user_data.text();
        if let Ok(written) = submit.encode() {
            assert_eq!(Submit::decode(&written), Ok(submit));
        }
    }
}

fn smpp_pdu(octets: &[u8]) {
    let mut frames = smpp::Frames::default();
    frames.push(octets);
    while let Ok(Some(pdu)) = frames.take() {
        let _ = smpp::Pdu::decode(pdu);
    }
    let _ = smpp::Pdu::decode(octets);
}

fn syncml(octets: &[u8]) {
    let Ok(package) = Package::decode(octets) else { return };
    if let Ok(written) = package.encode() {
        assert_eq!(Package::decode(&written), Ok(package));
    }
}

fn header(octets: &[u8]) {
    let Ok((header, taken)) = Header::decode(octets) else { return };
    if let Ok(written) = header.encode() {
        assert_eq!(Header::decode(&written), Ok((header, taken)));
    }
}

fn wbxml_documents(octets: &[u8]) {
    let vocabularies: [&Vocabulary; 5] = [
        &wbxml::SERVICE_INDICATION,
        &wbxml::SERVICE_LOADING,
        &wbxml::PROVISIONING,
        &wbxml::OTA_SETTINGS,
        &wbxml::SYNCML_1_2,
    ];
    for vocabulary in vocabularies {
        let Ok(root) = wbxml::decode(octets, vocabulary) else { continue };
        if let Ok(written) = wbxml::encode(&root, vocabulary, wbxml::Version::V1_3) {
            assert_eq!(wbxml::decode(&written, vocabulary).map(|again| texts(&again)), Ok(texts(&root)));
        }
    }
}

/// All there is to read in a tree: pieces of text that stood side by side may have become one.
fn texts(element: &wbxml::Element) -> (String, Vec<wbxml::Attribute>, String, usize) {
    let inner: String = element.children().map(|child| format!("{:?}", texts(child))).collect();
    (element.name.clone(), element.attributes.clone(), element.text() + &inner, element.children().count())
}

fn wsp_push(octets: &[u8]) {
    let Ok(push) = Push::decode(octets) else { return };
    if let Ok(written) = push.encode() {
        assert_eq!(Push::decode(&written), Ok(push));
    }
}
