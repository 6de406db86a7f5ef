//! Application identifiers (WAP-251-PushMessage, the WINA list): which program on the phone gets a push. Knows no content.

use super::{
    WspError,
    value::{Reader, push_integer, push_text},
};

const FIELD: &str = "application id";

/// Which program on the phone gets it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApplicationId {
    /// A name. One of the nine that have a number travels as that.
    Name(String),
    /// A number of no such name; those from 0x8000 on are vendors'.
    Number(u32),
}

const NUMBERS: &[(u32, &str)] = &[
    (0x01, "push.sia"),
    (0x02, "wml.ua"),
    (0x04, "mms.ua"),
    (0x05, "push.syncml"),
    (0x06, "loc.ua"),
    (0x07, "syncml.dm"),
    (0x08, "drm.ua"),
    (0x09, "emn.ua"),
    (0x0a, "wv.ua"),
];

impl ApplicationId {
    /// An application by its name.
    pub fn named(name: &str) -> Self {
        Self::Name(name.to_owned())
    }

    fn of_number(number: u32) -> Self {
        let known = NUMBERS.iter().find(|(other, _)| *other == number);
        known.map_or(Self::Number(number), |(_, name)| Self::named(name))
    }

    pub(super) fn encode_into(&self, octets: &mut Vec<u8>) -> Result<(), WspError> {
        match self {
            Self::Number(number) => push_integer(*number, octets),
            Self::Name(name) => match NUMBERS.iter().find(|(_, other)| other == name) {
                Some((number, _)) => push_integer(*number, octets),
                None => push_text(name, FIELD, octets)?,
            },
        }
        Ok(())
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, WspError> {
        match reader.peek(FIELD)? {
            0x20..=0x7f => Ok(Self::Name(reader.text(FIELD)?)),
            _ => Ok(Self::of_number(reader.integer(FIELD)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(application: ApplicationId, expected: &[u8]) {
        let mut octets = Vec::new();
        application.encode_into(&mut octets).unwrap();
        assert_eq!(octets, expected);
        assert_eq!(ApplicationId::decode(&mut Reader::new(&octets)), Ok(application));
    }

    #[test]
    fn travels_as_a_number_where_it_has_one() {
        check(ApplicationId::named("push.syncml"), &[0x85]);
        check(ApplicationId::named("wv.ua"), &[0x8a]);
        check(ApplicationId::Number(0x9010), &[2, 0x90, 0x10]);
        check(ApplicationId::Number(3), &[0x83]);
        check(ApplicationId::named("x:y"), b"x:y\0");
        assert_eq!(ApplicationId::named("").encode_into(&mut vec![]), Err(WspError::Text { field: FIELD }));
    }
}
