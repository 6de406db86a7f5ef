//! What a phone is asked to synchronise: one data store, how, and what is in it. Knows nothing of the package around it.

use super::{Reader, SanError, push_name};

/// Data stores one notification can name: their count is four bits.
pub const DATA_STORES_MAX: usize = 15;

/// The alert code that four bits of zero stand for.
const ALERT_BASE: u16 = 200;
const CONTENT_TYPE_MAX: u32 = 0x00ff_ffff;

/// One data store to synchronise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataStore {
    /// How.
    pub sync_type: SyncType,
    /// What is in it.
    pub content_type: ContentType,
    /// Its name on the phone, to the last bit: phones compare it with what their user typed.
    pub uri: Vec<u8>,
}

/// How to synchronise, as an alert code of SyncML DS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncType {
    /// 206: both ways.
    TwoWay,
    /// 207: the phone's changes only.
    OneWayFromClient,
    /// 208: the phone's data replace the server's.
    RefreshFromClient,
    /// 209: the server's changes only.
    OneWayFromServer,
    /// 210: the server's data replace the phone's.
    RefreshFromServer,
    /// Anything else that came in, as the four bits were. Never sent.
    Other(u8),
}

/// What is in a data store: a content-type code of WSP, without its high bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentType(pub u32);

impl SyncType {
    /// The kind of an alert code, if it may be sent.
    pub fn of_alert(code: u16) -> Option<Self> {
        let nibble = u8::try_from(code.checked_sub(ALERT_BASE)?).ok()?;
        match Self::of_nibble(nibble) {
            Self::Other(_) => None,
            known => Some(known),
        }
    }

    /// Its alert code.
    pub fn alert(self) -> u16 {
        ALERT_BASE + u16::from(self.nibble())
    }

    pub(super) fn of_nibble(nibble: u8) -> Self {
        match nibble {
            6 => Self::TwoWay,
            7 => Self::OneWayFromClient,
            8 => Self::RefreshFromClient,
            9 => Self::OneWayFromServer,
            10 => Self::RefreshFromServer,
            other => Self::Other(other),
        }
    }

    fn nibble(self) -> u8 {
        match self {
            Self::TwoWay => 6,
            Self::OneWayFromClient => 7,
            Self::RefreshFromClient => 8,
            Self::OneWayFromServer => 9,
            Self::RefreshFromServer => 10,
            Self::Other(nibble) => nibble,
        }
    }
}

impl ContentType {
    /// The sender does not say, or the type has no code.
    pub const UNSPECIFIED: Self = Self(0);

    /// The code of a media type; [`Self::UNSPECIFIED`] for one that has none.
    ///
    /// Of calendars and contacts most phones know only the older types, so senders should name those.
    pub fn of(media_type: &str) -> Self {
        Self(match media_type {
            "text/plain" => 0x03,
            "text/x-vcalendar" => 0x06,
            "text/x-vcard" => 0x07,
            "text/calendar" => 0x0305,
            "application/vnd.omads-email+xml" => 0x0306,
            "application/vnd.omads-file+xml" => 0x0307,
            "application/vnd.omads-folder+xml" => 0x0308,
            "text/directory;profile=vCard" => 0x0309,
            _ => 0,
        })
    }
}

impl DataStore {
    pub(super) fn encode_into(&self, octets: &mut Vec<u8>) -> Result<(), SanError> {
        let ContentType(code) = self.content_type;
        if let SyncType::Other(_) = self.sync_type {
            return Err(SanError::Alert { code: self.sync_type.alert() });
        }
        if code > CONTENT_TYPE_MAX {
            return Err(SanError::ContentType { code });
        }
        octets.push(self.sync_type.nibble() << 4);
        octets.extend_from_slice(&code.to_be_bytes()[1..]);
        push_name(&self.uri, octets)
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, SanError> {
        let sync_type = SyncType::of_nibble(reader.octet("sync type")? >> 4);
        let code = reader.octets(3, "content type")?;
        let content_type = ContentType(code.iter().fold(0, |code, octet| code << 8 | u32::from(*octet)));
        Ok(Self { sync_type, content_type, uri: reader.name("URI")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_five_alerts_may_be_sent() {
        let sendable: Vec<u16> = (0..=u16::MAX).filter(|&code| SyncType::of_alert(code).is_some()).collect();
        assert_eq!(sendable, [206, 207, 208, 209, 210]);
        assert!(sendable.iter().all(|&code| SyncType::of_alert(code).is_some_and(|known| known.alert() == code)));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let sync =
            DataStore { sync_type: SyncType::TwoWay, content_type: ContentType::UNSPECIFIED, uri: b"card".to_vec() };
        let encode = |sync: DataStore| sync.encode_into(&mut Vec::new());
        assert_eq!(encode(sync.clone()), Ok(()));
        assert_eq!(
            encode(DataStore { sync_type: SyncType::Other(0), ..sync.clone() }),
            Err(SanError::Alert { code: 200 })
        );
        assert_eq!(encode(DataStore { uri: vec![], ..sync.clone() }), Err(SanError::Name { octets: 0 }));
        assert_eq!(encode(DataStore { uri: vec![b'a'; 256], ..sync.clone() }), Err(SanError::Name { octets: 256 }));
        let content_type = ContentType(0x0100_0000);
        assert_eq!(encode(DataStore { content_type, ..sync }), Err(SanError::ContentType { code: 0x0100_0000 }));
    }
}
