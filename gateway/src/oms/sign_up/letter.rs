//! Letters with a link in them. Knows their words and where links lead; must not know pages.

use model::party::{OmsUser, Tenant};
use model::reply::Words;
use model::{Refusal, Timestamp};

use super::link::{self, Errand};
use crate::run::Gateway;
use crate::snapshot::Snapshot;

/// Writes to the users of a tenant.
pub(crate) struct Writer<'a> {
    gateway: &'a Gateway,
    snapshot: &'a Snapshot,
    tenant: &'a Tenant,
    /// What the tenant's page is called outside.
    url: String,
}

impl<'a> Writer<'a> {
    /// `None`: nobody said what this service is called outside, so no link can lead to it.
    pub(crate) fn new(gateway: &'a Gateway, snapshot: &'a Snapshot, tenant: &'a Tenant) -> Option<Self> {
        Some(Writer { gateway, snapshot, tenant, url: page_url(gateway, tenant)? })
    }

    /// Mails the link that proves a mailbox.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Unavailable`]: it may not be sent.
    pub(crate) async fn prove(&self, user: &OmsUser, mailbox: &str, now: Timestamp) -> Result<(), Refusal> {
        let words = self.words(Errand::Prove, user, mailbox, now);
        self.gateway.acceptor.write_letter(self.snapshot, user, &words).await
    }

    pub(super) fn words(&self, errand: Errand, user: &OmsUser, mailbox: &str, now: Timestamp) -> Words {
        let (name, url) = (&self.tenant.oms.english_name, &self.url);
        let token = link::made(self.snapshot, errand, user, mailbox, now);
        let (id, to) = (encoded(&user.user_id), encoded(mailbox));
        let (subject, text) = match errand {
            Errand::Prove => (
                "Confirm your mailbox",
                format!(
                    "{name}: somebody, most likely you, wants replies to go to this mailbox. If it is yours, follow this link \
                     within a day:\n\n{url}?action=prove&userId={id}&mailAddress={to}&token={token}\n\nOtherwise do nothing.\n"
                ),
            ),
            Errand::Reset => (
                "Set a new password",
                format!(
                    "{name}: somebody, most likely you, forgot a password. To set a new one, follow this link within 30 \
                     minutes:\n\n{url}?action=reset&userId={id}&token={token}\n\nOtherwise do nothing.\n"
                ),
            ),
        };
        let (mailbox, subject) = (mailbox.to_owned(), subject.to_owned());
        Words { text, heard_ms: now.0, mailbox, subject, ..Words::default() }
    }
}

/// Never what a request calls it: whoever asks for a mail must not choose where its link leads.
fn page_url(gateway: &Gateway, tenant: &Tenant) -> Option<String> {
    if let Some(base) = tenant.oms.service_uri.strip_suffix("/oms/service.asmx") {
        return Some(format!("{base}/signup"));
    }
    let is_near = !gateway.tls && gateway.address.ip().to_canonical().is_loopback();
    let base = match gateway.config.public_url.trim_end_matches('/') {
        "" if is_near => format!("http://{}", gateway.address),
        "" => return None,
        public => public.to_owned(),
    };
    Some(format!("{base}/t/{}/signup", tenant.id))
}

/// As a query has it: all but the plainest octets by number.
fn encoded(text: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(octet).to_string(),
        _ => format!("%{octet:02X}"),
    };
    text.bytes().map(octet).collect()
}
