//! An account as JSON: what it shows, what it may say, and how it says what is wrong. No I/O.

use model::Refusal;
use model::push::{Access, Account, SealedText};
use serde::{Deserialize, Serialize};

use super::desk::invalid;
use super::device_document as device;
use super::files::Rules;
use super::sync_url;
use crate::problem::Problem;

/// Octets of a password or a user's name.
const SECRET_BYTES_MAX: usize = 255;

/// What is shown of an account. The password never is.
#[derive(Serialize, Debug)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) server_id: String,
    pub(super) sync_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) user_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<Access>,
    pub(super) has_password: bool,
    pub(super) devices: Vec<device::View>,
    #[serde(flatten)]
    pub(super) corrected: Corrected,
}

/// What became of the address that was given.
#[derive(Serialize, Debug, Default, Clone)]
pub(super) struct Corrected {
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected_from: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<&'static str>,
}

/// What a caller wants an account to be.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) id: Option<String>,
    server_id: String,
    sync_url: String,
    #[serde(default)]
    user_name: String,
    access: Option<Access>,
    /// Left out: as it is. Empty: none.
    pub(super) password: Option<String>,
    /// The whole of them in a document of the whole account; elsewhere shown, and not to be said.
    pub(super) devices: Option<Vec<device::Wanted>>,
    #[serde(rename = "has_password")]
    _has_password: Option<bool>,
    #[serde(rename = "corrected_from")]
    _corrected_from: Option<String>,
    #[serde(rename = "warnings", default)]
    _warnings: Vec<String>,
}

impl View {
    pub(super) fn of(account: &Account, devices: Vec<device::View>) -> Self {
        View {
            id: account.id.clone(),
            server_id: account.server_id.clone(),
            sync_url: account.sync_url.clone(),
            user_name: account.user_name.clone(),
            access: account.access,
            has_password: account.password.is_some(),
            devices,
            corrected: Corrected::default(),
        }
    }
}

impl Wanted {
    /// The account, with the devices it had; and what became of the address.
    ///
    /// # Errors
    /// A problem that names the field and the mend.
    pub(super) fn applied(
        &self,
        id: &str,
        was: Option<&Account>,
        tenant: &model::TenantId,
        rules: &Rules,
        password: Option<SealedText>,
    ) -> Result<(Account, Corrected), Problem> {
        self.check(id)?;
        let corrected = sync_url::correct(&self.sync_url, &rules.sync_path)
            .map_err(|bad| Problem::new(Refusal::BadSyncUrl, format!("`sync_url`: {bad}")))?;
        let warnings =
            if corrected.is_plain { vec!["sync_url is http: names and passwords travel in clear"] } else { vec![] };
        let corrected_from = Some(self.sync_url.clone()).filter(|given| *given != corrected.address);
        let account = Account {
            tenant: tenant.clone(),
            id: id.to_owned(),
            server_id: self.server_id.clone(),
            sync_url: corrected.address,
            user_name: self.user_name.clone(),
            access: self.access,
            password: if self.password.is_some() { password } else { was.and_then(|was| was.password.clone()) },
            devices: was.map(|was| was.devices.clone()).unwrap_or_default(),
        };
        Ok((account, Corrected { corrected_from, warnings }))
    }

    fn check(&self, id: &str) -> Result<(), Problem> {
        if self.id.as_deref().is_some_and(|own| Account::id_of(own).as_deref() != Some(id)) {
            return Err(invalid("`id` is not the address in the path"));
        }
        let is_visible = |text: &str| text.bytes().all(|octet| matches!(octet, 0x20..=0x7e));
        if !(1..=255).contains(&self.server_id.len()) || !is_visible(&self.server_id) {
            return Err(invalid("`server_id` has 1 to 255 visible ASCII characters, as in the profile on the phones"));
        }
        if self.user_name.len() > SECRET_BYTES_MAX || self.user_name.contains(char::is_control) {
            return Err(invalid(format!("`user_name` has at most {SECRET_BYTES_MAX} bytes and no controls")));
        }
        if self.access == Some(Access::Listed) {
            return Err(invalid("`access` of an account is `on` or `off`; `listed` is of domains"));
        }
        if self.password.as_ref().is_some_and(|password| password.len() > SECRET_BYTES_MAX) {
            return Err(invalid(format!("`password` has at most {SECRET_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

/// The address in the path, as it is written.
pub(super) fn id_of(path: &str) -> Result<String, Problem> {
    let detail = "an account is an address such as `ann@acme.example`, at most 254 bytes, without blanks";
    Account::id_of(path).ok_or_else(|| invalid(detail))
}
