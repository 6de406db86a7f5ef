//! A user of the OMS door as JSON: what it shows, what it may say, and how it says what is wrong. No I/O.

use std::collections::BTreeSet;

use model::party::{OmsService, OmsUser, ReplyTo, Tenant, UserState};
use model::{Decimal, Refusal, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::meter::Used;
use crate::number;
use crate::problem::Problem;

/// Longest user id, in bytes.
pub(super) const USER_ID_BYTES_MAX: usize = 255;
/// Longest password, in bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;
/// Longest mail address (RFC 5321, 4.5.3.1.3).
const MAIL_ADDRESS_BYTES_MAX: usize = 254;

/// What is shown of a user. The password never is.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    user_id: String,
    state: UserState,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    services: BTreeSet<OmsService>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reply_phone: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mail_address: String,
    mail_verified: bool,
    phone_verified: bool,
    reply_to: ReplyTo,
    smtp_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_day: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_month: Option<Limit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Decimal>,
    may_have_no_password: bool,
}

/// A limit of deliveries, and how many of them are used.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: u64,
    #[serde(default)]
    used: u64,
}

impl View {
    /// A user as of `now`.
    pub(super) fn of(user: &OmsUser, used: &Used, now: Timestamp) -> Self {
        View {
            user_id: user.user_id.clone(),
            state: user.state_at(now),
            since: user.since,
            until: user.until,
            services: user.services.clone(),
            reply_phone: user.reply_phone.clone(),
            mail_address: user.mail_address.clone(),
            mail_verified: user.mail_verified,
            phone_verified: user.phone_verified,
            reply_to: user.replies_go(),
            smtp_address: user.smtp_address.clone(),
            per_day: user.per_day.map(|limit| Limit { limit, used: used.day }),
            per_month: user.per_month.map(|limit| Limit { limit, used: used.month }),
            balance: used.balance,
            price: user.price,
            may_have_no_password: user.may_have_no_password,
        }
    }

    /// This with a merge patch (RFC 7396) upon it, as a document of the whole.
    pub(super) fn patched(&self, user: &OmsUser, patch: &Value) -> Value {
        let mut whole = serde_json::to_value(self).expect("a view has only keys that are text");
        // What holds by default, or for now, is not what was said.
        whole["state"] = serde_json::to_value(user.state).expect("a state is a text");
        whole["replyTo"] = serde_json::to_value(user.reply_to).expect("a choice is a text");
        merge(&mut whole, patch);
        whole
    }
}

/// RFC 7396, 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let target = target.as_object_mut().expect("it was made one");
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.remove(name)),
            value => merge(target.entry(name.clone()).or_insert(Value::Null), value),
        }
    }
}

/// What a caller wants a user to be. What only the service sets may be there, as it was shown, and counts for nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wanted {
    user_id: Option<String>,
    pub(super) password: Option<String>,
    state: Option<UserState>,
    until: Option<Timestamp>,
    services: Option<BTreeSet<OmsService>>,
    reply_phone: Option<String>,
    mail_address: Option<String>,
    reply_to: Option<ReplyTo>,
    per_day: Option<Limit>,
    per_month: Option<Limit>,
    pub(super) balance: Option<Decimal>,
    price: Option<Decimal>,
    #[serde(default)]
    may_have_no_password: bool,
    #[serde(rename = "since")]
    _since: Option<Timestamp>,
    #[serde(rename = "mailVerified")]
    _mail_verified: Option<bool>,
    #[serde(rename = "phoneVerified")]
    _phone_verified: Option<bool>,
    #[serde(rename = "smtpAddress")]
    _smtp_address: Option<String>,
}

impl Wanted {
    /// Reads a document of a whole user.
    ///
    /// # Errors
    /// A problem that names what is wrong.
    pub(super) fn read(document: Value) -> Result<Self, Problem> {
        serde_json::from_value(document).map_err(|error| Problem::new(Refusal::InvalidField, error.to_string()))
    }

    /// The record, without password and addresses of its own: those come from `was`, or are made for a new user.
    ///
    /// # Errors
    /// A problem that names the field and the mend.
    pub(super) fn applied(
        &self,
        was: OmsUser,
        is_new: bool,
        tenant: &Tenant,
        now: Timestamp,
    ) -> Result<OmsUser, Problem> {
        if self.user_id.as_ref().is_some_and(|id| *id != was.user_id) {
            return Err(invalid("`userId` is not the one in the path"));
        }
        self.check_password(&was, is_new)?;
        if [self.balance, self.price].into_iter().flatten().any(|amount| amount.to_string().starts_with('-')) {
            return Err(invalid("`balance` and `price` are 0 or more"));
        }
        let mail_address = self.mail_address.clone().unwrap_or_default();
        if !mail_address.is_empty() && !is_mail_address(&mail_address) {
            return Err(invalid("`mailAddress` is not a mail address"));
        }
        let reply_phone = self.reply_phone(tenant)?;
        let state = self.state.unwrap_or(UserState::Active);
        let by_default = OmsUser::new(was.tenant.clone(), String::new(), String::new()).services;
        Ok(OmsUser {
            since: if is_new || state != was.state { Some(now) } else { was.since },
            state,
            until: self.until,
            services: self.services.clone().unwrap_or(by_default),
            phone_verified: was.phone_verified && reply_phone == was.reply_phone,
            reply_phone,
            mail_verified: was.mail_verified && mail_address == was.mail_address,
            mail_address,
            reply_to: self.reply_to,
            per_day: self.per_day.map(|limit| limit.limit),
            per_month: self.per_month.map(|limit| limit.limit),
            price: self.price,
            may_have_no_password: self.may_have_no_password,
            // Whom the provider gave a state does not get another one at the page.
            signing_up: was.signing_up && state == was.state,
            ..was
        })
    }

    fn check_password(&self, was: &OmsUser, is_new: bool) -> Result<(), Problem> {
        match self.password.as_deref() {
            Some("") if !self.may_have_no_password => {
                Err(invalid("`password` is empty, and `mayHaveNoPassword` is not true"))
            }
            Some(password) if password.len() > PASSWORD_BYTES_MAX => {
                Err(invalid(format!("`password` has at most {PASSWORD_BYTES_MAX} bytes")))
            }
            None if is_new && !self.may_have_no_password => Err(invalid("`password` is missing")),
            // Whether the old one is empty is not known.
            None if was.may_have_no_password && !self.may_have_no_password => {
                Err(invalid("give a `password`, or let `mayHaveNoPassword` be true"))
            }
            _ => Ok(()),
        }
    }

    fn reply_phone(&self, tenant: &Tenant) -> Result<String, Problem> {
        match self.reply_phone.as_deref() {
            None | Some("") => Ok(String::new()),
            Some(written) => number::normalise(written, &tenant.default_country)
                .map(|number| number.to_string())
                .ok_or_else(|| invalid("`replyPhone` is not a phone number; write it as `+`, country code and number")),
        }
    }
}

/// Checks the id of a user that is to be made.
///
/// # Errors
/// A problem that says what an id may be.
pub(crate) fn check_user_id(id: &str) -> Result<(), Problem> {
    let fits = (1..=USER_ID_BYTES_MAX).contains(&id.len()) && id.trim() == id && !id.contains(char::is_control);
    let detail = format!("a user id has 1 to {USER_ID_BYTES_MAX} bytes, no controls, and no space at either end");
    fits.then_some(()).ok_or_else(|| invalid(detail))
}

/// What may stand in a mail's header without harm, and looks like an address.
fn is_mail_address(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>(),;:\\\"[]".contains(c);
    let parts = text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
    parts && text.len() <= MAIL_ADDRESS_BYTES_MAX && !text.contains(odd) && text.matches('@').count() == 1
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Refusal::InvalidField, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(target: Value, patch: Value, expected: Value) {
        let mut merged = target;
        merge(&mut merged, &patch);
        assert_eq!(merged, expected);
    }

    /// RFC 7396, appendix A.
    #[test]
    fn patches_merge() {
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "b"}), json!({"a": null}), json!({}));
        check(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}));
        check(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}));
    }

    #[test]
    fn mail_addresses() {
        for good in ["ann@example.com", "a.b+c@mail.example.org", "käthe@example.de"] {
            assert!(is_mail_address(good), "{good}");
        }
        for bad in ["", "ann", "@example.com", "ann@localhost", "a@b@c.d", "a b@c.d", "a@c.d\r\nBcc: x@y.z", "<a@c.d>"]
        {
            assert!(!is_mail_address(bad), "{bad}");
        }
    }

    #[test]
    fn ids_of_users() {
        for good in ["demo", "+447700900123", "o'neil/1", "zoë x"] {
            assert!(check_user_id(good).is_ok(), "{good}");
        }
        for bad in ["", " demo", "demo ", "de\nmo"] {
            assert!(check_user_id(bad).is_err(), "{bad}");
        }
    }
}
