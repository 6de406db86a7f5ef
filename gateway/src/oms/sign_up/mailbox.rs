//! The mailbox of a user at the sign-up page: proved by a link, and good for a forgotten password. Knows what a link is good for;
//! what letters say is `letter`'s.

use std::sync::Arc;

use axum::response::Response;
use model::Refusal;
use model::party::OmsUser;
use wire::mail::MailAddress;

use super::letter::Writer;
use super::link::{self, Errand};
use super::page::{Form, Notice};
use super::{Desk, Fields};

/// What a mailbox that nothing can be sent to is.
pub(super) struct Unfit;

impl Desk<'_> {
    /// The mailbox in a form, if there is one.
    pub(super) fn mailbox(&self, fields: &Fields) -> Result<Option<String>, Unfit> {
        let written = fields.mail_address.trim();
        if written.is_empty() {
            return Ok(None);
        }
        if self.writer().is_none() {
            tracing::warn!(tenant = %self.tenant.id, "no mailbox can be proved: `public_url` is not set");
            return Err(Unfit);
        }
        MailAddress::parse(written).map(|mailbox| Some(mailbox.to_string())).map_err(|_| Unfit)
    }

    fn writer(&self) -> Option<Writer<'_>> {
        Writer::new(self.gateway, &self.snapshot, &self.tenant)
    }

    /// Where a link leads: a page with a form, since mail servers follow links to look at them.
    pub(super) fn landed(&self, fields: &Fields) -> Result<Response, Refusal> {
        let Fields { action, user_id, mail_address: mailbox, token, .. } = fields;
        let form = match action.as_str() {
            "prove" => Form::Prove { user_id, mailbox, token },
            "reset" => Form::ResetByLink { user_id, token },
            _ if self.tenant.oms.sign_up.is_none() => return Err(Refusal::NotFound),
            _ => Form::Start,
        };
        Ok(self.page(Notice::None, form))
    }

    /// Whoever shows the token reads the mailbox: replies go there from now on.
    pub(super) async fn prove(&self, fields: &Fields) -> Result<Response, Refusal> {
        let (id, mailbox) = (fields.user_id.trim(), &fields.mail_address);
        self.gateway.passwords.may_try(&self.tenant.id, id, self.client)?;
        let is_proved = self.update(id, |user| {
            if !link::is_right(&self.snapshot, Errand::Prove, user, mailbox, &fields.token, self.now) {
                return false;
            }
            (user.mail_address, user.mail_verified) = (mailbox.clone(), true);
            self.activate(user);
            true
        });
        if !is_proved.await? {
            self.gateway.passwords.failed(&self.tenant.id, id, self.client);
            return Ok(self.page(Notice::WrongLink, Form::Start));
        }
        Ok(self.page(Notice::MailboxProved, Form::Start))
    }

    pub(super) fn is_reset_link(&self, user: &OmsUser, token: &str) -> bool {
        let snapshot = &self.snapshot;
        user.mail_verified && link::is_right(snapshot, Errand::Reset, user, &user.mail_address, token, self.now)
    }

    /// Mails the link that proves a mailbox.
    pub(super) async fn send_proof(&self, user: &OmsUser, mailbox: &str) -> Result<(), Refusal> {
        self.writer().ok_or(Refusal::Unavailable)?.prove(user, mailbox, self.now).await
    }

    /// Mails the link to whoever forgot the password, without waiting: the time would tell that there is such a user.
    pub(super) fn send_reset(&self, user: &OmsUser) {
        let Some(words) = self.writer().map(|writer| writer.words(Errand::Reset, user, &user.mail_address, self.now))
        else {
            return tracing::warn!(tenant = %self.tenant.id, "no link can be mailed: `public_url` is not set");
        };
        let (gateway, snapshot, user) = (Arc::clone(self.gateway), Arc::clone(&self.snapshot), user.clone());
        tokio::spawn(async move {
            if let Err(refusal) = gateway.acceptor.write_letter(&snapshot, &user, &words).await {
                tracing::warn!(refusal = refusal.code(), "a link for a forgotten password was not mailed");
            }
        });
    }
}
