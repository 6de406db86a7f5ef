//! The link to a relay that speaks MM7: what is posted to it, and what its answers mean. What a lease is, the courier knows.

mod account;
mod door;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use lease::record::OutcomeKind;
use wire::mm7::{Class, HttpAnswer, Submission, SubmitEnd, reference_of, submit_end};

use crate::account::Limits;
use crate::http::{Client, ConnectError, Handover, Posted};
use crate::link::{Pdu, PduEnd};
use crate::metrics::RelayRest;
use crate::posting::{Poster, Submitted, Terms, Trouble, persist};
pub(crate) use account::Relay;
pub(crate) use door::serve;

/// Requests in a row whose end nobody knows, after which a relay is left alone.
const FAILURES_MAX: u32 = 5;

/// A relay as one link posts to it.
pub(crate) struct Carrier {
    relay: Arc<Relay>,
    client: Client,
}

impl Carrier {
    pub(crate) fn new(relay: Arc<Relay>) -> Self {
        Self { client: Client::new(relay.server.clone()), relay }
    }

    async fn once(&self, submission: &Submission) -> Submitted {
        let body = Bytes::copy_from_slice(&submission.body);
        match self.client.send(|body| request(&self.relay, submission, body), &body).await {
            Posted::NoConnection(error) => (PduEnd::NotSent, Some(Trouble::of(&error))),
            Posted::NotSent => (PduEnd::NotSent, None),
            Posted::Unknown => (PduEnd::Unknown, None),
            Posted::Answered(answer) => {
                let answer =
                    HttpAnswer { status: answer.status, content_type: &answer.content_type, body: &answer.body };
                meaning(submit_end(&answer, &submission.transaction, &self.relay.statuses))
            }
        }
    }
}

impl Poster for Carrier {
    fn terms(&self) -> Terms {
        let config = &self.relay.config;
        Terms {
            account: config.name.to_string(),
            limits: Limits { per_day: config.messages_per_day, utc_offset_minutes: config.utc_offset_minutes },
            messages_per_second: config.messages_per_second,
            window: config.window as usize,
            rest_first: Duration::from_millis(config.rest_ms_first),
            rest_max: Duration::from_millis(config.rest_ms_max),
            failures_max: FAILURES_MAX,
        }
    }

    async fn reach(&self) -> Result<(), ConnectError> {
        self.client.reach().await
    }

    async fn submit(&self, pdu: Pdu) -> Option<Submitted> {
        let Pdu::Multimedia(submission) = pdu else { return None };
        Some(persist(self.relay.config.knows_repeats, || self.once(&submission)).await)
    }
}

fn request(relay: &Relay, submission: &Submission, body: Handover) -> hyper::Request<Handover> {
    let mut request = hyper::Request::new(body);
    *request.method_mut() = hyper::Method::POST;
    let path = relay.server.uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    headers.insert(CONTENT_TYPE, value(&submission.content_type));
    // SOAP 1.1, 6.1.1: the meaning is in the request itself.
    headers.insert("soapaction", HeaderValue::from_static("\"\""));
    if let Some(authorization) = &relay.authorization {
        let mut authorization = value(authorization.expose());
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
    }
    request
}

/// What an answer means for the attempt, and for the link.
fn meaning(end: SubmitEnd) -> (PduEnd, Option<Trouble>) {
    let refused = |kind, reason: String| PduEnd::Refused { kind, reason };
    let trouble = |why, cause: &str| Some(Trouble { why, cause: cause.to_owned() });
    match end {
        SubmitEnd::Taken { id } => (PduEnd::Accepted { reference: id.as_deref().map(reference_of) }, None),
        SubmitEnd::Unknown { reason } => (refused(OutcomeKind::Uncertain, reason), None),
        SubmitEnd::Refused { class, reason } => match class {
            Class::Permanent => (refused(OutcomeKind::FailedForGood, reason), None),
            Class::Stop => {
                let trouble = trouble(RelayRest::Refused, &reason);
                (refused(OutcomeKind::FailedForGood, reason), trouble)
            }
            Class::Throttled => {
                let trouble = trouble(RelayRest::Throttled, &reason);
                (refused(OutcomeKind::FailedForNow, reason), trouble)
            }
            Class::Temporary => (refused(OutcomeKind::FailedForNow, reason), None),
            Class::Taken | Class::Uncertain => (refused(OutcomeKind::Uncertain, reason), None),
        },
    }
}
