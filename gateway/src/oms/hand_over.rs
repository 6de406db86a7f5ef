//! Messages of known users become durable, or the client hears why not. Knows what is accepted together and the order of
//! the checks that need more than the document; must not know documents.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use model::party::OmsUser;
use model::record::{self, Class, Door};
use model::{Msisdn, Refusal, Shortage, Timestamp};
use wire::oms::check::{self, Checked, Recipient, SendTime, Service};
use wire::oms::request::XmsData;
use wire::oms::response::{ErrorCode, ErrorItem, Outcome};

use super::profile::{is_by_notice, subscription};
use super::refusal::error_code;
use super::repeats::{Fingerprint, Repeats, Sight};
use super::session::Session;
use crate::accept::{Part, Submission};
use crate::content::Left;
use crate::meter::{Ask, Grant};
use crate::number;

/// Messages of a call that go into one append have no more octets than this, or are alone.
const APPEND_BYTES_MAX: usize = 1 << 20;
/// About how long a record is without its content.
const HEADER_BYTES: usize = 300;

/// A message and whose it is.
pub(super) struct Item<'d> {
    pub(super) data: &'d XmsData<'d>,
    pub(super) user: Arc<OmsUser>,
}

/// What became of a message that passed the checks of its document.
struct Attempt {
    user: Arc<OmsUser>,
    failures: Vec<ErrorItem>,
    /// Those it is sent to; empty: nothing is sent.
    recipients: Vec<Recipient>,
    parts: Vec<Part>,
    send_time: SendTime,
    /// Where repeats are told from new messages: what each recipient's is known by.
    repeats: Option<Known>,
}

/// What tells a repeat.
struct Known {
    fingerprint: Fingerprint,
    /// The key of each recipient's message, by recipient.
    keys: HashMap<Msisdn, String>,
}

impl Attempt {
    fn new(user: Arc<OmsUser>, checked: Checked) -> Self {
        let Checked { failures, recipients, texts, multimedia, send_time, .. } = checked;
        let texts = texts.into_iter().map(Part::text);
        let parts = texts.chain(multimedia.map(Part::multimedia)).collect();
        Attempt { user, failures, recipients, parts, send_time, repeats: None }
    }

    fn ask(&self) -> Ask {
        Ask { recipients: self.recipients.len(), deliveries_each: self.parts.len() as u64 }
    }

    fn deliveries(&self) -> u64 {
        (self.recipients.len() * self.parts.len()) as u64
    }

    /// About how long its records are.
    fn bytes(&self) -> usize {
        let parts: usize = self.parts.iter().map(|part| HEADER_BYTES + part.bytes()).sum();
        parts * self.recipients.len()
    }

    /// Keeps the recipients that were granted; the others fail.
    fn apply(&mut self, grant: Result<Grant, Refusal>) {
        match grant {
            Ok(Grant { recipients, shortage: Some(shortage) }) => {
                let refused = self.recipients.split_off(recipients);
                let (code, content) = told(shortage);
                self.fail(refused, code, Some(content));
            }
            Ok(_) => {}
            Err(refusal) => self.fail_all(refusal),
        }
    }

    fn fail_all(&mut self, refusal: Refusal) {
        let refused = std::mem::take(&mut self.recipients);
        self.fail(refused, error_code(refusal), None);
    }

    /// No list of recipients means all of the message.
    fn fail(&mut self, refused: Vec<Recipient>, code: ErrorCode, content: Option<String>) {
        let is_all = self.failures.is_empty() && self.recipients.is_empty();
        let refused = refused.into_iter().map(|recipient| recipient.written).collect();
        self.failures.push(ErrorItem { code, content, recipients: (!is_all).then_some(refused) });
    }

    fn outcome(self) -> Outcome {
        let is_told = !self.recipients.is_empty() && self.send_time == SendTime::NowUnscheduled;
        let notices = if is_told { vec![ErrorItem::of(ErrorCode::NoScheduled)] } else { Vec::new() };
        Outcome { failures: self.failures, notices }
    }
}

/// A limit's code and the parameters that go with it.
fn told(shortage: Shortage) -> (ErrorCode, String) {
    match shortage {
        Shortage::Day { limit } => (ErrorCode::PerDayMsgLimit, format!("{limit} SMS")),
        Shortage::Month { limit } => (ErrorCode::PerMonthMsgLimit, format!("{limit} SMS")),
        Shortage::Balance { left, price } => (ErrorCode::LowBalance, format!("{left};{price}")),
    }
}

impl Session<'_> {
    /// Checks messages and makes them durable, each for itself: all its recipients that passed or none. Limits run through
    /// the messages of a user in their order. Returns only when all is decided.
    pub(super) async fn hand_over(&self, items: Vec<Item<'_>>) -> Vec<Outcome> {
        let mut attempts: Vec<Result<Attempt, ErrorItem>> = items.into_iter().map(|item| self.check(item)).collect();
        join_all(attempts.iter_mut().flatten().map(|attempt| self.pass_over_repeats(attempt))).await;
        self.meter(&mut attempts.iter_mut().flatten().collect::<Vec<_>>()).await;
        let passed = attempts.iter_mut().flatten().filter(|attempt| !attempt.recipients.is_empty());
        join_all(self.together(passed.collect()).into_iter().map(|attempts| self.accept(attempts))).await;
        let users: Vec<Option<Arc<OmsUser>>> =
            attempts.iter().map(|attempt| Some(Arc::clone(&attempt.as_ref().ok()?.user))).collect();
        let outcomes = attempts.into_iter().map(|attempt| attempt.map_or_else(Outcome::refused, Attempt::outcome));
        let mut outcomes: Vec<Outcome> = outcomes.collect();
        self.tell_of_change(&users, &mut outcomes).await;
        outcomes
    }

    fn check(&self, item: Item<'_>) -> Result<Attempt, ErrorItem> {
        let complete =
            |digits: &str| number::national(digits, &self.tenant.default_country).map(|number| number.to_string());
        let is_routable = |number: &_, service| {
            let service = match service {
                Service::Sms => record::Service::Sms,
                Service::Mms => record::Service::Mms,
            };
            self.snapshot.is_reachable(number, service) || (service == record::Service::Mms && self.is_noticed(number))
        };
        let (subscription, now) = (subscription(&item.user), self.received.0);
        let checked = check::message(item.data, &self.profile, subscription, now, complete, is_routable)?;
        let mut attempt = Attempt::new(item.user, checked);
        if self.tenant.oms.drops_repeats {
            let fingerprint = Fingerprint::of(&attempt.user, item.data, &attempt.parts);
            attempt.repeats = Some(Known { fingerprint, keys: HashMap::new() });
        }
        Ok(attempt)
    }

    /// Takes out the recipients who were sent the same a moment ago: they are neither counted nor sent to, and no failure.
    async fn pass_over_repeats(&self, attempt: &mut Attempt) {
        let Some(known) = &mut attempt.repeats else { return };
        let numbers: Vec<Msisdn> = attempt.recipients.iter().map(|recipient| recipient.number.clone()).collect();
        let repeats = Repeats { acceptor: &self.gateway.acceptor, store: &self.gateway.store };
        match repeats.look(&attempt.user, &known.fingerprint, &numbers, self.received).await {
            Ok(sights) => {
                for (number, sight) in numbers.into_iter().zip(sights) {
                    if let Sight::New(key) = sight {
                        known.keys.insert(number, key);
                    }
                }
                attempt.recipients.retain(|recipient| known.keys.contains_key(&recipient.number));
            }
            Err(refusal) => attempt.fail_all(refusal),
        }
    }

    /// Takes from the users' allowances, once per user.
    async fn meter(&self, attempts: &mut [&mut Attempt]) {
        let mut metered: Vec<Arc<OmsUser>> = Vec::new();
        for attempt in attempts.iter() {
            let is_known = metered.iter().any(|user| Arc::ptr_eq(user, &attempt.user));
            if !is_known && !attempt.user.limits().are_none() {
                metered.push(Arc::clone(&attempt.user));
            }
        }
        for user in metered {
            let mut own: Vec<&mut &mut Attempt> =
                attempts.iter_mut().filter(|attempt| Arc::ptr_eq(&attempt.user, &user)).collect();
            let asks: Vec<Ask> = own.iter().map(|attempt| attempt.ask()).collect();
            let grants = self.gateway.meter.take(&user, &asks, self.received).await;
            for (nth, attempt) in own.iter_mut().enumerate() {
                attempt.apply(grants.as_ref().map(|grants| grants[nth]).map_err(|refusal| *refusal));
            }
        }
    }

    /// Which messages share an append: neighbours within the bounds, where an append is taken whole. Those whose repeats are told
    /// apart stand alone.
    fn together<'a>(&self, attempts: Vec<&'a mut Attempt>) -> Vec<Vec<&'a mut Attempt>> {
        let takes_whole = self.gateway.acceptor.takes_whole();
        let (mut groups, mut room): (Vec<Vec<&mut Attempt>>, usize) = (Vec::new(), 0);
        for attempt in attempts {
            let (weight, is_alone) = (attempt.bytes(), !takes_whole || attempt.repeats.is_some());
            match groups.last_mut().filter(|_| !is_alone && weight <= room) {
                Some(group) => {
                    group.push(attempt);
                    room -= weight;
                }
                None => {
                    groups.push(vec![attempt]);
                    room = if is_alone { 0 } else { APPEND_BYTES_MAX.saturating_sub(weight) };
                }
            }
        }
        groups
    }

    /// Makes messages durable with one append; if it fails, they all do.
    async fn accept(&self, attempts: Vec<&mut Attempt>) {
        let mut asked = Vec::with_capacity(attempts.len());
        let mut submissions = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            match self.announced(self.submission(attempt), &attempt.user).await {
                Ok(submission) => {
                    submissions.push(submission);
                    asked.push(attempt);
                }
                Err(refusal) => self.refuse(attempt, refusal).await,
            }
        }
        let accepted = match &asked[..] {
            [Attempt { repeats: Some(known), .. }] => self.accept_each(submissions.remove(0), &known.keys).await,
            _ => self.gateway.acceptor.accept_all(&self.snapshot, &submissions).await.map(drop),
        };
        if let Err(refusal) = accepted {
            for attempt in asked {
                self.refuse(attempt, refusal).await;
            }
        }
    }

    /// Nothing of the message is sent.
    async fn refuse(&self, attempt: &mut Attempt, refusal: Refusal) {
        self.gateway.meter.give_back(&attempt.user, attempt.deliveries(), self.received).await;
        attempt.fail_all(refusal);
    }

    /// Makes each recipient's a message of its own. Should some become durable and others not, the answer is a refusal of all,
    /// and what is durable is not sent again when the client repeats it.
    async fn accept_each(&self, submission: Submission, keys: &HashMap<Msisdn, String>) -> Result<(), Refusal> {
        let of = |recipient: &Msisdn| {
            let key = keys.get(recipient).cloned();
            Submission { key, recipients: vec![recipient.clone()], ..submission.clone() }
        };
        let each: Vec<Submission> = submission.recipients.iter().map(of).collect();
        self.gateway.acceptor.accept_all(&self.snapshot, &each).await.map(drop)
    }

    /// Whether a multimedia message for this number waits here, since no route carries it.
    fn is_noticed(&self, number: &Msisdn) -> bool {
        is_by_notice(&self.tenant.oms, self.gateway)
            && !self.snapshot.is_reachable(number, record::Service::Mms)
            && self.snapshot.is_reachable(number, record::Service::Sms)
    }

    /// With notices in place of multimedia messages, for those who get them so.
    async fn announced(&self, mut submission: Submission, user: &OmsUser) -> Result<Submission, Refusal> {
        let noticed: Vec<Msisdn> =
            submission.recipients.iter().filter(|number| self.is_noticed(number)).cloned().collect();
        for part in submission.parts.iter_mut().filter(|_| !noticed.is_empty()) {
            let Some(multimedia) = &part.multimedia else { continue };
            let (now, begin) = (submission.received, submission.not_before);
            let begin = begin.map_or(now, |begin| begin.max(now));
            let (tenant, from, recipients) = (&*self.tenant, &*user.reply_phone, &noticed[..]);
            let left = Left { tenant, from, multimedia, recipients, begin, now };
            part.notices = self.gateway.shelf.leave(&self.snapshot, left).await?;
        }
        Ok(submission)
    }

    fn submission(&self, attempt: &Attempt) -> Submission {
        Submission {
            tells: None,
            tenant: Arc::clone(&self.tenant),
            user: attempt.user.user_id.clone(),
            door: Door::Oms,
            path: String::new(),
            report: None,
            key: None, // the protocol has none: each call is a message of its own
            recipients: attempt.recipients.iter().map(|recipient| recipient.number.clone()).collect(),
            parts: attempt.parts.clone(),
            not_before: match attempt.send_time {
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

    /// Puts the notice of a change of the service on every `ok` of users who are to be told. However many there are, a
    /// request is one notice.
    async fn tell_of_change(&self, users: &[Option<Arc<OmsUser>>], outcomes: &mut [Outcome]) {
        let Some(change) = self.tenant.oms.changed else { return };
        let mut asked: Vec<(&Arc<OmsUser>, bool)> = Vec::new();
        for (user, outcome) in users.iter().zip(outcomes) {
            let Some(user) = user.as_ref().filter(|_| outcome.failures.is_empty()) else { continue };
            let known = asked.iter().find(|(known, _)| Arc::ptr_eq(known, user)).map(|(_, is_due)| *is_due);
            let is_due = match known {
                Some(is_due) => is_due,
                None => {
                    let is_due = self.gateway.meter.is_to_be_told(user, change).await;
                    asked.push((user, is_due));
                    is_due
                }
            };
            if is_due {
                outcome.notices.push(ErrorItem::with_content(ErrorCode::ServiceUpdate, seconds(change)));
            }
        }
    }
}

/// A time to the second, as the protocol writes it.
fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(seconds, _)| format!("{seconds}Z"))
}
