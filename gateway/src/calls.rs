//! The door for calls of HTTP SMS services, `/sms`: one installation is another's service, and so are we to what calls like IceWarp.
//! Knows HTTP and the names of the call; the codec is `wire::http_template`.

mod reports;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::record::{Class, Door, Service};
use model::report::URL_OCTETS_MAX;
use model::{Msisdn, Refusal, Timestamp};
use serde::Serialize;
use wire::datagram::DCS_PLAIN;
use wire::http_template::{Call, QUERY_OCTETS_MAX};
use wire::tpdu::UserData;

use crate::accept::{Part, Submission};
use crate::metrics::{DoorLabel, RefusalLabel};
use crate::problem::Problem;
use crate::rest::request::checked_text;
use crate::run::Gateway;
use crate::snapshot::{KeyHolder, Snapshot};
use crate::{body, clock, number, trace};

/// Installations a message may have come through.
const PATH_MAX: usize = 4;
/// The longest `X-Push-Message-Id`, and the longest name in `X-Push-Path`.
const ID_BYTES_MAX: usize = 200;

/// The routes of this door.
pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/sms", get(take).post(take))
        .route("/sms/", get(take).post(take))
        .route("/sms/reports/{ticket}", get(reports::take).post(reports::take))
}

#[derive(Serialize)]
struct Taken {
    id: String,
    state: &'static str,
    segments: u32,
}

async fn take(
    State(gateway): State<Arc<Gateway>>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match accept(&gateway, &method, query.unwrap_or_default(), &headers, body).await {
        Ok(taken) => (StatusCode::ACCEPTED, Json(taken)).into_response(),
        Err(problem) => {
            gateway.metrics.refused.with((DoorLabel(Door::Sms), RefusalLabel(problem.refusal))).increment();
            problem.into_response()
        }
    }
}

async fn accept(
    gateway: &Gateway,
    method: &Method,
    query: String,
    headers: &HeaderMap,
    body: Body,
) -> Result<Taken, Problem> {
    let now = clock::now();
    let query = if *method == Method::POST { form(body).await? } else { query };
    let call = Call::parse(&query).map_err(|error| Problem::new(Refusal::InvalidField, error.to_string()))?;
    let snapshot = gateway.snapshot();
    let holder = caller(&call, headers, &snapshot)?;
    let submission = submission(&call, headers, holder, &snapshot, now)?;
    let accepted = gateway.acceptor.accept(&snapshot, &submission).await?;
    Ok(Taken { id: accepted.id.to_string(), state: "accepted", segments: submission.parts[0].segments })
}

async fn form(body: Body) -> Result<String, Problem> {
    let octets = body::whole(body, QUERY_OCTETS_MAX).await?;
    String::from_utf8(octets.to_vec()).map_err(|_| Problem::new(Refusal::Malformed, "the body is no form"))
}

/// Who calls: by an API key as token (Bearer), as password (Basic), or as parameter `pass`, as such services have it. A user that is
/// named besides must be the tenant or the key's own name.
fn caller(call: &Call, headers: &HeaderMap, snapshot: &Snapshot) -> Result<Arc<KeyHolder>, Problem> {
    let refused = |detail: &str| Problem::new(Refusal::Unauthorized, detail);
    let (user, key) = match headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default()) {
        Some(value) => proof(value).ok_or_else(|| refused("`Authorization` is neither `Bearer` nor `Basic`"))?,
        None => (call.user.clone().unwrap_or_default(), call.password.clone().unwrap_or_default()),
    };
    let holder = snapshot.key_holder(&key).ok_or_else(|| refused("send an API key: `Authorization`, or `pass`"))?;
    let is_named = user.is_empty() || user == holder.tenant.id.as_str() || user == holder.name;
    is_named.then(|| Arc::clone(holder)).ok_or_else(|| refused("the API key is not this user's"))
}

/// User and key of an `Authorization`.
fn proof(value: &str) -> Option<(String, String)> {
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((String::new(), rest.trim().to_owned()));
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok())??;
    let (user, key) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), key.to_owned()))
}

fn submission(
    call: &Call,
    headers: &HeaderMap,
    holder: Arc<KeyHolder>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Submission, Problem> {
    let tenant = Arc::clone(&holder.tenant);
    let path = path(headers, snapshot.installation())?;
    let recipient = recipient(call, &tenant.default_country, snapshot)?;
    Ok(Submission {
        tells: None,
        user: holder.name.clone(),
        door: Door::Sms,
        // Apart from the keys of the other door: nobody repeats there what came here.
        key: message_id(headers)?.map(|id| format!("x-push-message-id {id}")),
        recipients: vec![recipient],
        parts: vec![part(call, tenant.segments_max)?],
        tenant,
        not_before: None,
        expires: None,
        class: Class::Normal,
        traceparent: trace::parent(headers),
        order_key: None,
        path,
        report: report_to(call, headers)?,
        received: now,
    })
}

/// The installations it came through. One that has it already must not get it again, and no chain is long.
fn path(headers: &HeaderMap, own: &str) -> Result<String, Problem> {
    let mut ids = Vec::new();
    for value in headers.get_all("x-push-path") {
        let value = value.to_str().map_err(|_| Problem::new(Refusal::InvalidField, "`X-Push-Path` is no text"))?;
        ids.extend(value.split(',').map(str::trim).filter(|id| !id.is_empty()));
    }
    if ids.contains(&own) {
        return Err(Problem::new(Refusal::Loop, "it came through this installation before"));
    }
    if ids.len() > PATH_MAX {
        let detail = format!("it came through {} installations; {PATH_MAX} are allowed", ids.len());
        return Err(Problem::new(Refusal::Loop, detail));
    }
    if ids.iter().any(|id| id.len() > ID_BYTES_MAX || !id.bytes().all(|octet| octet.is_ascii_graphic())) {
        return Err(Problem::new(Refusal::InvalidField, "`X-Push-Path` has a name that is none"));
    }
    Ok(ids.join(","))
}

fn message_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("x-push-message-id") else { return Ok(None) };
    let id = value.to_str().ok().map(str::trim).filter(|id| (1..=ID_BYTES_MAX).contains(&id.len()));
    let detail = format!("`X-Push-Message-Id` must have 1 to {ID_BYTES_MAX} visible ASCII characters");
    id.map(Some).ok_or_else(|| Problem::new(Refusal::InvalidField, detail))
}

/// Where the caller wants to hear how the message ends: header `X-Push-Report`, or parameter `report` of those who can't set one.
/// Which networks may be posted to is for who posts.
fn report_to(call: &Call, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let url = match headers.get("x-push-report") {
        Some(value) => Some(value.to_str().unwrap_or_default().trim().to_owned()),
        None => call.report.clone(),
    };
    let is_address = |url: &String| {
        let is_plain = url.len() <= URL_OCTETS_MAX && url.bytes().all(|octet| octet.is_ascii_graphic());
        let uri = url.parse::<Uri>().ok().filter(|_| is_plain);
        uri.is_some_and(|uri| {
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            matches!(uri.scheme_str(), Some("http" | "https")) && !authority.is_empty() && !authority.contains('@')
        })
    };
    let detail = format!(
        "`X-Push-Report` (or `report`) must be an `https` address of at most {URL_OCTETS_MAX} characters, without a user in it"
    );
    let url = url.filter(|url| !url.is_empty());
    if url.as_ref().is_none_or(is_address) { Ok(url) } else { Err(Problem::new(Refusal::InvalidField, detail)) }
}

fn recipient(call: &Call, default_country: &str, snapshot: &Snapshot) -> Result<Msisdn, Problem> {
    let refused = |refusal, detail: &str| Problem::new(refusal, detail);
    let number = number::normalise(&call.number, default_country).ok_or_else(|| {
        refused(Refusal::InvalidRecipient, "`number` is no phone number; write it as `+`, country code and number")
    })?;
    let reachable = snapshot.is_reachable(&number, Service::Sms);
    reachable.then_some(number).ok_or_else(|| refused(Refusal::NoRoute, "no route leads to `number`"))
}

/// The message. Coding and protocol of a text are ours to choose; of octets they travel as they came.
fn part(call: &Call, segments_max: u32) -> Result<Part, Problem> {
    let refused = |detail: String| Problem::new(Refusal::InvalidField, detail);
    let Some(octets) = &call.octets else {
        if call.header.is_some() {
            return Err(refused("`udh` goes with `binary=1`".to_owned()));
        }
        return checked_text(text(call), segments_max, "data");
    };
    let user_data = UserData::octets(call.header.clone(), octets)
        .map_err(|_| Problem::new(Refusal::TooLong, "`udh` and `data` do not fit one message of 140 octets"))?;
    let dcs = call.dcs.unwrap_or(DCS_PLAIN);
    let binary = wire::binary::compose(&[user_data], call.pid, dcs)
        .map_err(|_| refused(format!("`dcs` {dcs} does not announce 8-bit data")))?;
    Ok(Part::binary(binary))
}

/// The text, cut where the caller wants to pay for no more.
fn text(call: &Call) -> String {
    let text = call.text.as_deref().unwrap_or_default();
    let most = call.messages_max.filter(|most| *most > 0).map_or(usize::MAX, usize::from);
    let parts = wire::segment::plan(text).parts;
    if parts.len() <= most { text.to_owned() } else { parts[..most].iter().map(|part| part.text).collect() }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn circles_and_long_ways_are_refused() {
        let check = |value: &str| path(&with("x-push-path", value), "me").map_err(|problem| problem.refusal);
        assert_eq!(check("a, b,c,d"), Ok("a,b,c,d".to_owned()));
        assert_eq!(check(""), Ok(String::new()));
        assert_eq!(check("a,b,c,d,e"), Err(Refusal::Loop));
        assert_eq!(check("a,me"), Err(Refusal::Loop));
        assert_eq!(check("a,b c"), Err(Refusal::InvalidField));
        assert_eq!(path(&HeaderMap::new(), "me"), Ok(String::new()));
        let mut twice = with("x-push-path", "a");
        twice.append("x-push-path", HeaderValue::from_static("me"));
        assert_eq!(path(&twice, "me").map_err(|problem| problem.refusal), Err(Refusal::Loop));
    }

    #[test]
    fn reports_go_to_an_address_that_is_one() {
        let check = |value: &str| {
            let by_header = report_to(&Call::default(), &with("x-push-report", value));
            let call = Call { report: Some(value.to_owned()), ..Call::default() };
            let by_parameter = report_to(&call, &HeaderMap::new());
            assert_eq!(by_header, by_parameter, "{value}");
            by_header.map_err(|problem| problem.refusal)
        };
        let url = "https://a.example:8443/sms/reports/Ab-_1?x=1";
        assert_eq!(check(url), Ok(Some(url.to_owned())));
        assert_eq!(check(""), Ok(None));
        let long = format!("https://a.example/{}", "x".repeat(URL_OCTETS_MAX));
        for wrong in ["a.example/r", "ftp://a.example/", "https://me:secret@a.example/", "https:///r", &long] {
            assert_eq!(check(wrong), Err(Refusal::InvalidField), "{wrong}");
        }
        let call = Call { report: Some("https://b.example/".to_owned()), ..Call::default() };
        assert_eq!(report_to(&call, &with("x-push-report", url)), Ok(Some(url.to_owned())), "the header counts");
    }

    #[test]
    fn keys_come_in_three_ways() {
        assert_eq!(proof("bearer ck_1"), Some((String::new(), "ck_1".to_owned())));
        assert_eq!(proof("Basic YWNtZTpja18x"), Some(("acme".to_owned(), "ck_1".to_owned())));
        for wrong in ["ck_1", "Digest ck_1", "Basic ck_1", "Basic YWNtZQ=="] {
            assert_eq!(proof(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn octets_are_one_message_and_a_text_is_cut_where_the_caller_says() {
        let read = |query: &str| part(&Call::parse(query).expect("a call"), 6);
        let octets = read("number=1&binary=1&data=AQYD&udh=BQQLhCPw&dcs=245&pid=7").unwrap();
        let binary = octets.binary.unwrap();
        assert_eq!((binary.pid, binary.dcs, octets.segments), (7, 245, 1));
        assert_eq!(binary.parts[0].udh[..], [6, 5, 4, 0x0b, 0x84, 0x23, 0xf0]);
        assert_eq!(binary.parts[0].data[..], [1, 6, 3]);
        let refusal = |query: &str| read(query).unwrap_err().refusal;
        assert_eq!(refusal("number=1&binary=1&data=AQYD&dcs=0"), Refusal::InvalidField);
        assert_eq!(refusal("number=1&data=hi&udh=%05%04%0b%84%23%f0"), Refusal::InvalidField);
        assert_eq!(refusal(&format!("number=1&binary=1&data={}", "AAAA".repeat(47))), Refusal::TooLong);
        let long = "x".repeat(400);
        assert_eq!(read(&format!("number=1&data={long}")).unwrap().segments, 3);
        assert_eq!(read(&format!("number=1&data={long}&maxmsgs=2")).unwrap().segments, 2);
        assert_eq!(refusal("number=1"), Refusal::InvalidField);
        assert_eq!(refusal(&format!("number=1&data={}", "x".repeat(1000))), Refusal::TooLong);
    }
}
