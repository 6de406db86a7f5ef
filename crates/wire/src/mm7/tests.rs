//! What is written is read; what relays write is understood; what is no answer is none.

use std::collections::BTreeMap;

use model::record::{Medium, Multimedia, Region, Screen, Slide};

use super::*;

fn style() -> Style {
    Style {
        version: VERSION.to_owned(),
        namespace: NAMESPACE.to_owned(),
        vasp_id: "acme & sons".to_owned(),
        vas_id: String::new(),
        sender: Some(Sender::ShortCode("11122".to_owned())),
        service_code: String::new(),
        numbers: NumberForm::Plus,
        presentation: Presentation::OfSlides,
        encoding: Encoding::Base64,
        media_octets_max: 300_000,
    }
}

fn medium(content_type: &str, id: &str, location: &str, data: &[u8]) -> Medium {
    Medium { content_type: content_type.into(), id: id.into(), location: location.into(), data: data.to_vec() }
}

fn multimedia() -> Multimedia {
    let region = |id: &str| Region { id: id.into(), width: "160".into(), height: "60".into(), ..Region::default() };
    Multimedia {
        subject: "Zug & Zeit".into(),
        media: vec![
            medium("image/GIF", "pic", "../a\".gif", b"GIF89a\x00\xff--\r\n--x\r\n"),
            medium("text/plain", "w ö", "b.txt", "Grüße".as_bytes()),
            medium("audio/mid", "pic", "", &[0; 200]),
        ],
        slides: vec![Slide { duration_ms: 3000, image: "pic".into(), text: "w ö".into(), ..Slide::default() }],
        screen: Some(Screen {
            width: 160,
            height: 120,
            background: "#FFF".into(),
            regions: vec![region("image"), region("text")],
        }),
    }
}

fn outgoing(multimedia: &Multimedia) -> Outgoing<'_> {
    let (to, transaction) = ("+447700900123", "msg_1.0-1");
    Outgoing { multimedia, to, transaction, report: true, expires_ms: 1_795_510_800_000 }
}

fn read(submission: &Submission) -> Submitted {
    let received = receive(&submission.content_type, &submission.body).unwrap();
    assert_eq!(received.transaction.as_deref(), Some("msg_1.0-1"));
    let Call::Submit(submitted) = received.call else { panic!("a message was sent") };
    *submitted
}

#[test]
fn a_message_with_slides_is_read_as_it_was_written() {
    for encoding in [Encoding::Base64, Encoding::Binary] {
        let multimedia = multimedia();
        let submitted = read(&compose(&outgoing(&multimedia), &Style { encoding, ..style() }).unwrap());
        assert_eq!((submitted.vasp_id.as_str(), submitted.sender.as_str()), ("acme & sons", "11122"));
        assert_eq!(
            (submitted.recipients.as_slice(), submitted.subject.as_str()),
            (&["+447700900123".to_owned()][..], "Zug & Zeit")
        );
        assert_eq!((submitted.expires.as_str(), submitted.report), ("2026-11-24T09:00:00Z", true));
        assert_eq!(submitted.attachment_type, "multipart/related");
        let parts: Vec<_> =
            submitted.parts.iter().map(|p| (p.content_type.as_str(), p.id.as_str(), p.name.as_str())).collect();
        assert_eq!(
            parts,
            [
                ("application/smil", "presentation@carillon", ""),
                ("image/gif", "pic", "a_.gif"),
                ("text/plain", "part2@carillon", "b.txt"),
                ("audio/midi", "part3@carillon", ""),
            ]
        );
        for (part, medium) in submitted.parts[1..].iter().zip(&multimedia.media) {
            assert_eq!(part.data, medium.data);
        }
        assert_eq!(
            String::from_utf8_lossy(&submitted.parts[0].data),
            "<smil><head><layout><root-layout width=\"160\" height=\"120\" background-color=\"#FFF\"/>\
             <region id=\"Image\" width=\"160\" height=\"60\"/><region id=\"Text\" width=\"160\" height=\"60\"/></layout></head>\
             <body><par dur=\"3000ms\"><img src=\"cid:pic\" region=\"Image\"/><text src=\"cid:part2@carillon\" region=\"Text\"/></par></body></smil>"
        );
    }
}

#[test]
fn without_slides_a_presentation_is_made_only_where_it_is_demanded() {
    let bare = Multimedia { slides: Vec::new(), screen: None, ..multimedia() };
    let mixed = read(&compose(&outgoing(&bare), &style()).unwrap());
    assert_eq!((mixed.attachment_type.as_str(), mixed.parts.len()), ("multipart/mixed", 3));
    let demanded = Style { presentation: Presentation::Always, ..style() };
    let related = read(&compose(&outgoing(&bare), &demanded).unwrap());
    assert_eq!((related.attachment_type.as_str(), related.parts.len()), ("multipart/related", 4));
    let smil = String::from_utf8_lossy(&related.parts[0].data).into_owned();
    assert_eq!(smil.matches("<par dur=\"5000ms\">").count(), 3, "{smil}");
}

#[test]
fn what_a_relay_does_not_take_is_refused() {
    let multimedia = multimedia();
    let narrow = Style { media_octets_max: 100, ..style() };
    assert!(matches!(compose(&outgoing(&multimedia), &narrow), Err(ComposeError::TooLarge { octets_max: 100, .. })));
    assert_eq!(compose(&outgoing(&Multimedia::default()), &style()), Err(ComposeError::Empty));
}

#[test]
fn numbers_are_written_and_read_in_every_form() {
    for (form, written) in [
        (NumberForm::Plus, "+447700900123"),
        (NumberForm::Digits, "447700900123"),
        (NumberForm::Typed, "+447700900123/TYPE=PLMN"),
    ] {
        assert_eq!(form.write("+447700900123"), written);
        assert_eq!(address::number_of(written), "+447700900123");
    }
    assert_eq!(address::number_of("447700900123@mms.example"), "+447700900123");
    assert_eq!(address::number_of("ann@example.org"), "ann@example.org");
}

#[track_caller]
fn end(status: u16, content_type: &str, body: &str) -> SubmitEnd {
    let statuses = BTreeMap::from([(3500, Class::Uncertain), (3510, Class::Throttled)]);
    submit_end(&HttpAnswer { status, content_type, body: body.as_bytes() }, "t-1", &statuses)
}

#[track_caller]
fn class(status: u16, body: &str) -> Class {
    match end(status, "text/xml", body) {
        SubmitEnd::Refused { class, .. } => class,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_mean_what_they_say() {
    let confirmed = |code, message_id, transaction| {
        confirm(&Confirmation { namespace: NAMESPACE, version: VERSION, transaction, code, message_id })
    };
    let taken = |id: Option<&str>| SubmitEnd::Taken { id: id.map(str::to_owned) };
    assert_eq!(end(200, "text/xml", &confirmed(1000, "0415", Some("t-1"))), taken(Some("0415")));
    assert_eq!(end(200, "application/xml", &confirmed(1100, "0415", None)), taken(Some("0415")));
    assert_eq!(end(200, "text/xml", &confirmed(1000, "", Some(" t-1 "))), taken(None));
    assert!(matches!(end(200, "text/xml", &confirmed(1000, "1", Some("t-2"))), SubmitEnd::Unknown { .. }));
    for (code, expected) in [
        (2002, Class::Permanent),
        (2999, Class::Permanent),
        (3000, Class::Temporary),
        (3002, Class::Permanent),
        (3510, Class::Throttled),
        (4001, Class::Stop),
        (4006, Class::Temporary),
        (4999, Class::Temporary),
    ] {
        assert_eq!(class(200, &confirmed(code, "", None)), expected, "{code}");
        assert_eq!(class(500, &refuse(NAMESPACE, VERSION, Some("t-1"), code)), expected, "fault {code}");
    }
    assert!(matches!(end(200, "text/xml", &confirmed(3500, "", None)), SubmitEnd::Unknown { .. }));
    assert!(matches!(end(500, "text/xml", &refuse(NAMESPACE, VERSION, None, 1000)), SubmitEnd::Unknown { .. }));
}

#[test]
fn what_is_no_answer_says_nothing_or_what_http_says() {
    for (status, expected) in [
        (401, Class::Stop),
        (404, Class::Permanent),
        (413, Class::Permanent),
        (429, Class::Throttled),
        (503, Class::Throttled),
    ] {
        assert_eq!(class(status, "<html>no</html>"), expected, "{status}");
    }
    for (status, body) in
        [(200, ""), (200, "<a"), (500, "oops"), (502, ""), (200, "<Envelope><Body><X/></Body></Envelope>")]
    {
        assert!(matches!(end(status, "text/xml", body), SubmitEnd::Unknown { .. }), "{status} {body}");
    }
}

#[test]
fn relays_write_as_they_like() {
    // Other prefixes, another namespace, a multipart type on bare XML.
    let body = "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Header><x:TransactionID xmlns:x='urn:x'> t-1 \
                </x:TransactionID></s:Header><s:Body><x:SubmitRsp xmlns:x='urn:y'><x:MessageID>0415</x:MessageID><x:Status>\
                <x:StatusCode> 1000 </x:StatusCode></x:Status></x:SubmitRsp></s:Body></s:Envelope>";
    for content_type in ["text/xml", "multipart/related; type=\"text/xml\"", "", "application/soap+xml"] {
        assert_eq!(end(200, content_type, body), SubmitEnd::Taken { id: Some("0415".into()) }, "{content_type}");
    }
    let multipart = format!("--b\r\nContent-Type: text/xml\r\n\r\n{body}\r\n--b--\r\n");
    assert_eq!(end(200, "Multipart/Related; boundary=b", &multipart), SubmitEnd::Taken { id: Some("0415".into()) });
}

#[test]
fn reports_are_read() {
    let reporting = Reporting {
        namespace: NAMESPACE,
        version: VERSION,
        transaction: "r-1",
        message_id: "0415",
        recipient: "447700900123/TYPE=PLMN",
        sender: "11122",
        at_ms: 1_795_165_200_000,
        status: "Retrieved",
    };
    let received = receive("text/xml; charset=utf-8", report(&reporting).as_bytes()).unwrap();
    let Call::Report(report) = &received.call else { panic!("it is a report") };
    assert_eq!((report.message_id.as_str(), report.recipient.as_str()), ("0415", "+447700900123"));
    assert_eq!((report.status, report.at_ms), (MmStatus::Delivered, Some(1_795_165_200_000)));
    for (word, status) in
        [("Expired", MmStatus::Expired), ("Unrecognised", MmStatus::Failed), ("unknown", MmStatus::Pending)]
    {
        assert_eq!(MmStatus::of(word), status);
    }
    let other = receive(
        "text/xml",
        confirm(&Confirmation { namespace: "", version: "", transaction: None, code: 1, message_id: "" }).as_bytes(),
    );
    assert_eq!(other.unwrap().call, Call::Other("SubmitRsp".into()));
    assert_eq!(receive("text/xml", b"<!DOCTYPE x><x/>"), Err(Unreadable));
}

#[test]
fn a_message_from_a_handset_is_read_and_answered() {
    let envelope = format!(
        r#"<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Header><mm7:TransactionID xmlns:mm7="{NAMESPACE}">t-7</mm7:TransactionID></env:Header><env:Body><DeliverReq xmlns="{NAMESPACE}"><MM7Version>6.8.0</MM7Version><LinkedID>l</LinkedID><Sender><Number>447700900123</Number></Sender><Recipients><To><ShortCode>11122</ShortCode></To></Recipients><Subject>Grüße</Subject><Content href="cid:mms"/></DeliverReq></env:Body></env:Envelope>"#
    );
    let mut body = format!("--o\r\nContent-Type: text/xml\r\nContent-ID: <s>\r\n\r\n{envelope}\r\n").into_bytes();
    body.extend_from_slice(b"--o\r\nContent-Type: multipart/related; boundary=\"i\"\r\nContent-ID: <mms>\r\n\r\n");
    body.extend_from_slice(
        b"--i\r\nContent-Type: text/plain; charset=iso-8859-1; name=a.txt\r\nContent-ID: <a>\r\n\r\nGr\xfc\xdfe\r\n",
    );
    body.extend_from_slice(b"--i\r\nContent-Type: image/gif\r\nContent-Location: b.gif\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lG\r\n--i--\r\n\r\n--o--\r\n");
    let received = receive("multipart/related; boundary=o; type=\"text/xml\"; start=\"<s>\"", &body).unwrap();
    assert_eq!(received.transaction.as_deref(), Some("t-7"));
    let Call::Deliver(delivered) = received.call else { panic!("a message came") };
    assert_eq!((delivered.sender.as_str(), delivered.subject.as_str()), ("+447700900123", "Grüße"));
    let [text, picture] = &delivered.parts[..] else { panic!("two parts") };
    assert_eq!(
        (text.content_type.as_str(), text.name.as_str(), text.data.as_slice()),
        ("text/plain", "a.txt", "Grüße".as_bytes())
    );
    assert_eq!(
        (picture.content_type.as_str(), picture.name.as_str(), picture.data.as_slice()),
        ("image/gif", "b.gif", &b"GIF"[..])
    );
    assert_eq!(format!("{delivered:?}"), "Delivered(2 parts)");
    let answer = answer_to_deliver(NAMESPACE, VERSION, Some("t-7"));
    assert!(
        answer.contains("<DeliverRsp ") && answer.contains("t-7") && answer.contains("<StatusCode>1000</StatusCode>"),
        "{answer}"
    );
}
