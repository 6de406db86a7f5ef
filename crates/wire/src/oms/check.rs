//! The checks of a message that need no store: which service, how many recipients and parts, how long, which characters,
//! what number. Knows limits and the order in which a client is told; must not know credentials, routes, quota or time.
//!
//! The order is fixed, and the first failing step ends it, except for recipients, who fail one by one:
//! [`schedule`] before the credentials are looked at; then [`message`]: service, recipient count, part count, texts,
//! media, recipients.

mod media;
mod recipients;
mod texts;

pub use recipients::{Normalised, normalise};
pub use texts::joined_parts;

use super::request::{Format, XmsData};
use super::response::{ErrorCode, ErrorItem};
use model::Msisdn;
use model::record::Multimedia;

/// A part count that a calendar summary may have even where the limit is lower.
const CALENDAR_SUMMARY_PARTS_MAX: usize = 50;

/// A message this little ahead is sent at once.
const SCHEDULE_AHEAD_MS_MIN: i64 = 60_000;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// One of the two services a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    Sms,
    Mms,
}

impl Service {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sms => "SMS_SENDER",
            Self::Mms => "MMS_SENDER",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Sms, Self::Mms].into_iter().find(|service| service.name().eq_ignore_ascii_case(name.trim()))
    }

    const fn of(format: Format) -> Self {
        match format {
            Format::Sms => Self::Sms,
            Format::Mms => Self::Mms,
        }
    }
}

/// The limits of `SMS_SENDER`, as advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsLimits {
    /// `maxRecipientsPerMessage`
    pub recipients_max: u32,
    /// `maxMessagesPerSend`
    pub parts_max: u32,
    /// `maxSbcsPerMessage`: characters of a part that is all US-ASCII.
    pub sbcs_max: u32,
    /// `maxDbcsPerMessage`: UTF-16 units of any other part.
    pub dbcs_max: u32,
}

impl Default for SmsLimits {
    fn default() -> Self {
        Self { recipients_max: 50, parts_max: 20, sbcs_max: 160, dbcs_max: 70 }
    }
}

/// The limits of `MMS_SENDER`, as advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MmsLimits {
    /// `supportSlide`. Slides that come all the same are flattened to their contents.
    pub supports_slides: bool,
    /// `maxRecipientsPerMessage`
    pub recipients_max: u32,
    /// `maxSizePerMessage`, decoded.
    pub size_bytes_max: u64,
    /// `maxSlidesPerMessage`
    pub slides_max: u32,
}

impl Default for MmsLimits {
    fn default() -> Self {
        Self { supports_slides: true, recipients_max: 100, size_bytes_max: 30_000, slides_max: 10 }
    }
}

/// Whether parts that a client split are put together again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartJoining {
    /// Each part is a message.
    #[default]
    Keep,
    /// Parts marked `(1/n)` to `(n/n)` become one long message.
    Join,
}

/// Whether messages can be held until their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// They are sent at once, and the client is told `noScheduled`.
    #[default]
    Off,
    On,
}

/// What a tenant's service offers and allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// `None`: not offered.
    pub sms: Option<SmsLimits>,
    /// `None`: not offered.
    pub mms: Option<MmsLimits>,
    /// Items of one batch.
    pub batch_items_max: usize,
    /// `None`: as far ahead as the client likes.
    pub schedule_days_max: Option<u32>,
    pub scheduling: Scheduling,
    pub part_joining: PartJoining,
    /// Words that no text may hold, compared without regard to case.
    pub words_refused: Vec<Box<str>>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            sms: Some(SmsLimits::default()),
            mms: None,
            batch_items_max: 100,
            schedule_days_max: None,
            scheduling: Scheduling::Off,
            part_joining: PartJoining::Keep,
            words_refused: Vec::new(),
        }
    }
}

/// What a user has subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    Neither,
    SmsOnly,
    MmsOnly,
    Both,
}

impl Subscription {
    /// What the two subscriptions come to.
    #[must_use]
    pub fn of(is_subscribed: impl Fn(Service) -> bool) -> Self {
        match (is_subscribed(Service::Sms), is_subscribed(Service::Mms)) {
            (false, false) => Self::Neither,
            (true, false) => Self::SmsOnly,
            (false, true) => Self::MmsOnly,
            (true, true) => Self::Both,
        }
    }

    const fn has(self, service: Service) -> bool {
        match service {
            Service::Sms => matches!(self, Self::SmsOnly | Self::Both),
            Service::Mms => matches!(self, Self::MmsOnly | Self::Both),
        }
    }
}

/// When an accepted message is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendTime {
    Now,
    /// Not before this time, in milliseconds since the epoch.
    At(i64),
    /// At once, though a later time was asked for: the answer carries `noScheduled`.
    NowUnscheduled,
}

/// One recipient that passed.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The first spelling the client used, for lists in the answer.
    pub written: String,
    pub number: Msisdn,
}

/// Shows nothing of the number.
impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recipient(..)")
    }
}

/// A message that passed every step, with those of its recipients that did.
#[derive(Clone, PartialEq, Eq)]
pub struct Checked {
    pub service: Service,
    /// The refused recipients, by code, in the order of the steps. Empty: all passed.
    pub failures: Vec<ErrorItem>,
    /// Each once; empty if none passed.
    pub recipients: Vec<Recipient>,
    /// What each recipient of an SMS gets, in document order, joined where the profile says so. Parts that are empty are
    /// left out. Empty for an MMS.
    pub texts: Vec<String>,
    /// What each recipient of an MMS gets; `None` for an SMS.
    pub multimedia: Option<Multimedia>,
    pub send_time: SendTime,
}

/// Checks, before any credential is looked at, that the message is not scheduled further ahead than allowed.
///
/// # Errors
/// `other`.
pub fn schedule(data: &XmsData<'_>, profile: &Profile, now_unix_ms: i64) -> Result<(), ErrorItem> {
    let Some((scheduled, days)) = data.scheduled.zip(profile.schedule_days_max) else {
        return Ok(());
    };
    let latest = now_unix_ms.saturating_add(i64::from(days).saturating_mul(DAY_MS));
    if scheduled.unix_milliseconds <= latest {
        return Ok(());
    }
    Err(ErrorItem::with_content(ErrorCode::Other, format!("A message can be scheduled at most {days} days ahead.")))
}

/// Checks a message of a user who is known and active, from the service down to its recipients.
///
/// `complete` turns a national number (digits only) into an international one, where the tenant has a default country;
/// `is_routable` says whether there is a way to a number for a service. They are called once per distinct number.
///
/// # Errors
/// The whole message is refused.
pub fn message(
    data: &XmsData<'_>,
    profile: &Profile,
    subscription: Subscription,
    now_unix_ms: i64,
    complete: impl Fn(&str) -> Option<String>,
    is_routable: impl Fn(&Msisdn, Service) -> bool,
) -> Result<Checked, ErrorItem> {
    let service = service(data, profile, subscription)?;
    let recipients = recipients::distinct(&data.recipients, complete);
    check_recipient_count(recipients.len(), service, profile)?;
    let (texts, multimedia) = match (service, &profile.sms, &profile.mms) {
        (Service::Sms, Some(limits), _) => (texts::check_sms(data, limits, profile)?, None),
        (Service::Mms, _, Some(limits)) => (Vec::new(), Some(media::check(data, limits, profile)?)),
        _ => return Err(not_registered(service.name())),
    };
    let (recipients, failures) = recipients::sort_out(recipients, |number| is_routable(number, service));
    Ok(Checked { service, failures, recipients, texts, multimedia, send_time: send_time(data, profile, now_unix_ms) })
}

/// The service asked for, or else the one the format stands for.
fn service(data: &XmsData<'_>, profile: &Profile, subscription: Subscription) -> Result<Service, ErrorItem> {
    let by_format = Service::of(data.format);
    let service = match &data.required_service {
        Some(name) => Service::parse(name).ok_or_else(|| not_registered(name))?,
        None => by_format,
    };
    let is_offered = match service {
        Service::Sms => profile.sms.is_some(),
        Service::Mms => profile.mms.is_some(),
    };
    if !is_offered || !subscription.has(service) {
        return Err(not_registered(service.name()));
    }
    if service == by_format { Ok(service) } else { Err(ErrorItem::of(ErrorCode::InvalidFormat)) }
}

fn not_registered(name: &str) -> ErrorItem {
    ErrorItem::with_content(ErrorCode::UnregisteredService, name)
}

fn check_recipient_count(count: usize, service: Service, profile: &Profile) -> Result<(), ErrorItem> {
    let limit = match service {
        Service::Sms => profile.sms.as_ref().map_or(0, |limits| limits.recipients_max),
        Service::Mms => profile.mms.as_ref().map_or(0, |limits| limits.recipients_max),
    };
    if count as u64 <= u64::from(limit) {
        return Ok(());
    }
    Err(ErrorItem::with_content(ErrorCode::Other, format!("A message can have at most {limit} recipients.")))
}

fn send_time(data: &XmsData<'_>, profile: &Profile, now_unix_ms: i64) -> SendTime {
    match (data.scheduled, profile.scheduling) {
        (Some(at), _) if at.unix_milliseconds.saturating_sub(now_unix_ms) < SCHEDULE_AHEAD_MS_MIN => SendTime::Now,
        (Some(at), Scheduling::On) => SendTime::At(at.unix_milliseconds),
        (Some(_), Scheduling::Off) => SendTime::NowUnscheduled,
        (None, _) => SendTime::Now,
    }
}
