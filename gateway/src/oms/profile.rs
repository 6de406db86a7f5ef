//! A tenant's OMS settings in the words of the protocol. Knows both; decides nothing.

use model::party::{OmsProfile, Tenant, UserState};
use wire::oms::check::{PartJoining, Profile, Scheduling, SmsLimits};
use wire::oms::response::{Declaration, ErrorCode, ServiceInfo, ServiceInfoNamespace};

/// What the tenant's service offers and allows. Multimedia messages are not offered.
pub(super) fn profile(oms: &OmsProfile) -> Profile {
    Profile {
        sms: Some(SmsLimits {
            recipients_max: oms.recipients_max,
            parts_max: oms.messages_max,
            sbcs_max: oms.sbcs_max,
            dbcs_max: oms.dbcs_max,
        }),
        mms: None,
        batch_items_max: usize::try_from(oms.batch_max).unwrap_or(usize::MAX),
        schedule_days_max: (oms.schedule_days_max > 0).then_some(oms.schedule_days_max),
        scheduling: if oms.scheduling { Scheduling::On } else { Scheduling::Off },
        part_joining: if oms.join_parts { PartJoining::Join } else { PartJoining::Keep },
        words_refused: Vec::new(),
    }
}

/// The `serviceInfo` document.
pub(super) fn service_info(tenant: &Tenant, profile: &Profile, service_uri: &str) -> String {
    let oms = &tenant.oms;
    let info = ServiceInfo {
        provider: &oms.service_provider,
        service_uri,
        sign_up_page: &oms.sign_up_page,
        target_locale: oms.target_locale,
        local_name: &oms.local_name,
        english_name: &oms.english_name,
        sms: profile.sms.as_ref(),
        mms: profile.mms.as_ref(),
        namespace: ServiceInfoNamespace::default(),
    };
    info.document(Declaration::default())
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
