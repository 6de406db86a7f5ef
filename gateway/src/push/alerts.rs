//! What is sent to a device because somebody presses a button: a test alert, settings. Knows what has to be there before anything is
//! queued; the octets are the codec's.

use std::sync::Arc;

use model::push::{Account, Channel, ClientModel, Device, DeviceState, Notice, NoticeState, Resource, San, Trace};
use model::record::{Binary, Class, Door, Service};
use model::{MessageId, Msisdn, Refusal, Timestamp};
use wire::alert::{Alert, AlertError, Stores};

use super::desk::{Desk, invalid};
use crate::accept::{Accepted, Part, Submission};
use crate::problem::Problem;

/// Something for a device.
pub(super) struct Parcel<'a> {
    pub(super) account: &'a Account,
    pub(super) device: &'a Device,
    /// Each is a delivery of its own.
    pub(super) packages: Vec<Binary>,
    /// What it tells of, by canonical name.
    pub(super) resources: Vec<String>,
    /// Equal keys are one parcel.
    pub(super) key: String,
    /// Why it is sent, for whoever follows it.
    pub(super) because: &'static str,
    pub(super) traceparent: String,
}

impl Desk {
    /// The number that leads to a device.
    ///
    /// # Errors
    /// [`Refusal::NumberConflict`], [`Refusal::NoWayOut`].
    pub(super) fn way_to(&self, device: &Device) -> Result<Msisdn, Problem> {
        if device.standing.state == DeviceState::NumberConflict {
            let detail = "its number is in dispute; settle it with `number:resolve`";
            return Err(Problem::new(Refusal::NumberConflict, detail));
        }
        let no_way = |detail: &str| Problem::new(Refusal::NoWayOut, detail);
        let number = device.number.as_ref().ok_or_else(|| no_way("the device has no number"))?;
        let number = self.open(&number.sealed)?;
        let number = Msisdn::parse(&number).map_err(|_| {
            tracing::error!("what is kept as a device's number is none");
            Problem::from(Refusal::Unavailable)
        })?;
        if !self.caller.snapshot.has_short_route() {
            return Err(no_way("no route for short messages is enabled"));
        }
        if !self.caller.snapshot.is_reachable(&number, Service::Sms) {
            return Err(no_way("no route leads to the device's number"));
        }
        Ok(number)
    }

    /// Queues what is for a device. It is forgotten after a day, like all notifications.
    pub(super) async fn send(&self, parcel: Parcel<'_>) -> Result<Accepted, Problem> {
        let recipient = self.way_to(parcel.device)?;
        let account = parcel.account.id.clone();
        self.note(MessageId::derived(self.tenant(), &parcel.key), &parcel.trace(self.now)).await?;
        let submission = Submission {
            tenant: Arc::clone(&self.caller.holder.tenant),
            user: self.caller.holder.name.clone(),
            door: Door::Push,
            key: Some(parcel.key),
            recipients: vec![recipient],
            parts: parcel.packages.into_iter().map(Part::binary).collect(),
            not_before: None,
            expires: None,
            class: Class::Normal,
            traceparent: parcel.traceparent,
            order_key: None,
            path: String::new(),
            report: None,
            // No window waits for it.
            tells: Some(Notice { account, device: parcel.device.id.clone(), seq: 0 }),
            received: self.now,
        };
        Ok(self.gateway.acceptor.accept(&self.caller.snapshot, &submission).await?)
    }
}

impl Parcel<'_> {
    /// How it came to be, as for what a window makes; no window made it.
    fn trace(&self, now: Timestamp) -> Trace {
        Trace {
            account: self.account.id.clone(),
            device: self.device.id.clone(),
            seq: 0,
            state: NoticeState::Accepted,
            opened: now,
            deadline: now,
            made: now,
            handed_over: Some(now),
            events: 0,
            resources: self.resources.clone(),
            told_before: 0,
            told_by: Vec::new(),
            supersedes: Vec::new(),
            superseded_by: None,
            channel: Channel::Sms,
            chosen_because: self.because.to_owned(),
            packages: u32::try_from(self.packages.len()).unwrap_or(u32::MAX),
            spared: Vec::new(),
            spared_count: 0,
            ends: Vec::new(),
            confirmed: None,
        }
    }
}

/// Writes a notification of some of a device's resources.
///
/// # Errors
/// A problem that names what does not fit.
pub(super) fn compose(
    account: &Account,
    model: &ClientModel,
    resources: &[(String, Resource)],
    password: Option<&str>,
    seed: u16,
) -> Result<Vec<Binary>, Problem> {
    let stores: Vec<Resource> = resources.iter().map(|(_, resource)| resource.clone()).collect();
    let is_signed = model.digest && matches!(model.san, San::Ds12 | San::Dm12);
    let alert = Alert {
        form: model.san,
        server_id: &account.server_id,
        session_id: seed,
        stores: Stores::Named(&stores),
        password: password.filter(|_| is_signed).map(str::as_bytes),
        dcs: model.dcs,
        reference: seed as u8,
    };
    alert.packages().map_err(|error| unfit(&error, resources))
}

/// Whether every resource a device is told of fits a notification of its model.
///
/// # Errors
/// A problem that names what does not fit.
pub(super) fn check_fit(account: &Account, model: &ClientModel, device: &Device) -> Result<(), Problem> {
    if model.digest && model.push && account.password.is_none() {
        let detail = format!(
            "model `{}` signs notifications, and the account has no `password`; give it one, or another model to the device",
            model.name
        );
        return Err(invalid(detail));
    }
    let all: Vec<(String, Resource)> = model.resources_of(device).into_iter().collect();
    if all.is_empty() {
        return Ok(());
    }
    compose(account, model, &all, None, 0).map(drop)
}

fn unfit(error: &AlertError, resources: &[(String, Resource)]) -> Problem {
    let detail = match error {
        AlertError::ServerId { .. } => "`server_id` has 1 to 255 visible ASCII characters".to_owned(),
        AlertError::Name { at } => {
            let canonical = resources.get(*at).map_or("", |(canonical, _)| canonical.as_str());
            format!("the name of `{canonical}` does not fit a notification: it has 1 to 255 bytes and no NUL")
        }
        AlertError::Nothing => "the device is told of no resource; enable one in `resources`".to_owned(),
        other => format!("the notification can't be written: {other}"),
    };
    invalid(detail)
}

/// A number that the same text always leads to.
pub(super) fn seed_of(text: &str) -> u16 {
    let hash = blake3::hash(text.as_bytes());
    u16::from_be_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])
}
