//! What change notifications need kept: documents, windows, and what became of notifications. Plain values; knows no engine, and
//! nothing of what is in them.

use bytes::Bytes;
use model::{MessageId, TenantId, Timestamp};

/// How long a notification's row is kept at least.
pub const NOTIFICATION_MS: i64 = 8 * 24 * 60 * 60 * 1_000;

/// The kinds of documents. A kind and an id name one document of a tenant's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DocumentKind {
    /// An account with its devices, by its address.
    Account,
    /// The account a device belongs to, by the device's id.
    DeviceOwner,
    /// The device a number belongs to, by the number's keyed hash in hexadecimal digits.
    NumberOwner,
    /// A client model, by name.
    ClientModel,
    /// Who may use push, by domain.
    AccessRule,
    /// What was answered under an idempotency key.
    ChangeKey,
    /// A key of the event door, sealed, by its id.
    EventKey,
    /// A number that wants nothing, by its keyed hash in hexadecimal digits.
    OptOut,
    /// Up to where a tenant was asked what changed.
    PullCursor,
}

impl DocumentKind {
    /// What rows call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DocumentKind::Account => "account",
            DocumentKind::DeviceOwner => "device-owner",
            DocumentKind::NumberOwner => "number-owner",
            DocumentKind::ClientModel => "client-model",
            DocumentKind::AccessRule => "access-rule",
            DocumentKind::ChangeKey => "change-key",
            DocumentKind::EventKey => "event-key",
            DocumentKind::OptOut => "opt-out",
            DocumentKind::PullCursor => "pull-cursor",
        }
    }

    /// Whether the tenants that have one can be found, by whoever does not know whose it is.
    #[must_use]
    pub const fn is_found_by_id(self) -> bool {
        matches!(self, DocumentKind::NumberOwner)
    }
}

/// A document of a tenant's: opaque here.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Whose.
    pub tenant: TenantId,
    /// What kind.
    pub kind: DocumentKind,
    /// Which of its kind.
    pub id: String,
    /// What is in it.
    pub body: String,
    /// Until when it is kept; it goes some time after. `None`: until it is removed.
    pub until: Option<Timestamp>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} of {}, {} octets)", self.kind.name(), self.tenant, self.body.len())
    }
}

/// What is known of a device that is told of changes: opaque here. By (partition, tenant, account, device).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WindowRow {
    /// The partition of lane `changes` its account is in.
    pub partition: u32,
    /// Whose device.
    pub tenant: TenantId,
    /// Its account.
    pub account: String,
    /// Its id.
    pub device: String,
    /// What is known; empty: nothing, and there is no row.
    pub state: Bytes,
}

/// How a notification came to be and what became of it: opaque here. By id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotificationRow {
    /// Whose.
    pub tenant: TenantId,
    /// Which: the id of the message that carries it.
    pub id: MessageId,
    /// Until when it is kept; it goes some time after.
    pub until: Timestamp,
    /// What is told of it.
    pub body: String,
}
