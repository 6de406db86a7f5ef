//! A device as JSON: what it shows, what it may say, and how it says what is wrong. No I/O.

use std::collections::BTreeMap;

use model::push::{
    Account, Channel, ClientModel, DEVICE_RESOURCES_MAX, Device, DeviceState, INBOX, InboxBy, Number, Resource,
    Standing,
};
use model::{Refusal, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

use super::desk::invalid;
use crate::problem::Problem;

/// Characters of what kind of device it is.
const KIND_CHARS_MAX: usize = 32;
/// Octets of a resource's canonical name.
const CANONICAL_BYTES_MAX: usize = 255;
/// Octets of a media type.
const CONTENT_TYPE_BYTES_MAX: usize = 64;
/// Octets of a reason.
const REASON_BYTES_MAX: usize = 64;
/// Who may be named as having said so.
const BY_BYTES_MAX: usize = 255;

/// What is shown of a device, and what a document of the whole account says of it.
#[derive(Serialize, Debug)]
pub(super) struct View {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
    pub(super) model: String,
    /// In full in a document of the whole account, else the last two digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reported: Option<String>,
    pub(super) channels: Vec<Channel>,
    pub(super) state: DeviceState,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
    pub(super) since: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Timestamp>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) resources: BTreeMap<String, Resource>,
    pub(super) inbox: InboxBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) configured_at: Option<Timestamp>,
    /// What was switched off because something else was switched on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) switched_off: Vec<String>,
}

/// What a caller wants a device to be.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) id: Option<String>,
    pub(super) account: Option<String>,
    #[serde(default)]
    kind: String,
    pub(super) model: String,
    /// Left out: as it is. `null` or empty: none.
    #[serde(default, deserialize_with = "said")]
    pub(super) number: Option<Option<String>>,
    /// Counts in a document of the whole account only.
    #[serde(default, deserialize_with = "said")]
    pub(super) reported: Option<Option<String>>,
    channels: Option<Vec<Channel>>,
    state: Option<DeviceState>,
    reason: Option<String>,
    since: Option<Timestamp>,
    by: Option<String>,
    until: Option<Timestamp>,
    #[serde(default)]
    resources: BTreeMap<String, Resource>,
    inbox: Option<InboxBy>,
    /// Shown, and not to be said.
    #[serde(rename = "failures")]
    _failures: Option<u32>,
    #[serde(rename = "configured_at")]
    _configured_at: Option<Timestamp>,
    #[serde(rename = "switched_off", default)]
    _switched_off: Vec<String>,
}

/// What only the caller's surroundings know: who says it, when, and the numbers as they are kept.
pub(super) struct Said {
    pub(super) number: Option<Number>,
    pub(super) reported: Option<Number>,
    pub(super) by: String,
    pub(super) now: Timestamp,
    /// Whether a document of the whole account says it: then it is to be as it says, conflicts included.
    pub(super) is_whole: bool,
}

/// Tells `null` from nothing.
#[expect(clippy::option_option, reason = "left out, null and a value are three things")]
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(|value: Option<String>| Some(value.filter(|text| !text.is_empty())))
}

impl View {
    /// A device as of `now`, without its numbers.
    pub(super) fn of(device: &Device, now: Timestamp) -> Self {
        let Standing { state, reason, since, by, until } = device.standing.clone();
        let is_over = device.state_at(now) != state;
        View {
            id: device.id.clone(),
            account: None,
            kind: device.kind.clone(),
            model: device.model.clone(),
            number: None,
            reported: None,
            channels: device.channels.clone(),
            state: device.state_at(now),
            reason: if is_over { String::new() } else { reason },
            since: if is_over { until.unwrap_or(since) } else { since },
            by,
            until: if is_over { None } else { until },
            resources: device.resources.clone(),
            inbox: device.inbox,
            failures: None,
            configured_at: None,
            switched_off: Vec::new(),
        }
    }
}

impl Wanted {
    /// Checks what does not depend on anything else.
    ///
    /// # Errors
    /// A problem that names the field and the mend.
    pub(super) fn check(&self, id: &str) -> Result<(), Problem> {
        if self.id.as_deref().is_some_and(|own| own != id) {
            return Err(invalid("`id` is not the one in the path"));
        }
        if !Device::is_id(id) {
            return Err(invalid("a device's id has 1 to 32 of the characters A-Z a-z 0-9 . _ : @ + -"));
        }
        if self.kind.chars().count() > KIND_CHARS_MAX || self.kind.contains(char::is_control) {
            return Err(invalid(format!("`kind` has at most {KIND_CHARS_MAX} characters and no controls")));
        }
        if self.channels.as_ref().is_some_and(|channels| channels.is_empty() || channels.len() > 1) {
            return Err(invalid("`channels` names each way once; there is `sms`"));
        }
        let is_word = |text: &Option<String>, max: usize| {
            text.as_ref().is_none_or(|text| text.len() <= max && !text.contains(char::is_control))
        };
        if !is_word(&self.reason, REASON_BYTES_MAX) || !is_word(&self.by, BY_BYTES_MAX) {
            return Err(invalid("`reason` or `by` is too long, or has controls"));
        }
        check_resources(&self.resources)
    }

    /// The device, and what was switched off because something else was switched on.
    ///
    /// # Errors
    /// A problem that names the field and the mend.
    pub(super) fn applied(
        &self,
        id: &str,
        was: Option<&Device>,
        model: &ClientModel,
        said: Said,
    ) -> Result<(Device, Vec<String>), Problem> {
        let standing = self.standing(was, model, &said)?;
        let mut device = Device {
            id: id.to_owned(),
            kind: self.kind.clone(),
            model: self.model.clone(),
            number: self.number_of(was, said.number),
            reported: was.and_then(|was| was.reported.clone()),
            channels: self.channels.clone().unwrap_or_else(|| vec![Channel::Sms]),
            standing,
            resources: self.resources.clone(),
            inbox: self.inbox.or(was.map(|was| was.inbox)).unwrap_or_default(),
            failures: was.map_or(0, |was| was.failures),
            configured: was.and_then(|was| was.configured.clone()),
            answered: was.and_then(|was| was.answered),
        };
        if said.is_whole {
            device.reported = same_number(device.reported, said.reported);
        } else if device.number != was.and_then(|was| was.number.clone()) {
            // Whoever gives it another number has settled which one holds.
            device.reported = None;
            if is_in_conflict(&device) {
                let (state, reason) = (DeviceState::Enabled, String::new());
                device.standing = Standing { state, reason, since: said.now, by: said.by, until: None };
            }
        }
        let switched_off = if said.is_whole { Vec::new() } else { one_inbox(&mut device, was, model) };
        Ok((device, switched_off))
    }

    fn number_of(&self, was: Option<&Device>, said: Option<Number>) -> Option<Number> {
        let before = was.and_then(|was| was.number.clone());
        if self.number.is_some() { same_number(before, said) } else { before }
    }

    fn standing(&self, was: Option<&Device>, model: &ClientModel, said: &Said) -> Result<Standing, Problem> {
        let state = match self.state {
            Some(DeviceState::Enabled | DeviceState::Paused) if !model.push => return Err(no_push(&self.model)),
            Some(DeviceState::NumberConflict) if !said.is_whole && !was.is_some_and(is_in_conflict) => {
                return Err(invalid("`state` is what a device gets by itself when its number is in dispute"));
            }
            Some(state) => state,
            None if !model.push => DeviceState::Disabled,
            None => match was {
                Some(was) if was.model == self.model || was.standing.reason != "policy" => was.standing.state,
                _ => DeviceState::Enabled,
            },
        };
        let kept = was.map(|was| &was.standing).filter(|standing| standing.state == state && !said.is_whole);
        if self.until.is_some() && state != DeviceState::Paused {
            return Err(invalid("`until` is of a device that is `paused`"));
        }
        let until = if state == DeviceState::Paused { self.until } else { None };
        if let Some(kept) = kept {
            return Ok(Standing { until: self.until.or(kept.until), ..kept.clone() });
        }
        let reason = match state {
            DeviceState::Disabled if !model.push => "policy",
            DeviceState::Disabled => "admin",
            DeviceState::Enabled | DeviceState::Paused | DeviceState::NumberConflict => "",
        };
        Ok(Standing {
            state,
            reason: self.reason.clone().filter(|_| said.is_whole).unwrap_or_else(|| reason.to_owned()),
            since: self.since.filter(|_| said.is_whole).unwrap_or(said.now),
            by: self.by.clone().filter(|_| said.is_whole).unwrap_or_else(|| said.by.clone()),
            until,
        })
    }
}

/// What is said, as it was kept before where it is the same number: sealed again, it would look like another.
fn same_number(before: Option<Number>, said: Option<Number>) -> Option<Number> {
    match (before, said) {
        (Some(before), Some(said)) if before.hash == said.hash => Some(before),
        (_, said) => said,
    }
}

fn is_in_conflict(device: &Device) -> bool {
    device.standing.state == DeviceState::NumberConflict
}

/// A device hears of its inbox by push mail or by a store of its own, not by both: what is switched on switches the other off
/// (push-channels.md, 4).
fn one_inbox(device: &mut Device, was: Option<&Device>, model: &ClientModel) -> Vec<String> {
    let stores = |device: &Device| -> Vec<String> {
        let all = model.resources_of(device).into_iter();
        all.filter(|(name, store)| name.eq_ignore_ascii_case(INBOX) && store.enabled).map(|(name, _)| name).collect()
    };
    let on = stores(device);
    if device.inbox != InboxBy::Mail || on.is_empty() {
        return Vec::new();
    }
    let had_mail = was.is_some_and(|was| was.inbox == InboxBy::Mail);
    let had_store = was.is_some_and(|was| !stores(was).is_empty());
    if had_mail && !had_store {
        device.inbox = InboxBy::Sync;
        return vec!["mail".to_owned()];
    }
    for name in &on {
        let own = device.resources.get(name).or_else(|| model.resources.get(name));
        if let Some(store) = own.cloned() {
            device.resources.insert(name.clone(), Resource { enabled: false, ..store });
        }
    }
    on.into_iter().map(|name| format!("sync:{name}")).collect()
}

/// Checks names and kinds; whether they fit a notification is the codec's to say.
pub(super) fn check_resources(resources: &BTreeMap<String, Resource>) -> Result<(), Problem> {
    if resources.len() > DEVICE_RESOURCES_MAX {
        return Err(invalid(format!("`resources` names at most {DEVICE_RESOURCES_MAX}")));
    }
    for (canonical, resource) in resources {
        let fits = (1..=CANONICAL_BYTES_MAX).contains(&canonical.len()) && !canonical.contains(char::is_control);
        if !fits {
            return Err(invalid("a name in `resources` has 1 to 255 bytes and no controls"));
        }
        let content_type = &resource.content_type;
        if content_type.len() > CONTENT_TYPE_BYTES_MAX || !content_type.chars().all(|c| c.is_ascii_graphic()) {
            let detail =
                format!("`content_type` of `{canonical}` is at most {CONTENT_TYPE_BYTES_MAX} visible ASCII characters");
            return Err(invalid(detail));
        }
    }
    Ok(())
}

/// Enabling what can't be notified.
pub(super) fn no_push(model: &str) -> Problem {
    let detail =
        format!("devices of model `{model}` can't be notified; give the device another model, or let it be disabled");
    Problem::new(Refusal::PushNotSupported, detail)
}

/// How a device gets a place in its account.
pub(super) fn place(account: &mut Account, device: Device) -> Result<(), Problem> {
    let is_new = !account.devices.contains_key(&device.id);
    if is_new && account.devices.len() >= model::push::ACCOUNT_DEVICES_MAX {
        let detail = format!("an account has at most {} devices", model::push::ACCOUNT_DEVICES_MAX);
        return Err(invalid(detail));
    }
    account.devices.insert(device.id.clone(), device);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn model(push: bool) -> ClientModel {
        ClientModel { push, ..ClientModel::built_in_of("ds-1.2").unwrap() }
    }

    fn wanted(document: Value) -> Wanted {
        serde_json::from_value(document).unwrap()
    }

    fn said(number: Option<Number>) -> Said {
        Said { number, reported: None, by: "ann".into(), now: Timestamp(7), is_whole: false }
    }

    fn made(document: Value) -> Device {
        wanted(document).applied("d", None, &model(true), said(None)).unwrap().0
    }

    #[test]
    fn a_device_is_enabled_unless_its_model_takes_no_push() {
        let device = made(json!({ "model": "ds-1.2" }));
        assert_eq!((device.standing.state, device.standing.by.as_str()), (DeviceState::Enabled, "ann"));
        let (device, _) = wanted(json!({ "model": "ds-1.2" })).applied("d", None, &model(false), said(None)).unwrap();
        assert_eq!((device.standing.state, device.standing.reason.as_str()), (DeviceState::Disabled, "policy"));
        let enabled = wanted(json!({ "model": "ds-1.2", "state": "enabled" }));
        let refused = enabled.applied("d", None, &model(false), said(None)).unwrap_err();
        assert_eq!(refused.refusal, Refusal::PushNotSupported);
    }

    #[test]
    fn what_is_left_out_stays_and_null_removes() {
        let sealed = model::push::SealedText { data_key: String::new(), sealed: String::new() };
        let number = Some(Number { hash: "1".into(), sealed });
        let first = wanted(json!({ "model": "ds-1.2", "number": "+447700900001" }));
        let (was, _) = first.applied("d", None, &model(true), said(number.clone())).unwrap();
        assert_eq!(was.number, number);
        let again = |document| wanted(document).applied("d", Some(&was), &model(true), said(None)).unwrap().0;
        assert_eq!(again(json!({ "model": "ds-1.2" })).number, number);
        assert_eq!(again(json!({ "model": "ds-1.2", "number": null })).number, None);
        assert_eq!(again(json!({ "model": "ds-1.2", "number": "" })).number, None);
    }

    #[test]
    fn switching_one_inbox_on_switches_the_other_off() {
        let store = json!({ "INBOX": { "name": "Mail" } });
        let by_store = made(json!({ "model": "ds-1.2", "resources": store }));
        assert_eq!(by_store.inbox, InboxBy::Sync);
        let mail = wanted(json!({ "model": "ds-1.2", "resources": store, "inbox": "mail" }));
        let (by_mail, off) = mail.applied("d", Some(&by_store), &model(true), said(None)).unwrap();
        assert_eq!((by_mail.inbox, by_mail.resources["INBOX"].enabled), (InboxBy::Mail, false));
        assert_eq!(off, ["sync:INBOX"]);
        // The store is switched on again: the other goes, though the caller repeats it.
        let (back, off) = mail.applied("d", Some(&by_mail), &model(true), said(None)).unwrap();
        assert_eq!((back.inbox, back.resources["INBOX"].enabled, off), (InboxBy::Sync, true, vec!["mail".to_owned()]));
        // A store that the model maps is switched off by an entry of the device's own.
        let maps = ClientModel { resources: by_store.resources.clone(), ..model(true) };
        let mail = wanted(json!({ "model": "ds-1.2", "inbox": "mail" }));
        let (device, off) = mail.applied("d", None, &maps, said(None)).unwrap();
        assert_eq!((maps.resources_of(&device)["INBOX"].enabled, off), (false, vec!["sync:INBOX".to_owned()]));
    }

    #[test]
    fn what_cannot_be_is_named() {
        #[track_caller]
        fn check(id: &str, document: Value, expected: &str) {
            let problem = wanted(document).check(id).unwrap_err();
            assert!(problem.detail.contains(expected), "{}", problem.detail);
        }
        check("d", json!({ "model": "m", "id": "e" }), "`id`");
        check("a/b", json!({ "model": "m" }), "1 to 32");
        check("d", json!({ "model": "m", "kind": "x".repeat(33) }), "`kind`");
        check("d", json!({ "model": "m", "channels": [] }), "`channels`");
        check("d", json!({ "model": "m", "resources": { "": { "name": "x" } } }), "1 to 255");
        check("d", json!({ "model": "m", "resources": { "a": { "name": "x", "content_type": "a b" } } }), "`a`");
        let many: BTreeMap<String, Value> = (0..65).map(|n| (n.to_string(), json!({ "name": "x" }))).collect();
        check("d", json!({ "model": "m", "resources": many }), "at most 64");
        let paused = wanted(json!({ "model": "m", "state": "enabled", "until": "2030-01-01T00:00:00Z" }));
        assert!(paused.applied("d", None, &model(true), said(None)).is_err(), "nothing ends by itself but a pause");
        let conflict = wanted(json!({ "model": "m", "state": "number_conflict" }));
        assert!(conflict.applied("d", None, &model(true), said(None)).is_err(), "nobody asks for that");
    }
}
