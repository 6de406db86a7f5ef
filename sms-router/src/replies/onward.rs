//! A reply on its way to the user's own phone: as a message of the tenant's, into lane `accepted`. Knows records, no store.
//!
//! It comes through no user's door, so an answer to it is no reply: two phones that answer by themselves do not go on for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bus::Entry;
use bytes::Bytes;
use model::party::{OmsUser, ReplyTo, Tenant};
use model::record::{Account, Body, Content, Door, Header, Record, SCHEMA_VERSION};
use model::reply::Words;
use model::seal::{DataKey, NumberKey};
use model::{MessageId, Msisdn, TenantId, Timestamp};
use moka::sync::Cache;
use prost::Message as _;

/// Users counted at a time.
const COUNTED_MAX: u64 = 100_000;
/// Characters of a reply that are sent on.
const CHARACTERS_MAX: usize = 1_000;

/// Bounds what goes to a user's own phone.
pub(super) struct Budget {
    sent: Cache<(TenantId, String), Arc<AtomicU32>>,
    per_hour_max: u32,
}

impl Budget {
    pub(super) fn new(per_hour_max: u32) -> Self {
        let hour = Duration::from_secs(60 * 60);
        Budget { sent: Cache::builder().max_capacity(COUNTED_MAX).time_to_live(hour).build(), per_hour_max }
    }

    /// Counts one more; false if there were enough.
    fn take(&self, user: &OmsUser) -> bool {
        let count = self.sent.get_with((user.tenant.clone(), user.user_id.clone()), Arc::default);
        count.fetch_add(1, Ordering::Relaxed) < self.per_hour_max
    }

    /// The phone a reply goes to, if the user wants it there: never the one it came from.
    pub(super) fn phone(&self, user: &OmsUser, words: &Words) -> Option<Msisdn> {
        let wants = matches!(user.replies_go(), ReplyTo::Phone | ReplyTo::Both);
        let phone = Msisdn::parse(&user.reply_phone).ok().filter(|phone| wants && phone.to_string() != words.from)?;
        self.take(user).then_some(phone)
    }
}

/// What is sent on, and to whom.
pub(super) struct Onward<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) user: &'a OmsUser,
    pub(super) phone: &'a Msisdn,
    pub(super) words: &'a Words,
    /// The message it becomes.
    pub(super) id: MessageId,
    pub(super) received: Timestamp,
}

impl Onward<'_> {
    /// The entry of lane `accepted`.
    pub(super) fn entry(&self, key: &DataKey, numbers: &NumberKey) -> Entry {
        let Onward { tenant, user, phone, id, received, .. } = *self;
        let text = Text { tenant, user: &user.user_id, phone, text: self.text(), id, received };
        text.entry(key, numbers)
    }

    /// Who said what: a short message cannot come from the phone that sent the reply.
    fn text(&self) -> String {
        let Words { from, text, multimedia, .. } = self.words;
        let said = match multimedia {
            Some(multimedia) if multimedia.subject.is_empty() => "(multimedia message)".to_owned(),
            Some(multimedia) => format!("(multimedia message) {}", multimedia.subject),
            None => text.clone(),
        };
        format!("{from}: {said}").chars().take(CHARACTERS_MAX).collect()
    }
}

/// A text that we write to a phone in a tenant's name.
pub(super) struct Text<'a> {
    pub(super) tenant: &'a Tenant,
    /// The user it is for; empty: none.
    pub(super) user: &'a str,
    pub(super) phone: &'a Msisdn,
    pub(super) text: String,
    /// The message it becomes.
    pub(super) id: MessageId,
    pub(super) received: Timestamp,
}

impl Text<'_> {
    /// The entry of lane `accepted`.
    pub(super) fn entry(&self, key: &DataKey, numbers: &NumberKey) -> Entry {
        let Text { tenant, user, phone, text, id, received } = self;
        let header = Header {
            schema_version: SCHEMA_VERSION,
            account: Account {
                provider: tenant.provider.clone(),
                reseller: tenant.reseller.clone(),
                tenant: tenant.id.as_str().to_owned(),
                user: (*user).to_owned(),
            },
            message: id.to_bytes().to_vec(),
            deliveries: 1,
            accepted_ms: received.0,
            expires_ms: received.0 + i64::from(tenant.validity_seconds) * 1_000,
            data_key: key.id().to_owned(),
            segments: wire::segment::count(text),
            recipient_hash: numbers.hash(phone).to_vec(),
            receipt: true,
            door: Door::Rest.into(),
            ..Header::default()
        };
        let content = Content { recipient: phone.to_string(), text: text.clone(), ..Content::default() };
        let body = Body { sealed: key.seal(&header, &content), ..Body::default() };
        let record = Record { header, body: body.encode_to_vec().into() };
        Entry::new(Bytes::copy_from_slice(&id.to_bytes()), record.to_bytes())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::replies) fn tenant() -> Tenant {
        Tenant {
            id: TenantId::new("acme").unwrap(),
            provider: "provider".into(),
            reseller: String::new(),
            default_country: "GB".into(),
            weight: 1,
            recipients_max: 1,
            segments_max: 10,
            validity_seconds: 3_600,
            resend_uncertain: false,
            hears_answers: false,
            webhook: String::new(),
            events_url: String::new(),
            oms: model::party::OmsProfile::default(),
        }
    }

    fn user(reply_to: ReplyTo) -> OmsUser {
        let user = OmsUser::new(TenantId::new("acme").unwrap(), "ann".into(), String::new());
        OmsUser { reply_phone: "+447700900001".into(), reply_to: Some(reply_to), ..user }
    }

    fn words(from: &str) -> Words {
        Words { from: from.into(), text: "on my way".into(), ..Words::default() }
    }

    #[test]
    fn a_reply_goes_to_the_phone_if_the_user_wants_it_there() {
        let budget = Budget::new(2);
        let words = words("+447700900123");
        assert!(budget.phone(&user(ReplyTo::Phone), &words).is_some());
        assert!(budget.phone(&user(ReplyTo::Mailbox), &words).is_none());
        assert!(budget.phone(&user(ReplyTo::Both), &super::tests::words("+447700900001")).is_none(), "from that phone");
        assert!(budget.phone(&user(ReplyTo::Both), &words).is_some());
        assert!(budget.phone(&user(ReplyTo::Both), &words).is_none(), "enough for this hour");
    }

    #[test]
    fn the_entry_is_a_message_of_the_tenant() {
        let (key, numbers) = (DataKey::new("acme.0", [3; 32]), model::keyring::MasterKey::new([1; 32]).number_key());
        let tenant = tenant();
        let user = user(ReplyTo::Phone);
        let (phone, words) = (Msisdn::parse("+447700900001").unwrap(), words("+447700900123"));
        let received = Timestamp(1_795_256_100_000);
        let onward = Onward { tenant: &tenant, user: &user, phone: &phone, words: &words, id: MessageId(9), received };
        let record = Record::read(onward.entry(&key, &numbers).payload).unwrap();
        let body = Body::decode(record.body.clone()).unwrap();
        let content = key.open(&record.header, &body.sealed).unwrap();
        assert_eq!((content.recipient.as_str(), content.text.as_str()), ("+447700900001", "+447700900123: on my way"));
        assert_eq!((record.header.door(), record.header.segments), (Door::Rest, 1));
    }
}
