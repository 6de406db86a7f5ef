//! Why a caller's request was not taken: a closed list that every door answers in its own words.

/// What a caller may learn about a refused request. Inner causes go to the log, never into the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// No credentials, or wrong ones.
    Unauthorized,
    /// The credentials do not allow this.
    Forbidden,
    /// The body is not what the door speaks (JSON, XML).
    Malformed,
    /// A field is missing or has a value that can't be.
    InvalidField,
    /// A recipient is no number.
    InvalidRecipient,
    /// No route leads to a recipient.
    NoRoute,
    /// The text has more segments than a message may have.
    TooLong,
    /// The text has characters that can't be sent.
    InvalidText,
    /// More recipients than one request may have.
    TooManyRecipients,
    /// The body is larger than the door takes.
    BodyTooLarge,
    /// The media type is not what the door speaks.
    UnsupportedMediaType,
    /// The method is not for this resource.
    MethodNotAllowed,
    /// There is no such thing, or it is another tenant's.
    NotFound,
    /// The idempotency key was used with another body.
    KeyReused,
    /// What is to be changed has gone too far for that.
    TooLate,
    /// It is another one than the caller's condition names.
    Changed,
    /// The message was here before, or came through too many installations.
    Loop,
    /// Devices of this model can't be notified.
    PushNotSupported,
    /// Devices of this model take no settings over the air.
    OtaNotSupported,
    /// No service of the tenant leads to the device: nothing is queued.
    NoWayOut,
    /// Another device has the number, or somebody says this one has another.
    NumberConflict,
    /// The name belongs to another.
    Taken,
    /// An address to synchronise at can't be read.
    BadSyncUrl,
    /// Too many requests.
    RateLimited,
    /// A queue is full; later it will not be.
    Busy,
    /// An engine behind the door can't be reached.
    Unavailable,
    /// The state does not have everything yet that was accepted: whether there is such a thing is not known.
    Behind,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Refusal; 27] = [
        Refusal::Unauthorized,
        Refusal::Forbidden,
        Refusal::Malformed,
        Refusal::InvalidField,
        Refusal::InvalidRecipient,
        Refusal::NoRoute,
        Refusal::TooLong,
        Refusal::InvalidText,
        Refusal::TooManyRecipients,
        Refusal::BodyTooLarge,
        Refusal::UnsupportedMediaType,
        Refusal::MethodNotAllowed,
        Refusal::NotFound,
        Refusal::KeyReused,
        Refusal::TooLate,
        Refusal::Changed,
        Refusal::Loop,
        Refusal::PushNotSupported,
        Refusal::OtaNotSupported,
        Refusal::NoWayOut,
        Refusal::NumberConflict,
        Refusal::Taken,
        Refusal::BadSyncUrl,
        Refusal::RateLimited,
        Refusal::Busy,
        Refusal::Unavailable,
        Refusal::Behind,
    ];

    /// The refusal's name: the end of the problem document's `type`, and a metric's label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Refusal::Unauthorized => "unauthorized",
            Refusal::Forbidden => "forbidden",
            Refusal::Malformed => "malformed",
            Refusal::InvalidField => "invalid-field",
            Refusal::InvalidRecipient => "invalid-recipient",
            Refusal::NoRoute => "no-route",
            Refusal::TooLong => "too-long",
            Refusal::InvalidText => "invalid-text",
            Refusal::TooManyRecipients => "too-many-recipients",
            Refusal::BodyTooLarge => "body-too-large",
            Refusal::UnsupportedMediaType => "unsupported-media-type",
            Refusal::MethodNotAllowed => "method-not-allowed",
            Refusal::NotFound => "not-found",
            Refusal::KeyReused => "key-reused",
            Refusal::TooLate => "too-late",
            Refusal::Changed => "changed",
            Refusal::Loop => "loop",
            Refusal::PushNotSupported => "push_not_supported",
            Refusal::OtaNotSupported => "ota_not_supported",
            Refusal::NoWayOut => "no_route",
            Refusal::NumberConflict => "number_conflict",
            Refusal::Taken => "taken",
            Refusal::BadSyncUrl => "bad_sync_url",
            Refusal::RateLimited => "rate-limited",
            Refusal::Busy => "busy",
            Refusal::Unavailable => "unavailable",
            Refusal::Behind => "behind",
        }
    }

    /// The HTTP status a REST door answers with.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Refusal::Malformed => 400,
            Refusal::Unauthorized => 401,
            Refusal::Forbidden => 403,
            Refusal::NotFound => 404,
            Refusal::MethodNotAllowed => 405,
            Refusal::TooLate
            | Refusal::PushNotSupported
            | Refusal::OtaNotSupported
            | Refusal::NoWayOut
            | Refusal::NumberConflict
            | Refusal::Taken => 409,
            Refusal::Changed => 412,
            Refusal::BodyTooLarge => 413,
            Refusal::UnsupportedMediaType => 415,
            Refusal::KeyReused
            | Refusal::InvalidField
            | Refusal::InvalidRecipient
            | Refusal::NoRoute
            | Refusal::TooLong
            | Refusal::InvalidText
            | Refusal::TooManyRecipients
            | Refusal::BadSyncUrl => 422,
            Refusal::RateLimited => 429,
            Refusal::Busy | Refusal::Unavailable | Refusal::Behind => 503,
            Refusal::Loop => 508,
        }
    }

    /// What went wrong, in a few words that hold for every case.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Refusal::Unauthorized => "credentials are missing or wrong",
            Refusal::Forbidden => "the credentials do not allow this",
            Refusal::Malformed => "the body can't be read",
            Refusal::InvalidField => "a field is missing or wrong",
            Refusal::InvalidRecipient => "a recipient is not a phone number",
            Refusal::NoRoute => "no route leads to a recipient",
            Refusal::TooLong => "the text is too long",
            Refusal::InvalidText => "the text has characters that can't be sent",
            Refusal::TooManyRecipients => "too many recipients",
            Refusal::BodyTooLarge => "the body is too large",
            Refusal::UnsupportedMediaType => "the media type is not supported",
            Refusal::MethodNotAllowed => "the method is not allowed here",
            Refusal::NotFound => "there is no such resource",
            Refusal::KeyReused => "the idempotency key was used with another body",
            Refusal::TooLate => "it is too late for that",
            Refusal::Changed => "it is not what the request's condition says",
            Refusal::Loop => "the message goes in a circle, or through too many installations",
            Refusal::PushNotSupported => "the device's model can't be notified",
            Refusal::OtaNotSupported => "the device's model takes no settings",
            Refusal::NoWayOut => "nothing leads to the device",
            Refusal::NumberConflict => "the number is in dispute",
            Refusal::Taken => "another has it already",
            Refusal::BadSyncUrl => "the synchronisation address can't be read",
            Refusal::RateLimited => "too many requests",
            Refusal::Busy => "the system is full; try again later",
            Refusal::Unavailable => "the system can't take this now; try again later",
            Refusal::Behind => "the state has not caught up with what was accepted; try again later",
        }
    }
}
