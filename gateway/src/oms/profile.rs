//! A tenant's OMS settings and its users' in the words of the protocol. Knows both; decides nothing.

use model::party::{OmsProfile, OmsService, OmsUser, Tenant, UserState};
use wire::oms::Limits;
use wire::oms::check::{MmsLimits, PartJoining, Profile, Scheduling, Service, SmsLimits, Subscription};
use wire::oms::response::{Declaration, ErrorCode, ServiceInfo, ServiceInfoNamespace};

use crate::run::Gateway;
use crate::snapshot::Snapshot;

/// Whether the tenant's multimedia messages may wait here for phones, and these hear of them by short messages.
pub(super) fn is_by_notice(oms: &OmsProfile, gateway: &Gateway) -> bool {
    oms.mms.is_some_and(|mms| mms.by_notice) && gateway.shelf.is_open()
}

/// What the tenant's service offers and allows. Multimedia messages are offered only where a route carries them, or phones fetch
/// them here.
pub(super) fn profile(oms: &OmsProfile, snapshot: &Snapshot, gateway: &Gateway) -> Profile {
    let sms = SmsLimits {
        recipients_max: oms.recipients_max,
        parts_max: oms.messages_max,
        sbcs_max: oms.sbcs_max,
        dbcs_max: oms.dbcs_max,
    };
    let mms = oms.mms.filter(|_| snapshot.has_multimedia_route() || is_by_notice(oms, gateway)).map(|mms| MmsLimits {
        supports_slides: mms.slides,
        recipients_max: mms.recipients_max,
        size_bytes_max: u64::from(mms.size_bytes_max),
        slides_max: mms.slides_max,
    });
    Profile {
        sms: oms.sms.then_some(sms),
        mms,
        batch_items_max: usize::try_from(oms.batch_max).unwrap_or(usize::MAX),
        schedule_days_max: (oms.schedule_days_max > 0).then_some(oms.schedule_days_max),
        scheduling: if oms.scheduling { Scheduling::On } else { Scheduling::Off },
        part_joining: if oms.join_parts { PartJoining::Join } else { PartJoining::Keep },
        words_refused: oms.words_refused.iter().map(|word| word.as_str().into()).collect(),
    }
}

/// How much of an argument is read: twice the largest multimedia message in base64 at least.
pub(super) fn limits(profile: &Profile) -> Limits {
    let defaults = Limits::default();
    let media_bytes = profile.mms.as_ref().map_or(0, |mms| mms.size_bytes_max);
    let encoded_twice = usize::try_from(media_bytes.saturating_mul(8).div_ceil(3)).unwrap_or(usize::MAX);
    Limits { argument_bytes_max: defaults.argument_bytes_max.max(encoded_twice), ..defaults }
}

/// How the tenant's result documents begin.
pub(super) const fn declaration(oms: &OmsProfile) -> Declaration {
    if oms.declares_utf16 { Declaration::Utf16 } else { Declaration::None }
}

/// The `serviceInfo` document.
pub(super) fn service_info(tenant: &Tenant, profile: &Profile, service_uri: &str) -> String {
    let oms = &tenant.oms;
    let sign_up_page = sign_up_page(oms, service_uri);
    let info = ServiceInfo {
        provider: &oms.service_provider,
        service_uri,
        sign_up_page: &sign_up_page,
        target_locale: oms.target_locale,
        local_name: &oms.local_name,
        english_name: &oms.english_name,
        sms: profile.sms.as_ref(),
        mms: profile.mms.as_ref(),
        namespace: match oms.info_in_base_namespace {
            true => ServiceInfoNamespace::Oms,
            false => ServiceInfoNamespace::ServiceInfo,
        },
    };
    info.document(declaration(oms))
}

/// The tenant's own page, or ours beside the service, if users sign up here.
fn sign_up_page(oms: &OmsProfile, service_uri: &str) -> String {
    let beside = || service_uri.strip_suffix("/oms/service.asmx").filter(|_| oms.sign_up.is_some());
    match oms.sign_up_page.as_str() {
        "" => beside().map(|base| format!("{base}/signup")).unwrap_or_default(),
        own => own.to_owned(),
    }
}

/// What a user has subscribed to.
pub(super) fn subscription(user: &OmsUser) -> Subscription {
    Subscription::of(|service| match service {
        Service::Sms => user.services.contains(&OmsService::Sms),
        Service::Mms => user.services.contains(&OmsService::Mms),
    })
}

/// What a user who gave the right password is told instead of being served.
pub(super) const fn state_refusal(state: UserState) -> Option<ErrorCode> {
    match state {
        UserState::Active => None,
        UserState::Unregistered => Some(ErrorCode::UnregisteredUser),
        UserState::Expired => Some(ErrorCode::ExpiredUser),
        UserState::Ceased => Some(ErrorCode::CeasedService),
    }
}
