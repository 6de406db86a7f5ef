//! Server alerted notifications of OMA DS 1.2 and OMA DM (OMA-TS-DS_Protocol 1.2, 12; OMA-TS-DM_Notification 1.2), the
//! binary packages that tell a phone to synchronise or to call its management server. Knows the bits; must not know how a
//! package travels, nor devices and accounts. The older XML form is [`crate::syncml`].

mod data_store;
mod digest;
mod notification;

pub use data_store::{ContentType, DATA_STORES_MAX, DataStore, SyncType};
pub use digest::{Credentials, DIGEST_OCTETS, Digest, Verdict};
pub use notification::{Body, Initiator, Notification, ProtocolVersion, Received, UiMode};

/// Octets of the longest server identifier or URI: its length is one octet.
pub const NAME_OCTETS_MAX: usize = 255;

/// Why octets are not a notification, or a value cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SanError {
    /// The octets end inside a field.
    #[error("notification ends inside `{field}`")]
    Cut {
        /// The field.
        field: &'static str,
    },
    /// A protocol version other than 1.0, 1.1 and 1.2.
    #[error("version `{tenths}` is not known")]
    Version {
        /// Ten times the version.
        tenths: u16,
    },
    /// A server identifier or URI that is empty or longer than its length octet can say.
    #[error("name of `{octets}` octets is not 1 to 255 octets long")]
    Name {
        /// Its octets.
        octets: usize,
    },
    /// More data stores than four bits can count.
    #[error("`{count}` data stores do not fit one notification")]
    TooManyDataStores {
        /// How many.
        count: usize,
    },
    /// A kind of synchronisation that must not be asked for.
    #[error("alert `{code}` must not be sent")]
    Alert {
        /// The alert code.
        code: u16,
    },
    /// A content type wider than 24 bits.
    #[error("content type `{code:#x}` does not fit")]
    ContentType {
        /// Its code.
        code: u32,
    },
}

/// Takes fields off the front of a notification.
struct Reader<'octets> {
    rest: &'octets [u8],
}

impl<'octets> Reader<'octets> {
    fn octets(&mut self, count: usize, field: &'static str) -> Result<&'octets [u8], SanError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SanError::Cut { field })?;
        self.rest = rest;
        Ok(taken)
    }

    fn octet(&mut self, field: &'static str) -> Result<u8, SanError> {
        Ok(self.octets(1, field)?[0])
    }

    /// A name with its length in front.
    fn name(&mut self, field: &'static str) -> Result<Vec<u8>, SanError> {
        let length = usize::from(self.octet(field)?);
        if length == 0 {
            return Err(SanError::Name { octets: 0 });
        }
        Ok(self.octets(length, field)?.to_vec())
    }
}

/// Writes a name with its length in front.
fn push_name(name: &[u8], octets: &mut Vec<u8>) -> Result<(), SanError> {
    if !(1..=NAME_OCTETS_MAX).contains(&name.len()) {
        return Err(SanError::Name { octets: name.len() });
    }
    octets.push(name.len() as u8);
    octets.extend_from_slice(name);
    Ok(())
}
