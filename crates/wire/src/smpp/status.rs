//! What a response says (SMPP 3.4, 5.1.3) and what follows from it. Knows codes; must not know deliveries.

use std::fmt;

/// `command_status`, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u32);

/// What a status means for a message that was to be submitted. But for [`Class::Uncertain`] it was surely not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It was taken.
    Taken,
    /// Not now; another attempt may succeed, here or elsewhere.
    Temporary,
    /// Not through this bind, whatever the message: another attempt may succeed, and the bind must be made anew.
    Bind,
    /// Too much at once: another attempt may succeed, and the link must slow down.
    Throttled,
    /// Never: the message itself is refused.
    Permanent,
    /// It may have been taken.
    Uncertain,
}

/// Codes with their names and classes. What is not here is a supplier's own, and [`Class::Temporary`] until he says otherwise.
const CODES: &[(u32, &str, Class)] = &[
    (0x00, "ESME_ROK", Class::Taken),
    (0x01, "ESME_RINVMSGLEN", Class::Permanent),
    (0x02, "ESME_RINVCMDLEN", Class::Permanent),
    (0x03, "ESME_RINVCMDID", Class::Permanent),
    (0x04, "ESME_RINVBNDSTS", Class::Bind),
    (0x05, "ESME_RALYBND", Class::Bind),
    (0x06, "ESME_RINVPRTFLG", Class::Permanent),
    (0x07, "ESME_RINVREGDLVFLG", Class::Permanent),
    (0x08, "ESME_RSYSERR", Class::Temporary),
    (0x0a, "ESME_RINVSRCADR", Class::Permanent),
    (0x0b, "ESME_RINVDSTADR", Class::Permanent),
    (0x0c, "ESME_RINVMSGID", Class::Permanent),
    (0x0d, "ESME_RBINDFAIL", Class::Bind),
    (0x0e, "ESME_RINVPASWD", Class::Bind),
    (0x0f, "ESME_RINVSYSID", Class::Bind),
    (0x11, "ESME_RCANCELFAIL", Class::Permanent),
    (0x13, "ESME_RREPLACEFAIL", Class::Permanent),
    (0x14, "ESME_RMSGQFUL", Class::Throttled),
    (0x15, "ESME_RINVSERTYP", Class::Permanent),
    (0x33, "ESME_RINVNUMDESTS", Class::Permanent),
    (0x34, "ESME_RINVDLNAME", Class::Permanent),
    (0x40, "ESME_RINVDESTFLAG", Class::Permanent),
    (0x42, "ESME_RINVSUBREP", Class::Permanent),
    (0x43, "ESME_RINVESMCLASS", Class::Permanent),
    (0x44, "ESME_RCNTSUBDL", Class::Permanent),
    (0x45, "ESME_RSUBMITFAIL", Class::Temporary),
    (0x48, "ESME_RINVSRCTON", Class::Permanent),
    (0x49, "ESME_RINVSRCNPI", Class::Permanent),
    (0x50, "ESME_RINVDSTTON", Class::Permanent),
    (0x51, "ESME_RINVDSTNPI", Class::Permanent),
    (0x53, "ESME_RINVSYSTYP", Class::Bind),
    (0x54, "ESME_RINVREPFLAG", Class::Permanent),
    (0x55, "ESME_RINVNUMMSGS", Class::Permanent),
    (0x58, "ESME_RTHROTTLED", Class::Throttled),
    (0x61, "ESME_RINVSCHED", Class::Permanent),
    (0x62, "ESME_RINVEXPIRY", Class::Permanent),
    (0x63, "ESME_RINVDFTMSGID", Class::Permanent),
    (0x64, "ESME_RX_T_APPN", Class::Temporary),
    (0x65, "ESME_RX_P_APPN", Class::Permanent),
    (0x66, "ESME_RX_R_APPN", Class::Permanent),
    (0x67, "ESME_RQUERYFAIL", Class::Permanent),
    (0xc0, "ESME_RINVOPTPARSTREAM", Class::Permanent),
    (0xc1, "ESME_ROPTPARNOTALLWD", Class::Permanent),
    (0xc2, "ESME_RINVPARLEN", Class::Permanent),
    (0xc3, "ESME_RMISSINGOPTPARAM", Class::Permanent),
    (0xc4, "ESME_RINVOPTPARAMVAL", Class::Permanent),
    (0xfe, "ESME_RDELIVERYFAILURE", Class::Temporary),
    (0xff, "ESME_RUNKNOWNERR", Class::Temporary),
];

impl Status {
    /// All is well.
    pub const OK: Self = Self(0x00);
    /// The length is none.
    pub const INVALID_LENGTH: Self = Self(0x02);
    /// There is no such command.
    pub const INVALID_COMMAND: Self = Self(0x03);
    /// Not in this state.
    pub const INVALID_BIND_STATUS: Self = Self(0x04);
    /// Already bound.
    pub const ALREADY_BOUND: Self = Self(0x05);
    /// Something is wrong here.
    pub const SYSTEM_ERROR: Self = Self(0x08);
    /// The destination is refused.
    pub const INVALID_DESTINATION: Self = Self(0x0b);
    /// The password is wrong.
    pub const INVALID_PASSWORD: Self = Self(0x0e);
    /// The system id is unknown.
    pub const INVALID_SYSTEM_ID: Self = Self(0x0f);
    /// The queue is full.
    pub const QUEUE_FULL: Self = Self(0x14);
    /// Slower, please.
    pub const THROTTLED: Self = Self(0x58);
    /// What was delivered cannot be kept now; it is to be delivered again.
    pub const NOT_NOW: Self = Self(0x64);
    /// What was delivered cannot be read; it is not to be delivered again.
    pub const NEVER: Self = Self(0x65);

    /// What it means for a message, unless the supplier has a meaning of his own.
    pub fn class(self) -> Class {
        self.row().map_or(Class::Temporary, |(_, _, class)| *class)
    }

    /// Its name in the standard.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|(_, name, _)| *name)
    }

    fn row(self) -> Option<&'static (u32, &'static str, Class)> {
        CODES.binary_search_by_key(&self.0, |(code, ..)| *code).ok().map(|at| &CODES[at])
    }
}

/// For people: the name, or the number of a supplier's own code.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "status {:#06x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order() {
        assert!(CODES.is_sorted_by(|one, next| one.0 < next.0));
    }

    #[track_caller]
    fn check(code: u32, class: Class, shown: &str) {
        assert_eq!((Status(code).class(), Status(code).to_string().as_str()), (class, shown));
    }

    #[test]
    fn classes_and_names() {
        check(0, Class::Taken, "ESME_ROK");
        check(0x58, Class::Throttled, "ESME_RTHROTTLED");
        check(0x14, Class::Throttled, "ESME_RMSGQFUL");
        check(0x0b, Class::Permanent, "ESME_RINVDSTADR");
        check(0x08, Class::Temporary, "ESME_RSYSERR");
        check(0x04, Class::Bind, "ESME_RINVBNDSTS");
        check(0x0400, Class::Temporary, "status 0x0400");
        check(u32::MAX, Class::Temporary, "status 0xffffffff");
    }
}
