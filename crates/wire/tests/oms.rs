//! Every request fixture of the OMS interface through the whole of `wire::oms`, and what it may never do. Knows the
//! expectations of `oms/fixtures.json`; stands in for credentials and routes, and leaves quota and lanes to the gateway.

use model::Msisdn;
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use wire::oms::check::{self, MmsLimits, PartJoining, Profile, Scheduling, SendTime, SmsLimits, Subscription};
use wire::oms::request::{Batch, Credentials, Format, ItemBody, ItemId, XmsData, XmsUser};
use wire::oms::response::{
    Declaration, ErrorCode, ErrorItem, Outcome, ServiceInfo, ServiceInfoNamespace, UserInfo, xms_response,
    xms_responses,
};
use wire::oms::soap::{self, Argument, Call, Fault, MediaType, Method, Style, Version};
use wire::oms::{Limits, NAMESPACE, wsdl};

/// 2026-06-01T00:00:00Z
const NOW: i64 = 1_780_272_000_000;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oms")
}

fn read(file: &str) -> Vec<u8> {
    fs::read(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn manifest() -> Value {
    serde_json::from_slice(&read("fixtures.json")).expect("the manifest is JSON")
}

/// RFC 7396.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut out = target.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            out.remove(key);
        } else {
            let value = merged(out.get(key).unwrap_or(&Value::Null), value);
            out.insert(key.clone(), value);
        }
    }
    Value::Object(out)
}

/// The service as the fixtures see it, without a network.
struct Service {
    json: Value,
    profile: Profile,
}

impl Service {
    fn load(json: Value) -> Self {
        let number = |path: &str| json.pointer(path).and_then(Value::as_u64);
        let narrow = |path: &str| number(path).and_then(|value| u32::try_from(value).ok()).expect("a limit");
        let sms = json["sms"].is_object().then(|| SmsLimits {
            recipients_max: narrow("/sms/maxRecipientsPerMessage"),
            parts_max: narrow("/sms/maxMessagesPerSend"),
            sbcs_max: narrow("/sms/maxSbcsPerMessage"),
            dbcs_max: narrow("/sms/maxDbcsPerMessage"),
        });
        let mms = json["mms"].is_object().then(|| MmsLimits {
            supports_slides: json["mms"]["supportSlide"] == true,
            recipients_max: narrow("/mms/maxRecipientsPerMessage"),
            size_bytes_max: number("/mms/maxSizePerMessage").expect("a limit"),
            slides_max: narrow("/mms/maxSlidesPerMessage"),
        });
        let profile = Profile {
            sms,
            mms,
            batch_items_max: number("/maxBatch").map_or(100, |max| usize::try_from(max).expect("a small number")),
            schedule_days_max: number("/maxScheduleDays").map(|days| u32::try_from(days).expect("a small number")),
            scheduling: if json["scheduling"] == true { Scheduling::On } else { Scheduling::Off },
            part_joining: if json["joinParts"] == true { PartJoining::Join } else { PartJoining::Keep },
            words_refused: Vec::new(),
        };
        Self { json, profile }
    }

    fn user(&self, credentials: &Credentials<'_>) -> Result<&Value, ErrorCode> {
        let users = self.json["users"].as_array().expect("users");
        let user = users.iter().find(|user| user["userId"] == *credentials.user_id);
        let user = user.filter(|user| user["password"] == *credentials.password).ok_or(ErrorCode::InvalidUser)?;
        match user["state"].as_str() {
            Some("active") => Ok(user),
            Some("unregistered") => Err(ErrorCode::UnregisteredUser),
            Some("expired") => Err(ErrorCode::ExpiredUser),
            _ => Err(ErrorCode::CeasedService),
        }
    }

    fn deliver(&self, data: &XmsData<'_>) -> Outcome {
        self.try_deliver(data).unwrap_or_else(Outcome::refused)
    }

    fn try_deliver(&self, data: &XmsData<'_>) -> Result<Outcome, ErrorItem> {
        check::schedule(data, &self.profile, NOW)?;
        let user = self.user(&data.credentials).map_err(ErrorItem::of)?;
        let has = |name: &str| user["services"].as_array().is_some_and(|services| services.contains(&name.into()));
        let subscription = match (has("SMS_SENDER"), has("MMS_SENDER")) {
            (false, false) => Subscription::Neither,
            (true, false) => Subscription::SmsOnly,
            (false, true) => Subscription::MmsOnly,
            (true, true) => Subscription::Both,
        };
        let prefixes = self.json["routable"].as_array().expect("prefixes");
        let routable = |number: &Msisdn, _| {
            prefixes.iter().any(|prefix| number.to_string().starts_with(prefix.as_str().unwrap_or("?")))
        };
        let checked = check::message(data, &self.profile, subscription, NOW, |_| None, routable)?;
        let notices = match checked.send_time {
            SendTime::NowUnscheduled => vec![ErrorItem::of(ErrorCode::NoScheduled)],
            SendTime::Now | SendTime::At(_) => Vec::new(),
        };
        Ok(Outcome { failures: checked.failures, notices })
    }

    fn service_info(&self) -> String {
        let info = ServiceInfo {
            provider: "Example Telecom",
            service_uri: "https://oms.example.invalid/oms/service.asmx",
            sign_up_page: "https://oms.example.invalid/signup",
            target_locale: 0,
            local_name: "Example SMS",
            english_name: "Example SMS",
            sms: self.profile.sms.as_ref(),
            mms: self.profile.mms.as_ref(),
            namespace: ServiceInfoNamespace::default(),
        };
        info.document(Declaration::None)
    }

    fn result(&self, call: &Call<'_>) -> String {
        let limits = Limits::default();
        let invalid = || Outcome::refused(ErrorItem::of(ErrorCode::InvalidFormat));
        match (call.method, &call.argument) {
            (Method::GetServiceInfo, _) => self.service_info(),
            (Method::GetUserInfo, Argument::Empty) => UserInfo::PROBE.document(Declaration::None),
            (Method::GetUserInfo, Argument::NotText) => {
                UserInfo::Refused(ErrorCode::InvalidFormat).document(Declaration::None)
            }
            (Method::GetUserInfo, Argument::Text(text)) => {
                let parsed = XmsUser::parse(text, &limits).map_err(|_| ErrorCode::InvalidFormat);
                let user = parsed.and_then(|user| self.user(&user.credentials));
                let known = user.map(|user| UserInfo::Known {
                    reply_phone: user["replyPhone"].as_str(),
                    smtp_address: user["smtpAddress"].as_str(),
                });
                known.unwrap_or_else(UserInfo::Refused).document(Declaration::None)
            }
            (Method::DeliverXms | Method::SendXms, argument) => {
                let outcome = match argument {
                    Argument::Empty => Outcome::ok(),
                    Argument::NotText => invalid(),
                    Argument::Text(text) => {
                        XmsData::parse(text, &limits).map_or_else(|_| invalid(), |data| self.deliver(&data))
                    }
                };
                xms_response(&outcome, Declaration::None)
            }
            (Method::DeliverXmsBatch, Argument::Empty) => xms_responses([(None, &Outcome::ok())], Declaration::None),
            (Method::DeliverXmsBatch, Argument::NotText) => xms_responses([(None, &invalid())], Declaration::None),
            (Method::DeliverXmsBatch, Argument::Text(text)) => self.batch(text, &limits),
        }
    }

    fn batch(&self, text: &str, limits: &Limits) -> String {
        let Ok(batch) = Batch::parse(text, limits, self.profile.batch_items_max) else {
            return xms_responses(
                [(None, &Outcome::refused(ErrorItem::of(ErrorCode::InvalidFormat)))],
                Declaration::None,
            );
        };
        let outcome = |body: &ItemBody<'_>| match body {
            ItemBody::Message(data) => self.deliver(data),
            ItemBody::Invalid => Outcome::refused(ErrorItem::of(ErrorCode::InvalidFormat)),
            ItemBody::Surplus => Outcome::refused(ErrorItem::of(ErrorCode::PerBatchMsgLimit)),
        };
        let outcomes: Vec<_> = batch.items.iter().map(|item| (item.id.as_ref(), outcome(&item.body))).collect();
        xms_responses(outcomes.iter().map(|(id, outcome)| (*id, outcome)), Declaration::None)
    }

    /// Whether the outcome is decided by what this crate cannot know.
    fn is_for_the_gateway(&self) -> bool {
        let has = |user: &Value| ["perDay", "perMonth", "balance"].iter().any(|key| user.get(key).is_some());
        self.json.get("lanes").is_some()
            || self.json.get("serviceChanged").is_some()
            || self.json["users"].as_array().is_some_and(|users| users.iter().any(has))
    }
}

fn parse<'a>(text: &'a str, media: &MediaType) -> Result<Call<'a>, Fault> {
    soap::parse(text, media, &Limits::default())
}

/// A result document as a tree that can be asked.
#[derive(Debug, Default)]
struct Node {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Node>,
    text: String,
}

impl Node {
    /// Reads with the tokeniser alone, so that the code under test does not judge itself.
    fn parse(xml: &str) -> Self {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(start) => open.push(Self {
                    name: start.name().as_ref().to_owned(),
                    attributes: start
                        .attributes()
                        .map(|attribute| attribute.expect("an attribute"))
                        .map(|attribute| {
                            let value = quick_xml::escape::unescape(&attribute.value).expect("an escaped value");
                            (attribute.key.as_ref().to_owned(), value.into_owned())
                        })
                        .collect(),
                    ..Self::default()
                }),
                Event::End(_) => {
                    let node = open.pop().expect("an open element");
                    open.last_mut().expect("a parent").children.push(node);
                }
                Event::Text(text) => open.last_mut().expect("a parent").text.push_str(&text),
                Event::GeneralRef(reference) => {
                    let text = format!("&{};", &*reference);
                    let text = quick_xml::escape::unescape(&text).expect("a reference").into_owned();
                    open.last_mut().expect("a parent").text.push_str(&text);
                }
                Event::Eof => return open.pop().expect("the document").children.pop().expect("a root"),
                _ => {}
            }
        }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    fn errors(&self) -> Vec<&Node> {
        self.children.iter().filter(|child| child.name == "error").collect()
    }
}

#[track_caller]
fn check_errors(name: &str, response: &Node, expected: &Value) {
    let errors = response.errors();
    let codes: Vec<_> = errors
        .iter()
        .map(|error| serde_json::json!([error.attribute("code").map(str::to_lowercase), error.attribute("severity")]))
        .collect();
    let wanted: Vec<_> = expected["codes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pair| serde_json::json!([pair[0].as_str().map(str::to_lowercase), pair[1]]))
        .collect();
    assert_eq!(codes, wanted, "{name}");
    for key in ["content", "recipientList"] {
        if let Some(wanted) = expected.get(key) {
            let found = errors[0].child(key).map(|child| child.text.as_str());
            assert_eq!(found, wanted.as_str(), "{name}: {key}");
        }
    }
}

fn check_result(name: &str, fixture: &Value, service: &Service, call: &Call<'_>) {
    let answer = call.answer(&service.result(call));
    assert_eq!(u64::from(answer.status), fixture["expect"]["http"], "{name}");
    let envelope = Node::parse(&answer.body);
    let response = &envelope.children[0].children[0];
    let method = fixture["method"].as_str().expect("a method");
    let prefix = if fixture["style"] == "rpc" { "q1:" } else { "" };
    assert_eq!(response.name, format!("{prefix}{method}Response"), "{name}");
    assert_eq!(response.children[0].name, format!("{method}Result"), "{name}");
    let result = Node::parse(&response.children[0].text);
    let expect = &fixture["expect"];
    let passed = serde_json::json!({"codes": [["ok", "neutral"]]});
    let responses: Vec<_> = if method == "DeliverXmsBatch" { result.children.iter().collect() } else { vec![&result] };
    if service.is_for_the_gateway() {
        responses.iter().for_each(|response| check_errors(name, response, &passed));
    } else if expect["probe"] == true {
        responses.iter().for_each(|response| check_errors(name, response, &passed));
    } else if let Some(items) = expect["items"].as_array() {
        assert_eq!(result.children.len(), items.len(), "{name}");
        for (response, item) in result.children.iter().zip(items) {
            for key in ["id", "Id"] {
                assert_eq!(response.attribute(key), item[key].as_str(), "{name}");
            }
            check_errors(name, response, item);
        }
    } else {
        check_errors(name, &result, expect);
    }
    check_children(name, &result, &expect["userInfo"]);
    check_service_info(name, &result, &expect["serviceInfo"]);
}

fn check_children(name: &str, result: &Node, expected: &Value) {
    for (key, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(result.child(key).map(|child| child.text.as_str()), value.as_str(), "{name}: {key}");
    }
}

fn check_service_info(name: &str, result: &Node, expected: &Value) {
    for (service, limits) in expected.as_object().into_iter().flatten() {
        let found = result.child("supportedService").expect("services").child(service);
        assert_eq!(found.is_some(), !limits.is_null(), "{name}: {service}");
        for (limit, value) in limits.as_object().into_iter().flatten() {
            assert_eq!(
                found.and_then(|found| found.attribute(limit)),
                Some(value.to_string().as_str()),
                "{name}: {limit}"
            );
        }
    }
}

fn check_fault(name: &str, fixture: &Value, fault: Fault) {
    let (answer, expect) = (fault.answer(), &fixture["expect"]);
    assert_eq!(u64::from(answer.status), expect["http"], "{name}");
    assert_eq!(fault.code.name(fault.version), expect["faultcode"], "{name}");
    let version = if fixture["soap"] == "1.2" { Version::Soap12 } else { Version::Soap11 };
    assert_eq!(fault.version, version, "{name}");
    assert_eq!(answer.content_type, version.content_type(), "{name}");
    assert!(answer.body.contains(&format!(">s:{}<", fault.code.name(version))), "{name}");
}

#[test]
fn every_fixture() {
    let manifest = manifest();
    let (mut results, mut faults, mut others) = (0, 0, 0);
    for fixture in manifest["fixtures"].as_array().expect("fixtures") {
        let name = fixture["file"].as_str().expect("a file");
        let patch = fixture.get("profile_patch").unwrap_or(&Value::Null);
        let patch = if patch.is_null() { &serde_json::json!({}) } else { patch };
        let service = Service::load(merged(&manifest["profile"], patch));
        let media = MediaType::of(fixture["headers"]["Content-Type"].as_str().unwrap_or_default());
        let body = read(name);
        if matches!(fixture["expect"]["kind"].as_str(), Some("empty" | "any")) {
            assert!(body.is_empty() || media.is_none(), "{name}: HTTP alone decides");
            others += 1;
            continue;
        }
        let media = media.expect("a SOAP media type");
        let text = soap::decode(&body, &media).expect("text");
        match parse(&text, &media) {
            Ok(call) => {
                assert_eq!(fixture["expect"]["kind"], "result", "{name}");
                assert_eq!(
                    call.version,
                    if fixture["soap"] == "1.2" { Version::Soap12 } else { Version::Soap11 },
                    "{name}"
                );
                assert_eq!(call.style, if fixture["style"] == "rpc" { Style::Rpc } else { Style::Document }, "{name}");
                check_result(name, fixture, &service, &call);
                results += 1;
            }
            Err(fault) => {
                assert_eq!(fixture["expect"]["kind"], "fault", "{name}");
                check_fault(name, fixture, fault);
                faults += 1;
            }
        }
    }
    assert_eq!((results, faults, others), (83, 7, 3), "the fixtures are all here");
}

/// The answers as the fixtures have them, byte for byte but for indentation.
#[test]
fn every_answer() {
    let service = Service::load(manifest()["profile"].clone());
    let mut compared = 0;
    for entry in fs::read_dir(folder().join("responses")).expect("responses") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let request = match name.as_str() {
            "rpc11-getserviceinfo.xml"
            | "rpc11-sendxms.xml"
            | "soap12-deliverxmsbatch.xml"
            | "soap12-getuserinfo.xml"
            | "deliverxms-with-serviceupdate.xml" => continue, // no such request
            _ if name.starts_with("fault") => continue, // the wording is our own
            _ => format!("requests/{name}"),
        };
        let media = MediaType::of("text/xml").expect("a SOAP media type");
        let body = read(&request);
        let call = parse(std::str::from_utf8(&body).expect("UTF-8"), &media).expect("a call");
        let expected = String::from_utf8(read(&format!("responses/{name}"))).expect("UTF-8");
        let expected: String = expected.lines().map(str::trim).collect();
        assert_eq!(call.answer(&service.result(&call)).body, expected, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 14);
}

#[track_caller]
fn check_invalid(inner: &str) {
    assert!(XmsData::parse(inner, &Limits::default()).is_err(), "{}", &inner[..inner.len().min(200)]);
}

const HEAD: &str = "<xmsHead><to><recipient>+447700900123</recipient></to></xmsHead>";
const CONTENT: &str = "<content contentType='text/plain' contentId='a' contentLocation='1.txt'>x</content>";

fn document(inside: &str) -> String {
    format!("<xmsData xmlns='{NAMESPACE}'>{inside}</xmsData>")
}

fn with_content(content: &str) -> String {
    document(&format!("{HEAD}<xmsBody format='SMS'>{content}</xmsBody>"))
}

#[test]
fn what_the_document_may_look_like() {
    let parsed = |inner: &str| XmsData::parse(inner, &Limits::default()).map(|data| data.contents[0].text.to_string());
    assert_eq!(parsed(&with_content(CONTENT)).as_deref(), Ok("x"));
    // order, unknown elements and attributes, comments and instructions
    let odd = format!(
        "\u{FEFF} <?xml version='1.0' encoding='UTF-16'?><!-- a --><xmsData a:b='1' zz='2' xmlns:a='urn:a' xmlns='{NAMESPACE}'>\
         <a:x><y/></a:x><xmsBody format=' sms '><?p i?><z><content/></z>{CONTENT}</xmsBody>stray{HEAD}</xmsData>\n<!-- z -->"
    );
    assert_eq!(parsed(&odd).as_deref(), Ok("x"));
    let declared = "<xmsData xml:lang='en' xmlns:xml='http://www.w3.org/XML/1998/namespace'";
    assert_eq!(parsed(&with_content(CONTENT).replace("<xmsData", declared)).as_deref(), Ok("x"));
    let secure = with_content(CONTENT).replace("http:", "https:");
    assert_eq!(parsed(&secure).as_deref(), Ok("x"));
    // text in several pieces, white space kept, line ends normalised once
    let pieces = "<content contentType='TEXT/plain ' contentId='a' contentLocation='l'> a&lt;<![CDATA[<b>\r\n]]><!-- c -->&#13;\r\nd </content>";
    assert_eq!(parsed(&with_content(pieces)).as_deref(), Ok(" a<<b>\n\r\nd "));
}

#[test]
fn credentials_are_read_as_they_are() {
    let user = "<user><userId>\t demo </userId><password> p w\u{A0}</password></user>";
    let inner = document(&format!("{user}{HEAD}<xmsBody format='SMS'>{CONTENT}</xmsBody>"));
    let data = XmsData::parse(&inner, &Limits::default()).expect("a message");
    assert_eq!((&*data.credentials.user_id, &*data.credentials.password), ("demo", " p w\u{A0}"));
    let debug = format!("{data:?} {:?}", data.credentials);
    for secret in ["demo", "p w", "7700900123"] {
        assert!(!debug.contains(secret), "{debug}");
    }
}

#[test]
fn what_the_document_may_not_look_like() {
    check_invalid("");
    check_invalid("no XML");
    check_invalid(&with_content(CONTENT).replace(NAMESPACE, "urn:other"));
    check_invalid(&with_content(CONTENT).replace(&format!(" xmlns='{NAMESPACE}'"), ""));
    check_invalid(&format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{}", with_content(CONTENT)));
    check_invalid(&format!("{}<a/>", with_content(CONTENT)));
    check_invalid(&format!("{}trailing", with_content(CONTENT)));
    check_invalid(&with_content(&format!("{CONTENT}&nbsp;")));
    check_invalid(&with_content(&format!("{CONTENT}]]>")));
    check_invalid(&with_content(&format!("{CONTENT}\u{1}")));
    check_invalid(&with_content(&format!("{CONTENT}&#1;")));
    check_invalid(&with_content(&format!("{CONTENT}<b:c/>"))); // undeclared prefix
    check_invalid(&with_content(&format!("{CONTENT}<a b='1' b='2'/>")));
    check_invalid(&with_content(&format!("{CONTENT}<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>")));
    check_invalid(&with_content(&format!("{CONTENT}<a b='<'/>")));
    check_invalid(&with_content(&format!("{CONTENT}<1a/>")));
    check_invalid(&with_content(&format!("{CONTENT}<!-- -- -->")));
    check_invalid(&with_content(&format!("{CONTENT}<?xml version='1.0'?>")));
    check_invalid(&with_content(&CONTENT.replace(">x<", "><b>x</b><")));
    for attribute in ["contentType='text/plain'", "contentId='a'", "contentLocation='1.txt'"] {
        check_invalid(&with_content(&CONTENT.replace(attribute, "")));
    }
    check_invalid(&document(&format!("{HEAD}{HEAD}<xmsBody format='SMS'>{CONTENT}</xmsBody>")));
    check_invalid(&document(&format!("{HEAD}<xmsBody format='FAX'>{CONTENT}</xmsBody>")));
    check_invalid(&document(&format!("<xmsHead><to/></xmsHead><xmsBody format='SMS'>{CONTENT}</xmsBody>")));
}

#[test]
fn limits() {
    let nested = |depth: usize| with_content(&format!("{CONTENT}{}{}", "<a>".repeat(depth), "</a>".repeat(depth)));
    assert!(XmsData::parse(&nested(30), &Limits::default()).is_ok());
    check_invalid(&nested(31));
    let wide = |count: usize| with_content(&format!("{CONTENT}{}", "<a/>".repeat(count)));
    assert!(XmsData::parse(&wide(10_000 - 6), &Limits::default()).is_ok());
    check_invalid(&wide(10_000 - 5));
    let long = |length: usize| with_content(&format!("{CONTENT}<a b='{}'/>", "x".repeat(length)));
    assert!(XmsData::parse(&long(4096), &Limits::default()).is_ok());
    check_invalid(&long(4097));
    let big = |length: usize| with_content(&CONTENT.replace(">x<", &format!(">{}<", "x".repeat(length))));
    let overhead = big(0).len();
    assert!(XmsData::parse(&big(1024 * 1024 - overhead), &Limits::default()).is_ok());
    check_invalid(&big(1024 * 1024 - overhead + 1));
    let attributes: String = (0..65).map(|index| format!(" a{index}='1'")).collect();
    check_invalid(&with_content(&format!("{CONTENT}<a{attributes}/>")));
}

#[test]
fn a_broken_batch_has_no_items() {
    let batch = |inside: &str| format!("<xmsBatch xmlns='{NAMESPACE}'>{inside}</xmsBatch>");
    let item = format!("<xmsData>{HEAD}<xmsBody format='SMS'>{CONTENT}</xmsBody></xmsData>");
    let parse = |text: &str| Batch::parse(text, &Limits::default(), 2).map(|batch| batch.items.len());
    assert_eq!(parse(&batch(&item.repeat(3))), Ok(3));
    assert!(parse(&batch(&format!("{item}<xmsData>"))).is_err());
    assert!(parse(&batch(&format!("{}<xmsData><a></b></xmsData>", item.repeat(2)))).is_err());
    assert!(parse(&format!("{}x", batch(&item))).is_err());
    assert!(parse(&batch("")).is_err());
    let mixed = batch(&format!("<xmsData Id='a' id='b'/><xmsData Id='c'>{HEAD}{HEAD}</xmsData>{item}"));
    let mixed = Batch::parse(&mixed, &Limits::default(), 3).expect("a batch");
    let ids: Vec<_> = mixed.items.iter().map(|item| item.id.clone()).collect();
    assert_eq!(ids, [Some(ItemId::Lower("b".into())), Some(ItemId::Upper("c".into())), None]);
    assert!(matches!(mixed.items[..2], [ref a, ref b] if a.body == ItemBody::Invalid && b.body == ItemBody::Invalid));
    assert!(matches!(mixed.items[2].body, ItemBody::Message(_)));
}

fn envelope(namespace: &str, inside: &str) -> String {
    format!("<e:Envelope xmlns:e='{namespace}'>{inside}</e:Envelope>")
}

#[track_caller]
fn check_envelope(body: &str, content_type: &str, expected: Result<(Version, Style, &str), (u16, Version, &str)>) {
    let media = MediaType::of(content_type).expect("a SOAP media type");
    let read = parse(body, &media).map(|call| (call.version, call.style, argument(&call.argument)));
    let read = read.map_err(|fault| (fault.status(), fault.version, fault.code.name(fault.version)));
    let expected = expected.map(|(version, style, argument)| (version, style, argument.to_owned()));
    assert_eq!(read, expected, "{body}");
}

fn argument(argument: &Argument<'_>) -> String {
    match argument {
        Argument::Empty => "(empty)".to_owned(),
        Argument::NotText => "(not text)".to_owned(),
        Argument::Text(text) => text.to_string(),
    }
}

const SOAP11: &str = wire::oms::NAMESPACE_SOAP11;
const SOAP12: &str = wire::oms::NAMESPACE_SOAP12;

#[test]
fn arguments() {
    let deliver = |inside: &str| {
        envelope(SOAP11, &format!("<e:Body><DeliverXms xmlns='{NAMESPACE}'>{inside}</DeliverXms></e:Body>"))
    };
    let document = |inside: &str, expected| {
        check_envelope(&deliver(inside), "text/xml", Ok((Version::Soap11, Style::Document, expected)));
    };
    document("", "(empty)");
    document("<xmsData/>", "(empty)");
    document("<xmsData> \r\n\u{FEFF}</xmsData>", "(empty)");
    document("<other>x</other><xmsData>&lt;a&gt;</xmsData>", "<a>");
    document("<xmsData>&lt;<!-- c --><![CDATA[a>]]></xmsData>", "<a>");
    document("<xmsData>\u{FEFF} <![CDATA[<a/>]]></xmsData>", "<a/>");
    document("<xmsData>&lt;a/&gt;</xmsData><xmsData xmlns=''>b</xmsData>", "<a/>");
    document("<xmsData><a/></xmsData>", "(not text)");
    document("<xmsData><![CDATA[x]]><a>b</a></xmsData>", "(not text)");
    check_envelope(&deliver("<xmsData xmlns=''>b</xmsData>"), "text/xml", Ok((Version::Soap11, Style::Rpc, "b")));
    for broken in ["<xmsData>&lt</xmsData>", "<xmsData>]]></xmsData>", "<xmsData>&#2;</xmsData>", "<xmsData>a</xmsDat>"]
    {
        check_envelope(&deliver(broken), "text/xml", Err((500, Version::Soap11, "Client")));
    }
}

#[test]
fn the_encoding_style_tells_rpc() {
    let encoding = "e:encodingStyle='urn:x http://schemas.xmlsoap.org/soap/encoding/'";
    let call = format!("<GetServiceInfo xmlns='{NAMESPACE}'/>");
    let rpc = Ok((Version::Soap11, Style::Rpc, "(empty)"));
    let whole = format!("<e:Body {encoding}>{call}</e:Body>");
    check_envelope(&envelope(SOAP11, &whole), "text/xml", rpc);
    let on_envelope =
        format!("<e:Envelope {encoding} xmlns:e='{SOAP11}'><e:Header/><e:Body>{call}</e:Body></e:Envelope>");
    check_envelope(&on_envelope, "text/xml", rpc);
    let other = whole.replace("soap/encoding/", "soap/other/");
    check_envelope(&envelope(SOAP11, &other), "text/xml", Ok((Version::Soap11, Style::Document, "(empty)")));
}

#[test]
fn headers_that_must_be_understood() {
    let with = |namespace: &str, attributes: &str| {
        let body = format!("<e:Body><GetServiceInfo xmlns='{NAMESPACE}'/></e:Body>");
        envelope(namespace, &format!("<e:Header><t:T xmlns:t='urn:t' {attributes}/></e:Header>{body}"))
    };
    let refused = |version, status| Err((status, version, "MustUnderstand"));
    check_envelope(&with(SOAP11, "e:mustUnderstand='1'"), "text/xml", refused(Version::Soap11, 500));
    check_envelope(&with(SOAP12, "e:mustUnderstand='true'"), "text/xml", refused(Version::Soap12, 500));
    let fine = Ok((Version::Soap11, Style::Document, "(empty)"));
    check_envelope(&with(SOAP11, "e:mustUnderstand='0'"), "text/xml", fine);
    check_envelope(&with(SOAP11, "mustUnderstand='1'"), "text/xml", fine);
    check_envelope(&with(SOAP11, "e:mustUnderstand='1' e:actor='urn:someone:else'"), "text/xml", fine);
}

#[test]
fn the_fault_speaks_the_version_of_the_envelope() {
    let client = |status, version, code| Err((status, version, code));
    let sender = client(400, Version::Soap12, "Sender");
    check_envelope("", "application/soap+xml", sender);
    check_envelope("{}", "text/xml", client(500, Version::Soap11, "Client"));
    check_envelope(&format!("<e:Envelope xmlns:e='{SOAP12}'><e:Bo"), "text/xml", sender);
    check_envelope(&format!("<e:Envelope xmlns:e='{SOAP12}'"), "text/xml", client(500, Version::Soap11, "Client"));
    check_envelope(&format!("<!DOCTYPE a><e:Envelope xmlns:e='{SOAP12}'/>"), "text/xml", sender);
    check_envelope(&format!("<e:Other xmlns:e='{SOAP12}'/>"), "text/xml", sender);
    let mismatch = client(500, Version::Soap11, "VersionMismatch");
    check_envelope("<Envelope xmlns='urn:soap13'><Body/></Envelope>", "application/soap+xml", mismatch);
    check_envelope("<Envelope><Body/></Envelope>", "text/xml", mismatch);
    for inside in ["", "<e:Header/>", "<e:Body/>", "<e:Body><a/></e:Body>", "<e:Body/><e:Body/>"] {
        check_envelope(&envelope(SOAP12, inside), "text/xml", sender);
    }
}

#[test]
fn the_description_names_its_address_and_all_operations() {
    let wsdl = wsdl::document("https://oms.example.invalid/t/a&b/oms/service.asmx");
    let root = Node::parse(&wsdl);
    assert_eq!(root.attribute("targetNamespace"), Some(NAMESPACE));
    let service = root.child("wsdl:service").expect("a service");
    assert_eq!(service.attribute("name"), Some("OMSService"));
    let ports: Vec<_> =
        service.children.iter().map(|port| (port.attribute("name"), port.children[0].attribute("location"))).collect();
    let address = Some("https://oms.example.invalid/t/a&b/oms/service.asmx");
    assert_eq!(ports, [(Some("OMSServiceSoap"), address), (Some("OMSServiceSoap12"), address)]);
    let bindings = root.children.iter().filter(|child| child.name == "wsdl:binding");
    for binding in bindings {
        let operations = binding.children.iter().filter_map(|child| child.attribute("name"));
        assert_eq!(operations.collect::<Vec<_>>(), Method::ALL.map(Method::name));
    }
}

/// Reads `bytes` in every way there is.
fn exercise(bytes: &[u8]) {
    let service = Service::load(manifest()["profile"].clone());
    for content_type in ["text/xml", "application/soap+xml; charset=utf-16"] {
        let media = MediaType::of(content_type).expect("a SOAP media type");
        if let Ok(text) = soap::decode(bytes, &media) {
            match parse(&text, &media) {
                Ok(call) => drop(call.answer(&service.result(&call))),
                Err(fault) => drop(fault.answer()),
            }
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let limits = Limits::default();
    let _ = XmsUser::parse(&text, &limits);
    let _ = Batch::parse(&text, &limits, 2);
    if let Ok(data) = XmsData::parse(&text, &limits) {
        service.deliver(&data);
    }
}

fn xml_text() -> impl Strategy<Value = String> {
    "[ -~\\t\\n\\r\u{A0}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]{0,40}"
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(&bytes);
    }

    #[test]
    fn no_damaged_request_panics(which in 0_usize..93, at in any::<prop::sample::Index>(), cut in 0_usize..20, insert in "[<>&;/?!'\"= a:#-]{0,4}") {
        let manifest = manifest();
        let file = manifest["fixtures"][which]["file"].as_str().expect("a file").to_owned();
        let mut bytes = read(&file);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, insert.bytes());
        }
        exercise(&bytes);
    }

    #[test]
    fn what_is_written_is_read(user in xml_text(), password in xml_text(), to in proptest::collection::vec(xml_text(), 1..4),
        texts in proptest::collection::vec(xml_text(), 1..4), id in xml_text()) {
        let escaped = |text: &str| quick_xml::escape::escape(text).replace('\r', "&#13;").replace('\n', "&#10;").replace('\t', "&#9;");
        let recipients: String = to.iter().map(|to| format!("<recipient>{}</recipient>", escaped(to))).collect();
        let contents: String = texts.iter().map(|text| {
            format!("<content contentType='text/plain' contentId='{}' contentLocation='l'>{}</content>", escaped(&id), escaped(text))
        }).collect();
        let inner = document(&format!(
            "<user><userId>{}</userId><password>{}</password></user><xmsHead><to>{recipients}</to></xmsHead><xmsBody format='SMS'>{contents}</xmsBody>",
            escaped(&user), escaped(&password)
        ));
        let outer = envelope(SOAP12, &format!("<e:Body><SendXms xmlns='{NAMESPACE}'><xmsData>{}</xmsData></SendXms></e:Body>", escaped(&inner)));
        let media = MediaType::of("text/xml").expect("a SOAP media type");
        let call = parse(&outer, &media).expect("a call");
        let Argument::Text(argument) = &call.argument else { panic!("an argument") };
        prop_assert_eq!(argument.as_ref(), inner.as_str());
        let data = XmsData::parse(argument, &Limits::default()).expect("a message");
        prop_assert_eq!(data.credentials.password.as_ref(), password.as_str());
        prop_assert_eq!(data.credentials.user_id.as_ref(), user.trim_matches(|c: char| c.is_ascii_whitespace()));
        prop_assert!(data.recipients.iter().eq(to.iter()));
        prop_assert!(data.contents.iter().map(|content| &content.text).eq(texts.iter()));
        prop_assert_eq!(data.contents[0].content_id.as_ref(), id.as_str());
        prop_assert_eq!(data.format, Format::Sms);
    }

    #[test]
    fn what_is_answered_can_be_read(content in xml_text(), list in proptest::collection::vec(xml_text(), 0..3), id in xml_text()) {
        let error = ErrorItem { code: ErrorCode::Other, content: Some(content.clone()), recipients: Some(list.clone()) };
        let outcome = Outcome { failures: vec![error], notices: Vec::new() };
        let result = xms_responses([(Some(&ItemId::Upper(id.clone().into())), &outcome)], Declaration::None);
        let call = Call { version: Version::Soap11, style: Style::Rpc, method: Method::DeliverXmsBatch, argument: Argument::Empty, is_namespace_misspelt: false };
        let envelope = Node::parse(&call.answer(&result).body);
        let inner = &envelope.children[0].children[0].children[0].text;
        prop_assert_eq!(inner, &result);
        let response = &Node::parse(inner).children[0];
        prop_assert_eq!(response.attribute("Id"), Some(id.as_str()));
        prop_assert_eq!(&response.children[0].child("content").expect("content").text, &content);
        let list = list.iter().map(|item| item.replace(';', "")).collect::<Vec<_>>().join(";");
        prop_assert_eq!(&response.children[0].child("recipientList").expect("a list").text, &list);
    }
}
