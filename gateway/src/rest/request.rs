//! The body of `POST /v1/messages`: what it may say, and how it says what is wrong. No I/O.

use axum::http::HeaderMap;
use model::party::Tenant;
use model::record::{Class, Door, Service};
use model::{Msisdn, Refusal, Timestamp};
use serde::Deserialize;
use std::sync::Arc;

use super::octets::Octets;
use crate::accept::{Part, Submission};
use crate::number;
use crate::problem::Problem;
use crate::snapshot::{KeyHolder, Snapshot};
use crate::trace;

/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// Longest validity: beyond it no network keeps a message (3GPP TS 23.040, 9.2.3.12.1: 63 weeks).
const VALIDITY_SECONDS_MAX: u32 = 63 * 7 * 86_400;
/// Bad recipients named in one answer.
const NAMED_MAX: usize = 10;

/// The JSON body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    to: Recipients,
    text: Option<String>,
    /// In place of a text.
    binary: Option<Octets>,
    /// Seconds the message may wait, from `send_at` or now.
    validity_seconds: Option<u32>,
    /// Not before this moment.
    send_at: Option<Timestamp>,
    /// `normal` or `urgent`.
    class: Option<BodyClass>,
    order_key: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum BodyClass {
    Normal,
    Urgent,
}

struct Recipients(Vec<String>);

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Recipients;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number such as \"+447700900123\" or a list of numbers")
            }

            fn visit_str<E>(self, text: &str) -> Result<Recipients, E> {
                Ok(Recipients(vec![text.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Recipients, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(Recipients(numbers))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Reads and checks a request, all of it before anything is taken.
///
/// # Errors
/// A problem that names the field and the mend.
pub(crate) fn read(
    body: &[u8],
    headers: &HeaderMap,
    holder: &KeyHolder,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Submission, Problem> {
    let body: Body = serde_json::from_slice(body).map_err(|error| explain(&error))?;
    let tenant = &holder.tenant;
    let part = match (body.text, body.binary) {
        (Some(text), None) => checked_text(text, tenant.segments_max, "text")?,
        (None, Some(octets)) => Part::binary(octets.checked()?),
        _ => return Err(Problem::new(Refusal::InvalidField, "write either `text` or `binary`")),
    };
    let recipients = recipients(&body.to.0, tenant, snapshot)?;
    let (not_before, expires) = times(body.send_at, body.validity_seconds, tenant, now)?;
    Ok(Submission {
        tells: None,
        tenant: Arc::clone(tenant),
        user: holder.name.clone(),
        door: Door::Rest,
        path: String::new(),
        report: None,
        key: idempotency_key(headers)?,
        recipients,
        parts: vec![part],
        not_before,
        expires,
        class: match body.class {
            Some(BodyClass::Urgent) => Class::Urgent,
            Some(BodyClass::Normal) | None => Class::Normal,
        },
        traceparent: trace::parent(headers),
        order_key: order_key(body.order_key)?,
        received: now,
    })
}

/// What the JSON reader says names the field and the place; its texts repeat field names, never long values.
fn explain(error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Data => Problem::new(Refusal::InvalidField, error.to_string()),
        _ => Problem::new(Refusal::Malformed, format!("the body is not JSON: {error}")),
    }
}

/// A text that may go out; `field` is what the caller knows it by.
///
/// # Errors
/// A problem that names the field and the mend.
pub(crate) fn checked_text(text: String, segments_max: u32, field: &str) -> Result<Part, Problem> {
    if text.is_empty() {
        return Err(Problem::new(Refusal::InvalidField, format!("`{field}` is empty")));
    }
    if let Some(bad) = text.chars().find(|c| !may_be_sent(*c)) {
        let detail = format!("`{field}` has the character U+{:04X}, which can't be sent; remove it", u32::from(bad));
        return Err(Problem::new(Refusal::InvalidText, detail));
    }
    let segments = wire::segment::count(&text);
    if segments > segments_max {
        let detail = format!("`{field}` needs {segments} segments; at most {segments_max} are allowed");
        return Err(Problem::new(Refusal::TooLong, detail));
    }
    Ok(Part { text, segments, ..Part::default() })
}

/// Controls but TAB, LF and CR, and noncharacters, mean nothing on a handset.
fn may_be_sent(c: char) -> bool {
    let noncharacter = matches!(u32::from(c), 0xFDD0..=0xFDEF) || u32::from(c) & 0xFFFE == 0xFFFE;
    matches!(c, '\t' | '\n' | '\r') || !(c.is_control() || noncharacter)
}

fn recipients(written: &[String], tenant: &Tenant, snapshot: &Snapshot) -> Result<Vec<Msisdn>, Problem> {
    if written.is_empty() {
        return Err(Problem::new(Refusal::InvalidField, "`to` names no recipient"));
    }
    if written.len() > tenant.recipients_max as usize {
        let detail = format!("`to` has {} recipients; at most {} are allowed", written.len(), tenant.recipients_max);
        return Err(Problem::new(Refusal::TooManyRecipients, detail));
    }
    let parsed: Vec<Option<Msisdn>> =
        written.iter().map(|number| number::normalise(number, &tenant.default_country)).collect();
    let bad = positions(&parsed, Option::is_none);
    if !bad.is_empty() {
        let detail = format!("{bad}: not a phone number; write it as `+`, country code and number");
        return Err(Problem::new(Refusal::InvalidRecipient, detail));
    }
    let numbers: Vec<Msisdn> = parsed.into_iter().flatten().collect();
    let lost = positions(&numbers, |number| !snapshot.is_reachable(number, Service::Sms));
    if !lost.is_empty() {
        return Err(Problem::new(Refusal::NoRoute, format!("{lost}: no route leads there")));
    }
    let mut seen = std::collections::HashSet::with_capacity(numbers.len());
    Ok(numbers.into_iter().filter(|number| seen.insert(number.clone())).collect())
}

/// The places of what is wrong, as `to[3], to[7]`: places, because numbers stay out of answers that may be logged.
fn positions<T>(items: &[T], wrong: impl Fn(&T) -> bool) -> String {
    let all: Vec<usize> = items.iter().enumerate().filter(|(_, item)| wrong(item)).map(|(at, _)| at).collect();
    let named: Vec<String> = all.iter().take(NAMED_MAX).map(|at| format!("`to[{at}]`")).collect();
    match all.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn times(
    send_at: Option<Timestamp>,
    validity_seconds: Option<u32>,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    if validity_seconds.is_some_and(|seconds| seconds == 0 || seconds > VALIDITY_SECONDS_MAX) {
        let detail = format!("`validity_seconds` must be from 1 to {VALIDITY_SECONDS_MAX}");
        return Err(Problem::new(Refusal::InvalidField, detail));
    }
    let latest = now.plus_ms(i64::from(VALIDITY_SECONDS_MAX) * 1000);
    if send_at.is_some_and(|due| due > latest) {
        return Err(Problem::new(Refusal::InvalidField, "`send_at` is too far ahead"));
    }
    let not_before = send_at.filter(|due| *due > now);
    let validity_ms = i64::from(validity_seconds.unwrap_or(tenant.validity_seconds)) * 1000;
    // Without either, the times stay out of the request's digest: a repeat a second later is still the same request.
    let expires = validity_seconds.map(|_| not_before.unwrap_or(now).plus_ms(validity_ms));
    Ok((not_before, expires))
}

/// The caller's idempotency key.
///
/// # Errors
/// A problem that says what a key may be.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let fits = |text: &&str| (1..=KEY_BYTES_MAX).contains(&text.len());
    let key = value.to_str().ok().map(str::trim).filter(fits);
    let detail = format!("`Idempotency-Key` must have 1 to {KEY_BYTES_MAX} visible ASCII characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::new(Refusal::InvalidField, detail))
}

fn order_key(key: Option<String>) -> Result<Option<String>, Problem> {
    match key {
        Some(key) if key.is_empty() || key.len() > KEY_BYTES_MAX => {
            Err(Problem::new(Refusal::InvalidField, format!("`order_key` must have 1 to {KEY_BYTES_MAX} bytes")))
        }
        key => Ok(key),
    }
}
