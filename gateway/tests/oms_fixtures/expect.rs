//! What an answer must be, by its fixture: every field, exactly. Knows answers; must not know how they are made.

use serde_json::Value;

use crate::server::Reply;
use crate::tree::Node;

const OMS: &str = "http://schemas.microsoft.com/office/Outlook/2006/OMS";
const SERVICE_INFO: &str = "http://schemas.microsoft.com/office/Outlook/2006/OMS/serviceInfo";
const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";

const FIELDS: [&str; 11] = [
    "http",
    "kind",
    "codes",
    "items",
    "content",
    "recipientList",
    "noticeContent",
    "userInfo",
    "serviceInfo",
    "probe",
    "faultcode",
];

/// Checks an answer. Gives the result document, if there is one.
pub(crate) fn check(fixture: &Value, reply: &Reply) -> Result<Option<String>, String> {
    let expect = fixture["expect"].as_object().ok_or("the fixture expects nothing")?;
    if let Some(unknown) = expect.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(format!("the fixture expects a `{unknown}` that nobody knows"));
    }
    let expect = &fixture["expect"];
    same("status", &Value::from(reply.status), &expect["http"])?;
    match expect["kind"].as_str() {
        Some("any") => Ok(None),
        Some("empty") => {
            is(reply.body.is_empty(), || format!("there is a body: {}", reply.body))?;
            is(reply.content_type.starts_with("text/xml"), || format!("media type `{}`", reply.content_type))?;
            Ok(None)
        }
        Some("fault") => check_fault(fixture, reply).map(|()| None),
        Some("result") => check_result(fixture, reply).map(Some),
        other => Err(format!("the fixture expects `{other:?}`, whatever that is")),
    }
}

fn is(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn same(what: &str, found: &Value, wanted: &Value) -> Result<(), String> {
    is(found == wanted, || format!("{what} is {found}, not {wanted}"))
}

/// The body of an envelope of the fixture's version.
fn body(fixture: &Value, reply: &Reply) -> Result<Node, String> {
    let envelope = Node::parse(&reply.body);
    let (namespace, media_type) = match fixture["soap"].as_str() {
        Some("1.2") => (SOAP12, "application/soap+xml; charset=utf-8"),
        Some("1.1") => (SOAP11, "text/xml; charset=utf-8"),
        _ if envelope.namespace == SOAP12 => (SOAP12, "application/soap+xml; charset=utf-8"),
        _ => (SOAP11, "text/xml; charset=utf-8"),
    };
    is(envelope.name == "Envelope" && envelope.namespace == namespace, || format!("the root is {envelope:?}"))?;
    is(reply.content_type == media_type, || format!("media type `{}`", reply.content_type))?;
    let mut children = envelope.children;
    let body = children.pop().filter(|body| body.name == "Body" && body.namespace == namespace && children.is_empty());
    body.ok_or_else(|| "the envelope has more or less than a body".to_owned())
}

fn check_fault(fixture: &Value, reply: &Reply) -> Result<(), String> {
    let body = body(fixture, reply)?;
    let fault = body.only_child();
    is(fault.name == "Fault" && fault.namespace == body.namespace, || format!("no fault: {fault:?}"))?;
    let code = match body.namespace == SOAP12 {
        true => fault.child("Code").and_then(|code| code.child("Value")),
        false => fault.child("faultcode").filter(|code| code.namespace.is_empty()),
    };
    let code = code.ok_or("the fault has no code")?;
    let local = code.text.rsplit(':').next().unwrap_or_default();
    same("the fault's code", &Value::from(local), &fixture["expect"]["faultcode"])
}

fn check_result(fixture: &Value, reply: &Reply) -> Result<String, String> {
    let (body, method) = (body(fixture, reply)?, fixture["method"].as_str().ok_or("the fixture has no method")?);
    let response = body.only_child();
    is(response.name == format!("{method}Response") && response.namespace == OMS, || format!("{response:?}"))?;
    let result = response.only_child();
    let is_rpc = fixture["style"] == "rpc";
    let namespace = if is_rpc { "" } else { OMS };
    is(result.name == format!("{method}Result") && result.namespace == namespace, || format!("{result:?}"))?;
    let is_typed = result.attributes.iter().any(|(name, value)| name.ends_with(":type") && value.ends_with(":string"));
    is(is_typed == is_rpc, || format!("the style of the answer is not `{}`", fixture["style"]))?;
    check_document(method, &Node::parse(&result.text), &fixture["expect"])
        .map_err(|reason| format!("{reason}, in {}", result.text))?;
    Ok(result.text.clone())
}

fn check_document(method: &str, document: &Node, expect: &Value) -> Result<(), String> {
    let (name, namespace) = match method {
        "GetServiceInfo" => ("serviceInfo", SERVICE_INFO),
        "GetUserInfo" => ("userInfo", OMS),
        "DeliverXmsBatch" => ("xmsResponses", OMS),
        _ => ("xmsResponse", OMS),
    };
    is(document.name == name && document.namespace == namespace, || format!("the document is no `{name}`"))?;
    if let Some(services) = expect.get("serviceInfo") {
        check_services(document, services)?;
    }
    for (child, wanted) in expect.get("userInfo").and_then(Value::as_object).into_iter().flatten() {
        check_text(child, document.child(child), wanted)?;
    }
    if let Some(items) = expect.get("items") {
        return check_items(document, items.as_array().ok_or("`items` is no list")?);
    }
    check_errors(document, expect)?;
    let answers = document.all("xmsResponse").collect::<Vec<_>>();
    match (expect["probe"] == true, name, answers.as_slice()) {
        (true, "xmsResponses", [answer]) => check_codes(answer, &serde_json::json!([["ok", "neutral"]])),
        (true, "xmsResponses", _) => Err("a probe is answered by one xmsResponse".to_owned()),
        (true, ..) => check_codes(document, &serde_json::json!([["ok", "neutral"]])),
        (false, ..) => Ok(()),
    }
}

/// An absent child is what `null` asks for.
fn check_text(what: &str, found: Option<&Node>, wanted: &Value) -> Result<(), String> {
    same(what, &found.map_or(Value::Null, |found| Value::from(found.text.as_str())), wanted)
}

fn check_items(document: &Node, items: &[Value]) -> Result<(), String> {
    let answers: Vec<&Node> = document.all("xmsResponse").collect();
    is(answers.len() == items.len(), || format!("there are {} answers, not {}", answers.len(), items.len()))?;
    for (nth, (answer, item)) in answers.into_iter().zip(items).enumerate() {
        let found = |name| answer.attribute(name).map_or(Value::Null, Value::from);
        let checked = same("id", &found("id"), &item["id"])
            .and_then(|()| same("Id", &found("Id"), &item["Id"]))
            .and_then(|()| check_errors(answer, item));
        checked.map_err(|reason| format!("item {nth}: {reason}"))?;
    }
    Ok(())
}

fn check_errors(answer: &Node, expect: &Value) -> Result<(), String> {
    if let Some(codes) = expect.get("codes") {
        check_codes(answer, codes)?;
    }
    let errors: Vec<&Node> = answer.all("error").collect();
    for (field, error, child) in [
        ("content", errors.first(), "content"),
        ("recipientList", errors.first(), "recipientList"),
        ("noticeContent", errors.last(), "content"),
    ] {
        if let Some(wanted) = expect.get(field) {
            check_text(field, error.and_then(|error| error.child(child)), wanted)?;
        }
    }
    Ok(())
}

/// Without regard to case.
fn check_codes(answer: &Node, codes: &Value) -> Result<(), String> {
    let of = |error: &Node| ["code", "severity"].map(|name| error.attribute(name).unwrap_or("absent").to_lowercase());
    let found: Vec<[String; 2]> = answer.all("error").map(of).collect();
    let wanted = serde_json::from_str::<Vec<[String; 2]>>(&codes.to_string().to_lowercase());
    let wanted = wanted.map_err(|error| format!("`codes` is no list of pairs: {error}"))?;
    is(found == wanted, || format!("codes are {found:?}, not {wanted:?}"))
}

fn check_services(document: &Node, services: &Value) -> Result<(), String> {
    let offered = document.child("supportedService").ok_or("there is no `supportedService`")?;
    for (service, wanted) in services.as_object().ok_or("`serviceInfo` is no object")? {
        match (offered.child(service), wanted.as_object()) {
            (None, None) => {}
            (Some(found), Some(wanted)) => check_attributes(service, found, wanted)?,
            (found, _) => return Err(format!("`{service}` is {found:?}, not {wanted}")),
        }
    }
    Ok(())
}

/// Numbers and booleans as such.
fn check_attributes(service: &str, found: &Node, wanted: &serde_json::Map<String, Value>) -> Result<(), String> {
    for (name, wanted) in wanted {
        let found = match (found.attribute(name), wanted) {
            (Some("1"), Value::Bool(_)) => Value::Bool(true),
            (Some("0"), Value::Bool(_)) => Value::Bool(false),
            (Some(text), _) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
            (None, _) => Value::Null,
        };
        same(&format!("{service}/@{name}"), &found, wanted)?;
    }
    Ok(())
}
