//! OMA client provisioning (OMA-WAP-ProvCont 1.1, OMA-WAP-ProvBoot 1.1): settings a phone offers its user to keep, and the
//! signature that lets it trust them. Knows the documents; must not know where secrets are kept, nor how it travels.

mod account;
mod document;
mod security;

pub use account::{DataStore, Route, SyncAccount};
pub use document::{Characteristic, Document, Entry, push};
pub use security::{Imsi, Pin, Security};

use crate::wbxml::WbxmlError;

/// The content type of a provisioning document.
pub const MEDIA_TYPE: &str = "application/vnd.wap.connectivity-wbxml";

/// Why octets are not a provisioning document, or a value cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisioningError {
    /// It is no such document.
    #[error("settings are no document")]
    Document {
        /// What is wrong with it.
        #[source]
        source: WbxmlError,
    },
    /// An element that does not belong where it is.
    #[error("element `{name}` does not belong here")]
    Element {
        /// Its name.
        name: String,
    },
    /// An attribute that must be there is not.
    #[error("attribute `{name}` is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A subscriber identity that is not 6 to 15 digits.
    #[error("subscriber identity is not 6 to 15 digits")]
    Imsi,
    /// A PIN that is not 1 to 16 digits.
    #[error("pin is not 1 to 16 digits")]
    Pin,
}
