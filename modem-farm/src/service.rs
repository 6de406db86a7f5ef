//! The link to an HTTP SMS service: the requests made of its template, and what its answers mean. What a lease is, the courier
//! knows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use lease::record::OutcomeKind;
use regex::bytes::Regex;
use runtime::Secret;
use runtime::networks::Networks;
use runtime::tls::TlsFiles;
use wire::http_template::Template;

use crate::account::Limits;
use crate::config;
use crate::error::FarmError;
use crate::http::{Answer, Client, ConnectError, Handover, Posted, Server, Tls, basic, secret};
use crate::link::{Call, Pdu, PduEnd};
use crate::metrics::RelayRest;
use crate::posting::{Poster, Submitted, Terms, Trouble, persist};

/// The installations a message came through, this one included.
const PATH: HeaderName = HeaderName::from_static("x-push-path");
/// What makes two calls one message.
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-push-message-id");
/// Where the next installation says how the message ended.
const REPORT: HeaderName = HeaderName::from_static("x-push-report");

/// One service: secrets read, certificates loaded.
pub(crate) struct Service {
    pub(crate) config: config::Http,
    /// Path and query of its requests; a `POST` has what follows the question mark in its body.
    pub(crate) template: Arc<Template>,
    server: Arc<Server>,
    authorization: Option<Secret>,
    body: Option<Regex>,
}

impl Service {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// A file or variable is missing, or is not what it should be.
    pub(crate) fn of(config: &config::Http) -> Result<Arc<Self>, FarmError> {
        let (uri, rest) = config.parts().expect("the configuration was checked");
        let more = secret(&config.name, &config.query_file, "")?;
        let text = format!("{rest}{}", more.expose());
        let template =
            Template::parse(&text).map_err(|source| FarmError::Template { service: config.name.clone(), source })?;
        let files = TlsFiles { certificate: config.certificate_file.clone(), key: config.key_file.clone() };
        let tls = Tls::of(&uri, &config.ca_file, &files, (&config.name, "modem_farm.http"))?;
        let server = Server {
            uri,
            tls,
            connect_max: Duration::from_secs(config.connect_seconds_max),
            answer_max: Duration::from_secs(config.answer_seconds_max),
            kept_max: config.window as usize,
            networks: Some(Networks::parse(&config.networks).expect("the configuration was checked")),
        };
        Ok(Arc::new(Self {
            authorization: authorization(config)?,
            body: (!config.ok_body.is_empty())
                .then(|| Regex::new(&config.ok_body).expect("the configuration was checked")),
            template: Arc::new(template),
            server: Arc::new(server),
            config: config.clone(),
        }))
    }

    /// What an answer means for the attempt, and for the link. Only the success rule says that a message was taken; what a server
    /// says of itself (RFC 9110, 15.6) leaves open whether it had been.
    fn meaning(&self, answer: &Answer) -> Submitted {
        let status = answer.status;
        let refused = |kind, why| {
            (PduEnd::Refused { kind, reason: format!("the service answered {status}") }, trouble(why, status))
        };
        let is_ok = match &self.config.ok_statuses[..] {
            [] => (200..300).contains(&status),
            some => some.contains(&status),
        };
        if is_ok && self.body.as_ref().is_none_or(|body| body.is_match(&answer.body)) {
            return (PduEnd::Accepted { reference: None }, None);
        }
        match status {
            400 | 413 | 414 | 415 => refused(OutcomeKind::FailedForGood, None),
            401..=405 | 407 | 300..=399 => refused(OutcomeKind::FailedForNow, Some(RelayRest::Refused)),
            429 | 503 => refused(OutcomeKind::FailedForNow, Some(RelayRest::Throttled)),
            // A message in a circle, or through too many installations: another way may lead there.
            508 => refused(OutcomeKind::FailedForNow, None),
            // So its rule has it: what is no success failed.
            200..=299 | 406..=499 if status != 408 => refused(OutcomeKind::FailedForNow, None),
            _ if self.config.repeats() => (PduEnd::Unknown, None),
            _ => refused(OutcomeKind::Uncertain, None),
        }
    }
}

fn trouble(why: Option<RelayRest>, status: u16) -> Option<Trouble> {
    why.map(|why| Trouble { why, cause: format!("it answered {status}") })
}

fn authorization(config: &config::Http) -> Result<Option<Secret>, FarmError> {
    if !config.user.is_empty() {
        let password = secret(&config.name, &config.password_file, &config.password_env)?;
        return Ok(Some(basic(&config.user, &password)));
    }
    let token = secret(&config.name, &config.token_file, &config.token_env)?;
    Ok((!token.expose().is_empty()).then(|| Secret::new(format!("Bearer {}", token.expose()))))
}

/// A service as one link calls it.
pub(crate) struct Caller {
    service: Arc<Service>,
    client: Client,
}

impl Caller {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { client: Client::new(service.server.clone()), service }
    }

    async fn once(&self, call: &Call) -> Submitted {
        let (target, body) = self.service.config.method.split(&call.request);
        let Ok(target) = target.parse::<Uri>() else {
            let reason = "the request cannot be written".to_owned();
            return (PduEnd::Refused { kind: OutcomeKind::FailedForGood, reason }, None);
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        match self.client.send(|body| self.request(call, &target, body), &body).await {
            Posted::NoConnection(error) => (PduEnd::NotSent, Some(Trouble::of(&error))),
            Posted::NotSent => (PduEnd::NotSent, None),
            Posted::Unknown => (PduEnd::Unknown, None),
            Posted::Answered(answer) => match self.service.meaning(&answer) {
                (PduEnd::Accepted { .. }, trouble) => {
                    let reference = call.report.as_ref().map(|report| report.reference);
                    (PduEnd::Accepted { reference }, trouble)
                }
                other => other,
            },
        }
    }

    fn request(&self, call: &Call, target: &Uri, body: Handover) -> Request<Handover> {
        let config = &self.service.config;
        let mut request = Request::new(body);
        *request.uri_mut() = target.clone();
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        if config.method == config::HttpMethod::Post {
            *request.method_mut() = Method::POST;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        let headers = request.headers_mut();
        if config.carillon {
            headers.insert(MESSAGE_ID, value(&call.id));
            headers.insert(PATH, value(&call.path));
            if let Some(report) = &call.report {
                let mut url = value(&report.url);
                url.set_sensitive(true);
                headers.insert(REPORT, url);
            }
        }
        if let Some(authorization) = &self.service.authorization {
            let mut authorization = value(authorization.expose());
            authorization.set_sensitive(true);
            headers.insert(AUTHORIZATION, authorization);
        }
        request
    }
}

impl Poster for Caller {
    fn terms(&self) -> Terms {
        let config = &self.service.config;
        Terms {
            account: config.name.to_string(),
            limits: Limits { per_day: config.messages_per_day, utc_offset_minutes: config.utc_offset_minutes },
            messages_per_second: config.messages_per_second,
            window: config.window as usize,
            rest_first: Duration::from_millis(config.rest_ms_first),
            rest_max: Duration::from_millis(config.rest_ms_max),
            failures_max: config.failures_max,
        }
    }

    async fn reach(&self) -> Result<(), ConnectError> {
        self.client.reach().await
    }

    async fn submit(&self, pdu: Pdu) -> Option<Submitted> {
        let Pdu::Call(call) = pdu else { return None };
        Some(persist(self.service.config.repeats(), || self.once(&call)).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(change: impl FnOnce(&mut config::Http)) -> Arc<Service> {
        let mut config = config::Http::default();
        change(&mut config);
        Service::of(&config).expect("it names no file")
    }

    #[track_caller]
    fn check(service: &Service, status: u16, body: &'static str, expected: &str) {
        let answer = Answer { status, content_type: String::new(), body: Bytes::from_static(body.as_bytes()) };
        let (end, trouble) = service.meaning(&answer);
        let end = match end {
            PduEnd::Refused { kind, .. } => format!("{kind:?}"),
            end => format!("{end:?}").split(' ').next().unwrap_or_default().to_owned(),
        };
        let rest = trouble.map(|trouble| format!(" {:?}", trouble.why)).unwrap_or_default();
        assert_eq!(format!("{end}{rest}"), expected, "{status} {body}");
    }

    #[test]
    fn only_the_success_rule_says_that_a_message_was_taken() {
        let plain = service(|_| {});
        check(&plain, 202, "", "Accepted");
        check(&plain, 301, "", "FailedForNow Refused");
        check(&plain, 400, "", "FailedForGood");
        check(&plain, 401, "", "FailedForNow Refused");
        check(&plain, 408, "", "Uncertain");
        check(&plain, 422, "", "FailedForNow");
        check(&plain, 429, "", "FailedForNow Throttled");
        check(&plain, 500, "", "Uncertain");
        check(&plain, 503, "", "FailedForNow Throttled");
        check(&plain, 508, "", "FailedForNow");
        let kannel = service(|config| {
            config.ok_statuses = vec![202];
            config.ok_body = "^[03]: ".to_owned();
        });
        check(&kannel, 202, "0: Accepted for delivery", "Accepted");
        check(&kannel, 202, "3: Queued for later delivery", "Accepted");
        check(&kannel, 202, "4: Temporary failure", "FailedForNow");
        check(&kannel, 200, "0: Accepted for delivery", "FailedForNow");
        let known = service(|config| config.knows_repeats = true);
        check(&known, 500, "", "Unknown");
    }
}
