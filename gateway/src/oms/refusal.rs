//! The house's refusals and the protocol's codes, one in terms of the other. Knows both lists, whole.

use model::Refusal;
use wire::oms::response::ErrorCode;

/// What a client hears when the accept path refuses. By then every check of the protocol has passed, so most of these
/// cannot come; each has its answer all the same.
pub(super) const fn error_code(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Busy | Refusal::Unavailable | Refusal::Behind | Refusal::RateLimited => ErrorCode::ServiceNetwork,
        Refusal::Unauthorized => ErrorCode::InvalidUser,
        Refusal::Forbidden => ErrorCode::UnregisteredUser,
        Refusal::Malformed | Refusal::UnsupportedMediaType => ErrorCode::InvalidFormat,
        Refusal::InvalidRecipient => ErrorCode::InvalidRecipient,
        Refusal::NoRoute => ErrorCode::CrossCarrier,
        Refusal::TooLong => ErrorCode::LengthLimit,
        Refusal::BodyTooLarge => ErrorCode::SizeLimit,
        Refusal::InvalidText => ErrorCode::InvalidChar,
        Refusal::InvalidField
        | Refusal::TooManyRecipients
        | Refusal::MethodNotAllowed
        | Refusal::NotFound
        | Refusal::KeyReused
        | Refusal::TooLate
        | Refusal::Loop
        | Refusal::PushNotSupported
        | Refusal::OtaNotSupported
        | Refusal::NoWayOut
        | Refusal::NumberConflict
        | Refusal::Taken
        | Refusal::BadSyncUrl
        | Refusal::Changed => ErrorCode::Other,
    }
}

/// How a failure is counted. `None`: it is no failure.
pub(super) const fn refusal_of(code: ErrorCode) -> Option<Refusal> {
    Some(match code {
        ErrorCode::Ok | ErrorCode::NoScheduled | ErrorCode::ServiceUpdate => return None,
        ErrorCode::InvalidUser => Refusal::Unauthorized,
        ErrorCode::UnregisteredUser
        | ErrorCode::ExpiredUser
        | ErrorCode::UnregisteredService
        | ErrorCode::CeasedService
        | ErrorCode::LowBalance => Refusal::Forbidden,
        ErrorCode::InvalidRecipient => Refusal::InvalidRecipient,
        ErrorCode::CrossCarrier => Refusal::NoRoute,
        ErrorCode::InvalidChar | ErrorCode::InvalidMedia => Refusal::InvalidText,
        ErrorCode::LengthLimit | ErrorCode::SizeLimit | ErrorCode::SlidesLimit => Refusal::TooLong,
        ErrorCode::PerDayMsgLimit | ErrorCode::PerMonthMsgLimit | ErrorCode::PerBatchMsgLimit => Refusal::RateLimited,
        ErrorCode::ServiceNetwork => Refusal::Unavailable,
        ErrorCode::Other => Refusal::InvalidField,
        ErrorCode::InvalidFormat => Refusal::Malformed,
    })
}
