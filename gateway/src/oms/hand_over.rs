//! A message of a known user becomes durable, or the client hears why not. Knows what is accepted together; must not know
//! documents.

use std::sync::Arc;

use model::Timestamp;
use model::party::OmsUser;
use model::record::{Class, Door};
use wire::oms::check::{self, Checked, Recipient, SendTime, Subscription};
use wire::oms::request::XmsData;
use wire::oms::response::{ErrorCode, ErrorItem, Outcome};

use super::refusal::error_code;
use super::session::Session;
use crate::accept::{Part, Submission};
use crate::number;

impl Session<'_> {
    /// Checks a message and makes it durable, all its recipients that passed or none. Returns only then.
    pub(super) async fn hand_over(&self, data: &XmsData<'_>, user: &OmsUser) -> Outcome {
        let complete =
            |digits: &str| number::national(digits, &self.tenant.default_country).map(|number| number.to_string());
        let is_routable = |number: &_| self.snapshot.is_reachable(number);
        // Every user has the one service there is.
        let now = self.received.0;
        match check::message(data, &self.profile, Subscription::SmsOnly, now, complete, is_routable) {
            Ok(checked) => self.accept(checked, user).await,
            Err(error) => Outcome::refused(error),
        }
    }

    async fn accept(&self, checked: Checked, user: &OmsUser) -> Outcome {
        let Checked { mut failures, recipients, texts, send_time, .. } = checked;
        if recipients.is_empty() {
            return Outcome { failures, notices: Vec::new() };
        }
        let submission = self.submission(&recipients, texts, send_time, user);
        if let Err(refusal) = self.gateway.acceptor.accept(&self.snapshot, &submission).await {
            let affected = recipients.into_iter().map(|recipient| recipient.written).collect();
            let affected = (!failures.is_empty()).then_some(affected); // no list means all
            failures.push(ErrorItem { code: error_code(refusal), content: None, recipients: affected });
            return Outcome { failures, notices: Vec::new() };
        }
        let notices = match send_time {
            SendTime::NowUnscheduled => vec![ErrorItem::of(ErrorCode::NoScheduled)],
            SendTime::Now | SendTime::At(_) => Vec::new(),
        };
        Outcome { failures, notices }
    }

    fn submission(
        &self,
        recipients: &[Recipient],
        texts: Vec<String>,
        send_time: SendTime,
        user: &OmsUser,
    ) -> Submission {
        let part = |text: String| Part { segments: wire::segment::count(&text), text };
        Submission {
            tenant: Arc::clone(&self.tenant),
            user: user.user_id.clone(),
            door: Door::Oms,
            key: None, // the protocol has none: each call is a message of its own
            recipients: recipients.iter().map(|recipient| recipient.number.clone()).collect(),
            parts: texts.into_iter().map(part).collect(),
            not_before: match send_time {
                SendTime::At(unix_ms) => Some(Timestamp(unix_ms)),
                SendTime::Now | SendTime::NowUnscheduled => None,
            },
            expires: None,
            class: Class::Normal,
            traceparent: self.traceparent.clone(),
            order_key: None,
            received: self.received,
        }
    }
}
