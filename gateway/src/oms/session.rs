//! One call of one tenant's service: who is asking, what is answered. Knows the order of the checks and that nothing is
//! handed over before all of a request was read; must not know HTTP.

use std::net::IpAddr;
use std::sync::Arc;

use model::party::{OmsUser, Tenant};
use model::record::Door;
use model::{Refusal, Timestamp};
use wire::oms::Limits;
use wire::oms::check::{self, Profile};
use wire::oms::request::{Batch, Credentials, ItemBody, XmsData, XmsUser};
use wire::oms::response::{Declaration, ErrorCode, ErrorItem, Outcome, UserInfo, xms_response, xms_responses};
use wire::oms::soap::{Argument, Call, Method};

use super::hand_over::Item;
use super::profile::{declaration, service_info, state_refusal};
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
    /// How much of an argument is read.
    pub(super) limits: Limits,
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
                xms_response(&self.deliver(argument).await?, self.declaration())
            }
            (Method::DeliverXmsBatch, Argument::Empty) => self.batch_of_one(&Outcome::ok()),
            (Method::DeliverXmsBatch, Argument::NotText) => self.batch_of_one(&self.noted(invalid_format())),
            (Method::DeliverXmsBatch, Argument::Text(text)) => self.batch(text).await?,
        };
        Ok(result)
    }

    fn declaration(&self) -> Declaration {
        declaration(&self.tenant.oms)
    }

    async fn user_info(&self, argument: &Argument<'_>) -> Result<String, Refusal> {
        let standing = match argument {
            Argument::Empty => return Ok(UserInfo::PROBE.document(self.declaration())),
            Argument::NotText => Err(ErrorCode::InvalidFormat),
            Argument::Text(text) => match XmsUser::parse(text, &self.limits) {
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
            .document(self.declaration()),
            Err(code) => {
                self.note(code);
                UserInfo::Refused(code).document(self.declaration())
            }
        })
    }

    async fn deliver(&self, argument: &Argument<'_>) -> Result<Outcome, Refusal> {
        let data = match argument {
            Argument::Empty => return Ok(Outcome::ok()),
            Argument::NotText => return Ok(self.noted(invalid_format())),
            Argument::Text(text) => XmsData::parse(text, &self.limits),
        };
        let Ok(data) = data else {
            return Ok(self.noted(invalid_format()));
        };
        let outcome = match self.admitted(&data).await? {
            Ok(user) => self.hand_over(vec![Item { data: &data, user }]).await.remove(0),
            Err(error) => Outcome::refused(error),
        };
        Ok(self.noted(outcome))
    }

    /// Every item is authenticated before the first is handed over, so that a throttled call leaves nothing behind.
    async fn batch(&self, text: &str) -> Result<String, Refusal> {
        let Ok(batch) = Batch::parse(text, &self.limits, self.profile.batch_items_max) else {
            return Ok(self.batch_of_one(&self.noted(invalid_format())));
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
        let sent = admitted.iter().flatten().map(|(data, user)| Item { data, user: Arc::clone(user) }).collect();
        let mut sent = self.hand_over(sent).await.into_iter();
        let outcomes: Vec<Outcome> = admitted
            .into_iter()
            .map(|item| match item {
                Ok(_) => sent.next().expect("every message handed over has an outcome"),
                Err(error) => Outcome::refused(error),
            })
            .map(|outcome| self.noted(outcome))
            .collect();
        let ids = batch.items.iter().map(|item| item.id.as_ref());
        Ok(xms_responses(ids.zip(&outcomes), self.declaration()))
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
            Login::Known(user) => state_refusal(user.state_at(self.received)).map_or(Ok(user), Err),
        })
    }

    /// A batch answer without items of its own: one response without an id.
    fn batch_of_one(&self, outcome: &Outcome) -> String {
        xms_responses([(None, outcome)], self.declaration())
    }

    fn surplus(&self) -> ErrorItem {
        let text = format!("One batch can only contain {} messages at maximum.", self.profile.batch_items_max);
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

fn invalid_format() -> Outcome {
    Outcome::refused(ErrorItem::of(ErrorCode::InvalidFormat))
}
