//! The package: digest, header, body, vendor's octets. Knows nothing of how it travels.

use super::{Credentials, DATA_STORES_MAX, DIGEST_OCTETS, DataStore, Digest, Reader, SanError, Verdict, push_name};

/// Octets of digest and header up to the server identifier.
const HEADER_OCTETS_MIN: usize = 24;

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// How much the user shall notice.
    pub ui_mode: UiMode,
    /// Who wants the session.
    pub initiator: Initiator,
    /// The session the phone is to name.
    pub session_id: u16,
    /// The server's identifier, as the phone has it in its settings.
    pub server_id: Vec<u8>,
    /// What is to be done.
    pub body: Body,
    /// Octets the standard leaves to vendors, at the end.
    pub vendor: Vec<u8>,
}

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtocolVersion {
    /// 1.0
    V1_0,
    /// 1.1
    V1_1,
    /// 1.2
    #[default]
    V1_2,
}

/// How much the user shall notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum UiMode {
    /// The sender does not care.
    NotSpecified = 0,
    /// Nothing.
    Background = 1,
    /// That it happens.
    Informative = 2,
    /// A question, before it happens.
    UserInteraction = 3,
}

/// Who wants the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// The user, or the phone.
    Client,
    /// The server.
    Server,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Data synchronisation of these stores. None at all means every one the phone has: some phones refuse that.
    DataSync(Vec<DataStore>),
    /// Device management: call the server.
    DeviceManagement,
}

/// A notification that came in, with what its digest was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<'octets> {
    /// What it says.
    pub notification: Notification,
    /// The digest it came with.
    pub digest: Digest,
    /// All after the digest, as it came: bits that are for future use count too.
    pub trigger: &'octets [u8],
}

impl Received<'_> {
    /// Says whether the digest was made with the server's identifier of this notification and these secrets.
    pub fn verify(&self, password: &[u8], nonce: &[u8]) -> Verdict {
        let credentials = Credentials { server_id: &self.notification.server_id, password, nonce };
        self.digest.verify(self.trigger, &credentials)
    }
}

impl Notification {
    /// Writes the package with a digest made with these secrets and the server's own identifier.
    ///
    /// # Errors
    /// [`SanError`] if a name is empty or too long, there are too many stores, or an alert must not be sent.
    pub fn encode(&self, password: &[u8], nonce: &[u8]) -> Result<Vec<u8>, SanError> {
        let trigger = self.trigger()?;
        let credentials = Credentials { server_id: &self.server_id, password, nonce };
        let Digest(digest) = Digest::of(&trigger, &credentials);
        Ok([&digest[..], &trigger].concat())
    }

    /// Writes the package of a server that knows no password: the digest is zero.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_unsigned(&self) -> Result<Vec<u8>, SanError> {
        let Digest(digest) = Digest::ABSENT;
        Ok([&digest[..], &self.trigger()?].concat())
    }

    /// Reads a notification of data synchronisation.
    ///
    /// # Errors
    /// [`SanError`] if it is cut, or of an unknown version.
    pub fn decode_data_sync(octets: &[u8]) -> Result<Received<'_>, SanError> {
        Self::decode(octets, |reader| {
            let count = reader.octet("number of syncs")? >> 4;
            (0..count).map(|_| DataStore::decode(reader)).collect::<Result<_, _>>().map(Body::DataSync)
        })
    }

    /// Reads a notification of device management.
    ///
    /// # Errors
    /// As [`Self::decode_data_sync`].
    pub fn decode_device_management(octets: &[u8]) -> Result<Received<'_>, SanError> {
        Self::decode(octets, |_| Ok(Body::DeviceManagement))
    }

    fn decode<'octets>(
        octets: &'octets [u8],
        body: impl FnOnce(&mut Reader<'octets>) -> Result<Body, SanError>,
    ) -> Result<Received<'octets>, SanError> {
        if octets.len() < HEADER_OCTETS_MIN {
            return Err(SanError::Cut { field: "header" });
        }
        let mut reader = Reader { rest: octets };
        let digest = reader.octets(DIGEST_OCTETS, "digest")?.try_into().expect("sixteen octets were taken");
        let bits = reader.octets(5, "header")?;
        let session_id = reader.octets(2, "session id")?.try_into().expect("two octets were taken");
        let notification = Self {
            version: ProtocolVersion::of_tenths(u16::from(bits[0]) << 2 | u16::from(bits[1] >> 6))?,
            ui_mode: UiMode::of(bits[1] >> 4),
            initiator: if bits[1] & 0b1000 == 0 { Initiator::Client } else { Initiator::Server },
            session_id: u16::from_be_bytes(session_id),
            server_id: reader.name("server identifier")?,
            body: body(&mut reader)?,
            vendor: reader.rest.to_vec(),
        };
        Ok(Received { notification, digest: Digest(digest), trigger: &octets[DIGEST_OCTETS..] })
    }

    /// All after the digest.
    fn trigger(&self) -> Result<Vec<u8>, SanError> {
        let version = self.version.tenths();
        let initiator = if self.initiator == Initiator::Server { 0b1000 } else { 0 };
        let second = (version << 6) as u8 | (self.ui_mode as u8) << 4 | initiator;
        let mut octets = vec![(version >> 2) as u8, second, 0, 0, 0];
        octets.extend_from_slice(&self.session_id.to_be_bytes());
        push_name(&self.server_id, &mut octets)?;
        if let Body::DataSync(syncs) = &self.body {
            if syncs.len() > DATA_STORES_MAX {
                return Err(SanError::TooManyDataStores { count: syncs.len() });
            }
            octets.push((syncs.len() as u8) << 4);
            syncs.iter().try_for_each(|sync| sync.encode_into(&mut octets))?;
        }
        octets.extend_from_slice(&self.vendor);
        Ok(octets)
    }
}

impl ProtocolVersion {
    /// The version of ten times its number.
    ///
    /// # Errors
    /// [`SanError::Version`] if there is none.
    pub fn of_tenths(tenths: u16) -> Result<Self, SanError> {
        match tenths {
            10 => Ok(Self::V1_0),
            11 => Ok(Self::V1_1),
            12 => Ok(Self::V1_2),
            _ => Err(SanError::Version { tenths }),
        }
    }

    /// Ten times its number.
    pub fn tenths(self) -> u16 {
        match self {
            Self::V1_0 => 10,
            Self::V1_1 => 11,
            Self::V1_2 => 12,
        }
    }
}

impl UiMode {
    /// The mode of two bits; higher bits are ignored.
    pub fn of(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::NotSpecified,
            1 => Self::Background,
            2 => Self::Informative,
            _ => Self::UserInteraction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::san::{ContentType, SyncType};

    fn notification() -> Notification {
        let sync = |uri: &[u8]| DataStore {
            sync_type: SyncType::TwoWay,
            content_type: ContentType::of("text/x-vcard"),
            uri: uri.to_vec(),
        };
        Notification {
            version: ProtocolVersion::V1_2,
            ui_mode: UiMode::Background,
            initiator: Initiator::Server,
            session_id: 0x0102,
            server_id: b"icewarp".to_vec(),
            body: Body::DataSync(vec![sync(b"Contacts"), sync(b"contacts")]),
            vendor: vec![],
        }
    }

    #[test]
    fn the_header_is_as_the_standard_draws_it() {
        let octets = notification().encode(b"secret", b"").unwrap();
        assert_eq!(octets[DIGEST_OCTETS..][..8], [0x03, 0x18, 0, 0, 0, 0x01, 0x02, 7]);
        let received = Notification::decode_data_sync(&octets).unwrap();
        assert_eq!(received.notification, notification());
        assert_eq!(received.verify(b"secret", b""), Verdict::Good);
        assert_eq!(received.verify(b"Secret", b""), Verdict::Wrong);
    }

    #[test]
    fn every_cut_is_an_error() {
        let octets = notification().encode_unsigned().unwrap();
        assert!((0..octets.len()).all(|length| Notification::decode_data_sync(&octets[..length]).is_err()));
        assert_eq!(
            Notification::decode_data_sync(&octets).map(|received| received.verify(b"", b"")),
            Ok(Verdict::Absent)
        );
    }

    #[test]
    fn bits_for_future_use_may_be_set() {
        let mut octets = notification().encode_unsigned().unwrap();
        octets[DIGEST_OCTETS + 1] |= 0b111;
        octets[DIGEST_OCTETS + 2] = 0xff;
        let received = Notification::decode_data_sync(&octets).unwrap();
        assert_eq!(received.notification, notification());
        // They are part of what the digest proves.
        let digest = Digest::of(received.trigger, &Credentials { server_id: b"icewarp", password: b"", nonce: b"" });
        assert_eq!(Received { digest, ..received }.verify(b"", b""), Verdict::Good);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let Body::DataSync(syncs) = notification().body else { unreachable!("it is data synchronisation") };
        let body = Body::DataSync(syncs.iter().cycle().take(DATA_STORES_MAX + 1).cloned().collect());
        let too_many = Notification { body, ..notification() };
        assert_eq!(too_many.encode_unsigned(), Err(SanError::TooManyDataStores { count: 16 }));
        let nameless = Notification { server_id: vec![], ..notification() };
        assert_eq!(nameless.encode_unsigned(), Err(SanError::Name { octets: 0 }));
    }
}
