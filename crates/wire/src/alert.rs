//! A whole message that tells a device to synchronise, or that offers it settings: package, push, datagram, parts. Knows which
//! form wraps which; must not know accounts, when to tell, nor how parts reach a modem.
//!
//! It draws nothing: the same alert makes the same octets, so that what was promised before a crash is what is sent after it.

use model::push::{Resource, San};
use model::record::Binary;

use crate::datagram::{Datagram, PORT_PUSH, PORT_SESSION};
use crate::provisioning::{self, ProvisioningError, Security, SyncAccount};
use crate::san::{
    Body, ContentType, DATA_STORES_MAX, DataStore, Initiator, NAME_OCTETS_MAX, Notification, ProtocolVersion, SanError,
    SyncType, UiMode,
};
use crate::syncml::{self, Package, SyncmlError};
use crate::tpdu::TpduError;
use crate::udh::Reference;
use crate::wsp::{Push, WspError};

/// What a phone's data synchronisation program is called, and its management program.
const SYNC_PROGRAM: &str = "push.syncml";
const MANAGEMENT_PROGRAM: &str = "syncml.dm";
/// To whom package #0 goes: the device itself.
const TARGET: &str = "/";
/// TP-PID of all that is composed here.
const PID: u8 = 0;

/// An alert.
#[derive(Clone, Copy)]
pub struct Alert<'a> {
    /// The form the device understands.
    pub form: San,
    /// The server's identifier, as the device has it in its settings.
    pub server_id: &'a str,
    /// The session the device is to name. Each further package has the next one.
    pub session_id: u16,
    /// What is to be synchronised.
    pub stores: Stores<'a>,
    /// The password the digest is made with; `None`: there is no digest. Only the binary forms have room for one.
    pub password: Option<&'a [u8]>,
    /// TP-DCS; must announce octets.
    pub dcs: u8,
    /// The concatenation reference, used by packages that take several messages. Each further package has the next one.
    pub reference: u8,
}

/// What is to be synchronised. Device management names no data stores: there it does not matter.
#[derive(Clone, Copy)]
pub enum Stores<'a> {
    /// These, in this order; at most [`DATA_STORES_MAX`] in one package.
    Named(&'a [Resource]),
    /// Every one the device has. Only DS 1.2 can say so, and some devices refuse it.
    All,
}

/// Shows no name and no password.
impl std::fmt::Debug for Alert<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stores = match self.stores {
            Stores::Named(stores) => stores.len(),
            Stores::All => 0,
        };
        write!(f, "Alert({:?}, session {}, {stores} data stores)", self.form, self.session_id)
    }
}

/// Why there is no such message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// A server's identifier that a package can't hold.
    #[error("server identifier of `{octets}` octets is not 1 to 255 ASCII characters")]
    ServerId {
        /// Its octets.
        octets: usize,
    },
    /// A name that a package can't hold.
    #[error("name of data store `{at}` is not 1 to 255 octets without a NUL")]
    Name {
        /// Which of the stores, from 0.
        at: usize,
    },
    /// Nothing is named where a name is needed.
    #[error("no data store is named")]
    Nothing,
    /// `All` in a form that can't say so.
    #[error("only ds-1.2 can mean every data store")]
    All,
    /// A password for a form without a digest.
    #[error("this form has no digest")]
    Unsigned,
    /// A binary package.
    #[error("notification can't be written")]
    Notification(#[source] SanError),
    /// A package in WBXML.
    #[error("package can't be written")]
    Package(#[source] SyncmlError),
    /// Settings.
    #[error("settings can't be written")]
    Settings(#[source] ProvisioningError),
    /// The push around it.
    #[error("push can't be written")]
    Push(#[source] WspError),
    /// The messages it takes.
    #[error("it does not fit short messages")]
    Parts(#[source] TpduError),
}

impl Alert<'_> {
    /// The packages, at least one, each as the parts of one binary short message.
    ///
    /// # Errors
    /// [`AlertError`] names what does not fit.
    pub fn packages(&self) -> Result<Vec<Binary>, AlertError> {
        self.check()?;
        let chunks: Vec<&[Resource]> = match self.stores {
            Stores::Named(stores) if self.form != San::Dm12 => stores.chunks(DATA_STORES_MAX).collect(),
            Stores::Named(_) | Stores::All => vec![&[]],
        };
        let package = |(nth, stores): (usize, &&[Resource])| {
            let push = self.push(nth, stores)?.encode().map_err(AlertError::Push)?;
            // Both counters go around: neighbours differ, which is all they are for.
            parts(&push, Reference::Narrow(self.reference.wrapping_add(nth as u8)), self.dcs)
        };
        chunks.iter().enumerate().map(package).collect()
    }

    fn check(&self) -> Result<(), AlertError> {
        let octets = self.server_id.len();
        if !(1..=NAME_OCTETS_MAX).contains(&octets) || !self.server_id.bytes().all(|octet| matches!(octet, 0x20..=0x7e))
        {
            return Err(AlertError::ServerId { octets });
        }
        let is_binary = matches!(self.form, San::Ds12 | San::Dm12);
        match self.stores {
            _ if self.password.is_some() && !is_binary => Err(AlertError::Unsigned),
            Stores::All if !is_binary => Err(AlertError::All),
            Stores::Named([]) if self.form != San::Dm12 => Err(AlertError::Nothing),
            Stores::Named(stores) => match stores.iter().position(|store| !fits(&store.name)) {
                Some(at) => Err(AlertError::Name { at }),
                None => Ok(()),
            },
            Stores::All => Ok(()),
        }
    }

    fn push(&self, nth: usize, stores: &[Resource]) -> Result<Push, AlertError> {
        let session_id = self.session_id.wrapping_add(nth as u16);
        // The transaction is any number: nobody answers (push-wire.md, 4).
        let wrap = |media_type, program, body| Push::new(session_id as u8, media_type, Some(program), body);
        match self.form {
            San::Ds12 => {
                let body = Body::DataSync(stores.iter().map(data_store).collect());
                let octets = self.notification(session_id, body)?;
                Ok(wrap("application/vnd.syncml.ds.notification", SYNC_PROGRAM, octets))
            }
            San::Dm12 => {
                let octets = self.notification(session_id, Body::DeviceManagement)?;
                Ok(wrap("application/vnd.syncml.notification", MANAGEMENT_PROGRAM, octets))
            }
            San::Ds11 | San::Ds10 => {
                let octets = self.package(session_id, stores)?;
                Ok(wrap("application/vnd.syncml+wbxml", SYNC_PROGRAM, octets))
            }
        }
    }

    fn notification(&self, session_id: u16, body: Body) -> Result<Vec<u8>, AlertError> {
        let notification = Notification {
            version: ProtocolVersion::V1_2,
            ui_mode: UiMode::Background,
            initiator: Initiator::Server,
            session_id,
            server_id: self.server_id.as_bytes().to_vec(),
            body,
            vendor: Vec::new(),
        };
        // Phones that keep no nonce use an empty one (push-wire.md, 1).
        let encoded = match self.password {
            Some(password) => notification.encode(password, b""),
            None => notification.encode_unsigned(),
        };
        encoded.map_err(AlertError::Notification)
    }

    /// One alert for each way of synchronising, in the order in which the ways first come.
    fn package(&self, session_id: u16, stores: &[Resource]) -> Result<Vec<u8>, AlertError> {
        let mut alerts: Vec<syncml::Alert> = Vec::new();
        for store in stores {
            let sync_type = sync_type(store);
            let content_type = Some(store.content_type.clone()).filter(|media_type| !media_type.is_empty());
            let item = syncml::Item { uri: store.name.clone(), content_type };
            match alerts.iter_mut().find(|alert| alert.sync_type == sync_type) {
                Some(alert) => alert.items.push(item),
                None => alerts.push(syncml::Alert { sync_type, items: vec![item] }),
            }
        }
        let version = match self.form {
            San::Ds10 => syncml::ProtocolVersion::V1_0,
            San::Ds11 | San::Ds12 | San::Dm12 => syncml::ProtocolVersion::V1_1,
        };
        let (target, source) = (TARGET.to_owned(), self.server_id.to_owned());
        let package = Package { version, session_id: session_id.into(), message_id: 1, target, source, alerts };
        package.encode().map_err(AlertError::Package)
    }
}

/// The settings of an account, signed so that the phone takes them, as one binary short message. They hold no password.
///
/// # Errors
/// [`AlertError`] names what does not fit.
pub fn settings(account: &SyncAccount, security: &Security, dcs: u8, reference: u8) -> Result<Binary, AlertError> {
    let document = account.document().encode().map_err(AlertError::Settings)?;
    let push = provisioning::push(reference, document, Some(security)).encode().map_err(AlertError::Push)?;
    parts(&push, Reference::Narrow(reference), dcs)
}

fn parts(push: &[u8], reference: Reference, dcs: u8) -> Result<Binary, AlertError> {
    let datagram = Datagram { destination_port: PORT_PUSH, source_port: PORT_SESSION, payload: push };
    let parts = datagram.parts(reference).map_err(AlertError::Parts)?;
    crate::binary::compose(&parts, PID, dcs).map_err(AlertError::Parts)
}

/// A string of WBXML ends with a NUL, and a name's length is one octet.
fn fits(name: &str) -> bool {
    (1..=NAME_OCTETS_MAX).contains(&name.len()) && !name.contains('\0')
}

fn data_store(store: &Resource) -> DataStore {
    let (sync_type, content_type) = (sync_type(store), ContentType::of(&store.content_type));
    DataStore { sync_type, content_type, uri: store.name.as_bytes().to_vec() }
}

fn sync_type(store: &Resource) -> SyncType {
    SyncType::of_alert(store.sync.alert()).expect("all five kinds may be sent")
}

#[cfg(test)]
mod tests;
