//! One call of one tenant's service: who is asking, what is answered. Knows the order of the checks and that nothing is
//! handed over before all of a request was read; must not know HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use model::party::{OmsUser, Tenant};
use model::record::Door;
use model::{Refusal, Timestamp};
use wire::oms::Limits;
use wire::oms::check::{self, Profile};
use wire::oms::request::{Batch, Credentials, ItemBody, XmsData, XmsUser};
use wire::oms::response::{Declaration, ErrorCode, ErrorItem, Outcome, UserInfo, xms_response, xms_responses};
use wire::oms::soap::{Argument, Call, Method};

use super::profile::{service_info, state_refusal};
use super::refusal::refusal_of;
use crate::auth::Login;
use crate::metrics::{DoorLabel, RefusalLabel};
use crate::run::Gateway;
use crate::snapshot::Snapshot;

/// Everything one call is judged by.
pub(super) struct Session<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) profile: Profile,
    pub(super) service_uri: String,
    /// Whose failed logins are counted.
    pub(super) client: IpAddr,
    pub(super) received: Timestamp,
    pub(super) traceparent: String,
}

/// How the credentials of one document were taken: the user, or the code that says why not.
type Standing = Result<Arc<OmsUser>, ErrorCode>;

impl Session<'_> {
    /// The result document of a call.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`]: nothing of the call was processed.
    pub(super) async fn result(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let result = match (call.method, &call.argument) {
            (Method::GetServiceInfo, _) => service_info(&self.tenant, &self.profile, &self.service_uri),
            (Method::GetUserInfo, argument) => self.user_info(argument).await?,
            (Method::DeliverXms | Method::SendXms, argument) => {
                xms_response(&self.deliver(argument).await?, Declaration::None)
            }
            (Method::DeliverXmsBatch, Argument::Empty) => probed_batch(&Outcome::ok()),
            (Method::DeliverXmsBatch, Argument::NotText) => probed_batch(&self.noted(invalid_format())),
            (Method::DeliverXmsBatch, Argument::Text(text)) => self.batch(text).await?,
        };
        Ok(result)
    }

    async fn user_info(&self, argument: &Argument<'_>) -> Result<String, Refusal> {
        let standing = match argument {
            Argument::Empty => return Ok(UserInfo::PROBE.document(Declaration::None)),
            Argument::NotText => Err(ErrorCode::InvalidFormat),
            Argument::Text(text) => match XmsUser::parse(text, &Limits::default()) {
                Ok(user) => self.standing(&user.credentials).await?,
                Err(_) => Err(ErrorCode::InvalidFormat),
            },
        };
        let known = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
        Ok(match standing {
            Ok(user) => UserInfo::Known {
                reply_phone: known(&user.reply_phone).as_deref(),
                smtp_address: known(&user.smtp_address).as_deref(),
            }
            .document(Declaration::None),
            Err(code) => {
                self.note(code);
                UserInfo::Refused(code).document(Declaration::None)
            }
        })
    }

    async fn deliver(&self, argument: &Argument<'_>) -> Result<Outcome, Refusal> {
        let data = match argument {
            Argument::Empty => return Ok(Outcome::ok()),
            Argument::NotText => return Ok(self.noted(invalid_format())),
            Argument::Text(text) => XmsData::parse(text, &Limits::default()),
        };
        let Ok(data) = data else {
            return Ok(self.noted(invalid_format()));
        };
        let outcome = match self.admitted(&data).await? {
            Ok(user) => self.hand_over(&data, &user).await,
            Err(error) => Outcome::refused(error),
        };
        Ok(self.noted(outcome))
    }

    /// Every item is authenticated before the first is handed over, so that a throttled call leaves nothing behind.
    async fn batch(&self, text: &str) -> Result<String, Refusal> {
        let Ok(batch) = Batch::parse(text, &Limits::default(), self.profile.batch_items_max) else {
            return Ok(probed_batch(&self.noted(invalid_format())));
        };
        let mut logins = Vec::new();
        let mut admitted = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            admitted.push(match &item.body {
                ItemBody::Message(data) => self.admitted_once(data, &mut logins).await?.map(|user| (&**data, user)),
                ItemBody::Invalid => Err(ErrorItem::of(ErrorCode::InvalidFormat)),
                ItemBody::Surplus => Err(self.surplus()),
            });
        }
        let outcomes = join_all(admitted.into_iter().map(async |item| match item {
            Ok((data, user)) => self.noted(self.hand_over(data, &user).await),
            Err(error) => self.noted(Outcome::refused(error)),
        }));
        let outcomes = outcomes.await;
        let ids = batch.items.iter().map(|item| item.id.as_ref());
        Ok(xms_responses(ids.zip(&outcomes), Declaration::None))
    }

    /// What is decided before the message itself is looked at.
    async fn admitted(&self, data: &XmsData<'_>) -> Result<Result<Arc<OmsUser>, ErrorItem>, Refusal> {
        self.admitted_once(data, &mut Vec::new()).await
    }

    /// As [`Self::admitted`], with what earlier items of the batch came to: many items with one wrong password are one
    /// failed login.
    async fn admitted_once<'d>(
        &self,
        data: &'d XmsData<'_>,
        logins: &mut Vec<(&'d Credentials<'d>, Standing)>,
    ) -> Result<Result<Arc<OmsUser>, ErrorItem>, Refusal> {
        if let Err(error) = check::schedule(data, &self.profile, self.received.0) {
            return Ok(Err(error));
        }
        let credentials = &data.credentials;
        let standing = match logins.iter().find(|(known, _)| *known == credentials) {
            Some((_, standing)) => standing.clone(),
            None => {
                let standing = self.standing(credentials).await?;
                logins.push((credentials, standing.clone()));
                standing
            }
        };
        Ok(standing.map_err(ErrorItem::of))
    }

    async fn standing(&self, credentials: &Credentials<'_>) -> Result<Standing, Refusal> {
        let (user_id, password) = (&credentials.user_id, &credentials.password);
        let login =
            self.gateway.passwords.check(&self.snapshot, &self.tenant.id, user_id, password, self.client).await?;
        Ok(match login {
            Login::Wrong => Err(ErrorCode::InvalidUser),
            Login::Known(user) => state_refusal(user.state).map_or(Ok(user), Err),
        })
    }

    fn surplus(&self) -> ErrorItem {
        let text = format!("A batch can have at most {} messages.", self.profile.batch_items_max);
        ErrorItem::with_content(ErrorCode::PerBatchMsgLimit, text)
    }

    fn noted(&self, outcome: Outcome) -> Outcome {
        outcome.failures.iter().for_each(|failure| self.note(failure.code));
        outcome
    }

    fn note(&self, code: ErrorCode) {
        if let Some(refusal) = refusal_of(code) {
            self.gateway.metrics.refused.with((DoorLabel(Door::Oms), RefusalLabel(refusal))).increment();
        }
    }
}

/// A batch answer without items of its own: one response without an id.
fn probed_batch(outcome: &Outcome) -> String {
    xms_responses([(None, outcome)], Declaration::None)
}

fn invalid_format() -> Outcome {
    Outcome::refused(ErrorItem::of(ErrorCode::InvalidFormat))
}
