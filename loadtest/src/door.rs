//! The public doors: how a call is written, and what its answer says of each message.
//!
//! Knows REST and OMS as a customer does; must not know which message comes next, nor when.

mod kannel;

use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;

use crate::client::{Answer, Call, Endpoint};
use crate::options::{Door, Target};
use crate::plan::Plan;
use crate::receipts::Receipts;

const OMS: &str = "http://schemas.microsoft.com/office/Outlook/2006/OMS";
const CLIENT: &str = "Carillon loadtest";

/// What the server said of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Taken; with its id where the door tells one.
    Accepted(Option<Box<str>>),
    /// Not now: try again after so many seconds.
    Busy(u64),
    /// Not taken, for good.
    Refused(String),
}

/// One door, ready to write calls.
pub(crate) struct Caller<'a> {
    plan: &'a Plan,
    target: &'a Target,
    endpoint: Endpoint,
    /// Of the tenants that send in turn.
    authorizations: Vec<String>,
    /// Where reports are wanted, if they come by HTTP.
    receipts: Option<Arc<Receipts>>,
}

/// Whether a call is the first for its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It is.
    First,
    /// They were sent before, and refused or left without an answer.
    Again,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(plan: &'a Plan, target: &'a Target, receipts: Option<Arc<Receipts>>) -> anyhow::Result<Self> {
        let url = match plan.door {
            Door::Rest => &target.rest,
            Door::Oms | Door::OmsBatch => &target.oms,
            Door::Kannel => &target.kannel,
        };
        let authorizations = target.api_keys().map(|key| format!("Bearer {key}")).collect();
        Ok(Self { plan, target, endpoint: Endpoint::parse(url)?, authorizations, receipts })
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Writes the call for these messages: one, or as many as a batch holds.
    pub(crate) fn request(&self, indices: &[u64], attempt: Attempt) -> anyhow::Result<Call> {
        match self.plan.door {
            Door::Rest => self.rest_request(indices[0], attempt),
            Door::Oms => Ok(self.oms_request("DeliverXms", "xmsData", &self.xms_data(indices[0], None))),
            Door::OmsBatch => {
                let items = indices.iter().enumerate().map(|(id, index)| self.xms_data(*index, Some(id)));
                let batch =
                    format!("<xmsBatch client=\"{CLIENT}\" xmlns=\"{OMS}\">{}</xmsBatch>", items.collect::<String>());
                Ok(self.oms_request("DeliverXmsBatch", "packageXml", &batch))
            }
            Door::Kannel => Ok(self.kannel_request(indices[0])),
        }
    }

    /// Reads an answer: one verdict for each of `count` messages.
    pub(crate) fn verdicts(&self, answer: &Answer, count: usize) -> Vec<Verdict> {
        let all = |verdict| vec![verdict; count];
        match (answer.status, self.plan.door) {
            (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, _) => {
                all(Verdict::Busy(answer.retry_after_seconds.unwrap_or(1)))
            }
            (StatusCode::ACCEPTED, Door::Rest) => all(accepted(&answer.body)),
            (StatusCode::ACCEPTED, Door::Kannel) => all(kannel::verdict(&answer.body)),
            (StatusCode::OK, Door::Oms | Door::OmsBatch) => oms_verdicts(&answer.body, count),
            (status, _) => all(Verdict::Refused(status.to_string())),
        }
    }

    fn rest_request(&self, index: u64, attempt: Attempt) -> anyhow::Result<Call> {
        #[derive(serde::Serialize)]
        #[serde(untagged)]
        enum To {
            One(String),
            Many(Vec<String>),
        }
        #[derive(serde::Serialize)]
        struct Message {
            to: To,
            text: String,
        }
        let mut numbers: Vec<String> = self.plan.numbers(index).collect();
        let to = if numbers.len() == 1 { To::One(numbers.remove(0)) } else { To::Many(numbers) };
        let body = serde_json::to_vec(&Message { to, text: self.plan.text(index) })?;
        let mut head = self.endpoint.call("POST", "/v1/messages").header("content-type", "application/json");
        head = head.header("authorization", &self.authorizations[self.target.turn_of(index)]);
        if self.plan.idempotency || attempt == Attempt::Again {
            head = head.header("idempotency-key", &self.plan.key(index));
        }
        Ok(head.body(&body))
    }

    fn oms_request(&self, method: &str, argument: &str, document: &str) -> Call {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <{method} xmlns=\"{OMS}\"><{argument}>{}</{argument}></{method}></s:Body></s:Envelope>",
            escape(document)
        );
        let head = self.endpoint.call("POST", "").header("content-type", "text/xml; charset=utf-8");
        head.header("soapaction", &format!("\"{OMS}/{method}\"")).body(body.as_bytes())
    }

    fn xms_data(&self, index: u64, id: Option<usize>) -> String {
        let recipients: String =
            self.plan.numbers(index).map(|number| format!("<recipient>{number}</recipient>")).collect();
        let attributes = match id {
            Some(id) => format!("id=\"{id}\""),
            None => format!("client=\"{CLIENT}\" xmlns=\"{OMS}\""),
        };
        format!(
            "<xmsData {attributes}><user><userId>{}</userId><password>{}</password><replyPhone/><customData/></user>\
             <xmsHead><requiredService>SMS_SENDER</requiredService><sourceType>other</sourceType><to>{recipients}</to>\
             </xmsHead><xmsBody format=\"SMS\"><content contentType=\"text/plain\" contentId=\"1\" \
             contentLocation=\"1.txt\">{}</content></xmsBody></xmsData>",
            escape(&self.target.user_id),
            escape(&self.target.password),
            escape(&self.plan.text(index)),
        )
    }
}

fn accepted(body: &[u8]) -> Verdict {
    #[derive(Deserialize)]
    struct Accepted {
        id: Box<str>,
    }
    match serde_json::from_slice::<Accepted>(body) {
        Ok(accepted) => Verdict::Accepted(Some(accepted.id)),
        Err(_) => Verdict::Refused("202 without an `id`".to_owned()),
    }
}

/// The answer is XML within XML; the loader looks only for the codes, which stand in plain attributes.
fn oms_verdicts(body: &[u8], count: usize) -> Vec<Verdict> {
    let outer = String::from_utf8_lossy(body);
    let inner = unescape(&outer);
    let verdicts: Vec<Verdict> =
        inner.split("<xmsResponse").skip(1).filter(|part| !part.starts_with('s')).map(oms_verdict).collect();
    if verdicts.len() == count {
        return verdicts;
    }
    let found = verdicts.len();
    vec![Verdict::Refused(format!("{found} answers for {count} messages")); count]
}

fn oms_verdict(response: &str) -> Verdict {
    let mut errors = response.split("<error").skip(1);
    let severe =
        errors.find(|error| attribute(error, "severity").is_some_and(|value| value.eq_ignore_ascii_case("failure")));
    match severe {
        None if response.contains("<error") => Verdict::Accepted(None),
        None => Verdict::Refused("an answer without a code".to_owned()),
        Some(error) => match attribute(error, "code") {
            Some(code) if code.eq_ignore_ascii_case("serviceNetwork") => Verdict::Busy(1),
            code => Verdict::Refused(code.unwrap_or("an answer without a code").to_owned()),
        },
    }
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let tag = element.split('>').next()?;
    let (_, after) = tag.split_once(&format!("{name}=\""))?;
    after.split('"').next()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(inner: &str, count: usize, expected: &[Verdict]) {
        let body = format!("<s:Envelope><DeliverXmsResult>{}</DeliverXmsResult></s:Envelope>", escape(inner));
        assert_eq!(oms_verdicts(body.as_bytes(), count), expected);
    }

    fn refused(code: &str) -> Verdict {
        Verdict::Refused(code.to_owned())
    }

    #[test]
    fn an_oms_answer_is_read_by_its_worst_code() {
        let ok = "<error code=\"ok\" severity=\"neutral\"/>";
        check(&format!("<xmsResponse xmlns=\"x\">{ok}</xmsResponse>"), 1, &[Verdict::Accepted(None)]);
        check(
            "<xmsResponse><error severity=\"failure\" code=\"invalidUser\"/></xmsResponse>",
            1,
            &[refused("invalidUser")],
        );
        check(
            "<xmsResponse><error code=\"serviceNetwork\" severity=\"failure\"/></xmsResponse>",
            1,
            &[Verdict::Busy(1)],
        );
        let notice = format!("<xmsResponse>{ok}<error code=\"serviceUpdate\" severity=\"neutral\"/></xmsResponse>");
        check(&notice, 1, &[Verdict::Accepted(None)]);
        check("<xmsResponse></xmsResponse>", 1, &[refused("an answer without a code")]);
    }

    #[test]
    fn a_batch_has_one_answer_for_each() {
        let two = "<xmsResponses xmlns=\"x\"><xmsResponse id=\"0\"><error code=\"ok\" severity=\"neutral\"/></xmsResponse>\
                   <xmsResponse id=\"1\"><error code=\"other\" severity=\"failure\"/></xmsResponse></xmsResponses>";
        check(two, 2, &[Verdict::Accepted(None), refused("other")]);
        check(two, 1, &[refused("2 answers for 1 messages")]);
    }

    #[test]
    fn a_rest_answer_needs_an_id() {
        assert_eq!(accepted(br#"{"id":"msg_1","x":1}"#), Verdict::Accepted(Some("msg_1".into())));
        assert_eq!(accepted(b"{}"), refused("202 without an `id`"));
    }

    #[test]
    fn text_survives_two_escapes() {
        let text = "a<b>&\"c\"&amp;";
        assert_eq!(unescape(&unescape(&escape(&escape(text)))), text);
    }
}
