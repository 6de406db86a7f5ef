//! What an error code of a modem means for the message, the SIM and the device. A table; must not know states or retries.

use std::fmt;
use std::ops::RangeInclusive;

/// An error answer of a modem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// `+CMS ERROR: n` (3GPP TS 27.005, 3.2.5).
    Cms(u16),
    /// `+CME ERROR: n` (3GPP TS 27.007, 9.2).
    Cme(u16),
    /// `ERROR` without a code.
    Bare,
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The message can never be sent; the modem is fine.
    Message,
    /// Later, or another modem, may succeed.
    Retry,
    /// The SIM cannot be used.
    Sim,
    /// There is no network.
    Network,
    /// The device is in trouble.
    Device,
    /// We wrote something the modem rightly refuses.
    Bug,
    /// The network has the message already.
    AlreadyAccepted,
    /// The message may be out (only after the PDU was written).
    Unknown,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cms(code) => write!(f, "CMS {code}"),
            Self::Cme(code) => write!(f, "CME {code}"),
            Self::Bare => f.write_str("ERROR"),
        }
    }
}

/// One row: these codes are of `class`, and of `then` from the `from`th in a row on.
struct Row {
    codes: RangeInclusive<u16>,
    class: Class,
    from: u32,
    then: Class,
}

const fn row(codes: RangeInclusive<u16>, class: Class) -> Row {
    Row { codes, class, from: u32::MAX, then: class }
}

const fn turning(codes: RangeInclusive<u16>, class: Class, from: u32, then: Class) -> Row {
    Row { codes, class, from, then }
}

use Class::{AlreadyAccepted, Bug, Device, Message, Network, Retry, Sim, Unknown};

/// 3GPP TS 24.011 E.2 up to 127, 3GPP TS 23.040 9.2.3.22 up to 255, 3GPP TS 27.005 3.2.5 from 300 on.
const CMS: &[Row] = &[
    row(1..=1, Message),
    row(8..=8, Sim),
    row(10..=10, Sim),
    turning(21..=21, Retry, 3, Sim),
    row(28..=30, Sim),
    turning(38..=38, Retry, 5, Network),
    turning(41..=41, Retry, 3, Device),
    row(50..=50, Sim),
    row(69..=69, Sim),
    turning(81..=81, Retry, 2, Bug),
    turning(95..=99, Retry, 2, Bug),
    turning(111..=111, Retry, 2, Bug),
    turning(127..=127, Retry, 3, Sim),
    row(128..=159, Message),
    row(160..=176, Bug),
    row(193..=193, Sim),
    row(195..=196, Message),
    row(197..=197, AlreadyAccepted),
    row(198..=199, Bug),
    row(208..=208, Device),
    row(211..=211, Device),
    row(300..=303, Device),
    row(304..=305, Bug),
    row(310..=313, Sim),
    row(314..=314, Retry),
    row(315..=318, Sim),
    row(320..=322, Device),
    row(330..=330, Sim),
    row(331..=331, Network),
    row(332..=332, Unknown),
    turning(500..=500, Retry, 3, Device),
    turning(512..=u16::MAX, Retry, 3, Device),
];

/// 3GPP TS 27.007 9.2.
const CME: &[Row] = &[
    row(3..=4, Bug),
    row(10..=13, Sim),
    row(14..=14, Retry),
    row(15..=18, Sim),
    row(20..=20, Device),
    row(30..=30, Network),
    row(31..=31, Unknown),
    row(32..=32, Network),
    row(100..=100, Device),
    row(103..=103, Sim),
    row(106..=106, Sim),
    row(111..=113, Sim),
    row(256..=256, Retry),
    row(262..=262, Sim),
    row(515..=515, Retry),
    row(772..=772, Device),
];

impl Fault {
    /// The class of this fault when it is the `in_a_row`th of its kind without a success between (1: the first).
    /// `Unknown` is for a PDU that was written; before the PDU the same code means no network.
    pub fn class(self, in_a_row: u32) -> Class {
        let (table, code) = match self {
            Self::Cms(code) => (CMS, code),
            Self::Cme(code) => (CME, code),
            Self::Bare => return if in_a_row < 2 { Device } else { Bug },
        };
        match table.iter().find(|row| row.codes.contains(&code)) {
            Some(row) if in_a_row >= row.from => row.then,
            Some(row) => row.class,
            None => Retry,
        }
    }

    /// The code as one number for records: CMS as it is, CME from 10,000 on, `ERROR` as 65,535.
    pub fn number(self) -> u16 {
        match self {
            Self::Cms(code) => code,
            Self::Cme(code) => code.saturating_add(10_000),
            Self::Bare => u16::MAX,
        }
    }

    /// The SIM or the modem is busy and will answer soon (3GPP TS 27.007, 9.2).
    pub(super) fn is_busy(self) -> bool {
        matches!(self, Self::Cme(14 | 256 | 515) | Self::Cms(314 | 515))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fault: Fault, in_a_row: u32, expected: Class) {
        assert_eq!(fault.class(in_a_row), expected, "{fault}, {in_a_row} in a row");
    }

    #[test]
    fn every_code_has_a_class() {
        check(Fault::Cms(1), 9, Message);
        check(Fault::Cms(8), 1, Sim);
        check(Fault::Cms(17), 1, Retry);
        check(Fault::Cms(21), 2, Retry);
        check(Fault::Cms(21), 3, Sim);
        check(Fault::Cms(38), 4, Retry);
        check(Fault::Cms(38), 5, Network);
        check(Fault::Cms(97), 1, Retry);
        check(Fault::Cms(97), 2, Bug);
        check(Fault::Cms(193), 1, Sim);
        check(Fault::Cms(197), 1, AlreadyAccepted);
        check(Fault::Cms(304), 1, Bug);
        check(Fault::Cms(322), 1, Device);
        check(Fault::Cms(332), 1, Unknown);
        check(Fault::Cms(500), 2, Retry);
        check(Fault::Cms(500), 3, Device);
        check(Fault::Cms(529), 1, Retry);
        check(Fault::Cme(10), 1, Sim);
        check(Fault::Cme(30), 1, Network);
        check(Fault::Cme(31), 1, Unknown);
        check(Fault::Cme(515), 1, Retry);
        check(Fault::Cme(9999), 1, Retry);
        check(Fault::Bare, 1, Device);
        check(Fault::Bare, 2, Bug);
    }

    #[test]
    fn rows_are_in_order_and_do_not_overlap() {
        for table in [CMS, CME] {
            for pair in table.windows(2) {
                assert!(pair[0].codes.end() < pair[1].codes.start(), "{:?} and {:?}", pair[0].codes, pair[1].codes);
            }
        }
    }
}
