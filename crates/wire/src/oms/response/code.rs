//! The closed list of codes a client may be told. Knows spelling and severity; must not know causes.

/// A code of an `error` element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    Ok,
    InvalidUser,
    UnregisteredUser,
    ExpiredUser,
    UnregisteredService,
    CeasedService,
    InvalidRecipient,
    CrossCarrier,
    InvalidChar,
    InvalidMedia,
    LengthLimit,
    SizeLimit,
    SlidesLimit,
    PerDayMsgLimit,
    PerMonthMsgLimit,
    /// Not sent for want of balance.
    LowBalance,
    ServiceNetwork,
    NoScheduled,
    ServiceUpdate,
    Other,
    /// Seen only in vendor samples; what fails the format gets it.
    InvalidFormat,
    /// Seen only in vendor samples; surplus items of a batch get it.
    PerBatchMsgLimit,
}

/// How bad it is. A code the client does not know still works through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Neutral,
    Failure,
}

impl Severity {
    /// The spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Failure => "failure",
        }
    }
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::Ok,
        Self::InvalidUser,
        Self::UnregisteredUser,
        Self::ExpiredUser,
        Self::UnregisteredService,
        Self::CeasedService,
        Self::InvalidRecipient,
        Self::CrossCarrier,
        Self::InvalidChar,
        Self::InvalidMedia,
        Self::LengthLimit,
        Self::SizeLimit,
        Self::SlidesLimit,
        Self::PerDayMsgLimit,
        Self::PerMonthMsgLimit,
        Self::LowBalance,
        Self::ServiceNetwork,
        Self::NoScheduled,
        Self::ServiceUpdate,
        Self::Other,
        Self::InvalidFormat,
        Self::PerBatchMsgLimit,
    ];

    /// The spelling this service emits. Readers compare without regard to case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::InvalidUser => "invalidUser",
            Self::UnregisteredUser => "unregisteredUser",
            Self::ExpiredUser => "expiredUser",
            Self::UnregisteredService => "unregisteredService",
            Self::CeasedService => "ceasedService",
            Self::InvalidRecipient => "invalidRecipient",
            Self::CrossCarrier => "crossCarrier",
            Self::InvalidChar => "invalidChar",
            Self::InvalidMedia => "invalidMedia",
            Self::LengthLimit => "lengthLimit",
            Self::SizeLimit => "sizeLimit",
            Self::SlidesLimit => "slidesLimit",
            Self::PerDayMsgLimit => "perDayMsgLimit",
            Self::PerMonthMsgLimit => "perMonthMsgLimit",
            Self::LowBalance => "lowBalance",
            Self::ServiceNetwork => "serviceNetwork",
            Self::NoScheduled => "noScheduled",
            Self::ServiceUpdate => "serviceUpdate",
            Self::Other => "other",
            Self::InvalidFormat => "invalidFormat",
            Self::PerBatchMsgLimit => "perBatchMsgLimit",
        }
    }

    /// The severity this service emits with the code.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::Ok | Self::NoScheduled | Self::ServiceUpdate => Severity::Neutral,
            _ => Severity::Failure,
        }
    }

    /// Reads a code, with the synonyms vendor samples use. `None` for one that is not known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("unregistered") {
            return Some(Self::UnregisteredUser);
        }
        if text.eq_ignore_ascii_case("others") {
            return Some(Self::Other);
        }
        Self::ALL.into_iter().find(|code| code.name().eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(&code.name().to_uppercase()), Some(code));
        }
        assert_eq!(ErrorCode::parse("unregistered"), Some(ErrorCode::UnregisteredUser));
        assert_eq!(ErrorCode::parse("others"), Some(ErrorCode::Other));
        assert_eq!(ErrorCode::parse("nonsense"), None);
    }
}
